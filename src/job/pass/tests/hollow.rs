//! Blocks in which there is not what their metas count.

use super::*;

/// Finds no samples, whatever the metas say; counts how often it was asked.
#[derive(Default)]
struct Hollow(Mutex<usize>);

impl Compactor for Hollow {
    async fn compact(&self, _: &Env, _: &CompactTask) -> Result<CompactOutcome> {
        *self.0.lock().unwrap() += 1;
        Ok(CompactOutcome::Empty)
    }

    async fn downsample(&self, _: &Env, _: &DownsampleTask) -> Result<Vec<Meta>> {
        unreachable!("nothing is long enough")
    }
}

#[tokio::test]
async fn blocks_without_the_samples_that_they_count_stay_and_are_not_read_for_ever() {
    let world = World::new();
    for n in 0..5 {
        world.block(&meta(1 + n, "a", (2 * n, 2 * n + 2))).await;
    }
    let before = world.keys().await;
    let engine = Hollow::default();
    let result = run(&world.env, &PassOptions::default(), &engine).await.unwrap();
    assert!(result.errors.is_empty() && result.compacted.is_empty(), "{result:?}");
    assert_eq!(*engine.0.lock().unwrap(), 1, "once a pass");
    assert_eq!(world.keys().await, before, "nothing is marked");
}
