//! The one gate to a bucket: every access goes through [`Bucket`].
//!
//! Keys are full paths below the configured prefix, `/`-separated, without a leading slash.
//! Bucket files are read, never mapped: a file that is cut short while mapped would end the process.
//!
//! Nothing here relies on conditional writes: some stores accept `If-None-Match` and overwrite
//! all the same. Two writers of one key are kept apart by names (block ids), not by the store.

mod disk;
mod failure;
pub mod faulty;
mod key;
mod lag;
mod note;
mod objects;
mod own;
mod parts;
mod provider;
mod requests;
mod upload;

use std::cell::Cell;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::TryStreamExt;
use futures::stream::{BoxStream, StreamExt};
use object_store::ObjectStore;
use object_store::memory::InMemory;

use crate::error::{Error, Kind, Result};
use crate::model::Millis;
use disk::Disk;
#[cfg(test)]
pub(crate) use disk::Room;
#[cfg(test)]
pub(crate) use failure::archived;
pub use failure::is_archived;
pub(crate) use failure::of_spill;
use key::Keys;
use objects::Objects;
pub use own::Own;
pub use provider::{Opened, expand_env};
use requests::{Counters, Listing};
pub use requests::{Measured, Requests, SECONDS, Tally, sizes};
use upload::Sink;
pub use upload::Upload;

/// Objects that one thread reads in a row where the bucket is a local folder.
const MANY_ON_A_THREAD: usize = 128;

/// No provider copies a larger object in one request.
const MAX_COPY_BYTES: u64 = 5 << 30;

/// One object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Key below the prefix.
    pub key: String,
    /// Size in bytes.
    pub len_bytes: u64,
    /// When it was last written.
    pub modified: Millis,
    /// The provider's version tag.
    pub etag: Option<String>,
}

/// What lies directly below a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folder {
    /// Objects, without directory markers, ordered by key.
    pub objects: Vec<Object>,
    /// Names (full keys, no trailing slash) of folders, ordered.
    pub folders: Vec<String>,
}

/// An upload that was begun and neither finished nor aborted: parts that are billed and not
/// listed, or a half-written file beside its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// The key the object would have had.
    pub key: String,
    /// The provider's name for the upload.
    pub id: String,
    /// When it was begun, or on a file system last written to.
    pub started: Millis,
    /// Bytes it holds, where the provider tells.
    pub len_bytes: Option<u64>,
}

/// How a store behind `object_store` wants to be used.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// How many bytes one ranged read should ask for.
    pub read_bytes: usize,
    /// Size of the parts of a streamed object, unless its bound needs larger ones.
    pub part_bytes: u64,
    /// How many parts of one object may be under way.
    pub parts_in_flight: usize,
    /// Metadata and storage class that every object is given.
    pub attributes: object_store::Attributes,
}

impl Default for Tuning {
    /// For a store where a request costs next to nothing.
    fn default() -> Self {
        Tuning { read_bytes: NEAR_READ_BYTES, part_bytes: 8 << 20, parts_in_flight: 2, attributes: Default::default() }
    }
}

/// Where a request costs next to nothing, small reads keep memory low.
const NEAR_READ_BYTES: usize = 1 << 20;

/// The folder of objects about ourselves, beside the blocks: no block has such a name.
pub const OWN_FOLDER: &str = "blockyard";

/// A bucket; cheap to clone.
#[derive(Clone)]
pub struct Bucket {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    keys: Keys,
    store: Store,
    counters: Arc<Counters>,
    own: Arc<Own>,
}

enum Store {
    Disk(Disk),
    Objects(Objects),
}

impl Bucket {
    /// An empty bucket in memory.
    pub fn memory() -> Bucket {
        Bucket::new(
            "memory".to_owned(),
            Keys::default(),
            Store::Objects(Objects::new(Arc::new(InMemory::new()), Tuning::default())),
        )
    }

    /// A bucket in a directory, which the first write makes if it is not there.
    ///
    /// # Errors
    /// `Invalid` for an empty path or a prefix that cannot be one.
    pub fn filesystem(directory: impl AsRef<Path>, prefix: &str) -> Result<Bucket> {
        let root = std::path::absolute(directory.as_ref())
            .map_err(|e| Error::new(Kind::Invalid, "the bucket's directory has no name").source(e))?;
        Ok(Bucket::new(format!("FILESYSTEM {}", root.display()), Keys::new(prefix)?, Store::Disk(Disk::new(root))))
    }

    /// As [`Bucket::filesystem`], and the room that there is on its disk.
    #[cfg(test)]
    pub(crate) fn filesystem_with_room(directory: &Path) -> (Bucket, Room) {
        let room = Room::limited();
        let store = Store::Disk(Disk::with_room(directory.to_owned(), room.clone()));
        (Bucket::new(format!("FILESYSTEM {}", directory.display()), Keys::default(), store), room)
    }

    /// The bucket that a configuration describes: the YAML that Thanos reads, after
    /// [`expand_env`]. Credentials and regions that it leaves out come from the environment.
    ///
    /// # Errors
    /// `Invalid` with line and column for what cannot be read; `Unsupported` for a provider or an
    /// option that we do not have; `NotFound`, `Unavailable` when Amazon is asked for a region.
    pub async fn from_yaml(text: &str) -> Result<Opened> {
        provider::open(text, &|name| std::env::var(name).ok()).await
    }

    /// A bucket over any store: wrappers, tests, providers of other crates.
    ///
    /// # Errors
    /// `Invalid` for a prefix that cannot be one.
    pub fn over(store: Arc<dyn ObjectStore>, prefix: &str, tuning: Tuning) -> Result<Bucket> {
        Ok(Bucket::new(store.to_string(), Keys::new(prefix)?, Store::Objects(Objects::new(store, tuning))))
    }

    /// This bucket over connections that nobody used before; requests are counted together.
    ///
    /// # Errors
    /// `Invalid` when the client cannot be made again.
    pub fn with_new_connections(&self) -> Result<Bucket> {
        let Store::Objects(objects) = &self.inner.store else { return Ok(self.clone()) };
        let store = Store::Objects(objects.renewed()?);
        let (name, keys, counters) = (self.inner.name.clone(), self.inner.keys.clone(), Arc::clone(&self.inner.counters));
        Ok(Bucket { inner: Arc::new(Inner { name, keys, store, counters, own: Arc::clone(&self.inner.own) }) })
    }

    fn new(mut name: String, keys: Keys, store: Store) -> Bucket {
        if !keys.prefix().is_empty() {
            name = format!("{name} below {}/", keys.prefix());
        }
        Bucket { inner: Arc::new(Inner { name, keys, store, counters: Arc::default(), own: Arc::default() }) }
    }

    /// A whole object of at most `limit_bytes`.
    ///
    /// # Errors
    /// `NotFound`; `Limit` when it is larger; `Unavailable`, `Denied` from the provider.
    pub async fn get(&self, key: &str, limit_bytes: u64) -> Result<Bytes> {
        let path = self.inner.keys.object(key)?;
        let began = Instant::now();
        let got = match &self.inner.store {
            Store::Disk(disk) => disk.get(&path, limit_bytes).await,
            Store::Objects(objects) => objects.get(&path, limit_bytes).await,
        };
        self.inner.counters.get.note(began, &got, |bytes| bytes.len() as u64);
        got.map_err(|e| e.part(key))
    }

    /// Many small whole objects, `concurrency` at a time; `each` is told the number of the key and what
    /// came of it, wherever it was read, and its answers come in the order of `keys`.
    ///
    /// # Errors
    /// `Cancelled` when the program is shutting down; what happened to a key is for `each`.
    pub async fn get_many<T: Send + 'static>(
        &self,
        keys: &[String],
        limit_bytes: u64,
        concurrency: usize,
        each: impl Fn(usize, Result<Bytes>) -> T + Clone + Send + 'static,
    ) -> Result<Vec<T>> {
        if let Store::Disk(disk) = &self.inner.store {
            let threads = std::thread::available_parallelism().map_or(2, usize::from).min(concurrency.max(1));
            let batches = keys.chunks(MANY_ON_A_THREAD).enumerate().map(|(batch, keys)| {
                let (each, counters) = (each.clone(), Arc::clone(&self.inner.counters));
                let named: Vec<String> = keys.to_vec();
                let keys = keys.iter().map(|key| self.inner.keys.object(key)).collect();
                let began = Cell::new(Instant::now());
                disk.get_many(keys, limit_bytes, move |n, got| {
                    counters.get.note(began.replace(Instant::now()), &got, |bytes| bytes.len() as u64);
                    each(batch * MANY_ON_A_THREAD + n, got.map_err(|e| e.part(&*named[n])))
                })
            });
            let batches: Vec<Vec<T>> = futures::stream::iter(batches).buffered(threads).try_collect().await?;
            return Ok(batches.into_iter().flatten().collect());
        }
        let one = keys.iter().enumerate().map(|(n, key)| {
            let each = each.clone();
            async move { each(n, self.get(key, limit_bytes).await) }
        });
        Ok(futures::stream::iter(one).buffered(concurrency.max(1)).collect().await)
    }

    /// Exactly the bytes of `range`; an empty range asks nobody.
    ///
    /// # Errors
    /// `NotFound`; `Corrupt` when the object is shorter; `Invalid` for a reversed range;
    /// `Unavailable`, `Denied` from the provider.
    pub async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        let path = self.inner.keys.object(key)?;
        if range.start == range.end {
            return Ok(Bytes::new());
        }
        if range.start > range.end {
            return Err(Error::new(Kind::Invalid, format!("{}..{} is no range", range.start, range.end)).part(key));
        }
        let began = Instant::now();
        let got = match &self.inner.store {
            Store::Disk(disk) => disk.get_range(&path, range).await,
            Store::Objects(objects) => objects.get_range(&path, range).await,
        };
        self.inner.counters.get_range.note(began, &got, |bytes| bytes.len() as u64);
        got.map_err(|e| e.part(key))
    }

    /// Size and time of an object, or `None` when there is none.
    ///
    /// # Errors
    /// `Unavailable`, `Denied` from the provider.
    pub async fn head(&self, key: &str) -> Result<Option<Object>> {
        let began = Instant::now();
        let found = self.look(key).await;
        self.inner.counters.attributes.note(began, &found, |_| 0);
        found
    }

    /// Whether there is such an object.
    ///
    /// # Errors
    /// `Unavailable`, `Denied` from the provider.
    pub async fn exists(&self, key: &str) -> Result<bool> {
        let began = Instant::now();
        let found = self.look(key).await;
        self.inner.counters.exists.note(began, &found, |_| 0);
        Ok(found?.is_some())
    }

    /// Every object below the folder `prefix` ("" for all), without directory markers.
    ///
    /// What was changed through this bucket before is listed as it is now, also where the store's listings lag behind
    /// ([`Own`]).
    ///
    /// *Order:* by key on memory, FILESYSTEM and S3, but for objects that the store does not list yet, which come last;
    /// do not rely on it elsewhere.
    ///
    /// # Errors
    /// `Unavailable`, `Denied` from the provider. `Unsupported` as the last item of the store when some folder
    /// holds a key that cannot be named (`a//b`): all that could be listed came before it.
    pub fn list(&self, prefix: &str) -> BoxStream<'static, Result<Object>> {
        let folder = match self.inner.keys.folder(prefix) {
            Ok(folder) => folder,
            Err(e) => return futures::stream::iter([Err(e)]).boxed(),
        };
        let found = match &self.inner.store {
            Store::Disk(disk) => disk.list(&folder),
            Store::Objects(objects) => objects.list(&folder),
        };
        let (inner, name) = (Arc::clone(&self.inner), prefix.to_owned());
        let mut listing = Listing::begin(Arc::clone(&inner.counters));
        let own = move |object: Result<Object>| {
            object.map(|o| inner.strip(o)).inspect_err(|e| listing.failed(e)).map_err(|e| e.part(name.as_str()))
        };
        let found = found.map(own);
        match self.is_local() {
            true => found.boxed(),
            false => lag::of_all(self.clone(), prefix.to_owned(), found).boxed(),
        }
    }

    /// Objects and folders directly below `folder` ("" for the root), ordered; of a folder that
    /// is not there, nothing.
    ///
    /// # Errors
    /// `Unavailable`, `Denied` from the provider.
    pub async fn list_folder(&self, folder: &str) -> Result<Folder> {
        let path = self.inner.keys.folder(folder)?;
        let (began, own) = (Instant::now(), self.inner.own.number());
        let listed = match &self.inner.store {
            Store::Disk(disk) => disk.list_folder(&path).await,
            Store::Objects(objects) => objects.list_folder(&path).await,
        };
        self.inner.counters.iter.note(began, &listed, |_| 0);
        let listed = listed.map_err(|e| e.part(folder))?;
        let strip = |full: String| self.inner.keys.strip(&full).to_owned();
        let listed = Folder {
            objects: listed.objects.into_iter().map(|o| self.inner.strip(o)).collect(),
            folders: listed.folders.into_iter().map(strip).collect(),
        };
        if self.is_local() { Ok(listed) } else { lag::of_folder(self, folder, own, listed).await }
    }

    /// The folders that [`list_folder`](Bucket::list_folder) finds, ordered; on a local disk also those that hold
    /// nothing, since to look into each takes as long as to read what is in it.
    ///
    /// # Errors
    /// `Unavailable`, `Denied` from the provider.
    pub async fn list_folders(&self, folder: &str) -> Result<Vec<String>> {
        let Store::Disk(disk) = &self.inner.store else { return Ok(self.list_folder(folder).await?.folders) };
        let path = self.inner.keys.folder(folder)?;
        let began = Instant::now();
        let listed = disk.list_folders(&path).await;
        self.inner.counters.iter.note(began, &listed, |_| 0);
        let listed = listed.map_err(|e| e.part(folder))?;
        Ok(listed.into_iter().map(|full| self.inner.keys.strip(&full).to_owned()).collect())
    }

    /// Writes a small object as a whole; on a file system it is synced before this returns.
    ///
    /// # Errors
    /// `Unavailable`, `Denied` from the provider.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        let (began, len) = (Instant::now(), bytes.len() as u64);
        // what cannot be named was not written either
        self.inner.keys.object(key)?;
        self.inner.own.writes(key);
        let done = self.write(key, bytes).await;
        self.inner.own.writes(key);
        self.inner.counters.uploaded(began, &done, |()| len);
        done
    }

    /// Writes without counting.
    async fn write(&self, key: &str, bytes: Bytes) -> Result<()> {
        let path = self.inner.keys.object(key)?;
        let done = match &self.inner.store {
            Store::Disk(disk) => disk.put(&path, bytes).await,
            Store::Objects(objects) => objects.put(&path, bytes).await,
        };
        done.map_err(|e| e.part(key))
    }

    /// Copies an object of `len_bytes` to another key of this bucket, without its bytes passing through us where the
    /// provider copies by itself; what it does not copy in one request is read and written.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when the object has another length; `Unavailable`, `Denied` from the provider.
    pub async fn copy(&self, from: &str, to: &str, len_bytes: u64) -> Result<()> {
        if from == to {
            return Err(Error::new(Kind::Invalid, "an object cannot be copied onto itself").part(from));
        }
        let (source, target) = (self.inner.keys.object(from)?, self.inner.keys.object(to)?);
        let began = Instant::now();
        self.inner.own.writes(to);
        let done = match &self.inner.store {
            Store::Disk(disk) => disk.copy(&source, &target).await,
            Store::Objects(_) if len_bytes > MAX_COPY_BYTES => return self.pass(from, self, to, len_bytes).await,
            Store::Objects(objects) => objects.copy(&source, &target).await.map(|()| len_bytes),
        };
        self.inner.own.writes(to);
        self.inner.counters.copy.note(began, &done, |_| len_bytes);
        done.map_err(|e| e.part(from))?;
        match self.head(to).await? {
            Some(held) if held.len_bytes == len_bytes => Ok(()),
            held => {
                let has = held.map_or("nothing".to_owned(), |o| format!("{} bytes", o.len_bytes));
                Err(Error::new(Kind::Conflict, format!("{len_bytes} bytes were to be copied, the copy has {has}"))
                    .part(to)
                    .next("see who else writes to this bucket"))
            }
        }
    }

    /// Copies an object of `len_bytes` to a key of any bucket, reading it in ranges; it is seen when it is whole.
    ///
    /// *Memory:* one range, and what an upload holds.
    ///
    /// # Errors
    /// `NotFound`; `Corrupt` when the object is shorter; others from either provider.
    pub async fn pass(&self, from: &str, other: &Bucket, to: &str, len_bytes: u64) -> Result<()> {
        let mut upload = other.upload(to, len_bytes).await?;
        let step = self.read_bytes() as u64;
        let mut at = 0;
        while at < len_bytes {
            let end = at.saturating_add(step).min(len_bytes);
            let written = match self.get_range(from, at..end).await {
                Ok(bytes) => upload.write(bytes).await,
                Err(error) => Err(error),
            };
            if let Err(error) = written {
                // the first failure is the one to tell; what stays is found as unfinished
                _ = upload.abort().await;
                return Err(error);
            }
            at = end;
        }
        upload.finish().await.map(drop)
    }

    /// Begins a streamed object that will have at most `bound_bytes`; nothing is visible until
    /// [`Upload::finish`].
    ///
    /// # Errors
    /// `Limit` when the bound is above what the provider takes; `Unavailable`, `Denied`.
    pub async fn upload(&self, key: &str, bound_bytes: u64) -> Result<Upload> {
        let path = self.inner.keys.object(key)?;
        let (counters, began) = (Arc::clone(&self.inner.counters), Instant::now());
        let sink = match &self.inner.store {
            Store::Disk(disk) => disk.stage(&path).await.map(Sink::Disk),
            Store::Objects(objects) => objects.upload(&path, bound_bytes, Arc::clone(&counters)).map(Sink::Parts),
        };
        let sink = sink.map_err(|e| e.part(key))?;
        let own = Arc::clone(&self.inner.own);
        Ok(Upload { key: key.to_owned(), bound_bytes, written: 0, sink, counters, own, began })
    }

    /// Deletes an object; deleting what is not there is no error.
    ///
    /// # Errors
    /// `Unavailable`, `Denied` from the provider.
    pub async fn delete(&self, key: &str) -> Result<()> {
        let path = self.inner.keys.object(key)?;
        let began = Instant::now();
        self.inner.own.deletes(key);
        let done = match &self.inner.store {
            Store::Disk(disk) => disk.delete(&path).await,
            Store::Objects(objects) => objects.delete(&path).await,
        };
        self.inner.own.deletes(key);
        self.inner.counters.delete.note(began, &done, |()| 0);
        done.map_err(|e| e.part(key))
    }

    /// Fails when the bucket itself is missing or refuses us: to be asked once at the start,
    /// because afterwards a missing bucket looks like missing objects.
    ///
    /// A directory that is not there is an empty bucket, as upstream.
    ///
    /// # Errors
    /// `NotFound`, `Denied`, `Unavailable` from the provider; `Invalid` when the directory is a file.
    pub async fn check(&self) -> Result<()> {
        let began = Instant::now();
        let done = match &self.inner.store {
            Store::Disk(disk) => disk.check().await,
            Store::Objects(objects) => objects.check(&self.inner.keys.folder("")?).await,
        };
        self.inner.counters.iter.note(began, &done, |()| 0);
        done.map_err(|e| e.part(self.inner.name.as_str()))
    }

    /// Uploads below `prefix` that were begun and never ended: after a crash they stay, are paid
    /// for, and no listing shows them. Those of a living writer are among them: judge by age.
    ///
    /// *Order:* by key. A store that cannot tell has none.
    ///
    /// # Errors
    /// `Unavailable`, `Denied` from the provider.
    pub async fn list_unfinished_uploads(&self, prefix: &str) -> Result<Vec<Unfinished>> {
        let folder = self.inner.keys.folder(prefix)?;
        let began = Instant::now();
        let listed = match &self.inner.store {
            Store::Disk(disk) => disk.list_unfinished(&folder).await,
            Store::Objects(objects) => match &objects.beyond {
                Some(beyond) => beyond.list_unfinished(&folder).await,
                None => Ok(Vec::new()),
            },
        };
        self.inner.counters.iter.note(began, &listed, |_| 0);
        let mut listed = listed.map_err(|e| e.part(prefix))?;
        for upload in &mut listed {
            upload.key = self.inner.keys.strip(&upload.key).to_owned();
        }
        listed.sort_unstable_by(|a, b| (&a.key, &a.id).cmp(&(&b.key, &b.id)));
        Ok(listed)
    }

    /// Ends an upload that was begun and never ended; one that is gone is no error.
    ///
    /// # Errors
    /// `Unavailable`, `Denied` from the provider.
    pub async fn abort_unfinished(&self, upload: &Unfinished) -> Result<()> {
        let path = self.inner.keys.object(&upload.key)?;
        let began = Instant::now();
        let done = match &self.inner.store {
            Store::Disk(disk) => disk.abort_unfinished(&path, &upload.id).await,
            Store::Objects(objects) => match &objects.beyond {
                Some(beyond) => beyond.abort_unfinished(&path, &upload.id).await,
                None => Ok(()),
            },
        };
        self.inner.counters.delete.note(began, &done, |()| 0);
        done.map_err(|e| e.part(upload.key.as_str()))
    }

    /// Deletes the empty object `folder/` by which some programs mark a folder, or a folder of a
    /// file system that holds nothing. No listing shows these, so it is asked for on suspicion;
    /// what is not there is no error, and a store that knows no such thing does nothing.
    ///
    /// # Errors
    /// `Invalid` for the root; `Unavailable`, `Denied` from the provider.
    pub async fn delete_folder_marker(&self, folder: &str) -> Result<()> {
        if folder.trim_matches('/').is_empty() {
            return Err(Error::new(Kind::Invalid, "the root of a bucket has no marker"));
        }
        let path = self.inner.keys.folder(folder)?;
        let began = Instant::now();
        let done = match &self.inner.store {
            Store::Disk(disk) => disk.delete_marker(&path).await,
            Store::Objects(objects) => match &objects.beyond {
                Some(beyond) => beyond.delete_marker(&path).await,
                None => Ok(()),
            },
        };
        self.inner.counters.delete.note(began, &done, |()| 0);
        done.map_err(|e| e.part(folder))
    }

    /// What time it is for the bucket: the `Date` of an answer of S3, the time that a new file in `folder` gets on
    /// a file system (it is gone when this returns). `None` where nobody tells.
    ///
    /// # Errors
    /// `Unavailable`, `Denied` from the provider.
    pub async fn date(&self, folder: &str) -> Result<Option<Millis>> {
        let path = self.inner.keys.object(&format!("{folder}/clock"))?;
        let began = Instant::now();
        let told = match &self.inner.store {
            Store::Disk(disk) => disk.date(&path).await.map(Some),
            Store::Objects(objects) => match &objects.beyond {
                Some(beyond) => beyond.date().await,
                None => Ok(None),
            },
        };
        self.inner.counters.attributes.note(began, &told, |_| 0);
        told.map_err(|e| e.part(folder))
    }

    /// How many bytes one ranged read should ask for: small where a request costs nothing.
    pub fn read_bytes(&self) -> usize {
        match &self.inner.store {
            Store::Disk(_) => NEAR_READ_BYTES,
            Store::Objects(objects) => objects.tuning.read_bytes,
        }
    }

    /// Bytes of the parts in which an object is sent that is announced as `bound_bytes` at most; `None` where it is
    /// written in one go, or would be refused.
    pub fn part_bytes(&self, bound_bytes: u64) -> Option<u64> {
        match &self.inner.store {
            Store::Disk(_) => None,
            Store::Objects(objects) => parts::part_bytes(bound_bytes, objects.tuning.part_bytes).ok(),
        }
    }

    /// Whether it is a folder of the local disk, where a request costs a system call and no round trip.
    pub fn is_local(&self) -> bool {
        matches!(self.inner.store, Store::Disk(_))
    }

    /// What this process did to it, through all clones.
    pub fn own(&self) -> &Own {
        &self.inner.own
    }

    /// What was asked of this bucket, through all clones, since it was opened.
    pub fn requests(&self) -> Requests {
        self.inner.counters.snapshot()
    }

    /// The same with durations and sizes.
    pub fn measured(&self) -> [Measured; 9] {
        self.inner.counters.measured()
    }

    /// When an object was last written through any clone, in milliseconds since the Unix epoch; 0 if none was.
    pub fn last_upload(&self) -> Millis {
        self.inner.counters.last_upload()
    }

    /// Provider, place and prefix in words; no secrets.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The name that Thanos gives it in metrics: of S3 the bucket's, of a folder `fs:` and its path.
    pub fn label(&self) -> String {
        let name = match self.inner.keys.prefix() {
            "" => self.name(),
            prefix => self.name().strip_suffix(&format!(" below {prefix}/")).unwrap_or(self.name()),
        };
        match (name.strip_prefix("FILESYSTEM "), name.strip_prefix("S3 ").and_then(|s3| s3.split_once('/'))) {
            (Some(path), _) => format!("fs: {path}"),
            (_, Some((_, bucket))) => bucket.to_owned(),
            _ => name.to_owned(),
        }
    }

    async fn look(&self, key: &str) -> Result<Option<Object>> {
        let path = self.inner.keys.object(key)?;
        let found = match &self.inner.store {
            Store::Disk(disk) => disk.head(&path).await,
            Store::Objects(objects) => objects.head(&path).await,
        };
        Ok(found.map_err(|e| e.part(key))?.map(|o| self.inner.strip(o)))
    }
}

impl Inner {
    /// With the key as the caller knows it.
    fn strip(&self, mut object: Object) -> Object {
        if !self.keys.prefix().is_empty() {
            object.key = self.keys.strip(&object.key).to_owned();
        }
        object
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({})", self.inner.name)
    }
}
