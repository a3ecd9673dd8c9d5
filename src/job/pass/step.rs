//! One step of one group, or a row of them as one: plan, compact, mark what was replaced; or mend or leave out the block
//! that is in the way.

use std::cmp::Reverse;

use super::downsample::Ahead;
use super::run::{Compacted, Compactor};
use super::{Dedup, PassOptions};
use crate::error::{Error, Kind, Result};
use crate::format::marks::texts;
use crate::job::catalog::CatalogBlock;
use crate::job::compact::{self, CompactOutcome, CompactTask, Join, SourceBlock};
use crate::job::downsample::Downsampled;
use crate::job::group::Group;
use crate::job::mark;
use crate::job::pipeline;
use crate::job::plan::{Fused, GroupPlan, Job, PlannedMark, Step, outgrown};
use crate::job::{Env, Event, JobId, Level, Outcome, Work, repair};
use crate::model::{BlockId, LabelSet, Millis};

/// What came of one step of a group.
#[derive(Default)]
pub(super) struct Stepped {
    /// There may be another step.
    pub(super) again: bool,
    pub(super) compacted: Option<Compacted>,
    pub(super) downsampled: Option<Downsampled>,
    /// What was compacted overlapped.
    vertical: bool,
    /// The block that was marked since what was to be compacted outgrew the format.
    marked: Option<PlannedMark>,
    /// A row of steps was not one after all: the next ones are taken one by one.
    pub(super) stepwise: bool,
    /// The block that another took the place of, if there were samples for one.
    pub(super) repaired: Option<(BlockId, Option<BlockId>)>,
}

/// One job of a group, of which whoever listens hears; hands the group back.
pub(super) async fn step(
    env: &Env,
    options: &PassOptions,
    compactor: &impl Compactor,
    job: Job,
    ahead: &Ahead<'_>,
) -> (Group, (Vec<PlannedMark>, Result<Stepped>)) {
    let Job { group, plan } = job;
    if env.cancel.is_cancelled() {
        return (group, (Vec::new(), Ok(Stepped::default())));
    }
    let (work, resolution, began) = (Work::Compaction, group.resolution, env.clock.now());
    env.report.event(Event::Began { work, resolution });
    let (marks, done) = step_quietly(env, options, compactor, &group, plan, ahead).await;
    let outcome = match &done {
        Ok(Stepped { compacted: None, .. }) => Outcome::Nothing,
        Ok(Stepped { compacted: Some(_), vertical, .. }) => Outcome::Made { vertical: *vertical },
        Err(error) => Outcome::Failed(error),
    };
    env.report.event(Event::Ended { work, resolution, took: env.clock.now() - began, outcome });
    (group, (marks, done))
}

async fn step_quietly(
    env: &Env,
    options: &PassOptions,
    compactor: &impl Compactor,
    group: &Group,
    plan: GroupPlan,
    ahead: &Ahead<'_>,
) -> (Vec<PlannedMark>, Result<Stepped>) {
    for mark in &plan.marks {
        if let Err(error) = mark::no_compact(env, mark.block, mark.reason, &mark.details).await {
            return (Vec::new(), Err(error));
        }
    }
    let mut marks = plan.marks;
    let done = match plan.step {
        Ok(Step::Nothing(_)) => Ok(Stepped::default()),
        Ok(Step::Compact(chosen, _)) => match &plan.fused {
            Some(fused) => compact_fused(env, options, compactor, group, fused, &chosen, ahead).await,
            None => compact_chosen(env, options, compactor, group, &chosen, None, ahead).await,
        },
        Err(error) => Err(error),
    };
    let done = match done {
        Err(error) if pipeline::is_issue_347(&error) => mend(env, group, error).await,
        Err(error) if options.skip_out_of_order && compact::is_out_of_order(&error) => leave_out(env, &error).await.map(|mark| {
            marks.extend(mark);
            Stepped { again: true, ..Stepped::default() }
        }),
        mut done => {
            marks.extend(done.as_mut().ok().and_then(|stepped| stepped.marked.take()));
            done
        }
    };
    (marks, done)
}

/// Replaces the block of an error, whose chunks reach over its end, by one without them.
async fn mend(env: &Env, group: &Group, error: Error) -> Result<Stepped> {
    let Some(block) = group.blocks.iter().find(|b| Some(b.id) == error.block_id()) else { return Err(error) };
    let text = format!("repairing a block: {error}");
    env.report.event(Event::Note { level: Level::Warn, block: Some(block.id), text: &text });
    let new = repair::issue_347(env, block, JobId::next()).await?;
    Ok(Stepped { again: true, repaired: Some((block.id, new)), ..Stepped::default() })
}

/// Marks the block of an error, so that the group goes on without it.
async fn leave_out(env: &Env, error: &Error) -> Result<Option<PlannedMark>> {
    let Some(block) = error.block_id() else { return Ok(None) };
    let mark = PlannedMark { block, reason: texts::OUT_OF_ORDER_CHUNKS, details: error.to_string() };
    mark::no_compact(env, block, mark.reason, &mark.details).await?;
    Ok(Some(mark))
}

/// A row of steps as one job; where its content is in the way, the `first` of them alone.
async fn compact_fused(
    env: &Env,
    options: &PassOptions,
    compactor: &impl Compactor,
    group: &Group,
    fused: &Fused,
    first: &[usize],
    ahead: &Ahead<'_>,
) -> Result<Stepped> {
    let error = match compact_chosen(env, options, compactor, group, &fused.inputs, Some(fused.level), ahead).await {
        Err(error) => error,
        done => return done,
    };
    let in_first = error.block_id().is_some_and(|id| first.iter().any(|&at| group.blocks[at].id == id));
    let is_handled = pipeline::is_issue_347(&error) || options.skip_out_of_order && compact::is_out_of_order(&error);
    let first_may_do = is_by_content(&error) && !is_handled && !in_first;
    if !first_may_do && !compact::is_not_apart(&error) {
        return Err(error);
    }
    let text = format!("{} compactions are not done as one but step by step: {error}", fused.steps);
    env.report.event(Event::Note { level: Level::Warn, block: error.block_id(), text: &text });
    let stepped = compact_chosen(env, options, compactor, group, first, None, ahead).await?;
    Ok(Stepped { stepwise: true, ..stepped })
}

/// Compacts the blocks; to `level` if they are to be joined as one row of steps joins them.
async fn compact_chosen(
    env: &Env,
    options: &PassOptions,
    compactor: &impl Compactor,
    group: &Group,
    chosen: &[usize],
    level: Option<i64>,
    ahead: &Ahead<'_>,
) -> Result<Stepped> {
    let mut blocks: Vec<_> = chosen.iter().map(|&at| &group.blocks[at]).collect();
    // replicas begin together, and where their values differ the order decides which one is kept;
    // upstream leaves it to chance, here the youngest goes first
    blocks.sort_by_key(|b| (b.meta.min_time, Reverse(b.id)));
    let inputs: Vec<BlockId> = blocks.iter().map(|b| b.id).collect();
    let vertical = overlap(&blocks);
    let task_inputs = blocks.iter().map(|b| SourceBlock { id: b.id, meta: b.meta.clone(), objects: b.objects.clone() }).collect();
    let mut task = CompactTask::new(env.clock.new_block_id(), task_inputs, LabelSet::clone(&group.labels), group.resolution);
    task.job = JobId::next();
    task.extensions = group.extensions();
    task.level = level;
    task.join = match (level, options.dedup) {
        (Some(_), _) => Join::Apart,
        (None, Dedup::OneToOne) => Join::OneToOne,
        (None, Dedup::Penalty) => Join::Penalty,
    };
    task.hash_func = options.hash_func;
    task.verify = options.verify_output;
    task.accept_malformed_index = options.accept_malformed_index;
    ahead.extend(&mut task, group, chosen, || env.clock.new_block_id());
    // sources are marked in full even when we are asked to stop meanwhile: a mark is short
    let outcome = match compact_task(env, compactor, &mut task).await {
        // what a row of steps outgrows its first step may not
        Err(error) if level.is_some() => return Err(error),
        Err(error) => match outgrown(&error, blocks.iter().map(|b| (b.id, b.index_bytes()))) {
            None => return Err(error),
            Some(marked) => {
                mark::no_compact(env, marked.block, marked.reason, &marked.details).await?;
                return Ok(Stepped { again: true, marked: Some(marked), ..Stepped::default() });
            }
        },
        Ok(outcome) => outcome,
    };
    match outcome {
        CompactOutcome::Written { meta, downsampled, new_encodings } => {
            let downsampled = (!downsampled.is_empty()).then_some(Downsampled { source: meta.ulid, written: downsampled });
            if new_encodings > 0 {
                let text = format!("{new_encodings} chunks have encodings that Go components of today cannot read");
                env.report.event(Event::Note { level: Level::Warn, block: Some(meta.ulid), text: &text });
            }
            for &block in &inputs {
                mark_source(env, block).await?;
            }
            let compacted = Compacted { group: group.key.clone(), inputs, output: Some(meta.ulid) };
            Ok(Stepped { again: true, compacted: Some(compacted), downsampled, vertical, ..Stepped::default() })
        }
        CompactOutcome::Empty => {
            let empty: Vec<BlockId> = blocks.iter().filter(|b| b.meta.stats.num_samples == 0).map(|b| b.id).collect();
            for &block in &empty {
                mark_source(env, block).await?;
            }
            if empty.is_empty() {
                let text = "these blocks hold no samples although their meta.json counts some: they stay as they are";
                env.report.event(Event::Note { level: Level::Warn, block: inputs.first().copied(), text });
                return Ok(Stepped::default());
            }
            let compacted = Compacted { group: group.key.clone(), inputs, output: None };
            Ok(Stepped { again: true, compacted: Some(compacted), vertical, ..Stepped::default() })
        }
    }
}

/// Compacts; where that fails and downsampling on the way may be why, once more without it. A row of steps is not tried
/// again: its first step comes next.
async fn compact_task(env: &Env, compactor: &impl Compactor, task: &mut CompactTask) -> Result<CompactOutcome> {
    let error = match compactor.compact(env, task).await {
        Err(error) if task.level.is_none() && (task.five.is_some() || task.hour.is_some()) => error,
        done => return done,
    };
    if !is_by_content(&error) || compact::is_out_of_order(&error) {
        return Err(error);
    }
    let text = format!("compacted without being downsampled on the way: {error}");
    env.report.event(Event::Note { level: Level::Warn, block: error.block_id(), text: &text });
    (task.five, task.hour) = (None, None);
    task.id = env.clock.new_block_id();
    compactor.compact(env, task).await
}

/// Whether another way to write what the blocks hold may do.
fn is_by_content(error: &Error) -> bool {
    matches!(error.kind(), Kind::Corrupt | Kind::Unsupported | Kind::Limit)
}

/// Whether any of `blocks`, which are ordered by minimum time, overlaps one before it.
fn overlap(blocks: &[&CatalogBlock]) -> bool {
    let mut end = Millis::MIN;
    blocks.iter().any(|block| {
        let overlaps = block.meta.min_time < end;
        end = end.max(block.meta.max_time);
        overlaps
    })
}

async fn mark_source(env: &Env, block: BlockId) -> Result<()> {
    mark::replaced(env, block, texts::SOURCE_OF_COMPACTED_BLOCK).await.map(drop)
}
