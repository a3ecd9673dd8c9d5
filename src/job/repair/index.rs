//! A block written anew without chunks that nobody would miss.

use std::sync::Arc;

use crate::block::discard;
use crate::error::Result;
use crate::format::Malformed;
use crate::format::marks::texts;
use crate::format::meta::{IndexStats, Meta, Stats};
use crate::job::catalog::CatalogBlock;
use crate::job::mark;
use crate::job::pipeline::{self, Built, Candidate, Content, Judge, Lost, Output, Salvage, SourceBlock, Work};
use crate::job::{Env, Event, JobId, Level};
use crate::model::{BlockId, TimeRange, Timestamp};

/// Which chunks are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Droppable {
    /// Those that begin exactly where their block ends: the block behind it has them too (tsdb issue 347).
    AtTheEnd,
    /// Those, and those wholly outside of their block, which no query asks for.
    All,
}

impl Droppable {
    fn source(self) -> &'static str {
        match self {
            Droppable::AtTheEnd => "compactor.repair",
            Droppable::All => "bucket.repair",
        }
    }
}

/// Drops chunks that can go, and equal copies of the chunk before; fails at what else is wrong.
struct Judging {
    range: TimeRange,
    drop: Droppable,
}

impl Salvage for Judging {
    fn keeps(&self, before: Option<Candidate<'_>>, chunk: Candidate<'_>) -> Result<bool, Malformed> {
        let TimeRange { start, end } = self.range;
        let (from, to) = (chunk.meta.min_time, chunk.meta.max_time);
        let bad = |why: String| Err(Malformed::new("chunk", u64::from(chunk.meta.reference.offset()), why));
        if self.drop == Droppable::All && (from > end || to < start) {
            return Ok(false);
        }
        if let Some(before) = before
            && from <= before.meta.max_time
        {
            let other = (before.meta.min_time, before.meta.max_time);
            if other != (from, to) {
                return bad(format!("non-sequential chunks not equal: [{}, {}] and [{from}, {to}]", other.0, other.1));
            }
            if (before.encoding, before.data) != (chunk.encoding, chunk.data) {
                return bad(format!("two chunks [{from}, {to}] with different samples"));
            }
            return Ok(false);
        }
        // a chunk of just the last millisecond is no damage, and goes all the same once the block is written anew
        if from == end {
            return Ok(false);
        }
        if from < start || to > end {
            return bad(format!("chunk [{from}, {to}] leaves the block's range {} in part", self.range));
        }
        Ok(true)
    }

    fn skips_damage(&self) -> bool {
        false
    }

    fn lost(&self, _: Vec<Lost>) {}
}

/// A block that is wholly in the bucket and not visible.
pub(super) struct Made {
    meta: Meta,
    built: Built,
}

impl Made {
    pub(super) async fn publish(self, env: &Env) -> Result<BlockId> {
        pipeline::publish(env, &[(&self.meta, &self.built)]).await?;
        Ok(self.built.id)
    }

    pub(super) async fn discard(self, env: &Env) {
        if let Err(left) = discard(&env.bucket, self.built.id).await {
            let text = format!("objects of a repair that failed are left and will be cleaned by age: {left}");
            env.report.event(Event::Note { level: Level::Warn, block: Some(self.built.id), text: &text });
        }
    }
}

/// Writes the block anew without chunks that can be dropped; `None` when none is left.
///
/// # Errors
/// `Corrupt` when something is wrong that dropping chunks does not mend; others from the bucket. Then nothing of the new
/// block stays.
pub(super) async fn rewritten(env: &Env, block: &CatalogBlock, drop: Droppable, job: JobId) -> Result<Option<Made>> {
    let inputs = [SourceBlock { id: block.id, meta: block.meta.clone(), objects: block.objects.clone() }];
    let output = Output { id: env.clock.new_block_id(), content: Content::Plain };
    let mut work = Work::new(job, &inputs, vec![output]);
    work.judge = Judge::Lenient(Arc::new(Judging { range: block.meta.time_range(), drop }));
    env.report.event(Event::Started { job, kind: "repair", group: "", blocks: &[block.id], bytes: inputs[0].len_bytes() });
    let built = match pipeline::build(env, &work).await {
        Ok(built) => built.into_iter().flatten().next(),
        Err(error) => {
            env.report.event(Event::Failed { job, error: &error });
            return Err(error);
        }
    };
    let Some(built) = built else {
        env.report.event(Event::Finished { job, outcome: "no samples, no block" });
        return Ok(None);
    };
    let mut meta = Meta::clone(&block.meta);
    built.describe(&mut meta);
    // upstream counts these three anew and measures nothing
    meta.stats = Stats {
        num_samples: built.counts.samples,
        num_series: built.counts.series,
        num_chunks: built.counts.chunks,
        ..Stats::default()
    };
    meta.thanos.index_stats = IndexStats::default();
    meta.thanos.source = drop.source().to_owned();
    meta.thanos.upload_time = Timestamp::from_millis(env.clock.now());
    let text = format!("block {} with {} series and {} chunks", built.id, built.counts.series, built.counts.chunks);
    env.report.event(Event::Finished { job, outcome: &text });
    Ok(Some(Made { meta, built }))
}

/// Replaces a block with chunks that begin exactly where it ends by one without them, and marks it for deletion, as a
/// compactor does on its own; returns the new block, if there are samples for one.
///
/// # Errors
/// `Corrupt` when something else is wrong with the block, which then stays as it is; others from the bucket.
pub async fn issue_347(env: &Env, block: &CatalogBlock, job: JobId) -> Result<Option<BlockId>> {
    let new = match rewritten(env, block, Droppable::AtTheEnd, job).await? {
        Some(made) => Some(made.publish(env).await?),
        None => None,
    };
    mark::replaced(env, block.id, texts::SOURCE_OF_REPAIRED_BLOCK).await?;
    Ok(new)
}
