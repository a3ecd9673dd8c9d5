//! Notes that an edit takes on many threads and a job reads in order: numbers and strings, one behind the other.

/// Appends a number.
pub(super) fn put_number(log: &mut Vec<u8>, number: i64) {
    log.extend_from_slice(&number.to_le_bytes());
}

/// Appends a string with its length.
pub(super) fn put_bytes(log: &mut Vec<u8>, bytes: &[u8]) {
    put_number(log, bytes.len() as i64);
    log.extend_from_slice(bytes);
}

/// Reads our own notes back; behind their end everything is zero and empty.
pub(super) struct Notes<'a>(&'a [u8]);

impl<'a> Notes<'a> {
    pub(super) fn new(log: &'a [u8]) -> Self {
        Notes(log)
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// The next byte, or `None` at the end.
    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1).first().copied()
    }

    pub(super) fn number(&mut self) -> i64 {
        let mut bytes = [0; 8];
        let taken = self.take(8);
        bytes[..taken.len()].copy_from_slice(taken);
        i64::from_le_bytes(bytes)
    }

    pub(super) fn bytes(&mut self) -> &'a [u8] {
        let len = self.number();
        self.take(usize::try_from(len).unwrap_or(0))
    }
}
