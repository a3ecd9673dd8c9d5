//! A whole XOR chunk at once: the same bits as [`XorAppender`](super::XorAppender) writes, faster.

use super::header::XOR_HEADER;
use super::varbit::fits;
use super::window::Window;
use crate::encoding::{put_uvarint, put_varint};
use crate::model::Millis;

/// The most bytes a sample takes: 68 bits of time and 77 of value; the first two take 18 at most.
const SAMPLE_BYTES: usize = 19;

/// The most samples a chunk has.
const MOST_SAMPLES: usize = u16::MAX as usize;

/// Encodes columns of floats as XOR chunks; its buffer is reused.
#[derive(Clone, Debug, Default)]
pub struct XorEncoder {
    buffer: Vec<u8>,
}

impl XorEncoder {
    /// An encoder without a buffer yet.
    pub fn new() -> Self {
        XorEncoder::default()
    }

    /// The chunk of these samples, without its encoding byte; times are expected to grow, though any
    /// are stored.
    ///
    /// # Panics
    /// When there are more than 65 535 samples, or not as many times as values.
    pub fn encode(&mut self, times: &[Millis], values: &[f64]) -> &[u8] {
        assert!(times.len() <= MOST_SAMPLES, "an XOR chunk holds 65 535 samples");
        assert_eq!(times.len(), values.len());
        let most = XOR_HEADER + times.len() * SAMPLE_BYTES + 8;
        if self.buffer.len() < most {
            self.buffer.resize(most, 0);
        }
        self.buffer[..XOR_HEADER].copy_from_slice(&(times.len() as u16).to_be_bytes());
        let len = match (times, values) {
            ([first, times @ ..], [value, values @ ..]) => {
                let mut head = Vec::with_capacity(10);
                put_varint(&mut head, *first);
                let at = XOR_HEADER + head.len();
                self.buffer[XOR_HEADER..at].copy_from_slice(&head);
                let mut out = Out { bytes: &mut self.buffer, at, pending: 0, count: 0 };
                out.put_long(value.to_bits(), 64);
                behind(&mut out, (*first, value.to_bits()), times, values);
                out.end()
            }
            _ => XOR_HEADER,
        };
        &self.buffer[..len]
    }
}

/// The samples behind the first.
fn behind(out: &mut Out<'_>, first: (Millis, u64), times: &[Millis], values: &[f64]) {
    let (mut time, mut bits) = first;
    let mut window = Window::default();
    let mut step: Option<i64> = None;
    for (&next, value) in times.iter().zip(values) {
        let this = next.wrapping_sub(time);
        let (when, when_len) = match step {
            None => {
                let mut head = Vec::with_capacity(10);
                put_uvarint(&mut head, this as u64);
                head.iter().for_each(|&byte| out.put(byte.into(), 8));
                (0, 0)
            }
            Some(step) => match change_code(this.wrapping_sub(step)) {
                Ok(code) => code,
                Err(change) => {
                    out.put(0b1111, 4);
                    out.put_long(change as u64, 64);
                    (0, 0)
                }
            },
        };
        let value = value.to_bits();
        let (prefix, prefix_len, rest, rest_len) = window.code(bits ^ value);
        let (head, head_len) = (when << prefix_len | prefix, when_len + prefix_len);
        if head_len + rest_len <= Out::AT_ONCE {
            out.put(head << rest_len | rest, head_len + rest_len);
        } else {
            out.put(head, head_len);
            out.put_long(rest, rest_len);
        }
        (time, bits, step) = (next, value, Some(this));
    }
}

/// The bits of a change of the step, and how many; the change itself when it takes 64 bits.
#[inline(always)]
fn change_code(change: i64) -> Result<(u64, u32), i64> {
    if change == 0 {
        return Ok((0, 1));
    }
    let masked = |bits: u32| change as u64 & ((1 << bits) - 1);
    if fits(change, 14) {
        Ok((0b10 << 14 | masked(14), 16))
    } else if fits(change, 17) {
        Ok((0b110 << 17 | masked(17), 20))
    } else if fits(change, 20) {
        Ok((0b1110 << 20 | masked(20), 24))
    } else {
        Err(change)
    }
}

/// Bits into a buffer that has room for all of them and eight bytes more.
pub(super) struct Out<'a> {
    bytes: &'a mut [u8],
    /// The next byte that is not complete.
    at: usize,
    /// Its bits, on top.
    pending: u64,
    /// How many of them, 0 to 7.
    count: u32,
}

impl<'a> Out<'a> {
    /// Goes on in `bytes` behind `len` of them, of whose last one `free` bits are not used.
    pub(super) fn behind(bytes: &'a mut [u8], len: usize, free: u32) -> Self {
        let count = (8 - free) & 7;
        let at = len - usize::from(count > 0);
        let pending = if count > 0 { u64::from(bytes[at]) << 56 } else { 0 };
        Out { bytes, at, pending, count }
    }

    /// Bits that [`Out::put`] takes at once.
    pub(super) const AT_ONCE: u32 = 57;

    /// Appends the lowest `count` bits (up to 57) of `value`, whose others are 0.
    #[inline(always)]
    pub(super) fn put(&mut self, value: u64, count: u32) {
        debug_assert!(count <= Out::AT_ONCE && value >> count == 0);
        // `count` is at most 57 and so are `self.count + count` at most 64
        self.pending |= value.checked_shl(64 - self.count - count).unwrap_or(0);
        self.count += count;
        self.bytes[self.at..self.at + 8].copy_from_slice(&self.pending.to_be_bytes());
        let whole = self.count & !7;
        self.at += (whole / 8) as usize;
        self.pending = self.pending.checked_shl(whole).unwrap_or(0);
        self.count &= 7;
    }

    /// The same for up to 64 bits.
    #[inline(always)]
    pub(super) fn put_long(&mut self, value: u64, count: u32) {
        if count > Out::AT_ONCE {
            self.put(value >> 32, count - 32);
            self.put(value & 0xffff_ffff, 32);
        } else {
            self.put(value, count);
        }
    }

    /// Where the bits end, in whole bytes.
    pub(super) fn end(self) -> usize {
        // the last store wrote the pending bits and zeros behind them
        self.at + usize::from(self.count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::XorAppender;
    use super::*;
    use proptest::prelude::*;

    fn check(encoder: &mut XorEncoder, samples: &[(Millis, f64)]) {
        let mut one_by_one = XorAppender::new();
        samples.iter().for_each(|&(t, v)| one_by_one.append(t, v));
        let (times, values): (Vec<_>, Vec<_>) = samples.iter().copied().unzip();
        assert_eq!(encoder.encode(&times, &values), one_by_one.bytes());
    }

    #[test]
    fn steps_of_every_size() {
        let mut encoder = XorEncoder::new();
        let mut time = i64::MAX - 5;
        let mut samples = Vec::new();
        for bits in [14, 17, 20, 40, 62] {
            let edge = 1i64 << (bits - 1);
            for change in [0, edge - 1, edge, edge + 1, 1 - edge, -edge, -1 - edge, i64::MIN, i64::MAX] {
                samples.push((time, change as f64));
                time = time.wrapping_add(change);
            }
        }
        for len in 0..samples.len() {
            check(&mut encoder, &samples[..len]);
        }
    }

    proptest! {
        #[test]
        fn the_same_as_one_by_one(
            samples in prop::collection::vec((any::<i64>(), 0u32..64, any::<u64>(), 0u32..64, 0u32..64), 0..150),
        ) {
            let samples: Vec<_> =
                samples.into_iter().map(|(t, ts, v, vs, l)| (t >> ts, f64::from_bits(v << vs >> l))).collect();
            check(&mut XorEncoder::new(), &samples);
        }

        #[test]
        fn the_same_for_what_is_regular(step in 1i64..100_000, values in prop::collection::vec(0i64..100, 0..300)) {
            let samples: Vec<_> = values.iter().enumerate().map(|(i, &v)| (i as i64 * step, v as f64)).collect();
            check(&mut XorEncoder::new(), &samples);
        }
    }
}
