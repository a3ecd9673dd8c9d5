//! How much is left to do in a bucket, and what waits longest: figures for metrics, from metas alone.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::job::catalog::CatalogBlock;
use crate::job::downsample::{Covered, LongEnough};
use crate::job::group::groups;
use crate::job::pass::PassOptions;
use crate::job::plan::Replay;
use crate::job::retain::{has_expired, keep_of};
use crate::model::{LabelSet, Millis};

/// How much is left to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Todo {
    /// Compactions until no group has one left, those of their own results included.
    pub compactions: usize,
    /// Blocks that go into them.
    pub compaction_blocks: usize,
    /// Blocks that are long enough to be downsampled and are not.
    pub downsample_blocks: usize,
    /// Blocks that are older than their resolution is kept.
    pub deletion_blocks: usize,
}

/// What waits longest in one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Milliseconds between the samples of its blocks, 0 for raw.
    pub resolution: Millis,
    /// Its labels.
    pub labels: Arc<LabelSet>,
    /// When the oldest block ends that no compactor made and that may be compacted.
    pub uncompacted: Option<Millis>,
    /// When the oldest block ends that is long enough to be downsampled and is not.
    pub undownsampled: Option<Millis>,
}

/// Counts what is left to do with `blocks`, which are those of a selection.
pub fn todo(blocks: &[CatalogBlock], options: &PassOptions, now: Millis) -> Todo {
    let mut todo = Todo::default();
    if options.downsampling {
        let covered = Covered::by(blocks);
        todo.downsample_blocks = blocks.iter().filter(|b| lacks_a_level(b, &covered, options.long_enough())).count();
    }
    todo.deletion_blocks = blocks.iter().filter(|b| has_expired(b, keep_of(options, &b.labels), now)).count();
    // sizes of what is not there yet are not known
    let options = PassOptions { block_max_index_bytes: u64::MAX, ..options.clone() };
    for group in groups(blocks.to_vec()) {
        let mut steps = Replay::new(group, &options);
        while let Ok(Some(joined)) = steps.step() {
            todo.compactions += 1;
            todo.compaction_blocks += joined.len();
        }
    }
    todo
}

/// What waits longest in each group of `blocks`, of groups in which anything does; in the order in which they
/// come first.
pub fn waiting(blocks: &[CatalogBlock]) -> Vec<Waiting> {
    let covered = Covered::by(blocks);
    let mut places: FxHashMap<(Millis, &LabelSet), usize> = FxHashMap::default();
    let mut groups: Vec<Waiting> = Vec::new();
    let oldest = |known: &mut Option<Millis>, end: Millis| *known = Some(known.map_or(end, |known| known.min(end)));
    for block in blocks {
        let uncompacted = block.meta.compaction.level <= 1 && block.meta.resolution() == 0 && block.no_compact.is_none();
        let undownsampled = lacks_a_level(block, &covered, LongEnough::default());
        if uncompacted || undownsampled {
            let resolution = block.meta.resolution();
            let place = *places.entry((resolution, &block.labels)).or_insert(groups.len());
            if place == groups.len() {
                groups.push(Waiting { resolution, labels: block.labels.clone(), uncompacted: None, undownsampled: None });
            }
            let group = &mut groups[place];
            if uncompacted {
                oldest(&mut group.uncompacted, block.meta.max_time);
            }
            if undownsampled {
                oldest(&mut group.undownsampled, block.meta.max_time);
            }
        }
    }
    groups
}

/// Whether a block is long enough to be downsampled, may be, and is not.
fn lacks_a_level(block: &CatalogBlock, covered: &Covered, long: LongEnough) -> bool {
    let (resolution, length) = (block.meta.resolution(), block.meta.time_range().len_ms());
    block.no_downsample.is_none() && !covered.due(resolution, length, block.meta.sources(), long).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::meta::Meta;
    use crate::model::BlockId;
    use crate::series::aggregate::FIVE_MINUTES;

    const HOUR: Millis = 3_600_000;
    const NOW: Millis = 1_000 * HOUR;

    /// A block of cluster a, from and to in hours.
    fn block(n: i64, resolution: Millis, (from, to): (i64, i64), sources: &[i64]) -> CatalogBlock {
        let id = |n| BlockId::from_parts(n, 0);
        let mut meta = Meta { ulid: id(n), min_time: from * HOUR, max_time: to * HOUR, ..Meta::default() };
        meta.thanos.downsample.resolution = resolution;
        meta.compaction.level = if sources.len() > 1 { 2 } else { 1 };
        meta.compaction.sources = sources.iter().map(|&n| id(n)).collect();
        CatalogBlock {
            id: id(n),
            labels: Arc::new(LabelSet::from_iter([("cluster", "a")])),
            meta: Arc::new(meta),
            objects: Arc::default(),
            deletion: None,
            no_compact: None,
            no_downsample: None,
        }
    }

    #[test]
    fn steps_of_steps_are_counted() {
        // five times eight hours become two days, the newest block is left alone
        let hours = |n: i64| block(n, 0, (2 * n, 2 * n + 2), &[n]);
        let blocks: Vec<_> = (0..25).map(hours).collect();
        let left = todo(&blocks, &PassOptions::default(), NOW);
        assert_eq!((left.compactions, left.compaction_blocks), (7, 24 + 6));
        let one_level = PassOptions { max_level: 2, ..PassOptions::default() };
        let left = todo(&blocks, &one_level, NOW);
        assert_eq!((left.compactions, left.compaction_blocks), (6, 24));
    }

    #[test]
    fn downsampling_and_retention() {
        let mut blocks = vec![
            block(1, 0, (0, 48), &[1, 2]),
            block(2, 0, (48, 96), &[3, 4]),
            block(3, 0, (96, 100), &[5]),
            block(4, FIVE_MINUTES, (0, 48), &[1, 2]),
            block(5, FIVE_MINUTES, (100, 340), &[6, 7]),
        ];
        let options = PassOptions { retention_raw: 910 * HOUR, retention_5m: 10_000 * HOUR, ..PassOptions::default() };
        let left = todo(&blocks, &options, NOW);
        assert_eq!((left.downsample_blocks, left.deletion_blocks), (2, 1), "blocks 2 and 5; block 1");
        let raw = Waiting {
            resolution: 0,
            labels: blocks[0].labels.clone(),
            uncompacted: Some(100 * HOUR),
            undownsampled: Some(96 * HOUR),
        };
        let five = Waiting { resolution: FIVE_MINUTES, uncompacted: None, undownsampled: Some(340 * HOUR), ..raw.clone() };
        assert_eq!(waiting(&blocks), [raw, five]);

        let off = PassOptions { downsampling: false, ..PassOptions::default() };
        assert_eq!(todo(&blocks, &off, NOW), Todo::default());
        blocks.truncate(1);
        blocks[0].no_downsample = Some(Box::default());
        assert_eq!(waiting(&blocks), []);
    }
}
