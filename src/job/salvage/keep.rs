//! What is kept of series: chunks whose checksum holds and whose every sample decodes, in order and without overlap.

use super::lost::{Losses, Lost};
use super::records::Records;
use super::source::Source;
use super::walk::Entry;
use crate::format::Malformed;
use crate::format::chunk::{self, Aggregate, AggregateKind, Encoding, Samples};
use crate::format::index::ChunkMeta;
use crate::format::segment::ChunkRef;
use crate::model::{Millis, TimeRange};
use crate::series::{Chunk, DecodedChunks, merge_overlapping, without};

/// A series of the new block.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) labels: Vec<(u32, u32)>,
    /// At least one; ordered, none overlaps another.
    pub(super) chunks: Vec<Chunk>,
}

/// What was kept of a batch.
#[derive(Debug, Default)]
pub(super) struct KeptBatch {
    pub(super) series: Vec<Kept>,
    pub(super) lost: Losses,
    /// The shortest way from one window to the next in aggregates, in milliseconds.
    pub(super) window: Option<Millis>,
}

/// Keeps what can be kept of `entries`; samples outside of `range` are lost where there is one.
pub(super) fn keep(entries: Vec<Entry>, records: &Records, source: &Source, range: Option<TimeRange>) -> KeptBatch {
    let mut out = KeptBatch::default();
    for entry in entries {
        let mut keeping = Keeping { source, records, range, entry: &entry, out: &mut out };
        let chunks = keeping.chunks();
        if chunks.is_empty() {
            let series = source.symbols.show(&entry.labels);
            out.lost.series(Lost::new("index series", entry.at, "none of its chunks could be kept").of(series));
        } else {
            out.series.push(Kept { labels: entry.labels, chunks });
        }
    }
    out
}

struct Keeping<'a> {
    source: &'a Source,
    records: &'a Records,
    range: Option<TimeRange>,
    entry: &'a Entry,
    out: &'a mut KeptBatch,
}

impl Keeping<'_> {
    fn chunks(&mut self) -> Vec<Chunk> {
        let mut kept: Vec<(ChunkRef, Chunk)> = Vec::with_capacity(self.entry.chunks.len());
        for meta in &self.entry.chunks {
            match self.chunk(meta) {
                Ok(Some(chunk)) => kept.push((meta.reference, chunk)),
                Ok(None) => {}
                Err(m) => self.lose(meta.reference, (meta.min_time, meta.max_time), m.why.into_owned()),
            }
        }
        kept.sort_by_key(|(at, c)| (c.min_time, c.max_time, *at));
        if kept.windows(2).all(|w| w[1].1.min_time > w[0].1.max_time) {
            return kept.into_iter().map(|(_, chunk)| chunk).collect();
        }
        let plain = kept.iter().all(|(_, c)| c.encoding != Encoding::Aggregate);
        let lists = |kept: &[(_, Chunk)]| kept.iter().map(|(_, c)| vec![c.clone()]).collect();
        if plain && let Ok(merged) = merge_overlapping(lists(&kept), &mut DecodedChunks::default()) {
            return merged;
        }
        // what cannot be merged: the first of those that overlap stays
        let mut out: Vec<Chunk> = Vec::with_capacity(kept.len());
        for (at, chunk) in kept {
            match out.last() {
                Some(last) if chunk.min_time <= last.max_time => {
                    if *last != chunk {
                        let why = format!("overlaps a chunk [{}, {}]", last.min_time, last.max_time);
                        self.lose(at, (chunk.min_time, chunk.max_time), why);
                    }
                }
                _ => out.push(chunk),
            }
        }
        out
    }

    fn lose(&mut self, at: ChunkRef, (from, to): (Millis, Millis), why: String) {
        let segment = format!("chunks/{:06}", u64::from(at.segment()) + 1);
        let series = self.source.symbols.show(&self.entry.labels);
        self.out.lost.chunk(Lost::new(segment, u64::from(at.offset()), why).of(series).times(from, to));
    }

    /// The chunk with times that are those of its samples.
    fn chunk(&mut self, meta: &ChunkMeta) -> Result<Option<Chunk>, Malformed> {
        let at = meta.reference;
        let (record, _) = self.records.get(at)?;
        let bad = |why: String| Malformed::new("chunk", u64::from(at.offset()), why);
        let encoding =
            Encoding::from_byte(record.encoding).ok_or_else(|| bad(format!("encoding {} is not known", record.encoding)))?;
        let mut chunk = Chunk { min_time: meta.min_time, max_time: meta.max_time, encoding, data: record.data.to_vec() };
        if encoding == Encoding::Aggregate {
            let window = windows(record.data)?;
            self.out.window = [self.out.window, window].into_iter().flatten().min();
            if chunk.max_time < chunk.min_time {
                return Err(bad(format!("ends at {} before it begins at {}", chunk.max_time, chunk.min_time)));
            }
            return match self.range {
                Some(range) if chunk.min_time < range.start || chunk.max_time > range.end => {
                    Err(bad(format!("an aggregate that leaves the block's range {range}")))
                }
                _ => Ok(Some(chunk)),
            };
        }
        let mut times: Option<(Millis, Millis)> = None;
        let mut samples = Samples::new(encoding, record.data)?;
        while samples.advance()? {
            let t = samples.time();
            match &mut times {
                None => times = Some((t, t)),
                Some((_, last)) if t > *last => *last = t,
                Some((_, last)) => return Err(bad(format!("a sample at {t} behind one at {last}"))),
            }
        }
        let (first, last) = times.ok_or_else(|| bad("no samples".into()))?;
        (chunk.min_time, chunk.max_time) = (first, last);
        let Some(range) = self.range else { return Ok(Some(chunk)) };
        if range.start <= first && last < range.end {
            return Ok(Some(chunk));
        }
        let cut = without(chunk, &[(Millis::MIN, range.start.saturating_sub(1)), (range.end, Millis::MAX)])?;
        let lost = (
            if first < range.start { first } else { first.max(range.end) },
            if last >= range.end { last } else { last.min(range.start) },
        );
        self.lose(at, lost, format!("samples outside of the block's range {range}"));
        Ok(cut)
    }
}

/// Decodes all of an aggregate; the shortest way from one window to the next, in milliseconds.
fn windows(data: &[u8]) -> Result<Option<Millis>, Malformed> {
    let (mut shortest, mut any) = (None, false);
    for (kind, encoding, data) in Aggregate::parse(data)?.iter() {
        any = true;
        let mut before: Option<Millis> = None;
        let mut samples = Samples::new(encoding, data)?;
        while samples.advance()? {
            let t = samples.time();
            if let Some(before) = before
                && kind != AggregateKind::Counter
            {
                let gap = t.saturating_sub(before);
                if gap <= 0 {
                    return Err(Malformed::new("chunk", 0, format!("{kind}: a sample at {t} behind one at {before}")));
                }
                shortest = Some(shortest.map_or(gap, |s: Millis| s.min(gap)));
            }
            before = Some(t);
        }
    }
    if any { Ok(shortest) } else { Err(Malformed::new("chunk", 0, "an aggregate of nothing")) }
}

/// How many samples a chunk of the new block has.
pub(super) fn sample_count(chunk: &Chunk) -> u64 {
    // it was decoded before
    chunk::sample_count(chunk.encoding, &chunk.data).map_or(0, u64::from)
}
