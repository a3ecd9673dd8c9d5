//! How often the bucket was asked for what: for metrics, for dry runs, for tests.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use crate::clock::{Clock, SystemClock};
use crate::error::{Kind, Result};
use crate::model::Millis;

/// Upper bounds in seconds of the durations that are counted together, as Thanos has them.
pub const SECONDS: [f64; 14] = [0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0];

/// How many sizes are counted apart: up to 32 KiB, twice that, and so on to 1 GiB.
const SIZES: usize = 16;

/// The upper bounds in bytes of the sizes that are counted together, as Thanos has them.
pub fn sizes() -> [f64; SIZES] {
    std::array::from_fn(|n| (32_768_u64 << n) as f64)
}

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

/// Calls of one kind, with how long those took that succeeded, and how much they moved.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The name that `thanos_objstore_bucket_operations_total` gives them.
    pub name: &'static str,
    /// How many.
    pub tally: Tally,
    /// How many took at most each of [`SECONDS`] and longer than the one before, then those that took longer.
    pub seconds: [u64; SECONDS.len() + 1],
    /// How long they took together, in seconds.
    pub seconds_sum: f64,
    /// How many moved at most each of [`sizes`] and more than the one before, then those that moved more.
    pub bytes: [u64; SIZES + 1],
}

#[derive(Debug, Default)]
pub(super) struct Counter {
    calls: AtomicU64,
    failed: AtomicU64,
    bytes: AtomicU64,
    nanoseconds: AtomicU64,
    by_seconds: [AtomicU64; SECONDS.len() + 1],
    by_bytes: [AtomicU64; SIZES + 1],
}

impl Counter {
    /// Counts one call that began at `began` by its outcome.
    pub(super) fn note<T>(&self, began: Instant, outcome: &Result<T>, bytes: impl FnOnce(&T) -> u64) {
        self.calls.fetch_add(1, Relaxed);
        self.over(began, outcome.as_ref().map(bytes));
    }

    /// Counts how a call ended whose beginning was counted.
    fn over(&self, began: Instant, outcome: std::result::Result<u64, &crate::error::Error>) {
        match outcome {
            Ok(bytes) => {
                let took = began.elapsed();
                self.bytes.fetch_add(bytes, Relaxed);
                self.nanoseconds.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
                let seconds = took.as_secs_f64();
                self.by_seconds[SECONDS.partition_point(|&bound| bound < seconds)].fetch_add(1, Relaxed);
                let larger = (0..SIZES).take_while(|&n| 32_768 << n < bytes).count();
                self.by_bytes[larger].fetch_add(1, Relaxed);
            }
            Err(e) if e.kind() == Kind::NotFound => {}
            Err(_) => _ = self.failed.fetch_add(1, Relaxed),
        }
    }

    fn measured(&self, name: &'static str) -> Measured {
        Measured {
            name,
            tally: self.tally(),
            seconds: std::array::from_fn(|n| self.by_seconds[n].load(Relaxed)),
            seconds_sum: self.nanoseconds.load(Relaxed) as f64 / 1e9,
            bytes: std::array::from_fn(|n| self.by_bytes[n].load(Relaxed)),
        }
    }

    fn tally(&self) -> Tally {
        Tally { calls: self.calls.load(Relaxed), failed: self.failed.load(Relaxed), bytes: self.bytes.load(Relaxed) }
    }
}

/// A listing under way: counted when it begins, measured when it is dropped.
pub(super) struct Listing {
    counters: std::sync::Arc<Counters>,
    began: Instant,
    failure: Option<crate::error::Error>,
}

impl Listing {
    /// A listing that begins now.
    pub(super) fn begin(counters: std::sync::Arc<Counters>) -> Listing {
        counters.iter.calls.fetch_add(1, Relaxed);
        Listing { counters, began: Instant::now(), failure: None }
    }

    /// Notes that it failed, once.
    pub(super) fn failed(&mut self, error: &crate::error::Error) {
        self.failure.get_or_insert_with(|| crate::error::Error::new(error.kind(), "listing"));
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        self.counters.iter.over(self.began, self.failure.as_ref().map_or(Ok(0), Err));
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
    last_upload: AtomicI64,
}

impl Counters {
    /// Counts an object that was written, or was not.
    pub(super) fn uploaded<T>(&self, began: Instant, outcome: &Result<T>, bytes: impl FnOnce(&T) -> u64) {
        if outcome.is_ok() {
            self.last_upload.store(SystemClock.now(), Relaxed);
        }
        self.upload.note(began, outcome, bytes);
    }

    /// When an object was last written; 0 if none was.
    pub(super) fn last_upload(&self) -> Millis {
        self.last_upload.load(Relaxed)
    }

    /// Every kind of request with durations and sizes.
    pub(super) fn measured(&self) -> [Measured; 9] {
        [
            self.iter.measured("iter"),
            self.get.measured("get"),
            self.get_range.measured("get_range"),
            self.exists.measured("exists"),
            self.attributes.measured("attributes"),
            self.upload.measured("upload"),
            self.upload_part.measured("upload_part"),
            self.copy.measured("copy"),
            self.delete.measured("delete"),
        ]
    }

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
