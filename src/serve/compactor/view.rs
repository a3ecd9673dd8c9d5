//! Lists of blocks, as the API has them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Compactor, lock};
use crate::error::{Error, Kind, Result};
use crate::job::catalog::{CatalogBlock, Depth, PartialReason, SyncOptions, Syncer};
use crate::job::filter::State;
use crate::model::{Millis, Timestamp};

/// One list, and when it was made.
#[derive(Clone)]
pub(super) struct View {
    pub(super) blocks: Arc<[CatalogBlock]>,
    /// When it was tried last.
    pub(super) refreshed: Option<Millis>,
    /// Why the list is older than that, if it is.
    error: Option<String>,
}

impl Default for View {
    fn default() -> Self {
        View { blocks: Arc::new([]), refreshed: None, error: None }
    }
}

impl View {
    /// A list of `now`; objects are not kept.
    pub(super) fn new(blocks: &[CatalogBlock], now: Millis) -> Self {
        let slim = |block: &CatalogBlock| CatalogBlock {
            id: block.id,
            meta: block.meta.clone(),
            labels: block.labels.clone(),
            objects: Arc::new([]),
            deletion: block.deletion.clone(),
            no_compact: block.no_compact.clone(),
            no_downsample: block.no_downsample.clone(),
        };
        View { blocks: blocks.iter().map(slim).collect(), refreshed: Some(now), error: None }
    }

    /// The list stays, and why it does is told.
    pub(super) fn failed(&mut self, error: &Error, now: Millis) {
        self.refreshed = Some(now);
        self.error = Some(error.to_string());
    }

    /// The `data` of an answer.
    pub(super) fn to_json(&self, label: &str) -> String {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let blocks: Vec<String> = self.blocks.iter().map(CatalogBlock::to_json).collect();
        let refreshed = self.refreshed.map_or_else(Timestamp::default, Timestamp::from_millis);
        format!(
            r#"{{"label":{},"blocks":[{}],"refreshedAt":"{refreshed}","err":{}}}"#,
            text(label),
            blocks.join(","),
            self.error.as_deref().map_or("null".to_owned(), text)
        )
    }
}

impl Compactor {
    /// All blocks, filtered by nothing; looked for again when the list is older than it may be.
    pub(super) async fn all_blocks(self: &Arc<Self>) -> View {
        let (Some(web), Some(bucket)) = (&self.settings.web, self.bucket.get()) else { return View::default() };
        let age = Millis::try_from(web.view_age.as_millis()).unwrap_or(Millis::MAX);
        let is_old = move |compactor: &Compactor| {
            let refreshed = lock(&compactor.global).refreshed;
            refreshed.is_none_or(|at| compactor.clock.now().saturating_sub(at) >= age)
        };
        if is_old(self) {
            let (compactor, bucket, timeout) = (Arc::clone(self), bucket.clone(), web.view_timeout);
            let look = move || {
                // the bucket's connections belong to the runtime of the jobs
                compactor.runtime.clone().block_on(async move {
                    let mut looker = compactor.looker.lock().await;
                    // somebody may have looked while we waited
                    if is_old(&compactor) {
                        let data_dir = Some(compactor.settings.data_dir.clone());
                        let options = SyncOptions { depth: Depth::Metas, data_dir, ..SyncOptions::default() };
                        let syncer = looker.get_or_insert_with(|| Syncer::new(bucket, options));
                        compactor.look(syncer, timeout).await;
                    }
                });
            };
            // metas are decoded for long; a look ends by its timeout, and if it could not, the old list is all there is
            let _ = tokio::task::spawn_blocking(look).await;
        }
        lock(&self.global).clone()
    }

    async fn look(&self, syncer: &mut Syncer, timeout: std::time::Duration) {
        let began = self.clock.now();
        let looked: Result<_> = match tokio::time::timeout(timeout, syncer.sync()).await {
            Ok(looked) => looked,
            Err(_) => Err(Error::new(Kind::Unavailable, format!("the bucket could not be looked at in {timeout:?}"))),
        };
        let now = self.clock.now();
        match looked {
            Ok(catalog) => {
                let corrupt = catalog.partial.iter().filter(|p| matches!(p.why, PartialReason::Corrupt(_))).count();
                let states = BTreeMap::from([
                    (State::Loaded, catalog.blocks.len()),
                    (State::CorruptedMeta, corrupt),
                    (State::NoMeta, catalog.partial.len() - corrupt),
                    (State::Failed, catalog.failed.len()),
                ]);
                self.counts.viewed(now - began, Some(&states));
                *lock(&self.global) = View::new(&catalog.blocks, now);
            }
            Err(error) => {
                self.counts.viewed(now - began, None);
                lock(&self.global).failed(&error, now);
            }
        }
    }
}
