//! Merging blocks into one: what the task is, and what the new block's `meta.json` says of it.

mod describe;

use serde_json::value::RawValue;

use super::forecast::{self, Pace};
use super::pipeline::{self, Content, Output, Work};
use super::{Env, Event, JobId, downsample};
use crate::error::Result;
use crate::format::meta::Meta;
use crate::format::segment::DEFAULT_SEGMENT_BYTES;
use crate::model::{BlockId, LabelSet, Millis, TimeRange};

pub use super::pipeline::{DEFAULT_POSTINGS_BYTES, HashFunc, Join, SeriesChoice, SourceBlock, VerifyOutput};
pub(crate) use super::pipeline::{is_not_apart, is_out_of_order};

/// A merge that was decided on.
#[derive(Clone, Debug)]
pub struct CompactTask {
    /// Number of the job for its report.
    pub job: JobId,
    /// Id of the block to be written.
    pub id: BlockId,
    /// What goes in, in the order of the plan: by minimum time.
    pub inputs: Vec<SourceBlock>,
    /// External labels of the block to be written.
    pub labels: LabelSet,
    /// Its resolution in milliseconds, 0 for raw.
    pub resolution: Millis,
    /// Id of a block of five minutes that is made of the new one on the way, if it is due.
    pub five: Option<BlockId>,
    /// Id of a block of an hour that is made of the new one on the way, if it is due.
    pub hour: Option<BlockId>,
    /// Which series are downsampled; `None` for all.
    pub choose: Option<SeriesChoice>,
    /// Level of the block to be written; `None` for one above the highest of the inputs.
    pub level: Option<i64>,
    /// Extensions that all inputs share.
    pub extensions: Option<Box<RawValue>>,
    /// How overlapping chunks of one series become one list.
    pub join: Join,
    /// Whether files are hashed.
    pub hash_func: HashFunc,
    /// Where the new block is read from before its sources may be marked.
    pub verify: VerifyOutput,
    /// Label names of a series may come out of order.
    pub accept_malformed_index: bool,
    /// Where chunk segments are cut, in bytes.
    pub segment_bytes: u64,
    /// Postings kept in memory, in bytes; above, they go to scratch.
    pub postings_bytes: usize,
}

impl CompactTask {
    /// A plain merge of `inputs` with everything else as upstream has it.
    pub fn new(id: BlockId, inputs: Vec<SourceBlock>, labels: LabelSet, resolution: Millis) -> Self {
        CompactTask {
            job: JobId(0),
            id,
            inputs,
            labels,
            resolution,
            five: None,
            hour: None,
            choose: None,
            level: None,
            extensions: None,
            join: Join::OneToOne,
            hash_func: HashFunc::None,
            verify: VerifyOutput::Sent,
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
        /// Those of the downsampled blocks that were made of it on the way, finer first.
        downsampled: Vec<Meta>,
        /// Chunks in encodings that Go components of today cannot read; they were copied as they are.
        new_encodings: u64,
    },
    /// The inputs hold no samples: there is no new block.
    Empty,
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
    let bytes = task.inputs.iter().map(SourceBlock::len_bytes).sum();
    let group = format!("{}@{}", task.resolution, task.labels);
    env.report.event(Event::Started { job: task.job, kind: "compact", group: &group, blocks: &blocks, bytes });
    let began = env.clock.now();
    match run(env, task).await {
        Ok((outcome, dropped)) => {
            let pace = if task.five.or(task.hour).is_some() { Pace::CompactAndDownsample } else { Pace::Compact };
            forecast::note(&env.scratch, task.job, pace, bytes, env.clock.now() - began);
            if dropped > 0 {
                env.report.event(Event::Deduplicated { job: task.job, samples: dropped });
            }
            let text = match &outcome {
                CompactOutcome::Written { meta, downsampled, .. } => {
                    let levels = downsampled.iter().map(|m| format!(", {} of {}", m.ulid, downsample::name(m.resolution())));
                    let dropped = if dropped > 0 { format!(", {dropped} samples fewer for replicas") } else { String::new() };
                    let levels = levels.collect::<String>();
                    format!("block {} with {} series{dropped}{levels}", meta.ulid, meta.stats.num_series)
                }
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

/// Also says how many samples of the inputs are not in the new block since replicas have them too.
async fn run(env: &Env, task: &CompactTask) -> Result<(CompactOutcome, u64)> {
    let range = task.inputs.iter().map(|i| i.meta.time_range()).reduce(TimeRange::union).unwrap_or(TimeRange::new(0, 0));
    let plain = Output { id: task.id, content: Content::Plain };
    let outputs: Vec<Output> = [plain].into_iter().chain(downsample::outputs(task.five, task.hour)).collect();
    let contents: Vec<Content> = outputs.iter().map(|o| o.content).collect();
    let mut work = Work::new(task.job, &task.inputs, outputs);
    work.keep = (range.start, range.end.saturating_sub(1));
    work.join = task.join;
    work.choose = task.choose.clone();
    work.accept_malformed_index = task.accept_malformed_index;
    work.hash_func = task.hash_func;
    work.verify = task.verify;
    work.segment_bytes = task.segment_bytes;
    work.postings_bytes = task.postings_bytes;
    let built = pipeline::build(env, &work).await?;
    // of no samples nothing is downsampled
    let Some(plain) = built.first().and_then(Option::as_ref) else { return Ok((CompactOutcome::Empty, 0)) };
    let now = env.clock.now();
    let meta = describe::describe(task, plain, now);
    let mut blocks = vec![(meta.clone(), plain)];
    for (&content, built) in contents.iter().zip(&built).skip(1) {
        if let Some(built) = built {
            blocks.push((downsample::describe(&meta, &task.labels, content, built, now), built));
        }
    }
    // the merged block first: who finds it alone, after a crash, makes the others of it
    pipeline::publish(env, &blocks.iter().map(|(meta, built)| (meta, *built)).collect::<Vec<_>>()).await?;
    let downsampled = blocks.into_iter().skip(1).map(|(meta, _)| meta).collect();
    let written = CompactOutcome::Written { meta: Box::new(meta), downsampled, new_encodings: plain.counts.new_encodings };
    Ok((written, plain.dropped))
}
