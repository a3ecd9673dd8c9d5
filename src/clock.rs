//! Time and chance, passed in so that a run can be repeated.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::{BlockId, Millis};

/// Where a job gets the time and new block ids from.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn now(&self) -> Millis;

    /// 80 bits of chance for a block id.
    fn chance(&self) -> u128;

    /// The id of a block made now.
    fn new_block_id(&self) -> BlockId {
        BlockId::from_parts(self.now(), self.chance())
    }
}

/// The machine's clock and entropy.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[allow(clippy::disallowed_methods)] // the one place that asks the machine
impl Clock for SystemClock {
    fn now(&self) -> Millis {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as Millis)
    }

    fn chance(&self) -> u128 {
        rand::random()
    }
}

/// A clock that stands still until it is moved, with a seeded sequence for ids.
#[derive(Debug)]
pub struct ManualClock {
    now: std::sync::atomic::AtomicI64,
    drawn: std::sync::atomic::AtomicU64,
    seed: u64,
}

impl ManualClock {
    /// Stands at `now`; ids follow from `seed`.
    pub fn new(now: Millis, seed: u64) -> Arc<Self> {
        Arc::new(ManualClock { now: now.into(), drawn: 0.into(), seed })
    }

    /// Moves on by `by` milliseconds.
    pub fn advance(&self, by: Millis) {
        self.now.fetch_add(by, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Millis {
        self.now.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn chance(&self) -> u128 {
        let n = self.drawn.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let half = |salt: u64| xxhash_rust::xxh3::xxh3_64_with_seed(&[n.to_le_bytes(), salt.to_le_bytes()].concat(), self.seed);
        (u128::from(half(0)) << 64) | u128::from(half(1))
    }
}
