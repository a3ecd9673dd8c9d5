//! Buckets behind faults.

use std::sync::Arc;
use std::time::Duration;

use blockyard::Kind;
use blockyard::bucket::faulty::{Faults, Faulty};
use blockyard::bucket::{Bucket, Tuning};
use object_store::memory::InMemory;

use super::conformance;

/// An upload in parts is tried again as a whole, and each of its operations may fail in each try.
const ATTEMPTS: u32 = 200;

fn over(faults: Faults) -> (Faulty, Bucket) {
    let faulty = Faulty::new(Arc::new(InMemory::new()), faults);
    let tuning = Tuning { part_bytes: 1 << 20, ..Tuning::default() };
    let bucket = Bucket::over(Arc::new(faulty.clone()), "", tuning).unwrap();
    (faulty, bucket)
}

#[tokio::test]
async fn a_wrapper_without_faults_does_what_every_bucket_does() {
    let (faulty, bucket) = over(Faults::default());
    conformance::run(&bucket).await;
    assert_eq!(faulty.failed(), 0);
    assert!(faulty.operations() > 1_000);
}

#[tokio::test(start_paused = true)]
async fn whoever_tries_again_sees_a_bucket_like_any_other() {
    for seed in 0..4 {
        let (faulty, bucket) = over(Faults {
            seed,
            error_permille: 100,
            timeout_permille: 20,
            timeout: Duration::from_secs(60),
            short_read_permille: 200,
            lost_answer_permille: 100,
            failures_in_a_row: 5,
            ..Faults::default()
        });
        conformance::run_patiently(&bucket, ATTEMPTS).await;
        assert!(faulty.failed() > 300, "seed {seed}: {}", faulty.failed());
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_is_unavailable_and_not_corrupt() {
    let (_, bucket) = over(Faults { short_read_permille: 1000, ..Faults::default() });
    bucket.put("k", "0123456789".into()).await.unwrap();
    for e in [bucket.get("k", 10).await.unwrap_err(), bucket.get_range("k", 2..8).await.unwrap_err()] {
        assert_eq!(e.kind(), Kind::Unavailable, "{e}");
    }
    assert_eq!(bucket.get_range("k", 8..11).await.unwrap_err().kind(), Kind::Corrupt, "here the object is short");
}

#[tokio::test]
async fn a_crash_in_the_middle_of_an_upload_shows_nothing() {
    let len = 3 << 20;
    for crash_after in 0..8 {
        let (faulty, bucket) = over(Faults { crash_after: Some(crash_after), seed: 3, ..Faults::default() });
        let run = async {
            let mut upload = bucket.upload("k", len).await?;
            for _ in 0..3 {
                upload.write(vec![7; 1 << 20].into()).await?;
            }
            upload.finish().await
        };
        let done = run.await;
        // begin, three parts, complete, head
        assert_eq!(done.is_ok(), crash_after >= 6, "{crash_after}: {done:?}");
        let after = Bucket::over(faulty.store(), "", Tuning::default()).unwrap();
        let held = after.head("k").await.unwrap().map(|o| o.len_bytes);
        assert!(held.is_none() && crash_after <= 4 || held == Some(len) && crash_after >= 4, "{crash_after}: {held:?}");
    }
}
