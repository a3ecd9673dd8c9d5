//! Chunk records of a batch of series, from wherever they lie: fetched in stretches, as far as they are there.
//!
//! *Memory*: the records of the batch, and gaps between them of up to [`MAX_GAP_BYTES`].

use futures::{StreamExt, TryStreamExt, stream};

use super::source::Source;
use super::walk::Entry;
use crate::block::{Part, SegmentFile};
use crate::error::{Kind, Result};
use crate::format::Malformed;
use crate::format::segment::{self, ChunkRef, Record};

/// Bytes between two records that are read rather than asked for apart.
const MAX_GAP_BYTES: u32 = 64 << 10;
/// Bytes of one stretch, at least one record.
const STRETCH_BYTES: u32 = 4 << 20;
/// What is read for a record of which only the beginning is known.
const TAIL_BYTES: u64 = 16 << 10;
/// The longest record that is read: native histograms with thousands of buckets have some hundred KiB.
const MAX_RECORD_BYTES: u64 = 256 << 20;
/// Stretches that are read at a time.
const READS_AT_A_TIME: usize = 4;

/// Stretches of segments.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// Segment and bytes, ordered; they may overlap.
    stretches: Vec<(u32, Part)>,
    /// Number of segments that are not there, and of which nobody reads.
    missing: Vec<u32>,
}

impl Records {
    /// Reads what `entries` refer to; what is not there is found out by [`Records::get`].
    ///
    /// # Errors
    /// From the bucket.
    pub(super) async fn fetch(source: &Source, entries: &[Entry]) -> Result<Records> {
        let mut wanted: Vec<ChunkRef> = entries.iter().flat_map(|e| e.chunks.iter().map(|c| c.reference)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut records = Records::default();
        let mut asks = Vec::new();
        let same = |a: &ChunkRef, b: &ChunkRef| a.segment() == b.segment() && b.offset() - a.offset() <= MAX_GAP_BYTES;
        for run in wanted.chunk_by(same) {
            let Some(file) = source.segments.get(&run[0].segment()) else {
                records.missing.push(run[0].segment());
                continue;
            };
            let mut rest = run;
            while let Some(first) = rest.first() {
                let n = rest.partition_point(|r| r.offset() - first.offset() < STRETCH_BYTES);
                asks.push((file, first.segment(), u64::from(first.offset()), u64::from(rest[n - 1].offset())));
                rest = &rest[n..];
            }
        }
        records.missing.dedup();
        let read = |(file, segment, from, last)| async move { read(source, file, segment, from, last).await };
        records.stretches = stream::iter(asks)
            .map(read)
            .buffered(READS_AT_A_TIME)
            .try_filter_map(|part| async { Ok(part) })
            .try_collect()
            .await?;
        Ok(records)
    }

    /// The record at `at`, its checksum verified, and all its bytes.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn get(&self, at: ChunkRef) -> Result<(Record<'_>, &[u8]), Malformed> {
        let offset = u64::from(at.offset());
        let bad = |why: &str| Malformed::new("chunk", offset, why.to_owned());
        if self.missing.binary_search(&at.segment()).is_ok() {
            return Err(bad("the segment is not there"));
        }
        if offset < segment::HEADER_BYTES as u64 {
            return Err(bad("a reference into the header of the segment"));
        }
        let behind = self.stretches.partition_point(|(segment, part)| (*segment, part.offset) <= (at.segment(), offset));
        let (segment, part) = behind.checked_sub(1).map(|i| &self.stretches[i]).ok_or_else(|| bad("behind the segment's end"))?;
        if *segment != at.segment() || offset >= part.end() {
            return Err(bad("behind the segment's end"));
        }
        let rest = &part.bytes[(offset - part.offset) as usize..];
        let record = segment::decode_record(rest, offset)?;
        let len_bytes = record.len_bytes;
        Ok((record, &rest[..len_bytes]))
    }
}

/// The bytes from the record at `from` to the end of the one at `last`, as far as the segment has them.
async fn read(source: &Source, file: &SegmentFile, segment: u32, from: u64, last: u64) -> Result<Option<(u32, Part)>> {
    if from >= file.len_bytes {
        return Ok(None);
    }
    let range = async |range: std::ops::Range<u64>| match source.bucket.get_range(&file.key, range).await {
        // it was longer when it was listed
        Err(error) if error.kind() == Kind::Corrupt => Ok(None),
        read => read.map(Some).map_err(|e| e.block(source.id)),
    };
    let end = last.min(file.len_bytes).saturating_add(TAIL_BYTES).min(file.len_bytes);
    let Some(bytes) = range(from..end).await? else { return Ok(None) };
    let of_last = usize::try_from(last - from).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
    let len = segment::record_len(of_last, last).ok().flatten().map_or(0, |len| len as u64);
    let missing = len.saturating_sub(of_last.len() as u64);
    if missing == 0 || len > MAX_RECORD_BYTES || end == file.len_bytes {
        return Ok(Some((segment, Part { offset: from, bytes })));
    }
    let Some(tail) = range(end..(end + missing).min(file.len_bytes)).await? else { return Ok(None) };
    let mut joined = Vec::with_capacity(bytes.len() + tail.len());
    joined.extend_from_slice(&bytes);
    joined.extend_from_slice(&tail);
    Ok(Some((segment, Part { offset: from, bytes: joined.into() })))
}
