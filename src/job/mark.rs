//! Marks that a job makes, of which whoever listens hears.

use crate::block::retire;
pub use crate::block::retire::Marked;
use crate::error::{Error, Kind, Result};
use crate::format::marks::{DELETION_MARK_FILE, NO_COMPACT_MARK_FILE, NO_DOWNSAMPLE_MARK_FILE, texts};
use crate::format::meta::META_FILE;
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

/// Marks a block for deletion whose time is over.
///
/// # Errors
/// What the bucket says.
pub(crate) async fn expired(env: &Env, block: BlockId, details: &str) -> Result<Marked> {
    let marked = retire::mark_for_deletion(&env.bucket, block, env.clock.now(), details).await?;
    if marked == Marked::Written {
        env.report.event(Event::Marked { block, file: DELETION_MARK_FILE, reason: "", replaced: false });
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

/// One of the marks that a person puts or takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// The block is to be deleted.
    Deletion,
    /// The block is not to be compacted.
    NoCompact,
    /// The block is not to be downsampled.
    NoDownsample,
}

impl Marker {
    /// All of them.
    pub const ALL: [Marker; 3] = [Marker::Deletion, Marker::NoCompact, Marker::NoDownsample];

    /// The name of its object inside a block's folder.
    pub fn file(self) -> &'static str {
        match self {
            Marker::Deletion => DELETION_MARK_FILE,
            Marker::NoCompact => NO_COMPACT_MARK_FILE,
            Marker::NoDownsample => NO_DOWNSAMPLE_MARK_FILE,
        }
    }
}

/// Puts a mark on each block, with a text for people; returns what came of each, in the order given.
///
/// Nothing is written unless all of the blocks are there.
///
/// # Errors
/// `NotFound` for a block that is not there, or of which there is only a part; what the bucket says.
pub async fn put(env: &Env, marker: Marker, blocks: &[BlockId], details: &str) -> Result<Vec<Marked>> {
    for &block in blocks {
        if !env.bucket.exists(&format!("{block}/{META_FILE}")).await? {
            return Err(Error::new(Kind::NotFound, "there is no such block in the bucket, or no meta.json of it")
                .block(block)
                .next("look for it with `tools bucket ls`: nothing was marked"));
        }
    }
    let mut all = Vec::with_capacity(blocks.len());
    for &block in blocks {
        let (bucket, now) = (&env.bucket, env.clock.now());
        let marked = match marker {
            Marker::Deletion => retire::mark_for_deletion(bucket, block, now, details).await?,
            Marker::NoCompact => retire::mark_no_compact(bucket, block, now, texts::MANUAL, details).await?,
            Marker::NoDownsample => retire::mark_no_downsample(bucket, block, now, texts::MANUAL, details).await?,
        };
        if marked == Marked::Written {
            let reason = if marker == Marker::Deletion { "" } else { texts::MANUAL };
            env.report.event(Event::Marked { block, file: marker.file(), reason, replaced: false });
        }
        all.push(marked);
    }
    Ok(all)
}

/// Takes a mark away from each block; returns of each whether there was one, in the order given.
///
/// # Errors
/// `NotFound` for a block of which there is neither a `meta.json` nor the mark, before anything is taken away;
/// what the bucket says.
pub async fn remove(env: &Env, marker: Marker, blocks: &[BlockId]) -> Result<Vec<bool>> {
    for &block in blocks {
        let there = env.bucket.exists(&format!("{block}/{}", marker.file())).await?;
        if !there && !env.bucket.exists(&format!("{block}/{META_FILE}")).await? {
            return Err(Error::new(Kind::NotFound, "there is no such block in the bucket")
                .block(block)
                .next("look for it with `tools bucket ls`: nothing was changed"));
        }
    }
    let mut all = Vec::with_capacity(blocks.len());
    for &block in blocks {
        all.push(retire::unmark(&env.bucket, block, marker.file()).await?);
    }
    Ok(all)
}
