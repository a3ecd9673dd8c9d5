//! An object's bytes from front to back, in ranged reads that run ahead of whoever consumes them.
//!
//! *Order*: parts come in order of offset, without gaps.
//! *Memory*: at most `ahead + 1` parts of `part_bytes` are held or under way.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinHandle;

use crate::bucket::Bucket;
use crate::error::{Error, Kind, Result};

/// How far a stream reads ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadAhead {
    /// Bytes of one ranged read.
    pub part_bytes: u64,
    /// Reads under way beside the part that is being consumed.
    pub ahead: usize,
}

/// One part of an object.
#[derive(Clone, Debug)]
pub struct Part {
    /// Where it begins in the object.
    pub offset: u64,
    /// Its bytes.
    pub bytes: Bytes,
}

impl Part {
    /// First offset behind the part.
    pub fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

/// A sequential read of one range of one object.
pub struct RangeStream {
    bucket: Bucket,
    key: Arc<str>,
    ask: Range<u64>,
    read_ahead: ReadAhead,
    under_way: VecDeque<Read>,
}

/// A ranged read under way; ends with its stream.
struct Read {
    offset: u64,
    task: JoinHandle<Result<Bytes>>,
}

impl Drop for Read {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl RangeStream {
    /// Reads `range` of `key`; the first reads begin with [`RangeStream::begin`].
    pub fn new(bucket: &Bucket, key: impl Into<Arc<str>>, range: Range<u64>, read_ahead: ReadAhead) -> Self {
        RangeStream { bucket: bucket.clone(), key: key.into(), ask: range, read_ahead, under_way: VecDeque::new() }
    }

    /// The key that is read.
    pub fn key(&self) -> &Arc<str> {
        &self.key
    }

    /// Begins to read, without waiting; [`RangeStream::next`] does so by itself.
    pub fn begin(&mut self) {
        while self.under_way.len() <= self.read_ahead.ahead && !self.ask.is_empty() {
            let offset = self.ask.start;
            let end = offset.saturating_add(self.read_ahead.part_bytes.max(1)).min(self.ask.end);
            self.ask.start = end;
            let (bucket, key) = (self.bucket.clone(), self.key.clone());
            let task = tokio::spawn(async move { bucket.get_range(&key, offset..end).await });
            self.under_way.push_back(Read { offset, task });
        }
    }

    /// The next part, or `None` behind the last.
    ///
    /// # Errors
    /// As [`Bucket::get_range`].
    pub async fn next(&mut self) -> Result<Option<Part>> {
        self.begin();
        let Some(mut read) = self.under_way.pop_front() else { return Ok(None) };
        let bytes = (&mut read.task)
            .await
            .map_err(|e| Error::new(Kind::Cancelled, "a read was stopped").part(&*self.key).source(e))??;
        self.begin();
        Ok(Some(Part { offset: read.offset, bytes }))
    }
}
