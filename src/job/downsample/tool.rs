//! Downsampling of a whole bucket and of nothing else, as `tools bucket downsample` does it: two passes, the
//! second over what the first made.

use std::path::PathBuf;

use super::plan::{Due, plan};
use super::run::{DownsampleOptions, Downsampled, FailedBlock, each};
use crate::error::{Error, Kind, Result};
use crate::job::catalog::{CatalogBlock, Depth, SyncOptions, Syncer};
use crate::job::pass::{Engine, RANGES};
use crate::job::plan::Plan;
use crate::job::{Env, Event, Level, clean, filter};

/// What downsampling a bucket came to.
#[derive(Debug, Default)]
pub struct BucketDownsampling {
    /// Blocks that were downsampled, in order of their ends.
    pub downsampled: Vec<Downsampled>,
    /// Blocks that could not be; the others were.
    pub failed: Vec<FailedBlock>,
    /// Blocks that were looked at.
    pub blocks: usize,
}

/// Downsamples what is due, twice, with a look at the bucket before each time. Blocks that are marked for
/// deletion or against downsampling, and duplicates, are left alone.
///
/// # Errors
/// `Cancelled` when asked to stop; a bucket that cannot be looked at, wholly or in part.
pub async fn run(env: &Env, options: &DownsampleOptions) -> Result<BucketDownsampling> {
    clean::scratch(&env.scratch, env.clock.now());
    let mut syncer = syncer(env, Some(env.scratch.clone()));
    let mut result = BucketDownsampling::default();
    for _ in 0..2 {
        let blocks = look(env, &mut syncer).await?;
        result.blocks = blocks.len();
        let failed_before = |d: &Due| result.failed.iter().any(|f| f.block == d.block.id);
        let due: Vec<Due> = plan(&blocks, &RANGES).0.into_iter().filter(|d| !failed_before(d)).collect();
        if due.is_empty() {
            break;
        }
        let (done, failed) = each(env, due, options, &Engine).await;
        for failed in &failed {
            let text = format!("not downsampled: {}", failed.error);
            env.report.event(Event::Note { level: Level::Error, block: Some(failed.block), text: &text });
        }
        result.downsampled.extend(done);
        result.failed.extend(failed);
        if env.cancel.is_cancelled() {
            return Err(Error::new(Kind::Cancelled, "asked to stop"));
        }
    }
    Ok(result)
}

/// What the first of the two would do; writes nothing anywhere.
///
/// # Errors
/// As [`run`].
pub async fn dry_run(env: &Env) -> Result<Plan> {
    let blocks = look(env, &mut syncer(env, None)).await?;
    let mut plan = Plan::default();
    plan.downsample(&blocks, &RANGES);
    Ok(plan)
}

fn syncer(env: &Env, data_dir: Option<PathBuf>) -> Syncer {
    Syncer::new(env.bucket.clone(), SyncOptions { depth: Depth::Everything, data_dir, ..SyncOptions::default() })
}

async fn look(env: &Env, syncer: &mut Syncer) -> Result<Vec<CatalogBlock>> {
    let catalog = syncer.sync().await?;
    for (block, text) in &catalog.warnings {
        env.report.event(Event::Note { level: Level::Warn, block: *block, text });
    }
    catalog.check_complete()?;
    let mut blocks = catalog.blocks;
    filter::take_marked(&mut blocks);
    filter::take_duplicates(&mut blocks);
    Ok(blocks)
}
