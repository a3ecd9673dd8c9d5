//! What outgrows the format although the indexes of the inputs together did not look like it.

use super::*;
use crate::format::index::TooLong;

/// Cannot merge more than three blocks.
#[derive(Default)]
struct Narrow(Fake);

impl Compactor for Narrow {
    async fn compact(&self, env: &Env, task: &CompactTask) -> Result<CompactOutcome> {
        if task.inputs.len() > 3 {
            let limit = u64::from(u32::MAX);
            return Err(TooLong { part: "index postings table", bytes: limit + 1, limit }.into());
        }
        self.0.compact(env, task).await
    }

    async fn downsample(&self, env: &Env, task: &DownsampleTask) -> Result<Vec<Meta>> {
        self.0.downsample(env, task).await
    }
}

#[tokio::test]
async fn the_largest_index_is_left_out() {
    let world = World::new();
    for n in 0..5 {
        world.block(&meta(1 + n, "a", (2 * n, 2 * n + 2))).await;
    }
    world.put(format!("{}/index", id(3)), vec![0; 200]).await;
    let result = run(&world.env, &PassOptions::default(), &Narrow::default()).await.unwrap();
    assert!(result.errors.is_empty(), "{result:?}");
    let key = format!("{}/no-compact-mark.json", id(3));
    let mark = NoCompactMark::decode(&world.env.bucket.get(&key, 1 << 20).await.unwrap()).unwrap();
    assert_eq!(mark.reason, "index-size-exceeding");
    assert!(mark.details.contains("index postings table of 4294967296 bytes"), "{}", mark.details);
    let marks: Vec<_> = world.keys().await.into_iter().filter(|k| k.ends_with("no-compact-mark.json")).collect();
    assert_eq!(marks, [key], "no other block is left out");
}
