//! How often the bucket was asked for what: for metrics, for dry runs, for tests.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::error::{Kind, Result};

/// What was asked of a bucket since it was opened.
///
/// One call of the gate is one request here; a provider may need several (pages of a listing,
/// repetitions after a failure).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Listings, of a folder or of all below a prefix; no bytes are counted.
    pub iter: Tally,
    /// Whole objects read.
    pub get: Tally,
    /// Ranges read.
    pub get_range: Tally,
    /// Questions whether an object is there.
    pub exists: Tally,
    /// Questions for an object's size and time.
    pub attributes: Tally,
    /// Objects written, small ones and streamed ones.
    pub upload: Tally,
    /// Parts of streamed objects written; their bytes are counted at `upload`.
    pub upload_part: Tally,
    /// Objects copied within the bucket; their bytes do not pass through us where the provider copies.
    pub copy: Tally,
    /// Objects deleted.
    pub delete: Tally,
    /// Streamed objects that were dropped without being finished or aborted.
    pub dropped_uploads: u64,
}

impl Requests {
    /// Every kind of request with the name that `thanos_objstore_bucket_operations_total` gives it.
    pub fn by_name(&self) -> [(&'static str, Tally); 9] {
        [
            ("iter", self.iter),
            ("get", self.get),
            ("get_range", self.get_range),
            ("exists", self.exists),
            ("attributes", self.attributes),
            ("upload", self.upload),
            ("upload_part", self.upload_part),
            ("copy", self.copy),
            ("delete", self.delete),
        ]
    }
}

/// Calls of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many, failed ones too.
    pub calls: u64,
    /// How many failed; an object that is not there is no failure.
    pub failed: u64,
    /// Bytes of objects that were read or written by those that did not fail.
    pub bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counter {
    calls: AtomicU64,
    failed: AtomicU64,
    bytes: AtomicU64,
}

impl Counter {
    /// Counts one call by its outcome.
    pub(super) fn note<T>(&self, outcome: &Result<T>, bytes: impl FnOnce(&T) -> u64) {
        self.calls.fetch_add(1, Relaxed);
        match outcome {
            Ok(t) => _ = self.bytes.fetch_add(bytes(t), Relaxed),
            Err(e) if e.kind() == Kind::NotFound => {}
            Err(_) => _ = self.failed.fetch_add(1, Relaxed),
        }
    }

    fn tally(&self) -> Tally {
        Tally { calls: self.calls.load(Relaxed), failed: self.failed.load(Relaxed), bytes: self.bytes.load(Relaxed) }
    }
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) iter: Counter,
    pub(super) get: Counter,
    pub(super) get_range: Counter,
    pub(super) exists: Counter,
    pub(super) attributes: Counter,
    pub(super) upload: Counter,
    pub(super) upload_part: Counter,
    pub(super) copy: Counter,
    pub(super) delete: Counter,
    pub(super) dropped_uploads: AtomicU64,
}

impl Counters {
    pub(super) fn snapshot(&self) -> Requests {
        Requests {
            iter: self.iter.tally(),
            get: self.get.tally(),
            get_range: self.get_range.tally(),
            exists: self.exists.tally(),
            attributes: self.attributes.tally(),
            upload: self.upload.tally(),
            upload_part: self.upload_part.tally(),
            copy: self.copy.tally(),
            delete: self.delete.tally(),
            dropped_uploads: self.dropped_uploads.load(Relaxed),
        }
    }
}
