//! What is in a bucket: every block with its meta, its marks and its objects, and what is no whole block.
//!
//! One listing finds everything: whether a block has a `meta.json`, which marks lie beside it, how large its
//! objects are and when they were written. Only metas that are not known yet and marks that are listed are
//! fetched; upstream asks for three marks a block, nearly all of which are not there (thanos#9025).
//!
//! *Order*: blocks and partial blocks by id.
//! *Memory*: equal label sets are shared; about 2 KB a block.

mod cache;
mod fetch;
mod list;

use std::path::PathBuf;
use std::sync::Arc;

use crate::bucket::Object;

use crate::error::{Error, Result};
use crate::format::Malformed;
use crate::format::marks::{DeletionMark, NoCompactMark, NoDownsampleMark};
use crate::format::meta::{META_FILE, Meta};
use crate::job::group::group_key;
use crate::job::pass::Discovery;
use crate::model::{BlockId, LabelSet, Millis};

pub use fetch::Syncer;

/// Length in bytes of the name of a block's folder.
const ID_LEN: usize = 26;

/// How much of a bucket is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// All objects of all blocks, and the marks among them.
    #[default]
    Everything,
    /// Only which blocks there are and their metas: objects and marks are not looked for where that
    /// is cheaper.
    Metas,
}

/// How a bucket is looked at.
#[derive(Clone, Debug)]
pub struct SyncOptions {
    /// How blocks are found.
    pub discovery: Discovery,
    /// How many small objects are fetched at a time, at least 1.
    pub concurrency: usize,
    /// How much is looked for.
    pub depth: Depth,
    /// The folder (`--data-dir`) below which metas are kept between runs, if they are.
    pub data_dir: Option<PathBuf>,
    /// Metas that are kept are used, and nothing is written there.
    pub reads_only: bool,
}

impl Default for SyncOptions {
    fn default() -> Self {
        SyncOptions {
            discovery: Discovery::Concurrent,
            concurrency: 32,
            depth: Depth::Everything,
            data_dir: None,
            reads_only: false,
        }
    }
}

/// What is in a bucket.
#[derive(Debug, Default)]
pub struct Catalog {
    /// Blocks with a meta that can be read, by id.
    pub blocks: Vec<CatalogBlock>,
    /// Folders of blocks without one, by id.
    pub partial: Vec<Partial>,
    /// Blocks that could not be looked at; see [`Catalog::check_complete`].
    pub failed: Vec<(BlockId, Error)>,
    /// What a person should know although work goes on: odd keys, marks written by half.
    pub warnings: Vec<(Option<BlockId>, String)>,
}

/// One block.
#[derive(Clone, Debug)]
pub struct CatalogBlock {
    /// The name of its folder, which is its identity whatever its meta says.
    pub id: BlockId,
    /// Its `meta.json`, as it is in the bucket.
    pub meta: Arc<Meta>,
    /// External labels by which it is grouped: those of the meta, until replica labels are taken away.
    pub labels: Arc<LabelSet>,
    /// Its objects, by key.
    pub objects: Arc<[Object]>,
    /// It is to be deleted.
    pub deletion: Option<Box<DeletionMark>>,
    /// It is not to be compacted.
    pub no_compact: Option<Box<NoCompactMark>>,
    /// It is not to be downsampled.
    pub no_downsample: Option<Box<NoDownsampleMark>>,
}

/// A folder of a block without a readable `meta.json`: an upload under way, one that was given up, or a
/// deletion that was.
#[derive(Clone, Debug)]
pub struct Partial {
    /// The name of the folder.
    pub id: BlockId,
    /// What is wrong with it.
    pub why: PartialReason,
    /// Its objects, by key.
    pub objects: Arc<[Object]>,
    /// It is to be deleted.
    pub deletion: Option<Box<DeletionMark>>,
}

/// Why a folder is no whole block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartialReason {
    /// There is no `meta.json`.
    NoMeta,
    /// Its `meta.json` cannot be read.
    Corrupt(Malformed),
}

impl Catalog {
    /// Whether every block could be looked at. Where not, nothing may be decided that depends on what is not
    /// there: the blocks that are returned are right, but some are missing.
    ///
    /// # Errors
    /// The first failure, by block, as an incomplete view.
    pub fn check_complete(&self) -> Result<()> {
        let Some((id, error)) = self.failed.first() else { return Ok(()) };
        let more = match self.failed.len() {
            1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        let error_now = Error::new(error.kind(), format!("incomplete view: {}{more}", error_text(error))).block(*id);
        Err(match error.what_next() {
            Some(next) => error_now.next(next),
            None => error_now.next("repair or remove the block, or mark it for deletion, then run again"),
        })
    }

    /// The block `id`, if it is whole.
    pub fn block(&self, id: BlockId) -> Option<&CatalogBlock> {
        self.blocks.binary_search_by_key(&id, |b| b.id).ok().map(|at| &self.blocks[at])
    }
}

/// What happened and where, without the block and what to do next: both are said around it.
fn error_text(error: &Error) -> String {
    let text = error.to_string();
    let text = error.block_id().map_or(text.as_str(), |id| text.trim_start_matches(&format!("block {id}: "))).to_owned();
    match error.what_next().and_then(|next| text.strip_suffix(&format!("; {next}")).map(str::to_owned)) {
        Some(short) => short,
        None => text,
    }
}

impl CatalogBlock {
    /// Bytes of all its objects.
    pub fn bytes(&self) -> u64 {
        bytes(&self.objects)
    }

    /// Size in bytes of its index: what the meta says, else what the bucket lists; 0 if there is none.
    pub fn index_bytes(&self) -> u64 {
        let listed = || object(&self.objects, "index").map_or(0, |o| o.len_bytes);
        self.meta.file_bytes("index").unwrap_or_else(listed)
    }

    /// Its meta as JSON in one line, with the labels by which it is grouped.
    pub fn to_json(&self) -> String {
        let mut meta = Meta::clone(&self.meta);
        meta.thanos.labels = self.labels.clone().into();
        // the writer takes text and numbers only
        String::from_utf8(meta.encode_compact()).unwrap_or_default()
    }

    /// The text that names its group.
    pub fn group_key(&self) -> String {
        group_key(self.meta.resolution(), &self.labels)
    }
}

impl Partial {
    /// When the newest of its objects was written, or when the block was begun if there is none.
    pub fn newest(&self) -> Millis {
        self.objects.iter().map(|o| o.modified).max().unwrap_or_else(|| self.id.created())
    }

    /// Bytes of all its objects.
    pub fn bytes(&self) -> u64 {
        bytes(&self.objects)
    }
}

fn bytes(objects: &[Object]) -> u64 {
    objects.iter().map(|o| o.len_bytes).fold(0, u64::saturating_add)
}

/// The object `name` of a block, if it is listed among its objects.
fn object<'a>(objects: &'a [Object], name: &str) -> Option<&'a Object> {
    let is_it = |o: &&Object| o.key.len() == ID_LEN + 1 + name.len() && o.key.ends_with(name) && o.key.as_bytes()[ID_LEN] == b'/';
    objects.iter().find(is_it)
}

/// The key of a block's `meta.json`.
fn meta_key(id: BlockId) -> String {
    format!("{id}/{META_FILE}")
}

#[cfg(test)]
mod tests;
