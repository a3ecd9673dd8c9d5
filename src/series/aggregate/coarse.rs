//! Windows of floats into longer windows, whole chunks at a time.
//!
//! Chunks are never split, since a counter's first and last raw values stand at their ends.

use super::float::{Fold, Running, settled};
use super::slots::{Column, SLOTS, Slot, Slots};
use super::window::Windows;
use crate::format::chunk::AggregateKind;
use crate::model::{Millis, is_stale};
use crate::series::Counter;

/// Aggregates aggregates; buffers are reused.
#[derive(Clone, Debug, Default)]
pub(super) struct Coarse {
    /// Samples that have to be left out are left out here.
    kept: Slot,
    pub(super) out: Slots,
}

impl Coarse {
    /// Makes the windows of one chunk from the aggregates of several, which lie between `ends` that
    /// follow one another in `fine`; `None` when there are none.
    pub(super) fn chunk(&mut self, fine: &Slots, ends: &[[usize; SLOTS]], resolution: Millis) -> Option<(Millis, Millis)> {
        self.out.clear();
        for kind in [AggregateKind::Count, AggregateKind::Sum, AggregateKind::Min, AggregateKind::Max] {
            self.fold(kind, &fine.0[kind as usize], ends, resolution);
        }
        self.count(&fine.0[AggregateKind::Counter as usize], ends, resolution);
        let [plain @ .., counter] = &self.out.0;
        // the first sample of a counter lies before its first window
        let windows = plain.iter().map(|slot| &slot.times[..]).chain([counter.times.get(1..).unwrap_or(&[])]);
        let range = windows.flat_map(|times| Some((*times.iter().min()?, *times.iter().max()?)));
        range.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// Sums or bounds.
    fn fold(&mut self, kind: AggregateKind, slot: &Slot, ends: &[[usize; SLOTS]], resolution: Millis) {
        let column = keep(slot, kind as usize, ends, &mut self.kept);
        let out = &mut self.out.0[kind as usize];
        for (time, samples) in Windows::new(column.times, column.times.is_sorted(), resolution) {
            let mut fold = Fold::new();
            let values = &column.values[samples];
            values.iter().for_each(|&value| fold.add(value));
            out.push(
                time,
                match kind {
                    AggregateKind::Min => fold.min,
                    AggregateKind::Max => fold.max,
                    _ if fold.sum.is_nan() => sum_of_nans(values),
                    _ => fold.sum,
                },
            );
        }
    }

    /// Counters: all resets are taken out, and the last raw value is said again.
    fn count(&mut self, slot: &Slot, ends: &[[usize; SLOTS]], resolution: Millis) {
        let (from, to) = reach(AggregateKind::Counter as usize, ends);
        let mut counter = Counter::new();
        self.kept.clear();
        let column = slot.column(from..to);
        for (&time, &value) in column.times.iter().zip(column.values) {
            if let Some(total) = counter.push(time, value)
                && time >= 0
            {
                self.kept.push(time, total);
            }
        }
        let column = self.kept.column(0..self.kept.len());
        let out = &mut self.out.0[AggregateKind::Counter as usize];
        let (Some(&time), Some(&first)) = (column.times.first(), column.values.first()) else { return };
        out.push(time, first);
        let (mut running, mut last) = (Running::begin(first), time);
        for (time, samples) in Windows::new(column.times, true, resolution) {
            running.add(&mut Fold::new(), &column.values[samples]);
            out.push(time, settled(running.total));
            last = time;
        }
        out.push(last, counter.last_raw());
    }
}

/// Where an aggregate of these chunks begins and ends.
fn reach(kind: usize, ends: &[[usize; SLOTS]]) -> (usize, usize) {
    let of = |ends: Option<&[usize; SLOTS]>| ends.map_or(0, |ends| ends[kind]);
    (of(ends.first()), of(ends.last()))
}

/// One aggregate of several chunks, without staleness markers and what goes back in time within a chunk.
fn keep<'a>(slot: &'a Slot, kind: usize, ends: &[[usize; SLOTS]], kept: &'a mut Slot) -> Column<'a> {
    let (from, to) = reach(kind, ends);
    let all = slot.column(from..to);
    let is_plain = all.times.is_sorted() && all.times.first().is_none_or(|&t| t >= 0) && !all.values.iter().any(|&v| is_stale(v));
    if is_plain {
        return all;
    }
    kept.clear();
    for pair in ends.windows(2) {
        let chunk = slot.column(pair[0][kind]..pair[1][kind]);
        let mut last = 0;
        for (&time, &value) in chunk.times.iter().zip(chunk.values) {
            if !is_stale(value) && time >= last {
                kept.push(time, value);
                last = time;
            }
        }
    }
    kept.column(0..kept.len())
}

/// The bits of a sum that is not a number: those of the first of them, quiet, unless infinities cancelled out before.
#[cold]
fn sum_of_nans(values: &[f64]) -> f64 {
    const QUIET: u64 = 1 << 51;
    let mut sum = 0.0;
    for &value in values {
        if value.is_nan() {
            return f64::from_bits(value.to_bits() | QUIET);
        }
        sum += value;
        if sum.is_nan() {
            break;
        }
    }
    settled(sum)
}
