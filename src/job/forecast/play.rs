//! Passes over a bucket, played on metas to their end: what a pass decides is asked of those who decide it there.
//!
//! *Order*: as in a pass. Retention; then every group makes one job, by key, and again those whose blocks changed, until
//! none has one left; then what is due is downsampled, twice; then retention once more. Passes follow until one changes
//! nothing, which is how blocks that were downsampled come to be compacted too.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::cost::{self, Effort, Size, Ways};
use super::rates::Pace;
use super::{Because, Job, JobKind, Knows, Made, Mark, MarkKind, Which};
use crate::error::Error;
use crate::format::marks::NoCompactMark;
use crate::job::catalog::CatalogBlock;
use crate::job::downsample::{self, Levels};
use crate::job::filter;
use crate::job::group::{Group, group_key, groups};
use crate::job::pass::{Ahead, PassOptions, VerifyOutput};
use crate::job::plan::{GroupPlan, PlannedMark, Step, joined, plan_job};
use crate::job::retain::{self, Brake, Expired, Held, brakes};
use crate::model::{BlockId, LabelSet, Millis};

/// Passes that are played at most: each compacts or downsamples something, or is the last.
const MOST_PASSES: usize = 64;

/// What a group is found by, in the order in which a pass takes groups.
type Key = (String, Arc<LabelSet>);

/// A group under way.
pub(super) struct Standing {
    pub(super) group: Group,
    /// Why a person has to look at it before it goes on.
    pub(super) waits: Option<String>,
    /// What failed before, for which it or a part of it is left alone.
    pub(super) held: Vec<Error>,
    /// All of it is.
    pub(super) is_stuck: bool,
    /// Something changed since it was decided about.
    is_open: bool,
}

impl Standing {
    fn new(group: Group) -> Self {
        Standing { group, waits: None, held: Vec::new(), is_stuck: false, is_open: true }
    }
}

/// A bucket under way.
pub(super) struct Played<'a> {
    options: &'a PassOptions,
    knows: &'a Knows<'a>,
    ways: Ways<'a>,
    ahead: Ahead<'a>,
    pub(super) groups: BTreeMap<Key, Standing>,
    pub(super) jobs: Vec<Job>,
    pub(super) marks: Vec<Mark>,
    /// Blocks that are not there yet, with the number of the job that makes them.
    pub(super) made: HashMap<BlockId, usize>,
    /// Blocks that have expired and wait, as they are in the end.
    pub(super) held: Vec<Held>,
    /// Why nothing is marked that has expired.
    pub(super) brakes: Vec<Brake>,
    /// Blocks that are due to be downsampled and failed before.
    pub(super) not_downsampled: BTreeMap<BlockId, Error>,
    /// Looks at the bucket.
    pub(super) looks: u64,
    /// Marks that those looks find, together.
    pub(super) marks_read: u64,
    /// Marks in the bucket.
    marks_there: u64,
    pass: usize,
    /// Bytes that retention marked in this pass.
    expired_bytes: u64,
}

/// Plays passes over `blocks`, which are those of a selection; `duplicates` are marked first, and `marks_there` lie in
/// the bucket.
pub(super) fn play<'a>(
    blocks: &[CatalogBlock],
    duplicates: &[(CatalogBlock, BlockId)],
    marks_there: u64,
    options: &'a PassOptions,
    knows: &'a Knows<'a>,
) -> Played<'a> {
    let mut played = Played {
        options,
        knows,
        ways: Ways { bucket: knows.bucket, reads_back: options.verify_output == VerifyOutput::ReadBack },
        ahead: Ahead::new(options, blocks),
        groups: BTreeMap::new(),
        jobs: Vec::new(),
        marks: Vec::new(),
        made: HashMap::new(),
        held: Vec::new(),
        brakes: Vec::new(),
        not_downsampled: BTreeMap::new(),
        looks: 0,
        marks_read: 0,
        marks_there,
        pass: 1,
        expired_bytes: 0,
    };
    for group in groups(blocks.to_vec()) {
        let key = (group.key.clone(), group.labels.clone());
        played.groups.insert(key, Standing::new(group));
    }
    played.mark_duplicates(duplicates);
    while played.play_pass() && played.pass < MOST_PASSES {
        played.pass += 1;
    }
    played
}

impl Played<'_> {
    /// All blocks as they stand, by group.
    pub(super) fn blocks(&self) -> Vec<CatalogBlock> {
        self.groups.values().flat_map(|s| s.group.blocks.iter().cloned()).collect()
    }

    /// The group as a planner sees it: without what failed before.
    pub(super) fn seen(&self, standing: &Standing) -> Group {
        let mut seen = standing.group.clone();
        if !standing.held.is_empty() {
            self.knows.holds.show(&mut seen, self.options, self.knows.now);
        }
        seen
    }

    /// The block, or the job that makes it.
    pub(super) fn which(&self, block: BlockId) -> Which {
        match self.made.get(&block) {
            Some(&job) => Which { block: None, result_of: Some(job) },
            None => Which { block: Some(block), result_of: None },
        }
    }

    /// One pass; whether it changed anything.
    fn play_pass(&mut self) -> bool {
        let before = (self.jobs.len(), self.marks.len());
        self.expired_bytes = 0;
        let (looks, marks_read) = (self.looks, self.marks_read);
        self.look();
        self.retain();
        while self.round() {
            self.look();
        }
        if self.options.downsampling {
            for _ in 0..2 {
                if !self.downsample() {
                    break;
                }
                self.look();
            }
        }
        if self.options.retains() && self.looks > looks + 1 {
            self.look();
            self.retain();
        }
        let changed = before != (self.jobs.len(), self.marks.len());
        if !changed && self.pass > 1 {
            // nobody waits for the pass that finds nothing
            (self.looks, self.marks_read) = (looks, marks_read);
        }
        changed
    }

    fn look(&mut self) {
        self.looks += 1;
        self.marks_read = self.marks_read.saturating_add(self.marks_there);
    }

    /// One job of every group that changed; whether there was any.
    fn round(&mut self) -> bool {
        let open: Vec<Key> = self.groups.iter().filter(|(_, s)| s.is_open).map(|(key, _)| key.clone()).collect();
        let (mut made, mut more) = (Vec::new(), false);
        for key in open {
            let Some(mut standing) = self.groups.remove(&key) else { continue };
            (standing.is_open, standing.waits) = (false, None);
            // a planner sees the group without what failed before
            let mut seen = standing.group.clone();
            (standing.held, standing.is_stuck) = self.knows.holds.show(&mut seen, self.options, self.knows.now);
            if standing.is_stuck {
                self.groups.insert(key, standing);
                continue;
            }
            // a pass leaves a group of a single block alone, and so does its planner
            let decided = plan_job(&seen, self.options);
            self.mark_no_compact(&mut standing.group, &decided.marks);
            match &decided.step {
                Ok(Step::Nothing(_)) => {}
                Ok(Step::Compact(..)) => {
                    more = true;
                    // what a planner sees may be fewer blocks
                    let (gone, new) = self.compact(&seen, &decided);
                    standing.group.blocks.retain(|b| !gone.contains(&b.id));
                    made.extend(new);
                    standing.is_open = true;
                }
                Err(error) => standing.waits = Some(error.to_string()),
            }
            self.groups.insert(key, standing);
        }
        made.into_iter().for_each(|block| self.put(block));
        if more {
            self.find_duplicates();
        }
        more
    }

    /// Makes one of what is chosen; returns which blocks go, and what takes their place.
    fn compact(&mut self, group: &Group, decided: &GroupPlan) -> (HashSet<BlockId>, Vec<CatalogBlock>) {
        let Some((chosen, why)) = decided.job() else { return Default::default() };
        let levels = self.ahead.levels(group, chosen);
        let inputs: Vec<&CatalogBlock> = chosen.iter().map(|&at| &group.blocks[at]).collect();
        let mut result = joined(group, chosen);
        let meta = Arc::make_mut(&mut result.meta);
        if let Some(fused) = &decided.fused {
            meta.compaction.level = fused.level;
        }
        meta.stats.num_chunks = inputs.iter().map(|b| b.meta.stats.num_chunks).fold(0, u64::saturating_add);
        let size = cost::joined_size(&inputs, !self.options.replica_labels.is_empty());
        // of no samples no block comes, and nothing coarser
        let mut made: Vec<(CatalogBlock, Size)> = Vec::new();
        if meta.stats.num_samples > 0 {
            let number = self.jobs.len() + 1;
            made.push((self.new_block(&result, group.resolution, size, number), size));
            made.extend(self.coarser(&result, size, levels, number));
        }
        let kind = if made.len() > 1 { Pace::CompactAndDownsample } else { Pace::Compact };
        let in_place_of = decided.fused.as_ref().map_or(1, |fused| fused.steps);
        let why = (Because::from(why), why.to_string());
        self.add_job((JobKind::Compact, kind), (&group.key, &group.labels, group.resolution), &inputs, &made, why, in_place_of);
        let gone = inputs.iter().map(|b| b.id).collect();
        (gone, made.into_iter().map(|(block, _)| block).collect())
    }

    /// Downsamples what is due; whether anything was.
    fn downsample(&mut self) -> bool {
        let (mut due, _) = downsample::plan(&self.blocks(), &self.options.ranges(), self.options.long_enough());
        self.knows.empties.leave_out(&mut due);
        due.retain(|due| match self.knows.holds.show_block(&due.block, self.options) {
            Some(error) => {
                self.not_downsampled.insert(due.block.id, error);
                false
            }
            None => true,
        });
        for due in &due {
            let block = &due.block;
            let made = self.coarser(block, Size::of(block), due.levels, self.jobs.len() + 1);
            let key = block.group_key();
            let group = (&*key, &block.labels, block.meta.resolution());
            let why = (Because { because: "due", ..Because::default() }, due.why());
            self.add_job((JobKind::Downsample, Pace::Downsample), group, &[block], &made, why, 1);
            made.into_iter().for_each(|(block, _)| self.put(block));
        }
        !due.is_empty()
    }

    /// Blocks of these levels that are made of `block`.
    fn coarser(&mut self, block: &CatalogBlock, size: Size, levels: Levels, number: usize) -> Vec<(CatalogBlock, Size)> {
        let each = levels.resolutions().into_iter().map(|resolution| {
            let size = cost::coarser_size(&block.meta, size, resolution);
            (self.new_block(block, resolution, size, number), size)
        });
        each.collect()
    }

    /// A block like `of` that is to be made by the job `number`.
    fn new_block(&mut self, of: &CatalogBlock, resolution: Millis, size: Size, number: usize) -> CatalogBlock {
        // later than all that is there, as the real one will be
        let id = BlockId::from_parts(self.knows.now, self.made.len() as u128);
        self.made.insert(id, number);
        let mut block = of.clone();
        block.id = id;
        let meta = Arc::make_mut(&mut block.meta);
        meta.ulid = id;
        meta.thanos.downsample.resolution = resolution;
        cost::describe(meta, size);
        block.objects = size.listed(&id.to_string());
        (block.deletion, block.no_compact, block.no_downsample) = (None, None, None);
        block
    }

    /// Puts a new block into its group, which may go on then.
    fn put(&mut self, block: CatalogBlock) {
        self.ahead.add(&block);
        let (resolution, labels) = (block.meta.resolution(), block.labels.clone());
        let key = (group_key(resolution, &labels), labels.clone());
        let standing = self
            .groups
            .entry(key)
            .or_insert_with_key(|(key, _)| Standing::new(Group { key: key.clone(), labels, resolution, blocks: Vec::new() }));
        let place = (block.meta.min_time, block.id);
        let at = standing.group.blocks.partition_point(|b| (b.meta.min_time, b.id) < place);
        standing.group.blocks.insert(at, block);
        standing.is_open = true;
    }

    /// Marks what has expired, unless something speaks against it.
    fn retain(&mut self) {
        if !self.options.retains() {
            return;
        }
        let (blocks, knows) = (self.blocks(), self.knows);
        let mut plan = retain::plan_knowing(&blocks, self.options, knows.now, &knows.empties);
        if !plan.expired.is_empty() && !self.options.retention_confirm {
            plan.brakes = brakes(&plan, &knows.history, self.expired_bytes, knows.now, knows.theirs);
        }
        self.expired_bytes = self.expired_bytes.saturating_add(plan.bytes());
        (self.held, self.brakes) = (plan.held, plan.brakes);
        if !self.brakes.is_empty() || plan.expired.is_empty() {
            return;
        }
        let gone: HashMap<BlockId, Expired> = plan.expired.into_iter().map(|e| (e.block, e)).collect();
        for block in &blocks {
            if let Some(expired) = gone.get(&block.id) {
                self.mark(MarkKind::Deletion, block, "expired", expired.why());
                let lost = expired.lost.as_ref().map(ToString::to_string);
                self.marks.last_mut().into_iter().for_each(|mark| mark.lost = lost.clone());
            }
        }
        for standing in self.groups.values_mut() {
            let before = standing.group.blocks.len();
            standing.group.blocks.retain(|b| !gone.contains_key(&b.id));
            standing.is_open |= standing.group.blocks.len() != before;
        }
        self.groups.retain(|_, standing| !standing.group.blocks.is_empty());
        self.ahead = Ahead::new(self.options, &self.blocks());
    }

    /// Duplicates that jobs left: all that there were before are marked.
    fn find_duplicates(&mut self) {
        let open = self.groups.values_mut().filter(|s| s.is_open);
        let found: Vec<_> = open.flat_map(|s| filter::take_duplicates(&mut s.group.blocks)).collect();
        self.mark_duplicates(&found);
    }

    fn mark_duplicates(&mut self, duplicates: &[(CatalogBlock, BlockId)]) {
        for (block, by) in duplicates {
            let by = match self.which(*by) {
                Which { result_of: Some(job), .. } => format!("the block that job {job} makes"),
                _ => by.to_string(),
            };
            self.mark(MarkKind::Deletion, block, "duplicate", format!("{by} has all its sources"));
        }
    }

    fn mark_no_compact(&mut self, group: &mut Group, marks: &[PlannedMark]) {
        for mark in marks {
            let Some(block) = group.blocks.iter_mut().find(|b| b.id == mark.block) else { continue };
            block.no_compact = Some(Box::new(NoCompactMark::new(mark.block, 0, mark.reason, &*mark.details)));
            let block = block.clone();
            self.mark(MarkKind::NoCompact, &block, mark.reason, mark.details.clone());
        }
    }

    fn mark(&mut self, mark: MarkKind, block: &CatalogBlock, because: &'static str, why: String) {
        self.marks_there += 1;
        self.marks.push(Mark {
            pass: self.pass,
            mark,
            which: self.which(block.id),
            resolution_ms: block.meta.resolution(),
            labels: block.labels.clone(),
            because,
            why,
            lost: None,
            bytes: block.bytes(),
            objects: block.objects.len() as u64,
            requests: self.ways.mark(),
        });
    }

    fn add_job(
        &mut self,
        (kind, rate): (JobKind, Pace),
        (group, labels, resolution_ms): (&str, &Arc<LabelSet>, Millis),
        inputs: &[&CatalogBlock],
        made: &[(CatalogBlock, Size)],
        (because, why): (Because, String),
        in_place_of: usize,
    ) {
        let sizes: Vec<Size> = made.iter().map(|m| m.1).collect();
        let replaced = if kind == JobKind::Compact { inputs.len() } else { 0 };
        let effort: Effort = self.ways.job(inputs, &sizes, replaced);
        self.marks_there += replaced as u64;
        let (jobs_before, blocks): (Vec<Option<usize>>, Vec<BlockId>) =
            inputs.iter().map(|b| (self.made.get(&b.id).copied(), b.id)).unzip();
        let is_there = jobs_before.iter().zip(&blocks).filter(|(job, _)| job.is_none());
        let bytes_freed =
            if kind == JobKind::Compact { inputs.iter().map(|b| b.bytes()).fold(0, u64::saturating_add) } else { 0 };
        let seconds = effort.bytes_read as f64 / self.knows.rates.of(rate).bytes_per_second;
        self.jobs.push(Job {
            number: self.jobs.len() + 1,
            pass: self.pass,
            kind,
            group: group.to_owned(),
            resolution_ms,
            labels: labels.clone(),
            because,
            why,
            blocks: is_there.map(|(_, id)| *id).collect(),
            results_of: jobs_before.into_iter().flatten().collect::<BTreeSet<usize>>().into_iter().collect(),
            min_time_ms: inputs.iter().map(|b| b.meta.min_time).min().unwrap_or_default(),
            max_time_ms: inputs.iter().map(|b| b.meta.max_time).max().unwrap_or_default(),
            in_place_of,
            makes: made
                .iter()
                .map(|(b, size)| Made { resolution_ms: b.meta.resolution(), bytes_estimated: size.bytes() })
                .collect(),
            bytes_read: effort.bytes_read,
            bytes_written_estimated: effort.bytes_written,
            bytes_freed,
            objects_read: effort.objects_read,
            objects_written_estimated: effort.objects_written,
            requests: effort.requests,
            scratch_bytes_at_most: effort.scratch_bytes,
            seconds_estimated: seconds,
            price: self.knows.prices.of(&effort.requests, effort.bytes_read),
            rate,
        });
    }
}
