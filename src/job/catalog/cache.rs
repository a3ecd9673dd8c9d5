//! Metas kept on the local disk between runs, at the place and in the form in which Thanos keeps them:
//! `<data-dir>/meta-syncer/<block>/meta.json`.
//!
//! Everything here is best effort: what cannot be read is fetched, what cannot be written is fetched again.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::format::meta::{META_FILE, Meta};
use crate::model::{BlockId, Millis};

/// Name of the folder below the data directory.
const FOLDER: &str = "meta-syncer";

#[derive(Clone, Debug)]
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    pub(super) fn new(data_dir: &Path) -> Self {
        Cache { folder: data_dir.join(FOLDER) }
    }

    /// The kept meta of `id`, unless the bucket's was written at or after it.
    pub(super) fn read(&self, id: BlockId, modified: Millis) -> Option<Meta> {
        let path = self.file(id);
        let written = fs::metadata(&path).ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_millis();
        if written <= modified.max(0) as u128 {
            return None;
        }
        Meta::decode(&fs::read(&path).ok()?).ok()
    }

    /// Keeps a meta; a reader beside us sees all of it or nothing.
    pub(super) fn write(&self, id: BlockId, meta: &Meta) {
        let path = self.file(id);
        let temporary = path.with_extension("json.tmp");
        let written = fs::create_dir_all(self.folder.join(id.to_string()))
            .and_then(|()| fs::File::create(&temporary))
            .and_then(|mut file| file.write_all(&meta.encode()))
            .and_then(|()| fs::rename(&temporary, &path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
    }

    /// Drops what is kept of blocks that are not among `blocks`.
    pub(super) fn retain(&self, blocks: &HashSet<BlockId>) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let kept = entry.file_name().to_str().and_then(|name| name.parse::<BlockId>().ok());
            if kept.is_some_and(|id| !blocks.contains(&id)) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    fn file(&self, id: BlockId) -> PathBuf {
        self.folder.join(id.to_string()).join(META_FILE)
    }
}
