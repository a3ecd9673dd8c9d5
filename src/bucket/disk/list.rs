//! Listings of a directory, ordered by key as an object store orders them.

use std::fs::{self, DirEntry};
use std::path::Path;

use futures::stream::{BoxStream, StreamExt};
use object_store::path::Path as Key;
use tokio::sync::mpsc;

use super::{Disk, blocking, missing, object, unstaged};
use crate::bucket::failure::of_io;
use crate::bucket::{Folder, Object, Unfinished};
use crate::error::{Error, Result};

/// So many objects go from the walking thread to the reader at once.
const BATCH_OBJECTS: usize = 256;
/// So many batches may wait for the reader.
const WAITING_BATCHES: usize = 4;

/// One name in a directory.
enum Entry {
    File(Object),
    Staged(Unfinished),
    Folder(String),
}

impl Disk {
    /// Every object below `folder`, in the order of their keys.
    pub(in crate::bucket) fn list(&self, folder: &Key) -> BoxStream<'static, Result<Object>> {
        let (tx, rx) = mpsc::channel(WAITING_BATCHES);
        let (root, folder) = (self.clone(), folder.to_string());
        tokio::task::spawn_blocking(move || {
            let mut batch = Vec::with_capacity(BATCH_OBJECTS);
            let done = root.walk(folder, &mut |entry| {
                if let Entry::File(object) = entry {
                    batch.push(Ok(object));
                }
                // a reader that is gone ends the walk
                batch.len() < BATCH_OBJECTS || tx.blocking_send(std::mem::take(&mut batch)).is_ok()
            });
            batch.extend(done.err().map(Err));
            _ = tx.blocking_send(batch);
        });
        futures::stream::unfold(rx, async |mut rx| Some((rx.recv().await?, rx))).flat_map(futures::stream::iter).boxed()
    }

    /// What lies directly in `folder`.
    pub(in crate::bucket) async fn list_folder(&self, folder: &Key) -> Result<Folder> {
        let (root, folder) = (self.clone(), folder.to_string());
        blocking(move || {
            let mut out = Folder::default();
            for entry in root.entries(&folder)? {
                match entry {
                    Entry::File(object) => out.objects.push(object),
                    Entry::Folder(key) if root.shows(&key)? => out.folders.push(key),
                    Entry::Folder(_) | Entry::Staged(_) => {}
                }
            }
            out.folders.sort_unstable();
            Ok(out)
        })
        .await
    }

    /// Files below `folder` that were begun and not finished.
    pub(in crate::bucket) async fn list_unfinished(&self, folder: &Key) -> Result<Vec<Unfinished>> {
        let (root, folder) = (self.clone(), folder.to_string());
        blocking(move || {
            let mut out = Vec::new();
            root.walk(folder, &mut |entry| {
                if let Entry::Staged(unfinished) = entry {
                    out.push(unfinished);
                }
                true
            })?;
            Ok(out)
        })
        .await
    }

    /// Hands out all below `folder` until `visit` says no.
    fn walk(&self, folder: String, visit: &mut dyn FnMut(Entry) -> bool) -> Result<()> {
        let mut levels = vec![self.entries(&folder)?.into_iter()];
        while let Some(level) = levels.last_mut() {
            match level.next() {
                None => _ = levels.pop(),
                Some(Entry::Folder(key)) => levels.push(self.entries(&key)?.into_iter()),
                Some(entry) => {
                    if !visit(entry) {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Ordered as keys are: a folder as its name and a slash.
    fn entries(&self, folder: &str) -> Result<Vec<Entry>> {
        let dir = match fs::read_dir(self.root.join(folder)) {
            Ok(dir) => dir,
            Err(e) if missing(&e) => return Ok(Vec::new()),
            Err(e) => return Err(failed(folder, e)),
        };
        let mut out = Vec::new();
        for entry in dir {
            let entry = entry.map_err(|e| failed(folder, e))?;
            // a name that is not UTF-8 is no key of ours
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            let key = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            if let Some(entry) = classify(&entry, &name, key).map_err(|e| failed(folder, e))? {
                out.push(entry);
            }
        }
        out.sort_unstable_by(|a, b| a.order().cmp(b.order()));
        Ok(out)
    }

    /// Whether a folder holds anything but half-written files.
    fn shows(&self, folder: &str) -> Result<bool> {
        let dir = match fs::read_dir(self.root.join(folder)) {
            Ok(dir) => dir,
            Err(e) if missing(&e) => return Ok(false),
            Err(e) => return Err(failed(folder, e)),
        };
        for entry in dir {
            let name = entry.map_err(|e| failed(folder, e))?.file_name();
            if name.to_str().is_none_or(|n| unstaged(n).is_none()) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Entry {
    fn order(&self) -> impl Iterator<Item = u8> + '_ {
        let (key, slash) = match self {
            Entry::File(o) => (&o.key, None),
            Entry::Staged(u) => (&u.key, None),
            Entry::Folder(key) => (key, Some(b'/')),
        };
        key.bytes().chain(slash)
    }
}

/// `None` for what is neither file nor folder, and for what vanished while we looked.
fn classify(entry: &DirEntry, name: &str, key: String) -> std::io::Result<Option<Entry>> {
    let vanished = |e: std::io::Error| if missing(&e) { Ok(None) } else { Err(e) };
    let kind = match entry.file_type() {
        Ok(kind) => kind,
        Err(e) => return vanished(e),
    };
    if kind.is_dir() {
        return Ok(Some(Entry::Folder(key)));
    }
    // follows a link to a file, and only to a file
    let meta = match fs::metadata(Path::new(&entry.path())) {
        Ok(meta) => meta,
        Err(e) => return vanished(e),
    };
    if !meta.is_file() {
        return Ok(None);
    }
    let object = object(key, &meta);
    Ok(Some(match unstaged(name) {
        None => Entry::File(object),
        Some((_, digits)) => Entry::Staged(Unfinished {
            key: object.key[..object.key.len() - digits.len() - 1].to_owned(),
            id: digits.to_owned(),
            started: object.modified,
            len_bytes: Some(object.len_bytes),
        }),
    }))
}

fn failed(folder: &str, e: std::io::Error) -> Error {
    of_io("list", e).part(folder)
}
