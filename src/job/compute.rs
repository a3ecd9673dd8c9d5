//! Work on the pool that a job was given, awaited without holding a thread.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::error::{Error, Kind, Result};

/// Runs `work` on `pool` and waits for what it returns.
///
/// # Errors
/// `Cancelled` when the work panicked or the pool was torn down.
pub(super) async fn on_pool<T: Send + 'static>(
    pool: &Arc<rayon::ThreadPool>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let (done, result) = oneshot::channel();
    pool.spawn(move || {
        // nobody may be waiting any more
        let _ = done.send(work());
    });
    result.await.map_err(|_| Error::new(Kind::Cancelled, "work on the compute pool was dropped"))
}

/// A future that runs by itself and ends when it is dropped.
pub(super) struct Task<T>(JoinHandle<Result<T>>);

impl<T: Send + 'static> Task<T> {
    /// Starts `work` on the runtime.
    pub(super) fn spawn(work: impl Future<Output = Result<T>> + Send + 'static) -> Self {
        Task(tokio::spawn(work))
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        Pin::new(&mut self.0)
            .poll(cx)
            .map(|joined| joined.unwrap_or_else(|e| Err(Error::new(Kind::Cancelled, "a task was stopped").source(e))))
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
