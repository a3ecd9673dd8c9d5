//! The windows of one batch of histograms: what becomes an aggregate chunk, or more where one chunk
//! cannot hold them.

use std::ops::Range;

use super::lane::{Lane, Segment};
use crate::format::Malformed;
use crate::format::chunk::{Encoding, XorEncoder, put_slot};
use crate::model::{Millis, ResetHint};
use crate::series::aggregate::AggregateChunks;
use crate::series::aggregate::window::MOST_WINDOWS;

/// Windows of all three aggregates; buffers are reused.
#[derive(Clone, Debug, Default)]
pub(super) struct Windows {
    pub(super) counts: Counts,
    pub(super) sums: Lane,
    pub(super) counters: Lane,
    slot: Vec<u8>,
    counts_slot: XorEncoder,
}

/// How many samples each window has.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) times: Vec<Millis>,
    pub(super) values: Vec<f64>,
}

impl Counts {
    pub(super) fn push(&mut self, time: Millis, value: f64) {
        self.times.push(time);
        self.values.push(value);
    }
}

/// Numbers of windows: of counts, sums, counters.
pub(super) type Ends = [usize; 3];

impl Windows {
    /// How many windows each aggregate has.
    pub(super) fn lens(&self) -> Ends {
        [self.counts.times.len(), self.sums.times.len(), self.counters.times.len()]
    }

    /// Forgets all but so many windows of each aggregate.
    pub(super) fn truncate(&mut self, lens: Ends) {
        self.counts.times.truncate(lens[0]);
        self.counts.values.truncate(lens[0]);
        self.sums.truncate(lens[1]);
        self.counters.truncate(lens[2]);
    }

    /// Buckets of all windows.
    pub(super) fn cells(&self) -> usize {
        self.sums.cells() + self.counters.cells()
    }

    /// Encodes all windows and forgets them.
    ///
    /// Where a chunk of sums or counters has to end, so do the others: no window is lost.
    pub(super) fn encode(&mut self, out: &mut AggregateChunks) -> Result<(), Malformed> {
        let all = self.lens();
        let mut from = [0; 3];
        for to in self.cuts(all) {
            self.chunks(from, to, out)?;
            from = to;
        }
        self.truncate([0; 3]);
        Ok(())
    }

    /// Where chunks end, the last one with the last windows.
    fn cuts(&self, all: Ends) -> Vec<Ends> {
        let begun = |lane: usize, segments: &[Segment], times: &[Millis]| {
            segments.iter().skip(1).map(|segment| (times[segment.row], lane, segment.row)).collect::<Vec<_>>()
        };
        let mut begins = begun(1, &self.sums.segments, &self.sums.times);
        begins.extend(begun(2, &self.counters.segments, &self.counters.times));
        begins.sort_unstable();
        let times = [&self.counts.times, &self.sums.times, &self.counters.times];
        let mut cuts = Vec::with_capacity(begins.len() + 1);
        let mut at = [0; 3];
        for (time, lane, row) in begins {
            for (i, at) in at.iter_mut().enumerate() {
                if i == lane {
                    *at = row.max(*at);
                } else {
                    *at += times[i][*at..].iter().take_while(|&&other| other < time).count();
                }
            }
            cuts.push(at);
        }
        cuts.push(all);
        cuts
    }

    /// Encodes these windows: one chunk, or more where there are too many for one.
    fn chunks(&mut self, from: Ends, to: Ends, out: &mut AggregateChunks) -> Result<(), Malformed> {
        let mut from = from;
        while from != to {
            let end = std::array::from_fn(|i| to[i].min(from[i] + MOST_WINDOWS));
            self.chunk(from, end, out)?;
            from = end;
        }
        Ok(())
    }

    fn chunk(&mut self, from: Ends, to: Ends, out: &mut AggregateChunks) -> Result<(), Malformed> {
        let begin = out.bytes.len();
        let [counts, sums, counters] = std::array::from_fn(|i| from[i]..to[i]);
        let times = self.counts.times[counts.clone()].iter();
        let times = times.chain(&self.sums.times[sums.clone()]).chain(&self.counters.times[counters.clone()]);
        let (min_time, max_time) = times.fold((Millis::MAX, Millis::MIN), |r, &t| (r.0.min(t), r.1.max(t)));
        let samples = counts.len() as u32;
        let slot = self.counts_slot.encode(&self.counts.times[counts.clone()], &self.counts.values[counts]);
        put_slot(&mut out.bytes, (samples > 0).then_some((Encoding::Xor, slot)));
        put_lane(&mut self.sums, sums, &mut self.slot, &mut out.bytes);
        put_slot(&mut out.bytes, None);
        put_slot(&mut out.bytes, None);
        put_lane(&mut self.counters, counters, &mut self.slot, &mut out.bytes);
        out.close(begin, (min_time, max_time), samples)
    }
}

/// Appends a slot of histograms.
fn put_lane(lane: &mut Lane, rows: Range<usize>, slot: &mut Vec<u8>, out: &mut Vec<u8>) {
    if rows.is_empty() {
        put_slot(out, None);
        return;
    }
    let segment = lane.segments.partition_point(|segment| segment.row <= rows.start) - 1;
    let Segment { row, hint } = lane.segments[segment];
    // the chunk ended because another one did: the counter goes on
    let hint = if row == rows.start || hint == ResetHint::Gauge { hint } else { ResetHint::NotReset };
    lane.encode(rows, hint, slot);
    put_slot(out, Some((Encoding::FloatHistogram, slot)));
}
