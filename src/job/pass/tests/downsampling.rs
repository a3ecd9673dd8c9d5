//! What a pass downsamples, when, and what of it on the way of a compaction.

use super::*;
use crate::format::marks::NoDownsampleMark;

const DAY: i64 = 24;

/// What was downsampled, as (hours of the source's range, resolutions in minutes), ordered.
async fn made(world: &World, result: &PassResult) -> Vec<((i64, i64), Vec<i64>)> {
    let mut all = Vec::new();
    for done in &result.downsampled {
        let key = format!("{}/meta.json", done.source);
        let meta = Meta::decode(&world.env.bucket.get(&key, 1 << 20).await.unwrap()).unwrap();
        let levels = done.written.iter().map(|m| m.resolution() / 60_000).collect();
        all.push(((meta.min_time / HOUR, meta.max_time / HOUR), levels));
    }
    all.sort();
    all
}

#[tokio::test]
async fn both_levels_of_one_read_and_once() {
    let world = World::new();
    world.block(&meta(1, "a", (0, 2 * DAY))).await;
    world.block(&meta(2, "b", (0, 14 * DAY))).await;
    world.block(&meta(3, "c", (0, DAY))).await;
    let options = PassOptions::default();
    let plan = dry_run(&world.env, &options).await.unwrap();
    assert!(plan.jobs.iter().all(|j| j.kind == JobKind::Downsample));
    assert_eq!(plan.jobs.iter().flat_map(|j| j.blocks.clone()).collect::<Vec<_>>(), [id(1), id(2)]);
    let text = plan.to_text(200);
    assert!(text.contains("it is 14d long, and there are no samples of 5m and 1h of it"), "{text}");
    let off = PassOptions { downsampling: false, ..PassOptions::default() };
    assert!(dry_run(&world.env, &off).await.unwrap().is_idle());

    let result = run(&world.env, &options, &Fake::default()).await.unwrap();
    assert!(result.is_clean());
    assert_eq!(made(&world, &result).await, [((0, 48), vec![5]), ((0, 336), vec![5, 60])]);
    let again = run(&world.env, &options, &Fake::default()).await.unwrap();
    assert!(again.downsampled.is_empty() && again.rounds == 1, "{again:?}");
}

#[tokio::test]
async fn hours_that_are_there_are_not_made_again() {
    let world = World::new();
    world.block(&meta(1, "a", (0, 14 * DAY))).await;
    let mut hour = meta(5, "z", (0, 1));
    hour.thanos.downsample.resolution = ONE_HOUR;
    hour.compaction.sources = vec![id(1)];
    world.block(&hour).await;
    // whoever made them, and whatever they are made of now
    let result = run(&world.env, &PassOptions::default(), &Fake::default()).await.unwrap();
    assert_eq!(made(&world, &result).await, [((0, 336), vec![5])]);
}

#[tokio::test]
async fn marks_are_kept_and_one_failure_stops_no_other() {
    let world = World::new();
    for (n, cluster) in [(1, "a"), (2, "b"), (3, "c")] {
        world.block(&meta(n, cluster, (0, 2 * DAY))).await;
    }
    let mark = NoDownsampleMark::new(id(1), 5, "manual", "").encode();
    world.put(format!("{}/no-downsample-mark.json", id(1)), mark).await;
    let engine = Fake { fails: vec![(id(2), Kind::Corrupt, "damaged")], ..Fake::default() };
    let result = run(&world.env, &PassOptions::default(), &engine).await.unwrap();
    assert!(!result.is_clean());
    assert_eq!(result.not_downsampled.iter().map(|f| f.block).collect::<Vec<_>>(), [id(2)]);
    assert_eq!(result.downsampled.iter().map(|d| d.source).collect::<Vec<_>>(), [id(3)]);
    let plan = dry_run(&world.env, &PassOptions::default()).await.unwrap();
    assert_eq!(plan.never_downsampled[0].blocks, [id(1)]);
    let text = plan.to_text(200);
    assert!(text.contains("it is marked no-downsample"), "{text}");
}

/// thanos#4960: the run ends, whatever fails.
#[tokio::test]
async fn three_blocks_that_cannot_be_read_end_the_run() {
    let world = World::new();
    for (n, cluster) in [(1, "a"), (2, "b"), (3, "c")] {
        world.block(&meta(n, cluster, (0, 2 * DAY))).await;
    }
    let fails = (1..4).map(|n| (id(n), Kind::Unavailable, "not now")).collect();
    let engine = Fake { fails, ..Fake::default() };
    let options = PassOptions { downsample_concurrency: 2, ..PassOptions::default() };
    let result = run(&world.env, &options, &engine).await.unwrap();
    assert!(!result.is_clean() && result.downsampled.is_empty());
    let mut failed: Vec<_> = result.not_downsampled.iter().map(|f| (f.block, f.error.kind())).collect();
    failed.sort_unstable_by_key(|f| f.0);
    assert_eq!(failed, [1, 2, 3].map(|n| (id(n), Kind::Unavailable)));
}

#[tokio::test]
async fn what_stays_is_downsampled_on_the_way() {
    let world = World::new();
    // six blocks of two days, the seventh still in pieces of eight hours, and two newer ones
    for n in 0..6 {
        world.block(&meta(1 + n, "a", (2 * DAY * n, 2 * DAY * (n + 1)))).await;
    }
    for n in 0..6 {
        world.block(&meta(11 + n, "a", (12 * DAY + 8 * n, 12 * DAY + 8 * (n + 1)))).await;
    }
    world.block(&meta(20, "a", (14 * DAY, 14 * DAY + 2))).await;
    world.block(&meta(21, "a", (14 * DAY + 2, 14 * DAY + 4))).await;
    let engine = Fake::default();
    let result = run(&world.env, &PassOptions { stepwise: true, ..PassOptions::default() }, &engine).await.unwrap();
    assert!(result.is_clean());
    // two days come first and go at once into two weeks: they are not downsampled for nothing
    let on_the_way: Vec<_> = engine.tasks.lock().unwrap().iter().map(|t| (t.five.is_some(), t.hour.is_some())).collect();
    assert_eq!(on_the_way, [(false, false), (true, true)]);
    assert_eq!(made(&world, &result).await, [((0, 336), vec![5, 60])]);
    assert_eq!(result.compacted.len(), 2);
}

#[tokio::test]
async fn a_compaction_whose_levels_are_there_makes_none() {
    let world = World::new();
    for n in 0..7 {
        world.block(&meta(1 + n, "a", (2 * DAY * n, 2 * DAY * (n + 1)))).await;
        let mut five = meta(31 + n, "a", (2 * DAY * n, 2 * DAY * (n + 1)));
        five.thanos.downsample.resolution = FIVE_MINUTES;
        five.compaction.sources = vec![id(1 + n)];
        world.block(&five).await;
    }
    world.block(&meta(20, "a", (14 * DAY, 14 * DAY + 2))).await;
    world.block(&meta(21, "a", (14 * DAY + 2, 14 * DAY + 4))).await;
    let engine = Fake::default();
    let result = run(&world.env, &PassOptions::default(), &engine).await.unwrap();
    let raw = engine.tasks.lock().unwrap().iter().find(|t| t.resolution == 0).map(|t| (t.five, t.hour));
    assert_eq!(raw, Some((None, None)));
    // the newest five minutes are left alone, so there is no block of two weeks of them yet
    assert!(result.downsampled.is_empty(), "{result:?}");
}

#[tokio::test]
async fn a_group_that_will_be_compacted_later_is_not_downsampled_in_pieces() {
    for (kind, pieces) in [(Kind::Unavailable, 0), (Kind::Corrupt, 6)] {
        let world = World::new();
        for n in 0..7 {
            world.block(&meta(1 + n, "a", (2 * DAY * n, 2 * DAY * (n + 1)))).await;
        }
        world.block(&meta(20, "a", (14 * DAY, 14 * DAY + 2))).await;
        world.block(&meta(30, "b", (0, 2 * DAY))).await;
        let engine = Fake { fails: vec![(id(1), kind, "not now")], ..Fake::default() };
        let result = run(&world.env, &PassOptions::default(), &engine).await.unwrap();
        // whatever the other group waits for
        let others = result.downsampled.iter().filter(|d| d.source == id(30)).count();
        assert_eq!((result.errors.len(), others, result.downsampled.len() - others), (1, 1, pieces), "{kind:?}");
        let result = run(&world.env, &PassOptions::default(), &Fake::default()).await.unwrap();
        if pieces == 0 {
            assert_eq!(made(&world, &result).await, [((0, 336), vec![5, 60])]);
        }
    }
}
