//! One input's series: its index section read ahead in parts, cut between entries, decoded on the
//! compute pool into batches that speak the merged symbol table's language.
//!
//! *Order*: batches come in the order of the index.
//! *Memory*: two undecoded parts and [`BATCHES_AHEAD`] decoded batches.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::decode::{Rules, SeriesBatch, decode};
use super::hooks::{Judge, Lost};
use crate::block::{RangeStream, ReadAhead};
use crate::bucket::Bucket;
use crate::error::{Error, Kind, Result};
use crate::format::index::{Version, series_entry_len};
use crate::job::compute::{Pool, Running};

/// Bytes of series entries that are decoded as one batch at most, but at least one entry.
const BATCH_BYTES: usize = 256 << 10;
/// Decoded batches that wait to be merged.
const BATCHES_AHEAD: usize = 3;
/// The longest series entry that is taken for one: 2 million chunks have 16 MiB.
const MAX_ENTRY_BYTES: usize = 256 << 20;

/// The series section of one input as decoded batches.
pub(super) struct SeriesFeed {
    stream: RangeStream,
    rules: Arc<Rules>,
    pool: Pool,
    /// Read and not yet cut, and where it begins in the index.
    rest: Bytes,
    rest_at: u64,
    at_end: bool,
    /// Bytes of entries in one batch: of many inputs each decodes less at a time, as it reads less.
    batch_bytes: usize,
    decoding: VecDeque<Running<Result<SeriesBatch>>>,
}

impl SeriesFeed {
    /// Reads the series section of the index at `key`.
    pub(super) fn new(bucket: &Bucket, key: &str, rules: Arc<Rules>, pool: Pool, read_ahead: ReadAhead) -> Self {
        let section = rules.section.clone();
        let rest_at = section.start;
        let batch_bytes = BATCH_BYTES.min(read_ahead.part_bytes as usize / 4);
        let stream = RangeStream::new(bucket, key, section, read_ahead);
        SeriesFeed { stream, rules, pool, rest: Bytes::new(), rest_at, at_end: false, batch_bytes, decoding: VecDeque::new() }
    }

    /// Begins to read, without waiting.
    pub(super) fn begin(&mut self) {
        self.stream.begin();
    }

    /// The next batch, or `None` behind the last.
    ///
    /// # Errors
    /// What the bucket says; `Corrupt` for entries that are cut off, damaged or out of order.
    pub(super) async fn next(&mut self) -> Result<Option<SeriesBatch>> {
        let mut batch = self.next_raw().await?;
        if let Some(batch) = &mut batch {
            self.tell(batch);
        }
        Ok(batch)
    }

    /// As [`SeriesFeed::next`], and nobody is told what was said about the batch.
    pub(super) async fn next_raw(&mut self) -> Result<Option<SeriesBatch>> {
        while self.decoding.len() < BATCHES_AHEAD && self.cut().await? {}
        match self.decoding.pop_front() {
            Some(batch) => batch.await?.map(Some),
            None => Ok(None),
        }
    }

    /// Hands over what was said about the batch, which is the next in the order of the index.
    fn tell(&self, batch: &mut SeriesBatch) {
        if let Some(edit) = &self.rules.edit
            && !batch.log.is_empty()
        {
            edit.collect(std::mem::take(&mut batch.log));
        }
        if let Judge::Lenient(salvage) = &self.rules.judge
            && !batch.lost.is_empty()
        {
            let lost = batch.lost.drain(..).map(|why| Lost { labels: Vec::new(), chunk: None, why });
            salvage.lost(lost.collect());
        }
    }

    /// Cuts whole entries off what was read and sends them to be decoded.
    async fn cut(&mut self) -> Result<bool> {
        loop {
            let whole = self.whole_entries()?;
            if whole > 0 {
                let entries = self.rest.split_to(whole);
                let (at, rules) = (self.rest_at, self.rules.clone());
                self.rest_at += whole as u64;
                self.decoding.push_back(self.pool.run(move || decode(&entries, at, &rules)));
                return Ok(true);
            }
            if self.at_end {
                return if self.rest.is_empty() {
                    Ok(false)
                } else {
                    Err(self.bad("a series entry is cut off by the end of the section"))
                };
            }
            if self.rest.len() > MAX_ENTRY_BYTES {
                return Err(self.bad(format!("a series entry above {MAX_ENTRY_BYTES} bytes")));
            }
            match self.stream.next().await? {
                Some(part) if self.rest.is_empty() => self.rest = part.bytes,
                Some(part) => {
                    let mut joined = BytesMut::with_capacity(self.rest.len() + part.bytes.len());
                    joined.extend_from_slice(&self.rest);
                    joined.extend_from_slice(&part.bytes);
                    self.rest = joined.freeze();
                }
                None => self.at_end = true,
            }
        }
    }

    /// How many bytes of whole entries lie at the front, about as many as a batch has.
    fn whole_entries(&self) -> Result<usize> {
        let align = match self.rules.version {
            Version::V1 => 1,
            Version::V2 => 16,
        };
        let mut at = 0;
        loop {
            let begin = at + (align - (self.rest_at + at as u64) % align) as usize % align as usize;
            if begin >= self.rest.len() {
                // only padding is left of what was read; at the end of the section it belongs to nothing
                return Ok(if self.at_end { self.rest.len() } else { at });
            }
            match series_entry_len(&self.rest[begin..], self.rest_at + begin as u64).map_err(|m| self.rules.error(m))? {
                Some(len) if len <= self.rest.len() - begin => at = begin + len,
                _ => return Ok(at),
            }
            if at >= self.batch_bytes {
                return Ok(at);
            }
        }
    }

    #[cold]
    fn bad(&self, what: impl Into<String>) -> Error {
        Error::new(Kind::Corrupt, what)
            .block(self.rules.block)
            .part("index series")
            .at(self.rest_at)
            .next("run `tools bucket verify` on the block and replace or mark it")
    }
}
