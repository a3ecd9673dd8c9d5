//! What every bucket does, whatever it lies on.
//!
//! The suite begins with an empty bucket and leaves it empty.

use blockyard::Kind;
use blockyard::bucket::Bucket;
use bytes::Bytes;

use super::patient::Patient;

/// More than one page of any provider's listing.
const MANY_OBJECTS: usize = 1_050;
const LIMIT_BYTES: u64 = 8 << 20;
const NONE: [&str; 0] = [];

/// Runs all of it on a bucket that does not fail.
pub(super) async fn run(bucket: &Bucket) {
    requests_are_counted(bucket).await;
    uploads_given_up(bucket).await;
    run_patiently(bucket, 1).await;
    assert_eq!(bucket.list_unfinished_uploads("").await.unwrap(), []);
}

/// Runs what can be tried again, each up to `attempts` times.
pub(super) async fn run_patiently(bucket: &Bucket, attempts: u32) {
    let bucket = &Patient { bucket, attempts };
    assert_eq!(bucket.keys("").await, NONE, "the suite begins with an empty bucket");
    small_objects(bucket).await;
    ranges(bucket).await;
    missing_objects(bucket).await;
    keys_that_look_odd(bucket).await;
    folders(bucket).await;
    streamed_objects(bucket).await;
    copies(bucket).await;
    many_objects(bucket).await;
    assert_eq!(bucket.keys("").await, NONE, "the suite leaves nothing behind");
    assert_eq!(bucket.list_folder("").await, Default::default());
}

/// Keys of a listing, as they come.
pub(super) async fn keys(bucket: &Bucket, prefix: &str) -> Vec<String> {
    Patient { bucket, attempts: 1 }.keys(prefix).await
}

async fn requests_are_counted(bucket: &Bucket) {
    let (before, measured) = (bucket.requests(), bucket.measured());
    bucket.check().await.unwrap();
    bucket.put("a/one", "first".into()).await.unwrap();
    bucket.get("a/one", 5).await.unwrap();
    bucket.get("a/one", 4).await.unwrap_err();
    bucket.get("a/none", 4).await.unwrap_err();
    bucket.get_range("a/one", 1..3).await.unwrap();
    bucket.head("a/one").await.unwrap();
    bucket.exists("a/one").await.unwrap();
    keys(bucket, "").await;
    bucket.list_folder("a").await.unwrap();
    bucket.delete("a/one").await.unwrap();
    let after = bucket.requests();
    let expected = [
        ("iter", (3, 0, 0)),
        ("get", (3, 1, 5)),
        ("get_range", (1, 0, 2)),
        ("exists", (1, 0, 0)),
        ("attributes", (1, 0, 0)),
        ("upload", (1, 0, 5)),
        ("upload_part", (0, 0, 0)),
        ("copy", (0, 0, 0)),
        ("delete", (1, 0, 0)),
    ];
    for ((now, was), (name, tally)) in after.by_name().into_iter().zip(before.by_name()).zip(expected) {
        let (now, was) = ((now.0, now.1), was.1);
        let made = (now.1.calls - was.calls, now.1.failed - was.failed, now.1.bytes - was.bytes);
        assert_eq!((now.0, made), (name, tally), "calls, failed, bytes");
    }
    let succeeded = [3, 1, 1, 1, 1, 1, 0, 0, 1];
    for ((now, was), succeeded) in bucket.measured().into_iter().zip(measured).zip(succeeded) {
        let since = |now: &[u64], was: &[u64]| now.iter().sum::<u64>() - was.iter().sum::<u64>();
        assert_eq!(since(&now.seconds, &was.seconds), succeeded, "{}", now.name);
        assert_eq!(since(&now.bytes, &was.bytes), succeeded, "{}", now.name);
        assert_eq!(now.seconds_sum > was.seconds_sum, succeeded > 0, "{}", now.name);
    }
    assert!(bucket.last_upload() > 1_500_000_000_000);
}

async fn small_objects(bucket: &Patient<'_>) {
    bucket.put("a/one", "first").await.unwrap();
    bucket.put("a/one", "second, and longer").await.unwrap();
    bucket.put("a/empty", "").await.unwrap();
    assert_eq!(bucket.get("a/one", 18).await.unwrap(), "second, and longer");
    assert_eq!(bucket.get("a/empty", 0).await.unwrap(), "");

    let too_large = bucket.get("a/one", 17).await.unwrap_err();
    assert_eq!((too_large.kind(), too_large.part_name()), (Kind::Limit, Some("a/one")));

    let head = bucket.head("a/one").await.unwrap();
    assert_eq!((head.key.as_str(), head.len_bytes), ("a/one", 18));
    assert!(head.modified > 1_500_000_000_000, "{head:?}");
    let listed = bucket.list("a").await;
    assert_eq!(listed.len(), 2);
    assert_eq!((&listed[1].key, listed[1].len_bytes, &listed[1].etag), (&head.key, 18, &head.etag));
    assert!(bucket.exists("a/empty").await);

    bucket.delete("a/one").await;
    bucket.delete("a/empty").await;
    assert!(!bucket.exists("a/one").await);
}

async fn ranges(bucket: &Patient<'_>) {
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
    bucket.delete("r").await;
}

async fn missing_objects(bucket: &Patient<'_>) {
    bucket.put("there/object", "x").await.unwrap();
    for key in ["not", "there", "there/not", "there/object/below"] {
        for missing in [bucket.get(key, 1).await, bucket.get_range(key, 0..1).await] {
            let missing = missing.unwrap_err();
            assert_eq!((missing.kind(), missing.part_name()), (Kind::NotFound, Some(key)), "{missing}");
        }
        assert_eq!(bucket.head(key).await, None, "{key}");
        bucket.delete(key).await;
        assert_eq!(bucket.list_folder("not").await, Default::default());
    }
    assert_eq!(bucket.keys("not").await, NONE);
    assert_eq!(bucket.keys("the").await, NONE, "a prefix is a folder, not the beginning of a name");
    assert_eq!(bucket.keys("there/object").await, NONE);
    assert_eq!(bucket.keys("").await, ["there/object"]);
    bucket.delete("there/object").await;
}

async fn keys_that_look_odd(bucket: &Patient<'_>) {
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
        bucket.put(key, key).await.unwrap();
        assert_eq!(bucket.get(key, 100).await.unwrap(), key);
    }
    assert_eq!(bucket.keys("").await, odd);
    assert_eq!(bucket.keys("日本").await, ["日本/語"]);
    for key in odd {
        bucket.delete(key).await;
    }
    for key in ["", "/a", "a/", "a//b", "./a", "a/../b", "a\nb"] {
        assert_eq!(bucket.put(key, "").await.unwrap_err().kind(), Kind::Invalid, "{key:?}");
    }
}

async fn folders(bucket: &Patient<'_>) {
    let all = ["b-/x", "b.json", "b/chunks/000001", "b/chunks/000002", "b/index", "b/meta.json", "b0", "c/d/e/f"];
    for key in all {
        bucket.put(key, "x").await.unwrap();
    }
    assert_eq!(bucket.keys("").await, all, "in the order of keys, where a slash is a byte like others");
    assert_eq!(bucket.keys("b").await, all[2..6]);
    assert_eq!(bucket.keys("b/").await, all[2..6]);
    let folder = async |name: &str| {
        let listed = bucket.list_folder(name).await;
        (listed.objects.into_iter().map(|o| o.key).collect::<Vec<_>>(), listed.folders)
    };
    assert_eq!(folder("").await, (vec!["b.json".into(), "b0".into()], vec!["b".into(), "b-".into(), "c".into()]));
    assert_eq!(folder("b").await, (vec!["b/index".into(), "b/meta.json".into()], vec!["b/chunks".into()]));
    assert_eq!(folder("c/d/").await, (vec![], vec!["c/d/e".into()]));
    for key in all {
        bucket.delete(key).await;
    }
    for folder in ["b/chunks", "b", "c/d/e", "c"] {
        bucket.bucket.delete_folder_marker(folder).await.unwrap();
    }
}

async fn streamed_objects(bucket: &Patient<'_>) {
    for len in [0, 1, 65_536, 65_537, 3_000_000] {
        let bytes = pattern(len);
        assert_eq!(bucket.upload("up/load", &bytes, 10_007).await.unwrap(), len as u64);
        assert_eq!(bucket.get("up/load", LIMIT_BYTES).await.unwrap(), bytes, "overwritten with {len} bytes");
    }
    bucket.delete("up/load").await;
}

async fn copies(bucket: &Patient<'_>) {
    for len in [0, 1, 70_000, 3_000_000] {
        let bytes = pattern(len);
        bucket.put("from/one", bytes.clone()).await.unwrap();
        bucket.copy("from/one", "to/a/two", len as u64).await.unwrap();
        bucket.put("from/one", "changed").await.unwrap();
        assert_eq!(bucket.get("to/a/two", LIMIT_BYTES).await.unwrap(), bytes, "a copy of {len} bytes is one of its own");
        assert_eq!(bucket.get("from/one", LIMIT_BYTES).await.unwrap(), "changed");
    }
    assert_eq!(bucket.copy("from/one", "to/a/two", 6).await.unwrap_err().kind(), Kind::Conflict, "of another length");
    assert_eq!(bucket.copy("not", "to/none", 1).await.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(bucket.copy("from/one", "from/one", 7).await.unwrap_err().kind(), Kind::Invalid);
    assert!(!bucket.exists("to/none").await);
    bucket.pass("from/one", "to/passed", 7).await.unwrap();
    assert_eq!(bucket.get("to/passed", 7).await.unwrap(), "changed");
    assert_eq!(bucket.pass("from/one", "to/long", 8).await.unwrap_err().kind(), Kind::Corrupt);
    assert_eq!(bucket.keys("").await, ["from/one", "to/a/two", "to/passed"]);
    for key in ["from/one", "to/a/two", "to/passed"] {
        bucket.delete(key).await;
    }
}

async fn uploads_given_up(bucket: &Bucket) {
    bucket.put("kept", "as it was".into()).await.unwrap();
    let mut upload = bucket.upload("kept", 10).await.unwrap();
    upload.write("0123456789".into()).await.unwrap();
    assert_eq!(upload.write("!".into()).await.unwrap_err().kind(), Kind::Limit);
    upload.abort().await.unwrap();
    assert_eq!(bucket.get("kept", 10).await.unwrap(), "as it was");
    bucket.delete("kept").await.unwrap();

    let mut upload = bucket.upload("gone/a/b", LIMIT_BYTES).await.unwrap();
    upload.write(pattern(3_000_000)).await.unwrap();
    assert_eq!(keys(bucket, "").await, NONE, "nothing is visible before the end");
    assert_eq!(bucket.head("gone/a/b").await.unwrap(), None);
    upload.abort().await.unwrap();
    assert_eq!(bucket.list_unfinished_uploads("").await.unwrap(), []);
    assert_eq!(bucket.list_folder("").await.unwrap(), Default::default());
}

async fn many_objects(bucket: &Patient<'_>) {
    let all: Vec<String> = (0..MANY_OBJECTS).map(|n| format!("many/{:02}/{n:05}", n % 3)).collect();
    for key in &all {
        bucket.put(key, "").await.unwrap();
    }
    let mut sorted = all.clone();
    sorted.sort_unstable();
    assert_eq!(bucket.keys("many").await, sorted);
    assert_eq!(bucket.list_folder("many/01").await.objects.len(), MANY_OBJECTS / 3);
    for key in &all {
        bucket.delete(key).await;
    }
}

/// Bytes that differ wherever one might mix up pieces.
fn pattern(len: usize) -> Bytes {
    (0..len as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect::<Vec<_>>().into()
}
