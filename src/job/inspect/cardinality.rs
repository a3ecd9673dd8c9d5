//! What makes a block large: sums over series by label pair and by metric. Pure counting.
//!
//! *Memory*: about 100 bytes a label pair.

use rustc_hash::FxHashMap;

use crate::format::index::ChunkMeta;
use crate::format::segment::ChunkRef;
use crate::model::{Millis, TimeRange};

/// References of a label's name and value.
pub(super) type Pair = (u32, u32);

/// Sums of one label pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    /// Series that have it.
    pub(super) series: u64,
    /// Their chunks.
    pub(super) chunks: u64,
    /// Bytes of their entries in the index, and of their chunks.
    pub(super) bytes: u64,
    /// Time that their chunks span, in milliseconds.
    pub(super) lived_ms: u64,
    /// Series of which less than half of the block is spanned from first to last sample.
    pub(super) short: u64,
}

impl Share {
    fn join(&mut self, other: &Share) {
        self.series += other.series;
        self.chunks += other.chunks;
        self.bytes += other.bytes;
        self.lived_ms = self.lived_ms.saturating_add(other.lived_ms);
        self.short += other.short;
    }
}

/// Sums over a run of series.
#[derive(Clone, Debug, Default)]
pub(super) struct Shares {
    pub(super) pairs: FxHashMap<Pair, Share>,
    pub(super) total: Share,
    /// Series by number of chunks, at powers of two: 1, 2, 3 to 4, 5 to 8, …
    pub(super) chunks_per_series: Vec<u64>,
    pub(super) most_chunks: u64,
    /// Chunks that are looked into, each with the bytes that it may have.
    pub(super) sampled: Vec<(ChunkRef, u64)>,
    /// Where chunks of this run begin, and the last of them with the labels of its series.
    first_chunk: Option<ChunkRef>,
    last: Option<(ChunkRef, Vec<Pair>)>,
}

/// Sums over series as they come, in the order of the index.
pub(super) struct Counter {
    block: TimeRange,
    stride: u64,
    shares: Shares,
    /// By position in the label set: series that follow one another share most pairs.
    held: Vec<(Pair, Share)>,
    labels: Vec<Pair>,
}

impl Counter {
    /// Every `stride`th chunk is kept to be looked into.
    pub(super) fn new(block: TimeRange, stride: u64) -> Self {
        Counter { block, stride: stride.max(1), shares: Shares::default(), held: Vec::new(), labels: Vec::new() }
    }

    /// One more series; `entry_bytes` is what it takes of the index.
    pub(super) fn series(&mut self, labels: &[Pair], chunks: &[ChunkMeta], entry_bytes: u64) {
        if let (Some(before), Some(first)) = (self.shares.last.take().map(|(r, _)| r), chunks.first()) {
            // the chunk before ends where this one begins
            self.chunk_bytes(distance(before, first.reference));
            self.shares
                .sampled
                .last_mut()
                .filter(|(r, _)| *r == before)
                .into_iter()
                .for_each(|s| s.1 = distance(before, first.reference));
        }
        let mut share = Share { series: 1, chunks: chunks.len() as u64, bytes: entry_bytes, ..Share::default() };
        for pair in chunks.windows(2) {
            share.bytes += distance(pair[0].reference, pair[1].reference);
        }
        let lived = chunks.iter().map(|c| c.max_time.saturating_sub(c.min_time).max(0) as u64);
        share.lived_ms = lived.fold(0, u64::saturating_add);
        if let (Some(first), Some(last)) = (chunks.first(), chunks.last()) {
            let spanned: Millis = last.max_time.saturating_sub(first.min_time);
            share.short = u64::from(spanned < self.block.len_ms() / 2);
            self.shares.first_chunk.get_or_insert(first.reference);
        }
        for (i, &pair) in labels.iter().enumerate() {
            match self.held.get_mut(i) {
                Some((held, sum)) if *held == pair => sum.join(&share),
                Some(slot) => {
                    self.shares.pairs.entry(slot.0).or_default().join(&slot.1);
                    *slot = (pair, share);
                }
                None => self.held.push((pair, share)),
            }
        }
        self.labels.clear();
        self.labels.extend_from_slice(labels);
        let seen = self.shares.total.chunks;
        self.shares.total.join(&share);
        self.note_chunks(chunks, seen);
    }

    fn note_chunks(&mut self, chunks: &[ChunkMeta], seen: u64) {
        let slot = (chunks.len().max(1) as u64).next_power_of_two().trailing_zeros() as usize;
        let by_count = &mut self.shares.chunks_per_series;
        by_count.resize(by_count.len().max(slot + 1), 0);
        by_count[slot] += 1;
        self.shares.most_chunks = self.shares.most_chunks.max(chunks.len() as u64);
        for (i, chunk) in chunks.iter().enumerate() {
            if (seen + i as u64).is_multiple_of(self.stride) {
                let next = chunks.get(i + 1).map_or(0, |n| distance(chunk.reference, n.reference));
                self.shares.sampled.push((chunk.reference, next));
            }
        }
        if let Some(last) = chunks.last() {
            self.shares.last = Some((last.reference, Vec::new()));
        }
    }

    /// Bytes of the last chunk of the series before.
    fn chunk_bytes(&mut self, bytes: u64) {
        self.shares.total.bytes += bytes;
        for i in 0..self.labels.len() {
            self.held[i].1.bytes += bytes;
        }
    }

    pub(super) fn finish(mut self) -> Shares {
        for (pair, share) in self.held.drain(..) {
            self.shares.pairs.entry(pair).or_default().join(&share);
        }
        if let Some((_, labels)) = &mut self.shares.last {
            *labels = self.labels;
        }
        self.shares
    }
}

impl Shares {
    /// Adds the sums of the run that follows.
    pub(super) fn join(&mut self, behind: Shares) {
        if let Some(first) = behind.first_chunk {
            if let Some((last, labels)) = self.last.take() {
                self.ends(last, &labels, distance(last, first));
            }
            self.last = behind.last;
        }
        for (pair, share) in behind.pairs {
            self.pairs.entry(pair).or_default().join(&share);
        }
        self.total.join(&behind.total);
        let counts = self.chunks_per_series.len().max(behind.chunks_per_series.len());
        self.chunks_per_series.resize(counts, 0);
        self.chunks_per_series.iter_mut().zip(&behind.chunks_per_series).for_each(|(sum, n)| *sum += n);
        self.most_chunks = self.most_chunks.max(behind.most_chunks);
        self.sampled.extend(behind.sampled);
        self.first_chunk = self.first_chunk.or(behind.first_chunk);
    }

    /// The last chunk of all ends with its segment.
    pub(super) fn end(&mut self, segment_bytes: impl Fn(u32) -> Option<u64>) {
        if let Some((last, labels)) = self.last.take() {
            let end = segment_bytes(last.segment()).unwrap_or(0);
            self.ends(last, &labels, end.saturating_sub(u64::from(last.offset())));
        }
    }

    fn ends(&mut self, last: ChunkRef, labels: &[Pair], bytes: u64) {
        self.total.bytes += bytes;
        for pair in labels {
            self.pairs.entry(*pair).or_default().bytes += bytes;
        }
        self.sampled.last_mut().filter(|(r, _)| *r == last).into_iter().for_each(|s| s.1 = bytes);
    }
}

/// Bytes from one chunk to the next; 0 across segments, where only the segment's end could tell, and backwards.
fn distance(from: ChunkRef, to: ChunkRef) -> u64 {
    if from.segment() == to.segment() { u64::from(to.offset().saturating_sub(from.offset())) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(i: u32) -> (Vec<Pair>, Vec<ChunkMeta>) {
        let count = 1 + i % 3;
        let chunk = |c: u32| ChunkMeta {
            min_time: i64::from(c) * 10,
            max_time: i64::from(c) * 10 + 5,
            reference: ChunkRef::new(0, 8 + i * 1000 + c * 100),
        };
        (vec![(1, 10 + i / 4), (2, 100 + i)], (0..count).map(chunk).collect())
    }

    fn count(range: std::ops::Range<u32>) -> Shares {
        let mut counter = Counter::new(TimeRange::new(0, 40), 1);
        for i in range {
            let (labels, chunks) = series(i);
            counter.series(&labels, &chunks, 50);
        }
        counter.finish()
    }

    #[test]
    fn runs_join_to_the_whole() {
        let mut whole = count(0..20);
        whole.end(|_| Some(20_000));
        assert_eq!(whole.total.series, 20);
        // from the first chunk to the end of the segment, and the entries
        assert_eq!(whole.total.bytes, 20_000 - 8 + 20 * 50);
        assert_eq!(whole.pairs[&(1, 10)], Share { series: 4, chunks: 7, bytes: 4 * 1000 + 4 * 50, lived_ms: 35, short: 3 });
        assert_eq!(whole.chunks_per_series, [7, 7, 6]);
        for cut in [0, 1, 7, 19, 20] {
            let mut joined = count(0..cut);
            joined.join(count(cut..20));
            joined.end(|_| Some(20_000));
            assert_eq!(joined.total, whole.total, "cut at {cut}");
            assert_eq!(joined.pairs, whole.pairs, "cut at {cut}");
            assert_eq!(joined.sampled, whole.sampled, "cut at {cut}");
        }
    }
}
