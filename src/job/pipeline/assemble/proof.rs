//! Samples of a series that was merged or cut, held against the samples of its inputs.
//!
//! Both sides are decoded here once more: the inputs from the records that were fetched, the output from the
//! records that go out.

use super::{Assembling, Piece, RecordSum, damaged, encoding_of, source};
use crate::block::fingerprint::{Fingerprint, LabelsSum};
use crate::error::{Error, Kind};
use crate::format::Malformed;
use crate::format::chunk::{ColumnValues, Columns, Encoding, decode_columns};
use crate::format::segment::{data_of, encoded_len};
use crate::job::pipeline::assemble::{Column, Rules};
use crate::job::pipeline::hooks::Join;
use crate::job::pipeline::merge::MergedBatch;
use crate::model::Millis;

/// A time, which kind of value there is, and its bits: of a histogram those of its sum, since a merge may write its
/// buckets in another way.
type Mark = (Millis, u8, u64);

/// Buffers of a check; kept from series to series.
#[derive(Default)]
pub(super) struct Marks {
    columns: Columns,
    inputs: Vec<Mark>,
    output: Vec<Mark>,
}

impl Marks {
    /// Decodes a chunk, without the times that are deleted.
    fn decode(
        &mut self,
        encoding: Encoding,
        data: &[u8],
        deleted: impl Fn(Millis) -> bool,
        is_input: bool,
    ) -> Result<(), Malformed> {
        decode_columns(encoding, data, &mut self.columns)?;
        let Columns { times, values, .. } = &self.columns;
        let (kind, floats) = match values {
            ColumnValues::Floats(floats) => (0, floats),
            ColumnValues::Histograms(h) => (1, &h.sums),
            ColumnValues::FloatHistograms(h) => (2, &h.sums),
        };
        let marks = times.iter().zip(floats).filter(|(t, _)| !deleted(**t)).map(|(&t, v)| (t, kind, v.to_bits()));
        if is_input {
            self.inputs.extend(marks)
        } else {
            self.output.extend(marks)
        }
        Ok(())
    }
}

impl Assembling<'_> {
    /// Counts the chunks of a series from `first` on, whose records begin at `begin`, as they are.
    pub(super) fn made(&mut self, merged: &MergedBatch, series: usize, first: usize, begin: usize) {
        let mut sum = Fingerprint::default();
        of_records(&self.out, LabelsSum::of(merged.labels(series)), first..self.out.chunks.len(), begin, &mut sum);
        self.sum = sum;
    }

    /// Holds the chunks of a series from `first` on, whose records begin at `begin`, against the samples of its
    /// pieces.
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
        self.marks.inputs.clear();
        self.marks.output.clear();
        let mut is_orderly = true;
        for piece in pieces {
            let (input, batch) = source(merged, piece);
            let deletions = batch.deletions(piece.series as usize);
            let from = self.marks.inputs.len();
            for meta in batch.chunks(piece.series as usize) {
                let named = |m| damaged(self.rules, input, meta.reference, m);
                let (record, _) = self.records[input].get(meta.reference).map_err(named)?;
                let encoding = encoding_of(record.encoding, meta).map_err(named)?;
                let deleted = |t| deletions.iter().any(|d| d.min <= t && t <= d.max);
                self.marks.decode(encoding, record.data, deleted, true).map_err(named)?;
            }
            is_orderly &= self.marks.inputs[from..].windows(2).all(|w| w[0].0 < w[1].0);
        }
        let mut at = begin;
        for chunk in &self.out.chunks[first..] {
            let end = at + encoded_len(u64::from(chunk.data_bytes)) as usize;
            let data = data_of(&self.out.bytes[at..end], chunk.data_bytes);
            let decoded = self.marks.decode(chunk.encoding, data, |_| false, false);
            decoded.map_err(|m| wrong(self.rules, source(merged, &pieces[0]).0, &m.to_string()))?;
            at = end;
        }
        let Marks { inputs, output, .. } = &mut self.marks;
        // runs that are in order already: this is a merge of them
        inputs.sort();
        match compare(inputs, output, self.rules.join, is_orderly) {
            Ok(dropped) => {
                self.dropped += dropped;
                Ok(())
            }
            Err(why) => Err(wrong(self.rules, source(merged, &pieces[0]).0, &why)),
        }
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

/// Whether `output` is what may become of `inputs`, both in order of time; how many samples are missing.
fn compare(inputs: &[Mark], output: &[Mark], join: Join, is_orderly: bool) -> Result<u64, String> {
    let mut rest = inputs;
    let mut last = None;
    for mark in output {
        if is_orderly && last >= Some(mark.0) {
            return Err(format!("two samples at {}", mark.0));
        }
        last = Some(mark.0);
        let found = match is_orderly {
            true => {
                rest = &rest[rest.iter().position(|m| m >= mark).unwrap_or(rest.len())..];
                rest.first() == Some(mark)
            }
            false => inputs.binary_search(mark).is_ok(),
        };
        if !found {
            return Err(format!("a sample at {} that no input has", mark.0));
        }
    }
    if is_orderly {
        let times = 1 + inputs.windows(2).filter(|w| w[0].0 != w[1].0).count();
        match join {
            _ if inputs.is_empty() => {}
            Join::OneToOne | Join::Anew if times != output.len() => {
                return Err(format!("samples at {} times became {}", times, output.len()));
            }
            Join::Penalty if output.first().map(|m| m.0) != inputs.first().map(|m| m.0) => {
                return Err("the first sample is missing".to_owned());
            }
            _ => {}
        }
    }
    Ok(inputs.len().saturating_sub(output.len()) as u64)
}

#[cold]
pub(super) fn wrong(rules: &Rules, input: usize, why: &str) -> Error {
    Error::new(Kind::Corrupt, format!("a merged series is not what its inputs are: {why}"))
        .block(rules.blocks[input])
        .next("nothing was marked for deletion; run it again, and report it if it comes back")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(inputs: &[Mark], output: &[Mark], join: Join, expected: Result<u64, &str>) {
        assert_eq!(compare(inputs, output, join, true), expected.map_err(str::to_owned), "{inputs:?} {output:?}");
    }

    #[test]
    fn what_may_be_missing() {
        let (a, b, c) = ((1, 0, 7), (2, 0, 8), (3, 0, 9));
        check(&[a, b, c], &[a, b, c], Join::OneToOne, Ok(0));
        check(&[a, b, b, c], &[a, b, c], Join::OneToOne, Ok(1));
        check(&[a, (2, 0, 5), b, c], &[a, b, c], Join::OneToOne, Ok(1));
        check(&[a, b, c], &[a, c], Join::OneToOne, Err("samples at 3 times became 2"));
        check(&[a, b, c], &[a, c], Join::Penalty, Ok(1));
        check(&[a, b, c], &[b, c], Join::Penalty, Err("the first sample is missing"));
        check(&[a, c], &[a, b], Join::Penalty, Err("a sample at 2 that no input has"));
        check(&[a, b], &[a, (2, 0, 9)], Join::Penalty, Err("a sample at 2 that no input has"));
        check(&[a, b], &[a, (2, 1, 8)], Join::OneToOne, Err("a sample at 2 that no input has"));
        check(&[a, b], &[a, b, b], Join::OneToOne, Err("two samples at 2"));
        check(&[], &[], Join::Penalty, Ok(0));
        check(&[], &[a], Join::OneToOne, Err("a sample at 1 that no input has"));
    }
}
