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
pub struct FloatSamples<'a> {
    pub(super) state: State<'a>,
    is_xor2: bool,
    samples: u32,
    read: u32,
}

/// What is known behind a sample; also what an appender goes on from.
#[derive(Clone, Copy, Debug)]
pub(super) struct State<'a> {
    pub(super) bits: Bits<'a>,
    pub(super) time: Millis,
    pub(super) step: i64,
    /// The bits of the float.
    pub(super) value: u64,
    /// Those of the last that was no staleness marker, in XOR2.
    base: u64,
    pub(super) window: Window,
    starts: Starts,
}

impl<'a> FloatSamples<'a> {
    /// Starts before the first sample of `data`.
    ///
    /// # Errors
    /// [`Malformed`] when the header is cut off, names more samples than there can be, or the
    /// encoding is not one of floats.
    pub fn new(encoding: Encoding, data: &'a [u8]) -> Result<Self, Malformed> {
        let is_xor2 = encoding == Encoding::Xor2;
        if !is_xor2 && encoding != Encoding::Xor {
            return Err(Malformed::new(PART, 0, format!("{encoding} is no encoding of floats")));
        }
        let header = Header::read(encoding, data)?;
        let bits = Bits::behind(data, header.len);
        bits.check_room(header.samples, if is_xor2 { 1 } else { 2 })?;
        let window = Window::default();
        let state = State { bits, time: 0, step: 0, value: 0, base: 0, window, starts: header.starts };
        Ok(FloatSamples { state, is_xor2, samples: header.samples, read: 0 })
    }

    /// Moves to the next sample; `false` at the end.
    ///
    /// # Errors
    /// [`Malformed`] when the chunk ends within the sample or its bits mean nothing.
    #[inline(always)]
    pub fn advance(&mut self) -> Result<bool, Malformed> {
        self.advance_seen(unseen)
    }

    /// The same; `seen` hears of each field and the bit behind it.
    #[inline(always)]
    pub(super) fn advance_seen(&mut self, seen: impl FnMut(Field, usize)) -> Result<bool, Malformed> {
        if self.read >= self.samples {
            return Ok(false);
        }
        let done = if self.read < 2 {
            early(self.state, self.is_xor2, self.read, seen).map(|state| self.state = state)
        } else if self.is_xor2 {
            later_xor2(self.state, self.read, seen).map(|state| self.state = state)
        } else {
            self.state.later_xor(seen)
        };
        match done.and_then(|()| self.state.bits.check()) {
            Ok(()) => {
                self.read += 1;
                Ok(true)
            }
            Err(e) => {
                self.samples = self.read;
                Err(e)
            }
        }
    }

    /// Moves over samples of XOR that are regular, behind `times` and from the first of `values` on; how
    /// many. None of the first two is. There is room in `values` for all that remain.
    #[inline(always)]
    pub(super) fn regular(&mut self, times: &mut Vec<Millis>, values: &mut [f64]) -> usize {
        if self.is_xor2 || self.read < 2 {
            return 0;
        }
        let moved = self.state.regular_xor(times, &mut values[..(self.samples - self.read) as usize]);
        self.read += moved as u32;
        moved
    }

    /// The time of the sample that [`FloatSamples::advance`] moved to.
    #[inline]
    pub fn time(&self) -> Millis {
        self.state.time
    }

    /// Its value.
    #[inline]
    pub fn value(&self) -> f64 {
        f64::from_bits(self.state.value)
    }

    /// Since when it counts, where XOR2 says so; else 0.
    #[inline]
    pub fn start(&self) -> Millis {
        self.state.starts.start
    }

    /// Samples not reached yet, by the header; 0 after an error.
    #[inline]
    pub fn remaining(&self) -> u32 {
        self.samples - self.read
    }

    /// Whether the encoding has start times at all.
    pub(super) fn has_starts(&self) -> bool {
        self.is_xor2
    }
}

impl Iterator for FloatSamples<'_> {
    type Item = Result<(Millis, f64), Malformed>;

    #[inline(always)]
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

/// The first two samples; by value, so that the loop over the others can keep its state in registers.
#[inline(never)]
fn early<'a>(
    mut state: State<'a>,
    is_xor2: bool,
    index: u32,
    mut seen: impl FnMut(Field, usize),
) -> Result<State<'a>, Malformed> {
    let before = state.time;
    if index == 0 {
        state.time = state.bits.varint()?;
        seen(Field::Time, state.bits.position());
        state.value = state.bits.take(64);
        if state.value != STALE_NAN_BITS {
            state.base = state.value;
        }
    } else {
        state.step = state.bits.uvarint()? as i64;
        state.time = state.time.wrapping_add(state.step);
        seen(Field::Time, state.bits.position());
        if is_xor2 {
            state.float_xor2()?;
        } else {
            state.value = state.window.take(&mut state.bits, state.value)?;
        }
    }
    seen(Field::Value, state.bits.position());
    if is_xor2 {
        state.starts.take(&mut state.bits, index, state.time, before)?;
        seen(Field::Start, state.bits.position());
    }
    Ok(state)
}

/// A later sample of XOR2; by value for the same reason.
#[inline(never)]
fn later_xor2<'a>(mut state: State<'a>, index: u32, mut seen: impl FnMut(Field, usize)) -> Result<State<'a>, Malformed> {
    let before = state.time;
    state.joint_xor2()?;
    seen(Field::TimeAndValue, state.bits.position());
    state.starts.take(&mut state.bits, index, state.time, before)?;
    seen(Field::Start, state.bits.position());
    Ok(state)
}

impl State<'_> {
    #[inline(always)]
    fn later_xor(&mut self, mut seen: impl FnMut(Field, usize)) -> Result<(), Malformed> {
        let mut word = self.bits.peek_57();
        if word >> 63 == 0 {
            word <<= 1;
            self.bits.skip(1);
        } else {
            // a change of the step ends within 24 of 57 bits: 33 are left, 2 of a prefix and what a window reads ahead
            let (change, used) = match word.leading_ones() {
                1 => (widen((word << 2) >> (64 - 14), 14), 16),
                2 => (widen((word << 3) >> (64 - 17), 17), 20),
                3 => (widen((word << 4) >> (64 - 20), 20), 24),
                _ => {
                    self.bits.skip(4);
                    let change = self.bits.take(64) as i64;
                    word = self.bits.peek_57();
                    (change, 0)
                }
            };
            self.bits.skip(used);
            word <<= used;
            self.step = self.step.wrapping_add(change);
        }
        self.time = self.time.wrapping_add(self.step);
        seen(Field::Time, self.bits.position());
        if word >> 63 == 0 {
            self.bits.skip(1);
        } else {
            self.bits.skip(2);
            self.value ^= if (word >> 62) & 1 == 0 {
                self.window.take_same_ahead(&mut self.bits, word << 2)
            } else {
                self.window.take_new_ahead(&mut self.bits, word << 2)?
            };
        }
        seen(Field::Value, self.bits.position());
        Ok(())
    }

    /// Time and float of a sample of XOR2 behind the second.
    #[inline(always)]
    fn joint_xor2(&mut self) -> Result<(), Malformed> {
        let word = self.bits.peek_57();
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
                return self.changed_xor2((word >> 61) & 1 == 1);
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
        self.float_xor2()
    }

    /// The float of XOR2 behind a changed step.
    #[inline]
    fn float_xor2(&mut self) -> Result<(), Malformed> {
        match self.bits.ones(3) {
            0 => self.value = self.base,
            3 => self.value = STALE_NAN_BITS,
            ones => return self.changed_xor2(ones == 2),
        }
        Ok(())
    }

    #[inline(always)]
    fn changed_xor2(&mut self, in_new_window: bool) -> Result<(), Malformed> {
        self.base ^= if in_new_window { self.window.take_new(&mut self.bits)? } else { self.window.take_same(&mut self.bits) };
        self.value = self.base;
        Ok(())
    }
}
