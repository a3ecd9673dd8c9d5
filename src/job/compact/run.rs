//! Carrying out one merge: opening inputs, running the pipelines, publishing or leaving no trace.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::assemble::{self, Assembled, assemble};
use super::chunks::{ChunkFeed, Segment};
use super::decode::Rules;
use super::entries::{self, Entries};
use super::input::SeriesFeed;
use super::merge::{Merger, Step};
use super::output::{ChunkSink, SeriesSink, describe};
use super::pool::{Pool, Running};
use super::symbols::{SymbolMerge, merge_symbols};
use super::{CompactInput, CompactOutcome, CompactTask};
use crate::block::{RangeStream, ReadAhead, discard, publish};
use crate::bucket::Bucket;
use crate::error::{Error, Kind, Result};
use crate::format::index::{self, TOC_BYTES, Toc, Version};
use crate::format::tombstones::Tombstones;
use crate::job::{Env, Event, Level};
use crate::model::TimeRange;

/// All inputs together hold about so many of the bucket's preferred reads.
const READ_AHEAD_PARTS: u64 = 24;
/// The largest tombstones file that is read.
const MAX_TOMBSTONES_BYTES: u64 = 256 << 20;

pub(super) async fn run(env: &Env, task: &CompactTask) -> Result<CompactOutcome> {
    match write(env, task).await {
        Ok(outcome) => Ok(outcome),
        Err(error) => {
            // nothing refers to what was uploaded so far: without meta.json it is not a block
            if let Err(left) = discard(&env.bucket, task.id).await {
                let text = format!("objects of a merge that failed are left and will be cleaned by age: {left}");
                env.report.event(Event::Note { level: Level::Warn, block: Some(task.id), text: &text });
            }
            Err(error)
        }
    }
}

/// An input's index, of which only the table of contents was read.
struct Shape {
    version: Version,
    toc: Toc,
    len_bytes: u64,
}

async fn write(env: &Env, task: &CompactTask) -> Result<CompactOutcome> {
    let pool = Pool::new(env.pool.clone());
    let read_ahead = read_ahead(env.bucket.read_bytes() as u64, task.inputs.len() as u64);
    let mut shapes = Vec::with_capacity(task.inputs.len());
    for input in &task.inputs {
        shapes.push(open(&env.bucket, input).await?);
    }

    let mut streams: Vec<_> = task
        .inputs
        .iter()
        .zip(&shapes)
        .map(|(input, shape)| RangeStream::new(&env.bucket, key(input, "index"), shape.toc.symbols_range(), read_ahead))
        .collect();
    let merge = SymbolMerge::new(shapes.iter().map(|s| (s.version, s.toc.symbols)));
    let (symbols, remaps) = merge_symbols(merge, &mut streams, &pool, |n, m| {
        Error::from(m)
            .block(task.inputs[n].id)
            .next("run `tools bucket verify` on the block, then replace it or mark it no-compact")
    })
    .await?;
    drop(streams);

    let range = task.inputs.iter().map(|i| i.meta.time_range()).reduce(TimeRange::union).unwrap_or(TimeRange::new(0, 0));
    let mut series = Vec::with_capacity(task.inputs.len());
    let mut chunks = Vec::with_capacity(task.inputs.len());
    for ((input, shape), remap) in task.inputs.iter().zip(&shapes).zip(remaps) {
        let rules = Rules {
            block: input.id,
            version: shape.version,
            section: shape.toc.series_range(),
            remap,
            range: input.meta.time_range(),
            keep: (range.start, range.end.saturating_sub(1)),
            tombstones: tombstones(&env.bucket, input).await?,
            accept_malformed: task.accept_malformed_index,
        };
        series.push(SeriesFeed::new(&env.bucket, &key(input, "index"), Arc::new(rules), pool.clone(), read_ahead));
        chunks.push(ChunkFeed::new(&env.bucket, input.id, segments(input), read_ahead));
    }

    // remapped references may take more bytes than the inputs' own; the bound only sizes upload parts
    let index_bound = shapes.iter().map(|s| s.len_bytes * 2).sum::<u64>().saturating_add(16 << 20).min(index::MAX_BYTES);
    let mut chunk_sink = ChunkSink::new(env, task);
    let mut series_sink = SeriesSink::begin(env, task, pool.clone(), symbols.finish(), index_bound).await?;

    let depth = pool.threads() + 1;
    let (assembled_send, assembled) = mpsc::channel(depth);
    let (encoded_send, encoded) = mpsc::channel(depth);
    let piped = tokio::try_join!(
        feed(env, task, &pool, series, chunks, assembled_send),
        place_chunks(&pool, &mut chunk_sink, assembled, encoded_send),
        place_series(&mut series_sink, encoded),
    );
    if let Err(error) = piped {
        chunk_sink.abort().await;
        series_sink.abort().await;
        return Err(error);
    }
    if chunk_sink.counts.samples == 0 {
        chunk_sink.abort().await;
        series_sink.abort().await;
        discard(&env.bucket, task.id).await?;
        return Ok(CompactOutcome::Empty);
    }
    let (series_max, chunk_max) = (series_sink.series_max_bytes(), series_sink.chunk_max_bytes);
    let (segments, index) = tokio::join!(chunk_sink.finish(), series_sink.finish());
    let mut written = segments?;
    written.push(index?);
    let meta = describe(task, &chunk_sink.counts, &written, series_max, chunk_max, env.clock.now());
    publish(&env.bucket, &meta, &written).await?;
    let moved = written.iter().map(|w| w.len_bytes).sum();
    env.report.event(Event::Moved { job: task.job, read: 0, written: moved });
    Ok(CompactOutcome::Written { meta: Box::new(meta), new_encodings: chunk_sink.counts.new_encodings })
}

/// Read-ahead is a share divided by the inputs, each of which reads its index and its chunks: many
/// inputs read smaller parts, so that memory does not grow with their number.
fn read_ahead(read_bytes: u64, inputs: u64) -> ReadAhead {
    let share = READ_AHEAD_PARTS * read_bytes / (2 * inputs.max(1));
    // one part is consumed, one waits, one is on its way
    ReadAhead { part_bytes: (share / 3).clamp(read_bytes / 4, read_bytes), ahead: 1 }
}

fn key(input: &CompactInput, name: &str) -> String {
    format!("{}/{name}", input.id)
}

/// Length of one of the block's objects.
fn len_of(input: &CompactInput, name: &str) -> Option<u64> {
    let suffix = format!("/{name}");
    input.objects.iter().find(|o| o.key.ends_with(&suffix)).map(|o| o.len_bytes)
}

fn segments(input: &CompactInput) -> Vec<Segment> {
    // numbered from 1 without gaps: the first that is missing ends the list, and an index that points
    // behind it is told so
    (1..)
        .map_while(|n| {
            let name = format!("chunks/{n:06}");
            len_of(input, &name).map(|len_bytes| Segment { key: key(input, &name), len_bytes })
        })
        .collect()
}

async fn open(bucket: &Bucket, input: &CompactInput) -> Result<Shape> {
    let bad = |e: Error| {
        e.block(input.id).part("index").next("run `tools bucket verify` on the block, then replace it or mark it no-compact")
    };
    let Some(len_bytes) = len_of(input, "index") else {
        return Err(bad(Error::new(Kind::Corrupt, "the block has no index object")));
    };
    if len_bytes < (index::HEADER_BYTES + TOC_BYTES) as u64 {
        return Err(bad(Error::new(Kind::Corrupt, format!("{len_bytes} bytes are no index")).at(len_bytes)));
    }
    let key = key(input, "index");
    let header = bucket.get_range(&key, 0..index::HEADER_BYTES as u64).await.map_err(|e| e.block(input.id))?;
    let version = index::check_header(&header).map_err(|m| bad(m.into()))?;
    let tail = bucket.get_range(&key, Toc::range(len_bytes)).await.map_err(|e| e.block(input.id))?;
    let toc = Toc::decode(&tail, len_bytes).map_err(|m| bad(m.into()))?;
    Ok(Shape { version, toc, len_bytes })
}

async fn tombstones(bucket: &Bucket, input: &CompactInput) -> Result<Option<Tombstones>> {
    if len_of(input, "tombstones").is_none() {
        return Ok(None);
    }
    let bytes = bucket.get(&key(input, "tombstones"), MAX_TOMBSTONES_BYTES).await.map_err(|e| e.block(input.id))?;
    let tombstones = Tombstones::decode(&bytes).map_err(|m| Error::from(m).block(input.id))?;
    Ok((!tombstones.is_empty()).then_some(tombstones))
}

/// First pipeline: merges series, fetches their chunk records and has them assembled.
async fn feed(
    env: &Env,
    task: &CompactTask,
    pool: &Pool,
    mut series: Vec<SeriesFeed>,
    mut chunks: Vec<ChunkFeed>,
    out: mpsc::Sender<Running<Result<Assembled>>>,
) -> Result<()> {
    let rules = Arc::new(assemble::Rules { blocks: task.inputs.iter().map(|i| i.id).collect() });
    let mut merger = Merger::new(rules.blocks.clone());
    // all inputs begin to read before the first is waited for
    series.iter_mut().for_each(SeriesFeed::begin);
    loop {
        let mut batch = merger.empty_batch();
        let step = loop {
            let (step, m, b) = pool
                .run(move || {
                    let step = merger.step(&mut batch);
                    (step, merger, batch)
                })
                .await?;
            (merger, batch) = (m, b);
            match step? {
                Step::Need(input) => merger.feed(input, series[input].next().await?)?,
                done => break done,
            }
        };
        if env.cancel.is_cancelled() {
            return Err(Error::new(Kind::Cancelled, "asked to stop").next("run it again: nothing was changed"));
        }
        if batch.len() > 0 {
            let mut runs = Vec::with_capacity(chunks.len());
            let mut read = 0;
            for (feed, stretches) in chunks.iter_mut().zip(&batch.stretches) {
                let taken = feed.take(stretches).await?;
                read += stretches.iter().map(|s| s.last.0 - s.first.0).sum::<u64>();
                runs.push(taken);
            }
            let rules = rules.clone();
            let running = pool.run(move || assemble(batch, &runs, &rules));
            if out.send(running).await.is_err() {
                // the next pipeline has failed and says why
                return Ok(());
            }
            env.report.event(Event::Moved { job: task.job, read, written: 0 });
        }
        if step == Step::Done {
            return Ok(());
        }
    }
}

/// Second pipeline: places chunk records, appends them, and has series entries encoded.
async fn place_chunks(
    pool: &Pool,
    sink: &mut ChunkSink,
    mut batches: mpsc::Receiver<Running<Result<Assembled>>>,
    out: mpsc::Sender<Running<Result<Entries>>>,
) -> Result<()> {
    while let Some(batch) = batches.recv().await {
        let mut batch = batch.await??;
        let places = sink.place(&mut batch).await?;
        let running = pool.run(move || Ok(entries::encode(batch, &places)?));
        if out.send(running).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Third pipeline: places series entries and gathers their postings.
async fn place_series(sink: &mut SeriesSink, mut batches: mpsc::Receiver<Running<Result<Entries>>>) -> Result<()> {
    while let Some(entries) = batches.recv().await {
        sink.place(entries.await??).await?;
    }
    Ok(())
}
