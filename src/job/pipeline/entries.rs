//! Series entries of a batch whose chunks have their places.

use std::sync::Arc;

use super::assemble::Column;
use super::merge::MergedBatch;
use crate::format::index::{ChunkMeta, TooLong, encode_series};
use crate::format::segment::ChunkRef;

/// Encoded series entries, each at a multiple of 16 bytes from the start of the first.
pub(super) struct Entries {
    pub(super) merged: Arc<MergedBatch>,
    /// Entries with the padding between them, none behind the last.
    pub(super) bytes: Vec<u8>,
    /// For each entry its series in `merged`, and where it begins, in units of 16 bytes.
    pub(super) starts: Vec<(u32, u32)>,
    /// The longest way from one chunk to the next as upstream measures it, in bytes.
    pub(super) chunk_max_bytes: u64,
}

/// Encodes the entries of `column`, whose chunks lie at `places`.
pub(super) fn encode(merged: Arc<MergedBatch>, column: &Column, places: &[ChunkRef]) -> Result<Entries, TooLong> {
    let mut out = Entries {
        bytes: Vec::with_capacity(column.series.len() * 96 + column.chunks.len() * 12),
        starts: Vec::with_capacity(column.series.len()),
        chunk_max_bytes: 0,
        merged,
    };
    let mut metas = Vec::new();
    let mut from = 0usize;
    for &(series, end) in &column.series {
        let end = end as usize;
        metas.clear();
        metas.extend(column.chunks[from..end].iter().zip(&places[from..end]).map(|(c, &reference)| ChunkMeta {
            min_time: c.min_time,
            max_time: c.max_time,
            reference,
        }));
        from = end;
        // upstream leaves the last two chunks of a series out of this figure
        for pair in metas.windows(2).take(metas.len().saturating_sub(2)) {
            if pair[0].reference.segment() == pair[1].reference.segment() {
                out.chunk_max_bytes = out.chunk_max_bytes.max(pair[1].reference.0 - pair[0].reference.0);
            }
        }
        out.bytes.resize(out.bytes.len().next_multiple_of(16), 0);
        out.starts.push((series, (out.bytes.len() / 16) as u32));
        encode_series(&mut out.bytes, out.merged.labels(series as usize), &metas)?;
    }
    Ok(out)
}
