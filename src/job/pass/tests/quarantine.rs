//! What is tried again, what is left alone, and what ends that.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::*;
use crate::format::meta::File;
use crate::job::quarantine::{Standing, store};

/// Fails so often with an error of block 2, and counts what it is asked for.
struct Flaky {
    left: AtomicUsize,
    error: fn() -> Error,
    asked: AtomicUsize,
    inner: Fake,
}

impl Flaky {
    fn new(left: usize, error: fn() -> Error) -> Flaky {
        Flaky { left: left.into(), error, asked: 0.into(), inner: Fake::default() }
    }

    fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }

    fn fail(&self, concerns: bool) -> Result<()> {
        self.asked.fetch_add(1, SeqCst);
        match concerns && self.left.load(SeqCst) > 0 {
            true => {
                self.left.fetch_sub(1, SeqCst);
                Err((self.error)().block(id(2)))
            }
            false => Ok(()),
        }
    }
}

impl Compactor for Flaky {
    async fn compact(&self, env: &Env, task: &CompactTask) -> Result<CompactOutcome> {
        self.fail(task.inputs.iter().any(|i| i.id == id(2)))?;
        self.inner.compact(env, task).await
    }

    async fn downsample(&self, env: &Env, task: &DownsampleTask) -> Result<Vec<Meta>> {
        self.fail(task.source.id == id(2))?;
        self.inner.downsample(env, task).await
    }
}

fn damaged() -> Error {
    Error::new(Kind::Corrupt, "checksum differs").part("chunks/000001").at(8)
}

/// Two windows of four blocks, and the newest.
async fn two_windows() -> World {
    let world = World::new();
    for n in 0..9 {
        world.block(&meta(1 + n, "a", (2 * n, 2 * n + 2))).await;
    }
    world
}

/// What went into compactions, what is said of groups as (standing, tried), and how often the engine was asked.
type Told = (Vec<Vec<i64>>, Vec<(Standing, bool)>, usize);

async fn pass(world: &World, options: &PassOptions, engine: &Flaky) -> Told {
    let before = engine.asked();
    let result = run(&world.env, options, engine).await.unwrap();
    let told: Vec<_> = result.errors.iter().map(|e| (e.standing, e.tried)).collect();
    assert_eq!(result.is_clean(), told.is_empty());
    (outputs(&result), told, engine.asked() - before)
}

const FIRST: [i64; 4] = [1, 2, 3, 4];
const SECOND: [i64; 4] = [5, 6, 7, 8];

#[tokio::test]
async fn damage_is_read_twice_and_then_left_alone_until_something_changes() {
    type Change = fn(&World) -> futures::future::BoxFuture<'_, ()>;
    let replaced: Change = |world| Box::pin(world.put(format!("{}/index", id(2)), vec![0; 101]));
    let removed: Change = |world| Box::pin(async { std::fs::remove_file(store::path(&world.env.scratch)).unwrap() });
    for change in [replaced, removed] {
        let world = two_windows().await;
        let engine = Flaky::new(2, damaged);
        let options = PassOptions::default();
        let told = vec![(Standing::Quarantined, true)];
        // the other window is joined in the same pass
        assert_eq!(pass(&world, &options, &engine).await, (vec![SECOND.to_vec()], told, 3));
        // as would another process find it
        for _ in 0..2 {
            assert_eq!(pass(&world, &options, &engine).await, (vec![], vec![(Standing::Quarantined, false)], 0));
        }
        let plan = dry_run(&world.env, &options).await.unwrap();
        let text = plan.to_text(300);
        assert!(plan.jobs.is_empty() && text.contains("it failed before and is left alone: block"), "{text}");
        change(&world).await;
        assert_eq!(dry_run(&world.env, &options).await.unwrap().jobs.len(), 1);
        assert_eq!(pass(&world, &options, &engine).await, (vec![FIRST.to_vec()], vec![], 1));
        assert!(!store::path(&world.env.scratch).exists(), "nothing is left to be kept");
    }
}

#[tokio::test]
async fn a_mark_or_a_flag_ends_it_too() {
    let world = two_windows().await;
    let engine = Flaky::new(usize::MAX, damaged);
    let options = PassOptions::default();
    pass(&world, &options, &engine).await;
    let other = PassOptions { accept_malformed_index: true, ..options.clone() };
    assert_eq!(pass(&world, &other, &engine).await, (vec![], vec![(Standing::Quarantined, true)], 2), "it may help");
    let mark = NoCompactMark::new(id(2), 7, "manual", "").encode();
    world.put(format!("{}/no-compact-mark.json", id(2)), mark).await;
    assert_eq!(pass(&world, &options, &engine).await, (vec![vec![3, 4]], vec![], 1));
}

#[tokio::test]
async fn without_it_every_pass_tries_once() {
    let world = two_windows().await;
    let engine = Flaky::new(usize::MAX, damaged);
    let options = PassOptions { quarantine: false, ..PassOptions::default() };
    for _ in 0..2 {
        assert_eq!(pass(&world, &options, &engine).await, (vec![], vec![(Standing::Quarantined, true)], 1));
    }
    assert!(!store::path(&world.env.scratch).exists());
}

#[tokio::test]
async fn what_looked_like_damage_once_is_none() {
    for error in [damaged as fn() -> Error, || Error::new(Kind::NotFound, "get"), || Error::new(Kind::Unsupported, "encoding 9")]
    {
        let world = two_windows().await;
        let engine = Flaky::new(1, error);
        let told = pass(&world, &PassOptions::default(), &engine).await;
        assert_eq!(told, (vec![FIRST.to_vec(), SECOND.to_vec()], vec![], 3), "{}", error());
    }
}

#[tokio::test]
async fn the_second_look_is_over_new_connections() {
    for (failures, expected) in [(0, 0), (1, 1), (2, 1)] {
        let mut world = World::new();
        let (bucket, renewed) = Bucket::memory_with_connections();
        world.env.bucket = bucket;
        for n in 0..5 {
            world.block(&meta(1 + n, "a", (2 * n, 2 * n + 2))).await;
        }
        pass(&world, &PassOptions::default(), &Flaky::new(failures, damaged)).await;
        assert_eq!(renewed.load(SeqCst), expected, "after {failures} failures");
    }
}

#[tokio::test]
async fn what_passes_is_tried_later_and_later_where_passes_follow_each_other() {
    let world = two_windows().await;
    let engine = Flaky::new(3, || Error::new(Kind::Unavailable, "not now"));
    let waiting = PassOptions { back_off: true, ..PassOptions::default() };
    assert_eq!(pass(&world, &waiting, &engine).await, (vec![], vec![(Standing::Retrying, true)], 1));
    assert_eq!(pass(&world, &waiting, &engine).await, (vec![], vec![(Standing::Retrying, false)], 0), "not yet");
    world.clock.advance(80_000);
    assert_eq!(pass(&world, &waiting, &engine).await, (vec![], vec![(Standing::Retrying, true)], 1));
    world.clock.advance(80_000);
    assert_eq!(pass(&world, &waiting, &engine).await.2, 0, "twice as long");
    // whoever mended it starts the program again
    engine.left.store(2, SeqCst);
    store::hurry(&world.env.scratch, world.env.bucket.name());
    assert_eq!(pass(&world, &waiting, &engine).await.2, 1, "at once");
    assert_eq!(pass(&world, &waiting, &engine).await.2, 0, "and then later and later as before");
    // whoever starts a process for each pass decides himself when
    assert_eq!(pass(&world, &PassOptions::default(), &engine).await, (vec![], vec![(Standing::Retrying, true)], 1));
    assert_eq!(pass(&world, &PassOptions::default(), &engine).await, (vec![FIRST.to_vec(), SECOND.to_vec()], vec![], 2));
    assert!(!store::path(&world.env.scratch).exists());
}

#[tokio::test]
async fn an_archive_is_a_state_of_its_own_and_asked_in_each_pass() {
    let world = two_windows().await;
    let engine = Flaky::new(1, || crate::bucket::archived("get a range").part(format!("{}/index", id(2))));
    let result = run(&world.env, &PassOptions::default(), &engine).await.unwrap();
    assert_eq!(result.errors.iter().map(|e| (e.standing, e.is_halt())).collect::<Vec<_>>(), [(Standing::Archived, false)]);
    let text = result.errors[0].error.to_string();
    assert!(text.contains("restore the object"), "{text}");
    assert_eq!(outputs(&result), [SECOND]);
    // here it can be read, as after it was restored, although no listing says so
    assert_eq!(pass(&world, &PassOptions::default(), &engine).await.0, [FIRST]);
}

#[tokio::test]
async fn objects_that_are_not_there_are_found_before_a_byte_is_read() {
    let world = two_windows().await;
    let mut named = meta(2, "a", (2, 4));
    let file = |name: &str| File { rel_path: name.into(), size_bytes: 100, ..File::default() };
    named.thanos.files = vec![file("chunks/000001"), file("index")];
    world.block(&named).await;
    let chunks = format!("{}/chunks/000001", id(2));
    for (change, says) in [(None, "the object is not in the bucket"), (Some(99), "the object has 99 bytes")] {
        match change {
            None => world.env.bucket.delete(&chunks).await.unwrap(),
            Some(len) => world.put(chunks.clone(), vec![0; len]).await,
        }
        let engine = Flaky::new(0, damaged);
        let requests = world.env.bucket.requests();
        let result = run(&world.env, &PassOptions::default(), &engine).await.unwrap();
        let text = result.errors[0].error.to_string();
        assert!(text.starts_with(&format!("block {}: chunks/000001: {says}", id(2))), "{text}");
        assert!(text.contains("of 100 bytes") && text.contains("--salvage"), "{text}");
        assert!(result.errors[0].is_halt() && result.standings[&Standing::Quarantined] == 1);
        assert_eq!(world.env.bucket.requests().get_range.calls, requests.get_range.calls);
        let done: &[[i64; 4]] = if change.is_none() { &[SECOND] } else { &[] };
        assert_eq!(outputs(&result), done, "the other window goes on");
    }
    world.put(chunks, vec![0; 100]).await;
    assert_eq!(pass(&world, &PassOptions::default(), &Flaky::new(0, damaged)).await, (vec![FIRST.to_vec()], vec![], 1));
}

#[tokio::test]
async fn a_block_that_cannot_be_downsampled_is_left_alone_too() {
    let world = World::new();
    world.block(&meta(2, "a", (0, 48))).await;
    world.block(&meta(30, "b", (0, 48))).await;
    let engine = Flaky::new(2, damaged);
    let result = run(&world.env, &PassOptions::default(), &engine).await.unwrap();
    assert_eq!((result.not_downsampled.len(), result.downsampled.len(), engine.asked()), (1, 1, 3));
    assert_eq!(result.standings[&Standing::Quarantined], 1);
    let result = run(&world.env, &PassOptions::default(), &engine).await.unwrap();
    assert_eq!((result.not_downsampled.len(), result.downsampled.len(), engine.asked()), (1, 0, 3));
    assert!(result.not_downsampled[0].error.to_string().contains("mark --id"));
    world.put(format!("{}/index", id(2)), vec![0; 101]).await;
    let result = run(&world.env, &PassOptions::default(), &engine).await.unwrap();
    assert!(result.is_clean() && result.downsampled.len() == 1 && !store::path(&world.env.scratch).exists());
}

#[tokio::test]
async fn an_overlap_with_what_is_left_alone_waits_and_the_rest_of_its_group_goes_on() {
    let world = two_windows().await;
    world.block(&meta(20, "a", (3, 4))).await;
    // another overlap, which has nothing to do with it
    world.block(&meta(21, "a", (8, 9))).await;
    let options = PassOptions { vertical: true, ..PassOptions::default() };
    let engine = Flaky::new(usize::MAX, damaged);
    let (done, told, asked) = pass(&world, &options, &engine).await;
    // twice the one that is damaged, the other overlap, and the window in which that is
    assert_eq!((done.len(), told, asked), (2, vec![(Standing::Quarantined, true)], 4), "{done:?}");
    assert!(done.contains(&vec![21, 5]) && done.iter().flatten().all(|n| ![1, 2, 20, 3, 4].contains(n)), "{done:?}");
    assert_eq!(pass(&world, &options, &engine).await, (vec![], vec![(Standing::Quarantined, false)], 0));
    assert!(dry_run(&world.env, &options).await.unwrap().jobs.is_empty());
    world.put(format!("{}/index", id(2)), vec![0; 101]).await;
    engine.left.store(0, SeqCst);
    let (done, told, _) = pass(&world, &options, &engine).await;
    assert!(done.contains(&vec![2, 20]) && done.len() == 2 && told.is_empty(), "as ever: {done:?}");
}

/// Finds that somebody deleted block 2 after it was listed.
#[derive(Default)]
struct Gone(Fake);

impl Compactor for Gone {
    async fn compact(&self, env: &Env, task: &CompactTask) -> Result<CompactOutcome> {
        if task.inputs.iter().any(|i| i.id == id(2)) {
            for name in ["meta.json", "index", "chunks/000001"] {
                env.bucket.delete(&format!("{}/{name}", id(2))).await?;
            }
            return Err(Error::new(Kind::NotFound, "get a range").block(id(2)).part("index"));
        }
        self.0.compact(env, task).await
    }

    async fn downsample(&self, _: &Env, _: &DownsampleTask) -> Result<Vec<Meta>> {
        unreachable!("nothing is long enough")
    }
}

#[tokio::test]
async fn a_block_that_is_gone_means_a_new_look_and_another_plan() {
    let world = two_windows().await;
    let result = run(&world.env, &PassOptions::default(), &Gone::default()).await.unwrap();
    assert!(result.is_clean(), "{result:?}");
    assert_eq!(outputs(&result), [&[1, 3, 4][..], &SECOND]);
    assert!(!store::path(&world.env.scratch).exists());
}

#[tokio::test]
async fn blocks_of_late_samples_are_merged_in_a_pass_that_was_not_asked_to() {
    let world = two_windows().await;
    let mut late = meta(20, "a", (3, 5));
    late.compaction.hints = vec!["from-out-of-order".to_owned()];
    world.block(&late).await;
    let result = run(&world.env, &PassOptions::default(), &Fake::default()).await.unwrap();
    assert!(result.is_clean(), "{result:?}");
    let done = outputs(&result);
    assert!(done.contains(&vec![2, 20, 3]) && done.len() == 3, "and then the two windows: {done:?}");
}

#[tokio::test]
async fn what_is_not_there_of_a_block_that_is_downsampled_counts_as_well() {
    let world = World::new();
    let mut named = meta(2, "a", (0, 48));
    named.thanos.files = vec![File { rel_path: "chunks/000001".into(), size_bytes: 101, ..File::default() }];
    world.block(&named).await;
    let engine = Flaky::new(0, damaged);
    let result = run(&world.env, &PassOptions::default(), &engine).await.unwrap();
    assert_eq!((result.not_downsampled.len(), engine.asked(), result.standings[&Standing::Quarantined]), (1, 0, 1));
    assert!(result.not_downsampled[0].error.to_string().contains("the object has"), "{result:?}");
}

#[tokio::test]
async fn a_block_that_cannot_be_read_for_a_while_is_downsampled_later() {
    let world = World::new();
    world.block(&meta(2, "a", (0, 48))).await;
    world.block(&meta(3, "a", (48, 96))).await;
    let engine = Flaky::new(1, || Error::new(Kind::Unavailable, "not now"));
    let waiting = PassOptions { back_off: true, ..PassOptions::default() };
    for (asked, downsampled) in [(2, 1), (2, 0)] {
        let result = run(&world.env, &waiting, &engine).await.unwrap();
        assert_eq!((engine.asked(), result.downsampled.len(), result.not_downsampled.len()), (asked, downsampled, 1));
        assert_eq!(result.standings[&Standing::Retrying], 1);
    }
    world.clock.advance(80_000);
    let result = run(&world.env, &waiting, &engine).await.unwrap();
    assert!(result.is_clean() && result.downsampled.len() == 1, "{result:?}");
    assert!(!store::path(&world.env.scratch).exists());
}
