//! Which blocks of a catalog a compactor works on: filters in upstream's order.
//!
//! One difference is deliberate: a block that is marked for deletion leaves before duplicates are looked for,
//! however young the mark. Upstream keeps it for half the delete delay, and until then it may go into a
//! compaction, whereby deleted series come back (thanos#4550), or make its own sources look like duplicates.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::format::meta::TRUSTED_SOURCES;
use crate::job::catalog::{Catalog, CatalogBlock, PartialReason};
use crate::job::pass::PassOptions;
use crate::job::relabel::{self, Namings, Rule, Shard};
use crate::model::{BlockId, LabelSet, Millis};

/// Value of the label that a block gets when replica labels were all it had.
const DEDUPED: &str = "deduped";

/// What a sync made of a block; the names are those of `thanos_blocks_meta_synced{state}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Its meta is damaged.
    CorruptedMeta,
    /// It has no meta.
    NoMeta,
    /// It is worked on.
    Loaded,
    /// It is younger than the consistency delay.
    TooFresh,
    /// It could not be looked at.
    Failed,
    /// Relabelling leaves it to somebody else.
    LabelExcluded,
    /// It lies outside of the time that is asked for.
    TimeExcluded,
    /// Others have all its sources.
    Duplicate,
    /// It is to be deleted.
    MarkedForDeletion,
    /// It is worked on, but not compacted.
    MarkedForNoCompact,
    /// It is worked on, but not downsampled.
    MarkedForNoDownsample,
}

impl State {
    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            State::CorruptedMeta => "corrupted-meta-json",
            State::NoMeta => "no-meta-json",
            State::Loaded => "loaded",
            State::TooFresh => "too-fresh",
            State::Failed => "failed",
            State::LabelExcluded => "label-excluded",
            State::TimeExcluded => "time-excluded",
            State::Duplicate => "duplicate",
            State::MarkedForDeletion => "marked-for-deletion",
            State::MarkedForNoCompact => "marked-for-no-compact",
            State::MarkedForNoDownsample => "marked-for-no-downsample",
        }
    }
}

/// What is left of a catalog, and what became of the rest.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Blocks to work on, by id.
    pub blocks: Vec<CatalogBlock>,
    /// Blocks that are marked for deletion and ours, by id.
    pub marked: Vec<CatalogBlock>,
    /// Blocks whose sources others have, each with one that has them, by id.
    pub duplicates: Vec<(CatalogBlock, BlockId)>,
    /// Blocks that are too young to be looked at, by id.
    pub fresh: Vec<CatalogBlock>,
    /// Objects of all blocks and parts of blocks that were listed, whoever works on them.
    pub objects: u64,
    /// Marks among them.
    pub mark_objects: u64,
    /// How blocks are labelled, whoever works on them; only where a share of them is asked for.
    pub namings: Namings,
    /// Blocks by state.
    pub states: BTreeMap<State, usize>,
    /// Replica labels that were taken away.
    pub labels_removed: usize,
}

/// Applies all filters of a compactor to the blocks of a catalog, and takes them out of it.
pub fn select(catalog: &mut Catalog, options: &PassOptions, now: Millis) -> Selection {
    let mut blocks = std::mem::take(&mut catalog.blocks);
    let mut states = BTreeMap::new();
    let listed = blocks.iter().map(|b| b.objects.len()).chain(catalog.partial.iter().map(|p| p.objects.len()));
    let objects = listed.map(|n| n as u64).sum();
    let marks_of = |b: &CatalogBlock| [b.deletion.is_some(), b.no_compact.is_some(), b.no_downsample.is_some()];
    let mark_objects = blocks.iter().flat_map(marks_of).map(u64::from).sum();
    let corrupt = catalog.partial.iter().filter(|p| matches!(p.why, PartialReason::Corrupt(_))).count();
    states.insert(State::CorruptedMeta, corrupt);
    states.insert(State::NoMeta, catalog.partial.len() - corrupt);
    states.insert(State::Failed, catalog.failed.len());
    states.insert(State::TimeExcluded, by_time(&mut blocks, options.min_time, options.max_time));
    let namings = options.shard.map_or_else(Namings::new, |_| namings(&blocks, &options.replica_labels));
    let excluded = by_labels(&mut blocks, &options.relabel, &options.replica_labels);
    states.insert(State::LabelExcluded, excluded + by_shard(&mut blocks, options.shard, &options.replica_labels));
    let fresh = by_age(&mut blocks, options.consistency_delay, now);
    states.insert(State::TooFresh, fresh.len());
    let marked = take_marked(&mut blocks);
    states.insert(State::MarkedForDeletion, marked.len());
    let labels_removed = remove_replica_labels(&mut blocks, &options.replica_labels);
    let duplicates = take_duplicates(&mut blocks);
    states.insert(State::Duplicate, duplicates.len());
    states.insert(State::MarkedForNoCompact, blocks.iter().filter(|b| b.no_compact.is_some()).count());
    states.insert(State::MarkedForNoDownsample, blocks.iter().filter(|b| b.no_downsample.is_some()).count());
    states.insert(State::Loaded, blocks.len());
    Selection { blocks, marked, duplicates, fresh, objects, mark_objects, namings, states, labels_removed }
}

/// Keeps blocks that touch `[min, max]`, both included; returns how many went.
pub fn by_time(blocks: &mut Vec<CatalogBlock>, min: Millis, max: Millis) -> usize {
    dropping(blocks, |b| b.meta.max_time >= min && b.meta.min_time <= max)
}

/// Keeps blocks that all rules keep; rules do not see `replica_labels`, so that replicas stay together.
pub fn by_labels(blocks: &mut Vec<CatalogBlock>, rules: &[Rule], replica_labels: &[String]) -> usize {
    dropping(blocks, |b| relabel::keeps(rules, b.id, &b.labels, replica_labels))
}

/// Keeps blocks of one share; a share does not see `replica_labels`, so that replicas stay together.
pub fn by_shard(blocks: &mut Vec<CatalogBlock>, shard: Option<Shard>, replica_labels: &[String]) -> usize {
    let Some(shard) = shard else { return 0 };
    // blocks share their labels
    let mut known: HashMap<Arc<LabelSet>, bool> = HashMap::new();
    dropping(blocks, |b| *known.entry(b.labels.clone()).or_insert_with_key(|labels| shard.has(labels, replica_labels)))
}

/// How blocks are labelled.
fn namings(blocks: &[CatalogBlock], replica_labels: &[String]) -> Namings {
    let sets: HashSet<&Arc<LabelSet>> = blocks.iter().map(|b| &b.labels).collect();
    sets.into_iter().map(|labels| Shard::naming(labels, replica_labels)).collect()
}

/// Keeps blocks that are `delay` old by their upload time, or by their id if they have none, and blocks that a
/// compactor or a repair made; returns the others.
pub fn by_age(blocks: &mut Vec<CatalogBlock>, delay: Millis, now: Millis) -> Vec<CatalogBlock> {
    let is_fresh = |b: &mut CatalogBlock| now < old_enough(b, delay) && !TRUSTED_SOURCES.contains(&b.meta.thanos.source.as_str());
    blocks.extract_if(.., is_fresh).collect()
}

/// When a block is `delay` old.
pub fn old_enough(block: &CatalogBlock, delay: Millis) -> Millis {
    let uploaded = block.meta.thanos.upload_time;
    let since = if uploaded.is_zero() { block.id.created() } else { uploaded.millis() };
    since.saturating_add(delay)
}

/// Takes out blocks that are marked for deletion.
pub fn take_marked(blocks: &mut Vec<CatalogBlock>) -> Vec<CatalogBlock> {
    blocks.extract_if(.., |b| b.deletion.is_some()).collect()
}

/// Takes replica labels away; a block that has no others gets the first one as `deduped`.
/// Returns how many labels went.
pub fn remove_replica_labels(blocks: &mut [CatalogBlock], replica_labels: &[String]) -> usize {
    let Some(first) = replica_labels.first() else { return 0 };
    let mut removed = 0;
    // blocks share their labels, and go on sharing them
    let mut known: HashMap<Arc<LabelSet>, (Arc<LabelSet>, usize)> = HashMap::new();
    for block in blocks {
        let (without, gone) = known.entry(block.labels.clone()).or_insert_with_key(|labels| {
            let mut without = LabelSet::clone(labels);
            let gone = replica_labels.iter().filter(|label| without.0.remove(*label).is_some()).count();
            if without.is_empty() {
                without.0.insert(first.clone(), DEDUPED.to_owned());
            }
            (Arc::new(without), gone)
        });
        block.labels = without.clone();
        removed += *gone;
    }
    removed
}

/// Takes out blocks all of whose sources another block of the same labels and resolution has; of blocks with
/// equal sources the lowest id stays. A block that names no sources is nobody's duplicate.
///
/// *Order*: blocks with most sources are judged first, so that what stays covers most.
pub fn take_duplicates(blocks: &mut Vec<CatalogBlock>) -> Vec<(CatalogBlock, BlockId)> {
    let mut order: Vec<usize> = (0..blocks.len()).collect();
    order.sort_by_key(|&at| (std::cmp::Reverse(blocks[at].meta.sources().len()), blocks[at].id));
    let mut covered: HashMap<usize, BlockId> = HashMap::new();
    // blocks that stay, by each of their sources
    let mut by_source: HashMap<BlockId, Vec<usize>> = HashMap::with_capacity(blocks.len());
    for at in order {
        let block = &blocks[at];
        let sources = block.meta.sources();
        let Some(&any) = sources.first() else { continue };
        let has_all = |&&other: &&usize| {
            let other = &blocks[other];
            let others = other.meta.sources();
            let same_labels = Arc::ptr_eq(&other.labels, &block.labels) || other.labels == block.labels;
            if other.meta.resolution() != block.meta.resolution() || !same_labels {
                return false;
            }
            // sources are written in order, but nobody says they must be
            let has = |s| if others.is_sorted() { others.binary_search(s).is_ok() } else { others.contains(s) };
            sources.iter().all(has)
        };
        match by_source.get(&any).and_then(|candidates| candidates.iter().find(has_all)) {
            Some(&by) => _ = covered.insert(at, blocks[by].id),
            None => sources.iter().for_each(|&source| by_source.entry(source).or_default().push(at)),
        }
    }
    let mut kept = Vec::with_capacity(blocks.len() - covered.len());
    let mut duplicates = Vec::with_capacity(covered.len());
    for (at, block) in std::mem::take(blocks).into_iter().enumerate() {
        match covered.get(&at) {
            Some(&by) => duplicates.push((block, by)),
            None => kept.push(block),
        }
    }
    *blocks = kept;
    duplicates
}

fn dropping(blocks: &mut Vec<CatalogBlock>, keep: impl FnMut(&CatalogBlock) -> bool) -> usize {
    let before = blocks.len();
    blocks.retain(keep);
    before - blocks.len()
}

#[cfg(test)]
mod tests;
