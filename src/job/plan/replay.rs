//! A group once its steps are done: the planner over metas alone, as if each plan had been carried out.

use std::sync::Arc;

use super::{Step, Why, plan_group};
use crate::error::{Error, Result};
use crate::format::meta::{self, Meta};
use crate::job::catalog::CatalogBlock;
use crate::job::group::Group;
use crate::job::pass::PassOptions;
use crate::model::{BlockId, TimeRange};

/// What becomes of a group.
#[derive(Debug)]
pub struct Replayed {
    /// Its blocks in the end, by minimum time, as [`joined`] makes them.
    pub blocks: Vec<CatalogBlock>,
    /// Why the group has to wait for a person before it goes on, if it has to.
    pub waits: Option<Error>,
}

/// Takes every step of a group that can be taken with the blocks that are there.
pub fn replay(group: Group, options: &PassOptions) -> Replayed {
    let mut steps = Replay::new(group, options);
    loop {
        match steps.step() {
            Ok(Some(_)) => {}
            Ok(None) => return Replayed { blocks: steps.group.blocks, waits: None },
            Err(error) => return Replayed { blocks: steps.group.blocks, waits: Some(error) },
        }
    }
}

/// A step that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The blocks that went into it, by minimum time; their result has the id of the first.
    pub inputs: Vec<BlockId>,
    /// Why these.
    pub why: Why,
    /// Whether blocks had to be marked before.
    pub is_marking: bool,
}

/// The steps of a group, one at a time.
#[derive(Debug)]
pub struct Replay<'a> {
    group: Group,
    options: &'a PassOptions,
    /// A step joins blocks, marks them or drops tombstones, so there is an end; a fault of ours must not hang a pass.
    steps_left: usize,
}

impl<'a> Replay<'a> {
    /// Before the first step.
    pub fn new(group: Group, options: &'a PassOptions) -> Self {
        let steps_left = 3 * group.blocks.len() + 1;
        Replay { group, options, steps_left }
    }

    /// The group as it is now.
    pub fn into_group(self) -> Group {
        self.group
    }

    /// Takes the next step; returns the blocks that went into it, and nothing when there is none left.
    ///
    /// # Errors
    /// What a person has to look at before the group goes on.
    pub fn step(&mut self) -> Result<Option<Vec<BlockId>>> {
        Ok(self.take()?.map(|taken| taken.inputs))
    }

    /// As [`Replay::step`], with what else is known of the step.
    ///
    /// # Errors
    /// As [`Replay::step`].
    pub fn take(&mut self) -> Result<Option<Taken>> {
        if self.steps_left == 0 {
            return Ok(None);
        }
        self.steps_left -= 1;
        let decided = plan_group(&self.group, self.options);
        for mark in &decided.marks {
            let marked = || crate::format::marks::NoCompactMark::new(mark.block, 0, mark.reason, &*mark.details).into();
            self.group.blocks.iter_mut().filter(|b| b.id == mark.block).for_each(|b| b.no_compact = Some(marked()));
        }
        match decided.step? {
            Step::Compact(chosen, why) => {
                Ok(Some(Taken { inputs: self.join(&chosen), why, is_marking: !decided.marks.is_empty() }))
            }
            Step::Nothing(_) => Ok(None),
        }
    }

    /// Puts one block in the place of the `chosen`; returns their ids.
    pub fn join(&mut self, chosen: &[usize]) -> Vec<BlockId> {
        let joined = joined(&self.group, chosen);
        let mut gone = Vec::with_capacity(chosen.len());
        let mut at = 0;
        self.group.blocks.retain(|block| {
            let goes = chosen.contains(&at);
            if goes {
                gone.push(block.id);
            }
            at += 1;
            !goes
        });
        self.group.blocks.push(joined);
        self.group.blocks.sort_by_key(|b| (b.meta.min_time, b.id));
        gone
    }
}

/// The block that `chosen` become, as far as a planner looks at it: it has the id of the first of them, the
/// sources of all, an index as long as theirs together, and no objects.
///
/// # Panics
/// When nothing is chosen.
pub fn joined(group: &Group, chosen: &[usize]) -> CatalogBlock {
    let inputs: Vec<&CatalogBlock> = chosen.iter().map(|&at| &group.blocks[at]).collect();
    let first = inputs[0];
    let range = inputs.iter().map(|b| b.meta.time_range()).fold(first.meta.time_range(), TimeRange::union);
    let mut meta = Meta { ulid: first.id, min_time: range.start, max_time: range.end, version: 1, ..Meta::default() };
    meta.compaction.level = 1 + inputs.iter().map(|b| b.meta.compaction.level).max().unwrap_or_default();
    meta.compaction.sources = inputs.iter().flat_map(|b| b.meta.sources()).copied().collect();
    meta.compaction.sources.sort_unstable();
    meta.compaction.sources.dedup();
    meta.stats.num_samples = inputs.iter().map(|b| b.meta.stats.num_samples).fold(0, u64::saturating_add);
    meta.stats.num_series = inputs.iter().map(|b| b.meta.stats.num_series).max().unwrap_or_default();
    meta.thanos.labels = first.meta.thanos.labels.clone();
    meta.thanos.downsample.resolution = group.resolution;
    let index_bytes = inputs.iter().map(|b| b.index_bytes()).fold(0, u64::saturating_add);
    let size_bytes = i64::try_from(index_bytes).unwrap_or(i64::MAX);
    meta.thanos.files = vec![meta::File { rel_path: "index".into(), size_bytes, ..Default::default() }];
    CatalogBlock {
        id: first.id,
        meta: Arc::new(meta),
        labels: group.labels.clone(),
        objects: Arc::new([]),
        deletion: None,
        no_compact: None,
        no_downsample: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::group::groups;

    const HOUR: i64 = 3_600_000;

    fn group(hours: impl IntoIterator<Item = (i64, i64)>) -> Group {
        let block = |(n, (from, to)): (i64, (i64, i64))| {
            let id = BlockId::from_parts(n, 0);
            let mut meta = Meta { ulid: id, min_time: from * HOUR, max_time: to * HOUR, version: 1, ..Meta::default() };
            meta.compaction.level = 1;
            meta.compaction.sources = vec![id];
            CatalogBlock {
                id,
                meta: Arc::new(meta),
                labels: Arc::default(),
                objects: Arc::new([]),
                deletion: None,
                no_compact: None,
                no_downsample: None,
            }
        };
        groups((1..).zip(hours).map(block).collect()).remove(0)
    }

    fn ranges(replayed: &Replayed) -> Vec<(i64, i64)> {
        replayed.blocks.iter().map(|b| (b.meta.min_time / HOUR, b.meta.max_time / HOUR)).collect()
    }

    #[test]
    fn all_steps_are_taken() {
        let options = PassOptions::default();
        let two_months = group((0..720).map(|n| (2 * n, 2 * n + 2)));
        let end = replay(two_months, &options);
        assert!(end.waits.is_none());
        let ends = ranges(&end);
        assert_eq!(ends[..4], [(0, 336), (336, 672), (672, 1008), (1008, 1344)]);
        // the last window of two weeks is open, its days are joined, and the newest blocks wait
        assert_eq!(ends[4..6], [(1344, 1392), (1392, 1400)]);
        assert_eq!(ends.last(), Some(&(1438, 1440)));
        assert_eq!(end.blocks[0].meta.sources().len(), 168);
        assert_eq!(end.blocks[0].meta.compaction.level, 4);
        let all: usize = end.blocks.iter().map(|b| b.meta.sources().len()).sum();
        assert_eq!(all, 720, "no source is lost");
    }

    #[test]
    fn a_group_that_waits_for_a_person_stays() {
        let end = replay(group([(0, 2), (1, 4), (4, 6)]), &PassOptions::default());
        assert!(end.waits.unwrap().to_string().contains("overlap"));
        assert_eq!(end.blocks.len(), 3);
        let vertical = PassOptions { vertical: true, ..PassOptions::default() };
        assert_eq!(ranges(&replay(group([(0, 2), (1, 4), (4, 6)]), &vertical)), [(0, 4), (4, 6)]);
    }
}
