//! Where windows end, how many chunks a run of samples becomes, and where one chunk ends.
//!
//! Source: `currentWindow`, `targetChunkCount`, `downsampleRawLoop`, `downsampleBatch` of Thanos.

use std::ops::Range;

use crate::model::Millis;

/// Windows that a chunk has at most, on average over a run.
const WINDOWS_PER_CHUNK: i64 = 140;

/// Windows after which a chunk ends in any case: a counter has two samples more, and a chunk of floats
/// holds 65 535.
pub(super) const MOST_WINDOWS: usize = 65_000;

/// The last millisecond of the window that `time` (not negative) lies in.
#[inline]
pub(super) fn window_end(time: Millis, resolution: Millis) -> Millis {
    (time - time % resolution).saturating_add(resolution - 1)
}

/// How many chunks `samples` between two times become: so many that each has about 140 windows.
///
/// `interval` is what lies between two samples of a series without gaps.
pub(super) fn chunk_count(range: (Millis, Millis), interval: Millis, resolution: Millis, samples: usize) -> usize {
    let length = range.1.wrapping_sub(range.0);
    let most = (length / resolution) as f64;
    let full = samples as f64 / (length as f64 / interval as f64);
    // upstream's bound; 0 of 0 samples is not a number and no more than 1
    let full = if full > 1.0 { 1.0 } else { full };
    let expected = ((most * full) as i64).saturating_add(1).max(0);
    usize::try_from(expected / (WINDOWS_PER_CHUNK + 1)).unwrap_or(usize::MAX - 1) + 1
}

/// The samples of each chunk, as ranges: equal parts, each up to the end of its last window.
pub(super) struct Batches<'a> {
    times: &'a [Millis],
    at: usize,
    len: usize,
    resolution: Millis,
}

impl<'a> Batches<'a> {
    /// Over all samples of a run; `interval` as [`chunk_count`] has it.
    pub(super) fn new(times: &'a [Millis], interval: Millis, resolution: Millis) -> Self {
        let range = (times.first().copied().unwrap_or(0), times.last().copied().unwrap_or(0));
        let len = times.len() / chunk_count(range, interval, resolution, times.len()) + 1;
        Batches { times, at: 0, len, resolution }
    }
}

impl Iterator for Batches<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let from = self.at;
        if from >= self.times.len() {
            return None;
        }
        let mut to = (from + self.len).min(self.times.len());
        let end = window_end(self.times[to - 1], self.resolution);
        while to < self.times.len() && self.times[to] <= end {
            to += 1;
        }
        self.at = to;
        Some(from..to)
    }
}

/// The windows of a chunk's samples, each with its time and its samples.
///
/// A window's time is its end, or that of the chunk's last sample where that is earlier.
pub(super) struct Windows<'a> {
    times: &'a [Millis],
    is_ordered: bool,
    resolution: Millis,
    at: usize,
    /// Samples of the window before: the next one has as many, or nearly.
    guess: usize,
}

impl<'a> Windows<'a> {
    /// Over the samples of one chunk; `is_ordered` when none goes back in time.
    pub(super) fn new(times: &'a [Millis], is_ordered: bool, resolution: Millis) -> Self {
        Windows { times, is_ordered, resolution, at: 0, guess: 1 }
    }
}

impl Iterator for Windows<'_> {
    type Item = (Millis, Range<usize>);

    #[inline]
    fn next(&mut self) -> Option<(Millis, Range<usize>)> {
        let from = self.at;
        let time = *self.times.get(from)?;
        let end = window_end(time, self.resolution).min(self.times[self.times.len() - 1]);
        let mut to = from + 1;
        if self.is_ordered {
            to = (from + self.guess).min(self.times.len());
            while to > from + 1 && self.times[to - 1] > end {
                to -= 1;
            }
        }
        while to < self.times.len() && self.times[to] <= end {
            to += 1;
        }
        self.guess = to - from;
        self.at = to;
        Some((end, from..to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ends_of_windows() {
        assert_eq!([0, 99, 100, 101].map(|t| window_end(t, 100)), [99, 99, 199, 199]);
        assert_eq!(window_end(Millis::MAX, 300_000), Millis::MAX);
    }

    #[test]
    fn counts_of_chunks() {
        const DAY: Millis = 86_400_000;
        let count = |days, samples| chunk_count((0, days * DAY), 60_000, 300_000, samples);
        assert_eq!(count(0, 1), 1);
        assert_eq!(count(2, 2 * 24 * 60), 5);
        assert_eq!(count(2, 2 * 24 * 240), 5, "more samples do not make more windows");
        assert_eq!(count(14, 14 * 24 * 12), 6, "a scrape every five minutes is a fifth of what is assumed");
        assert_eq!(chunk_count((0, 140 * 100), 1, 100, 1_000_000), 2, "141 windows are one too many");
        assert_eq!(chunk_count((0, 139 * 100), 1, 100, 1_000_000), 1);
        assert_eq!(chunk_count((5, 5), 60_000, 300_000, 0), 1);
        assert_eq!(chunk_count((5, 3), 60_000, 300_000, 7), 1);
        for range in [(Millis::MIN, Millis::MAX), (0, Millis::MAX), (Millis::MAX, Millis::MIN)] {
            assert!(chunk_count(range, 300_000, 3_600_000, usize::MAX) >= 1);
        }
    }

    #[test]
    fn a_batch_ends_with_its_window() {
        let times: Vec<Millis> = (0..300).map(|i| i * 60).collect();
        let batches: Vec<_> = Batches::new(&times, 60, 100).collect();
        assert_eq!(batches, [0..152, 152..300]);
        assert_eq!(window_end(times[151], 100) + 1, 9100);
        assert!(times[152] > window_end(times[151], 100));
    }

    proptest! {
        #[test]
        fn windows_as_one_by_one(times in prop::collection::vec(0i64..2000, 1..60), sort: bool) {
            let mut times = times;
            if sort {
                times.sort_unstable();
            }
            let is_ordered = times.is_sorted();
            let last = times[times.len() - 1];
            let mut expected: Vec<(Millis, usize)> = Vec::new();
            for &time in &times {
                match expected.last_mut() {
                    Some((end, count)) if time <= *end => *count += 1,
                    _ => expected.push((window_end(time, 100).min(last), 1)),
                }
            }
            let got: Vec<_> = Windows::new(&times, is_ordered, 100).map(|(end, samples)| (end, samples.len())).collect();
            prop_assert_eq!(got, expected);
        }
    }
}
