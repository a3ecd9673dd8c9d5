//! The block that a merge writes: where its bytes go, and what its `meta.json` says.

use std::sync::Arc;

use bytes::Bytes;

use super::assemble::{Assembled, Counts};
use super::entries::Entries;
use super::pool::Pool;
use super::{CompactTask, HashFunc};
use crate::block::{IndexFile, Segments, Shard, Written};
use crate::error::Result;
use crate::format::meta::{self, Meta};
use crate::format::segment::{ChunkRef, Cutter, HEADER_BYTES};
use crate::job::Env;
use crate::model::{Millis, Timestamp};

/// Gives chunks their place and sends their records on.
pub(super) struct ChunkSink {
    segments: Segments,
    cutter: Cutter,
    pub(super) counts: Counts,
}

impl ChunkSink {
    pub(super) fn new(env: &Env, task: &CompactTask) -> Self {
        // one chunk may be larger than a segment should be
        let bound = task.segment_bytes + (64 << 20);
        ChunkSink {
            segments: Segments::new(&env.bucket, &task.id.to_string(), bound, task.hash_func == HashFunc::Sha256),
            cutter: Cutter::new(task.segment_bytes),
            counts: Counts::default(),
        }
    }

    /// Places the batch's chunks, series by series, and appends their records.
    pub(super) async fn place(&mut self, batch: &mut Assembled) -> Result<Vec<ChunkRef>> {
        self.counts.add(&batch.counts);
        let mut places = Vec::with_capacity(batch.chunks.len());
        let mut from = 0;
        for &(_, end) in &batch.series {
            let chunks = &batch.chunks[from..end as usize];
            self.cutter.place(chunks.iter().map(|c| u64::from(c.data_bytes)), &mut places);
            from = end as usize;
        }
        let mut bytes = Bytes::from(std::mem::take(&mut batch.bytes));
        // bytes up to each place where a segment begins belong to the one before
        let mut taken = 0u64;
        let mut at = 0u64;
        for (chunk, place) in batch.chunks.iter().zip(&places) {
            if place.offset() as usize == HEADER_BYTES {
                self.append(bytes.split_to((at - taken) as usize)).await?;
                taken = at;
                self.segments.cut();
            }
            at += crate::format::segment::encoded_len(u64::from(chunk.data_bytes));
        }
        self.append(bytes).await?;
        Ok(places)
    }

    async fn append(&mut self, records: Bytes) -> Result<()> {
        if records.is_empty() { Ok(()) } else { self.segments.append(records).await }
    }

    pub(super) async fn finish(&mut self) -> Result<Vec<Written>> {
        self.segments.finish().await
    }

    pub(super) async fn abort(&mut self) {
        self.segments.abort().await;
    }
}

/// Gives series their place, sends their entries on and gathers their postings.
pub(super) struct SeriesSink {
    index: IndexFile,
    shards: Vec<Shard>,
    pool: Pool,
    pub(super) chunk_max_bytes: u64,
}

impl SeriesSink {
    pub(super) async fn begin(env: &Env, task: &CompactTask, pool: Pool, symbols: Vec<u8>, bound_bytes: u64) -> Result<Self> {
        let index =
            IndexFile::begin(&env.bucket, &task.id.to_string(), symbols, bound_bytes, task.hash_func == HashFunc::Sha256).await?;
        let scratch = env.scratch.join("compact").join(task.id.to_string());
        let shards = Shard::all(pool.threads().min(8), task.postings_bytes, &scratch);
        Ok(SeriesSink { index, shards, pool, chunk_max_bytes: 0 })
    }

    pub(super) fn series_max_bytes(&self) -> u64 {
        self.index.series_max_bytes()
    }

    pub(super) async fn place(&mut self, mut entries: Entries) -> Result<()> {
        self.chunk_max_bytes = self.chunk_max_bytes.max(entries.chunk_max_bytes);
        let bytes = Bytes::from(std::mem::take(&mut entries.bytes));
        let base = self.index.append(bytes, entries.starts.iter().map(|s| s.1)).await?;
        let entries = Arc::new(entries);
        let filling: Vec<_> = self
            .shards
            .drain(..)
            .map(|mut shard| {
                let entries = entries.clone();
                self.pool.run(move || {
                    for &(series, start) in &entries.starts {
                        shard.add(base + start, entries.merged.labels(series as usize));
                    }
                    shard
                })
            })
            .collect();
        for shard in filling {
            let mut shard = shard.await?;
            if shard.is_over_budget() {
                let full = tokio::task::spawn_blocking(move || shard.write_run().map(|()| shard)).await;
                shard =
                    full.map_err(|e| crate::Error::new(crate::Kind::Cancelled, "spilling postings was stopped").source(e))??;
            }
            self.shards.push(shard);
        }
        Ok(())
    }

    pub(super) async fn finish(self) -> Result<Written> {
        self.index.finish(self.shards).await
    }

    pub(super) async fn abort(self) {
        self.index.abort().await;
    }
}

/// The `meta.json` of the new block.
pub(super) fn describe(
    task: &CompactTask,
    counts: &Counts,
    written: &[Written],
    series_max_bytes: u64,
    chunk_max_bytes: u64,
    now: Millis,
) -> Meta {
    let metas = || task.inputs.iter().map(|i| &i.meta);
    let mut sources: Vec<_> = metas().flat_map(|m| m.compaction.sources.iter().copied()).collect();
    sources.sort_unstable();
    sources.dedup();
    let mut files: Vec<meta::File> = written
        .iter()
        .map(|w| meta::File {
            rel_path: w.name.clone(),
            size_bytes: w.len_bytes as i64,
            hash: w.sha256.clone().map(|value| meta::FileHash { func: "SHA256".into(), value, ..Default::default() }),
            ..Default::default()
        })
        .collect();
    files.push(meta::File { rel_path: meta::META_FILE.into(), ..Default::default() });
    files.sort_by(|a, b| a.rel_path.cmp(&b.rel_path));
    let segment_files = written.iter().filter_map(|w| w.name.strip_prefix("chunks/")).map(str::to_owned).collect();
    Meta {
        ulid: task.id,
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
            level: metas().map(|m| m.compaction.level).max().unwrap_or_default() + 1,
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
            segment_files,
            files,
            index_stats: meta::IndexStats {
                series_max_size: series_max_bytes as i64,
                chunk_max_size: chunk_max_bytes as i64,
                ..Default::default()
            },
            extensions: task.extensions.clone(),
            upload_time: Timestamp::from_millis(now),
            ..Default::default()
        },
        ..Default::default()
    }
}
