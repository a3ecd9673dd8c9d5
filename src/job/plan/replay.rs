//! A group once all its steps are done: the planner over metas alone, as if each plan had been carried out.

use std::sync::Arc;

use super::{Step, plan_group};
use crate::error::Error;
use crate::format::meta::Meta;
use crate::job::catalog::CatalogBlock;
use crate::job::group::Group;
use crate::job::pass::PassOptions;
use crate::model::TimeRange;

/// What becomes of a group.
#[derive(Debug)]
pub struct Replayed {
    /// Its blocks in the end, by minimum time. A block that was joined has the id of its first input, the
    /// sources of all, and no objects.
    pub blocks: Vec<CatalogBlock>,
    /// Why the group has to wait for a person before it goes on, if it has to.
    pub waits: Option<Error>,
}

/// Takes every step of a group that can be taken with the blocks that are there.
pub fn replay(mut group: Group, options: &PassOptions) -> Replayed {
    // a step joins blocks, marks them or drops tombstones, so there is an end; a fault of ours must not hang a pass
    let limit = 3 * group.blocks.len() + 1;
    for _ in 0..limit {
        let decided = plan_group(&group, options);
        for mark in &decided.marks {
            let marked = || crate::format::marks::NoCompactMark::new(mark.block, 0, mark.reason, &*mark.details).into();
            group.blocks.iter_mut().filter(|b| b.id == mark.block).for_each(|b| b.no_compact = Some(marked()));
        }
        match decided.step {
            Ok(Step::Compact(chosen, _)) => join(&mut group, &chosen),
            Ok(Step::Nothing(_)) => break,
            Err(error) => return Replayed { blocks: group.blocks, waits: Some(error) },
        }
    }
    Replayed { blocks: group.blocks, waits: None }
}

/// Puts one block in the place of several.
fn join(group: &mut Group, chosen: &[usize]) {
    let inputs: Vec<&CatalogBlock> = chosen.iter().map(|&at| &group.blocks[at]).collect();
    let Some(&first) = inputs.first() else { return };
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
    let joined = CatalogBlock {
        id: first.id,
        meta: Arc::new(meta),
        labels: group.labels.clone(),
        objects: Arc::new([]),
        deletion: None,
        no_compact: None,
        no_downsample: None,
    };
    let mut at = 0;
    group.blocks.retain(|_| {
        at += 1;
        !chosen.contains(&(at - 1))
    });
    group.blocks.push(joined);
    group.blocks.sort_by_key(|b| (b.meta.min_time, b.id));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::group::groups;
    use crate::model::BlockId;

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
