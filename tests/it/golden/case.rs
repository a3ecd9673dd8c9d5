//! A golden compaction as it lies in `testdata/golden`: small inputs, and what the real thing made of them.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// One folder of `testdata/golden`; its README says what the fields mean.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    #[serde(skip)]
    pub(crate) folder: PathBuf,
    pub(crate) what: String,
    pub(crate) made_by: String,
    pub(crate) segment_bytes: Option<u64>,
    #[serde(default)]
    pub(crate) resolution_ms: i64,
    #[serde(default)]
    pub(crate) penalty: bool,
    pub(crate) steps: Vec<Step>,
}

/// One compaction; `inputs` are folders or outputs of earlier steps.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    pub(crate) inputs: Vec<String>,
    #[serde(default)]
    pub(crate) output: String,
    pub(crate) expect: Option<Expect>,
    pub(crate) refused: Option<String>,
    #[serde(default)]
    pub(crate) live: bool,
}

/// What the real thing made.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    pub(crate) level: i64,
    pub(crate) sources: Vec<String>,
    pub(crate) parents: Vec<String>,
    pub(crate) stats: Stats,
    pub(crate) series_max_size: i64,
    pub(crate) chunk_max_size: i64,
    pub(crate) files: Vec<Digest>,
}

/// Counts, named as `meta.json` names them; what is absent is 0.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(crate) struct Stats {
    pub(crate) num_samples: u64,
    pub(crate) num_float_samples: u64,
    pub(crate) num_histogram_samples: u64,
    pub(crate) num_series: u64,
    pub(crate) num_chunks: u64,
    pub(crate) num_tombstones: u64,
}

/// One file by its content.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Digest {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

impl Case {
    /// The case in `testdata/golden/<name>`.
    pub(crate) fn load(name: &str) -> Case {
        let folder = golden().join(name);
        let text = fs::read(folder.join("case.json")).unwrap_or_else(|e| panic!("{name}: case.json: {e}"));
        let mut case: Case = serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{name}: case.json: {e}"));
        case.folder = folder;
        let whole_bucket = case.steps.iter().any(|s| !s.output.is_empty());
        assert_eq!(whole_bucket, case.steps.iter().any(|s| s.live), "{name}: a compactor leaves a live block");
        assert!(!case.what.is_empty() && !case.made_by.is_empty(), "{name} does not say what it is for");
        case
    }

    /// Every file of the inputs, as (key in a bucket, bytes), ordered.
    pub(crate) fn objects(&self) -> Vec<(String, Vec<u8>)> {
        let input = self.folder.join("input");
        let mut out = Vec::new();
        gather(&input, &input, &mut out);
        out
    }
}

/// The folder of all cases.
pub(crate) fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/golden")
}

/// Every file below `dir` as (path from `top`, bytes), ordered.
pub(crate) fn gather(top: &Path, dir: &Path, out: &mut Vec<(String, Vec<u8>)>) {
    let mut entries: Vec<_> = fs::read_dir(dir).expect("a folder").map(|e| e.expect("an entry").path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            gather(top, &path, out);
        } else {
            let key = path.strip_prefix(top).expect("below").to_str().expect("a plain name").to_owned();
            out.push((key, fs::read(&path).expect("a file")));
        }
    }
}
