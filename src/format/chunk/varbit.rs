//! Integers in nine sizes, as histograms have them: one bits say the size, then a zero, then the number.
//!
//! Source: `tsdb/chunkenc/varbit.go` of Prometheus.

use super::bits::Bits;
use crate::encoding::BitWriter;

/// Bits of the number behind 0, 1, … 8 one bits; eight have no zero behind them.
const SIZES: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];

/// A signed number: an n-bit field holds -(2^(n-1)-1) to 2^(n-1).
#[inline]
pub(super) fn take_int(bits: &mut Bits<'_>) -> i64 {
    let word = bits.peek_57();
    let ones = word.leading_ones();
    if ones == 0 {
        bits.skip(1);
        return 0;
    }
    if ones < 7 {
        // all of it is within the 57 bits
        let size = SIZES[ones as usize];
        bits.skip(ones + 1 + size);
        return widen(word << (ones + 1) >> (64 - size), size);
    }
    let size = SIZES[bits.ones(8) as usize];
    widen(bits.take(size), size)
}

/// An unsigned number.
#[inline]
pub(super) fn take_uint(bits: &mut Bits<'_>) -> u64 {
    match bits.ones(8) {
        0 => 0,
        ones => bits.take(SIZES[ones as usize]),
    }
}

/// A field of `size` bits as the signed number it stands for; the top value is positive.
#[inline(always)]
pub(super) fn widen(field: u64, size: u32) -> i64 {
    if size < 64 && field > 1 << (size - 1) { field.wrapping_sub(1 << size) as i64 } else { field as i64 }
}

/// Whether `value` fits a field of `size` bits (below 64) as [`widen`] reads it.
#[inline(always)]
pub(super) fn fits(value: i64, size: u32) -> bool {
    let most = 1i64 << (size - 1);
    -(most - 1) <= value && value <= most
}

/// The bits of a number as [`take_int`] reads it: a prefix and its length (1 to 8), and the number and its length.
#[inline]
pub(super) fn int_code(value: i64) -> (u64, u32, u64, u32) {
    if value == 0 {
        return (0, 1, 0, 0);
    }
    let ones = (1..8).find(|&n| fits(value, SIZES[n])).unwrap_or(8);
    match ones {
        8 => (0xff, 8, value as u64, 64),
        _ => ((1 << (ones + 1)) - 2, ones as u32 + 1, value as u64 & ((1 << SIZES[ones]) - 1), SIZES[ones]),
    }
}

/// Writes what [`take_int`] reads.
pub(super) fn put_int(out: &mut BitWriter, value: i64) {
    let ones = if value == 0 { 0 } else { (1..8).find(|&n| fits(value, SIZES[n])).unwrap_or(8) };
    put(out, value as u64, ones);
}

/// Writes what [`take_uint`] reads.
pub(super) fn put_uint(out: &mut BitWriter, value: u64) {
    let used = u64::BITS - value.leading_zeros();
    let ones = SIZES.iter().position(|&size| used <= size).unwrap_or(8);
    put(out, value, ones);
}

fn put(out: &mut BitWriter, value: u64, ones: usize) {
    match ones {
        8 => out.bits(0xff, 8),
        // `ones` one bits and a zero
        _ => out.bits((1 << (ones + 1)) - 2, ones as u32 + 1),
    }
    out.bits(value, SIZES[ones]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(ints: &[i64]) {
        let mut out = BitWriter::new();
        for &i in ints {
            put_int(&mut out, i);
            put_uint(&mut out, i as u64);
        }
        let mut bits = Bits::behind(out.bytes(), 0);
        for &i in ints {
            assert_eq!(take_int(&mut bits), i);
            assert_eq!(take_uint(&mut bits), i as u64);
        }
        assert!(bits.check().is_ok() && bits.left() < 8);
    }

    #[test]
    fn edges_of_every_size() {
        let mut ints = vec![0, i64::MIN, i64::MAX];
        for size in [3, 6, 9, 12, 18, 25, 56] {
            let most = 1i64 << (size - 1);
            for edge in [most - 1, most, most + 1, 1 - most, -most, -most - 1, 2 * most - 1, 2 * most] {
                ints.push(edge);
            }
        }
        check(&ints);
    }

    #[test]
    fn sizes_as_upstream_has_them() {
        for (value, len) in [(0, 1), (4, 5), (5, 9), (-3, 5), (-4, 9), (256, 13), (2048, 17), (131_072, 24), (131_073, 32)] {
            let mut out = BitWriter::new();
            put_int(&mut out, value);
            let mut bits = Bits::behind(out.bytes(), 0);
            take_int(&mut bits);
            assert_eq!(bits.position(), len, "{value}");
        }
    }

    proptest! {
        #[test]
        fn both_ways(ints in prop::collection::vec((any::<i64>(), 0u32..64).prop_map(|(i, s)| i >> s), 0..50)) {
            check(&ints);
        }
    }
}
