//! Floats by their difference to the float before: only the bits between leading and trailing zeros.
//!
//! `0` same bits; `10` the changed bits in the last window; `11`, 5 bits of leading zeros, 6 bits of
//! length (0 is 64) and a new window. Source: `xorWrite` and `xorRead` of Prometheus.

use super::bits::Bits;
use crate::encoding::{BitWriter, Malformed};

/// Where the changed bits of a float lay when that was last said; before, they are all 64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    /// Leading and trailing zeros, 0 to 63.
    zeros: u8,
    trailing: u8,
    is_set: bool,
}

/// More leading zeros cannot be said.
const MOST_LEADING: u32 = 31;

impl Window {
    /// Reads the float behind one with the bits `last`; the caller checks the end.
    #[inline(always)]
    pub(super) fn take(&mut self, bits: &mut Bits<'_>, last: u64) -> Result<u64, Malformed> {
        let word = bits.peek_57();
        if word >> 63 == 0 {
            bits.skip(1);
            return Ok(last);
        }
        bits.skip(2);
        if (word >> 62) & 1 == 0 {
            return Ok(last ^ self.take_same_ahead(bits, word << 2));
        }
        Ok(last ^ self.take_new_ahead(bits, word << 2)?)
    }

    /// The changed bits in the window as it is.
    #[inline(always)]
    pub(super) fn take_same(&self, bits: &mut Bits<'_>) -> u64 {
        self.place(bits.peek(), bits)
    }

    /// The same for a caller who has the next [`Window::AHEAD`] bits, or more, on top of `word`.
    #[inline(always)]
    pub(super) fn take_same_ahead(&self, bits: &mut Bits<'_>, word: u64) -> u64 {
        let fits = 64 - u32::from(self.zeros) <= Window::AHEAD;
        self.place(if fits { word } else { bits.peek() }, bits)
    }

    /// Bits that a caller may have read ahead.
    pub(super) const AHEAD: u32 = 31;

    /// The bits on top of `word`, which begin at `bits`, where they belong.
    #[inline(always)]
    fn place(&self, word: u64, bits: &mut Bits<'_>) -> u64 {
        bits.skip(64 - u32::from(self.zeros));
        (word >> self.zeros) << self.trailing
    }

    /// A new window and the changed bits in it.
    #[inline(always)]
    pub(super) fn take_new(&mut self, bits: &mut Bits<'_>) -> Result<u64, Malformed> {
        let word = bits.peek_57();
        self.take_new_ahead(bits, word)
    }

    /// The same for a caller who has the next [`Window::AHEAD`] bits, or more, on top of `word`.
    #[inline(always)]
    pub(super) fn take_new_ahead(&mut self, bits: &mut Bits<'_>, word: u64) -> Result<u64, Malformed> {
        let leading = (word >> 59) as u8;
        // 0 stands for 64
        let size = (((word >> 53) as u8).wrapping_sub(1) & 0x3f) + 1;
        bits.skip(11);
        if leading + size > 64 {
            return Err(bits.fail("a window of more than 64 bits"));
        }
        *self = Window { zeros: 64 - size, trailing: 64 - size - leading, is_set: true };
        Ok(self.take_same(bits))
    }

    /// Zeros of a changed float that are not stored: all of them, and those at its end.
    #[inline(always)]
    pub(super) fn zeros(self) -> (u32, u32) {
        (self.zeros.into(), self.trailing.into())
    }

    /// A window that was said, with these zeros (up to 63).
    #[inline(always)]
    pub(super) fn of((zeros, trailing): (u32, u32)) -> Window {
        Window { zeros: zeros as u8, trailing: trailing as u8, is_set: true }
    }

    /// Writes what [`Window::take`] reads: `value` behind `last`, both as bits.
    #[inline]
    pub(super) fn put(&mut self, out: &mut BitWriter, last: u64, value: u64) {
        let (prefix, prefix_len, rest, rest_len) = self.code(last ^ value);
        out.bits(prefix, prefix_len);
        out.bits(rest, rest_len);
    }

    /// The same as bits: a prefix and its length (1 to 13), and the changed bits and their length.
    #[inline(always)]
    pub(super) fn code(&mut self, changed: u64) -> (u64, u32, u64, u32) {
        if changed == 0 {
            return (0, 1, 0, 0);
        }
        let leading = changed.leading_zeros().min(MOST_LEADING);
        let trailing = changed.trailing_zeros();
        let (zeros, window_trailing) = (u32::from(self.zeros), u32::from(self.trailing));
        if self.is_set && leading + window_trailing >= zeros && trailing >= window_trailing {
            return (0b10, 2, changed >> window_trailing, 64 - zeros);
        }
        *self = Window { zeros: (leading + trailing) as u8, trailing: trailing as u8, is_set: true };
        let size = 64 - leading - trailing;
        ((0b11 << 11) | (u64::from(leading) << 6) | u64::from(size & 0x3f), 13, changed >> trailing, size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_ways(floats in prop::collection::vec((any::<u64>(), 0u32..64).prop_map(|(f, s)| f >> s << (s / 2)), 1..50)) {
            let (mut out, mut window, mut last) = (BitWriter::new(), Window::default(), 0);
            for &f in &floats {
                window.put(&mut out, last, f);
                last = f;
            }
            let (mut bits, mut again, mut last) = (Bits::behind(out.bytes(), 0), Window::default(), 0);
            for &f in &floats {
                last = again.take(&mut bits, last).unwrap();
                prop_assert_eq!(last, f);
            }
            prop_assert!(bits.check().is_ok());
            prop_assert_eq!(window, again);
        }
    }

    #[test]
    fn an_impossible_window_is_refused() {
        let mut out = BitWriter::new();
        out.bits(0b11 << 11 | 31 << 6 | 63, 13);
        out.bits(0, 64);
        let failed = Window::default().take(&mut Bits::behind(out.bytes(), 0), 0);
        assert_eq!(failed.unwrap_err().why, "a window of more than 64 bits");
    }
}
