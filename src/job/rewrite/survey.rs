//! What a request would change in a block, counted: the index is read, and of the chunks only those that lose samples.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::changes::{Outcome, as_bytes, deleted_line, lost_of, outcome, relabeled_line};
use super::notes::{Notes, put_bytes, put_number};
use super::request::Request;
use crate::error::{Error, Kind, Result};
use crate::format::Malformed;
use crate::format::chunk::{self, Encoding};
use crate::format::segment::ChunkRef;
use crate::format::tombstones::Interval;
use crate::job::Env;
use crate::job::catalog::CatalogBlock;
use crate::job::pipeline::{ChunkRecords, Edit, Scan, ScatteredChunks, SeriesView, SourceBlock, Verdict};
use crate::job::relabel::Relabeled;
use crate::model::Millis;
use crate::series::aggregate::without_windows;
use crate::series::{Chunk, without};

/// How many chunks are read and counted at a time.
const CHUNKS_AT_A_TIME: usize = 8192;

/// How much of a block a request changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Affected {
    /// Series of the block.
    pub of_series: u64,
    /// Series that go as a whole.
    pub deleted_series: u64,
    /// Series that lose some samples.
    pub cut_series: u64,
    /// Series whose labels change.
    pub relabeled_series: u64,
    /// Chunks that go or lose samples.
    pub chunks: u64,
    /// Samples that go; in aggregates, windows.
    pub samples: u64,
    /// Bytes of the chunk records that go or lose samples.
    pub bytes: u64,
}

impl Affected {
    /// Whether nothing changes.
    pub fn is_nothing(&self) -> bool {
        (self.deleted_series, self.cut_series, self.relabeled_series) == (0, 0, 0)
    }

    /// Adds the counts of another block.
    pub fn add(&mut self, other: &Affected) {
        self.of_series += other.of_series;
        self.deleted_series += other.deleted_series;
        self.cut_series += other.cut_series;
        self.relabeled_series += other.relabeled_series;
        self.chunks += other.chunks;
        self.samples += other.samples;
        self.bytes += other.bytes;
    }
}

/// One chunk that loses samples, as the surveying edit notes it.
#[derive(Clone, Copy, Debug)]
struct Hit {
    at: ChunkRef,
    min_time: Millis,
    max_time: Millis,
}

/// Notes what each series loses.
struct Surveying(Request);

const KEPT: u8 = 0;
const GONE: u8 = 1;
const CUT: u8 = 2;

impl Edit for Surveying {
    fn decide(&self, series: SeriesView<'_>, log: &mut Vec<u8>) -> Verdict {
        let Outcome { labels, verdict } = outcome(&self.0, series);
        let lost = lost_of(series.chunks(), &verdict);
        let all_gone = || series.chunks().iter().all(|c| lost.covers(Interval::new(c.min_time, c.max_time)));
        log.push(match &verdict {
            _ if lost.as_slice().is_empty() => KEPT,
            Verdict::Cut(_) if !all_gone() => CUT,
            _ => GONE,
        });
        let (renamed, line) = match &labels {
            Relabeled::Changed(new) => (relabeled_line(series.labels(), new), deleted_line(as_bytes(new), lost.as_slice())),
            _ => (String::new(), deleted_line(series.labels(), lost.as_slice())),
        };
        put_bytes(log, renamed.as_bytes());
        if lost.as_slice().is_empty() {
            return verdict;
        }
        put_bytes(log, line.as_bytes());
        let intervals: &[Interval] = match &verdict {
            Verdict::Cut(intervals) => intervals,
            _ => &[Interval { min: Millis::MIN, max: Millis::MAX }],
        };
        put_number(log, intervals.len() as i64);
        intervals.iter().flat_map(|i| [i.min, i.max]).for_each(|time| put_number(log, time));
        let hits = series.chunks().iter().filter(|c| lost.overlaps(Interval::new(c.min_time, c.max_time)));
        put_number(log, hits.clone().count() as i64);
        hits.flat_map(|c| [c.reference.0 as i64, c.min_time, c.max_time]).for_each(|n| put_number(log, n));
        verdict
    }

    fn collect(&self, _: Vec<u8>) {}
}

/// Chunks that wait to be read, with the intervals that each loses.
#[derive(Default)]
struct Waiting {
    hits: Vec<(Hit, usize)>,
    intervals: Vec<Arc<[(Millis, Millis)]>>,
}

/// Notices whether any series changes.
struct Touching {
    request: Request,
    touched: AtomicBool,
}

impl Edit for Touching {
    fn decide(&self, series: SeriesView<'_>, _: &mut Vec<u8>) -> Verdict {
        let Outcome { labels, verdict } = outcome(&self.request, series);
        if labels != Relabeled::Same || !lost_of(series.chunks(), &verdict).as_slice().is_empty() {
            self.touched.store(true, Ordering::Relaxed);
        }
        verdict
    }

    fn collect(&self, _: Vec<u8>) {}
}

/// Whether `request` changes anything in `block`; the index is read up to the first series that it changes.
pub(super) async fn touches(env: &Env, block: &CatalogBlock, request: &Request) -> Result<bool> {
    let source = SourceBlock::from(block);
    let touching = Arc::new(Touching { request: request.clone(), touched: AtomicBool::new(false) });
    let mut scan = Scan::open(env, &source, touching.clone()).await?;
    while !touching.touched.load(Ordering::Relaxed) {
        if scan.next().await?.is_none() {
            break;
        }
    }
    Ok(touching.touched.load(Ordering::Relaxed))
}

/// Counts what `request` changes in `block`; `changed` hears each line of the change log, in order.
///
/// # Errors
/// `Corrupt` names part and offset; `Cancelled` when asked to stop; else what the bucket says.
pub async fn survey(
    env: &Env,
    block: &CatalogBlock,
    request: &Request,
    changed: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<Affected> {
    let source = SourceBlock::from(block);
    let chunks = ScatteredChunks::new(&env.bucket, &source);
    let mut scan = Scan::open(env, &source, Arc::new(Surveying(request.clone()))).await?;
    let mut affected = Affected::default();
    let mut waiting = Waiting::default();
    while let Some(notes) = scan.next().await? {
        let mut notes = Notes::new(&notes);
        while let Some(note) = notes.byte() {
            affected.of_series += 1;
            let renamed = notes.bytes();
            if !renamed.is_empty() {
                affected.relabeled_series += 1;
                changed(&String::from_utf8_lossy(renamed))?;
            }
            match note {
                KEPT => continue,
                GONE => affected.deleted_series += 1,
                _ => affected.cut_series += 1,
            }
            changed(&String::from_utf8_lossy(notes.bytes()))?;
            waiting.intervals.push((0..notes.number()).map(|_| (notes.number(), notes.number())).collect());
            for _ in 0..notes.number() {
                let at = ChunkRef(notes.number() as u64);
                let hit = Hit { at, min_time: notes.number(), max_time: notes.number() };
                waiting.hits.push((hit, waiting.intervals.len() - 1));
            }
            if waiting.hits.len() >= CHUNKS_AT_A_TIME {
                count(env, &source, &chunks, std::mem::take(&mut waiting), &mut affected).await?;
            }
        }
    }
    count(env, &source, &chunks, waiting, &mut affected).await?;
    Ok(affected)
}

async fn count(
    env: &Env,
    source: &SourceBlock,
    chunks: &ScatteredChunks,
    waiting: Waiting,
    affected: &mut Affected,
) -> Result<()> {
    let records = chunks.read(waiting.hits.iter().map(|(hit, _)| hit.at)).await?;
    let resolution = source.meta.resolution();
    let counted = env.compute().run(move || count_read(&records, &waiting, resolution)).await?;
    let counted = counted.map_err(|(at, m)| {
        Error::new(Kind::Corrupt, m.why)
            .block(source.id)
            .part(format!("chunks/{:06}", u64::from(at.segment()) + 1))
            .at(u64::from(at.offset()))
            .next("run `tools bucket verify -i chunks` on the block")
    })?;
    affected.add(&counted);
    Ok(())
}

fn count_read(records: &ChunkRecords, waiting: &Waiting, resolution: Millis) -> Result<Affected, (ChunkRef, Malformed)> {
    let mut reader = records.reader();
    let mut counted = Affected::default();
    for (hit, intervals) in &waiting.hits {
        let lost = (|| {
            let (encoding, data, len) = reader.get(hit.at)?;
            let all = u64::from(chunk::sample_count(encoding, data)?);
            let intervals = &waiting.intervals[*intervals];
            let whole = intervals.iter().any(|&(from, to)| from <= hit.min_time && hit.max_time <= to);
            let left = match whole {
                true => 0,
                false => {
                    let chunk = Chunk { min_time: hit.min_time, max_time: hit.max_time, encoding, data: data.to_vec() };
                    let left = match encoding {
                        Encoding::Aggregate => without_windows(chunk, resolution, intervals)?,
                        _ => without(chunk, intervals)?,
                    };
                    match left {
                        Some(left) => u64::from(chunk::sample_count(left.encoding, &left.data)?),
                        None => 0,
                    }
                }
            };
            Ok((all.saturating_sub(left), len))
        })();
        let (samples, bytes) = lost.map_err(|m| (hit.at, m))?;
        counted.chunks += 1;
        counted.samples += samples;
        counted.bytes += bytes;
    }
    Ok(counted)
}
