//! Sorted samples that are read forward only, and the adjustment of counters.

use crate::format::Malformed;
use crate::format::chunk::{Samples, ValueRef};
use crate::model::{Millis, Sample, Value};
use crate::series::Chunk;

/// Samples of one series in ascending time; it stands at one of them, at first at the first.
pub trait Stream {
    /// The time of the sample it stands at; `None` behind the last.
    fn time(&self) -> Option<Millis>;

    /// The value of that sample.
    fn value(&self) -> Option<ValueRef<'_>>;

    /// Moves forward to the first sample at or behind `target`; where it stands there, it stays.
    ///
    /// # Errors
    /// Data that does not decode; the stream is over then.
    fn seek(&mut self, target: Millis) -> Result<(), Malformed>;

    /// Told when the stream in use changes: `last` was the value before. [`Raised`] makes use of it.
    fn follow(&mut self, _last: f64) {}

    /// The value, if it is a float.
    fn float(&self) -> Option<f64> {
        match self.value() {
            Some(ValueRef::Float(v)) => Some(v),
            _ => None,
        }
    }
}

/// Samples at hand.
#[derive(Clone, Copy, Debug)]
pub struct SampleStream<'a> {
    rest: &'a [Sample],
}

impl<'a> SampleStream<'a> {
    /// Stands at the first of `samples`, which ascend in time.
    pub fn new(samples: &'a [Sample]) -> Self {
        SampleStream { rest: samples }
    }
}

impl Stream for SampleStream<'_> {
    fn time(&self) -> Option<Millis> {
        self.rest.first().map(|s| s.time)
    }

    fn value(&self) -> Option<ValueRef<'_>> {
        self.rest.first().map(|s| match &s.value {
            Value::Float(v) => ValueRef::Float(*v),
            Value::Histogram(h) => ValueRef::Histogram(h),
            Value::FloatHistogram(h) => ValueRef::FloatHistogram(h),
        })
    }

    fn seek(&mut self, target: Millis) -> Result<(), Malformed> {
        let skip = self.rest.iter().take_while(|s| s.time < target).count();
        self.rest = &self.rest[skip..];
        Ok(())
    }
}

/// The samples of chunks that follow one another; chunks that are skipped are not decoded.
#[derive(Clone, Debug)]
pub struct ChunkStream<'a> {
    rest: &'a [Chunk],
    /// The chunk it stands in, at one of its samples.
    open: Option<Samples<'a>>,
}

impl<'a> ChunkStream<'a> {
    /// Stands at the first sample of `chunks`, which ascend in time and do not overlap.
    ///
    /// # Errors
    /// A chunk that does not decode, and an aggregate, which has no samples of its own.
    pub fn new(chunks: &'a [Chunk]) -> Result<Self, Malformed> {
        let mut stream = ChunkStream { rest: chunks, open: None };
        stream.seek(Millis::MIN)?;
        Ok(stream)
    }

    fn seek_within(&mut self, target: Millis) -> Result<(), Malformed> {
        loop {
            if let Some(open) = &mut self.open {
                if open.time() >= target {
                    return Ok(());
                }
                while open.advance()? {
                    if open.time() >= target {
                        return Ok(());
                    }
                }
                self.open = None;
            }
            let skip = self.rest.iter().take_while(|c| c.max_time < target).count();
            let Some((next, rest)) = self.rest[skip..].split_first() else {
                self.rest = &[];
                return Ok(());
            };
            self.rest = rest;
            let mut samples = Samples::new(next.encoding, &next.data)?;
            if samples.advance()? {
                self.open = Some(samples);
            }
        }
    }
}

impl Stream for ChunkStream<'_> {
    fn time(&self) -> Option<Millis> {
        self.open.as_ref().map(Samples::time)
    }

    fn value(&self) -> Option<ValueRef<'_>> {
        self.open.as_ref().map(Samples::value)
    }

    fn seek(&mut self, target: Millis) -> Result<(), Malformed> {
        let done = self.seek_within(target);
        if done.is_err() {
            (self.rest, self.open) = (&[], None);
        }
        done
    }
}

/// A counter that does not fall behind the stream that was in use before it.
///
/// A replica that saw less of the counter than the other would look like a reset where it takes over;
/// it is raised for good by what it lacks. Resets have to be added up before.
#[derive(Clone, Debug)]
pub struct Raised<S> {
    stream: S,
    raised: f64,
}

impl<S: Stream> Raised<S> {
    /// The floats of `stream` as a counter; histograms stay as they are.
    pub fn new(stream: S) -> Self {
        Raised { stream, raised: 0.0 }
    }
}

impl<S: Stream> Stream for Raised<S> {
    fn time(&self) -> Option<Millis> {
        self.stream.time()
    }

    fn value(&self) -> Option<ValueRef<'_>> {
        match self.stream.value() {
            Some(ValueRef::Float(v)) => Some(ValueRef::Float(v + self.raised)),
            other => other,
        }
    }

    fn seek(&mut self, target: Millis) -> Result<(), Malformed> {
        self.stream.seek(target)
    }

    fn follow(&mut self, last: f64) {
        if let Some(value) = self.float()
            && last > value
        {
            self.raised += last - value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::chunk::Encoding;
    use crate::series::encode_in_chunks;

    fn samples(n: i64) -> Vec<Sample> {
        (0..n).map(|i| Sample { time: i * 10, start: 0, value: Value::Float(i as f64) }).collect()
    }

    fn check(mut stream: impl Stream) {
        assert_eq!((stream.time(), stream.float()), (Some(0), Some(0.0)));
        for (target, time) in [(-5, 0), (5, 10), (10, 10), (3, 10), (1195, 1200), (2991, 3000)] {
            stream.seek(target).unwrap();
            assert_eq!((stream.time(), stream.float()), (Some(time), Some(time as f64 / 10.0)), "{target}");
        }
        stream.seek(3991).unwrap();
        assert_eq!((stream.time(), stream.value().is_none()), (None, true));
        stream.seek(0).unwrap();
        assert_eq!(stream.time(), None);
    }

    #[test]
    fn forward_only() {
        let samples = samples(400);
        check(SampleStream::new(&samples));
        check(ChunkStream::new(&encode_in_chunks(samples).unwrap()).unwrap());
    }

    #[test]
    fn damage_ends_a_stream() {
        let mut chunks = encode_in_chunks(samples(400)).unwrap();
        chunks[2].data.truncate(20);
        let mut stream = ChunkStream::new(&chunks).unwrap();
        assert!(stream.seek(3590).is_err());
        assert_eq!(stream.time(), None);
        stream.seek(3600).unwrap();
        assert_eq!(stream.time(), None);
        chunks[0].encoding = Encoding::Aggregate;
        assert!(ChunkStream::new(&chunks).is_err());
    }

    #[test]
    fn a_counter_is_raised_for_good() {
        let samples = samples(10);
        let mut counter = Raised::new(SampleStream::new(&samples));
        counter.follow(-3.0);
        assert_eq!(counter.float(), Some(0.0));
        counter.follow(2.5);
        assert_eq!(counter.float(), Some(2.5));
        counter.seek(10).unwrap();
        assert_eq!(counter.float(), Some(3.5));
        counter.follow(3.0);
        assert_eq!(counter.float(), Some(3.5));
    }
}
