//! Float samples of XOR and XOR2 chunks: the hot loop of everything that reads blocks.
//!
//! XOR: the first sample is a varint time and 64 bits; the second a uvarint step and a changed
//! float; later ones the change of the step (`0` none, `10` 14 bits, `110` 17, `1110` 20, `1111`
//! 64) and a changed float, see the `window` module. Source: `tsdb/chunkenc/xor.go`.
//!
//! XOR2 joins the two: `0` nothing changed; `10` the float changed (`0` last window, `1` new);
//! `110` 13, `1110` 20, `11110` 64 bits of change of the step and then a float (`0` same, `10` last
//! window, `110` new, `111` stale); `11111` stale. Stale markers are no base for the next float.
//! Source: `tsdb/chunkenc/xor2.go` of Prometheus 3.14.

use super::Encoding;
use super::bits::{Bits, Field, PART, unseen};
use super::header::{Header, Starts};
use super::varbit::widen;
use super::window::Window;
use crate::encoding::Malformed;
use crate::model::{Millis, STALE_NAN_BITS};

/// Iterates over the floats of a chunk (XOR or XOR2) without allocating.
///
/// *Order*: as stored, which is by time unless the chunk is damaged. After an error it ends.
#[derive(Clone, Debug)]
pub struct FloatSamples<'a>(Reader<'a>);

#[derive(Clone, Debug)]
enum Reader<'a> {
    Xor(XorReader<'a>),
    Xor2(Xor2Reader<'a>),
}

impl<'a> FloatSamples<'a> {
    /// Starts before the first sample of `data`.
    ///
    /// # Errors
    /// [`Malformed`] when the header is cut off, names more samples than there can be, or the
    /// encoding is not one of floats.
    pub fn new(encoding: Encoding, data: &'a [u8]) -> Result<Self, Malformed> {
        match encoding {
            Encoding::Xor => XorReader::new(data).map(|r| FloatSamples(Reader::Xor(r))),
            Encoding::Xor2 => Xor2Reader::new(data).map(|r| FloatSamples(Reader::Xor2(r))),
            _ => Err(Malformed::new(PART, 0, format!("{encoding} is no encoding of floats"))),
        }
    }

    /// Moves to the next sample; `false` at the end.
    ///
    /// # Errors
    /// [`Malformed`] when the chunk ends within the sample or its bits mean nothing.
    #[inline]
    pub fn advance(&mut self) -> Result<bool, Malformed> {
        match &mut self.0 {
            Reader::Xor(r) => r.advance(),
            Reader::Xor2(r) => r.advance(),
        }
    }

    /// The time of the sample that [`FloatSamples::advance`] moved to.
    #[inline]
    pub fn time(&self) -> Millis {
        match &self.0 {
            Reader::Xor(r) => r.time,
            Reader::Xor2(r) => r.time,
        }
    }

    /// Its value.
    #[inline]
    pub fn value(&self) -> f64 {
        f64::from_bits(match &self.0 {
            Reader::Xor(r) => r.value,
            Reader::Xor2(r) => r.value,
        })
    }

    /// Since when it counts, where XOR2 says so; else 0.
    #[inline]
    pub fn start(&self) -> Millis {
        match &self.0 {
            Reader::Xor(_) => 0,
            Reader::Xor2(r) => r.starts.start,
        }
    }

    /// Samples not reached yet, by the header.
    #[inline]
    pub fn remaining(&self) -> u32 {
        match &self.0 {
            Reader::Xor(r) => r.samples - r.read,
            Reader::Xor2(r) => r.samples - r.read,
        }
    }
}

impl Iterator for FloatSamples<'_> {
    type Item = Result<(Millis, f64), Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self.advance() {
            Ok(true) => Some(Ok((self.time(), self.value()))),
            Ok(false) => None,
            Err(e) => Some(Err(e)),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.remaining() as usize))
    }
}

/// Reads XOR; also the state that an appender goes on from.
#[derive(Clone, Debug)]
pub(super) struct XorReader<'a> {
    pub(super) bits: Bits<'a>,
    pub(super) samples: u32,
    pub(super) read: u32,
    pub(super) time: Millis,
    pub(super) step: i64,
    pub(super) value: u64,
    pub(super) window: Window,
}

impl<'a> XorReader<'a> {
    pub(super) fn new(data: &'a [u8]) -> Result<Self, Malformed> {
        let header = Header::read(Encoding::Xor, data)?;
        let bits = Bits::behind(data, header.len);
        bits.check_room(header.samples, 2)?;
        Ok(XorReader { bits, samples: header.samples, read: 0, time: 0, step: 0, value: 0, window: Window::default() })
    }

    #[inline(always)]
    pub(super) fn advance(&mut self) -> Result<bool, Malformed> {
        self.advance_seen(unseen)
    }

    /// The same; `seen` hears of each field and the bit behind it.
    #[inline(always)]
    pub(super) fn advance_seen(&mut self, seen: impl FnMut(Field, usize)) -> Result<bool, Malformed> {
        if self.read >= self.samples {
            return Ok(false);
        }
        let done = if self.read >= 2 { self.later(seen) } else { self.early(seen) };
        match done.and_then(|()| self.bits.check()) {
            Ok(()) => {
                self.read += 1;
                Ok(true)
            }
            Err(e) => {
                self.read = self.samples;
                Err(e)
            }
        }
    }

    /// The first two samples.
    #[inline(never)]
    fn early(&mut self, mut seen: impl FnMut(Field, usize)) -> Result<(), Malformed> {
        if self.read == 0 {
            self.time = self.bits.varint()?;
            seen(Field::Time, self.bits.position());
            self.value = self.bits.take(64);
        } else {
            self.step = self.bits.uvarint()? as i64;
            self.time = self.time.wrapping_add(self.step);
            seen(Field::Time, self.bits.position());
            self.value = self.window.take(&mut self.bits, self.value)?;
        }
        seen(Field::Value, self.bits.position());
        Ok(())
    }

    #[inline(always)]
    fn later(&mut self, mut seen: impl FnMut(Field, usize)) -> Result<(), Malformed> {
        let mut word = self.bits.peek();
        if word >> 63 == 0 {
            word <<= 1;
            self.bits.skip(1);
        } else {
            // a change of the step ends within 24 bits, so that the word still holds the float's prefix
            let (change, used) = match word.leading_ones() {
                1 => (widen((word << 2) >> (64 - 14), 14), 16),
                2 => (widen((word << 3) >> (64 - 17), 17), 20),
                3 => (widen((word << 4) >> (64 - 20), 20), 24),
                _ => {
                    self.bits.skip(4);
                    (self.bits.peek() as i64, 64)
                }
            };
            self.bits.skip(used);
            word = if used < 64 { word << used } else { self.bits.peek() };
            self.step = self.step.wrapping_add(change);
        }
        self.time = self.time.wrapping_add(self.step);
        seen(Field::Time, self.bits.position());
        if word >> 63 == 0 {
            self.bits.skip(1);
        } else {
            self.bits.skip(2);
            self.value ^= if (word >> 62) & 1 == 0 {
                self.window.take_same(&mut self.bits)
            } else {
                self.window.take_new(&mut self.bits)?
            };
        }
        seen(Field::Value, self.bits.position());
        Ok(())
    }
}

/// Reads XOR2.
#[derive(Clone, Debug)]
pub(super) struct Xor2Reader<'a> {
    pub(super) bits: Bits<'a>,
    pub(super) samples: u32,
    read: u32,
    pub(super) time: Millis,
    step: i64,
    pub(super) value: u64,
    /// The last float that was no staleness marker.
    base: u64,
    window: Window,
    pub(super) starts: Starts,
}

impl<'a> Xor2Reader<'a> {
    pub(super) fn new(data: &'a [u8]) -> Result<Self, Malformed> {
        let header = Header::read(Encoding::Xor2, data)?;
        let bits = Bits::behind(data, header.len);
        bits.check_room(header.samples, 1)?;
        Ok(Xor2Reader {
            bits,
            samples: header.samples,
            read: 0,
            time: 0,
            step: 0,
            value: 0,
            base: 0,
            window: Window::default(),
            starts: header.starts,
        })
    }

    #[inline(always)]
    pub(super) fn advance(&mut self) -> Result<bool, Malformed> {
        self.advance_seen(unseen)
    }

    /// The same; `seen` hears of each field and the bit behind it.
    #[inline(always)]
    pub(super) fn advance_seen(&mut self, seen: impl FnMut(Field, usize)) -> Result<bool, Malformed> {
        if self.read >= self.samples {
            return Ok(false);
        }
        match self.sample(seen).and_then(|()| self.bits.check()) {
            Ok(()) => {
                self.read += 1;
                Ok(true)
            }
            Err(e) => {
                self.read = self.samples;
                Err(e)
            }
        }
    }

    #[inline(always)]
    fn sample(&mut self, mut seen: impl FnMut(Field, usize)) -> Result<(), Malformed> {
        let before = self.time;
        match self.read {
            0 | 1 => self.early(&mut seen)?,
            _ => {
                self.later()?;
                seen(Field::TimeAndValue, self.bits.position());
            }
        }
        self.starts.take(&mut self.bits, self.read, self.time, before)?;
        seen(Field::Start, self.bits.position());
        Ok(())
    }

    /// The first two samples.
    #[inline(never)]
    fn early(&mut self, mut seen: impl FnMut(Field, usize)) -> Result<(), Malformed> {
        if self.read == 0 {
            self.time = self.bits.varint()?;
            seen(Field::Time, self.bits.position());
            self.value = self.bits.take(64);
            if self.value != STALE_NAN_BITS {
                self.base = self.value;
            }
        } else {
            self.step = self.bits.uvarint()? as i64;
            self.time = self.time.wrapping_add(self.step);
            seen(Field::Time, self.bits.position());
            self.float()?;
        }
        seen(Field::Value, self.bits.position());
        Ok(())
    }

    #[inline(always)]
    fn later(&mut self) -> Result<(), Malformed> {
        let word = self.bits.peek();
        let change = match word.leading_ones() {
            0 => {
                self.bits.skip(1);
                self.value = self.base;
                self.time = self.time.wrapping_add(self.step);
                return Ok(());
            }
            1 => {
                self.bits.skip(3);
                self.time = self.time.wrapping_add(self.step);
                return if (word >> 61) & 1 == 0 { self.same_window() } else { self.new_window() };
            }
            2 => {
                self.bits.skip(16);
                ((word << 3) as i64) >> (64 - 13)
            }
            3 => {
                self.bits.skip(24);
                ((word << 4) as i64) >> (64 - 20)
            }
            4 => {
                self.bits.skip(5);
                self.bits.take(64) as i64
            }
            _ => {
                self.bits.skip(5);
                self.time = self.time.wrapping_add(self.step);
                self.value = STALE_NAN_BITS;
                return Ok(());
            }
        };
        self.step = self.step.wrapping_add(change);
        self.time = self.time.wrapping_add(self.step);
        self.float()
    }

    /// The float behind a changed step.
    #[inline]
    fn float(&mut self) -> Result<(), Malformed> {
        match self.bits.ones(3) {
            0 => self.value = self.base,
            1 => return self.same_window(),
            2 => return self.new_window(),
            _ => self.value = STALE_NAN_BITS,
        }
        Ok(())
    }

    #[inline(always)]
    fn same_window(&mut self) -> Result<(), Malformed> {
        self.base ^= self.window.take_same(&mut self.bits);
        self.value = self.base;
        Ok(())
    }

    #[inline(always)]
    fn new_window(&mut self) -> Result<(), Malformed> {
        self.base ^= self.window.take_new(&mut self.bits)?;
        self.value = self.base;
        Ok(())
    }
}
