//! Merges the inputs' series by their labels, as integers, on upstream's heap.
//!
//! *Order*: by labels; equal label sets in the order in which upstream's heap pops them, which
//! decides what vertical merging keeps.
//! *Memory*: no copies; a merged batch holds the decoded batches it points into.
//! *Errors*: an input whose series are not strictly ascending.
//!
//! This is the one step of a job that runs alone: some 30 ns an input series, so that what follows
//! can be cut anywhere.

use std::sync::Arc;

use super::decode::SeriesBatch;
use crate::error::{Error, Kind, Result};
use crate::format::index::ChunkMeta;
use crate::format::segment::ChunkRef;
use crate::model::BlockId;
use crate::series::GoHeap;

/// A merged batch ends behind the series that reaches one of these.
const BATCH_SERIES: usize = 4096;
const BATCH_CHUNKS: usize = 8192;
const BATCH_CHUNK_BYTES: u64 = 2 << 20;

/// One input's contribution to a merged series.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    /// Index into [`MergedBatch::sources`].
    pub(super) source: u32,
    /// Series within that source.
    pub(super) series: u32,
}

/// A decoded batch that a merged batch points into.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) input: usize,
    pub(super) batch: Arc<SeriesBatch>,
}

/// A stretch of chunks that lie in one segment of one input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) first: ChunkRef,
    pub(super) last: ChunkRef,
}

/// Merged series, in order, each a run of pieces in the order the heap popped them.
#[derive(Debug, Default)]
pub(super) struct MergedBatch {
    pub(super) sources: Vec<Source>,
    pub(super) pieces: Vec<Piece>,
    /// Where each series' pieces end.
    pub(super) ends: Vec<u32>,
    /// For each input where its chunks lie, ascending.
    pub(super) stretches: Vec<Vec<Stretch>>,
    chunks: usize,
    chunk_bytes: u64,
}

impl MergedBatch {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn pieces(&self, series: usize) -> &[Piece] {
        let begin = if series == 0 { 0 } else { self.ends[series - 1] };
        &self.pieces[begin as usize..self.ends[series] as usize]
    }

    pub(super) fn labels(&self, series: usize) -> &[(u32, u32)] {
        let piece = self.pieces(series)[0];
        self.sources[piece.source as usize].batch.labels(piece.series as usize)
    }

    /// How many chunks its series have in all inputs together.
    pub(super) fn chunks(&self) -> usize {
        self.chunks
    }

    /// About how many bytes their records take.
    pub(super) fn chunk_bytes(&self) -> usize {
        // a stretch ends where its last record begins; most stretches are long
        let last = self.stretches.iter().map(Vec::len).sum::<usize>() * 1024;
        self.chunk_bytes.min(4 * BATCH_CHUNK_BYTES) as usize + last
    }

    fn is_full(&self) -> bool {
        self.len() >= BATCH_SERIES || self.chunks >= BATCH_CHUNKS || self.chunk_bytes >= BATCH_CHUNK_BYTES
    }

    /// Notes where the chunks of one piece lie.
    fn reach(&mut self, input: usize, chunks: &[ChunkMeta], scattered: bool) {
        self.chunks += chunks.len();
        let stretches = &mut self.stretches[input];
        let mut from = chunks[0].reference;
        let last = chunks[chunks.len() - 1].reference;
        match stretches.last_mut() {
            Some(s) if s.last.segment() == from.segment() && !scattered => {
                let to = if last.segment() == from.segment() { last } else { last_in_segment(chunks, from.segment()) };
                self.chunk_bytes += to.0.saturating_sub(s.last.0);
                s.last = to;
            }
            _ => {
                let to = if last.segment() == from.segment() { last } else { last_in_segment(chunks, from.segment()) };
                self.chunk_bytes += to.0 - from.0;
                stretches.push(Stretch { first: from, last: to });
            }
        }
        // rare: a series whose chunks cross into further segments
        while let Some(next) = chunks.iter().find(|c| c.reference.segment() > from.segment()) {
            from = next.reference;
            let to = last_in_segment(chunks, from.segment());
            self.chunk_bytes += to.0 - from.0;
            stretches.push(Stretch { first: from, last: to });
            if to == last {
                break;
            }
        }
    }
}

fn last_in_segment(chunks: &[ChunkMeta], segment: u32) -> ChunkRef {
    let end = chunks.partition_point(|c| c.reference.segment() <= segment);
    chunks[end - 1].reference
}

#[derive(Default)]
struct Cursor {
    batch: Option<Arc<SeriesBatch>>,
    series: usize,
    /// Index of `batch` in the sources of the batch being filled, or `u32::MAX`.
    source: u32,
    ended: bool,
    /// The last chunk's reference seen, to hold ascending order across series.
    last_chunk: ChunkRef,
    /// Series of this input may have equal labels, and their chunks lie anywhere.
    scattered: bool,
}

impl Cursor {
    fn labels(&self) -> &[(u32, u32)] {
        self.batch.as_ref().map_or(&[], |b| b.labels(self.series))
    }
}

/// What [`Merger::step`] ended with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Input `n` has no decoded series left.
    Need(usize),
    /// The batch is full.
    Full,
    /// All inputs have ended.
    Done,
}

/// The resumable merge.
pub(super) struct Merger {
    blocks: Vec<BlockId>,
    cursors: Vec<Cursor>,
    heap: GoHeap<usize>,
    /// Inputs whose series went out last: they move on, in this order, before the next is popped.
    advance: Vec<usize>,
    advanced: usize,
}

impl Merger {
    /// Merges as many inputs as there are `blocks`; those from `scattered` on hold series that were moved.
    pub(super) fn new(blocks: Vec<BlockId>, scattered: usize) -> Self {
        let inputs = blocks.len();
        Merger {
            cursors: (0..inputs).map(|n| Cursor { source: u32::MAX, scattered: n >= scattered, ..Cursor::default() }).collect(),
            blocks,
            heap: GoHeap::new(),
            advance: (0..inputs).collect(),
            advanced: 0,
        }
    }

    pub(super) fn empty_batch(&self) -> MergedBatch {
        MergedBatch { stretches: vec![Vec::new(); self.cursors.len()], ..MergedBatch::default() }
    }

    /// Hands over the next decoded batch of `input`, or that there is none.
    pub(super) fn feed(&mut self, input: usize, batch: Option<SeriesBatch>) -> Result<()> {
        let cursor = &mut self.cursors[input];
        match batch {
            None => {
                cursor.ended = true;
                cursor.batch = None;
            }
            Some(batch) if batch.len() == 0 => {}
            Some(batch) => {
                if let Some(before) = &cursor.batch
                    && before.labels(before.len() - 1) >= batch.labels(0)
                {
                    return Err(self.unsorted(input));
                }
                let cursor = &mut self.cursors[input];
                cursor.batch = Some(Arc::new(batch));
                cursor.series = 0;
                cursor.source = u32::MAX;
                self.cursors[input].check_order().map_err(|()| self.unsorted(input))?;
                self.push(input);
                self.advanced += 1;
            }
        }
        Ok(())
    }

    fn unsorted(&self, input: usize) -> Error {
        Error::new(Kind::Corrupt, "series or their chunks are not in ascending order")
            .block(self.blocks[input])
            .part("index series")
            .next("run `tools bucket verify` on the block, then replace it or mark it no-compact")
    }

    fn push(&mut self, input: usize) {
        let cursors = &self.cursors;
        self.heap.push(input, |&a, &b| cursors[a].labels() < cursors[b].labels());
    }

    /// Fills `out` until it is full or an input is needed.
    pub(super) fn step(&mut self, out: &mut MergedBatch) -> Result<Step> {
        loop {
            while let Some(&input) = self.advance.get(self.advanced) {
                let cursor = &mut self.cursors[input];
                if cursor.ended {
                    self.advanced += 1;
                    continue;
                }
                let Some(batch) = &cursor.batch else { return Ok(Step::Need(input)) };
                if cursor.series + 1 >= batch.len() {
                    return Ok(Step::Need(input));
                }
                cursor.series += 1;
                if cursor.check_order().is_err() {
                    return Err(self.unsorted(input));
                }
                self.push(input);
                self.advanced += 1;
            }
            if out.is_full() {
                for cursor in &mut self.cursors {
                    cursor.source = u32::MAX;
                }
                return Ok(Step::Full);
            }
            self.advance.clear();
            self.advanced = 0;
            let cursors = &mut self.cursors;
            let Some(first) = self.heap.pop(|&a, &b| cursors[a].labels() < cursors[b].labels()) else {
                return Ok(Step::Done);
            };
            self.advance.push(first);
            while let Some(&next) = self.heap.peek() {
                if cursors[first].labels() != cursors[next].labels() {
                    break;
                }
                self.heap.pop(|&a, &b| cursors[a].labels() < cursors[b].labels());
                self.advance.push(next);
            }
            for &input in &self.advance {
                let cursor = &mut cursors[input];
                let Some(batch) = cursor.batch.clone() else { continue };
                if cursor.source == u32::MAX {
                    cursor.source = out.sources.len() as u32;
                    out.sources.push(Source { input, batch: batch.clone() });
                }
                loop {
                    out.pieces.push(Piece { source: cursor.source, series: cursor.series as u32 });
                    out.reach(input, batch.chunks(cursor.series), cursor.scattered);
                    let next = cursor.series + 1;
                    if !cursor.scattered || next >= batch.len() || batch.labels(next) != batch.labels(cursor.series) {
                        break;
                    }
                    cursor.series = next;
                }
            }
            out.ends.push(out.pieces.len() as u32);
        }
    }
}

impl Cursor {
    /// The series under the cursor stands behind the one before, and so do its chunks.
    fn check_order(&mut self) -> Result<(), ()> {
        let Some(batch) = &self.batch else { return Ok(()) };
        if self.series > 0 && batch.labels(self.series - 1) >= batch.labels(self.series) {
            return Err(());
        }
        let chunks = batch.chunks(self.series);
        if chunks[0].reference < self.last_chunk && !self.scattered {
            return Err(());
        }
        self.last_chunk = chunks[chunks.len() - 1].reference;
        Ok(())
    }
}
