//! What is still to be made of a block: its bucket's future, played through on metas.
//!
//! The planner joins what can be joined, downsampling makes what is due, and this repeats until nothing is left.
//! A block is *owed* what exists in the end and does not exist now. Blocks that are not uploaded yet are not in
//! it: while a window in which a block might still be joined is open, the block is held too, for as long as an
//! upload may take behind the end of the window.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::Serialize;

use super::{Keep, is_older, keep_of};
use crate::job::catalog::CatalogBlock;
use crate::job::clean::GIVEN_UP_AFTER;
use crate::job::downsample::{Covered, Empties, LongEnough};
use crate::job::group::groups;
use crate::job::pass::PassOptions;
use crate::job::plan::replay;
use crate::model::{BlockId, LabelSet, Millis};
use crate::series::aggregate::{FIVE_MINUTES, ONE_HOUR};

/// What an expired block is held for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "what")]
pub enum Owes {
    /// It is long enough, and samples of this resolution are to be made of it.
    Downsampling {
        /// Milliseconds between samples.
        to: Millis,
    },
    /// It is to be joined with others, and samples of this resolution are to be made of the result.
    Compaction {
        /// Milliseconds between samples.
        to: Millis,
    },
    /// Nothing is ever made of it, but without it less would be made of other blocks with its labels.
    Others,
    /// It is too short to be downsampled, and may still be joined with blocks to come.
    Window {
        /// When nothing more is waited for, in milliseconds since the Unix epoch.
        until: Millis,
    },
    /// Its group waits for a person.
    Person {
        /// What is wrong.
        why: String,
    },
}

/// Why coarser samples are never made of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Never {
    /// Nothing joins it to a block that is long enough: no block comes into its window any more.
    TooShort,
    /// It is too short and marked no-compact.
    NoCompact,
    /// It is marked no-downsample.
    NoDownsample,
    /// A compaction of its window failed before, and the planner leaves such windows alone.
    Failed,
    /// It names no sources, by which downsampling tells what there is.
    NoSources,
}

/// What becomes of an expired block.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing that would be kept is to be made of it.
    Free,
    Owed(Owes),
    Never(Never),
}

/// The future of a bucket.
pub(super) struct Future<'a> {
    blocks: &'a [CatalogBlock],
    options: &'a PassOptions,
    now: Millis,
    covered: Covered,
    ends: HashMap<Arc<LabelSet>, End>,
}

/// Blocks of one set of labels that have expired.
#[derive(Default)]
struct Leaving<'a> {
    free: HashSet<BlockId>,
    never: Vec<&'a CatalogBlock>,
    /// Those that something is to be made of.
    held: Vec<&'a CatalogBlock>,
}

/// What the blocks of one set of labels come to.
struct End {
    blocks: Vec<CatalogBlock>,
    covered: Covered,
    /// Why groups cannot go on, by resolution.
    waits: HashMap<Millis, String>,
}

impl<'a> Future<'a> {
    pub(super) fn new(blocks: &'a [CatalogBlock], options: &'a PassOptions, now: Millis, empties: &Empties) -> Self {
        let mut covered = covered(blocks);
        empties.cover(&mut covered, blocks);
        Future { blocks, options, now, covered, ends: HashMap::new() }
    }

    /// What becomes of `block`, which has expired.
    pub(super) fn fate(&mut self, block: &CatalogBlock, keep: Keep) -> Fate {
        let wanted = self.wanted(block, keep);
        if wanted.is_empty() {
            return Fate::Free;
        }
        let sources = block.meta.sources();
        if sources.is_empty() {
            return Fate::Never(Never::NoSources);
        }
        let next = if block.meta.resolution() == 0 { FIVE_MINUTES } else { ONE_HOUR };
        let (options, now) = (self.options, self.now);
        let end = self.end(&block.labels);
        if wanted.iter().any(|&resolution| end.covered.has(resolution, sources)) {
            return Fate::Owed(match is_due(block, options.long_enough()) {
                true => Owes::Downsampling { to: next },
                false => Owes::Compaction { to: next },
            });
        }
        if let Some(until) = end.open_until(block, wanted, options, now) {
            return Fate::Owed(Owes::Window { until });
        }
        match (end.why_never(block), end.waits.get(&block.meta.resolution())) {
            (Never::TooShort, Some(why)) => Fate::Owed(Owes::Person { why: why.clone() }),
            (never, _) => Fate::Never(never),
        }
    }

    /// Resolutions that would be kept of `block` and are not there; any of them is enough.
    fn wanted(&self, block: &CatalogBlock, keep: Keep) -> &'static [Millis] {
        let is_kept = |resolution| keep.of(resolution) == 0 || !is_older(block.meta.max_time, keep.of(resolution), self.now);
        let (keep_5m, keep_1h) = (is_kept(FIVE_MINUTES), is_kept(ONE_HOUR));
        let sources = block.meta.sources();
        let (has_5m, has_1h) = (self.covered.has(FIVE_MINUTES, sources), self.covered.has(ONE_HOUR, sources));
        match block.meta.resolution() {
            // what becomes of the 5m block is its own affair
            0 if has_5m => &[],
            0 => match (keep_5m, keep_1h && !has_1h) {
                (true, true) => &[FIVE_MINUTES, ONE_HOUR],
                (true, false) => &[FIVE_MINUTES],
                (false, true) => &[ONE_HOUR],
                (false, false) => &[],
            },
            FIVE_MINUTES if keep_1h && !has_1h => &[ONE_HOUR],
            _ => &[],
        }
    }

    /// Which blocks of which nothing coarser is ever made have to stay all the same: those without which a block
    /// that is held would get less than with them, as the newest of a group, behind which a window is closed.
    ///
    /// The oldest go as long as that does no harm, those of each set of labels by themselves.
    pub(super) fn needed(&self, fates: &[(&CatalogBlock, Fate)]) -> HashSet<BlockId> {
        let mut sets: HashMap<&LabelSet, Leaving<'_>> = HashMap::new();
        for (block, fate) in fates {
            let leaving = sets.entry(&block.labels).or_default();
            match fate {
                Fate::Free => _ = leaving.free.insert(block.id),
                Fate::Never(_) => leaving.never.push(block),
                Fate::Owed(Owes::Downsampling { .. } | Owes::Compaction { .. }) => leaving.held.push(block),
                Fate::Owed(_) => {}
            }
        }
        let mut needed = HashSet::new();
        for (labels, mut leaving) in sets.into_iter().filter(|(_, l)| !l.never.is_empty() && !l.held.is_empty()) {
            leaving.never.sort_by_key(|block| (block.meta.max_time, block.id));
            let without = |count: usize| {
                let gone: HashSet<BlockId> = leaving.never[..count].iter().map(|b| b.id).collect();
                let stays = |b: &&CatalogBlock| *b.labels == *labels && !gone.contains(&b.id) && !leaving.free.contains(&b.id);
                End::of(self.blocks.iter().filter(stays).cloned().collect(), self.covered.clone(), self.options).covered
            };
            let (keep, all) = (keep_of(self.options, labels), without(0));
            let harms = |count: usize| {
                let less = without(count);
                leaving.held.iter().any(|block| {
                    let (sources, mut wanted) = (block.meta.sources(), self.wanted(block, keep).iter());
                    wanted.any(|&resolution| all.has(resolution, sources) && !less.has(resolution, sources))
                })
            };
            let (mut harmless, mut harmful) = (0, leaving.never.len());
            if !harms(harmful) {
                continue;
            }
            while harmful - harmless > 1 {
                let middle = harmless.midpoint(harmful);
                *(if harms(middle) { &mut harmful } else { &mut harmless }) = middle;
            }
            needed.extend(leaving.never[harmless..].iter().map(|b| b.id));
        }
        needed
    }

    /// Plays the future of the blocks with these labels, once.
    fn end(&mut self, labels: &Arc<LabelSet>) -> &End {
        let (blocks, options, covered) = (self.blocks, self.options, &self.covered);
        self.ends.entry(labels.clone()).or_insert_with(|| {
            let own = blocks.iter().filter(|b| Arc::ptr_eq(&b.labels, labels) || b.labels == *labels);
            End::of(own.cloned().collect(), covered.clone(), options)
        })
    }
}

/// What is there, as downsampling sees it.
fn covered(blocks: &[CatalogBlock]) -> Covered {
    Covered::by(blocks.iter().filter(|b| b.no_downsample.is_none()))
}

/// Whether a block is as long as one that is downsampled, and may be.
fn is_due(block: &CatalogBlock, long: LongEnough) -> bool {
    let long = long.of(block.meta.resolution());
    block.no_downsample.is_none() && long.is_some_and(|long| block.meta.time_range().len_ms() >= long)
}

impl End {
    fn of(mut blocks: Vec<CatalogBlock>, mut covered: Covered, options: &PassOptions) -> Self {
        let mut waits = HashMap::new();
        // each turn downsamples what was not, to one of two resolutions
        loop {
            let mut after = Vec::with_capacity(blocks.len());
            for group in groups(blocks) {
                let resolution = group.resolution;
                let end = replay(group, options);
                waits.extend(end.waits.map(|why| (resolution, why.to_string())));
                after.extend(end.blocks);
            }
            let mut made = Vec::new();
            for block in after.iter().filter(|b| b.no_downsample.is_none()) {
                let length = block.meta.time_range().len_ms();
                for to in covered.due(block.meta.resolution(), length, block.meta.sources(), options.long_enough()).resolutions()
                {
                    let mut meta = (*block.meta).clone();
                    meta.thanos.downsample.resolution = to;
                    made.push(CatalogBlock { meta: Arc::new(meta), no_compact: None, ..block.clone() });
                }
            }
            made.iter().for_each(|block| covered.add(block));
            if made.is_empty() {
                return End { blocks: after, covered, waits };
            }
            blocks = after;
            blocks.extend(made);
        }
    }

    /// Blocks in the end that have something of `block` in them, and from which `wanted` would have to be made.
    fn descendants<'e>(&'e self, block: &'e CatalogBlock, wanted: &'e [Millis]) -> impl Iterator<Item = &'e CatalogBlock> {
        let is_one = move |b: &&CatalogBlock| {
            let resolution = b.meta.resolution();
            let on_the_way = resolution >= block.meta.resolution() && wanted.iter().any(|&w| resolution < w);
            on_the_way && b.meta.sources().iter().any(|source| block.meta.sources().contains(source))
        };
        self.blocks.iter().filter(is_one)
    }

    /// Until when blocks may still come with which `block` grows to what is downsampled.
    fn open_until(&self, block: &CatalogBlock, wanted: &[Millis], options: &PassOptions, now: Millis) -> Option<Millis> {
        let windows = self.descendants(block, wanted).filter(|b| b.no_compact.is_none()).flat_map(|b| {
            let (range, long) = (b.meta.time_range(), options.long_enough().of(b.meta.resolution()).unwrap_or(Millis::MAX));
            let too_short = range.len_ms() < long;
            let ranges = options.ranges().into_iter().skip(1).filter(move |&length| too_short && length >= long);
            ranges.filter_map(move |length| {
                let end = range.start.div_euclid(length).saturating_mul(length).saturating_add(length);
                let failed = |other: &CatalogBlock| {
                    let (o, start) = (other.meta.time_range(), end.saturating_sub(length));
                    other.meta.resolution() == b.meta.resolution()
                        && other.meta.compaction.failed
                        && o.start >= start
                        && o.end <= end
                };
                (range.end <= end && !self.blocks.iter().any(failed))
                    .then(|| end.saturating_add(GIVEN_UP_AFTER / options.range_divisor.max(1)))
            })
        });
        windows.filter(|&until| until > now).min()
    }

    fn why_never(&self, block: &CatalogBlock) -> Never {
        let own: Vec<&CatalogBlock> = self.descendants(block, &[FIVE_MINUTES, ONE_HOUR]).collect();
        if own.iter().any(|b| b.no_downsample.is_some()) {
            return Never::NoDownsample;
        }
        if own.iter().any(|b| b.no_compact.is_some()) {
            return Never::NoCompact;
        }
        let near = |other: &CatalogBlock| {
            let length = Millis::from(14 * 86_400_000);
            own.iter().any(|b| other.meta.min_time.div_euclid(length) == b.meta.min_time.div_euclid(length))
        };
        if self.blocks.iter().any(|b| b.meta.compaction.failed && b.meta.resolution() == block.meta.resolution() && near(b)) {
            return Never::Failed;
        }
        Never::TooShort
    }
}
