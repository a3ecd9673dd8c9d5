//! What is not begun.

use std::sync::Arc;

use futures::TryStreamExt;

use super::tell::Tried;
use super::*;
use crate::bucket::Object;
use crate::error::{Kind, Result};
use crate::format::meta::META_FILE;
use crate::job::Work;
use crate::job::downsample::{Due, FailedBlock};
use crate::job::plan::{Step, Why, plan_group};
use crate::job::quarantine::{Failure, Standing, flaws};

impl Holds {
    /// As a pass would do it, and nothing is noted anywhere: has a planner see `group` without what is left alone.
    /// Returns why, and whether nothing of the group would be done.
    pub(crate) fn show(&self, group: &mut Group, options: &PassOptions, now: Millis) -> (Vec<Error>, bool) {
        let salt = options.salt();
        let is_valid = |entry: &&Entry| {
            let blocks: Vec<_> = group.blocks.iter().filter(|b| entry.blocks.contains(&b.id)).collect();
            blocks.len() == entry.blocks.len() && print_of(blocks, &salt) == entry.print
        };
        let mut held: Vec<Entry> =
            self.state.held(Work::Compaction, &group.key, &group.labels).filter(is_valid).cloned().collect();
        for block in group.blocks.iter().filter(|b| b.no_compact.is_none()) {
            if let Some(flaw) = flaws(block, &block.objects).first() {
                let failure = Failure::of(group, vec![block.id], 0);
                held.push(Entry::new(Work::Compaction, Standing::Quarantined, failure, &flaw.error(block), now));
            }
        }
        let (needed, is_stuck) = if held.is_empty() { (Vec::new(), false) } else { leave_out(group, &held, options) };
        (needed.iter().map(Entry::error).collect(), is_stuck)
    }

    /// Why a block would not be downsampled although it is due; nothing is noted anywhere.
    pub(crate) fn show_block(&self, block: &CatalogBlock, options: &PassOptions) -> Option<Error> {
        let salt = options.salt();
        let is_valid = |entry: &&Entry| entry.blocks == [block.id] && print_of(vec![block], &salt) == entry.print;
        let key = block.group_key();
        let held = self.state.held(Work::Downsampling, &key, &block.labels).find(is_valid);
        held.map(Entry::error).or_else(|| flaws(block, &block.objects).first().map(|flaw| flaw.error(block)))
    }
}

/// Has a planner see `group` without what is `held`; returns what of that it would need, and whether it needs it
/// still, so that nothing of the group can be done.
fn leave_out(group: &mut Group, held: &[Entry], options: &PassOptions) -> (Vec<Entry>, bool) {
    let mut needed: Vec<Entry> = Vec::new();
    let mut needs = |group: &Group| {
        let (chosen, why) = match plan_group(group, options).step {
            Ok(Step::Compact(chosen, why)) => (chosen, why),
            _ => return None,
        };
        let is_in = |entry: &&Entry| chosen.iter().any(|&at| entry.culprits().contains(&group.blocks[at].id));
        let before = needed.len();
        let in_it: Vec<Entry> = held.iter().filter(is_in).cloned().collect();
        let is_needed = !in_it.is_empty();
        needed.extend(in_it.into_iter().filter(|e| !needed[..before].contains(e)).collect::<Vec<_>>());
        is_needed.then_some((chosen, why))
    };
    needs(group);
    for block in &mut group.blocks {
        if held.iter().any(|e| e.culprits().contains(&block.id)) {
            // as a planner leaves windows out in which a block failed before
            Arc::make_mut(&mut block.meta).compaction.failed = true;
        }
    }
    // that does not keep it from merging what overlaps
    while let Some((chosen, why)) = needs(group) {
        let Why::Overlap = why else { return (needed, true) };
        see_as_one(group, &chosen, held);
    }
    (needed, false)
}

/// Has a planner see one block that failed in the place of those that are `chosen` since they overlap.
fn see_as_one(group: &mut Group, chosen: &[usize], held: &[Entry]) {
    let blocks: Vec<CatalogBlock> = chosen.iter().map(|&at| group.blocks[at].clone()).collect();
    let is_culprit = |b: &&CatalogBlock| held.iter().any(|e| e.culprits().contains(&b.id));
    let Some(mut one) = blocks.iter().find(is_culprit).cloned() else { return };
    let meta = Arc::make_mut(&mut one.meta);
    for other in blocks.iter().map(|b| &b.meta) {
        (meta.min_time, meta.max_time) = (meta.min_time.min(other.min_time), meta.max_time.max(other.max_time));
        meta.compaction.hints.extend(other.compaction.hints.iter().cloned());
    }
    group.blocks.retain(|b| !blocks.iter().any(|gone| gone.id == b.id));
    group.blocks.push(one);
    group.blocks.sort_by_key(|b| (b.meta.min_time, b.id));
}

impl<C: Compactor> Pass<'_, C> {
    /// Takes out of `groups` those of which nothing may be done now, and marks blocks of the others that no plan
    /// may need; what is left out is in the result.
    pub(in crate::job::pass) async fn hold_back(&mut self, groups: Vec<Group>) -> Vec<Group> {
        let mut ready = Vec::with_capacity(groups.len());
        for mut group in groups {
            let now = self.env.clock.now();
            if self.is_anothers(&group, now) {
                continue;
            }
            let waits = self.holds.state.waits(Work::Compaction, &group.key, &group.labels, None, now).cloned();
            if let Some(entry) = waits.filter(|_| self.options.back_off) {
                self.stop(&group.key, Standing::Retrying);
                self.tell(&entry, Tried::No);
                continue;
            }
            let mut held: Vec<Entry> = self.holds.state.held(Work::Compaction, &group.key, &group.labels).cloned().collect();
            match self.look_for_flaws(&mut group).await {
                Ok(flawed) => held.extend(flawed),
                Err(error) => {
                    let step = plan_group(&group, self.options).step.ok();
                    self.blame(&group, step.as_ref(), error, None);
                    continue;
                }
            }
            if held.is_empty() || self.is_left_over(&mut group, &held) {
                ready.push(group);
            }
        }
        ready
    }

    /// Whether something can be planned without what is `held`, and has the planner see it that way.
    fn is_left_over(&mut self, group: &mut Group, held: &[Entry]) -> bool {
        let (needed, is_stuck) = leave_out(group, held, self.options);
        for entry in needed {
            if self.tell(&entry, Tried::No) && !self.holds.is_kept(&entry) {
                self.holds.found.push(entry);
            }
        }
        if is_stuck {
            self.stopped.insert(group.key.clone());
        }
        !is_stuck
    }

    /// Blocks of a group that lack objects; each was listed once more by itself before that is believed.
    async fn look_for_flaws(&mut self, group: &mut Group) -> Result<Vec<Entry>> {
        let mut found = Vec::new();
        let mut failures = Vec::new();
        for block in group.blocks.iter_mut().filter(|b| b.no_compact.is_none()) {
            if let Some(flaw) = self.flaw(block).await? {
                failures.push((block.id, flaw.error(block)));
            }
        }
        for (id, error) in failures {
            let failure = Failure::of(group, vec![id], 0);
            found.push(Entry::new(Work::Compaction, Standing::Quarantined, failure, &error, self.env.clock.now()));
        }
        Ok(found)
    }

    /// What is wrong with the objects of a block, which get those of a newer listing where that has more.
    async fn flaw(&mut self, block: &mut CatalogBlock) -> Result<Option<Flaw>> {
        if flaws(block, &block.objects).is_empty() {
            return Ok(None);
        }
        let seen = print([&*block], "");
        if let Some((of, flaw)) = self.holds.flawed.get(&block.id)
            && *of == seen
        {
            return Ok(Some(flaw.clone()));
        }
        let mut objects: Vec<Object> = self.env.bucket.list(&block.id.to_string()).try_collect().await?;
        objects.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        if !objects.iter().any(|o| o.key.ends_with(META_FILE)) {
            return Err(Error::new(Kind::Conflict, "somebody deletes the block").block(block.id));
        }
        let flaw = flaws(block, &objects).into_iter().next();
        match &flaw {
            Some(flaw) => _ = self.holds.flawed.insert(block.id, (seen, flaw.clone())),
            None => block.objects = objects.into(),
        }
        Ok(flaw)
    }

    /// Takes out of `due` blocks that were tried before and did not change, those that are not due again, and those that
    /// lack objects; what is left out is in the result.
    pub(in crate::job::pass) async fn hold_back_blocks(&mut self, due: Vec<Due>) -> Vec<Due> {
        let mut ready = Vec::with_capacity(due.len());
        for mut due in due {
            let Some(entry) = self.what_is_against(&mut due.block).await else {
                ready.push(due);
                continue;
            };
            let (block, error) = (due.block.id, entry.error().block(due.block.id));
            let text = format!("not downsampled, and not tried: {error}; {}", self.until(&entry));
            let level = if entry.is_held() { Level::Error } else { Level::Warn };
            self.env.report.event(Event::Note { level, block: Some(block), text: &text });
            self.result.not_downsampled.push(FailedBlock { block, error, tried: false });
            if !self.holds.is_kept(&entry) {
                self.holds.found.push(entry);
            }
        }
        ready
    }

    /// Why a block is not downsampled now.
    async fn what_is_against(&mut self, block: &mut CatalogBlock) -> Option<Entry> {
        let (work, key, now) = (Work::Downsampling, block.group_key(), self.env.clock.now());
        if let Some(rival) = self.rivals.of(&block.labels, now) {
            let entry = Entry::new(work, Standing::Retrying, self.failure_of(block, None), &rival.error(), rival.made);
            return Some(Entry { next_try: rival.until, ..entry });
        }
        let state = &self.holds.state;
        let held = state.held(work, &key, &block.labels).find(|e| e.culprits().contains(&block.id));
        let waits = state.waits(work, &key, &block.labels, Some(block.id), now).filter(|_| self.options.back_off);
        if let Some(entry) = held.or(waits) {
            return Some(entry.clone());
        }
        let (standing, error) = match self.flaw(block).await {
            Ok(flaw) => (Standing::Quarantined, flaw?.error(block)),
            Err(error) => (Standing::Retrying, error),
        };
        Some(Entry::new(work, standing, self.failure_of(block, None), &error, now))
    }
}
