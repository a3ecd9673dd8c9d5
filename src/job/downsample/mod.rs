//! Blocks of five minutes and of an hour, made of raw blocks and of blocks of five minutes: what the task
//! is, and what the new blocks' `meta.json` says. Which blocks are due is decided in `plan`.
//!
//! One read of a raw block makes both levels; the second is made of the windows of the first while these
//! are at hand, with the bytes that two steps would have.

mod describe;
mod empty;
mod plan;
mod policy;
mod run;
mod tool;

use crate::error::Result;
use crate::format::meta::Meta;
use crate::format::segment::DEFAULT_SEGMENT_BYTES;
use crate::job::forecast::{self, Pace};
use crate::job::pipeline::{
    self, Content, DEFAULT_POSTINGS_BYTES, HashFunc, Output, SeriesChoice, SourceBlock, VerifyOutput, Work,
};
use crate::job::{Env, Event, JobId};
use crate::model::{BlockId, LabelSet, Millis};

pub(crate) use describe::describe;
pub use empty::Empties;
pub use plan::{
    Covered, Due, LENGTH_FOR_FIVE_MINUTES, LENGTH_FOR_ONE_HOUR, Levels, LongEnough, Never, PlannedDownsample, WhyNever, plan,
};
pub use policy::SeriesPolicy;
pub use run::{DownsampleOptions, Downsampled, FailedBlock, each};
pub use tool::{BucketDownsampling, BucketPlan, dry_run, run};

/// A downsampling that was decided on.
#[derive(Clone)]
pub struct DownsampleTask {
    /// Number of the job for its report.
    pub job: JobId,
    /// What is read.
    pub source: SourceBlock,
    /// External labels of the blocks to be written.
    pub labels: LabelSet,
    /// Id of the block of five minutes, if one is to be written.
    pub five: Option<BlockId>,
    /// Id of the block of an hour, if one is to be written.
    pub hour: Option<BlockId>,
    /// Which series are downsampled; `None` for all.
    pub choose: Option<SeriesChoice>,
    /// Whether files are hashed.
    pub hash_func: HashFunc,
    /// Where new blocks are read from before they are seen.
    pub verify: VerifyOutput,
    /// Label names of a series may come out of order.
    pub accept_malformed_index: bool,
    /// Where chunk segments are cut, in bytes.
    pub segment_bytes: u64,
    /// Postings of an output kept in memory, in bytes; above, they go to scratch.
    pub postings_bytes: usize,
}

impl DownsampleTask {
    /// The levels that `due` names, with everything else as upstream has it; `id` makes ids.
    pub fn new(source: SourceBlock, labels: LabelSet, levels: Levels, mut id: impl FnMut() -> BlockId) -> Self {
        DownsampleTask {
            job: JobId(0),
            source,
            labels,
            five: levels.five.then(&mut id),
            hour: levels.hour.then(&mut id),
            choose: None,
            hash_func: HashFunc::None,
            verify: VerifyOutput::Sent,
            accept_malformed_index: false,
            segment_bytes: DEFAULT_SEGMENT_BYTES,
            postings_bytes: DEFAULT_POSTINGS_BYTES,
        }
    }
}

/// Reads the task's block once and writes the levels that are asked for; returns their metas, finer first.
/// A level for which no sample is left is not written.
///
/// # Errors
/// `Corrupt` and `Unsupported` name the block, part and offset, also where chunks of a series overlap;
/// `Limit` when a block would not fit the format; `Cancelled` when asked to stop; else what the bucket
/// says. Then nothing stays that was not visible already.
pub async fn downsample(env: &Env, task: &DownsampleTask) -> Result<Vec<Meta>> {
    let resolution = task.source.meta.resolution();
    let group = format!("{resolution}@{}", task.labels);
    let bytes = task.source.len_bytes();
    env.report.event(Event::Started { job: task.job, kind: "downsample", group: &group, blocks: &[task.source.id], bytes });
    let began = env.clock.now();
    match write(env, task).await {
        Ok(metas) => {
            forecast::note(&env.scratch, task.job, Pace::Downsample, bytes, env.clock.now() - began);
            let text: Vec<String> = metas.iter().map(|m| format!("block {} of {}", m.ulid, name(m.resolution()))).collect();
            let text = if text.is_empty() { "no samples, no block".to_owned() } else { text.join(", ") };
            env.report.event(Event::Finished { job: task.job, outcome: &text });
            Ok(metas)
        }
        Err(error) => {
            env.report.event(Event::Failed { job: task.job, error: &error });
            Err(error)
        }
    }
}

async fn write(env: &Env, task: &DownsampleTask) -> Result<Vec<Meta>> {
    let outputs = outputs(task.five, task.hour);
    let mut work = Work::new(task.job, std::slice::from_ref(&task.source), outputs);
    work.choose = task.choose.clone();
    work.accept_malformed_index = task.accept_malformed_index;
    work.hash_func = task.hash_func;
    work.verify = task.verify;
    work.segment_bytes = task.segment_bytes;
    work.postings_bytes = task.postings_bytes;
    let contents: Vec<Content> = work.outputs.iter().map(|o| o.content).collect();
    let built = pipeline::build(env, &work).await?;
    let now = env.clock.now();
    let blocks: Vec<_> = contents
        .iter()
        .zip(&built)
        .filter_map(|(&content, built)| {
            built.as_ref().map(|built| (describe(&task.source.meta, &task.labels, content, built, now), built))
        })
        .collect();
    let refs: Vec<_> = blocks.iter().map(|(meta, built)| (meta, *built)).collect();
    pipeline::publish(env, &refs).await?;
    Ok(blocks.into_iter().map(|(meta, _)| meta).collect())
}

/// The outputs of a pass that has these ids, finer first.
pub(crate) fn outputs(five: Option<BlockId>, hour: Option<BlockId>) -> Vec<Output> {
    let five = five.map(|id| Output { id, content: Content::FiveMinutes });
    five.into_iter().chain(hour.map(|id| Output { id, content: Content::OneHour })).collect()
}

/// A resolution for people.
pub fn name(resolution: Millis) -> String {
    match resolution {
        0 => "raw".to_owned(),
        other => crate::job::plan::duration_text(other),
    }
}
