//! Float histograms that share a layout, as a chunk at once: no recoding, no copies of samples.

use super::header::{HINT_BYTE, HISTOGRAM_HEADER, bits_of};
use super::layout::{put_bounds, put_spans, put_threshold};
use super::varbit::put_int;
use super::window::Window;
use crate::encoding::BitWriter;
use crate::model::{BucketSpan, CUSTOM_BUCKETS_SCHEMA, Millis, ResetHint};

/// Float histograms of one layout, field by field.
#[derive(Clone, Copy, Debug)]
pub struct FloatHistogramRows<'a> {
    /// What the chunk says of a reset before the first row.
    pub hint: ResetHint,
    /// Schema of all rows.
    pub schema: i32,
    /// Zero threshold of all rows.
    pub zero_threshold: f64,
    /// Spans of all rows, positive and negative.
    pub spans: [&'a [BucketSpan]; 2],
    /// Upper bounds of custom buckets.
    pub bounds: &'a [f64],
    /// Times.
    pub times: &'a [Millis],
    /// Observations.
    pub counts: &'a [f64],
    /// Observations in the zero bucket.
    pub zero_counts: &'a [f64],
    /// Sums of observations; none is a staleness marker.
    pub sums: &'a [f64],
    /// Row by row, positive buckets and behind them negative ones.
    pub buckets: &'a [f64],
}

/// The chunk (without its encoding byte) of these rows into an emptied `out`: what a
/// [`FloatHistogramAppender`](super::FloatHistogramAppender) has after them, once it was recoded for all
/// their buckets.
///
/// # Panics
/// When the columns differ in length, are longer than 65 535, or the buckets are not those of the spans.
pub fn encode_float_histograms(rows: &FloatHistogramRows<'_>, out: &mut Vec<u8>) {
    let FloatHistogramRows { times, counts, zero_counts, sums, .. } = *rows;
    let count = u16::try_from(times.len()).expect("rows that fit a chunk");
    let width: usize = rows.spans.iter().copied().flatten().map(|span| span.length as usize).sum();
    assert_eq!(rows.buckets.len(), width * times.len(), "buckets of other spans");
    let mut bytes = std::mem::take(out);
    bytes.clear();
    bytes.resize(HISTOGRAM_HEADER, 0);
    bytes[..HINT_BYTE].copy_from_slice(&count.to_be_bytes());
    bytes[HINT_BYTE] = bits_of(rows.hint);
    let mut writer = BitWriter::reopen(bytes, 0);
    let (mut last_time, mut step) = (0, 0i64);
    let mut windows = vec![Window::default(); 3 + width];
    let mut last_buckets: &[f64] = &[];
    for (i, &time) in times.iter().enumerate() {
        let numbers = [counts[i], zero_counts[i], sums[i]];
        let buckets = &rows.buckets[i * width..][..width];
        if i == 0 {
            put_threshold(&mut writer, rows.zero_threshold);
            put_int(&mut writer, rows.schema.into());
            rows.spans.iter().for_each(|spans| put_spans(&mut writer, spans));
            if rows.schema == CUSTOM_BUCKETS_SCHEMA {
                put_bounds(&mut writer, rows.bounds);
            }
            put_int(&mut writer, time);
            numbers.iter().chain(buckets).for_each(|float| writer.bits(float.to_bits(), 64));
        } else {
            let next: i64 = time.wrapping_sub(last_time);
            put_int(&mut writer, next.wrapping_sub(step));
            step = next;
            let (own, of_buckets) = windows.split_at_mut(3);
            let last = [counts[i - 1], zero_counts[i - 1], sums[i - 1]];
            for ((window, last), now) in own.iter_mut().zip(last).zip(numbers) {
                window.put(&mut writer, last.to_bits(), now.to_bits());
            }
            for ((window, last), now) in of_buckets.iter_mut().zip(last_buckets).zip(buckets) {
                window.put(&mut writer, last.to_bits(), now.to_bits());
            }
        }
        last_time = time;
        last_buckets = buckets;
    }
    *out = writer.into_bytes();
}

#[cfg(test)]
mod tests {
    use super::super::{FloatHistogramAppender, Mode};
    use super::*;
    use crate::model::FloatHistogram;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn as_appended_one_by_one(
            values in prop::collection::vec(prop::collection::vec(prop_oneof![Just(0.0), Just(3.5), 0.0..1e9], 8), 1..40),
            steps in prop::collection::vec(0i64..1_000_000, 40),
            gauge: bool,
        ) {
            let spans = |all: &[(i32, u32)]| all.iter().map(|&(offset, length)| BucketSpan { offset, length }).collect::<Vec<_>>();
            let (positive_spans, negative_spans) = (spans(&[(-2, 1), (0, 2)]), spans(&[(1, 2)]));
            let times: Vec<Millis> = steps.iter().scan(7, |t, s| { *t += s; Some(*t) }).take(values.len()).collect();
            let column = |i: usize| values.iter().map(|row| row[i]).collect::<Vec<_>>();
            let hint = if gauge { ResetHint::Gauge } else { ResetHint::Unknown };
            let mut appender = FloatHistogramAppender::new();
            for (&time, row) in times.iter().zip(&values) {
                let histogram = FloatHistogram {
                    reset_hint: ResetHint::Gauge,
                    schema: 3,
                    zero_threshold: 0.001,
                    count: row[0],
                    zero_count: row[1],
                    sum: row[2],
                    positive_spans: positive_spans.clone(),
                    negative_spans: negative_spans.clone(),
                    positive_buckets: row[3..6].to_vec(),
                    negative_buckets: row[6..8].to_vec(),
                    ..FloatHistogram::default()
                };
                appender.append(time, &histogram, None, Mode::AppendOnly).unwrap();
            }
            let buckets: Vec<f64> = values.iter().flat_map(|row| row[3..].iter().copied()).collect();
            let mut out = vec![1, 2, 3];
            encode_float_histograms(&FloatHistogramRows {
                hint, schema: 3, zero_threshold: 0.001, spans: [&positive_spans, &negative_spans], bounds: &[],
                times: &times, counts: &column(0), zero_counts: &column(1), sums: &column(2), buckets: &buckets,
            }, &mut out);
            let mut expected = appender.into_bytes();
            expected[HINT_BYTE] = bits_of(hint);
            prop_assert_eq!(out, expected);
        }
    }
}
