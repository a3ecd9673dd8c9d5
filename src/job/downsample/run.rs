//! Downsampling many blocks, some at a time; one that fails does not stop the others.

use futures::{StreamExt, stream};

use super::DownsampleTask;
use super::empty::Empties;
use super::plan::Due;
use super::policy::SeriesPolicy;
use crate::error::Error;
use crate::format::meta::Meta;
use crate::job::pass::Compactor;
use crate::job::pipeline::{HashFunc, SourceBlock, VerifyOutput};
use crate::job::{Env, Event, JobId, Level, Outcome, Work};
use crate::model::{BlockId, LabelSet};

/// How blocks are downsampled, whichever they are.
#[derive(Clone, Debug)]
pub struct DownsampleOptions {
    /// `--downsample.concurrency`: blocks at a time.
    pub concurrency: usize,
    /// `--hash-func`.
    pub hash_func: HashFunc,
    /// `--verify-output`.
    pub verify: VerifyOutput,
    /// `--debug.accept-malformed-index`.
    pub accept_malformed_index: bool,
    /// `--downsample.filter`: which series; `None` for all.
    pub policy: Option<SeriesPolicy>,
}

impl Default for DownsampleOptions {
    fn default() -> Self {
        let (hash_func, verify) = (HashFunc::None, VerifyOutput::Sent);
        DownsampleOptions { concurrency: 1, hash_func, verify, accept_malformed_index: false, policy: None }
    }
}

/// A block that was downsampled.
#[derive(Clone, Debug)]
pub struct Downsampled {
    /// What was read.
    pub source: BlockId,
    /// What was written, finer first; less than was due where no sample was left for a level.
    pub written: Vec<Meta>,
}

/// A block that could not be downsampled.
#[derive(Debug)]
pub struct FailedBlock {
    /// Which.
    pub block: BlockId,
    /// Why.
    pub error: Error,
    /// It failed just now; else it was left alone since it failed before, or would have.
    pub tried: bool,
}

/// Downsamples all of `due`; what was done and what failed, in order of their ends.
///
/// When asked to stop, what has not begun is left out. Levels that come out empty are noted below the scratch folder, see
/// [`Empties`].
pub async fn each(
    env: &Env,
    due: Vec<Due>,
    options: &DownsampleOptions,
    engine: &impl Compactor,
) -> (Vec<Downsampled>, Vec<FailedBlock>) {
    let one = |due: Due| async move {
        let source = SourceBlock::from(&due.block);
        let mut task = DownsampleTask::new(source, LabelSet::clone(&due.block.labels), due.levels, || env.clock.new_block_id());
        task.job = JobId::next();
        task.choose = options.policy.as_ref().map(SeriesPolicy::choice);
        task.hash_func = options.hash_func;
        task.verify = options.verify;
        task.accept_malformed_index = options.accept_malformed_index;
        let (work, resolution, began) = (Work::Downsampling, due.block.meta.resolution(), env.clock.now());
        env.report.event(Event::Began { work, resolution });
        let done = engine.downsample(env, &task).await;
        let outcome = match &done {
            Ok(written) if written.is_empty() => Outcome::Nothing,
            Ok(_) => Outcome::Made { vertical: false },
            Err(error) => Outcome::Failed(error),
        };
        env.report.event(Event::Ended { work, resolution, took: env.clock.now() - began, outcome });
        (due, done)
    };
    let begin = due.into_iter().take_while(|_| !env.cancel.is_cancelled());
    let mut under_way = stream::iter(begin.map(one)).buffer_unordered(options.concurrency.max(1));
    let (mut done, mut failed, mut empty) = (Vec::new(), Vec::new(), Vec::new());
    while let Some((due, result)) = under_way.next().await {
        let block = due.block.id;
        match result {
            Ok(written) => {
                for level in due.levels.resolutions() {
                    if !written.iter().any(|m| m.resolution() == level) {
                        let text = format!("no sample is left of it at {}, so there is no such block", super::name(level));
                        env.report.event(Event::Note { level: Level::Warn, block: Some(block), text: &text });
                        empty.push((due.block.clone(), level));
                    }
                }
                done.push(Downsampled { source: block, written });
            }
            Err(error) => failed.push(FailedBlock { block, error, tried: true }),
        }
    }
    if !empty.is_empty() {
        Empties::read(&env.scratch, options.policy.as_ref()).note(&env.scratch, &empty);
    }
    (done, failed)
}
