//! Repairing what Thanos repairs: blocks whose index has chunks that nobody would miss are written anew without them,
//! and blocks that were compacted twice are removed but for one.
//!
//! Nothing is taken away before it lies in the backup bucket, byte for byte. A new block becomes visible after that,
//! and before the old one goes.
//!
//! *Order*: planned and done by block.
//! *Memory*: that of one pass, whatever the size of a block.
//! *Errors*: what cannot be repaired stays as it is and is told; the next one is tried all the same.
//!
//! *Source*: Thanos `pkg/verifier`, `pkg/block/index.go`.

mod backup;
mod index;

use std::fmt;

use super::catalog::{Catalog, CatalogBlock};
use super::verify::{Check, Summary};
use super::{Env, Event, JobId, Level, mark};
use crate::block::retire;
use crate::bucket::Bucket;
use crate::error::{Error, Kind, Result};
use crate::format::marks::texts;
use crate::model::{BlockId, Millis};
pub use backup::{backup, check_backup};
pub use index::{Droppable, issue_347};

/// Where blocks go before they are taken away, and when they are.
#[derive(Clone, Debug)]
pub struct Options {
    /// Gets a copy of each block first.
    pub backup: Bucket,
    /// How long a block stays with its mark (milliseconds); 0 deletes it at once.
    pub delete_delay: Millis,
}

/// What is to be done about a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// It is written anew without the chunks that can be dropped, and goes.
    Rewrite,
    /// It goes: another one holds the same.
    Remove,
    /// Nothing.
    Leave {
        /// Why.
        why: &'static str,
    },
}

/// A repair that was decided on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The block.
    pub block: BlockId,
    /// What found it.
    pub check: Check,
    /// What is wrong, in words.
    pub problem: String,
    /// What is to be done.
    pub remedy: Remedy,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Planned { block, check, problem, remedy } = self;
        match remedy {
            Remedy::Rewrite => write!(f, "{block} {check}: rewrite, {problem}"),
            Remedy::Remove => write!(f, "{block} {check}: remove, {problem}"),
            Remedy::Leave { why } => write!(f, "{block} {check}: leave, {why}: {problem}"),
        }
    }
}

/// What came of one repair.
#[derive(Debug)]
pub enum Outcome {
    /// Another block has taken its place.
    Replaced(BlockId),
    /// It is gone, or marked, and nothing had to take its place.
    Removed,
    /// It is as it was.
    Failed(Error),
}

/// Which checks find what can be repaired.
pub fn is_repairable(check: Check) -> bool {
    matches!(check, Check::IndexKnownIssues | Check::DuplicatedCompaction)
}

/// What to do about what was found.
pub fn plan(catalog: &Catalog, found: &Summary) -> Vec<Planned> {
    let mut all: Vec<Planned> = Vec::new();
    for verdict in &found.blocks {
        let Some(finding) = verdict.findings.listed().iter().find(|f| f.check == Check::IndexKnownIssues) else { continue };
        let remedy = match catalog.block(verdict.block) {
            None => Remedy::Leave { why: "there is no readable meta.json" },
            Some(block) if block.meta.resolution() > 0 => Remedy::Leave { why: "downsampled blocks cannot be repaired" },
            Some(_) => Remedy::Rewrite,
        };
        all.push(Planned { block: verdict.block, check: finding.check, problem: finding.to_string(), remedy });
    }
    for group in found.groups.iter().filter(|g| g.check == Check::DuplicatedCompaction && g.duplicates) {
        for &block in &group.blocks {
            // a block may overlap in several places
            if !all.iter().any(|p| p.block == block && p.check == group.check) {
                let problem = format!("another block of group {} has its times, sources and counts", group.group);
                all.push(Planned { block, check: group.check, problem, remedy: Remedy::Remove });
            }
        }
    }
    all.sort_by_key(|p| (p.block, p.check));
    // what goes needs no repair
    let gone: Vec<BlockId> = all.iter().filter(|p| p.remedy == Remedy::Remove).map(|p| p.block).collect();
    all.retain(|p| p.remedy == Remedy::Remove || !gone.contains(&p.block));
    all
}

/// Carries out `plan`; `hear` is told of each repair when it is done.
///
/// # Errors
/// `Cancelled` when asked to stop, between repairs: those that were done are done.
pub async fn run(
    env: &Env,
    catalog: &Catalog,
    plan: &[Planned],
    options: &Options,
    hear: &mut (dyn FnMut(&Planned, &Outcome) + Send),
) -> Result<()> {
    for (planned, n) in plan.iter().zip(0..) {
        if env.cancel.is_cancelled() {
            return Err(Error::new(Kind::Cancelled, "asked to stop").next("run it again: what was repaired is repaired"));
        }
        let outcome = match one(env, catalog, planned, options, JobId(n)).await {
            Ok(outcome) => outcome,
            Err(error) if error.kind() == Kind::Cancelled => return Err(error),
            Err(error) => Outcome::Failed(error.block(planned.block)),
        };
        hear(planned, &outcome);
    }
    Ok(())
}

async fn one(env: &Env, catalog: &Catalog, planned: &Planned, options: &Options, job: JobId) -> Result<Outcome> {
    if let Remedy::Leave { why } = planned.remedy {
        return Err(Error::new(Kind::Unsupported, why));
    }
    let gone = || Error::new(Kind::NotFound, "there is no such block any more");
    let block = catalog.block(planned.block).ok_or_else(gone)?;
    check_backup(env, block.id, &options.backup).await?;
    let made = match planned.remedy {
        Remedy::Rewrite => index::rewritten(env, block, Droppable::All, job).await?,
        _ => None,
    };
    let saved = backup(env, block.id, &options.backup).await;
    let Some(made) = made else {
        saved?;
        retire(env, block, options.delete_delay).await?;
        return Ok(Outcome::Removed);
    };
    if let Err(error) = saved {
        made.discard(env).await;
        return Err(error);
    }
    let new = made.publish(env).await?;
    retire(env, block, options.delete_delay).await?;
    Ok(Outcome::Replaced(new))
}

/// Takes a block out of service that lies in the backup.
async fn retire(env: &Env, block: &CatalogBlock, delete_delay: Millis) -> Result<()> {
    if delete_delay == 0 {
        let text = "deleting a block whose copy is in the backup bucket";
        env.report.event(Event::Note { level: Level::Info, block: Some(block.id), text });
        return retire::delete(&env.bucket, block.id).await.map(drop);
    }
    mark::replaced(env, block.id, texts::MANUAL_REPAIR).await.map(drop)
}

#[cfg(test)]
mod tests;
