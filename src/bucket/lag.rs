//! Listings that are held against what this process did: see [`Own`](super::Own).

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::stream::{self, Stream, StreamExt};

use super::own::Believe;
use super::{Bucket, Folder, Object};
use crate::error::Result;

/// Objects that are asked for at a time.
const ASKED_AT_A_TIME: usize = 16;

/// The objects below `prefix` by the listing `found`, without those that were deleted here, and with those that were
/// written here; the latter last.
pub(super) fn of_all(
    bucket: Bucket,
    prefix: String,
    found: impl Stream<Item = Result<Object>> + Send,
) -> impl Stream<Item = Result<Object>> + Send {
    let began = bucket.own().number();
    let shown: Arc<Mutex<HashSet<String>>> = Arc::default();
    let has_failed = Arc::new(AtomicBool::new(false));
    let listed = {
        let (bucket, shown, has_failed) = (bucket.clone(), Arc::clone(&shown), Arc::clone(&has_failed));
        found.filter_map(move |object| {
            has_failed.fetch_or(object.is_err(), Ordering::Relaxed);
            let believe = object.as_ref().map_or(Believe::Listing, |o| bucket.own().listed(&o.key));
            let asks = (believe == Believe::Nobody).then(|| bucket.clone());
            if let (Ok(object), true) = (&object, believe != Believe::Listing) {
                shown.lock().unwrap_or_else(PoisonError::into_inner).insert(object.key.clone());
            }
            async move {
                match (asks, object) {
                    (Some(bucket), Ok(object)) => ask(&bucket, &object.key, began).await.transpose(),
                    (_, object) => Some(object),
                }
            }
        })
    };
    let rest = async move {
        let shown = std::mem::take(&mut *shown.lock().unwrap_or_else(PoisonError::into_inner));
        // what a listing that failed does not show may be in its other part
        let is_whole = !has_failed.load(Ordering::Relaxed);
        let missing = if is_whole { bucket.own().missing(&prefix, &shown) } else { Default::default() };
        if is_whole {
            bucket.own().settle(&prefix, began, &shown);
        }
        let each = missing.into_iter().map(move |key| {
            let bucket = bucket.clone();
            async move { ask(&bucket, &key, began).await }
        });
        stream::iter(each).buffered(ASKED_AT_A_TIME).filter_map(async |asked| asked.transpose())
    };
    listed.chain(stream::once(rest).flatten())
}

/// The same of what lies directly below `folder`, by a listing that began after change `began`.
pub(super) async fn of_folder(bucket: &Bucket, folder: &str, began: u64, listed: Folder) -> Result<Folder> {
    let mut objects = Vec::with_capacity(listed.objects.len());
    let mut shown = HashSet::new();
    for object in listed.objects {
        let believe = bucket.own().listed(&object.key);
        if believe != Believe::Listing {
            shown.insert(object.key.clone());
        }
        match believe {
            Believe::Nobody => objects.extend(ask(bucket, &object.key, began).await?),
            Believe::Listing | Believe::Shown => objects.push(object),
        }
    }
    let before = objects.len();
    let mut folders: BTreeSet<String> = listed.folders.into_iter().collect();
    let skip = if folder.is_empty() { 0 } else { folder.trim_end_matches('/').len() + 1 };
    for key in bucket.own().missing(folder, &shown) {
        let within = key[skip..].find('/').map(|end| &key[..skip + end]);
        if within.is_some_and(|name| folders.contains(name)) {
            continue;
        }
        let Some(object) = ask(bucket, &key, began).await? else { continue };
        match within {
            Some(name) => _ = folders.insert(name.to_owned()),
            None => objects.push(object),
        }
    }
    if objects.len() > before {
        objects.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    }
    Ok(Folder { objects, folders: folders.into_iter().collect() })
}

/// An object by its key, of which a listing that began after change `began` said otherwise than what was done here.
async fn ask(bucket: &Bucket, key: &str, began: u64) -> Result<Option<Object>> {
    let there = bucket.head(key).await?;
    bucket.own().told(key, began, there.is_some());
    Ok(there)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::TryStreamExt;
    use object_store::memory::InMemory;

    use super::*;
    use crate::bucket::Tuning;
    use crate::bucket::faulty::{Faults, Faulty};

    /// For ever, as far as a test goes.
    const NEVER: u64 = 1 << 40;

    fn lagging(operations: u64) -> (Bucket, Bucket) {
        let store = Arc::new(InMemory::new());
        let faults = Faults { lag_permille: 1000, lag_operations: operations, ..Faults::default() };
        let over = |faults| Bucket::over(Arc::new(Faulty::new(store.clone(), faults)), "pre", Tuning::default()).unwrap();
        (over(faults), over(Faults::default()))
    }

    async fn keys(bucket: &Bucket, prefix: &str) -> Vec<String> {
        let mut keys: Vec<String> = bucket.list(prefix).map_ok(|o| o.key).try_collect().await.unwrap();
        keys.sort();
        keys
    }

    #[tokio::test(start_paused = true)]
    async fn own_writes_are_listed_whatever_the_store_says() {
        let (bucket, other) = lagging(NEVER);
        for key in ["a/1", "a/c/2", "b/1", "top"] {
            bucket.put(key, Bytes::from_static(b"x")).await.unwrap();
        }
        let mut upload = bucket.upload("d/1", 10).await.unwrap();
        upload.write(Bytes::from_static(b"four")).await.unwrap();
        upload.finish().await.unwrap();
        for _ in 0..3 {
            assert_eq!(keys(&bucket, "").await, ["a/1", "a/c/2", "b/1", "d/1", "top"]);
            assert_eq!(keys(&bucket, "a").await, ["a/1", "a/c/2"]);
            let root = bucket.list_folder("").await.unwrap();
            assert_eq!((root.folders, root.objects.len()), (["a", "b", "d"].map(str::to_owned).to_vec(), 1));
            let within = bucket.list_folder("a").await.unwrap();
            assert_eq!((within.folders, within.objects[0].key.as_str()), (vec!["a/c".to_owned()], "a/1"));
        }
        assert!(bucket.own().late() > 0);

        // what somebody else takes away is gone
        other.delete("b/1").await.unwrap();
        bucket.delete("a/1").await.unwrap();
        assert_eq!(keys(&bucket, "").await, ["a/c/2", "d/1", "top"]);
        assert_eq!(bucket.list_folder("").await.unwrap().folders, ["a", "d"]);
    }

    #[tokio::test(start_paused = true)]
    async fn own_deletions_are_listed_and_what_somebody_else_writes_again_is_there() {
        let (bucket, other) = lagging(0);
        for key in ["a/1", "a/2"] {
            other.put(key, Bytes::from_static(b"x")).await.unwrap();
        }
        // a listing that shows them still is one made before
        bucket.inner.own.deletes("a/1");
        other.delete("a/1").await.unwrap();
        other.put("a/1", Bytes::from_static(b"longer")).await.unwrap();
        assert_eq!(keys(&bucket, "").await, ["a/1", "a/2"]);
        bucket.delete("a/2").await.unwrap();
        let stale = |key: &str| Object { key: key.to_owned(), len_bytes: 1, modified: 0, etag: None };
        let listed = || stream::iter([Ok(stale("a/1")), Ok(stale("a/2"))]);
        let all: Vec<Object> = of_all(bucket.clone(), String::new(), listed()).try_collect().await.unwrap();
        assert_eq!(all.iter().map(|o| o.key.as_str()).collect::<Vec<_>>(), ["a/1"]);
        let folder = Folder { objects: vec![stale("a/1"), stale("a/2")], folders: Vec::new() };
        assert_eq!(of_folder(&bucket, "a", bucket.own().number(), folder).await.unwrap().objects.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn listings_that_keep_up_cost_nothing_more() {
        let bucket = Bucket::memory();
        for key in ["a/1", "a/2", "b/1"] {
            bucket.put(key, Bytes::from_static(b"x")).await.unwrap();
        }
        bucket.delete("a/2").await.unwrap();
        assert_eq!(keys(&bucket, "").await, ["a/1", "b/1"]);
        bucket.list_folder("").await.unwrap();
        bucket.list_folder("a").await.unwrap();
        let requests = bucket.requests();
        assert_eq!((requests.attributes.calls, requests.iter.calls, bucket.own().late()), (0, 3, 0));
    }
}
