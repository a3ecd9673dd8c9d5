//! What a compactor will do with a bucket until nothing is left to do, what each of it costs, and what it will not do
//! and why: decided on metas alone, printed by a dry run, shown by a running compactor.
//!
//! Nothing is decided here: passes are played on metas (`play`) by asking the planner, downsampling and retention as a
//! pass asks them. What a job reads and writes follows from listed sizes and the pipeline's own constants (`cost`), how
//! long it takes from what finished jobs noted (`rates`), and money from prices that are given (`price`).
//!
//! *Left out*: blocks that are uploaded meanwhile, jobs that fail, what the lease asks (two requests a minute).

mod alone;
mod cost;
mod play;
mod price;
mod rates;
mod text;
mod value;

pub use cost::Requests;
pub use price::Prices;
pub(crate) use rates::note;
pub use rates::{ASSUMED_BYTES_PER_SECOND, Pace, Rates, ShownRate};
pub use value::{
    Because, Excluded, Forecast, Job, JobKind, LeftAlone, Made, Mark, MarkKind, NeverMade, NotDone, Removal, Share, Totals, Which,
};

use crate::bucket::Bucket;
use crate::error::Result;
use crate::job::catalog::{Catalog, CatalogBlock};
use crate::job::downsample::Empties;
use crate::job::filter::{Selection, select};
use crate::job::pass::{Discovery, Holds, PassOptions, syncer};
use crate::job::plan::{Deletion, PlannedDeletion};
use crate::job::retain::{self, History, has_expired, keep_of};
use crate::job::{Env, clean};
use crate::model::Millis;
use cost::Ways;

/// What is known beside the blocks.
pub struct Knows<'a> {
    /// The bucket: how it is read and written, nothing is asked of it.
    pub bucket: &'a Bucket,
    /// The time, in milliseconds since the Unix epoch.
    pub now: Millis,
    /// The time by the bucket's clock, where it is known.
    pub theirs: Option<Millis>,
    /// How quick jobs were.
    pub rates: Rates,
    /// What comes out empty when it is downsampled.
    pub empties: Empties,
    /// What earlier passes marked.
    pub history: History,
    /// What failed before and is left alone.
    holds: Holds,
    /// What is paid.
    pub prices: Prices,
}

impl<'a> Knows<'a> {
    /// What the files below `--data-dir` say.
    pub fn read(bucket: &'a Bucket, data_dir: &std::path::Path, options: &PassOptions, now: Millis) -> Self {
        Knows {
            bucket,
            now,
            theirs: None,
            rates: Rates::read(data_dir),
            empties: Empties::read(data_dir, options.downsample_policy.as_ref()),
            history: History::read(data_dir, bucket.name()),
            holds: Holds::read(data_dir, bucket.name(), options).0,
            prices: Prices::default(),
        }
    }
}

/// Looks at the bucket and says what passes would do; reads metas and marks, and writes nothing anywhere.
///
/// # Errors
/// `Invalid` options; a bucket that cannot be looked at, wholly or in part: then nothing may be decided.
pub async fn look(env: &Env, options: &PassOptions, prices: Prices) -> Result<Forecast> {
    options.check()?;
    let mut catalog = syncer(env, options, true).sync().await?;
    catalog.check_complete()?;
    let now = env.clock.now();
    let selection = select(&mut catalog, options, now);
    let mut knows = Knows::read(&env.bucket, &env.scratch, options, now);
    knows.prices = prices;
    let has_expired = |b: &CatalogBlock| has_expired(b, keep_of(options, &b.labels), now);
    if options.retains() && !options.retention_confirm && selection.blocks.iter().any(has_expired) {
        knows.theirs = retain::time_by_looking(env, &selection.blocks).await?;
    }
    Ok(forecast(&catalog, &selection, options, &knows))
}

/// Says what passes would do with what a look found: `catalog` without the blocks, which are in `selection`.
pub fn forecast(catalog: &Catalog, selection: &Selection, options: &PassOptions, knows: &Knows<'_>) -> Forecast {
    let ways = Ways { bucket: knows.bucket, reads_back: false };
    let mut due = clean::due(selection, catalog, options.delete_delay, knows.now);
    due.extend(clean::given_up(catalog, knows.now));
    let played = play::play(&selection.blocks, &selection.duplicates, selection.mark_objects, options, knows);
    let left_alone = alone::left_alone(&played, catalog, selection, &due, options, knows.now);
    let never_downsampled = alone::never(&played, options, &knows.empties);
    let state = |state| selection.states.get(&state).copied().unwrap_or_default();
    let mut forecast = Forecast {
        seen_at_ms: knows.now,
        bucket: knows.bucket.name().to_owned(),
        left_alone,
        never_downsampled,
        stopped: played.brakes.iter().map(ToString::to_string).collect(),
        deletions: due.iter().map(|deletion| Removal::new(deletion, &ways)).collect(),
        shard: options.shard.map(|shard| Share {
            index: shard.index(),
            of: shard.of(),
            relabel_config: shard.relabel_config(&selection.namings),
        }),
        excluded: Excluded {
            by_labels: state(crate::job::filter::State::LabelExcluded),
            by_time: state(crate::job::filter::State::TimeExcluded),
        },
        rates: Vec::new(),
        prices: knows.prices,
        totals: Totals { blocks: selection.blocks.len(), looks: played.looks, ..Totals::default() },
        jobs: played.jobs,
        marks: played.marks,
    };
    forecast.rates = Pace::ALL
        .into_iter()
        .filter(|&kind| forecast.jobs.iter().any(|j| j.rate == kind))
        .map(|kind| knows.rates.of(kind))
        .collect();
    let mut looks = ways.look(selection.objects, 0, options.discovery == Discovery::Concurrent).times(played.looks);
    // marks are read in each look, metas once
    let made: u64 = forecast.jobs.iter().map(|j| j.makes.len() as u64).sum();
    looks.get = looks.get.saturating_add(played.marks_read).saturating_add(made);
    forecast.totals.look_requests = looks;
    forecast.sum_up();
    forecast
}

impl Removal {
    fn new(deletion: &PlannedDeletion, ways: &Ways<'_>) -> Removal {
        let objects = deletion.objects as u64;
        Removal {
            block: deletion.block,
            because: match deletion.why {
                Deletion::Marked { .. } => "marked",
                Deletion::PartialUpload { .. } => "partial-upload",
            },
            why: deletion.why.to_string(),
            objects,
            bytes: deletion.bytes,
            requests: ways.delete(objects),
        }
    }
}

#[cfg(test)]
mod tests;
