//! Downsampled blocks, held to the bytes of a real Thanos: in one read, in two steps, and on the way of a
//! compaction.

use std::path::Path;

use blockyard::bucket::{Bucket, Object};
use blockyard::format::index::Index;
use blockyard::format::meta::Meta;
use blockyard::format::tombstones::{Interval, Tombstones};
use blockyard::job::Env;
use blockyard::job::compact::{CompactOutcome, SourceBlock, compact};
use blockyard::job::downsample::{
    DownsampleOptions, DownsampleTask, Levels, SeriesPolicy, downsample, dry_run as plan_all, run as run_all,
};
use blockyard::job::pass::{self, PassOptions};
use blockyard::model::{BlockId, LabelSet};
use futures::TryStreamExt;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::case::{Digest, Expect, gather};
use super::{WAYS, Way, merge, same_block};

const FIVE_MINUTES: i64 = 300_000;

/// One folder of `testdata/downsample`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    what: String,
    made_by: String,
    expect: Vec<Level>,
}

/// What came out at one resolution.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Level {
    resolution_ms: i64,
    block: Expect,
}

async fn source(env: &Env, id: BlockId) -> SourceBlock {
    let meta = env.bucket.get(&format!("{id}/meta.json"), 1 << 20).await.expect("a meta.json");
    let objects: Vec<Object> = env.bucket.list(&id.to_string()).try_collect().await.expect("a listing");
    SourceBlock { id, meta: Meta::decode(&meta).expect("a meta").into(), objects: objects.into() }
}

/// Downsamples block `id` to `levels` with what this way is.
async fn make(env: &Env, way: &Way, id: BlockId, levels: Levels) -> Vec<Meta> {
    let source = source(env, id).await;
    let labels = source.meta.labels().clone();
    let mut task = DownsampleTask::new(source, labels, levels, || env.clock.new_block_id());
    task.postings_bytes = way.postings_bytes.unwrap_or(task.postings_bytes);
    downsample(env, &task).await.expect("downsampled")
}

async fn check(env: &Env, says: &str, made: &[Meta], expect: &[Level]) {
    assert_eq!(made.len(), expect.len(), "{says}: levels");
    for (meta, level) in made.iter().zip(expect) {
        let says = format!("{says}, resolution {}", level.resolution_ms);
        assert_eq!(meta.resolution(), level.resolution_ms, "{says}");
        let parents: Vec<BlockId> = level.block.parents.iter().map(|p| p.parse().expect("an id")).collect();
        let output = merge::contents(&env.bucket, &meta.ulid.to_string()).await;
        same_block(&says, meta, &output, &level.block, &parents);
    }
}

async fn digests(env: &Env, id: BlockId) -> Vec<Digest> {
    let all = merge::contents(&env.bucket, &id.to_string()).await;
    all.iter()
        .filter(|(key, _)| !key.ends_with("/meta.json"))
        .map(|(key, bytes)| Digest {
            name: key.split_once('/').expect("a block's key").1.to_owned(),
            bytes: bytes.len() as u64,
            sha256: Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect(),
        })
        .collect()
}

async fn one_way(name: &str, case: &Case, objects: &[(String, Vec<u8>)], way: &Way) {
    let dir = TempDir::new().expect("scratch");
    let env = merge::env((way.bucket)(&dir), way.threads, &dir);
    merge::fill(&env.bucket, objects).await;
    let id: BlockId = objects[0].0.split_once('/').expect("a key").0.parse().expect("a block");
    let says = format!("{name}, {} threads", way.threads);
    let levels = Levels { five: true, hour: case.expect.len() > 1 };
    let made = make(&env, way, id, levels).await;
    check(&env, &format!("{says}, one read"), &made, &case.expect).await;

    // an hour alone, and an hour of five minutes
    if levels.hour {
        let made_of = [id, made[0].ulid];
        for from in made_of {
            let hour = make(&env, way, from, Levels { five: false, hour: true }).await;
            check(&env, &format!("{says}, of {from}"), &hour, &case.expect[1..]).await;
        }
    }

    // on the way of a compaction of the block alone, which copies it
    let mut task = merge::task(&env, &[id]).await.expect("a task");
    task.labels = LabelSet::clone(made[0].labels());
    (task.five, task.hour) = (Some(env.clock.new_block_id()), levels.hour.then(|| env.clock.new_block_id()));
    let CompactOutcome::Written { meta, downsampled, .. } = compact(&env, &task).await.expect("compacted") else {
        panic!("{says}: nothing was written")
    };
    assert_eq!(downsampled.len(), case.expect.len(), "{says}: levels on the way");
    for (coarser, level) in downsampled.iter().zip(&case.expect) {
        assert_eq!(digests(&env, coarser.ulid).await, level.block.files, "{says}: on the way, {}", level.resolution_ms);
        assert_eq!(coarser.compaction.sources, meta.compaction.sources, "{says}: sources");
        assert_eq!(coarser.compaction.level, meta.compaction.level, "{says}: level");
        assert_eq!(coarser.stats.num_float_samples, meta.stats.num_float_samples, "{says}: what was aggregated");
    }
    assert_eq!(downsampled[0].resolution(), FIVE_MINUTES);
    assert_eq!(env.bucket.list_unfinished_uploads("").await.expect("a listing"), [], "{says}: uploads are finished");
}

fn run(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/downsample").join(name);
    let text = std::fs::read(folder.join("case.json")).expect("case.json");
    let case: Case = serde_json::from_slice(&text).expect("a case");
    assert!(!case.what.is_empty() && !case.made_by.is_empty(), "{name} does not say what it is for");
    let mut objects = Vec::new();
    gather(&folder.join("input"), &folder.join("input"), &mut objects);
    for way in &WAYS {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        runtime.block_on(one_way(name, &case, &objects, way));
    }
}

#[test]
fn special_values_of_two_weeks() {
    run("special");
}

#[test]
fn native_histograms_of_ten_days() {
    run("histograms");
}

#[test]
fn a_dense_block_of_two_days() {
    run("dense");
}

/// A block in which every sample is deleted lists a level that is due for ever: it is read once.
#[tokio::test]
async fn a_level_that_came_out_empty_is_read_once() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/downsample/dense/input");
    let mut objects = Vec::new();
    gather(&folder, &folder, &mut objects);
    let id: BlockId = objects[0].0.split_once('/').expect("a key").0.parse().expect("a block");
    let dir = TempDir::new().expect("scratch");
    let env = merge::env(Bucket::memory(), 2, &dir);
    merge::fill(&env.bucket, &objects).await;
    let index = env.bucket.get(&format!("{id}/index"), 1 << 30).await.expect("an index");
    let index = Index::open(&index[..]).expect("an index");
    let list = index.all_postings().expect("postings");
    let mut tombstones = Tombstones::default();
    let everything = Interval { min: i64::MIN, max: i64::MAX };
    (0..list.len()).filter_map(|at| list.get(at)).for_each(|series| tombstones.add(u64::from(series), everything));
    env.bucket.put(&format!("{id}/tombstones"), tombstones.encode().into()).await.expect("put");
    let before = merge::contents(&env.bucket, "").await;

    let options = DownsampleOptions::default();
    let read = async |env: &Env, options: &DownsampleOptions| {
        let before = env.bucket.requests().get_range.calls;
        let done = run_all(env, options).await.expect("a run");
        assert!(done.failed.is_empty() && done.downsampled.iter().all(|d| d.written.is_empty()), "{done:?}");
        (done.downsampled.len(), env.bucket.requests().get_range.calls - before > 0)
    };
    assert_eq!(plan_all(&env, &options).await.expect("a plan").downsamplings.len(), 1);
    assert_eq!(read(&env, &options).await, (1, true));
    assert!(merge::contents(&env.bucket, "").await == before, "nothing of it is in the bucket");
    assert_eq!(read(&env, &options).await, (0, false), "the second run reads nothing");
    let plan = plan_all(&env, &options).await.expect("a plan");
    assert_eq!(plan.to_string(), "plan: nothing to downsample in 1 block\n");
    // a compactor is such a second run too, and so is retention: nobody waits for what never comes
    let year = 365 * 86_400_000;
    let pass = PassOptions { retention_raw: year, retention_confirm: true, ..PassOptions::default() };
    let ranges = env.bucket.requests().get_range.calls;
    let done = pass::run(&env, &pass, &pass::Engine).await.expect("a pass");
    assert_eq!((done.downsampled.len(), env.bucket.requests().get_range.calls), (0, ranges));
    assert_eq!(done.retention.marked.iter().map(|e| (e.block, e.lost)).collect::<Vec<_>>(), [(id, None)]);
    env.bucket.delete(&format!("{id}/deletion-mark.json")).await.expect("a deletion");
    // other series are asked for, tombstones go, the note is lost: then it is read again
    let policy = SeriesPolicy::parse(&["{job=~\".+\"}"]).expect("a selector");
    assert_eq!(read(&env, &DownsampleOptions { policy, ..DownsampleOptions::default() }).await, (1, true));
    std::fs::remove_file(dir.path().join("downsampled-to-nothing.json")).expect("the note");
    assert_eq!(read(&env, &options).await, (1, true));
    env.bucket.delete(&format!("{id}/tombstones")).await.expect("a deletion");
    let done = run_all(&env, &options).await.expect("a run");
    assert_eq!(done.downsampled.iter().map(|d| d.written.len()).collect::<Vec<_>>(), [1]);
}

/// What tombstones delete is in no coarser block, and a level without samples is not written.
#[tokio::test]
async fn deleted_samples_stay_deleted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/downsample/dense/input");
    let mut objects = Vec::new();
    gather(&folder, &folder, &mut objects);
    let id: BlockId = objects[0].0.split_once('/').expect("a key").0.parse().expect("a block");
    let dir = TempDir::new().expect("scratch");
    let env = merge::env(Bucket::memory(), 2, &dir);
    merge::fill(&env.bucket, &objects).await;
    let five = Levels { five: true, hour: false };
    let whole = make(&env, &WAYS[0], id, five).await;

    let index = env.bucket.get(&format!("{id}/index"), 1 << 30).await.expect("an index");
    let index = Index::open(&index[..]).expect("an index");
    let list = index.all_postings().expect("postings");
    let all: Vec<u64> = (0..list.len()).filter_map(|at| list.get(at)).map(u64::from).collect();
    let everything = Interval { min: i64::MIN, max: i64::MAX };
    for (deleted, left) in [(1, whole[0].stats.num_series - 1), (all.len(), 0)] {
        let mut tombstones = Tombstones::default();
        all[..deleted].iter().for_each(|&series| tombstones.add(series, everything));
        env.bucket.put(&format!("{id}/tombstones"), tombstones.encode().into()).await.expect("put");
        let made = make(&env, &WAYS[0], id, five).await;
        assert_eq!(made.iter().map(|m| m.stats.num_series).sum::<u64>(), left, "{deleted} series deleted");
        assert_eq!(made.len(), usize::from(left > 0), "{deleted} series deleted");
    }
}
