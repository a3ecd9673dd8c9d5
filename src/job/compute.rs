//! CPU work of a job on the compute pool it was given, and tasks of its own, both awaited from async code.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::error::{Error, Kind, Result};

/// A handle to the compute pool.
#[derive(Clone)]
pub(crate) struct Pool(Arc<rayon::ThreadPool>);

/// Work under way; resolves when it is done.
pub(crate) struct Running<T>(oneshot::Receiver<std::thread::Result<T>>);

impl Pool {
    pub(crate) fn new(pool: Arc<rayon::ThreadPool>) -> Self {
        Pool(pool)
    }

    /// How many threads work.
    pub(crate) fn threads(&self) -> usize {
        self.0.current_num_threads()
    }

    /// Starts `work`; in order of calls where threads are free.
    pub(crate) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Running<T> {
        let (send, receive) = oneshot::channel();
        self.0.spawn_fifo(move || {
            // a panic is our bug; it ends the job that ran into it and not the process
            let _ = send.send(catch_unwind(AssertUnwindSafe(work)));
        });
        Running(receive)
    }
}

impl<T> Future for Running<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        Pin::new(&mut self.0).poll(context).map(|done| match done {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(panic)) => {
                let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
                Err(Error::new(Kind::Unsupported, format!("this program failed an own check: {text}"))
                    .next("report this as a bug, with the block"))
            }
            Err(_) => Err(Error::new(Kind::Cancelled, "the compute pool was shut down")),
        })
    }
}

/// A future that runs by itself and ends when it is dropped.
pub(crate) struct Task<T>(JoinHandle<Result<T>>);

impl<T: Send + 'static> Task<T> {
    /// Starts `work` on the runtime.
    pub(crate) fn spawn(work: impl Future<Output = Result<T>> + Send + 'static) -> Self {
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
