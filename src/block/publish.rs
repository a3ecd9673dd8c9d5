//! Making a block visible, and taking back one that never was.

use bytes::Bytes;
use futures::StreamExt;

use super::build::Written;
use crate::bucket::Bucket;
use crate::error::{Error, Kind, Result};
use crate::format::meta::{META_FILE, Meta};
use crate::model::BlockId;

/// Writes `meta.json` of a block whose other objects are all in the bucket, which makes it visible.
///
/// Before that each object is looked up and its size compared with what was written.
///
/// # Errors
/// `Conflict` when an object is missing or has another size; else what the bucket says.
pub async fn publish(bucket: &Bucket, meta: &Meta, written: &[Written]) -> Result<()> {
    for object in written {
        let key = format!("{}/{}", meta.ulid, object.name);
        match bucket.head(&key).await? {
            Some(found) if found.len_bytes == object.len_bytes => {}
            found => {
                let has = found.map_or("nothing".to_owned(), |f| format!("{} bytes", f.len_bytes));
                return Err(Error::new(Kind::Conflict, format!("{} bytes were written, the bucket has {has}", object.len_bytes))
                    .block(meta.ulid)
                    .part(&*object.name)
                    .next("find out who else writes to this bucket, then run it again"));
            }
        }
    }
    bucket.put(&format!("{}/{META_FILE}", meta.ulid), Bytes::from(meta.encode())).await.map_err(|e| e.block(meta.ulid))
}

/// Deletes all objects of a block that was not published; `meta.json` first, should there be one.
///
/// # Errors
/// What the bucket says; what could not be deleted is cleaned by age later.
pub async fn discard(bucket: &Bucket, id: BlockId) -> Result<()> {
    bucket.delete(&format!("{id}/{META_FILE}")).await?;
    let mut objects = bucket.list(&id.to_string());
    let mut keys = Vec::new();
    while let Some(object) = objects.next().await {
        keys.push(object?.key);
    }
    for key in keys {
        bucket.delete(&key).await?;
    }
    Ok(())
}
