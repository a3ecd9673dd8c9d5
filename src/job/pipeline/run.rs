//! Carrying out one pass: opening inputs, running the pipelines, leaving whole blocks or no trace.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::assemble::{self, Assembled, assemble};
use super::chunks::{ChunkFeed, Run};
use super::decode::{Rules, SeriesBatch};
use super::entries::{self, Entries};
use super::hooks::{Join, Judge};
use super::input::SeriesFeed;
use super::merge::{Merger, Step, Stretch};
use super::output::{Built, Sinks};
use super::proof::{self, Expected, Intake};
use super::renamed::MovedFeed;
use super::scattered::ScatteredChunks;
use super::source::read_ahead;
use super::symbols::{SymbolMerge, merge_symbols};
use super::{LOOK_AND_MARK, Work, not_apart};
use crate::block::{RangeStream, discard};
use crate::error::{Error, Kind, Result};
use crate::format::index::{self, SymbolTable, Version};
use crate::job::compute::{Pool, Running};
use crate::job::{Env, Event, Level};
use crate::model::BlockId;

/// Carries out `work`. What comes back, in the order of the outputs, is wholly in the bucket without a
/// `meta.json`, to be published or discarded; `None` where no sample was left for an output.
///
/// # Errors
/// `Corrupt` and `Unsupported` name the block, part and offset; `Limit` when an output would not fit
/// the format; `Cancelled` when asked to stop; else what the bucket says. Then nothing stays behind.
pub async fn build(env: &Env, work: &Work<'_>) -> Result<Vec<Option<Built>>> {
    if work.labels.is_some() && work.inputs.len() != 1 {
        return Err(Error::new(Kind::Invalid, "labels are changed in one block at a time"));
    }
    if matches!(work.judge, Judge::Lenient(_)) && work.inputs.len() != 1 {
        return Err(Error::new(Kind::Invalid, "what is left of damaged blocks is taken from one at a time"));
    }
    match write(env, work).await {
        Ok(built) => Ok(built),
        Err(error) => {
            // nothing refers to what was uploaded so far: without meta.json it is not a block
            for output in &work.outputs {
                if let Err(left) = discard(&env.bucket, output.id).await {
                    let text = format!("objects of a job that failed are left and will be cleaned by age: {left}");
                    env.report.event(Event::Note { level: Level::Warn, block: Some(output.id), text: &text });
                }
            }
            Err(error)
        }
    }
}

async fn write(env: &Env, work: &Work<'_>) -> Result<Vec<Option<Built>>> {
    let pool = env.compute();
    let read_ahead = read_ahead(env.bucket.read_bytes() as u64, work.inputs.len() as u64);
    let mut shapes = Vec::with_capacity(work.inputs.len());
    for input in work.inputs {
        shapes.push(input.open(&env.bucket).await?);
    }

    let mut streams: Vec<_> = work
        .inputs
        .iter()
        .zip(&shapes)
        .map(|(input, shape)| RangeStream::new(&env.bucket, input.key("index"), shape.toc.symbols_range(), read_ahead))
        .collect();
    let merge = SymbolMerge::new(shapes.iter().map(|s| (s.version, s.toc.symbols)));
    let (symbols, remaps, mut symbol_sum) =
        merge_symbols(merge, &mut streams, &pool, |n, m| Error::from(m).block(work.inputs[n].id).next(LOOK_AND_MARK)).await?;
    drop(streams);
    let symbols = Bytes::from(symbols.finish());
    let table = match (&work.edit, &work.choose, &work.judge) {
        (None, None, Judge::Strict) => None,
        _ => Some(Arc::new(SymbolTable::decode(Version::V2, symbols.clone(), index::HEADER_BYTES as u64)?)),
    };

    let mut series = Vec::with_capacity(work.inputs.len());
    let mut chunks = Vec::with_capacity(work.inputs.len());
    for ((input, shape), remap) in work.inputs.iter().zip(&shapes).zip(remaps) {
        let rules = Rules {
            block: input.id,
            version: shape.version,
            section: shape.toc.series_range(),
            remap,
            range: input.meta.time_range(),
            keep: work.keep,
            tombstones: input.tombstones(&env.bucket).await?,
            accept_malformed: work.accept_malformed_index,
            judge: work.judge.clone(),
            edit: work.edit.clone(),
            labels: work.labels.clone(),
            symbols: table.clone(),
        };
        let (rules, key) = (Arc::new(rules), input.key("index"));
        series.push(Series::Ordered(Box::new(SeriesFeed::new(&env.bucket, &key, rules.clone(), pool.clone(), read_ahead))));
        chunks.push(Chunks::Ordered(Box::new(ChunkFeed::new(&env.bucket, input.id, input.segments(), read_ahead))));
        if let Some(labels) = work.labels.as_ref().filter(|l| l.moves()) {
            series.push(Series::Moved(MovedFeed::new(&env.bucket, &key, rules, labels.clone())));
            chunks.push(Chunks::Scattered(ScatteredChunks::new(&env.bucket, input)));
        }
    }
    let symbols = work.labels.as_ref().map_or(symbols, |l| l.symbols.clone());
    if work.labels.is_some() {
        symbol_sum = proof::symbols(&symbols)?;
    }

    // remapped references may take more bytes than the inputs' own; the bound only sizes upload parts
    let index_bound = shapes.iter().map(|s| s.len_bytes * 2).sum::<u64>().saturating_add(16 << 20).min(index::MAX_BYTES);
    let index_bound = index_bound.saturating_add(symbols.len() as u64).min(index::MAX_BYTES);
    let mut sinks = Sinks::begin(env, work, &pool, &symbols, index_bound).await?;
    let rules = Arc::new(assemble::Rules {
        // series that were moved are an input of their own behind the one that they come from
        blocks: work.inputs.iter().map(|i| i.id).cycle().take(series.len()).collect(),
        ends: work.inputs.iter().map(|i| i.meta.max_time).cycle().take(series.len()).collect(),
        outputs: work.outputs.iter().map(|o| o.content).collect(),
        resolution: work.inputs.first().map_or(0, |i| i.meta.resolution()),
        choose: work.choose.clone(),
        join: work.join,
        judge: work.judge.clone(),
        symbols: table,
    });

    let depth = pool.threads() + 1;
    let (assembled_send, assembled) = mpsc::channel(depth);
    let (encoded_send, encoded) = mpsc::channel(depth);
    let (chunk_sinks, series_sinks) = sinks.halves();
    let piped = tokio::try_join!(
        feed(env, work, &pool, rules, series, chunks, assembled_send),
        place_chunks(&pool, &work.judge, chunk_sinks, assembled, encoded_send),
        place_series(series_sinks, encoded),
    );
    match piped {
        Ok((decoded, expected, ())) => match expected.check_intake(&decoded) {
            Ok(()) => sinks.finish(env, work, &expected, symbol_sum).await,
            Err(error) => {
                sinks.abort().await;
                Err(error)
            }
        },
        Err(error) => {
            sinks.abort().await;
            Err(error)
        }
    }
}

/// One input's series, in order of labels.
enum Series {
    Ordered(Box<SeriesFeed>),
    Moved(MovedFeed),
}

impl Series {
    fn begin(&mut self) {
        if let Series::Ordered(feed) = self {
            feed.begin();
        }
    }

    async fn next(&mut self) -> Result<Option<SeriesBatch>> {
        match self {
            Series::Ordered(feed) => feed.next().await,
            Series::Moved(feed) => feed.next().await,
        }
    }
}

/// One input's chunk records.
enum Chunks {
    Ordered(Box<ChunkFeed>),
    Scattered(ScatteredChunks),
}

impl Chunks {
    async fn take(&mut self, stretches: &[Stretch]) -> Result<Vec<Run>> {
        match self {
            Chunks::Ordered(feed) => feed.take(stretches).await,
            Chunks::Scattered(chunks) => chunks.take(stretches).await,
        }
    }
}

/// First pipeline: merges series, fetches their chunk records and has them assembled.
async fn feed(
    env: &Env,
    work: &Work<'_>,
    pool: &Pool,
    rules: Arc<assemble::Rules>,
    mut series: Vec<Series>,
    mut chunks: Vec<Chunks>,
    out: mpsc::Sender<Running<Result<Assembled>>>,
) -> Result<Intake> {
    let mut decoded = Intake::default();
    let mut merger = Merger::new(rules.blocks.clone(), work.inputs.len());
    // all inputs begin to read before the first is waited for
    series.iter_mut().for_each(Series::begin);
    let mut without_chunks: BTreeSet<BlockId> = work.inputs.iter().map(|i| i.id).collect();
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
                Step::Need(input) => {
                    let batch = series[input].next().await?;
                    batch.iter().for_each(|b| decoded.batch(b));
                    merger.feed(input, batch)?;
                }
                done => break done,
            }
        };
        if env.cancel.is_cancelled() {
            return Err(Error::new(Kind::Cancelled, "asked to stop").next("run it again: nothing was changed"));
        }
        if batch.len() > 0 {
            let mut runs = Vec::with_capacity(chunks.len());
            let mut read = 0;
            for ((feed, stretches), block) in chunks.iter_mut().zip(&batch.stretches).zip(&rules.blocks) {
                if !stretches.is_empty() {
                    without_chunks.remove(block);
                }
                let taken = feed.take(stretches).await?;
                read += stretches.iter().map(|s| s.last.0 - s.first.0).sum::<u64>();
                runs.push(taken);
            }
            let rules = rules.clone();
            let running = pool.run(move || assemble(batch, &runs, &rules));
            if out.send(running).await.is_err() {
                // the next pipeline has failed and says why
                return Ok(decoded);
            }
            env.report.event(Event::Moved { job: work.job, read, written: 0 });
        }
        if step == Step::Done {
            return match without_chunks.first() {
                Some(&block) if work.join == Join::Apart => Err(not_apart(block)),
                _ => Ok(decoded),
            };
        }
    }
}

/// Second pipeline: places chunk records, appends them, and has series entries encoded, one batch an
/// output.
async fn place_chunks(
    pool: &Pool,
    judge: &Judge,
    sinks: &mut [super::output::ChunkSink],
    mut batches: mpsc::Receiver<Running<Result<Assembled>>>,
    out: mpsc::Sender<Vec<Running<Result<Entries>>>>,
) -> Result<Expected> {
    let mut expected = Expected::default();
    while let Some(batch) = batches.recv().await {
        let batch = batch.await??;
        expected.add(&batch.expected);
        if let Judge::Lenient(salvage) = judge
            && !batch.lost.is_empty()
        {
            salvage.lost(batch.lost);
        }
        let mut encoding = Vec::with_capacity(sinks.len());
        for (sink, mut column) in sinks.iter_mut().zip(batch.columns) {
            let places = sink.place(&mut column).await?;
            let merged = batch.merged.clone();
            encoding.push(pool.run(move || Ok(entries::encode(merged, &column, &places)?)));
        }
        if out.send(encoding).await.is_err() {
            return Ok(expected);
        }
    }
    Ok(expected)
}

/// Third pipeline: places series entries and gathers their postings.
async fn place_series(
    sinks: &mut [super::output::SeriesSink],
    mut batches: mpsc::Receiver<Vec<Running<Result<Entries>>>>,
) -> Result<()> {
    while let Some(batch) = batches.recv().await {
        for (sink, entries) in sinks.iter_mut().zip(batch) {
            sink.place(entries.await??).await?;
        }
    }
    Ok(())
}
