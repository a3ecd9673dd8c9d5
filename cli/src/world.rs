//! What commands need from the machine: a compute pool, time, a listener for progress, a way to stop.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use blockyard::bucket::Bucket;
use blockyard::clock::{Clock, SystemClock};
use blockyard::job::{Env, Report};
use blockyard::{Error, Kind, Result};
use tokio_util::sync::CancellationToken;

/// Everything outside of flags that a command is given.
#[derive(Clone)]
pub(crate) struct World {
    /// Where CPU work runs.
    pub(crate) pool: Arc<rayon::ThreadPool>,
    /// Time and chance.
    pub(crate) clock: Arc<dyn Clock>,
    /// Who hears of progress: bars on a terminal, log lines else.
    pub(crate) report: Arc<dyn Report>,
    /// Set by SIGINT and SIGTERM.
    pub(crate) cancel: CancellationToken,
}

impl World {
    /// The machine's clock and a pool of `threads` threads; 0 is as many as there are cores.
    ///
    /// # Errors
    /// `Unavailable` when threads cannot be started.
    pub(crate) fn new(threads: usize, report: Arc<dyn Report>) -> Result<Self> {
        let threads = match threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("compute-{i}"))
            .build()
            .map_err(|e| Error::new(Kind::Unavailable, format!("cannot start {threads} compute threads")).source(e))?;
        Ok(World { pool: Arc::new(pool), clock: Arc::new(SystemClock), report, cancel: CancellationToken::new() })
    }

    /// What a job is given to work on `bucket`, with its scratch files below `scratch`.
    pub(crate) fn env(&self, bucket: Bucket, scratch: &Path) -> Env {
        Env {
            bucket,
            pool: Arc::clone(&self.pool),
            clock: Arc::clone(&self.clock),
            report: Arc::clone(&self.report),
            scratch: PathBuf::from(scratch),
            cancel: self.cancel.clone(),
        }
    }
}
