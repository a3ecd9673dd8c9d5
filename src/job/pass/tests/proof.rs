//! Bytes that change behind the encoder: nothing is marked, and nothing of the new block stays.

use std::path::Path;

use super::*;
use crate::block::tamper;
use crate::format::index::Toc;

/// The first five blocks of a golden compaction, of which four become one.
async fn filled(world: &World) {
    let input = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/golden/horizontal/input");
    for block in std::fs::read_dir(input).unwrap().map(|b| b.unwrap()) {
        for name in ["index", "chunks/000001", "meta.json"] {
            let bytes = std::fs::read(block.path().join(name)).unwrap();
            world.put(format!("{}/{name}", block.file_name().to_str().unwrap()), bytes).await;
        }
    }
}

fn options() -> PassOptions {
    PassOptions { consistency_delay: 0, downsampling: false, ..PassOptions::default() }
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
        assert!(error.to_string().contains("nothing was marked"), "{error}");
        assert_eq!(world.keys().await, before, "{part}: no mark, no half block");
    }
}
