//! Marks that a job makes, of which whoever listens hears.

use crate::block::retire::{self, Marked};
use crate::error::Result;
use crate::format::marks::{DELETION_MARK_FILE, NO_COMPACT_MARK_FILE};
use crate::job::{Env, Event};
use crate::model::BlockId;

/// Marks a block for deletion whose samples are in another block now.
///
/// # Errors
/// What the bucket says.
pub(crate) async fn replaced(env: &Env, block: BlockId, details: &str) -> Result<Marked> {
    let marked = retire::mark_for_deletion(&env.bucket, block, env.clock.now(), details).await?;
    if marked == Marked::Written {
        env.report.event(Event::Marked { block, file: DELETION_MARK_FILE, reason: "", replaced: true });
    }
    Ok(marked)
}

/// Marks a block as not to be compacted.
///
/// # Errors
/// What the bucket says.
pub(crate) async fn no_compact(env: &Env, block: BlockId, reason: &str, details: &str) -> Result<Marked> {
    let marked = retire::mark_no_compact(&env.bucket, block, env.clock.now(), reason, details).await?;
    if marked == Marked::Written {
        env.report.event(Event::Marked { block, file: NO_COMPACT_MARK_FILE, reason, replaced: false });
    }
    Ok(marked)
}
