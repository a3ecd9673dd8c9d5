//! The block that is written: chunks and series as they come, in order.

use bytes::Bytes;

use super::keep::{Kept, sample_count};
use super::source::Source;
use crate::block::{IndexFile, Segments, Shard};
use crate::error::{Error, Kind, Result};
use crate::format::chunk::Encoding;
use crate::format::index::{self, ChunkMeta, encode_series};
use crate::format::segment::{Cutter, DEFAULT_SEGMENT_BYTES, HEADER_BYTES, encode_record};
use crate::job::Env;
use crate::job::pipeline::{Built, Counts, DEFAULT_POSTINGS_BYTES};
use crate::model::BlockId;

/// One chunk may be larger than a segment should be, in bytes.
const SEGMENT_BOUND_BYTES: u64 = DEFAULT_SEGMENT_BYTES + (512 << 20);

/// A block on its way into the bucket; not visible.
pub(super) struct NewBlock {
    id: BlockId,
    segments: Segments,
    cutter: Cutter,
    index: IndexFile,
    shards: Vec<Shard>,
}

impl NewBlock {
    pub(super) async fn begin(env: &Env, id: BlockId, source: &Source) -> Result<NewBlock> {
        let folder = id.to_string();
        // references may take more bytes than the old ones; the bound only sizes upload parts
        let bound = source.index_bytes.saturating_mul(2).saturating_add(64 << 20).min(index::MAX_BYTES);
        Ok(NewBlock {
            id,
            segments: Segments::new(&env.bucket, &folder, SEGMENT_BOUND_BYTES, false, None),
            cutter: Cutter::new(DEFAULT_SEGMENT_BYTES),
            index: IndexFile::begin(&env.bucket, &folder, source.symbols.section.clone(), bound, false, None).await?,
            shards: Shard::all(1, DEFAULT_POSTINGS_BYTES, &env.scratch.join("salvage").join(folder)),
        })
    }

    /// Appends series, which stand behind those before.
    pub(super) async fn add(&mut self, series: &[Kept]) -> Result<()> {
        let (mut records, mut entries, mut starts) = (Vec::new(), Vec::new(), Vec::new());
        for kept in series {
            let mut places = Vec::with_capacity(kept.chunks.len());
            self.cutter.place(kept.chunks.iter().map(|c| c.data.len() as u64), &mut places);
            for (chunk, place) in kept.chunks.iter().zip(&places) {
                if place.offset() as usize == HEADER_BYTES {
                    self.append(&mut records).await?;
                    self.segments.cut();
                }
                encode_record(&mut records, chunk.encoding.as_byte(), &chunk.data);
            }
            let metas: Vec<ChunkMeta> = kept
                .chunks
                .iter()
                .zip(&places)
                .map(|(c, &reference)| ChunkMeta { min_time: c.min_time, max_time: c.max_time, reference })
                .collect();
            entries.resize(entries.len().next_multiple_of(16), 0);
            starts.push((entries.len() / 16) as u32);
            encode_series(&mut entries, &kept.labels, &metas)?;
        }
        self.append(&mut records).await?;
        if series.is_empty() {
            return Ok(());
        }
        let base = self.index.append(entries.into(), starts.iter().copied()).await?;
        for shard in &mut self.shards {
            for (kept, start) in series.iter().zip(&starts) {
                shard.add(base + start, &kept.labels);
            }
        }
        for mut shard in std::mem::take(&mut self.shards) {
            if shard.is_over_budget() {
                let full = tokio::task::spawn_blocking(move || shard.write_run().map(|()| shard)).await;
                shard = full.map_err(|e| Error::new(Kind::Cancelled, "spilling postings was stopped").source(e))??;
            }
            self.shards.push(shard);
        }
        Ok(())
    }

    async fn append(&mut self, records: &mut Vec<u8>) -> Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        self.segments.append(Bytes::from(std::mem::take(records))).await
    }

    /// Ends all objects; they are wholly in the bucket then.
    pub(super) async fn finish(mut self, counts: Counts) -> Result<Built> {
        let series_max_bytes = self.index.series_max_bytes();
        let (segments, index) = tokio::join!(self.segments.finish(), self.index.finish(self.shards));
        let mut written = segments?;
        written.push(index?);
        Ok(Built::new(self.id, counts, written, series_max_bytes, 0))
    }

    /// Drops what was written.
    pub(super) async fn abort(mut self) {
        self.segments.abort().await;
        self.index.abort().await;
    }
}

/// Counts of series, as `meta.json` has them.
pub(super) fn count(counts: &mut Counts, series: &[Kept]) {
    counts.series += series.len() as u64;
    for chunk in series.iter().flat_map(|s| &s.chunks) {
        let samples = sample_count(chunk);
        counts.chunks += 1;
        counts.samples += samples;
        match chunk.encoding {
            Encoding::Xor | Encoding::Xor2 => counts.float_samples += samples,
            Encoding::Aggregate => {}
            _ => counts.histogram_samples += samples,
        }
        counts.new_encodings += u64::from(!chunk.encoding.is_known_to_thanos());
    }
}
