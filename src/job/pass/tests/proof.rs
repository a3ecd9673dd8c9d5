//! Bytes that change behind the encoder: nothing is marked, and nothing of the new block stays.

use std::path::Path;

use super::*;
use crate::block::tamper;
use crate::format::index::Toc;

/// The first five blocks of a golden compaction, of which four become one.
pub(super) async fn filled(world: &World) {
    let input = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/golden/horizontal/input");
    for block in std::fs::read_dir(input).unwrap().map(|b| b.unwrap()) {
        for name in ["index", "chunks/000001", "meta.json"] {
            let bytes = std::fs::read(block.path().join(name)).unwrap();
            world.put(format!("{}/{name}", block.file_name().to_str().unwrap()), bytes).await;
        }
    }
}

pub(super) fn options() -> PassOptions {
    PassOptions { consistency_delay: 0, downsampling: false, ..PassOptions::default() }
}

/// Flips a byte of the first block that it writes.
#[derive(Default)]
struct FlipsOnce(Mutex<usize>);

impl Compactor for FlipsOnce {
    async fn compact(&self, env: &Env, task: &CompactTask) -> Result<CompactOutcome> {
        let is_first = std::mem::replace(&mut *self.0.lock().unwrap(), 1) == 0;
        tamper::flip(is_first.then_some(("index", 1)));
        Engine.compact(env, task).await
    }

    async fn downsample(&self, _: &Env, _: &DownsampleTask) -> Result<Vec<Meta>> {
        unreachable!("nothing is long enough")
    }
}

#[tokio::test]
async fn a_byte_that_is_flipped_once_costs_a_second_attempt() {
    let world = World::new();
    filled(&world).await;
    let result = run(&world.env, &options(), &FlipsOnce::default()).await.unwrap();
    assert!(result.is_clean() && result.compacted.len() == 1, "{result:?}");
    assert_eq!(result.rounds, 3, "the bucket is listed again before the second");
}

#[tokio::test]
async fn a_flipped_byte_of_any_part_keeps_the_sources() {
    let world = World::new();
    filled(&world).await;
    let sound = run(&world.env, &options(), &Engine).await.unwrap();
    assert!(sound.is_clean() && sound.compacted.len() == 1, "{sound:?}");
    let id = sound.compacted[0].output.unwrap();
    let index = world.env.bucket.get(&format!("{id}/index"), 1 << 20).await.unwrap();
    let toc = Toc::decode(&index[index.len() - 52..], index.len() as u64).unwrap();

    for (part, object, at) in [
        ("index", "index", 1),
        ("index symbols", "index", toc.symbols + 12),
        ("index series", "index", toc.series_range().end - 9),
        ("index postings", "index", toc.postings + 9),
        ("index postings table", "index", toc.postings_table + 30),
        ("index table of contents", "index", index.len() as u64 - 20),
        ("chunks/000001", "chunks/000001", 3),
        ("chunks/000001", "chunks/000001", 8 + 20),
    ] {
        let world = World::new();
        filled(&world).await;
        let before = world.keys().await;
        tamper::flip(Some((object, at)));
        let result = run(&world.env, &options(), &Engine).await.unwrap();
        tamper::flip(None);
        assert!(result.compacted.is_empty(), "{part}: {result:?}");
        let error = &result.errors[0].error;
        assert_eq!((error.kind(), error.part_name()), (Kind::Corrupt, Some(part)), "{error}");
        assert!(error.block_id().is_some_and(|b| !before.iter().any(|k| k.starts_with(&b.to_string()))), "{error}");
        // there is nothing to look at in a block that is gone, nor to mark
        let text = error.to_string();
        assert!(text.contains("what is read back from it") && text.contains("untouched") && !text.contains("--id="), "{text}");
        assert!(result.errors[0].is_halt(), "it was met twice");
        assert_eq!(world.keys().await, before, "{part}: no mark, no half block");
    }
}
