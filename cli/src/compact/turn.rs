//! One compactor at a time: the others wait, ready and healthy, so that a rolling update comes to its end.

use std::time::Duration;

use blockyard::job::Env;
use blockyard::job::lease;
use blockyard::{Error, Kind, Result};

use super::Flags;
use crate::exit::Exit;

/// How soon a bucket that did not answer is asked again by who runs for ever.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(15);

/// Carries out `work` while nobody else compacts `shard` of the bucket. When somebody else takes over, the work comes
/// to a clean point; who runs for ever waits again then.
///
/// # Errors
/// As `work`; `Cancelled` while waiting; `Conflict` when a single pass had to give way.
pub(super) async fn in_turn(flags: &Flags, env: &Env, shard: &str, work: impl AsyncFn(&Env) -> Result<Exit>) -> Result<Exit> {
    loop {
        let lease = match lease::take(env, shard).await {
            Err(error) if flags.wait && error.kind() == Kind::Unavailable => {
                tracing::error!(kind = error.kind().as_str(), err = %error, "the bucket does not answer, asking again");
                tokio::time::sleep(ASKED_AGAIN_AFTER).await;
                continue;
            }
            taken => taken?,
        };
        let mut held = env.clone();
        held.cancel = env.cancel.child_token();
        let mut done = std::pin::pin!(work(&held));
        let done = tokio::select! {
            done = &mut done => done,
            () = lease.lost().cancelled() => {
                tracing::error!("another compactor took over this bucket: stopping at the next clean point");
                held.cancel.cancel();
                done.await
            }
        };
        let is_lost = lease.lost().is_cancelled();
        lease.release().await;
        if !is_lost || env.cancel.is_cancelled() || done.is_ok() {
            return done;
        }
        if !flags.wait {
            let error = Error::new(Kind::Conflict, "another compactor took over this bucket");
            return Err(error.next("let one compactor run a bucket, or give each its own shard by --selector.relabel-config"));
        }
    }
}
