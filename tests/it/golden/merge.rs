//! Runs one merge through the library, as a compactor would, over any bucket.

use std::sync::Arc;

use blockyard::Result;
use blockyard::bucket::{Bucket, Object};
use blockyard::clock::ManualClock;
use blockyard::format::meta::Meta;
use blockyard::job::compact::{CompactOutcome, CompactTask, SourceBlock, compact};
use blockyard::job::{Env, Silent};
use blockyard::model::{BlockId, LabelSet};
use futures::TryStreamExt;

/// An environment with `threads` threads of compute and a clock that stands still.
pub(crate) fn env(bucket: Bucket, threads: usize, scratch: &tempfile::TempDir) -> Env {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    Env {
        bucket,
        pool: Arc::new(pool),
        clock: ManualClock::new(1_800_000_000_000, threads as u64),
        report: Arc::new(Silent),
        scratch: scratch.path().to_path_buf(),
        cancel: Default::default(),
    }
}

/// Puts `objects` into `bucket`.
pub(crate) async fn fill(bucket: &Bucket, objects: &[(String, Vec<u8>)]) {
    for (key, bytes) in objects {
        bucket.put(key, bytes.clone().into()).await.expect("a put");
    }
}

/// Every key and its bytes, ordered.
pub(crate) async fn contents(bucket: &Bucket, prefix: &str) -> Vec<(String, Vec<u8>)> {
    let mut objects: Vec<Object> = bucket.list(prefix).try_collect().await.expect("a listing");
    objects.sort_by(|a, b| a.key.cmp(&b.key));
    let mut out = Vec::new();
    for object in objects {
        let bytes = bucket.get(&object.key, 1 << 30).await.expect("an object that is listed");
        out.push((object.key, bytes.to_vec()));
    }
    out
}

/// The merge of `blocks`, in this order, that has yet to run; `alter` may change it.
pub(crate) async fn task(env: &Env, blocks: &[BlockId]) -> Result<CompactTask> {
    let mut inputs = Vec::new();
    for &id in blocks {
        let meta = Meta::decode(&env.bucket.get(&format!("{id}/meta.json"), 1 << 20).await?)?;
        let objects: Vec<Object> = env.bucket.list(&id.to_string()).try_collect().await?;
        inputs.push(SourceBlock { id, meta: Arc::new(meta), objects: objects.into() });
    }
    let labels = LabelSet::from_iter([("cluster", "eu1")]);
    let resolution = inputs[0].meta.resolution();
    Ok(CompactTask::new(env.clock.new_block_id(), inputs, labels, resolution))
}

/// Merges `blocks` with everything as a compactor has it.
pub(crate) async fn merge(env: &Env, blocks: &[BlockId]) -> Result<CompactOutcome> {
    compact(env, &task(env, blocks).await?).await
}
