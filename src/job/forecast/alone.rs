//! What is not done, to which blocks, and why: asked of the planner, of downsampling and of retention once all jobs are
//! done on metas; and of the filters for blocks that nobody looks at yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::play::Played;
use super::{Because, LeftAlone, NeverMade, NotDone, Which};
use crate::error::Error;
use crate::job::catalog::{Catalog, CatalogBlock};
use crate::job::clean::GIVEN_UP_AFTER;
use crate::job::downsample::{self, Covered, Due, Empties, WhyNever};
use crate::job::filter::{Selection, old_enough};
use crate::job::pass::PassOptions;
use crate::job::plan::{Alone, PlannedDeletion, left_alone as planner_leaves};
use crate::job::retain::Owes;
use crate::model::{BlockId, LabelSet, Millis, Timestamp};

/// Reasons, gathered by group.
#[derive(Default)]
struct Gathered(BTreeMap<(NotDone, String, Because, String), LeftAlone>);

impl Gathered {
    fn add(&mut self, not: NotDone, (group, block): (&str, &CatalogBlock), (because, why): (Because, String), which: Which) {
        let key = (not, group.to_owned(), because.clone(), why.clone());
        let left = self.0.entry(key).or_insert_with(|| LeftAlone {
            not,
            group: group.to_owned(),
            resolution_ms: block.meta.resolution(),
            labels: block.labels.clone(),
            because,
            why,
            blocks: Vec::new(),
            results_of: Vec::new(),
            bytes: 0,
        });
        left.blocks.extend(which.block);
        left.results_of.extend(which.result_of.filter(|job| !left.results_of.contains(job)));
        left.bytes = left.bytes.saturating_add(block.bytes());
    }
}

/// What is left alone in the end, and what is not looked at or not deleted yet; `due` is what is deleted at once.
pub(super) fn left_alone(
    played: &Played<'_>,
    catalog: &Catalog,
    selection: &Selection,
    due: &[PlannedDeletion],
    options: &PassOptions,
    now: Millis,
) -> Vec<LeftAlone> {
    let mut all = Gathered::default();
    for ((key, _), standing) in &played.groups {
        let whole = |because, why: String| vec![(word(because), why); standing.group.blocks.len()];
        let reasons = match (&standing.waits, standing.held.first()) {
            (Some(why), _) => whole("waits-for-a-person", why.clone()),
            (None, Some(error)) if standing.is_stuck => whole("failed-before", failed(error)),
            _ => {
                let seen = played.seen(standing);
                let alone: BTreeMap<BlockId, Alone> =
                    seen.blocks.iter().map(|b| b.id).zip(planner_leaves(&seen, options)).collect();
                // a planner does not see what overlaps a block that failed
                let reason = |block: &CatalogBlock| match (alone.get(&block.id), standing.held.first()) {
                    (Some(&alone), _) => said(block, alone),
                    (None, error) => (word("failed-before"), error.map_or(String::new(), failed)),
                };
                standing.group.blocks.iter().map(reason).collect()
            }
        };
        for (block, reason) in standing.group.blocks.iter().zip(reasons) {
            all.add(NotDone::Compacted, (key, block), reason, played.which(block.id));
        }
        for error in standing.held.iter().filter(|_| !standing.is_stuck) {
            let own = standing.group.blocks.iter().find(|b| Some(b.id) == error.block_id());
            let Some(block) = own.or(standing.group.blocks.first()) else { continue };
            all.add(NotDone::Compacted, (key, block), (word("failed-before"), failed(error)), played.which(block.id));
        }
    }
    let mut by_id: BTreeMap<BlockId, &CatalogBlock> = BTreeMap::new();
    if !played.held.is_empty() || !played.not_downsampled.is_empty() {
        by_id.extend(played.groups.values().flat_map(|s| s.group.blocks.iter()).map(|b| (b.id, b)));
    }
    for held in &played.held {
        let Some(block) = by_id.get(&held.block) else { continue };
        let until_ms = if let Owes::Window { until } = held.owes { Some(until) } else { None };
        let because = Because { because: "held", until_ms, ..Because::default() };
        all.add(NotDone::Expired, (&block.group_key(), block), (because, held.why()), played.which(block.id));
    }
    for block in &selection.fresh {
        let until = old_enough(block, options.consistency_delay);
        let because = Because { because: "too-fresh", until_ms: Some(until), ..Because::default() };
        let why = format!("it was uploaded just now, and is looked at from {} on", Timestamp::from_millis(until));
        let which = Which { block: Some(block.id), result_of: None };
        all.add(NotDone::LookedAt, (&block.group_key(), block), (because, why), which);
    }
    for (block, error) in &played.not_downsampled {
        let Some(block) = by_id.get(block) else { continue };
        let reason = (word("failed-before"), failed(error));
        all.add(NotDone::Downsampled, (&block.group_key(), block), reason, played.which(block.id));
    }
    let goes: BTreeSet<BlockId> = due.iter().map(|d| d.block).collect();
    for block in selection.marked.iter().filter(|b| !goes.contains(&b.id)) {
        let since = block.deletion.as_ref().map_or(0, |mark| mark.deletion_time.saturating_mul(1000));
        let reason = waits("marked", since.saturating_add(options.delete_delay), "it is marked, and the delay is over");
        let which = Which { block: Some(block.id), result_of: None };
        all.add(NotDone::Deleted, (&block.group_key(), block), reason, which);
    }
    let mut all: Vec<LeftAlone> = all.0.into_values().collect();
    for partial in catalog.partial.iter().filter(|p| !goes.contains(&p.id)) {
        let (because, why) = match &partial.deletion {
            Some(mark) => {
                let until = mark.deletion_time.saturating_mul(1000).saturating_add(options.delete_delay);
                waits("marked", until, "it is marked, and the delay is over")
            }
            None => {
                let until = partial.newest().saturating_add(GIVEN_UP_AFTER);
                waits("partial-upload", until.max(now), "it may still be uploaded, and counts as given up")
            }
        };
        all.push(LeftAlone {
            not: NotDone::Deleted,
            group: String::new(),
            resolution_ms: 0,
            labels: Arc::new(LabelSet::new()),
            because,
            why,
            blocks: vec![partial.id],
            results_of: Vec::new(),
            bytes: partial.bytes(),
        });
    }
    all
}

fn failed(error: &Error) -> String {
    format!("it failed before and is left alone: {error}")
}

fn word(because: &'static str) -> Because {
    Because { because, ..Because::default() }
}

fn waits(because: &'static str, until: Millis, why: &str) -> (Because, String) {
    let because = Because { because, until_ms: Some(until), ..Because::default() };
    (because, format!("{why} at {}", Timestamp::from_millis(until)))
}

/// The planner's reason, with what a mark says.
fn said(block: &CatalogBlock, alone: Alone) -> (Because, String) {
    let window = |because, start, length| Because {
        because,
        window_start_ms: start,
        window_length_ms: Some(length),
        ..Because::default()
    };
    let because = match alone {
        Alone::Marked => {
            let mark = block.no_compact.as_ref();
            let reason = mark.map_or(String::new(), |mark| mark.reason.clone());
            let details = mark.filter(|m| !m.details.is_empty()).map_or(String::new(), |mark| format!(": {}", mark.details));
            let why = format!("{alone} ({reason}{details})");
            return (Because { mark_reason: Some(reason), ..word("no-compact-mark") }, why);
        }
        Alone::OneBlock => word("only-block"),
        Alone::Newest => word("newest"),
        Alone::OneRange => word("no-ranges"),
        Alone::Failed { .. } => word("failed-before"),
        Alone::Open { start, length, .. } => window("window-open", Some(start), length),
        Alone::Separated => word("separated-by-marks"),
        Alone::Longest { length } => window("longest-range", None, length),
        Alone::NoNeighbour { start, length } => window("alone-in-window", Some(start), length),
        Alone::Crosses { length } => window("crosses-windows", None, length),
    };
    (because, alone.to_string())
}

/// What is never made of the blocks that are there in the end.
pub(super) fn never(played: &Played<'_>, options: &PassOptions, empties: &Empties) -> Vec<NeverMade> {
    let blocks = played.blocks();
    let mut all: BTreeMap<(Millis, Millis, Because, String), NeverMade> = BTreeMap::new();
    let mut add = |block: BlockId, from: Millis, to: Millis, because: Because, why: String| {
        let key = (from, to, because.clone(), why.clone());
        let never = all.entry(key).or_insert_with(|| NeverMade {
            resolution_ms: from,
            to_resolution_ms: to,
            because,
            why,
            blocks: Vec::new(),
            results_of: Vec::new(),
        });
        let which = played.which(block);
        never.blocks.extend(which.block);
        never.results_of.extend(which.result_of.filter(|job| !never.results_of.contains(job)));
    };
    if !options.downsampling {
        let covered = Covered::by(&blocks);
        for block in &blocks {
            for to in covered.lacks(block.meta.resolution(), block.meta.sources()).resolutions() {
                add(block.id, block.meta.resolution(), to, word("disabled"), "--downsampling.disable is set".to_owned());
            }
        }
        return sorted(all);
    }
    let (due, never) = downsample::plan(&blocks, &options.ranges(), options.long_enough());
    for Due { block, levels } in &due {
        // what is due in the end came out empty before
        for to in levels.resolutions().into_iter().filter(|&to| empties.knows(block, to)) {
            let why = "no sample was left of it when it was made before".to_owned();
            add(block.id, block.meta.resolution(), to, word("empty"), why);
        }
    }
    for never in never {
        let (because, needs) = match never.why {
            WhyNever::Marked => ("no-downsample-mark", None),
            WhyNever::ShortAndNoCompact { needs } => ("short-and-no-compact-mark", Some(needs)),
            WhyNever::ShortForTheRanges { needs } => ("short-for-the-ranges", Some(needs)),
            WhyNever::ShortAndAlone { needs } => ("short-and-alone", Some(needs)),
            WhyNever::Resolution => ("unknown-resolution", None),
        };
        let because = Because { needs_length_ms: needs, ..word(because) };
        add(never.block, never.from, never.to, because, never.why.to_string());
    }
    sorted(all)
}

fn sorted(all: BTreeMap<(Millis, Millis, Because, String), NeverMade>) -> Vec<NeverMade> {
    let mut all: Vec<NeverMade> = all.into_values().collect();
    all.iter_mut().for_each(|never| never.blocks.sort_unstable());
    all
}
