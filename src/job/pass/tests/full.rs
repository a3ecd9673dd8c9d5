//! A disk that is full from any step of a pass on: nothing is marked, nothing stays behind, and with room all is as ever.

use std::path::Path;

use super::proof::{filled, options};
use super::*;
use crate::job::quarantine::Standing;

type Files = Vec<(String, Bytes)>;

/// A world whose bucket lies in a folder, and that folder.
async fn on_a_disk() -> (World, crate::bucket::Room, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new();
    let (bucket, room) = Bucket::filesystem_with_room(folder.path());
    world.env.bucket = bucket;
    filled(&world).await;
    (world, room, folder)
}

/// Names of all files below `folder`, those that are half written as well.
fn names(folder: &Path) -> Vec<String> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).into_iter().flatten().map(|e| e.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.display().to_string());
            }
        }
    }
    found.sort();
    found
}

/// Parts of the block that four became, if it is there.
async fn made(world: &World) -> Option<Files> {
    let mut found = None;
    for key in world.keys().await {
        let Some(id) = key.strip_suffix("/meta.json") else { continue };
        let meta = Meta::decode(&world.env.bucket.get(&key, 1 << 20).await.unwrap()).unwrap();
        if meta.compaction.sources.len() == 4 {
            let mut files = Files::new();
            for name in ["chunks/000001", "index"] {
                files.push((name.to_owned(), world.env.bucket.get(&format!("{id}/{name}"), 1 << 30).await.unwrap()));
            }
            assert!(found.replace(files).is_none(), "it was made twice");
        }
    }
    found
}

async fn undisturbed() -> Files {
    let world = World::new();
    filled(&world).await;
    assert!(run(&world.env, &options(), &Engine).await.unwrap().is_clean());
    made(&world).await.expect("a new block")
}

#[tokio::test]
async fn a_disk_that_is_full_from_any_step_on() {
    let expected = undisturbed().await;
    let (mut unseen, mut seen) = (0, 0);
    for steps in 0.. {
        let (world, room, folder) = on_a_disk().await;
        let before = names(folder.path());
        room.only(steps);
        let result = run(&world.env, &options(), &Engine).await.unwrap();
        if result.is_clean() {
            break;
        }
        let failed = &result.errors[0];
        assert_eq!((failed.standing, failed.error.kind()), (Standing::Retrying, Kind::Unavailable), "{failed:?}");
        let text = failed.error.to_string();
        assert!(text.contains("there is no room for ") && text.contains("; make room on that file system"), "{text}");
        assert!(text.contains(&folder.path().display().to_string()), "{text}");
        match made(&world).await {
            None => {
                unseen += 1;
                assert_eq!(names(folder.path()), before, "{steps} steps: {text}");
            }
            Some(files) => {
                seen += 1;
                assert!(files == expected, "{steps} steps: a block is seen, and is another");
            }
        }
        room.only(usize::MAX);
        let result = run(&world.env, &options(), &Engine).await.unwrap();
        assert!(result.is_clean(), "{steps} steps: {result:?}");
        assert!(made(&world).await.as_ref() == Some(&expected), "{steps} steps: other bytes");
        assert_eq!(world.marked().await.len(), 4, "{steps} steps");
    }
    // segment, index and meta.json; then marks, with the block visible
    assert!(unseen >= 12 && seen >= 4, "{unseen} {seen}");
}

/// Postings go to scratch, where there may be no room for them.
struct Spills {
    is_full: bool,
}

impl Compactor for Spills {
    async fn compact(&self, env: &Env, task: &CompactTask) -> Result<CompactOutcome> {
        let mut task = task.clone();
        task.postings_bytes = 0;
        let folder = env.scratch.join("compact").join(task.id.to_string());
        std::fs::create_dir_all(&folder).unwrap();
        #[cfg(target_os = "linux")]
        if self.is_full {
            std::os::unix::fs::symlink("/dev/full", folder.join("postings-0-0")).unwrap();
        }
        let done = Engine.compact(env, &task).await;
        assert!(!folder.exists(), "nothing is left in scratch: {:?}", names(&folder));
        done
    }

    async fn downsample(&self, _: &Env, _: &DownsampleTask) -> Result<Vec<Meta>> {
        unreachable!("nothing is long enough")
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_scratch_folder_that_is_full() {
    let world = World::new();
    filled(&world).await;
    let before = world.keys().await;
    let result = run(&world.env, &options(), &Spills { is_full: true }).await.unwrap();
    let failed = &result.errors[0];
    assert_eq!((failed.standing, failed.error.kind()), (Standing::Retrying, Kind::Unavailable), "{failed:?}");
    let text = failed.error.to_string();
    assert!(text.contains("there is no room for ") && text.contains("postings-0-0") && text.contains("--data-dir"), "{text}");
    assert_eq!(world.keys().await, before);
    let result = run(&world.env, &options(), &Spills { is_full: false }).await.unwrap();
    assert!(result.is_clean(), "{result:?}");
    assert!(made(&world).await.unwrap() == undisturbed().await);
}
