//! Values of the field: ids, times, labels, samples, histograms. No bytes, no files.

mod histogram;
mod id;
mod labels;
mod sample;
mod time;
mod timestamp;

pub use histogram::{BucketSpan, CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, ResetHint};
pub use id::BlockId;
pub use labels::LabelSet;
pub use sample::{STALE_NAN_BITS, Sample, Value, is_stale};
pub use time::{Millis, TimeRange};
pub use timestamp::Timestamp;
