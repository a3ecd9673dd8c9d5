//! Samples of the chunks that a merge had to decode, for whoever holds its result against them.

use super::Chunk;
use crate::model::{BucketSpan, Millis, STALE_NAN_BITS, Sample, Value, is_stale, span_indices};

/// What kind of values a chunk has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChunkKind {
    /// Floats.
    Float,
    /// Histograms with integer counts.
    Histogram,
    /// Histograms with float counts.
    FloatHistogram,
}

/// Chunks as times and marks; buffers are reused from series to series.
///
/// *Order*: as they were decoded; within a chunk as stored.
/// *Memory*: 16 bytes a sample.
#[derive(Clone, Debug, Default)]
pub struct DecodedChunks {
    times: Vec<Millis>,
    marks: Vec<u64>,
    chunks: Vec<Head>,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    min_time: Millis,
    max_time: Millis,
    kind: ChunkKind,
    /// Where its samples end.
    end: usize,
}

/// One of [`DecodedChunks`].
#[derive(Clone, Copy, Debug)]
pub struct DecodedChunk<'a> {
    /// Times of the first and the last sample, as the chunk's owner says.
    pub min_time: Millis,
    /// See `min_time`.
    pub max_time: Millis,
    /// What the marks are of.
    pub kind: ChunkKind,
    /// Times.
    pub times: &'a [Millis],
    /// Of each float its bits; of each histogram a sum over what it says, however its buckets are laid out.
    pub marks: &'a [u64],
}

impl DecodedChunks {
    /// Forgets all of them and keeps the buffers.
    pub fn clear(&mut self) {
        self.times.clear();
        self.marks.clear();
        self.chunks.clear();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Adds a chunk of floats.
    pub fn floats(&mut self, (min_time, max_time): (Millis, Millis), times: &[Millis], values: &[f64]) {
        self.times.extend_from_slice(times);
        self.marks.extend(values.iter().map(|v| v.to_bits()));
        self.end(min_time, max_time, ChunkKind::Float);
    }

    /// Adds a chunk of any kind; one without samples counts as one of floats.
    pub fn samples(&mut self, (min_time, max_time): (Millis, Millis), samples: &[Sample]) {
        self.times.extend(samples.iter().map(|s| s.time));
        self.marks.extend(samples.iter().map(|s| mark(&s.value)));
        let kind = match samples.first().map(|s| &s.value) {
            None | Some(Value::Float(_)) => ChunkKind::Float,
            Some(Value::Histogram(_)) => ChunkKind::Histogram,
            Some(Value::FloatHistogram(_)) => ChunkKind::FloatHistogram,
        };
        self.end(min_time, max_time, kind);
    }

    /// Adds a chunk that was decoded.
    pub(super) fn chunk(&mut self, chunk: &Chunk, samples: &[Sample]) {
        self.samples((chunk.min_time, chunk.max_time), samples);
    }

    fn end(&mut self, min_time: Millis, max_time: Millis, kind: ChunkKind) {
        self.chunks.push(Head { min_time, max_time, kind, end: self.times.len() });
    }

    /// The chunk with this number.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn get(&self, number: usize) -> DecodedChunk<'_> {
        let begin = number.checked_sub(1).map_or(0, |before| self.chunks[before].end);
        let Head { min_time, max_time, kind, end } = self.chunks[number];
        DecodedChunk { min_time, max_time, kind, times: &self.times[begin..end], marks: &self.marks[begin..end] }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = DecodedChunk<'_>> {
        (0..self.len()).map(|number| self.get(number))
    }

    /// The times of all of them, one behind the other.
    pub fn times(&self) -> &[Millis] {
        &self.times
    }
}

/// What a value says as one number: the bits of a float; of a histogram its counts, its sum and its buckets that are
/// not empty. What is only known of its neighbours, and how its buckets are laid out, does not count.
fn mark(value: &Value) -> u64 {
    let mut sum = Sum::default();
    match value {
        Value::Float(v) => return v.to_bits(),
        // nothing else of them is stored
        Value::Histogram(h) if is_stale(h.sum) => return STALE_NAN_BITS,
        Value::FloatHistogram(h) if is_stale(h.sum) => return STALE_NAN_BITS,
        Value::Histogram(h) => {
            sum.header(h.schema, [h.zero_threshold, h.sum], [h.count, h.zero_count], &h.custom_values);
            for (spans, deltas) in [(&h.positive_spans, &h.positive_buckets), (&h.negative_spans, &h.negative_buckets)] {
                let mut count = 0i64;
                let absolute = deltas.iter().map(|delta| {
                    count = count.wrapping_add(*delta);
                    count as u64
                });
                sum.buckets(spans, absolute);
            }
        }
        Value::FloatHistogram(h) => {
            let counts = [h.count.to_bits(), h.zero_count.to_bits()];
            sum.header(h.schema, [h.zero_threshold, h.sum], counts, &h.custom_values);
            for (spans, counts) in [(&h.positive_spans, &h.positive_buckets), (&h.negative_spans, &h.negative_buckets)] {
                // an empty bucket may have either sign
                sum.buckets(spans, counts.iter().map(|count| if *count == 0.0 { 0 } else { count.to_bits() }));
            }
        }
    }
    sum.0
}

#[derive(Default)]
struct Sum(u64);

impl Sum {
    fn put(&mut self, number: u64) {
        let product = u128::from(self.0.rotate_left(23) ^ number ^ 0x9E37_79B1_85EB_CA87) * 0xC2B2_AE3D_27D4_EB4F;
        self.0 = product as u64 ^ (product >> 64) as u64;
    }

    fn header(&mut self, schema: i32, floats: [f64; 2], counts: [u64; 2], bounds: &[f64]) {
        self.put(schema as u64);
        floats.iter().chain(bounds).for_each(|v| self.put(v.to_bits()));
        counts.iter().for_each(|&count| self.put(count));
    }

    fn buckets(&mut self, spans: &[BucketSpan], counts: impl Iterator<Item = u64>) {
        for (index, count) in span_indices(spans).zip(counts) {
            if count != 0 {
                self.put(index as u64);
                self.put(count);
            }
        }
        self.put(u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FloatHistogram, Histogram, ResetHint};

    fn histogram() -> Histogram {
        Histogram {
            count: 7,
            zero_count: 1,
            sum: 2.5,
            positive_spans: vec![BucketSpan { offset: 1, length: 2 }],
            positive_buckets: vec![2, 2],
            ..Histogram::default()
        }
    }

    fn of(h: Histogram) -> u64 {
        mark(&Value::Histogram(Box::new(h)))
    }

    #[test]
    fn how_buckets_are_laid_out_does_not_matter() {
        let wide = Histogram {
            positive_spans: vec![BucketSpan { offset: 0, length: 4 }, BucketSpan { offset: 3, length: 1 }],
            positive_buckets: vec![0, 2, 2, -4, 0],
            reset_hint: ResetHint::NotReset,
            ..histogram()
        };
        assert_eq!(of(wide), of(histogram()));
        let floats = |positive_buckets: &[f64]| {
            let h = FloatHistogram {
                positive_spans: vec![BucketSpan { offset: 0, length: positive_buckets.len() as u32 }],
                positive_buckets: positive_buckets.to_vec(),
                ..FloatHistogram::default()
            };
            mark(&Value::FloatHistogram(Box::new(h)))
        };
        assert_eq!(floats(&[1.0, 2.0]), floats(&[1.0, 2.0, -0.0]));
        assert_ne!(floats(&[1.0, 2.0]), floats(&[1.0, 2.5]));
    }

    #[test]
    fn what_it_says_matters() {
        let others = [
            Histogram { schema: 1, ..histogram() },
            Histogram { count: 8, ..histogram() },
            Histogram { zero_count: 2, ..histogram() },
            Histogram { zero_threshold: 0.5, ..histogram() },
            Histogram { sum: -2.5, ..histogram() },
            Histogram { custom_values: vec![1.0], ..histogram() },
            Histogram { positive_buckets: vec![2, 3], ..histogram() },
            Histogram { positive_spans: vec![BucketSpan { offset: 2, length: 2 }], ..histogram() },
            Histogram {
                negative_spans: histogram().positive_spans,
                negative_buckets: histogram().positive_buckets,
                positive_spans: vec![],
                positive_buckets: vec![],
                ..histogram()
            },
        ];
        for other in others {
            assert_ne!(of(other.clone()), of(histogram()), "{other:?}");
        }
    }
}
