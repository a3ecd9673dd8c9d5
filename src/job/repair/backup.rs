//! A copy of a block in another bucket, byte for byte, with `meta.json` last.

use futures::{StreamExt, TryStreamExt, stream};

use crate::block::discard;
use crate::bucket::{Bucket, Object};
use crate::error::{Error, Kind, Result};
use crate::format::marks::DELETION_MARK_FILE;
use crate::format::meta::META_FILE;
use crate::job::{Env, Event, Level};
use crate::model::BlockId;

/// Objects of one block that are copied at a time.
const COPIES_AT_A_TIME: usize = 4;

/// Whether the block can be copied to `to`.
///
/// # Errors
/// `Conflict` when `to` has objects of this block already: a block never changes, so somebody has to look at them;
/// `Corrupt` when the block has no `meta.json`; others from either bucket.
pub async fn check_backup(env: &Env, id: BlockId, to: &Bucket) -> Result<()> {
    let held = to.list_folder(&id.to_string()).await.map_err(|e| e.block(id))?;
    if !held.objects.is_empty() || !held.folders.is_empty() {
        let what = format!("{id} dir seems to exists in backup bucket");
        return Err(Error::new(Kind::Conflict, what).next("remove this block manually if you are sure it is safe to do"));
    }
    if !env.bucket.exists(&format!("{id}/{META_FILE}")).await? {
        return Err(Error::new(Kind::Corrupt, "the block has no meta.json").part(META_FILE));
    }
    Ok(())
}

/// Copies all objects of the block to `to`, but for a mark that it is to be deleted. After an error nothing of the copy
/// stays.
///
/// # Errors
/// As [`check_backup`]; others from either bucket.
pub async fn backup(env: &Env, id: BlockId, to: &Bucket) -> Result<()> {
    check_backup(env, id, to).await?;
    let objects: Vec<Object> = env.bucket.list(&id.to_string()).try_collect().await.map_err(|e| e.block(id))?;
    let text = format!("copying {} objects to the backup bucket", objects.len());
    env.report.event(Event::Note { level: Level::Info, block: Some(id), text: &text });
    let copied = copy(env, id, &objects, to).await;
    if copied.is_err()
        && let Err(left) = discard(to, id).await
    {
        let text = format!("objects of a backup that failed are left there: {left}");
        env.report.event(Event::Note { level: Level::Warn, block: Some(id), text: &text });
    }
    copied.map_err(|e| e.block(id))
}

async fn copy(env: &Env, id: BlockId, objects: &[Object], to: &Bucket) -> Result<()> {
    let (meta, mark) = (format!("{id}/{META_FILE}"), format!("{id}/{DELETION_MARK_FILE}"));
    let (last, first): (Vec<&Object>, Vec<&Object>) = objects.iter().filter(|o| o.key != mark).partition(|o| o.key == meta);
    let pass = |o: &Object| {
        let (key, len_bytes) = (o.key.clone(), o.len_bytes);
        async move { env.bucket.pass(&key, to, &key, len_bytes).await }
    };
    let mut under_way = stream::iter(first.into_iter().map(pass)).buffer_unordered(COPIES_AT_A_TIME);
    while let Some(done) = under_way.next().await {
        done?;
    }
    for object in last {
        pass(object).await?;
    }
    Ok(())
}
