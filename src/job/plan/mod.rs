//! What a compactor would do with a bucket, as a value: printed by a dry run, carried out by a pass.
//!
//! A plan is one job of each group; what can be done after that is planned when it is done. A job is one step of
//! the planner, or a row of them whose blocks in between need not be written ([`fuse`]).

mod fuse;
mod limits;
mod replay;
mod step;
mod text;

use std::collections::HashSet;

use serde::Serialize;

pub use fuse::{Fused, fuse};
pub(crate) use limits::outgrown;
pub use limits::{Limits, PlannedMark, next_step_within};
pub use replay::{Replay, Replayed, Taken, joined, replay};
pub use step::{Nothing, Piece, Step, Why, next_step};
pub(crate) use text::never_text;
pub use text::{duration_text, size_text};

use crate::error::{Error, Kind, Result};
use crate::job::catalog::CatalogBlock;
use crate::job::downsample::{self, Due, Empties, Levels, Never, PlannedDownsample};
use crate::job::group::Group;
use crate::job::pass::PassOptions;
use crate::job::retain::RetentionPlan;
use crate::model::{BlockId, LabelSet, Millis};

/// Ranged reads of an input that are not proportional to its size: its tail, its tables, the ends of its sections.
const READS_AN_INPUT: u64 = 6;

/// Postings that are kept in memory; above, they go to scratch (bytes).
const POSTINGS_IN_MEMORY_BYTES: u64 = 256 << 20;

/// What a compactor would do.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Plan {
    /// Blocks that become one, by group.
    pub compactions: Vec<PlannedCompaction>,
    /// Marks against compaction that are made before.
    pub marks: Vec<PlannedMark>,
    /// Duplicates that are marked for deletion.
    pub garbage: Vec<PlannedGarbage>,
    /// What is deleted.
    pub deletions: Vec<PlannedDeletion>,
    /// Blocks that are downsampled when nothing is left to compact.
    pub downsamplings: Vec<PlannedDownsample>,
    /// Blocks of which a level is not there and will not be made.
    pub never_downsampled: Vec<Never>,
    /// What has expired.
    pub retention: RetentionPlan,
    /// Groups of which nothing is compacted, and why.
    pub nothing: Vec<NothingPlanned>,
}

/// Blocks that become one.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedCompaction {
    /// Key of the group.
    pub group: String,
    /// Milliseconds between samples, 0 for raw.
    pub resolution: Millis,
    /// External labels of the new block.
    pub labels: LabelSet,
    /// The blocks, by minimum time.
    pub inputs: Vec<BlockId>,
    /// First millisecond of the new block.
    pub min_time: Millis,
    /// First millisecond behind the new block.
    pub max_time: Millis,
    /// Bytes that are read.
    pub bytes_in: u64,
    /// Bytes that are written at most; merged replicas come to less.
    pub bytes_out_estimate: u64,
    /// Requests to the bucket.
    pub requests: Requests,
    /// Bytes on the local disk at most.
    pub scratch: u64,
    /// Milliseconds between samples of the downsampled blocks that are made on the way, finer first.
    pub downsampled_to: Vec<Millis>,
    /// Why these; of several steps, the last.
    pub why: Why,
    /// Compactions that it stands for: 1 where it is one step of the planner.
    pub in_place_of: usize,
}

/// Requests to a bucket, estimated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Requests {
    /// Reads of objects and of ranges.
    pub get: u64,
    /// Writes of objects and of their parts.
    pub put: u64,
}

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

/// A group of which nothing is compacted.
#[derive(Clone, Debug, Serialize)]
pub struct NothingPlanned {
    /// Key of the group.
    pub group: String,
    /// Milliseconds between samples, 0 for raw.
    pub resolution: Millis,
    /// External labels.
    pub labels: LabelSet,
    /// Its blocks.
    pub blocks: usize,
    /// Why, for people.
    pub reason: String,
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
    let (step, marks) = next_step_within(&pieces, options.ranges(), limits);
    let step = match step {
        Step::Compact(chosen, why) if !vertical => check_sources(group, &chosen)
            .and_then(|()| check_result(group, &pieces, &chosen))
            .map(|()| Step::Compact(chosen, why)),
        step => Ok(step),
    };
    GroupPlan { step, marks, fused: None }
}

impl Plan {
    /// Adds what is decided about `group`, with the levels that are made on the way; `read_bytes` is what one
    /// ranged read asks for.
    pub fn add(&mut self, group: &Group, decided: &GroupPlan, levels: Levels, read_bytes: usize) {
        self.marks.extend(decided.marks.iter().cloned());
        let reason = match &decided.step {
            Ok(Step::Compact(..)) => {
                return self.compactions.extend(PlannedCompaction::new(group, decided, levels, read_bytes));
            }
            Ok(Step::Nothing(nothing)) => nothing.to_string(),
            Err(error) => error.to_string(),
        };
        self.leave(group, reason);
    }

    /// Adds that something of `group` is not compacted, and why.
    pub fn leave(&mut self, group: &Group, reason: String) {
        self.nothing.push(NothingPlanned {
            group: group.key.clone(),
            resolution: group.resolution,
            labels: LabelSet::clone(&group.labels),
            blocks: group.blocks.len(),
            reason,
        });
    }

    /// Adds what is downsampled of `blocks`, as far as they stay: inputs of compactions are not downsampled,
    /// their results may be. `ranges` are those of the planner; what is known to come out empty is left out.
    pub fn downsample(&mut self, blocks: &[CatalogBlock], ranges: &[Millis], empties: &Empties) {
        let (mut due, never) = downsample::plan(blocks, ranges);
        empties.leave_out(&mut due);
        let inputs: HashSet<BlockId> = self.compactions.iter().flat_map(|c| c.inputs.iter().copied()).collect();
        self.downsamplings.extend(due.iter().map(Due::show).filter(|d| !inputs.contains(&d.block)));
        self.never_downsampled.extend(never.into_iter().filter(|n| !inputs.contains(&n.block)));
    }

    /// Whether a pass would change anything.
    pub fn is_idle(&self) -> bool {
        let expires = !self.retention.expired.is_empty() && self.retention.brakes.is_empty();
        self.compactions.is_empty()
            && self.downsamplings.is_empty()
            && self.marks.is_empty()
            && self.garbage.is_empty()
            && self.deletions.is_empty()
            && !expires
    }
}

impl PlannedCompaction {
    fn new(group: &Group, decided: &GroupPlan, levels: Levels, read_bytes: usize) -> Option<Self> {
        let (chosen, why) = decided.job()?;
        let blocks: Vec<&CatalogBlock> = chosen.iter().map(|&at| &group.blocks[at]).collect();
        let listed = |name: fn(&str) -> bool| -> Vec<u64> {
            let parts = blocks.iter().flat_map(|b| b.objects.iter());
            parts.filter(|o| o.key.split_once('/').is_some_and(|(_, rest)| name(rest))).map(|o| o.len_bytes).collect()
        };
        let indexes = listed(|name| name == "index");
        let chunks = listed(|name| name.starts_with("chunks/"));
        let bytes: u64 = indexes.iter().chain(&chunks).fold(0, |sum, &n| sum.saturating_add(n));
        let reads = |len: &u64| len.div_ceil(read_bytes.max(1) as u64);
        let parts: u64 = indexes.iter().chain(&chunks).map(reads).fold(0, u64::saturating_add);
        let index_bytes: u64 = indexes.iter().fold(0, |sum, &n| sum.saturating_add(n));
        Some(PlannedCompaction {
            group: group.key.clone(),
            resolution: group.resolution,
            labels: LabelSet::clone(&group.labels),
            inputs: blocks.iter().map(|b| b.id).collect(),
            min_time: blocks.iter().map(|b| b.meta.min_time).min().unwrap_or_default(),
            max_time: blocks.iter().map(|b| b.meta.max_time).max().unwrap_or_default(),
            bytes_in: bytes,
            bytes_out_estimate: bytes,
            // a part has at least 8 MiB; meta.json, and a mark for each input
            requests: Requests {
                get: parts + READS_AN_INPUT * blocks.len() as u64,
                put: bytes.div_ceil(8 << 20) + 3 + blocks.len() as u64,
            },
            // postings are a part of the index; they go to the disk only where there are many
            scratch: if index_bytes > POSTINGS_IN_MEMORY_BYTES { index_bytes } else { 0 },
            downsampled_to: levels.resolutions(),
            why,
            in_place_of: decided.fused.as_ref().map_or(1, |fused| fused.steps),
        })
    }
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
