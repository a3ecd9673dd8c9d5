//! The samples of XOR that need little thought, many at a time: those whose step is the step before or almost is.
//!
//! A reader of single samples keeps its state in memory and asks after each whether the chunk has ended.
//! Here the state is a few numbers that stay in registers, a float is taken from one word of 57 bits or
//! more, times whose step stays are added up when it is known how many there are, and whatever is out of the
//! common (a step of another order, a very wide float, damage, the end) is left to
//! [`FloatSamples`](super::FloatSamples), which begins where this stopped.

use super::bits::Bits;
use super::float::State;
use super::varbit::widen;
use super::window::Window;
use crate::model::Millis;

/// Bits before a float in the last window: it did change, the window did not.
const SAME_PREFIX: u32 = 2;
/// The same with a new window, which is 5 and 6 bits.
const NEW_PREFIX: u32 = 13;

/// So many samples in a row keep their step until it is taken for one that stays.
const SETTLED: u32 = 2;

/// What changes from one float to the next.
struct Lane {
    /// Next bit, from the start of the chunk.
    at: usize,
    value: u64,
    /// The window: how many bits it has, how many are above it, and which they are.
    size: u32,
    above: u32,
    mask: u64,
}

impl State<'_> {
    /// Decodes samples behind the second one, behind `times` and into `values`, as long as they need little
    /// thought and there is room; how many.
    #[inline(never)]
    pub(super) fn regular_xor(&mut self, times: &mut Vec<Millis>, values: &mut [f64]) -> usize {
        let mut lane = Lane::behind(self);
        let (mut time, mut step) = (self.time, self.step);
        let mut done = 0;
        loop {
            let steady = lane.steady(self.bits, &mut values[done..]);
            // added up one by one: eight-byte products are slower than sums
            times.extend(
                std::iter::repeat_with(|| {
                    time = time.wrapping_add(step);
                    time
                })
                .take(steady),
            );
            done += steady;
            let mut kept = 0;
            while kept < SETTLED && done < values.len() && lane.jittered(self.bits, &mut step, &mut kept) {
                time = time.wrapping_add(step);
                times.push(time);
                values[done] = f64::from_bits(lane.value);
                done += 1;
            }
            if kept < SETTLED {
                break;
            }
        }
        (self.time, self.step) = (time, step);
        lane.end(self);
        done
    }
}

impl Lane {
    fn behind(state: &State<'_>) -> Lane {
        let (zeros, trailing) = state.window.zeros();
        let (above, mask) = (zeros - trailing, u64::MAX << trailing);
        Lane { at: state.bits.position(), value: state.value, size: 64 - zeros, above, mask }
    }

    fn end(self, state: &mut State<'_>) {
        state.bits.move_to(self.at);
        state.value = self.value;
        // where nothing is above and below it, it may be that no window was said yet
        if self.size < 64 {
            state.window = Window::of((64 - self.size, 64 - self.size - self.above));
        }
    }

    /// Moves over samples whose step stays, and puts them into `values`; how many.
    #[inline(always)]
    fn steady(&mut self, bits: Bits<'_>, values: &mut [f64]) -> usize {
        let mut done = 0;
        for value in values.iter_mut() {
            let Some(word) = bits.word(self.at) else { break };
            if word >> 63 != 0 || !self.float(word << 1, 1, Bits::IN_WORD - 1, |at| bits.word(at)) {
                break;
            }
            *value = f64::from_bits(self.value);
            done += 1;
        }
        // the last eight bytes are one word, and there is nothing behind them
        for value in &mut values[done..] {
            let Some((word, left)) = bits.last_word(self.at) else { break };
            if word >> 63 != 0 || !self.float(word << 1, 1, left - 1, |_| None) {
                break;
            }
            *value = f64::from_bits(self.value);
            done += 1;
        }
        done
    }

    /// Moves to the next sample, whose step may be another one; stays if that differs by more than 20 bits. Counts
    /// steps in a row that do not differ.
    #[inline(always)]
    fn jittered(&mut self, bits: Bits<'_>, step: &mut i64, kept: &mut u32) -> bool {
        let Some((word, have)) = bits.word(self.at).map(|word| (word, Bits::IN_WORD)).or_else(|| bits.last_word(self.at)) else {
            return false;
        };
        let (change, used) = match word.leading_ones() {
            0 => (0, 1),
            1 => (widen((word << 2) >> (64 - 14), 14), 16),
            2 => (widen((word << 3) >> (64 - 17), 17), 20),
            3 => (widen((word << 4) >> (64 - 20), 20), 24),
            _ => return false,
        };
        let is_read = used <= have && self.float(word << used, used, have - used, |at| bits.word(at));
        if is_read {
            *step = step.wrapping_add(change);
            *kept = if change == 0 { *kept + 1 } else { 0 };
        }
        is_read
    }

    /// Moves over `before` bits and to the float behind them, of whose bits the first `have` are on top of `word`; stays
    /// if it does not end within them and those that `word_at` has.
    #[inline(always)]
    fn float(&mut self, word: u64, before: u32, have: u32, word_at: impl Fn(usize) -> Option<u64>) -> bool {
        let (prefix, mut rest, size, above, mask) = match word >> 62 {
            0b00 | 0b01 if have >= 1 => {
                self.at += (before + 1) as usize;
                return true;
            }
            0b10 => (SAME_PREFIX, word << SAME_PREFIX, self.size, self.above, self.mask),
            0b11 => {
                let (above, size) = ((word >> 57) as u32 & 0x1f, (word >> 51) as u32 & 0x3f);
                // a size of 0 stands for 64, which is never within a word
                if size == 0 || above + size > 64 {
                    return false;
                }
                (NEW_PREFIX, word << NEW_PREFIX, size, above, u64::MAX << (64 - size - above))
            }
            _ => return false,
        };
        if prefix + size > have {
            match word_at(self.at + (before + prefix) as usize) {
                Some(word) if size <= Bits::IN_WORD => rest = word,
                _ => return false,
            }
        }
        self.value ^= (rest >> (above & 63)) & mask;
        (self.size, self.above, self.mask) = (size, above, mask);
        self.at += (before + prefix + size) as usize;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Encoding, FloatSamples, XorAppender, decode_floats};
    use super::*;
    use proptest::prelude::*;

    /// Columns have what a reader of single samples reads, and end where and as it ends.
    fn check(data: &[u8]) {
        let (mut times, mut starts, mut values) = (Vec::new(), Vec::new(), Vec::new());
        let got = decode_floats(Encoding::Xor, data, &mut times, &mut starts, &mut values);
        let (mut expected, mut failed) = (Vec::new(), None);
        match FloatSamples::new(Encoding::Xor, data) {
            Ok(samples) => samples.for_each(|sample| match sample {
                Ok((time, value)) => expected.push((time, value.to_bits())),
                Err(e) => failed = Some(e),
            }),
            Err(e) => failed = Some(e),
        }
        assert_eq!(got.err(), failed);
        assert_eq!(times.into_iter().zip(values.iter().map(|v| v.to_bits())).collect::<Vec<_>>(), expected);
        assert!(starts.is_empty());
    }

    /// Steps that mostly stay, or mostly change a little; floats that mostly stay, change a little, or change much.
    fn samples() -> impl Strategy<Value = Vec<(Millis, f64)>> {
        prop_oneof![samples_of(20, 1), samples_of(3, 20)]
    }

    fn samples_of(steady: u32, jittered: u32) -> impl Strategy<Value = Vec<(Millis, f64)>> {
        let jitter = prop_oneof![6 => -80i64..80, 1 => -9000i64..9000, 1 => -70_000i64..70_000, 1 => -600_000i64..600_000];
        let step = prop_oneof![steady => Just(0i64), jittered => jitter, 1 => any::<i64>()];
        let change = prop_oneof![
            4 => Just(0u64),
            8 => (0u64..1 << 12, 0u32..52).prop_map(|(bits, up)| bits << up),
            2 => (any::<u64>(), 0u32..64).prop_map(|(bits, down)| bits >> down),
        ];
        prop::collection::vec((step, change), 0..200).prop_map(|changes| {
            let (mut time, mut step, mut value) = (1_700_000_000_000i64, 15_000i64, 1.5f64.to_bits());
            let next = |(by, changed)| {
                step = step.wrapping_add(by);
                time = time.wrapping_add(step);
                value ^= changed;
                (time, f64::from_bits(value))
            };
            changes.into_iter().map(next).collect()
        })
    }

    fn chunk(samples: &[(Millis, f64)]) -> Vec<u8> {
        let mut chunk = XorAppender::new();
        samples.iter().for_each(|&(time, value)| chunk.append(time, value));
        chunk.into_bytes()
    }

    proptest! {
        #[test]
        fn the_same_as_one_by_one(samples in samples()) {
            check(&chunk(&samples));
        }

        #[test]
        fn the_same_of_what_is_cut_off_or_damaged(
            samples in samples(),
            cut: prop::sample::Index,
            flips in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
            behind in prop::collection::vec(any::<u8>(), 0..12),
        ) {
            let mut data = chunk(&samples);
            check(&data[..cut.index(data.len() + 1)]);
            for flip in flips {
                let bit = flip.index(data.len() * 8);
                data[bit / 8] ^= 1 << (bit % 8);
            }
            check(&data);
            data.extend(behind);
            check(&data);
        }

        #[test]
        fn the_same_of_any_bytes(count in 0u8..60, rest in prop::collection::vec(any::<u8>(), 0..120)) {
            check(&[&[0, count], &rest[..]].concat());
        }
    }

    #[test]
    fn every_place_of_a_cut() {
        for jitter in [0, 40, 10_000, 100_000] {
            let samples: Vec<_> = (0..60i64).map(|i| (i * 1000 + i * i % 3 * jitter, (i * i) as f64 / 7.0)).collect();
            let data = chunk(&samples);
            (0..=data.len()).for_each(|cut| check(&data[..cut]));
        }
    }
}
