//! Blocks of a bucket in memory, their labels changed.

use std::sync::Arc;

use futures::TryStreamExt;
use object_store::memory::InMemory;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::bucket::faulty::{Faults, Faulty};
use crate::bucket::{Bucket, Tuning};
use crate::clock::ManualClock;
use crate::job::Silent;
use crate::job::catalog::{SyncOptions, Syncer};
use crate::model::parse_selector;

fn env(bucket: &Bucket) -> Env {
    Env {
        bucket: bucket.clone(),
        pool: Arc::new(rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap()),
        clock: ManualClock::new(1_767_600_000_000, 1),
        report: Arc::new(Silent),
        scratch: std::env::temp_dir(),
        cancel: CancellationToken::new(),
    }
}

fn id(n: u128) -> BlockId {
    BlockId::from_parts(n as i64, n)
}

/// A block of two hours that begin at hour `n`, of these labels and resolution, made of `sources`.
async fn put(bucket: &Bucket, n: u128, labels: &[(&str, &str)], resolution: i64, sources: &[u128]) {
    let begin = n as i64 / 10 * 3_600_000;
    let mut meta = Meta { ulid: id(n), min_time: begin, max_time: begin + 7_200_000, version: 1, ..Meta::default() };
    meta.compaction.sources = sources.iter().map(|&s| id(s)).collect();
    meta.thanos.version = 1;
    meta.thanos.labels = LabelSet::from_iter(labels.iter().copied()).into();
    meta.thanos.downsample.resolution = resolution;
    for (name, bytes) in [("index", vec![n as u8; 100]), ("chunks/000001", vec![1; 5]), (META_FILE, meta.encode())] {
        bucket.put(&format!("{}/{name}", id(n)), bytes.into()).await.unwrap();
    }
}

async fn look(bucket: &Bucket) -> Catalog {
    Syncer::new(bucket.clone(), SyncOptions::default()).sync().await.unwrap()
}

async fn planned(bucket: &Bucket, change: &Change, selector: &str) -> Result<Plan> {
    let choice = Choice::Matching { matchers: parse_selector(selector).unwrap(), min_time: i64::MIN, max_time: i64::MAX };
    plan(&look(bucket).await, change, &choice, &*ManualClock::new(1_767_600_000_000, 1))
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|&(a, b)| (a.to_owned(), b.to_owned())).collect()
}

async fn keys(bucket: &Bucket) -> Vec<String> {
    bucket.list("").map_ok(|o| o.key).try_collect().await.unwrap()
}

#[test]
fn labels_afterwards() {
    let labels = LabelSet::from_iter([("a", "1"), ("b", "2")]);
    let check = |rename: &[(&str, &str)], drop: &[&str], set: &[(&str, &str)]| {
        let drop = drop.iter().map(|&n| n.to_owned()).collect();
        let change = Change { rename: pairs(rename), drop, set: pairs(set) };
        change.apply(&labels).map(|l| l.to_string()).map_err(|e| e.kind())
    };
    assert_eq!(check(&[("a", "c")], &["b"], &[("d", "3")]).unwrap(), r#"{c="1", d="3"}"#);
    assert_eq!(check(&[("a", "c"), ("b", "a")], &["nope"], &[("a", "9")]).unwrap(), r#"{a="9", c="1"}"#);
    assert_eq!(check(&[("a", "b")], &[], &[]), Err(Kind::Conflict));
    assert_eq!(check(&[], &["a", "b"], &[]), Err(Kind::Invalid));
}

#[tokio::test]
async fn all_resolutions_change_together_and_nothing_else() {
    let bucket = Bucket::memory();
    let (a, b) = ([("cluster", "x"), ("replica", "a")], [("cluster", "y")]);
    put(&bucket, 10, &a, 0, &[1, 2]).await;
    put(&bucket, 11, &a, 300_000, &[1, 2]).await;
    put(&bucket, 30, &a, 0, &[3]).await;
    put(&bucket, 12, &b, 0, &[1]).await;
    mark::no_compact(&env(&bucket), id(11), "manual", "why").await.unwrap();
    let change = Change { drop: vec!["replica".into()], set: pairs(&[("cluster", "z")]), ..Change::default() };
    let catalog = look(&bucket).await;
    let one = plan(&catalog, &change, &Choice::Ids(vec![id(10)]), &*ManualClock::new(5, 1)).unwrap();
    assert_eq!(one.blocks.iter().map(|p| p.block.id).collect::<Vec<_>>(), [id(10), id(11)], "the other resolution comes along");

    let all = planned(&bucket, &change, r#"{cluster="x"}"#).await.unwrap();
    assert_eq!((all.blocks.len(), all.unchanged, all.blocks.iter().filter(|p| p.overlaps.is_some()).count()), (3, 0, 0));
    let before = keys(&bucket).await.len();
    let mut done = 0;
    run(&env(&bucket), &all, true, &mut |_| done += 1).await.unwrap();
    assert_eq!(done, 3);
    let after = look(&bucket).await;
    for planned in &all.blocks {
        let (old, new) = (after.block(planned.block.id).unwrap(), after.block(planned.id).unwrap());
        assert!(old.deletion.is_some() && old.no_compact.is_some());
        assert_eq!(new.labels.to_string(), r#"{cluster="z"}"#);
        assert_eq!((new.meta.time_range(), new.meta.sources()), (old.meta.time_range(), old.meta.sources()));
        assert_eq!(new.meta.resolution(), old.meta.resolution());
        assert_eq!(new.no_compact.as_ref().map(|m| m.details.clone()), (planned.block.id == id(11)).then(|| "why".to_owned()));
        for name in ["index", "chunks/000001"] {
            let (a, b) = (format!("{}/{name}", old.id), format!("{}/{name}", new.id));
            assert_eq!(bucket.get(&a, 100).await.unwrap(), bucket.get(&b, 100).await.unwrap());
        }
    }
    assert_eq!(keys(&bucket).await.len(), before + 3 * 3 + 1 + 3 + 2);
    assert!(after.block(id(12)).unwrap().no_compact.is_none());
    assert_eq!(planned(&bucket, &change, r#"{cluster="z"}"#).await.unwrap().unchanged, 3);
}

#[tokio::test]
async fn collisions_are_refused_and_overlaps_told() {
    let bucket = Bucket::memory();
    put(&bucket, 10, &[("r", "a")], 0, &[1]).await;
    put(&bucket, 11, &[("r", "b")], 0, &[1]).await;
    let to = |value| Change { set: pairs(&[("r", value)]), ..Change::default() };
    // onto one that is there, and two onto one another
    for (change, selector) in [(to("b"), r#"{r="a"}"#), (to("c"), "{r=~\"a|b\"}")] {
        let error = planned(&bucket, &change, selector).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict, "{error}");
        let text = error.to_string();
        for words in
            ["it would be another ", " of the same time and sources", "mark this block for deletion; else choose other labels"]
        {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
    put(&bucket, 12, &[("r", "c")], 0, &[7]).await;
    assert_eq!(planned(&bucket, &to("c"), r#"{r="a"}"#).await.unwrap().blocks[0].overlaps, Some(id(12)));
    // downsampled replicas: the blocks of five minutes of both were made of the same raw ones, or only overlap
    put(&bucket, 20, &[("r", "d")], 300_000, &[20]).await;
    put(&bucket, 21, &[("r", "e")], 300_000, &[20]).await;
    put(&bucket, 22, &[("r", "f")], 300_000, &[22]).await;
    let same = planned(&bucket, &to("g"), r#"{r=~"d|e"}"#).await.unwrap_err();
    assert_eq!((same.kind(), same.block_id()), (Kind::Conflict, Some(id(21))), "{same}");
    let apart = planned(&bucket, &to("g"), r#"{r=~"d|f"}"#).await.unwrap();
    assert_eq!(apart.blocks.iter().map(|p| p.overlaps).collect::<Vec<_>>(), [None, Some(id(20))]);
    let nobody = plan(&look(&bucket).await, &to("c"), &Choice::Ids(vec![id(99)]), &*ManualClock::new(5, 1));
    assert_eq!(nobody.unwrap_err().kind(), Kind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_crash_anywhere_leaves_each_block_whole_once() {
    let mut whole = 0;
    for crash_after in 0..40 {
        let store = Arc::new(InMemory::new());
        let bucket = Bucket::over(store.clone(), "", Tuning::default()).unwrap();
        put(&bucket, 10, &[("r", "a")], 0, &[1]).await;
        let change = Change { set: pairs(&[("r", "b")]), ..Change::default() };
        let plan = planned(&bucket, &change, "{r=\"a\"}").await.unwrap();
        let faulty = Faulty::new(store, Faults { crash_after: Some(crash_after), seed: crash_after, ..Faults::default() });
        let failing = Bucket::over(Arc::new(faulty), "", Tuning::default()).unwrap();
        let done = run(&env(&failing), &plan, true, &mut |_| {}).await;
        let after = look(&bucket).await;
        let old = after.block(id(10)).expect("never deleted");
        match after.block(plan.blocks[0].id) {
            Some(new) => {
                whole += 1;
                assert!(old.no_compact.is_some(), "{crash_after}: a compactor would take both");
                assert_eq!(new.objects.len(), 3, "{crash_after}");
            }
            None => assert!(done.is_err() && old.deletion.is_none(), "{crash_after}"),
        }
    }
    assert!((1..40).contains(&whole), "{whole}");
}
