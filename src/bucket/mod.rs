//! The one gate to a bucket: every access goes through [`Bucket`].
//!
//! Keys are full paths below the configured prefix, `/`-separated, without a leading slash.
//! Bucket files are read, never mapped: a file that is cut short while mapped would end the process.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;

use crate::error::Result;
use crate::model::Millis;

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

/// A bucket; cheap to clone.
#[derive(Clone)]
pub struct Bucket {
    inner: Arc<Inner>,
}

struct Inner {}

impl Bucket {
    /// A whole object of at most `limit_bytes`.
    ///
    /// # Errors
    /// `NotFound`; `Limit` when it is larger; `Unavailable`, `Denied` from the provider.
    pub async fn get(&self, _key: &str, _limit_bytes: u64) -> Result<Bytes> {
        let _ = &self.inner;
        unreachable!()
    }

    /// Exactly the bytes of `range`.
    ///
    /// # Errors
    /// `NotFound`; `Corrupt` when the object is shorter; `Unavailable`, `Denied` from the provider.
    pub async fn get_range(&self, _key: &str, _range: Range<u64>) -> Result<Bytes> {
        unreachable!()
    }

    /// Size and time of an object, or `None` when there is none.
    ///
    /// # Errors
    /// `Unavailable`, `Denied` from the provider.
    pub async fn head(&self, _key: &str) -> Result<Option<Object>> {
        unreachable!()
    }

    /// Every object below `prefix` (a folder, or "" for all), in no order.
    pub fn list(&self, _prefix: &str) -> BoxStream<'static, Result<Object>> {
        unreachable!()
    }

    /// Objects and folders directly below `folder` ("" for the root), ordered.
    ///
    /// # Errors
    /// `Unavailable`, `Denied` from the provider.
    pub async fn list_folder(&self, _folder: &str) -> Result<Folder> {
        unreachable!()
    }

    /// Writes a small object as a whole; on a file system it is synced before this returns.
    ///
    /// # Errors
    /// `Unavailable`, `Denied` from the provider.
    pub async fn put(&self, _key: &str, _bytes: Bytes) -> Result<()> {
        unreachable!()
    }

    /// Begins a streamed object that will have at most `bound_bytes`; nothing is visible until
    /// [`Upload::finish`].
    ///
    /// # Errors
    /// `Limit` when the bound is above what the provider takes; `Unavailable`, `Denied`.
    pub async fn upload(&self, _key: &str, _bound_bytes: u64) -> Result<Upload> {
        unreachable!()
    }

    /// Deletes an object; deleting what is not there is no error.
    ///
    /// # Errors
    /// `Unavailable`, `Denied` from the provider.
    pub async fn delete(&self, _key: &str) -> Result<()> {
        unreachable!()
    }

    /// How many bytes one ranged read should ask for: small where a request costs nothing.
    pub fn read_bytes(&self) -> usize {
        unreachable!()
    }
}

/// An object that is being written, front to back.
pub struct Upload {}

impl Upload {
    /// Appends; waits while too much is under way.
    ///
    /// # Errors
    /// `Limit` above the bound; `Unavailable`, `Denied` from the provider.
    pub async fn write(&mut self, _bytes: Bytes) -> Result<()> {
        unreachable!()
    }

    /// Makes the object visible, synced, and returns its length in bytes.
    ///
    /// # Errors
    /// `Unavailable`, `Denied`, and `Conflict` when the store holds another length than was written.
    pub async fn finish(self) -> Result<u64> {
        unreachable!()
    }

    /// Drops what was written.
    ///
    /// # Errors
    /// `Unavailable`, `Denied` from the provider.
    pub async fn abort(self) -> Result<()> {
        unreachable!()
    }
}
