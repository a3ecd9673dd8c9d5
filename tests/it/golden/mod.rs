//! Golden compactions: what the real tsdb library and a real Thanos made of the same inputs, to the byte.

pub(crate) mod case;
mod downsample;
pub(crate) mod merge;
mod pass;

use std::collections::BTreeMap;
use std::sync::Arc;

use blockyard::Kind;
use blockyard::bucket::{Bucket, Tuning};
use blockyard::format::meta::Meta;
use blockyard::job::compact::{CompactOutcome, Join, compact};
use blockyard::model::BlockId;
use object_store::memory::InMemory;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use case::{Case, Digest, Expect, Stats};

/// How one run differs from another in all that must not show in the bytes.
struct Way {
    threads: usize,
    bucket: fn(&TempDir) -> Bucket,
    postings_bytes: Option<usize>,
}

const WAYS: [Way; 3] = [
    Way { threads: 1, bucket: |_| Bucket::memory(), postings_bytes: None },
    // reads of a few bytes, so that every entry and record straddles them, and postings that spill
    Way { threads: 2, bucket: |_| narrow(), postings_bytes: Some(1000) },
    Way { threads: 7, bucket: |dir| Bucket::filesystem(dir.path().join("bucket"), "").expect("a folder"), postings_bytes: None },
];

fn narrow() -> Bucket {
    let tuning = Tuning { read_bytes: 999, part_bytes: 5 << 20, ..Tuning::default() };
    Bucket::over(Arc::new(InMemory::new()), "some/prefix", tuning).expect("a bucket")
}

fn run(name: &str) {
    let case = Case::load(name);
    let objects = case.objects();
    for way in &WAYS {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        runtime.block_on(one_way(name, &case, &objects, way));
    }
}

async fn one_way(name: &str, case: &Case, objects: &[(String, Vec<u8>)], way: &Way) {
    let dir = TempDir::new().expect("scratch");
    let env = merge::env((way.bucket)(&dir), way.threads, &dir);
    merge::fill(&env.bucket, objects).await;
    let mut made: BTreeMap<&str, BlockId> = BTreeMap::new();
    for (n, step) in case.steps.iter().enumerate() {
        let says = format!("{name}, step {}, {} threads", n + 1, way.threads);
        let id = |name: &str| made.get(name).copied().unwrap_or_else(|| name.parse().expect("a block id"));
        let blocks: Vec<BlockId> = step.inputs.iter().map(|i| id(i)).collect();
        let mut task = merge::task(&env, &blocks).await.unwrap_or_else(|e| panic!("{says}: {e}"));
        assert_eq!(task.resolution, case.resolution_ms, "{says}: resolution");
        task.join = if case.penalty { Join::Penalty } else { Join::OneToOne };
        task.segment_bytes = case.segment_bytes.unwrap_or(task.segment_bytes);
        task.postings_bytes = way.postings_bytes.unwrap_or(task.postings_bytes);
        let outcome = compact(&env, &task).await;
        let output = merge::contents(&env.bucket, &task.id.to_string()).await;
        match (outcome, &step.expect, &step.refused) {
            (Ok(CompactOutcome::Written { meta, .. }), Some(expect), None) => {
                let parents: Vec<BlockId> = expect.parents.iter().map(|p| id(p)).collect();
                same_block(&says, &meta, &output, expect, &parents);
                made.insert(&step.output, task.id);
            }
            (Ok(CompactOutcome::Empty), None, None) => assert_eq!(output, [], "{says}: nothing is left, and nothing is written"),
            (Err(error), None, Some(bad)) => {
                assert_eq!((error.kind(), error.block_id()), (Kind::Corrupt, Some(id(bad))), "{says}: {error}");
                assert_eq!(output, [], "{says}: nothing stays behind");
            }
            (Err(error), ..) => panic!("{says}: {error}"),
            (Ok(outcome), ..) => panic!("{says}: another outcome was expected than {outcome:?}"),
        }
    }
    let made: Vec<String> = made.values().map(BlockId::to_string).collect();
    let mut after = merge::contents(&env.bucket, "").await;
    after.retain(|(key, _)| !made.iter().any(|id| key.starts_with(id)));
    assert!(after == objects, "{name}: inputs are not touched and nothing else is in the bucket");
    assert_eq!(env.bucket.list_unfinished_uploads("").await.expect("a listing"), [], "{name}: uploads are finished");
}

fn same_block(says: &str, meta: &Meta, output: &[(String, Vec<u8>)], expect: &Expect, parents: &[BlockId]) {
    let files: Vec<Digest> = output
        .iter()
        .filter(|(key, _)| !key.ends_with("/meta.json"))
        .map(|(key, bytes)| Digest {
            name: key.split_once('/').expect("a block's key").1.to_owned(),
            bytes: bytes.len() as u64,
            sha256: Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect(),
        })
        .collect();
    let s = &meta.stats;
    let stats = Stats {
        num_samples: s.num_samples,
        num_float_samples: s.num_float_samples,
        num_histogram_samples: s.num_histogram_samples,
        num_series: s.num_series,
        num_chunks: s.num_chunks,
        num_tombstones: s.num_tombstones,
    };
    assert_eq!(stats, expect.stats, "{says}: stats");
    assert_eq!(files, expect.files, "{says}: files");
    assert_eq!((meta.min_time, meta.max_time), (expect.min_time, expect.max_time), "{says}: time range");
    assert_eq!(meta.compaction.level, expect.level, "{says}: level");
    let sources: Vec<String> = meta.sources().iter().map(BlockId::to_string).collect();
    assert_eq!(sources, expect.sources, "{says}: sources");
    let ours: Vec<BlockId> = meta.compaction.parents.iter().map(|p| p.ulid).collect();
    assert_eq!(ours, parents, "{says}: parents");
    let index_stats = &meta.thanos.index_stats;
    assert_eq!(
        (index_stats.series_max_size, index_stats.chunk_max_size),
        (expect.series_max_size, expect.chunk_max_size),
        "{says}: largest entries"
    );

    // what meta.json says of files is what lies there, and meta.json in the bucket is the meta we were given
    let mut listed: Vec<(String, i64)> =
        output.iter().map(|(key, b)| (key.split_once('/').expect("a key").1.to_owned(), b.len() as i64)).collect();
    let (_, bytes) = output.iter().find(|(key, _)| key.ends_with("/meta.json")).expect("a block has its meta.json");
    assert_eq!(*bytes, meta.encode(), "{says}: meta.json in the bucket");
    listed.iter_mut().filter(|(name, _)| name == "meta.json").for_each(|(_, size)| *size = 0);
    let named: Vec<(String, i64)> = meta.thanos.files.iter().map(|f| (f.rel_path.clone(), f.size_bytes)).collect();
    assert_eq!(named, listed, "{says}: files in meta.json");
    let segments: Vec<&str> = files.iter().filter_map(|f| f.name.strip_prefix("chunks/")).collect();
    assert_eq!(meta.thanos.segment_files, segments, "{says}: segment files");
    assert_eq!(meta.thanos.source, "compactor", "{says}: source");
}

/// One test a case, and one that finds cases without a test.
macro_rules! golden {
    ($($test:ident = $folder:literal,)*) => {
        $(#[test] fn $test() { run($folder); })*

        #[test]
        fn every_case_is_run() {
            let mut folders: Vec<String> = std::fs::read_dir(case::golden())
                .expect("golden cases")
                .map(|e| e.expect("an entry"))
                .filter(|e| e.path().is_dir())
                .map(|e| e.file_name().into_string().expect("a plain name"))
                .collect();
            folders.sort();
            let mut run = vec![$($folder),*];
            run.sort_unstable();
            assert_eq!(folders, run);
        }
    };
}

golden! {
    aggregates = "aggregates",
    at_max_time_one_block = "at-max-time-one-block",
    at_max_time = "at-max-time",
    chunks_2000 = "chunks-2000",
    chunks_many_overlap = "chunks-many-overlap",
    contained = "contained",
    copies = "copies",
    empty_block = "empty-block",
    full_chunks_overlap = "full-chunks-overlap",
    full_chunks = "full-chunks",
    gap = "gap",
    heap_order = "heap-order",
    horizontal = "horizontal",
    index_v1 = "index-v1",
    jumping_times = "jumping-times",
    label_bytes = "label-bytes",
    levels = "levels",
    many_series = "many-series",
    negative_times = "negative-times",
    new_encodings = "new-encodings",
    one_block_only = "one-block-only",
    one_series = "one-series",
    one_to_one = "one-to-one",
    overlap_2 = "overlap-2",
    overlap_3 = "overlap-3",
    overlap_5 = "overlap-5",
    overlap_7 = "overlap-7",
    overlap_float_histograms_custom_bucket = "overlap-float-histograms-custom-bucket",
    overlap_float_histograms_gauge = "overlap-float-histograms-gauge",
    overlap_float_histograms_integer = "overlap-float-histograms-integer",
    overlap_histograms_custom_bucket = "overlap-histograms-custom-bucket",
    overlap_histograms_gauge = "overlap-histograms-gauge",
    overlap_histograms_integer = "overlap-histograms-integer",
    overlap_histograms_long = "overlap-histograms-long",
    overlap_mixed = "overlap-mixed",
    overlap_special = "overlap-special",
    overlap = "overlap",
    penalty = "penalty",
    refused_before = "refused-before",
    refused_complete_outside = "refused-complete-outside",
    refused_outside = "refused-outside",
    segments_4096 = "segments-4096",
    segments_600 = "segments-600",
    segments_64 = "segments-64",
    single_samples = "single-samples",
    special_values = "special-values",
    tombstones_all = "tombstones-all",
    tombstones_floats = "tombstones-floats",
    tombstones_one_block = "tombstones-one-block",
    tombstones_overlap = "tombstones-overlap",
    tombstones = "tombstones",
    touching = "touching",
}
