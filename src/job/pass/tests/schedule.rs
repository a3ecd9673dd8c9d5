//! Which jobs are under way at the same time, and which wait.

use std::time::Duration;

use tokio::sync::{Barrier, Notify};
use tokio::time::timeout;

use super::*;

/// A day, in a time that passes only while everybody waits: a deadlock is over at once.
const FOR_EVER: Duration = Duration::from_secs(86_400);

/// Has compactions wait for each other.
struct Gated {
    fake: Fake,
    /// Compactions that begin before any of them goes on.
    together: Barrier,
    /// The cluster whose compaction waits until a block of level 3 was made.
    slow: &'static str,
    third_level: Notify,
    /// Clusters of jobs in order of their ends; of downsamplings in capitals.
    ended: Mutex<String>,
}

impl Gated {
    fn new(together: usize, slow: &'static str) -> Self {
        let (together, ended) = (Barrier::new(together), Mutex::default());
        Gated { fake: Fake::default(), together, slow, third_level: Notify::new(), ended }
    }
}

impl Compactor for Gated {
    async fn compact(&self, env: &Env, task: &CompactTask) -> Result<CompactOutcome> {
        self.together.wait().await;
        let cluster = task.labels.get("cluster").unwrap().to_owned();
        if cluster == self.slow {
            self.third_level.notified().await;
        }
        let made = self.fake.compact(env, task).await;
        self.ended.lock().unwrap().push_str(&cluster);
        if task.inputs.iter().any(|i| i.meta.compaction.level == 2) {
            self.third_level.notify_one();
        }
        made
    }

    async fn downsample(&self, env: &Env, task: &DownsampleTask) -> Result<Vec<Meta>> {
        self.ended.lock().unwrap().push_str(&task.labels.get("cluster").unwrap().to_uppercase());
        self.fake.downsample(env, task).await
    }
}

/// Windows of eight hours full of blocks of two, and the newest behind them.
async fn windows(world: &World, first: i64, cluster: &str, count: i64) {
    for n in 0..4 * count + 1 {
        world.block(&meta(first + n, cluster, (2 * n, 2 * n + 2))).await;
    }
}

#[tokio::test(start_paused = true)]
async fn windows_of_one_group_are_compacted_side_by_side() {
    let world = World::new();
    windows(&world, 1, "a", 2).await;
    let options = PassOptions { concurrency: 2, ..PassOptions::default() };
    let result = timeout(FOR_EVER, run(&world.env, &options, &Gated::new(2, ""))).await.unwrap().unwrap();
    assert_eq!(outputs(&result), [[1, 2, 3, 4], [5, 6, 7, 8]]);
    assert!(result.is_clean(), "{result:?}");
}

#[tokio::test(start_paused = true)]
async fn no_group_waits_for_another() {
    let world = World::new();
    windows(&world, 1, "a", 1).await;
    windows(&world, 101, "c", 6).await;
    world.block(&meta(90, "b", (0, 48))).await;
    // a takes until c, step by step and with a look behind each, has come to two days; b is downsampled meanwhile
    let options = PassOptions { concurrency: 2, stepwise: true, ..PassOptions::default() };
    let gated = Gated::new(1, "a");
    let result = timeout(FOR_EVER, run(&world.env, &options, &gated)).await.unwrap().unwrap();
    let ended = gated.ended.lock().unwrap().clone();
    assert_eq!(ended.chars().filter(|&c| c == 'c').count(), 7, "{ended}");
    assert!(ended.ends_with('a') && ended.find('B') < ended.find('a'), "{ended}");
    assert!(result.is_clean(), "{result:?}");
    assert_eq!(outputs(&result)[0], [1, 2, 3, 4]);
}

#[tokio::test]
async fn what_does_not_fit_is_postponed_with_figures_and_the_rest_goes_on() {
    let world = World::new();
    windows(&world, 1, "a", 6).await;
    windows(&world, 101, "b", 1).await;
    // two days of two-hour blocks are one job of 24 inputs, which a budget for 5 does not have room for
    let options = PassOptions { memory_budget: (96 << 20) + 9 * (2 << 20), ..PassOptions::default() };
    let fake = Fake::default();
    let result = run(&world.env, &options, &fake).await.unwrap();
    assert!(result.postponed.is_empty() && result.is_clean(), "{result:?}");
    assert!(fake.tasks.lock().unwrap().iter().all(|t| t.inputs.len() <= 6 && t.level.is_none()), "step by step");

    let world = World::new();
    windows(&world, 1, "a", 1).await;
    let options = PassOptions { memory_budget: 1 << 20, ..options };
    let result = run(&world.env, &options, &Fake::default()).await.unwrap();
    assert!(result.compacted.is_empty() && !result.is_clean());
    assert_eq!(result.postponed.len(), 1, "told once");
    assert_eq!(result.postponed[0].inputs, [1, 2, 3, 4].map(id));
    let why = &result.postponed[0].why;
    assert!(why.starts_with("it may take 104.0 MiB of memory, and 1.0 MiB are allowed"), "{why}");
}
