//! Who compacts: a small object in the bucket that says which compactor works on it, so that a second one waits.
//!
//! It is advisory. Two compactors on one bucket lose no sample, they do everything twice; and providers differ in
//! what they promise about conditional writes, some ignore the condition. So nothing rests on it alone: who writes
//! the object reads it again after a while, reads it before each renewal, and stops when somebody else is in it.
//!
//! A holder renews it every [`RENEWED_EVERY`]. Who waits steals it when it did not change for [`STALE_AFTER`] by
//! the waiter's own clock, so no two clocks are compared; or at once when the holder was a process of this machine
//! that is gone. A holder that could not renew it for [`GIVEN_UP_AFTER`],
//! which is shorter, takes itself for lost.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bucket::{Bucket, OWN_FOLDER};
use crate::error::{Error, Kind, Result};
use crate::job::relabel::{Rule, Shard};
use crate::job::{Env, Event, Level};
use crate::model::Millis;

/// The folder of leases among our own objects.
const FOLDER: &str = "lease";

/// How often a holder says that it is there.
pub const RENEWED_EVERY: Duration = Duration::from_secs(60);

/// After how long without a change a lease may be stolen.
pub const STALE_AFTER: Duration = Duration::from_secs(240);

/// After how long without having renewed it a holder stops.
pub const GIVEN_UP_AFTER: Duration = Duration::from_secs(180);

/// How often a lease of somebody else is looked at: where that is a request, and on a local disk.
const LOOKED_AT_EVERY: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(1)];

/// How long after writing a lease it is read again: whoever looked before we wrote has written by then.
const SETTLES_AFTER: Duration = Duration::from_secs(1);

/// How often people hear that we wait.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// Largest lease that is read, in bytes.
const LIMIT_BYTES: u64 = 64 << 10;

/// What the object says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// By chance; tells two runs on one machine apart.
    pub owner: String,
    /// The machine, as it calls itself.
    pub host: String,
    /// The process there.
    pub pid: u32,
    /// The machine since its last start and the processes that see each other there; empty where that is not known.
    #[serde(default)]
    pub place: String,
    /// Version of this program.
    pub version: String,
    /// When it was taken, by the holder's clock.
    pub since: Millis,
    /// How often it was renewed.
    pub renewed: u64,
}

/// A lease that is held, until it is released or lost.
#[derive(Debug)]
pub struct Lease {
    lost: CancellationToken,
    /// The bucket, the object and what we wrote into it; nothing where we may not write.
    held: Option<(Bucket, String, String)>,
    beat: Option<JoinHandle<()>>,
}

/// The name of the part of a bucket that these rules choose, and this share of it: compactors of different parts do not
/// wait for each other.
pub fn shard(rules: &[Rule], share: Option<Shard>) -> String {
    let of_rules = || format!("{:016x}", xxhash_rust::xxh3::xxh3_64(format!("{rules:?}").as_bytes()));
    match (rules.is_empty(), share) {
        (true, None) => "all".to_owned(),
        (false, None) => of_rules(),
        (true, Some(share)) => format!("shard-{}-of-{}", share.index(), share.of()),
        (false, Some(share)) => format!("{}-shard-{}-of-{}", of_rules(), share.index(), share.of()),
    }
}

/// Waits until nobody else holds the lease of `shard`, and takes it. Where the bucket cannot be written it goes on
/// without one, and says so.
///
/// # Errors
/// `Cancelled` when asked to stop meanwhile; `Unavailable` when the bucket does not answer.
pub async fn take(env: &Env, shard: &str) -> Result<Lease> {
    let key = format!("{OWN_FOLDER}/{FOLDER}/{shard}.json");
    let ours = Holder {
        owner: format!("{:020x}", env.clock.chance() & (u128::MAX >> 48)),
        host: host(),
        pid: std::process::id(),
        place: place(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        since: env.clock.now(),
        renewed: 0,
    };
    match tokio::select! {
        taken = wait(env, &key, &ours) => taken,
        () = env.cancel.cancelled() => Err(Error::new(Kind::Cancelled, "asked to stop")),
    } {
        Ok(()) => {}
        Err(error) if error.kind() == Kind::Denied => {
            let text = format!("working without a lease, so another compactor would not wait for this one: {error}");
            env.report.event(Event::Note { level: Level::Warn, block: None, text: &text });
            return Ok(Lease { lost: CancellationToken::new(), held: None, beat: None });
        }
        Err(error) => return Err(error),
    }
    // whoever held it before worked by right
    env.bucket.own().begin_anew();
    let lost = CancellationToken::new();
    let held = (env.bucket.clone(), key.clone(), ours.owner.clone());
    let beat = tokio::spawn(beat(env.bucket.clone(), key, ours, lost.clone()));
    Ok(Lease { lost, held: Some(held), beat: Some(beat) })
}

impl Lease {
    /// Is cancelled when somebody else took it, or it could not be renewed: then the work has to stop.
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Gives it back, so that nobody has to wait until it is stale. What goes wrong with that is no failure.
    pub async fn release(mut self) {
        if let Some(beat) = self.beat.take() {
            beat.abort();
            _ = beat.await;
        }
        let Some((bucket, key, owner)) = self.held.take() else { return };
        if !self.lost.is_cancelled() && read(&bucket, &key).await.is_ok_and(|there| there.is(&owner)) {
            _ = bucket.delete(&key).await;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(beat) = &self.beat {
            beat.abort();
        }
    }
}

/// What is at the place of a lease.
#[derive(PartialEq, Eq)]
enum There {
    Nothing,
    Somebody(Holder),
    /// Something that is no lease as we know it; its bytes, to see whether they change.
    Unknown(Bytes),
}

impl There {
    fn is(&self, owner: &str) -> bool {
        matches!(self, There::Somebody(holder) if holder.owner == owner)
    }

    /// Whether the holder was a process here and ended without giving it back.
    fn is_gone(&self) -> bool {
        let There::Somebody(holder) = self else { return false };
        !holder.place.is_empty() && holder.place == place() && !Path::new("/proc").join(holder.pid.to_string()).exists()
    }
}

async fn read(bucket: &Bucket, key: &str) -> Result<There> {
    match bucket.get(key, LIMIT_BYTES).await {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).map_or_else(|_| There::Unknown(bytes), There::Somebody)),
        Err(e) if e.kind() == Kind::NotFound => Ok(There::Nothing),
        Err(e) if e.kind() == Kind::Limit => Ok(There::Unknown(Bytes::new())),
        Err(e) => Err(e),
    }
}

fn encode(holder: &Holder) -> Bytes {
    // text and numbers always have a form in JSON
    serde_json::to_vec(holder).unwrap_or_default().into()
}

/// Returns when `ours` is in the object and was still there after a while.
async fn wait(env: &Env, key: &str, ours: &Holder) -> Result<()> {
    let bucket = &env.bucket;
    let mut seen: Option<(There, Instant)> = None;
    let mut said: Option<Instant> = None;
    loop {
        let there = read(bucket, key).await?;
        let is_new = seen.as_ref().is_none_or(|(before, _)| *before != there);
        let since = if is_new { Instant::now() } else { seen.as_ref().map_or_else(Instant::now, |s| s.1) };
        let written = match &there {
            There::Nothing => bucket.put_new_note(key, encode(ours)).await?,
            there if there.is_gone() || since.elapsed() >= STALE_AFTER => {
                bucket.put_note(key, encode(ours)).await.map(|()| true)?
            }
            There::Somebody(_) | There::Unknown(_) => false,
        };
        if written {
            // a directory makes a new file for one only
            if there != There::Nothing || !bucket.is_local() {
                tokio::time::sleep(SETTLES_AFTER).await;
            }
            if read(bucket, key).await?.is(&ours.owner) {
                return Ok(());
            }
            continue;
        }
        if said.is_none_or(|at| at.elapsed() >= SAID_EVERY) {
            said = Some(Instant::now());
            let holder = if let There::Somebody(holder) = &there { Some(holder) } else { None };
            let who = holder.map_or_else(
                || "somebody".to_owned(),
                |h| format!("process {} on {} (version {}, {} renewals)", h.pid, h.host, h.version, h.renewed),
            );
            let text = format!(
                "{who} compacts this bucket: waiting until it ends, or did not renew {key} for {} s",
                STALE_AFTER.as_secs()
            );
            env.report.event(Event::Note { level: Level::Warn, block: None, text: &text });
        }
        seen = Some((there, since));
        tokio::time::sleep(LOOKED_AT_EVERY[usize::from(bucket.is_local())]).await;
    }
}

/// Renews the lease until it is lost.
async fn beat(bucket: Bucket, key: String, mut ours: Holder, lost: CancellationToken) {
    let mut renewed_at = Instant::now();
    loop {
        tokio::time::sleep(RENEWED_EVERY).await;
        let renewed = match read(&bucket, &key).await {
            // taken away by hand is not taken by another
            Ok(there) if there == There::Nothing || there.is(&ours.owner) => {
                ours.renewed += 1;
                bucket.put_note(&key, encode(&ours)).await.is_ok()
            }
            Ok(_) => {
                lost.cancel();
                return;
            }
            Err(_) => false,
        };
        if renewed {
            renewed_at = Instant::now();
        } else if renewed_at.elapsed() >= GIVEN_UP_AFTER - RENEWED_EVERY {
            lost.cancel();
            return;
        }
    }
}

/// What the machine calls itself; in a pod that is the pod's name.
fn host() -> String {
    let named = || std::fs::read_to_string("/etc/hostname").ok();
    let name = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty()).or_else(named);
    name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).unwrap_or_else(|| "a machine".to_owned())
}

/// Where process numbers mean the same: this start of this machine, and the name space of processes in it.
fn place() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    match (boot, std::fs::read_link("/proc/self/ns/pid")) {
        (Ok(boot), Ok(space)) => format!("{}/{}", boot.trim(), space.display()),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests;
