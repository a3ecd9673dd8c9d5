//! Chunk records of merged series: copied whole where they only stand behind one another, merged
//! where they overlap, re-encoded where samples are deleted; one column of them an output.
//!
//! Every record is checked once, against its stored checksum, and goes out with it.

mod account;
mod anew;
mod proof;

use std::sync::Arc;

use super::chunks::{Records, Run};
use super::decode::SeriesBatch;
use super::downsample::Downsampling;
use super::hooks::{Candidate, Join, Joiner, Judge, Lost, Salvage, SeriesChoice, SeriesView, SharedSymbols};
use super::merge::{MergedBatch, Piece};
use super::proof::Expected;
use super::renamed::Place;
use super::{Content, LOOK_AND_MARK, not_apart};
use crate::block::fingerprint::{Fingerprint, LabelsSum, RecordSum};
use crate::error::Error;
use crate::format::Malformed;
use crate::format::chunk::{self, Encoding, Samples};
use crate::format::index::ChunkMeta;
use crate::format::segment::{ChunkRef, encode_record, encoded_len};
use crate::model::{BlockId, Millis};
use crate::series::aggregate::without_windows;
use crate::series::{Chunk, DecodedChunks, without};

/// A record that has no place yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct OutChunk {
    pub(super) min_time: Millis,
    pub(super) max_time: Millis,
    pub(super) encoding: Encoding,
    /// Length of the chunk's data, which decides where segments are cut.
    pub(super) data_bytes: u32,
}

/// What went out, for `meta.json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Series.
    pub series: u64,
    /// Chunks.
    pub chunks: u64,
    /// Samples; in aggregates, windows.
    pub samples: u64,
    /// Those in chunks of floats.
    pub float_samples: u64,
    /// Those in chunks of histograms.
    pub histogram_samples: u64,
    /// Chunks in encodings that Go components of today cannot read.
    pub new_encodings: u64,
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

/// What a batch puts into one output: chunk records, which have no place yet.
#[derive(Default)]
pub(super) struct Column {
    /// Records, one behind the other.
    pub(super) bytes: Vec<u8>,
    pub(super) chunks: Vec<OutChunk>,
    /// Series that have chunks here: their number in the merged batch, and where their chunks end.
    pub(super) series: Vec<(u32, u32)>,
    pub(super) counts: Counts,
}

impl Column {
    /// Appends a record that has to be made.
    fn push(&mut self, chunk: &Chunk) -> Result<(), Malformed> {
        self.counts.chunk(chunk.encoding, &chunk.data)?;
        encode_record(&mut self.bytes, chunk.encoding.as_byte(), &chunk.data);
        self.chunks.push(OutChunk {
            min_time: chunk.min_time,
            max_time: chunk.max_time,
            encoding: chunk.encoding,
            data_bytes: chunk.data.len() as u32,
        });
        Ok(())
    }

    /// Appends a record as it is.
    fn copy(&mut self, candidate: Candidate<'_>, whole: &[u8]) -> Result<(), Malformed> {
        self.counts.chunk(candidate.encoding, candidate.data)?;
        self.bytes.extend_from_slice(whole);
        self.chunks.push(OutChunk {
            min_time: candidate.meta.min_time,
            max_time: candidate.meta.max_time,
            encoding: candidate.encoding,
            data_bytes: candidate.data.len() as u32,
        });
        Ok(())
    }
}

/// A merged batch with what goes out of it, one column an output.
pub(super) struct Assembled {
    pub(super) merged: Arc<MergedBatch>,
    pub(super) columns: Vec<Column>,
    /// Chunks that were damaged and left out.
    pub(super) lost: Vec<Lost>,
    /// What the outputs have to hold.
    pub(super) expected: Expected,
}

/// What assembling needs to know of the job.
pub(super) struct Rules {
    pub(super) blocks: Vec<BlockId>,
    /// First milliseconds behind them.
    pub(super) ends: Vec<Millis>,
    pub(super) outputs: Vec<Content>,
    /// Milliseconds between the inputs' samples, 0 for raw.
    pub(super) resolution: Millis,
    pub(super) choose: Option<SeriesChoice>,
    pub(super) join: Join,
    pub(super) judge: Judge,
    /// The merged table, where a hook wants to see labels or what is lost has to be named.
    pub(super) symbols: Option<SharedSymbols>,
}

/// Collects the records of `merged` from `runs`, one list of runs an input.
pub(super) fn assemble(merged: MergedBatch, runs: &[Vec<Run>], rules: &Rules) -> Result<Assembled, Error> {
    let has = |content| rules.outputs.contains(&content);
    let mut job = Assembling {
        records: runs.iter().map(|r| Records::new(r)).collect(),
        rules,
        joiner: Joiner::new(rules.join),
        out: Column {
            bytes: Vec::with_capacity(merged.chunk_bytes()),
            chunks: Vec::with_capacity(merged.chunks()),
            series: Vec::with_capacity(merged.len()),
            counts: Counts::default(),
        },
        has_plain: has(Content::Plain),
        downsampling: Downsampling::new(rules.resolution, has(Content::FiveMinutes), has(Content::OneHour)),
        lost: Vec::new(),
        expected: Expected::default(),
        plain: Fingerprint::default(),
        sum: Fingerprint::default(),
        dropped: 0,
        decoded: DecodedChunks::default(),
        proof: proof::Proof::default(),
    };
    for series in 0..merged.len() {
        job.series(&merged, series)?;
    }
    let mut plain = Some(job.out);
    let (mut five, mut hour) = job.downsampling.map_or((None, None), Downsampling::into_columns);
    let column = |content: &Content| match content {
        Content::Plain => plain.take().unwrap_or_default(),
        Content::FiveMinutes => five.take().unwrap_or_default(),
        Content::OneHour => hour.take().unwrap_or_default(),
    };
    let columns: Vec<Column> = rules.outputs.iter().map(column).collect();
    let mut expected = job.expected;
    expected.dropped = job.dropped;
    expected.outputs.extend(rules.outputs.iter().zip(&columns).map(|(content, column)| match content {
        Content::Plain => job.plain,
        _ => proof::of_column(column, &merged),
    }));
    Ok(Assembled { columns, lost: job.lost, expected, merged: Arc::new(merged) })
}

struct Assembling<'a> {
    records: Vec<Records<'a>>,
    rules: &'a Rules,
    joiner: Joiner,
    /// The chunks of the inputs as one list a series; of the last series only, where they do not go out.
    out: Column,
    has_plain: bool,
    downsampling: Option<Downsampling>,
    lost: Vec<Lost>,
    expected: Expected,
    /// What the chunks of the inputs come to as one list a series, and those of the last series.
    plain: Fingerprint,
    sum: Fingerprint,
    /// Samples that replicas have too.
    dropped: u64,
    /// What joining the last series had to decode.
    decoded: DecodedChunks,
    proof: proof::Proof,
}

impl Assembling<'_> {
    fn series(&mut self, merged: &MergedBatch, series: usize) -> Result<(), Error> {
        let pieces = merged.pieces(series);
        let first = self.out.chunks.len();
        let begin = self.out.bytes.len();
        self.expected.taken.merged(merged, series).map_err(|why| proof::wrong(self.rules, source(merged, &pieces[0]).0, why))?;
        self.sum = Fingerprint::default();
        let intact = pieces.iter().all(|p| source(merged, p).1.deletions(p.series as usize).is_empty());
        if let ([piece], true, false, Judge::Strict) = (pieces, intact, self.has_plain, &self.rules.judge) {
            return self.pass_by(merged, series, piece);
        }
        if let Judge::Lenient(salvage) = &self.rules.judge {
            for piece in pieces {
                self.salvage(merged, series, piece, &**salvage)?;
            }
            self.made(merged, series, first, begin);
        } else if self.rules.join == Join::Apart {
            self.apart(merged, pieces, intact)?;
        } else if self.rules.join == Join::Anew {
            self.anew(merged, pieces)?;
            self.hold_against(merged, pieces, first, begin)?;
            self.made(merged, series, first, begin);
        } else if let ([piece], true) = (pieces, intact) {
            self.copy(merged, piece)?;
        } else if intact && let Some(order) = one_after_the_other(merged, pieces) {
            for piece in order {
                self.copy(merged, &piece)?;
            }
        } else if !(intact && self.copy_if_equal(merged, pieces, first, begin)?) {
            self.out.chunks.truncate(first);
            self.out.bytes.truncate(begin);
            self.merge(merged, pieces)?;
            self.hold_against(merged, pieces, first, begin)?;
            self.made(merged, series, first, begin);
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
        if chunks.is_empty() {
            return Ok(());
        }
        if let Some(downsampling) = &mut self.downsampling
            && is_chosen(self.rules, merged, series)
            && let Err(m) = downsampling.series(series as u32, chunks, &self.out.bytes[begin..])
        {
            return Err(self.blame(merged, pieces, m));
        }
        if self.has_plain {
            self.plain.add(&Fingerprint { series: 1, ..self.sum });
            self.out.counts.series += 1;
            self.out.series.push((series as u32, self.out.chunks.len() as u32));
        } else {
            self.out.chunks.truncate(first);
            self.out.bytes.truncate(begin);
        }
        Ok(())
    }

    /// Downsamples the only piece of a series whose chunks do not go out: nothing is copied.
    fn pass_by(&mut self, merged: &MergedBatch, series: usize, piece: &Piece) -> Result<(), Error> {
        let Some(downsampling) = &mut self.downsampling else { return Ok(()) };
        let (input, batch) = source(merged, piece);
        let chunks = batch.chunks(piece.series as usize);
        let is_chosen = is_chosen(self.rules, merged, series);
        let records = &mut self.records[input];
        let mut each = || {
            for meta in chunks {
                let wrong = |m| (meta.reference, m);
                let (record, _) = records.get(meta.reference).map_err(wrong)?;
                let encoding = encoding_of(record.encoding, meta).map_err(wrong)?;
                if is_chosen {
                    downsampling.push(encoding, record.data, meta.min_time, meta.max_time).map_err(wrong)?;
                }
            }
            downsampling.end(series as u32).map_err(|m| (chunks[0].reference, m))
        };
        each().map_err(|(reference, m)| damaged(self.rules, input, reference, m))
    }

    /// Copies the pieces one after the other, where that is all there is to do.
    fn apart(&mut self, merged: &MergedBatch, pieces: &[Piece], intact: bool) -> Result<(), Error> {
        for piece in pieces {
            let (input, batch) = source(merged, piece);
            let last = batch.chunks(piece.series as usize).last();
            // a sample at the very end of a block is cut in one step, merged in another
            if !intact || last.is_none_or(|c| c.max_time >= self.rules.ends[input]) {
                return Err(not_apart(self.rules.blocks[input]));
            }
        }
        let Some(order) = one_after_the_other(merged, pieces) else {
            return Err(not_apart(self.rules.blocks[source(merged, &pieces[0]).0]));
        };
        order.iter().try_for_each(|piece| self.copy(merged, piece))
    }

    /// Copies all records of one piece.
    fn copy(&mut self, merged: &MergedBatch, piece: &Piece) -> Result<(), Error> {
        let (input, batch) = source(merged, piece);
        let labels = LabelsSum::of(batch.labels(piece.series as usize));
        for meta in batch.chunks(piece.series as usize) {
            let (record, whole) =
                self.records[input].get(meta.reference).map_err(|m| damaged(self.rules, input, meta.reference, m))?;
            let encoding = encoding_of(record.encoding, meta).map_err(|m| damaged(self.rules, input, meta.reference, m))?;
            let candidate = Candidate { meta: *meta, encoding, data: record.data };
            let record = RecordSum { crc: record.crc, data_bytes: record.data.len() as u32, encoding: record.encoding };
            self.sum.chunk(labels, (meta.min_time, meta.max_time), record);
            self.out.copy(candidate, whole).map_err(|m| damaged(self.rules, input, meta.reference, m))?;
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
        let samples = self.out.counts.samples - counts.samples;
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
        self.dropped += samples * (pieces.len() as u64 - 1);
        Ok(true)
    }

    /// The general way: samples that are deleted taken out, overlapping chunks merged.
    fn merge(&mut self, merged: &MergedBatch, pieces: &[Piece]) -> Result<(), Error> {
        self.decoded.clear();
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
                    cut(self.rules, chunk, &deletions)
                })()
                .map_err(|m| damaged(self.rules, input, meta.reference, m))?;
                list.extend(chunk);
            }
            lists.push(list);
        }
        let chunks = match lists.len() {
            1 => lists.remove(0),
            _ => match self.joiner.join(lists, &mut self.decoded) {
                Ok(chunks) => chunks,
                Err(m) => return Err(self.blame(merged, pieces, m)),
            },
        };
        for c in chunks {
            self.out.push(&c).map_err(|m| self.damaged(source(merged, &pieces[0]).0, m))?;
        }
        Ok(())
    }

    /// Chunk by chunk, as the judge has it.
    fn salvage(&mut self, merged: &MergedBatch, series: usize, piece: &Piece, salvage: &dyn Salvage) -> Result<(), Error> {
        let (input, batch) = source(merged, piece);
        let deletions: Vec<_> = batch.deletions(piece.series as usize).iter().map(|d| (d.min, d.max)).collect();
        let mut before: Option<(ChunkMeta, Encoding, Vec<u8>)> = None;
        for &meta in batch.chunks(piece.series as usize) {
            let read = self.records[input].get(meta.reference).and_then(|(record, whole)| {
                let encoding = encoding_of(record.encoding, &meta)?;
                chunk::sample_count(encoding, record.data)?;
                Ok((Candidate { meta, encoding, data: record.data }, whole))
            });
            let (candidate, whole) = match read {
                Ok(read) => read,
                Err(why) if salvage.skips_damage() => {
                    let labels = self.labels(merged, series);
                    self.lost.push(Lost { labels, chunk: Some(meta), why });
                    continue;
                }
                Err(m) => return Err(damaged(self.rules, input, meta.reference, m)),
            };
            let last = before.as_ref().map(|b| Candidate { meta: b.0, encoding: b.1, data: &b.2 });
            let wrong = |m| damaged(self.rules, input, meta.reference, m);
            if !salvage.keeps(last, candidate).map_err(wrong)? {
                continue;
            }
            before = Some((meta, candidate.encoding, candidate.data.to_vec()));
            if deletions.is_empty() {
                self.out.copy(candidate, whole).map_err(wrong)?;
                continue;
            }
            let Candidate { encoding, data, .. } = candidate;
            let chunk = Chunk { min_time: meta.min_time, max_time: meta.max_time, encoding, data: data.to_vec() };
            if let Some(chunk) = cut(self.rules, chunk, &deletions).map_err(wrong)? {
                self.out.push(&chunk).map_err(wrong)?;
            }
        }
        Ok(())
    }

    fn labels(&self, merged: &MergedBatch, series: usize) -> Vec<(String, String)> {
        let Some(symbols) = &self.rules.symbols else { return Vec::new() };
        let view = SeriesView { symbols, labels: merged.labels(series), chunks: &[], place: Place::NOWHERE };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        view.labels().map(|(name, value)| (text(name), text(value))).collect()
    }

    /// Names the chunk that did not decode: the merge of many does not know which it was.
    #[cold]
    fn blame(&mut self, merged: &MergedBatch, pieces: &[Piece], m: Malformed) -> Error {
        for piece in pieces {
            let (input, batch) = source(merged, piece);
            for meta in batch.chunks(piece.series as usize) {
                let decoded = self.records[input].get(meta.reference).and_then(|(record, _)| {
                    let encoding = encoding_of(record.encoding, meta)?;
                    if encoding == Encoding::Aggregate {
                        return Ok(()); // it has no samples of its own
                    }
                    Samples::new(encoding, record.data)?.collect::<Result<Vec<_>, _>>().map(drop)
                });
                if let Err(m) = decoded {
                    return damaged(self.rules, input, meta.reference, m);
                }
            }
        }
        self.damaged(source(merged, &pieces[0]).0, m)
    }

    fn damaged(&self, input: usize, m: Malformed) -> Error {
        Error::from(m).block(self.rules.blocks[input]).next(LOOK_AND_MARK)
    }
}

#[cold]
fn damaged(rules: &Rules, input: usize, at: ChunkRef, m: Malformed) -> Error {
    let segment = format!("chunks/{:06}", u64::from(at.segment()) + 1);
    Error::new(crate::error::Kind::Corrupt, m.why)
        .block(rules.blocks[input])
        .part(segment)
        .at(u64::from(at.offset()))
        .next(LOOK_AND_MARK)
}

/// The chunk without deleted times; aggregates lose whole windows.
fn cut(rules: &Rules, chunk: Chunk, deletions: &[(Millis, Millis)]) -> Result<Option<Chunk>, Malformed> {
    match chunk.encoding {
        Encoding::Aggregate => without_windows(chunk, rules.resolution, deletions),
        _ => without(chunk, deletions),
    }
}

/// Whether a series is downsampled.
fn is_chosen(rules: &Rules, merged: &MergedBatch, series: usize) -> bool {
    match (&rules.choose, &rules.symbols) {
        (Some(choose), Some(symbols)) => {
            choose.takes(SeriesView { symbols, labels: merged.labels(series), chunks: &[], place: Place::NOWHERE })
        }
        _ => true,
    }
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
