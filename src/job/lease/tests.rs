//! Compactors that come to one bucket, on a clock of the runtime that is moved on.

use std::sync::Arc;

use rayon::ThreadPoolBuilder;
use tokio::time::advance;

use super::*;
use crate::clock::ManualClock;
use crate::job::Silent;

fn env(bucket: &Bucket, seed: u64) -> Env {
    Env {
        bucket: bucket.clone(),
        pool: Arc::new(ThreadPoolBuilder::new().num_threads(1).build().unwrap()),
        clock: ManualClock::new(1_700_000_000_000, seed),
        report: Arc::new(Silent),
        scratch: std::env::temp_dir(),
        cancel: CancellationToken::new(),
    }
}

async fn taken(env: &Env) -> Lease {
    take(env, "all").await.unwrap()
}

/// Hears of those who wait.
struct Heard(tokio::sync::mpsc::UnboundedSender<String>);

impl crate::job::Report for Heard {
    fn event(&self, event: Event<'_>) {
        if let Event::Note { text, .. } = event {
            self.0.send(text.to_owned()).unwrap();
        }
    }
}

/// Somebody who waits, and what they say.
async fn waiting(mut env: Env) -> (JoinHandle<Lease>, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
    env.report = Arc::new(Heard(tx));
    let task = tokio::spawn(async move { taken(&env).await });
    let said = rx.recv().await.unwrap();
    assert!(said.starts_with(&format!("process {} on ", std::process::id())), "{said}");
    (task, rx)
}

#[tokio::test(start_paused = true)]
async fn the_second_waits_for_the_first_to_end() {
    let bucket = Bucket::memory();
    let first = taken(&env(&bucket, 1)).await;
    let (second, mut heard) = waiting(env(&bucket, 2)).await;
    // renewed in time: it may last for hours
    tokio::time::sleep(Duration::from_secs(7200)).await;
    assert!(!second.is_finished() && !first.lost().is_cancelled());
    assert!(std::iter::from_fn(|| heard.try_recv().ok()).count() > 60, "it says so now and then");
    first.release().await;
    let second = second.await.unwrap();
    assert!(!second.lost().is_cancelled());
    second.release().await;
    assert!(bucket.list_folder("").await.unwrap().folders.is_empty(), "nothing is left behind");
}

#[tokio::test(start_paused = true)]
async fn who_died_is_waited_for_until_the_lease_is_stale() {
    let bucket = Bucket::memory();
    drop(taken(&env(&bucket, 1)).await);
    let began = Instant::now();
    let second = taken(&env(&bucket, 2)).await;
    assert!((STALE_AFTER..STALE_AFTER + 2 * LOOKED_AT_EVERY[0]).contains(&began.elapsed()), "{:?}", began.elapsed());
    second.release().await;
}

#[tokio::test(start_paused = true)]
async fn who_was_robbed_stops() {
    let bucket = Bucket::memory();
    let first = taken(&env(&bucket, 1)).await;
    let other = Holder {
        owner: "other".into(),
        host: "h".into(),
        pid: 7,
        place: String::new(),
        version: "1".into(),
        since: 0,
        renewed: 0,
    };
    bucket.put("blockyard/lease/all.json", encode(&other)).await.unwrap();
    tokio::time::timeout(RENEWED_EVERY * 2, first.lost().cancelled()).await.unwrap();
    first.release().await;
    assert!(read(&bucket, "blockyard/lease/all.json").await.unwrap().is("other"), "what is not ours stays");
}

#[tokio::test(start_paused = true)]
async fn of_two_who_come_at_once_one_gets_it() {
    for seed in 0..20 {
        let bucket = Bucket::memory();
        let racer = |n: u64| {
            let env = env(&bucket, 100 * seed + n);
            tokio::spawn(async move { taken(&env).await })
        };
        let racers: Vec<_> = (0..3).map(racer).collect();
        advance(SETTLES_AFTER * 3).await;
        tokio::time::sleep(LOOKED_AT_EVERY[0]).await;
        let got = racers.iter().filter(|r| r.is_finished()).count();
        assert_eq!(got, 1);
        racers.into_iter().for_each(|r| r.abort());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_lease_is_waited_for_too_and_shards_are_apart() {
    let bucket = Bucket::memory();
    bucket.put("blockyard/lease/all.json", "{".into()).await.unwrap();
    let began = Instant::now();
    let all = taken(&env(&bucket, 1)).await;
    assert!(began.elapsed() >= STALE_AFTER);
    let began = Instant::now();
    let other = take(&env(&bucket, 2), "0123").await.unwrap();
    assert!(began.elapsed() < LOOKED_AT_EVERY[0]);
    all.release().await;
    other.release().await;
}

#[tokio::test(start_paused = true)]
async fn asked_to_stop_it_does_not_wait_on() {
    let bucket = Bucket::memory();
    let first = taken(&env(&bucket, 1)).await;
    let second = env(&bucket, 2);
    second.cancel.cancel();
    assert_eq!(take(&second, "all").await.unwrap_err().kind(), Kind::Cancelled);
    first.release().await;
}

#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn who_died_on_this_machine_is_not_waited_for() {
    let bucket = Bucket::memory();
    let dead = Holder {
        owner: "dead".into(),
        host: "h".into(),
        pid: u32::MAX,
        place: place(),
        version: "1".into(),
        since: 0,
        renewed: 0,
    };
    let elsewhere = Holder { place: "elsewhere".into(), ..dead.clone() };
    for (holder, waits) in [(dead, false), (elsewhere, true)] {
        bucket.put("blockyard/lease/all.json", encode(&holder)).await.unwrap();
        let began = Instant::now();
        taken(&env(&bucket, 1)).await.release().await;
        assert_eq!(began.elapsed() >= STALE_AFTER, waits, "{holder:?}");
    }
}

#[tokio::test]
async fn on_a_disk_nothing_is_left_behind_and_nobody_waits_for_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = Bucket::filesystem(dir.path(), "").unwrap();
    let first = taken(&env(&bucket, 1)).await;
    assert!(!bucket.put_new_note("blockyard/lease/all.json", "x".into()).await.unwrap());
    assert_eq!(bucket.last_upload(), 0, "a lease is no data");
    first.release().await;
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn shards_have_names() {
    assert_eq!(shard(&[], None), "all");
    let rules = |text: &str| crate::job::relabel::parse_rules(text).unwrap();
    let keep = |n: u32| {
        rules(&format!(
            "[{{action: hashmod, source_labels: [a], target_label: shard, modulus: 2}}, {{action: keep, source_labels: [shard], regex: {n}}}]"
        ))
    };
    assert_eq!(shard(&keep(0), None), shard(&keep(0), None));
    assert_ne!(shard(&keep(0), None), shard(&keep(1), None));
    let share = |text: &str| Some(text.parse().unwrap());
    assert_eq!(shard(&[], share("0/3")), "shard-0-of-3");
    let different = ["0/3", "1/3", "0/2"].map(|text| [shard(&[], share(text)), shard(&keep(0), share(text))]);
    let different: std::collections::HashSet<String> = different.into_iter().flatten().collect();
    assert_eq!(different.len(), 6, "{different:?}");
}
