//! Buckets in memory.

use std::sync::Arc;

use blockyard::bucket::{Bucket, Tuning};
use object_store::memory::InMemory;

use super::conformance;

/// Parts of this size make the suite's larger objects go in many parts.
const SMALL_PART_BYTES: u64 = 64 << 10;

#[tokio::test]
async fn memory_does_what_every_bucket_does() {
    conformance::run(&Bucket::memory()).await;
}

#[tokio::test]
async fn uploads_in_parts_do_what_every_bucket_does() {
    let tuning = Tuning { part_bytes: SMALL_PART_BYTES, ..Tuning::default() };
    let bucket = Bucket::over(Arc::new(InMemory::new()), "", tuning).unwrap();
    conformance::run(&bucket).await;
    assert!(bucket.requests().upload_part.calls > 10);
}

#[tokio::test]
async fn a_prefix_shuts_out_what_lies_beside_it() {
    let store = Arc::new(InMemory::new());
    let over = |prefix| Bucket::over(Arc::clone(&store) as _, prefix, Tuning::default()).unwrap();
    let (all, a, ab) = (over(""), over("/a/"), over("ab"));
    conformance::run(&a).await;
    ab.put("x", "beside".into()).await.unwrap();
    a.put("x", "within".into()).await.unwrap();
    assert_eq!(conformance::keys(&a, "").await, ["x"]);
    assert_eq!(conformance::keys(&all, "").await, ["a/x", "ab/x"]);
    assert_eq!(all.list_folder("").await.unwrap().folders, ["a", "ab"]);
}
