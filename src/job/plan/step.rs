//! The next step of one group: which of its blocks become one, or why none do.
//!
//! *Source*: Thanos `pkg/compact/planner.go`, which follows Prometheus' `LeveledCompactor`.

use serde::Serialize;

use crate::model::{BlockId, Millis, TimeRange};

/// A block with more tombstones a series than this is rewritten alone.
const TOMBSTONES_PER_SERIES: f64 = 0.05;

/// What a planner knows of a block.
#[derive(Clone, Debug)]
pub struct Piece {
    /// The block.
    pub id: BlockId,
    /// Its time.
    pub range: TimeRange,
    /// Milliseconds between its samples, 0 for raw.
    pub resolution: Millis,
    /// A compaction of it failed before.
    pub failed: bool,
    /// It is not to be compacted.
    pub no_compact: bool,
    /// Its series.
    pub series: u64,
    /// Its tombstones.
    pub tombstones: u64,
    /// Bytes of its index.
    pub index_bytes: u64,
}

/// Why blocks are compacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "because")]
pub enum Why {
    /// They overlap.
    Overlap,
    /// They lie in one window and nothing is going to be added to it.
    Window {
        /// First millisecond of the window.
        start: Millis,
        /// Its length in milliseconds.
        length: Millis,
    },
    /// It has so many tombstones that it is rewritten.
    Tombstones,
}

/// Why nothing is compacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "because")]
pub enum Nothing {
    /// There is no other block.
    OneBlock,
    /// All blocks are marked.
    AllMarked,
    /// There is only one range, and that is the base.
    OneRange,
    /// A block of the window failed before.
    Failed {
        /// That block.
        block: BlockId,
    },
    /// The window is not full, and no block begins behind it yet but the newest, which is left alone.
    Open {
        /// First millisecond of the window.
        start: Millis,
        /// Its length in milliseconds.
        length: Millis,
        /// Blocks in it.
        blocks: usize,
    },
    /// Marked blocks leave no two blocks side by side.
    Separated,
    /// No two blocks lie in one window, the newest block left alone.
    Apart,
}

/// Why one block is in no step, while nothing is to be done with its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case", tag = "because")]
pub enum Alone {
    /// It is marked against it.
    Marked,
    /// There is no other block.
    OneBlock,
    /// It is the newest, which was just uploaded.
    Newest,
    /// There is only one range, and that is the base.
    OneRange,
    /// A block of its window failed before.
    Failed {
        /// That block.
        block: BlockId,
    },
    /// Its window is not full, and more may come into it.
    Open {
        /// First millisecond of the window.
        start: Millis,
        /// Its length in milliseconds.
        length: Millis,
        /// Blocks in it, this one included.
        blocks: usize,
    },
    /// Marked blocks lie between it and the others of its window.
    Separated,
    /// It fills a window of the longest range: there is nothing longer to join it into.
    Longest {
        /// The length of the window in milliseconds.
        length: Millis,
    },
    /// The longest window that it fits into is over, and no other block lies in it.
    NoNeighbour {
        /// First millisecond of the window.
        start: Millis,
        /// Its length in milliseconds.
        length: Millis,
    },
    /// It reaches over a border of windows of every range.
    Crosses {
        /// The length of the longest window in milliseconds.
        length: Millis,
    },
}

/// What to do next with a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// These become one; indexes into the pieces.
    Compact(Vec<usize>, Why),
    /// None do.
    Nothing(Nothing),
}

/// Decides about `pieces`, which are ordered by minimum time; `ranges` are lengths by level, the base first.
pub fn next_step(pieces: &[Piece], ranges: &[Millis]) -> Step {
    let mut free: Vec<usize> = (0..pieces.len()).filter(|&at| !pieces[at].no_compact).collect();
    let overlapping = first_overlap(pieces, &free);
    if !overlapping.is_empty() {
        return Step::Compact(overlapping, Why::Overlap);
    }
    let Some((newest, older)) = pieces.split_last() else { return Step::Nothing(Nothing::OneBlock) };
    if free.is_empty() {
        return Step::Nothing(Nothing::AllMarked);
    }
    // the newest block was just uploaded: whoever has to look after it has one block's length of time
    if !newest.no_compact {
        free.pop();
    }
    let nothing = match first_window(older, ranges) {
        Ok((chosen, why)) => return Step::Compact(chosen, why),
        Err(nothing) => nothing,
    };
    let long = ranges.get(ranges.len() / 2).copied().unwrap_or(Millis::MAX);
    for &at in free.iter().rev() {
        let piece = &pieces[at];
        if piece.range.end.saturating_sub(piece.range.start) < long {
            break;
        }
        if piece.tombstones as f64 / piece.series.saturating_add(1) as f64 > TOMBSTONES_PER_SERIES {
            return Step::Compact(vec![at], Why::Tombstones);
        }
    }
    Step::Nothing(if pieces.len() == 1 { Nothing::OneBlock } else { nothing })
}

/// The first of `among` that overlap, together with all that overlap those.
pub(super) fn first_overlap(pieces: &[Piece], among: &[usize]) -> Vec<usize> {
    let mut overlapping: Vec<usize> = Vec::new();
    let Some((&first, rest)) = among.split_first() else { return overlapping };
    let mut before = first;
    let mut end = pieces[first].range.end;
    for &at in rest {
        let range = pieces[at].range;
        if range.start < end {
            if overlapping.is_empty() {
                overlapping.push(before);
            }
            overlapping.push(at);
        } else if !overlapping.is_empty() {
            break;
        }
        end = end.max(range.end);
        before = at;
    }
    overlapping
}

/// What can be done with the blocks of one window.
enum Verdict {
    /// These become one.
    Ready(Vec<usize>),
    /// This one failed before.
    Failed(BlockId),
    /// It is the only one.
    Single,
    /// Marked blocks lie between all others.
    Separated,
    /// So many are there, and more may come.
    Open(usize),
}

/// Judges a window of `length`; nothing comes any more into one that ends before `high`.
fn judge(pieces: &[Piece], window: std::ops::Range<usize>, length: Millis, high: Millis) -> Verdict {
    let inside = &pieces[window.clone()];
    if let Some(piece) = inside.iter().find(|p| p.failed) {
        return Verdict::Failed(piece.id);
    }
    let [first, .., last] = inside else { return Verdict::Single };
    // marked blocks stay where they are: what they separate is not joined around them
    let mut runs = window.collect::<Vec<usize>>();
    let Some(run) = runs.split_mut(|&at| pieces[at].no_compact).find(|run| run.len() > 1) else {
        return Verdict::Separated;
    };
    let full = last.range.end.saturating_sub(first.range.start) == length;
    if full || last.range.end <= high { Verdict::Ready(run.to_vec()) } else { Verdict::Open(run.len()) }
}

/// The first window, of the shortest range, that is closed and has two blocks side by side.
fn first_window(pieces: &[Piece], ranges: &[Millis]) -> Result<(Vec<usize>, Why), Nothing> {
    let Some(ranges) = ranges.get(1..).filter(|r| !r.is_empty()) else { return Err(Nothing::OneRange) };
    let Some(last) = pieces.last() else { return Err(Nothing::Apart) };
    let high = last.range.start;
    let (mut failed, mut open, mut separated) = (None, None, false);
    for &length in ranges {
        for (start, window) in windows(pieces, length) {
            match judge(pieces, window, length, high) {
                Verdict::Ready(run) => return Ok((run, Why::Window { start, length })),
                Verdict::Failed(block) => failed = failed.or(Some(Nothing::Failed { block })),
                Verdict::Open(blocks) => open = open.or(Some(Nothing::Open { start, length, blocks })),
                Verdict::Separated => separated = true,
                Verdict::Single => {}
            }
        }
    }
    Err(failed.or(open).unwrap_or(if separated { Nothing::Separated } else { Nothing::Apart }))
}

/// Why each of `pieces` is in no step, where the planner has none for them.
pub(super) fn left_alone(pieces: &[Piece], ranges: &[Millis]) -> Vec<Alone> {
    let Some((newest, older)) = pieces.split_last() else { return Vec::new() };
    let (last, alone) = match (newest.no_compact, older.is_empty()) {
        (true, _) => (Alone::Marked, Alone::OneRange),
        (false, true) => (Alone::OneBlock, Alone::OneRange),
        (false, false) => (Alone::Newest, Alone::OneRange),
    };
    let mut reasons = vec![alone; older.len()];
    if let (Some(&longest), Some(high)) = (ranges.get(1..).and_then(<[Millis]>::last), older.last().map(|p| p.range.start)) {
        reasons.fill(Alone::Crosses { length: longest });
        // the shortest window in which something is missing says more than longer ones
        let mut is_said = vec![false; older.len()];
        for &length in &ranges[1..] {
            for (start, window) in windows(older, length) {
                let (verdict, end) = (judge(older, window.clone(), length, high), start.saturating_add(length));
                let (reason, says_all) = match verdict {
                    Verdict::Failed(block) => (Alone::Failed { block }, true),
                    Verdict::Ready(run) => (Alone::Open { start, length, blocks: run.len() }, true),
                    Verdict::Open(blocks) => (Alone::Open { start, length, blocks }, true),
                    Verdict::Separated => (Alone::Separated, true),
                    Verdict::Single
                        if older[window.start].range.end.saturating_sub(older[window.start].range.start) >= length =>
                    {
                        (Alone::Longest { length }, false)
                    }
                    Verdict::Single if newest.range.start < end => (Alone::Open { start, length, blocks: 1 }, true),
                    Verdict::Single => (Alone::NoNeighbour { start, length }, false),
                };
                for at in window {
                    if !is_said[at] {
                        (reasons[at], is_said[at]) = (reason, says_all);
                    }
                }
            }
        }
    }
    let marked = older.iter().zip(&mut reasons).filter(|(piece, _)| piece.no_compact);
    marked.for_each(|(_, reason)| *reason = Alone::Marked);
    reasons.push(last);
    reasons
}

/// Runs of blocks that lie in one aligned window of `length`, each with the start of its window; blocks that
/// cross a border lie in none.
fn windows(pieces: &[Piece], length: Millis) -> Vec<(Millis, std::ops::Range<usize>)> {
    let mut windows = Vec::new();
    let mut at = 0;
    while at < pieces.len() {
        let start = pieces[at].range.start.div_euclid(length).saturating_mul(length);
        let end = start.saturating_add(length);
        let from = at;
        while at < pieces.len() && pieces[at].range.end <= end {
            at += 1;
        }
        if at == from {
            at += 1;
        } else {
            windows.push((start, from..at));
        }
    }
    windows
}
