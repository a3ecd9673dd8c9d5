//! Series of one input that get other labels: they leave their place in the index's order, and come back as an input of
//! their own, sorted by the labels they get.
//!
//! *Order*: by new labels, series that became equal in the order in which they were.
//! *Memory*: for each such series 8 bytes a label and 40 more; their entries are read from the index again when their
//! turn comes, their chunk records when they are merged.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use super::LOOK_AND_MARK;
use super::decode::{Rules, SeriesBatch};
use crate::bucket::Bucket;
use crate::error::{Error, Result};
use crate::format::Malformed;
use crate::format::index::{Version, decode_series};
use crate::format::tombstones::{Interval, Intervals};

/// Series of a batch, at least; those with equal labels stay together.
const BATCH_SERIES: usize = 2048;
/// Ranges of the index that are read at a time.
const READS_AT_A_TIME: usize = 8;
/// The most bytes of the index that are read at once without anybody having asked for them.
const GAP_BYTES: u64 = 32 << 10;

/// Stands for symbols that no series uses any more.
pub const UNUSED: u32 = u32::MAX;

/// Where a series entry lies in its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its first byte.
    pub position: u64,
    /// Its length in bytes.
    pub len_bytes: u32,
}

impl Place {
    /// Of a series that comes from no index.
    pub(super) const NOWHERE: Place = Place { position: 0, len_bytes: 0 };
}

#[derive(Clone, Copy)]
struct Moved {
    /// Its labels in the arena.
    labels: (u64, u32),
    place: Place,
    /// The times it loses, one more than their number among the cuts; 0 for none.
    cut: u32,
}

/// The labels that series of one input get, and the symbol table that they need.
#[derive(Default)]
pub struct NewLabels {
    /// The symbol section of the outputs.
    pub(super) symbols: Bytes,
    /// For each symbol of the input its number there.
    remap: Vec<u32>,
    labels: Vec<(u32, u32)>,
    moved: Vec<Moved>,
    cuts: Vec<Vec<Interval>>,
}

impl NewLabels {
    /// The series at `place` gets `labels`, numbered as [`NewLabels::finish`] will know them, and loses the times in `cut`.
    pub fn push(&mut self, place: Place, labels: impl IntoIterator<Item = (u32, u32)>, cut: Vec<Interval>) {
        let begin = self.labels.len();
        self.labels.extend(labels);
        let mut moved = Moved { labels: (begin as u64, (self.labels.len() - begin) as u32), place, cut: 0 };
        if !cut.is_empty() {
            self.cuts.push(cut);
            moved.cut = self.cuts.len() as u32;
        }
        self.moved.push(moved);
    }

    /// Whether any series gets other labels.
    pub fn moves(&self) -> bool {
        !self.moved.is_empty()
    }

    /// Numbers all labels anew and brings the series into their order; to be called once, behind the last.
    ///
    /// `section` is the new symbol table, `remap` has for each number its place there, [`UNUSED`] where it is left out.
    /// The first `old_symbols` of them are those of the input.
    pub fn finish(&mut self, section: Vec<u8>, mut remap: Vec<u32>, old_symbols: usize) {
        let number = |n: u32| remap.get(n as usize).copied().unwrap_or(UNUSED);
        self.labels.iter_mut().for_each(|(name, value)| (*name, *value) = (number(*name), number(*value)));
        remap.truncate(old_symbols);
        self.symbols = section.into();
        self.remap = remap;
        let mut moved = std::mem::take(&mut self.moved);
        moved.sort_unstable_by(|a, b| (self.of(a), a.place.position).cmp(&(self.of(b), b.place.position)));
        self.moved = moved;
    }

    fn of(&self, moved: &Moved) -> &[(u32, u32)] {
        &self.labels[moved.labels.0 as usize..][..moved.labels.1 as usize]
    }

    /// The number of an old symbol in the new table.
    pub(super) fn renumber(&self, old: u32) -> Option<u32> {
        self.remap.get(old as usize).copied().filter(|&new| new != UNUSED)
    }
}

/// The moved series as decoded batches.
pub(super) struct MovedFeed {
    bucket: Bucket,
    key: String,
    rules: Arc<Rules>,
    new: Arc<NewLabels>,
    next: usize,
}

impl MovedFeed {
    pub(super) fn new(bucket: &Bucket, key: &str, rules: Arc<Rules>, new: Arc<NewLabels>) -> Self {
        MovedFeed { bucket: bucket.clone(), key: key.to_owned(), rules, new, next: 0 }
    }

    /// The next batch, or `None` behind the last.
    pub(super) async fn next(&mut self) -> Result<Option<SeriesBatch>> {
        let begin = self.next;
        let mut end = (begin + BATCH_SERIES).min(self.new.moved.len());
        while end > 0 && end < self.new.moved.len() && self.labels(end) == self.labels(end - 1) {
            end += 1;
        }
        self.next = end;
        if begin == end {
            return Ok(None);
        }
        let parts = self.read(begin, end).await?;
        let mut batch = SeriesBatch::default();
        let (mut old_labels, mut chunks) = (Vec::new(), Vec::new());
        for n in begin..end {
            let moved = self.new.moved[n];
            let at = parts.partition_point(|p| p.0 <= moved.place.position).saturating_sub(1);
            let gone = || self.rules.error(Malformed::new("index series", moved.place.position, "the entry was not read"));
            let (offset, bytes) = parts.get(at).ok_or_else(gone)?;
            let entry = moved.place.position.checked_sub(*offset).and_then(|from| bytes.get(from as usize..)).ok_or_else(gone)?;
            old_labels.clear();
            chunks.clear();
            decode_series(entry, moved.place.position, &mut old_labels, &mut chunks).map_err(|m| self.rules.error(m))?;
            let reference = match self.rules.version {
                Version::V1 => moved.place.position,
                Version::V2 => moved.place.position / 16,
            };
            let mut lost = Intervals::new();
            let buried = self.rules.tombstones.as_ref().and_then(|t| t.get(reference));
            buried.into_iter().flat_map(|b| b.as_slice()).for_each(|&i| lost.add(i));
            if let Some(cut) = (moved.cut as usize).checked_sub(1).and_then(|c| self.new.cuts.get(c)) {
                cut.iter().for_each(|&i| lost.add(i));
            }
            batch.push(self.labels(n), &chunks, lost.as_slice());
        }
        Ok(Some(batch))
    }

    fn labels(&self, n: usize) -> &[(u32, u32)] {
        self.new.of(&self.new.moved[n])
    }

    /// The bytes around the entries, by offset.
    async fn read(&self, begin: usize, end: usize) -> Result<Vec<(u64, Bytes)>> {
        let mut places: Vec<Place> = self.new.moved[begin..end].iter().map(|m| m.place).collect();
        places.sort_unstable_by_key(|p| p.position);
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for place in places {
            let until = place.position + u64::from(place.len_bytes);
            match ranges.last_mut() {
                Some(range) if place.position <= range.1 + GAP_BYTES => range.1 = range.1.max(until),
                _ => ranges.push((place.position, until)),
            }
        }
        let read = |(from, to)| async move {
            let bytes = self.bucket.get_range(&self.key, from..to).await;
            let bytes = bytes.map_err(|e: Error| e.block(self.rules.block).next(LOOK_AND_MARK))?;
            Ok::<_, Error>((from, bytes))
        };
        stream::iter(ranges).map(read).buffered(READS_AT_A_TIME).try_collect().await
    }
}
