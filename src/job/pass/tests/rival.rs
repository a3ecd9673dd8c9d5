//! Another compactor is at work on the same bucket.

use super::*;
use crate::job::quarantine::Standing;
use crate::job::rival::LEFT_ALONE_FOR;
use crate::job::{Event, Report};

/// The year 2001: what a store of now writes is younger than any block here.
const THEN: Millis = 1_000_000_000_000;

#[derive(Default)]
struct Warnings(Mutex<(Vec<String>, usize)>);

impl Report for Warnings {
    fn event(&self, event: Event<'_>) {
        let mut heard = self.0.lock().unwrap();
        match event {
            Event::Note { level: crate::job::Level::Warn, text, .. } => heard.0.push(text.to_owned()),
            Event::Rivals { blocks } => heard.1 = blocks,
            _ => {}
        }
    }
}

/// A bucket, and how somebody else has it.
fn world() -> (World, Bucket, Arc<Warnings>) {
    let (mut world, warnings) = (World::new(), Arc::<Warnings>::default());
    let store = Arc::new(object_store::memory::InMemory::new());
    let [ours, other] = [(); 2].map(|()| Bucket::over(store.clone(), "", Default::default()).unwrap());
    world.env.bucket = ours;
    world.clock = ManualClock::new(THEN, 7);
    world.env.clock = world.clock.clone();
    world.env.report = warnings.clone();
    (world, other, warnings)
}

/// Five blocks of two hours.
async fn due(world: &World, base: i64, cluster: &str, from: i64) {
    for n in 0..5 {
        world.block(&meta(base + n, cluster, (from + 2 * n, from + 2 * n + 2))).await;
    }
}

/// A block as another compactor makes it `after` the clock's time.
async fn merged(world: &World, other: &Bucket, after: Millis, cluster: &str, hours: (i64, i64), resolution: Millis) -> BlockId {
    let id = BlockId::from_parts(world.env.clock.now() + after, 99);
    let mut meta = Meta { ulid: id, ..meta(0, cluster, hours) };
    meta.compaction.level = 2;
    meta.thanos.downsample.resolution = resolution;
    meta.compaction.sources = vec![id];
    meta.thanos.source = "compactor".to_owned();
    for (name, bytes) in [("chunks/000001", vec![0; 9]), ("index", vec![0; 9]), ("meta.json", meta.encode())] {
        other.put(&format!("{id}/{name}"), bytes.into()).await.unwrap();
    }
    id
}

#[tokio::test]
async fn groups_that_another_compactor_touches_are_left_alone_for_a_time() {
    let (world, other, warnings) = world();
    let options = PassOptions::default();
    due(&world, 1, "a", 0).await;
    due(&world, 21, "b", 0).await;
    // before we came somebody else compacted: that is history
    merged(&world, &other, -60_000, "b", (1000, 1008), 0).await;
    let first = run(&world.env, &options, &Fake::default()).await.unwrap();
    assert_eq!((outputs(&first), first.is_clean()), (vec![vec![1, 2, 3, 4], vec![21, 22, 23, 24]], true));

    // our own blocks of the first pass are no others'
    due(&world, 41, "a", 10).await;
    due(&world, 61, "b", 10).await;
    let made = merged(&world, &other, 60_000, "a", (2000, 2008), 0).await;
    world.clock.advance(120_000);
    let second = run(&world.env, &options, &Fake::default()).await.unwrap();
    assert_eq!(outputs(&second), [[25, 61, 62, 63]]);
    let [error] = &second.errors[..] else { panic!("{:?}", second.errors) };
    assert_eq!((error.standing, error.error.kind(), error.error.block_id()), (Standing::Retrying, Kind::Conflict, Some(made)));
    assert_eq!(error.labels, LabelSet::from_iter([("cluster", "a")]));
    let (told, count) = warnings.0.lock().unwrap().clone();
    let told: Vec<_> = told.iter().filter(|text| text.contains("another compactor works on this bucket")).collect();
    assert_eq!((told.len(), count), (1, 1), "{told:?}");
    assert!(told[0].contains(r#"0@{cluster="a"}"#) && told[0].contains("`compactor`") && told[0].contains("stop the other one"));

    // nothing more comes of the other one
    world.clock.advance(LEFT_ALONE_FOR);
    let third = run(&world.env, &options, &Fake::default()).await.unwrap();
    assert_eq!((outputs(&third), third.is_clean()), (vec![vec![5, 41, 42, 43]], true));
}

#[tokio::test]
async fn nothing_is_downsampled_beside_another_compactor() {
    let (world, other, _) = world();
    let options = PassOptions::default();
    let first = run(&world.env, &options, &Fake::default()).await.unwrap();
    assert!(first.is_clean());
    // two days and more are downsampled
    for cluster in ["a", "b"] {
        let mut long = meta(if cluster == "a" { 1 } else { 2 }, cluster, (0, 72));
        long.compaction.level = 4;
        world.block(&long).await;
    }
    merged(&world, &other, 1000, "a", (1000, 1008), FIVE_MINUTES).await;
    world.clock.advance(2000);
    let second = run(&world.env, &options, &Fake::default()).await.unwrap();
    assert_eq!(second.downsampled.iter().map(|d| d.source).collect::<Vec<_>>(), [id(2)]);
    assert_eq!(second.not_downsampled.iter().map(|f| (f.block, f.tried)).collect::<Vec<_>>(), [(id(1), false)]);
    world.clock.advance(LEFT_ALONE_FOR);
    let third = run(&world.env, &options, &Fake::default()).await.unwrap();
    assert_eq!(third.downsampled.iter().map(|d| d.source).collect::<Vec<_>>(), [id(1)]);
}
