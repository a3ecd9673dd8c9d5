//! A caller that tries again while the answer is "unavailable", as jobs do.

use std::ops::Range;

use blockyard::bucket::{Bucket, Folder, Object};
use blockyard::{Kind, Result};
use bytes::Bytes;
use futures::TryStreamExt;

/// A bucket, and how often one thing is tried.
pub(super) struct Patient<'a> {
    pub(super) bucket: &'a Bucket,
    pub(super) attempts: u32,
}

impl Patient<'_> {
    async fn try_again<T>(&self, attempt: impl AsyncFn() -> Result<T>) -> Result<T> {
        for _ in 1..self.attempts {
            match attempt().await {
                Err(e) if e.kind() == Kind::Unavailable => {}
                result => return result,
            }
        }
        attempt().await
    }

    pub(super) async fn get(&self, key: &str, limit_bytes: u64) -> Result<Bytes> {
        self.try_again(async || self.bucket.get(key, limit_bytes).await).await
    }

    pub(super) async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        self.try_again(async || self.bucket.get_range(key, range.clone()).await).await
    }

    pub(super) async fn head(&self, key: &str) -> Option<Object> {
        self.try_again(async || self.bucket.head(key).await).await.unwrap()
    }

    pub(super) async fn exists(&self, key: &str) -> bool {
        self.try_again(async || self.bucket.exists(key).await).await.unwrap()
    }

    pub(super) async fn list(&self, prefix: &str) -> Vec<Object> {
        self.try_again(async || self.bucket.list(prefix).try_collect().await).await.unwrap()
    }

    pub(super) async fn keys(&self, prefix: &str) -> Vec<String> {
        self.list(prefix).await.into_iter().map(|o| o.key).collect()
    }

    pub(super) async fn list_folder(&self, folder: &str) -> Folder {
        let found = self.try_again(async || self.bucket.list_folder(folder).await).await.unwrap();
        let names = self.try_again(async || self.bucket.list_folders(folder).await).await.unwrap();
        assert!(names.is_sorted() && found.folders.iter().all(|name| names.contains(name)), "{names:?}");
        found
    }

    pub(super) async fn put(&self, key: &str, bytes: impl Into<Bytes>) -> Result<()> {
        let bytes = bytes.into();
        self.try_again(async || self.bucket.put(key, bytes.clone()).await).await
    }

    /// A streamed object in pieces of `piece_bytes`.
    pub(super) async fn upload(&self, key: &str, bytes: &Bytes, piece_bytes: usize) -> Result<u64> {
        let attempt = async || {
            let mut upload = self.bucket.upload(key, bytes.len() as u64).await?;
            for piece in bytes.chunks(piece_bytes) {
                upload.write(bytes.slice_ref(piece)).await?;
            }
            assert_eq!(upload.written(), bytes.len() as u64);
            upload.finish().await
        };
        self.try_again(attempt).await
    }

    pub(super) async fn copy(&self, from: &str, to: &str, len_bytes: u64) -> Result<()> {
        self.try_again(async || self.bucket.copy(from, to, len_bytes).await).await
    }

    /// A copy by reading and writing.
    pub(super) async fn pass(&self, from: &str, to: &str, len_bytes: u64) -> Result<()> {
        self.try_again(async || self.bucket.pass(from, self.bucket, to, len_bytes).await).await
    }

    pub(super) async fn delete(&self, key: &str) {
        self.try_again(async || self.bucket.delete(key).await).await.unwrap();
    }
}
