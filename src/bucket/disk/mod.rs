//! A bucket in a directory: the FILESYSTEM provider.
//!
//! A key is a path below the directory. Written here, over the system's own calls and not over
//! `object_store`'s file store, because a bucket must be able to say: this object *and its folder*
//! are on the disk; because a folder of nothing but half-written files is no folder; and because
//! the disk should write while we compute.
//!
//! Like upstream: a directory that does not exist is an empty bucket and is made by the first
//! write; empty folders are not listed and go with their last object; links to folders are not
//! followed. Unlike upstream an object appears at once as a whole: it is written beside its place
//! as `name#<digits>` ("staged"), and such names are never listed.

mod direct;
mod list;
mod room;
mod write;

use std::fs::{self, File, Metadata};
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use object_store::path::Path as Key;

use super::Object;
use super::failure::of_io;
use crate::error::{Error, Kind, Result};
use crate::model::Millis;
pub(crate) use room::Room;
pub(super) use write::Staged;

/// A bucket's directory; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    root: PathBuf,
    room: Room,
}

impl Disk {
    /// The directory need not exist.
    pub(super) fn new(root: PathBuf) -> Self {
        Disk { root, room: Room::default() }
    }

    /// Writes as long as there is room.
    #[cfg(test)]
    pub(super) fn with_room(root: PathBuf, room: Room) -> Self {
        Disk { root, room }
    }

    /// Refuses a root that is there and is no directory.
    pub(super) async fn check(&self) -> Result<()> {
        let root = self.root.clone();
        blocking(move || match fs::metadata(&root) {
            Ok(m) if m.is_dir() => fs::read_dir(&root).map(drop).map_err(|e| of_io("list the bucket's directory", e)),
            Ok(_) => Err(Error::new(Kind::Invalid, format!("{} is not a directory", root.display()))),
            Err(e) if missing(&e) => Ok(()),
            Err(e) => Err(of_io("look at the bucket's directory", e)),
        })
        .await
    }

    pub(super) async fn get(&self, key: &Key, limit_bytes: u64) -> Result<Bytes> {
        let path = self.path(key)?;
        blocking(move || whole(&path, limit_bytes)).await
    }

    /// Many whole objects on one thread: handing each to a thread of its own costs more than to read it.
    pub(super) async fn get_many<T: Send + 'static>(
        &self,
        keys: Vec<Result<Key>>,
        limit_bytes: u64,
        each: impl Fn(usize, Result<Bytes>) -> T + Send + 'static,
    ) -> Result<Vec<T>> {
        let paths: Vec<_> = keys.into_iter().map(|key| key.and_then(|k| self.path(&k))).collect();
        blocking(move || {
            let read = |path: Result<PathBuf>| path.and_then(|p| whole(&p, limit_bytes));
            Ok(paths.into_iter().enumerate().map(|(n, path)| each(n, read(path))).collect())
        })
        .await
    }

    pub(super) async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes> {
        let path = self.path(key)?;
        blocking(move || {
            let (mut file, len) = open(&path)?;
            if range.end > len {
                return Err(too_short(&range, len));
            }
            file.seek(SeekFrom::Start(range.start)).map_err(|e| of_io("read", e))?;
            read(&mut file, range.end - range.start)
        })
        .await
    }

    pub(super) async fn head(&self, key: &Key) -> Result<Option<Object>> {
        let path = self.path(key)?;
        let key = key.to_string();
        blocking(move || match fs::metadata(&path) {
            Ok(m) if m.is_file() => Ok(Some(object(key, &m))),
            Ok(_) => Ok(None),
            Err(e) if missing(&e) => Ok(None),
            Err(e) => Err(of_io("stat", e)),
        })
        .await
    }

    /// Deletes a file, and the folders that are empty then.
    pub(super) async fn delete(&self, key: &Key) -> Result<()> {
        let (path, root) = (self.path(key)?, self.root.clone());
        blocking(move || {
            match fs::symlink_metadata(&path) {
                Ok(m) if m.is_dir() => return Ok(()), // a folder is no object
                Ok(_) => {}
                Err(e) if missing(&e) => return Ok(()),
                Err(e) => return Err(of_io("delete", e)),
            }
            match fs::remove_file(&path) {
                Err(e) if !missing(&e) => return Err(of_io("delete", e)),
                _ => {}
            }
            prune(&root, path.parent());
            Ok(())
        })
        .await
    }

    /// Removes a folder that holds nothing.
    pub(super) async fn delete_marker(&self, folder: &Key) -> Result<()> {
        let (path, root) = (self.folder(folder), self.root.clone());
        blocking(move || {
            prune(&root, Some(&path));
            Ok(())
        })
        .await
    }

    pub(super) async fn abort_unfinished(&self, key: &Key, id: &str) -> Result<()> {
        let staged = self.path(key)?.with_file_name(format!("{}#{id}", key.filename().unwrap_or_default()));
        if !staged.file_name().and_then(|n| n.to_str()).is_some_and(is_staged) {
            return Err(Error::new(Kind::Invalid, format!("`{id}` does not name a half-written file")));
        }
        let root = self.root.clone();
        blocking(move || match fs::remove_file(&staged) {
            Err(e) if !missing(&e) => Err(of_io("delete a half-written file", e)),
            _ => {
                prune(&root, staged.parent());
                Ok(())
            }
        })
        .await
    }

    /// The file of an object.
    fn path(&self, key: &Key) -> Result<PathBuf> {
        if key.filename().is_some_and(is_staged) {
            return Err(Error::new(Kind::Invalid, "names that end in `#<digits>` are kept for files that are being written"));
        }
        Ok(self.folder(key))
    }

    fn folder(&self, key: &Key) -> PathBuf {
        self.root.join(key.as_ref())
    }
}

/// Runs file calls where they may wait.
fn whole(path: &Path, limit_bytes: u64) -> Result<Bytes> {
    let (mut file, len) = open(path)?;
    if len > limit_bytes {
        return Err(over_limit(len, limit_bytes));
    }
    read(&mut file, len)
}

async fn blocking<T: Send + 'static>(call: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(call).await {
        Ok(result) => result,
        Err(e) => match e.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::new(Kind::Cancelled, "the program is shutting down")),
        },
    }
}

fn open(path: &Path) -> Result<(File, u64)> {
    let file = File::open(path).map_err(|e| of_io("open", e))?;
    let meta = file.metadata().map_err(|e| of_io("stat", e))?;
    if !meta.is_file() {
        return Err(Error::new(Kind::NotFound, "this is a folder, not an object"));
    }
    Ok((file, meta.len()))
}

/// `len` bytes that the file was just seen to have.
fn read(file: &mut File, len: u64) -> Result<Bytes> {
    let too_large = || Error::new(Kind::Limit, format!("{len} bytes do not fit into memory at once"));
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(len).map_err(|_| too_large())?).map_err(|_| too_large())?;
    file.take(len).read_to_end(&mut bytes).map_err(|e| of_io("read", e))?;
    if (bytes.len() as u64) < len {
        return Err(of_io("read", std::io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(bytes.into())
}

/// Removes `folder` and the folders above it as long as they are empty, never the root.
fn prune(root: &Path, mut folder: Option<&Path>) {
    while let Some(path) = folder {
        // a folder that is in use, or gone already, ends the walk: neither is a failure
        if path == root || !path.starts_with(root) || fs::remove_dir(path).is_err() {
            return;
        }
        folder = path.parent();
    }
}

/// Since the Unix epoch.
fn since(meta: &Metadata) -> Duration {
    meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok()).unwrap_or_default()
}

fn modified(meta: &Metadata) -> Millis {
    Millis::try_from(since(meta).as_millis()).unwrap_or(Millis::MAX)
}

fn object(key: String, meta: &Metadata) -> Object {
    let since = since(meta);
    Object {
        key,
        len_bytes: meta.len(),
        modified: modified(meta),
        etag: Some(format!("{:x}-{:x}-{:x}", inode(meta), since.as_nanos(), meta.len())),
    }
}

#[cfg(unix)]
fn inode(meta: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(meta)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}

/// Whether a file name is one that [`Staged`] gives.
fn is_staged(name: &str) -> bool {
    unstaged(name).is_some()
}

/// The final name of a staged file, and its digits.
fn unstaged(name: &str) -> Option<(&str, &str)> {
    let (name, digits) = name.rsplit_once('#')?;
    (!name.is_empty() && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some((name, digits))
}

fn missing(e: &std::io::Error) -> bool {
    matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

pub(super) fn over_limit(len: u64, limit_bytes: u64) -> Error {
    Error::new(Kind::Limit, format!("the object has {len} bytes, the limit is {limit_bytes}"))
}

pub(super) fn too_short(range: &Range<u64>, len: u64) -> Error {
    Error::new(Kind::Corrupt, format!("bytes {}..{} were asked for, the object has {len}", range.start, range.end))
        .at(range.start.min(len))
        .next("the object is cut short or was replaced: repair the block")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staged_names_are_known() {
        assert_eq!(unstaged("index#12"), Some(("index", "12")));
        assert_eq!(unstaged("a#b#0"), Some(("a#b", "0")));
        for name in ["index", "index#", "#12", "index#12a", "index#1/2"] {
            assert_eq!(unstaged(name), None, "{name}");
        }
    }
}
