//! The server beside the passes: it listens before the first look at the bucket, and ends after the last pass.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use blockyard::bucket::Bucket;
use blockyard::job::relabel::Namings;
use blockyard::job::{Env, Event, Report};
use blockyard::serve::compactor::Compactor;
use blockyard::serve::http::Server;
use blockyard::{Error, Kind, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Flags;
use crate::world::World;

/// A compactor's surface, and the server that shows it.
pub(super) struct Served {
    pub(super) surface: Arc<Compactor>,
    server: Option<Server>,
}

/// Tells people and metrics.
struct Both(Arc<dyn Report>, Arc<Compactor>, Mutex<Namings>);

impl Both {
    /// Says which rules would choose the share that is worked on, when blocks come that are labelled in a new way.
    fn tell_share(&self, event: &Event<'_>) {
        let Event::Looked { selection, options, .. } = event else { return };
        let Some(shard) = options.shard else { return };
        let mut said = self.2.lock().unwrap_or_else(PoisonError::into_inner);
        if *said != selection.namings {
            said.clone_from(&selection.namings);
            let rules = shard.relabel_config(&selection.namings);
            tracing::info!(shard = %shard, rules, "working on a share of the bucket, as with these rules of --selector.relabel-config");
        }
    }
}

impl Report for Both {
    fn event(&self, event: Event<'_>) {
        self.tell_share(&event);
        self.0.event(event.clone());
        self.1.event(event);
    }
}

impl Served {
    /// Listens, if it is asked for.
    ///
    /// # Errors
    /// `Invalid` for a configuration that makes no sense. `Unavailable` when the address is taken and the process
    /// is going to stay; a single pass works without being watched, and says so.
    pub(super) fn start(flags: &Flags, world: &World) -> Result<Served> {
        let surface = Compactor::new(flags.settings(), Arc::clone(&world.clock), tokio::runtime::Handle::current());
        let started = flags.http.options().map(|options| Server::start(options, Arc::new(Arc::clone(&surface))));
        let server = match started.transpose() {
            Ok(server) => server,
            Err(error) if error.kind() == Kind::Unavailable && !flags.wait => {
                tracing::warn!(err = %error, "nobody can watch this pass");
                None
            }
            Err(error) => return Err(error),
        };
        if let Some(server) = &server {
            tracing::info!(address = %server.address(), "listening for requests and metrics");
            stay_on_hangup()?;
        }
        Ok(Served { surface, server })
    }

    /// What a job is given to work on `bucket`; from now on the compactor is ready.
    pub(super) fn env(&self, world: &World, bucket: Bucket, flags: &Flags) -> Env {
        self.surface.opened(&bucket);
        let mut env = world.env(bucket, &flags.data_dir);
        env.report = Arc::new(Both(env.report, Arc::clone(&self.surface), Mutex::default()));
        env
    }

    /// Carries out `work`, and ends the server after it. Who is asked to stop has the grace period to come to a
    /// clean point; then the work is dropped, of which nothing is visible.
    pub(super) async fn around<T>(
        self,
        flags: &Flags,
        cancel: &CancellationToken,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let overdue = async {
            cancel.cancelled().await;
            self.surface.stopping();
            tokio::time::sleep(flags.http.grace()).await;
        };
        let done = tokio::select! {
            done = work => done,
            () = overdue => {
                tracing::warn!("the grace period is over: the work in hand is dropped, nothing of it is visible");
                Err(Error::new(Kind::Cancelled, "asked to stop"))
            }
        };
        self.surface.stopping();
        if let Some(server) = self.server {
            server.stop().await;
        }
        done
    }
}

/// A hangup ends no compactor: Thanos reloads on it, and here files are read again when they are needed.
fn stay_on_hangup() -> Result<()> {
    let mut hangup =
        signal(SignalKind::hangup()).map_err(|e| Error::new(Kind::Unavailable, "cannot listen for signals").source(e))?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            tracing::info!(signal = "SIGHUP", "nothing to reload: --http.config is read for each request");
        }
    });
    Ok(())
}
