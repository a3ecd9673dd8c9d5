//! Float histograms that share a layout, as a chunk at once: no recoding, no copies of samples.

use super::header::{HINT_BYTE, HISTOGRAM_HEADER, bits_of};
use super::layout::{put_bounds, put_spans, put_threshold};
use super::varbit::{int_code, put_int};
use super::window::Window;
use super::xor_column::Out;
use crate::encoding::BitWriter;
use crate::model::{BucketSpan, CUSTOM_BUCKETS_SCHEMA, Millis, ResetHint};

/// The most bytes of a change of time, of a changed float, and what is written at once beyond them.
const TIME_BYTES: usize = 9;
const FLOAT_BYTES: usize = 10;
const SPARE_BYTES: usize = 16;

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
    let (Some(&count), Some(&zero_count), Some(&sum)) = (counts.first(), zero_counts.first(), sums.first()) else {
        *out = bytes;
        return;
    };
    let mut writer = BitWriter::reopen(bytes, 0);
    put_threshold(&mut writer, rows.zero_threshold);
    put_int(&mut writer, rows.schema.into());
    rows.spans.iter().for_each(|spans| put_spans(&mut writer, spans));
    if rows.schema == CUSTOM_BUCKETS_SCHEMA {
        put_bounds(&mut writer, rows.bounds);
    }
    put_int(&mut writer, times[0]);
    [count, zero_count, sum].iter().chain(&rows.buckets[..width]).for_each(|float| writer.bits(float.to_bits(), 64));
    let free = writer.free_bits();
    let mut bytes = writer.into_bytes();
    let len = bytes.len();
    bytes.resize(len + (times.len() - 1) * (TIME_BYTES + (3 + width) * FLOAT_BYTES) + SPARE_BYTES, 0);
    let mut to = Out::behind(&mut bytes, len, free);
    behind(rows, width, &mut to);
    let len = to.end();
    bytes.truncate(len);
    *out = bytes;
}

/// The rows behind the first.
fn behind(rows: &FloatHistogramRows<'_>, width: usize, out: &mut Out<'_>) {
    let FloatHistogramRows { times, counts, zero_counts, sums, .. } = *rows;
    let mut step = 0i64;
    let mut windows = vec![Window::default(); 3 + width];
    let (own, of_buckets) = windows.split_at_mut(3);
    for i in 1..times.len() {
        let this: i64 = times[i].wrapping_sub(times[i - 1]);
        let (prefix, prefix_len, rest, rest_len) = int_code(this.wrapping_sub(step));
        out.put(prefix, prefix_len);
        out.put_long(rest, rest_len);
        step = this;
        for (window, column) in own.iter_mut().zip([counts, zero_counts, sums]) {
            put_float(window, column[i - 1], column[i], out);
        }
        let (last, now) = rows.buckets[(i - 1) * width..][..2 * width].split_at(width);
        for ((window, last), now) in of_buckets.iter_mut().zip(last).zip(now) {
            put_float(window, *last, *now, out);
        }
    }
}

/// A float behind another one.
#[inline(always)]
fn put_float(window: &mut Window, last: f64, now: f64, out: &mut Out<'_>) {
    let (prefix, prefix_len, rest, rest_len) = window.code(last.to_bits() ^ now.to_bits());
    if prefix_len + rest_len <= Out::AT_ONCE {
        out.put(prefix << rest_len | rest, prefix_len + rest_len);
    } else {
        out.put(prefix, prefix_len);
        out.put_long(rest, rest_len);
    }
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
