//! Counters without their resets: what a counter counted in all, over a list of chunks.
//!
//! A counter aggregate begins with the first raw sample of its chunk, goes on with a running total a
//! window, and ends with the last raw value at the time of the window before. An equal time is thus a
//! sign: it says from which raw value the next chunk goes on. Whoever drops equal times breaks counters.
//! Source: `ApplyCounterResetsSeriesIterator` of Thanos; `isStartTimestampReset` of Prometheus 3.14.

use crate::format::Malformed;
use crate::format::chunk::{Encoding, FloatSamples};
use crate::model::Millis;

/// A running total over the samples of a counter, raw or aggregated.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counter {
    is_begun: bool,
    time: Millis,
    /// The last raw value, or the running total that stands for it.
    last: f64,
    total: f64,
}

impl Counter {
    /// Nothing counted yet.
    pub fn new() -> Self {
        Counter::default()
    }

    /// Takes the next sample, and says the total at its time if the sample is one of the counter.
    ///
    /// It is none where the value is not a number, where time goes back, and where time stands still:
    /// there the value replaces the last one.
    #[inline]
    pub fn push(&mut self, time: Millis, value: f64) -> Option<f64> {
        if value.is_nan() {
            return None;
        }
        if !self.is_begun {
            *self = Counter { is_begun: true, time, last: value, total: value };
            return Some(value);
        }
        if time <= self.time {
            if time == self.time {
                self.last = value;
            }
            return None;
        }
        self.total += if value >= self.last { value - self.last } else { value };
        (self.time, self.last) = (time, value);
        Some(self.total)
    }

    /// Lets the next sample begin a new counter, whatever its value.
    pub fn reset(&mut self) {
        self.last = f64::INFINITY;
    }

    /// The last raw value: where the next chunk goes on from.
    pub fn last_raw(&self) -> f64 {
        self.last
    }
}

/// Whether a start time says that a counter began anew between two samples, each (start, time).
///
/// A start of 0, or one that is not before its own sample, says nothing. One at the sample before is
/// that of increments that join, if that sample has a start of its own.
pub fn begins_anew((before_start, before): (Millis, Millis), (start, time): (Millis, Millis)) -> bool {
    let says = |start: Millis, time: Millis| start != 0 && start < time;
    says(start, time) && (start > before || (start == before && says(before_start, before)))
}

/// Iterates over a counter's totals in a list of chunks of floats, resets taken out.
///
/// *Order*: ascending in time, whatever the chunks overlap; equal times and those that go back are
/// not handed out. Start times of XOR2 are heeded. After an error it ends.
#[derive(Clone, Debug)]
pub struct CounterSamples<'a> {
    /// Chunks not begun yet.
    rest: std::slice::Iter<'a, (Encoding, &'a [u8])>,
    open: Option<FloatSamples<'a>>,
    counter: Counter,
    /// Start and time of the last number.
    before: Option<(Millis, Millis)>,
    /// Time and total of the sample at hand.
    at: Option<(Millis, f64)>,
}

impl<'a> CounterSamples<'a> {
    /// Starts before the first sample of `chunks`, each without its encoding byte, in order.
    pub fn new(chunks: &'a [(Encoding, &'a [u8])]) -> Self {
        CounterSamples { rest: chunks.iter(), open: None, counter: Counter::new(), before: None, at: None }
    }

    /// Moves to the next sample; `false` at the end.
    ///
    /// # Errors
    /// [`Malformed`] when a chunk does not decode or is not one of floats.
    pub fn advance(&mut self) -> Result<bool, Malformed> {
        let moved = self.next_sample();
        if !matches!(moved, Ok(true)) {
            (self.rest, self.open, self.at) = ([].iter(), None, None);
        }
        moved
    }

    fn next_sample(&mut self) -> Result<bool, Malformed> {
        loop {
            let Some(samples) = &mut self.open else {
                let Some(&(encoding, data)) = self.rest.next() else { return Ok(false) };
                self.open = Some(FloatSamples::new(encoding, data)?);
                continue;
            };
            if !samples.advance()? {
                self.open = None;
                continue;
            }
            let (start, time, value) = (samples.start(), samples.time(), samples.value());
            if value.is_nan() {
                continue;
            }
            if self.before.is_some_and(|before| before.1 < time && begins_anew(before, (start, time))) {
                self.counter.reset();
            }
            if let Some(total) = self.counter.push(time, value) {
                self.before = Some((start, time));
                self.at = Some((time, total));
                return Ok(true);
            }
        }
    }

    /// Moves forward to the first sample at `time` or later, or stays if it is there; `false` at the end.
    ///
    /// Every sample on the way is read, since a reset may hide in any.
    ///
    /// # Errors
    /// As [`CounterSamples::advance`].
    pub fn seek(&mut self, time: Millis) -> Result<bool, Malformed> {
        while self.at.is_none_or(|(at, _)| at < time) {
            if !self.advance()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The time of the sample that was moved to; 0 before the first and behind the last.
    pub fn time(&self) -> Millis {
        self.at.map_or(0, |(time, _)| time)
    }

    /// The total at that time: the first value, and all that was counted since.
    pub fn value(&self) -> f64 {
        self.at.map_or(0.0, |(_, total)| total)
    }

    /// The last raw value so far: where more chunks would go on from.
    pub fn last_raw(&self) -> f64 {
        self.counter.last_raw()
    }
}

impl Iterator for CounterSamples<'_> {
    type Item = Result<(Millis, f64), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.advance() {
            Ok(true) => self.at.map(Ok),
            Ok(false) => None,
            Err(e) => Some(Err(e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::chunk::XorAppender;
    use crate::model::STALE_NAN_BITS;

    const STALE: f64 = f64::from_bits(STALE_NAN_BITS);

    fn chunk(samples: &[(Millis, f64)]) -> Vec<u8> {
        let mut chunk = XorAppender::new();
        samples.iter().for_each(|&(t, v)| chunk.append(t, v));
        chunk.into_bytes()
    }

    fn read(chunks: &[&[(Millis, f64)]]) -> Vec<(Millis, f64)> {
        let data: Vec<_> = chunks.iter().map(|c| chunk(c)).collect();
        let list: Vec<_> = data.iter().map(|d| (Encoding::Xor, &d[..])).collect();
        CounterSamples::new(&list).collect::<Result<_, _>>().unwrap()
    }

    const AGGREGATED: [&[(Millis, f64)]; 5] = [
        &[(100, 10.0), (200, 20.0), (300, 10.0), (400, 20.0), (400, 5.0)],
        &[(500, 10.0), (600, 20.0), (700, 30.0), (800, 40.0), (800, 10.0)],
        &[(900, 5.0), (1000, 10.0), (1100, 15.0)],
        &[(1200, 20.0), (1250, STALE), (1300, 40.0)],
        &[(1400, 30.0), (1500, 30.0), (1600, 50.0)],
    ];

    #[test]
    fn resets_within_chunks_and_between_them() {
        let totals = [
            (100, 10.0),
            (200, 20.0),
            (300, 30.0),
            (400, 40.0),
            (500, 45.0),
            (600, 55.0),
            (700, 65.0),
            (800, 75.0),
            (900, 80.0),
            (1000, 85.0),
            (1100, 90.0),
            (1200, 95.0),
            (1300, 115.0),
            (1400, 145.0),
            (1500, 145.0),
            (1600, 165.0),
        ];
        assert_eq!(read(&AGGREGATED), totals);
    }

    #[test]
    fn chunks_that_come_again_change_nothing() {
        let once = read(&AGGREGATED);
        let mut again = vec![AGGREGATED[0]; 3];
        again.extend([AGGREGATED[1]; 9]);
        again.extend(&AGGREGATED[2..]);
        assert_eq!(read(&again), once);
    }

    #[test]
    fn times_that_go_back_and_times_that_stand_still() {
        // an equal time hands out nothing and moves the last value
        let got = read(&[&[(100, 1.0), (200, 2.0), (200, 3.0), (201, 4.0), (200, 5.0), (300, 6.0), (400, STALE), (500, 5.0)]]);
        assert_eq!(got, [(100, 1.0), (200, 2.0), (201, 3.0), (300, 5.0), (500, 10.0)]);
    }

    #[test]
    fn seeking_reads_every_sample() {
        let data = chunk(AGGREGATED[0]);
        let list = [(Encoding::Xor, &data[..])];
        let mut samples = CounterSamples::new(&list);
        assert_eq!(samples.seek(150), Ok(true));
        let mut got = vec![(samples.time(), samples.value())];
        got.extend(samples.map(Result::unwrap));
        assert_eq!(got, [(200, 20.0), (300, 30.0), (400, 40.0)]);

        let mut samples = CounterSamples::new(&list);
        assert_eq!((samples.seek(500), samples.advance()), (Ok(false), Ok(false)));
        assert_eq!(samples.last_raw(), 5.0);

        let mut samples = CounterSamples::new(&list);
        assert_eq!((samples.advance(), samples.seek(50)), (Ok(true), Ok(true)));
        assert_eq!((samples.time(), samples.value()), (100, 10.0));
    }

    #[test]
    fn damage_ends_it() {
        let data = chunk(AGGREGATED[0]);
        let list = [(Encoding::Xor, &data[..data.len() - 2]), (Encoding::Xor, &data[..])];
        let mut samples = CounterSamples::new(&list);
        while samples.advance().is_ok_and(|more| more) {}
        assert_eq!(samples.advance(), Ok(false));
        assert!(CounterSamples::new(&[(Encoding::Histogram, &data)]).advance().is_err());
    }

    #[test]
    fn start_times_that_say_something() {
        // (start, time) of two samples
        assert!(begins_anew((0, 10), (11, 20)));
        assert!(begins_anew((5, 10), (11, 20)));
        assert!(!begins_anew((5, 10), (5, 20)), "the same counter");
        assert!(!begins_anew((5, 10), (0, 20)), "unknown");
        assert!(!begins_anew((5, 10), (20, 20)), "at the sample itself: unknown");
        assert!(!begins_anew((5, 10), (30, 20)), "after the sample: nonsense");
        assert!(begins_anew((5, 10), (10, 20)), "increments that join");
        assert!(!begins_anew((0, 10), (10, 20)), "unknown, counted from the sample before");
        assert!(!begins_anew((10, 10), (10, 20)));
    }
}
