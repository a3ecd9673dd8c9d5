//! Repairs of real blocks, held to what a real Thanos made of them, and nothing lost on the way.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::memory::InMemory;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::bucket::Tuning;
use crate::bucket::faulty::{Faults, Faulty};
use crate::clock::ManualClock;
use crate::format::marks::DeletionMark;
use crate::format::meta::Meta;
use crate::job::Silent;
use crate::job::catalog::{SyncOptions, Syncer};
use crate::job::pass::{self, Engine, PassOptions};
use crate::job::verify;

/// A real block with the damage of this name in its index.
fn damaged(name: &str) -> (Meta, Vec<(String, Vec<u8>)>) {
    let read = |file: &str| {
        let path = format!("{}/testdata/damage/{name}/{file}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
    };
    let files = vec![("index".to_owned(), read("index")), ("chunks/000001".to_owned(), read("000001"))];
    (Meta::decode(&read("meta.json")).unwrap(), files)
}

async fn fill(bucket: &Bucket, meta: &Meta, files: &[(String, Vec<u8>)]) {
    for (name, bytes) in files.iter().cloned().chain([("meta.json".to_owned(), meta.encode())]) {
        bucket.put(&format!("{}/{name}", meta.ulid), Bytes::from(bytes)).await.unwrap();
    }
}

async fn contents(bucket: &Bucket) -> BTreeMap<String, Bytes> {
    let keys: Vec<String> = bucket.list("").map_ok(|o| o.key).try_collect().await.unwrap();
    let mut all = BTreeMap::new();
    for key in keys {
        all.insert(key.clone(), bucket.get(&key, 1 << 30).await.unwrap());
    }
    all
}

fn env(bucket: &Bucket) -> Env {
    Env {
        bucket: bucket.clone(),
        pool: Arc::new(rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap()),
        clock: ManualClock::new(1_767_600_000_000, 1),
        report: Arc::new(Silent),
        scratch: std::env::temp_dir(),
        cancel: CancellationToken::new(),
    }
}

/// Repairs with the block that took a place, or why there is none.
type Done = Vec<(Planned, std::result::Result<Option<BlockId>, String>)>;

/// Looks, plans and repairs; what came of each.
async fn repair(bucket: &Bucket, checks: &[Check], options: &Options) -> Done {
    let env = env(bucket);
    let catalog = Syncer::new(bucket.clone(), SyncOptions::default()).sync().await.unwrap();
    let all = verify::Options { checks: checks.to_vec(), ids: vec![], since: None, bytes_per_second: None, state: None };
    let found = verify::run(&env, &catalog, &all, &mut |_| {}).await.unwrap();
    let mut done = Vec::new();
    let mut hear = |planned: &Planned, outcome: &Outcome| {
        let outcome = match outcome {
            Outcome::Replaced(new) => Ok(Some(*new)),
            Outcome::Removed => Ok(None),
            Outcome::Failed(error) => Err(error.to_string()),
        };
        done.push((planned.clone(), outcome));
    };
    run(&env, &catalog, &plan(&catalog, &found), options, &mut hear).await.unwrap();
    done
}

fn below(all: &BTreeMap<String, Bytes>, id: BlockId) -> BTreeMap<String, Bytes> {
    let folder = format!("{id}/");
    all.iter().filter_map(|(key, bytes)| Some((key.strip_prefix(&folder)?.to_owned(), bytes.clone()))).collect()
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

#[tokio::test]
async fn blocks_are_what_a_real_thanos_made_of_them() {
    for name in ["issue-347", "complete-outside-chunks"] {
        for delete_delay in [48 * 3_600_000, 0] {
            let (bucket, to) = (Bucket::memory(), Bucket::memory());
            let (meta, files) = damaged(name);
            fill(&bucket, &meta, &files).await;
            let before = contents(&bucket).await;
            let done = repair(&bucket, &[Check::IndexKnownIssues], &Options { backup: to.clone(), delete_delay }).await;
            let new = done[0].1.clone().unwrap_or_else(|e| panic!("{name}: {e}")).expect("a new block");
            assert_eq!(contents(&to).await, before, "{name}: a backup byte for byte");

            let after = contents(&bucket).await;
            let made = below(&after, new);
            assert_eq!(hex(&made["index"]), "65d0daf48333c415aa202693f0202eab4c48119eef63cc0a97c2351600c81b1c", "{name}");
            assert_eq!(hex(&made["chunks/000001"]), "21daa6ae19e008f746c0151f0d480c655c20506262409980600fc75fadbc87ab", "{name}");
            let made = Meta::decode(&made["meta.json"]).unwrap();
            assert_eq!((made.thanos.source.as_str(), made.ulid), ("bucket.repair", new));
            assert_eq!((made.stats.num_series, made.stats.num_chunks, made.stats.num_samples), (60, 180, 21_600));
            assert_eq!((made.min_time, made.max_time, made.sources()), (meta.min_time, meta.max_time, meta.sources()));
            assert_eq!(made.labels(), meta.labels());

            let mut old = below(&after, meta.ulid);
            if delete_delay == 0 {
                assert!(old.is_empty(), "deleted, and no mark left behind: {:?}", old.keys());
            } else {
                let mark = DeletionMark::decode(&old.remove("deletion-mark.json").expect("a mark")).unwrap();
                assert_eq!((mark.id, mark.details.as_str()), (meta.ulid, "manual verify-repair"));
                assert_eq!(old, below(&before, meta.ulid), "{name}: not touched");
            }
        }
    }
}

#[tokio::test]
async fn what_cannot_be_repaired_stays_and_leaves_no_backup() {
    for (name, words) in [("outside-chunks", "in part"), ("at-max-time", ""), ("sound", "")] {
        let (bucket, to) = (Bucket::memory(), Bucket::memory());
        let (meta, files) = damaged(name);
        fill(&bucket, &meta, &files).await;
        let before = contents(&bucket).await;
        let done = repair(&bucket, &[Check::IndexKnownIssues], &Options { backup: to.clone(), delete_delay: 0 }).await;
        assert_eq!(done.len(), usize::from(!words.is_empty()), "{name}");
        for (_, outcome) in done {
            let error = outcome.unwrap_err();
            assert!(error.contains(words) && error.contains("chunks/000001 at byte "), "{name}: {error}");
        }
        assert_eq!(contents(&bucket).await, before, "{name}");
        assert!(contents(&to).await.is_empty(), "{name}");
    }
}

#[tokio::test]
async fn a_downsampled_block_is_left_alone() {
    let (bucket, to) = (Bucket::memory(), Bucket::memory());
    let (mut meta, files) = damaged("issue-347");
    meta.thanos.downsample.resolution = 300_000;
    fill(&bucket, &meta, &files).await;
    let done = repair(&bucket, &[Check::IndexKnownIssues], &Options { backup: to.clone(), delete_delay: 0 }).await;
    assert!(done[0].1.clone().unwrap_err().contains("downsampled blocks cannot be repaired"));
    assert_eq!(done[0].0.to_string().split_once(": leave, ").map(|p| p.0), Some(&*format!("{} index_known_issues", meta.ulid)));
    assert!(contents(&to).await.is_empty());
}

#[tokio::test]
async fn a_backup_that_is_there_stops_the_repair() {
    let (bucket, to) = (Bucket::memory(), Bucket::memory());
    let (meta, files) = damaged("issue-347");
    fill(&bucket, &meta, &files).await;
    to.put(&format!("{}/chunks/000001", meta.ulid), "x".into()).await.unwrap();
    let before = contents(&bucket).await;
    // the bucket is no backup of itself either
    for to in [&to, &bucket] {
        let done = repair(&bucket, &[Check::IndexKnownIssues], &Options { backup: to.clone(), delete_delay: 0 }).await;
        assert!(done[0].1.clone().unwrap_err().contains("seems to exists in backup bucket"), "{done:?}");
        assert_eq!(contents(&bucket).await, before);
    }
    let env = env(&bucket);
    let nobody = BlockId::from_parts(1, 1);
    assert_eq!(check_backup(&env, nobody, &to).await.unwrap_err().kind(), Kind::Corrupt);
}

#[tokio::test]
async fn of_blocks_compacted_twice_one_stays() {
    let (bucket, to) = (Bucket::memory(), Bucket::memory());
    let (first, files) = damaged("sound");
    let mut ids = Vec::new();
    for n in 0..3 {
        let mut meta = first.clone();
        meta.ulid = BlockId::from_parts(first.ulid.created() + n, 7);
        meta.max_time += if n == 2 { 1 } else { 0 };
        fill(&bucket, &meta, &files).await;
        ids.push(meta.ulid);
    }
    let before = contents(&bucket).await;
    let checks = [Check::DuplicatedCompaction];
    let done = repair(&bucket, &checks, &Options { backup: to.clone(), delete_delay: 0 }).await;
    assert_eq!(done.iter().map(|(p, o)| (p.block, o.clone())).collect::<Vec<_>>(), [(ids[1], Ok(None))]);
    let after = contents(&bucket).await;
    assert_eq!((below(&after, ids[0]), below(&after, ids[2])), (below(&before, ids[0]), below(&before, ids[2])));
    assert!(below(&after, ids[1]).is_empty());
    assert_eq!(below(&contents(&to).await, ids[1]), below(&before, ids[1]));
}

#[tokio::test(start_paused = true)]
async fn a_backup_that_fails_changes_nothing() {
    let (meta, files) = damaged("issue-347");
    let mut failed = 0;
    for crash_after in 0..30 {
        let bucket = Bucket::memory();
        fill(&bucket, &meta, &files).await;
        let before = contents(&bucket).await;
        let faulty = Faulty::new(Arc::new(InMemory::new()), Faults { crash_after: Some(crash_after), ..Faults::default() });
        let to = Bucket::over(Arc::new(faulty.clone()), "", Tuning::default()).unwrap();
        let done = repair(&bucket, &[Check::IndexKnownIssues], &Options { backup: to, delete_delay: 0 }).await;
        let held = contents(&Bucket::over(faulty.store(), "", Tuning::default()).unwrap()).await;
        match &done[0].1 {
            Err(_) => {
                failed += 1;
                assert_eq!(contents(&bucket).await, before, "after {crash_after} operations");
            }
            Ok(_) => assert_eq!(held, before, "after {crash_after} operations"),
        }
    }
    assert!((5..30).contains(&failed), "{failed}");
}

#[tokio::test]
async fn a_compactor_repairs_issue_347_by_itself() {
    let bucket = Bucket::memory();
    let (broken, files) = damaged("issue-347");
    fill(&bucket, &broken, &files).await;
    let (mut other, files) = damaged("at-max-time");
    other.ulid = BlockId::from_parts(broken.ulid.created() + 1, 1);
    other.compaction.sources = vec![other.ulid];
    fill(&bucket, &other, &files).await;
    let options = PassOptions { consistency_delay: 0, downsampling: false, vertical: true, ..PassOptions::default() };
    let result = pass::run(&env(&bucket), &options, &Engine).await.unwrap();
    assert!(result.is_clean(), "{result:?}");
    let [(old, Some(new))] = result.repaired[..] else { panic!("{:?}", result.repaired) };
    assert_eq!(old, broken.ulid);
    assert_eq!(result.compacted.len(), 1, "{result:?}");
    assert!(result.compacted[0].inputs.contains(&new) && result.compacted[0].inputs.contains(&other.ulid), "{result:?}");
    let after = contents(&bucket).await;
    let mark = DeletionMark::decode(&after[&format!("{old}/deletion-mark.json")]).unwrap();
    assert_eq!(mark.details, "source of repaired block");
    assert_eq!(Meta::decode(&after[&format!("{new}/meta.json")]).unwrap().thanos.source, "compactor.repair");
}
