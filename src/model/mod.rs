//! Values of the field: ids, times, labels, samples, histograms. No bytes, no files.

mod duration;
mod histogram;
mod id;
mod labels;
mod matcher;
mod pattern;
mod quote;
mod sample;
mod selector;
mod time;
mod timestamp;

pub use duration::{go_duration_text, parse_duration};
pub use histogram::{
    Added, BucketSpan, CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, OtherBuckets, Place, ResetHint, bucket_bound,
    merge_spans, span_indices,
};
pub use id::BlockId;
pub use labels::LabelSet;
pub use matcher::{METRIC_NAME, MatchOp, Matcher, all_match, show_matchers};
pub use pattern::{BadPattern, Pattern, anchored};
pub use quote::{is_plain_name, quote};
pub use sample::{STALE_NAN_BITS, Sample, Value, is_stale};
pub use selector::{BadSelector, parse_selector};
pub use time::{Millis, TimeRange};
pub use timestamp::Timestamp;
