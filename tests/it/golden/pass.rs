//! Whole passes over a bucket, held to what a real Thanos left in it.

use std::collections::BTreeSet;

use blockyard::bucket::Bucket;
use blockyard::format::marks::DeletionMark;
use blockyard::format::meta::Meta;
use blockyard::job::pass::{Dedup, Engine, PassOptions, run};
use blockyard::model::BlockId;
use tempfile::TempDir;

use super::case::Case;
use super::{merge, same_block};

/// Runs one pass step by step, and one that leaves out what lies between, and judges both.
fn pass(name: &str, labels: &[(&str, &str)], change: impl Fn(&mut PassOptions)) {
    for stepwise in [true, false] {
        one_pass(name, labels, |options| {
            change(options);
            options.stepwise = stepwise;
        });
    }
}

/// Runs one pass and compares the blocks it leaves live, what it marked, and what it did not touch.
fn one_pass(name: &str, labels: &[(&str, &str)], change: impl FnOnce(&mut PassOptions)) {
    let case = Case::load(name);
    let dir = TempDir::new().expect("scratch");
    let env = merge::env(Bucket::filesystem(dir.path().join("bucket"), "").expect("a bucket"), 2, &dir);
    let mut options = PassOptions { consistency_delay: 0, downsampling: false, ..PassOptions::default() };
    change(&mut options);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let after = runtime.block_on(async {
        merge::fill(&env.bucket, &case.objects()).await;
        let result = run(&env, &options, &Engine).await.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(result.is_clean(), "{name}: {result:?}");
        let (done, steps) = (result.compacted.len(), case.steps.len());
        assert!(done == steps || done < steps && !options.stepwise, "{name}: {done} compactions for {steps}");
        merge::contents(&env.bucket, "").await
    });
    let of = |id: &str| -> Vec<(String, Vec<u8>)> { after.iter().filter(|(key, _)| key.starts_with(id)).cloned().collect() };
    let marked: BTreeSet<&str> = after.iter().filter_map(|(key, _)| key.strip_suffix("/deletion-mark.json")).collect();
    let blocks: BTreeSet<&str> = after.iter().map(|(key, _)| key.split_once('/').expect("a block's key").0).collect();

    // inputs: their bytes as they were, marked where a step took them
    let objects = case.objects();
    let taken: BTreeSet<&str> = case.steps.iter().flat_map(|s| &s.inputs).map(String::as_str).collect();
    let inputs: BTreeSet<&str> = objects.iter().map(|(key, _)| key.split_once('/').expect("a block's key").0).collect();
    for input in &inputs {
        assert_eq!(marked.contains(input), taken.contains(input), "{name}: mark of {input}");
    }
    for (key, bytes) in &after {
        if let Some(id) = key.strip_suffix("/deletion-mark.json") {
            assert_eq!(DeletionMark::decode(bytes).expect("a mark").id.to_string(), id, "{name}: {key}");
        }
    }
    assert!(objects.iter().all(|object| after.contains(object)), "{name}: inputs are not touched");

    // outputs: the live ones are those that Thanos left
    let made: Vec<&str> = blocks.iter().filter(|id| !inputs.contains(*id) && !marked.contains(*id)).copied().collect();
    let live: Vec<_> = case.steps.iter().filter(|s| s.live).collect();
    assert_eq!(made.len(), live.len(), "{name}: live blocks");
    for step in live {
        let expect = step.expect.as_ref().expect("a live block");
        let found = made.iter().find_map(|id| {
            let output = of(id);
            let (_, meta) = output.iter().find(|(key, _)| key.ends_with("/meta.json"))?;
            let meta = Meta::decode(meta).expect("our own meta.json");
            ((meta.min_time, meta.max_time) == (expect.min_time, expect.max_time)).then_some((meta, output))
        });
        let (meta, output) = found.unwrap_or_else(|| panic!("{name}: no live block like {}", step.output));
        // parents that were made on the way have ids of their own here
        let parents: Vec<BlockId> = meta.compaction.parents.iter().map(|p| p.ulid).collect();
        assert!(parents.len() == expect.parents.len() || !options.stepwise, "{name}: parents");
        same_block(&format!("{name}, {}", step.output), &meta, &output, expect, &parents);
        assert_eq!(meta.labels().iter().collect::<Vec<_>>(), labels, "{name}: labels");
    }
}

#[test]
fn a_pass_leaves_what_thanos_leaves_of_blocks_in_a_row() {
    pass("horizontal", &[("cluster", "eu1"), ("replica", "a")], |_| {});
}

#[test]
fn a_pass_leaves_what_thanos_leaves_of_replicas() {
    pass("one-to-one", &[("cluster", "eu1")], |options| options.replica_labels = vec!["replica".to_owned()]);
}

#[test]
fn a_pass_leaves_what_thanos_leaves_of_overlapping_blocks() {
    pass("overlap", &[("cluster", "eu1"), ("replica", "a")], |options| options.vertical = true);
}

#[test]
fn a_pass_leaves_what_thanos_leaves_of_replicas_with_clocks_of_their_own() {
    pass("penalty", &[("cluster", "eu1")], |options| {
        options.replica_labels = vec!["replica".to_owned()];
        options.dedup = Dedup::Penalty;
    });
}
