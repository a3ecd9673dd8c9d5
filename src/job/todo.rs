//! How much is left to do in a bucket, and what waits longest: figures for metrics, from metas alone.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::format::meta::Meta;
use crate::job::catalog::CatalogBlock;
use crate::job::group::{Group, groups};
use crate::job::pass::PassOptions;
use crate::job::plan::{Step, plan_group};
use crate::model::{BlockId, LabelSet, Millis};

const HOUR: Millis = 3_600_000;

/// Milliseconds between samples of the first step of downsampling.
const FIVE_MINUTES: Millis = 300_000;

/// How long a block has to be, in milliseconds, before it is downsampled; by its resolution.
const DOWNSAMPLED_FROM: [(Millis, Millis); 2] = [(0, 40 * HOUR), (FIVE_MINUTES, 240 * HOUR)];

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
    /// Key of the group.
    pub group: String,
    /// Its labels, for people.
    pub labels: String,
    /// When the oldest block ends that no compactor made and that may be compacted.
    pub uncompacted: Option<Millis>,
    /// When the oldest block ends that is long enough to be downsampled and is not.
    pub undownsampled: Option<Millis>,
}

/// Counts what is left to do with `blocks`, which are those of a selection.
pub fn todo(blocks: &[CatalogBlock], options: &PassOptions, now: Millis) -> Todo {
    let mut todo = Todo::default();
    if options.downsampling {
        let done = Downsampled::of(blocks);
        todo.downsample_blocks = blocks.iter().filter(|b| done.lacks(b)).count();
    }
    let kept = |resolution| match resolution {
        0 => options.retention_raw,
        FIVE_MINUTES => options.retention_5m,
        _ => options.retention_1h,
    };
    let is_old = |b: &&CatalogBlock| {
        let kept = kept(b.meta.resolution());
        kept != 0 && now > b.meta.max_time.saturating_add(kept)
    };
    todo.deletion_blocks = blocks.iter().filter(is_old).count();
    // sizes of what is not there yet are not known
    let options = PassOptions { block_max_index_bytes: u64::MAX, ..options.clone() };
    for mut group in groups(blocks.to_vec()) {
        // a step makes fewer blocks, or takes the tombstones of one away
        for _ in 0..2 * group.blocks.len() {
            let Ok(Step::Compact(chosen, _)) = plan_group(&group, &options).step else { break };
            todo.compactions += 1;
            todo.compaction_blocks += chosen.len();
            join(&mut group, &chosen);
        }
    }
    todo
}

/// Puts in place of the chosen blocks what would be made of them.
fn join(group: &mut Group, chosen: &[usize]) {
    let mut inputs: Vec<CatalogBlock> = Vec::with_capacity(chosen.len());
    let mut at = 0;
    group.blocks.retain(|block| {
        let goes = chosen.contains(&at);
        if goes {
            inputs.push(block.clone());
        }
        at += 1;
        !goes
    });
    let Some(mut made) = inputs.first().cloned() else { return };
    let mut meta = Meta::clone(&made.meta);
    for input in &inputs {
        meta.min_time = meta.min_time.min(input.meta.min_time);
        meta.max_time = meta.max_time.max(input.meta.max_time);
        meta.compaction.level = meta.compaction.level.max(input.meta.compaction.level);
    }
    let mut sources: Vec<BlockId> = inputs.iter().flat_map(|b| b.meta.sources().iter().copied()).collect();
    sources.sort_unstable();
    sources.dedup();
    meta.compaction.sources = sources;
    meta.compaction.level += 1;
    meta.stats.num_tombstones = 0;
    made.meta = Arc::new(meta);
    let place = group.blocks.partition_point(|b| (b.meta.min_time, b.id) < (made.meta.min_time, made.id));
    group.blocks.insert(place, made);
}

/// Ends of the oldest blocks that wait: to be compacted, and to be downsampled.
type Oldest = (Option<Millis>, Option<Millis>);

/// What waits longest in each group of `blocks`, of groups in which anything does; by key.
pub fn waiting(blocks: &[CatalogBlock]) -> Vec<Waiting> {
    let done = Downsampled::of(blocks);
    let mut groups: BTreeMap<(Millis, &LabelSet), Oldest> = BTreeMap::new();
    let oldest = |known: &mut Option<Millis>, end: Millis| *known = Some(known.map_or(end, |known| known.min(end)));
    for block in blocks {
        let uncompacted = block.meta.compaction.level <= 1 && block.meta.resolution() == 0 && block.no_compact.is_none();
        let undownsampled = done.lacks(block);
        if uncompacted || undownsampled {
            let group = groups.entry((block.meta.resolution(), &block.labels)).or_default();
            if uncompacted {
                oldest(&mut group.0, block.meta.max_time);
            }
            if undownsampled {
                oldest(&mut group.1, block.meta.max_time);
            }
        }
    }
    let waiting = |((resolution, labels), (uncompacted, undownsampled)): ((Millis, &LabelSet), _)| Waiting {
        group: format!("{resolution}@{}", labels.hash64()),
        labels: labels.to_string(),
        uncompacted,
        undownsampled,
    };
    groups.into_iter().map(waiting).collect()
}

/// Which sources there are at the lower resolutions.
struct Downsampled<'a> {
    five_minutes: HashSet<&'a BlockId>,
    one_hour: HashSet<&'a BlockId>,
}

impl<'a> Downsampled<'a> {
    fn of(blocks: &'a [CatalogBlock]) -> Self {
        let mut done = Downsampled { five_minutes: HashSet::new(), one_hour: HashSet::new() };
        for block in blocks {
            match block.meta.resolution() {
                0 => {}
                FIVE_MINUTES => done.five_minutes.extend(block.meta.sources()),
                _ => done.one_hour.extend(block.meta.sources()),
            }
        }
        done
    }

    /// Whether a block is long enough to be downsampled, may be, and is not.
    fn lacks(&self, block: &CatalogBlock) -> bool {
        let resolution = block.meta.resolution();
        let Some((_, from)) = DOWNSAMPLED_FROM.iter().find(|(of, _)| *of == resolution) else { return false };
        let done = if resolution == 0 { &self.five_minutes } else { &self.one_hour };
        block.no_downsample.is_none()
            && block.meta.max_time.saturating_sub(block.meta.min_time) >= *from
            && block.meta.sources().iter().any(|source| !done.contains(source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            group: block(1, 0, (0, 1), &[]).group_key(),
            labels: "{cluster=\"a\"}".to_owned(),
            uncompacted: Some(100 * HOUR),
            undownsampled: Some(96 * HOUR),
        };
        let five = block(1, FIVE_MINUTES, (0, 1), &[]).group_key();
        let five = Waiting { group: five, uncompacted: None, undownsampled: Some(340 * HOUR), ..raw.clone() };
        assert_eq!(waiting(&blocks), [raw, five]);

        let off = PassOptions { downsampling: false, ..PassOptions::default() };
        assert_eq!(todo(&blocks, &off, NOW), Todo::default());
        blocks.truncate(1);
        blocks[0].no_downsample = Some(Box::default());
        assert_eq!(waiting(&blocks), []);
    }
}
