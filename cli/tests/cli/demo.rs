//! The demo: a stranger's first command.

use std::path::Path;

use crate::{blockyard, snapshot};

#[test]
fn makes_a_bucket_and_ends_well_twice() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let ran = blockyard(dir.path(), &["demo"]);
        assert_eq!(ran.code, Some(0), "{}\n{}", ran.out, ran.err);
        assert!(ran.out.contains("Done. The bucket is in ./blockyard-demo"), "{}", ran.out);
    }
    let files = snapshot(&dir.path().join("blockyard-demo"));
    let metas: Vec<&String> = files.keys().filter(|name| name.ends_with("/meta.json") && name.starts_with("bucket/")).collect();
    let marks = files.keys().filter(|name| name.ends_with("/deletion-mark.json")).count();
    assert_eq!((metas.len(), marks), (15 + 3, 9), "{metas:?}");
    // what it says to type next does what it says
    let ran = blockyard(
        dir.path(),
        &["compact", "--dry-run", "--objstore.config-file=./blockyard-demo/bucket.yml", "--consistency-delay=0s"],
    );
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(!ran.out.is_empty());
}

#[test]
fn leaves_folders_of_others_alone() {
    let dir = tempfile::tempdir().unwrap();
    let theirs = dir.path().join("theirs");
    std::fs::create_dir_all(theirs.join("bucket")).unwrap();
    std::fs::write(theirs.join("bucket/precious"), "x").unwrap();
    let before = snapshot(dir.path());
    let ran = blockyard(dir.path(), &["demo", "--dir=theirs"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""));
    assert!(ran.err.contains("theirs is there already, and no demo made it"), "{}", ran.err);
    assert_eq!(snapshot(dir.path()), before);
}

#[test]
fn says_where_its_blocks_would_be() {
    let dir = tempfile::tempdir().unwrap();
    let ran = blockyard(dir.path(), &["demo", "--from=nowhere"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("testdata/demo of the source code"), "{}", ran.err);
    assert!(!Path::new(&dir.path().join("blockyard-demo")).exists());
}
