//! Changing external labels of blocks that lie in the bucket: each is copied there under a new id, with another
//! `meta.json`; no sample is read. Blocks that were made of one another, whatever their resolution, change together.
//!
//! *Order*: by id of the old block. The old block is marked no-compact before the new one is seen, so that no compactor
//! takes both; a crash in between leaves the old one whole.
//! *Memory*: none to speak of; bytes stay with the provider, but for objects that it does not copy in one request.
//! *Errors*: the first one ends the run; what was changed is changed, and nothing of the block under way stays.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use bytes::Bytes;
use futures::{StreamExt, stream};

use super::catalog::{Catalog, CatalogBlock};
use super::rewrite::Choice;
use super::{Env, Event, Level, mark};
use crate::block::discard;
use crate::bucket::Object;
use crate::clock::Clock;
use crate::error::{Error, Kind, Result};
use crate::format::marks::texts;
use crate::format::marks::{DELETION_MARK_FILE, NO_COMPACT_MARK_FILE, NO_DOWNSAMPLE_MARK_FILE, NoCompactMark, NoDownsampleMark};
use crate::format::meta::{META_FILE, Meta};
use crate::model::{BlockId, LabelSet, Timestamp, all_match};

/// Details of marks on old blocks.
const DETAILS: &str = "its external labels were changed, and another block has its samples";
/// Objects of one block that are copied at a time.
const COPIES_AT_A_TIME: usize = 4;

/// What changes about labels. First names change, then labels are dropped, then set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Old and new names; blocks without the old one have nothing to rename.
    pub rename: Vec<(String, String)>,
    /// Names that go.
    pub drop: Vec<String>,
    /// Names and values that are there afterwards, whatever was before.
    pub set: Vec<(String, String)>,
}

impl Change {
    /// The labels afterwards.
    ///
    /// # Errors
    /// `Conflict` when a label would be renamed to one that is there; `Invalid` when none would be left.
    fn apply(&self, labels: &LabelSet) -> Result<LabelSet> {
        let mut out: BTreeMap<String, String> = labels.0.clone();
        for (old, new) in &self.rename {
            let Some(value) = out.remove(old) else { continue };
            if out.insert(new.clone(), value).is_some() {
                let what = format!("{old} would become {new}, which {labels} has already");
                return Err(Error::new(Kind::Conflict, what).next("drop one of the two"));
            }
        }
        self.drop.iter().for_each(|name| _ = out.remove(name));
        out.extend(self.set.iter().cloned());
        if out.is_empty() {
            let what = format!("no external label would be left of {labels}");
            return Err(Error::new(Kind::Invalid, what).next("keep one, or set one: blocks without any are in nobody's group"));
        }
        Ok(LabelSet(out))
    }
}

/// One block whose labels are going to change.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The block as it is.
    pub block: CatalogBlock,
    /// The id of the block that takes its place.
    pub id: BlockId,
    /// Its labels afterwards.
    pub labels: LabelSet,
    /// A block of the group it comes to that it overlaps: a compactor without vertical compaction stops there.
    pub overlaps: Option<BlockId>,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} becomes {}", self.block.id, self.block.meta.labels(), self.labels)
    }
}

/// What is going to change.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Blocks that change, by id.
    pub blocks: Vec<Planned>,
    /// Chosen blocks that have these labels already.
    pub unchanged: usize,
}

impl Plan {
    /// Bytes of all objects that are copied.
    pub fn bytes(&self) -> u64 {
        self.blocks.iter().map(|p| p.block.bytes()).fold(0, u64::saturating_add)
    }
}

/// Decides which blocks change and what their labels become; blocks to be deleted are no blocks.
///
/// # Errors
/// `NotFound` for an id that is not there; `Conflict` when two labels would become one, or a block would come to a group
/// that has one of its time and sources; `Invalid` when no label would be left.
pub fn plan(catalog: &Catalog, change: &Change, choice: &Choice, clock: &dyn Clock) -> Result<Plan> {
    let there: Vec<&CatalogBlock> = catalog.blocks.iter().filter(|b| b.deletion.is_none()).collect();
    let mut plan = Plan::default();
    for block in together(&there, chosen(&there, choice)?) {
        let labels = change.apply(block.meta.labels()).map_err(|e| e.block(block.id))?;
        if labels == *block.meta.labels() {
            plan.unchanged += 1;
            continue;
        }
        plan.blocks.push(Planned { block: block.clone(), id: clock.new_block_id(), labels, overlaps: None });
    }
    let moving: HashSet<BlockId> = plan.blocks.iter().map(|p| p.block.id).collect();
    // blocks by the group in which they are afterwards
    let mut groups: HashMap<(i64, LabelSet), Vec<&CatalogBlock>> = HashMap::new();
    for block in there.iter().filter(|b| !moving.contains(&b.id)) {
        groups.entry((block.meta.resolution(), block.meta.labels().clone())).or_default().push(block);
    }
    let blocks: Vec<CatalogBlock> = plan.blocks.iter().map(|p| p.block.clone()).collect();
    for (planned, block) in plan.blocks.iter_mut().zip(&blocks) {
        let group = groups.entry((block.meta.resolution(), planned.labels.clone())).or_default();
        let alike =
            |o: &&&CatalogBlock| o.meta.time_range() == block.meta.time_range() && o.meta.sources() == block.meta.sources();
        if let Some(other) = group.iter().find(alike) {
            let what = format!("with {} it would be another {} of the same time and sources", planned.labels, other.id);
            let next = "if that one came of a run that was interrupted, mark this block for deletion; else choose other labels";
            return Err(Error::new(Kind::Conflict, what).block(block.id).next(next));
        }
        // blocks of one group that overlap already may do so afterwards
        let new =
            |o: &&&CatalogBlock| o.meta.labels() != block.meta.labels() && o.meta.time_range().overlaps(block.meta.time_range());
        planned.overlaps = group.iter().find(new).map(|o| o.id);
        group.push(block);
    }
    Ok(plan)
}

fn chosen(there: &[&CatalogBlock], choice: &Choice) -> Result<HashSet<BlockId>> {
    match choice {
        Choice::Ids(ids) => {
            if let Some(&id) = ids.iter().find(|&&id| !there.iter().any(|b| b.id == id)) {
                return Err(Error::new(Kind::NotFound, "there is no such block in the bucket").block(id));
            }
            Ok(ids.iter().copied().collect())
        }
        Choice::Matching { matchers, min_time, max_time } => Ok(there
            .iter()
            .filter(|b| all_match(matchers, b.meta.labels()) && b.meta.max_time >= *min_time && b.meta.min_time <= *max_time)
            .map(|b| b.id)
            .collect()),
    }
}

/// The chosen blocks, and those of the same labels that share a source with one of them: their other resolutions.
fn together<'a>(there: &[&'a CatalogBlock], chosen: HashSet<BlockId>) -> Vec<&'a CatalogBlock> {
    let sources: HashSet<(&LabelSet, BlockId)> = there
        .iter()
        .filter(|b| chosen.contains(&b.id))
        .flat_map(|b| b.meta.sources().iter().map(|&s| (b.meta.labels(), s)))
        .collect();
    let related = |b: &CatalogBlock| b.meta.sources().iter().any(|&s| sources.contains(&(b.meta.labels(), s)));
    there.iter().copied().filter(|b| chosen.contains(&b.id) || related(b)).collect()
}

/// Carries out `plan`; `done` is told of each block. Old blocks are marked for deletion where that is asked for.
///
/// # Errors
/// From the bucket; `Cancelled` between blocks when asked to stop.
pub async fn run(env: &Env, plan: &Plan, delete_blocks: bool, done: &mut (dyn FnMut(&Planned) + Send)) -> Result<()> {
    for planned in &plan.blocks {
        if env.cancel.is_cancelled() {
            let next = "run it again for the rest: blocks that were changed are changed";
            return Err(Error::new(Kind::Cancelled, "asked to stop").next(next));
        }
        let old = planned.block.id;
        // a crash behind this line leaves a mark that keeps nobody from anything but compacting
        mark::no_compact(env, old, texts::MANUAL, DETAILS).await.map_err(|e| e.block(old))?;
        if let Err(error) = copy(env, planned).await {
            if let Err(left) = discard(&env.bucket, planned.id).await {
                let text = format!("objects of a copy that failed are left and will be cleaned by age: {left}");
                env.report.event(Event::Note { level: Level::Warn, block: Some(planned.id), text: &text });
            }
            return Err(error.block(old));
        }
        if delete_blocks {
            mark::replaced(env, old, DETAILS).await.map_err(|e| e.block(old))?;
        }
        done(planned);
    }
    Ok(())
}

/// Copies the objects of one block, its marks but for that of its end, and last its `meta.json`.
async fn copy(env: &Env, planned: &Planned) -> Result<()> {
    let (block, id) = (&planned.block, planned.id);
    let marks = [DELETION_MARK_FILE, NO_COMPACT_MARK_FILE, NO_DOWNSAMPLE_MARK_FILE];
    let name = |o: &Object| o.key.split_once('/').map_or(String::new(), |(_, name)| name.to_owned());
    let objects = block.objects.iter().filter(|o| name(o) != META_FILE && !marks.contains(&name(o).as_str()));
    let each = objects.map(|o| {
        let to = format!("{id}/{}", name(o));
        async move { env.bucket.copy(&o.key, &to, o.len_bytes).await }
    });
    let mut under_way = stream::iter(each.collect::<Vec<_>>()).buffer_unordered(COPIES_AT_A_TIME);
    while let Some(copied) = under_way.next().await {
        copied?;
    }
    drop(under_way);
    if let Some(mark) = &block.no_compact {
        let mark = NoCompactMark::new(id, mark.no_compact_time, &mark.reason, &mark.details);
        env.bucket.put(&format!("{id}/{NO_COMPACT_MARK_FILE}"), Bytes::from(mark.encode())).await?;
    }
    if let Some(mark) = &block.no_downsample {
        let mark = NoDownsampleMark::new(id, mark.no_downsample_time, &mark.reason, &mark.details);
        env.bucket.put(&format!("{id}/{NO_DOWNSAMPLE_MARK_FILE}"), Bytes::from(mark.encode())).await?;
    }
    let mut meta = Meta::clone(&block.meta);
    meta.ulid = id;
    meta.thanos.labels = planned.labels.clone().into();
    meta.thanos.source = "bucket.rewrite".to_owned();
    meta.thanos.upload_time = Timestamp::from_millis(env.clock.now());
    env.bucket.put(&format!("{id}/{META_FILE}"), Bytes::from(meta.encode())).await
}

#[cfg(test)]
mod tests;
