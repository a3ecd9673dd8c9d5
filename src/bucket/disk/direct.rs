//! A large file written past the page cache, where the system can.
//!
//! What compaction writes is not read again soon, and copying it through the cache costs more CPU
//! than everything else that is done with it. Where the file system refuses, and for the last few
//! bytes, the file is written the ordinary way.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// What the device wants memory, offsets and lengths to be multiples of; 4096 serves all.
const ALIGN: usize = 4096;

/// A buffer whose usable bytes begin at a multiple of [`ALIGN`].
#[derive(Debug)]
pub(super) struct Aligned {
    bytes: Vec<u8>,
    start: usize,
    filled: usize,
}

impl Aligned {
    /// Room for `capacity` bytes, a multiple of [`ALIGN`].
    pub(super) fn new(capacity: usize) -> Self {
        let bytes = vec![0u8; capacity.next_multiple_of(ALIGN) + ALIGN];
        let start = bytes.as_ptr().align_offset(ALIGN).min(ALIGN);
        Aligned { bytes, start, filled: 0 }
    }

    fn capacity(&self) -> usize {
        self.bytes.len() - ALIGN
    }

    /// Takes bytes off the front of `from` until it is full; says whether it is.
    pub(super) fn fill(&mut self, from: &mut bytes::Bytes) -> bool {
        let n = from.len().min(self.capacity() - self.filled);
        let at = self.start + self.filled;
        self.bytes[at..at + n].copy_from_slice(&from.split_to(n));
        self.filled += n;
        self.filled == self.capacity()
    }

    pub(super) fn len(&self) -> usize {
        self.filled
    }

    fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.filled]
    }

    pub(super) fn clear(&mut self) {
        self.filled = 0;
    }
}

/// A staged file that takes buffers at offsets.
#[derive(Debug)]
pub(super) struct Sink {
    cached: File,
    /// The same file, past the cache.
    direct: Option<File>,
}

impl Sink {
    /// Writes to the file at `path`, which is open as `cached`.
    pub(super) fn open(path: &Path, cached: File) -> Self {
        // not every file system can; then all goes through the cache
        let direct = open_direct(path).ok();
        Sink { cached, direct }
    }

    /// Whether nothing went through the cache, so that there is little left to sync.
    pub(super) fn is_direct(&self) -> bool {
        self.direct.is_some()
    }

    /// Writes a buffer at `offset`, a multiple of [`ALIGN`].
    pub(super) fn write(&mut self, buffer: &Aligned, offset: u64) -> io::Result<()> {
        let filled = buffer.filled();
        let whole = filled.len() / ALIGN * ALIGN;
        let mut done = 0;
        if let Some(direct) = &self.direct {
            match direct.write_all_at(&filled[..whole], offset) {
                Ok(()) => done = whole,
                // the file system lets it be opened and cannot do it
                Err(e) if e.kind() == io::ErrorKind::InvalidInput => self.direct = None,
                Err(e) => return Err(e),
            }
        }
        self.cached.write_all_at(&filled[done..], offset + done as u64)
    }
}

#[cfg(target_os = "linux")]
fn open_direct(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(path)
}

#[cfg(not(target_os = "linux"))]
fn open_direct(_: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn any_length_arrives_whole() {
        let folder = tempfile::tempdir().unwrap();
        for len in [0, 1, ALIGN - 1, ALIGN, ALIGN + 1, 3 * ALIGN + 7] {
            let path = folder.path().join(len.to_string());
            let mut sink = Sink::open(&path, File::create(&path).unwrap());
            let wanted: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            let mut bytes = Bytes::from(wanted.clone());
            let mut buffer = Aligned::new(ALIGN);
            let mut offset = 0;
            while !bytes.is_empty() {
                buffer.fill(&mut bytes);
                sink.write(&buffer, offset).unwrap();
                offset += buffer.len() as u64;
                buffer.clear();
            }
            assert_eq!(std::fs::read(&path).unwrap(), wanted, "{len}");
        }
    }
}
