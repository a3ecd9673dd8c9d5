//! The symbol table: every label name and value of a block, sorted.

use super::{FRAME, SAMPLED, TooLong, Version, section, section_len};
use crate::encoding::{Cursor, Malformed, crc32c, put_uvarint, uvarint_len};

pub(super) const PART: &str = "index symbols";

/// The symbol table of an index, over any bytes: a slice, a memory map, a fetched range.
///
/// *Memory*: the position of each 32nd symbol, 4 bytes each, beside the bytes themselves.
#[derive(Clone, Debug)]
pub struct SymbolTable<B> {
    section: B,
    samples: Samples,
}

impl<B: AsRef<[u8]>> SymbolTable<B> {
    /// Reads the section that `section` begins with (length field to checksum; more may follow),
    /// verifies its checksum and that its symbols strictly ascend, and samples their positions.
    ///
    /// `base` is the offset of `section` in the index, which references of format 1 count from.
    ///
    /// # Errors
    /// [`Malformed`] for any of these.
    pub fn decode(version: Version, section: B, base: u64) -> Result<Self, Malformed> {
        let samples = Samples::decode(version, section.as_ref(), base)?;
        Ok(SymbolTable { section, samples })
    }

    /// How many symbols.
    pub fn len(&self) -> usize {
        self.samples.count as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.samples.count == 0
    }

    /// The symbol that series call `reference`.
    ///
    /// # Errors
    /// [`Malformed`] when there is no such symbol.
    pub fn get(&self, reference: u32) -> Result<&[u8], Malformed> {
        self.samples.get(self.section.as_ref(), reference)
    }

    /// What series call `symbol`, if it is there.
    pub fn find(&self, symbol: &[u8]) -> Option<u32> {
        self.samples.find(self.section.as_ref(), symbol)
    }

    /// References and symbols in order.
    pub fn iter(&self) -> Symbols<'_> {
        self.samples.iter(self.section.as_ref())
    }

    /// Bytes of the section, length field to checksum.
    pub fn len_bytes(&self) -> usize {
        self.samples.end + FRAME
    }
}

/// Positions within a section that was checked, apart from its bytes.
#[derive(Clone, Debug)]
pub(super) struct Samples {
    version: Version,
    base: u64,
    count: u32,
    /// Where each 32nd symbol begins in the section.
    at: Vec<u32>,
    /// Where the last symbol ends.
    end: usize,
}

impl Samples {
    pub(super) fn decode(version: Version, bytes: &[u8], base: u64) -> Result<Samples, Malformed> {
        let content = section(PART, bytes, base)?;
        let mut c = Cursor::at_offset(PART, content, base.saturating_add(FRAME as u64));
        let count = c.be32()?;
        let mut at = Vec::new();
        let mut before: Option<&[u8]> = None;
        for i in 0..count {
            let (start, place) = (c.index(), c.position());
            let symbol = c.uvarint_bytes()?;
            if before.is_some_and(|b| b >= symbol) {
                return Err(Malformed::new(PART, place, format!("symbol {i} is not above the one before it")));
            }
            before = Some(symbol);
            if (i as usize).is_multiple_of(SAMPLED) {
                // the section's length is 32 bits, and so is each position in it
                at.push((start + FRAME) as u32);
            }
        }
        if !c.is_empty() {
            return Err(c.fail(format!("{} bytes behind the last of {count} symbols", c.remaining())));
        }
        Ok(Samples { version, base, count, at, end: FRAME + content.len() })
    }

    /// What the symbol that is number `ordinal` and begins at `at` of the section is called.
    fn reference(&self, ordinal: u32, at: usize) -> u32 {
        match self.version {
            Version::V2 => ordinal,
            Version::V1 => self.base.saturating_add(at as u64) as u32,
        }
    }

    pub(super) fn get<'a>(&'a self, bytes: &'a [u8], reference: u32) -> Result<&'a [u8], Malformed> {
        let sample = match self.version {
            Version::V2 => reference as usize / SAMPLED,
            Version::V1 => {
                let at = u64::from(reference).saturating_sub(self.base);
                self.at.partition_point(|&p| u64::from(p) <= at).wrapping_sub(1)
            }
        };
        if let Some(&start) = self.at.get(sample) {
            for (r, symbol) in self.from(bytes, sample, start) {
                if r == reference {
                    return Ok(symbol);
                }
                if r > reference {
                    break;
                }
            }
        }
        Err(Malformed::new(PART, self.base, format!("no symbol is called {reference}")))
    }

    pub(super) fn find(&self, bytes: &[u8], symbol: &[u8]) -> Option<u32> {
        let behind = self.at.partition_point(|&at| read(bytes, at as usize).is_some_and(|(s, _)| s <= symbol));
        let sample = behind.checked_sub(1)?;
        let mut run = self.from(bytes, sample, self.at[sample]).take(SAMPLED);
        run.find(|&(_, s)| s >= symbol).filter(|&(_, s)| s == symbol).map(|(r, _)| r)
    }

    pub(super) fn iter<'a>(&'a self, bytes: &'a [u8]) -> Symbols<'a> {
        self.from(bytes, 0, (FRAME + 4) as u32)
    }

    fn from<'a>(&'a self, bytes: &'a [u8], sample: usize, start: u32) -> Symbols<'a> {
        Symbols { samples: self, bytes, ordinal: (sample * SAMPLED) as u32, at: start as usize }
    }
}

/// The symbol that begins at `at` and where it ends; only for positions that were checked.
fn read(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let mut c = Cursor::new(PART, bytes.get(at..)?);
    let symbol = c.uvarint_bytes().ok()?;
    Some((symbol, at + c.index()))
}

/// The symbols of a damaged section, as far as they can be read, without asking for checksum or order.
#[derive(Clone, Debug, Default)]
pub struct ReadableSymbols<'a> {
    /// How many there should be.
    pub count: u32,
    /// What series call each, and what it reads.
    pub symbols: Vec<(u32, &'a [u8])>,
    /// Whether all could be read and end where the checksum begins: then no length is wrong, and each is in its place.
    pub is_whole: bool,
}

impl<'a> ReadableSymbols<'a> {
    /// Reads what can be read of `section`: length field to checksum, nothing behind it.
    ///
    /// `base` is the offset of `section` in the index, which references of format 1 count from.
    pub fn read(version: Version, section: &'a [u8], base: u64) -> Self {
        let mut c = Cursor::new(PART, section);
        let Ok(count) = c.be32().and_then(|_| c.be32()) else { return ReadableSymbols::default() };
        let mut out = ReadableSymbols { count, ..ReadableSymbols::default() };
        for ordinal in 0..count {
            let reference = match version {
                Version::V1 => u32::try_from(base.saturating_add(c.index() as u64)).ok(),
                Version::V2 => Some(ordinal),
            };
            let (Some(reference), Ok(symbol)) = (reference, c.uvarint_bytes()) else { break };
            out.symbols.push((reference, symbol));
        }
        out.is_whole = out.symbols.len() == count as usize && c.remaining() == 4;
        out
    }
}

/// Iterator of [`SymbolTable::iter`].
#[derive(Clone, Debug)]
pub struct Symbols<'a> {
    samples: &'a Samples,
    bytes: &'a [u8],
    ordinal: u32,
    at: usize,
}

impl<'a> Iterator for Symbols<'a> {
    type Item = (u32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.ordinal >= self.samples.count {
            return None;
        }
        let (symbol, end) = read(self.bytes, self.at)?;
        let reference = self.samples.reference(self.ordinal, self.at);
        self.ordinal += 1;
        self.at = end;
        Some((reference, symbol))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.samples.count - self.ordinal) as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Symbols<'_> {}

/// Builds a symbol section of format 2; its length and count come first, so it is complete in memory
/// before its first byte goes out.
#[derive(Clone, Debug)]
pub struct SymbolTableWriter {
    bytes: Vec<u8>,
    count: u32,
    /// Where the last symbol begins, behind its length.
    last: Option<usize>,
}

impl SymbolTableWriter {
    /// No symbols yet.
    pub fn new() -> Self {
        SymbolTableWriter { bytes: vec![0; FRAME + 4], count: 0, last: None }
    }

    /// How many symbols were added.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether none was added.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes so far, of memory and of the section to be.
    pub fn len_bytes(&self) -> usize {
        self.bytes.len() + FRAME
    }

    /// The last symbol.
    pub fn last(&self) -> Option<&[u8]> {
        self.last.map(|at| &self.bytes[at..])
    }

    /// Adds a symbol and returns what series call it.
    ///
    /// # Errors
    /// [`TooLong`] when the section outgrows its length field; the symbol is not added then.
    ///
    /// # Panics
    /// When `symbol` is not above the last one.
    pub fn push(&mut self, symbol: &[u8]) -> Result<u32, TooLong> {
        assert!(self.last().is_none_or(|last| last < symbol), "symbols out of order");
        let grown = self.bytes.len() - FRAME + uvarint_len(symbol.len() as u64) + symbol.len();
        section_len(PART, grown as u64)?;
        put_uvarint(&mut self.bytes, symbol.len() as u64);
        self.last = Some(self.bytes.len());
        self.bytes.extend_from_slice(symbol);
        // each symbol has at least a byte of the section's 2^32
        self.count += 1;
        Ok(self.count - 1)
    }

    /// The whole section, length field to checksum.
    pub fn finish(mut self) -> Vec<u8> {
        // `push` kept it below the limit
        let len = (self.bytes.len() - FRAME) as u32;
        self.bytes[..FRAME].copy_from_slice(&len.to_be_bytes());
        self.bytes[FRAME..FRAME + 4].copy_from_slice(&self.count.to_be_bytes());
        let crc = crc32c(&self.bytes[FRAME..]);
        self.bytes.extend_from_slice(&crc.to_be_bytes());
        self.bytes
    }
}

impl Default for SymbolTableWriter {
    fn default() -> Self {
        SymbolTableWriter::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn section_of<'a>(symbols: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut writer = SymbolTableWriter::new();
        for (i, symbol) in symbols.into_iter().enumerate() {
            assert_eq!(writer.push(symbol), Ok(i as u32));
            assert_eq!(writer.last(), Some(symbol));
        }
        let len = writer.len_bytes();
        let bytes = writer.finish();
        assert_eq!(bytes.len(), len);
        bytes
    }

    proptest! {
        #[test]
        fn both_ways(symbols in proptest::collection::btree_set(proptest::collection::vec(any::<u8>(), 0..6), 0..200), base in 5u64..4000) {
            let mut bytes = section_of(symbols.iter().map(Vec::as_slice));
            let len = bytes.len();
            bytes.extend_from_slice(b"behind");
            for version in [Version::V1, Version::V2] {
                let table = SymbolTable::decode(version, &bytes[..], base).unwrap();
                prop_assert_eq!((table.len(), table.is_empty(), table.len_bytes()), (symbols.len(), symbols.is_empty(), len));
                prop_assert!(table.iter().map(|(_, s)| s).eq(symbols.iter().map(Vec::as_slice)));
                for (reference, symbol) in table.iter() {
                    prop_assert_eq!(table.get(reference), Ok(symbol));
                    prop_assert_eq!(table.find(symbol), Some(reference));
                    // one that is not there, right above this one
                    let mut above = symbol.to_vec();
                    above.push(0);
                    prop_assert_eq!(table.find(&above).is_some(), symbols.contains(&above));
                }
                prop_assert!(table.get(u32::MAX).is_err());
            }
            let table = SymbolTable::decode(Version::V2, &bytes[..], base).unwrap();
            prop_assert!(table.get(symbols.len() as u32).is_err());
        }
    }

    #[test]
    fn a_symbol_that_does_not_ascend_is_named() {
        let mut bytes = section_of([&b"a"[..], b"c"]);
        bytes[11] = b'a';
        let crc = crc32c(&bytes[4..12]);
        bytes[12..].copy_from_slice(&crc.to_be_bytes());
        let e = SymbolTable::decode(Version::V2, &bytes[..], 5).unwrap_err();
        assert_eq!(e.to_string(), "index symbols at byte 15: symbol 1 is not above the one before it");
    }

    #[test]
    #[should_panic = "symbols out of order"]
    fn the_writer_wants_order() {
        section_of([&b"b"[..], b"a"]);
    }
}
