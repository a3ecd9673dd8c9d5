//! Downsampling within a pass: what is due when nothing of a group is left to compact, and what can be made on the way
//! of a compaction.

use super::PassOptions;
use super::run::{Compactor, Pass};
use crate::job::catalog::CatalogBlock;
use crate::job::compact::CompactTask;
use crate::job::downsample::{Covered, DownsampleOptions, Due, Empties, Levels, SeriesPolicy, plan};
use crate::job::group::Group;
use crate::job::plan::{Replay, joined};
use crate::job::{Event, Level};
use crate::model::BlockId;

impl<C: Compactor> Pass<'_, C> {
    /// What is due of `blocks`, which are all of their labels, and may be made now; why others may not is told.
    pub(super) async fn due(&mut self, blocks: &[CatalogBlock]) -> Vec<Due> {
        let (mut due, _) = plan(blocks, &self.options.ranges(), self.options.long_enough());
        let failed_before = |block| self.result.not_downsampled.iter().any(|f| f.block == block);
        due.retain(|d| !failed_before(d.block.id) && !self.is_put_off(&d.block));
        Empties::read(&self.env.scratch, self.options.downsample_policy.as_ref()).leave_out(&mut due);
        self.hold_back_blocks(due).await
    }

    /// Says of which blocks no level will ever be made.
    pub(super) fn tell_never(&self, blocks: &[CatalogBlock]) {
        let (_, never) = plan(blocks, &self.options.ranges(), self.options.long_enough());
        for never in never.iter().filter(|n| n.to == 0) {
            let text = never.why.to_string();
            self.env.report.event(Event::Note { level: Level::Warn, block: Some(never.block), text: &text });
        }
    }
}

impl PassOptions {
    /// How blocks are downsampled.
    pub(super) fn downsample(&self) -> DownsampleOptions {
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
