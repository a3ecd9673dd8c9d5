//! Blocks of a bucket in memory, verified whole and with damage.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::bucket::Bucket;
use crate::clock::ManualClock;
use crate::job::Silent;
use crate::job::catalog::{SyncOptions, Syncer};

const BLOCK: &str = "01KE5Y5QV0Q3WQ6VJCPD7H1QEV";

/// Name, meta.json, index, first segment.
type Files = (&'static str, &'static [u8], &'static [u8], &'static [u8]);

/// A real block of 60 series with the damage of its name in the index; `chunks` are whole.
const DAMAGED: [Files; 2] = [
    (
        "outside-chunks",
        include_bytes!("../../../testdata/damage/outside-chunks/meta.json"),
        include_bytes!("../../../testdata/damage/outside-chunks/index"),
        include_bytes!("../../../testdata/damage/outside-chunks/000001"),
    ),
    (
        "complete-outside-chunks",
        include_bytes!("../../../testdata/damage/complete-outside-chunks/meta.json"),
        include_bytes!("../../../testdata/damage/complete-outside-chunks/index"),
        include_bytes!("../../../testdata/damage/complete-outside-chunks/000001"),
    ),
];

/// A sound block: three aggregates, floats and histograms, downsampled by Thanos.
const SOUND: Files = (
    "sound",
    include_bytes!("../../../testdata/damage/sound/meta.json"),
    include_bytes!("../../../testdata/damage/sound/index"),
    include_bytes!("../../../testdata/damage/sound/000001"),
);

fn env(bucket: Bucket, threads: usize) -> Env {
    Env {
        bucket,
        pool: Arc::new(rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()),
        clock: ManualClock::new(1_767_600_000_000, 1),
        report: Arc::new(Silent),
        scratch: std::env::temp_dir(),
        cancel: CancellationToken::new(),
    }
}

fn options(checks: &[Check]) -> Options {
    Options { checks: checks.to_vec(), ids: vec![], since: None, bytes_per_second: None, state: None }
}

/// A bucket with the block, changed by `change` (key below the block's folder, bytes).
async fn bucket(block: Files, change: impl Fn(&str, &mut Vec<u8>)) -> (Bucket, BlockId) {
    let bucket = Bucket::memory();
    let meta = crate::format::meta::Meta::decode(block.1).unwrap();
    for (path, bytes) in [("meta.json", block.1), ("index", block.2), ("chunks/000001", block.3)] {
        let mut bytes = bytes.to_vec();
        change(path, &mut bytes);
        bucket.put(&format!("{}/{path}", meta.ulid), Bytes::from(bytes)).await.unwrap();
    }
    (bucket, meta.ulid)
}

async fn verify(bucket: &Bucket, options: &Options, threads: usize) -> Summary {
    let catalog = Syncer::new(bucket.clone(), SyncOptions::default()).sync().await.unwrap();
    run(&env(bucket.clone(), threads), &catalog, options, &mut |_| {}).await.unwrap()
}

fn said(summary: &Summary) -> Vec<String> {
    let all = summary.blocks.iter().flat_map(|v| v.findings.listed());
    all.map(|f| format!("{} {f}", f.check)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_block_has_no_findings() {
    let (bucket, id) = bucket(SOUND, |_, _| {}).await;
    let summary = verify(&bucket, &options(&Check::ALL), 2).await;
    assert_eq!(said(&summary), [""; 0]);
    assert_eq!(summary.blocks[0].block, id);
    let counted = summary.blocks[0].counted;
    let meta = crate::format::meta::Meta::decode(SOUND.1).unwrap();
    assert_eq!(
        (counted.series, counted.chunks, counted.samples),
        (meta.stats.num_series, meta.stats.num_chunks, meta.stats.num_samples)
    );
    assert!(counted.lists > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_that_thanos_knows_in_its_words() {
    let words =
        ["found 9 chunks non-completely outside the block time range", "found 9 chunks completely outside the block time range"];
    for (damaged, words) in DAMAGED.into_iter().zip(words) {
        let (bucket, _) = bucket(damaged, |_, _| {}).await;
        for threads in [1, 2, 7] {
            let summary = verify(&bucket, &options(&Check::DEFAULT), threads).await;
            assert_eq!(said(&summary), [format!("index_known_issues {words}")], "{}", damaged.0);
            assert!(summary.found_anything() && !summary.found_more_than_upstream());
        }
        let summary = verify(&bucket, &options(&[Check::Chunks]), 2).await;
        assert_eq!(summary.blocks[0].counted.damaged_chunks, 9);
        assert!(summary.found_more_than_upstream());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_wrong_bit_is_found() {
    // bits spread over the index (label indices of old, padding and the all-but-unused aside) and the segment
    let index_len = SOUND.2.len();
    let chunks_len = SOUND.3.len();
    let mut missed = Vec::new();
    for (part, len, step) in [("index", index_len, 97), ("chunks/000001", chunks_len, 997)] {
        for at in (0..len).step_by(step) {
            let (bucket, _) = bucket(SOUND, |path, bytes| {
                if path == part {
                    bytes[at] ^= 0x10;
                }
            })
            .await;
            let summary = verify(&bucket, &options(&[Check::Chunks, Check::Postings, Check::Symbols]), 2).await;
            if said(&summary).is_empty() {
                missed.push((part, at));
            }
        }
    }
    let padding = |part: &str, at: usize| match part {
        // the three bytes behind the version of a segment
        "chunks/000001" => (5..8).contains(&at),
        _ => is_padding(SOUND.2, at),
    };
    missed.retain(|&(part, at)| !padding(part, at));
    assert_eq!(missed, []);
}

/// Whether the byte lies between series or between lists, by the dump of the index.
fn is_padding(index: &[u8], at: usize) -> bool {
    let dump = crate::format::index::describe(index).unwrap();
    let mut last = "";
    for line in dump.lines() {
        let Some(offset) = line.split_whitespace().next().and_then(|o| o.parse::<usize>().ok()) else { continue };
        if offset > at {
            break;
        }
        last = line;
    }
    last.contains("padding")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_and_counts_against_the_meta() {
    let (bucket, id) = bucket(SOUND, |_, _| {}).await;
    bucket.delete(&format!("{id}/chunks/000001")).await.unwrap();
    bucket.put(&format!("{id}/chunks/000002"), Bytes::from_static(SOUND.3)).await.unwrap();
    let said = said(&verify(&bucket, &options(&[Check::Files]), 1).await);
    assert!(said.iter().any(|s| s == "files chunks/000002: segment 000001 should come here"), "{said:?}");
    let (bucket, _) = self::bucket(SOUND, |path, bytes| {
        if path == "meta.json" {
            let text = String::from_utf8(bytes.clone()).unwrap();
            *bytes = text.replacen("\"numSamples\": ", "\"numSamples\": 1", 1).into_bytes();
        }
    })
    .await;
    let said = self::said(&verify(&bucket, &options(&[Check::Stats]), 1).await);
    assert!(said.len() == 1 && said[0].starts_with("stats meta.json: numSamples is 1"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_parts_are_findings_and_marked_blocks_are_left_alone() {
    let (bucket, id) = bucket(SOUND, |_, _| {}).await;
    bucket.delete(&format!("{id}/index")).await.unwrap();
    let broken: BlockId = BLOCK.parse().unwrap();
    bucket.put(&format!("{broken}/meta.json"), Bytes::from_static(b"{\"ulid\": 7")).await.unwrap();
    let summary = verify(&bucket, &options(&[Check::IndexKnownIssues, Check::Chunks]), 1).await;
    let found = said(&summary);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found.iter().filter(|s| s.contains("index: the block has no index")).count() == 2, "{found:?}");
    assert_eq!(summary.partial.len(), 1);
    let mark = crate::format::marks::DeletionMark::new(id, 1, "test").encode();
    bucket.put(&format!("{id}/deletion-mark.json"), Bytes::from(mark)).await.unwrap();
    let summary = verify(&bucket, &options(&Check::DEFAULT), 1).await;
    assert!(summary.blocks.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_run_goes_on_with_its_state() {
    let folder = tempfile::tempdir().unwrap();
    let (bucket, id) = bucket(SOUND, |_, _| {}).await;
    let mut options = options(&[Check::Chunks]);
    options.state = Some(folder.path().join("state"));
    let catalog = Syncer::new(bucket.clone(), SyncOptions::default()).sync().await.unwrap();
    let heard = Mutex::new(Vec::new());
    // stopped before its second block: the first is known afterwards
    let env = env(bucket.clone(), 1);
    env.cancel.cancel();
    let stopped = run(&env, &catalog, &options, &mut |_| {}).await.unwrap_err();
    assert_eq!(stopped.kind(), Kind::Cancelled);
    let mut state = State::open(options.state.as_deref().unwrap(), &options.checks).unwrap();
    state
        .add(&Verdict { block: id, findings: Findings::default(), counted: Counted { series: 77, ..Counted::default() } })
        .unwrap();
    drop(state);
    let env = self::env(bucket.clone(), 1);
    let summary = run(&env, &catalog, &options, &mut |h| {
        if let Heard::Block(v) = h {
            heard.lock().unwrap().push(v.counted.series);
        }
    })
    .await
    .unwrap();
    assert_eq!((summary.resumed, summary.bytes_read), (1, 0));
    assert_eq!(*heard.lock().unwrap(), [77]);
    assert!(!options.state.as_deref().unwrap().exists());
}

#[tokio::test]
async fn ids_and_groups_do_not_go_together() {
    let mut options = options(&Check::DEFAULT);
    options.ids = vec![BLOCK.parse().unwrap()];
    let error = run(&env(Bucket::memory(), 1), &Catalog::default(), &options, &mut |_| {}).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.to_string().starts_with("verify overlapped_blocks: id matching is not supported"), "{error}");
}
