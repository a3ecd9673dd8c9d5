//! `blockyard compact` on small buckets of real blocks.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{blockyard, objstore, snapshot};

/// Quick passes whose plan depends on nothing but the blocks.
const PLAIN: [&str; 2] = ["--consistency-delay=0s", "--downsampling.disable"];

/// Copies one server of the demo into `dir/bucket`, with external labels.
pub(crate) fn bucket(dir: &Path) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/demo/b1");
    let to = dir.join("bucket");
    for block in fs::read_dir(from).unwrap() {
        let block = block.unwrap().path();
        let name = block.file_name().unwrap().to_owned();
        fs::create_dir_all(to.join(&name).join("chunks")).unwrap();
        for file in ["index", "chunks/000001"] {
            fs::copy(block.join(file), to.join(&name).join(file)).unwrap();
        }
        let mut meta: serde_json::Value = serde_json::from_slice(&fs::read(block.join("meta.json")).unwrap()).unwrap();
        meta["thanos"] = serde_json::json!({"labels": {"cluster": "us1"}, "downsample": {"resolution": 0}, "source": "sidecar"});
        fs::write(to.join(&name).join("meta.json"), meta.to_string()).unwrap();
    }
    to
}

/// The only block of level 2.
fn compacted(bucket: &Path) -> PathBuf {
    let mut found: Vec<PathBuf> = fs::read_dir(bucket).unwrap().map(|e| e.unwrap().path()).collect();
    found.retain(|block| {
        let meta = fs::read(block.join("meta.json")).unwrap_or_default();
        serde_json::from_slice::<serde_json::Value>(&meta).is_ok_and(|m| m["compaction"]["level"] == 2)
    });
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn a_dry_run_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    bucket(dir.path());
    let before = snapshot(dir.path());
    let config = objstore(dir.path());
    let ran = blockyard(dir.path(), &[&["compact", "--dry-run", &config][..], &PLAIN].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("01M7XN0E2JB16839K498S6BG0Y"), "{}", ran.out);
    assert_eq!(snapshot(dir.path()), before);
}

#[test]
fn the_same_bytes_with_any_number_of_threads() {
    let mut first: Option<(Vec<u8>, Vec<u8>)> = None;
    for threads in ["1", "2", "7"] {
        let dir = tempfile::tempdir().unwrap();
        let bucket = bucket(dir.path());
        let (config, threads) = (objstore(dir.path()), format!("--compute.threads={threads}"));
        let ran = blockyard(dir.path(), &[&["compact", &config, &threads][..], &PLAIN].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        assert!(ran.out.starts_with("3 blocks became block ") && ran.out.ends_with("pass done: 1 compaction\n"), "{}", ran.out);
        assert!(ran.err.contains("level=info") && !ran.err.contains("level=error"), "{}", ran.err);
        let below: Vec<String> = snapshot(&dir.path().join("data")).into_keys().collect();
        assert!(below.iter().all(|file| !file.contains("index") && !file.contains("chunks")), "nothing is copied: {below:?}");
        let block = compacted(&bucket);
        let bytes = (fs::read(block.join("index")).unwrap(), fs::read(block.join("chunks/000001")).unwrap());
        let first = first.get_or_insert_with(|| bytes.clone());
        assert!(*first == bytes, "{threads}");
    }
}

#[test]
fn a_damaged_block_is_named_and_the_exit_code_tells() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = bucket(dir.path());
    let block = "01M7XNJR0HDNHTF9KETBJQBHRR";
    let segment = bucket.join(block).join("chunks/000001");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[1000] ^= 4;
    fs::write(&segment, bytes).unwrap();
    let before = snapshot(&bucket);
    let config = objstore(dir.path());
    let ran = blockyard(dir.path(), &[&["compact", &config][..], &PLAIN].concat());
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    let line = ran.err.lines().find(|l| l.contains("level=error") && l.contains(block)).unwrap_or_else(|| panic!("{}", ran.err));
    assert!(line.contains("chunks/000001 at byte"), "{line}");
    assert_eq!(snapshot(&bucket), before, "no half block, no mark");

    // the next process fails as well, and does not read it all again
    let ran = blockyard(dir.path(), &[&["compact", &config][..], &PLAIN].concat());
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    let line = ran.err.lines().find(|l| l.contains("level=error") && l.contains(block)).unwrap_or_else(|| panic!("{}", ran.err));
    assert!(line.contains("not tried") && line.contains("quarantine.json"), "{line}");
    assert!(line.contains("in the series {__name__="), "{line}");
    assert!(ran.out.contains("1 group left alone since it failed before"), "{}", ran.out);

    // what the message says to type ends it
    let typed = format!("tools bucket mark --id={block} --marker=no-compact-mark.json --details=damaged");
    assert!(line.contains(&typed), "{line}");
    let mut words: Vec<&str> = typed.split(' ').collect();
    words.push(&config);
    assert_eq!(blockyard(dir.path(), &words).code, Some(0));
    let ran = blockyard(dir.path(), &[&["compact", &config][..], &PLAIN].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(!dir.path().join("data/quarantine.json").exists());
}

#[test]
fn penalty_without_replica_labels_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    bucket(dir.path());
    let before = snapshot(dir.path());
    let config = objstore(dir.path());
    let ran = blockyard(dir.path(), &["compact", &config, "--deduplication.func=penalty"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("needs at least one replica label"), "{}", ran.err);
    assert_eq!(snapshot(dir.path()), before);
}

#[test]
fn a_waiting_compactor_stops_on_a_signal() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("bucket")).unwrap();
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_blockyard"))
            .args(["compact", "--wait", "--wait-interval=1h", "--downsampling.disable", "--http-address=", &objstore(dir.path())])
            .current_dir(dir.path())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // the line before the wait says that signals are heard
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
        assert!(lines.any(|l| l.unwrap().contains("waiting")), "the process ended by itself");
        let kill = std::process::Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        assert_eq!(child.wait().unwrap().code(), Some(code));
    }
}
