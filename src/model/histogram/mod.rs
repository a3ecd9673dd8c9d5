//! Native histograms, integer and float, and the arithmetic of float ones.
//!
//! Where a sum has which spans decides bytes, so it is as in Prometheus 3.9.1. Sums are plain sums in
//! the order of the calls.
//!
//! Source: `model/histogram/{float_histogram,generic}.go` of Prometheus.

mod add;
mod bounds;
mod compact;
mod custom;
mod float;
mod reduce;
mod reset;
mod spans;
#[cfg(test)]
mod tests;
mod zero;

pub use add::{Added, OtherBuckets};
pub use bounds::exponential_bound as bucket_bound;
pub use spans::{Place, merge_spans, span_indices};

/// The schema whose bucket bounds are listed instead of computed.
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;

/// What is known of a counter reset between the sample before and this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResetHint {
    /// Nothing: whoever needs to know compares the two.
    #[default]
    Unknown,
    /// The counter was reset.
    Reset,
    /// It was not.
    NotReset,
    /// The histogram is a gauge: there are no resets.
    Gauge,
}

/// A run of buckets that follow one another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BucketSpan {
    /// Gap to the span before, in buckets; of the first span the index of its first bucket.
    pub offset: i32,
    /// Buckets in the run.
    pub length: u32,
}

/// A native histogram with integer counts; bucket counts are deltas to the bucket before.
#[derive(Debug, Default, PartialEq)]
pub struct Histogram {
    /// What is known of a reset.
    pub reset_hint: ResetHint,
    /// Resolution: -4 to 8, or -53 for custom bounds.
    pub schema: i32,
    /// Width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: u64,
    /// Observations.
    pub count: u64,
    /// Sum of observations; the staleness marker makes the whole histogram stale.
    pub sum: f64,
    /// Where positive buckets lie.
    pub positive_spans: Vec<BucketSpan>,
    /// Where negative buckets lie.
    pub negative_spans: Vec<BucketSpan>,
    /// Positive counts, the first absolute, then deltas.
    pub positive_buckets: Vec<i64>,
    /// Negative counts, the first absolute, then deltas.
    pub negative_buckets: Vec<i64>,
    /// Upper bounds of custom buckets.
    pub custom_values: Vec<f64>,
}

/// A native histogram with float counts, which are absolute.
#[derive(Debug, Default, PartialEq)]
pub struct FloatHistogram {
    /// What is known of a reset.
    pub reset_hint: ResetHint,
    /// Resolution: -4 to 8, or -53 for custom bounds.
    pub schema: i32,
    /// Width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// Observations.
    pub count: f64,
    /// Sum of observations; the staleness marker makes the whole histogram stale.
    pub sum: f64,
    /// Where positive buckets lie.
    pub positive_spans: Vec<BucketSpan>,
    /// Where negative buckets lie.
    pub negative_spans: Vec<BucketSpan>,
    /// Positive counts.
    pub positive_buckets: Vec<f64>,
    /// Negative counts.
    pub negative_buckets: Vec<f64>,
    /// Upper bounds of custom buckets.
    pub custom_values: Vec<f64>,
}

/// `clone_from` keeps the buffers of the histogram that is overwritten, which a derive would not.
macro_rules! clone_into_buffers {
    ($histogram:ident) => {
        impl Clone for $histogram {
            fn clone(&self) -> Self {
                let mut copy = $histogram::default();
                copy.clone_from(self);
                copy
            }

            fn clone_from(&mut self, from: &Self) {
                // by name, so that a new field cannot be forgotten
                let $histogram {
                    reset_hint,
                    schema,
                    zero_threshold,
                    zero_count,
                    count,
                    sum,
                    positive_spans,
                    negative_spans,
                    positive_buckets,
                    negative_buckets,
                    custom_values,
                } = from;
                self.reset_hint = *reset_hint;
                self.schema = *schema;
                self.zero_threshold = *zero_threshold;
                self.zero_count = *zero_count;
                self.count = *count;
                self.sum = *sum;
                self.positive_spans.clone_from(positive_spans);
                self.negative_spans.clone_from(negative_spans);
                self.positive_buckets.clone_from(positive_buckets);
                self.negative_buckets.clone_from(negative_buckets);
                self.custom_values.clone_from(custom_values);
            }
        }
    };
}

clone_into_buffers!(Histogram);
clone_into_buffers!(FloatHistogram);
