//! What a step may not do, and the marks that keep it from being planned again.

use serde::Serialize;

use super::step::{Piece, Step, first_overlap, next_step};
use crate::error::{Error, Kind};
use crate::format::marks::texts;
use crate::model::{BlockId, Millis};

/// The share of the limit that inputs' indexes may have together: an index that is merged may grow.
const INDEX_HEADROOM: f64 = 0.85;

/// What limits the steps of a group.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest index of an output, in bytes.
    pub max_index_bytes: u64,
    /// Whether overlapping blocks are merged.
    pub vertical: bool,
}

/// A mark against compaction that is to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedMark {
    /// The block.
    pub block: BlockId,
    /// Why, in upstream's word.
    pub reason: &'static str,
    /// Why, for people.
    pub details: String,
}

/// The next step that keeps within the limits, and the marks without which it would not.
pub fn next_step_within(pieces: &[Piece], ranges: &[Millis], limits: Limits) -> (Step, Vec<PlannedMark>) {
    let mut pieces = pieces.to_vec();
    let mut marks: Vec<PlannedMark> = Vec::new();
    // each turn marks a block that was not marked, so there are no more turns than blocks
    loop {
        let step = next_step(&pieces, ranges);
        let Step::Compact(chosen, _) = &step else { return (step, marks) };
        let refused = match too_large(&pieces, chosen, limits) {
            Some(mark) => vec![mark],
            None if limits.vertical => downsampled_overlap(&pieces, chosen),
            None => Vec::new(),
        };
        if refused.is_empty() {
            return (step, marks);
        }
        for mark in refused {
            pieces.iter_mut().filter(|p| p.id == mark.block).for_each(|p| p.no_compact = true);
            marks.push(mark);
        }
    }
}

/// The block with the largest index so far where the sum comes too near to the limit.
fn too_large(pieces: &[Piece], chosen: &[usize], limits: Limits) -> Option<PlannedMark> {
    let limit = (limits.max_index_bytes as f64 * INDEX_HEADROOM) as u64;
    let mut sum = 0u64;
    let mut largest: Option<&Piece> = None;
    for piece in chosen.iter().map(|&at| &pieces[at]) {
        if largest.is_none_or(|l| l.index_bytes < piece.index_bytes) {
            largest = Some(piece);
        }
        sum = sum.saturating_add(piece.index_bytes);
        if sum >= limit {
            return largest.map(|l| PlannedMark {
                block: l.id,
                reason: texts::INDEX_SIZE_EXCEEDING,
                details: format!(
                    "with this block the index of a compacted block could exceed {} bytes, see thanos issue 1424",
                    limits.max_index_bytes
                ),
            });
        }
    }
    None
}

/// The mark for the largest index of blocks whose merge reached a limit of the format all the same: symbols or the
/// postings table near 4 GiB (thanos issue 7120), series beyond 64 GiB. `None` for any other error.
pub(crate) fn outgrown(error: &Error, blocks: impl Iterator<Item = (BlockId, u64)>) -> Option<PlannedMark> {
    let is_index = error.part_name().is_some_and(|part| part == "index" || part.starts_with("index "));
    if error.kind() != Kind::Limit || !is_index {
        return None;
    }
    // of equal ones the first, as where the sum is too large
    let largest = blocks.reduce(|largest, next| if next.1 > largest.1 { next } else { largest })?;
    let details = format!("with this block the index of a compacted block would exceed a limit: {error}");
    Some(PlannedMark { block: largest.0, reason: texts::INDEX_SIZE_EXCEEDING, details })
}

/// Downsampled blocks of a step that overlap: nobody knows how to merge two averages.
fn downsampled_overlap(pieces: &[Piece], chosen: &[usize]) -> Vec<PlannedMark> {
    if first_overlap(pieces, chosen).is_empty() {
        return Vec::new();
    }
    let downsampled = chosen.iter().map(|&at| &pieces[at]).filter(|p| p.resolution != 0);
    downsampled
        .map(|p| PlannedMark {
            block: p.id,
            reason: texts::DOWNSAMPLE_VERTICAL,
            details: texts::DOWNSAMPLE_VERTICAL_DETAILS.to_owned(),
        })
        .collect()
}
