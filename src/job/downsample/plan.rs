//! Which blocks are downsampled, and which never will be, as a value.
//!
//! *Source*: Thanos `cmd/thanos/downsample.go`, with two differences: a block with a no-downsample mark still
//! counts as what its sources became, so that they are not downsampled again beside it; and a raw block that
//! is due for both levels is read once.

use std::collections::HashSet;
use std::fmt;

use rustc_hash::FxHashMap;
use serde::Serialize;

use crate::job::catalog::CatalogBlock;
use crate::job::plan::duration_text;
use crate::model::{BlockId, LabelSet, Millis};
use crate::series::aggregate::{FIVE_MINUTES, ONE_HOUR};

/// A raw block of this length or longer becomes one of five minutes (milliseconds).
pub const LENGTH_FOR_FIVE_MINUTES: Millis = 40 * 3_600_000;
/// A block of this length or longer becomes one of an hour (milliseconds).
pub const LENGTH_FOR_ONE_HOUR: Millis = 10 * 24 * 3_600_000;

/// From which length on blocks are downsampled (milliseconds).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongEnough {
    /// Raw blocks, to five minutes.
    pub five: Millis,
    /// To an hour.
    pub hour: Millis,
}

impl Default for LongEnough {
    fn default() -> Self {
        LongEnough { five: LENGTH_FOR_FIVE_MINUTES, hour: LENGTH_FOR_ONE_HOUR }
    }
}

impl LongEnough {
    /// For the next coarser level of blocks of `resolution`; `None` for the coarsest.
    pub fn of(self, resolution: Millis) -> Option<Millis> {
        match resolution {
            0 => Some(self.five),
            FIVE_MINUTES => Some(self.hour),
            _ => None,
        }
    }
}

/// Which levels are made of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    /// Five minutes.
    pub five: bool,
    /// An hour.
    pub hour: bool,
}

impl Levels {
    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self == Levels::default()
    }

    /// The resolutions in milliseconds, finer first.
    pub fn resolutions(self) -> Vec<Millis> {
        let all = [(self.five, FIVE_MINUTES), (self.hour, ONE_HOUR)];
        all.into_iter().filter(|l| l.0).map(|l| l.1).collect()
    }
}

/// Which sources blocks of five minutes and of an hour were made of, over all groups together.
#[derive(Clone, Debug, Default)]
pub struct Covered {
    five: HashSet<BlockId>,
    hour: HashSet<BlockId>,
}

impl Covered {
    /// By `blocks`.
    pub fn by<'a>(blocks: impl IntoIterator<Item = &'a CatalogBlock>) -> Self {
        let mut covered = Covered::default();
        blocks.into_iter().for_each(|block| covered.add(block));
        covered
    }

    /// One more.
    pub fn add(&mut self, block: &CatalogBlock) {
        self.add_sources(block.meta.resolution(), block.meta.sources());
    }

    /// Has `sources` count as made into samples of `resolution`.
    pub fn add_sources(&mut self, resolution: Millis, sources: &[BlockId]) {
        match resolution {
            FIVE_MINUTES => self.five.extend(sources),
            ONE_HOUR => self.hour.extend(sources),
            _ => {}
        }
    }

    /// Whether there are samples of `resolution` of all of `sources`; of none there are none.
    pub fn has(&self, resolution: Millis, sources: &[BlockId]) -> bool {
        let level = if resolution == FIVE_MINUTES { &self.five } else { &self.hour };
        !sources.is_empty() && sources.iter().all(|source| level.contains(source))
    }

    /// Which levels of a block of this resolution and these sources are not there yet, however long it is.
    pub fn lacks(&self, resolution: Millis, sources: &[BlockId]) -> Levels {
        let without = |level: &HashSet<BlockId>| sources.iter().any(|s| !level.contains(s));
        match resolution {
            0 if without(&self.five) => Levels { five: true, hour: without(&self.hour) },
            FIVE_MINUTES => Levels { five: false, hour: without(&self.hour) },
            _ => Levels::default(),
        }
    }

    /// Which levels are to be made of a block of this resolution, length and these sources.
    pub fn due(&self, resolution: Millis, length: Millis, sources: &[BlockId], long: LongEnough) -> Levels {
        let lacks = self.lacks(resolution, sources);
        Levels { five: lacks.five && length >= long.five, hour: lacks.hour && length >= long.hour }
    }
}

/// A block that is downsampled.
#[derive(Clone, Debug)]
pub struct Due {
    /// The block.
    pub block: CatalogBlock,
    /// What is made of it.
    pub levels: Levels,
}

/// A downsampling as a plan shows it.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedDownsample {
    /// The block that is read.
    pub block: BlockId,
    /// Milliseconds between its samples, 0 for raw.
    pub from: Millis,
    /// Milliseconds between the samples of the blocks that are written, finer first.
    pub to: Vec<Millis>,
    /// External labels.
    pub labels: LabelSet,
    /// First millisecond.
    pub min_time: Millis,
    /// First millisecond behind.
    pub max_time: Millis,
    /// Bytes that are read.
    pub bytes_in: u64,
}

/// A block of which a level is not there and will not be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Never {
    /// The block.
    pub block: BlockId,
    /// Milliseconds between its samples, 0 for raw.
    pub from: Millis,
    /// Milliseconds between samples of the level.
    pub to: Millis,
    /// Why not.
    #[serde(flatten)]
    pub why: WhyNever,
}

/// Why a level of a block is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "because")]
pub enum WhyNever {
    /// It is marked against it.
    Marked,
    /// It is too short, and marked against becoming longer.
    ShortAndNoCompact {
        /// The length it would need (milliseconds).
        needs: Millis,
    },
    /// It is too short, and no range of the planner is long enough.
    ShortForTheRanges {
        /// The length it would need (milliseconds).
        needs: Millis,
    },
    /// It is too short, and all that lies in its window would not be long enough together.
    ShortAndAlone {
        /// The length it would need (milliseconds).
        needs: Millis,
    },
    /// Nothing is known of its resolution.
    Resolution,
}

impl fmt::Display for WhyNever {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            WhyNever::Marked => f.write_str("it is marked no-downsample"),
            WhyNever::ShortAndNoCompact { needs } => {
                write!(f, "it is shorter than {} and marked no-compact", duration_text(needs))
            }
            WhyNever::ShortForTheRanges { needs } => {
                write!(f, "it is shorter than {}, and --debug.max-compaction-level allows no longer one", duration_text(needs))
            }
            WhyNever::ShortAndAlone { needs } => {
                write!(f, "it is shorter than {}, and so are all blocks of its window together", duration_text(needs))
            }
            WhyNever::Resolution => f.write_str("its resolution is none of raw, 5m, 1h"),
        }
    }
}

/// What is to be downsampled among `blocks`, in order of ids, and what never will be. `ranges` are the
/// planner's lengths, as far as compaction goes on; none where it does not.
pub fn plan(blocks: &[CatalogBlock], ranges: &[Millis], long: LongEnough) -> (Vec<Due>, Vec<Never>) {
    let covered = Covered::by(blocks);
    let windows = Windows::of(blocks);
    let (mut due, mut never) = (Vec::new(), Vec::new());
    for block in blocks {
        let resolution = block.meta.resolution();
        let lacks = covered.lacks(resolution, block.meta.sources());
        let levels = covered.due(resolution, block.meta.time_range().len_ms(), block.meta.sources(), long);
        let not = |to, why| Never { block: block.id, from: resolution, to, why };
        if ![0, FIVE_MINUTES, ONE_HOUR].contains(&resolution) {
            never.push(not(0, WhyNever::Resolution));
            continue;
        }
        if block.no_downsample.is_some() {
            never.extend(lacks.resolutions().into_iter().map(|to| not(to, WhyNever::Marked)));
            continue;
        }
        if !levels.is_empty() {
            due.push(Due { block: block.clone(), levels });
        }
        for to in lacks.resolutions() {
            let (is_due, needs) = match to {
                FIVE_MINUTES => (levels.five, long.five),
                _ => (levels.hour, long.hour),
            };
            // a level can also be made of the finer one once that is there and has grown
            if !is_due && let Some(why) = windows.why_short(block, needs, ranges) {
                never.push(not(to, why));
            }
        }
    }
    due.sort_by_key(|d| d.block.id);
    never.sort_by_key(|n| (n.block, n.to));
    (due, never)
}

/// Blocks by group, to say what can still grow.
struct Windows<'a> {
    groups: FxHashMap<(Millis, &'a LabelSet), Vec<&'a CatalogBlock>>,
}

impl<'a> Windows<'a> {
    fn of(blocks: &'a [CatalogBlock]) -> Self {
        let mut groups: FxHashMap<_, Vec<&CatalogBlock>> = FxHashMap::default();
        for block in blocks {
            groups.entry((block.meta.resolution(), &*block.labels)).or_default().push(block);
        }
        Windows { groups }
    }

    /// Why a block that is shorter than `needs` will not grow; `None` while it may.
    fn why_short(&self, block: &CatalogBlock, needs: Millis, ranges: &[Millis]) -> Option<WhyNever> {
        if block.meta.time_range().len_ms() >= needs {
            return None;
        }
        if block.no_compact.is_some() {
            return Some(WhyNever::ShortAndNoCompact { needs });
        }
        let Some(&range) = ranges.iter().find(|&&range| range >= needs) else {
            return Some(WhyNever::ShortForTheRanges { needs });
        };
        let start = block.meta.min_time.div_euclid(range).saturating_mul(range);
        let end = start.saturating_add(range);
        let group = self.groups.get(&(block.meta.resolution(), &*block.labels))?;
        let newest = group.iter().map(|b| b.meta.min_time).max()?;
        if newest < end {
            return None; // more may come
        }
        let inside = |b: &&&CatalogBlock| b.meta.min_time >= start && b.meta.max_time <= end && b.no_compact.is_none();
        let together = group.iter().filter(inside).map(|b| b.meta.time_range()).reduce(crate::model::TimeRange::union);
        (together.is_none_or(|t| t.len_ms() < needs)).then_some(WhyNever::ShortAndAlone { needs })
    }
}

impl Due {
    /// Why it is downsampled, for people.
    pub fn why(&self) -> String {
        let levels: Vec<String> = self.levels.resolutions().into_iter().map(duration_text).collect();
        let length = duration_text(self.block.meta.time_range().len_ms());
        format!("it is {length} long, and there are no samples of {} of it", levels.join(" and "))
    }

    /// As a plan shows it.
    pub fn show(&self) -> PlannedDownsample {
        let meta = &self.block.meta;
        PlannedDownsample {
            block: self.block.id,
            from: meta.resolution(),
            to: self.levels.resolutions(),
            labels: LabelSet::clone(&self.block.labels),
            min_time: meta.min_time,
            max_time: meta.max_time,
            bytes_in: self.block.bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::format::meta::Meta;

    const HOUR: Millis = 3_600_000;
    const DAY: Millis = 24 * HOUR;
    const RANGES: [Millis; 5] = [HOUR, 2 * HOUR, 8 * HOUR, 2 * DAY, 14 * DAY];

    fn block(n: i64, resolution: Millis, days: (f64, f64), sources: &[i64]) -> CatalogBlock {
        let mut meta = Meta { ulid: BlockId::from_parts(n, 0), ..Meta::default() };
        (meta.min_time, meta.max_time) = ((days.0 * DAY as f64) as Millis, (days.1 * DAY as f64) as Millis);
        meta.thanos.downsample.resolution = resolution;
        meta.compaction.sources = sources.iter().map(|&s| BlockId::from_parts(s, 0)).collect();
        CatalogBlock {
            id: meta.ulid,
            meta: Arc::new(meta),
            labels: Arc::default(),
            objects: Arc::new([]),
            deletion: None,
            no_compact: None,
            no_downsample: None,
        }
    }

    fn marked(mut block: CatalogBlock, compact: bool, downsample: bool) -> CatalogBlock {
        use crate::format::marks::{NoCompactMark, NoDownsampleMark};
        block.no_compact = compact.then(|| Box::new(NoCompactMark::new(block.id, 0, "manual", "")));
        block.no_downsample = downsample.then(|| Box::new(NoDownsampleMark::new(block.id, 0, "manual", "")));
        block
    }

    type Dues = Vec<(i64, Vec<i64>)>;
    type Nevers = Vec<(i64, i64, String)>;

    /// Due blocks with their targets in minutes, and what never comes.
    fn check(blocks: &[CatalogBlock]) -> (Dues, Nevers) {
        let (due, never) = plan(blocks, &RANGES, LongEnough::default());
        let minutes = |l: Levels| l.resolutions().into_iter().map(|r| r / 60_000).collect();
        (
            due.iter().map(|d| (d.block.id.created(), minutes(d.levels))).collect(),
            never.iter().map(|n| (n.block.created(), n.to / 60_000, n.why.to_string())).collect(),
        )
    }

    #[test]
    fn length_decides_and_not_age() {
        let forty = 40.0 / 24.0;
        let (due, _) = check(&[
            block(1, 0, (0.0, forty), &[1]),
            block(2, 0, (10.0, 10.0 + forty - 0.001), &[2]),
            block(3, 0, (20.0, 30.0), &[3]),
            block(4, 0, (40.0, 49.999), &[4]),
            block(5, FIVE_MINUTES, (60.0, 70.0), &[5]),
            block(6, FIVE_MINUTES, (80.0, 89.0), &[6]),
        ]);
        assert_eq!(due, [(1, vec![5]), (3, vec![5, 60]), (4, vec![5]), (5, vec![60])]);
    }

    #[test]
    fn sources_count_over_all_blocks() {
        let (due, _) = check(&[
            block(1, 0, (0.0, 14.0), &[1, 2, 3]),
            block(2, FIVE_MINUTES, (0.0, 2.0), &[1, 2]),
            block(3, FIVE_MINUTES, (2.0, 14.0), &[3]),
            block(4, 0, (14.0, 28.0), &[1, 4]),
            block(5, ONE_HOUR, (0.0, 14.0), &[3, 1, 4]),
        ]);
        // 1 has all of its five minutes; 4 not, but its hours
        assert_eq!(due, [(4, vec![5])]);
    }

    #[test]
    fn marks_are_kept_and_what_is_marked_still_counts() {
        let (due, never) = check(&[
            marked(block(1, 0, (0.0, 14.0), &[1]), false, true),
            block(2, 0, (14.0, 28.0), &[2]),
            marked(block(3, FIVE_MINUTES, (14.0, 28.0), &[2]), false, true),
        ]);
        assert_eq!(due, []);
        let said = "it is marked no-downsample".to_owned();
        assert_eq!(never, [(1, 5, said.clone()), (1, 60, said.clone()), (3, 60, said)]);
    }

    #[test]
    fn what_can_never_come_is_said() {
        let (due, never) = check(&[
            marked(block(1, 0, (0.0, 0.5), &[1]), true, false),
            block(2, 0, (4.0, 4.5), &[2]),
            block(3, 0, (5.0, 5.1), &[3]),
            block(4, 0, (28.0, 28.5), &[4]),
            block(5, 0, (28.5, 29.9), &[5]),
            block(6, 0, (30.0, 30.1), &[6]),
            block(7, 1000, (0.0, 14.0), &[7]),
        ]);
        assert_eq!(due, []);
        let text = |n: usize| (never[n].0, never[n].1, &*never[n].2);
        assert_eq!(text(0), (1, 5, "it is shorter than 1d16h and marked no-compact"));
        assert_eq!(text(2), (2, 5, "it is shorter than 1d16h, and so are all blocks of its window together"));
        assert!(!never.iter().any(|n| n.0 == 5 || n.0 == 6), "they may grow: {never:?}");
        assert_eq!(never.last().unwrap().2, "its resolution is none of raw, 5m, 1h");
        let (_, short) = plan(&[block(1, 0, (0.0, 0.5), &[1])], &RANGES[..3], LongEnough::default());
        assert!(short[0].why.to_string().contains("--debug.max-compaction-level"), "{short:?}");
    }
}
