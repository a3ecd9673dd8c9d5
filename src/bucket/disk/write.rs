//! Writing a file of a bucket: staged, synced, renamed into place, folder synced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use object_store::path::Path as Key;
use tokio::task::JoinHandle;

use super::direct::{Aligned, Sink};
use super::{Disk, Room, blocking, open, prune};
use crate::bucket::failure::{of_io, of_write};
use crate::error::{Error, Kind, Result};
use crate::model::Millis;

/// So much is collected before a thread is asked to write it.
const WRITE_BYTES: usize = 1 << 20;
/// The disk is told to begin after so many new bytes: it works while the next ones are computed,
/// and the last sync has little left to do.
const SYNC_BYTES: u64 = 32 << 20;
/// A writer that is so far ahead of the disk waits, so that memory is not filled with what is
/// still to be written.
const AHEAD_BYTES: u64 = 256 << 20;
/// A folder may vanish between making it and using it (its last object is deleted by somebody):
/// so often it is made again.
const FOLDER_ATTEMPTS: usize = 8;

impl Disk {
    /// Writes a whole object; it and its folder are on the disk when this returns.
    pub(in crate::bucket) async fn put(&self, key: &Key, bytes: Bytes) -> Result<()> {
        let (root, path, room) = (self.root.clone(), self.path(key)?, self.room.clone());
        blocking(move || {
            let mut place = Place::new(root, path, room)?;
            place.fill(&bytes)?;
            place.publish(bytes.len() as u64)
        })
        .await
    }

    /// Whether it was written; not synced.
    pub(in crate::bucket) async fn put_new(&self, key: &Key, bytes: Bytes) -> Result<bool> {
        let (root, path, room) = (self.root.clone(), self.path(key)?, self.room.clone());
        blocking(move || {
            let mut place = Place::new(root, path, room)?;
            place.fill(&bytes)?;
            place.publish_new()
        })
        .await
    }

    /// Copies a whole object, sharing its blocks on the disk where the file system can; returns its length.
    pub(in crate::bucket) async fn copy(&self, from: &Key, to: &Key) -> Result<u64> {
        let (root, from, to, room) = (self.root.clone(), self.path(from)?, self.path(to)?, self.room.clone());
        blocking(move || {
            let (mut source, len) = open(&from)?;
            let mut place = Place::new(root, to, room)?;
            let copied = place.room.take().and_then(|()| io::copy(&mut source, &mut &*place.file));
            let copied = copied.map_err(|e| of_write(&place.target, len, e))?;
            if copied != len {
                return Err(of_io("copy", io::ErrorKind::UnexpectedEof.into()));
            }
            place.publish(len)?;
            Ok(len)
        })
        .await
    }

    /// The time that a file gets which is written now beside `key`; it goes again.
    pub(in crate::bucket) async fn date(&self, key: &Key) -> Result<Millis> {
        let (root, path, room) = (self.root.clone(), self.path(key)?, self.room.clone());
        blocking(move || {
            let place = Place::new(root, path, room)?;
            place.file.metadata().map(|m| super::modified(&m)).map_err(|e| of_io("stat", e))
        })
        .await
    }

    /// Begins an object that is written piece by piece.
    pub(in crate::bucket) async fn stage(&self, key: &Key) -> Result<Staged> {
        let (root, path, room) = (self.root.clone(), self.path(key)?, self.room.clone());
        let place = blocking(move || Place::new(root, path, room)).await?;
        Ok(Staged {
            place,
            buffer: Aligned::new(WRITE_BYTES),
            written: 0,
            unsynced: 0,
            sink: None,
            past_cache: false,
            writing: None,
            syncing: None,
        })
    }
}

/// An object that is being written.
///
/// *Memory:* two buffers of [`WRITE_BYTES`].
pub(in crate::bucket) struct Staged {
    place: Place,
    buffer: Aligned,
    /// Bytes handed to the disk.
    written: u64,
    unsynced: u64,
    /// Where buffers go; out on loan while one is written.
    sink: Option<Sink>,
    /// Whether the last buffer went past the page cache: then a sync has next to nothing to do.
    past_cache: bool,
    writing: Option<JoinHandle<Result<(Sink, Aligned)>>>,
    syncing: Option<JoinHandle<io::Result<()>>>,
}

impl Staged {
    /// Appends.
    pub(in crate::bucket) async fn write(&mut self, mut bytes: Bytes) -> Result<()> {
        while !bytes.is_empty() {
            if self.buffer.fill(&mut bytes) {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Puts the object into its place; it and its folder are on the disk when this returns.
    pub(in crate::bucket) async fn finish(mut self) -> Result<u64> {
        self.flush().await?;
        self.settle().await?;
        settle(&mut self.syncing).await?;
        let Staged { mut place, written, .. } = self;
        blocking(move || place.publish(written)).await?;
        Ok(written)
    }

    /// Drops what was written.
    pub(in crate::bucket) async fn abort(mut self) -> Result<()> {
        // what is under way must not write into a file that is gone: harmless, but untidy
        _ = self.settle().await;
        _ = settle(&mut self.syncing).await;
        blocking(move || {
            drop(self.place);
            Ok(())
        })
        .await
    }

    /// Hands what was collected to a thread, one at a time so that the order stays.
    async fn flush(&mut self) -> Result<()> {
        let len = self.buffer.len() as u64;
        if len == 0 {
            return Ok(());
        }
        let spare = self.settle().await?.unwrap_or_else(|| Aligned::new(WRITE_BYTES));
        let full = std::mem::replace(&mut self.buffer, spare);
        let (sink, file, path, offset) =
            (self.sink.take(), Arc::clone(&self.place.file), self.place.staged.clone(), self.written);
        let (target, room) = (self.place.target.clone(), self.place.room.clone());
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let written = || {
                let mut sink = match sink {
                    Some(sink) => sink,
                    None => Sink::open(&path, file.try_clone()?),
                };
                room.take()?;
                sink.write(&full, offset)?;
                Ok(sink)
            };
            match written() {
                Ok(sink) => Ok((sink, full)),
                Err(e) => Err(of_write(&target, full.len() as u64, e)),
            }
        }));
        self.written += len;
        self.unsynced += len;
        self.begin_sync().await
    }

    /// Waits for the write under way; returns its buffer, emptied.
    async fn settle(&mut self) -> Result<Option<Aligned>> {
        let Some(writing) = self.writing.take() else { return Ok(None) };
        let (sink, mut buffer) = writing.await.unwrap_or_else(|_| Err(shutting_down()))?;
        self.past_cache = sink.is_direct();
        self.sink = Some(sink);
        buffer.clear();
        Ok(Some(buffer))
    }

    async fn begin_sync(&mut self) -> Result<()> {
        if self.past_cache {
            self.unsynced = 0;
        }
        let idle = self.syncing.as_ref().is_none_or(JoinHandle::is_finished);
        if self.unsynced >= AHEAD_BYTES || (idle && self.unsynced >= SYNC_BYTES) {
            settle(&mut self.syncing).await?;
            let file = Arc::clone(&self.place.file);
            self.syncing = Some(tokio::task::spawn_blocking(move || file.sync_data()));
            self.unsynced = 0;
        }
        Ok(())
    }
}

/// Waits for a thread's work, if any is under way.
async fn settle(work: &mut Option<JoinHandle<io::Result<()>>>) -> Result<()> {
    match work.take() {
        None => Ok(()),
        Some(work) => blocking_result(work.await),
    }
}

fn blocking_result<T>(result: Result<io::Result<T>, tokio::task::JoinError>) -> Result<T> {
    match result {
        Ok(done) => done.map_err(|e| of_io("write", e)),
        Err(_) => Err(shutting_down()),
    }
}

fn shutting_down() -> Error {
    Error::new(Kind::Cancelled, "the program is shutting down")
}

/// A staged file beside its place; dropping it removes the file.
struct Place {
    root: PathBuf,
    file: Arc<File>,
    staged: PathBuf,
    target: PathBuf,
    /// Folders that were made for it, innermost first; the folder above each is not synced yet.
    made: Vec<PathBuf>,
    room: Room,
    published: bool,
}

impl Place {
    fn new(root: PathBuf, target: PathBuf, room: Room) -> Result<Self> {
        let folder = target.parent().unwrap_or(&root).to_owned();
        let name = target.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        let mut made = Vec::new();
        for _ in 0..FOLDER_ATTEMPTS {
            room.take().and_then(|()| make_folder(&folder, &mut made)).map_err(|e| of_write(&folder, 0, e))?;
            let staged = folder.join(format!("{name}#{}", next_digits()));
            match OpenOptions::new().write(true).create_new(true).open(&staged) {
                Ok(file) => return Ok(Place { root, file: Arc::new(file), staged, target, made, room, published: false }),
                Err(e) if matches!(e.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => {}
                Err(e) => return Err(of_write(&target, 0, e)),
            }
        }
        Err(Error::new(Kind::Conflict, "the folder is removed again and again").next("end the other program, then run again"))
    }

    /// Writes all there is to write.
    fn fill(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.room.take().and_then(|()| (&*self.file).write_all(bytes));
        written.map_err(|e| of_write(&self.target, bytes.len() as u64, e))
    }

    /// Syncs, renames, syncs the folders.
    fn publish(&mut self, len: u64) -> Result<()> {
        let held = self.file.metadata().map_err(|e| of_io("stat", e))?.len();
        if held != len {
            return Err(Error::new(Kind::Conflict, format!("{len} bytes were written, the file has {held}"))
                .next("see who else writes into the bucket's directory"));
        }
        // some file systems find room for what was written only now
        self.room.take().and_then(|()| self.file.sync_all()).map_err(|e| of_write(&self.target, len, e))?;
        self.room.take().and_then(|()| fs::rename(&self.staged, &self.target)).map_err(|e| of_write(&self.target, len, e))?;
        self.published = true;
        let mut folders = self.target.parent().into_iter().chain(self.made.iter().filter_map(|made| made.parent()));
        folders.try_for_each(sync_folder).map_err(|e| of_io("sync the folder", e))
    }
}

impl Place {
    /// Takes the place if it is free; returns whether it was.
    fn publish_new(&mut self) -> Result<bool> {
        match fs::hard_link(&self.staged, &self.target) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            // a file system without links: of two who come at once, the later one is read again
            Err(_) if !self.target.exists() => {
                fs::rename(&self.staged, &self.target).map_err(|e| of_io("rename", e))?;
                self.published = true;
                Ok(true)
            }
            Err(_) => Ok(false),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.published {
            // whoever drops it has an error in hand already; what stays is found as unfinished
            _ = fs::remove_file(&self.staged);
            prune(&self.root, self.staged.parent());
        }
    }
}

/// Makes a folder and those above it, and notes which were new, innermost first.
fn make_folder(folder: &Path, made: &mut Vec<PathBuf>) -> io::Result<()> {
    let made_it = match fs::create_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            make_folder(folder.parent().ok_or(e)?, made)?;
            fs::create_dir(folder)
        }
        result => result,
    };
    match made_it {
        Ok(()) => made.insert(0, folder.to_owned()),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
        Err(e) => return Err(e),
    }
    Ok(())
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Elsewhere a folder cannot be opened to be synced.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Digits that no other writer of this process has, and hardly any of another one.
fn next_digits() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    u64::from(std::process::id()) * 1_000_000 + NEXT.fetch_add(1, Relaxed)
}
