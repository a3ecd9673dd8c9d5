//! Blocks of one group against one another: overlapping times, and compactions done twice.
//!
//! *Source*: Prometheus `tsdb/db.go` (which blocks overlap), Thanos `pkg/verifier` (what is said of them).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::finding::Check;
use crate::format::meta::Meta;
use crate::model::{BlockId, Millis};

/// Something found in a group.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct GroupFinding {
    /// What found it.
    pub check: Check,
    /// The group: resolution and hash of the labels.
    pub group: String,
    /// The time that all have in common.
    pub start: Millis,
    /// Where that time ends.
    pub end: Millis,
    /// The blocks, in order of their times; of duplicates those that could go.
    pub blocks: Vec<BlockId>,
    /// Whether the blocks are duplicates of a block that stays.
    pub duplicates: bool,
    /// The blocks in upstream's words.
    pub text: String,
}

/// Blocks that overlap, by the time that they have in common.
type Overlaps = BTreeMap<(Millis, Millis), Vec<Arc<Meta>>>;

/// Blocks of each group that overlap in time.
pub fn overlapped(metas: &[Arc<Meta>]) -> Vec<GroupFinding> {
    let mut out = Vec::new();
    for (group, overlaps) in overlaps_by_group(metas) {
        for (&(start, end), blocks) in &overlaps {
            let each: Vec<String> = blocks.iter().map(|m| shown(m)).collect();
            let range = whole_seconds(end.wrapping_sub(start));
            let text = format!("[mint: {start}, maxt: {end}, range: {range}, blocks: {}]: {}", blocks.len(), each.join(", "));
            out.push(finding(Check::OverlappedBlocks, &group, (start, end), blocks, false, text));
        }
    }
    out
}

/// Blocks of each group that overlap and have equal times, levels, sources and stats; and overlaps without any.
pub fn duplicated(metas: &[Arc<Meta>]) -> Vec<GroupFinding> {
    let mut out = Vec::new();
    for (group, overlaps) in overlaps_by_group(metas) {
        for (&range, blocks) in &overlaps {
            let sets = duplicates(blocks);
            for set in &sets {
                out.push(finding(Check::DuplicatedCompaction, &group, range, &set[1..], true, all_shown(&set[1..])));
            }
            if sets.is_empty() {
                out.push(finding(Check::DuplicatedCompaction, &group, range, blocks, false, all_shown(blocks)));
            }
        }
    }
    out
}

fn finding(
    check: Check,
    group: &str,
    (start, end): (Millis, Millis),
    blocks: &[Arc<Meta>],
    duplicates: bool,
    text: String,
) -> GroupFinding {
    let blocks = blocks.iter().map(|m| m.ulid).collect();
    GroupFinding { check, group: group.to_owned(), start, end, blocks, duplicates, text }
}

fn overlaps_by_group(metas: &[Arc<Meta>]) -> BTreeMap<String, Overlaps> {
    let mut groups: BTreeMap<String, Vec<Arc<Meta>>> = BTreeMap::new();
    for meta in metas {
        groups.entry(meta.group_key()).or_default().push(Arc::clone(meta));
    }
    groups
        .into_iter()
        .map(|(group, mut metas)| {
            metas.sort_by_key(|m| (m.min_time, m.ulid));
            (group, overlaps(&metas))
        })
        .filter(|(_, overlaps)| !overlaps.is_empty())
        .collect()
}

/// Runs of blocks, sorted by time, of which each overlaps those before it that have not ended.
fn overlaps(sorted: &[Arc<Meta>]) -> Overlaps {
    let mut runs: Vec<Vec<Arc<Meta>>> = Vec::new();
    let mut open: Vec<Arc<Meta>> = Vec::new();
    let mut goes_on = true;
    for block in sorted {
        let before = open.len();
        open.retain(|o| block.min_time < o.max_time);
        goes_on &= open.len() == before;
        if !open.is_empty() {
            match runs.last_mut() {
                Some(run) if goes_on => run.push(Arc::clone(block)),
                _ => {
                    runs.push(open.iter().chain([block]).cloned().collect());
                    goes_on = true;
                }
            }
        }
        open.push(Arc::clone(block));
    }
    // two runs may have the same time in common; as upstream, the later one is told
    runs.into_iter()
        .map(|run| {
            let start = run.iter().map(|m| m.min_time).fold(0, Millis::max);
            let end = run.iter().map(|m| m.max_time).fold(Millis::MAX, Millis::min);
            ((start, end), run)
        })
        .collect()
}

/// Sets of two and more blocks with equal times, levels, sources and stats.
fn duplicates(blocks: &[Arc<Meta>]) -> Vec<Vec<Arc<Meta>>> {
    let mut sets: Vec<Vec<Arc<Meta>>> = Vec::new();
    for block in blocks {
        match sets.iter_mut().find(|set| same(&set[0], block)) {
            Some(set) => set.push(Arc::clone(block)),
            None => sets.push(vec![Arc::clone(block)]),
        }
    }
    sets.retain(|set| set.len() > 1);
    sets
}

fn same(a: &Meta, b: &Meta) -> bool {
    let stats = |m: &Meta| {
        let s = &m.stats;
        [s.num_samples, s.num_float_samples, s.num_histogram_samples, s.num_series, s.num_chunks, s.num_tombstones]
    };
    a.time_range() == b.time_range()
        && a.compaction.level == b.compaction.level
        && a.compaction.sources == b.compaction.sources
        && stats(a) == stats(b)
}

fn shown(m: &Meta) -> String {
    let range = whole_seconds(m.max_time.wrapping_sub(m.min_time));
    format!("<ulid: {}, mint: {}, maxt: {}, range: {range}>", m.ulid, m.min_time, m.max_time)
}

fn all_shown(metas: &[Arc<Meta>]) -> String {
    let each: Vec<String> = metas.iter().map(|m| shown(m)).collect();
    format!("blocks: {}, [{}]", metas.len(), each.join(","))
}

/// A length of time, cut to seconds, as Go prints it: `2h0m0s`.
fn whole_seconds(len_ms: Millis) -> String {
    let seconds = len_ms / 1000;
    let sign = if seconds < 0 { "-" } else { "" };
    let s = seconds.unsigned_abs();
    match s {
        0..60 => format!("{sign}{s}s"),
        60..3600 => format!("{sign}{}m{}s", s / 60, s % 60),
        _ => format!("{sign}{}h{}m{}s", s / 3600, s / 60 % 60, s % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(n: u128, min_time: Millis, max_time: Millis) -> Meta {
        let mut meta = Meta { ulid: BlockId::from_parts(n as i64, n), min_time, max_time, ..Meta::default() };
        meta.compaction.sources = vec![BlockId::from_parts(1, 1)];
        meta
    }

    fn check(blocks: &[(Millis, Millis)], expected: &[(Millis, Millis, &[u128])]) {
        let metas: Vec<Arc<Meta>> = blocks.iter().zip(1..).map(|(&(a, b), n)| Arc::new(meta(n, a, b))).collect();
        let found = overlapped(&metas);
        let found: Vec<(Millis, Millis, Vec<u128>)> =
            found.iter().map(|f| (f.start, f.end, f.blocks.iter().map(|b| b.as_u128() & 0xffff).collect())).collect();
        let expected: Vec<_> = expected.iter().map(|&(a, b, ids)| (a, b, ids.to_vec())).collect();
        assert_eq!(found, expected, "{blocks:?}");
    }

    #[test]
    fn which_blocks_overlap() {
        check(&[(0, 10), (10, 20), (20, 30)], &[]);
        check(&[(0, 10), (5, 15)], &[(5, 10, &[1, 2])]);
        check(&[(0, 10), (0, 10), (0, 10)], &[(0, 10, &[1, 2, 3])]);
        check(&[(0, 10), (5, 15), (12, 20)], &[(5, 10, &[1, 2]), (12, 15, &[2, 3])]);
        check(&[(0, 100), (10, 20), (30, 40)], &[(10, 20, &[1, 2]), (30, 40, &[1, 3])]);
        check(&[(30, 40), (0, 35)], &[(30, 35, &[2, 1])]);
    }

    #[test]
    fn words_as_upstream_has_them() {
        let metas = [Arc::new(meta(1, 0, 7_200_000)), Arc::new(meta(2, 3_600_000, 10_800_999))];
        let [a, b] = [metas[0].ulid, metas[1].ulid];
        assert_eq!(
            overlapped(&metas)[0].text,
            format!(
                "[mint: 3600000, maxt: 7200000, range: 1h0m0s, blocks: 2]: <ulid: {a}, mint: 0, maxt: 7200000, range: 2h0m0s>, \
                 <ulid: {b}, mint: 3600000, maxt: 10800999, range: 2h0m0s>"
            )
        );
        assert_eq!((whole_seconds(-61_999), whole_seconds(999)), ("-1m1s".into(), "0s".into()));
    }

    #[test]
    fn duplicates_are_equal_in_all_that_counts() {
        let first = meta(1, 0, 10);
        let copies = |change: fn(&mut Meta)| {
            let mut other = meta(2, 0, 10);
            change(&mut other);
            let found = duplicated(&[Arc::new(first.clone()), Arc::new(other)]);
            (found.len(), found[0].duplicates)
        };
        assert_eq!(copies(|_| {}), (1, true));
        assert_eq!(copies(|m| m.min_time = 1), (1, false));
        assert_eq!(copies(|m| m.stats.num_tombstones = 1), (1, false));
        assert_eq!(copies(|m| m.compaction.level = 7), (1, false));
        assert_eq!(copies(|m| m.compaction.sources.push(BlockId::from_parts(9, 9))), (1, false));
        // the first stays, the others could go
        let all: Vec<Arc<Meta>> = [(1, 10), (2, 10), (3, 10), (4, 9)].iter().map(|&(n, end)| Arc::new(meta(n, 0, end))).collect();
        let found = duplicated(&all);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].blocks, [all[1].ulid, all[2].ulid]);
    }
}
