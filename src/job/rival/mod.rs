//! Whether somebody else compacts this bucket: a compactor that knows nothing of our lease is noticed by the blocks it
//! makes.
//!
//! A block is another's work when a compactor made it (its `thanos.source` says so), this process did not, it was not
//! there when this process looked first, and all clocks agree that it was made since. What was made before that is
//! history: who stops Thanos and starts this program a minute later is not told of it. A block that is restored or
//! copied from elsewhere keeps the times in its name and its meta, and is history too. A block of `tools bucket
//! rewrite` is a person's, and no compactor's.
//!
//! Two compactors lose no sample, but each may mark what the other is about to read, and compact what the other is
//! about to mark. So whatever belongs together by labels, in all resolutions, is left alone until
//! [`LEFT_ALONE_FOR`] has passed without another such block.
//!
//! Nothing is kept on the local disk: all follows from one look, and from what [`Own`] remembers of this process.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::bucket::Own;
use crate::error::{Error, Kind};
use crate::format::meta::META_FILE;
use crate::job::catalog::CatalogBlock;
use crate::job::filter::Selection;
use crate::model::{BlockId, LabelSet, Millis, Timestamp};

/// How long blocks are left alone after another compactor made one of their labels: longer than it waits between two
/// of its passes.
pub const LEFT_ALONE_FOR: Millis = 3_600_000;

/// What `thanos.source` says of blocks that a compactor makes by itself.
const SOURCES: [&str; 2] = ["compactor", "compactor.repair"];

/// A block that another compactor made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rival {
    /// The block.
    pub block: BlockId,
    /// Its labels, by which it is grouped.
    pub labels: Arc<LabelSet>,
    /// Milliseconds between its samples, 0 for raw.
    pub resolution: Millis,
    /// When it was made.
    pub made: Millis,
    /// What its meta says of who made it.
    pub source: String,
    /// Its compaction level.
    pub level: i64,
    /// Until when blocks of its labels are left alone.
    pub until: Millis,
}

/// What one look at a bucket shows of other compactors.
#[derive(Clone, Debug, Default)]
pub struct Rivals {
    /// The newest block of each label set that is left alone.
    newest: BTreeMap<Arc<LabelSet>, Rival>,
    /// Blocks that others made since this process looked first, those that are to be deleted too.
    count: usize,
}

impl Rivals {
    /// By all blocks of a look that are ours to work on; `began` is when the look did. What others touch is left alone for
    /// `alone` milliseconds.
    pub fn find(selection: &Selection, own: &Own, began: Millis, alone: Millis) -> Rivals {
        let duplicates = selection.duplicates.iter().map(|(block, _)| block);
        let all = || selection.blocks.iter().chain(&selection.marked).chain(duplicates.clone());
        let (since, before) = own.first_look(began, |since| {
            // a machine whose clock is ahead stamps what it makes with times to come
            all().filter(|b| made(b) > since).map(|b| b.id).collect()
        });
        Rivals::among(all(), since, alone, |id| own.is_block(id) || before.contains(&id))
    }

    /// Among `blocks`, where this process looked first at `since` and knows some.
    fn among<'a>(
        blocks: impl Iterator<Item = &'a CatalogBlock>,
        since: Millis,
        alone: Millis,
        is_known: impl Fn(BlockId) -> bool,
    ) -> Rivals {
        let mut rivals = Rivals::default();
        for block in blocks.filter(|b| is_of_compactor(b) && made(b) > since && !is_known(b.id)) {
            rivals.count += 1;
            let made = made(block);
            let rival = Rival {
                block: block.id,
                labels: block.labels.clone(),
                resolution: block.meta.resolution(),
                made,
                until: made.saturating_add(alone),
                source: block.meta.thanos.source.clone(),
                level: block.meta.compaction.level,
            };
            let newest = rivals.newest.entry(rival.labels.clone()).or_insert_with(|| rival.clone());
            if (newest.made, newest.block) < (rival.made, rival.block) {
                *newest = rival;
            }
        }
        rivals
    }

    /// Blocks that others made since this process looked first.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The newest block of each label set, by labels: of those that are left alone at `now`.
    pub fn at(&self, now: Millis) -> impl Iterator<Item = &Rival> {
        self.newest.values().filter(move |rival| rival.until > now)
    }

    /// For whose sake blocks of these labels are left alone at `now`.
    pub fn of(&self, labels: &LabelSet, now: Millis) -> Option<&Rival> {
        self.newest.get(labels).filter(|rival| rival.until > now)
    }
}

impl Rival {
    /// What a person is told.
    pub fn error(&self) -> Error {
        let made = Timestamp::from_millis(self.made);
        let text = format!(
            "another compactor works on this bucket: this block of level {} in {}@{} was made at {made} by `{}`, and not by \
             this process",
            self.level, self.resolution, self.labels, self.source
        );
        let until = Timestamp::from_millis(self.until);
        let next = format!(
            "stop the other one, or give each its own blocks by --selector.relabel-config; blocks of these labels are left \
             alone until {until}"
        );
        Error::new(Kind::Conflict, text).block(self.block).next(next)
    }
}

/// Whether a compactor made it by itself: merged, downsampled or repaired it.
fn is_of_compactor(block: &CatalogBlock) -> bool {
    let (meta, source) = (&block.meta, block.meta.thanos.source.as_str());
    SOURCES.contains(&source) && (meta.compaction.level >= 2 || meta.resolution() > 0 || source != SOURCES[0])
}

/// When a block was made at the latest, by the clock of who did, in its name or in its meta; and by the clock of the
/// bucket, where that is earlier.
fn made(block: &CatalogBlock) -> Millis {
    let by_maker = block.id.created().max(block.meta.thanos.upload_time.millis());
    let meta = block.objects.iter().find(|o| o.key.ends_with(META_FILE));
    meta.map_or(by_maker, |meta| by_maker.min(meta.modified))
}

#[cfg(test)]
mod tests;
