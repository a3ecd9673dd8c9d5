//! What is forecast is what passes then do; in which order they take groups, and jobs that do not touch, is theirs.

use super::*;
use crate::job::downsample::{Downsampled, name};

/// Blocks by their hours and resolution, which tell them apart however they came about.
type Range = (i64, i64, String);

/// Jobs of a forecast and of passes in one form: what is done, to how many blocks, over which hours.
fn forecast_of(forecast: &Forecast) -> Vec<(String, usize, Range)> {
    let job = |j: &crate::job::forecast::Job| {
        let kind = if j.kind == JobKind::Compact { "compact" } else { "downsample" };
        let range = (j.min_time_ms / HOUR, j.max_time_ms / HOUR, name(j.resolution_ms));
        let levels: Vec<String> = j.makes.iter().map(|m| name(m.resolution_ms)).collect();
        (format!("{kind} to {}", levels.join(" ")), j.blocks.len() + j.results_of.len(), range)
    };
    forecast.jobs.iter().map(job).collect()
}

async fn meta_of(world: &World, block: BlockId) -> Meta {
    Meta::decode(&world.env.bucket.get(&format!("{block}/meta.json"), 1 << 20).await.unwrap()).unwrap()
}

/// Runs passes until one does nothing; what they did.
async fn passes(world: &World, options: &PassOptions) -> (Vec<(String, usize, Range)>, Vec<BlockId>) {
    let (mut done, mut marked) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        let result = run(&world.env, options, &Fake::default()).await.unwrap();
        let before = (done.len(), marked.len());
        for compacted in &result.compacted {
            let output = compacted.output.expect("there are samples");
            let meta = meta_of(world, output).await;
            let coarser = result.downsampled.iter().filter(|d| d.source == output).flat_map(|d| &d.written);
            let levels: Vec<String> = std::iter::once(&meta).chain(coarser).map(|m| name(m.resolution())).collect();
            let range = (meta.min_time / HOUR, meta.max_time / HOUR, name(meta.resolution()));
            done.push((format!("compact to {}", levels.join(" ")), compacted.inputs.len(), range));
        }
        let by_themselves = |d: &&Downsampled| !result.compacted.iter().any(|c| c.output == Some(d.source));
        for downsampled in result.downsampled.iter().filter(by_themselves) {
            let meta = meta_of(world, downsampled.source).await;
            let levels: Vec<String> = downsampled.written.iter().map(|m| name(m.resolution())).collect();
            let range = (meta.min_time / HOUR, meta.max_time / HOUR, name(meta.resolution()));
            done.push((format!("downsample to {}", levels.join(" ")), 1, range));
        }
        marked.extend(result.garbage);
        marked.extend(result.marked.iter().map(|m| m.block));
        marked.extend(result.retention.marked.iter().map(|e| e.block));
        if before == (done.len(), marked.len()) {
            marked.sort_unstable();
            return (done, marked);
        }
    }
    panic!("passes go on and on: {done:?}");
}

/// Holds a forecast against the passes that follow.
async fn check(world: &World, options: &PassOptions) -> Forecast {
    let before = world.keys().await;
    let forecast = dry_run(&world.env, options).await.unwrap();
    assert_eq!(world.keys().await, before, "who looks writes nothing");
    let (mut done, marked) = passes(world, options).await;
    let mut forecast_jobs = forecast_of(&forecast);
    done.sort();
    forecast_jobs.sort();
    assert_eq!(forecast_jobs, done);
    // blocks that are made and marked on the way have no name before
    let mut expected: Vec<BlockId> = forecast.marks.iter().filter_map(|m| m.which.block).collect();
    expected.sort_unstable();
    assert_eq!(marked.len(), forecast.marks.len(), "{}", forecast.to_text(120));
    let was_there = |block: &&BlockId| before.iter().any(|key| key.starts_with(&block.to_string()));
    assert_eq!(expected, marked.iter().filter(was_there).copied().collect::<Vec<_>>());
    let again = dry_run(&world.env, options).await.unwrap();
    assert!(again.is_idle(), "{}", again.to_text(120));
    forecast
}

#[tokio::test]
async fn a_backlog_of_two_groups() {
    let world = World::new();
    for n in 0..200 {
        world.block(&meta(1 + n, "a", (2 * n, 2 * n + 2))).await;
    }
    for n in 0..27 {
        world.block(&meta(1000 + n, "b", (2 * n, 2 * n + 2))).await;
    }
    let forecast = check(&world, &PassOptions::default()).await;
    assert_eq!(forecast.jobs[0].in_place_of, 50);
    assert_eq!(forecast.totals.bytes_read, 200 * (168 + 24 + 4 + 24));
}

#[tokio::test]
async fn step_by_step_with_results_of_results() {
    let world = World::new();
    for n in 0..170 {
        world.block(&meta(1 + n, "a", (2 * n, 2 * n + 2))).await;
    }
    let options = PassOptions { stepwise: true, ..PassOptions::default() };
    let forecast = check(&world, &options).await;
    assert_eq!(forecast.jobs.len(), 50);
    let last = forecast.jobs.last().unwrap();
    assert_eq!((last.blocks.len(), last.results_of.len()), (0, 7));
    assert_eq!(
        last.bytes_read,
        last.results_of.iter().map(|&n| forecast.jobs[n - 1].makes[0].bytes_estimated - 2048).sum::<u64>()
    );
}

#[tokio::test]
async fn replicas_duplicates_and_tombstones() {
    let world = World::new();
    for (base, replica) in [(0, "x"), (100, "y")] {
        for n in 0..30 {
            let mut meta = meta(base + 1 + n, "a", (2 * n, 2 * n + 2));
            meta.thanos.labels = LabelSet::from_iter([("cluster", "a"), ("replica", replica)]).into();
            world.block(&meta).await;
        }
    }
    let mut twin = meta(300, "b", (0, 2));
    twin.compaction.sources = vec![id(301)];
    world.block(&twin).await;
    world.block(&meta(301, "b", (0, 2))).await;
    let mut deleted = meta(310, "c", (0, 48));
    (deleted.stats.num_tombstones, deleted.stats.num_series) = (50, 10);
    world.block(&deleted).await;
    world.block(&meta(311, "c", (48, 50))).await;
    let options = PassOptions { replica_labels: vec!["replica".into()], ..PassOptions::default() };
    let forecast = check(&world, &options).await;
    assert!(forecast.jobs.iter().any(|j| j.because.because == "tombstones"));
    assert!(forecast.jobs.iter().filter(|j| j.because.because == "overlap").count() >= 29);
}

#[tokio::test]
async fn coarse_blocks_are_compacted_in_the_pass_after() {
    let world = World::new();
    for n in 0..9 {
        world.block(&meta(1 + n, "a", (48 * n, 48 * n + 48))).await;
    }
    // the window of two weeks is joined with both levels; blocks of two days behind it get five minutes
    let mut mark = meta(50, "b", (0, 48));
    mark.thanos.downsample.resolution = FIVE_MINUTES;
    world.block(&mark).await;
    for n in 1..9 {
        let mut five = meta(50 + n, "b", (48 * n, 48 * n + 48));
        five.thanos.downsample.resolution = FIVE_MINUTES;
        world.block(&five).await;
    }
    for n in 0..8 {
        world.block(&meta(70 + n, "d", (48 * n, 48 * n + 48))).await;
    }
    let mark = crate::format::marks::NoCompactMark::new(id(70), 5, "manual", "a person said so").encode();
    world.put(format!("{}/no-compact-mark.json", id(70)), mark).await;
    let forecast = check(&world, &PassOptions::default()).await;
    assert!(forecast.totals.passes > 1, "{}", forecast.to_text(120));
    let marked = forecast.left_alone.iter().find(|l| l.because.because == "no-compact-mark").unwrap();
    assert_eq!((&*marked.blocks, marked.because.mark_reason.as_deref()), (&[id(70)][..], Some("manual")));
    assert!(marked.why.contains("a person said so"), "{}", marked.why);
}

#[tokio::test]
async fn retention_before_and_after() {
    let world = World::new();
    let ago = NOW / HOUR / 336 * 336 - 3 * 336;
    for n in 0..24 {
        world.block(&meta(1 + n, "a", (ago + 48 * n, ago + 48 * n + 48))).await;
    }
    world.block(&meta(100, "b", (ago - 400, ago - 398))).await;
    world.block(&meta(101, "b", (NOW / HOUR - 60, NOW / HOUR - 58))).await;
    let options = PassOptions { retention_raw: 600 * HOUR, retention_confirm: true, ..PassOptions::default() };
    let forecast = check(&world, &options).await;
    let lost = forecast.marks.iter().find(|m| m.which.block == Some(id(100))).unwrap();
    assert!(lost.lost.as_ref().unwrap().contains("too short"), "{lost:?}");
    // what is made of held blocks goes in the same pass, and has no name yet
    assert!(forecast.marks.iter().any(|m| m.which.result_of.is_some()), "{}", forecast.to_text(120));
    // without a word of confirmation most of it would stay
    let stopped = dry_run(&retained().await.env, &PassOptions { retention_confirm: false, ..options }).await.unwrap();
    assert!(stopped.stopped[0].contains("--retention.confirm") && stopped.marks.is_empty(), "{:?}", stopped.stopped);
}

async fn retained() -> World {
    let world = World::new();
    world.block(&meta(100, "b", (0, 2))).await;
    world
}

#[tokio::test]
async fn an_index_that_would_outgrow_the_limit_is_marked_first() {
    let world = World::new();
    for n in 0..5 {
        world.block(&meta(1 + n, "a", (2 * n, 2 * n + 2))).await;
    }
    let options = PassOptions { block_max_index_bytes: 300, ..PassOptions::default() };
    let forecast = check(&world, &options).await;
    assert_eq!(forecast.marks[0].because, "index-size-exceeding");
    let text = forecast.to_text(300);
    assert!(text.contains(&format!("mark {} no-compact: index-size-exceeding, ", id(1))), "{text}");
}
