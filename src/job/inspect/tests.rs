//! Real blocks looked into.

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::bucket::Bucket;
use crate::clock::ManualClock;
use crate::job::Silent;
use crate::job::catalog::{SyncOptions, Syncer};

async fn block(files: [(&str, &'static [u8]); 3]) -> (Env, CatalogBlock) {
    let bucket = Bucket::memory();
    let meta = crate::format::meta::Meta::decode(files[0].1).unwrap();
    for (path, bytes) in files {
        bucket.put(&format!("{}/{path}", meta.ulid), Bytes::from_static(bytes)).await.unwrap();
    }
    let env = Env {
        bucket: bucket.clone(),
        pool: Arc::new(rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap()),
        clock: ManualClock::new(0, 1),
        report: Arc::new(Silent),
        scratch: std::env::temp_dir(),
        cancel: CancellationToken::new(),
    };
    let catalog = Syncer::new(bucket, SyncOptions::default()).sync().await.unwrap();
    (env, catalog.blocks[0].clone())
}

async fn downsampled() -> (Env, CatalogBlock) {
    block([
        ("meta.json", include_bytes!("../../../testdata/damage/sound/meta.json")),
        ("index", include_bytes!("../../../testdata/damage/sound/index")),
        ("chunks/000001", include_bytes!("../../../testdata/damage/sound/000001")),
    ])
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_are_those_of_the_meta_and_the_files() {
    let (env, block) = downsampled().await;
    let inside = inside(&env, &block, &Options { top: 1000, chunks: u64::MAX }).await.unwrap();
    let stats = &block.meta.stats;
    assert_eq!(
        (inside.series, inside.chunks, inside.encodings.looked_into),
        (stats.num_series, stats.num_chunks, stats.num_chunks)
    );
    let of = &inside.encodings.by_encoding["aggregate"];
    assert_eq!(of.samples, stats.num_samples);
    let segment = inside.parts.iter().find(|p| p.part == "chunks/000001").unwrap();
    assert_eq!(of.bytes, segment.bytes - 8);
    // sections of the index follow one another to its end
    let index: Vec<_> = inside.parts.iter().filter(|p| p.part.starts_with("index ")).collect();
    assert_eq!(index[0].offset, 0);
    assert!(index.windows(2).all(|pair| pair[0].offset + pair[0].bytes <= pair[1].offset));
    let size = inside.parts.iter().find(|p| p.part == "index").unwrap().bytes;
    assert_eq!(index.last().map(|p| p.offset + p.bytes), Some(size));
    // metrics share out series and bytes
    assert_eq!(inside.metrics_by_series.iter().map(|m| m.series).sum::<u64>(), inside.series);
    let bytes: u64 = inside.metrics_by_bytes.iter().map(|m| m.bytes).sum();
    assert!(bytes > of.bytes && bytes < of.bytes + size);
    assert!(inside.metrics_by_bytes.is_sorted_by(|a, b| a.bytes >= b.bytes));
    assert_eq!(inside.labels.iter().map(|l| l.values).sum::<u64>(), inside.label_pairs);
    assert_eq!(inside.chunks_per_series.iter().map(|c| c.series).sum::<u64>(), inside.series);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn some_chunks_are_a_sample() {
    let (env, block) = downsampled().await;
    let inside = inside(&env, &block, &Options { top: 2, chunks: 10 }).await.unwrap();
    assert!((5..=16).contains(&inside.encodings.looked_into), "{:?}", inside.encodings);
    assert_eq!(inside.pairs_by_series.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_part_is_described() {
    let (env, block) = downsampled().await;
    let index = describe(&env, &block, "index", None).await.unwrap();
    assert!(index.contains("magic number of an index"));
    let some = describe(&env, &block, "index", Some(0..5)).await.unwrap();
    assert!(some.contains("magic number") && some.len() < index.len() / 10);
    assert!(describe(&env, &block, "chunks/000001", None).await.unwrap().contains("encoding 255"));
    assert!(describe(&env, &block, "chunks/000001", Some(0..9)).await.unwrap().contains("aggregate"));
    assert!(describe(&env, &block, "meta.json", None).await.unwrap().starts_with("{\n"));
    assert_eq!(describe(&env, &block, "chunks/000009", None).await.unwrap_err().kind(), Kind::NotFound);
}
