//! Buckets on an S3 server: the suite, and what `object_store` alone gets wrong.

use std::sync::Arc;

use blockyard::bucket::{Bucket, Folder};
use blockyard::{Kind, Result};
use bytes::Bytes;
use futures::StreamExt;

use super::conformance::{self, keys};
use crate::moto::Moto;

/// A bucket of this test's own, or `None` when there is no server.
async fn bucket(name: &str) -> Option<(Arc<Moto>, Bucket)> {
    let moto = Moto::shared("S3 conformance")?;
    let opened = Bucket::from_yaml(&moto.bucket(name)).await.unwrap();
    assert_eq!(opened.warnings, [""; 0]);
    Some((moto, opened.bucket))
}

#[tokio::test]
async fn s3_does_what_every_bucket_does() {
    let Some((_moto, bucket)) = bucket("suite").await else { return };
    conformance::run(&bucket).await;
}

#[tokio::test]
async fn a_prefix_on_s3_does_what_every_bucket_does() {
    let Some((moto, all)) = bucket("prefixed").await else { return };
    let below = Bucket::from_yaml(&format!("{}prefix: some/where/\n", moto.config("prefixed"))).await.unwrap().bucket;
    all.put("some/where-else", "x".into()).await.unwrap();
    conformance::run(&below).await;
    assert_eq!(keys(&all, "").await, ["some/where-else"]);
}

#[tokio::test]
async fn large_objects_go_in_parts_of_16_mib_and_small_ones_as_one() {
    const MIB: usize = 1 << 20;
    let Some((_moto, bucket)) = bucket("parts").await else { return };
    for (len, parts) in [(16 * MIB, 0), (16 * MIB + 1, 2), (50 * MIB, 4)] {
        let before = bucket.requests();
        let mut upload = bucket.upload("large", 64 << 20).await.unwrap();
        let piece = Bytes::from((0..MIB).map(|n| (n % 251) as u8).collect::<Vec<_>>());
        for at in (0..len).step_by(MIB) {
            upload.write(piece.slice(..MIB.min(len - at))).await.unwrap();
        }
        assert_eq!(upload.finish().await.unwrap(), len as u64);
        assert_eq!(bucket.requests().upload_part.calls - before.upload_part.calls, parts);
        let last = bucket.get_range("large", len as u64 - 1..len as u64).await.unwrap();
        assert_eq!(last[0], piece[(len - 1) % MIB]);
    }
}

#[tokio::test]
async fn a_missing_bucket_is_told_from_a_missing_object() {
    let Some(moto) = Moto::shared("S3 conformance") else { return };
    let bucket = Bucket::from_yaml(&moto.config("nobody-made-it")).await.unwrap().bucket;
    let e = bucket.check().await.unwrap_err();
    assert_eq!(e.kind(), Kind::NotFound, "{e}");
    assert!(e.to_string().contains("check `bucket` and `endpoint`"), "{e}");
    assert!(bucket.list_folder("").await.is_err(), "a missing bucket is not an empty one");
    assert!(bucket.list("").next().await.unwrap().is_err());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let text =
        "type: S3\nconfig: {bucket: b, endpoint: '127.0.0.1:1', insecure: true, access_key: a, secret_key: s, max_retries: 1}";
    let bucket = Bucket::from_yaml(text).await.unwrap().bucket;
    for e in [bucket.check().await.unwrap_err(), bucket.get("k", 1).await.unwrap_err()] {
        assert_eq!(e.kind(), Kind::Unavailable, "{e}");
    }
    assert_eq!(bucket.requests().get.failed, 1);
}

#[tokio::test]
async fn directory_markers_are_no_objects_and_can_be_deleted() {
    let Some((moto, bucket)) = bucket("markers").await else { return };
    bucket.put("01A/chunks/000001", "c".into()).await.unwrap();
    bucket.put("01A/index", "i".into()).await.unwrap();
    for marker in ["01A/", "01A/chunks/", "only/", "only/marker/"] {
        assert_eq!(moto.ask("PUT", &format!("/markers/{marker}"), b"").0, 200);
    }
    assert_eq!(keys(&bucket, "01A").await, ["01A/chunks/000001", "01A/index"]);
    assert_eq!(keys(&bucket, "01A/chunks").await, ["01A/chunks/000001"]);
    let Folder { objects, folders } = bucket.list_folder("01A").await.unwrap();
    assert_eq!((objects.len(), folders), (1, vec!["01A/chunks".to_owned()]));
    assert_eq!(bucket.list_folder("").await.unwrap().folders, ["01A", "only"]);

    // a marker with nothing below it cannot be told from an empty object in a full listing
    assert_eq!(keys(&bucket, "").await, ["01A/chunks/000001", "01A/index", "only/marker"]);

    for key in ["01A/chunks/000001", "01A/index"] {
        bucket.delete(key).await.unwrap();
    }
    bucket.delete("01A").await.unwrap();
    assert_eq!(bucket.list_folder("").await.unwrap().folders, ["01A", "only"], "a plain delete leaves the marker");
    for folder in ["01A/chunks", "01A", "only/marker", "only", "never/was"] {
        bucket.delete_folder_marker(folder).await.unwrap();
    }
    assert_eq!(bucket.list_folder("").await.unwrap(), Folder::default());
    assert_eq!(bucket.delete_folder_marker("").await.unwrap_err().kind(), Kind::Invalid, "that would be the bucket");
    bucket.check().await.unwrap();
}

#[tokio::test]
async fn one_key_that_cannot_be_named_does_not_hide_the_others() {
    let Some((moto, bucket)) = bucket("slashes").await else { return };
    for key in ["a/1", "b/1", "b/2/x", "b/3", "c/1"] {
        bucket.put(key, "x".into()).await.unwrap();
    }
    assert_eq!(moto.ask("PUT", "/slashes/b/2//y", b"x").0, 200);

    let found: Vec<Result<_>> = bucket.list("").collect().await;
    let (last, rest) = found.split_last().unwrap();
    let named: Vec<_> = rest.iter().map(|o| o.as_ref().unwrap().key.as_str()).collect();
    assert_eq!(named, ["a/1", "b/1", "b/3", "c/1"], "all but the folder with the key in it");
    let e = last.as_ref().unwrap_err();
    assert_eq!((e.kind(), e.part_name()), (Kind::Unsupported, Some("b/2")), "{e}");
    assert!(e.to_string().contains("empty segment"), "{e}");
    assert_eq!(keys(&bucket, "a").await, ["a/1"]);
    assert_eq!(bucket.list_folder("b").await.unwrap().folders, ["b/2"]);
    assert_eq!(bucket.list_folder("b/2").await.unwrap_err().kind(), Kind::Unsupported);
}

#[tokio::test]
async fn unfinished_uploads_are_found_and_ended() {
    let Some((moto, bucket)) = bucket("unfinished").await else { return };
    let below = Bucket::from_yaml(&format!("{}prefix: p q\n", moto.config("unfinished"))).await.unwrap().bucket;
    for key in ["/unfinished/p%20q/01A/index", "/unfinished/p%20q/01A/chunks/000001", "/unfinished/p%20q-not/x"] {
        assert_eq!(moto.ask("POST", &format!("{key}?uploads"), b"").0, 200);
    }
    let found = below.list_unfinished_uploads("01A").await.unwrap();
    let named: Vec<_> = found.iter().map(|u| u.key.as_str()).collect();
    assert_eq!(named, ["01A/chunks/000001", "01A/index"]);
    assert_eq!(found[0].started, 1_289_422_113_000, "the server gives all of them this time");
    assert_eq!(below.list_unfinished_uploads("01B").await.unwrap(), []);
    for upload in &found {
        below.abort_unfinished(upload).await.unwrap();
        below.abort_unfinished(upload).await.unwrap();
    }
    assert_eq!(below.list_unfinished_uploads("").await.unwrap(), []);
    assert_eq!(bucket.list_unfinished_uploads("").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_dropped_upload_is_aborted_and_counted() {
    let Some((_moto, bucket)) = bucket("dropped").await else { return };
    let mut upload = bucket.upload("large", 64 << 20).await.unwrap();
    upload.write(Bytes::from(vec![7; 17 << 20])).await.unwrap();
    drop(upload);
    assert_eq!(bucket.requests().dropped_uploads, 1);
    // the abort is under way on this runtime; each listing lets it move on
    for _ in 0..600 {
        if bucket.list_unfinished_uploads("").await.unwrap().is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the upload is still there");
}
