//! Merging blocks into one, in one pass: inputs are streamed from the bucket, the output is streamed
//! into it, nothing of either lies on the local disk.
//!
//! The data's road: symbol tables are merged first (`symbols`), so that from then on labels are
//! integers; series sections are decoded in batches (`input`, `decode`), merged (`merge`), their chunk
//! records fetched (`chunks`) and collected (`assemble`), given a place by one cursor, their entries
//! encoded (`entries`) and appended, their postings gathered (`block::build`).
//!
//! *Order*: three pipelines run side by side, joined by bounded queues that keep the order of batches:
//! merge and fetch; place chunks; place series. What runs on the pool in between may finish in any
//! order, so any number of threads gives the same bytes.
//!
//! *Memory*: read-ahead an input, a bounded number of batches, the merged symbol table, and postings
//! up to their budget.

mod assemble;
mod chunks;
mod decode;
mod entries;
mod input;
mod merge;
mod output;
mod pool;
mod run;
mod symbols;

use std::sync::Arc;

use serde_json::value::RawValue;

use super::{Env, Event, JobId};
use crate::bucket::Object;
use crate::error::{Error, Kind, Result};
use crate::format::meta::Meta;
use crate::format::segment::DEFAULT_SEGMENT_BYTES;
use crate::model::{BlockId, LabelSet, Millis};

/// Postings in memory before they are written out as a run (bytes).
pub const DEFAULT_POSTINGS_BYTES: usize = 256 << 20;

/// Hashes of files that go into `meta.json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashFunc {
    /// None.
    #[default]
    None,
    /// SHA-256.
    Sha256,
}

/// One block that goes into the merge.
#[derive(Clone, Debug)]
pub struct CompactInput {
    /// Which.
    pub id: BlockId,
    /// Its `meta.json`.
    pub meta: Arc<Meta>,
    /// Its objects, as the bucket lists them.
    pub objects: Arc<[Object]>,
}

/// A merge that was decided on.
#[derive(Clone, Debug)]
pub struct CompactTask {
    /// Number of the job for its report.
    pub job: JobId,
    /// Id of the block to be written.
    pub id: BlockId,
    /// What goes in, in the order of the plan: by minimum time.
    pub inputs: Vec<CompactInput>,
    /// External labels of the block to be written.
    pub labels: LabelSet,
    /// Its resolution in milliseconds, 0 for raw.
    pub resolution: Millis,
    /// Extensions that all inputs share.
    pub extensions: Option<Box<RawValue>>,
    /// Whether files are hashed.
    pub hash_func: HashFunc,
    /// Label names of a series may come out of order.
    pub accept_malformed_index: bool,
    /// Where chunk segments are cut, in bytes.
    pub segment_bytes: u64,
    /// Postings kept in memory, in bytes; above, they go to scratch.
    pub postings_bytes: usize,
}

impl CompactTask {
    /// A plain merge of `inputs` with everything else as upstream has it.
    pub fn new(id: BlockId, inputs: Vec<CompactInput>, labels: LabelSet, resolution: Millis) -> Self {
        CompactTask {
            job: JobId(0),
            id,
            inputs,
            labels,
            resolution,
            extensions: None,
            hash_func: HashFunc::None,
            accept_malformed_index: false,
            segment_bytes: DEFAULT_SEGMENT_BYTES,
            postings_bytes: DEFAULT_POSTINGS_BYTES,
        }
    }
}

/// What a merge came to.
#[derive(Debug)]
pub enum CompactOutcome {
    /// A new block is in the bucket.
    Written {
        /// Its `meta.json`.
        meta: Box<Meta>,
        /// Chunks in encodings that Go components of today cannot read; they were copied as they are.
        new_encodings: u64,
    },
    /// The inputs hold no samples: there is no new block.
    Empty,
}

/// Whether an input's chunks are out of order, for which its block can be marked and left out.
pub fn is_out_of_order(error: &Error) -> bool {
    error.kind() == Kind::Corrupt && error.block_id().is_some() && error.to_string().contains(decode::OUT_OF_ORDER)
}

/// Merges the task's inputs into one new block.
///
/// The block becomes visible with its `meta.json`, which is written when everything else is wholly in
/// the bucket. After an error nothing of it stays behind. Inputs are not touched.
///
/// # Errors
/// `Corrupt` and `Unsupported` name the block, part and offset; `Limit` when the output would not fit
/// the format; `Cancelled` when asked to stop; else what the bucket says.
pub async fn compact(env: &Env, task: &CompactTask) -> Result<CompactOutcome> {
    let blocks: Vec<BlockId> = task.inputs.iter().map(|i| i.id).collect();
    let bytes = task.inputs.iter().flat_map(|i| i.objects.iter()).map(|o| o.len_bytes).sum();
    let group = format!("{}@{}", task.resolution, task.labels);
    env.report.event(Event::Started { job: task.job, kind: "compact", group: &group, blocks: &blocks, bytes });
    match run::run(env, task).await {
        Ok(outcome) => {
            let text = match &outcome {
                CompactOutcome::Written { meta, .. } => format!("block {} with {} series", meta.ulid, meta.stats.num_series),
                CompactOutcome::Empty => "no samples, no block".to_owned(),
            };
            env.report.event(Event::Finished { job: task.job, outcome: &text });
            Ok(outcome)
        }
        Err(error) => {
            env.report.event(Event::Failed { job: task.job, error: &error });
            Err(error)
        }
    }
}
