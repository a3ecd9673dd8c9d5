//! Series entries from front to back. Where one cannot be read the walk goes on with the next that can: at the next id
//! of the list of all series, else at the next place whose checksum holds.
//!
//! *Order*: as they lie in the index.
//! *Memory*: two parts and one batch.

use std::sync::Arc;

use bytes::{Buf, BytesMut};

use super::lost::{Losses, Lost};
use super::source::Source;
use crate::block::{RangeStream, ReadAhead};
use crate::error::Result;
use crate::format::Malformed;
use crate::format::index::{ChunkMeta, Version, decode_series, series_entry_len};

const PART: &str = "index series";

/// Bytes of entries that make a batch, at least one entry.
const BATCH_BYTES: u64 = 256 << 10;
/// The longest entry that is taken for one where a list says where the next one is: 2 million chunks have 16 MiB.
const MAX_ENTRY_BYTES: u64 = 64 << 20;
/// The longest where entries are searched for without a list of them.
const MAX_FOUND_BYTES: u64 = 1 << 20;
/// What may be summed in a search for entries, in bytes, beside as much as the section has.
const SEARCH_BYTES: u64 = 256 << 20;

/// One series as the index has it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) at: u64,
    /// By references of the new block, ordered by name.
    pub(super) labels: Vec<(u32, u32)>,
    pub(super) chunks: Vec<ChunkMeta>,
}

/// Entries that follow one another, and what was lost among them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) entries: Vec<Entry>,
    pub(super) lost: Losses,
}

/// The walk.
pub(super) struct Walk {
    source: Arc<Source>,
    stream: RangeStream,
    rest: BytesMut,
    /// Where `rest` begins in the index.
    at: u64,
    ended: bool,
    /// Where the bytes begin that could not be read, and why.
    gap: Option<Malformed>,
    search_bytes: u64,
    done: bool,
}

enum Next {
    More,
    Full,
    End,
}

impl Walk {
    pub(super) fn new(source: Arc<Source>) -> Self {
        let section = source.section.clone();
        let stream = RangeStream::new(&source.bucket, source.index_key.clone(), section.clone(), read_ahead(&source));
        let search_bytes = SEARCH_BYTES.saturating_add(section.end.saturating_sub(section.start));
        Walk { source, stream, rest: BytesMut::new(), at: section.start, ended: false, gap: None, search_bytes, done: false }
    }

    /// The next batch, or `None` behind the last.
    ///
    /// # Errors
    /// From the bucket.
    pub(super) async fn next(&mut self) -> Result<Option<Batch>> {
        let mut batch = Batch::default();
        if self.done {
            return Ok(None);
        }
        let begin = self.at;
        loop {
            match self.cut(begin, &mut batch) {
                Next::Full => return Ok(Some(batch)),
                Next::End => {
                    self.done = true;
                    self.end_gap(self.source.section.end, &mut batch);
                    let any = !batch.entries.is_empty() || !batch.lost.is_empty();
                    return Ok(any.then_some(batch));
                }
                Next::More => match self.stream.next().await.map_err(|e| e.block(self.source.id))? {
                    Some(part) => self.rest.extend_from_slice(&part.bytes),
                    None => self.ended = true,
                },
            }
        }
    }

    /// Takes whole entries off the front.
    fn cut(&mut self, begin: u64, batch: &mut Batch) -> Next {
        let (mut labels, mut chunks) = (Vec::new(), Vec::new());
        loop {
            if self.at - begin >= BATCH_BYTES {
                return Next::Full;
            }
            let at = self.source.version.next_series(self.at);
            let skip = (at - self.at) as usize;
            if skip >= self.rest.len() {
                return if self.ended { Next::End } else { Next::More };
            }
            let bytes = &self.rest[skip..];
            labels.clear();
            chunks.clear();
            match decode_series(bytes, at, &mut labels, &mut chunks) {
                Ok(len) => {
                    self.advance(skip + len);
                    self.end_gap(at, batch);
                    self.entry(at, &labels, &chunks, batch);
                }
                Err(m) => {
                    let wanted = series_entry_len(bytes, at).map_or(0, |len| len.map_or(1 << 10, |len| len as u64));
                    if !self.ended && wanted > bytes.len() as u64 && wanted <= self.longest(at) {
                        return Next::More;
                    }
                    if !self.step_over(at, wanted, m) || self.at >= self.source.section.end {
                        return Next::End;
                    }
                }
            }
        }
    }

    fn advance(&mut self, bytes: usize) {
        self.rest.advance(bytes);
        self.at += bytes as u64;
    }

    /// How long an entry at `at` can be.
    fn longest(&self, at: u64) -> u64 {
        match (&self.source.ids, self.next_id(at)) {
            (Some(_), Some(next)) => (next - at).min(MAX_ENTRY_BYTES),
            (Some(_), None) => MAX_ENTRY_BYTES,
            (None, _) => MAX_FOUND_BYTES,
        }
    }

    /// Where the next entry of the list of all series begins.
    fn next_id(&self, at: u64) -> Option<u64> {
        let ids = self.source.ids.as_ref()?;
        let offset = |id: &u32| self.source.version.series_offset(*id);
        ids.get(ids.partition_point(|id| offset(id) <= at)).map(offset)
    }

    /// Goes to where the next entry may begin; whether there is such a place.
    fn step_over(&mut self, at: u64, tried: u64, why: Malformed) -> bool {
        self.gap.get_or_insert(why);
        let next = match (&self.source.ids, self.next_id(at)) {
            (Some(_), None) => return false,
            (Some(_), Some(next)) => next,
            (None, _) => {
                // each place costs a sum over what would be its entry
                let Some(left) = self.search_bytes.checked_sub(tried.min(MAX_FOUND_BYTES) + 1) else { return false };
                self.search_bytes = left;
                at + match self.source.version {
                    Version::V1 => 1,
                    Version::V2 => 16,
                }
            }
        };
        match usize::try_from(next - self.at).ok().filter(|&skip| skip <= self.rest.len()) {
            Some(skip) => self.advance(skip),
            None => self.jump(next.min(self.source.section.end)),
        }
        true
    }

    /// Begins to read anew at `to`, which was not read yet.
    fn jump(&mut self, to: u64) {
        let end = self.source.section.end;
        self.stream = RangeStream::new(&self.source.bucket, self.source.index_key.clone(), to..end, read_ahead(&self.source));
        self.rest.clear();
        self.at = to;
        self.ended = false;
    }

    /// Notes what lay between the last entry that could be read and `until`.
    fn end_gap(&mut self, until: u64, batch: &mut Batch) {
        let Some(why) = self.gap.take() else { return };
        let bytes = until.saturating_sub(why.at);
        let Some(ids) = &self.source.ids else {
            if self.source.open_ended && until == self.source.section.end {
                let why = format!("{}; {bytes} bytes at the end hold no more series", why.why);
                return batch.lost.add(Lost::new(PART, self.at.min(until), why));
            }
            return batch.lost.series(Lost::new(PART, why.at, format!("{}; {bytes} bytes skipped", why.why)));
        };
        let offset = |id: &u32| self.source.version.series_offset(*id);
        let first = ids.partition_point(|id| offset(id) < why.at);
        let behind = ids.partition_point(|id| offset(id) < until);
        for id in ids.get(first..behind).unwrap_or_default() {
            let reason = if offset(id) == why.at { why.why.to_string() } else { "the entry could not be read".to_owned() };
            batch.lost.series(Lost::new(PART, offset(id), reason));
        }
    }

    /// One entry that was read: labels in terms of the new block, in order of names.
    fn entry(&self, at: u64, labels: &[(u32, u32)], chunks: &[ChunkMeta], batch: &mut Batch) {
        let source = &self.source;
        let bad = |why: String| Malformed::new(PART, at, why);
        let renamed = labels.iter().map(|&(n, v)| {
            let new = |old| source.symbols.new_reference(old).ok_or_else(|| bad(format!("symbol {old} could not be read")));
            Ok((new(n)?, new(v)?))
        });
        let checked = renamed.collect::<Result<Vec<_>, Malformed>>().and_then(|mut labels| {
            labels.sort_unstable();
            match () {
                () if labels.is_empty() => Err(bad("a series without labels".into())),
                () if labels.windows(2).any(|w| w[0].0 == w[1].0) => Err(bad("a label twice in one series".into())),
                () if chunks.is_empty() => Err(bad("a series without chunks".into())),
                () => Ok(labels),
            }
        });
        match checked {
            Ok(labels) => batch.entries.push(Entry { at, labels, chunks: chunks.to_vec() }),
            Err(m) => {
                let mut lost = Lost::new(PART, m.at, m.why.clone());
                let times = chunks.iter().map(|c| (c.min_time, c.max_time)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
                if let Some((from, to)) = times {
                    lost = lost.times(from, to);
                }
                batch.lost.series(lost);
            }
        }
    }
}

fn read_ahead(source: &Source) -> ReadAhead {
    ReadAhead { part_bytes: source.bucket.read_bytes() as u64, ahead: 1 }
}
