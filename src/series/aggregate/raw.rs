//! One run of raw floats, and its windows.
//!
//! A run is all that a series has without histograms in between. How many chunks it becomes depends on
//! how many samples it has, so it is gathered as columns before its windows are made.

use super::float::{Fold, Running, settled};
use super::slots::Slots;
use super::window::{Batches, MOST_WINDOWS, Windows};
use crate::format::Malformed;
use crate::format::chunk::{Encoding, decode_floats};
use crate::model::{Millis, is_stale};
use crate::series::begins_anew;

/// The interval of raw samples that is assumed when chunks are planned.
const ASSUMED_INTERVAL: Millis = 60_000;

/// Raw floats, gathered; buffers are reused.
#[derive(Clone, Debug, Default)]
pub(super) struct FloatRun {
    times: Vec<Millis>,
    values: Vec<f64>,
    /// Samples that begin a new counter though they may not be less than the number before, ascending,
    /// and where that number is.
    anew: Vec<NewCounter>,
    /// Whether a sample goes back in time, which only chunks can that break their promises.
    is_unordered: bool,
    has_nans: bool,
    /// Start, time and place of the last number.
    before: Option<(Millis, Millis, usize)>,
    starts: Vec<Millis>,
    /// A chunk's samples without those that are no numbers.
    numbers: Numbers,
    rows: Vec<Row>,
}

/// A sample that begins a new counter.
#[derive(Clone, Copy, Debug)]
struct NewCounter {
    at: usize,
    /// The last number before it.
    before: usize,
}

/// A window of a chunk.
#[derive(Clone, Copy, Debug)]
struct Row {
    time: Millis,
    count: f64,
    fold: Fold,
    total: f64,
}

/// Samples that are numbers, with positions of those that begin a counter.
#[derive(Clone, Debug, Default)]
struct Numbers {
    times: Vec<Millis>,
    values: Vec<f64>,
    anew: Vec<usize>,
}

/// The samples of one chunk, all of them numbers.
struct Batch<'a> {
    times: &'a [Millis],
    values: &'a [f64],
    /// Those that begin a counter, and were not reached yet.
    anew: &'a [usize],
    /// Samples that are in a chunk already.
    at: usize,
    /// Whether a counter begins with the sample behind it.
    ends_counter: bool,
    is_ordered: bool,
}

impl FloatRun {
    pub(super) fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
        self.anew.clear();
        (self.is_unordered, self.has_nans, self.before) = (false, false, None);
    }

    /// Takes the next chunk. Staleness markers and samples that go back in time, or before the epoch,
    /// are left out.
    pub(super) fn push(&mut self, encoding: Encoding, data: &[u8]) -> Result<(), Malformed> {
        let from = self.times.len();
        self.starts.clear();
        decode_floats(encoding, data, &mut self.times, &mut self.starts, &mut self.values)?;
        self.take(from);
        Ok(())
    }

    /// Takes the samples from `from` on, as they were decoded.
    fn take(&mut self, from: usize) {
        if !is_plain(&self.times[from..], &self.values[from..]) {
            self.filter(from);
        }
        self.is_unordered |= from > 0 && self.times.len() > from && self.times[from - 1] > self.times[from];
        if self.starts.iter().any(|&start| start != 0) {
            self.mark_new_counters(from);
        } else if let Some(at) = self.values[from..].iter().rposition(|value| !value.is_nan()) {
            self.before = Some((0, self.times[from + at], from + at));
        }
    }

    /// Leaves out of the samples from `from` on what is not to be aggregated, and notes what is no number.
    fn filter(&mut self, from: usize) {
        let (mut to, mut last) = (from, 0);
        for i in from..self.times.len() {
            let (time, value) = (self.times[i], self.values[i]);
            if is_stale(value) || time < last {
                continue;
            }
            last = time;
            self.has_nans |= value.is_nan();
            (self.times[to], self.values[to]) = (time, value);
            if let Some(&start) = self.starts.get(i - from) {
                self.starts[to - from] = start;
            }
            to += 1;
        }
        self.times.truncate(to);
        self.values.truncate(to);
        self.starts.truncate(to - from);
    }

    /// Notes where start times say that a counter begins, among the samples from `from` on.
    fn mark_new_counters(&mut self, from: usize) {
        for (i, &start) in self.starts.iter().enumerate() {
            if self.values[from + i].is_nan() {
                continue;
            }
            let (time, at) = (self.times[from + i], from + i);
            if let Some((before_start, before_time, before)) = self.before
                && begins_anew((before_start, before_time), (start, time))
            {
                self.anew.push(NewCounter { at, before });
            }
            self.before = Some((start, time, at));
        }
    }

    /// Makes the windows of all samples, and says where each chunk ends.
    pub(super) fn windows(&mut self, resolution: Millis, out: &mut Slots, mut chunk_ends: impl FnMut(&Slots)) {
        for range in Batches::new(&self.times, ASSUMED_INTERVAL, resolution) {
            let anew = &self.anew[self.anew.partition_point(|new| new.at < range.start)..];
            let (here, behind) = anew.split_at(anew.partition_point(|new| new.at < range.end));
            let ends_counter = behind.first().is_some_and(|new| new.before < range.end);
            self.numbers.anew.clear();
            self.numbers.anew.extend(here.iter().map(|new| new.at - range.start));
            let (mut times, mut values) = (&self.times[range.clone()], &self.values[range]);
            if self.has_nans {
                self.numbers.gather(times, values);
                (times, values) = (&self.numbers.times, &self.numbers.values);
            }
            let anew = &self.numbers.anew[..];
            let mut rest = Batch { times, values, anew, at: 0, ends_counter, is_ordered: !self.is_unordered };
            while rest.at < times.len() {
                rest.chunk(resolution, &mut self.rows, out);
                chunk_ends(out);
            }
        }
    }
}

/// Whether none of these samples has to be looked at: times ascend from the epoch on, and all values are numbers.
fn is_plain(times: &[Millis], values: &[f64]) -> bool {
    // Without a branch, so that it is done many at once: whatever is wrong leaves a sign. A time before the
    // epoch is negative, and between others no difference overflows.
    let Some((&first, behind)) = times.split_first() else { return true };
    let signs = times.iter().zip(behind).fold(first, |signs, (before, time)| signs | time | time.wrapping_sub(*before));
    // above infinity, the sign aside, are those that are no numbers
    let above = |value: &f64| f64::INFINITY.to_bits() as i64 - value.abs().to_bits() as i64;
    values.iter().fold(signs, |signs, value| signs | above(value)) >= 0
}

impl Numbers {
    /// Gathers what is a number; `anew`, positions in `values`, become positions in what is gathered.
    fn gather(&mut self, times: &[Millis], values: &[f64]) {
        self.times.clear();
        self.values.clear();
        let mut anew = self.anew.iter_mut().peekable();
        for (i, (&time, &value)) in times.iter().zip(values).enumerate() {
            if value.is_nan() {
                continue;
            }
            if let Some(at) = anew.next_if(|at| **at == i) {
                *at = self.times.len();
            }
            self.times.push(time);
            self.values.push(value);
        }
    }
}

impl Batch<'_> {
    /// Makes the windows of the next chunk: of all samples that are left, but for a chunk that is full.
    fn chunk(&mut self, resolution: Millis, rows: &mut Vec<Row>, out: &mut Slots) {
        let (times, values) = (&self.times[self.at..], &self.values[self.at..]);
        let mut running = Running::begin(values[0]);
        let mut done = 0;
        rows.clear();
        for (time, samples) in Windows::new(times, self.is_ordered, resolution).take(MOST_WINDOWS) {
            let mut fold = Fold::new();
            let mut from = samples.start;
            while let Some(&at) = self.anew.first().filter(|&&at| at < self.at + samples.end) {
                self.anew = &self.anew[1..];
                running.add(&mut fold, &values[from..at - self.at]);
                running.reset();
                from = at - self.at;
            }
            running.add(&mut fold, &values[from..samples.end]);
            done = samples.end;
            rows.push(Row { time, count: samples.len() as f64, fold, total: running.total });
        }
        self.at += done;
        let behind = self.anew.first() == Some(&self.at) || (self.at == self.times.len() && self.ends_counter);
        // greater than any first value, so that readers see the reset behind this chunk
        let last = if behind { f64::INFINITY } else { values[done - 1] };

        let [count, sum, min, max, counter] = &mut out.0;
        let window_times = rows.iter().map(|row| row.time);
        count.extend(window_times.clone(), rows.iter().map(|row| row.count));
        sum.extend(window_times.clone(), rows.iter().map(|row| settled(row.fold.sum)));
        min.extend(window_times.clone(), rows.iter().map(|row| row.fold.min));
        max.extend(window_times.clone(), rows.iter().map(|row| row.fold.max));
        counter.push(times[0], values[0]);
        counter.extend(window_times, rows.iter().map(|row| settled(row.total)));
        counter.push(rows.last().map_or(times[0], |row| row.time), last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::chunk::AggregateKind;
    use crate::model::STALE_NAN_BITS;
    use crate::series::Counter;

    #[test]
    fn what_has_to_be_looked_at() {
        assert!(is_plain(&[], &[]));
        assert!(is_plain(&[0, 0, 7, Millis::MAX], &[0.0, -0.0, f64::INFINITY, -f64::MAX]));
        for times in [&[-1, 5][..], &[5, 4], &[5, 6, 5], &[1, Millis::MIN], &[Millis::MIN, Millis::MAX], &[Millis::MAX, -2]] {
            assert!(!is_plain(times, &vec![1.0; times.len()]), "{times:?}");
        }
        for bits in [0x7ff8_0000_0000_0000, 0x7ff0_0000_0000_0001, 0xfff8_0000_0000_0000, u64::MAX, STALE_NAN_BITS] {
            assert!(!is_plain(&[1, 2, 3], &[1.0, f64::from_bits(bits), 2.0]), "{bits:x}");
        }
    }

    /// The counters that become of chunks of (start, time, value), chunk by chunk.
    fn counters(chunks: &[&[(Millis, Millis, f64)]], resolution: Millis) -> Vec<Vec<(Millis, f64)>> {
        let mut run = FloatRun::default();
        for chunk in chunks {
            let from = run.times.len();
            run.times.extend(chunk.iter().map(|s| s.1));
            run.values.extend(chunk.iter().map(|s| s.2));
            run.starts = chunk.iter().map(|s| s.0).collect();
            run.take(from);
        }
        let mut ends = vec![0];
        let mut slots = Slots::default();
        run.windows(resolution, &mut slots, |slots| ends.push(slots.0[AggregateKind::Counter as usize].len()));
        let counter = &slots.0[AggregateKind::Counter as usize];
        let samples: Vec<_> = counter.times.iter().copied().zip(counter.values.iter().copied()).collect();
        ends.windows(2).map(|pair| samples[pair[0]..pair[1]].to_vec()).collect()
    }

    #[test]
    fn a_start_time_begins_a_counter_that_did_not_fall() {
        // 5 counted, then at least 7 by a counter that began at 25, then 2 more
        let samples = [(1, 10, 10.0), (1, 20, 15.0), (25, 30, 17.0), (25, 40, 19.0)];
        let expected = [(10, 10.0), (24, 15.0), (40, 34.0), (40, 19.0)];
        assert_eq!(counters(&[&samples], 25), [expected]);
        // the same over two chunks, and with what is no number in between
        assert_eq!(counters(&[&samples[..2], &samples[2..]], 25), [expected]);
        let with_gap = [samples[0], samples[1], (25, 28, f64::NAN), samples[2], samples[3]];
        assert_eq!(counters(&[&with_gap], 25), [expected]);
        // without start times nothing is known
        let unknown = samples.map(|s| (0, s.1, s.2));
        assert_eq!(counters(&[&unknown], 25)[0][2], (40, 19.0));
    }

    #[test]
    fn a_counter_that_begins_with_a_chunk_is_seen_by_readers() {
        // two chunks of windows: 200 windows of one sample, a counter that begins anew with each, and never falls
        let samples: Vec<_> = (1..1200i64).map(|i| (i * 60_000 - 1, i * 60_000, i as f64)).collect();
        let chunks = counters(&[&samples], 60_000);
        assert!(chunks.len() > 1);
        let mut counter = Counter::new();
        let totals: Vec<_> = chunks.iter().flatten().filter_map(|&(t, v)| counter.push(t, v)).collect();
        assert_eq!(totals[totals.len() - 1], (1..1200).sum::<i64>() as f64);
    }
}
