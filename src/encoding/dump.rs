//! Annotated dumps: every byte of an object with its meaning, for golden tests and inspectors.

use std::fmt::Write;

/// Collects lines of the form `offset  hex  # meaning`, each byte exactly once and in order.
///
/// A format's `describe` fills one while it walks the bytes with the decoder's own rules, so the
/// text cannot drift from the code. [`Dump::finish`] says whether all bytes were covered.
#[derive(Debug)]
pub struct Dump<'a> {
    bytes: &'a [u8],
    base: u64,
    at: usize,
    indent: usize,
    out: String,
}

/// Bytes shown of one run before it is shortened.
const SHOWN: usize = 16;

impl<'a> Dump<'a> {
    /// A dump of `bytes`, which lie `base` bytes into their object.
    pub fn new(bytes: &'a [u8], base: u64) -> Self {
        Dump { bytes, base, at: 0, indent: 0, out: String::new() }
    }

    /// Bytes described so far, from the start of the slice.
    pub fn index(&self) -> usize {
        self.at
    }

    /// A heading without bytes; what follows is indented until [`Dump::end`].
    pub fn begin(&mut self, heading: impl AsRef<str>) {
        let _ = writeln!(self.out, "{:>10}  {:indent$}{}", "", "", heading.as_ref(), indent = self.indent * 2);
        self.indent += 1;
    }

    /// Ends the last [`Dump::begin`].
    pub fn end(&mut self) {
        self.indent = self.indent.saturating_sub(1);
    }

    /// Describes the bytes up to `end` (an index into the slice) as one field.
    pub fn field(&mut self, end: usize, meaning: impl AsRef<str>) {
        let end = end.clamp(self.at, self.bytes.len());
        let run = &self.bytes[self.at..end];
        let mut hex = String::new();
        for b in &run[..run.len().min(SHOWN)] {
            let _ = write!(hex, "{b:02x}");
        }
        if run.len() > SHOWN {
            let _ = write!(hex, "… {} bytes", run.len());
        }
        let _ = writeln!(
            self.out,
            "{:>10}  {:indent$}{hex}  # {}",
            self.base + self.at as u64,
            "",
            meaning.as_ref(),
            indent = self.indent * 2
        );
        self.at = end;
    }

    /// A remark without bytes: several meanings within one byte, a value computed from others.
    pub fn note(&mut self, meaning: impl AsRef<str>) {
        let _ = writeln!(self.out, "{:>10}  {:indent$}# {}", "", "", meaning.as_ref(), indent = self.indent * 2);
    }

    /// The text; bytes that were not described are shown as such at the end.
    pub fn finish(mut self) -> String {
        if self.at < self.bytes.len() {
            self.indent = 0;
            self.field(self.bytes.len(), "not described");
        }
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_once() {
        let mut d = Dump::new(&[0x85, 0xbd, 1, 2], 16);
        d.begin("header");
        d.field(2, "magic");
        d.end();
        d.field(3, "version 1");
        assert_eq!(
            d.finish(),
            "            header\n        16    85bd  # magic\n        18  01  # version 1\n        19  02  # not described\n"
        );
    }
}
