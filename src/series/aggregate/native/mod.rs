//! Native histograms: one run of raw histograms, and aggregates of histograms.
//!
//! A window of histograms is their number, their sum (as a gauge), and the counter so far: the first
//! sample, and what came behind it added up over resets. How many samples a batch has is known only once
//! all are decoded; it is guessed by headers and times, and where the guess was wrong the run is read again.
//!
//! *Memory*: the chunks of a run as they came, one of them decoded, the windows of one batch.

mod batch;
mod engine;
mod exact;
mod lane;
mod plain;
mod rows;
mod shape;
#[cfg(test)]
mod tests;

use super::AggregateChunks;
use super::window::chunk_count;
use crate::format::Malformed;
use crate::format::chunk::{Aggregate, AggregateKind, Encoding, Samples, ValueRef, sample_count};
use crate::model::{FloatHistogram, Millis, ResetHint};

use batch::Windows;
use engine::Engine;

/// The interval of raw samples that is assumed when chunks are planned.
const ASSUMED_INTERVAL: Millis = 60_000;

/// Buckets of all windows of a batch above which it ends early: 8 MiB. Real ones have a tenth at most; chunks
/// that each bring other buckets would grow a batch by the square of their bytes.
const MOST_CELLS: usize = 1 << 20;

/// Bytes of aggregates that become one coarser chunk at most, but for single ones; real ones have a tenth.
const MOST_BYTES: usize = 4 << 20;

/// What is known of a reset before a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A gauge has none.
    Gauge,
    /// There was none.
    Follows,
    /// There was one.
    Begins,
    /// Whoever needs to know compares.
    Unknown,
}

/// Which aggregates are made.
#[derive(Clone, Copy, Debug, Default)]
struct Want {
    counts: bool,
    sums: bool,
    counters: bool,
}

/// The batch that is made, and how.
#[derive(Clone, Debug, Default)]
struct Batch {
    resolution: Millis,
    want: Want,
    windows: Windows,
}

/// How samples become batches.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// Samples of a batch, which then goes on to the end of its window.
    len: usize,
    /// Whether these are raw samples: histograms whose sum is not a number are left out, and each batch
    /// is encoded when it ends.
    is_raw: bool,
}

/// What a run had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Had {
    samples: usize,
    range: (Millis, Millis),
}

/// One run of native histograms of a series, gathered and aggregated; buffers are reused.
#[derive(Clone, Debug, Default)]
pub(super) struct NativeRun {
    /// The chunks, back to back, with where each ends.
    bytes: Vec<u8>,
    chunks: Vec<(Encoding, usize)>,
    /// What headers and times say.
    announced: Had,
    engine: Engine,
}

impl NativeRun {
    /// Whether no chunk was taken since the run began.
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Begins another run.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.chunks.clear();
        self.announced = Had::default();
    }

    /// Takes the next raw chunk of the run, of any encoding of histograms, and the times of its first and
    /// last sample.
    ///
    /// # Errors
    /// [`Malformed`] when its header is cut off; the rest is decoded later.
    pub(super) fn push(&mut self, encoding: Encoding, data: &[u8], range: (Millis, Millis)) -> Result<(), Malformed> {
        self.announced.samples += sample_count(encoding, data)? as usize;
        let first = if self.chunks.is_empty() { range.0 } else { self.announced.range.0 };
        self.announced.range = (first, range.1);
        self.bytes.extend_from_slice(data);
        self.chunks.push((encoding, self.bytes.len()));
        Ok(())
    }

    /// Appends the aggregates of all samples that were pushed, as many chunks as they become.
    ///
    /// # Errors
    /// [`Malformed`] when a chunk does not decode or its histograms do not hold together.
    pub(super) fn windows(&mut self, resolution: Millis, out: &mut AggregateChunks) -> Result<(), Malformed> {
        let mut from = 0;
        let slices = self.chunks.iter().map(|&(encoding, end)| {
            let data = &self.bytes[from..end];
            from = end;
            (encoding, data)
        });
        let slices: Vec<_> = slices.collect();
        let plan = |had: Had| Plan {
            len: had.samples / chunk_count(had.range, ASSUMED_INTERVAL, resolution, had.samples) + 1,
            is_raw: true,
        };
        let want = Want { counts: true, sums: true, counters: true };
        let before = (out.bytes.len(), out.chunks.len());
        let mut guess = plan(self.announced);
        loop {
            let had = self.engine.run(&slices, guess, want, resolution, out)?;
            let known = plan(had);
            if known.len == guess.len || had.samples == 0 {
                return Ok(());
            }
            out.bytes.truncate(before.0);
            out.chunks.truncate(before.1);
            guess = known;
        }
    }

    /// Appends the aggregates of aggregates: those of `chunks` become one chunk, or more where one
    /// cannot hold them. Each lies before the next in time.
    ///
    /// # Errors
    /// [`Malformed`] when a chunk does not decode, is of floats, or its histograms do not hold together.
    pub(super) fn coarser(
        &mut self,
        chunks: &[Aggregate<'_>],
        resolution: Millis,
        out: &mut AggregateChunks,
    ) -> Result<(), Malformed> {
        let mut rest = chunks;
        while let Some(first) = rest.first() {
            let (custom, mut bytes, mut len) = (is_custom(first)?, 0, 0);
            while let Some(next) = rest.get(len) {
                bytes += next.iter().map(|(.., data)| data.len()).sum::<usize>();
                if len > 0 && (bytes > MOST_BYTES || is_custom(next)? != custom) {
                    break;
                }
                len += 1;
            }
            let (part, behind) = rest.split_at(len);
            self.engine.coarser(part, resolution, out)?;
            rest = behind;
        }
        Ok(())
    }
}

/// Whether a chunk of aggregates has custom buckets.
fn is_custom(chunk: &Aggregate<'_>) -> Result<bool, Malformed> {
    let Some((encoding, data)) = chunk.get(AggregateKind::Counter) else { return Ok(false) };
    let mut samples = Samples::new(encoding, data)?;
    Ok(samples.advance()? && matches!(samples.value(), ValueRef::FloatHistogram(h) if h.uses_custom_buckets()))
}

/// What a histogram says of itself.
fn hint_of(kind: Kind) -> ResetHint {
    match kind {
        Kind::Gauge => ResetHint::Gauge,
        Kind::Follows => ResetHint::NotReset,
        Kind::Begins => ResetHint::Reset,
        Kind::Unknown => ResetHint::Unknown,
    }
}

/// Custom buckets have neither zero bucket nor negative side, whatever the chunk says.
fn without_unused(layout: &mut FloatHistogram) {
    if layout.uses_custom_buckets() {
        (layout.zero_threshold, layout.zero_count) = (0.0, 0.0);
        layout.negative_spans.clear();
        layout.negative_buckets.clear();
    }
}
