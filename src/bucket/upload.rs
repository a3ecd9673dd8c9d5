//! An object that is written front to back and seen when it is whole.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::disk::Staged;
use super::own::Own;
use super::parts::Parts;
use super::requests::Counters;
use crate::error::{Error, Kind, Result};

/// An object that is being written, front to back.
///
/// Dropped without [`finish`](Upload::finish) nothing becomes visible; what was sent is removed
/// as far as that works without waiting, and is otherwise found by
/// [`Bucket::list_unfinished_uploads`](super::Bucket::list_unfinished_uploads).
pub struct Upload {
    pub(super) key: String,
    pub(super) bound_bytes: u64,
    pub(super) written: u64,
    pub(super) sink: Sink,
    pub(super) counters: Arc<Counters>,
    pub(super) own: Arc<Own>,
    pub(super) began: Instant,
}

pub(super) enum Sink {
    Disk(Staged),
    Parts(Parts),
}

impl Upload {
    /// Appends; waits while too much is under way.
    ///
    /// # Errors
    /// `Limit` above the bound; `Unavailable`, `Denied` from the provider.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let written = self.written.saturating_add(bytes.len() as u64);
        if written > self.bound_bytes {
            return Err(Error::new(Kind::Limit, format!("more than the {} bytes that were announced", self.bound_bytes))
                .part(self.key.as_str()));
        }
        self.written = written;
        let done = match &mut self.sink {
            Sink::Disk(staged) => staged.write(bytes).await,
            Sink::Parts(parts) => parts.write(bytes).await,
        };
        done.map_err(|e| e.part(self.key.as_str()))
    }

    /// Bytes taken so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Makes the object visible, synced, and returns its length in bytes.
    ///
    /// # Errors
    /// `Unavailable`, `Denied`, and `Conflict` when the store holds another length than was written.
    pub async fn finish(self) -> Result<u64> {
        self.own.writes(&self.key);
        let done = match self.sink {
            Sink::Disk(staged) => staged.finish().await,
            Sink::Parts(parts) => parts.finish().await,
        };
        self.own.writes(&self.key);
        let done = done.map_err(|e| e.part(self.key));
        self.counters.uploaded(self.began, &done, |len| *len);
        done
    }

    /// Drops what was written.
    ///
    /// # Errors
    /// `Unavailable`, `Denied` from the provider.
    pub async fn abort(self) -> Result<()> {
        let done = match self.sink {
            Sink::Disk(staged) => staged.abort().await,
            Sink::Parts(parts) => parts.abort().await,
        };
        done.map_err(|e| e.part(self.key))
    }
}
