//! Carrying a plan out, block by block: written, the old one marked no-compact, the new one made visible, the old one
//! marked for deletion where that was asked for.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use super::changes::{Changing, LogWriter};
use super::naming::name;
use super::plan::{Plan, PlannedBlock};
use super::request::Request;
use super::survey::touches;
use crate::block::retire::{self, Marked};
use crate::error::{Error, Kind, Result};
use crate::format::marks::{NO_COMPACT_MARK_FILE, texts};
use crate::format::meta::{IndexStats, Meta, Stats};
use crate::job::mark;
use crate::job::pipeline::{self, Built, Content, HashFunc, Join, Output, SourceBlock, Work};
use crate::job::{Env, Event, JobId, Level};
use crate::model::{BlockId, Timestamp};

/// Details of the marks that a rewrite makes, in upstream's words.
const REWRITTEN: &str = "block rewritten";

/// How a plan is carried out.
#[derive(Clone, Debug)]
pub struct Options {
    /// Families of blocks in which nothing would change are left alone.
    pub skip_untouched: bool,
    /// Old blocks are marked for deletion once the new ones are visible.
    pub delete_blocks: bool,
    /// Whether files are hashed.
    pub hash_func: HashFunc,
    /// The folder that gets a folder with a `change.log` for each new block, if there is to be one.
    pub change_logs: Option<PathBuf>,
}

/// What came of one block.
#[derive(Clone, Debug)]
pub struct Rewritten {
    /// The block as it was.
    pub block: BlockId,
    /// What became of it.
    pub fate: Fate,
    /// Whether the old block is marked for deletion now.
    pub marked: bool,
}

/// What became of a block.
#[derive(Clone, Debug)]
pub enum Fate {
    /// A block with this `meta.json` takes its place.
    Written(Box<Meta>),
    /// No sample was left, so that there is no new block.
    Emptied,
    /// Nothing would change in it, nor in others of its family, so that it stays as it is.
    Untouched,
}

/// Rewrites the blocks of a plan one after the other, each with all cores; `done` hears of each.
///
/// # Errors
/// As [`pipeline::build`], with the blocks before it done: the same request goes on where it stopped. `Unavailable`
/// where the change log cannot be written.
pub async fn run(env: &Env, plan: &Plan, request: &Request, options: &Options, done: &mut dyn FnMut(&Rewritten)) -> Result<()> {
    for old in plan.done.iter().filter(|d| options.delete_blocks && !d.marked) {
        mark::replaced(env, old.block, REWRITTEN).await?;
    }
    let mut touched: BTreeMap<usize, bool> = BTreeMap::new();
    for planned in plan.blocks.iter().filter(|_| options.skip_untouched) {
        let so_far = touched.entry(planned.family).or_default();
        *so_far = *so_far || touches(env, &planned.block, request).await?;
    }
    for (n, planned) in plan.blocks.iter().enumerate() {
        if touched.get(&planned.family) == Some(&false) {
            done(&Rewritten { block: planned.block.id, fate: Fate::Untouched, marked: false });
            continue;
        }
        if env.cancel.is_cancelled() {
            return Err(Error::new(Kind::Cancelled, "asked to stop").next("run the same command again: it goes on from here"));
        }
        let job = JobId(n as u64);
        let group = format!("{}@{}", planned.block.meta.resolution(), planned.block.meta.labels());
        let blocks = [planned.block.id];
        env.report.event(Event::Started { job, kind: "rewrite", group: &group, blocks: &blocks, bytes: planned.block.bytes() });
        match rewrite(env, job, planned, request, options).await {
            Ok(rewritten) => {
                let text = match &rewritten.fate {
                    Fate::Written(meta) => format!("block {} with {} series", meta.ulid, meta.stats.num_series),
                    Fate::Emptied | Fate::Untouched => "no samples are left, no block".to_owned(),
                };
                env.report.event(Event::Finished { job, outcome: &text });
                done(&rewritten);
            }
            Err(error) => {
                env.report.event(Event::Failed { job, error: &error });
                return Err(error);
            }
        }
    }
    Ok(())
}

async fn rewrite(env: &Env, job: JobId, planned: &PlannedBlock, request: &Request, options: &Options) -> Result<Rewritten> {
    let block = &planned.block;
    let inputs = [SourceBlock::from(block)];
    let unwritten = |e| Error::new(Kind::Unavailable, "the change log cannot be written").source(e);
    let mut log = options.change_logs.as_ref().map(|folder| change_log(folder, planned.id)).transpose()?;
    let mut work = Work::new(job, &inputs, vec![Output { id: planned.id, content: Content::Plain }]);
    work.hash_func = options.hash_func;
    if !request.relabeling.is_empty() || request.drop_unused_symbols {
        let mut changed = |line: &str| log.as_mut().map_or(Ok(()), |log| log.write_all(line.as_bytes())).map_err(unwritten);
        work.labels = Some(Arc::new(name(env, &inputs[0], request, &mut changed).await?));
    }
    if !request.relabeling.is_empty() {
        work.join = Join::Anew;
    }
    let changing = Arc::new(Changing::new(request.clone(), log));
    work.edit = Some(changing.clone());
    let built = pipeline::build(env, &work).await?.into_iter().flatten().next();
    changing.finish().map_err(unwritten)?;
    let fate = match &built {
        None => Fate::Emptied,
        Some(built) => Fate::Written(Box::new(appear(env, planned, request, built).await?)),
    };
    let marked = options.delete_blocks && mark::replaced(env, block.id, REWRITTEN).await? != Marked::NoBlock;
    Ok(Rewritten { block: block.id, fate, marked })
}

/// Makes the new block visible, behind a mark that keeps a compactor from merging it with the old one.
async fn appear(env: &Env, planned: &PlannedBlock, request: &Request, built: &Built) -> Result<Meta> {
    let old = planned.block.id;
    let meta = describe(env, planned, request, built)?;
    let details = format!("{REWRITTEN} as {}", planned.id);
    let marked = mark::no_compact(env, old, texts::MANUAL, &details).await?;
    if marked == Marked::NoBlock {
        crate::block::discard(&env.bucket, planned.id).await?;
        return Err(Error::new(Kind::Conflict, "the block was deleted while it was rewritten").block(old).next("look again"));
    }
    let published = pipeline::publish(env, &[(&meta, built)]).await;
    if published.is_err()
        && marked == Marked::Written
        && let Err(left) = retire::unmark(&env.bucket, old, NO_COMPACT_MARK_FILE).await
    {
        let text = format!("its no-compact mark is left although it was not rewritten: {left}");
        env.report.event(Event::Note { level: Level::Warn, block: Some(old), text: &text });
    }
    published.map(|()| meta)
}

/// The `meta.json` of the new block: the old one's, but for what changed.
fn describe(env: &Env, planned: &PlannedBlock, request: &Request, built: &Built) -> Result<Meta> {
    let mut meta = (*planned.block.meta).clone();
    let counts = &built.counts;
    // upstream counts no kinds of samples here
    meta.stats = Stats {
        num_samples: counts.samples,
        num_series: counts.series,
        num_chunks: counts.chunks,
        unknown: meta.stats.unknown,
        ..Stats::default()
    };
    meta.thanos.rewrites.push(request.record(&meta.compaction.sources)?);
    meta.compaction.sources = planned.sources.clone();
    meta.thanos.source = "bucket.rewrite".into();
    let knew_largest = meta.thanos.index_stats.series_max_size > 0 || meta.thanos.index_stats.chunk_max_size > 0;
    built.describe(&mut meta);
    if !knew_largest {
        // upstream carries this section over, so that it stays empty where it was
        meta.thanos.index_stats = IndexStats::default();
    }
    meta.thanos.upload_time = Timestamp::from_millis(env.clock.now());
    Ok(meta)
}

fn change_log(folder: &std::path::Path, id: BlockId) -> Result<LogWriter> {
    let folder = folder.join(id.to_string());
    let path = folder.join("change.log");
    let open = std::fs::create_dir_all(&folder).and_then(|()| std::fs::File::create(&path));
    let file = open.map_err(|e| {
        Error::new(Kind::Unavailable, format!("cannot write {}", path.display()))
            .source(e)
            .next("choose another --tmp.dir, or give --no-rewrite.add-change-log")
    })?;
    Ok(Box::new(std::io::BufWriter::new(file)))
}
