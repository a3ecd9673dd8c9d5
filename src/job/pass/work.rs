//! The work of a pass: compactions and downsamplings, each begun as soon as it is ready and there is room for it.
//!
//! What is ready is decided from a look at the bucket. While jobs are under way their groups are left out of what is
//! decided; when what is ready is begun and there is still room, a change is reason enough for another look. So a
//! group does not wait for others, and a block is downsampled as soon as nothing of its group is left to compact.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::PassOptions;
use super::downsample::Ahead;
use super::queue::{Queue, Ready};
use super::room::Room;
use super::run::{Compactor, Pass, Postponed, RETAIN_EVERY, Seen};
use super::step::{Stepped, step};
use crate::error::{Error, Result};
use crate::job::catalog::CatalogBlock;
use crate::job::downsample::{DownsampleOptions, Downsampled, Due, FailedBlock, each};
use crate::job::group::{Group, groups};
use crate::job::plan::{Job, Needs, PlannedMark, Step, plan_jobs};
use crate::job::quarantine::series_of;
use crate::job::{Env, Event, Level, Work};
use crate::model::{BlockId, LabelSet};

/// How many jobs the blocks of these labels have under way.
type Busy = HashMap<Arc<LabelSet>, usize>;

/// A job that may begin.
#[derive(Debug)]
enum Task {
    Compaction(Job),
    Downsampling(Due),
}

impl Task {
    fn labels(&self) -> Arc<LabelSet> {
        match self {
            Task::Compaction(job) => job.group.labels.clone(),
            Task::Downsampling(due) => due.block.labels.clone(),
        }
    }
}

/// A job that is over.
struct Over {
    work: Work,
    needs: Needs,
    labels: Arc<LabelSet>,
    came: Came,
}

/// What came of a job; with the series that is damaged, where that was looked for.
enum Came {
    Compaction(Box<CompactionCame>),
    Downsampling { block: CatalogBlock, done: Vec<Downsampled>, failed: Vec<(FailedBlock, Option<String>)> },
}

struct CompactionCame {
    group: Group,
    planned: Option<Step>,
    marks: Vec<PlannedMark>,
    done: Result<Stepped>,
    series: Option<String>,
}

/// What the end of a job means for what is decided next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Changed {
    Nothing,
    /// What may be done with the blocks that are there.
    Options,
    /// The bucket.
    Bucket,
}

impl<'a, C: Compactor> Pass<'a, C> {
    /// Works until nothing is left to do; returns what was seen last.
    ///
    /// # Errors
    /// A bucket that cannot be looked at; being asked to stop. What is under way is ended before.
    pub(super) async fn work(&mut self, mut seen: Seen) -> Result<Seen> {
        let mut room = Room::new(self.options.concurrency, self.options.downsample_concurrency, self.options.memory_budget);
        let mut busy = Busy::new();
        let mut under_way = FuturesUnordered::new();
        loop {
            let (ahead, mut queue) = match self.decide(&mut seen, &busy, &mut room).await {
                Ok(decided) => decided,
                Err(error) => return Err(self.end_all(&mut under_way, error).await),
            };
            let mut changed = Changed::Nothing;
            loop {
                while !self.env.cancel.is_cancelled()
                    && let Some(ready) = queue.take(&room, self.env.clock.now())
                {
                    room.begin(ready.work, ready.needs);
                    *busy.entry(ready.task.labels()).or_default() += 1;
                    let is_second_look = match &ready.task {
                        Task::Compaction(job) => self.is_second_look(&job.group.blocks),
                        Task::Downsampling(due) => self.is_second_look([&due.block]),
                    };
                    let env = self.env_of(is_second_look);
                    under_way.push(carry_out(env, is_second_look, self.options, self.compactor, ready, ahead.clone()));
                }
                let is_time_to_look = changed == Changed::Bucket && queue.is_empty() && room.has_any_slot();
                if is_time_to_look && !self.env.cancel.is_cancelled() {
                    break;
                }
                let Some(over) = under_way.next().await else { break };
                room.end(over.work, over.needs);
                busy.entry(over.labels).and_modify(|jobs| *jobs -= 1);
                busy.retain(|_, jobs| *jobs > 0);
                changed = changed.max(self.over(over.came));
            }
            self.report_groups();
            self.check_cancelled()?;
            match changed {
                Changed::Nothing if under_way.is_empty() => return Ok(seen),
                Changed::Nothing | Changed::Options => {}
                Changed::Bucket => {
                    seen = match self.look().await {
                        Ok(seen) => seen,
                        Err(error) => return Err(self.end_all(&mut under_way, error).await),
                    };
                }
            }
        }
    }

    /// Waits for what is under way, and hands the error on that ends the pass.
    async fn end_all(&mut self, under_way: &mut FuturesUnordered<impl Future<Output = Over>>, error: Error) -> Error {
        while let Some(over) = under_way.next().await {
            self.over(over.came);
        }
        self.report_groups();
        error
    }

    /// What may begin, of blocks whose labels are not `busy`; before that, what has to be marked is marked.
    async fn decide(&mut self, seen: &mut Seen, busy: &Busy, room: &mut Room) -> Result<(Arc<Ahead<'a>>, Queue<Task>)> {
        self.clean_marked(seen).await;
        let (theirs, mut blocks): (Vec<_>, Vec<_>) =
            std::mem::take(&mut seen.selection.blocks).into_iter().partition(|b| busy.contains_key(&b.labels));
        self.retain(&mut blocks, RETAIN_EVERY).await;
        seen.selection.blocks = theirs.iter().chain(&blocks).cloned().collect();
        seen.selection.blocks.sort_by_key(|b| b.id);
        if busy.is_empty() {
            // a job under way leaves duplicates for a moment
            self.mark_duplicates(seen).await?;
        }
        self.lift(&seen.selection.blocks).await;
        room.look_at_disk(&self.env.scratch);

        let ahead = Arc::new(Ahead::new(self.options, &blocks));
        let mut all = groups(blocks.clone());
        let of_theirs: HashSet<_> = theirs.iter().map(|b| (b.meta.resolution(), &b.labels)).collect();
        self.count_groups(all.len() + of_theirs.len());
        all.retain(|g| g.blocks.len() > 1 && !self.stopped.contains(&g.key));
        let mut ready = Vec::new();
        let mut not_settled: HashSet<Arc<LabelSet>> = HashSet::new();
        for group in self.hold_back(all).await {
            let labels = group.labels.clone();
            if self.plan(group, room, &mut ready) {
                not_settled.insert(labels);
            }
        }
        if self.options.downsampling {
            blocks.retain(|b| !not_settled.contains(&b.labels));
            self.plan_downsampling(&blocks, room, &mut ready).await;
        }
        self.report_groups();
        Ok((ahead, Queue::new(ready, self.env.clock.now())))
    }

    /// Adds the jobs of a group that may begin; returns whether it has any, or any that has to wait.
    fn plan(&mut self, group: Group, room: &Room, ready: &mut Vec<Ready<Task>>) -> bool {
        let needs_of = |job: &Job| {
            let chosen = job.plan.job().map_or(&[][..], |(chosen, _)| chosen);
            (chosen.len(), Needs::of(chosen.iter().map(|&at| &job.group.blocks[at])))
        };
        let is_stepwise = self.options.stepwise || self.stepwise.contains(&group.key);
        let options = |stepwise| PassOptions { stepwise, ..self.options.clone() };
        let mut jobs = plan_jobs(group.clone(), &options(is_stepwise), self.options.concurrency);
        if jobs.iter().any(|job| job.plan.fused.is_some() && room.refusal(needs_of(job).1).is_some()) {
            // a row of steps is larger than its first step
            jobs = plan_jobs(group, &options(true), self.options.concurrency);
        }
        let mut has_any = false;
        for job in jobs {
            let (inputs, needs) = needs_of(&job);
            if inputs == 0 {
                // it is looked at all the same, as upstream counts it, and marks may be due
                has_any |= !job.plan.marks.is_empty() || job.plan.step.is_err();
                let (needs, since) = (Needs::default(), self.env.clock.now());
                ready.push(Ready { task: Task::Compaction(job), work: Work::Compaction, needs, gain: 0, since });
                continue;
            }
            has_any = true;
            let chosen = job.plan.job().map_or(&[][..], |(chosen, _)| chosen);
            let ids: Vec<BlockId> = chosen.iter().map(|&at| job.group.blocks[at].id).collect();
            match room.refusal(needs) {
                Some(why) => {
                    self.postpone(ids, &format!("group {}: a compaction of {inputs} blocks", job.group.describe()), &why)
                }
                None => {
                    let since = self.since(ids);
                    ready.push(Ready { task: Task::Compaction(job), work: Work::Compaction, needs, gain: inputs - 1, since });
                }
            }
        }
        has_any
    }

    /// Adds the downsamplings of `blocks` that may begin, which are all blocks of their labels.
    async fn plan_downsampling(&mut self, blocks: &[CatalogBlock], room: &Room, ready: &mut Vec<Ready<Task>>) {
        for due in self.due(blocks).await {
            let needs = Needs::of([&due.block]);
            let ids = vec![due.block.id];
            if let Some(why) = room.refusal(needs) {
                self.postpone(ids, &format!("downsampling of block {}", due.block.id), &why);
                continue;
            }
            let (gain, since) = (due.levels.resolutions().len(), self.since(ids));
            ready.push(Ready { task: Task::Downsampling(due), work: Work::Downsampling, needs, gain, since });
        }
    }

    /// Since when a job with these inputs may begin.
    fn since(&mut self, inputs: Vec<BlockId>) -> i64 {
        let now = self.env.clock.now();
        *self.ready_since.entry(inputs).or_insert(now)
    }

    /// Says once in a pass that a job does not fit this machine.
    fn postpone(&mut self, inputs: Vec<BlockId>, what: &str, why: &str) {
        if self.result.postponed.iter().any(|p| p.inputs == inputs) {
            return;
        }
        let text = format!("{what} is postponed: {why}");
        self.env.report.event(Event::Note { level: Level::Error, block: inputs.first().copied(), text: &text });
        self.result.postponed.push(Postponed { inputs, why: why.to_owned() });
    }

    /// Takes over what came of a job.
    fn over(&mut self, came: Came) -> Changed {
        match came {
            Came::Compaction(came) => self.compaction_over(*came),
            Came::Downsampling { block, done, failed } => self.downsampling_over(&block, done, failed),
        }
    }

    fn compaction_over(&mut self, came: CompactionCame) -> Changed {
        let CompactionCame { group, planned, marks, done, series } = came;
        let was_marked = !marks.is_empty();
        self.result.marked.extend(marks);
        match done {
            Ok(Stepped { again, compacted, downsampled, repaired, stepwise, .. }) => {
                let done = compacted.as_ref().map(|c| c.inputs.as_slice());
                self.praise(Work::Compaction, &group.key, &group.labels, done);
                self.stepwise.extend(stepwise.then_some(group.key));
                self.result.repaired.extend(repaired);
                self.result.compacted.extend(compacted);
                self.result.downsampled.extend(downsampled);
                if again || was_marked { Changed::Bucket } else { Changed::Nothing }
            }
            Err(error) => {
                if self.blame(&group, planned.as_ref(), error, series) {
                    return Changed::Bucket;
                }
                // what is left of it may be downsampled
                self.stopped.insert(group.key);
                Changed::Options
            }
        }
    }

    fn downsampling_over(
        &mut self,
        block: &CatalogBlock,
        done: Vec<Downsampled>,
        failed: Vec<(FailedBlock, Option<String>)>,
    ) -> Changed {
        let mut changed = Changed::Nothing;
        for (failed, series) in failed {
            if self.blame_block(block, &failed.error, series) {
                changed = Changed::Bucket;
                continue;
            }
            let text = format!("not downsampled: {}", failed.error);
            self.env.report.event(Event::Note { level: Level::Error, block: Some(failed.block), text: &text });
            self.result.not_downsampled.push(failed);
        }
        if !done.is_empty() {
            self.praise(Work::Downsampling, &block.group_key(), &block.labels, Some(&[block.id]));
        }
        if done.iter().any(|d| !d.written.is_empty()) {
            changed = Changed::Bucket;
        }
        self.result.downsampled.extend(done);
        changed
    }
}

async fn carry_out<'a, C: Compactor>(
    env: Env,
    is_second_look: bool,
    options: &'a PassOptions,
    compactor: &'a C,
    ready: Ready<Task>,
    ahead: Arc<Ahead<'a>>,
) -> Over {
    let Ready { task, work, needs, .. } = ready;
    let labels = task.labels();
    let series = async |error: &Error| if is_second_look { series_of(&env, error).await } else { None };
    let came = match task {
        Task::Compaction(job) => {
            let planned = job.plan.step.as_ref().ok().cloned();
            let (group, (marks, done)) = step(&env, options, compactor, job, &ahead).await;
            let series = match &done {
                Err(error) => series(error).await,
                Ok(_) => None,
            };
            Came::Compaction(Box::new(CompactionCame { group, planned, marks, done, series }))
        }
        Task::Downsampling(due) => {
            let block = due.block.clone();
            let one = DownsampleOptions { concurrency: 1, ..options.downsample() };
            let (done, failures) = each(&env, vec![due], &one, compactor).await;
            let mut failed = Vec::with_capacity(failures.len());
            for failure in failures {
                let series = series(&failure.error).await;
                failed.push((failure, series));
            }
            Came::Downsampling { block, done, failed }
        }
    };
    Over { work, needs, labels, came }
}
