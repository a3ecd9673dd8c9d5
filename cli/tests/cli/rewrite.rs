//! `tools bucket rewrite`, as a person runs it.

use std::path::{Path, PathBuf};

use super::{Ran, blockyard};

const ID: &str = "01KE5Y5QV0Q3WQ6VJCPD7H1QEV";
const UP: &str = "--rewrite.to-delete-config=- matchers: up";

/// A bucket with the block of `testdata/rewrite`, and a working directory.
fn bucket() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/rewrite/input").join(ID);
    let block = folder.path().join("bucket").join(ID);
    std::fs::create_dir_all(block.join("chunks")).expect("a folder");
    for name in ["meta.json", "index", "chunks/000001"] {
        std::fs::copy(from.join(name), block.join(name)).expect("a copy");
    }
    folder
}

fn rewrite(folder: &Path, arguments: &[&str]) -> Ran {
    let config = format!("--objstore.config=type: FILESYSTEM\nconfig: {{directory: {}}}", folder.join("bucket").display());
    let tmp = format!("--tmp.dir={}", folder.join("tmp").display());
    let mut all = vec!["tools", "bucket", "rewrite", &config, &tmp];
    all.extend(arguments);
    blockyard(folder, &all)
}

/// Folders of blocks in the bucket, by name.
fn blocks(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(folder.join("bucket")).expect("a folder").map(|e| e.expect("an entry").path()).collect();
    found.sort();
    found
}

/// Every `change.log` of the working directory.
fn change_logs(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder.join("tmp")) else { return Vec::new() };
    let logs = entries.map(|e| e.expect("an entry").path().join("change.log"));
    logs.filter_map(|path| std::fs::read_to_string(path).ok()).collect()
}

#[test]
fn nothing_is_done_unless_it_is_asked_for() {
    let folder = bucket();
    let ran = rewrite(folder.path(), &["--id", ID, UP]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    for part in ["-SERIES", ID, "dry run: nothing was changed. 1 of 1 blocks", "2 series go", "halts", "--no-dry-run does it"] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    assert_eq!(blocks(folder.path()).len(), 1);
    assert_eq!(std::fs::read_dir(&blocks(folder.path())[0]).expect("a folder").count(), 3, "no mark");
    assert_eq!(change_logs(folder.path())[0].lines().count(), 2);
}

#[test]
fn blocks_are_rewritten_once() {
    let folder = bucket();
    let arguments = ["--no-dry-run", "--delete-blocks", "--selector={cluster=\"eu1\"}", "--min-time=2026-01-01T00:00:00Z", UP];
    let ran = rewrite(folder.path(), &arguments);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("; marked for deletion\n") && ran.out.contains("1 blocks rewritten"), "{}", ran.out);
    assert_eq!(blocks(folder.path()).len(), 2);
    assert!(blocks(folder.path())[0].join("deletion-mark.json").exists());
    let dry = rewrite(folder.path(), &["--id", ID, "--no-rewrite.add-change-log", UP]);
    assert!(
        dry.out.contains("0 of 0 blocks") && dry.err.contains("rewritten before with the same request"),
        "{}{}",
        dry.out,
        dry.err
    );
    let again = rewrite(folder.path(), &arguments);
    assert!(again.out.contains("0 blocks rewritten, 0 with nothing to change, 1 rewritten before"), "{}", again.out);
    assert_eq!(blocks(folder.path()).len(), 2);
}

#[test]
fn blocks_in_which_nothing_changes_stay() {
    let folder = bucket();
    let ran =
        rewrite(folder.path(), &["--no-dry-run", "--selector={}", "--rewrite.to-delete-config=- matchers: nobody_has_this"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("0 blocks rewritten, 1 with nothing to change"), "{}", ran.out);
    assert_eq!(blocks(folder.path()).len(), 1);
}

#[test]
fn flags_have_their_effects() {
    let id = format!("--id={ID}");
    let new_block = |folder: &Path, arguments: &[&str]| {
        let before = blocks(folder);
        let ran = rewrite(folder, &[&[id.as_str(), "--no-dry-run"], arguments].concat());
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.err);
        blocks(folder).into_iter().find(|b| !before.contains(b)).expect("a new block")
    };
    let meta = |block: &Path| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(block.join("meta.json")).expect("a meta")).expect("JSON")
    };
    // configurations in files, hashes, and what was in the working directory before
    let folder = bucket();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let deletions = format!("--rewrite.to-delete-config-file={}", file("delete.yml", "- matchers: up"));
    let rules = "- {action: replace, target_label: by, replacement: us}";
    let rules = format!("--rewrite.to-relabel-config-file={}", file("relabel.yml", rules));
    std::fs::create_dir(folder.path().join("tmp")).expect("a folder");
    file("tmp/mine", "stays");
    let new = meta(&new_block(folder.path(), &["--hash-func=SHA256", &deletions, &rules]));
    assert_eq!(new["thanos"]["files"][0]["hash"]["hashFunc"], "SHA256", "{new}");
    let rewrites = new["thanos"]["rewrites"].to_string();
    assert!(rewrites.contains("deletions_applied") && rewrites.contains("relabels_applied"), "{rewrites}");
    assert!(folder.path().join("tmp/mine").exists() && change_logs(folder.path()).len() == 1);
    // no change.log, and no symbol that nobody uses
    let most = "--rewrite.to-delete-config=- matchers: '{__name__!=\"up\"}'";
    let folder = bucket();
    let kept = new_block(folder.path(), &["--no-rewrite.add-change-log", most]);
    assert!(change_logs(folder.path()).is_empty());
    assert!(meta(&kept)["thanos"]["files"][0].get("hash").is_none());
    let folder = bucket();
    let dropped = new_block(folder.path(), &["--drop-unused-symbols", most]);
    let index = |block: &Path| std::fs::metadata(block.join("index")).expect("an index").len();
    assert!(index(&dropped) < index(&kept));
    // a block that is Prometheus' own has no external labels
    let folder = bucket();
    let path = blocks(folder.path())[0].join("meta.json");
    let mut bare = meta(&blocks(folder.path())[0]);
    bare["thanos"]["labels"] = serde_json::json!({});
    std::fs::write(&path, bare.to_string()).expect("a meta");
    let ran = rewrite(folder.path(), &[&id, "--no-dry-run", UP]);
    assert!(ran.code == Some(2) && ran.err.contains("--prom-blocks"), "{}", ran.err);
    assert_eq!(blocks(folder.path()).len(), 1);
    new_block(folder.path(), &["--prom-blocks", UP]);
}

#[test]
fn nonsense_is_refused_before_anything_is_begun() {
    let folder = bucket();
    let id = format!("--id={ID}");
    for (arguments, code, words) in [
        (&[id.as_str()][..], 2, "rewrite configuration should be provided"),
        (&[UP], 2, "no blocks are chosen"),
        (&[&id, "--selector={}", UP], 2, "are both given"),
        (&["--id=x", UP], 2, "id is not a valid block ULID, got: x"),
        (&["--id=01KE6BX6B09VT14MB4ET91XY7S", UP], 1, "there is no such block"),
        (&["--selector={a=}", UP], 2, "1:4: parse error"),
        (
            &[&id, UP, "--rewrite.to-delete-config-file=x.yml"],
            2,
            "both --rewrite.to-delete-config-file and --rewrite.to-delete-config are set",
        ),
        (&[&id, "--rewrite.to-delete-config-file=nowhere.yml"], 2, "cannot read nowhere.yml"),
        (&[&id, "--rewrite.to-delete-config=- matcher: up"], 2, "matcher"),
        (&[&id, "--rewrite.to-delete-config=- matchers: '{a=~\"(\"}'"], 2, "regular expression"),
        (&[&id, "--rewrite.to-relabel-config=- action: shuffle"], 2, "unknown relabel action"),
        (&[&id, "--rewrite.to-relabel-config=- {action: drop, sources: [a]}"], 2, "unknown field"),
    ] {
        let ran = rewrite(folder.path(), &[arguments, &["--no-dry-run"]].concat());
        assert_eq!(ran.code, Some(code), "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains(words), "{arguments:?}: {}", ran.err);
        assert_eq!(blocks(folder.path()).len(), 1);
        assert_eq!(
            std::fs::read_dir(&blocks(folder.path())[0]).expect("a folder").count(),
            3,
            "{arguments:?}: nothing was marked"
        );
    }
    assert!(change_logs(folder.path()).is_empty());
}
