//! Metas kept on the local disk between runs, all in one file: `<data-dir>/meta-syncer/metas`.
//!
//! Layout: a head line, then for each block a line `<block> <modified ms> <bytes in the bucket> <bytes here>`, the
//! bytes of its `meta.json` as [`Meta::encode`] writes them, and a newline.
//!
//! Where Thanos ran before us in the same folder, a file for each block lies there, `<block>/meta.json`, and is
//! used; we write none, since ten thousand small files cost more than what is in them. Thanos leaves our file
//! alone, because it is not named like a block.
//!
//! Everything here is best effort: what cannot be read is fetched, what cannot be written is fetched again.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use super::fetch::{META_LIMIT_BYTES, Version};
use crate::format::meta::{META_FILE, Meta};
use crate::model::{BlockId, Millis};

/// Name of the folder below the data directory.
const FOLDER: &str = "meta-syncer";

/// Name of our file in it.
const FILE: &str = "metas";

/// First line of our file.
const HEAD: &str = "blockyard metas 1\n";

/// A meta, and what the listing said of its object when it was fetched.
pub(super) type Kept = (BlockId, Version, Arc<Meta>);

#[derive(Clone, Debug)]
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    pub(super) fn new(data_dir: &Path) -> Self {
        Cache { folder: data_dir.join(FOLDER) }
    }

    /// Everything that is kept, up to the first damage.
    pub(super) fn read(&self) -> Vec<Kept> {
        let mut all = Vec::new();
        let Ok(file) = fs::File::open(self.folder.join(FILE)) else { return all };
        let mut file = BufReader::with_capacity(1 << 18, file);
        let mut line = String::new();
        if file.read_line(&mut line).is_err() || line != HEAD {
            return all;
        }
        let mut json = Vec::new();
        while let Some(kept) = read_one(&mut file, &mut line, &mut json) {
            all.push(kept);
        }
        all
    }

    /// Keeps these and nothing else; a reader beside us sees the old file or the new one.
    pub(super) fn write(&self, metas: &[Kept]) {
        // two of one process may write at once
        static WRITTEN: AtomicU64 = AtomicU64::new(0);
        let temporary = self.folder.join(format!("{FILE}.tmp{}", WRITTEN.fetch_add(1, Ordering::Relaxed)));
        let written = fs::create_dir_all(&self.folder)
            .and_then(|()| fs::File::create(&temporary))
            .and_then(|file| {
                let mut file = BufWriter::with_capacity(1 << 18, file);
                file.write_all(HEAD.as_bytes())?;
                for (id, (modified, len), meta) in metas {
                    let json = meta.encode();
                    writeln!(file, "{id} {modified} {len} {}", json.len())?;
                    file.write_all(&json)?;
                    file.write_all(b"\n")?;
                }
                file.flush()
            })
            .and_then(|()| fs::rename(&temporary, self.folder.join(FILE)));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
    }

    /// Blocks of which Thanos kept a meta.
    pub(super) fn of_thanos(&self) -> HashSet<BlockId> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return HashSet::new() };
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
    }

    /// The meta of `id` that Thanos kept, unless the bucket's was written at or after it.
    pub(super) fn read_of_thanos(&self, id: BlockId, modified: Millis) -> Option<Meta> {
        let path = self.folder.join(id.to_string()).join(META_FILE);
        let written = fs::metadata(&path).ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_millis();
        if written <= modified.max(0) as u128 {
            return None;
        }
        Meta::decode(&fs::read(&path).ok()?).ok()
    }
}

fn read_one(file: &mut impl BufRead, line: &mut String, json: &mut Vec<u8>) -> Option<Kept> {
    line.clear();
    file.read_line(line).ok()?;
    let mut words = line.trim_end().split(' ');
    let id: BlockId = words.next()?.parse().ok()?;
    let version: Version = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let len: u64 = words.next()?.parse().ok().filter(|&len| len <= META_LIMIT_BYTES)?;
    json.clear();
    file.by_ref().take(len + 1).read_to_end(json).ok()?;
    if json.len() as u64 != len + 1 || json.pop() != Some(b'\n') {
        return None;
    }
    Some((id, version, Arc::new(Meta::decode(json).ok()?)))
}
