//! Float histograms from integer ones, and whether they hold together.

use super::spans::extent;
use super::{BucketSpan, CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram};

/// No bucket that a float falls into is this far from 0 in the finest schema, by far.
const FARTHEST_INDEX: i64 = 1 << 30;

impl Histogram {
    /// The same with float counts, into `to`, whose buffers are kept.
    pub fn to_float_into(&self, to: &mut FloatHistogram) {
        let custom = self.schema == CUSTOM_BUCKETS_SCHEMA;
        to.reset_hint = self.reset_hint;
        to.schema = self.schema;
        to.count = self.count as f64;
        to.sum = self.sum;
        to.zero_threshold = if custom { 0.0 } else { self.zero_threshold };
        to.zero_count = if custom { 0.0 } else { self.zero_count as f64 };
        to.positive_spans.clone_from(&self.positive_spans);
        to.positive_buckets.clear();
        to.positive_buckets.extend(absolute(&self.positive_buckets));
        to.negative_spans.clear();
        to.negative_buckets.clear();
        to.custom_values.clear();
        if custom {
            to.custom_values.extend_from_slice(&self.custom_values);
        } else {
            to.negative_spans.extend_from_slice(&self.negative_spans);
            to.negative_buckets.extend(absolute(&self.negative_buckets));
        }
    }

    /// The same with float counts.
    pub fn to_float(&self) -> FloatHistogram {
        let mut float = FloatHistogram::default();
        self.to_float_into(&mut float);
        float
    }
}

/// Counts from deltas, added up as floats.
fn absolute(deltas: &[i64]) -> impl Iterator<Item = f64> + '_ {
    deltas.iter().scan(0.0, |count, &delta| {
        *count += delta as f64;
        Some(*count)
    })
}

impl FloatHistogram {
    /// Whether buckets have listed bounds.
    pub fn uses_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }

    /// Whether arithmetic means anything: spans that ascend and have as many buckets as there are, within
    /// what floats reach; a threshold that is a number; custom bounds that ascend and are enough.
    pub fn is_sound(&self) -> bool {
        let side = |spans: &[BucketSpan], buckets: &[f64], first: i64, last: i64| {
            let ascends = spans.iter().skip(1).all(|span| span.offset >= 0);
            let all: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
            let (from, to) = extent(spans);
            ascends && all == buckets.len() as u64 && first <= from && to <= last
        };
        let sides = |first, last| {
            side(&self.positive_spans, &self.positive_buckets, first, last)
                && side(&self.negative_spans, &self.negative_buckets, first, last)
        };
        if !self.uses_custom_buckets() {
            return sides(-FARTHEST_INDEX, FARTHEST_INDEX) && !self.zero_threshold.is_nan();
        }
        let ascend = self.custom_values.windows(2).all(|pair| pair[0] < pair[1]);
        let numbers = !self.custom_values.iter().any(|bound| bound.is_nan());
        ascend && numbers && sides(0, self.custom_values.len() as i64 + 1)
    }
}
