//! The histograms of one chunk as rows of floats.

use super::lane::Numbers;
use super::shape::Shape;
use super::{Kind, hint_of, without_unused};
use crate::format::Malformed;
use crate::format::chunk::{ColumnValues, Columns};
use crate::model::{FloatHistogram, Millis, ResetHint, bucket_bound, is_stale};

/// What a chunk's histograms share, and the one at hand.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    pub(super) times: Vec<Millis>,
    pub(super) sums: Vec<f64>,
    starts: Vec<Millis>,
    /// Rows that are aggregated: no staleness markers, nothing that goes back in time.
    pub(super) kept: Vec<usize>,
    layout: FloatHistogram,
    pub(super) shape: Shape,
    hint: ResetHint,
    /// Whether the chunk before had the same bounds: others are told as a reset, which they are not.
    same_bounds: bool,
    /// Whether sums leave out leading buckets, which lie within the zero bucket.
    is_overlapped: bool,
    /// Whether no sample of the chunk was taken yet.
    pub(super) is_first: bool,
    pub(super) numbers: Numbers,
    /// Positive buckets, and behind them negative ones.
    pub(super) buckets: Vec<f64>,
}

impl Rows {
    /// Takes what the chunk in `columns` shares.
    pub(super) fn load(&mut self, columns: &Columns) -> Result<(), Malformed> {
        let bounds = std::mem::take(&mut self.layout.custom_values);
        let sums = match &columns.values {
            ColumnValues::Histograms(rows) => {
                rows.layout.to_float_into(&mut self.layout);
                self.hint = rows.hint;
                &rows.sums
            }
            ColumnValues::FloatHistograms(rows) => {
                self.layout.clone_from(&rows.layout);
                self.hint = rows.hint;
                &rows.sums
            }
            ColumnValues::Floats(_) => return Err(Malformed::new("chunk", 0, "floats among aggregates of histograms")),
        };
        self.same_bounds = self.layout.custom_values == bounds;
        self.sums.clone_from(sums);
        self.times.clone_from(&columns.times);
        self.starts.clone_from(&columns.starts);
        self.kept.clear();
        let mut last = 0;
        for (row, (&time, &sum)) in self.times.iter().zip(&self.sums).enumerate() {
            if !is_stale(sum) && time >= last {
                self.kept.push(row);
                last = time;
            }
        }
        without_unused(&mut self.layout);
        if !self.layout.is_sound() {
            return Err(Malformed::new("chunk", 0, "histograms whose spans, buckets and bounds do not hold together"));
        }
        self.shape.set(&self.layout);
        let layout = &self.layout;
        self.is_overlapped = !layout.uses_custom_buckets()
            && self.shape.spans.iter().any(|spans| {
                let first = spans.iter().find(|span| span.length > 0);
                first.is_some() && {
                    let index = crate::model::span_indices(spans).next().unwrap_or_default();
                    bucket_bound(index, layout.schema) <= layout.zero_threshold
                }
            });
        Ok(())
    }

    pub(super) fn is_custom(&self) -> bool {
        self.layout.uses_custom_buckets()
    }

    /// Since when the sample counts; 0 where nothing is said.
    pub(super) fn start(&self, row: usize) -> Millis {
        self.starts.get(row).copied().unwrap_or(0)
    }

    /// What is known of a reset before the sample at hand; `anew` if its start says that there was one.
    ///
    /// Only the first sample that is taken can follow a reset, but where start times say so. The chunk's
    /// own word counts as far as it tells of a reset, which values may hide.
    pub(super) fn kind(&mut self, anew: bool) -> Kind {
        let is_first = std::mem::take(&mut self.is_first);
        match self.hint {
            ResetHint::Gauge => Kind::Gauge,
            _ if anew => Kind::Begins,
            ResetHint::Reset if is_first && self.same_bounds => Kind::Begins,
            _ if is_first => Kind::Unknown,
            _ => Kind::Follows,
        }
    }

    /// Reads a histogram into `numbers` and `buckets`; `false` if there is something odd about it.
    pub(super) fn read(&mut self, columns: &Columns, row: usize) -> bool {
        self.buckets.clear();
        let mut signs = 0;
        match &columns.values {
            ColumnValues::Histograms(rows) => {
                let zero_count = if self.is_custom() { 0.0 } else { rows.zero_counts[row] as f64 };
                self.numbers = Numbers { count: rows.counts[row] as f64, zero_count, sum: rows.sums[row] };
                for deltas in self.sides(rows.buckets(row)) {
                    let mut count = 0.0;
                    self.buckets.extend(deltas.iter().map(|&delta| {
                        count += delta as f64;
                        count
                    }));
                }
            }
            ColumnValues::FloatHistograms(rows) => {
                let zero_count = if self.is_custom() { 0.0 } else { rows.zero_counts[row] };
                self.numbers = Numbers { count: rows.counts[row], zero_count, sum: rows.sums[row] };
                for counts in self.sides(rows.buckets(row)) {
                    self.buckets.extend_from_slice(counts);
                }
                signs = self.buckets.iter().fold(0, |signs, count| signs | count.to_bits());
            }
            ColumnValues::Floats(_) => return false,
        }
        // negative zeros are not added as zeros that are not there
        signs >> 63 == 0 && !self.is_overlapped
    }

    /// The histogram itself.
    pub(super) fn histogram(&mut self, columns: &Columns, row: usize, kind: Kind) -> FloatHistogram {
        self.read(columns, row);
        let mut histogram = self.layout.clone();
        histogram.reset_hint = hint_of(kind);
        (histogram.count, histogram.zero_count) = (self.numbers.count, self.numbers.zero_count);
        histogram.sum = self.numbers.sum;
        let (positive, negative) = self.buckets.split_at(self.layout.positive_buckets.len());
        histogram.positive_buckets.clear();
        histogram.positive_buckets.extend_from_slice(positive);
        histogram.negative_buckets.clear();
        histogram.negative_buckets.extend_from_slice(negative);
        histogram
    }

    fn sides<'a, B>(&self, sides: [&'a [B]; 2]) -> [&'a [B]; 2] {
        if self.is_custom() { [sides[0], &[]] } else { sides }
    }
}
