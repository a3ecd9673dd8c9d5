//! Levels that came out empty: notes below `--data-dir`, so that no pass reads their blocks again.
//!
//! Nothing of it is in the bucket, where others would take it for more: a mark would keep Thanos from the block for ever,
//! and an empty block lists nothing. Whoever loses a note reads the block once more.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::{Covered, Due, Levels, SeriesPolicy};
use crate::job::catalog::CatalogBlock;
use crate::model::{BlockId, Millis};
use crate::series::aggregate::{FIVE_MINUTES, ONE_HOUR};

/// The file below `--data-dir`.
const FILE: &str = "downsampled-to-nothing.json";

/// Blocks that are remembered; beyond, the oldest are read again.
const MOST_BLOCKS: usize = 10_000;

/// Which levels of which blocks hold nothing, under one choice of series.
#[derive(Clone, Debug, Default)]
pub struct Empties {
    /// The choice of series for people, "" for all.
    series: String,
    notes: BTreeMap<BlockId, Note>,
}

/// What is known of a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    /// A hash of its meta and of the names and sizes of its files: tombstones may come and go.
    version: u64,
    /// Which series were asked for.
    series: String,
    /// Milliseconds between samples of the levels that hold nothing.
    levels: BTreeSet<Millis>,
}

impl Empties {
    /// What the file in `folder` says of the series that `policy` chooses; nothing where there is none, or one that cannot
    /// be read.
    pub fn read(folder: &Path, policy: Option<&SeriesPolicy>) -> Self {
        let notes = std::fs::read(path(folder)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Empties { series: policy.map(SeriesPolicy::describe).unwrap_or_default(), notes: notes.unwrap_or_default() }
    }

    /// Whether nothing is left of `block` at the resolution `level`.
    pub fn knows(&self, block: &CatalogBlock, level: Millis) -> bool {
        let note = self.notes.get(&block.id);
        note.is_some_and(|n| n.series == self.series && n.levels.contains(&level) && n.version == version(block))
    }

    /// Takes out of `due` what would come out empty again.
    pub fn leave_out(&self, due: &mut Vec<Due>) {
        due.retain_mut(|due| {
            let lacks = |is_due, level| is_due && !self.knows(&due.block, level);
            due.levels = Levels { five: lacks(due.levels.five, FIVE_MINUTES), hour: lacks(due.levels.hour, ONE_HOUR) };
            !due.levels.is_empty()
        });
    }

    /// Has `covered` count what is known to be empty as there.
    pub fn cover<'a>(&self, covered: &mut Covered, blocks: impl IntoIterator<Item = &'a CatalogBlock>) {
        if self.notes.is_empty() {
            return;
        }
        for block in blocks {
            for level in [FIVE_MINUTES, ONE_HOUR].into_iter().filter(|&level| self.knows(block, level)) {
                covered.add_sources(level, block.meta.sources());
            }
        }
    }

    /// Notes that nothing is left of these blocks at these levels: best effort, since the next pass then only reads
    /// them once more.
    pub(super) fn note(mut self, folder: &Path, empty: &[(CatalogBlock, Millis)]) {
        for (block, level) in empty {
            let new = Note { version: version(block), series: self.series.clone(), levels: BTreeSet::new() };
            let note = self.notes.entry(block.id).or_insert_with(|| new.clone());
            if (note.version, &note.series) != (new.version, &new.series) {
                *note = new;
            }
            note.levels.insert(*level);
        }
        while self.notes.len() > MOST_BLOCKS {
            self.notes.pop_first();
        }
        let text = serde_json::to_vec(&self.notes).unwrap_or_default();
        let staged = folder.join(format!("{FILE}.new"));
        let write = || std::fs::write(&staged, text).and_then(|()| std::fs::rename(&staged, path(folder)));
        let _ = std::fs::create_dir_all(folder).and_then(|()| write());
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

fn version(block: &CatalogBlock) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&block.meta.encode());
    // marks come and go without a sample being another
    for object in block.objects.iter().filter(|o| !o.key.ends_with(".json")) {
        hash.update(object.key.as_bytes());
        hash.update(&object.len_bytes.to_le_bytes());
    }
    hash.digest()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::bucket::Object;
    use crate::format::meta::Meta;

    fn block(n: i64, files: &[&str]) -> CatalogBlock {
        let id = BlockId::from_parts(n, 0);
        let mut meta = Meta { ulid: id, max_time: 14 * 86_400_000, version: 1, ..Meta::default() };
        meta.compaction.sources = vec![id];
        let object = |name: &&str| Object { key: format!("{id}/{name}"), len_bytes: 9, modified: 0, etag: None };
        CatalogBlock {
            id,
            meta: Arc::new(meta),
            labels: Arc::default(),
            objects: files.iter().map(object).collect(),
            deletion: None,
            no_compact: None,
            no_downsample: None,
        }
    }

    #[test]
    fn what_was_empty_is_left_out_while_nothing_changes() {
        let folder = tempfile::tempdir().unwrap();
        let read = |policy: Option<&SeriesPolicy>| Empties::read(folder.path(), policy);
        let (one, two) = (block(1, &["index"]), block(2, &["index"]));
        assert!(!read(None).knows(&one, FIVE_MINUTES), "there is no file yet");
        read(None)
            .note(&folder.path().join("."), &[(one.clone(), FIVE_MINUTES), (one.clone(), ONE_HOUR), (two.clone(), ONE_HOUR)]);
        let known = read(None);
        let all = Levels { five: true, hour: true };
        let mut due = vec![Due { block: one.clone(), levels: all }, Due { block: two.clone(), levels: all }];
        known.leave_out(&mut due);
        assert_eq!(
            due.iter().map(|d| (d.block.id, d.levels)).collect::<Vec<_>>(),
            [(two.id, Levels { five: true, hour: false })]
        );
        let mut covered = Covered::default();
        known.cover(&mut covered, [&one, &two]);
        assert!(covered.has(FIVE_MINUTES, &[one.id]) && covered.has(ONE_HOUR, &[one.id, two.id]));
        assert!(!covered.has(FIVE_MINUTES, &[two.id]));
        // a mark is no change, tombstones are, and so is another choice of series
        assert!(known.knows(&block(1, &["index", "no-compact-mark.json"]), FIVE_MINUTES));
        assert!(!known.knows(&block(1, &["index", "tombstones"]), FIVE_MINUTES));
        let policy = SeriesPolicy::parse(&["!{a=\"b\"}", "{c=~\"d.*\"}"]).unwrap();
        assert!(!read(policy.as_ref()).knows(&one, FIVE_MINUTES));
        read(policy.as_ref()).note(folder.path(), &[(one.clone(), ONE_HOUR)]);
        assert!(read(policy.as_ref()).knows(&one, ONE_HOUR) && !read(policy.as_ref()).knows(&one, FIVE_MINUTES));
        assert!(!read(None).knows(&one, ONE_HOUR) && read(None).knows(&two, ONE_HOUR));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_none() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "[]", "{\"x\":{}}", "{\"01ARZ3NDEKTSV4RRFFQ69G5FAV\":{\"version\":-1}}"] {
            std::fs::write(path(folder.path()), text).unwrap();
            assert!(Empties::read(folder.path(), None).notes.is_empty(), "{text}");
        }
        // many blocks: the oldest is forgotten
        let many: Vec<(CatalogBlock, Millis)> = (0..MOST_BLOCKS as i64 + 1).map(|n| (block(n, &[]), FIVE_MINUTES)).collect();
        Empties::read(folder.path(), None).note(folder.path(), &many);
        let known = Empties::read(folder.path(), None);
        assert!(!known.knows(&many[0].0, FIVE_MINUTES) && known.knows(&many[1].0, FIVE_MINUTES));
    }
}
