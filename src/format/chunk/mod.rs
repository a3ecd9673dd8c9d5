//! Chunks: some hundred samples of one series, as bytes.
//!
//! All seven encodings are read; XOR, both plain histogram encodings and the aggregate are written,
//! bit for bit as Prometheus 3.9.1 and Thanos write them. No decoder allocates by what a header says.
//!
//! | need | use |
//! | --- | --- |
//! | floats, fast | [`FloatSamples`] |
//! | any sample | [`Samples`] |
//! | a whole chunk at once | [`decode_columns`] into [`Columns`], [`decode_floats`] behind columns |
//! | the chunks within an aggregate | [`Aggregate`] |
//! | to write | [`XorAppender`], [`XorEncoder`] for columns, [`HistogramAppender`], [`FloatHistogramAppender`], |
//! | | [`encode_float_histograms`] for rows, [`encode_aggregate`] |
//! | to look inside | [`describe`] |
//!
//! *Source*: `tsdb/chunkenc` of Prometheus 3.9.1 (encodings 1 to 3) and 3.14 (4 to 6),
//! `pkg/compact/downsample/aggr.go` of Thanos (255).

mod aggregate;
mod append;
mod bits;
mod columns;
mod describe;
mod exercise;
mod float;
#[cfg(test)]
mod golden;
mod header;
mod histogram;
mod layout;
mod native;
mod regular;
mod rows;
mod samples;
mod spans;
mod varbit;
mod window;
mod xor;
mod xor_column;

use std::fmt;

use crate::encoding::Malformed;
use crate::model::ResetHint;

pub use aggregate::{Aggregate, AggregateKind, encode_aggregate, put_slot};
pub use append::{Appended, FloatHistogramAppender, HistogramAppender, Mode, NativeAppender, Refused};
pub use columns::{ColumnValues, Columns, HistogramColumns, decode_columns, decode_floats};
pub use describe::{describe, describe_into};
#[doc(hidden)]
pub use exercise::exercise;
pub use float::FloatSamples;
pub use rows::{FloatHistogramRows, encode_float_histograms};
pub use samples::{Samples, ValueRef};
pub use xor::XorAppender;
pub use xor_column::XorEncoder;

/// How the samples of a chunk are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Encoding {
    /// Floats.
    Xor = 1,
    /// Native histograms with integer counts.
    Histogram = 2,
    /// Native histograms with float counts.
    FloatHistogram = 3,
    /// Floats with start times, of Prometheus 3.14.
    Xor2 = 4,
    /// Native histograms with start times, of Prometheus 3.14.
    HistogramSt = 5,
    /// Native histograms with float counts and start times, of Prometheus 3.14.
    FloatHistogramSt = 6,
    /// Up to five chunks of aggregates of the same time, of Thanos.
    Aggregate = 255,
}

impl Encoding {
    /// Every encoding, by byte.
    pub const ALL: [Encoding; 7] = [
        Encoding::Xor,
        Encoding::Histogram,
        Encoding::FloatHistogram,
        Encoding::Xor2,
        Encoding::HistogramSt,
        Encoding::FloatHistogramSt,
        Encoding::Aggregate,
    ];

    /// The encoding with this byte, if it is one.
    pub fn from_byte(byte: u8) -> Option<Encoding> {
        Encoding::ALL.into_iter().find(|e| e.as_byte() == byte)
    }

    /// The byte that names it in segments and aggregates.
    pub fn as_byte(self) -> u8 {
        self as u8
    }

    /// Whether Thanos and Prometheus up to 3.9.1 can read it.
    pub fn is_known_to_thanos(self) -> bool {
        matches!(self, Encoding::Xor | Encoding::Histogram | Encoding::FloatHistogram | Encoding::Aggregate)
    }
}

/// The name that Prometheus gives it.
impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Encoding::Xor => "XOR",
            Encoding::Histogram => "histogram",
            Encoding::FloatHistogram => "floathistogram",
            Encoding::Xor2 => "XOR2",
            Encoding::HistogramSt => "histogramST",
            Encoding::FloatHistogramSt => "floathistogramST",
            Encoding::Aggregate => "aggregate",
        })
    }
}

/// How many samples a chunk has, by its header alone; of an aggregate, by the header of its counts.
///
/// # Errors
/// [`Malformed`] when the header is cut off; an aggregate without counts has 0.
pub fn sample_count(encoding: Encoding, data: &[u8]) -> Result<u32, Malformed> {
    match encoding {
        Encoding::Aggregate => match Aggregate::parse(data)?.get(AggregateKind::Count) {
            Some((inner, data)) => Ok(header::Header::read(inner, data)?.samples),
            None => Ok(0),
        },
        _ => header::Header::read(encoding, data).map(|h| h.samples),
    }
}

/// What the header of a histogram chunk says of a reset before its first sample; unknown for others.
///
/// [`Samples`] does not repeat it with the first sample, as Prometheus does not.
///
/// # Errors
/// [`Malformed`] when the header is cut off.
pub fn reset_hint(encoding: Encoding, data: &[u8]) -> Result<ResetHint, Malformed> {
    match encoding {
        Encoding::Aggregate => Ok(ResetHint::Unknown),
        _ => header::Header::read(encoding, data).map(|h| h.hint),
    }
}
