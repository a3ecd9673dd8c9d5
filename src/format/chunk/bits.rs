//! The bit stream of a chunk, read by peeking 64 bits at any bit.
//!
//! Reads past the end give zero bits and are noticed afterwards by [`Bits::check`]: one test a
//! sample instead of one a field. Whoever loops by a count that was read must check in the loop.

use crate::encoding::Malformed;

/// The part that errors name.
pub(super) const PART: &str = "chunk";

/// A field of a sample, as its reader comes by; [`describe`](super::describe) listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The width of the zero bucket.
    ZeroThreshold,
    /// The resolution of a histogram.
    Schema,
    /// Where positive buckets lie.
    PositiveSpans,
    /// Where negative buckets lie.
    NegativeSpans,
    /// Bounds of custom buckets.
    Bounds,
    /// The time of the sample.
    Time,
    /// The value of a float sample.
    Value,
    /// Time and value of a float sample in one.
    TimeAndValue,
    /// Observations.
    Count,
    /// Observations in the zero bucket.
    ZeroCount,
    /// The sum of observations.
    Sum,
    /// Positive counts.
    PositiveBuckets,
    /// Negative counts.
    NegativeBuckets,
    /// Since when the sample counts.
    Start,
}

/// Nobody listens.
#[inline(always)]
pub(super) fn unseen(_: Field, _: usize) {}

/// The bit of each byte of a LEB128 integer that says that more follow.
const CONTINUES: u64 = 0x8080_8080_8080_8080;

/// A position in the bits of a chunk, most significant bit first.
#[derive(Clone, Copy, Debug)]
pub struct Bits<'a> {
    bytes: &'a [u8],
    /// Next bit, from the start of `bytes`.
    at: usize,
    /// The last eight bytes, or all of fewer, the first one on top.
    last: u64,
}

impl<'a> Bits<'a> {
    /// Starts behind a header of `skip` bytes.
    pub(super) fn behind(bytes: &'a [u8], skip: usize) -> Self {
        // so that positions in bits, and some behind the end, are numbers everywhere
        let most = bytes.len().min(usize::MAX / 16);
        let bytes = &bytes[..most];
        let mut last = [0; 8];
        let tail = &bytes[most.saturating_sub(8)..];
        last[..tail.len()].copy_from_slice(tail);
        Bits { bytes, at: skip * 8, last: u64::from_be_bytes(last) }
    }

    /// The next 64 bits, the first one on top, zeros behind the end.
    #[inline(always)]
    pub(super) fn peek(&self) -> u64 {
        let byte = self.at >> 3;
        match self.bytes.get(byte..byte + 9) {
            Some(&[a, b, c, d, e, f, g, h, last]) => {
                let bit = self.at & 7;
                (u64::from_be_bytes([a, b, c, d, e, f, g, h]) << bit) | (u64::from(last) >> (8 - bit))
            }
            _ => self.peek_tail(),
        }
    }

    /// The same for those who need 57 bits at most; cheaper.
    #[inline(always)]
    pub(super) fn peek_57(&self) -> u64 {
        self.word(self.at).unwrap_or_else(|| self.peek_tail())
    }

    /// The same where no more than the last eight bytes are left: in small chunks that is often.
    #[inline(always)]
    fn peek_tail(&self) -> u64 {
        let last_at = self.bytes.len().saturating_sub(8) * 8;
        self.last.checked_shl((self.at - last_at) as u32).unwrap_or(0)
    }

    /// Bits that are at least in a word of [`Bits::word`].
    pub(super) const IN_WORD: u32 = 57;

    /// The bits from `at` on, the first one on top; none within the last eight bytes.
    #[inline(always)]
    pub(super) fn word(&self, at: usize) -> Option<u64> {
        let byte = at >> 3;
        match self.bytes.get(byte..byte + 8) {
            Some(&[a, b, c, d, e, f, g, h]) => Some(u64::from_be_bytes([a, b, c, d, e, f, g, h]) << (at & 7)),
            _ => None,
        }
    }

    /// The same of the last eight bytes, with the number of bits that are left; none before them, where
    /// there are fewer bytes, and behind the end.
    #[inline(always)]
    pub(super) fn last_word(&self, at: usize) -> Option<(u64, u32)> {
        let gone = at.checked_sub(self.end().checked_sub(64)?).filter(|&gone| gone < 64)? as u32;
        Some((self.last << gone, 64 - gone))
    }

    /// Moves over `count` bits.
    #[inline(always)]
    pub(super) fn skip(&mut self, count: u32) {
        self.at += count as usize;
    }

    /// Moves to bit `at`, from the start of the chunk.
    #[inline(always)]
    pub(super) fn move_to(&mut self, at: usize) {
        self.at = at;
    }

    /// The next `count` bits, 1 to 64.
    #[inline(always)]
    pub(super) fn take(&mut self, count: u32) -> u64 {
        debug_assert!((1..=64).contains(&count));
        let value = self.peek() >> ((64 - count) & 63);
        self.skip(count);
        value
    }

    /// Leading one bits, at most `most` (up to 63), and the zero bit behind them unless there are `most`.
    #[inline(always)]
    pub(super) fn ones(&mut self, most: u32) -> u32 {
        let ones = self.peek_57().leading_ones().min(most);
        self.skip(ones + u32::from(ones < most));
        ones
    }

    /// An unsigned LEB128 integer that begins at any bit.
    pub(super) fn uvarint(&mut self) -> Result<u64, Malformed> {
        // most are of a few bytes, and those are all in one word
        let word = self.peek();
        let more = (word | !CONTINUES).leading_ones() / 8;
        if more < 8 {
            self.skip(8 * (more + 1));
            let sevens = word >> (56 - 8 * more) & !CONTINUES;
            let value = (0..=more).fold(0, |value, i| value | (sevens >> (8 * i) & 0x7f) << (7 * (more - i)));
            return self.check().map(|()| value);
        }
        let mut value = 0u64;
        for i in 0..10 {
            let byte = self.take(8);
            if i == 9 && byte > 1 {
                break;
            }
            value |= (byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                return self.check().map(|()| value);
            }
        }
        Err(self.fail("varint above 64 bits"))
    }

    /// A zig-zag LEB128 integer that begins at any bit.
    pub(super) fn varint(&mut self) -> Result<i64, Malformed> {
        self.uvarint().map(|u| ((u >> 1) as i64) ^ -((u & 1) as i64))
    }

    /// Bits that are left, padding included; 0 behind the end.
    #[inline]
    pub(super) fn left(&self) -> usize {
        self.end().saturating_sub(self.at)
    }

    /// The next bit's position, from the start of the chunk.
    #[inline]
    pub(super) fn position(&self) -> usize {
        self.at
    }

    #[inline(always)]
    fn end(&self) -> usize {
        self.bytes.len() * 8
    }

    /// Whether all bits read so far exist.
    #[inline(always)]
    pub(super) fn check(&self) -> Result<(), Malformed> {
        if self.at > self.end() { Err(cut_off(self.bytes.len())) } else { Ok(()) }
    }

    /// Damage at the byte that holds the next bit.
    #[cold]
    pub(super) fn fail(self, why: &'static str) -> Malformed {
        Malformed::new(PART, (self.at >> 3).min(self.bytes.len()) as u64, why)
    }

    /// That `samples` more samples of at least `least` bits each can be there at all.
    pub(super) fn check_room(&self, samples: u32, least: usize) -> Result<(), Malformed> {
        if (samples as usize).saturating_mul(least) > self.left() {
            return Err(Malformed::new(PART, 0, format!("{samples} samples cannot be in {} bytes", self.bytes.len())));
        }
        Ok(())
    }
}

// It takes a value, not the reader itself, so that a loop can keep its reader in registers.
#[cold]
fn cut_off(len: usize) -> Malformed {
    Malformed::new(PART, len as u64, "ends within a sample")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::{BitReader, BitWriter};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn as_the_plain_reader(bytes in prop::collection::vec(any::<u8>(), 0..40), counts in prop::collection::vec(1u32..=64, 0..40)) {
            let (mut bits, mut plain) = (Bits::behind(&bytes, 0), BitReader::new(&bytes));
            for count in counts {
                let got = bits.take(count);
                match plain.bits(count) {
                    Some(expected) => prop_assert_eq!(got, expected),
                    None => {
                        prop_assert!(bits.check().is_err());
                        break;
                    }
                }
                prop_assert_eq!(bits.left() as u64, plain.remaining_bits());
            }
        }
    }

    #[test]
    fn ones_stop_at_a_zero_or_at_the_most() {
        let mut w = BitWriter::new();
        w.bits(0b1_1001_1111, 9);
        let mut bits = Bits::behind(w.bytes(), 0);
        assert_eq!((bits.ones(4), bits.position()), (2, 3));
        assert_eq!((bits.ones(4), bits.position()), (0, 4));
        assert_eq!((bits.ones(4), bits.position()), (4, 8));
    }

    #[test]
    fn behind_the_end_are_zeros_and_an_error() {
        let mut bits = Bits::behind(&[255], 0);
        assert_eq!(bits.take(64), 0xff << 56);
        assert_eq!(bits.check().unwrap_err().at, 1);
        assert_eq!(Bits::behind(&[0x80; 12], 0).uvarint().unwrap_err().why, "varint above 64 bits");
        assert!(Bits::behind(&[0x80; 3], 0).uvarint().is_err());
    }
}
