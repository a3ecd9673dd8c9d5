//! The blocks that a pass writes: where their bytes go, and how they become visible.

use std::sync::Arc;

use bytes::Bytes;

use super::assemble::{Column, Counts};
use super::entries::Entries;
use super::proof::{self, Expected};
use super::{HashFunc, Output, Work};
use crate::block::{self, IndexFile, Segments, Shard, Witness, Written, discard};
use crate::error::Result;
use crate::format::meta::{self, Meta};
use crate::format::segment::{ChunkRef, Cutter, HEADER_BYTES};
use crate::job::compute::Pool;
use crate::job::{Env, Event, Level};
use crate::model::BlockId;

/// Gives chunks their place and sends their records on.
pub(super) struct ChunkSink {
    segments: Segments,
    cutter: Cutter,
    counts: Counts,
}

impl ChunkSink {
    fn new(env: &Env, work: &Work<'_>, output: &Output, witness: &Witness) -> Self {
        // one chunk may be larger than a segment should be
        let bound = work.segment_bytes + (64 << 20);
        ChunkSink {
            segments: Segments::new(
                &env.bucket,
                &output.id.to_string(),
                bound,
                work.hash_func == HashFunc::Sha256,
                Some(witness.clone()),
            ),
            cutter: Cutter::new(work.segment_bytes),
            counts: Counts::default(),
        }
    }

    /// Places the batch's chunks, series by series, and appends their records.
    pub(super) async fn place(&mut self, batch: &mut Column) -> Result<Vec<ChunkRef>> {
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

    async fn finish(&mut self) -> Result<Vec<Written>> {
        self.segments.finish().await
    }

    async fn abort(&mut self) {
        self.segments.abort().await;
    }
}

/// Gives series their place, sends their entries on and gathers their postings.
pub(super) struct SeriesSink {
    index: IndexFile,
    shards: Vec<Shard>,
    pool: Pool,
    chunk_max_bytes: u64,
}

impl SeriesSink {
    async fn begin(
        env: &Env,
        work: &Work<'_>,
        (output, witness): (&Output, &Witness),
        pool: &Pool,
        symbols: &Bytes,
        bound_bytes: u64,
    ) -> Result<Self> {
        let folder = output.id.to_string();
        let sha256 = work.hash_func == HashFunc::Sha256;
        let index = IndexFile::begin(&env.bucket, &folder, symbols.clone(), bound_bytes, sha256, Some(witness)).await?;
        let scratch = env.scratch.join("compact").join(folder);
        let shards = Shard::all(pool.threads().min(8), work.postings_bytes, &scratch);
        Ok(SeriesSink { index, shards, pool: pool.clone(), chunk_max_bytes: 0 })
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

    async fn finish(self) -> Result<Written> {
        self.index.finish(self.shards).await
    }

    async fn abort(self) {
        self.index.abort().await;
    }
}

/// Where the outputs go.
pub(super) struct Sinks {
    chunks: Vec<ChunkSink>,
    series: Vec<SeriesSink>,
    /// Who sees what is sent, one an output.
    witnesses: Vec<Witness>,
}

impl Sinks {
    /// Begins all outputs of `work` with this symbol section; an index has at most `index_bound` bytes.
    pub(super) async fn begin(env: &Env, work: &Work<'_>, pool: &Pool, symbols: &Bytes, index_bound: u64) -> Result<Self> {
        let mut sinks = Sinks { chunks: Vec::new(), series: Vec::new(), witnesses: Vec::new() };
        for output in &work.outputs {
            let witness = Witness::new(output.id);
            sinks.witnesses.push(witness.clone());
            sinks.chunks.push(ChunkSink::new(env, work, output, &witness));
            match SeriesSink::begin(env, work, (output, &witness), pool, symbols, index_bound).await {
                Ok(sink) => sinks.series.push(sink),
                Err(error) => {
                    sinks.abort().await;
                    return Err(error);
                }
            }
        }
        Ok(sinks)
    }

    /// Chunk sinks and series sinks, which work side by side.
    pub(super) fn halves(&mut self) -> (&mut [ChunkSink], &mut [SeriesSink]) {
        (&mut self.chunks, &mut self.series)
    }

    /// Ends all objects and waits until they are in the bucket and hold what they have to; outputs without samples
    /// are taken back.
    pub(super) async fn finish(
        self,
        env: &Env,
        work: &Work<'_>,
        expected: &Expected,
        symbol_sum: u64,
    ) -> Result<Vec<Option<Built>>> {
        let sinks = self.chunks.into_iter().zip(self.series).zip(self.witnesses);
        let ending = sinks.zip(&work.outputs).enumerate().map(|(n, (((mut chunks, series), witness), output))| async move {
            if chunks.counts.samples == 0 {
                chunks.abort().await;
                series.abort().await;
                discard(&env.bucket, output.id).await?;
                return Ok(None);
            }
            let (series_max_bytes, chunk_max_bytes) = (series.index.series_max_bytes(), series.chunk_max_bytes);
            let (segments, index) = tokio::join!(chunks.finish(), series.finish());
            let mut written = segments?;
            written.push(index?);
            let mut holds = expected.outputs.get(n).copied().unwrap_or_default();
            holds.symbol_sum = symbol_sum;
            proof::check(&env.bucket, output.id, (&holds, work.verify), &witness, &written).await?;
            let moved = written.iter().map(|w| w.len_bytes).sum();
            env.report.event(Event::Moved { job: work.job, read: 0, written: moved });
            let dropped = expected.dropped;
            Ok(Some(Built { id: output.id, counts: chunks.counts, dropped, written, series_max_bytes, chunk_max_bytes }))
        });
        // all are waited for before an error is, so that nothing is written any more when it is seen
        futures::future::join_all(ending).await.into_iter().collect()
    }

    /// Drops what was written.
    pub(super) async fn abort(&mut self) {
        for sink in &mut self.chunks {
            sink.abort().await;
        }
        for sink in self.series.drain(..) {
            sink.abort().await;
        }
    }
}

/// A block that is wholly in the bucket but for its `meta.json`: nobody sees it yet.
#[derive(Clone, Debug)]
pub struct Built {
    /// Its id.
    pub id: BlockId,
    /// What went into it.
    pub counts: Counts,
    /// Samples of the inputs that are not in it since replicas have them too.
    pub dropped: u64,
    written: Vec<Written>,
    series_max_bytes: u64,
    chunk_max_bytes: u64,
}

impl Built {
    /// A block that another pass wrote: its objects, and its largest entries in bytes.
    pub(crate) fn new(id: BlockId, counts: Counts, written: Vec<Written>, series_max_bytes: u64, chunk_max_bytes: u64) -> Self {
        Built { id, counts, dropped: 0, written, series_max_bytes, chunk_max_bytes }
    }

    /// Fills in what follows from the bytes: the id, `segment_files`, `files` and `index_stats`.
    pub fn describe(&self, meta: &mut Meta) {
        let mut files: Vec<meta::File> = self
            .written
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
        meta.ulid = self.id;
        meta.thanos.files = files;
        meta.thanos.segment_files =
            self.written.iter().filter_map(|w| w.name.strip_prefix("chunks/")).map(str::to_owned).collect();
        meta.thanos.index_stats = meta::IndexStats {
            series_max_size: self.series_max_bytes as i64,
            chunk_max_size: self.chunk_max_bytes as i64,
            ..Default::default()
        };
    }
}

/// Makes blocks visible, one after the other: a crash in between leaves the first of them whole and the
/// others unseen.
///
/// # Errors
/// As [`block::publish`]; then this block and those behind it are taken back.
pub async fn publish(env: &Env, blocks: &[(&Meta, &Built)]) -> Result<()> {
    for (n, (meta, built)) in blocks.iter().enumerate() {
        let Err(error) = block::publish(&env.bucket, meta, &built.written).await else { continue };
        for (_, unseen) in &blocks[n..] {
            if let Err(left) = discard(&env.bucket, unseen.id).await {
                let text = format!("objects of a job that failed are left and will be cleaned by age: {left}");
                env.report.event(Event::Note { level: Level::Warn, block: Some(unseen.id), text: &text });
            }
        }
        return Err(error);
    }
    Ok(())
}
