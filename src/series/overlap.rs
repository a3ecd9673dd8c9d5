//! Chunks of one series that overlap in time, merged into chunks that do not.
//!
//! *Order*: chunks by minimum, then maximum time; of two samples at one time the one that upstream's
//! heap pops first is kept.
//! *Memory*: the samples of the chunks that overlap one another.
//! *Errors*: chunks that do not decode, or whose samples have no encoding to be merged into.

use super::encode::encode_in_chunks;
use super::{DecodedChunks, GoHeap};
use crate::format::Malformed;
use crate::format::chunk::{Encoding, Samples};
use crate::model::{Millis, ResetHint, Sample, Value};

/// A chunk with its data at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Time of the first sample.
    pub min_time: Millis,
    /// Time of the last sample.
    pub max_time: Millis,
    /// How the data is to be read.
    pub encoding: Encoding,
    /// The chunk's data, without length, encoding byte and checksum.
    pub data: Vec<u8>,
}

impl Chunk {
    /// All samples, in order.
    ///
    /// # Errors
    /// Data that does not decode.
    pub fn samples(&self) -> Result<Vec<Sample>, Malformed> {
        Samples::new(self.encoding, &self.data)?.collect()
    }
}

/// Merges the chunk lists of one series, given in the order in which upstream's heap popped them.
///
/// Chunks that overlap nothing come out as they are; of chunks equal in times and data one is kept;
/// others that overlap are decoded, merged by time and encoded anew, 120 samples a chunk. What is decoded
/// is added to `decoded`.
///
/// # Errors
/// Overlapping chunks that do not decode, and overlapping aggregates.
pub fn merge_overlapping(lists: Vec<Vec<Chunk>>, decoded: &mut DecodedChunks) -> Result<Vec<Chunk>, Malformed> {
    let mut lists: Vec<std::vec::IntoIter<Chunk>> = lists.into_iter().map(Vec::into_iter).collect();
    // the heap holds each list's next chunk; the list's number finds its successor
    let mut heap: GoHeap<(Chunk, usize)> = GoHeap::new();
    let less = |a: &(Chunk, usize), b: &(Chunk, usize)| (a.0.min_time, a.0.max_time) < (b.0.min_time, b.0.max_time);
    for (n, list) in lists.iter_mut().enumerate() {
        if let Some(chunk) = list.next() {
            heap.push((chunk, n), less);
        }
    }
    let mut out = Vec::new();
    while let Some((first, n)) = heap.pop(less) {
        if let Some(next) = lists[n].next() {
            heap.push((next, n), less);
        }
        let mut until = first.max_time;
        let mut others: Vec<Chunk> = Vec::new();
        while heap.peek().is_some_and(|(next, _)| next.min_time <= until) {
            let Some((chunk, n)) = heap.pop(less) else { break };
            let before = others.last().unwrap_or(&first);
            let is_equal = (chunk.min_time, chunk.max_time) == (before.min_time, before.max_time) && chunk.data == before.data;
            if !is_equal {
                until = until.max(chunk.max_time);
                others.push(chunk);
            }
            if let Some(next) = lists[n].next() {
                heap.push((next, n), less);
            }
        }
        if others.is_empty() {
            out.push(first);
            continue;
        }
        others.push(first);
        let mut samples = Vec::with_capacity(others.len());
        for chunk in &others {
            if chunk.encoding == Encoding::Aggregate {
                return Err(Malformed::new("chunk", 0, "aggregates that overlap cannot be merged sample by sample"));
            }
            let of_chunk = chunk.samples()?;
            decoded.chunk(chunk, &of_chunk);
            samples.push(of_chunk);
        }
        let mut merged = encode_in_chunks(Chained::new(samples))?.into_iter();
        if let Some(chunk) = merged.next() {
            out.push(chunk);
        }
        if let Some(next) = merged.next() {
            // what is left can overlap chunks that come later
            lists.push(merged);
            heap.push((next, lists.len() - 1), less);
        }
    }
    Ok(out)
}

/// Merges all samples of `chunks`, whether or not they overlap, and encodes them anew, 120 samples a chunk. The order of the
/// chunks decides, as upstream's heap does, which of different samples at one time is kept. What is decoded is added to
/// `decoded`.
///
/// # Errors
/// Chunks that do not decode, and aggregates.
pub fn merge_anew(chunks: &[Chunk], decoded: &mut DecodedChunks) -> Result<Vec<Chunk>, Malformed> {
    let mut lists = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let samples = chunk.samples()?;
        decoded.chunk(chunk, &samples);
        lists.push(samples);
    }
    match lists.len() {
        // nothing is chained: what is known of resets stays known
        1 => encode_in_chunks(lists.remove(0)),
        _ => encode_in_chunks(Chained::new(lists)),
    }
}

/// Lists of samples as one, by time, one sample a time.
///
/// *Order*: the list in use goes on while its time is below all others'; on a tie the heap decides.
struct Chained {
    lists: Vec<std::vec::IntoIter<Sample>>,
    /// Next samples of the lists that are not in use.
    heap: GoHeap<(Sample, usize)>,
    current: Option<usize>,
    last_time: Millis,
    first: bool,
}

impl Chained {
    fn new(lists: Vec<Vec<Sample>>) -> Self {
        let mut lists: Vec<_> = lists.into_iter().map(Vec::into_iter).collect();
        let mut heap = GoHeap::new();
        for (n, list) in lists.iter_mut().enumerate().skip(1) {
            if let Some(sample) = list.next() {
                heap.push((sample, n), earlier);
            }
        }
        let current = (!lists.is_empty()).then_some(0);
        Chained { lists, heap, current, last_time: Millis::MIN, first: true }
    }
}

fn earlier(a: &(Sample, usize), b: &(Sample, usize)) -> bool {
    a.0.time < b.0.time
}

impl Iterator for Chained {
    type Item = Sample;

    fn next(&mut self) -> Option<Sample> {
        let mut changed = std::mem::take(&mut self.first);
        let mut current = self.current?;
        let mut sample = loop {
            if let Some(sample) = self.lists[current].next() {
                if sample.time == self.last_time {
                    continue;
                }
                match self.heap.peek() {
                    Some((top, _)) if top.time <= sample.time => self.heap.push((sample, current), earlier),
                    _ => break sample,
                }
            }
            let Some((sample, n)) = self.heap.pop(earlier) else {
                self.current = None;
                return None;
            };
            current = n;
            changed = true;
            if sample.time != self.last_time {
                break sample;
            }
        };
        self.current = Some(current);
        self.last_time = sample.time;
        if changed {
            // not consecutive: nothing is known of a reset any more
            match &mut sample.value {
                Value::Histogram(h) if h.reset_hint != ResetHint::Gauge => h.reset_hint = ResetHint::Unknown,
                Value::FloatHistogram(h) if h.reset_hint != ResetHint::Gauge => h.reset_hint = ResetHint::Unknown,
                _ => {}
            }
        }
        Some(sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn chunk(samples: &[(Millis, f64)]) -> Vec<Chunk> {
        let samples = samples.iter().map(|&(time, v)| Sample { time, start: 0, value: Value::Float(v) });
        encode_in_chunks(samples).unwrap()
    }

    fn merge(lists: Vec<Vec<Chunk>>) -> Result<Vec<Chunk>, Malformed> {
        merge_overlapping(lists, &mut DecodedChunks::default())
    }

    fn floats(chunks: &[Chunk]) -> Vec<(Millis, f64)> {
        let samples = chunks.iter().flat_map(|c| c.samples().unwrap());
        samples
            .map(|s| match s.value {
                Value::Float(v) => (s.time, v),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn equal_chunks_are_kept_once_and_as_they_are() {
        let a = chunk(&[(1, 1.0), (2, 2.0)]);
        assert_eq!(merge(vec![a.clone(), a.clone(), a.clone()]).unwrap(), a);
    }

    #[test]
    fn at_one_time_the_chunks_that_began_later_win() {
        // upstream chains the later chunks first and the one they overlap behind them
        let a = chunk(&[(1, 1.0), (2, 1.0), (3, 1.0)]);
        let b = chunk(&[(2, 2.0), (3, 2.0), (4, 2.0)]);
        let merged = merge(vec![a, b]).unwrap();
        assert_eq!(floats(&merged), [(1, 1.0), (2, 2.0), (3, 2.0), (4, 2.0)]);
    }

    proptest! {
        #[test]
        fn like_a_map_of_times(lists in prop::collection::vec(prop::collection::btree_map(0i64..400, -5i64..5, 1..150), 1..4)) {
            let mut all: BTreeMap<Millis, Vec<i64>> = BTreeMap::new();
            for list in &lists {
                list.iter().for_each(|(&t, &v)| all.entry(t).or_default().push(v));
            }
            let chunks: Vec<_> = lists
                .iter()
                .map(|l| chunk(&l.iter().map(|(&t, &v)| (t, v as f64)).collect::<Vec<_>>()))
                .collect();
            let merged = merge(chunks).unwrap();
            for pair in merged.windows(2) {
                prop_assert!(pair[0].max_time < pair[1].min_time);
            }
            let got = floats(&merged);
            prop_assert_eq!(got.iter().map(|s| s.0).collect::<Vec<_>>(), all.keys().copied().collect::<Vec<_>>());
            for (t, v) in got {
                prop_assert!(all[&t].contains(&(v as i64)));
            }
        }
    }
}
