//! Taking a block out of service: marks, and the deletion that follows.
//!
//! A mark is written once: whoever marks a block that is marked already leaves the mark as it is, so that the
//! delay runs from the first.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use crate::bucket::Bucket;
use crate::error::Result;
use crate::format::marks::{
    DELETION_MARK_FILE, DeletionMark, NO_COMPACT_MARK_FILE, NO_DOWNSAMPLE_MARK_FILE, NoCompactMark, NoDownsampleMark,
};
use crate::format::meta::META_FILE;
use crate::model::{BlockId, Millis};

/// Objects of one block that are deleted at a time.
const DELETES_AT_A_TIME: usize = 8;

/// What came of marking a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marked {
    /// The mark is there now.
    Written,
    /// There was a mark, and it is as it was.
    Already,
    /// There is no such block: somebody deleted it, and a mark would be all of it.
    NoBlock,
}

/// Marks a block for deletion.
///
/// # Errors
/// What the bucket says.
pub async fn mark_for_deletion(bucket: &Bucket, id: BlockId, now: Millis, details: &str) -> Result<Marked> {
    let mark = DeletionMark::new(id, now.div_euclid(1000), details);
    mark_with(bucket, id, DELETION_MARK_FILE, mark.encode()).await
}

/// Marks a block as not to be compacted.
///
/// # Errors
/// What the bucket says.
pub async fn mark_no_compact(bucket: &Bucket, id: BlockId, now: Millis, reason: &str, details: &str) -> Result<Marked> {
    let mark = NoCompactMark::new(id, now.div_euclid(1000), reason, details);
    mark_with(bucket, id, NO_COMPACT_MARK_FILE, mark.encode()).await
}

/// Marks a block as not to be downsampled.
///
/// # Errors
/// What the bucket says.
pub async fn mark_no_downsample(bucket: &Bucket, id: BlockId, now: Millis, reason: &str, details: &str) -> Result<Marked> {
    let mark = NoDownsampleMark::new(id, now.div_euclid(1000), reason, details);
    mark_with(bucket, id, NO_DOWNSAMPLE_MARK_FILE, mark.encode()).await
}

async fn mark_with(bucket: &Bucket, id: BlockId, file: &str, mark: Vec<u8>) -> Result<Marked> {
    let key = format!("{id}/{file}");
    if bucket.exists(&key).await.map_err(|e| e.block(id))? {
        return Ok(Marked::Already);
    }
    if !bucket.exists(&format!("{id}/{META_FILE}")).await.map_err(|e| e.block(id))? {
        return Ok(Marked::NoBlock);
    }
    bucket.put(&key, Bytes::from(mark)).await.map_err(|e| e.block(id))?;
    Ok(Marked::Written)
}

/// Takes a mark away; returns whether there was one.
///
/// # Errors
/// What the bucket says.
pub async fn unmark(bucket: &Bucket, id: BlockId, file: &str) -> Result<bool> {
    let key = format!("{id}/{file}");
    let there = bucket.exists(&key).await.map_err(|e| e.block(id))?;
    if there {
        bucket.delete(&key).await.map_err(|e| e.block(id))?;
    }
    Ok(there)
}

/// Deletes a block, or what there is of one; returns how many objects were deleted.
///
/// *Order*: `meta.json`, so that nobody takes what is left for a block; everything else; the deletion mark, so
/// that whoever finds the rest knows that it was to go; last the empty objects by which some programs mark
/// folders. Where it stops, the next deletion goes on.
///
/// # Errors
/// What the bucket says; markers of folders are best effort.
pub async fn delete(bucket: &Bucket, id: BlockId) -> Result<u64> {
    let (meta, mark) = (format!("{id}/{META_FILE}"), format!("{id}/{DELETION_MARK_FILE}"));
    let mut deleted = 0;
    if bucket.exists(&meta).await.map_err(|e| e.block(id))? {
        bucket.delete(&meta).await.map_err(|e| e.block(id))?;
        deleted += 1;
    }
    let objects: Vec<_> = bucket.list(&id.to_string()).try_collect().await.map_err(|e| e.block(id))?;
    let mut marked = false;
    let mut rest = Vec::with_capacity(objects.len());
    for object in objects {
        match object.key == mark {
            true => marked = true,
            false => rest.push(object.key),
        }
    }
    let each = rest.into_iter().map(|key| async move { bucket.delete(&key).await.map_err(|e| e.block(id)) });
    let mut under_way = stream::iter(each).buffer_unordered(DELETES_AT_A_TIME);
    while let Some(done) = under_way.next().await {
        done?;
        deleted += 1;
    }
    if marked {
        bucket.delete(&mark).await.map_err(|e| e.block(id))?;
        deleted += 1;
    }
    for folder in [format!("{id}/chunks"), id.to_string()] {
        let _ = bucket.delete_folder_marker(&folder).await;
    }
    Ok(deleted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> BlockId {
        BlockId::from_parts(7, 0)
    }

    async fn keys(bucket: &Bucket) -> Vec<String> {
        let mut keys: Vec<String> = bucket.list("").map_ok(|o| o.key).try_collect().await.unwrap();
        keys.sort();
        keys
    }

    async fn with(names: &[&str]) -> Bucket {
        let bucket = Bucket::memory();
        for name in names {
            bucket.put(&format!("{}/{name}", id()), Bytes::from_static(b"x")).await.unwrap();
        }
        bucket
    }

    #[tokio::test]
    async fn a_block_is_marked_once() {
        let bucket = with(&["meta.json"]).await;
        assert_eq!(mark_for_deletion(&bucket, id(), 5_999, "first").await.unwrap(), Marked::Written);
        assert_eq!(mark_for_deletion(&bucket, id(), 9_000, "second").await.unwrap(), Marked::Already);
        let bytes = bucket.get(&format!("{}/deletion-mark.json", id()), 1 << 20).await.unwrap();
        assert_eq!(DeletionMark::decode(&bytes), Ok(DeletionMark::new(id(), 5, "first")));

        assert_eq!(mark_no_compact(&bucket, id(), 1, "manual", "").await.unwrap(), Marked::Written);
        assert_eq!(mark_no_downsample(&bucket, id(), 1, "manual", "").await.unwrap(), Marked::Written);
        assert!(unmark(&bucket, id(), NO_COMPACT_MARK_FILE).await.unwrap());
        assert!(!unmark(&bucket, id(), NO_COMPACT_MARK_FILE).await.unwrap());
        assert_eq!(keys(&bucket).await.len(), 3);
    }

    #[tokio::test]
    async fn a_block_that_is_gone_is_not_marked() {
        let bucket = Bucket::memory();
        assert_eq!(mark_for_deletion(&bucket, id(), 5_000, "x").await.unwrap(), Marked::NoBlock);
        assert!(keys(&bucket).await.is_empty());
    }

    #[tokio::test]
    async fn all_of_a_block_goes_and_nothing_else() {
        for names in [
            &["meta.json", "index", "chunks/000001", "deletion-mark.json"][..],
            &["index", "chunks/000001"],
            &["deletion-mark.json"],
            &[],
        ] {
            let bucket = with(names).await;
            bucket.put("other/object", Bytes::from_static(b"x")).await.unwrap();
            assert_eq!(delete(&bucket, id()).await.unwrap(), names.len() as u64);
            assert_eq!(keys(&bucket).await, ["other/object"]);
        }
    }
}
