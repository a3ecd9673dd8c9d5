//! Deleting what is due: blocks whose mark is old enough, uploads that never became a block, and what a
//! crash left behind that no listing shows.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use futures::{StreamExt, stream};

use crate::block::retire;
use crate::error::{Error, Result};
use crate::format::meta::META_FILE;
use crate::job::catalog::{Catalog, CatalogBlock, Partial, PartialReason};
use crate::job::filter::Selection;
use crate::job::plan::{Deletion, PlannedDeletion};
use crate::job::{Env, Event, Level};
use crate::model::{BlockId, Millis};

/// How long nothing was added to an upload before it counts as given up.
pub const GIVEN_UP_AFTER: Millis = 48 * 3_600_000;

/// How often unfinished uploads are looked for.
const LOOK_EVERY: Millis = 3_600_000;

/// Where it is noted when they were looked for, in milliseconds since the Unix epoch.
const LOOKED_FILE: &str = "unfinished-uploads-looked-for";

/// Blocks that are deleted at a time.
const BLOCKS_AT_A_TIME: usize = 32;

/// What a cleaning came to.
#[derive(Debug, Default)]
pub struct Cleaned {
    /// Blocks that are gone, by id.
    pub deleted: Vec<BlockId>,
    /// Unfinished uploads that were ended.
    pub uploads: usize,
    /// What could not be deleted; the next cleaning goes on with it.
    pub errors: Vec<Error>,
}

/// Blocks whose deletion mark is older than the delay: those of the selection, and what is left of others
/// whose deletion was interrupted.
pub fn due(selection: &Selection, catalog: &Catalog, delete_delay: Millis, now: Millis) -> Vec<PlannedDeletion> {
    let is_due = |since: i64| now.saturating_sub(since.saturating_mul(1000)) > delete_delay;
    let whole = |block: &CatalogBlock| {
        let since = block.deletion.as_ref()?.deletion_time;
        let why = Deletion::Marked { since };
        is_due(since).then(|| PlannedDeletion { block: block.id, why, objects: block.objects.len(), bytes: block.bytes() })
    };
    let part = |partial: &Partial| {
        let since = partial.deletion.as_ref()?.deletion_time;
        let (why, objects) = (Deletion::Marked { since }, partial.objects.len());
        is_due(since).then(|| PlannedDeletion { block: partial.id, why, objects, bytes: partial.bytes() })
    };
    let mut all: Vec<_> = selection.marked.iter().filter_map(whole).chain(catalog.partial.iter().filter_map(part)).collect();
    all.sort_by_key(|d| d.block);
    all
}

/// Folders without a readable `meta.json` to which nothing was added for two days, unless they are marked: then
/// they go when the mark says so.
pub fn given_up(catalog: &Catalog, now: Millis) -> Vec<PlannedDeletion> {
    let given_up = |partial: &&Partial| partial.deletion.is_none() && now.saturating_sub(partial.newest()) > GIVEN_UP_AFTER;
    let plan = |partial: &Partial| PlannedDeletion {
        block: partial.id,
        why: Deletion::PartialUpload { newest: partial.newest() },
        objects: partial.objects.len(),
        bytes: partial.bytes(),
    };
    catalog.partial.iter().filter(given_up).map(plan).collect()
}

/// Deletes what was planned.
pub async fn run(env: &Env, catalog: &Catalog, deletions: &[PlannedDeletion]) -> Cleaned {
    let delete = |deletion: PlannedDeletion| async move {
        if env.cancel.is_cancelled() {
            return (deletion.block, Ok(false));
        }
        let deleted = delete_one(env, catalog, &deletion).await;
        if !matches!(deleted, Ok(false)) {
            let partial = matches!(deletion.why, Deletion::PartialUpload { .. });
            env.report.event(Event::Deleted { block: deletion.block, partial, error: deleted.as_ref().err() });
        }
        (deletion.block, deleted)
    };
    let mut under_way = stream::iter(deletions.to_vec()).map(delete).buffer_unordered(BLOCKS_AT_A_TIME);
    let mut cleaned = Cleaned::default();
    while let Some((block, deleted)) = under_way.next().await {
        match deleted {
            Ok(true) => cleaned.deleted.push(block),
            Ok(false) => {}
            Err(error) => cleaned.errors.push(error),
        }
    }
    cleaned.deleted.sort_unstable();
    cleaned
}

async fn delete_one(env: &Env, catalog: &Catalog, deletion: &PlannedDeletion) -> Result<bool> {
    let partial = catalog.partial.iter().find(|p| p.id == deletion.block);
    let without_meta = partial.is_some_and(|p| p.why == PartialReason::NoMeta);
    // an upload may have come to its end since the listing
    let upload = matches!(deletion.why, Deletion::PartialUpload { .. });
    if upload && without_meta && env.bucket.exists(&format!("{}/{META_FILE}", deletion.block)).await? {
        return Ok(false);
    }
    // somebody else may have deleted all of it since the listing
    if retire::delete(&env.bucket, deletion.block).await? == 0 {
        return Ok(false);
    }
    let text = if upload { "deleted a partial upload" } else { "deleted a block that was marked for deletion" };
    env.report.event(Event::Note { level: Level::Info, block: Some(deletion.block), text });
    Ok(true)
}

/// Ends uploads of blocks that were begun more than two days ago and never ended; they are paid for, and no
/// listing shows them.
pub async fn unfinished_uploads(env: &Env) -> Cleaned {
    let mut cleaned = Cleaned::default();
    let listed = match env.bucket.list_unfinished_uploads("").await {
        Ok(listed) => listed,
        Err(error) => {
            cleaned.errors.push(error);
            return cleaned;
        }
    };
    let now = env.clock.now();
    for upload in listed {
        let block = upload.key.split('/').next().and_then(|folder| folder.parse::<BlockId>().ok());
        if block.is_none() || now.saturating_sub(upload.started) <= GIVEN_UP_AFTER {
            continue;
        }
        match env.bucket.abort_unfinished(&upload).await {
            Ok(()) => cleaned.uploads += 1,
            Err(error) => cleaned.errors.push(error),
        }
    }
    cleaned
}

/// Whether unfinished uploads were not looked for within the hour before `now`, as the file in `folder` says.
pub fn is_time_for_unfinished(folder: &Path, now: Millis) -> bool {
    let noted = std::fs::read_to_string(folder.join(LOOKED_FILE)).ok().and_then(|text| text.trim().parse::<Millis>().ok());
    noted.is_none_or(|at| !(at..at.saturating_add(LOOK_EVERY)).contains(&now))
}

/// Notes in `folder` that unfinished uploads were looked for at `now`: best effort.
pub fn note_unfinished(folder: &Path, now: Millis) {
    let _ = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(folder.join(LOOKED_FILE), format!("{now}\n")));
}

/// Deletes spills of jobs that ended without deleting them, by age: best effort.
pub fn scratch(folder: &Path, now: Millis) {
    let Ok(entries) = std::fs::read_dir(folder.join("compact")) else { return };
    for entry in entries.flatten() {
        let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|at| {
            let now = UNIX_EPOCH.checked_add(Duration::from_millis(u64::try_from(now).ok()?))?;
            now.duration_since(at).ok()
        });
        if age.is_some_and(|age| age > Duration::from_millis(GIVEN_UP_AFTER as u64)) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
