//! What is done next with a group of blocks, as a value: carried out by a pass, played to its end by a
//! [forecast](super::forecast).
//!
//! A job is one step of the planner, or a row of them whose blocks in between need not be written ([`fuse`]); what can
//! be done after that is planned when it is done.

mod beside;
mod fuse;
mod limits;
mod needs;
mod replay;
mod step;
mod text;

use serde::Serialize;

pub use beside::{Job, plan_jobs};
pub use fuse::{Fused, fuse};
pub(crate) use limits::outgrown;
pub use limits::{Limits, PlannedMark, next_step_within};
pub use needs::Needs;
pub(crate) use needs::scratch_bytes;
pub use replay::{Replay, Replayed, Taken, joined, replay};
pub use step::{Alone, Nothing, Piece, Step, Why, next_step};
pub(crate) use text::never_text;
pub use text::{duration_text, size_text};

use crate::error::{Error, Kind, Result};
use crate::job::catalog::CatalogBlock;
use crate::job::group::Group;
use crate::job::pass::PassOptions;
use crate::model::{BlockId, Millis};

/// A duplicate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedGarbage {
    /// The block.
    pub block: BlockId,
    /// The block that has all its sources.
    pub covered_by: BlockId,
}

/// What is deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedDeletion {
    /// The block, or what there is of one.
    pub block: BlockId,
    /// Why.
    #[serde(flatten)]
    pub why: Deletion,
    /// Its objects.
    pub objects: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Why something is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "because")]
pub enum Deletion {
    /// It was marked, and the delay is over.
    Marked {
        /// When, in seconds since the Unix epoch.
        since: i64,
    },
    /// It never became a block.
    PartialUpload {
        /// When its newest object was written, in milliseconds since the Unix epoch.
        newest: Millis,
    },
}

/// The next step of a group.
#[derive(Debug)]
pub struct GroupPlan {
    /// What to do; `Err` where the group has to wait for a person.
    pub step: Result<Step>,
    /// Marks to be made before.
    pub marks: Vec<PlannedMark>,
    /// The row of steps that is done in the place of this one, if it begins one.
    pub fused: Option<Fused>,
}

impl GroupPlan {
    /// The blocks of the next job, and why these.
    pub fn job(&self) -> Option<(&[usize], Why)> {
        match (&self.step, &self.fused) {
            (Ok(Step::Compact(..)), Some(fused)) => Some((&fused.inputs, fused.why)),
            (Ok(Step::Compact(chosen, why)), None) => Some((chosen, *why)),
            _ => None,
        }
    }
}

/// Decides about the next job of one group: its next step, and those that follow if they are one with it.
pub fn plan_job(group: &Group, options: &PassOptions) -> GroupPlan {
    let mut plan = plan_group(group, options);
    if plan.marks.is_empty()
        && let Ok(Step::Compact(chosen, _)) = &plan.step
    {
        plan.fused = fuse(group, chosen, options);
    }
    plan
}

/// Decides about the next step of one group.
pub fn plan_group(group: &Group, options: &PassOptions) -> GroupPlan {
    let vertical = options.is_vertical();
    let pieces: Vec<Piece> = group.blocks.iter().map(piece).collect();
    // nothing is compacted of a single block, not even its tombstones: it is the newest
    if pieces.len() < 2 {
        return GroupPlan { step: Ok(Step::Nothing(Nothing::OneBlock)), marks: Vec::new(), fused: None };
    }
    if !vertical && let Err(error) = check_apart(group, &pieces) {
        return GroupPlan { step: Err(error), marks: Vec::new(), fused: None };
    }
    let limits = Limits { max_index_bytes: options.block_max_index_bytes, vertical };
    let (step, marks) = next_step_within(&pieces, &options.ranges(), limits);
    let step = match step {
        Step::Compact(chosen, why) if !vertical => check_sources(group, &chosen)
            .and_then(|()| check_result(group, &pieces, &chosen))
            .map(|()| Step::Compact(chosen, why)),
        step => Ok(step),
    };
    GroupPlan { step, marks, fused: None }
}

/// Why each block of a group of which nothing is compacted is left alone, in the order of its blocks.
pub fn left_alone(group: &Group, options: &PassOptions) -> Vec<Alone> {
    let pieces: Vec<Piece> = group.blocks.iter().map(piece).collect();
    step::left_alone(&pieces, &options.ranges())
}

fn piece(block: &CatalogBlock) -> Piece {
    Piece {
        id: block.id,
        range: block.meta.time_range(),
        resolution: block.meta.resolution(),
        failed: block.meta.compaction.failed,
        no_compact: block.no_compact.is_some(),
        series: block.meta.stats.num_series,
        tombstones: block.meta.stats.num_tombstones,
        index_bytes: block.index_bytes(),
    }
}

/// Whether two blocks of one group may overlap: samples that came late have a block of their own beside the
/// others (thanos#7551), and are merged with them.
fn may_overlap(group: &Group, one: usize, other: usize) -> bool {
    let is_late = |at: usize| group.blocks[at].meta.compaction.is_from_out_of_order();
    group.resolution == 0 && (is_late(one) || is_late(other))
}

/// No two other blocks of the group may overlap, marked ones included: who reads them would see samples twice.
fn check_apart(group: &Group, pieces: &[Piece]) -> Result<()> {
    let all: Vec<usize> = (0..pieces.len()).collect();
    let mut overlapping = step::first_overlap(pieces, &all);
    if overlapping.is_empty() {
        return Ok(());
    }
    if group.blocks.iter().any(|b| b.meta.compaction.is_from_out_of_order()) {
        let behind = |one: usize| (one + 1..pieces.len()).take_while(move |&at| pieces[at].range.start < pieces[one].range.end);
        let pair = all.iter().find_map(|&one| Some((one, behind(one).find(|&other| !may_overlap(group, one, other))?)));
        match pair {
            Some((one, other)) => overlapping = vec![one, other],
            None => return Ok(()),
        }
    }
    let names: Vec<String> = overlapping.iter().map(|&at| format!("{} {}", pieces[at].id, pieces[at].range)).collect();
    Err(halt(format!("blocks of one group overlap: {}", names.join(", "))))
}

/// No two blocks of a plan may have a source in common: its chunks would be in the result twice.
fn check_sources(group: &Group, chosen: &[usize]) -> Result<()> {
    let mut sources: Vec<BlockId> = chosen.iter().flat_map(|&at| group.blocks[at].meta.sources().iter().copied()).collect();
    sources.sort_unstable();
    match sources.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(pair) => {
            let has = |at: &&usize| group.blocks[**at].meta.sources().contains(&pair[0]);
            let names: Vec<String> = chosen.iter().filter(has).map(|&at| group.blocks[at].id.to_string()).collect();
            Err(halt(format!("overlapping sources: {} is a source of {}", pair[0], names.join(" and of "))))
        }
    }
}

/// The result may not overlap a block that stays.
fn check_result(group: &Group, pieces: &[Piece], chosen: &[usize]) -> Result<()> {
    let result = chosen.iter().map(|&at| pieces[at].range).reduce(crate::model::TimeRange::union);
    let Some(result) = result else { return Ok(()) };
    let expected = |at: usize| chosen.iter().any(|&one| may_overlap(group, one, at));
    let stays = |at: &usize| !chosen.contains(at) && pieces[*at].range.overlaps(result) && !expected(*at);
    match (0..pieces.len()).find(stays) {
        None => Ok(()),
        Some(at) => Err(halt(format!("the compacted block {result} would overlap block {} {}", pieces[at].id, pieces[at].range))),
    }
}

fn halt(what: String) -> Error {
    Error::new(Kind::Invalid, what).next(
        "look at these blocks with `tools bucket verify`, then mark the wrong ones for deletion, \
         or merge them with --compact.enable-vertical-compaction",
    )
}

#[cfg(test)]
mod tests;
