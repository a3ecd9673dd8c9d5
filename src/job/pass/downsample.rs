//! Downsampling within a pass: what is due when nothing is left to compact, and what can be made on the way of
//! a compaction.

use std::sync::Arc;

use super::run::{Compactor, Pass, Seen};
use super::{MAX_LEVEL, PassOptions};
use crate::error::Result;
use crate::format::meta::{self, Meta};
use crate::job::catalog::CatalogBlock;
use crate::job::compact::CompactTask;
use crate::job::downsample::{Covered, DownsampleOptions, Levels, SeriesPolicy, each, plan};
use crate::job::group::Group;
use crate::job::plan::{Step, plan_group};
use crate::job::{Event, Level};
use crate::model::{BlockId, TimeRange};

impl<C: Compactor> Pass<'_, C> {
    /// Downsamples what `seen` has, and what came of it, with a look at the bucket in between; returns what was
    /// seen last.
    pub(super) async fn downsample(&mut self, mut seen: Seen) -> Result<Seen> {
        for _ in 0..2 {
            let (due, never) = plan(&seen.selection.blocks, self.options.ranges());
            for never in never.iter().filter(|n| n.to == 0) {
                let text = never.why.to_string();
                self.env.report.event(Event::Note { level: Level::Warn, block: Some(never.block), text: &text });
            }
            let failed_before = |block| self.result.not_downsampled.iter().any(|f| f.block == block);
            let due: Vec<_> = due.into_iter().filter(|d| !failed_before(d.block.id) && !self.is_put_off(&d.block)).collect();
            if due.is_empty() {
                break;
            }
            let (done, failed) = each(self.env, due, &self.options.downsample(), self.compactor).await;
            for failed in &failed {
                let text = format!("not downsampled: {}", failed.error);
                self.env.report.event(Event::Note { level: Level::Error, block: Some(failed.block), text: &text });
            }
            let more = done.iter().any(|d| !d.written.is_empty());
            self.result.downsampled.extend(done);
            self.result.not_downsampled.extend(failed);
            self.check_cancelled()?;
            if !more {
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
            accept_malformed_index: self.accept_malformed_index,
            policy: self.downsample_policy.clone(),
        }
    }
}

/// Knows which levels are due of a block that is about to be written.
pub(super) struct Ahead<'a> {
    options: &'a PassOptions,
    covered: Covered,
}

impl<'a> Ahead<'a> {
    /// By all blocks that are worked on.
    pub(super) fn new(options: &'a PassOptions, blocks: &[CatalogBlock]) -> Self {
        let covered = if options.downsampling { Covered::by(blocks) } else { Covered::default() };
        Ahead { options, covered }
    }

    /// The levels that can be made when the `chosen` blocks of `group` become one: those that are due of the
    /// result, if no further compaction of the group would take the result away before it is downsampled.
    pub(super) fn levels(&self, group: &Group, chosen: &[usize]) -> Levels {
        if !self.options.downsampling {
            return Levels::default();
        }
        let result = merged(group, chosen);
        let levels = self.covered.due(group.resolution, result.meta.time_range().len_ms(), result.meta.sources());
        if levels.is_empty() || !self.stays(group, chosen, result) { Levels::default() } else { levels }
    }

    /// Has `task` make them.
    pub(super) fn extend(&self, task: &mut CompactTask, group: &Group, chosen: &[usize], mut id: impl FnMut() -> BlockId) {
        let levels = self.levels(group, chosen);
        task.five = levels.five.then(&mut id);
        task.hour = levels.hour.then(&mut id);
        task.choose = self.options.downsample_policy.as_ref().map(SeriesPolicy::choice);
    }

    /// Whether `result` is still there when nothing is left to compact: the steps that follow, played on metas.
    fn stays(&self, group: &Group, chosen: &[usize], result: CatalogBlock) -> bool {
        let id = result.id;
        let mut group = replaced(group, chosen, result);
        // each turn leaves fewer blocks, or rewrites one for its tombstones, of which the result has none
        for _ in 0..group.blocks.len() + MAX_LEVEL {
            let decided = plan_group(&group, self.options);
            let Ok(Step::Compact(next, _)) = decided.step else { return true };
            if next.iter().any(|&at| group.blocks[at].id == id) {
                return false;
            }
            let result = merged(&group, &next);
            group = replaced(&group, &next, result);
            group.blocks.retain(|b| !decided.marks.iter().any(|m| m.block == b.id));
        }
        false
    }
}

/// The block that `chosen` become, as far as a planner looks at it; its id is that of the first with all bits
/// of chance set, which no other block has.
fn merged(group: &Group, chosen: &[usize]) -> CatalogBlock {
    let metas: Vec<&Meta> = chosen.iter().map(|&at| &*group.blocks[at].meta).collect();
    let range = metas.iter().map(|m| m.time_range()).reduce(TimeRange::union).unwrap_or(TimeRange::new(0, 0));
    let newest = chosen.iter().map(|&at| group.blocks[at].id.created()).max().unwrap_or_default();
    let mut meta = Meta { ulid: BlockId::from_parts(newest, u128::MAX >> 48), ..Meta::default() };
    (meta.min_time, meta.max_time) = (range.start, range.end);
    meta.thanos.downsample.resolution = group.resolution;
    meta.stats.num_series = metas.iter().map(|m| m.stats.num_series).max().unwrap_or_default();
    meta.compaction.sources = metas.iter().flat_map(|m| m.sources().iter().copied()).collect();
    meta.compaction.sources.sort_unstable();
    meta.compaction.sources.dedup();
    let index_bytes = chosen.iter().map(|&at| group.blocks[at].index_bytes()).fold(0, u64::saturating_add);
    let size_bytes = i64::try_from(index_bytes).unwrap_or(i64::MAX);
    meta.thanos.files = vec![meta::File { rel_path: "index".into(), size_bytes, ..Default::default() }];
    CatalogBlock {
        id: meta.ulid,
        meta: Arc::new(meta),
        labels: group.labels.clone(),
        objects: Arc::new([]),
        deletion: None,
        no_compact: None,
        no_downsample: None,
    }
}

/// The group with `result` in place of `chosen`.
fn replaced(group: &Group, chosen: &[usize], result: CatalogBlock) -> Group {
    let stays = |(at, block): (usize, &CatalogBlock)| (!chosen.contains(&at)).then(|| block.clone());
    let mut blocks: Vec<CatalogBlock> = group.blocks.iter().enumerate().filter_map(stays).collect();
    blocks.push(result);
    blocks.sort_by_key(|b| (b.meta.min_time, b.id));
    Group { key: group.key.clone(), labels: group.labels.clone(), resolution: group.resolution, blocks }
}
