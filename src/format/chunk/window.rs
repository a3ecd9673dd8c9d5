//! Floats by their difference to the float before: only the bits between leading and trailing zeros.
//!
//! `0` same bits; `10` the changed bits in the last window; `11`, 5 bits of leading zeros, 6 bits of
//! length (0 is 64) and a new window. Source: `xorWrite` and `xorRead` of Prometheus.

use super::bits::Bits;
use crate::encoding::{BitWriter, Malformed};

/// Where the changed bits of a float lay when that was last said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    leading: u8,
    trailing: u8,
}

/// More leading zeros cannot be said.
const MOST_LEADING: u32 = 31;

impl Default for Window {
    /// No window yet.
    fn default() -> Self {
        Window { leading: u8::MAX, trailing: 0 }
    }
}

impl Window {
    fn is_set(self) -> bool {
        self.leading != u8::MAX
    }

    /// The window a reader has: before the first it is all 64 bits.
    #[inline(always)]
    pub(super) fn or_all(self) -> (u32, u32) {
        if self.is_set() { (self.leading.into(), self.trailing.into()) } else { (0, 0) }
    }

    /// Reads the float behind one with the bits `last`; the caller checks the end.
    #[inline]
    pub(super) fn take(&mut self, bits: &mut Bits<'_>, last: u64) -> Result<u64, Malformed> {
        match bits.ones(2) {
            0 => Ok(last),
            1 => Ok(last ^ self.take_same(bits)),
            _ => Ok(last ^ self.take_new(bits)?),
        }
    }

    /// The changed bits in the window as it is.
    #[inline]
    pub(super) fn take_same(&mut self, bits: &mut Bits<'_>) -> u64 {
        let (leading, trailing) = self.or_all();
        *self = Window { leading: leading as u8, trailing: trailing as u8 };
        bits.take(64 - leading - trailing) << trailing
    }

    /// A new window and the changed bits in it.
    #[inline]
    pub(super) fn take_new(&mut self, bits: &mut Bits<'_>) -> Result<u64, Malformed> {
        let field = bits.take(11);
        let leading = (field >> 6) as u32;
        let size = match field & 0x3f {
            0 => 64,
            size => size as u32,
        };
        if leading + size > 64 {
            return Err(bits.fail("a window of more than 64 bits"));
        }
        let trailing = 64 - leading - size;
        *self = Window { leading: leading as u8, trailing: trailing as u8 };
        Ok(bits.take(size) << trailing)
    }

    /// Writes what [`Window::take`] reads: `value` behind `last`, both as bits.
    #[inline]
    pub(super) fn put(&mut self, out: &mut BitWriter, last: u64, value: u64) {
        let changed = last ^ value;
        if changed == 0 {
            out.bits(0, 1);
            return;
        }
        let leading = changed.leading_zeros().min(MOST_LEADING);
        let trailing = changed.trailing_zeros();
        if self.is_set() && leading >= self.leading.into() && trailing >= self.trailing.into() {
            out.bits(0b10, 2);
            out.bits(changed >> self.trailing, 64 - u32::from(self.leading) - u32::from(self.trailing));
            return;
        }
        *self = Window { leading: leading as u8, trailing: trailing as u8 };
        let size = 64 - leading - trailing;
        out.bits((0b11 << 11) | (u64::from(leading) << 6) | u64::from(size & 0x3f), 13);
        out.bits(changed >> trailing, size);
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
