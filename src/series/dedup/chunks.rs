//! Chunk lists of one series as one list, by the penalty rule.
//!
//! *Order*: chunks by minimum, then maximum time, ties as upstream's heap pops them. The rule is folded
//! over overlapping chunks in this order, not over replicas: this is what upstream does.
//! *Memory*: the samples of the chunks that overlap one another.
//! *Errors*: overlapping chunks that do not decode, and overlapping aggregates.

use super::fold::Fold;
use crate::format::Malformed;
use crate::format::chunk::{ColumnValues, Columns, Encoding, XorEncoder, decode_columns};
use crate::model::{Millis, Sample, Value};
use crate::series::{Chunk, DecodedChunks, GoHeap, SAMPLES_PER_CHUNK, encode_in_chunks};

/// Merges chunk lists of one series after another; buffers are kept between calls.
#[derive(Clone, Debug, Default)]
pub struct PenaltyMerger {
    columns: Columns,
    floats: Fold<f64>,
    /// Of samples of any kind, by their number.
    any: Fold<u32>,
    encoder: XorEncoder,
}

/// Merges the chunk lists of one series, given in the order in which upstream's heap popped them.
///
/// Chunks that overlap nothing come out as they are; of chunks equal in times and data one is kept;
/// others that overlap are decoded, thinned out by the penalty rule and encoded anew, 120 samples a
/// chunk. Floats and histograms that overlap are one stream to the rule.
///
/// # Errors
/// Overlapping chunks that do not decode, and overlapping aggregates.
pub fn merge_penalty(lists: Vec<Vec<Chunk>>) -> Result<Vec<Chunk>, Malformed> {
    PenaltyMerger::default().merge(lists, &mut DecodedChunks::default())
}

/// The next chunk of a list, in the heap.
#[derive(Clone, Copy, Debug)]
struct Head {
    min_time: Millis,
    max_time: Millis,
    list: usize,
}

fn earlier(a: &Head, b: &Head) -> bool {
    (a.min_time, a.max_time) < (b.min_time, b.max_time)
}

/// Lists of chunks on upstream's heap.
struct Queue {
    lists: Vec<std::vec::IntoIter<Chunk>>,
    heap: GoHeap<Head>,
}

impl Queue {
    fn add(&mut self, list: std::vec::IntoIter<Chunk>) {
        self.lists.push(list);
        self.push(self.lists.len() - 1);
    }

    fn push(&mut self, list: usize) {
        if let Some(next) = self.lists[list].as_slice().first() {
            self.heap.push(Head { min_time: next.min_time, max_time: next.max_time, list }, earlier);
        }
    }

    fn pop(&mut self) -> Option<Chunk> {
        let head = self.heap.pop(earlier)?;
        let chunk = self.lists[head.list].next()?;
        self.push(head.list);
        Some(chunk)
    }

    fn begins_until(&self, time: Millis) -> bool {
        self.heap.peek().is_some_and(|next| next.min_time <= time)
    }
}

impl PenaltyMerger {
    /// A merger with empty buffers.
    pub fn new() -> Self {
        PenaltyMerger::default()
    }

    /// The same as [`merge_penalty`]; what is decoded is added to `decoded`.
    ///
    /// # Errors
    /// As there.
    pub fn merge(&mut self, lists: Vec<Vec<Chunk>>, decoded: &mut DecodedChunks) -> Result<Vec<Chunk>, Malformed> {
        let mut queue = Queue { lists: Vec::with_capacity(lists.len()), heap: GoHeap::new() };
        lists.into_iter().for_each(|list| queue.add(list.into_iter()));
        let mut out = Vec::new();
        let mut overlapping = Vec::new();
        while let Some(first) = queue.pop() {
            let mut until = first.max_time;
            overlapping.clear();
            overlapping.push(first);
            while queue.begins_until(until) {
                let Some(chunk) = queue.pop() else { break };
                if overlapping.last() != Some(&chunk) {
                    until = until.max(chunk.max_time);
                    overlapping.push(chunk);
                }
            }
            if overlapping.len() == 1 {
                out.append(&mut overlapping);
                continue;
            }
            let mut merged = self.thin_out(&overlapping, decoded)?.into_iter();
            out.extend(merged.next());
            // what is left overlaps nothing any more; it goes through the heap, since that has a say in later ties
            queue.add(merged);
        }
        Ok(out)
    }

    /// Overlapping chunks, in order, as chunks that do not overlap.
    fn thin_out(&mut self, chunks: &[Chunk], decoded: &mut DecodedChunks) -> Result<Vec<Chunk>, Malformed> {
        if chunks.iter().any(|c| c.encoding == Encoding::Aggregate) {
            return Err(Malformed::new("chunk", 0, "aggregates that overlap cannot be merged sample by sample"));
        }
        if chunks.iter().all(|c| matches!(c.encoding, Encoding::Xor | Encoding::Xor2)) {
            self.floats(chunks, decoded)
        } else {
            self.any(chunks, decoded)
        }
    }

    fn floats(&mut self, chunks: &[Chunk], decoded: &mut DecodedChunks) -> Result<Vec<Chunk>, Malformed> {
        for (n, chunk) in chunks.iter().enumerate() {
            decode_columns(chunk.encoding, &chunk.data, &mut self.columns)?;
            let Columns { times, values: ColumnValues::Floats(values), .. } = &mut self.columns else { continue };
            decoded.floats((chunk.min_time, chunk.max_time), times, values);
            keep_ascending(times, values);
            match n {
                0 => self.floats.begin(times, values),
                _ => self.floats.add(times, values),
            }
        }
        let (times, values) = self.floats.kept();
        let in_chunks = times.chunks(SAMPLES_PER_CHUNK).zip(values.chunks(SAMPLES_PER_CHUNK));
        Ok(in_chunks
            .map(|(times, values)| {
                let data = self.encoder.encode(times, values).to_vec();
                Chunk { min_time: times[0], max_time: times[times.len() - 1], encoding: Encoding::Xor, data }
            })
            .collect())
    }

    fn any(&mut self, chunks: &[Chunk], decoded: &mut DecodedChunks) -> Result<Vec<Chunk>, Malformed> {
        let mut samples: Vec<Sample> = Vec::new();
        for (n, chunk) in chunks.iter().enumerate() {
            let begin = samples.len();
            samples.extend(chunk.samples()?);
            decoded.chunk(chunk, &samples[begin..]);
            let mut times: Vec<Millis> = samples[begin..].iter().map(|s| s.time).collect();
            let mut numbers: Vec<u32> = (begin as u32..samples.len() as u32).collect();
            keep_ascending(&mut times, &mut numbers);
            match n {
                0 => self.any.begin(&times, &numbers),
                _ => self.any.add(&times, &numbers),
            }
        }
        let (_, kept) = self.any.kept();
        encode_in_chunks(kept.iter().map(|&number| {
            let nothing = Sample { time: 0, start: 0, value: Value::Float(0.0) };
            std::mem::replace(&mut samples[number as usize], nothing)
        }))
    }
}

/// Drops samples that are not later than all before them, which only damaged chunks have; upstream's
/// seeks pass over them too.
fn keep_ascending<V: Copy>(times: &mut Vec<Millis>, values: &mut Vec<V>) {
    if times.windows(2).all(|w| w[0] < w[1]) {
        return;
    }
    let mut kept = 0;
    for i in 0..times.len() {
        if kept == 0 || times[i] > times[kept - 1] {
            (times[kept], values[kept]) = (times[i], values[i]);
            kept += 1;
        }
    }
    times.truncate(kept);
    values.truncate(kept);
}
