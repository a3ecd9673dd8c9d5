//! A bucket in memory whose time is virtual and that judges every change when it is made.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use blockyard::clock::Clock;
use blockyard::model::{BlockId, Millis};
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path as Key;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::watch::Watch;

/// Lines of the log that a failure shows.
const TAIL: usize = 60;

/// Virtual time, and ids in the order in which they were asked for.
#[derive(Debug)]
pub(super) struct Time {
    now: AtomicI64,
    ids: AtomicI64,
    drawn: AtomicU64,
}

impl Time {
    pub(super) fn new(now: Millis) -> Arc<Self> {
        Arc::new(Time { now: now.into(), ids: 0.into(), drawn: 0.into() })
    }

    pub(super) fn advance(&self, by: Millis) {
        self.now.fetch_add(by, SeqCst);
    }

    pub(super) fn advance_to(&self, at: Millis) {
        self.now.fetch_max(at, SeqCst);
    }
}

impl Clock for Time {
    fn now(&self) -> Millis {
        self.now.load(SeqCst)
    }

    fn chance(&self) -> u128 {
        let n = self.drawn.fetch_add(1, SeqCst);
        u128::from(xxh3_64_with_seed(&n.to_le_bytes(), 1))
    }

    /// Younger than any before, as of a machine that needs a millisecond for each.
    fn new_block_id(&self) -> BlockId {
        let tick = self.ids.fetch_add(1, SeqCst);
        BlockId::from_parts(self.now() + tick, self.chance())
    }
}

/// An object: its bytes and when it was written.
pub(super) type Objects = BTreeMap<Key, (Bytes, Millis)>;

/// The bucket; cheap to clone.
#[derive(Clone)]
pub(super) struct Shelf(Arc<Shared>);

struct Shared {
    time: Arc<Time>,
    state: Mutex<State>,
}

struct State {
    objects: Objects,
    watch: Watch,
    log: Vec<String>,
}

impl Shelf {
    pub(super) fn new(time: Arc<Time>, watch: Watch) -> Self {
        Shelf(Arc::new(Shared { time, state: Mutex::new(State { objects: Objects::new(), watch, log: Vec::new() }) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Adds a line to what a failure shows.
    pub(super) fn note(&self, line: String) {
        self.state().log.push(line);
    }

    /// The whole log: two runs of one seed have the same.
    pub(super) fn log(&self) -> Vec<String> {
        self.state().log.clone()
    }

    /// The last lines of it.
    pub(super) fn tail(&self) -> String {
        let state = self.state();
        let tail = if std::env::var_os("BLOCKYARD_SIMULATE_WHOLE_LOG").is_some() { state.log.len() } else { TAIL };
        state.log[state.log.len().saturating_sub(tail)..].join("\n")
    }

    /// What was wrong first, if anything was.
    pub(super) fn broken(&self) -> Option<String> {
        self.state().watch.broken.clone()
    }

    /// A new process begins to write.
    pub(super) fn restarted(&self) {
        self.state().watch.restarted();
    }

    /// The process will hear that its write of `key` is done.
    pub(super) fn acknowledged(&self, key: &str) {
        self.state().watch.acknowledged(key);
    }

    /// Everything that is in the bucket.
    pub(super) fn objects(&self) -> Objects {
        self.state().objects.clone()
    }

    /// Puts an object as somebody else than the program does; written at `at`.
    pub(super) fn place(&self, key: &str, bytes: Bytes, at: Millis) {
        self.state().put(&Key::from(key), bytes, at);
    }

    fn meta(key: &Key, bytes: &Bytes, modified: Millis) -> ObjectMeta {
        ObjectMeta {
            location: key.clone(),
            last_modified: (UNIX_EPOCH + Duration::from_millis(modified as u64)).into(),
            size: bytes.len() as u64,
            e_tag: None,
            version: None,
        }
    }

    fn put(&self, key: &Key, bytes: Bytes) -> PutResult {
        let now = self.0.time.now();
        self.state().put(key, bytes, now);
        PutResult { e_tag: None, version: None, extensions: Default::default() }
    }

    /// Objects below a folder, in order.
    fn below(&self, prefix: Option<&Key>) -> Vec<ObjectMeta> {
        let folder = prefix.map(|p| format!("{p}/")).filter(|p| p != "/").unwrap_or_default();
        let state = self.state();
        let below = state.objects.iter().filter(|(key, _)| key.as_ref().starts_with(&folder));
        below.map(|(key, (bytes, modified))| Shelf::meta(key, bytes, *modified)).collect()
    }
}

impl State {
    fn put(&mut self, key: &Key, bytes: Bytes, now: Millis) {
        self.objects.insert(key.clone(), (bytes, now));
        self.watch.put(&self.objects, key.as_ref(), now);
    }

    fn delete(&mut self, key: &Key, now: Millis) {
        self.watch.deleting(&self.objects, key.as_ref(), now);
        self.objects.remove(key);
        self.watch.deleted(&self.objects, key.as_ref(), now);
    }
}

impl fmt::Display for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulation")
    }
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shelf")
    }
}

#[async_trait]
impl ObjectStore for Shelf {
    async fn put_opts(&self, key: &Key, payload: PutPayload, _: PutOptions) -> Result<PutResult> {
        Ok(self.put(key, payload.into()))
    }

    async fn put_multipart_opts(&self, key: &Key, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(Parts { shelf: self.clone(), key: key.clone(), parts: Arc::default(), begun: 0 }))
    }

    async fn get_opts(&self, key: &Key, options: GetOptions) -> Result<GetResult> {
        let found = self.state().objects.get(key).cloned();
        let (bytes, modified) =
            found.ok_or_else(|| Error::NotFound { path: key.to_string(), source: "no such object".into() })?;
        let meta = Shelf::meta(key, &bytes, modified);
        let range = match options.range {
            Some(range) => range.as_range(meta.size).map_err(|e| Error::Generic { store: "simulation", source: Box::new(e) })?,
            None => 0..meta.size,
        };
        let cut = bytes.slice(range.start as usize..range.end as usize);
        let payload = GetResultPayload::Stream(stream::iter([Ok(cut)]).boxed());
        Ok(GetResult { payload, meta, range, attributes: Default::default(), extensions: Default::default() })
    }

    fn delete_stream(&self, keys: BoxStream<'static, Result<Key>>) -> BoxStream<'static, Result<Key>> {
        let shelf = self.clone();
        keys.map(move |key| {
            let key = key?;
            let now = shelf.0.time.now();
            shelf.state().delete(&key, now);
            Ok(key)
        })
        .boxed()
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        stream::iter(self.below(prefix).into_iter().map(Ok)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
        let skip = prefix.map_or(0, |p| p.as_ref().len() + usize::from(!p.as_ref().is_empty()));
        let (mut objects, mut folders) = (Vec::new(), BTreeSet::new());
        for meta in self.below(prefix) {
            match meta.location.as_ref()[skip..].find('/') {
                Some(end) => _ = folders.insert(Key::from(&meta.location.as_ref()[..skip + end])),
                None => objects.push(meta),
            }
        }
        Ok(ListResult { objects, common_prefixes: folders.into_iter().collect(), extensions: Default::default() })
    }

    async fn copy_opts(&self, from: &Key, to: &Key, _: CopyOptions) -> Result<()> {
        let found = self.state().objects.get(from).cloned();
        let (bytes, _) = found.ok_or_else(|| Error::NotFound { path: from.to_string(), source: "no such object".into() })?;
        self.put(to, bytes);
        Ok(())
    }
}

#[derive(Debug)]
struct Parts {
    shelf: Shelf,
    key: Key,
    parts: Arc<Mutex<BTreeMap<usize, Bytes>>>,
    begun: usize,
}

#[async_trait]
impl MultipartUpload for Parts {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (parts, number) = (Arc::clone(&self.parts), self.begun);
        self.begun += 1;
        Box::pin(async move {
            parts.lock().expect("no panic").insert(number, data.into());
            Ok(())
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let parts = self.parts.lock().expect("no panic").clone();
        if parts.len() != self.begun {
            let what = format!("{} of {} parts", parts.len(), self.begun);
            return Err(Error::Generic { store: "simulation", source: what.into() });
        }
        let whole: Vec<u8> = parts.values().flat_map(|part| part.iter().copied()).collect();
        Ok(self.shelf.put(&self.key, whole.into()))
    }

    async fn abort(&mut self) -> Result<()> {
        self.parts.lock().expect("no panic").clear();
        Ok(())
    }
}
