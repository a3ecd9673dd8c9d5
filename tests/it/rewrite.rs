//! Rewrites held to what a real Thanos made of the same block: every file, `meta.json` and the change log.

use std::path::PathBuf;

use blockyard::bucket::Bucket;
use blockyard::format::meta::Meta;
use blockyard::job::catalog::{SyncOptions, Syncer};
use blockyard::job::pipeline::HashFunc;
use blockyard::job::relabel::parse_relabelings;
use blockyard::job::rewrite::{Choice, Fate, Options, Request, parse_deletions, plan, run};
use blockyard::model::{BlockId, Timestamp};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::golden::{case, merge};

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/rewrite").join(name)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Runs one case with 1, 2 and 7 threads.
fn check(name: &str, request: impl Fn(&str) -> Request) {
    let read = |file: &str| std::fs::read_to_string(folder(name).join(file)).expect("test data");
    let request = request(&read("rewrite.yml"));
    let own = folder(name).join("input");
    let from = if own.exists() { own } else { folder("input") };
    let mut input = Vec::new();
    case::gather(&from, &from, &mut input);
    let old: BlockId = input[0].0.split('/').next().expect("a block's key").parse().expect("a block's id");
    for threads in [1, 2, 7] {
        let dir = TempDir::new().expect("scratch");
        let env = merge::env(Bucket::memory(), threads, &dir);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let (meta, after) = runtime.block_on(async {
            merge::fill(&env.bucket, &input).await;
            let catalog = Syncer::new(env.bucket.clone(), SyncOptions::default()).sync().await.expect("a catalog");
            let plan = plan(&catalog, &request, &Choice::Ids(vec![old]), false, &*env.clock).expect("a plan");
            let options = Options {
                skip_untouched: false,
                delete_blocks: true,
                hash_func: HashFunc::None,
                change_logs: Some(dir.path().to_path_buf()),
            };
            let mut made = None;
            let mut done = |r: &blockyard::job::rewrite::Rewritten| made = Some(r.clone());
            run(&env, &plan, &request, &options, &mut done).await.expect("a rewrite");
            let Some(Fate::Written(meta)) = made.map(|r| r.fate) else { panic!("{name}: no new block") };
            (meta, merge::contents(&env.bucket, "").await)
        });
        let new = meta.ulid.to_string();
        let bytes = |key: String| after.iter().find(|(k, _)| *k == key).map(|(_, bytes)| bytes.clone());
        for line in read("sha256sums").lines() {
            let (digest, file) = line.split_once("  ").expect("a digest and a name");
            let ours = match file {
                "change.log" => std::fs::read(dir.path().join(&new).join(file)).expect("a change log"),
                _ => bytes(format!("{new}/{file}")).unwrap_or_else(|| panic!("{name}: no {file}")),
            };
            assert_eq!(sha256(&ours), digest, "{name}, {threads} threads: {file}");
        }
        let theirs = Meta::decode(read("meta.json").as_bytes()).expect("their meta.json");
        let mut ours = Meta::decode(&bytes(format!("{new}/meta.json")).expect("meta.json")).expect("our meta.json");
        assert_eq!(ours.compaction.sources, [ours.ulid], "{name}: a block of its own");
        assert!(ours.thanos.upload_time != Timestamp::ZERO);
        (ours.ulid, ours.compaction.sources) = (theirs.ulid, theirs.compaction.sources.clone());
        ours.thanos.upload_time = theirs.thanos.upload_time;
        assert_eq!(String::from_utf8(ours.encode()), String::from_utf8(theirs.encode()), "{name}, {threads} threads");
        for mark in ["no-compact-mark.json", "deletion-mark.json"] {
            assert!(bytes(format!("{old}/{mark}")).is_some(), "{name}: {mark} of the old block");
        }
        assert!(input.iter().all(|object| after.contains(object)), "{name}: the old block is not touched");
    }
}

fn deletions(yaml: &str) -> Request {
    Request { deletions: parse_deletions(yaml).expect("deletions"), ..Request::default() }
}

#[test]
fn series_go_as_with_thanos() {
    check("delete", deletions);
}

#[test]
fn intervals_go_as_with_thanos() {
    check("delete-interval", deletions);
}

#[test]
fn labels_change_as_with_thanos() {
    check("relabel", |yaml| Request { relabeling: parse_relabelings(yaml).expect("rules"), ..Request::default() });
}
