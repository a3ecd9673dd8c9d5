//! Series entries of one input as columns, with labels as references into the merged symbol table,
//! checked while they pass by.

use std::ops::Range;
use std::sync::Arc;

use super::LOOK_AND_MARK;
use super::hooks::{Edit, Judge, SeriesView, SharedSymbols, Verdict};
use super::renamed::{NewLabels, Place};
use super::symbols::Remap;
use crate::error::Error;
use crate::format::Malformed;
use crate::format::index::{ChunkMeta, Version, decode_series, series_entry_len};
use crate::format::tombstones::{Interval, Intervals, Tombstones};
use crate::model::{BlockId, Millis, TimeRange};

/// What an error says of a chunk that begins before the one in front of it ended.
pub(super) const OUT_OF_ORDER: &str = "is out of order behind";

/// What an error says of a chunk that begins exactly where its block ends and goes on behind it (tsdb issue 347).
pub(super) const AT_THE_END: &str = "begins at the end of the block's range";

/// What an input's series are decoded and judged by.
pub(super) struct Rules {
    pub(super) block: BlockId,
    pub(super) version: Version,
    /// The series section within the index, in bytes.
    pub(super) section: Range<u64>,
    pub(super) remap: Remap,
    /// The block's own range, which its chunks must not leave.
    pub(super) range: TimeRange,
    /// First and last millisecond that the output keeps, both within.
    pub(super) keep: (Millis, Millis),
    pub(super) tombstones: Option<Tombstones>,
    /// Label names of a series may come out of order (`--debug.accept-malformed-index`).
    pub(super) accept_malformed: bool,
    pub(super) judge: Judge,
    pub(super) edit: Option<Arc<dyn Edit>>,
    /// How symbols are numbered in the output, where not as in the merged table.
    pub(super) labels: Option<Arc<NewLabels>>,
    /// The merged table, where a hook wants to see labels.
    pub(super) symbols: Option<SharedSymbols>,
}

impl Rules {
    pub(super) fn error(&self, m: Malformed) -> Error {
        Error::from(m).block(self.block).next(LOOK_AND_MARK)
    }
}

/// Where one series ends in the columns of its batch.
#[derive(Clone, Copy, Debug)]
struct Ends {
    labels: u32,
    chunks: u32,
}

/// Decoded series in columns.
#[derive(Debug, Default)]
pub(super) struct SeriesBatch {
    labels: Vec<(u32, u32)>,
    chunks: Vec<ChunkMeta>,
    ends: Vec<Ends>,
    /// Which series lose samples, and when; almost always empty. Ordered by series.
    deletions: Vec<(u32, Arc<[Interval]>)>,
    /// What the edit said about its series.
    pub(super) log: Vec<u8>,
    /// Series entries that could not be read and were left out.
    pub(super) lost: Vec<Malformed>,
}

impl SeriesBatch {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn labels(&self, series: usize) -> &[(u32, u32)] {
        let begin = if series == 0 { 0 } else { self.ends[series - 1].labels };
        &self.labels[begin as usize..self.ends[series].labels as usize]
    }

    pub(super) fn chunks(&self, series: usize) -> &[ChunkMeta] {
        let begin = if series == 0 { 0 } else { self.ends[series - 1].chunks };
        &self.chunks[begin as usize..self.ends[series].chunks as usize]
    }

    /// Appends a series without the samples in `lost`, unless none is left.
    pub(super) fn push(&mut self, labels: &[(u32, u32)], chunks: &[ChunkMeta], lost: &[Interval]) {
        let first_chunk = self.chunks.len();
        self.chunks.extend_from_slice(chunks);
        if !lost.is_empty() {
            trim(self, first_chunk, lost, (Millis::MIN, Millis::MAX), false, false);
        }
        if self.chunks.len() > first_chunk {
            self.labels.extend_from_slice(labels);
            self.ends.push(Ends { labels: self.labels.len() as u32, chunks: self.chunks.len() as u32 });
        }
    }

    /// Closed intervals whose samples the series loses.
    pub(super) fn deletions(&self, series: usize) -> &[Interval] {
        match self.deletions.binary_search_by_key(&(series as u32), |d| d.0) {
            Ok(i) => &self.deletions[i].1,
            Err(_) => &[],
        }
    }
}

/// Decodes whole entries that begin `base` bytes into the index.
pub(super) fn decode(bytes: &[u8], base: u64, rules: &Rules) -> Result<SeriesBatch, Error> {
    let mut batch = SeriesBatch::default();
    // an entry of 13 labels and one chunk has some 80 bytes; the guess only saves growing
    batch.ends.reserve(bytes.len() / 64);
    batch.labels.reserve(bytes.len() / 6);
    batch.chunks.reserve(bytes.len() / 64);
    let align = match rules.version {
        Version::V1 => 1,
        Version::V2 => 16,
    };
    let mut at = 0usize;
    loop {
        at += ((align - (base + at as u64) % align) % align) as usize;
        if at >= bytes.len() {
            return Ok(batch);
        }
        let position = base + at as u64;
        let rest = &bytes[at..];
        let (labels, chunks) = (batch.labels.len(), batch.chunks.len());
        at += match entry(rest, position, rules, &mut batch) {
            Ok(len) => len,
            Err(why) => {
                let len = series_entry_len(rest, position).ok().flatten().filter(|&len| len <= rest.len());
                let (Judge::Lenient(salvage), Some(len)) = (&rules.judge, len) else { return Err(rules.error(why)) };
                if !salvage.skips_damage() {
                    return Err(rules.error(why));
                }
                batch.labels.truncate(labels);
                batch.chunks.truncate(chunks);
                batch.lost.push(why);
                len
            }
        };
    }
}

/// One entry: decoded, remapped, judged, and kept if any of its chunks is.
fn entry(bytes: &[u8], position: u64, rules: &Rules, batch: &mut SeriesBatch) -> Result<usize, Malformed> {
    let (first_label, first_chunk) = (batch.labels.len(), batch.chunks.len());
    let len = decode_series(bytes, position, &mut batch.labels, &mut batch.chunks)?;
    let bad = |why: String| Malformed::new("index series", position, why);

    let labels = &mut batch.labels[first_label..];
    if labels.is_empty() {
        return Err(bad("a series without labels".into()));
    }
    let mut before = None;
    for (name, value) in labels.iter_mut() {
        match (rules.remap.get(*name), rules.remap.get(*value)) {
            (Some(n), Some(v)) => (*name, *value) = (n, v),
            _ => return Err(bad(format!("symbol {name} or {value} is not in the table"))),
        }
        if before >= Some(*name) && !(rules.accept_malformed && before != Some(*name)) {
            return Err(bad("label names out of order".into()));
        }
        before = Some(*name);
    }
    match rules.judge {
        Judge::Strict => judge(&batch.chunks[first_chunk..], rules, position)?,
        Judge::Lenient(_) if batch.chunks.len() == first_chunk => return Err(bad("a series without chunks".into())),
        Judge::Lenient(_) => {}
    }

    let reference = match rules.version {
        Version::V1 => position,
        Version::V2 => position / 16,
    };
    let deleted: &[Interval] = rules.tombstones.as_ref().and_then(|t| t.get(reference)).map_or(&[], |i| i.as_slice());
    let mut edited = Intervals::new();
    let place = Place { position, len_bytes: len as u32 };
    let deleted = match edit(rules, place, first_label, first_chunk, batch) {
        Verdict::Keep => deleted,
        Verdict::Drop => {
            batch.labels.truncate(first_label);
            batch.chunks.truncate(first_chunk);
            return Ok(len);
        }
        Verdict::Cut(intervals) => {
            deleted.iter().copied().chain(intervals).for_each(|i| edited.add(i));
            edited.as_slice()
        }
    };
    let (keep_from, keep_to) = rules.keep;
    let all = &batch.chunks[first_chunk..];
    let cut_front = all.iter().any(|c| c.max_time >= keep_from && c.min_time < keep_from);
    let cut_back = all.iter().any(|c| c.min_time <= keep_to && c.max_time > keep_to);
    if !deleted.is_empty() || cut_front || cut_back || all.iter().any(|c| c.max_time < keep_from || c.min_time > keep_to) {
        trim(batch, first_chunk, deleted, rules.keep, cut_front, cut_back);
    }
    if batch.chunks.len() == first_chunk {
        batch.labels.truncate(first_label);
        return Ok(len);
    }
    // what is left out whole may be all that used a symbol
    if let Some(new) = &rules.labels {
        for (name, value) in &mut batch.labels[first_label..] {
            match (new.renumber(*name), new.renumber(*value)) {
                (Some(n), Some(v)) => (*name, *value) = (n, v),
                _ => return Err(bad(format!("symbol {name} or {value} was said to be unused"))),
            }
        }
    }
    if let (Ok(labels), Ok(chunks)) = (u32::try_from(batch.labels.len()), u32::try_from(batch.chunks.len())) {
        batch.ends.push(Ends { labels, chunks });
        Ok(len)
    } else {
        Err(bad("more labels or chunks than one batch can hold".into()))
    }
}

/// What the edit says of the series that was decoded last.
fn edit(rules: &Rules, place: Place, first_label: usize, first_chunk: usize, batch: &mut SeriesBatch) -> Verdict {
    let (Some(edit), Some(symbols)) = (&rules.edit, &rules.symbols) else { return Verdict::Keep };
    let series = SeriesView { symbols, labels: &batch.labels[first_label..], chunks: &batch.chunks[first_chunk..], place };
    edit.decide(series, &mut batch.log)
}

/// The index checks that upstream makes before it compacts, on one series.
fn judge(chunks: &[ChunkMeta], rules: &Rules, position: u64) -> Result<(), Malformed> {
    let bad = |why: String| Err(Malformed::new("index series", position, why));
    let Some(first) = chunks.first() else { return bad("a series without chunks".into()) };
    let mut before: Option<&ChunkMeta> = None;
    let mut last_reference = first.reference;
    for c in chunks {
        if c.max_time < c.min_time {
            return bad(format!("a chunk ends at {} before it begins at {}", c.max_time, c.min_time));
        }
        if c.min_time == rules.range.end && c.max_time > rules.range.end {
            return bad(format!("chunk [{}, {}] {AT_THE_END} {}", c.min_time, c.max_time, rules.range));
        }
        if c.min_time < rules.range.start || c.max_time > rules.range.end {
            return bad(format!("chunk [{}, {}] leaves the block's range {}", c.min_time, c.max_time, rules.range));
        }
        if let Some(b) = before
            && c.min_time <= b.max_time
            && (c.min_time, c.max_time) != (b.min_time, b.max_time)
        {
            return bad(format!("chunk [{}, {}] {OUT_OF_ORDER} [{}, {}]", c.min_time, c.max_time, b.min_time, b.max_time));
        }
        if c.reference < last_reference {
            return bad(format!("chunk reference {} behind {}", c.reference.0, last_reference.0));
        }
        last_reference = c.reference;
        before = Some(c);
    }
    Ok(())
}

/// Drops chunks of which nothing is kept, and notes what the others lose.
fn trim(batch: &mut SeriesBatch, first_chunk: usize, deleted: &[Interval], keep: (Millis, Millis), front: bool, back: bool) {
    let mut kept = first_chunk;
    for i in first_chunk..batch.chunks.len() {
        let c = batch.chunks[i];
        let gone =
            c.max_time < keep.0 || c.min_time > keep.1 || deleted.iter().any(|d| d.min <= c.min_time && c.max_time <= d.max);
        if !gone {
            batch.chunks[kept] = c;
            kept += 1;
        }
    }
    batch.chunks.truncate(kept);
    if kept == first_chunk {
        return;
    }
    let mut lost: Vec<Interval> = deleted.to_vec();
    if front {
        lost.insert(0, Interval { min: Millis::MIN, max: keep.0 - 1 });
    }
    if back {
        lost.push(Interval { min: keep.1 + 1, max: Millis::MAX });
    }
    if !lost.is_empty() {
        batch.deletions.push((batch.ends.len() as u32, lost.into()));
    }
}
