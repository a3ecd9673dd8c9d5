//! The `meta.json` of a downsampled block: that of its source, but for what follows from the bytes.
//!
//! *Source*: Thanos `cmd/thanos/downsample.go` and `pkg/compact/downsample/streamed_block_writer.go`.

use crate::format::meta::{self, Meta};
use crate::job::pipeline::{Built, Content};
use crate::model::{LabelSet, Millis, Timestamp};

/// Describes `built`, which was made of `source`, a block that has `labels`.
///
/// Sources, parents, level and the numbers of float and histogram samples stay those of the source: the
/// latter count what was aggregated and not what is in this block.
pub(crate) fn describe(source: &Meta, labels: &LabelSet, content: Content, built: &Built, now: Millis) -> Meta {
    let mut meta = source.clone();
    let of_source = source.thanos.index_stats.clone();
    built.describe(&mut meta);
    meta.version = meta::VERSION;
    meta.stats.num_samples = built.counts.samples;
    meta.stats.num_chunks = built.counts.chunks;
    meta.stats.num_series = built.counts.series;
    meta.thanos.labels = labels.clone().into();
    meta.thanos.downsample.resolution = content.resolution().unwrap_or_else(|| source.resolution());
    meta.thanos.source = "compactor".into();
    meta.thanos.upload_time = Timestamp::from_millis(now);
    // where upstream measures nothing it keeps what was there
    let stats = &mut meta.thanos.index_stats;
    if stats.series_max_size == 0 {
        stats.series_max_size = of_source.series_max_size;
    }
    if stats.chunk_max_size == 0 {
        stats.chunk_max_size = of_source.chunk_max_size;
    }
    meta
}
