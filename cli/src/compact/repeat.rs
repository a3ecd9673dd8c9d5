//! Passes for as long as the process runs, and what goes on beside them.

use std::cell::Cell;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use blockyard::job::Env;
use blockyard::job::pass::{self, Beside, Engine};
use blockyard::job::quarantine::store;
use blockyard::job::todo::todo;
use blockyard::model::Millis;
use blockyard::serve::compactor::Compactor;
use blockyard::{Error, Kind, Result};

use super::{Flags, log};
use crate::exit::Exit;

/// How soon the first figures follow the first look.
const FIRST: Duration = Duration::from_secs(1);

/// Passes with a pause between them, until a signal comes or going on makes no sense; beside them, cleanups and
/// figures of what is left to do.
pub(super) async fn repeat(flags: &Flags, env: &Env, surface: &Compactor) -> Result<Exit> {
    // since when a pass is under way, if one is
    let under_way = Cell::new(None);
    tokio::select! {
        done = passes(flags, env, surface, &under_way) => done,
        failed = cleanups(flags, env, &under_way) => match failed? {},
        failed = figures(flags, env, surface) => match failed? {},
    }
}

async fn passes(flags: &Flags, env: &Env, surface: &Compactor, under_way: &Cell<Option<Instant>>) -> Result<Exit> {
    let pause = span(flags.wait_interval);
    store::hurry(&env.scratch, env.bucket.name());
    loop {
        // times relative to now move on with it
        let options = flags.options(env.clock.now())?;
        under_way.set(Some(Instant::now()));
        let result = pass::run(env, &options, &Engine).await;
        under_way.set(None);
        surface.pass_over(&result);
        match result {
            Ok(result) => {
                log(&result);
                let halts = result.errors.iter().any(pass::GroupError::is_halt);
                if flags.halt_on_error && halts {
                    tracing::error!("halted, as --debug.halt-on-error asks: nothing is done any more until a restart");
                    env.cancel.cancelled().await;
                    return Err(Error::new(Kind::Cancelled, "asked to stop"));
                }
                if flags.stop_on_error && halts {
                    return Ok(Exit::Failed);
                }
            }
            Err(error) if error.kind() == Kind::Unavailable => {
                tracing::error!(kind = error.kind().as_str(), err = %error, "pass failed, the next one tries again");
            }
            Err(error) => return Err(error),
        }
        tracing::info!(seconds = pause.as_secs_f64(), "waiting for the next pass");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = env.cancel.cancelled() => return Err(Error::new(Kind::Cancelled, "asked to stop")),
        }
    }
}

/// Cleans while a pass takes longer than the interval: it cleans up itself when it begins and when it ends.
async fn cleanups(flags: &Flags, env: &Env, under_way: &Cell<Option<Instant>>) -> Result<Infallible> {
    let interval = span(flags.cleanup_interval);
    let mut beside = Beside::new(env, &flags.options(env.clock.now())?);
    if interval.is_zero() {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(interval).await;
        let is_long = under_way.get().is_some_and(|since| since.elapsed() >= interval);
        if !is_long || env.cancel.is_cancelled() {
            continue;
        }
        let options = flags.options(env.clock.now())?;
        match beside.clean(env, &options).await {
            Ok(cleaned) => tracing::info!(deleted = cleaned.deleted.len(), "cleaned beside the pass"),
            Err(error) => tracing::warn!(err = %error, "not cleaned beside the pass, the next cleanup tries again"),
        }
    }
}

/// Counts what is left to do, from the last look at the bucket unless that is too old.
async fn figures(flags: &Flags, env: &Env, surface: &Compactor) -> Result<Infallible> {
    let interval = span(flags.progress_interval);
    let mut beside = Beside::new(env, &flags.options(env.clock.now())?);
    if interval.is_zero() {
        return std::future::pending().await;
    }
    // the first pass looks at once
    while surface.last_look().is_none() {
        tokio::time::sleep(FIRST.min(interval)).await;
    }
    loop {
        let now = env.clock.now();
        let options = flags.options(now)?;
        let is_old = surface.last_look().is_none_or(|(_, at)| now.saturating_sub(at) > flags.progress_interval);
        if is_old && let Err(error) = beside.look(env, &options).await {
            tracing::warn!(err = %error, "what is left to do is not known, the next look tries again");
        } else if let Some((blocks, _)) = surface.last_look() {
            // steps of steps are planned, which takes a while for many blocks
            if let Ok(counted) = tokio::task::spawn_blocking(move || todo(&blocks, &options, now)).await {
                surface.set_todo(counted);
            }
        }
        tokio::time::sleep(interval).await;
    }
}

fn span(millis: Millis) -> Duration {
    Duration::from_millis(millis.max(0).unsigned_abs())
}
