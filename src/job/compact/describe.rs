//! The `meta.json` of a block that was merged out of others.

use super::CompactTask;
use crate::format::meta::{self, Meta};
use crate::job::pipeline::Built;
use crate::model::{Millis, Timestamp};

/// The `meta.json` of the new block.
pub(super) fn describe(task: &CompactTask, built: &Built, now: Millis) -> Meta {
    let counts = &built.counts;
    let metas = || task.inputs.iter().map(|i| &i.meta);
    let mut sources: Vec<_> = metas().flat_map(|m| m.compaction.sources.iter().copied()).collect();
    sources.sort_unstable();
    sources.dedup();
    let mut meta = Meta {
        min_time: metas().map(|m| m.min_time).min().unwrap_or_default(),
        max_time: metas().map(|m| m.max_time).max().unwrap_or_default(),
        stats: meta::Stats {
            num_samples: counts.samples,
            num_float_samples: counts.float_samples,
            num_histogram_samples: counts.histogram_samples,
            num_series: counts.series,
            num_chunks: counts.chunks,
            ..Default::default()
        },
        compaction: meta::Compaction {
            level: task.level.unwrap_or_else(|| metas().map(|m| m.compaction.level).max().unwrap_or_default() + 1),
            sources,
            parents: metas()
                .map(|m| meta::BlockDesc { ulid: m.ulid, min_time: m.min_time, max_time: m.max_time, ..Default::default() })
                .collect(),
            ..Default::default()
        },
        version: meta::VERSION,
        thanos: meta::Thanos {
            labels: task.labels.clone().into(),
            downsample: meta::Downsample { resolution: task.resolution, ..Default::default() },
            source: "compactor".into(),
            extensions: task.extensions.clone(),
            upload_time: Timestamp::from_millis(now),
            ..Default::default()
        },
        ..Default::default()
    };
    built.describe(&mut meta);
    meta
}
