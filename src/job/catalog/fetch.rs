//! From a listing to a catalog: metas that are not known yet, and the marks that are listed.

use std::sync::Arc;

use futures::{StreamExt, stream};
use rustc_hash::{FxHashMap, FxHashSet};

use super::cache::{Cache, Kept};
use super::{Catalog, CatalogBlock, Depth, Partial, PartialReason, SyncOptions, list, meta_key, object};
use crate::bucket::{Bucket, Object};
use crate::error::{Error, Kind, Result};
use crate::format::marks::{
    DELETION_MARK_FILE, DeletionMark, NO_COMPACT_MARK_FILE, NO_DOWNSAMPLE_MARK_FILE, NoCompactMark, NoDownsampleMark, Unreadable,
};
use crate::format::meta::{META_FILE, Meta};
use crate::model::{BlockId, LabelSet, Millis};

/// Largest `meta.json` that is read, in bytes: 14 days of blocks of a few minutes fit many times.
pub(super) const META_LIMIT_BYTES: u64 = 64 << 20;

/// Largest mark that is read, in bytes.
const MARK_LIMIT_BYTES: u64 = 1 << 20;

/// Looks at a bucket again and again, and fetches only what is new.
pub struct Syncer {
    bucket: Bucket,
    options: SyncOptions,
    cache: Option<Cache>,
    /// Metas by block, each with what the listing said of its object.
    known: FxHashMap<BlockId, (Version, Arc<Meta>)>,
    /// Whether what is kept on the local disk was read.
    warm: bool,
    /// Label sets, so that blocks of one group share theirs.
    labels: FxHashSet<Arc<LabelSet>>,
}

/// When an object was written, and its size in bytes: metas are never changed, but they may be replaced.
pub(super) type Version = (Millis, u64);

/// What became of one `meta.json`.
enum Fetched {
    Whole(Box<Meta>),
    Partial(PartialReason),
    Failed(Error),
}

/// What lies beside a block.
#[derive(Default)]
struct Marks {
    deletion: Option<Box<DeletionMark>>,
    no_compact: Option<Box<NoCompactMark>>,
    no_downsample: Option<Box<NoDownsampleMark>>,
}

impl Syncer {
    /// Knows nothing yet.
    pub fn new(bucket: Bucket, options: SyncOptions) -> Self {
        let cache = options.data_dir.as_deref().map(Cache::new);
        Syncer { bucket, options, cache, known: FxHashMap::default(), warm: false, labels: FxHashSet::default() }
    }

    /// What is in the bucket now.
    ///
    /// # Errors
    /// When the bucket cannot be listed. What cannot be read of one block is in [`Catalog::failed`].
    pub async fn sync(&mut self) -> Result<Catalog> {
        let late = self.bucket.own().late();
        let (listing, kept) = tokio::join!(list::list(&self.bucket, &self.options), self.kept());
        let listing = listing?;
        let late = self.bucket.own().late() - late;
        let mut catalog = Catalog { failed: listing.failed, ..Catalog::default() };
        catalog.warnings.extend(listing.warnings.into_iter().map(|text| (None, text)));
        if late > 0 {
            let text =
                format!("listings of this bucket lag behind: {late} objects were asked for by their keys, since this program");
            catalog.warnings.push((None, format!("{text} wrote or deleted them and the listing did not show it")));
        }
        let failed: FxHashSet<BlockId> = catalog.failed.iter().map(|f| f.0).collect();
        let mut folders = listing.folders;
        folders.retain(|id, _| !failed.contains(id));

        let mut metas = self.metas(&folders, kept).await;
        let mut marks = self.marks(&folders, &mut catalog).await;
        for (id, objects) in folders {
            let objects: Arc<[Object]> = objects.into();
            let marks = marks.remove(&id).unwrap_or_default();
            let fetched = match self.known.get(&id) {
                Some((_, meta)) => Ok(meta.clone()),
                None => Err(metas.remove(&id).unwrap_or(Fetched::Partial(PartialReason::NoMeta))),
            };
            match fetched {
                Ok(meta) => catalog.blocks.push(CatalogBlock {
                    id,
                    labels: meta.thanos.labels.shared().cloned().unwrap_or_default(),
                    meta,
                    objects,
                    deletion: marks.deletion,
                    no_compact: marks.no_compact,
                    no_downsample: marks.no_downsample,
                }),
                Err(Fetched::Partial(PartialReason::NoMeta)) if self.is_empty(id, &objects).await? => {}
                Err(Fetched::Partial(why)) => catalog.partial.push(Partial { id, why, objects, deletion: marks.deletion }),
                Err(Fetched::Failed(error)) => catalog.failed.push((id, error)),
                Err(Fetched::Whole(_)) => unreachable!("whole metas are known by now"),
            }
        }
        catalog.failed.sort_by_key(|f| f.0);
        // a block with an unreadable mark is in both: nothing may be decided about it
        let failed: FxHashSet<BlockId> = catalog.failed.iter().map(|f| f.0).collect();
        catalog.blocks.retain(|b| !failed.contains(&b.id));
        catalog.partial.retain(|p| !failed.contains(&p.id));
        Ok(catalog)
    }

    /// Whether the folder of a block holds nothing at all, where the listing did not say.
    async fn is_empty(&self, id: BlockId, listed: &[Object]) -> Result<bool> {
        // a listing of names alone takes it that there is a meta
        if self.options.depth != Depth::Metas || object(listed, META_FILE).is_none() {
            return Ok(false);
        }
        let folder = self.bucket.list_folder(&id.to_string()).await?;
        Ok(folder.objects.is_empty() && folder.folders.is_empty())
    }

    /// What is kept on the local disk, at the first look.
    async fn kept(&self) -> Vec<Kept> {
        match &self.cache {
            Some(cache) if !self.warm => {
                let cache = cache.clone();
                tokio::task::spawn_blocking(move || cache.read()).await.unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }

    /// Brings `known` up to date; returns what is no whole meta.
    async fn metas(&mut self, folders: &Folders, kept: Vec<Kept>) -> FxHashMap<BlockId, Fetched> {
        let listed: FxHashMap<BlockId, Version> = folders
            .iter()
            .filter_map(|(&id, objects)| object(objects, META_FILE).map(|meta| (id, (meta.modified, meta.len_bytes))))
            .collect();
        let before = self.known.len() + kept.len();
        self.known.retain(|id, (version, _)| listed.get(id) == Some(version));
        for (id, version, meta) in kept {
            if listed.get(&id) == Some(&version) {
                self.learn(id, version, meta);
            }
        }
        let mut changed = self.known.len() != before;
        let mut missing: Vec<(BlockId, Version)> = listed.into_iter().filter(|(id, _)| !self.known.contains_key(id)).collect();
        missing.sort_unstable();
        changed |= !missing.is_empty();
        if !self.warm {
            missing = self.kept_by_thanos(missing).await;
        }
        self.warm = true;

        let keys: Vec<String> = missing.iter().map(|(id, _)| meta_key(*id)).collect();
        let read = {
            let ids: Arc<[BlockId]> = missing.iter().map(|(id, _)| *id).collect();
            move |n: usize, bytes| read_meta(ids[n], bytes)
        };
        let got = self.bucket.get_many(&keys, META_LIMIT_BYTES, self.options.concurrency, read).await;
        let fetched = match got {
            Ok(fetched) => fetched,
            // shutting down: nothing may be decided, and each block says so
            Err(_) => missing.iter().map(|_| Fetched::Failed(Error::new(Kind::Cancelled, "asked to stop"))).collect(),
        };
        let fetched = missing.into_iter().zip(fetched).map(|((id, version), result)| (id, version, result));
        let mut others = FxHashMap::default();
        for (id, version, result) in fetched {
            match result {
                Fetched::Whole(meta) => self.learn(id, version, Arc::new(*meta)),
                other => _ = others.insert(id, other),
            }
        }
        self.labels.retain(|labels| Arc::strong_count(labels) > 1);
        if changed && !self.options.reads_only {
            self.keep().await;
        }
        others
    }

    fn learn(&mut self, id: BlockId, version: Version, mut meta: Arc<Meta>) {
        if let Some(own) = meta.thanos.labels.shared().cloned() {
            match self.labels.get(&own) {
                Some(shared) => Arc::make_mut(&mut meta).thanos.labels = shared.clone().into(),
                None => _ = self.labels.insert(own),
            }
        }
        self.known.insert(id, (version, meta));
    }

    /// Learns what Thanos kept on the local disk; returns what it did not.
    async fn kept_by_thanos(&mut self, missing: Vec<(BlockId, Version)>) -> Vec<(BlockId, Version)> {
        let Some(cache) = self.cache.clone().filter(|_| !missing.is_empty()) else { return missing };
        let wanted = missing.clone();
        let read = move || -> Vec<_> {
            let there = cache.of_thanos();
            let read = |(id, version): (BlockId, Version)| Some((id, version, cache.read_of_thanos(id, version.0)?));
            wanted.into_iter().filter(|(id, _)| there.contains(id)).filter_map(read).collect()
        };
        for (id, version, meta) in tokio::task::spawn_blocking(read).await.unwrap_or_default() {
            self.learn(id, version, Arc::new(meta));
        }
        missing.into_iter().filter(|(id, _)| !self.known.contains_key(id)).collect()
    }

    /// Keeps all that is known on the local disk; waits, so that whoever comes after us finds it.
    async fn keep(&self) {
        let Some(cache) = self.cache.clone() else { return };
        let mut metas: Vec<Kept> = self.known.iter().map(|(&id, (version, meta))| (id, *version, meta.clone())).collect();
        metas.sort_unstable_by_key(|kept| kept.0);
        // what is not kept is fetched again
        let _ = tokio::task::spawn_blocking(move || cache.write(&metas)).await;
    }

    /// The marks that are listed.
    async fn marks(&self, folders: &Folders, catalog: &mut Catalog) -> FxHashMap<BlockId, Marks> {
        let wanted = folders.iter().flat_map(|(&id, objects)| {
            let files = [DELETION_MARK_FILE, NO_COMPACT_MARK_FILE, NO_DOWNSAMPLE_MARK_FILE];
            files.into_iter().filter(move |file| object(objects, file).is_some()).map(move |file| (id, file))
        });
        let bucket = &self.bucket;
        let each =
            wanted.map(|(id, file)| async move { (id, file, bucket.get(&format!("{id}/{file}"), MARK_LIMIT_BYTES).await) });
        let mut fetched = stream::iter(each).buffer_unordered(self.options.concurrency.max(1));
        let mut all: FxHashMap<BlockId, Marks> = FxHashMap::default();
        while let Some((id, file, bytes)) = fetched.next().await {
            let bytes = match bytes {
                Ok(bytes) => bytes,
                // it was taken away since the listing
                Err(e) if e.kind() == Kind::NotFound => continue,
                Err(e) => {
                    catalog.failed.push((id, e.block(id)));
                    continue;
                }
            };
            let marks = all.entry(id).or_default();
            let read = match file {
                DELETION_MARK_FILE => DeletionMark::decode(&bytes).map(|mark| marks.deletion = Some(mark.into())),
                NO_COMPACT_MARK_FILE => NoCompactMark::decode(&bytes).map(|mark| marks.no_compact = Some(mark.into())),
                _ => NoDownsampleMark::decode(&bytes).map(|mark| marks.no_downsample = Some(mark.into())),
            };
            match read {
                Ok(()) => {}
                Err(Unreadable::Partial(damage)) => {
                    let text = format!("{damage}; it counts as no mark: delete the object if it stays like that");
                    catalog.warnings.push((Some(id), text));
                }
                Err(Unreadable::Version(damage)) => {
                    let error = Error::new(Kind::Unsupported, damage.why).block(id).part(file);
                    catalog.failed.push((id, error.next("use a version of this program that knows the mark, or remove it")));
                }
            }
        }
        catalog.warnings.sort();
        all
    }
}

type Folders = std::collections::BTreeMap<BlockId, Vec<Object>>;

fn read_meta(id: BlockId, bytes: Result<bytes::Bytes>) -> Fetched {
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == Kind::NotFound => return Fetched::Partial(PartialReason::NoMeta),
        Err(e) => return Fetched::Failed(e.block(id)),
    };
    let meta = match Meta::parse(&bytes) {
        Ok(meta) => meta,
        Err(damage) => return Fetched::Partial(PartialReason::Corrupt(damage)),
    };
    match meta.check_version() {
        Ok(()) => Fetched::Whole(Box::new(meta)),
        Err(_) => {
            let version = if meta.version == crate::format::meta::VERSION { meta.thanos.version } else { meta.version };
            let error = Error::new(Kind::Unsupported, format!("unexpected meta file: {} version: {version}", meta_key(id)));
            Fetched::Failed(error.block(id).next("use a version of this program that knows it, or remove the block"))
        }
    }
}
