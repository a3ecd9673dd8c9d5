//! Chunk records here and there in one input's segments: what lies close together is read as one range.
//!
//! *Memory*: the records that are asked for at a time, and the gaps between those that lie close together.

use futures::{StreamExt, TryStreamExt, stream};

use super::SourceBlock;
use super::chunks::{Records, Run, Segment};
use super::merge::Stretch;
use crate::block::Part;
use crate::bucket::Bucket;
use crate::error::{Error, Kind, Result};
use crate::format::Malformed;
use crate::format::chunk::Encoding;
use crate::format::segment::{self, ChunkRef};
use crate::model::BlockId;

/// Ranges that are read at a time.
const READS_AT_A_TIME: usize = 8;
/// The most bytes that are read at once without anybody having asked for them.
const GAP_BYTES: u64 = 128 << 10;
/// How far behind the last reference of a range is read at first: most records end there.
const TAIL_BYTES: u64 = 4 << 10;

/// The chunk segments of one block, to be read at any place.
pub struct ScatteredChunks {
    bucket: Bucket,
    block: BlockId,
    segments: Vec<Segment>,
}

impl ScatteredChunks {
    /// The chunks of `block`.
    pub fn new(bucket: &Bucket, block: &SourceBlock) -> Self {
        ScatteredChunks { bucket: bucket.clone(), block: block.id, segments: block.segments() }
    }

    /// The records at `chunks`, in any order.
    ///
    /// # Errors
    /// What the bucket says; `Corrupt` when a reference points outside its segment or a record is cut off.
    pub async fn read(&self, chunks: impl IntoIterator<Item = ChunkRef>) -> Result<ChunkRecords> {
        let chunks: Vec<Stretch> = chunks.into_iter().map(|at| Stretch { first: at, last: at }).collect();
        self.take(&chunks).await.map(ChunkRecords)
    }

    /// The bytes of all records in these stretches, in any order.
    pub(super) async fn take(&self, stretches: &[Stretch]) -> Result<Vec<Run>> {
        let mut stretches = stretches.to_vec();
        stretches.sort_unstable_by_key(|s| s.first);
        let mut ranges: Vec<Stretch> = Vec::new();
        for s in stretches {
            let is_near = |r: &Stretch| r.last.segment() == s.first.segment() && s.first.0.saturating_sub(r.last.0) <= GAP_BYTES;
            match ranges.last_mut() {
                Some(r) if is_near(r) => r.last = r.last.max(s.last),
                _ => ranges.push(s),
            }
        }
        let reads = stream::iter(ranges).map(|range| self.range(range)).buffered(READS_AT_A_TIME);
        reads.try_collect().await
    }

    async fn range(&self, range: Stretch) -> Result<Run> {
        let bad = |what: String| {
            Error::new(Kind::Corrupt, what)
                .block(self.block)
                .part(format!("chunks/{:06}", u64::from(range.last.segment()) + 1))
                .at(u64::from(range.last.offset()))
                .next("run `tools bucket verify -i chunks` on the block, then replace it or mark it no-compact")
        };
        let number = range.first.segment();
        let Some(of) = self.segments.get(number as usize) else {
            return Err(bad(format!("the index points into a segment that is not there, of {}", self.segments.len())));
        };
        let (first, last) = (u64::from(range.first.offset()), u64::from(range.last.offset()));
        if first < segment::HEADER_BYTES as u64 || last >= of.len_bytes {
            return Err(bad(format!("the index points outside the segment's {} bytes", of.len_bytes)));
        }
        let guess = last.saturating_add(TAIL_BYTES).min(of.len_bytes);
        let bytes = self.bucket.get_range(&of.key, first..guess).await.map_err(|e| e.block(self.block))?;
        let tail = bytes.get((last - first) as usize..).unwrap_or_default();
        let len = segment::record_len(tail, last).map_err(|m| bad(m.why.into_owned()))?;
        let Some(end) = len.map(|len| last + len as u64).filter(|&end| end <= of.len_bytes) else {
            return Err(bad("a record is cut off by the end of the segment".to_owned()));
        };
        let mut parts = vec![Part { offset: first, bytes }];
        if end > guess {
            let bytes = self.bucket.get_range(&of.key, guess..end).await.map_err(|e| e.block(self.block))?;
            parts.push(Part { offset: guess, bytes });
        }
        Ok(Run { segment: number, end, parts })
    }
}

/// Records that were read.
pub struct ChunkRecords(pub(super) Vec<Run>);

impl ChunkRecords {
    /// Looks records up.
    pub fn reader(&self) -> RecordReader<'_> {
        RecordReader(Records::new(&self.0))
    }
}

/// Looks records up, quickest where references ascend.
pub struct RecordReader<'a>(Records<'a>);

impl RecordReader<'_> {
    /// Encoding, data and length in bytes of the record at `at`, its checksum verified.
    ///
    /// # Errors
    /// Damage, an encoding that nobody knows, and records that were not read.
    pub fn get(&mut self, at: ChunkRef) -> Result<(Encoding, &[u8], u64), Malformed> {
        let (record, whole) = self.0.get(at)?;
        let unknown = || Malformed::new("chunk", u64::from(at.offset()), format!("encoding {} is not known", record.encoding));
        Ok((Encoding::from_byte(record.encoding).ok_or_else(unknown)?, record.data, whole.len() as u64))
    }
}
