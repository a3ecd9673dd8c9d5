//! A bucket behind `object_store`: S3, memory, a wrapper that tests bring.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path as Key;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions};

use super::disk::{over_limit, too_short};
use super::failure::{bad_key, of_store};
#[cfg(test)]
use super::key::Keys;
use super::parts::Parts;
use super::{Folder, Object, Tuning, Unfinished};
use crate::error::{Error, Kind, Result};
use crate::model::Millis;

/// A store and how it wants to be used; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Objects {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) tuning: Tuning,
    pub(super) beyond: Option<Arc<dyn Beyond>>,
    /// Makes the store again, which then has no connection yet.
    pub(super) renew: Option<Renew>,
}

/// Makes a store.
#[derive(Clone)]
pub(super) struct Renew(pub(super) Arc<dyn Fn() -> Result<Arc<dyn ObjectStore>> + Send + Sync>);

impl fmt::Debug for Renew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Renew")
    }
}

/// What a provider can do and `object_store` cannot ask for.
#[async_trait]
pub(super) trait Beyond: fmt::Debug + Send + Sync {
    /// Uploads in parts below a folder that were not ended; keys are full paths.
    async fn list_unfinished(&self, folder: &Key) -> Result<Vec<Unfinished>>;
    /// Ends one; one that is gone is no error.
    async fn abort_unfinished(&self, key: &Key, id: &str) -> Result<()>;
    /// Deletes the object whose key is the folder and a slash.
    async fn delete_marker(&self, folder: &Key) -> Result<()>;
    /// What time it is there, by the header of an answer.
    async fn date(&self) -> Result<Option<Millis>>;
}

#[cfg(test)]
impl super::Bucket {
    /// An empty bucket in memory, and how often it was to be reached over new connections.
    pub(crate) fn memory_with_connections() -> (super::Bucket, Arc<std::sync::atomic::AtomicUsize>) {
        let store: Arc<dyn ObjectStore> = Arc::new(object_store::memory::InMemory::new());
        let renewed = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = Arc::clone(&renewed);
        let mut objects = Objects::new(Arc::clone(&store), Tuning::default());
        objects.renew = Some(Renew(Arc::new(move || {
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            Ok(Arc::clone(&store))
        })));
        (super::Bucket::new("memory".to_owned(), Keys::default(), super::Store::Objects(objects)), renewed)
    }
}

impl Objects {
    /// A store of which nothing more is known.
    pub(super) fn new(store: Arc<dyn ObjectStore>, tuning: Tuning) -> Self {
        Objects { store, tuning, beyond: None, renew: None }
    }

    /// The same over connections that nobody used before, where there are connections.
    pub(super) fn renewed(&self) -> Result<Self> {
        match &self.renew {
            Some(Renew(make)) => Ok(Objects { store: make()?, ..self.clone() }),
            None => Ok(self.clone()),
        }
    }

    pub(super) async fn get(&self, key: &Key, limit_bytes: u64) -> Result<Bytes> {
        let answer = self.store.get(key).await.map_err(|e| of_store("get", e))?;
        let len = answer.meta.size;
        if len > limit_bytes {
            return Err(over_limit(len, limit_bytes));
        }
        collect(answer.into_stream(), len).await
    }

    pub(super) async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes> {
        let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
        let answer = match self.store.get_opts(key, options).await {
            Ok(answer) => answer,
            Err(e) => return Err(self.beyond_the_end(key, &range, e).await),
        };
        let len = answer.meta.size;
        if answer.range != range {
            return Err(too_short(&range, len));
        }
        collect(answer.into_stream(), range.end - range.start).await
    }

    /// A range that begins behind the end is refused in words that differ between providers: the
    /// object's size tells whether that was the cause.
    async fn beyond_the_end(&self, key: &Key, range: &Range<u64>, e: object_store::Error) -> crate::Error {
        let failure = of_store("get a range", e);
        if failure.kind() == Kind::Unavailable
            && let Ok(meta) = self.store.head(key).await
            && meta.size < range.end
        {
            return too_short(range, meta.size);
        }
        failure
    }

    pub(super) async fn head(&self, key: &Key) -> Result<Option<Object>> {
        match self.store.head(key).await {
            Ok(meta) => Ok(Some(object(meta))),
            Err(e) => {
                let failure = of_store("head", e);
                if failure.kind() == Kind::NotFound { Ok(None) } else { Err(failure) }
            }
        }
    }

    /// Asks for one page, which fails where the bucket itself is missing.
    pub(super) async fn check(&self, root: &Key) -> Result<()> {
        let mut first = self.store.list(some(root));
        match first.next().await {
            Some(Err(e)) if !bad_key(&e) => Err(of_store("list the bucket", e)),
            _ => Ok(()),
        }
    }

    /// Every object below `folder`, without directory markers.
    ///
    /// A key with an empty segment makes a provider's whole listing fail. Then the walk goes on
    /// folder by folder, so that only the folder that holds such a key is lost, and ends with
    /// that folder's error: a listing that is not complete never looks like one that is.
    pub(super) fn list(&self, folder: &Key) -> BoxStream<'static, Result<Object>> {
        let walk =
            Walk { objects: self.clone(), at: At::Flat(self.store.list(some(folder)), folder.clone()), last: None, lost: None };
        let found = stream::try_unfold(walk, |mut walk| async move { Ok(walk.next().await?.map(|o| (o, walk))) });
        without_markers(found.boxed(), folder.to_string())
    }

    pub(super) async fn list_folder(&self, folder: &Key) -> Result<Folder> {
        let listing = self.store.list_with_delimiter(some(folder)).await.map_err(|e| of_store("list", e))?;
        let mut folders: Vec<String> = listing.common_prefixes.into_iter().map(|p| p.to_string()).collect();
        folders.sort_unstable();
        folders.dedup();
        let mut objects: Vec<Object> = listing.objects.into_iter().map(object).collect();
        objects.retain(|o| o.len_bytes > 0 || (o.key != folder.as_ref() && folders.binary_search(&o.key).is_err()));
        objects.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(Folder { objects, folders })
    }

    pub(super) async fn put(&self, key: &Key, bytes: Bytes) -> Result<()> {
        let options = PutOptions { attributes: self.tuning.attributes.clone(), ..PutOptions::default() };
        self.store.put_opts(key, bytes.into(), options).await.map(drop).map_err(|e| of_store("put", e))
    }

    /// Whether it was written: where the provider knows no condition, always.
    pub(super) async fn put_new(&self, key: &Key, bytes: Bytes) -> Result<bool> {
        let attributes = self.tuning.attributes.clone();
        let options = PutOptions { attributes, mode: PutMode::Create, ..PutOptions::default() };
        match self.store.put_opts(key, bytes.clone().into(), options).await.map_err(|e| of_store("put", e)) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == Kind::Conflict => Ok(false),
            Err(e) if e.kind() == Kind::Unsupported => self.put(key, bytes).await.map(|()| true),
            Err(e) => Err(e),
        }
    }

    pub(super) async fn begin_parts(&self, key: &Key) -> Result<Box<dyn object_store::MultipartUpload>> {
        let options = PutMultipartOptions { attributes: self.tuning.attributes.clone(), ..PutMultipartOptions::default() };
        self.store.put_multipart_opts(key, options).await.map_err(|e| of_store("begin an upload in parts", e))
    }

    pub(super) fn upload(&self, key: &Key, bound_bytes: u64, counters: Arc<super::requests::Counters>) -> Result<Parts> {
        Parts::new(self.clone(), key.clone(), bound_bytes, counters)
    }

    /// Copies where the provider does it; the copy has the object's own metadata.
    pub(super) async fn copy(&self, from: &Key, to: &Key) -> Result<()> {
        self.store.copy(from, to).await.map_err(|e| of_store("copy", e))
    }

    pub(super) async fn delete(&self, key: &Key) -> Result<()> {
        match self.store.delete(key).await.map_err(|e| of_store("delete", e)) {
            Err(e) if e.kind() == Kind::NotFound && e.what_next().is_none() => Ok(()),
            result => result,
        }
    }
}

/// A listing under way.
struct Walk {
    objects: Objects,
    at: At,
    /// The last key that was handed out while keys came in order.
    last: Option<String>,
    /// The first folder that could not be listed.
    lost: Option<crate::Error>,
}

enum At {
    /// One listing of all below a folder.
    Flat(BoxStream<'static, object_store::Result<ObjectMeta>>, Key),
    /// Folder by folder: those still to be listed, and objects still to be handed out.
    ByFolder(BTreeSet<Key>, Vec<Object>),
}

impl Walk {
    async fn next(&mut self) -> Result<Option<Object>> {
        loop {
            match &mut self.at {
                At::Flat(listing, root) => match listing.try_next().await {
                    Ok(Some(meta)) => {
                        let found = object(meta);
                        self.last = Some(found.key.clone());
                        return Ok(Some(found));
                    }
                    Ok(None) => return Ok(None),
                    Err(e) if bad_key(&e) => self.at = At::ByFolder(BTreeSet::from([root.clone()]), Vec::new()),
                    Err(e) => return Err(of_store("list", e)),
                },
                At::ByFolder(folders, ready) => {
                    if let Some(found) = ready.pop() {
                        return Ok(Some(found));
                    }
                    let Some(folder) = folders.pop_first() else {
                        return self.lost.take().map_or(Ok(None), Err);
                    };
                    match self.objects.store.list_with_delimiter(some(&folder)).await {
                        Ok(listing) => {
                            folders.extend(listing.common_prefixes);
                            let marker = |o: &Object| o.len_bytes == 0 && o.key == folder.as_ref();
                            let after = |o: &Object| self.last.as_ref().is_none_or(|last| o.key > *last) && !marker(o);
                            ready.extend(listing.objects.into_iter().rev().map(object).filter(after));
                        }
                        Err(e) if bad_key(&e) => _ = self.lost.get_or_insert(of_store("list", e).part(folder.to_string())),
                        Err(e) => return Err(of_store("list", e)),
                    }
                }
            }
        }
    }
}

/// Leaves out empty objects that stand for a folder: one named like the folder that is listed, or
/// like the folder of the object behind it.
fn without_markers(found: BoxStream<'static, Result<Object>>, root: String) -> BoxStream<'static, Result<Object>> {
    let stands_for =
        |marker: &Object, next: &Object| next.key.strip_prefix(marker.key.as_str()).is_some_and(|below| below.starts_with('/'));
    let held: Option<Object> = None;
    stream::unfold((found, held), move |(mut found, mut held)| {
        let root = root.clone();
        async move {
            loop {
                match found.next().await {
                    Some(Ok(next)) if next.len_bytes == 0 && next.key == root => {}
                    Some(Ok(next)) => {
                        let before = held.take().filter(|marker| !stands_for(marker, &next));
                        match (before, next.len_bytes) {
                            (Some(before), 0) => return Some((vec![Ok(before)], (found, Some(next)))),
                            (None, 0) => held = Some(next),
                            (before, _) => {
                                let out = before.into_iter().chain([next]).map(Ok).collect();
                                return Some((out, (found, None)));
                            }
                        }
                    }
                    Some(Err(e)) => {
                        let out = held.take().map(Ok).into_iter().chain([Err(e)]).collect::<Vec<_>>();
                        return Some((out, (found, None)));
                    }
                    None => return held.take().map(|last| (vec![Ok(last)], (found, None))),
                }
            }
        }
    })
    .flat_map(stream::iter)
    .boxed()
}

/// The root is no prefix at all.
fn some(folder: &Key) -> Option<&Key> {
    Some(folder).filter(|f| !f.as_ref().is_empty())
}

/// The body, of which the answer's head says that it has `len` bytes.
///
/// *Memory:* never more than came.
async fn collect(mut pieces: BoxStream<'static, object_store::Result<Bytes>>, len: u64) -> Result<Bytes> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(piece) = pieces.try_next().await.map_err(|e| of_store("read the body", e))? {
        if first.is_empty() && all.is_empty() {
            first = piece; // mostly the only one, and then handed on as it is
            continue;
        }
        all.extend_from_slice(&std::mem::take(&mut first));
        all.extend_from_slice(&piece);
    }
    let whole = if all.is_empty() { first } else { all.freeze() };
    if whole.len() as u64 == len {
        return Ok(whole);
    }
    // the object is as long as it should be, so this is the connection's fault
    Err(Error::new(Kind::Unavailable, format!("the answer ended after {} of {len} bytes", whole.len())).next("try again"))
}

fn object(meta: ObjectMeta) -> Object {
    Object {
        key: meta.location.to_string(),
        len_bytes: meta.size,
        modified: meta.last_modified.timestamp_millis(),
        etag: meta.e_tag,
    }
}
