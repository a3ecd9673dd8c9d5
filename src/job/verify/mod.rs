//! Whether blocks are sound: Thanos' three issues by the same definitions, and the content itself.
//!
//! Nothing is written to the bucket and no temporary files are made. Blocks, and ranges within a block, are read
//! ahead and checked on the pool; what is found comes out in the order of blocks all the same.
//!
//! *Order*: by block id; within a block by check and place.
//! *Memory*: see `index`; at most about `AT_A_TIME_BYTES` of index are under check at once, or one block.
//! *Errors*: damage is a finding. An error ends the run: a stop, or a state file that cannot be written.

mod chunks;
mod files;
mod finding;
mod groups;
mod health;
mod index;
mod lists;
mod pairs;
mod sound;
mod state;

use std::path::PathBuf;
use std::sync::Arc;

use futures::StreamExt;
use tokio::sync::Semaphore;

use super::catalog::{Catalog, CatalogBlock, PartialReason};
use super::compute::Task;
use super::{Env, Event, JobId};
use crate::block::Reads;
use crate::error::{Error, Kind, Result};
use crate::format::meta::META_FILE;
use crate::model::{BlockId, Millis};
pub use finding::{Check, Counted, Finding, Findings, MAX_LISTED, Verdict};
pub use groups::{GroupFinding, duplicated, overlapped};
pub use health::{Fatal, Health, HealthCounter, Spread};
use state::State;

/// The least that one ranged read asks for.
const MIN_READ_BYTES: u64 = 1 << 20;

/// The most that one ranged read asks for, but for a larger list or chunk.
const MAX_READ_BYTES: u64 = 8 << 20;

/// Blocks are checked side by side while their indexes together have at most this many bytes.
pub const AT_A_TIME_BYTES: u64 = 512 << 20;

/// The most blocks side by side.
const AT_A_TIME_BLOCKS: usize = 16;

/// What to verify.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which checks.
    pub checks: Vec<Check>,
    /// Which blocks; empty for all.
    pub ids: Vec<BlockId>,
    /// Only blocks that were uploaded (or, where the meta does not say, made) at this time or later.
    pub since: Option<Millis>,
    /// The most bytes to read in a second.
    pub bytes_per_second: Option<u64>,
    /// Where to keep what was verified, to go on after a stop.
    pub state: Option<PathBuf>,
}

/// What was verified.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Each block, by id.
    pub blocks: Vec<Verdict>,
    /// What was found about groups.
    pub groups: Vec<GroupFinding>,
    /// Folders that are no whole blocks, and why.
    pub partial: Vec<(BlockId, String)>,
    /// How many verdicts are from a run before.
    pub resumed: usize,
    /// Bytes that were read, metas not counted.
    pub bytes_read: u64,
}

impl Summary {
    /// How many blocks have findings.
    pub fn damaged(&self) -> usize {
        self.blocks.iter().filter(|v| !v.findings.is_empty()).count()
    }

    /// Whether anything at all was found.
    pub fn found_anything(&self) -> bool {
        self.damaged() > 0 || !self.groups.is_empty()
    }

    /// Whether a check that Thanos does not have found something.
    pub fn found_more_than_upstream(&self) -> bool {
        self.blocks.iter().any(|v| v.findings.listed().iter().any(|f| !f.check.is_upstream()))
    }
}

/// Hears of what comes of a run while it goes.
pub enum Heard<'a> {
    /// A check over groups is done.
    Groups(Check, &'a [GroupFinding]),
    /// A block is done.
    Block(&'a Verdict),
}

/// Which checks, as a set.
#[derive(Clone, Copy)]
struct Checks(u16);

impl Checks {
    fn new(checks: &[Check]) -> Self {
        Checks(checks.iter().fold(0, |set, &c| set | 1 << c as u16))
    }

    fn has(self, check: Check) -> bool {
        self.0 & (1 << check as u16) != 0
    }

    /// Those that walk the index of a block.
    fn of_index(self) -> impl Iterator<Item = Check> {
        let all = [Check::IndexKnownIssues, Check::Chunks, Check::Postings, Check::Stats, Check::Symbols];
        all.into_iter().filter(move |&c| self.has(c))
    }

    /// Whether chunks are read: their samples are counted for `stats`.
    fn chunk_data(self) -> bool {
        self.has(Check::Chunks) || self.has(Check::Stats)
    }
}

/// Verifies blocks of `catalog` that are not to be deleted; `hear` is told as results come.
///
/// # Errors
/// `Invalid` for a check over groups together with ids; `Cancelled` on a stop; others from the state file.
pub async fn run(env: &Env, catalog: &Catalog, options: &Options, hear: &mut (dyn FnMut(Heard<'_>) + Send)) -> Result<Summary> {
    if !options.ids.is_empty()
        && let Some(check) = options.checks.iter().find(|c| c.is_about_groups())
    {
        return Err(Error::new(Kind::Invalid, format!("verify {check}: id matching is not supported"))
            .next("leave --id away, or name other issues"));
    }
    let mut summary = Summary::default();
    let there: Vec<&CatalogBlock> = catalog.blocks.iter().filter(|b| b.deletion.is_none()).collect();
    let metas: Vec<_> = there.iter().map(|b| Arc::clone(&b.meta)).collect();
    for &check in &options.checks {
        let found = match check {
            Check::OverlappedBlocks => overlapped(&metas),
            Check::DuplicatedCompaction => duplicated(&metas),
            _ => continue,
        };
        hear(Heard::Groups(check, &found));
        summary.groups.extend(found);
    }
    let wanted = |id: BlockId| options.ids.is_empty() || options.ids.contains(&id);
    let chosen: Vec<&CatalogBlock> =
        there.into_iter().filter(|b| wanted(b.id) && options.since.is_none_or(|since| uploaded(b) >= since)).collect();
    let mut state = options.state.as_deref().map(|path| State::open(path, &options.checks)).transpose()?;
    let checks = Checks::new(&options.checks);
    let reads = Reads::new(env.bucket.clone(), options.bytes_per_second);
    let room = Arc::new(Semaphore::new((AT_A_TIME_BYTES >> 20) as usize));
    let mut under_way = futures::stream::iter(
        chosen
            .into_iter()
            .zip(0..)
            .map(|(block, n)| {
                let known = state.as_mut().and_then(|s| s.take(block.id));
                let (env, reads, room, block) = (env.clone(), reads.clone(), Arc::clone(&room), block.clone());
                async move {
                    match known {
                        Some(verdict) => Ok((verdict, true)),
                        None => Task::spawn(one(env, reads, room, block, checks, JobId(n))).await.map(|v| (v, false)),
                    }
                }
            })
            .collect::<Vec<_>>(),
    )
    .buffered(AT_A_TIME_BLOCKS);
    while let Some(done) = under_way.next().await {
        let (verdict, resumed) = done?;
        hear(Heard::Block(&verdict));
        summary.resumed += usize::from(resumed);
        if let Some(state) = &mut state
            && !resumed
        {
            state.add(&verdict)?;
        }
        summary.blocks.push(verdict);
    }
    drop(under_way);
    not_whole(catalog, options, &wanted, hear, &mut summary);
    summary.bytes_read = reads.bytes_read();
    if let Some(state) = state {
        state.finish()?;
    }
    Ok(summary)
}

/// Folders without a readable meta: damage if the meta is there and broken, or could not be fetched.
fn not_whole(
    catalog: &Catalog,
    options: &Options,
    wanted: &dyn Fn(BlockId) -> bool,
    hear: &mut (dyn FnMut(Heard<'_>) + Send),
    summary: &mut Summary,
) {
    let ours = options.checks.iter().copied().find(|c| !c.is_upstream());
    for partial in catalog.partial.iter().filter(|p| wanted(p.id) && p.deletion.is_none()) {
        let why = match &partial.why {
            PartialReason::NoMeta => "there is no meta.json: an upload under way, or one that was given up".to_owned(),
            PartialReason::Corrupt(m) => format!("meta.json cannot be read: {m}"),
        };
        if let (Some(check), PartialReason::Corrupt(m)) = (ours, &partial.why) {
            let mut verdict = Verdict { block: partial.id, findings: Findings::default(), counted: Counted::default() };
            verdict.findings.note(check, META_FILE, m.at, m.why.clone());
            hear(Heard::Block(&verdict));
            summary.blocks.push(verdict);
        }
        summary.partial.push((partial.id, why));
    }
    for (id, error) in catalog.failed.iter().filter(|(id, _)| wanted(*id)) {
        let mut verdict = Verdict { block: *id, findings: Findings::default(), counted: Counted::default() };
        let check = ours.or(options.checks.first().copied()).unwrap_or(Check::IndexKnownIssues);
        verdict.findings.note_block(check, error.to_string());
        hear(Heard::Block(&verdict));
        summary.blocks.push(verdict);
    }
    summary.blocks.sort_by_key(|v| v.block);
}

/// When a block came to the bucket, as far as anybody says.
fn uploaded(block: &CatalogBlock) -> Millis {
    let said = block.meta.thanos.upload_time;
    if said.is_zero() { block.id.created() } else { said.millis() }
}

/// Checks one block when there is room for it.
async fn one(env: Env, reads: Reads, room: Arc<Semaphore>, block: CatalogBlock, checks: Checks, job: JobId) -> Result<Verdict> {
    let weight = (block.index_bytes().min(AT_A_TIME_BYTES) >> 20).max(1) as u32;
    let stopped = || Error::new(Kind::Cancelled, "stopped").block(block.id);
    let _room = room.acquire_many(weight).await.map_err(|_| stopped())?;
    if env.cancel.is_cancelled() {
        return Err(stopped());
    }
    let before = reads.bytes_read();
    env.report.event(Event::Started { job, kind: "verify", group: "", blocks: &[block.id], bytes: block.index_bytes() });
    let mut verdict = Verdict { block: block.id, findings: Findings::default(), counted: Counted::default() };
    if checks.has(Check::Files) {
        settle(
            files::check(&env, &reads, &block, &mut verdict.findings).await,
            [Check::Files].into_iter(),
            &mut verdict.findings,
        )?;
    }
    if checks.of_index().next().is_some() {
        let walked = index::walk(&env, &reads, &block.meta, checks).await;
        if let Some(walked) = settle(walked, checks.of_index(), &mut verdict.findings)? {
            verdict.findings.join(walked.findings);
            verdict.counted = walked.counted;
            if checks.has(Check::Stats) && walked.complete {
                stats(&block, &verdict.counted, &mut verdict.findings);
            }
        }
    }
    env.report.event(Event::Moved { job, read: reads.bytes_read() - before, written: 0 });
    env.report.event(Event::Finished { job, outcome: if verdict.findings.is_empty() { "sound" } else { "not sound" } });
    Ok(verdict)
}

/// Trouble with a block is a finding of the checks that met it; a stop is a stop.
fn settle<T>(result: Result<T>, checks: impl Iterator<Item = Check>, findings: &mut Findings) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == Kind::Cancelled => Err(error),
        Err(error) => {
            for check in checks {
                findings.add(Finding {
                    check,
                    part: error.part_name().map(str::to_owned),
                    at: error.offset(),
                    text: error.what().to_owned(),
                });
            }
            Ok(None)
        }
    }
}

/// Counts of the meta against what was counted. Downsampled blocks inherit the split into floats and histograms.
fn stats(block: &CatalogBlock, counted: &Counted, findings: &mut Findings) {
    let stats = &block.meta.stats;
    let mut compare = |what: &str, said: u64, found: u64| {
        if said != found {
            findings.note(Check::Stats, META_FILE, None, format!("{what} is {said}, the block has {found}"));
        }
    };
    compare("numSeries", stats.num_series, counted.series);
    compare("numChunks", stats.num_chunks, counted.chunks);
    if counted.damaged_chunks > 0 {
        // samples of a damaged chunk cannot be counted
        return;
    }
    compare("numSamples", stats.num_samples, counted.samples);
    let split = stats.num_float_samples > 0 || stats.num_histogram_samples > 0;
    if split && block.meta.resolution() == 0 {
        compare("numFloatSamples", stats.num_float_samples, counted.floats);
        compare("numHistogramSamples", stats.num_histogram_samples, counted.histograms);
    }
}

#[cfg(test)]
mod tests;
