//! One pass from blocks to blocks: inputs are streamed from the bucket, outputs are streamed into it,
//! nothing of either lies on the local disk. Compaction, downsampling and rewriting differ only in their
//! [`Work`]: which blocks go in, which come out, and what happens to series on the way.
//!
//! The data's road: symbol tables are merged first (`symbols`), so that from then on labels are
//! integers; series sections are decoded in batches (`input`, `decode`), where series may be left out or
//! cut (`hooks`), merged (`merge`), their chunk records fetched (`chunks`) and collected into one column an
//! output (`assemble`), given a place by one cursor an output, their entries encoded (`entries`) and
//! appended, their postings gathered (`block::build`). What comes out is wholly in the bucket and not
//! visible: the job describes it in a `meta.json`, and [`publish`] writes that (`output`).
//!
//! *Order*: three pipelines run side by side, joined by bounded queues that keep the order of batches:
//! merge and fetch; place chunks; place series. What runs on the pool in between may finish in any
//! order, so any number of threads gives the same bytes.
//!
//! *Memory*: read-ahead an input, a bounded number of batches, the merged symbol table, and postings
//! up to their budget an output.

mod assemble;
mod chunks;
mod decode;
mod downsample;
mod entries;
mod hooks;
mod input;
mod merge;
mod output;
mod proof;
mod renamed;
mod run;
mod scan;
mod scattered;
mod source;
mod symbols;

use std::sync::Arc;

use super::JobId;
use crate::error::{Error, Kind};
use crate::format::segment::DEFAULT_SEGMENT_BYTES;
use crate::model::{BlockId, Millis};
use crate::series::aggregate::{FIVE_MINUTES, ONE_HOUR};

pub use assemble::Counts;
pub use hooks::{Candidate, Edit, Join, Judge, Lost, Salvage, SeriesChoice, SeriesView, Verdict};
pub use output::{Built, publish};
pub use proof::VerifyOutput;
pub use renamed::{NewLabels, Place, UNUSED};
pub use run::build;
pub use scan::Scan;
pub use scattered::{ChunkRecords, RecordReader, ScatteredChunks};
pub use source::SourceBlock;
pub(crate) use source::input_part_bytes;

/// Postings of one output in memory before they are written out as a run (bytes).
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

/// What is made of the inputs' samples in one output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// The inputs' chunks, at the inputs' resolution.
    Plain,
    /// Five minutes of raw samples.
    FiveMinutes,
    /// An hour of raw samples, or of five minutes.
    OneHour,
}

impl Content {
    /// Milliseconds between samples; `None` for those of the inputs.
    pub fn resolution(self) -> Option<Millis> {
        match self {
            Content::Plain => None,
            Content::FiveMinutes => Some(FIVE_MINUTES),
            Content::OneHour => Some(ONE_HOUR),
        }
    }
}

/// A block that is to be written.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// Its id.
    pub id: BlockId,
    /// What goes into it.
    pub content: Content,
}

/// One pass that was decided on.
pub struct Work<'a> {
    /// Number of the job for its report.
    pub job: JobId,
    /// What goes in, in the order of the plan: by minimum time.
    pub inputs: &'a [SourceBlock],
    /// What comes out, at most one block of each content.
    pub outputs: Vec<Output>,
    /// First and last millisecond that go out, both within: chunks beyond are left out, others cut.
    pub keep: (Millis, Millis),
    /// How chunks of one series that overlap become one list.
    pub join: Join,
    /// What happens to inputs that are not as they should be.
    pub judge: Judge,
    /// Which series are left out or cut; `None` leaves all as they are.
    pub edit: Option<Arc<dyn Edit>>,
    /// Which series are downsampled; `None` for all.
    pub choose: Option<SeriesChoice>,
    /// Other labels for series of the one input, and other symbols; the edit has to leave out the series that move.
    pub labels: Option<Arc<NewLabels>>,
    /// Label names of a series may come out of order.
    pub accept_malformed_index: bool,
    /// Whether files are hashed.
    pub hash_func: HashFunc,
    /// Where outputs are read from before they are said to be right.
    pub verify: VerifyOutput,
    /// Where chunk segments are cut, in bytes.
    pub segment_bytes: u64,
    /// Postings of an output kept in memory, in bytes; above, they go to scratch.
    pub postings_bytes: usize,
}

impl<'a> Work<'a> {
    /// All samples of `inputs` into `outputs`, with everything else as upstream has it.
    pub fn new(job: JobId, inputs: &'a [SourceBlock], outputs: Vec<Output>) -> Self {
        Work {
            job,
            inputs,
            outputs,
            keep: (Millis::MIN, Millis::MAX),
            join: Join::OneToOne,
            judge: Judge::Strict,
            edit: None,
            choose: None,
            labels: None,
            accept_malformed_index: false,
            hash_func: HashFunc::None,
            verify: VerifyOutput::Sent,
            segment_bytes: DEFAULT_SEGMENT_BYTES,
            postings_bytes: DEFAULT_POSTINGS_BYTES,
        }
    }
}

/// What a person does about a damaged input.
const LOOK_AND_MARK: &str = "run `tools bucket verify` on the block, then replace it or mark it no-compact";

/// Whether an input's chunks are out of order, for which its block can be marked and left out.
pub fn is_out_of_order(error: &Error) -> bool {
    error.kind() == Kind::Corrupt && error.block_id().is_some() && error.to_string().contains(decode::OUT_OF_ORDER)
}

/// What an error says of inputs that cannot be joined by copying their chunks.
const NOT_APART: &str = "cannot be joined by copying chunks";

/// Inputs that [`Join::Apart`] refuses.
fn not_apart(block: BlockId) -> Error {
    Error::new(Kind::Unsupported, NOT_APART).block(block).next("join the blocks step by step")
}

/// Whether [`Join::Apart`] refused the inputs, which another [`Join`] may not.
pub fn is_not_apart(error: &Error) -> bool {
    error.kind() == Kind::Unsupported && error.what() == NOT_APART
}

/// How what is to be done about a mismatch begins.
const UNTOUCHED: &str = "nothing was marked for deletion";

/// Whether what came out was not what went in, or not what was written: no input is to blame for that.
pub fn is_mismatch(error: &Error) -> bool {
    error.kind() == Kind::Corrupt && error.what_next().is_some_and(|next| next.starts_with(UNTOUCHED))
}

/// Whether an input has chunks that begin exactly where it ends, which a compactor repairs by itself.
pub fn is_issue_347(error: &Error) -> bool {
    error.kind() == Kind::Corrupt && error.block_id().is_some() && error.to_string().contains(decode::AT_THE_END)
}
