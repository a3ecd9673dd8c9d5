//! Listings of a directory, ordered by key as an object store orders them.

use std::fs::{self, DirEntry};
use std::path::Path;

use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path as Key;

use super::{Disk, blocking, missing, object, unstaged};
use crate::bucket::failure::of_io;
use crate::bucket::{Folder, Object, Unfinished};
use crate::error::{Error, Result};

/// So many neighbours, with all that lies below them, are walked by one thread at a time.
const NEIGHBOURS: usize = 64;

/// One name in a directory.
enum Entry {
    File(Object),
    Staged(Unfinished),
    Folder(String),
}

impl Disk {
    /// Every object below `folder`, in the order of their keys; all cores walk.
    pub(in crate::bucket) fn list(&self, folder: &Key) -> BoxStream<'static, Result<Object>> {
        let (root, folder) = (self.clone(), folder.to_string());
        let top = blocking(move || {
            let mut entries = root.entries(&folder)?.into_iter();
            let pieces =
                std::iter::from_fn(|| Some(entries.by_ref().take(NEIGHBOURS).collect())).take_while(|p: &Vec<_>| !p.is_empty());
            Ok((pieces.collect(), root))
        });
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let below = move |found: Result<(Vec<Vec<Entry>>, Disk)>| match found {
            Err(error) => stream::iter([Err(error)]).boxed(),
            Ok((pieces, root)) => {
                let walks = pieces.into_iter().map(move |piece| {
                    let root = root.clone();
                    async move { blocking(move || Ok(root.objects(piece))).await.unwrap_or_else(|error| vec![Err(error)]) }
                });
                stream::iter(walks).buffered(threads).flat_map(stream::iter).boxed()
            }
        };
        stream::once(top).flat_map(below).boxed()
    }

    /// The objects among `entries` and below them; what could not be walked comes last.
    fn objects(&self, entries: Vec<Entry>) -> Vec<Result<Object>> {
        let mut objects = Vec::with_capacity(4 * entries.len());
        let done = self.walk(entries, &mut |entry| {
            if let Entry::File(object) = entry {
                objects.push(Ok(object));
            }
        });
        objects.extend(done.err().map(Err));
        objects
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

    /// The folders directly in `folder`, whatever is in them.
    pub(in crate::bucket) async fn list_folders(&self, folder: &Key) -> Result<Vec<String>> {
        let (root, folder) = (self.clone(), folder.to_string());
        blocking(move || {
            let name = |entry| if let Entry::Folder(key) = entry { Some(key) } else { None };
            let mut names: Vec<String> = root.entries(&folder)?.into_iter().filter_map(name).collect();
            names.sort_unstable();
            Ok(names)
        })
        .await
    }

    /// Files below `folder` that were begun and not finished.
    pub(in crate::bucket) async fn list_unfinished(&self, folder: &Key) -> Result<Vec<Unfinished>> {
        let (root, folder) = (self.clone(), folder.to_string());
        blocking(move || {
            let mut out = Vec::new();
            root.walk(root.entries(&folder)?, &mut |entry| {
                if let Entry::Staged(unfinished) = entry {
                    out.push(unfinished);
                }
            })?;
            Ok(out)
        })
        .await
    }

    /// Hands out `entries` and all below them but the folders themselves.
    fn walk(&self, entries: Vec<Entry>, visit: &mut dyn FnMut(Entry)) -> Result<()> {
        let mut levels = vec![entries.into_iter()];
        while let Some(level) = levels.last_mut() {
            match level.next() {
                None => _ = levels.pop(),
                Some(Entry::Folder(key)) => levels.push(self.entries(&key)?.into_iter()),
                Some(entry) => visit(entry),
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
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if let Some(entry) = classify(&entry, name, below(folder, name)).map_err(|e| failed(folder, e))? {
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

/// The key of `name` in `folder`, in as many bytes as it has.
fn below(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { [folder, "/", name].concat() }
}

fn failed(folder: &str, e: std::io::Error) -> Error {
    of_io("list", e).part(folder)
}
