//! One listing, sorted into blocks.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};

use super::{Depth, SyncOptions, meta_key};
use crate::bucket::{Bucket, OWN_FOLDER, Object};
use crate::error::{Error, Kind, Result};
use crate::job::pass::Discovery;
use crate::model::BlockId;

/// What a listing found.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Objects of each block.
    pub(super) folders: BTreeMap<BlockId, Vec<Object>>,
    /// Blocks of which not everything could be listed.
    pub(super) failed: Vec<(BlockId, Error)>,
    /// Keys outside of blocks that could not be listed.
    pub(super) warnings: Vec<String>,
    /// The folder of the object before, which is mostly that of the next one too; not among `folders` yet.
    open: Option<OpenFolder>,
}

/// A folder of which more objects may come.
#[derive(Debug)]
struct OpenFolder {
    name: String,
    id: BlockId,
    objects: Vec<Object>,
}

/// Lists all objects of all blocks.
///
/// On the local disk a walk is a walk. Elsewhere `concurrent` looks at the root first: where nothing but blocks lies there, one listing of everything takes
/// fewest requests; else foreign folders may be huge (`debug/metas` of old versions) and only blocks are listed.
pub(super) async fn list(bucket: &Bucket, options: &SyncOptions) -> Result<Listing> {
    let mut listing = Listing::default();
    if options.depth == Depth::Metas && bucket.is_local() {
        // the folder names say enough: whether there is a meta.json shows when it is read
        for id in bucket.list_folders("").await?.iter().filter_map(|name| block_id(name)) {
            let meta = Object { key: meta_key(id), len_bytes: 0, modified: 0, etag: None };
            listing.folders.insert(id, vec![meta]);
        }
        return Ok(listing);
    }
    if options.discovery == Discovery::Concurrent && !bucket.is_local() {
        let root = bucket.list_folder("").await?;
        let ids: Vec<BlockId> = root.folders.iter().filter_map(|name| block_id(name)).collect();
        let foreign = root.folders.len() - ids.len() - usize::from(root.folders.iter().any(|name| name == OWN_FOLDER));
        if foreign > 0 {
            let each = ids.into_iter().map(|id| async move {
                let mut one = Listing::default();
                one.read(bucket, &id.to_string(), Some(id)).await.map(|()| (id, one))
            });
            let mut found = stream::iter(each).buffer_unordered(options.concurrency.max(1));
            while let Some((id, one)) = found.try_next().await? {
                // a folder of which nothing is left was deleted since the root was listed
                if let Some(objects) = one.folders.into_values().next() {
                    listing.folders.insert(id, objects);
                }
                listing.failed.extend(one.failed);
            }
            listing.failed.sort_by_key(|f| f.0);
            return Ok(listing);
        }
    }
    listing.read(bucket, "", None).await?;
    Ok(listing)
}

impl Listing {
    async fn read(&mut self, bucket: &Bucket, prefix: &str, within: Option<BlockId>) -> Result<()> {
        let mut objects = bucket.list(prefix);
        while let Some(next) = objects.next().await {
            match next {
                Ok(object) => self.add(object),
                // keys that no store can be asked for: all others came before
                Err(error) if error.kind() == Kind::Unsupported => {
                    let folder = error.part_name().and_then(|part| part.split('/').next()).and_then(block_id);
                    match within.or(folder) {
                        Some(id) => self.failed.push((id, error.block(id))),
                        None => self.warnings.push(error.to_string()),
                    }
                }
                Err(error) => return Err(error),
            }
        }
        self.close();
        for objects in self.folders.values_mut() {
            objects.sort_unstable_by(|a, b| a.key.cmp(&b.key));
            objects.shrink_to_fit();
        }
        Ok(())
    }

    fn add(&mut self, mut object: Object) {
        let Some((folder, _)) = object.key.split_once('/') else { return };
        if self.open.as_ref().is_none_or(|open| open.name != folder) {
            let Some(id) = block_id(folder) else { return };
            let name = folder.to_owned();
            self.close();
            self.open = Some(OpenFolder { name, id, objects: Vec::new() });
        }
        // nobody compares tags here, and they are a third of the memory
        object.etag = None;
        object.key.shrink_to_fit();
        if let Some(open) = &mut self.open {
            open.objects.push(object);
        }
    }

    /// No more objects of the folder before, unless a store lists out of order.
    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.folders.entry(open.id).or_default().extend(open.objects);
        }
    }
}

/// The block whose folder has this name, spelled as we would spell it.
fn block_id(folder: &str) -> Option<BlockId> {
    folder.parse::<BlockId>().ok().filter(|id| id.to_string() == folder)
}
