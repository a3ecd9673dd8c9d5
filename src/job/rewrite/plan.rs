//! Which blocks are rewritten: those that were asked for, and what was downsampled from them.
//!
//! *Order*: families of blocks that share sources, by labels and time; within one the finest resolution first.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use xxhash_rust::xxh3::xxh3_128;

use super::request::Request;
use crate::clock::Clock;
use crate::error::{Error, Kind, Result};
use crate::job::catalog::{Catalog, CatalogBlock};
use crate::model::{BlockId, LabelSet, Matcher, Millis, all_match};

/// Which blocks are meant.
#[derive(Clone, Debug)]
pub enum Choice {
    /// These.
    Ids(Vec<BlockId>),
    /// Those whose external labels match all matchers and that have time in common with the closed range.
    Matching {
        /// Conditions on external labels.
        matchers: Vec<Matcher>,
        /// Blocks that end before it are left alone.
        min_time: Millis,
        /// Blocks that begin behind it are left alone.
        max_time: Millis,
    },
}

/// One block that is going to be rewritten.
#[derive(Clone, Debug)]
pub struct PlannedBlock {
    /// The block as it is.
    pub block: CatalogBlock,
    /// The id of the block that takes its place.
    pub id: BlockId,
    /// What the new block's `meta.json` names as its sources.
    pub sources: Vec<BlockId>,
    /// Blocks of one number hold the same data at several resolutions, or parts of it: they change together.
    pub family: usize,
    /// It was not asked for: it was downsampled from what was.
    pub follows: bool,
}

/// A block that was rewritten with the same request before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoneBlock {
    /// The block.
    pub block: BlockId,
    /// The block that takes its place.
    pub by: BlockId,
    /// It is marked for deletion already.
    pub marked: bool,
}

/// What is going to happen.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Blocks that are rewritten, in this order.
    pub blocks: Vec<PlannedBlock>,
    /// Blocks that an earlier run of the same request rewrote, by id.
    pub done: Vec<DoneBlock>,
    /// What a person should know before, each a sentence and the block it is about.
    pub warnings: Vec<(BlockId, String)>,
}

impl Plan {
    /// Groups in which the old and the new block of one time lie side by side until the old one is deleted, in words. A
    /// compactor of Thanos takes that for an overlap and stops, unless vertical compaction is on.
    pub fn overlaps(&self) -> Vec<String> {
        let groups: BTreeSet<(&LabelSet, Millis)> =
            self.blocks.iter().map(|p| (p.block.meta.labels(), p.block.meta.resolution())).collect();
        groups.into_iter().map(|(labels, resolution)| format!("{resolution}@{labels}")).collect()
    }
}

/// What makes two blocks hold the same data: labels, resolution, time, sources.
type Content<'a> = (&'a LabelSet, Millis, Millis, Millis, Vec<BlockId>);

fn content(block: &CatalogBlock, sources: Vec<BlockId>) -> Content<'_> {
    (block.meta.labels(), block.meta.resolution(), block.meta.min_time, block.meta.max_time, sources)
}

fn sorted(sources: &[BlockId]) -> Vec<BlockId> {
    sources.iter().copied().collect::<BTreeSet<_>>().into_iter().collect()
}

/// Decides which blocks are rewritten; nothing is asked of the bucket.
///
/// # Errors
/// `NotFound` and `Corrupt` for ids that name no whole block; `Invalid` for blocks without external labels unless
/// `without_labels` allows them, as upstream's upload refuses them.
pub fn plan(catalog: &Catalog, request: &Request, choice: &Choice, without_labels: bool, clock: &dyn Clock) -> Result<Plan> {
    let mut plan = Plan::default();
    let mut results: HashMap<Content<'_>, BlockId> = HashMap::new();
    for block in &catalog.blocks {
        if let Some(sources) = request.recorded_in(&block.meta) {
            results.insert(content(block, sorted(&sources)), block.id);
        }
    }
    let asked = asked(catalog, request, choice, &mut plan)?;
    let family = followers(catalog, request, &asked, &mut plan);
    if let Some(bare) = family.iter().find(|f| f.0.meta.labels().is_empty() && !without_labels) {
        return Err(Error::new(Kind::Invalid, "empty external labels are not allowed for a block of Thanos")
            .block(bare.0.id)
            .next("give --prom-blocks if the bucket is read by Prometheus only"));
    }

    // those that are done keep the id that they got
    let ids: Vec<(BlockId, bool)> = family
        .iter()
        .map(|(block, ..)| match results.get(&content(block, sorted(block.meta.sources()))) {
            Some(&by) => (by, true),
            None => (clock.new_block_id(), false),
        })
        .collect();
    let members: Vec<Member> = family.iter().zip(&ids).map(|((b, n, _), id)| Member::new(b, *n, id.0)).collect();
    let sources = new_sources(request, &members);
    for (((block, family, follows), (id, done)), sources) in family.into_iter().zip(ids).zip(sources) {
        if done {
            plan.done.push(DoneBlock { block: block.id, by: id, marked: block.deletion.is_some() });
        } else if block.deletion.is_some() {
            plan.warnings.push((block.id, "is marked for deletion and is left alone".to_owned()));
        } else {
            plan.blocks.push(PlannedBlock { block: block.clone(), id, sources, family, follows });
        }
    }
    plan.done.sort_by_key(|d| d.block);
    Ok(plan)
}

/// The blocks that the choice names, without what this request made.
fn asked<'a>(catalog: &'a Catalog, request: &Request, choice: &Choice, plan: &mut Plan) -> Result<Vec<&'a CatalogBlock>> {
    let is_result = |block: &CatalogBlock| request.recorded_in(&block.meta).is_some();
    match choice {
        Choice::Ids(ids) => {
            let mut found = Vec::new();
            for id in ids.iter().collect::<BTreeSet<_>>() {
                match catalog.block(*id) {
                    Some(block) if is_result(block) => {
                        plan.warnings.push((*id, "was made by this very request and is left alone".to_owned()));
                    }
                    Some(block) => found.push(block),
                    None => {
                        let partial = catalog.partial.iter().any(|p| p.id == *id);
                        let (kind, what) = match partial {
                            true => (Kind::Corrupt, "its meta.json is missing or cannot be read"),
                            false => (Kind::NotFound, "there is no such block in the bucket"),
                        };
                        return Err(Error::new(kind, what).block(*id).next("check --id: nothing was changed"));
                    }
                }
            }
            Ok(found)
        }
        Choice::Matching { matchers, min_time, max_time } => Ok(catalog
            .blocks
            .iter()
            .filter(|b| b.meta.max_time >= *min_time && b.meta.min_time <= *max_time && all_match(matchers, b.meta.labels()))
            .filter(|b| !is_result(b))
            .collect()),
    }
}

/// The blocks that were asked for and those of coarser resolutions that hold nothing but their data; each with the
/// number of its family and whether it only follows.
fn followers<'a>(
    catalog: &'a Catalog,
    request: &Request,
    asked: &[&'a CatalogBlock],
    plan: &mut Plan,
) -> Vec<(&'a CatalogBlock, usize, bool)> {
    let is_asked: BTreeSet<BlockId> = asked.iter().map(|b| b.id).collect();
    // by labels: each source, and the finest and coarsest resolution at which it was asked for
    let mut covered: HashMap<&LabelSet, HashMap<BlockId, (Millis, Millis)>> = HashMap::new();
    for block in asked {
        let of_labels = covered.entry(block.meta.labels()).or_default();
        for source in block.meta.sources() {
            let resolution = block.meta.resolution();
            let (low, high) = of_labels.entry(*source).or_insert((resolution, resolution));
            (*low, *high) = ((*low).min(resolution), (*high).max(resolution));
        }
    }
    let mut all: Vec<(&CatalogBlock, bool)> = asked.iter().map(|b| (*b, false)).collect();
    for block in &catalog.blocks {
        let Some(of_labels) = covered.get(block.meta.labels()) else { continue };
        if is_asked.contains(&block.id) || block.deletion.is_some() || request.recorded_in(&block.meta).is_some() {
            continue;
        }
        let (resolution, sources) = (block.meta.resolution(), block.meta.sources());
        let known: Vec<_> = sources.iter().filter_map(|s| of_labels.get(s)).collect();
        if known.iter().all(|(low, high)| *low == resolution && *high == resolution) {
            continue; // not related, or of the same resolution as what was asked for
        }
        let finer = known.iter().any(|(low, _)| *low > resolution);
        if !finer && known.len() == sources.len() {
            all.push((block, true));
        } else if finer {
            let text = "holds the same data at a finer resolution and is not chosen: it is downsampled again, and what is deleted comes back";
            plan.warnings.push((block.id, text.to_owned()));
        } else {
            let text = "was downsampled from chosen blocks and from others, and stays as it is: choose the others too, or the change shows only in part";
            plan.warnings.push((block.id, text.to_owned()));
        }
    }

    // blocks of equal labels that share a source are of one family
    let mut family_of: HashMap<(&LabelSet, BlockId), usize> = HashMap::new();
    let mut families: BTreeMap<usize, usize> = BTreeMap::new();
    let root = |families: &BTreeMap<usize, usize>, mut n: usize| {
        while families[&n] != n {
            n = families[&n];
        }
        n
    };
    for (n, (block, _)) in all.iter().enumerate() {
        families.insert(n, n);
        for source in block.meta.sources() {
            let other = *family_of.entry((block.meta.labels(), *source)).or_insert(n);
            let (a, b) = (root(&families, other), root(&families, n));
            families.insert(a.max(b), a.min(b));
        }
    }
    let mut out: Vec<_> = all.iter().enumerate().map(|(n, (block, follows))| (*block, root(&families, n), *follows)).collect();
    let first: HashMap<usize, Millis> = out.iter().fold(HashMap::new(), |mut first, (block, family, _)| {
        let time = first.entry(*family).or_insert(Millis::MAX);
        *time = (*time).min(block.meta.min_time);
        first
    });
    out.sort_by_key(|(block, family, _)| {
        (block.meta.labels().clone(), first[family], *family, block.meta.resolution(), block.meta.min_time, block.id)
    });
    out
}

struct Member {
    family: usize,
    resolution: Millis,
    sources: Vec<BlockId>,
    id: BlockId,
}

impl Member {
    fn new(block: &CatalogBlock, family: usize, id: BlockId) -> Self {
        Member { family, resolution: block.meta.resolution(), sources: sorted(block.meta.sources()), id }
    }
}

/// New sources for each member, so that who held another's sources before does so after.
///
/// A new block names itself as its source, as upstream has it, so that nobody takes it for a duplicate of what it
/// replaces. What was downsampled from it has to name the same, or it would be downsampled again: sources that always
/// occur together become one, which is the finest block that has exactly them, or, where there is none, an id that
/// follows from them.
fn new_sources(request: &Request, members: &[Member]) -> Vec<Vec<BlockId>> {
    let mut holders: BTreeMap<(usize, BlockId), Vec<usize>> = BTreeMap::new();
    for (n, member) in members.iter().enumerate() {
        for source in &member.sources {
            holders.entry((member.family, *source)).or_default().push(n);
        }
    }
    let mut together: BTreeMap<Vec<usize>, Vec<BlockId>> = BTreeMap::new();
    for ((_, source), holders) in holders {
        together.entry(holders).or_default().push(source);
    }
    let mut out: Vec<Vec<BlockId>> = members.iter().map(|m| if m.sources.is_empty() { vec![m.id] } else { Vec::new() }).collect();
    for (holders, sources) in together {
        let exact = holders.iter().map(|&n| &members[n]).filter(|m| m.sources == sources).min_by_key(|m| (m.resolution, m.id));
        let id = exact.map_or_else(|| id_of(request, &sources), |m| m.id);
        for n in holders {
            out[n].push(id);
        }
    }
    out.iter_mut().for_each(|sources| sources.sort_unstable());
    out
}

/// An id that stands for `sources` behind this request, the same in every run.
fn id_of(request: &Request, sources: &[BlockId]) -> BlockId {
    let mut text = request.record(sources).map(|r| r.get().to_owned()).unwrap_or_default();
    text.push_str("sources behind a rewrite");
    let created = sources.iter().map(|s| s.created()).min().unwrap_or_default();
    BlockId::from_parts(created, xxh3_128(text.as_bytes()))
}
