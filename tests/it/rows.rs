//! A row of steps as one job, held to the steps taken one by one: the same live blocks, to the byte.

use std::collections::BTreeMap;

use blockyard::bucket::Bucket;
use blockyard::format::marks::DELETION_MARK_FILE;
use blockyard::format::meta::Meta;
use blockyard::job::compact::{CompactOutcome, Join, compact};
use blockyard::job::pass::{Engine, PassOptions, run};
use blockyard::model::BlockId;
use tempfile::TempDir;

use crate::golden::merge;
use crate::simulation::workload::Plan;

type Objects = Vec<(String, Vec<u8>)>;

/// Blocks of two hours, one behind the other, `change`d by their number.
fn blocks(count: u32, change: impl Fn(u32, &mut Plan<'_>)) -> Objects {
    let block = |n: u32| {
        let hours = (2 * i64::from(n), 2 * i64::from(n) + 2);
        let mut plan = Plan { number: n + 1, hours, step: 5 * 60_000, ..Plan::default() };
        change(n, &mut plan);
        plan.objects().into_iter().map(|(key, bytes, _)| (key, bytes.to_vec()))
    };
    (0..count).flat_map(block).collect()
}

/// What a pass leaves live, by range and resolution: files by name, and what `meta.json` says but for ids and times
/// of its making; and how many compactions it took.
fn left(objects: &Objects, threads: usize, options: &PassOptions) -> (BTreeMap<String, (Objects, String)>, usize) {
    let dir = TempDir::new().expect("scratch");
    let env = merge::env(Bucket::memory(), threads, &dir);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        merge::fill(&env.bucket, objects).await;
        let result = run(&env, options, &Engine).await.expect("a pass");
        assert!(result.is_clean(), "{result:?}");
        let mut folders: BTreeMap<String, Objects> = BTreeMap::new();
        for (key, bytes) in merge::contents(&env.bucket, "").await {
            let (folder, name) = key.split_once('/').expect("a block's key");
            folders.entry(folder.to_owned()).or_default().push((name.to_owned(), bytes));
        }
        folders.retain(|_, files| files.iter().all(|(name, _)| name != DELETION_MARK_FILE));
        let told = |mut files: Objects| {
            let at = files.iter().position(|(name, _)| name == "meta.json").expect("a block that is whole");
            let mut meta = Meta::decode(&files.remove(at).1).expect("our own meta.json");
            (meta.ulid, meta.compaction.parents) = (BlockId::from_parts(0, 0), Vec::new());
            meta.thanos.upload_time = Default::default();
            (format!("{} {}", meta.time_range(), meta.resolution()), (files, format!("{meta:?}")))
        };
        (folders.into_values().map(told).collect(), result.compacted.len())
    })
}

/// Compares what rows leave with what steps leave; says how many compactions each took.
fn compare(objects: &Objects, options: &PassOptions) -> (usize, usize) {
    let stepwise = PassOptions { stepwise: true, ..options.clone() };
    let (by_steps, steps) = left(objects, 1, &stepwise);
    let mut jobs = 0;
    for threads in [1, 2] {
        let (by_rows, took) = left(objects, threads, options);
        let names = |of: &BTreeMap<String, (Objects, String)>| of.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&by_rows), names(&by_steps));
        for (name, (files, meta)) in &by_rows {
            assert_eq!(*meta, by_steps[name].1, "{name}, {threads} threads");
            assert!(*files == by_steps[name].0, "{name}, {threads} threads: other bytes");
        }
        jobs = took;
    }
    (jobs, steps)
}

#[test]
fn two_weeks_of_two_hours() {
    let objects = blocks(170, |n, plan| plan.step = i64::from(5 + n % 3) * 60_000);
    assert_eq!(compare(&objects, &PassOptions::default()), (1, 50));
}

#[test]
fn what_has_to_be_decided_is_decided_step_by_step() {
    // samples that are deleted: by its meta the block is none of a row until its own step is done
    let objects = blocks(26, |n, plan| plan.tombstones = n == 5);
    assert_eq!(compare(&objects, &PassOptions::default()), (3, 7));
    // a sample at the very end of a block, which the sample of the next block meets, or which is cut
    for bad in [2, 3, 23] {
        let objects = blocks(26, |n, plan| plan.at_the_end = n == bad);
        assert_eq!(compare(&objects, &PassOptions::default()), (7, 7), "block {bad}");
    }
    // replicas: pairs first, then a row
    let twice: Objects =
        blocks(26, |_, _| {}).into_iter().chain(blocks(26, |_, p| (p.number, p.offset) = (p.number + 50, 7000))).collect();
    let vertical = PassOptions { vertical: true, ..PassOptions::default() };
    assert_eq!(compare(&twice, &vertical), (26 + 1, 26 + 7));
}

#[tokio::test]
async fn segments_are_cut_alike() {
    let dir = TempDir::new().expect("scratch");
    let env = merge::env(Bucket::memory(), 2, &dir);
    let objects = blocks(24, |_, plan| plan.step = 60_000);
    merge::fill(&env.bucket, &objects).await;
    let mut ids: Vec<BlockId> = objects.iter().filter_map(|(key, _)| key.strip_suffix("/index")?.parse().ok()).collect();
    ids.sort();
    let join = async |inputs: &[BlockId], level: Option<i64>| {
        let mut task = merge::task(&env, inputs).await.expect("a task");
        (task.segment_bytes, task.level) = (900, level);
        task.join = if level.is_some() { Join::Apart } else { Join::OneToOne };
        let CompactOutcome::Written { meta, .. } = compact(&env, &task).await.expect("a block") else { panic!("samples") };
        let mut files = merge::contents(&env.bucket, &task.id.to_string()).await;
        files.retain(|(key, _)| !key.ends_with("meta.json"));
        (task.id, meta.compaction.level, files.into_iter().map(|(key, bytes)| (key[26..].to_owned(), bytes)).collect::<Vec<_>>())
    };
    let mut eights = Vec::new();
    for four in ids.chunks(4) {
        eights.push(join(four, None).await.0);
    }
    let (_, level, by_steps) = join(&eights, None).await;
    let (_, level_of_row, by_row) = join(&ids, Some(3)).await;
    assert!(by_steps.len() > 5, "{} files", by_steps.len());
    assert!(by_row == by_steps, "other bytes");
    assert_eq!((level, level_of_row), (3, 3));
}
