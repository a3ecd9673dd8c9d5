//! Downsampling of a whole bucket and of nothing else, as `tools bucket downsample` does it: two passes, the
//! second over what the first made.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::empty::Empties;
use super::plan::{Due, LongEnough, Never, PlannedDownsample, plan};
use super::run::{DownsampleOptions, Downsampled, FailedBlock, each};
use crate::error::{Error, Kind, Result};
use crate::job::catalog::{CatalogBlock, Depth, SyncOptions, Syncer};
use crate::job::pass::{Engine, RANGES};
use crate::job::plan::{never_text, size_text};
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
        let mut due: Vec<Due> =
            plan(&blocks, &RANGES, LongEnough::default()).0.into_iter().filter(|d| !failed_before(d)).collect();
        Empties::read(&env.scratch, options.policy.as_ref()).leave_out(&mut due);
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

/// What [`run`] would begin with.
#[derive(Clone, Debug, Default, Serialize)]
pub struct BucketPlan {
    /// Blocks that are downsampled.
    pub downsamplings: Vec<PlannedDownsample>,
    /// Blocks of which a level is not there and will not be made.
    pub never_downsampled: Vec<Never>,
    /// Blocks that were looked at.
    pub blocks: usize,
}

impl fmt::Display for BucketPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.downsamplings.iter().try_for_each(|downsampling| write!(f, "{downsampling}"))?;
        f.write_str(&never_text(&self.never_downsampled))?;
        let counted = |n: usize| format!("{n} block{}", if n == 1 { "" } else { "s" });
        if self.downsamplings.is_empty() {
            return writeln!(f, "plan: nothing to downsample in {}", counted(self.blocks));
        }
        let bytes = self.downsamplings.iter().map(|d| d.bytes_in).fold(0, u64::saturating_add);
        let count: usize = self.downsamplings.iter().map(|d| d.to.len()).sum();
        writeln!(
            f,
            "plan: {} of {} to downsample, {} to read, {} to write; blocks of 5m that are long enough go on to 1h in the same run",
            self.downsamplings.len(),
            counted(self.blocks),
            size_text(bytes),
            counted(count)
        )
    }
}

/// What the first of the two would do; writes nothing anywhere.
///
/// # Errors
/// As [`run`].
pub async fn dry_run(env: &Env, options: &DownsampleOptions) -> Result<BucketPlan> {
    let blocks = look(env, &mut syncer(env, None)).await?;
    let (mut due, never_downsampled) = plan(&blocks, &RANGES, LongEnough::default());
    Empties::read(&env.scratch, options.policy.as_ref()).leave_out(&mut due);
    Ok(BucketPlan { downsamplings: due.iter().map(Due::show).collect(), never_downsampled, blocks: blocks.len() })
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
