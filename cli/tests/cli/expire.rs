//! `tools bucket retention | mark | cleanup`, and what of them `compact` does.

use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use blockyard::clock::{Clock, SystemClock};

use crate::{Ran, blockyard, objstore, snapshot};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

const A: &str = "01BX5ZZKBK0000000000000001";
const B: &str = "01BX5ZZKBK0000000000000002";
const C: &str = "01BX5ZZKBK0000000000000003";
const D: &str = "01BX5ZZKBK0000000000000004";

fn now() -> i64 {
    SystemClock.now()
}

/// A block of nothing but a meta and a file.
fn block(dir: &Path, id: &str, resolution: i64, (from, to): (i64, i64), tenant: &str) {
    let folder = dir.join("bucket").join(id);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("index"), vec![0; 1000]).unwrap();
    let meta = serde_json::json!({
        "ulid": id, "minTime": now() + from, "maxTime": now() + to, "stats": {"numSamples": 1}, "version": 1,
        "compaction": {"level": 1, "sources": [id]},
        "thanos": {"labels": {"tenant": tenant}, "downsample": {"resolution": resolution}, "source": "sidecar"}
    });
    fs::write(folder.join("meta.json"), meta.to_string()).unwrap();
}

/// Upstream's scenario: raw, five minutes, an hour, and raw that is young.
fn four(dir: &Path) {
    block(dir, A, 0, (-3 * DAY, -2 * DAY), "a");
    block(dir, B, 300_000, (-2 * DAY, -DAY), "a");
    block(dir, C, 3_600_000, (-DAY, -23 * HOUR), "a");
    block(dir, D, 0, (-23 * HOUR, -6 * HOUR), "b");
}

fn tool(dir: &Path, arguments: &[&str]) -> Ran {
    let config = objstore(dir);
    blockyard(dir, &[&["tools", "bucket"], arguments, &[&config]].concat())
}

fn mark(dir: &Path, id: &str, file: &str) -> Option<serde_json::Value> {
    let bytes = fs::read(dir.join("bucket").join(id).join(file)).ok()?;
    Some(serde_json::from_slice(&bytes).unwrap())
}

#[test]
fn retention_marks_what_is_too_old() {
    let dir = tempfile::tempdir().unwrap();
    four(dir.path());
    let before = snapshot(dir.path());
    let ran = tool(dir.path(), &["retention", "--retention.resolution-raw=24h", "--dry-run"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.starts_with(&format!("expire {A}: raw until ")), "{}", ran.out);
    assert!(ran.out.contains("retention: 1 block expires, 1.2 KiB\n"), "{}", ran.out);
    assert_eq!(snapshot(dir.path()), before);
    let ran = tool(dir.path(), &["retention", "--retention.resolution-raw=24h"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    let marked = mark(dir.path(), A, "deletion-mark.json").unwrap();
    assert_eq!((&marked["details"], &marked["version"]), (&"block exceeding retention of 24h0m0s".into(), &1.into()));
    assert!([B, C, D].iter().all(|id| mark(dir.path(), id, "deletion-mark.json").is_none()));
    assert!(ran.err.contains("--retention.hold waits for them"), "{}", ran.err);
    // what is marked is gone already
    let ran = tool(dir.path(), &["retention", "--retention.resolution-raw=24h"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "retention: nothing has expired\n"), "{}", ran.err);
}

#[test]
fn retention_by_labels() {
    let dir = tempfile::tempdir().unwrap();
    four(dir.path());
    let policy = "--retention.policy=- {matchers: '{tenant=\"a\"}', raw: 0d, 5m: 1h}";
    let ran = tool(dir.path(), &["retention", "--retention.resolution-raw=1h", policy, "--retention.confirm"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    let marked = |id| mark(dir.path(), id, "deletion-mark.json").is_some();
    assert_eq!([A, B, C, D].map(marked), [false, true, false, true]);
}

#[test]
fn the_brake_asks_and_the_exit_code_tells() {
    let dir = tempfile::tempdir().unwrap();
    block(dir.path(), A, 0, (-900 * DAY, -890 * DAY), "a");
    block(dir.path(), B, 0, (-2 * DAY, -HOUR), "a");
    let bucket = dir.path().join("bucket");
    let before = snapshot(&bucket);
    // the block is no longer than ten days: with downsampling it would be held
    let compact = |more: &[&str]| {
        let config = objstore(dir.path());
        let flags = ["compact", &config, "--retention.resolution-raw=3d", "--downsampling.disable", "--consistency-delay=0s"];
        blockyard(dir.path(), &[&flags, more].concat())
    };
    fs::write(bucket.join(A).join("large"), vec![0; 10_000]).unwrap();
    let ran = compact(&["--dry-run"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(
        ran.out.contains("stopped: retention would mark nothing: ") && ran.out.contains("--retention.confirm"),
        "{}",
        ran.out
    );
    let ran = compact(&[]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("level=error msg=\"retention marks nothing: "), "{}", ran.err);
    assert!(mark(dir.path(), A, "deletion-mark.json").is_none());
    let ran = tool(dir.path(), &["retention", "--retention.resolution-raw=3d"]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    assert_eq!(snapshot(&bucket).len(), before.len() + 1);
    let ran = compact(&["--retention.confirm"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("1 block expired"), "{}", ran.out);
    assert!(mark(dir.path(), A, "deletion-mark.json").is_some());
    assert!(dir.path().join("data/retention.json").exists());
}

#[test]
fn what_is_not_downsampled_yet_is_held() {
    let dir = tempfile::tempdir().unwrap();
    block(dir.path(), A, 0, (-90 * DAY, -76 * DAY), "a");
    block(dir.path(), B, 0, (-2 * DAY, -HOUR), "a");
    let ran = tool(dir.path(), &["retention", "--retention.resolution-raw=60d", "--retention.hold"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.starts_with(&format!("hold {A}: raw until ")), "{}", ran.out);
    assert!(ran.out.contains("samples of 5m are still to be made of it"), "{}", ran.out);
    assert!(mark(dir.path(), A, "deletion-mark.json").is_none());
    let ran = tool(dir.path(), &["retention", "--retention.resolution-raw=39h", "--retention.hold"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("(40 hours)"), "{}", ran.err);
}

/// M1 to M3.
#[test]
fn marks_are_put_once_and_taken_away() {
    let dir = tempfile::tempdir().unwrap();
    four(dir.path());
    for (file, time) in [
        ("deletion-mark.json", "deletion_time"),
        ("no-compact-mark.json", "no_compact_time"),
        ("no-downsample-mark.json", "no_downsample_time"),
    ] {
        let marker = format!("--marker={file}");
        let put = ["mark", "--id", A, "--id", B, &marker, "--details=because"];
        let ran = tool(dir.path(), &put);
        assert_eq!((ran.code, ran.out), (Some(0), format!("{A}: {file} written\n{B}: {file} written\n")), "{}", ran.err);
        let first = mark(dir.path(), A, file).unwrap();
        assert_eq!((&first["id"], &first["details"], &first["version"]), (&A.into(), &"because".into(), &1.into()));
        assert!(first[time].as_i64().is_some_and(|at| (at - now() / 1000).abs() < 600), "{first}");
        assert_eq!(first.get("reason").and_then(|r| r.as_str()), (file != "deletion-mark.json").then_some("manual"));
        let again = tool(dir.path(), &["mark", "--id", A, &marker, "--details=else"]);
        assert_eq!(again.code, Some(0), "{}", again.err);
        assert!(again.err.contains("level=warn") && again.out.contains("it stays as it is"), "{}", again.err);
        assert_eq!(mark(dir.path(), A, file), Some(first));
        let remove = ["mark", "--id", A, "--remove", &marker];
        assert_eq!(tool(dir.path(), &remove).out, format!("{A}: {file} removed\n"));
        assert_eq!(mark(dir.path(), A, file), None);
        let none = tool(dir.path(), &remove);
        assert_eq!((none.code, none.out), (Some(0), format!("{A}: there was no {file}\n")));
    }
}

#[test]
fn marks_that_make_no_sense_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    four(dir.path());
    let before = snapshot(dir.path());
    let missing = "01BX5ZZKBK0000000000000009";
    let marker = "--marker=no-compact-mark.json";
    for (arguments, code, words) in [
        (&["--id", A, "--id", missing, marker, "--details=x"][..], 1, "there is no such block in the bucket"),
        (&["--id", missing, marker, "--remove"], 1, missing),
        (&["--id", "x", marker, "--details=x"], 2, "block.id is not a valid UUID, got: x"),
        (&["--id", A, marker], 2, "required flag --details not provided"),
        (&["--id", A, "--marker=x.json", "--details=x"], 2, "not supported marker x.json"),
        (&[marker, "--details=x"], 2, "--id"),
        (&["--id", A, "--details=x"], 2, "--marker"),
    ] {
        let ran = tool(dir.path(), &[&["mark"], arguments].concat());
        assert_eq!(ran.code, Some(code), "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains(words), "{arguments:?}: {}", ran.err);
    }
    for policy in ["- {matchers: '{a=b}', raw: 2d}", "- {matchers: '{a=\"b\"}', keep: 2d}"] {
        let ran = tool(dir.path(), &["retention", "--retention.resolution-raw=1h", &format!("--retention.policy={policy}")]);
        assert_eq!(ran.code, Some(2), "{policy}: {}", ran.err);
    }
    assert_eq!(snapshot(dir.path()), before);
}

/// Configurations of what happens over the years: each is refused with a word about it, and nothing is begun.
#[test]
fn configurations_that_make_no_sense_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    four(dir.path());
    let before = snapshot(dir.path());
    for (command, flags, words) in [
        ("compact", &["--retention.resolution-raw=39h"][..], "(40 hours)"),
        ("compact", &["--retention.resolution-raw=60d", "--retention.resolution-5m=9d"], "(10 days)"),
        ("compact", &["--retention.resolution-1h=1.5d"], "retention.resolution-1h"),
        ("compact", &["--retention.policy=- {matchers: '{a=\"b\"}', 5m: 1d, 10m: 1d}"], "10m"),
        ("compact", &["--retention.policy=- {matchers: '{a=b}', raw: 60d}"], "entry 1: matchers"),
        ("compact", &["--retention.policy=- {matchers: '{a=~\"(\"}', raw: 60d}"], "entry 1: matchers"),
        ("compact", &["--retention.policy=- {raw: 60d}"], "it has no matchers"),
        ("compact", &["--retention.policy=- {matchers: '{a=\"b\"}', raw: 39h}"], "(40 hours)"),
        ("compact", &["--retention.policy-file=nowhere.yml"], "nowhere.yml"),
        ("compact", &["--downsample.filter={a="], "--downsample.filter"),
        ("compact", &["--deduplication.func=chain"], "deduplication.func"),
        ("compact", &["--deduplication.func=penalty"], "replica"),
        ("downsample", &["--downsample.filter=!up{"], "--downsample.filter"),
        ("downsample", &["--hash-func=MD5"], "--hash-func"),
        ("retention", &["--retention.policy=raw: 60d"], "retention policy"),
        ("retention", &["--retention.hold", "--retention.resolution-5m=9d"], "(10 days)"),
        ("rewrite", &["--external-labels.set=a", "--selector={}"], "is not NAME=VALUE"),
        ("rewrite", &["--external-labels.drop=tenant", "--selector={tenant=}"], "parse error"),
    ] {
        let config = objstore(dir.path());
        let command = if command == "compact" { vec!["compact"] } else { vec!["tools", "bucket", command] };
        let ran = blockyard(dir.path(), &[&command[..], flags, &[&config]].concat());
        assert_eq!((ran.code, &*ran.out), (Some(2), ""), "{command:?} {flags:?}: {}", ran.err);
        assert!(ran.err.contains(words), "{command:?} {flags:?}: {}", ran.err);
    }
    assert_eq!(snapshot(dir.path()), before);
}

#[test]
fn cleanup_deletes_what_is_due() {
    let dir = tempfile::tempdir().unwrap();
    four(dir.path());
    let bucket = dir.path().join("bucket");
    // due, not due, an upload that was given up, one that is under way
    let deletion = |id: &str, hours: i64| {
        let mark = serde_json::json!({"id": id, "version": 1, "deletion_time": (now() - hours * HOUR) / 1000});
        fs::write(bucket.join(id).join("deletion-mark.json"), mark.to_string()).unwrap();
    };
    deletion(A, 49);
    deletion(B, 47);
    for (id, hours) in [(C, 49), (D, 47)] {
        fs::remove_file(bucket.join(id).join("meta.json")).unwrap();
        let written = UNIX_EPOCH + Duration::from_millis((now() - hours * HOUR).unsigned_abs());
        fs::File::options().write(true).open(bucket.join(id).join("index")).unwrap().set_modified(written).unwrap();
    }
    let before = snapshot(&bucket);
    let ran = tool(dir.path(), &["cleanup", "--dry-run"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.ends_with("plan: 2 deletions, 1 marked blocks wait for their delay\n"), "{}", ran.out);
    assert!(
        ran.out.contains(&format!("delete {A}: marked ")) && ran.out.contains(&format!("delete {C}: partial, ")),
        "{}",
        ran.out
    );
    assert_eq!(snapshot(&bucket), before);
    let ran = tool(dir.path(), &["cleanup"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("cleanup done: 2 deleted"), "{}", ran.out);
    assert_eq!([A, B, C, D].map(|id| bucket.join(id).exists()), [false, true, false, true]);
    let ran = tool(dir.path(), &["cleanup", "--delete-delay=1h"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!([B, D].map(|id| bucket.join(id).exists()), [false, true]);
}
