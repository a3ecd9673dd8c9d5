//! What counts as the work of another compactor.

use std::collections::HashSet;

use super::*;
use crate::bucket::Object;
use crate::format::meta::Meta;

const START: Millis = 1_700_000_000_000;
const MINUTE: Millis = 60_000;

/// A merged block made `after` the start, in minutes; written to the bucket a second later.
fn block(after: i64, change: impl FnOnce(&mut Meta)) -> CatalogBlock {
    let made = START + after * MINUTE;
    let mut meta = Meta { ulid: BlockId::from_parts(made, 7), ..Meta::default() };
    meta.compaction.level = 2;
    meta.thanos.source = "compactor".to_owned();
    meta.thanos.labels = LabelSet::from_iter([("a", "1")]).into();
    change(&mut meta);
    let object = Object { key: format!("{}/meta.json", meta.ulid), len_bytes: 1, modified: made + 1000, etag: None };
    CatalogBlock {
        id: meta.ulid,
        labels: meta.thanos.labels.shared().cloned().unwrap_or_default(),
        meta: Arc::new(meta),
        objects: Arc::new([object]),
        deletion: None,
        no_compact: None,
        no_downsample: None,
    }
}

fn selection(blocks: Vec<CatalogBlock>) -> Selection {
    Selection { blocks, ..Selection::default() }
}

fn found(blocks: Vec<CatalogBlock>) -> usize {
    let own = Own::default();
    Rivals::find(&selection(Vec::new()), &own, START, LEFT_ALONE_FOR);
    Rivals::find(&selection(blocks), &own, START + 100 * MINUTE, LEFT_ALONE_FOR).count()
}

#[test]
fn fresh_blocks_of_a_compactor_are_anothers() {
    assert_eq!(found(vec![block(1, |_| {})]), 1);
    assert_eq!(found(vec![block(1, |m| m.compaction.level = 1)]), 0, "no compactor made it");
    assert_eq!(found(vec![block(1, |m| (m.compaction.level, m.thanos.downsample.resolution) = (1, 300_000))]), 1);
    for (source, count) in [("sidecar", 0), ("receive", 0), ("bucket.rewrite", 0), ("bucket.repair", 0), ("compactor.repair", 1)]
    {
        assert_eq!(found(vec![block(1, |m| m.thanos.source = source.to_owned())]), count, "{source}");
    }
}

#[test]
fn what_was_made_before_is_history() {
    assert_eq!(found(vec![block(-1, |_| {})]), 0, "listed late");
    assert_eq!(found(vec![block(-9, |m| m.thanos.upload_time = Timestamp::from_millis(START + MINUTE))]), 0);
    let mut restored = block(-9, |_| {});
    restored.objects = Arc::new([Object { modified: START + MINUTE, ..restored.objects[0].clone() }]);
    assert_eq!(found(vec![restored]), 0, "restored from a backup");
    // its merge began before we did, and ended after
    let mut late = block(-9, |m| m.thanos.upload_time = Timestamp::from_millis(START + 2 * MINUTE));
    late.objects = Arc::new([Object { modified: START + 3 * MINUTE, ..late.objects[0].clone() }]);
    assert_eq!(found(vec![late]), 1);
}

#[test]
fn what_was_there_at_the_first_look_is_history_whatever_clocks_say() {
    let own = Own::default();
    let ahead = || block(30, |_| {});
    assert_eq!(Rivals::find(&selection(vec![ahead()]), &own, START, LEFT_ALONE_FOR).count(), 0);
    assert_eq!(Rivals::find(&selection(vec![ahead()]), &own, START + MINUTE, LEFT_ALONE_FOR).count(), 0);
    let rivals = Rivals::find(&selection(vec![ahead(), block(31, |_| {})]), &own, START + MINUTE, LEFT_ALONE_FOR);
    assert_eq!(rivals.count(), 1);
}

#[test]
fn own_blocks_are_known_and_all_others_count_wherever_they_are() {
    let own = Own::default();
    Rivals::find(&Selection::default(), &own, START, LEFT_ALONE_FOR);
    let (ours, other) = (block(1, |_| {}), block(2, |_| {}));
    let covered = block(3, |m| m.thanos.labels = LabelSet::from_iter([("a", "2")]).into());
    own.writes(&format!("{}/meta.json", ours.id));
    let seen =
        Selection { blocks: vec![ours], marked: vec![other], duplicates: vec![(covered, BlockId::ZERO)], ..Selection::default() };
    assert_eq!(Rivals::find(&seen, &own, START + 5 * MINUTE, LEFT_ALONE_FOR).count(), 2);
}

#[test]
fn all_resolutions_of_the_labels_are_left_alone_for_a_time() {
    let other = LabelSet::from_iter([("a", "2")]);
    let rivals = Rivals::among(
        [block(5, |m| m.thanos.downsample.resolution = 300_000), block(9, |_| {}), block(2, |_| {})].iter(),
        START,
        LEFT_ALONE_FOR,
        |id| HashSet::<BlockId>::new().contains(&id),
    );
    let labels = LabelSet::from_iter([("a", "1")]);
    let end = START + 9 * MINUTE + LEFT_ALONE_FOR;
    assert_eq!(rivals.of(&labels, end - 1).map(|r| (r.made, r.until)), Some((START + 9 * MINUTE, end)));
    assert_eq!((rivals.of(&labels, end), rivals.of(&other, START)), (None, None));
    assert_eq!((rivals.at(end - 1).count(), rivals.at(end).count()), (1, 0));
    let text = rivals.of(&labels, START).unwrap().error().to_string();
    for part in [
        "another compactor works on this bucket",
        "level 2",
        r#"0@{a="1"}"#,
        "`compactor`",
        "2023-11-14T22:22:20Z",
        "stop",
        "2023-11-14T23:22:20Z",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}
