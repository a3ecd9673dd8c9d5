//! A block that goes into a pass: where its objects are, and what has to be known of them before the
//! first series is read.

use std::sync::Arc;

use super::LOOK_AND_MARK;
use super::chunks::Segment;
use crate::block::ReadAhead;
use crate::bucket::{Bucket, Object};
use crate::error::{Error, Kind, Result};
use crate::format::index::{self, TOC_BYTES, Toc, Version};
use crate::format::meta::Meta;
use crate::format::tombstones::Tombstones;
use crate::job::catalog::CatalogBlock;
use crate::model::BlockId;

/// All inputs together hold about so many of the bucket's preferred reads.
const READ_AHEAD_PARTS: u64 = 24;
/// An input of many reads at least so much at a time (bytes).
const MIN_READ_BYTES: u64 = 256 << 10;
/// The largest tombstones file that is read.
const MAX_TOMBSTONES_BYTES: u64 = 256 << 20;

/// One block that goes into a pass.
#[derive(Clone, Debug)]
pub struct SourceBlock {
    /// Which.
    pub id: BlockId,
    /// Its `meta.json`.
    pub meta: Arc<Meta>,
    /// Its objects, as the bucket lists them.
    pub objects: Arc<[Object]>,
}

impl From<&CatalogBlock> for SourceBlock {
    fn from(block: &CatalogBlock) -> Self {
        SourceBlock { id: block.id, meta: block.meta.clone(), objects: block.objects.clone() }
    }
}

/// An index of which only the table of contents was read.
pub(super) struct Shape {
    pub(super) version: Version,
    pub(super) toc: Toc,
    pub(super) len_bytes: u64,
}

impl SourceBlock {
    /// Bytes of all its objects.
    pub fn len_bytes(&self) -> u64 {
        self.objects.iter().map(|o| o.len_bytes).fold(0, u64::saturating_add)
    }

    /// The key of its object `name`.
    pub(super) fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.id)
    }

    /// Length of its object `name`.
    fn len_of(&self, name: &str) -> Option<u64> {
        let suffix = format!("/{name}");
        self.objects.iter().find(|o| o.key.ends_with(&suffix)).map(|o| o.len_bytes)
    }

    /// Its chunk segments.
    pub(super) fn segments(&self) -> Vec<Segment> {
        // numbered from 1 without gaps: the first that is missing ends the list, and an index that points
        // behind it is told so
        (1..)
            .map_while(|n| {
                let name = format!("chunks/{n:06}");
                self.len_of(&name).map(|len_bytes| Segment { key: self.key(&name), len_bytes })
            })
            .collect()
    }

    /// Reads how its index is made up.
    pub(super) async fn open(&self, bucket: &Bucket) -> Result<Shape> {
        let bad = |e: Error| e.block(self.id).part("index").next(LOOK_AND_MARK);
        let Some(len_bytes) = self.len_of("index") else {
            return Err(bad(Error::new(Kind::Corrupt, "the block has no index object")));
        };
        if len_bytes < (index::HEADER_BYTES + TOC_BYTES) as u64 {
            return Err(bad(Error::new(Kind::Corrupt, format!("{len_bytes} bytes are no index")).at(len_bytes)));
        }
        let key = self.key("index");
        let header = bucket.get_range(&key, 0..index::HEADER_BYTES as u64).await.map_err(|e| e.block(self.id))?;
        let version = index::check_header(&header).map_err(|m| bad(m.into()))?;
        let tail = bucket.get_range(&key, Toc::range(len_bytes)).await.map_err(|e| e.block(self.id))?;
        let toc = Toc::decode(&tail, len_bytes).map_err(|m| bad(m.into()))?;
        Ok(Shape { version, toc, len_bytes })
    }

    /// Its tombstones, if there are any.
    pub(super) async fn tombstones(&self, bucket: &Bucket) -> Result<Option<Tombstones>> {
        if self.len_of("tombstones").is_none() {
            return Ok(None);
        }
        let bytes = bucket.get(&self.key("tombstones"), MAX_TOMBSTONES_BYTES).await.map_err(|e| e.block(self.id))?;
        let tombstones = Tombstones::decode(&bytes).map_err(|m| Error::from(m).block(self.id))?;
        Ok((!tombstones.is_empty()).then_some(tombstones))
    }
}

/// Bytes of one ranged read where so many inputs are read side by side.
pub(crate) fn input_part_bytes(bucket: &Bucket, inputs: usize) -> u64 {
    read_ahead(bucket.read_bytes() as u64, inputs as u64).part_bytes
}

/// Read-ahead is a share divided by the inputs, each of which reads its index and its chunks: many
/// inputs read smaller parts, so that memory does not grow with their number.
pub(super) fn read_ahead(read_bytes: u64, inputs: u64) -> ReadAhead {
    let share = READ_AHEAD_PARTS * read_bytes / (2 * inputs.max(1));
    // one part is consumed, one waits, one is on its way
    ReadAhead { part_bytes: (share / 3).clamp(MIN_READ_BYTES.min(read_bytes / 4), read_bytes), ahead: 1 }
}
