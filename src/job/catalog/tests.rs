//! What a sync finds: the scenarios of upstream's meta fetcher.

use bytes::Bytes;

use super::*;
use crate::bucket::Bucket;
use crate::error::Kind;
use crate::model::Timestamp;

fn id(n: i64) -> BlockId {
    BlockId::from_parts(n, 0)
}

fn meta(n: i64) -> Meta {
    let mut meta = Meta { ulid: id(n), version: 1, ..Meta::default() };
    meta.thanos.labels = LabelSet::from_iter([("cluster", "a")]).into();
    meta.thanos.upload_time = Timestamp::ZERO;
    meta
}

async fn put(bucket: &Bucket, key: String, bytes: impl Into<Bytes>) {
    bucket.put(&key, bytes.into()).await.unwrap();
}

async fn put_meta(bucket: &Bucket, meta: &Meta) {
    put(bucket, meta_key(meta.ulid), meta.encode()).await;
}

fn options(discovery: Discovery) -> SyncOptions {
    SyncOptions { discovery, ..SyncOptions::default() }
}

fn ids(catalog: &Catalog) -> Vec<i64> {
    catalog.blocks.iter().map(|b| b.id.created()).collect()
}

fn partial_ids(catalog: &Catalog) -> Vec<i64> {
    catalog.partial.iter().map(|p| p.id.created()).collect()
}

#[tokio::test]
async fn an_empty_bucket_holds_nothing() {
    for discovery in [Discovery::Concurrent, Discovery::Recursive] {
        let catalog = Syncer::new(Bucket::memory(), options(discovery)).sync().await.unwrap();
        assert!(catalog.blocks.is_empty() && catalog.partial.is_empty() && catalog.failed.is_empty());
    }
}

#[tokio::test]
async fn blocks_partial_blocks_and_foreign_folders() {
    let bucket = Bucket::memory();
    for n in [3, 1, 2] {
        put_meta(&bucket, &meta(n)).await;
        put(&bucket, format!("{}/index", id(n)), vec![0; n as usize]).await;
    }
    put(&bucket, format!("{}/some-file", id(4)), "x").await;
    put(&bucket, format!("{}/meta.json", id(5)), "{ not a json").await;
    put(&bucket, format!("{}/no-compact-mark.json", id(2)), NoCompactMark::new(id(2), 7, "manual", "").encode()).await;
    // not in the block's own folder, so not its meta
    put(&bucket, format!("{}/copy/meta.json", id(6)), meta(6).encode()).await;
    for foreign in [false, true] {
        if foreign {
            put(&bucket, "debug/metas/x.json".to_owned(), "{}").await;
        }
        for discovery in [Discovery::Concurrent, Discovery::Recursive] {
            let catalog = Syncer::new(bucket.clone(), options(discovery)).sync().await.unwrap();
            assert_eq!(ids(&catalog), [1, 2, 3]);
            assert_eq!(partial_ids(&catalog), [4, 5, 6]);
            assert_eq!(catalog.partial[0].why, PartialReason::NoMeta);
            assert!(matches!(&catalog.partial[1].why, PartialReason::Corrupt(m) if m.at == 2));
            assert_eq!(catalog.blocks[1].no_compact.as_ref().unwrap().reason, "manual");
            assert!(catalog.blocks[0].no_compact.is_none());
            assert_eq!(catalog.blocks[2].index_bytes(), 3);
            catalog.check_complete().unwrap();
        }
    }
}

#[tokio::test]
async fn only_what_is_listed_is_fetched_and_only_once() {
    let bucket = Bucket::memory();
    for n in 1..=50 {
        put_meta(&bucket, &meta(n)).await;
    }
    put(&bucket, format!("{}/deletion-mark.json", id(7)), DeletionMark::new(id(7), 1, "").encode()).await;
    let mut syncer = Syncer::new(bucket.clone(), SyncOptions::default());
    let gets = |bucket: &Bucket| bucket.requests().get.calls;
    let before = gets(&bucket);
    assert_eq!(syncer.sync().await.unwrap().blocks.len(), 50);
    assert_eq!(gets(&bucket) - before, 51);
    let catalog = syncer.sync().await.unwrap();
    assert_eq!(gets(&bucket) - before, 52, "a second look fetches the one mark again and no meta");
    assert!(Arc::ptr_eq(&catalog.blocks[0].labels, &catalog.blocks[49].labels), "labels are shared");
}

#[tokio::test]
async fn a_replaced_meta_is_fetched_again() {
    let bucket = Bucket::memory();
    put_meta(&bucket, &meta(1)).await;
    put_meta(&bucket, &meta(2)).await;
    let mut syncer = Syncer::new(bucket.clone(), SyncOptions::default());
    assert_eq!(syncer.sync().await.unwrap().blocks[0].meta.max_time, 0);
    put_meta(&bucket, &Meta { max_time: 123_456, ..meta(1) }).await;
    let catalog = syncer.sync().await.unwrap();
    assert_eq!(catalog.blocks[0].meta.max_time, 123_456);
    bucket.delete(&meta_key(id(2))).await.unwrap();
    assert_eq!(ids(&syncer.sync().await.unwrap()), [1]);
}

#[tokio::test]
async fn a_version_of_tomorrow_leaves_the_view_incomplete() {
    let bucket = Bucket::memory();
    put_meta(&bucket, &meta(1)).await;
    put_meta(&bucket, &Meta { version: 20, ..meta(7) }).await;
    let mut marked = meta(3);
    marked.ulid = id(3);
    put_meta(&bucket, &marked).await;
    let catalog = Syncer::new(bucket.clone(), SyncOptions::default()).sync().await.unwrap();
    assert_eq!(ids(&catalog), [1, 3]);
    let error = catalog.check_complete().unwrap_err();
    assert_eq!((error.kind(), error.block_id()), (Kind::Unsupported, Some(id(7))));
    assert!(
        error.to_string().contains("incomplete view: unexpected meta file: 00000000070000000000000000/meta.json version: 20"),
        "{error}"
    );

    bucket.delete(&meta_key(id(7))).await.unwrap();
    put(&bucket, format!("{}/deletion-mark.json", id(3)), format!(r#"{{"id":"{}","version":2}}"#, id(3))).await;
    let catalog = Syncer::new(bucket, SyncOptions::default()).sync().await.unwrap();
    assert_eq!(ids(&catalog), [1]);
    let error = catalog.check_complete().unwrap_err();
    assert!(error.to_string().contains("unexpected deletion-mark file version 2, expected 1"), "{error}");
}

#[tokio::test]
async fn half_a_mark_is_no_mark_and_a_warning() {
    let bucket = Bucket::memory();
    put_meta(&bucket, &meta(1)).await;
    put(&bucket, format!("{}/deletion-mark.json", id(1)), "{\"id\":").await;
    let catalog = Syncer::new(bucket, SyncOptions::default()).sync().await.unwrap();
    assert!(catalog.blocks[0].deletion.is_none());
    assert_eq!(catalog.warnings.len(), 1);
    assert_eq!(catalog.warnings[0].0, Some(id(1)));
}

/// A bucket with three blocks, and a data folder.
async fn three() -> (Bucket, tempfile::TempDir, SyncOptions) {
    let folder = tempfile::tempdir().unwrap();
    let bucket = Bucket::memory();
    for n in 1..=3 {
        put_meta(&bucket, &meta(n)).await;
    }
    let options = SyncOptions { data_dir: Some(folder.path().to_owned()), ..SyncOptions::default() };
    (bucket, folder, options)
}

/// Syncs anew; how many metas were fetched.
async fn fetched(bucket: &Bucket, options: &SyncOptions) -> (Vec<i64>, u64) {
    let before = bucket.requests().get.calls;
    let catalog = Syncer::new(bucket.clone(), options.clone()).sync().await.unwrap();
    (ids(&catalog), bucket.requests().get.calls - before)
}

#[tokio::test]
async fn metas_are_kept_between_runs() {
    let (bucket, folder, options) = three().await;
    let file = folder.path().join("meta-syncer/metas");
    assert_eq!(fetched(&bucket, &options).await, (vec![1, 2, 3], 3));
    assert_eq!(fetched(&bucket, &options).await, (vec![1, 2, 3], 0));

    // what is damaged and what is behind it is fetched again
    let bytes = std::fs::read(&file).unwrap();
    for cut in [0, 5, 30, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&file, &bytes[..cut]).unwrap();
        let (found, count) = fetched(&bucket, &options).await;
        assert_eq!(found, [1, 2, 3]);
        assert!(count > 0, "cut at {cut}");
        assert_eq!(std::fs::read(&file).unwrap(), bytes, "cut at {cut}");
    }

    // a replaced meta is fetched, one that is gone is dropped
    put_meta(&bucket, &Meta { max_time: 123_456, ..meta(2) }).await;
    assert_eq!(fetched(&bucket, &options).await.1, 1);
    bucket.delete(&meta_key(id(1))).await.unwrap();
    assert_eq!(fetched(&bucket, &options).await, (vec![2, 3], 0));
    assert!(!String::from_utf8(std::fs::read(&file).unwrap()).unwrap().contains(&id(1).to_string()));
}

#[tokio::test]
async fn what_thanos_kept_is_used_while_it_is_newer_than_the_bucket() {
    let (bucket, folder, options) = three().await;
    let keep = |n: i64, bytes: &[u8], seconds: u64| {
        let path = folder.path().join("meta-syncer").join(id(n).to_string()).join("meta.json");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds)).unwrap();
    };
    const YEAR_3000: u64 = 32_503_680_000;
    keep(1, &meta(1).encode(), YEAR_3000);
    keep(2, &meta(2).encode(), 1);
    keep(3, b"{", YEAR_3000);
    assert_eq!(fetched(&bucket, &options).await, (vec![1, 2, 3], 2));
}

#[tokio::test]
async fn an_empty_folder_on_a_disk_is_no_block_however_little_is_looked_for() {
    let root = tempfile::tempdir().unwrap();
    let bucket = Bucket::filesystem(root.path(), "").unwrap();
    put_meta(&bucket, &meta(1)).await;
    put(&bucket, format!("{}/index", id(2)), "x").await;
    std::fs::create_dir(root.path().join(id(3).to_string())).unwrap();
    std::fs::create_dir_all(root.path().join(id(4).to_string()).join("chunks")).unwrap();
    for depth in [Depth::Metas, Depth::Everything] {
        let options = SyncOptions { depth, ..options(Discovery::Recursive) };
        let catalog = Syncer::new(bucket.clone(), options).sync().await.unwrap();
        assert_eq!((ids(&catalog), partial_ids(&catalog)), (vec![1], vec![2]), "{depth:?}");
    }
}
