//! `meta.json`: what a block is, read leniently as Go reads it and written to the byte as Go writes it.
//!
//! Fields that we do not know are kept, in their order, behind those we do; upstream drops them.
//!
//! *Source*: Prometheus `tsdb/block.go` (`BlockMeta`), Thanos `pkg/block/metadata/meta.go` (`Thanos`).

mod decode;
mod encode;

use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use serde_json::value::RawValue;

use crate::encoding::Malformed;
use crate::model::{BlockId, LabelSet, Millis, TimeRange, Timestamp};

/// Name of the object inside a block's folder.
pub const META_FILE: &str = "meta.json";

/// The only version of both sections that is known.
pub const VERSION: i64 = 1;

/// Sources that the consistency delay does not hold back: they appear whole.
pub const TRUSTED_SOURCES: [&str; 3] = ["bucket.repair", "compactor", "compactor.repair"];

/// The whole of a `meta.json`.
#[derive(Clone, Debug)]
pub struct Meta {
    /// The block.
    pub ulid: BlockId,
    /// First millisecond of the block.
    pub min_time: Millis,
    /// First millisecond behind the block.
    pub max_time: Millis,
    /// Counts.
    pub stats: Stats,
    /// Where the block comes from.
    pub compaction: Compaction,
    /// Of the Prometheus section; see [`Meta::check_version`].
    pub version: i64,
    /// The section of Thanos.
    pub thanos: Thanos,
    /// Fields we do not know.
    pub unknown: Unknown,
}

impl Default for Meta {
    fn default() -> Self {
        Meta {
            ulid: BlockId::ZERO,
            min_time: 0,
            max_time: 0,
            stats: Stats::default(),
            compaction: Compaction::default(),
            version: 0,
            thanos: Thanos::default(),
            unknown: Unknown::default(),
        }
    }
}

/// Counts of what is in a block; a count of 0 is not written.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Samples of all kinds.
    pub num_samples: u64,
    /// Float samples.
    pub num_float_samples: u64,
    /// Native histograms.
    pub num_histogram_samples: u64,
    /// Series.
    pub num_series: u64,
    /// Chunks.
    pub num_chunks: u64,
    /// Tombstones, each a series and an interval.
    pub num_tombstones: u64,
    /// Fields we do not know.
    pub unknown: Unknown,
}

/// Where a block comes from.
#[derive(Clone, Debug, Default)]
pub struct Compaction {
    /// 1 from a head, one more than its highest input after a compaction.
    pub level: i64,
    /// The level-1 blocks it was made of, ordered: its identity when duplicates are looked for.
    pub sources: Vec<BlockId>,
    /// Nothing is in it, so a Prometheus may delete it.
    pub deletable: bool,
    /// The blocks it was made of directly.
    pub parents: Vec<BlockDesc>,
    /// A compaction of it failed before.
    pub failed: bool,
    /// How it was made, ordered: `from-out-of-order`, `from-stale-series`, `selected-series`.
    pub hints: Vec<String>,
    /// Fields we do not know.
    pub unknown: Unknown,
}

impl Compaction {
    /// Whether the block holds samples that came out of order, and may so overlap others of the same source.
    pub fn is_from_out_of_order(&self) -> bool {
        self.hints.iter().any(|hint| hint == "from-out-of-order")
    }
}

/// A block, told shortly.
#[derive(Clone, Debug)]
pub struct BlockDesc {
    /// The block.
    pub ulid: BlockId,
    /// Its first millisecond.
    pub min_time: Millis,
    /// The first millisecond behind it.
    pub max_time: Millis,
    /// Fields we do not know.
    pub unknown: Unknown,
}

impl Default for BlockDesc {
    fn default() -> Self {
        BlockDesc { ulid: BlockId::ZERO, min_time: 0, max_time: 0, unknown: Unknown::default() }
    }
}

/// The section of Thanos.
#[derive(Clone, Debug, Default)]
pub struct Thanos {
    /// 1; 0 is not written and means 1.
    pub version: i64,
    /// External labels: who produced the block, and for whom.
    pub labels: ExternalLabels,
    /// Resolution.
    pub downsample: Downsample,
    /// Who uploaded it: `sidecar`, `receive`, `compactor`, `compactor.repair`, `ruler`, `bucket.repair`,
    /// `bucket.rewrite`, `bucket.upload`, `test` or nothing.
    pub source: String,
    /// Names inside `chunks/`, ordered.
    pub segment_files: Vec<String>,
    /// Files of the block, ordered by path.
    pub files: Vec<File>,
    /// Deletions and relabellings that were applied, each as its JSON: they are carried, nothing here reads them.
    pub rewrites: Vec<Box<RawValue>>,
    /// The largest entries of the index.
    pub index_stats: IndexStats,
    /// Whatever anybody wanted to say about the block.
    pub extensions: Option<Box<RawValue>>,
    /// When it was uploaded; [`Timestamp::ZERO`] if nobody said.
    pub upload_time: Timestamp,
    /// Fields we do not know.
    pub unknown: Unknown,
}

/// How finely a block resolves time.
#[derive(Clone, Debug, Default)]
pub struct Downsample {
    /// Milliseconds between samples: 0 for raw, 300 000, 3 600 000.
    pub resolution: Millis,
    /// Fields we do not know.
    pub unknown: Unknown,
}

/// One file of a block.
#[derive(Clone, Debug, Default)]
pub struct File {
    /// Path below the block's folder.
    pub rel_path: String,
    /// Size in bytes; 0 and below if unknown, as for `meta.json` itself.
    pub size_bytes: i64,
    /// Its hash, where one was asked for.
    pub hash: Option<FileHash>,
    /// Fields we do not know.
    pub unknown: Unknown,
}

/// Hash of a file.
#[derive(Clone, Debug, Default)]
pub struct FileHash {
    /// `SHA256`.
    pub func: String,
    /// Lower-case hexadecimal.
    pub value: String,
    /// Fields we do not know.
    pub unknown: Unknown,
}

/// The largest entries of an index, in bytes; 0 if unknown.
#[derive(Clone, Debug, Default)]
pub struct IndexStats {
    /// Of the series section.
    pub series_max_size: i64,
    /// Of the chunk segments.
    pub chunk_max_size: i64,
    /// Fields we do not know.
    pub unknown: Unknown,
}

/// External labels, shared between blocks that have the same; the default is Go's nil map, written as `null`.
#[derive(Clone, Debug, Default)]
pub struct ExternalLabels(Option<Arc<LabelSet>>);

impl ExternalLabels {
    /// The set, shared; `None` for Go's nil map.
    pub fn shared(&self) -> Option<&Arc<LabelSet>> {
        self.0.as_ref()
    }
}

impl Deref for ExternalLabels {
    type Target = LabelSet;

    fn deref(&self) -> &LabelSet {
        static NONE: LazyLock<LabelSet> = LazyLock::new(LabelSet::new);
        self.0.as_deref().unwrap_or_else(|| &NONE)
    }
}

impl From<LabelSet> for ExternalLabels {
    fn from(labels: LabelSet) -> Self {
        ExternalLabels(Some(Arc::new(labels)))
    }
}

impl From<Arc<LabelSet>> for ExternalLabels {
    fn from(labels: Arc<LabelSet>) -> Self {
        ExternalLabels(Some(labels))
    }
}

/// Fields that we do not know, in their order, as name and JSON.
#[derive(Clone, Debug, Default)]
pub struct Unknown(Option<Box<UnknownFields>>);

type UnknownFields = Vec<(Box<str>, Box<RawValue>)>;

impl Unknown {
    /// Name and JSON text of each.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|fields| fields.iter()).map(|(name, json)| (&**name, json.get()))
    }
}

impl Meta {
    /// From the bytes of a `meta.json`; missing fields are empty, unknown ones are kept.
    ///
    /// # Errors
    /// Bytes that are no such JSON, and versions that are not known; [`Meta::parse`] tells the two apart.
    pub fn decode(bytes: &[u8]) -> Result<Meta, Malformed> {
        let meta = Meta::parse(bytes)?;
        meta.check_version()?;
        Ok(meta)
    }

    /// Like [`Meta::decode`], but of any version: a version of tomorrow is no damage.
    ///
    /// # Errors
    /// Bytes that are no such JSON.
    pub fn parse(bytes: &[u8]) -> Result<Meta, Malformed> {
        decode::meta(bytes)
    }

    /// Whether both sections are of the version that we know.
    ///
    /// # Errors
    /// The version we do not know.
    pub fn check_version(&self) -> Result<(), Malformed> {
        if self.version != VERSION {
            return Err(Malformed::new(META_FILE, 0, format!("unexpected meta file version {}", self.version)));
        }
        if self.thanos.version != VERSION && self.thanos.version != 0 {
            let why = format!("unexpected meta file Thanos section version {}", self.thanos.version);
            return Err(Malformed::new(META_FILE, 0, why));
        }
        Ok(())
    }

    /// The bytes of a `meta.json`, as Go writes them: indented with tabs, with a newline behind.
    pub fn encode(&self) -> Vec<u8> {
        encode::meta(self)
    }

    /// The same in one line, without a newline behind.
    pub fn encode_compact(&self) -> Vec<u8> {
        encode::compact(self)
    }

    /// The time it covers.
    pub fn time_range(&self) -> TimeRange {
        TimeRange::new(self.min_time, self.max_time)
    }

    /// Milliseconds between samples, 0 for raw.
    pub fn resolution(&self) -> Millis {
        self.thanos.downsample.resolution
    }

    /// External labels.
    pub fn labels(&self) -> &LabelSet {
        &self.thanos.labels
    }

    /// The level-1 blocks it was made of.
    pub fn sources(&self) -> &[BlockId] {
        &self.compaction.sources
    }

    /// The text that names its group, `<resolution>@<hash of the labels>`, as upstream has it.
    pub fn group_key(&self) -> String {
        format!("{}@{}", self.resolution(), self.labels().hash64())
    }

    /// Size in bytes of the file at `rel_path`, if the meta knows it.
    pub fn file_bytes(&self, rel_path: &str) -> Option<u64> {
        let file = self.thanos.files.iter().rfind(|f| f.rel_path == rel_path)?;
        u64::try_from(file.size_bytes).ok().filter(|&n| n > 0)
    }
}

/// Reads `bytes` as a `meta.json`; whatever they are, nothing may panic.
///
/// Mutation tests and fuzz targets share it.
pub fn exercise(bytes: &[u8]) {
    if let Ok(meta) = Meta::decode(bytes) {
        let written = meta.encode();
        let again = Meta::decode(&written).map(|meta| meta.encode());
        assert_eq!(again.as_ref(), Ok(&written), "what we write reads the same");
    }
}

#[cfg(test)]
mod tests;
