//! `tools bucket rewrite --salvage` and `--external-labels.*`.

use super::tools::{damaged, tool};

#[test]
fn what_can_be_read_of_a_damaged_block_is_taken_over() {
    let (folder, id) = damaged("sound");
    let tmp = tempfile::tempdir().expect("a folder");
    let to = format!("--tmp.dir={}", tmp.path().display());
    let segment = folder.path().join(&id).join("chunks/000001");
    let bytes = std::fs::read(&segment).expect("a segment");
    std::fs::write(&segment, &bytes[..bytes.len() / 2]).expect("half a segment");
    let before = crate::snapshot(folder.path());

    let ran = tool(folder.path(), &["rewrite", "--salvage", "--id", &id, &to]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    for words in ["would become a block with ", "chunks/000001 at byte ", "; series {", "dry run: nothing was written", " to 20"]
    {
        assert!(ran.out.contains(words), "{words}: {}", ran.out);
    }
    assert_eq!(crate::snapshot(folder.path()), before);
    let report = std::fs::read_to_string(tmp.path().join(&id).join("salvage.json")).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    assert!(report["lost"].as_array().is_some_and(|lost| lost.iter().any(|l| l["part"] == "chunks/000001")), "{report}");

    let ran = tool(folder.path(), &["rewrite", "--salvage", "--no-dry-run", "--delete-blocks", "--id", &id, &to]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("the old block is marked for deletion"), "{}", ran.out);
    let verified = tool(folder.path(), &["verify", "-i", "all"]);
    assert_eq!((verified.code, verified.out.contains("1 of 1 blocks ok")), (Some(0), true), "{}", verified.out);
}

#[test]
fn a_lost_meta_needs_labels() {
    let (folder, id) = damaged("sound");
    let tmp = tempfile::tempdir().expect("a folder");
    let to = format!("--tmp.dir={}", tmp.path().display());
    std::fs::remove_file(folder.path().join(&id).join("meta.json")).expect("a file");
    let rewrite = |more: &[&str]| {
        let arguments = [&["rewrite", "--salvage", "--no-dry-run", "--id", &id, &to], more].concat();
        tool(folder.path(), &arguments)
    };
    let ran = rewrite(&[]);
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    assert!(ran.err.contains("nobody says which external labels the block had"), "{}", ran.err);
    let ran = rewrite(&["--salvage.label=cluster=eu9", "--delete-blocks"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("lost: 0 series, 0 chunks") && ran.out.contains("partial upload after two days"), "{}", ran.out);
    let listed = tool(folder.path(), &["inspect", "--output=csv"]);
    assert!(listed.out.contains("cluster=eu9"), "{}", listed.out);
    // now there is another block to learn from
    let ran = tool(folder.path(), &["rewrite", "--salvage", "--id", &id, &to]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
}

#[test]
fn external_labels_change_without_a_sample_being_read() {
    let (folder, id) = damaged("sound");
    let before = crate::snapshot(folder.path());
    let chosen = ["rewrite", "--selector={}", "--external-labels.set=region=eu", "--external-labels.drop=replica"];
    let ran = tool(folder.path(), &chosen);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("region=\"eu\"") && ran.out.contains("dry run: nothing was changed. 1 blocks of"), "{}", ran.out);
    assert_eq!(crate::snapshot(folder.path()), before);

    let ran = tool(folder.path(), &[&chosen[..], &["--no-dry-run"]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains(&format!("block {id} became ")) && ran.out.contains("marked no-compact"), "{}", ran.out);
    let mut after = crate::snapshot(folder.path());
    assert!(after.remove(&format!("{id}/no-compact-mark.json")).is_some());
    let new: Vec<_> = after.iter().filter(|(key, _)| !key.starts_with(&id)).collect();
    assert_eq!(new.len(), 3);
    for (key, file) in new.iter().filter(|(key, _)| !key.ends_with("meta.json")) {
        assert_eq!(before.get(&format!("{id}{}", &key[26..])), Some(*file), "{key}");
    }
    after.retain(|key, _| key.starts_with(&id));
    assert_eq!(after, before);

    for (arguments, words) in [
        (&["rewrite", "--id", &id, "--external-labels.set=x"][..], "is not NAME=VALUE"),
        (&["rewrite", "--id", &id, "--external-labels.set=1x=y"], "is no name of a label"),
        (&["rewrite", "--id", &id, "--external-labels.drop=x", "--salvage"], "cannot be done in one run"),
        (&["rewrite", "--selector={}", "--salvage"], "--salvage takes single blocks"),
    ] {
        let ran = tool(folder.path(), arguments);
        assert_eq!(ran.code, Some(2), "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains(words), "{arguments:?}: {}", ran.err);
    }
}
