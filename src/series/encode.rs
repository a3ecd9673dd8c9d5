//! Samples into chunks: 120 a chunk for merged series, one to one where samples are deleted.

use super::overlap::Chunk;
use crate::format::Malformed;
use crate::format::chunk::{Appended, Encoding, FloatHistogramAppender, HistogramAppender, Mode, XorAppender};
use crate::model::{Millis, Sample, Value};

/// A chunk that is encoded anew ends with this many samples.
pub const SAMPLES_PER_CHUNK: usize = 120;

/// The chunk that is being written.
enum Open {
    Float(XorAppender),
    Histogram(Box<HistogramAppender>),
    FloatHistogram(Box<FloatHistogramAppender>),
}

impl Open {
    fn for_value(value: &Value) -> Open {
        match value {
            Value::Float(_) => Open::Float(XorAppender::new()),
            Value::Histogram(_) => Open::Histogram(Box::default()),
            Value::FloatHistogram(_) => Open::FloatHistogram(Box::default()),
        }
    }

    fn takes(&self, value: &Value) -> bool {
        matches!(
            (self, value),
            (Open::Float(_), Value::Float(_))
                | (Open::Histogram(_), Value::Histogram(_))
                | (Open::FloatHistogram(_), Value::FloatHistogram(_))
        )
    }

    /// Appends, or returns the chunk that had to be begun.
    fn append(&mut self, sample: &Sample, mode: Mode) -> Result<Option<Open>, Malformed> {
        let refused = |e: crate::format::chunk::Refused| Malformed::new("chunk", 0, format!("cannot be encoded anew: {e}"));
        Ok(match (self, &sample.value) {
            (Open::Float(a), Value::Float(v)) => {
                a.append(sample.time, *v);
                None
            }
            (Open::Histogram(a), Value::Histogram(h)) => match a.append(sample.time, h, None, mode).map_err(refused)? {
                Appended::NewChunk(new) => Some(Open::Histogram(Box::new(new))),
                Appended::Same | Appended::Recoded => None,
            },
            (Open::FloatHistogram(a), Value::FloatHistogram(h)) => match a.append(sample.time, h, None, mode).map_err(refused)? {
                Appended::NewChunk(new) => Some(Open::FloatHistogram(Box::new(new))),
                Appended::Same | Appended::Recoded => None,
            },
            _ => return Err(Malformed::new("chunk", 0, "a sample of another kind than its chunk")),
        })
    }

    fn close(self, min_time: Millis, max_time: Millis) -> Chunk {
        let (encoding, data) = match self {
            Open::Float(a) => (Encoding::Xor, a.into_bytes()),
            Open::Histogram(a) => (Encoding::Histogram, a.into_bytes()),
            Open::FloatHistogram(a) => (Encoding::FloatHistogram, a.into_bytes()),
        };
        Chunk { min_time, max_time, encoding, data }
    }
}

/// Encodes samples, ascending in time, into chunks: a new one begins with every change of kind, after
/// 120 samples, and where a histogram does not fit the one before.
///
/// # Errors
/// Histograms whose buckets contradict their spans.
pub fn encode_in_chunks(samples: impl IntoIterator<Item = Sample>) -> Result<Vec<Chunk>, Malformed> {
    let mut out = Vec::new();
    let mut open: Option<(Open, Millis, usize)> = None;
    let mut last = 0;
    for sample in samples {
        if let Some((chunk, begin, count)) = open.take() {
            if chunk.takes(&sample.value) && count < SAMPLES_PER_CHUNK {
                open = Some((chunk, begin, count));
            } else {
                out.push(chunk.close(begin, last));
            }
        }
        let (mut chunk, begin, count) = open.take().unwrap_or_else(|| (Open::for_value(&sample.value), sample.time, 0));
        open = Some(match chunk.append(&sample, Mode::MayCut)? {
            None => (chunk, begin, count + 1),
            Some(new) => {
                out.push(chunk.close(begin, last));
                (new, sample.time, 1)
            }
        });
        last = sample.time;
    }
    out.extend(open.map(|(chunk, begin, _)| chunk.close(begin, last)));
    Ok(out)
}

/// The chunk without the samples in these closed intervals; as it is when none of them touches it, and
/// nothing when none is left.
///
/// # Errors
/// Data that does not decode; aggregates, which cannot lose single samples; histograms that do not fit
/// one chunk once others are gone.
pub fn without(chunk: Chunk, intervals: &[(Millis, Millis)]) -> Result<Option<Chunk>, Malformed> {
    if !intervals.iter().any(|&(from, to)| from <= chunk.max_time && chunk.min_time <= to) {
        return Ok(Some(chunk));
    }
    if chunk.encoding == Encoding::Aggregate {
        return Err(Malformed::new("chunk", 0, "samples are deleted within an aggregate, which is made of windows"));
    }
    let mut open: Option<(Open, Millis)> = None;
    let mut last = 0;
    for sample in chunk.samples()? {
        if intervals.iter().any(|&(from, to)| from <= sample.time && sample.time <= to) {
            continue;
        }
        let (mut to, begin) = open.take().unwrap_or_else(|| (Open::for_value(&sample.value), sample.time));
        if to.append(&sample, Mode::AppendOnly)?.is_some() {
            return Err(Malformed::new("chunk", 0, "a histogram does not fit its chunk"));
        }
        last = sample.time;
        open = Some((to, begin));
    }
    Ok(open.map(|(to, begin)| to.close(begin, last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(times: std::ops::Range<i64>) -> Vec<Sample> {
        times.map(|t| Sample { time: t * 1000, start: 0, value: Value::Float(t as f64) }).collect()
    }

    #[test]
    fn a_chunk_holds_120_samples() {
        let chunks = encode_in_chunks(counter(0..250)).unwrap();
        let ranges: Vec<_> = chunks.iter().map(|c| (c.min_time, c.max_time)).collect();
        assert_eq!(ranges, [(0, 119_000), (120_000, 239_000), (240_000, 249_000)]);
    }

    #[test]
    fn deleting_within_a_chunk() {
        let chunk = encode_in_chunks(counter(0..10)).unwrap().remove(0);
        assert_eq!(without(chunk.clone(), &[(20_000, 30_000)]).unwrap(), Some(chunk.clone()));
        assert_eq!(without(chunk.clone(), &[(0, 9_000)]).unwrap(), None);
        let left = without(chunk, &[(0, 2_500), (9_000, 9_000)]).unwrap().unwrap();
        assert_eq!((left.min_time, left.max_time), (3_000, 8_000));
        assert_eq!(left.samples().unwrap(), counter(3..9));
    }
}
