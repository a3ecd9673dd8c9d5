//! Taking over into a new block all that can be read of a damaged one, with a list of what is lost: which part, at
//! which byte, why, of which series, and which times.
//!
//! Series are read one behind the other, whatever the postings say; where the table of contents is gone they are
//! looked for, where symbols are damaged they are taken from the postings table, where `meta.json` is lost it is made
//! from index and chunks. Postings are made anew in any case. The old block is not touched.
//!
//! *Order*: series by label sets, as every block has them; of two series with one label set the chunks are joined.
//! *Memory*: both symbol tables, the list of all series, a few batches; where series of the old block are out of order,
//! their entries, up to [`MAX_SORTED_BYTES`].
//! *Errors*: damage is a loss. What is returned is trouble with the bucket, a stop, or an index without symbols.

mod keep;
mod lost;
mod meta;
mod output;
mod records;
mod source;
mod symbols;
mod walk;

use std::collections::VecDeque;
use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt};

use super::pipeline::{self, Built, Counts};
use super::{Env, Event, JobId, Level, mark};
use crate::block::retire::Marked;
use crate::block::{Reads, discard};
use crate::bucket::Object;
use crate::error::{Error, Kind, Result};
use crate::format::meta::Meta;
use crate::model::{BlockId, LabelSet, Millis, TimeRange};
use keep::{KeptBatch, keep};
pub use lost::{Losses, Lost, MAX_LISTED};
use output::{NewBlock, count};
use records::Records;
use source::Source;
use walk::{Batch, Entry, Walk};

/// Entries of series that are held to be sorted, in bytes as they lie in the index.
pub const MAX_SORTED_BYTES: u64 = 2 << 30;

/// Series of one batch where they were sorted.
const SORTED_BATCH: usize = 2048;

/// A block of which all that can be read is taken over.
#[derive(Clone, Debug)]
pub struct Task {
    /// Number of the job for its report.
    pub job: JobId,
    /// The damaged block.
    pub block: BlockId,
    /// Its objects, as the bucket lists them.
    pub objects: Arc<[Object]>,
    /// Its `meta.json`, if it can be read.
    pub meta: Option<Arc<Meta>>,
    /// External labels for a block without `meta.json`.
    pub labels: LabelSet,
    /// Whether a block is written; else only losses are listed.
    pub write: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Salvaged {
    /// The new block's `meta.json`, or what it would be; `None` where nothing could be read.
    pub meta: Option<Box<Meta>>,
    /// What is not in it.
    pub lost: Losses,
}

/// Takes over all that can be read of a block.
///
/// The new block becomes visible with its `meta.json`, which is written last. After an error nothing of it stays.
///
/// # Errors
/// `NotFound` without an index; `Corrupt` when no symbol can be trusted; `Limit` when series are out of order and too many
/// to be sorted; `Cancelled`; others from the bucket.
pub async fn salvage(env: &Env, task: &Task) -> Result<Salvaged> {
    let bytes = task.objects.iter().map(|o| o.len_bytes).fold(0, u64::saturating_add);
    env.report.event(Event::Started { job: task.job, kind: "salvage", group: "", blocks: &[task.block], bytes });
    let done = run(env, task).await;
    match &done {
        Ok(Salvaged { meta: Some(meta), .. }) => {
            let text = format!("block {} with {} series", meta.ulid, meta.stats.num_series);
            env.report.event(Event::Finished { job: task.job, outcome: &text });
        }
        Ok(_) => env.report.event(Event::Finished { job: task.job, outcome: "no samples, no block" }),
        Err(error) => env.report.event(Event::Failed { job: task.job, error }),
    }
    done
}

/// Marks the old block for deletion; whether it has a mark now. A folder without `meta.json` gets none.
///
/// # Errors
/// From the bucket.
pub async fn mark_old(env: &Env, block: BlockId) -> Result<bool> {
    Ok(mark::replaced(env, block, "what could be read of it is in another block").await? != Marked::NoBlock)
}

async fn run(env: &Env, task: &Task) -> Result<Salvaged> {
    let mut lost = Losses::default();
    let reads = Reads::new(env.bucket.clone(), None);
    let source = Arc::new(Source::open(&reads, task.block, &task.objects, &mut lost).await?);
    let (id, at_opening) = (env.clock.new_block_id(), lost.clone());
    let mut all = match attempt(env, task, &source, id, Order::AsWritten, lost).await? {
        Some(all) => all,
        None => {
            let text = "series are out of order: all of them are read before the first is written";
            env.report.event(Event::Note { level: Level::Warn, block: Some(task.block), text });
            let sorted = attempt(env, task, &source, id, Order::Sorted, at_opening).await?;
            sorted.ok_or_else(|| Error::new(Kind::Corrupt, "series are out of order once sorted").block(task.block))?
        }
    };
    let Some((begin, end)) = all.times else { return Ok(Salvaged { meta: None, lost: all.lost }) };
    let mut meta = meta::describe(task, &all.counts, TimeRange::new(begin, end.saturating_add(1)), all.window, env.clock.now());
    meta.ulid = id;
    if let Some(built) = all.built.take() {
        built.describe(&mut meta);
        pipeline::publish(env, &[(&meta, &built)]).await?;
    }
    Ok(Salvaged { meta: Some(Box::new(meta)), lost: all.lost })
}

/// In which order series are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// As they come, which should be ascending.
    AsWritten,
    /// After all of them were sorted.
    Sorted,
}

/// All that was taken over.
struct All {
    counts: Counts,
    lost: Losses,
    /// First and last sample.
    times: Option<(Millis, Millis)>,
    window: Option<Millis>,
    built: Option<Built>,
}

/// Takes over everything; `None` when series do not ascend. Unless it succeeds nothing stays.
async fn attempt(env: &Env, task: &Task, source: &Arc<Source>, id: BlockId, order: Order, lost: Losses) -> Result<Option<All>> {
    let mut new = match task.write {
        true => Some(NewBlock::begin(env, id, source).await?),
        false => None,
    };
    let mut all = All { counts: Counts::default(), lost, times: None, window: None, built: None };
    let taken = take_over(env, task, source, order, &mut new, &mut all).await;
    let whole = matches!(taken, Ok(true)) && all.counts.samples > 0;
    let ended = match new {
        Some(new) if whole => new.finish(all.counts).await.map(|built| all.built = Some(built)),
        Some(new) => {
            new.abort().await;
            Ok(())
        }
        None => Ok(()),
    };
    if task.write
        && (!whole || ended.is_err())
        && let Err(left) = discard(&env.bucket, id).await
    {
        let text = format!("objects of a block that was given up are left and will be cleaned by age: {left}");
        env.report.event(Event::Note { level: Level::Warn, block: Some(id), text: &text });
    }
    let ascending = taken?;
    ended?;
    Ok(ascending.then_some(all))
}

/// Reads batches ahead, keeps what can be kept on the pool, and writes in order; whether series ascended.
async fn take_over(
    env: &Env,
    task: &Task,
    source: &Arc<Source>,
    order: Order,
    new: &mut Option<NewBlock>,
    all: &mut All,
) -> Result<bool> {
    let range = task.meta.as_ref().map(|m| m.time_range());
    let batches = match order {
        Order::AsWritten => as_written(source.clone()),
        Order::Sorted => sorted(source.clone()).await?,
    };
    let pool = env.compute();
    let mut kept = batches
        .map(|batch| {
            let (source, pool) = (source.clone(), pool.clone());
            async move {
                let Batch { entries, lost } = batch?;
                let records = Records::fetch(&source, &entries).await?;
                let kept = pool.run(move || keep(entries, &records, &source, range)).await?;
                Ok::<_, Error>((lost, kept))
            }
        })
        .buffered(pool.threads() + 1);
    let mut last: Vec<(u32, u32)> = Vec::new();
    while let Some(batch) = kept.next().await {
        let (lost, KeptBatch { series, lost: of_chunks, window }) = batch?;
        if env.cancel.is_cancelled() {
            return Err(Error::new(Kind::Cancelled, "asked to stop").next("run it again: nothing was changed"));
        }
        all.lost.join(lost);
        all.lost.join(of_chunks);
        all.window = [all.window, window].into_iter().flatten().min();
        for kept in &series {
            if kept.labels <= last {
                return Ok(false);
            }
            last.clone_from(&kept.labels);
            let (begin, end) = (kept.chunks[0].min_time, kept.chunks[kept.chunks.len() - 1].max_time);
            all.times = Some(all.times.map_or((begin, end), |t| (t.0.min(begin), t.1.max(end))));
        }
        count(&mut all.counts, &series);
        if let Some(new) = new {
            new.add(&series).await?;
        }
        env.report.event(Event::Moved { job: task.job, read: 0, written: 0 });
    }
    Ok(true)
}

fn as_written(source: Arc<Source>) -> BoxStream<'static, Result<Batch>> {
    stream::try_unfold(Walk::new(source), |mut walk| async move { Ok(walk.next().await?.map(|batch| (batch, walk))) }).boxed()
}

/// All entries by label set, those of one label set joined.
async fn sorted(source: Arc<Source>) -> Result<BoxStream<'static, Result<Batch>>> {
    let id = source.id;
    let mut walk = Walk::new(source);
    let (mut entries, mut lost, mut held) = (Vec::new(), Losses::default(), 0u64);
    while let Some(batch) = walk.next().await? {
        held += batch.entries.iter().map(|e| 64 + 8 * e.labels.len() as u64 + 24 * e.chunks.len() as u64).sum::<u64>();
        if held > MAX_SORTED_BYTES {
            let what = format!("series are out of order, and their entries take more than {MAX_SORTED_BYTES} bytes");
            return Err(Error::new(Kind::Limit, what).block(id).part("index series"));
        }
        entries.extend(batch.entries);
        lost.join(batch.lost);
    }
    entries.sort_by(|a: &Entry, b| a.labels.cmp(&b.labels));
    entries.dedup_by(|later, first| {
        let same = later.labels == first.labels;
        if same {
            first.chunks.append(&mut later.chunks);
        }
        same
    });
    let mut rest = VecDeque::from(entries);
    let mut batches = vec![Ok(Batch { entries: Vec::new(), lost })];
    while !rest.is_empty() {
        let n = rest.len().min(SORTED_BATCH);
        batches.push(Ok(Batch { entries: rest.drain(..n).collect(), lost: Losses::default() }));
    }
    Ok(stream::iter(batches).boxed())
}

#[cfg(test)]
mod tests;
