//! The `meta.json` of a block that was taken over, made anew where there was none.

use super::Task;
use crate::format::meta::{self, Meta};
use crate::job::pipeline::Counts;
use crate::model::{Millis, TimeRange, Timestamp};

const FIVE_MINUTES: Millis = 300_000;
const HOUR: Millis = 3_600_000;

/// The `meta.json` of what was taken over: samples in `range`, and aggregates at least `window` milliseconds apart.
pub(super) fn describe(task: &Task, counts: &Counts, range: TimeRange, window: Option<Millis>, now: Millis) -> Meta {
    let mut meta = match &task.meta {
        Some(old) => Meta::clone(old),
        None => lost(task, counts, range, window),
    };
    let old = (meta.min_time, meta.max_time);
    meta.stats = meta::Stats {
        num_samples: counts.samples,
        num_float_samples: counts.float_samples,
        num_histogram_samples: counts.histogram_samples,
        num_series: counts.series,
        num_chunks: counts.chunks,
        ..meta::Stats::default()
    };
    meta.compaction.parents =
        vec![meta::BlockDesc { ulid: task.block, min_time: old.0, max_time: old.1, ..meta::BlockDesc::default() }];
    meta.thanos.source = "bucket.repair".to_owned();
    meta.thanos.upload_time = Timestamp::from_millis(now);
    meta
}

/// What can be known of a block without `meta.json`.
fn lost(task: &Task, counts: &Counts, range: TimeRange, window: Option<Millis>) -> Meta {
    let aggregates = counts.float_samples + counts.histogram_samples == 0;
    let resolution = match window {
        _ if !aggregates => 0,
        Some(window) if window >= HOUR => HOUR,
        _ => FIVE_MINUTES,
    };
    Meta {
        min_time: range.start,
        max_time: range.end,
        // nobody knows what it was made of: it stands for itself
        compaction: meta::Compaction { level: 1, sources: vec![task.block], ..meta::Compaction::default() },
        version: meta::VERSION,
        thanos: meta::Thanos {
            version: meta::VERSION,
            labels: task.labels.clone().into(),
            downsample: meta::Downsample { resolution, ..meta::Downsample::default() },
            ..meta::Thanos::default()
        },
        ..Meta::default()
    }
}
