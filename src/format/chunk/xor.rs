//! Appends floats to an XOR chunk, bit for bit as Prometheus does.

use super::Encoding;
use super::bits::PART;
use super::float::{FloatSamples, State};
use super::header::XOR_HEADER;
use super::varbit::fits;
use super::window::Window;
use crate::encoding::{BitWriter, Malformed, put_uvarint, put_varint};
use crate::model::Millis;

/// An XOR chunk that grows; its bytes are a whole chunk after every sample.
#[derive(Clone, Debug)]
pub struct XorAppender {
    out: BitWriter,
    count: u16,
    time: Millis,
    step: i64,
    value: u64,
    window: Window,
}

impl XorAppender {
    /// The encoding of the chunk.
    pub const ENCODING: Encoding = Encoding::Xor;

    /// A chunk without samples.
    pub fn new() -> Self {
        let out = BitWriter::reopen(vec![0; XOR_HEADER], 0);
        XorAppender { out, count: 0, time: 0, step: 0, value: 0, window: Window::default() }
    }

    /// Goes on behind the last sample of a chunk, as if it had never been closed.
    ///
    /// # Errors
    /// [`Malformed`] when the chunk does not decode, or has bytes behind its last sample.
    pub fn reopen(data: &[u8]) -> Result<Self, Malformed> {
        let mut samples = FloatSamples::new(Encoding::Xor, data)?;
        let count = samples.remaining() as u16;
        while samples.advance()? {}
        let State { bits, time, step, value, window, .. } = samples.state;
        let out = writer_behind(data, bits.left())?;
        Ok(XorAppender { out, count, time, step, value, window })
    }

    /// Appends a sample; times are expected to grow, though any are stored.
    ///
    /// # Panics
    /// When the chunk already has 65 535 samples.
    pub fn append(&mut self, time: Millis, value: f64) {
        assert!(self.count < u16::MAX, "an XOR chunk holds 65 535 samples");
        let value = value.to_bits();
        let step = if self.count == 0 { 0 } else { time.wrapping_sub(self.time) };
        match self.count {
            0 => {
                bytes(&mut self.out, |b| put_varint(b, time));
                self.out.bits(value, 64);
            }
            1 => {
                bytes(&mut self.out, |b| put_uvarint(b, step as u64));
                self.window.put(&mut self.out, self.value, value);
            }
            _ => {
                put_change(&mut self.out, step.wrapping_sub(self.step));
                self.window.put(&mut self.out, self.value, value);
            }
        }
        (self.time, self.step, self.value) = (time, step, value);
        self.count += 1;
        self.out.bytes_mut()[..XOR_HEADER].copy_from_slice(&self.count.to_be_bytes());
    }

    /// Samples in the chunk.
    pub fn count(&self) -> u32 {
        self.count.into()
    }

    /// The time of the last sample, if there is one.
    pub fn last_time(&self) -> Option<Millis> {
        (self.count > 0).then_some(self.time)
    }

    /// The chunk so far, without its encoding byte.
    pub fn bytes(&self) -> &[u8] {
        self.out.bytes()
    }

    /// The chunk, without its encoding byte.
    pub fn into_bytes(self) -> Vec<u8> {
        self.out.into_bytes()
    }
}

impl Default for XorAppender {
    fn default() -> Self {
        XorAppender::new()
    }
}

/// A writer behind the last sample of `data`, of which `left` bits were not used.
pub(super) fn writer_behind(data: &[u8], left: usize) -> Result<BitWriter, Malformed> {
    if left > 7 {
        let at = data.len() - left / 8;
        return Err(Malformed::new(PART, at as u64, "bytes behind the last sample"));
    }
    let mut data = data.to_vec();
    if let Some(last) = data.last_mut() {
        *last &= u8::MAX << left;
    }
    Ok(BitWriter::reopen(data, left as u32))
}

/// Writes whole bytes at any bit.
fn bytes(out: &mut BitWriter, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = Vec::with_capacity(10);
    fill(&mut bytes);
    for byte in bytes {
        out.byte(byte);
    }
}

/// The change of the step between samples.
#[inline]
fn put_change(out: &mut BitWriter, change: i64) {
    match change {
        0 => out.bits(0, 1),
        c if fits(c, 14) => out.bits(0b10 << 14 | (c as u64 & 0x3fff), 16),
        c if fits(c, 17) => out.bits(0b110 << 17 | (c as u64 & 0x1_ffff), 20),
        c if fits(c, 20) => out.bits(0b1110 << 20 | (c as u64 & 0xf_ffff), 24),
        c => {
            out.bits(0b1111, 4);
            out.bits(c as u64, 64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(samples: &[(Millis, f64)], cut: usize) {
        let mut whole = XorAppender::new();
        let mut resumed = XorAppender::new();
        for (i, &(t, v)) in samples.iter().enumerate() {
            if i == cut {
                resumed = XorAppender::reopen(resumed.bytes()).unwrap();
            }
            whole.append(t, v);
            resumed.append(t, v);
            assert_eq!(whole.bytes(), resumed.bytes(), "sample {i}");
        }
        let read: Result<Vec<_>, _> = FloatSamples::new(Encoding::Xor, whole.bytes()).unwrap().collect();
        let bits = |s: &[(Millis, f64)]| s.iter().map(|&(t, v)| (t, v.to_bits())).collect::<Vec<_>>();
        assert_eq!(bits(&read.unwrap()), bits(samples));
    }

    #[test]
    fn edges_of_every_size_of_step() {
        let mut time = i64::MAX - 5;
        let mut samples = Vec::new();
        for change in [0, 8191, 8192, 8193, -8191, -8192, 65_536, -65_535, 65_537, 524_288, 524_289, -524_288, i64::MIN, i64::MAX]
        {
            samples.push((time, change as f64));
            time = time.wrapping_add(change);
        }
        check(&samples, 7);
        check(&samples[..1], 0);
    }

    #[test]
    fn bytes_behind_the_samples_cannot_be_appended_to() {
        let mut chunk = XorAppender::new();
        chunk.append(1, 2.0);
        let mut data = chunk.into_bytes();
        data.extend([0, 0]);
        assert_eq!(XorAppender::reopen(&data).unwrap_err().at, data.len() as u64 - 2);
    }

    proptest! {
        #[test]
        fn both_ways(
            samples in prop::collection::vec((any::<i64>(), 0u32..64, any::<u64>(), 0u32..64), 0..150),
            cut in 0usize..150,
        ) {
            let samples: Vec<_> = samples.into_iter().map(|(t, ts, v, vs)| (t >> ts, f64::from_bits(v << vs))).collect();
            check(&samples, cut);
        }
    }
}
