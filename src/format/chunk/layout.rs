//! What all histograms of a chunk share: zero threshold, schema, spans, custom bounds.
//!
//! Source: `tsdb/chunkenc/histogram_meta.go` of Prometheus.

use super::bits::{Bits, PART};
use super::varbit::{put_int, put_uint, take_int, take_uint};
use crate::encoding::{BitWriter, Malformed};
use crate::model::{BucketSpan, CUSTOM_BUCKETS_SCHEMA};

/// The most buckets per power of two that this and upstream's code compute with, as a schema.
pub(super) const FINEST_SCHEMA: i32 = 8;
/// Schemas that are read: finer ones than [`FINEST_SCHEMA`] are brought down to it.
const READABLE_SCHEMAS: std::ops::RangeInclusive<i64> = -9..=52;

/// Thresholds that are powers of two from 2^-243 to 2^10 take one byte: the exponent and this.
const THRESHOLD_BIAS: i32 = 244;
/// The byte before a threshold in full.
const THRESHOLD_IN_FULL: u8 = 255;

/// Bounds that are thousandths up to this many of them take a varbit, one more than their number.
const MOST_THOUSANDTHS: f64 = 33_554_430.0;

/// The zero threshold.
pub(super) fn take_threshold(bits: &mut Bits<'_>) -> f64 {
    match bits.take(8) as u8 {
        0 => 0.0,
        THRESHOLD_IN_FULL => f64::from_bits(bits.take(64)),
        byte => 2f64.powi(i32::from(byte) - THRESHOLD_BIAS),
    }
}

pub(super) fn put_threshold(out: &mut BitWriter, threshold: f64) {
    let exponent = ((threshold.to_bits() >> 52) as i32) - 1023;
    if threshold == 0.0 {
        out.byte(0);
    } else if threshold.to_bits() << 12 == 0 && (-243..=10).contains(&exponent) {
        out.byte((exponent + THRESHOLD_BIAS) as u8);
    } else {
        out.byte(THRESHOLD_IN_FULL);
        out.bits(threshold.to_bits(), 64);
    }
}

/// The schema.
///
/// # Errors
/// [`Malformed`] when it is none that is known.
pub(super) fn take_schema(bits: &mut Bits<'_>) -> Result<i32, Malformed> {
    let schema = take_int(bits);
    bits.check()?;
    if is_readable(schema) {
        return Ok(schema as i32);
    }
    Err(Malformed::new(PART, (bits.position() / 8) as u64, format!("unknown histogram schema {schema}")))
}

/// The spans of one side, into an emptied `spans`; how many buckets they have.
///
/// # Errors
/// [`Malformed`] when numbers do not fit, or there are more buckets than bits.
pub(super) fn take_spans(bits: &mut Bits<'_>, spans: &mut Vec<BucketSpan>) -> Result<usize, Malformed> {
    spans.clear();
    let mut buckets = 0u64;
    for _ in 0..take_uint(bits) {
        let length = take_uint(bits);
        let offset = take_int(bits);
        bits.check()?;
        buckets = buckets.saturating_add(length);
        match (u32::try_from(length), i32::try_from(offset)) {
            (Ok(length), Ok(offset)) if buckets <= bits.left() as u64 => spans.push(BucketSpan { offset, length }),
            _ => return Err(bits.fail("a span of more buckets than there can be")),
        }
    }
    bits.check()?;
    Ok(buckets as usize)
}

/// Whether histograms of this schema can be read.
pub(super) fn is_readable(schema: i64) -> bool {
    READABLE_SCHEMAS.contains(&schema) || schema == i64::from(CUSTOM_BUCKETS_SCHEMA)
}

pub(super) fn put_spans(out: &mut BitWriter, spans: &[BucketSpan]) {
    put_uint(out, spans.len() as u64);
    for span in spans {
        put_uint(out, span.length.into());
        put_int(out, span.offset.into());
    }
}

/// The bounds of custom buckets, into an emptied `bounds`.
///
/// # Errors
/// [`Malformed`] when the chunk ends within them.
pub(super) fn take_bounds(bits: &mut Bits<'_>, bounds: &mut Vec<f64>) -> Result<(), Malformed> {
    bounds.clear();
    for _ in 0..take_uint(bits) {
        bounds.push(match take_uint(bits) {
            0 => f64::from_bits(bits.take(64)),
            thousandths => (thousandths - 1) as f64 / 1000.0,
        });
        bits.check()?;
    }
    bits.check()
}

pub(super) fn put_bounds(out: &mut BitWriter, bounds: &[f64]) {
    put_uint(out, bounds.len() as u64);
    for &bound in bounds {
        let thousandths = bound * 1000.0;
        let whole = thousandths.round();
        if (0.0..=MOST_THOUSANDTHS).contains(&thousandths) && whole / 1000.0 == bound {
            put_uint(out, whole as u64 + 1);
        } else {
            out.bit(false);
            out.bits(bound.to_bits(), 64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_both_ways() {
        for (threshold, len) in [
            (0.0, 8),
            (2f64.powi(-128), 8),
            (2f64.powi(-243), 8),
            (2f64.powi(-244), 72),
            (1024.0, 8),
            (2048.0, 72),
            (1e-128, 72),
            (-0.5, 72),
            (f64::INFINITY, 72),
            (f64::MIN_POSITIVE / 2.0, 72),
        ] {
            let mut out = BitWriter::new();
            put_threshold(&mut out, threshold);
            let mut bits = Bits::behind(out.bytes(), 0);
            assert_eq!(take_threshold(&mut bits), threshold);
            assert_eq!(bits.position(), len, "{threshold}");
        }
        let mut out = BitWriter::new();
        put_threshold(&mut out, 2f64.powi(-128));
        assert_eq!(out.bytes(), [116]);
    }

    #[test]
    fn bounds_both_ways() {
        let bounds = [0.0, 0.001, 0.005, 1.0, 33_554.43, 33_554.431, -1.0, 0.0001, f64::INFINITY, 2.5];
        let mut out = BitWriter::new();
        put_bounds(&mut out, &bounds);
        let mut again = vec![7.0];
        take_bounds(&mut Bits::behind(out.bytes(), 0), &mut again).unwrap();
        assert_eq!(again, bounds);
    }

    #[test]
    fn a_span_longer_than_the_chunk_is_refused() {
        let mut out = BitWriter::new();
        put_spans(&mut out, &[BucketSpan { offset: 0, length: 1000 }]);
        assert!(take_spans(&mut Bits::behind(out.bytes(), 0), &mut Vec::new()).is_err());
        let mut out = BitWriter::new();
        put_uint(&mut out, u64::MAX);
        assert!(take_spans(&mut Bits::behind(out.bytes(), 0), &mut Vec::new()).is_err());
        assert!(take_bounds(&mut Bits::behind(out.bytes(), 0), &mut Vec::new()).is_err());
    }
}
