//! Spans without empty buckets.

use super::spans::{push_index, span_indices};
use super::{BucketSpan, FloatHistogram};

impl FloatHistogram {
    /// Drops empty buckets, and joins spans that touch.
    pub fn compact(&mut self) {
        compact(&mut self.positive_spans, &mut self.positive_buckets);
        compact(&mut self.negative_spans, &mut self.negative_buckets);
    }
}

fn compact(spans: &mut Vec<BucketSpan>, buckets: &mut Vec<f64>) {
    let mut to_spans = Vec::with_capacity(spans.len());
    let mut end = None;
    for (index, _) in span_indices(spans).zip(&*buckets).filter(|(_, count)| **count != 0.0) {
        push_index(&mut to_spans, &mut end, index);
    }
    buckets.retain(|&count| count != 0.0);
    *spans = to_spans;
}
