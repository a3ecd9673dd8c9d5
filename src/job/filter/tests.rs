//! Upstream's tables of each filter.

use super::*;
use crate::format::marks::{DeletionMark, NoCompactMark};
use crate::format::meta::Meta;
use crate::job::catalog::Partial;
use crate::model::Timestamp;

const MINUTE: Millis = 60_000;
const HOUR: Millis = 60 * MINUTE;

fn id(n: i64) -> BlockId {
    BlockId::from_parts(n, 0)
}

fn block(n: i64, change: impl FnOnce(&mut Meta)) -> CatalogBlock {
    let mut meta = Meta { ulid: id(n), version: 1, ..Meta::default() };
    change(&mut meta);
    CatalogBlock {
        id: id(n),
        labels: meta.thanos.labels.shared().cloned().unwrap_or_default(),
        meta: Arc::new(meta),
        objects: Arc::new([]),
        deletion: None,
        no_compact: None,
        no_downsample: None,
    }
}

fn numbers(blocks: &[CatalogBlock]) -> Vec<i64> {
    blocks.iter().map(|b| b.id.created()).collect()
}

#[test]
fn time_is_inclusive_at_both_ends() {
    let ranges = [(0, 1), (1, 10), (2, 30), (0, 30), (-1, 0), (20, 30)];
    let mut blocks: Vec<_> =
        (1..).zip(ranges).map(|(n, (min, max))| block(n, |m| (m.min_time, m.max_time) = (min, max))).collect();
    assert_eq!(by_time(&mut blocks, 1, 10), 2);
    assert_eq!(numbers(&blocks), [1, 2, 3, 4]);
}

#[test]
fn fresh_blocks_wait_unless_a_compactor_made_them() {
    let now = 1_000 * HOUR;
    let mut blocks = Vec::new();
    for (n, source) in ["", "sidecar", "receive", "bucket.repair", "compactor", "compactor.repair"].into_iter().enumerate() {
        let n = n as i64;
        blocks.push(block(now - 15 * MINUTE + n, |m| m.thanos.source = source.into()));
        blocks.push(block(now - 60 * MINUTE + n, |m| m.thanos.source = source.into()));
    }
    // young by its id, but uploaded long ago; old by its id, but uploaded just now
    blocks.push(block(now - 1, |m| m.thanos.upload_time = Timestamp::from_millis(now - 20 * HOUR)));
    blocks.push(block(now - 20 * HOUR, |m| m.thanos.upload_time = Timestamp::from_millis(now - 1)));
    let all = blocks.len();
    assert_eq!(by_age(&mut blocks.clone(), 0, now).len(), 0);
    assert_eq!(by_age(&mut blocks, 30 * MINUTE, now).len(), 4);
    assert_eq!(blocks.len(), all - 4);
    assert!(blocks.iter().any(|b| b.id == id(now - 1)));
    assert!(!blocks.iter().any(|b| b.id == id(now - 20 * HOUR)));
}

#[test]
fn replica_labels_go_and_something_stays() {
    let sets: [&[(&str, &str)]; 4] = [
        &[("message", "something")],
        &[("replica", "cluster1"), ("message", "something1")],
        &[("replica", "cluster1"), ("rule_replica", "rule1"), ("message", "something1")],
        &[("replica", "cluster1"), ("rule_replica", "rule1")],
    ];
    let make = || -> Vec<_> {
        let set = |labels: &[(&str, &str)]| LabelSet::from_iter(labels.iter().copied());
        (1..).zip(sets).map(|(n, labels)| block(n, |m| m.thanos.labels = set(labels).into())).collect()
    };
    let mut blocks = make();
    assert_eq!(remove_replica_labels(&mut blocks, &["replica".into(), "rule_replica".into()]), 5);
    let labels: Vec<String> = blocks.iter().map(|b| b.labels.to_string()).collect();
    assert_eq!(
        labels,
        [r#"{message="something"}"#, r#"{message="something1"}"#, r#"{message="something1"}"#, r#"{replica="deduped"}"#]
    );
    assert_eq!(blocks[3].meta.labels().len(), 2, "the meta stays as it is in the bucket");
    let mut blocks = make();
    assert_eq!(remove_replica_labels(&mut blocks, &[]), 0);
    assert_eq!(blocks[3].labels.len(), 2);
}

/// Blocks as `id{sources}@resolution`; answers with the ids that stay.
fn deduplicated(text: &str) -> Vec<i64> {
    let mut blocks: Vec<CatalogBlock> = text
        .split_whitespace()
        .map(|one| {
            let (n, rest) = one.split_once('{').unwrap();
            let (sources, resolution) = rest.split_once('}').unwrap();
            block(n.parse().unwrap(), |m| {
                m.compaction.sources = sources.split(',').filter(|s| !s.is_empty()).map(|s| id(s.parse().unwrap())).collect();
                m.thanos.downsample.resolution = resolution.strip_prefix('@').map_or(0, |r| r.parse().unwrap());
            })
        })
        .collect();
    blocks.sort_by_key(|b| b.id);
    let all = blocks.len();
    let gone = take_duplicates(&mut blocks);
    assert_eq!(gone.len() + blocks.len(), all);
    assert!(gone.iter().all(|(_, by)| blocks.iter().any(|b| b.id == *by)));
    numbers(&blocks)
}

#[test]
fn duplicates() {
    for (name, blocks, stay) in [
        ("X1", "1{1} 2{2} 3{3}", &[1, 2, 3][..]),
        ("X2", "6{6} 4{1,3,2} 5{5}", &[4, 5, 6]),
        ("X3", "3{1,2} 4{1,2} 5{5} 6{6}", &[3, 5, 6]),
        ("X4", "4{1,2} 5{1,3,2} 6{6}", &[5, 6]),
        ("X5", "1{1} 2{2} 3{3} 4{2,1,3} 6{6}", &[4, 6]),
        ("X6", "10{1,2,3} 11{6,4,5} 12{7,9,8} 13{1,2,3,4,5,6,7,8,9} 14{14} 1{1}", &[13, 14]),
        ("X7", "8{1,3,2,4} 1{1} 5{1,2} 6{1,3,2,4} 7{3,1,2}", &[6]),
        ("X8", "10{1,2,6,7} 1{1} 11{6,8,1,2}", &[10, 11]),
        ("X9", "10{6,7,1,2} 1{1} 5{1,2} 11{2,3,1}", &[10, 11]),
        ("X10", "1{1}@0 2{1}@1000 3{1}@10000", &[1, 2, 3]),
        ("X11", "1{1}@0 6{6}@10000 4{1,3,2}@0 5{2,3,1}@1000", &[4, 5, 6]),
        ("X12", "10{7,5,1,2}@0 12{6,7,1}@10000 1{1}@0 13{1}@10000 5{1,2}@0 11{2,3,1}@0", &[10, 11, 12]),
        ("no sources", "1{} 2{} 3{1,2}", &[1, 2, 3]),
    ] {
        assert_eq!(deduplicated(blocks), stay, "{name}");
    }
}

#[test]
fn duplicates_agree_with_the_naive_definition() {
    // 4 sources, every subset twice: what stays is the full set with the lower id
    let mut all = String::new();
    for n in 0..32i64 {
        let sources: Vec<String> = (0..4).filter(|s| (n % 16) >> s & 1 == 1).map(|s| (100 + s).to_string()).collect();
        all.push_str(&format!("{n}{{{}}} ", sources.join(",")));
    }
    assert_eq!(deduplicated(&all), [0, 15, 16]);
}

#[test]
fn labels_separate_duplicates() {
    let with = |n: i64, labels: &[(&str, &str)]| {
        block(n, |m| {
            m.thanos.labels = LabelSet::from_iter(labels.iter().copied()).into();
            m.compaction.sources = vec![id(1)];
        })
    };
    let mut blocks = vec![with(1, &[("a", "1")]), with(2, &[("a", "2")]), with(3, &[("a", "1")])];
    let gone = take_duplicates(&mut blocks);
    assert_eq!(numbers(&blocks), [1, 2]);
    assert_eq!(gone[0].1, id(1));
}

#[test]
fn a_block_to_be_deleted_makes_no_duplicates() {
    let mut compacted = block(10, |m| m.compaction.sources = vec![id(1), id(2)]);
    compacted.deletion = Some(DeletionMark::new(id(10), 0, "rolled back").into());
    let mut source = block(1, |m| m.compaction.sources = vec![id(1)]);
    source.no_compact = Some(NoCompactMark::new(id(1), 0, "manual", "").into());
    let blocks = vec![source, block(2, |m| m.compaction.sources = vec![id(2)]), compacted];
    let mut catalog = Catalog {
        blocks,
        partial: vec![Partial { id: id(20), why: PartialReason::NoMeta, objects: Arc::new([]), deletion: None }],
        ..Catalog::default()
    };
    let selection = select(&mut catalog, &PassOptions::default(), 1_000 * HOUR);
    assert_eq!(numbers(&selection.blocks), [1, 2]);
    assert_eq!(numbers(&selection.marked), [10]);
    assert!(selection.duplicates.is_empty());
    let states: Vec<(&str, usize)> = selection.states.iter().filter(|s| *s.1 > 0).map(|(s, &n)| (s.as_str(), n)).collect();
    assert_eq!(states, [("no-meta-json", 1), ("loaded", 2), ("marked-for-deletion", 1), ("marked-for-no-compact", 1)]);
}
