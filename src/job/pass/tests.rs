//! Passes over a bucket in memory, with an engine that only writes metas.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::TryStreamExt;
use tokio_util::sync::CancellationToken;

mod downsampling;
mod forecast;
mod full;
mod hollow;
mod outgrown;
mod proof;
mod quarantine;
mod rival;
mod rows;
mod schedule;

use super::*;
use crate::bucket::Bucket;
use crate::clock::ManualClock;
use crate::error::{Error, Kind, Result};
use crate::format::marks::{DeletionMark, NoCompactMark};
use crate::format::meta::Meta;
use crate::job::compact::{CompactOutcome, CompactTask};
use crate::job::downsample::DownsampleTask;
use crate::job::forecast::{Forecast, JobKind, Prices};
use crate::job::{Env, Silent};
use crate::model::{BlockId, LabelSet, Millis};
use crate::series::aggregate::{FIVE_MINUTES, ONE_HOUR};

const HOUR: Millis = 3_600_000;

/// The year 2100: everything in a bucket of now is old.
const NOW: Millis = 4_102_444_800_000;

fn id(n: i64) -> BlockId {
    BlockId::from_parts(n, 0)
}

fn meta(n: i64, cluster: &str, hours: (i64, i64)) -> Meta {
    let mut meta = Meta { ulid: id(n), min_time: hours.0 * HOUR, max_time: hours.1 * HOUR, version: 1, ..Meta::default() };
    meta.compaction.level = 1;
    meta.compaction.sources = vec![id(n)];
    meta.stats.num_samples = 10;
    meta.thanos.labels = LabelSet::from_iter([("cluster", cluster)]).into();
    meta
}

struct World {
    env: Env,
    clock: Arc<ManualClock>,
    _scratch: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(NOW, 7);
        let env = Env {
            bucket: Bucket::memory(),
            pool: Arc::new(rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap()),
            clock: clock.clone(),
            report: Arc::new(Silent),
            scratch: scratch.path().to_owned(),
            cancel: CancellationToken::new(),
        };
        World { env, clock, _scratch: scratch }
    }

    async fn put(&self, key: String, bytes: impl Into<Bytes>) {
        self.env.bucket.put(&key, bytes.into()).await.unwrap();
    }

    async fn block(&self, meta: &Meta) {
        for name in ["chunks/000001", "index"] {
            self.put(format!("{}/{name}", meta.ulid), vec![0; 100]).await;
        }
        self.put(format!("{}/meta.json", meta.ulid), meta.encode()).await;
    }

    async fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.env.bucket.list("").map_ok(|o| o.key).try_collect().await.unwrap();
        keys.sort();
        keys
    }

    /// Blocks with a deletion mark, each with its details.
    async fn marked(&self) -> Vec<(i64, String)> {
        let mut marked = Vec::new();
        for key in self.keys().await {
            if let Some(block) = key.strip_suffix("/deletion-mark.json") {
                let mark = DeletionMark::decode(&self.env.bucket.get(&key, 1 << 20).await.unwrap()).unwrap();
                marked.push((block.parse::<BlockId>().unwrap().created(), mark.details));
            }
        }
        marked
    }
}

/// Writes the meta that a merge would have, and remembers the tasks.
#[derive(Default)]
struct Fake {
    tasks: Mutex<Vec<CompactTask>>,
    /// Blocks with which it fails, and how.
    fails: Vec<(BlockId, Kind, &'static str)>,
}

impl Compactor for Fake {
    async fn compact(&self, env: &Env, task: &CompactTask) -> Result<CompactOutcome> {
        self.tasks.lock().unwrap().push(task.clone());
        for input in &task.inputs {
            if let Some((block, kind, why)) = self.fails.iter().find(|f| f.0 == input.id) {
                return Err(Error::new(*kind, *why).block(*block));
            }
        }
        let metas: Vec<&Meta> = task.inputs.iter().map(|i| &*i.meta).collect();
        let mut made = Meta { ulid: task.id, version: 1, ..Meta::default() };
        made.stats.num_samples = metas.iter().map(|m| m.stats.num_samples).sum();
        if made.stats.num_samples == 0 {
            return Ok(CompactOutcome::Empty);
        }
        made.min_time = metas.iter().map(|m| m.min_time).min().unwrap();
        made.max_time = metas.iter().map(|m| m.max_time).max().unwrap();
        made.compaction.level = task.level.unwrap_or(1 + metas.iter().map(|m| m.compaction.level).max().unwrap());
        made.compaction.sources = metas.iter().flat_map(|m| m.compaction.sources.clone()).collect();
        made.compaction.sources.sort();
        made.compaction.sources.dedup();
        made.thanos.labels = task.labels.clone().into();
        made.thanos.downsample.resolution = task.resolution;
        made.thanos.source = "compactor".to_owned();
        made.thanos.extensions = task.extensions.clone();
        env.bucket.put(&format!("{}/meta.json", task.id), Bytes::from(made.encode())).await?;
        let mut downsampled = Vec::new();
        for (id, resolution) in [(task.five, FIVE_MINUTES), (task.hour, ONE_HOUR)] {
            if let Some(id) = id {
                downsampled.push(coarser(env, &made, id, resolution).await?);
            }
        }
        Ok(CompactOutcome::Written { meta: Box::new(made), downsampled, new_encodings: 0 })
    }

    async fn downsample(&self, env: &Env, task: &DownsampleTask) -> Result<Vec<Meta>> {
        if let Some((block, kind, why)) = self.fails.iter().find(|f| f.0 == task.source.id) {
            return Err(Error::new(*kind, *why).block(*block));
        }
        let mut written = Vec::new();
        for (id, resolution) in [(task.five, FIVE_MINUTES), (task.hour, ONE_HOUR)] {
            if let Some(id) = id {
                written.push(coarser(env, &task.source.meta, id, resolution).await?);
            }
        }
        Ok(written)
    }
}

async fn coarser(env: &Env, of: &Meta, id: BlockId, resolution: Millis) -> Result<Meta> {
    let mut meta = of.clone();
    meta.ulid = id;
    meta.thanos.source = "compactor".to_owned();
    meta.thanos.downsample.resolution = resolution;
    env.bucket.put(&format!("{id}/meta.json"), Bytes::from(meta.encode())).await?;
    Ok(meta)
}

async fn dry_run(env: &Env, options: &PassOptions) -> Result<Forecast> {
    crate::job::forecast::look(env, options, Prices::default()).await
}

fn outputs(result: &PassResult) -> Vec<Vec<i64>> {
    let mut all: Vec<Vec<i64>> = result.compacted.iter().map(|c| c.inputs.iter().map(|i| i.created()).collect()).collect();
    all.sort();
    all
}

#[tokio::test]
async fn an_empty_bucket_needs_nothing() {
    let world = World::new();
    let result = run(&world.env, &PassOptions::default(), &Fake::default()).await.unwrap();
    assert!(result.is_clean() && result.compacted.is_empty());
    assert_eq!(result.rounds, 1);
}

#[tokio::test]
async fn groups_are_compacted_until_nothing_is_left() {
    let world = World::new();
    // a: eight hours twice, which are not two days yet; b: waits; c: a single block
    for n in 0..10 {
        world.block(&meta(1 + n, "a", (2 * n, 2 * n + 2))).await;
    }
    world.block(&meta(21, "b", (0, 2))).await;
    world.block(&meta(22, "b", (2, 4))).await;
    world.block(&meta(23, "c", (0, 2))).await;
    let engine = Fake::default();
    let result = run(&world.env, &PassOptions::default(), &engine).await.unwrap();
    assert!(result.is_clean());
    assert_eq!(outputs(&result), [[1, 2, 3, 4], [5, 6, 7, 8]]);
    assert_eq!(result.rounds, 3);
    let marked = world.marked().await;
    assert_eq!(marked.iter().map(|m| m.0).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert!(marked.iter().all(|m| m.1 == "source of compacted block"));
    {
        let tasks = engine.tasks.lock().unwrap();
        assert_eq!(tasks[0].labels, LabelSet::from_iter([("cluster", "a")]));
        assert_ne!(tasks[0].job, tasks[1].job);
    }

    // nothing is left to do, and nothing is done
    let before = world.keys().await;
    let again = run(&world.env, &PassOptions::default(), &Fake::default()).await.unwrap();
    assert!(again.compacted.is_empty() && again.garbage.is_empty());
    assert_eq!(again.rounds, 1);
    assert_eq!(world.keys().await, before);

    // once the delay is over the sources go
    world.clock.advance(48 * HOUR + 1000);
    let later = run(&world.env, &PassOptions::default(), &Fake::default()).await.unwrap();
    assert_eq!(later.deleted.len(), 8);
    assert!(world.marked().await.is_empty());
    let keys = world.keys().await;
    assert!(!keys.iter().any(|k| k.starts_with(&id(1).to_string())));
}

#[tokio::test]
async fn a_dry_run_says_what_a_pass_does_and_writes_nothing() {
    let world = World::new();
    for n in 0..6 {
        world.block(&meta(1 + n, "a", (2 * n, 2 * n + 2))).await;
    }
    let mut twin = meta(40, "a", (0, 2));
    twin.compaction.sources = vec![id(1)];
    world.block(&twin).await;
    world.block(&meta(30, "b", (0, 2))).await;
    world.put(format!("{}/deletion-mark.json", id(30)), DeletionMark::new(id(30), 5, "").encode()).await;
    world.put(format!("{}/index", id(31)), "x").await;
    world.block(&meta(32, "c", (0, 2))).await;
    let before = world.keys().await;
    let plan = dry_run(&world.env, &PassOptions::default()).await.unwrap();
    assert_eq!(world.keys().await, before);
    assert_eq!(plan.jobs.len(), 1);
    assert_eq!(plan.jobs[0].blocks, [id(1), id(2), id(3), id(4)]);
    assert_eq!(plan.marks.iter().map(|m| (m.which.block, m.because)).collect::<Vec<_>>(), [(Some(id(40)), "duplicate")]);
    assert_eq!(plan.deletions.iter().map(|d| d.block).collect::<Vec<_>>(), [id(30), id(31)]);
    assert!(plan.left_alone.iter().any(|l| l.blocks == [id(32)] && l.because.because == "only-block"), "{:?}", plan.left_alone);
    let text = plan.to_text(200);
    assert!(text.contains(&format!("mark {} for deletion: {} has all its sources", id(40), id(1))), "{text}");
    assert!(text.contains("delete 000000000Y0000000000000000: marked 1970-01-01T00:00:05Z, 4 objects"), "{text}");

    let result = run(&world.env, &PassOptions::default(), &Fake::default()).await.unwrap();
    assert_eq!(outputs(&result), [[1, 2, 3, 4]]);
    assert_eq!(result.garbage, [id(40)]);
    assert_eq!(result.deleted, [id(30), id(31)]);
}

#[tokio::test]
async fn a_group_that_fails_does_not_stop_the_others() {
    let world = World::new();
    for (base, cluster) in [(0, "a"), (100, "b"), (200, "c")] {
        for n in 0..5 {
            world.block(&meta(base + 1 + n, cluster, (2 * n, 2 * n + 2))).await;
        }
    }
    // c overlaps: it waits for a person
    world.block(&meta(250, "c", (1, 2))).await;
    let engine = Fake { fails: vec![(id(2), Kind::Corrupt, "chunk is damaged")], ..Fake::default() };
    let result = run(&world.env, &PassOptions { concurrency: 2, ..PassOptions::default() }, &engine).await.unwrap();
    assert_eq!(outputs(&result), [[101, 102, 103, 104]]);
    let mut errors: Vec<_> =
        result.errors.iter().map(|e| (e.labels.get("cluster").unwrap(), e.error.kind(), e.is_halt())).collect();
    errors.sort_by_key(|e| e.0);
    assert_eq!(errors, [("a", Kind::Corrupt, true), ("c", Kind::Invalid, true)]);
    assert_eq!(engine.tasks.lock().unwrap().len(), 3, "damage is believed when it was seen twice");
    let standings: Vec<_> = result.standings.iter().map(|(s, n)| (s.as_str(), *n)).collect();
    assert_eq!(standings, [("healthy", 1), ("retrying", 0), ("archived", 0), ("quarantined", 2)]);
    assert_eq!(world.marked().await.len(), 4, "sources of a compaction that failed are not marked");
}

#[tokio::test]
async fn out_of_order_blocks_are_left_out_when_asked_for() {
    let world = World::new();
    for n in 0..5 {
        world.block(&meta(1 + n, "a", (2 * n, 2 * n + 2))).await;
    }
    let fails = vec![(id(1), Kind::Corrupt, "chunk [1, 2] is out of order behind [0, 3]")];
    let plain = run(&world.env, &PassOptions::default(), &Fake { fails: fails.clone(), ..Fake::default() }).await.unwrap();
    assert_eq!(plain.errors.len(), 1);
    let options = PassOptions { skip_out_of_order: true, ..PassOptions::default() };
    let result = run(&world.env, &options, &Fake { fails, ..Fake::default() }).await.unwrap();
    assert!(result.is_clean());
    assert_eq!(outputs(&result), [[2, 3, 4]]);
    assert_eq!(result.marked[0].reason, "block-index-out-of-order-chunk");
    let mark = world.env.bucket.get(&format!("{}/no-compact-mark.json", id(1)), 1 << 20).await.unwrap();
    assert_eq!(NoCompactMark::decode(&mark).unwrap().reason, "block-index-out-of-order-chunk");
}

#[tokio::test]
async fn blocks_without_samples_are_marked_and_leave_no_block() {
    let world = World::new();
    for n in 0..5 {
        let mut meta = meta(1 + n, "a", (2 * n, 2 * n + 2));
        meta.stats.num_samples = 0;
        world.block(&meta).await;
    }
    let result = run(&world.env, &PassOptions::default(), &Fake::default()).await.unwrap();
    assert_eq!(result.compacted[0].output, None);
    assert_eq!(world.marked().await.len(), 4);
    assert_eq!(result.states[&crate::job::filter::State::Loaded], 1);
}

#[tokio::test]
async fn replicas_are_merged_without_their_label() {
    let world = World::new();
    for (base, replica) in [(0, "x"), (100, "y")] {
        for n in 0..5 {
            let mut meta = meta(base + 1 + n, "a", (2 * n, 2 * n + 2));
            meta.thanos.labels = LabelSet::from_iter([("cluster", "a"), ("replica", replica)]).into();
            meta.thanos.extensions = serde_json::value::to_raw_value(&serde_json::json!({ "k": replica })).ok();
            world.block(&meta).await;
        }
    }
    let options = PassOptions { replica_labels: vec!["replica".into()], ..PassOptions::default() };
    let engine = Fake::default();
    let result = run(&world.env, &options, &engine).await.unwrap();
    assert!(result.is_clean());
    // each pair first, since overlaps come first; then what they became
    let tasks = engine.tasks.lock().unwrap();
    assert_eq!(tasks[0].inputs.iter().map(|i| i.id).collect::<Vec<_>>(), [id(101), id(1)], "the youngest first");
    assert!(tasks.iter().all(|t| t.labels == LabelSet::from_iter([("cluster", "a")])));
    assert_eq!(tasks[0].extensions.as_ref().unwrap().get(), r#"{"k":"x"}"#);
    assert_eq!(tasks.len(), 6);
    assert_eq!(tasks[5].inputs.len(), 4);
}

#[tokio::test]
async fn downsampled_replicas_are_marked_in_upstreams_words() {
    let world = World::new();
    for (n, replica) in [(1, "x"), (2, "y")] {
        let mut meta = meta(n, "a", (0, 48));
        meta.thanos.labels = LabelSet::from_iter([("cluster", "a"), ("replica", replica)]).into();
        meta.thanos.downsample.resolution = 300_000;
        world.block(&meta).await;
    }
    let options =
        PassOptions { replica_labels: vec!["replica".into()], dedup: crate::job::pass::Dedup::Penalty, ..PassOptions::default() };
    let result = run(&world.env, &options, &Fake::default()).await.unwrap();
    assert!(result.is_clean() && result.compacted.is_empty(), "{result:?}");
    for n in [1, 2] {
        let mark = world.env.bucket.get(&format!("{}/no-compact-mark.json", id(n)), 1 << 20).await.unwrap();
        let mark = NoCompactMark::decode(&mark).unwrap();
        assert_eq!(mark.reason, "downsample-vertical-compaction");
        let details =
            "verticalCompactionDownsampleFilter: Downsampled block, see https://github.com/thanos-io/thanos/issues/6775";
        assert_eq!(mark.details, details);
    }
}

#[tokio::test]
async fn a_large_index_is_marked_before_anything_is_compacted() {
    let world = World::new();
    for n in 0..5 {
        let meta = meta(1 + n, "a", (2 * n, 2 * n + 2));
        world.block(&meta).await;
        world.put(format!("{}/index", meta.ulid), vec![0; if n == 0 { 900 } else { 10 }]).await;
    }
    let options = PassOptions { block_max_index_bytes: 1000, ..PassOptions::default() };
    let result = run(&world.env, &options, &Fake::default()).await.unwrap();
    assert_eq!(outputs(&result), [[2, 3, 4]]);
    assert_eq!(result.marked.iter().map(|m| (m.block, m.reason)).collect::<Vec<_>>(), [(id(1), "index-size-exceeding")]);
}

#[tokio::test]
async fn duplicates_are_marked_once_and_never_after_they_are_gone() {
    let world = World::new();
    let with = |n: i64, level: i64, sources: std::ops::Range<i64>, resolution: Millis| {
        let mut meta = meta(n, "a", (0, 2));
        meta.compaction.level = level;
        meta.compaction.sources = sources.map(|s| id(s + 1)).collect();
        meta.thanos.downsample.resolution = resolution;
        meta
    };
    for n in 0..10 {
        world.block(&with(n + 1, 1, n..n + 1, 0)).await;
    }
    for made in [with(100, 2, 0..4, 0), with(200, 2, 4..8, 0), with(300, 3, 0..9, 0), with(400, 2, 9..10, 1000)] {
        world.block(&made).await;
    }
    // what is left is two blocks of one time: they overlap, which is not what this is about
    let options = PassOptions { max_level: 0, vertical: true, ..PassOptions::default() };
    let engine = Fake { fails: vec![(id(10), Kind::Unavailable, "not now")], ..Fake::default() };
    run(&world.env, &options, &engine).await.unwrap();
    let marked = world.marked().await;
    let ids: Vec<i64> = marked.iter().map(|m| m.0).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5, 6, 7, 8, 9, 100, 200]);
    assert!(marked.iter().all(|m| m.1 == "outdated block"));
    let second = run(&world.env, &options, &engine).await.unwrap();
    assert!(second.garbage.is_empty());
    assert_eq!(world.marked().await, marked);

    crate::block::retire::delete(&world.env.bucket, id(1)).await.unwrap();
    run(&world.env, &options, &engine).await.unwrap();
    assert!(!world.keys().await.iter().any(|k| k.starts_with(&id(1).to_string())));
    // a stale plan marks nothing that is gone
    let stale = [crate::job::plan::PlannedGarbage { block: id(1), covered_by: id(300) }];
    assert!(crate::job::garbage::run(&world.env, &stale).await.unwrap().is_empty());
    assert!(!world.keys().await.iter().any(|k| k.starts_with(&id(1).to_string())));
}

#[tokio::test]
async fn partial_uploads_go_when_nothing_was_added_for_two_days() {
    let world = World::new();
    world.put(format!("{}/chunks/000001", id(1)), "x").await;
    world.put(format!("{}/meta.json", id(2)), "{ damaged").await;
    world.block(&meta(3, "a", (0, 2))).await;
    // an interrupted deletion, due and not due
    world.put(format!("{}/index", id(4)), "x").await;
    world.put(format!("{}/deletion-mark.json", id(4)), DeletionMark::new(id(4), 5, "").encode()).await;
    world.put(format!("{}/index", id(5)), "x").await;
    let young = DeletionMark::new(id(5), NOW / 1000 - 3600, "").encode();
    world.put(format!("{}/deletion-mark.json", id(5)), young).await;
    world.put("debug/metas/x.json".to_owned(), "x").await;

    // when objects are young nothing but what is marked goes
    let young = Env { clock: ManualClock::new(5_000 + 48 * HOUR, 1), ..world.env.clone() };
    let result = run(&young, &PassOptions::default(), &Fake::default()).await.unwrap();
    assert!(result.deleted.is_empty());
    let result = run(&world.env, &PassOptions::default(), &Fake::default()).await.unwrap();
    assert!(result.is_clean());
    let mut deleted = result.deleted.clone();
    deleted.sort();
    assert_eq!(deleted, [id(1), id(2), id(4)]);
    let folders: Vec<String> = world.keys().await.iter().map(|k| k.split('/').next().unwrap().to_owned()).collect();
    assert_eq!(
        folders,
        [id(3), id(3), id(3), id(5), id(5)].map(|i| i.to_string()).into_iter().chain(["debug".to_owned()]).collect::<Vec<_>>()
    );
}

/// Takes three days for each compaction.
struct Slow(Fake, Arc<ManualClock>);

impl Compactor for Slow {
    async fn compact(&self, env: &Env, task: &CompactTask) -> Result<CompactOutcome> {
        self.1.advance(72 * HOUR);
        self.0.compact(env, task).await
    }

    async fn downsample(&self, env: &Env, task: &DownsampleTask) -> Result<Vec<Meta>> {
        self.0.downsample(env, task).await
    }
}

#[tokio::test]
async fn retention_waits_for_no_compaction() {
    let world = World::new();
    let ago = NOW / HOUR / 336 * 336 - 336;
    for n in 0..8 {
        world.block(&meta(1 + n, "a", (ago + 2 * n, ago + 2 * n + 2))).await;
    }
    let ends_in = |n: i64, hours: i64| {
        let mut meta = meta(n, "b", (0, 0));
        (meta.min_time, meta.max_time) = (NOW + (hours - 1000 - 2) * HOUR, NOW + (hours - 1000) * HOUR);
        meta
    };
    for block in [ends_in(20, -1), ends_in(21, 24), ends_in(22, 90)] {
        world.block(&block).await;
    }
    let options = PassOptions { retention_raw: 1000 * HOUR, downsampling: false, max_level: 2, ..PassOptions::default() };
    let plan = dry_run(&world.env, &options).await.unwrap();
    assert!(!plan.is_idle());
    assert_eq!(plan.marks.iter().map(|m| (m.which.block, m.because)).collect::<Vec<_>>(), [(Some(id(20)), "expired")]);
    let text = plan.to_text(200);
    assert!(text.contains(&format!("expire {}: raw until ", id(20))), "{text}");
    let slow = Slow(Fake::default(), world.clock.clone());
    let result = run(&world.env, &options, &slow).await.unwrap();
    assert!(result.is_clean());
    assert_eq!(outputs(&result), [[1, 2, 3, 4]]);
    // one had expired before, one did during the compaction; the third is kept
    assert_eq!(result.retention.marked.iter().map(|e| e.block).collect::<Vec<_>>(), [id(20), id(21)]);
    let marked = world.marked().await;
    assert!(marked.contains(&(21, "block exceeding retention of 1000h0m0s".to_owned())), "{marked:?}");
    assert!(!marked.iter().any(|m| m.0 == 22));
}

#[tokio::test]
async fn an_incomplete_view_decides_nothing() {
    let world = World::new();
    for n in 0..5 {
        world.block(&meta(1 + n, "a", (2 * n, 2 * n + 2))).await;
    }
    world.block(&Meta { version: 2, ..meta(9, "a", (10, 12)) }).await;
    let error = run(&world.env, &PassOptions::default(), &Fake::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.block_id()), (Kind::Unsupported, Some(id(9))));
    assert!(world.marked().await.is_empty());
    assert!(dry_run(&world.env, &PassOptions::default()).await.is_err());
}

#[tokio::test]
async fn who_is_asked_to_stop_stops() {
    let world = World::new();
    world.env.cancel.cancel();
    let error = run(&world.env, &PassOptions::default(), &Fake::default()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
    assert_eq!(world.env.clock.now(), NOW);
}

#[tokio::test]
async fn what_is_due_is_cleaned_beside_a_pass() {
    let world = World::new();
    for n in 1..=3 {
        world.block(&meta(n, "a", (2 * n, 2 * n + 2))).await;
    }
    // 1 is due, 2 is not yet
    let mark = |n: i64, age: i64| (id(n), DeletionMark::new(id(n), (NOW - age) / 1000, ""));
    for (block, mark) in [mark(1, 49 * HOUR), mark(2, HOUR)] {
        world.put(format!("{block}/deletion-mark.json"), mark.encode()).await;
    }
    let options = PassOptions::default();
    let mut beside = Beside::new(&world.env, &options);
    assert_eq!(beside.clean(&world.env, &options).await.unwrap().deleted, [id(1)]);
    assert_eq!(beside.clean(&world.env, &options).await.unwrap().deleted, []);
    let keys = world.keys().await;
    assert!(!keys.iter().any(|k| k.starts_with(&id(1).to_string())));
    assert!([2, 3].iter().all(|&n| keys.contains(&format!("{}/meta.json", id(n)))), "{keys:?}");
}
