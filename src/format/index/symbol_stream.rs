//! A symbol table that comes in pieces, so that tables of many blocks merge in little memory.

use super::symbols::PART;
use super::{FRAME, Version};
use crate::encoding::{Crc32c, Malformed};

/// Reads a symbol section piece by piece: [`push`](SymbolStream::push) bytes in file order, then take
/// steps until more are needed.
///
/// *Order*: symbols strictly ascend, which is verified as they come. The checksum can only be verified
/// at the end: what was read before [`SymbolStep::End`] is not yet trustworthy.
///
/// *Memory*: the bytes pushed and not yet stepped over, and the last symbol.
#[derive(Clone, Debug)]
pub struct SymbolStream {
    version: Version,
    /// Offset of the section in the index.
    base: u64,
    /// Bytes of the section from `start` on.
    held: Vec<u8>,
    /// Offset of `held` in the section.
    start: u64,
    /// Where the next symbol begins in `held`.
    next: usize,
    /// Where the last symbol lies in `held`.
    last: Option<(usize, usize)>,
    /// Length and count of the section, once they are there.
    frame: Option<Frame>,
    /// How many symbols were yielded.
    seen: u32,
    crc: Crc32c,
    done: bool,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    /// Where the checksum begins in the section.
    end: u64,
    count: u32,
}

/// What [`SymbolStream::step`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SymbolStep<'a> {
    /// The next symbol and what series call it.
    Symbol(u32, &'a [u8]),
    /// At least this many more bytes have to be pushed first.
    Need(u64),
    /// There are no more, and the checksum was right.
    End,
}

impl SymbolStream {
    /// A stream of a section that begins at byte `base` of an index.
    pub fn new(version: Version, base: u64) -> Self {
        SymbolStream {
            version,
            base,
            held: Vec::new(),
            start: 0,
            next: 0,
            last: None,
            frame: None,
            seen: 0,
            crc: Crc32c::new(),
            done: false,
        }
    }

    /// Adds the bytes that follow those pushed before, and returns how many of them belong to the
    /// section: what lies behind its end is left alone.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        self.forget();
        let mut rest = bytes;
        if self.frame.is_none() {
            // length and count first
            let head = (2 * FRAME - self.held.len()).min(rest.len());
            self.held.extend_from_slice(&rest[..head]);
            rest = &rest[head..];
            let Some((len, count)) = self.held.split_first_chunk::<FRAME>() else { return bytes.len() };
            let Some(count) = count.first_chunk::<4>() else { return bytes.len() };
            let end = FRAME as u64 + u64::from(u32::from_be_bytes(*len));
            self.frame = Some(Frame { end, count: u32::from_be_bytes(*count) });
            self.crc.update(count);
            self.next = 2 * FRAME;
        }
        let Some(frame) = self.frame else { return bytes.len() };
        let held_to = self.start + self.held.len() as u64;
        let whole = (frame.end + FRAME as u64).saturating_sub(held_to);
        let mine = &rest[..rest.len().min(usize::try_from(whole).unwrap_or(usize::MAX))];
        let content = frame.end.saturating_sub(held_to).min(mine.len() as u64) as usize;
        self.crc.update(&mine[..content]);
        self.held.extend_from_slice(mine);
        bytes.len() - rest.len() + mine.len()
    }

    /// Drops what was stepped over, but for the last symbol.
    fn forget(&mut self) {
        let keep = self.last.map_or(self.next, |(from, _)| from);
        if self.frame.is_some() && keep > 0 {
            self.held.drain(..keep);
            self.start += keep as u64;
            self.next -= keep;
            self.last = self.last.map(|(from, to)| (from - keep, to - keep));
        }
    }

    /// Bytes of the section, length field to checksum, once its first bytes were pushed.
    pub fn len_bytes(&self) -> Option<u64> {
        self.frame.map(|f| f.end + FRAME as u64)
    }

    /// How many symbols there are in all, once the first bytes were pushed. Not to be trusted yet:
    /// do not allocate by it.
    pub fn count(&self) -> Option<u32> {
        self.frame.map(|f| f.count)
    }

    /// The symbol of the last step.
    pub fn last(&self) -> Option<&[u8]> {
        self.last.map(|(from, to)| &self.held[from..to])
    }

    /// The next symbol, or what is needed first.
    ///
    /// # Errors
    /// [`Malformed`] for symbols that do not ascend or do not fit the section, for bytes behind the
    /// last one, and for a wrong checksum. A step after an error fails again.
    pub fn step(&mut self) -> Result<SymbolStep<'_>, Malformed> {
        if self.done {
            return Ok(SymbolStep::End);
        }
        let Some(frame) = self.frame else {
            return Ok(SymbolStep::Need((2 * FRAME - self.held.len()) as u64));
        };
        let at = self.start + self.next as u64;
        // a length below that of the count cannot be
        let Some(left) = frame.end.checked_sub(at) else {
            return Err(self.fail(0, "section has no room for its count".into()));
        };
        if self.seen == frame.count {
            return self.end(frame, at, left);
        }
        let rest = &self.held[self.next..];
        let Some((len, field)) = length(rest, left).map_err(|why| self.fail(at, why.into()))? else {
            return Ok(SymbolStep::Need(1));
        };
        if len > left - field as u64 {
            return Err(self.fail(at, format!("symbol of {len} bytes, {} left", left - field as u64)));
        }
        let whole = field as u64 + len;
        if whole > rest.len() as u64 {
            return Ok(SymbolStep::Need(whole - rest.len() as u64));
        }
        let (from, to) = (self.next + field, self.next + whole as usize);
        let symbol = &self.held[from..to];
        if let Some((f, t)) = self.last
            && self.held[f..t] >= *symbol
        {
            return Err(self.fail(at, format!("symbol {} is not above the one before it", self.seen)));
        }
        let reference = match self.version {
            Version::V2 => self.seen,
            Version::V1 => self.base.saturating_add(at) as u32,
        };
        self.seen += 1;
        self.last = Some((from, to));
        self.next = to;
        Ok(SymbolStep::Symbol(reference, &self.held[from..to]))
    }

    /// Behind the last symbol: nothing else, and the right checksum.
    fn end(&mut self, frame: Frame, at: u64, left: u64) -> Result<SymbolStep<'_>, Malformed> {
        if left > 0 {
            return Err(self.fail(at, format!("{left} bytes behind the last of {} symbols", frame.count)));
        }
        let rest = &self.held[self.next..];
        let Some(stored) = rest.first_chunk::<FRAME>() else {
            return Ok(SymbolStep::Need((FRAME - rest.len()) as u64));
        };
        let (stored, computed) = (u32::from_be_bytes(*stored), self.crc.value());
        if stored != computed {
            return Err(self.fail(0, format!("checksum {stored:08x} stored, {computed:08x} computed")));
        }
        self.done = true;
        Ok(SymbolStep::End)
    }

    #[cold]
    fn fail(&self, at: u64, why: String) -> Malformed {
        Malformed::new(PART, self.base.saturating_add(at), why)
    }
}

/// A varint at the start of `bytes`, of which `left` can belong to the section: value and bytes.
fn length(bytes: &[u8], left: u64) -> Result<Option<(u64, usize)>, &'static str> {
    let mut value = 0u64;
    for i in 0..5u32 {
        if u64::from(i) >= left {
            return Err("symbol's length cut off by the end of the section");
        }
        let Some(&b) = bytes.get(i as usize) else { return Ok(None) };
        value |= u64::from(b & 0x7f) << (7 * i);
        if b < 0x80 {
            return Ok(Some((value, i as usize + 1)));
        }
    }
    Err("symbol's length is longer than five bytes")
}

#[cfg(test)]
mod tests {
    use super::super::{SymbolTable, SymbolTableWriter};
    use super::*;
    use crate::encoding::crc32c;
    use proptest::prelude::*;

    /// What the stream yields when it is fed parts of these lengths, in turns.
    fn feed(version: Version, bytes: &[u8], parts: &[usize]) -> Result<Vec<(u32, Vec<u8>)>, Malformed> {
        let mut stream = SymbolStream::new(version, 5);
        let (mut at, mut turn, mut out) = (0, 0, vec![]);
        loop {
            match stream.step()? {
                SymbolStep::Symbol(reference, symbol) => {
                    out.push((reference, symbol.to_vec()));
                    assert_eq!(stream.last(), out.last().map(|(_, s)| &s[..]));
                }
                SymbolStep::End => {
                    assert_eq!(stream.step(), Ok(SymbolStep::End));
                    return Ok(out);
                }
                SymbolStep::Need(least) => {
                    assert!(least > 0);
                    let part = &bytes[at..(at + parts[turn % parts.len()]).min(bytes.len())];
                    turn += 1;
                    if part.is_empty() {
                        return Err(Malformed::new(PART, at as u64, "no more"));
                    }
                    let taken = stream.push(part);
                    at += taken;
                    assert!(taken == part.len() || stream.len_bytes() == Some(at as u64), "only the end is left alone");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn as_the_table_does(
            symbols in proptest::collection::btree_set(proptest::collection::vec(any::<u8>(), 0..150), 0..60),
            parts in proptest::collection::vec(1usize..90, 1..5),
        ) {
            let mut writer = SymbolTableWriter::new();
            for symbol in &symbols {
                writer.push(symbol).unwrap();
            }
            let mut bytes = writer.finish();
            bytes.extend_from_slice(&[0; 20]);
            for version in [Version::V1, Version::V2] {
                let table = SymbolTable::decode(version, &bytes[..], 5).unwrap();
                let expected: Vec<_> = table.iter().map(|(r, s)| (r, s.to_vec())).collect();
                prop_assert_eq!(feed(version, &bytes, &parts), Ok(expected));
            }
        }
    }

    fn small() -> Vec<u8> {
        let mut writer = SymbolTableWriter::new();
        for symbol in [&b"a"[..], b"bc", b"d"] {
            writer.push(symbol).unwrap();
        }
        writer.finish()
    }

    #[test]
    fn memory_is_what_was_not_stepped_over() {
        let mut stream = SymbolStream::new(Version::V2, 5);
        let mut writer = SymbolTableWriter::new();
        for i in 0..10_000u32 {
            writer.push(&i.to_be_bytes()).unwrap();
        }
        for part in writer.finish().chunks(100) {
            stream.push(part);
            assert!(stream.held.len() <= 110, "{}", stream.held.len());
            while let SymbolStep::Symbol(..) = stream.step().unwrap() {}
        }
        assert_eq!(stream.step(), Ok(SymbolStep::End));
        assert_eq!((stream.count(), stream.len_bytes()), (Some(10_000), Some(50_012)));
    }

    #[test]
    fn every_wrong_bit_and_every_end_is_noticed() {
        let good = small();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(feed(Version::V2, &bad, &[3]).is_err(), "bit {bit}");
        }
        for cut in 0..good.len() {
            assert!(feed(Version::V2, &good[..cut], &[5]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn damage_under_a_right_checksum() {
        let check = |change: &dyn Fn(&mut Vec<u8>), expected: &str| {
            let mut bytes = small();
            bytes.truncate(bytes.len() - 4);
            change(&mut bytes);
            let crc = crc32c(&bytes[4..]);
            bytes.extend_from_slice(&crc.to_be_bytes());
            assert_eq!(feed(Version::V2, &bytes, &[4]).unwrap_err().to_string(), expected);
        };
        check(&|b| b[9] = b'd', "index symbols at byte 15: symbol 1 is not above the one before it");
        check(&|b| b[7] = 2, "index symbols at byte 18: 2 bytes behind the last of 2 symbols");
        check(&|b| b[7] = 4, "index symbols at byte 20: symbol's length cut off by the end of the section");
        check(&|b| b[13] = 3, "index symbols at byte 18: symbol of 3 bytes, 1 left");
        check(&|b| b[3] = 2, "index symbols at byte 5: section has no room for its count");
        check(&|b| b[8..13].fill(0xff), "index symbols at byte 13: symbol's length is longer than five bytes");
    }
}
