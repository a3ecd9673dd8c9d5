//! Downsampling within a pass: what is due when nothing is left to compact, and what can be made on the way of
//! a compaction.

use super::PassOptions;
use super::run::{Compactor, Pass, Seen};
use crate::error::Result;
use crate::job::catalog::CatalogBlock;
use crate::job::compact::CompactTask;
use crate::job::downsample::{Covered, DownsampleOptions, Empties, Levels, SeriesPolicy, each, plan};
use crate::job::group::Group;
use crate::job::plan::{Replay, joined};
use crate::job::quarantine::series_of;
use crate::job::{Event, Level, Work};
use crate::model::BlockId;

impl<C: Compactor> Pass<'_, C> {
    /// Downsamples what `seen` has, and what came of it, with a look at the bucket in between; returns what was
    /// seen last.
    pub(super) async fn downsample(&mut self, mut seen: Seen) -> Result<Seen> {
        for turn in 0..2 {
            let (due, never) = plan(&seen.selection.blocks, &self.options.ranges(), self.options.long_enough());
            for never in never.iter().filter(|n| n.to == 0) {
                let text = never.why.to_string();
                self.env.report.event(Event::Note { level: Level::Warn, block: Some(never.block), text: &text });
            }
            let failed_before = |block| self.result.not_downsampled.iter().any(|f| f.block == block);
            let mut due: Vec<_> = due.into_iter().filter(|d| !failed_before(d.block.id) && !self.is_put_off(&d.block)).collect();
            Empties::read(&self.env.scratch, self.options.downsample_policy.as_ref()).leave_out(&mut due);
            let due = self.hold_back_blocks(due).await;
            self.report_groups();
            if due.is_empty() {
                break;
            }
            let tried: Vec<CatalogBlock> = due.iter().map(|d| d.block.clone()).collect();
            let is_second_look = self.is_second_look(&tried);
            let env = self.env_of(is_second_look);
            let (done, failed) = each(&env, due, &self.options.downsample(), self.compactor).await;
            let mut again = false;
            for failed in failed {
                let series = if is_second_look { series_of(&env, &failed.error).await } else { None };
                let block = tried.iter().find(|b| b.id == failed.block);
                if block.is_some_and(|block| self.blame_block(block, &failed.error, series, turn == 0)) {
                    again = true;
                    continue;
                }
                let text = format!("not downsampled: {}", failed.error);
                self.env.report.event(Event::Note { level: Level::Error, block: Some(failed.block), text: &text });
                self.result.not_downsampled.push(failed);
            }
            for block in tried.iter().filter(|b| done.iter().any(|d| d.source == b.id)) {
                self.praise(Work::Downsampling, &block.group_key(), &block.labels, Some(&[block.id]));
            }
            self.report_groups();
            let more = done.iter().any(|d| !d.written.is_empty());
            self.result.downsampled.extend(done);
            self.check_cancelled()?;
            if !more && !again {
                break;
            }
            seen = self.look().await?;
        }
        Ok(seen)
    }
}

impl PassOptions {
    /// How blocks are downsampled.
    fn downsample(&self) -> DownsampleOptions {
        DownsampleOptions {
            concurrency: self.downsample_concurrency,
            hash_func: self.hash_func,
            verify: self.verify_output,
            accept_malformed_index: self.accept_malformed_index,
            policy: self.downsample_policy.clone(),
        }
    }
}

/// Knows which levels are due of a block that is about to be written.
pub(crate) struct Ahead<'a> {
    options: &'a PassOptions,
    covered: Covered,
}

impl<'a> Ahead<'a> {
    /// By all blocks that are worked on.
    pub(crate) fn new(options: &'a PassOptions, blocks: &[CatalogBlock]) -> Self {
        let covered = if options.downsampling { Covered::by(blocks) } else { Covered::default() };
        Ahead { options, covered }
    }

    /// One more block that is worked on.
    pub(crate) fn add(&mut self, block: &CatalogBlock) {
        if self.options.downsampling {
            self.covered.add(block);
        }
    }

    /// The levels that can be made when the `chosen` blocks of `group` become one: those that are due of the
    /// result, if no further compaction of the group would take the result away before it is downsampled.
    pub(crate) fn levels(&self, group: &Group, chosen: &[usize]) -> Levels {
        if !self.options.downsampling {
            return Levels::default();
        }
        let result = joined(group, chosen);
        let levels = {
            let long = self.options.long_enough();
            self.covered.due(group.resolution, result.meta.time_range().len_ms(), result.meta.sources(), long)
        };
        if levels.is_empty() || !self.stays(group, chosen, result.id) { Levels::default() } else { levels }
    }

    /// Has `task` make them.
    pub(super) fn extend(&self, task: &mut CompactTask, group: &Group, chosen: &[usize], mut id: impl FnMut() -> BlockId) {
        let levels = self.levels(group, chosen);
        task.five = levels.five.then(&mut id);
        task.hour = levels.hour.then(&mut id);
        task.choose = self.options.downsample_policy.as_ref().map(SeriesPolicy::choice);
    }

    /// Whether what `chosen` become is still there when nothing is left to compact: the steps that follow,
    /// played on metas.
    fn stays(&self, group: &Group, chosen: &[usize], result: BlockId) -> bool {
        let mut steps = Replay::new(group.clone(), self.options);
        steps.join(chosen);
        loop {
            match steps.step() {
                Ok(Some(joined)) if joined.contains(&result) => return false,
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return true,
            }
        }
    }
}
