//! One sample: a time and a value.

use super::{FloatHistogram, Histogram, Millis};

/// The bits of the NaN that Prometheus writes where a series ends.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Whether `value` is the staleness marker (and not any other NaN).
#[inline]
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// What a sample says.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A float; compare bits, not numbers, where NaN matters.
    Float(f64),
    /// A native histogram with integer counts.
    Histogram(Box<Histogram>),
    /// A native histogram with float counts.
    FloatHistogram(Box<FloatHistogram>),
}

/// A value at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// When.
    pub time: Millis,
    /// Since when the value counts, where the encoding carries it; 0 where it does not.
    pub start: Millis,
    /// What.
    pub value: Value,
}
