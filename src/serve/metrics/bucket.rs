//! Requests to a bucket: the gate counts them, here they are named.

use super::{Page, Type};
use crate::bucket::{Bucket, SECONDS, sizes};

/// Operations that move bytes.
const MOVING: [&str; 5] = ["get", "get_range", "upload", "upload_part", "copy"];

/// Everything that was asked of `bucket`.
pub fn bucket(page: &mut Page, bucket: &Bucket) {
    let (measured, name) = (bucket.measured(), bucket.label());
    let labels = |operation| [("bucket", name.as_str()), ("operation", operation)];
    let moving = || measured.iter().filter(|m| MOVING.contains(&m.name));

    let mut family = page.family(
        "thanos_objstore_bucket_operations_total",
        Type::Counter,
        "Total number of all attempted operations against a bucket.",
    );
    measured.iter().for_each(|m| family.value(&labels(m.name), m.tally.calls as f64));
    let mut family = page.family(
        "thanos_objstore_bucket_operation_failures_total",
        Type::Counter,
        "Total number of operations against a bucket that failed; an object that is not there is no failure.",
    );
    measured.iter().for_each(|m| family.value(&labels(m.name), m.tally.failed as f64));
    let mut family = page.family(
        "thanos_objstore_bucket_operation_fetched_bytes_total",
        Type::Counter,
        "Total number of bytes fetched from bucket, per operation.",
    );
    for m in moving() {
        let fetched = if m.name.starts_with("get") { m.tally.bytes } else { 0 };
        family.value(&labels(m.name), fetched as f64);
    }
    let mut family = page.family(
        "thanos_objstore_bucket_operation_transferred_bytes",
        Type::Histogram,
        "Number of bytes transferred from/to bucket per operation.",
    );
    moving().for_each(|m| family.buckets(&labels(m.name), &sizes(), &m.bytes, m.tally.bytes as f64));
    let mut family = page.family(
        "thanos_objstore_bucket_operation_duration_seconds",
        Type::Histogram,
        "Duration of successful operations against the bucket per operation.",
    );
    measured.iter().for_each(|m| family.buckets(&labels(m.name), &SECONDS, &m.seconds, m.seconds_sum));
    page.family(
        "thanos_objstore_bucket_last_successful_upload_time",
        Type::Gauge,
        "Second timestamp of the last successful upload to the bucket.",
    )
    .value(&[("bucket", &name)], bucket.last_upload() as f64 / 1000.0);
}
