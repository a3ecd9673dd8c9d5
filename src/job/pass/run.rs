//! The rounds of a pass.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::Future;

use super::PassOptions;
use super::hold::Holds;
use crate::error::{Error, Kind, Result};
use crate::format::meta::Meta;
use crate::job::catalog::{Catalog, CatalogBlock, Depth, SyncOptions, Syncer};
use crate::job::compact::{self, CompactOutcome, CompactTask};
use crate::job::downsample::{self, DownsampleTask, Downsampled, FailedBlock};
use crate::job::filter::{Selection, State, select};
use crate::job::plan::PlannedMark;
use crate::job::quarantine::Standing;
use crate::job::retain::{self, Retained};
use crate::job::rival::Rivals;
use crate::job::{Env, Event, Level, clean, garbage};
use crate::model::{BlockId, LabelSet, Millis};

/// Rounds may take days: so often retention is looked at between them, in milliseconds.
pub(super) const RETAIN_EVERY: Millis = 3_600_000;

/// What makes one block out of several, and coarser ones out of one.
pub trait Compactor: Sync {
    /// Carries out one task; the inputs are not touched.
    fn compact(&self, env: &Env, task: &CompactTask) -> impl Future<Output = Result<CompactOutcome>> + Send;

    /// Carries out one downsampling; the input is not touched.
    fn downsample(&self, env: &Env, task: &DownsampleTask) -> impl Future<Output = Result<Vec<Meta>>> + Send;
}

/// The real one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Engine;

impl Compactor for Engine {
    async fn compact(&self, env: &Env, task: &CompactTask) -> Result<CompactOutcome> {
        compact::compact(env, task).await
    }

    async fn downsample(&self, env: &Env, task: &DownsampleTask) -> Result<Vec<Meta>> {
        downsample::downsample(env, task).await
    }
}

/// What a pass came to.
#[derive(Debug, Default)]
pub struct PassResult {
    /// Compactions that were done, in order of their ends.
    pub compacted: Vec<Compacted>,
    /// Blocks that were repaired on the way, and what took their place, if there were samples for it.
    pub repaired: Vec<(BlockId, Option<BlockId>)>,
    /// Blocks that were downsampled, in order of their ends; those that were on the way of a compaction as well.
    pub downsampled: Vec<Downsampled>,
    /// Blocks that could not be downsampled; the others were.
    pub not_downsampled: Vec<FailedBlock>,
    /// Jobs that do not fit this machine.
    pub postponed: Vec<Postponed>,
    /// Marks against compaction that were made.
    pub marked: Vec<PlannedMark>,
    /// Duplicates that were marked for deletion.
    pub garbage: Vec<BlockId>,
    /// Blocks and partial uploads that were deleted.
    pub deleted: Vec<BlockId>,
    /// Unfinished uploads that were ended.
    pub uploads: usize,
    /// Groups that could not go on, or could only in part; the others did.
    pub errors: Vec<GroupError>,
    /// Groups by how they stand.
    pub standings: BTreeMap<Standing, usize>,
    /// What could not be cleaned; the next pass tries again.
    pub clean_errors: Vec<Error>,
    /// What has expired.
    pub retention: Retained,
    /// Blocks by state, as the last look found them.
    pub states: BTreeMap<State, usize>,
    /// How often the bucket was looked at.
    pub rounds: usize,
}

/// One compaction that was done.
#[derive(Clone, Debug)]
pub struct Compacted {
    /// Key of the group.
    pub group: String,
    /// What went in.
    pub inputs: Vec<BlockId>,
    /// The new block, or `None` where there were no samples.
    pub output: Option<BlockId>,
}

/// A job for which there is not enough memory or disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Postponed {
    /// What it would read.
    pub inputs: Vec<BlockId>,
    /// What it needs, what there is, and what to do.
    pub why: String,
}

/// A group that could not go on.
#[derive(Debug)]
pub struct GroupError {
    /// Key of the group.
    pub group: String,
    /// Its labels.
    pub labels: LabelSet,
    /// How that leaves it.
    pub standing: Standing,
    /// It failed in this pass; else it was left alone since it failed before.
    pub tried: bool,
    /// Why.
    pub error: Error,
}

impl GroupError {
    /// Whether a person has to look at it; else a later pass tries again.
    pub fn is_halt(&self) -> bool {
        self.standing == Standing::Quarantined
    }
}

impl PassResult {
    /// Whether everything that was to be done is done.
    pub fn is_clean(&self) -> bool {
        let done = self.errors.is_empty() && self.not_downsampled.is_empty() && self.clean_errors.is_empty();
        done && self.postponed.is_empty() && self.retention.is_clean()
    }
}

/// One pass: look, delete what is due, mark duplicates, compact group by group until nothing is left, downsample,
/// and clean.
///
/// An error in one group does not stop the others; it is in the result.
///
/// # Errors
/// `Invalid` options; a bucket that cannot be looked at, wholly or in part: then nothing may be decided.
pub async fn run(env: &Env, options: &PassOptions, compactor: &impl Compactor) -> Result<PassResult> {
    options.check()?;
    clean::scratch(&env.scratch, env.clock.now());
    let mut pass = Pass {
        env,
        options,
        compactor,
        syncer: syncer(env, options, false),
        result: PassResult::default(),
        stopped: HashSet::new(),
        stepwise: HashSet::new(),
        put_off: HashSet::new(),
        holds: Holds::new(env, options),
        ready_since: HashMap::new(),
        rivals: Rivals::default(),
    };
    let seen = pass.look().await?;
    let mut seen = pass.work(seen).await?;
    if options.downsampling {
        pass.tell_never(&seen.selection.blocks);
    }
    // what was held for a block that is there now
    if options.retains() && (pass.result.rounds > 1 || !pass.result.downsampled.is_empty()) {
        seen = pass.look().await?;
        pass.retain(&mut seen.selection.blocks, 0).await;
    }
    let deletions = clean::given_up(&seen.catalog, env.clock.now());
    let cleaned = clean::run(env, &seen.catalog, &deletions).await;
    pass.cleaned(cleaned);
    // they go by days, and to look for them is a request or a walk: once an hour will do
    if clean::is_time_for_unfinished(&env.scratch, env.clock.now()) {
        let cleaned = clean::unfinished_uploads(env).await;
        if cleaned.errors.is_empty() {
            clean::note_unfinished(&env.scratch, env.clock.now());
        }
        pass.cleaned(cleaned);
    }
    env.report.event(Event::Cleaned);
    Ok(pass.result)
}

pub(crate) fn syncer(env: &Env, options: &PassOptions, reads_only: bool) -> Syncer {
    let sync = SyncOptions {
        discovery: options.discovery,
        concurrency: options.meta_fetch_concurrency,
        depth: Depth::Everything,
        data_dir: Some(env.scratch.clone()),
        reads_only,
    };
    Syncer::new(env.bucket.clone(), sync)
}

/// Looks at a bucket, and says so.
pub(super) async fn look(env: &Env, options: &PassOptions, syncer: &mut Syncer) -> Result<(Catalog, Selection)> {
    let began = env.clock.now();
    let synced = syncer.sync().await.and_then(|catalog| {
        for (block, text) in &catalog.warnings {
            env.report.event(Event::Note { level: Level::Warn, block: *block, text });
        }
        catalog.check_complete().map(|()| catalog)
    });
    let now = env.clock.now();
    let took = now - began;
    let mut catalog = synced.inspect_err(|error| env.report.event(Event::LookFailed { took, error }))?;
    let selection = select(&mut catalog, options, now);
    env.report.event(Event::Looked { took, catalog: &catalog, selection: &selection, options });
    Ok((catalog, selection))
}

/// What one look at the bucket found.
pub(super) struct Seen {
    catalog: Catalog,
    pub(super) selection: Selection,
}

pub(super) struct Pass<'a, C> {
    pub(super) env: &'a Env,
    pub(super) options: &'a PassOptions,
    pub(super) compactor: &'a C,
    syncer: Syncer,
    pub(super) result: PassResult,
    /// Keys of groups that failed: they are left alone until the next pass.
    pub(super) stopped: HashSet<String>,
    /// Keys of groups whose steps turned out not to be one: they are taken one by one until the next pass.
    pub(super) stepwise: HashSet<String>,
    /// Those of them that a later pass may well compact.
    pub(super) put_off: HashSet<String>,
    pub(super) holds: Holds,
    /// When jobs were planned first, by their inputs.
    pub(super) ready_since: HashMap<Vec<BlockId>, Millis>,
    /// Blocks of other compactors, by the last look.
    pub(super) rivals: Rivals,
}

impl<C: Compactor> Pass<'_, C> {
    /// Whether the group of `block` failed in a way that the next pass may not: what it will compact is not
    /// downsampled in pieces before, since coarse blocks of the pieces and of the whole would overlap.
    pub(super) fn is_put_off(&self, block: &CatalogBlock) -> bool {
        !self.put_off.is_empty() && self.put_off.contains(&block.group_key())
    }

    pub(super) async fn look(&mut self) -> Result<Seen> {
        self.check_cancelled()?;
        let began = self.env.clock.now();
        let (catalog, selection) = look(self.env, self.options, &mut self.syncer).await?;
        self.look_for_rivals(&selection, began);
        self.result.states = selection.states.clone();
        self.result.rounds += 1;
        Ok(Seen { catalog, selection })
    }

    pub(super) fn check_cancelled(&self) -> Result<()> {
        match self.env.cancel.is_cancelled() {
            true => Err(Error::new(Kind::Cancelled, "asked to stop")),
            false => Ok(()),
        }
    }

    pub(super) async fn clean_marked(&mut self, seen: &Seen) {
        let due = clean::due(&seen.selection, &seen.catalog, self.options.delete_delay, self.env.clock.now());
        let cleaned = clean::run(self.env, &seen.catalog, &due).await;
        self.cleaned(cleaned);
    }

    fn cleaned(&mut self, cleaned: clean::Cleaned) {
        for error in &cleaned.errors {
            let text = format!("not cleaned, the next pass tries again: {error}");
            self.env.report.event(Event::Note { level: Level::Warn, block: error.block_id(), text: &text });
        }
        self.result.deleted.extend(cleaned.deleted);
        self.result.uploads += cleaned.uploads;
        self.result.clean_errors.extend(cleaned.errors);
    }

    /// Marks what has expired, unless that was done within the last `every` milliseconds.
    pub(super) async fn retain(&mut self, blocks: &mut Vec<CatalogBlock>, every: Millis) {
        if self.result.retention.is_older_than(every, self.env.clock.now()) {
            retain::run(self.env, blocks, self.options, &mut self.result.retention).await;
        }
    }

    pub(super) async fn mark_duplicates(&mut self, seen: &Seen) -> Result<()> {
        let began = self.env.clock.now();
        let planned = garbage::plan(&seen.selection);
        let marked = garbage::run(self.env, &planned).await;
        let took = self.env.clock.now() - began;
        let (count, error) = (marked.as_ref().map_or(0, Vec::len), marked.as_ref().err());
        self.env.report.event(Event::Collected { took, marked: count, error });
        self.result.garbage.extend(marked?);
        Ok(())
    }
}
