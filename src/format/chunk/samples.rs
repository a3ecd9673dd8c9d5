//! Samples of any encoding, one after another.

use super::bits::PART;
use super::histogram::NativeReader;
use super::{Encoding, FloatSamples};
use crate::encoding::Malformed;
use crate::model::{FloatHistogram, Histogram, Millis, Sample, Value};

/// A sample's value within the chunk that is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValueRef<'s> {
    /// A float; compare bits, not numbers, where NaN matters.
    Float(f64),
    /// A native histogram with integer counts.
    Histogram(&'s Histogram),
    /// A native histogram with float counts.
    FloatHistogram(&'s FloatHistogram),
}

/// Iterates over the samples of a chunk of any encoding but the aggregate's.
///
/// [`Samples::advance`] and the getters reuse their buffers; as an iterator it hands out samples of
/// their own. Reset hints are as Prometheus reads them: gauge for all of a gauge chunk, else unknown
/// for the first and not-reset for the rest. Staleness markers are histograms without anything else.
///
/// *Order*: as stored, which is by time unless the chunk is damaged. After an error it ends.
#[derive(Clone, Debug)]
pub struct Samples<'a>(Reader<'a>);

#[derive(Clone, Debug)]
enum Reader<'a> {
    Float(FloatSamples<'a>),
    Histogram(Box<NativeReader<'a, Histogram>>),
    FloatHistogram(Box<NativeReader<'a, FloatHistogram>>),
}

impl<'a> Samples<'a> {
    /// Starts before the first sample of `data`, a chunk without its encoding byte.
    ///
    /// # Errors
    /// [`Malformed`] when the header is cut off or names more samples than there can be, and for
    /// aggregates, which [`Aggregate`](super::Aggregate) takes apart.
    pub fn new(encoding: Encoding, data: &'a [u8]) -> Result<Self, Malformed> {
        Ok(Samples(match encoding {
            Encoding::Xor | Encoding::Xor2 => Reader::Float(FloatSamples::new(encoding, data)?),
            Encoding::Histogram | Encoding::HistogramSt => Reader::Histogram(Box::new(NativeReader::new(encoding, data)?)),
            Encoding::FloatHistogram | Encoding::FloatHistogramSt => {
                Reader::FloatHistogram(Box::new(NativeReader::new(encoding, data)?))
            }
            Encoding::Aggregate => return Err(Malformed::new(PART, 0, "an aggregate has no samples of its own")),
        }))
    }

    /// Moves to the next sample; `false` at the end.
    ///
    /// # Errors
    /// [`Malformed`] when the chunk ends within the sample or its bits mean nothing.
    pub fn advance(&mut self) -> Result<bool, Malformed> {
        match &mut self.0 {
            Reader::Float(r) => r.advance(),
            Reader::Histogram(r) => r.advance(),
            Reader::FloatHistogram(r) => r.advance(),
        }
    }

    /// The time of the sample that [`Samples::advance`] moved to.
    pub fn time(&self) -> Millis {
        match &self.0 {
            Reader::Float(r) => r.time(),
            Reader::Histogram(r) => r.time,
            Reader::FloatHistogram(r) => r.time,
        }
    }

    /// Since when it counts, where the encoding says so; else 0.
    pub fn start(&self) -> Millis {
        match &self.0 {
            Reader::Float(r) => r.start(),
            Reader::Histogram(r) => r.starts.start,
            Reader::FloatHistogram(r) => r.starts.start,
        }
    }

    /// Its value.
    pub fn value(&self) -> ValueRef<'_> {
        match &self.0 {
            Reader::Float(r) => ValueRef::Float(r.value()),
            Reader::Histogram(r) => ValueRef::Histogram(r.value()),
            Reader::FloatHistogram(r) => ValueRef::FloatHistogram(r.value()),
        }
    }

    /// Samples not reached yet, by the header.
    pub fn remaining(&self) -> u32 {
        match &self.0 {
            Reader::Float(r) => r.remaining(),
            Reader::Histogram(r) => r.samples - r.read,
            Reader::FloatHistogram(r) => r.samples - r.read,
        }
    }

    /// Moves to the next sample and copies it into `sample`, whose buffers are reused.
    ///
    /// # Errors
    /// As [`Samples::advance`]; `sample` is then as before.
    pub fn next_into(&mut self, sample: &mut Sample) -> Result<bool, Malformed> {
        if !self.advance()? {
            return Ok(false);
        }
        sample.time = self.time();
        sample.start = self.start();
        match (self.value(), &mut sample.value) {
            (ValueRef::Histogram(from), Value::Histogram(to)) => to.as_mut().clone_from(from),
            (ValueRef::FloatHistogram(from), Value::FloatHistogram(to)) => to.as_mut().clone_from(from),
            (from, to) => *to = from.to_owned(),
        }
        Ok(true)
    }
}

impl ValueRef<'_> {
    /// The value with buffers of its own.
    pub fn to_owned(self) -> Value {
        match self {
            ValueRef::Float(v) => Value::Float(v),
            ValueRef::Histogram(h) => Value::Histogram(Box::new(h.clone())),
            ValueRef::FloatHistogram(h) => Value::FloatHistogram(Box::new(h.clone())),
        }
    }
}

impl Iterator for Samples<'_> {
    type Item = Result<Sample, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.advance() {
            Ok(true) => Some(Ok(Sample { time: self.time(), start: self.start(), value: self.value().to_owned() })),
            Ok(false) => None,
            Err(e) => Some(Err(e)),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.remaining() as usize))
    }
}
