//! Samples of a series that was merged or cut, held against the samples of its inputs.
//!
//! Both sides are decoded here once more: the inputs from the records that were fetched, the output from the
//! records that go out.

use super::account;
use super::{Assembling, Piece, RecordSum, damaged, encoding_of, source};
use crate::block::fingerprint::{Fingerprint, LabelsSum};
use crate::error::{Error, Kind};
use crate::format::Malformed;
use crate::format::chunk::{self, ColumnValues, Columns, Encoding, Samples, decode_columns};
use crate::format::segment::{ChunkRef, data_of, encoded_len};
use crate::job::pipeline::assemble::{Column, Rules};
use crate::job::pipeline::hooks::Join;
use crate::job::pipeline::merge::MergedBatch;
use crate::model::{Millis, Sample};
use crate::series::DecodedChunks;

/// Buffers of a check; kept from series to series.
#[derive(Default)]
pub(super) struct Proof {
    /// The input that errors name.
    blamed: usize,
    columns: Columns,
    taken: Vec<Taken>,
    /// Chunks of the inputs that lose samples, without those.
    cut: DecodedChunks,
    /// Chunks that are in no input.
    made: DecodedChunks,
    /// Times and samples of what the merge decoded.
    keys: Vec<Key>,
    record: Vec<u8>,
}

/// A chunk of an input that loses no samples to deletions.
#[derive(Clone, Copy, Debug)]
struct Taken {
    key: Key,
    input: usize,
    reference: ChunkRef,
    fate: Fate,
}

/// First and last time of a chunk, and how many samples it has.
type Key = (Millis, Millis, usize);

/// What became of a chunk of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Unknown,
    /// It went out as it is.
    Copied,
    /// The merge decoded it.
    Decoded,
    /// Another one of the inputs has the same bytes.
    Twin,
}

/// Decodes a chunk, without the times that are deleted, behind `to`.
fn decode(
    columns: &mut Columns,
    (encoding, data): (Encoding, &[u8]),
    times: (Millis, Millis),
    deleted: impl Fn(Millis) -> bool,
    to: &mut DecodedChunks,
) -> Result<(), Malformed> {
    if !matches!(encoding, Encoding::Xor | Encoding::Xor2) {
        let samples: Result<Vec<Sample>, Malformed> = Samples::new(encoding, data)?.collect();
        let mut samples = samples?;
        samples.retain(|s| !deleted(s.time));
        to.samples(times, &samples);
        return Ok(());
    }
    decode_columns(encoding, data, columns)?;
    let Columns { times: all, values: ColumnValues::Floats(floats), .. } = columns else { return Ok(()) };
    if all.iter().any(|t| deleted(*t)) {
        let mut keeps = all.iter().map(|t| !deleted(*t)).collect::<Vec<_>>().into_iter();
        floats.retain(|_| keeps.next().unwrap_or(true));
        all.retain(|t| !deleted(*t));
    }
    to.floats(times, all, floats);
    Ok(())
}

impl Assembling<'_> {
    /// Counts the chunks of a series from `first` on, whose records begin at `begin`, as they are.
    pub(super) fn made(&mut self, merged: &MergedBatch, series: usize, first: usize, begin: usize) {
        let mut sum = Fingerprint::default();
        of_records(&self.out, LabelsSum::of(merged.labels(series)), first..self.out.chunks.len(), begin, &mut sum);
        self.sum = sum;
    }

    /// Holds the chunks of a series from `first` on, whose records begin at `begin`, against those of its pieces: each
    /// chunk of an input went out as it is, or was decoded, or another one is equal to it; what was made of those that
    /// were decoded has their samples and no others.
    ///
    /// # Errors
    /// `Corrupt` where a sample is in no input, or one is missing that may not be.
    pub(super) fn hold_against(
        &mut self,
        merged: &MergedBatch,
        pieces: &[Piece],
        first: usize,
        begin: usize,
    ) -> Result<(), Error> {
        if self.rules.resolution != 0 {
            // aggregates are cut or copied, never merged; what is cut has no samples of its own
            return Ok(());
        }
        self.proof.blamed = source(merged, &pieces[0]).0;
        let samples_in = self.take(merged, pieces)?;
        self.told_decoded()?;
        let samples_out = self.put(first, begin)?;
        self.told_copied()?;
        let Proof { blamed, taken, cut, made, .. } = &self.proof;
        let is_taken = |key: Key| taken.binary_search_by_key(&key, |t| t.key).is_ok();
        let decoded = self.decoded.iter().filter(|c| is_taken((c.min_time, c.max_time, c.times.len())));
        let mut inputs: Vec<_> = decoded.chain(cut.iter()).collect();
        let may_drop = self.rules.join == Join::Penalty && pieces.len() > 1;
        let is_orderly = account::hold(&mut inputs, made, !may_drop).map_err(|why| wrong(self.rules, *blamed, &why))?;
        if is_orderly {
            let begins = taken.first().map(|t| t.key.0).into_iter().chain(cut.times().iter().copied().min()).min();
            if begins != self.out.chunks.get(first).map(|c| c.min_time) {
                return Err(wrong(self.rules, *blamed, "the first sample is missing"));
            }
        }
        self.dropped += samples_in.saturating_sub(samples_out) as u64;
        Ok(())
    }

    /// Lists the chunks of the pieces by time, and decodes those that samples are deleted from; how many samples
    /// there are.
    fn take(&mut self, merged: &MergedBatch, pieces: &[Piece]) -> Result<usize, Error> {
        let Proof { columns, taken, cut, .. } = &mut self.proof;
        taken.clear();
        cut.clear();
        let mut samples_in = 0;
        for piece in pieces {
            let (input, batch) = source(merged, piece);
            let deletions = batch.deletions(piece.series as usize);
            for meta in batch.chunks(piece.series as usize) {
                let named = |m| damaged(self.rules, input, meta.reference, m);
                let (record, _) = self.records[input].get(meta.reference).map_err(named)?;
                let encoding = encoding_of(record.encoding, meta).map_err(named)?;
                let times = (meta.min_time, meta.max_time);
                if deletions.iter().any(|d| d.min <= meta.max_time && meta.min_time <= d.max) {
                    let deleted = |t| deletions.iter().any(|d| d.min <= t && t <= d.max);
                    decode(columns, (encoding, record.data), times, deleted, cut).map_err(named)?;
                } else {
                    let samples = chunk::sample_count(encoding, record.data).map_err(named)? as usize;
                    let key = (meta.min_time, meta.max_time, samples);
                    taken.push(Taken { key, input, reference: meta.reference, fate: Fate::Unknown });
                    samples_in += samples;
                }
            }
        }
        taken.sort_unstable_by_key(|t| (t.key, t.input, t.reference));
        Ok(samples_in + cut.times().len())
    }

    /// Finds those that the merge decoded. Of some with the same times it may have decoded fewer, if others are equal.
    fn told_decoded(&mut self) -> Result<(), Error> {
        let keys = &mut self.proof.keys;
        keys.clear();
        keys.extend(self.decoded.iter().map(|c| (c.min_time, c.max_time, c.times.len())));
        keys.sort_unstable();
        let mut begin = 0;
        while let Some(&Taken { key, .. }) = self.proof.taken.get(begin) {
            let many = self.proof.taken[begin..].partition_point(|t| t.key == key);
            let keys = &self.proof.keys[self.proof.keys.partition_point(|k| *k < key)..];
            let decoded = keys.partition_point(|k| *k == key);
            let mut left = decoded;
            for n in begin..begin + many {
                if decoded >= many {
                    self.proof.taken[n].fate = Fate::Decoded;
                } else if decoded > 0 {
                    self.proof.taken[n].fate = match self.has_twin(begin..n, n, Fate::Decoded)? {
                        true => Fate::Twin,
                        false => Fate::Decoded,
                    };
                    if self.proof.taken[n].fate == Fate::Decoded {
                        match left.checked_sub(1) {
                            Some(less) => left = less,
                            None => return Err(self.nowhere(key)),
                        }
                    }
                }
            }
            begin += many;
        }
        Ok(())
    }

    /// Finds those that went out as they are, and decodes what did not come in; how many samples went out.
    fn put(&mut self, first: usize, begin: usize) -> Result<usize, Error> {
        let Proof { blamed, columns, taken, made, .. } = &mut self.proof;
        made.clear();
        let (mut at, mut samples_out) = (begin, 0);
        for chunk in &self.out.chunks[first..] {
            let times = (chunk.min_time, chunk.max_time);
            let whole = &self.out.bytes[at..at + encoded_len(u64::from(chunk.data_bytes)) as usize];
            at += whole.len();
            let from = taken.partition_point(|t| (t.key.0, t.key.1) < times);
            let like = taken[from..].iter_mut().take_while(|t| (t.key.0, t.key.1) == times);
            let mut copied = None;
            for taken in like.filter(|t| t.fate == Fate::Unknown) {
                let record = self.records[taken.input].get(taken.reference);
                let (_, bytes) = record.map_err(|m| damaged(self.rules, taken.input, taken.reference, m))?;
                if bytes == whole {
                    copied = Some(taken);
                    break;
                }
            }
            if let Some(taken) = copied {
                taken.fate = Fate::Copied;
                samples_out += taken.key.2;
                continue;
            }
            let before = made.times().len();
            let data = data_of(whole, chunk.data_bytes);
            decode(columns, (chunk.encoding, data), times, |_| false, made)
                .map_err(|m| wrong(self.rules, *blamed, &m.to_string()))?;
            let held = &made.times()[before..];
            if (held.first(), held.last()) != (Some(&times.0), Some(&times.1)) {
                let why = format!("a chunk [{}, {}] begins or ends at another time", times.0, times.1);
                return Err(wrong(self.rules, *blamed, &why));
            }
            samples_out += held.len();
        }
        Ok(samples_out)
    }

    /// Whether all others are equal to one that went out.
    fn told_copied(&mut self) -> Result<(), Error> {
        for n in 0..self.proof.taken.len() {
            let Taken { key, fate, .. } = self.proof.taken[n];
            if fate != Fate::Unknown {
                continue;
            }
            let from = self.proof.taken.partition_point(|t| t.key < key);
            let to = self.proof.taken.partition_point(|t| t.key <= key);
            if !self.has_twin(from..to, n, Fate::Copied)? {
                return Err(self.nowhere(key));
            }
        }
        Ok(())
    }

    /// Whether a chunk with this fate among `others` has the same bytes as chunk `n`.
    fn has_twin(&mut self, others: std::ops::Range<usize>, n: usize, fate: Fate) -> Result<bool, Error> {
        let Proof { taken, record, .. } = &mut self.proof;
        let named = |t: Taken, m| damaged(self.rules, t.input, t.reference, m);
        let (_, bytes) = self.records[taken[n].input].get(taken[n].reference).map_err(|m| named(taken[n], m))?;
        record.clear();
        record.extend_from_slice(bytes);
        for other in others.filter(|&other| other != n).map(|other| taken[other]).filter(|t| t.fate == fate) {
            if self.records[other.input].get(other.reference).map_err(|m| named(other, m))?.1 == *record {
                return Ok(true);
            }
        }
        Ok(false)
    }

    #[cold]
    fn nowhere(&self, (min_time, max_time, samples): Key) -> Error {
        let why = format!("a chunk [{min_time}, {max_time}] of {samples} samples was neither copied nor merged");
        wrong(self.rules, self.proof.blamed, &why)
    }
}

/// Counts records of `column` under the labels of one series.
fn of_records(column: &Column, labels: LabelsSum, chunks: std::ops::Range<usize>, begin: usize, sum: &mut Fingerprint) -> usize {
    let mut at = begin;
    for chunk in &column.chunks[chunks] {
        let end = at + encoded_len(u64::from(chunk.data_bytes)) as usize;
        let record = RecordSum::of(&column.bytes[at..end], chunk.encoding.as_byte(), chunk.data_bytes);
        sum.chunk(labels, (chunk.min_time, chunk.max_time), record);
        at = end;
    }
    at
}

/// What a column of records that were made here holds.
pub(super) fn of_column(column: &Column, merged: &MergedBatch) -> Fingerprint {
    let mut sum = Fingerprint::default();
    let (mut first, mut at) = (0, 0);
    for &(series, end) in &column.series {
        at = of_records(column, LabelsSum::of(merged.labels(series as usize)), first..end as usize, at, &mut sum);
        first = end as usize;
        sum.series += 1;
    }
    sum
}

#[cold]
pub(super) fn wrong(rules: &Rules, input: usize, why: &str) -> Error {
    Error::new(Kind::Corrupt, format!("a merged series is not what its inputs are: {why}"))
        .block(rules.blocks[input])
        .next("nothing was marked for deletion; run it again, and report it if it comes back")
}
