//! What a request would change in a block, counted: the index is read, and of the chunks only those that lose samples.

use std::sync::Arc;

use super::changes::{decide, deleted_line, lost_of};
use super::request::{Deletion, Request};
use crate::error::{Error, Kind, Result};
use crate::format::Malformed;
use crate::format::chunk;
use crate::format::segment::ChunkRef;
use crate::format::tombstones::Interval;
use crate::job::Env;
use crate::job::catalog::CatalogBlock;
use crate::job::pipeline::{ChunkRecords, Edit, Scan, ScatteredChunks, SeriesView, SourceBlock, Verdict};
use crate::model::Millis;
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
struct Surveying {
    deletions: Vec<Deletion>,
}

/// What a series' note begins with.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Note {
    Kept = 0,
    Dropped = 1,
    Cut = 2,
}

impl Edit for Surveying {
    fn decide(&self, series: SeriesView<'_>, log: &mut Vec<u8>) -> Verdict {
        let verdict = decide(&self.deletions, series.labels());
        let lost = lost_of(series.chunks(), &verdict);
        let note = match &verdict {
            _ if lost.as_slice().is_empty() => Note::Kept,
            Verdict::Keep => Note::Kept,
            Verdict::Drop => Note::Dropped,
            Verdict::Cut(_) if series.chunks().iter().all(|c| lost.covers(Interval::new(c.min_time, c.max_time))) => {
                Note::Dropped
            }
            Verdict::Cut(_) => Note::Cut,
        };
        log.push(note as u8);
        if note == Note::Kept {
            return verdict;
        }
        let mut put = |number: i64| log.extend_from_slice(&number.to_le_bytes());
        let intervals = match &verdict {
            Verdict::Cut(intervals) => intervals.as_slice(),
            _ => &[Interval { min: Millis::MIN, max: Millis::MAX }],
        };
        put(intervals.len() as i64);
        intervals.iter().for_each(|i| {
            put(i.min);
            put(i.max);
        });
        let hits = series.chunks().iter().filter(|c| lost.overlaps(Interval::new(c.min_time, c.max_time)));
        put(hits.clone().count() as i64);
        for c in hits {
            put(c.reference.0 as i64);
            put(c.min_time);
            put(c.max_time);
        }
        let line = deleted_line(series.labels(), lost.as_slice());
        put(line.len() as i64);
        log.extend_from_slice(line.as_bytes());
        verdict
    }

    fn collect(&self, _: Vec<u8>) {}
}

/// Reads our own notes back.
struct Notes<'a>(&'a [u8]);

impl<'a> Notes<'a> {
    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn number(&mut self) -> i64 {
        let mut bytes = [0; 8];
        let taken = self.take(8);
        bytes[..taken.len()].copy_from_slice(taken);
        i64::from_le_bytes(bytes)
    }
}

/// Chunks that wait to be read, with the intervals that each loses.
#[derive(Default)]
struct Waiting {
    hits: Vec<(Hit, usize)>,
    intervals: Vec<Arc<[(Millis, Millis)]>>,
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
    let source = SourceBlock { id: block.id, meta: block.meta.clone(), objects: block.objects.clone() };
    let chunks = ScatteredChunks::new(&env.bucket, &source);
    let mut scan = Scan::open(env, &source, Arc::new(Surveying { deletions: request.deletions.clone() })).await?;
    let mut affected = Affected::default();
    let mut waiting = Waiting::default();
    while let Some(notes) = scan.next().await? {
        let mut notes = Notes(&notes);
        while let [note, ..] = notes.take(1) {
            affected.of_series += 1;
            match *note {
                n if n == Note::Kept as u8 => continue,
                n if n == Note::Dropped as u8 => affected.deleted_series += 1,
                _ => affected.cut_series += 1,
            }
            let intervals = (0..notes.number()).map(|_| (notes.number(), notes.number())).collect();
            waiting.intervals.push(intervals);
            for _ in 0..notes.number() {
                let at = ChunkRef(notes.number() as u64);
                let hit = Hit { at, min_time: notes.number(), max_time: notes.number() };
                waiting.hits.push((hit, waiting.intervals.len() - 1));
            }
            let len = notes.number() as usize;
            changed(&String::from_utf8_lossy(notes.take(len)))?;
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
    let counted = env.compute().run(move || count_read(&records, &waiting)).await?;
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

fn count_read(records: &ChunkRecords, waiting: &Waiting) -> Result<Affected, (ChunkRef, Malformed)> {
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
                    match without(chunk, intervals)? {
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
