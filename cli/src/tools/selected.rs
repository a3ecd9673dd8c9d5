//! Which blocks a tool works on: flags that `retention` and `cleanup` share, and one look at the bucket.

use blockyard::job::Env;
use blockyard::job::catalog::{Catalog, SyncOptions, Syncer};
use blockyard::job::filter::{Selection, select};
use blockyard::job::pass::PassOptions;
use blockyard::job::relabel::parse_rules;
use blockyard::model::Millis;
use blockyard::{Error, Kind, Result};
use clap::Args;

use crate::flags::{Selector, count, go_duration};

/// Flags that say which blocks.
#[derive(Args, Debug)]
pub(crate) struct Selected {
    /// Time before a block marked for deletion is deleted from the bucket
    #[arg(long, value_name = "DURATION", default_value = "48h", value_parser = go_duration)]
    delete_delay: Millis,
    /// Minimum age of fresh (non-compacted) blocks before they are looked at
    #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = go_duration)]
    consistency_delay: Millis,
    /// How many meta.json files and marks are fetched at a time
    #[arg(long, value_name = "N", default_value = "20", value_parser = count)]
    block_sync_concurrency: usize,
    #[command(flatten)]
    selector: Selector,
}

impl Selected {
    /// As the options of a pass that neither compacts nor downsamples.
    ///
    /// # Errors
    /// `Invalid` for rules that are none.
    pub(crate) fn options(&self) -> Result<PassOptions> {
        Ok(PassOptions {
            delete_delay: self.delete_delay,
            consistency_delay: self.consistency_delay,
            meta_fetch_concurrency: self.block_sync_concurrency,
            relabel: parse_rules(&self.selector.read()?)?,
            downsampling: false,
            ..PassOptions::default()
        })
    }
}

/// Looks at the bucket once, and leaves out what is somebody else's.
///
/// # Errors
/// What the bucket says; a bucket that cannot be looked at as a whole; `Cancelled`.
pub(crate) async fn look(env: &Env, options: &PassOptions) -> Result<(Catalog, Selection)> {
    let sync = SyncOptions { concurrency: options.meta_fetch_concurrency, ..SyncOptions::default() };
    let mut syncer = Syncer::new(env.bucket.clone(), sync);
    let mut catalog = tokio::select! {
        done = syncer.sync() => done?,
        () = env.cancel.cancelled() => return Err(Error::new(Kind::Cancelled, "stopped")),
    };
    for (block, warning) in &catalog.warnings {
        match block {
            Some(id) => tracing::warn!(id = %id, "{warning}"),
            None => tracing::warn!("{warning}"),
        }
    }
    catalog.check_complete()?;
    let selection = select(&mut catalog, options, env.clock.now());
    Ok((catalog, selection))
}
