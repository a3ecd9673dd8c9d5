//! The windows of one aggregate of histograms, sums or counters, until they are encoded.
//!
//! A window keeps its own buckets; a chunk of windows has those of all of them. Upstream encodes a
//! chunk anew for each bucket that comes in; encoding once with the buckets of the end gives the same.

use std::ops::Range;

use super::shape::{Shape, grow, places};
use crate::format::chunk::{FloatHistogramRows, encode_float_histograms};
use crate::model::{BucketSpan, Millis, ResetHint, span_indices};

/// What a window says besides its buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Numbers {
    pub(super) count: f64,
    pub(super) zero_count: f64,
    pub(super) sum: f64,
}

/// Windows that can be in one chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    /// The first of them.
    pub(super) row: usize,
    /// What the chunk says of a reset before it.
    pub(super) hint: ResetHint,
}

/// Windows of one aggregate, in order; buffers are reused.
#[derive(Clone, Debug, Default)]
pub(super) struct Lane {
    pub(super) times: Vec<Millis>,
    counts: Vec<f64>,
    zero_counts: Vec<f64>,
    sums: Vec<f64>,
    /// Buckets of all windows, each in its shape.
    buckets: Vec<f64>,
    /// Where the buckets of each window end, and which shape they have.
    ends: Vec<(usize, usize)>,
    shapes: Vec<Shape>,
    pub(super) segments: Vec<Segment>,
    matrix: Vec<f64>,
}

impl Lane {
    /// Forgets all but the first `rows` windows.
    pub(super) fn truncate(&mut self, rows: usize) {
        self.times.truncate(rows);
        self.counts.truncate(rows);
        self.zero_counts.truncate(rows);
        self.sums.truncate(rows);
        self.ends.truncate(rows);
        let (end, shapes) = self.ends.last().map_or((0, 0), |&(end, shape)| (end, shape + 1));
        self.buckets.truncate(end);
        self.shapes.truncate(shapes);
        self.segments.retain(|segment| segment.row < rows);
    }

    /// Buckets of all windows.
    pub(super) fn cells(&self) -> usize {
        self.buckets.len()
    }

    /// Adds a window; it begins a segment where one chunk cannot hold it and the window before.
    pub(super) fn push(&mut self, time: Millis, shape: &Shape, numbers: Numbers, buckets: &[f64], gauge: bool) {
        let row = self.times.len();
        let hint = match self.segments.last() {
            None => Some(if gauge { ResetHint::Gauge } else { ResetHint::NotReset }),
            Some(last) => self.cut(last.hint == ResetHint::Gauge, shape, numbers, buckets, gauge),
        };
        self.segments.extend(hint.map(|hint| Segment { row, hint }));
        if self.shapes.last() != Some(shape) {
            self.shapes.push(shape.clone());
        }
        self.times.push(time);
        self.counts.push(numbers.count);
        self.zero_counts.push(numbers.zero_count);
        self.sums.push(numbers.sum);
        self.buckets.extend_from_slice(buckets);
        self.ends.push((self.buckets.len(), self.shapes.len() - 1));
    }

    /// The hint of a new chunk, if the window cannot follow the last one in its chunk.
    fn cut(&self, was_gauge: bool, shape: &Shape, numbers: Numbers, buckets: &[f64], gauge: bool) -> Option<ResetHint> {
        let last_row = self.times.len() - 1;
        let last = &self.shapes[self.ends[last_row].1];
        if gauge {
            return (!was_gauge || !shape.is_like(last)).then_some(ResetHint::Gauge);
        }
        let less = numbers.count < self.counts[last_row] || {
            shape.is_like(last)
                && (numbers.zero_count < self.zero_counts[last_row] || lost(last, self.row(last_row), shape, buckets))
        };
        if less && !was_gauge {
            return Some(ResetHint::Reset);
        }
        (was_gauge || !shape.is_like(last)).then_some(ResetHint::NotReset)
    }

    fn row(&self, row: usize) -> &[f64] {
        let from = row.checked_sub(1).map_or(0, |before| self.ends[before].0);
        &self.buckets[from..self.ends[row].0]
    }

    /// The chunk of these windows, into an emptied `out`.
    pub(super) fn encode(&mut self, rows: Range<usize>, hint: ResetHint, out: &mut Vec<u8>) {
        let mut matrix = std::mem::take(&mut self.matrix);
        let first = &self.shapes[self.ends[rows.start].1];
        let mut spans = first.spans.clone();
        let (mut shape, gauge) = (self.ends[rows.start].1, hint == ResetHint::Gauge);
        let mut is_plain = true;
        for &(_, own) in &self.ends[rows.clone()] {
            if own != shape {
                grow(&mut spans, &self.shapes[own].spans, gauge);
                (shape, is_plain) = (own, false);
            }
        }
        if !is_plain {
            let width = spans.iter().flatten().map(|span: &BucketSpan| span.length as usize).sum::<usize>();
            matrix.clear();
            matrix.resize(width * rows.len(), 0.0);
            let mut placed = (usize::MAX, None);
            for (row, to) in rows.clone().zip(matrix.chunks_exact_mut(width.max(1))) {
                let own = self.ends[row].1;
                if placed.0 != own {
                    placed = (own, places(&self.shapes[own].spans, &spans));
                }
                match &placed.1 {
                    None => to.copy_from_slice(self.row(row)),
                    Some(places) => places.iter().zip(self.row(row)).for_each(|(&at, &count)| to[at] = count),
                }
            }
        }
        let from = rows.start.checked_sub(1).map_or(0, |before| self.ends[before].0);
        encode_float_histograms(
            &FloatHistogramRows {
                hint,
                schema: first.schema,
                zero_threshold: first.zero_threshold,
                spans: [&spans[0], &spans[1]],
                bounds: &first.bounds,
                times: &self.times[rows.clone()],
                counts: &self.counts[rows.clone()],
                zero_counts: &self.zero_counts[rows.clone()],
                sums: &self.sums[rows.clone()],
                buckets: if is_plain { &self.buckets[from..self.ends[rows.end - 1].0] } else { &matrix },
            },
            out,
        );
        self.matrix = matrix;
    }
}

/// Whether a bucket has less than before, or has observations and is gone.
fn lost(old: &Shape, old_buckets: &[f64], new: &Shape, new_buckets: &[f64]) -> bool {
    if old.spans == new.spans {
        return old_buckets.iter().zip(new_buckets).any(|(old, new)| new < old);
    }
    let side = |shape: &Shape, side: usize, buckets: &[f64]| -> Vec<(i64, f64)> {
        let from = if side == 0 { 0 } else { shape.side_width(0) };
        span_indices(&shape.spans[side]).zip(buckets[from..].iter().copied()).collect()
    };
    (0..2).any(|i| {
        let mut new = side(new, i, new_buckets).into_iter().peekable();
        side(old, i, old_buckets).into_iter().any(|(index, count)| {
            while new.next_if(|&(other, _)| other < index).is_some() {}
            match new.peek() {
                Some(&(other, new_count)) if other == index => new_count < count,
                _ => count != 0.0,
            }
        })
    })
}
