//! What every bucket does, whatever it lies on.
//!
//! The suite begins with an empty bucket and leaves it empty.

use blockyard::bucket::Bucket;
use blockyard::{Kind, Result};
use bytes::Bytes;
use futures::TryStreamExt;

/// More than one page of any provider's listing.
const MANY_OBJECTS: usize = 1_050;
const LIMIT_BYTES: u64 = 8 << 20;

/// Runs all of it.
pub(super) async fn run(bucket: &Bucket) {
    assert_eq!(keys(bucket, "").await, [""; 0], "the suite begins with an empty bucket");
    bucket.check().await.unwrap();
    small_objects(bucket).await;
    ranges(bucket).await;
    missing_objects(bucket).await;
    keys_that_look_odd(bucket).await;
    folders(bucket).await;
    streamed_objects(bucket).await;
    uploads_given_up(bucket).await;
    many_objects(bucket).await;
    assert_eq!(keys(bucket, "").await, [""; 0], "the suite leaves nothing behind");
    assert_eq!(bucket.list_folder("").await.unwrap(), Default::default());
    assert_eq!(bucket.list_unfinished_uploads("").await.unwrap(), []);
}

/// Keys of a listing, as they come.
pub(super) async fn keys(bucket: &Bucket, prefix: &str) -> Vec<String> {
    let found: Result<Vec<_>> = bucket.list(prefix).map_ok(|o| o.key).try_collect().await;
    found.unwrap()
}

async fn small_objects(bucket: &Bucket) {
    let before = bucket.requests();
    bucket.put("a/one", "first".into()).await.unwrap();
    bucket.put("a/one", "second, and longer".into()).await.unwrap();
    bucket.put("a/empty", Bytes::new()).await.unwrap();
    assert_eq!(bucket.get("a/one", 18).await.unwrap(), "second, and longer");
    assert_eq!(bucket.get("a/empty", 0).await.unwrap(), "");

    let too_large = bucket.get("a/one", 17).await.unwrap_err();
    assert_eq!((too_large.kind(), too_large.part_name()), (Kind::Limit, Some("a/one")));

    let head = bucket.head("a/one").await.unwrap().unwrap();
    assert_eq!((head.key.as_str(), head.len_bytes), ("a/one", 18));
    assert!(head.modified > 1_500_000_000_000, "{head:?}");
    let listed: Vec<_> = bucket.list("a").try_collect().await.unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!((&listed[1].key, listed[1].len_bytes, &listed[1].etag), (&head.key, 18, &head.etag));
    assert!(bucket.exists("a/empty").await.unwrap());

    bucket.delete("a/one").await.unwrap();
    bucket.delete("a/empty").await.unwrap();
    assert!(!bucket.exists("a/one").await.unwrap());

    let after = bucket.requests();
    assert_eq!(after.upload.calls - before.upload.calls, 3);
    assert_eq!(after.upload.bytes - before.upload.bytes, 5 + 18);
    assert_eq!(after.get.calls - before.get.calls, 3);
    assert_eq!((after.get.failed - before.get.failed, after.get.bytes - before.get.bytes), (1, 18));
    assert_eq!(after.delete.calls - before.delete.calls, 2);
    assert_eq!((after.exists.calls - before.exists.calls, after.attributes.calls - before.attributes.calls), (2, 1));
}

async fn ranges(bucket: &Bucket) {
    let bytes = pattern(70_000);
    bucket.put("r", bytes.clone()).await.unwrap();
    for range in [0..1, 0..70_000, 69_999..70_000, 123..65_700] {
        let got = bucket.get_range("r", range.clone()).await.unwrap();
        assert_eq!(got, bytes[range.start as usize..range.end as usize], "{range:?}");
    }
    assert_eq!(bucket.get_range("r", 5..5).await.unwrap(), "");
    for range in [0..70_001, 69_999..70_001, 70_000..70_001, 1 << 40..(1 << 40) + 1, 0..u64::MAX] {
        let short = bucket.get_range("r", range.clone()).await.unwrap_err();
        assert_eq!((short.kind(), short.part_name()), (Kind::Corrupt, Some("r")), "{range:?}: {short}");
    }
    #[allow(clippy::reversed_empty_ranges)] // that is what is tried
    let reversed = bucket.get_range("r", 2..1).await.unwrap_err();
    assert_eq!(reversed.kind(), Kind::Invalid);
    bucket.delete("r").await.unwrap();
}

async fn missing_objects(bucket: &Bucket) {
    bucket.put("there/object", "x".into()).await.unwrap();
    for key in ["not", "there", "there/not", "there/object/below"] {
        for missing in [bucket.get(key, 1).await, bucket.get_range(key, 0..1).await] {
            let missing = missing.unwrap_err();
            assert_eq!((missing.kind(), missing.part_name()), (Kind::NotFound, Some(key)), "{missing}");
        }
        assert_eq!(bucket.head(key).await.unwrap(), None, "{key}");
        bucket.delete(key).await.unwrap();
        assert_eq!(bucket.list_folder("not").await.unwrap(), Default::default());
    }
    assert_eq!(keys(bucket, "not").await, [""; 0]);
    assert_eq!(keys(bucket, "the").await, [""; 0], "a prefix is a folder, not the beginning of a name");
    assert_eq!(keys(bucket, "there/object").await, [""; 0]);
    assert_eq!(keys(bucket, "").await, ["there/object"]);
    bucket.delete("there/object").await.unwrap();
}

async fn keys_that_look_odd(bucket: &Bucket) {
    let mut odd = [
        "é",
        "日本/語",
        "a b",
        " ",
        "100%",
        "a%2Fb",
        "x#y",
        "q?r=s&t",
        "a+b",
        "~",
        "[{}]",
        "semi;colon",
        "quo\"te'",
        "back\\slash",
        "...",
    ];
    odd.sort_unstable();
    for key in odd {
        bucket.put(key, key.to_owned().into()).await.unwrap();
        assert_eq!(bucket.get(key, 100).await.unwrap(), key);
    }
    assert_eq!(keys(bucket, "").await, odd);
    assert_eq!(keys(bucket, "日本").await, ["日本/語"]);
    for key in odd {
        bucket.delete(key).await.unwrap();
    }
    for key in ["", "/a", "a/", "a//b", "./a", "a/../b", "a\nb"] {
        assert_eq!(bucket.put(key, Bytes::new()).await.unwrap_err().kind(), Kind::Invalid, "{key:?}");
    }
}

async fn folders(bucket: &Bucket) {
    let all = ["b-/x", "b.json", "b/chunks/000001", "b/chunks/000002", "b/index", "b/meta.json", "b0", "c/d/e/f"];
    for key in all {
        bucket.put(key, "x".into()).await.unwrap();
    }
    assert_eq!(keys(bucket, "").await, all, "in the order of keys, where a slash is a byte like others");
    assert_eq!(keys(bucket, "b").await, all[2..6]);
    assert_eq!(keys(bucket, "b/").await, all[2..6]);
    let folder = async |name: &str| {
        let listed = bucket.list_folder(name).await.unwrap();
        (listed.objects.into_iter().map(|o| o.key).collect::<Vec<_>>(), listed.folders)
    };
    assert_eq!(folder("").await, (vec!["b.json".into(), "b0".into()], vec!["b".into(), "b-".into(), "c".into()]));
    assert_eq!(folder("b").await, (vec!["b/index".into(), "b/meta.json".into()], vec!["b/chunks".into()]));
    assert_eq!(folder("c/d/").await, (vec![], vec!["c/d/e".into()]));
    for key in all {
        bucket.delete(key).await.unwrap();
    }
    for folder in ["b/chunks", "b", "c/d/e", "c"] {
        bucket.delete_folder_marker(folder).await.unwrap();
    }
}

async fn streamed_objects(bucket: &Bucket) {
    for len in [0, 1, 65_536, 65_537, 3_000_000] {
        let bytes = pattern(len);
        let mut upload = bucket.upload("up/load", 3_000_000).await.unwrap();
        for piece in bytes.chunks(10_007) {
            upload.write(bytes.slice_ref(piece)).await.unwrap();
        }
        assert_eq!(upload.written(), len as u64);
        assert_eq!(upload.finish().await.unwrap(), len as u64);
        assert_eq!(bucket.get("up/load", LIMIT_BYTES).await.unwrap(), bytes, "overwritten with {len} bytes");
    }
    let mut upload = bucket.upload("up/load", 10).await.unwrap();
    upload.write("0123456789".into()).await.unwrap();
    assert_eq!(upload.write("!".into()).await.unwrap_err().kind(), Kind::Limit);
    upload.abort().await.unwrap();
    assert_eq!(bucket.head("up/load").await.unwrap().unwrap().len_bytes, 3_000_000, "what was there is still there");
    bucket.delete("up/load").await.unwrap();
}

async fn uploads_given_up(bucket: &Bucket) {
    let mut upload = bucket.upload("gone/a/b", LIMIT_BYTES).await.unwrap();
    upload.write(pattern(3_000_000)).await.unwrap();
    assert_eq!(keys(bucket, "").await, [""; 0], "nothing is visible before the end");
    assert_eq!(bucket.head("gone/a/b").await.unwrap(), None);
    upload.abort().await.unwrap();
    assert_eq!(bucket.list_unfinished_uploads("").await.unwrap(), []);
    assert_eq!(bucket.list_folder("").await.unwrap(), Default::default());
}

async fn many_objects(bucket: &Bucket) {
    let all: Vec<String> = (0..MANY_OBJECTS).map(|n| format!("many/{:02}/{n:05}", n % 3)).collect();
    for key in &all {
        bucket.put(key, Bytes::new()).await.unwrap();
    }
    let mut sorted = all.clone();
    sorted.sort_unstable();
    assert_eq!(keys(bucket, "many").await, sorted);
    assert_eq!(bucket.list_folder("many/01").await.unwrap().objects.len(), MANY_OBJECTS / 3);
    for key in &all {
        bucket.delete(key).await.unwrap();
    }
}

/// Bytes that differ wherever one might mix up pieces.
fn pattern(len: usize) -> Bytes {
    (0..len as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect::<Vec<_>>().into()
}
