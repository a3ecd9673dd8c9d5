//! A whole chunk at once, as columns.

use super::bits::PART;
use super::histogram::NativeReader;
use super::native::Native;
use super::{Encoding, FloatSamples};
use crate::encoding::Malformed;
use crate::model::{FloatHistogram, Histogram, Millis, ResetHint, is_stale};

/// The samples of a chunk, field by field; buffers are reused from chunk to chunk.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// Times, as stored.
    pub times: Vec<Millis>,
    /// Since when each counts; empty where the encoding has no start times.
    pub starts: Vec<Millis>,
    /// Values.
    pub values: ColumnValues,
}

/// The values of [`Columns`].
#[derive(Clone, Debug)]
pub enum ColumnValues {
    /// Floats.
    Floats(Vec<f64>),
    /// Histograms with integer counts; buckets are deltas to the bucket before.
    Histograms(HistogramColumns<Histogram>),
    /// Histograms with float counts; buckets are absolute.
    FloatHistograms(HistogramColumns<FloatHistogram>),
}

impl Default for ColumnValues {
    fn default() -> Self {
        ColumnValues::Floats(Vec::new())
    }
}

/// Histograms of one chunk, which share a layout.
///
/// A staleness marker is a row whose sum is the marker and whose numbers are 0.
#[derive(Clone, Debug, Default)]
pub struct HistogramColumns<H: Native> {
    /// Schema, zero threshold, spans and bounds of all rows; its numbers are those of the first row
    /// that is not stale.
    pub layout: H,
    /// What the chunk's header says of a reset before the first row.
    pub hint: ResetHint,
    /// Observations.
    pub counts: Vec<H::Count>,
    /// Observations in the zero bucket.
    pub zero_counts: Vec<H::Count>,
    /// Sums of observations.
    pub sums: Vec<f64>,
    /// Positive buckets, row by row.
    pub positive_buckets: Vec<H::Bucket>,
    /// Negative buckets, row by row.
    pub negative_buckets: Vec<H::Bucket>,
    /// Which row of the buckets belongs to each histogram; [`NO_BUCKETS`] to stale ones.
    rows: Vec<u32>,
}

/// Instead of a row, of a histogram without buckets.
const NO_BUCKETS: u32 = u32::MAX;

impl<H: Native> HistogramColumns<H> {
    /// The positive and negative buckets of histogram `index`, as wide as the layout; none where stale.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn buckets(&self, index: usize) -> [&[H::Bucket]; 2] {
        let row = self.rows[index];
        if row == NO_BUCKETS {
            return [&[], &[]];
        }
        let row = row as usize;
        let [positive, negative] = self.layout.view().buckets.map(<[_]>::len);
        [&self.positive_buckets[row * positive..][..positive], &self.negative_buckets[row * negative..][..negative]]
    }

    fn clear(&mut self) {
        self.layout.clone_from(&H::default());
        self.hint = ResetHint::Unknown;
        self.counts.clear();
        self.zero_counts.clear();
        self.sums.clear();
        self.positive_buckets.clear();
        self.negative_buckets.clear();
        self.rows.clear();
    }

    /// Adds `value`; `row` counts those before it that are not stale.
    fn push(&mut self, value: &H, row: u32) {
        let view = value.view();
        let (count, zero_count) = value.counts();
        self.counts.push(count);
        self.zero_counts.push(zero_count);
        self.sums.push(view.sum);
        if is_stale(view.sum) {
            self.rows.push(NO_BUCKETS);
            return;
        }
        if row == 0 {
            self.layout.clone_from(value);
        }
        self.rows.push(row);
        self.positive_buckets.extend_from_slice(view.buckets[0]);
        self.negative_buckets.extend_from_slice(view.buckets[1]);
    }
}

impl Columns {
    /// No columns yet.
    pub fn new() -> Self {
        Columns::default()
    }

    /// Forgets the samples and keeps the buffers.
    pub fn clear(&mut self) {
        self.times.clear();
        self.starts.clear();
        match &mut self.values {
            ColumnValues::Floats(floats) => floats.clear(),
            ColumnValues::Histograms(columns) => columns.clear(),
            ColumnValues::FloatHistograms(columns) => columns.clear(),
        }
    }
}

/// Decodes a whole chunk of any encoding but the aggregate's into `columns`, whose buffers are reused.
///
/// # Errors
/// [`Malformed`] as [`Samples`](super::Samples) has it; `columns` then hold the samples before the damage.
pub fn decode_columns(encoding: Encoding, data: &[u8], columns: &mut Columns) -> Result<(), Malformed> {
    columns.clear();
    let Columns { times, starts, values } = columns;
    match encoding {
        Encoding::Xor | Encoding::Xor2 => {
            let samples = FloatSamples::new(encoding, data)?;
            let mut column = match std::mem::take(values) {
                ColumnValues::Floats(column) => column,
                _ => Vec::new(),
            };
            let done = floats(samples, times, starts, &mut column);
            *values = ColumnValues::Floats(column);
            done
        }
        Encoding::Histogram | Encoding::HistogramSt => {
            let reader = NativeReader::new(encoding, data)?;
            let mut rows = match std::mem::take(values) {
                ColumnValues::Histograms(rows) => rows,
                _ => HistogramColumns::default(),
            };
            let done = histograms(reader, times, starts, &mut rows);
            *values = ColumnValues::Histograms(rows);
            done
        }
        Encoding::FloatHistogram | Encoding::FloatHistogramSt => {
            let reader = NativeReader::new(encoding, data)?;
            let mut rows = match std::mem::take(values) {
                ColumnValues::FloatHistograms(rows) => rows,
                _ => HistogramColumns::default(),
            };
            let done = histograms(reader, times, starts, &mut rows);
            *values = ColumnValues::FloatHistograms(rows);
            done
        }
        Encoding::Aggregate => Err(Malformed::new(PART, 0, "an aggregate has no samples of its own")),
    }
}

/// Decodes a chunk of floats (XOR or XOR2) behind what the columns hold; `starts` grow only where the
/// encoding has start times.
///
/// # Errors
/// [`Malformed`] as [`FloatSamples`] has it; the columns then also hold the samples before the damage.
pub fn decode_floats(
    encoding: Encoding,
    data: &[u8],
    times: &mut Vec<Millis>,
    starts: &mut Vec<Millis>,
    values: &mut Vec<f64>,
) -> Result<(), Malformed> {
    floats(FloatSamples::new(encoding, data)?, times, starts, values)
}

/// The hot loop; what is regular is decoded many samples at a time.
fn floats(
    mut samples: FloatSamples<'_>,
    times: &mut Vec<Millis>,
    starts: &mut Vec<Millis>,
    values: &mut Vec<f64>,
) -> Result<(), Malformed> {
    let count = samples.remaining() as usize;
    let before = values.len();
    times.reserve(count);
    values.resize(before + count, 0.0);
    let new = &mut values[before..];
    let mut done = 0;
    let result = loop {
        done += samples.regular(times, &mut new[done..]);
        match samples.advance() {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(e) => break Err(e),
        }
        times.push(samples.time());
        new[done] = samples.value();
        if samples.has_starts() {
            starts.push(samples.start());
        }
        done += 1;
    };
    values.truncate(before + done);
    result
}

fn histograms<H: Native>(
    mut reader: NativeReader<'_, H>,
    times: &mut Vec<Millis>,
    starts: &mut Vec<Millis>,
    rows: &mut HistogramColumns<H>,
) -> Result<(), Malformed> {
    rows.hint = reader.chunk_hint;
    let mut row = 0;
    while reader.advance()? {
        times.push(reader.time);
        if reader.has_starts {
            starts.push(reader.starts.start);
        }
        rows.push(reader.value(), row);
        row += u32::from(!is_stale(reader.last.view().sum));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Samples, ValueRef, golden};
    use super::*;

    #[test]
    fn the_same_as_one_by_one() {
        let mut columns = Columns::new();
        for chunk in golden::chunks().into_iter().filter(|c| c.encoding != Encoding::Aggregate) {
            decode_columns(chunk.encoding, &chunk.data, &mut columns).unwrap();
            let mut samples = Samples::new(chunk.encoding, &chunk.data).unwrap();
            let mut i = 0;
            while samples.advance().unwrap() {
                assert_eq!(columns.times[i], samples.time());
                assert_eq!(columns.starts.get(i).copied().unwrap_or(0), samples.start());
                match (&columns.values, samples.value()) {
                    (ColumnValues::Floats(v), ValueRef::Float(expected)) => assert_eq!(v[i].to_bits(), expected.to_bits()),
                    (ColumnValues::Histograms(rows), ValueRef::Histogram(h)) => {
                        assert_eq!(rows.buckets(i), [&h.positive_buckets[..], &h.negative_buckets[..]]);
                        assert_eq!((rows.counts[i], rows.zero_counts[i]), (h.count, h.zero_count));
                        assert_eq!(rows.sums[i].to_bits(), h.sum.to_bits());
                        assert!(is_stale(h.sum) || rows.layout.positive_spans == h.positive_spans);
                    }
                    (ColumnValues::FloatHistograms(rows), ValueRef::FloatHistogram(h)) => {
                        assert_eq!(rows.buckets(i), [&h.positive_buckets[..], &h.negative_buckets[..]]);
                        assert_eq!((rows.counts[i], rows.zero_counts[i]), (h.count, h.zero_count));
                        assert!(is_stale(h.sum) || rows.layout.custom_values == h.custom_values);
                    }
                    (columns, value) => panic!("{columns:?} for {value:?}"),
                }
                i += 1;
            }
            assert_eq!(i, columns.times.len());
        }
    }

    #[test]
    fn behind_what_is_there() {
        let (mut times, mut starts, mut values) = (vec![7], vec![7], vec![7.0]);
        let mut columns = Columns::new();
        for chunk in golden::chunks().into_iter().filter(|c| matches!(c.encoding, Encoding::Xor | Encoding::Xor2)) {
            decode_columns(chunk.encoding, &chunk.data, &mut columns).unwrap();
            let before = (times.len(), starts.len());
            decode_floats(chunk.encoding, &chunk.data, &mut times, &mut starts, &mut values).unwrap();
            assert_eq!(times[before.0..], columns.times);
            assert_eq!(starts[before.1..], columns.starts);
            let ColumnValues::Floats(floats) = &columns.values else { panic!("floats") };
            assert!(values[before.0..].iter().zip(floats).all(|(a, b)| a.to_bits() == b.to_bits()));
            assert_eq!(values.len(), times.len());
        }
        assert_eq!((times[0], starts[0], values[0]), (7, 7, 7.0));
        assert!(decode_floats(Encoding::Histogram, &[], &mut times, &mut starts, &mut values).is_err());
    }

    #[test]
    fn what_comes_before_damage_is_kept() {
        let chunk = golden::chunks().into_iter().find(|c| c.encoding == Encoding::Xor && c.data.len() > 200).unwrap();
        let mut columns = Columns::new();
        decode_columns(Encoding::Xor, &chunk.data, &mut columns).unwrap();
        let whole = columns.times.clone();
        assert!(decode_columns(Encoding::Xor, &chunk.data[..chunk.data.len() - 20], &mut columns).is_err());
        assert!(!columns.times.is_empty() && columns.times.len() < whole.len());
        assert_eq!(columns.times, whole[..columns.times.len()]);
        assert!(decode_columns(Encoding::Xor, &chunk.data[..1], &mut columns).is_err());
        assert!(columns.times.is_empty());
    }
}
