//! Chunk records of merged series: copied whole where they only stand behind one another, merged
//! where they overlap, re-encoded where samples are deleted.
//!
//! Every record is checked once, against its stored checksum, and goes out with it.

use super::chunks::{Records, Run};
use super::decode::SeriesBatch;
use super::merge::{MergedBatch, Piece};
use crate::error::Error;
use crate::format::Malformed;
use crate::format::chunk::{self, Encoding, Samples};
use crate::format::index::ChunkMeta;
use crate::format::segment::{ChunkRef, encode_record, encoded_len};
use crate::model::{BlockId, Millis};
use crate::series::{Chunk, merge_overlapping, without};

/// A record that has no place yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct OutChunk {
    pub(super) min_time: Millis,
    pub(super) max_time: Millis,
    /// Length of the chunk's data, which decides where segments are cut.
    pub(super) data_bytes: u32,
}

/// What went out, for `meta.json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) series: u64,
    pub(super) chunks: u64,
    pub(super) samples: u64,
    pub(super) float_samples: u64,
    pub(super) histogram_samples: u64,
    /// Chunks in encodings that Go components of today cannot read.
    pub(super) new_encodings: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: &Counts) {
        self.series += other.series;
        self.chunks += other.chunks;
        self.samples += other.samples;
        self.float_samples += other.float_samples;
        self.histogram_samples += other.histogram_samples;
        self.new_encodings += other.new_encodings;
    }

    fn chunk(&mut self, encoding: Encoding, data: &[u8]) -> Result<(), Malformed> {
        let samples = u64::from(chunk::sample_count(encoding, data)?);
        self.chunks += 1;
        self.samples += samples;
        match encoding {
            Encoding::Xor | Encoding::Xor2 => self.float_samples += samples,
            Encoding::Histogram | Encoding::FloatHistogram | Encoding::HistogramSt | Encoding::FloatHistogramSt => {
                self.histogram_samples += samples;
            }
            Encoding::Aggregate => {}
        }
        self.new_encodings += u64::from(!encoding.is_known_to_thanos());
        Ok(())
    }
}

/// A merged batch with its chunk records, which have no place yet.
pub(super) struct Assembled {
    pub(super) merged: MergedBatch,
    /// Records, one behind the other.
    pub(super) bytes: Vec<u8>,
    pub(super) chunks: Vec<OutChunk>,
    /// Series that kept chunks: their number in `merged`, and where their chunks end.
    pub(super) series: Vec<(u32, u32)>,
    pub(super) counts: Counts,
}

/// What assembling needs to know of the job.
pub(super) struct Rules {
    pub(super) blocks: Vec<BlockId>,
}

/// Collects the records of `merged` from `runs`, one list of runs an input.
pub(super) fn assemble(merged: MergedBatch, runs: &[Vec<Run>], rules: &Rules) -> Result<Assembled, Error> {
    let mut job = Assembling {
        records: runs.iter().map(|r| Records::new(r)).collect(),
        rules,
        out: Assembled {
            bytes: Vec::with_capacity(merged.chunk_bytes()),
            chunks: Vec::with_capacity(merged.chunks()),
            series: Vec::with_capacity(merged.len()),
            counts: Counts::default(),
            merged: MergedBatch::default(),
        },
    };
    for series in 0..merged.len() {
        job.series(&merged, series)?;
    }
    job.out.merged = merged;
    Ok(job.out)
}

struct Assembling<'a> {
    records: Vec<Records<'a>>,
    rules: &'a Rules,
    out: Assembled,
}

impl Assembling<'_> {
    fn series(&mut self, merged: &MergedBatch, series: usize) -> Result<(), Error> {
        let pieces = merged.pieces(series);
        let first = self.out.chunks.len();
        let begin = self.out.bytes.len();
        let intact = pieces.iter().all(|p| source(merged, p).1.deletions(p.series as usize).is_empty());
        if let ([piece], true) = (pieces, intact) {
            self.copy(merged, piece)?;
        } else if intact && let Some(order) = one_after_the_other(merged, pieces) {
            for piece in order {
                self.copy(merged, &piece)?;
            }
        } else if !(intact && self.copy_if_equal(merged, pieces, first, begin)?) {
            self.out.chunks.truncate(first);
            self.out.bytes.truncate(begin);
            self.merge(merged, pieces)?;
        }
        let chunks = &self.out.chunks[first..];
        if let Some(pair) = chunks.windows(2).find(|w| w[1].min_time <= w[0].max_time) {
            let input = source(merged, &pieces[0]).0;
            let why = format!(
                "chunk [{}, {}] overlaps [{}, {}]",
                pair[1].min_time, pair[1].max_time, pair[0].min_time, pair[0].max_time
            );
            return Err(self.damaged(input, Malformed::new("index series", 0, why)));
        }
        if !chunks.is_empty() {
            self.out.counts.series += 1;
            self.out.series.push((series as u32, self.out.chunks.len() as u32));
        }
        Ok(())
    }

    /// Copies all records of one piece.
    fn copy(&mut self, merged: &MergedBatch, piece: &Piece) -> Result<(), Error> {
        let (input, batch) = source(merged, piece);
        for meta in batch.chunks(piece.series as usize) {
            let (record, whole) =
                self.records[input].get(meta.reference).map_err(|m| damaged(self.rules, input, meta.reference, m))?;
            let encoding = encoding_of(record.encoding, meta).map_err(|m| damaged(self.rules, input, meta.reference, m))?;
            self.out.counts.chunk(encoding, record.data).map_err(|m| damaged(self.rules, input, meta.reference, m))?;
            self.out.bytes.extend_from_slice(whole);
            self.out.chunks.push(OutChunk {
                min_time: meta.min_time,
                max_time: meta.max_time,
                data_bytes: record.data.len() as u32,
            });
        }
        Ok(())
    }

    /// Copies the first piece if every other has the same chunks to the byte, which is what replicas
    /// mostly have; else says no.
    fn copy_if_equal(&mut self, merged: &MergedBatch, pieces: &[Piece], first: usize, begin: usize) -> Result<bool, Error> {
        let of = |p: &Piece| source(merged, p).1.chunks(p.series as usize);
        let like = of(&pieces[0]);
        let ordered = like.windows(2).all(|w| w[1].min_time > w[0].max_time);
        let same_times = pieces[1..].iter().all(|p| {
            of(p).len() == like.len() && of(p).iter().zip(like).all(|(a, b)| (a.min_time, a.max_time) == (b.min_time, b.max_time))
        });
        if !ordered || !same_times {
            return Ok(false);
        }
        let counts = self.out.counts;
        self.copy(merged, &pieces[0])?;
        for piece in &pieces[1..] {
            let (input, batch) = source(merged, piece);
            let mut at = begin;
            for (meta, copied) in batch.chunks(piece.series as usize).iter().zip(first..) {
                let (_, whole) =
                    self.records[input].get(meta.reference).map_err(|m| damaged(self.rules, input, meta.reference, m))?;
                let end = at + encoded_len(u64::from(self.out.chunks[copied].data_bytes)) as usize;
                if self.out.bytes[at..end] != *whole {
                    self.out.counts = counts;
                    return Ok(false);
                }
                at = end;
            }
        }
        Ok(true)
    }

    /// The general way: samples that are deleted taken out, overlapping chunks merged.
    fn merge(&mut self, merged: &MergedBatch, pieces: &[Piece]) -> Result<(), Error> {
        let mut lists = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let (input, batch) = source(merged, piece);
            let deletions: Vec<_> = batch.deletions(piece.series as usize).iter().map(|d| (d.min, d.max)).collect();
            let mut list = Vec::new();
            for meta in batch.chunks(piece.series as usize) {
                let chunk = (|| {
                    let (record, _) = self.records[input].get(meta.reference)?;
                    let encoding = encoding_of(record.encoding, meta)?;
                    let chunk = Chunk { min_time: meta.min_time, max_time: meta.max_time, encoding, data: record.data.to_vec() };
                    without(chunk, &deletions)
                })()
                .map_err(|m| damaged(self.rules, input, meta.reference, m))?;
                list.extend(chunk);
            }
            lists.push(list);
        }
        let chunks = match lists.len() {
            1 => lists.remove(0),
            _ => match merge_overlapping(lists) {
                Ok(chunks) => chunks,
                Err(m) => return Err(self.blame(merged, pieces, m)),
            },
        };
        for c in chunks {
            self.out.counts.chunk(c.encoding, &c.data).map_err(|m| self.damaged(source(merged, &pieces[0]).0, m))?;
            encode_record(&mut self.out.bytes, c.encoding.as_byte(), &c.data);
            self.out.chunks.push(OutChunk { min_time: c.min_time, max_time: c.max_time, data_bytes: c.data.len() as u32 });
        }
        Ok(())
    }

    /// Names the chunk that did not decode: the merge of many does not know which it was.
    #[cold]
    fn blame(&mut self, merged: &MergedBatch, pieces: &[Piece], m: Malformed) -> Error {
        for piece in pieces {
            let (input, batch) = source(merged, piece);
            for meta in batch.chunks(piece.series as usize) {
                let decoded = self.records[input].get(meta.reference).and_then(|(record, _)| {
                    let samples = Samples::new(encoding_of(record.encoding, meta)?, record.data)?;
                    samples.collect::<Result<Vec<_>, _>>().map(drop)
                });
                if let Err(m) = decoded {
                    return damaged(self.rules, input, meta.reference, m);
                }
            }
        }
        self.damaged(source(merged, &pieces[0]).0, m)
    }

    fn damaged(&self, input: usize, m: Malformed) -> Error {
        Error::from(m).block(self.rules.blocks[input]).next(NEXT)
    }
}

const NEXT: &str = "run `tools bucket verify -i chunks` on the block, then replace it or mark it no-compact";

#[cold]
fn damaged(rules: &Rules, input: usize, at: ChunkRef, m: Malformed) -> Error {
    let segment = format!("chunks/{:06}", u64::from(at.segment()) + 1);
    Error::new(crate::error::Kind::Corrupt, m.why).block(rules.blocks[input]).part(segment).at(u64::from(at.offset())).next(NEXT)
}

fn source<'a>(merged: &'a MergedBatch, piece: &Piece) -> (usize, &'a SeriesBatch) {
    let s = &merged.sources[piece.source as usize];
    (s.input, &s.batch)
}

fn encoding_of(byte: u8, meta: &ChunkMeta) -> Result<Encoding, Malformed> {
    Encoding::from_byte(byte)
        .ok_or_else(|| Malformed::new("chunk", u64::from(meta.reference.offset()), format!("encoding {byte} is not known")))
}

/// The pieces by time, if the chunks of all of them together follow one another without overlap.
fn one_after_the_other(merged: &MergedBatch, pieces: &[Piece]) -> Option<Vec<Piece>> {
    let chunks = |p: &Piece| source(merged, p).1.chunks(p.series as usize);
    let mut order = pieces.to_vec();
    order.sort_by_key(|p| chunks(p)[0].min_time);
    let mut last = None;
    for c in order.iter().flat_map(chunks) {
        if last >= Some(c.min_time) {
            return None;
        }
        last = Some(c.max_time);
    }
    Some(order)
}
