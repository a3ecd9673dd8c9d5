//! Rewrites in a bucket in memory: the rows of upstream's own test, then what upstream does not have.

mod block;
mod family;
mod model;
mod rows;

use std::sync::Arc;

use super::*;
use crate::bucket::Bucket;
use crate::clock::ManualClock;
use crate::error::Result;
use crate::format::meta::Meta;
use crate::job::catalog::{Catalog, SyncOptions, Syncer};
use crate::job::pipeline::HashFunc;
use crate::job::relabel::parse_relabelings;
use crate::job::{Env, Silent};
use crate::model::BlockId;

struct World {
    env: Env,
    scratch: tempfile::TempDir,
}

impl World {
    fn new(threads: usize) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let env = Env {
            bucket: Bucket::memory(),
            pool: Arc::new(rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()),
            clock: ManualClock::new(4_102_444_800_000, 7),
            report: Arc::new(Silent),
            scratch: scratch.path().to_owned(),
            cancel: Default::default(),
        };
        World { env, scratch }
    }

    fn bucket(&self) -> &Bucket {
        &self.env.bucket
    }

    async fn catalog(&self) -> Catalog {
        let catalog = Syncer::new(self.env.bucket.clone(), SyncOptions::default()).sync().await.unwrap();
        catalog.check_complete().unwrap();
        catalog
    }

    async fn plan(&self, request: &Request, choice: &Choice) -> Result<Plan> {
        plan(&self.catalog().await, request, choice, false, &*self.env.clock)
    }

    fn options(&self) -> Options {
        let change_logs = Some(self.scratch.path().to_owned());
        Options { skip_untouched: false, delete_blocks: false, hash_func: HashFunc::None, change_logs }
    }

    /// Plans and runs; what became of each block, in order.
    async fn run(&self, request: &Request, choice: &Choice, options: &Options) -> Result<Vec<Rewritten>> {
        let plan = self.plan(request, choice).await?;
        let mut all = Vec::new();
        run(&self.env, &plan, request, options, &mut |r| all.push(r.clone())).await?;
        Ok(all)
    }

    fn change_log(&self, id: BlockId) -> String {
        std::fs::read_to_string(self.scratch.path().join(id.to_string()).join("change.log")).unwrap()
    }
}

fn request(deletions: &str, relabeling: &str) -> Request {
    Request {
        deletions: if deletions.is_empty() { Vec::new() } else { parse_deletions(deletions).unwrap() },
        relabeling: if relabeling.is_empty() { Vec::new() } else { parse_relabelings(relabeling).unwrap() },
        drop_unused_symbols: false,
    }
}

fn written(rewritten: &Rewritten) -> &Meta {
    match &rewritten.fate {
        Fate::Written(meta) => meta,
        other => panic!("{other:?}"),
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}
