//! Retention: which blocks are so old that they go, which of these wait, and what stops it all.
//!
//! A block goes when its last sample is older than the retention of its resolution. With downsampling on, a
//! block is held while something coarser that would be kept is still to be made of it; see [`Owes`].
//! A plan that marks more than seems right, or by a clock that seems wrong, is stopped until somebody confirms it.
//!
//! *Source*: Thanos `pkg/compact/retention.go`; what is held and what is stopped is our own.

mod brake;
mod owed;
mod policy;
mod run;
mod text;

use serde::Serialize;

pub use brake::{Brake, History, LIMIT_WITHOUT_HISTORY, OVERDUE_AFTER, brakes};
pub use owed::{Never, Owes};
pub use policy::{Keep, Policy, parse_policies};
pub(crate) use run::time_by_looking;
pub use run::{Retained, look, run};

use crate::job::catalog::CatalogBlock;
use crate::job::downsample::Empties;
use crate::job::pass::PassOptions;
use crate::model::{BlockId, LabelSet, Millis, go_duration_text};
use owed::{Fate, Future};

/// What retention does with a bucket.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RetentionPlan {
    /// Blocks that are marked for deletion, by id.
    pub expired: Vec<Expired>,
    /// Blocks that have expired and are not marked, because something is still to be made of them; by id.
    pub held: Vec<Held>,
    /// Why nothing is marked after all, until somebody confirms it.
    pub brakes: Vec<Brake>,
    /// Bytes of all blocks by resolution, expired or not.
    #[serde(skip)]
    pub totals: Vec<(Millis, u64)>,
}

/// A block that is older than its retention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Expired {
    /// The block.
    pub block: BlockId,
    /// Milliseconds between samples, 0 for raw.
    pub resolution: Millis,
    /// First millisecond behind its samples.
    pub max_time: Millis,
    /// Its retention in milliseconds.
    pub retention: Millis,
    /// Bytes of its objects.
    pub bytes: u64,
    /// Set where coarser samples of it would be kept, and there are none and never will be: why.
    pub lost: Option<Never>,
}

/// A block that has expired and waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Held {
    /// The block.
    pub block: BlockId,
    /// Milliseconds between samples, 0 for raw.
    pub resolution: Millis,
    /// First millisecond behind its samples.
    pub max_time: Millis,
    /// Its retention in milliseconds.
    pub retention: Millis,
    /// Bytes of its objects.
    pub bytes: u64,
    /// What for.
    pub owes: Owes,
}

impl Expired {
    /// The details of its mark, in upstream's words.
    pub fn details(&self) -> String {
        format!("block exceeding retention of {}", go_duration_text(self.retention))
    }

    /// How long ago it expired.
    pub fn overdue(&self, now: Millis) -> Millis {
        now.saturating_sub(self.max_time).saturating_sub(self.retention)
    }
}

impl RetentionPlan {
    /// Bytes of the blocks that are marked.
    pub fn bytes(&self) -> u64 {
        self.expired.iter().map(|e| e.bytes).fold(0, u64::saturating_add)
    }

    /// Bytes of the blocks that are held.
    pub fn held_bytes(&self) -> u64 {
        self.held.iter().map(|h| h.bytes).fold(0, u64::saturating_add)
    }

    /// Whether nothing has expired.
    pub fn is_empty(&self) -> bool {
        self.expired.is_empty() && self.held.is_empty()
    }
}

/// How long blocks with these labels are kept: as the first policy that matches them says, else as the flags do.
pub fn keep_of(options: &PassOptions, labels: &LabelSet) -> Keep {
    let flags = options.retention();
    options.retention_policies.iter().find(|policy| policy.matches(labels)).map_or(flags, |policy| policy.keep(flags))
}

/// Decides about `blocks`, which are those a compactor works on; whether blocks are held is
/// [`PassOptions::downsampling`]. Brakes are not looked at here.
pub fn plan(blocks: &[CatalogBlock], options: &PassOptions, now: Millis) -> RetentionPlan {
    plan_knowing(blocks, options, now, &Empties::default())
}

/// The same, where it is known what came out empty: nobody waits for that.
pub fn plan_knowing(blocks: &[CatalogBlock], options: &PassOptions, now: Millis, empties: &Empties) -> RetentionPlan {
    let mut plan = RetentionPlan { totals: totals(blocks), ..RetentionPlan::default() };
    let expired = |block: &&CatalogBlock| has_expired(block, keep_of(options, &block.labels), now);
    let candidates: Vec<&CatalogBlock> = blocks.iter().filter(expired).collect();
    if candidates.is_empty() {
        return plan;
    }
    let mut future = Future::new(blocks, options, now, empties);
    let mut fates: Vec<(&CatalogBlock, Fate)> = Vec::with_capacity(candidates.len());
    for block in candidates {
        let fate = if options.downsampling { future.fate(block, keep_of(options, &block.labels)) } else { Fate::Free };
        fates.push((block, fate));
    }
    let needed = future.needed(&fates);
    for (block, fate) in fates {
        let (resolution, max_time) = (block.meta.resolution(), block.meta.max_time);
        let (retention, bytes) = (keep_of(options, &block.labels).of(resolution), block.bytes());
        let (owes, lost) = match fate {
            Fate::Owed(owes) => (Some(owes), None),
            _ if needed.contains(&block.id) => (Some(Owes::Others), None),
            Fate::Free => (None, None),
            Fate::Never(why) => (None, Some(why)),
        };
        match owes {
            Some(owes) => plan.held.push(Held { block: block.id, resolution, max_time, retention, bytes, owes }),
            None => plan.expired.push(Expired { block: block.id, resolution, max_time, retention, bytes, lost }),
        }
    }
    plan.expired.sort_by_key(|e| e.block);
    plan.held.sort_by_key(|h| h.block);
    plan
}

/// Whether the last sample of a block is older than it is to be kept; the end of a block counts in whole seconds.
pub(crate) fn has_expired(block: &CatalogBlock, keep: Keep, now: Millis) -> bool {
    let retention = keep.of(block.meta.resolution());
    retention != 0 && is_older(block.meta.max_time, retention, now)
}

fn is_older(max_time: Millis, retention: Millis, now: Millis) -> bool {
    now > (max_time / 1000 * 1000).saturating_add(retention)
}

fn totals(blocks: &[CatalogBlock]) -> Vec<(Millis, u64)> {
    let mut totals = std::collections::BTreeMap::<Millis, u64>::new();
    for block in blocks {
        let total = totals.entry(block.meta.resolution()).or_default();
        *total = total.saturating_add(block.bytes());
    }
    totals.into_iter().collect()
}

#[cfg(test)]
mod tests;
