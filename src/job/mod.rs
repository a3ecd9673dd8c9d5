//! What should happen in a bucket, decided as a value, and carried out.

pub mod catalog;
pub mod clean;
pub mod compact;
mod compute;
pub mod downsample;
pub mod external;
pub mod filter;
pub mod forecast;
pub mod garbage;
pub mod group;
pub mod inspect;
pub mod lease;
pub mod mark;
pub mod pass;
pub mod pipeline;
pub mod plan;
pub mod quarantine;
pub mod relabel;
pub mod repair;
mod report;
pub mod retain;
pub mod rewrite;
pub mod rival;
pub mod salvage;
pub mod todo;
pub mod verify;

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::bucket::Bucket;
use crate::clock::Clock;
use compute::Pool;
pub use report::{Event, JobId, Level, Outcome, Report, Silent, Work};

/// All that a job needs from outside, passed in.
#[derive(Clone)]
pub struct Env {
    /// The bucket it works on.
    pub bucket: Bucket,
    /// Where CPU work runs; never rayon's global pool.
    pub pool: Arc<rayon::ThreadPool>,
    /// Time and chance.
    pub clock: Arc<dyn Clock>,
    /// Who hears of progress.
    pub report: Arc<dyn Report>,
    /// A folder of our own for spills and caches (`--data-dir`); may not exist yet.
    pub scratch: PathBuf,
    /// Says when to stop; checked between steps.
    pub cancel: CancellationToken,
}

impl Env {
    /// The compute pool, to be awaited.
    pub(crate) fn compute(&self) -> Pool {
        Pool::new(self.pool.clone())
    }
}
