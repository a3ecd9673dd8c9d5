//! Fewer, wider buckets.

use super::spans::{push_index, span_indices};
use super::{BucketSpan, FloatHistogram, ResetHint};

/// The index that bucket `index` has `levels` schemas coarser: a bucket ends at its upper bound, so that
/// index 0 is the last of its coarser one.
pub(super) fn coarser_index(index: i64, levels: u32) -> i64 {
    ((index - 1) >> levels.min(63)) + 1
}

/// Spans and buckets `levels` schemas coarser.
pub(super) fn reduced(spans: &[BucketSpan], buckets: &[f64], levels: u32) -> (Vec<BucketSpan>, Vec<f64>) {
    let (mut to_spans, mut to_buckets, mut end) = (Vec::new(), Vec::new(), None);
    for (index, &count) in span_indices(spans).zip(buckets) {
        let index = coarser_index(index, levels);
        match to_buckets.last_mut() {
            Some(last) if end == Some(index + 1) => *last += count,
            _ => {
                push_index(&mut to_spans, &mut end, index);
                to_buckets.push(count);
            }
        }
    }
    (to_spans, to_buckets)
}

impl FloatHistogram {
    /// A copy with `schema`, which is this one's or a coarser one. Of a coarser copy nothing is known of
    /// resets, as upstream has it; custom buckets have no coarser schema, so that the copy is as it is.
    pub fn copy_to_schema(&self, schema: i32) -> FloatHistogram {
        if schema == self.schema || self.uses_custom_buckets() {
            return self.clone();
        }
        let mut copy = self.clone();
        copy.reset_hint = ResetHint::Unknown;
        copy.reduce_to(schema);
        copy
    }

    /// Makes the buckets as wide as those of `schema`; nothing if that one is finer.
    pub(super) fn reduce_to(&mut self, schema: i32) {
        if schema >= self.schema {
            return;
        }
        let levels = self.schema.abs_diff(schema);
        (self.positive_spans, self.positive_buckets) = reduced(&self.positive_spans, &self.positive_buckets, levels);
        (self.negative_spans, self.negative_buckets) = reduced(&self.negative_spans, &self.negative_buckets, levels);
        self.schema = schema;
    }
}
