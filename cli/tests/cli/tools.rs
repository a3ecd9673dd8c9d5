//! `tools bucket ls | inspect | verify` against what Thanos printed for the same bucket.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Ran, blockyard};

pub(crate) fn testdata(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(testdata(path)).expect("test data")
}

/// Runs a tool on the bucket at `folder`, in UTC.
pub(crate) fn tool(folder: &Path, arguments: &[&str]) -> Ran {
    let config = format!("--objstore.config=type: FILESYSTEM\nconfig: {{directory: {}}}", folder.display());
    let mut all = vec!["tools", "bucket"];
    all.extend(arguments);
    all.push(&config);
    let output = Command::new(env!("CARGO_BIN_EXE_blockyard")).args(&all).env("TZ", "UTC").output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A bucket with one of the blocks of `testdata/damage`.
pub(crate) fn damaged(name: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let meta = read(&format!("damage/{name}/meta.json"));
    let id = meta.split("\"ulid\": \"").nth(1).and_then(|rest| rest.get(..26)).expect("a ulid").to_owned();
    let block = folder.path().join(&id);
    std::fs::create_dir_all(block.join("chunks")).expect("a folder");
    for (from, to) in [("meta.json", "meta.json"), ("index", "index"), ("000001", "chunks/000001")] {
        std::fs::copy(testdata(&format!("damage/{name}/{from}")), block.join(to)).expect("a copy");
    }
    (folder, id)
}

fn listings(arguments: &[&str]) -> String {
    let ran = tool(&testdata("listings/bucket"), arguments);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    ran.out
}

#[test]
fn inspect_prints_what_thanos_prints() {
    assert_eq!(listings(&["inspect"]), read("listings/inspect.table.txt"));
    let csv = listings(&["inspect", "--output=csv", "-l", "replica=\"a\""]);
    assert_eq!(csv, read("listings/inspect-replica-a.csv"));
    let tsv = listings(&["inspect", "--output=tsv", "--sort-by=#SERIES", "--sort-by=RANGE"]);
    assert_eq!(tsv, read("listings/inspect.tsv"));
}

#[test]
fn ls_prints_what_thanos_prints_in_order_of_ids() {
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let template = "{{.ULID}} {{.Thanos.Downsample.Resolution}} {{len .Compaction.Sources}}";
    for (output, golden) in [("", "ls.txt"), ("wide", "ls-wide.txt"), (template, "ls-template.txt")] {
        let lines: Vec<String> = listings(&["ls", &format!("--output={output}")]).lines().map(str::to_owned).collect();
        assert_eq!(lines, sorted(&read(&format!("listings/{golden}"))), "{output}");
    }
    let documents = |text: &str| {
        let mut all: Vec<String> = text.split_inclusive("\n}\n").map(str::to_owned).collect();
        all.sort();
        all
    };
    assert_eq!(documents(&listings(&["ls", "-o", "json"])), documents(&read("listings/ls-json.txt")));
}

#[test]
fn ls_selects() {
    let count = |arguments: &[&str]| listings(&[&["ls"], arguments].concat()).lines().count();
    let all = count(&[]);
    assert_eq!(all, 28);
    assert!(count(&["--exclude-delete"]) < all);
    assert_eq!(count(&["--max-time=2026-01-01T00:00:00Z"]), 4);
    let keep = "- action: keep\n  source_labels: [replica]\n  regex: a\n";
    assert_eq!(count(&[&format!("--selector.relabel-config={keep}")]), 17);
    let bad = tool(&testdata("listings/bucket"), &["ls", "-o", "{{.Nope}}"]);
    assert_eq!(bad.code, Some(2));
    assert!(bad.err.contains("can't evaluate field Nope in type **metadata.Meta"), "{}", bad.err);
}

#[test]
fn inspect_knows_more_on_request() {
    let table = listings(&["inspect", "--columns=size,marks,lineage,state", "--delete-delay=1s", "--totals", "--output=csv"]);
    assert!(table.starts_with("ULID,FROM,UNTIL,RANGE,UNTIL-DOWN,#SERIES,#SAMPLES,#CHUNKS,COMP-LEVEL,COMP-FAILED,LABELS,RESOLUTION,SOURCE,SIZE,MARKS,LINEAGE,STATE\n"));
    assert!(table.contains("deletion (due)") && table.contains("\nall,,28,"), "{table}");
    let json: serde_json::Value = serde_json::from_str(&listings(&["inspect", "--output=json"])).expect("JSON");
    assert_eq!(json["blocks"].as_array().map(Vec::len), Some(28));
    assert!(json["totals"].as_array().is_some_and(|t| !t.is_empty()));
}

#[test]
fn folders_that_are_no_whole_blocks_are_listed_as_such() {
    let (folder, _) = damaged("sound");
    for (id, meta) in [("01KE5Y5QV0Q3WQ6VJCPD7H1QEV", None), ("01KE6BX6B09VT14MB4ET91XY7S", Some("{"))] {
        std::fs::create_dir(folder.path().join(id)).expect("a folder");
        std::fs::write(folder.path().join(id).join("index"), b"x").expect("a file");
        if let Some(meta) = meta {
            std::fs::write(folder.path().join(id).join("meta.json"), meta).expect("a file");
        }
    }
    let ran = tool(folder.path(), &["inspect", "--columns=state"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    for text in ["| whole", "| partial: there is no meta.json", "| corrupt: "] {
        assert_eq!(ran.out.matches(text).count(), 1, "{text}: {}", ran.out);
    }
    let plain = tool(folder.path(), &["inspect"]);
    assert_eq!(plain.out.lines().count(), 3, "{}", plain.out);
}

#[test]
fn inspect_looks_inside_a_block() {
    let (folder, id) = damaged("sound");
    let ran = tool(folder.path(), &["inspect", "--id", &id]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    for text in ["index postings table", "Metrics with the most series", "aggregate", "Label pairs with the most bytes"] {
        assert!(ran.out.contains(text), "{text}: {}", ran.out);
    }
    let ran = tool(folder.path(), &["inspect", "--id", &id, "--describe=chunks/000001", "--bytes=8..20"]);
    assert!(ran.out.starts_with("         8  # chunk of "), "{}", ran.out);
    assert_eq!(tool(folder.path(), &["inspect", "--id=01KE5Y5QV0Q3WQ6VJCPD7H1QEV"]).code, Some(1));
}

#[test]
fn verify_says_what_thanos_says_and_exits_as_it_does() {
    let words = [
        ("outside-chunks", "found 9 chunks non-completely outside the block time range"),
        ("complete-outside-chunks", "found 9 chunks completely outside the block time range"),
    ];
    for (name, words) in words {
        let (folder, id) = damaged(name);
        let ran = tool(folder.path(), &["verify", "--issues=index_known_issues"]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        let line = ran.err.lines().find(|l| l.contains("detected issue")).unwrap_or_else(|| panic!("{}", ran.err));
        for part in ["level=warn", "verifiers=index_known_issues", "verifier=index_known_issues", &format!("id={id}"), words] {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert_eq!(tool(folder.path(), &["verify", "--fail"]).code, Some(1));
        let ran = tool(folder.path(), &["verify", "-i", "chunks", "--output=json"]);
        assert_eq!(ran.code, Some(1), "{}", ran.err);
        let json: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
        assert_eq!(json["blocks"][0]["ok"], false);
        assert_eq!(json["blocks"][0]["counted"]["damaged_chunks"], 9);
    }
}

#[test]
fn verify_of_a_sound_block_and_of_nonsense() {
    let (folder, id) = damaged("sound");
    let ran = tool(folder.path(), &["verify", "-i", "all", "--id", &id, "--bytes-per-second=1GB"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("1 of 1 blocks ok"), "{}", ran.out);
    for (arguments, words) in [
        (&["verify", "--repair"][..], "repair is specified, so backup client is required"),
        (&["verify", "--repair", "-i", "overlapped_blocks"], "no such issue ID overlapped_blocks that can be repaired"),
        (&["verify", "-i", "nope"], "no such issue ID nope"),
        (&["verify", "--id=x"], "invalid ULID found in --id flag"),
        (&["verify", "-i", "overlapped_blocks", "--id", &id], "id matching is not supported"),
    ] {
        let ran = tool(folder.path(), arguments);
        assert_eq!(ran.code, Some(2), "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains(words), "{arguments:?}: {}", ran.err);
    }
    assert!(blockyard(folder.path(), &["tools", "bucket", "verify", "--help"]).out.contains("index_known_issues"));
}

#[test]
fn verify_repairs_what_thanos_repairs() {
    let config = |to: &Path| format!("--objstore-backup.config={{type: FILESYSTEM, config: {{directory: '{}'}}}}", to.display());
    let files = |folder: &Path| crate::snapshot(folder);
    for (name, replaced) in [("issue-347", true), ("outside-chunks", false), ("at-max-time", false)] {
        let backup = tempfile::tempdir().expect("a folder");
        let (to, (folder, id)) = (config(backup.path()), damaged(name));
        let before = files(folder.path());
        let arguments = ["verify", "--repair", "--delete-delay=48h", "--issues=index_known_issues", to.as_str()];
        let ran = tool(folder.path(), &arguments);
        assert_eq!(ran.code, Some(0), "{name}: {}", ran.err);
        assert!(ran.err.contains("GLOBAL COMPACTOR SHOULD __NOT__ BE RUNNING ON THE SAME BUCKET"), "{}", ran.err);
        let mut after = files(folder.path());
        if replaced {
            assert!(ran.out.contains(&format!("repair of {id} (index_known_issues): replaced by ")), "{}", ran.out);
            assert!(after.remove(&format!("{id}/deletion-mark.json")).is_some());
            assert_eq!(after.iter().filter(|(key, _)| !key.starts_with(&id)).count(), 3, "{after:?}");
            after.retain(|key, _| key.starts_with(&id));
            assert_eq!(files(backup.path()), before);
            let again = tool(folder.path(), &arguments);
            assert!(again.out.contains("1 of 1 blocks ok") && !again.out.contains("repair of"), "{}", again.out);
        }
        assert_eq!(after, before, "{name}");
    }
    // what cannot be repaired fails where that was asked for, and says why
    let other = tempfile::tempdir().expect("a folder");
    let to = config(other.path());
    let (folder, id) = damaged("outside-chunks");
    let ran = tool(folder.path(), &["verify", "--repair", "--fail", "--output=json", &to]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    let json: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(json["repairs"][0]["block"], id.as_str());
    assert!(json["repairs"][0]["error"].as_str().is_some_and(|e| e.contains("leaves the block's range")), "{}", ran.out);
    assert!(files(other.path()).is_empty());
}
