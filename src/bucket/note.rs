//! Small objects about ourselves, which do not count as data that was uploaded.

use std::time::Instant;

use bytes::Bytes;

use super::{Bucket, Store};
use crate::error::Result;

impl Bucket {
    /// Writes one as a whole; on a file system it is synced before this returns.
    ///
    /// # Errors
    /// `Unavailable`, `Denied` from the provider.
    pub async fn put_note(&self, key: &str, bytes: Bytes) -> Result<()> {
        let (began, len) = (Instant::now(), bytes.len() as u64);
        let done = self.write(key, bytes).await;
        self.inner.counters.upload.note(began, &done, |()| len);
        done
    }

    /// The same unless the object is there; returns whether it was written. Nothing is synced. Providers differ in
    /// how well they keep the condition, a few write all the same: who relies on it reads the object again.
    ///
    /// # Errors
    /// `Unavailable`, `Denied` from the provider.
    pub async fn put_new_note(&self, key: &str, bytes: Bytes) -> Result<bool> {
        let path = self.inner.keys.object(key)?;
        let (began, len) = (Instant::now(), bytes.len() as u64);
        let done = match &self.inner.store {
            Store::Disk(disk) => disk.put_new(&path, bytes).await,
            Store::Objects(objects) => objects.put_new(&path, bytes).await,
        };
        self.inner.counters.upload.note(began, &done, |&written| if written { len } else { 0 });
        done.map_err(|e| e.part(key))
    }
}
