//! The layout that histograms share, and how one takes in another.

use crate::model::{BucketSpan, FloatHistogram, merge_spans, span_indices};

/// Schema, zero threshold, bounds and spans.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Shape {
    pub(super) schema: i32,
    pub(super) zero_threshold: f64,
    pub(super) bounds: Vec<f64>,
    /// Positive, negative.
    pub(super) spans: [Vec<BucketSpan>; 2],
}

/// Where the buckets of one shape are in another; `None` where they are the same in both.
#[derive(Clone, Debug, Default)]
pub(super) struct Placed {
    /// Of the shape that took the other in, from its width before.
    pub(super) own: Option<Vec<usize>>,
    /// Of the shape that was taken in.
    pub(super) other: Option<Vec<usize>>,
}

impl Shape {
    pub(super) fn set(&mut self, histogram: &FloatHistogram) {
        self.schema = histogram.schema;
        self.zero_threshold = histogram.zero_threshold;
        self.bounds.clone_from(&histogram.custom_values);
        self.spans[0].clone_from(&histogram.positive_spans);
        self.spans[1].clone_from(&histogram.negative_spans);
    }

    pub(super) fn copy(&mut self, other: &Shape) {
        self.schema = other.schema;
        self.zero_threshold = other.zero_threshold;
        self.bounds.clone_from(&other.bounds);
        self.spans[0].clone_from(&other.spans[0]);
        self.spans[1].clone_from(&other.spans[1]);
    }

    /// Whether histograms of both are summed bucket by bucket.
    pub(super) fn is_like(&self, other: &Shape) -> bool {
        self.schema == other.schema && self.zero_threshold == other.zero_threshold && self.bounds == other.bounds
    }

    /// Buckets of one side.
    pub(super) fn side_width(&self, side: usize) -> usize {
        self.spans[side].iter().map(|span| span.length as usize).sum()
    }

    /// Buckets of both sides.
    pub(super) fn width(&self) -> usize {
        self.side_width(0) + self.side_width(1)
    }

    /// Makes room for the buckets of `other`, as sums of histograms do.
    pub(super) fn take_in(&mut self, other: &Shape) -> Placed {
        if self.spans == other.spans {
            return Placed::default();
        }
        let before = self.spans.clone();
        for side in 0..2 {
            merge_spans(&mut self.spans[side], span_indices(&other.spans[side]), |_| ());
        }
        Placed { own: places(&before, &self.spans), other: places(&other.spans, &self.spans) }
    }
}

/// Where the buckets of `part` are among those of `all`, which has them; `None` where it has no others.
pub(super) fn places(part: &[Vec<BucketSpan>; 2], all: &[Vec<BucketSpan>; 2]) -> Option<Vec<usize>> {
    let mut places = Vec::new();
    let mut position = 0;
    for (part, all) in part.iter().zip(all) {
        let mut wanted = span_indices(part).peekable();
        for index in span_indices(all) {
            if wanted.next_if_eq(&index).is_some() {
                places.push(position);
            }
            position += 1;
        }
    }
    (places.len() != position).then_some(places)
}

/// Values where `places` say, zeros between them, `width` in all.
pub(super) fn spread(values: &[f64], places: &[usize], width: usize, out: &mut Vec<f64>) {
    out.clear();
    out.resize(width, 0.0);
    for (&value, &at) in values.iter().zip(places) {
        out[at] = value;
    }
}

/// What spans of a chunk become where a row has others; `gauge` rows are not compared with the last.
///
/// Where the row has all of the chunk's buckets, its spans are the new ones; where each lacks some of the
/// other's, spans that have all are made anew: of both sides of a gauge, of a counter only of the sides
/// where the row lacks some.
pub(super) fn grow(chunk: &mut [Vec<BucketSpan>; 2], row: &[Vec<BucketSpan>; 2], gauge: bool) {
    if *chunk == *row {
        return;
    }
    let lacking = |a: &[BucketSpan], b: &[BucketSpan]| {
        let mut b = span_indices(b).peekable();
        span_indices(a).any(|index| {
            while b.next_if(|&other| other < index).is_some() {}
            b.peek() != Some(&index)
        })
    };
    let forward = (0..2).any(|side| lacking(&row[side], &chunk[side]));
    if !forward {
        return;
    }
    let backward = [0, 1].map(|side| lacking(&chunk[side], &row[side]));
    let merge = [0, 1].map(|side| backward[side] || gauge && backward[1 - side]);
    for side in 0..2 {
        if merge[side] {
            chunk[side] = merged(&chunk[side], &row[side]);
        } else {
            chunk[side].clone_from(&row[side]);
        }
    }
}

/// As few spans as have the buckets of both.
fn merged(a: &[BucketSpan], b: &[BucketSpan]) -> Vec<BucketSpan> {
    let mut spans: Vec<BucketSpan> = Vec::new();
    let (mut a, mut b) = (span_indices(a).peekable(), span_indices(b).peekable());
    let mut end: Option<i64> = None;
    loop {
        let index = match (a.peek(), b.peek()) {
            (Some(&x), Some(&y)) => x.min(y),
            (Some(&x), None) | (None, Some(&x)) => x,
            (None, None) => return spans,
        };
        a.next_if_eq(&index);
        b.next_if_eq(&index);
        match (spans.last_mut(), end) {
            (Some(last), Some(end)) if end == index => last.length += 1,
            _ => spans.push(BucketSpan { offset: (index - end.unwrap_or(0)) as i32, length: 1 }),
        }
        end = Some(index + 1);
    }
}
