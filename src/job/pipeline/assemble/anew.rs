//! All samples of a series encoded anew, 120 a chunk, as upstream does with each series of a block that it relabels.

use super::{Assembling, Piece, cut, damaged, encoding_of, source};
use crate::error::{Error, Kind};
use crate::format::chunk::{self, Encoding};
use crate::format::index::ChunkMeta;
use crate::job::pipeline::merge::MergedBatch;
use crate::series::{Chunk, SAMPLES_PER_CHUNK, merge_anew};

impl Assembling<'_> {
    /// Merges the pieces in the order in which they lie in their block. Aggregates are copied: only one series can have
    /// them at a time.
    pub(super) fn anew(&mut self, merged: &MergedBatch, pieces: &[Piece]) -> Result<(), Error> {
        self.decoded.clear();
        if let [piece] = pieces
            && self.is_as_new(merged, piece)?
        {
            return self.copy(merged, piece);
        }
        let mut chunks: Vec<(ChunkMeta, Piece)> = Vec::new();
        for piece in pieces {
            let (_, batch) = source(merged, piece);
            chunks.extend(batch.chunks(piece.series as usize).iter().map(|c| (*c, *piece)));
        }
        // references ascend from series to series
        chunks.sort_by_key(|c| c.0.reference);
        let mut list = Vec::with_capacity(chunks.len());
        for (meta, piece) in chunks {
            let (input, batch) = source(merged, &piece);
            let deletions: Vec<_> = batch.deletions(piece.series as usize).iter().map(|d| (d.min, d.max)).collect();
            let left = self.records[input].get(meta.reference).and_then(|(record, _)| {
                let encoding = encoding_of(record.encoding, &meta)?;
                let chunk = Chunk { min_time: meta.min_time, max_time: meta.max_time, encoding, data: record.data.to_vec() };
                cut(self.rules, chunk, &deletions)
            });
            list.extend(left.map_err(|m| damaged(self.rules, input, meta.reference, m))?);
        }
        let (input, _) = source(merged, &pieces[0]);
        if list.iter().any(|c| c.encoding == Encoding::Aggregate) {
            list.sort_by_key(|c| c.min_time);
            if list.windows(2).any(|w| w[1].min_time <= w[0].max_time) {
                return Err(Error::new(Kind::Unsupported, "series of a downsampled block that get equal labels overlap in time")
                    .block(self.rules.blocks[input])
                    .next("keep a label that tells them apart, or drop all but one of them"));
            }
        } else {
            list = match merge_anew(&list, &mut self.decoded) {
                Ok(list) => list,
                Err(m) => return Err(self.blame(merged, pieces, m)),
            };
        }
        for c in &list {
            self.out.push(c).map_err(|m| self.damaged(input, m))?;
        }
        Ok(())
    }

    /// Whether encoding the piece anew gives the bytes that it has: floats, 120 in every chunk but the last, nothing lost.
    fn is_as_new(&mut self, merged: &MergedBatch, piece: &Piece) -> Result<bool, Error> {
        let (input, batch) = source(merged, piece);
        let chunks = batch.chunks(piece.series as usize);
        let ordered = chunks.windows(2).all(|w| w[0].max_time < w[1].min_time);
        if !ordered || !batch.deletions(piece.series as usize).is_empty() {
            return Ok(false);
        }
        for (n, meta) in chunks.iter().enumerate() {
            let wrong = |m| damaged(self.rules, input, meta.reference, m);
            let (record, _) = self.records[input].get(meta.reference).map_err(wrong)?;
            let encoding = encoding_of(record.encoding, meta).map_err(wrong)?;
            let samples = chunk::sample_count(encoding, record.data).map_err(wrong)? as usize;
            let is_last = n + 1 == chunks.len();
            let as_new = match encoding {
                Encoding::Xor => samples == SAMPLES_PER_CHUNK || (is_last && samples < SAMPLES_PER_CHUNK),
                // an aggregate is not made of samples
                Encoding::Aggregate => true,
                _ => false,
            };
            if !as_new {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
