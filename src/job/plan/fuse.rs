//! Steps of a group in a row as one job: what is written between them, only to be read again, is not written.
//!
//! The planner looks at metas alone, so a backlog can be played to its end before a byte is read ([`Replay`]). Where
//! the result of one step is an input of the next, all that goes into the first goes into the last, and the block that
//! the last leaves is made of it at once: two hours become two weeks, and eight hours and two days were never there.
//!
//! *Why that is the same block*: in a step over blocks that do not overlap nothing is decided. Chunks are copied in the
//! order of time, series without chunks are left out, symbol tables are united; each of it gives the same whether it
//! is done in one go or in three. It is not the same where a step has something to decide: overlaps, tombstones,
//! blocks without samples. Those steps are never part of a row. What metas do not tell, the job finds before anything
//! is visible ([`Join::Apart`](crate::job::compact::Join)), and then the first step is done as ever.

use std::collections::HashMap;

use super::{Replay, Why};
use crate::job::catalog::CatalogBlock;
use crate::job::group::Group;
use crate::job::pass::PassOptions;
use crate::model::{BlockId, Millis};

/// Bytes that go into one row at most: two hours at 32 MiB a second, which is what a slow bucket gives. Who kills a
/// job loses all of it. The last step of the row would read as many, but what was done before it would be kept.
const MAX_BYTES: u64 = 2 * 3600 * (32 << 20);

/// Blocks that go into one row at most: two weeks of hours. Each is read in two places at a time, in parts that get
/// smaller with their number, but not smaller than pays.
const MAX_INPUTS: usize = 336;

/// A row of steps that is one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fused {
    /// All blocks that go in: indexes into those of the group, ascending.
    pub inputs: Vec<usize>,
    /// Compactions that it stands for, at least two.
    pub steps: usize,
    /// Level of the block that the last of them leaves.
    pub level: i64,
    /// Why the last.
    pub why: Why,
}

/// A block as the steps so far would have made it.
#[derive(Default)]
struct Made {
    inputs: Vec<usize>,
    steps: usize,
    level: i64,
    bytes: u64,
    /// All that goes in is only to be copied.
    is_plain: bool,
}

/// The longest row that begins with the step of `first`, which is the group's next and may be taken without marks;
/// `None` where that step is done by itself.
pub fn fuse(group: &Group, first: &[usize], options: &PassOptions) -> Option<Fused> {
    // labels out of order may come out in another order
    if options.stepwise || options.accept_malformed_index {
        return None;
    }
    let begins = &group.blocks[*first.first()?];
    let near = near(group, begins, *options.ranges().last()?);
    // a block has the id of the first that went into it
    let mut made: HashMap<BlockId, Made> = near.iter().map(|&at| (group.blocks[at].id, leaf(at, &group.blocks[at]))).collect();
    let mut last = begins.id;
    let mut longest = None;
    let blocks = near.iter().map(|&at| group.blocks[at].clone()).collect();
    let nearby = Group { key: group.key.clone(), labels: group.labels.clone(), resolution: group.resolution, blocks };
    let mut steps = Replay::new(nearby, options);
    // sizes of what is not there yet are guesses, large ones: behind marks made by them nothing is certain
    while let Ok(Some(step)) = steps.take()
        && !step.is_marking
        && let Why::Window { .. } = step.why
    {
        let result = join(&mut made, &step.inputs)?;
        if step.inputs.contains(&last) {
            last = step.inputs[0];
            if !result.is_plain || result.bytes > MAX_BYTES || result.inputs.len() > MAX_INPUTS {
                break;
            }
            longest = (result.steps > 1).then(|| {
                let mut inputs = result.inputs.clone();
                inputs.sort_unstable();
                Fused { inputs, steps: result.steps, level: result.level, why: step.why }
            });
        }
        made.insert(step.inputs[0], result);
    }
    longest
}

/// Where the blocks are that have a say in what becomes of the block `begins`: those in its window of the `longest`
/// range, since shorter windows lie in longer ones; and the last two of the group, by which a window is closed.
fn near(group: &Group, begins: &CatalogBlock, longest: Millis) -> Vec<usize> {
    let from = begins.meta.min_time.div_euclid(longest).saturating_mul(longest);
    let to = from.saturating_add(longest);
    let within = |at: usize| {
        let range = group.blocks[at].meta.time_range();
        range.start >= from && range.end <= to
    };
    (0..group.blocks.len()).filter(|&at| at + 2 >= group.blocks.len() || within(at)).collect()
}

/// What `inputs` become, which are gone then.
fn join(made: &mut HashMap<BlockId, Made>, inputs: &[BlockId]) -> Option<Made> {
    let mut result = Made { steps: 1, is_plain: true, ..Made::default() };
    for input in inputs {
        let input = made.remove(input)?;
        result.inputs.extend(input.inputs);
        result.steps += input.steps;
        result.level = result.level.max(input.level.saturating_add(1));
        result.bytes = result.bytes.saturating_add(input.bytes);
        result.is_plain &= input.is_plain;
    }
    Some(result)
}

fn leaf(at: usize, block: &CatalogBlock) -> Made {
    let stats = &block.meta.stats;
    Made {
        inputs: vec![at],
        steps: 0,
        level: block.meta.compaction.level,
        bytes: block.objects.iter().map(|o| o.len_bytes).fold(0, u64::saturating_add),
        // of a step without samples no block comes, and its symbols are gone
        is_plain: stats.num_tombstones == 0 && stats.num_samples > 0,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::bucket::Object;
    use crate::format::marks::NoCompactMark;
    use crate::format::meta::Meta;
    use crate::job::group::groups;
    use crate::job::plan::{Step, joined, plan_job};

    const HOUR: Millis = 3_600_000;

    fn block(n: i64, hours: (i64, i64), change: impl FnOnce(&mut Meta)) -> CatalogBlock {
        let id = BlockId::from_parts(n, 0);
        let mut meta = Meta { ulid: id, min_time: hours.0 * HOUR, max_time: hours.1 * HOUR, version: 1, ..Meta::default() };
        meta.compaction.level = 1;
        meta.compaction.sources = vec![id];
        meta.stats.num_samples = 1;
        change(&mut meta);
        let object = |(name, len_bytes): (&str, u64)| Object { key: format!("{id}/{name}"), len_bytes, modified: 0, etag: None };
        CatalogBlock {
            id,
            meta: Arc::new(meta),
            labels: Arc::default(),
            objects: [("chunks/000001", 900), ("index", 100)].map(object).into(),
            deletion: None,
            no_compact: None,
            no_downsample: None,
        }
    }

    fn two_hours(count: i64, change: impl Fn(i64, &mut Meta)) -> Group {
        groups((0..count).map(|n| block(n + 1, (2 * n, 2 * n + 2), |meta| change(n, meta))).collect()).remove(0)
    }

    fn fused(group: &Group, options: &PassOptions) -> Option<Fused> {
        plan_job(group, options).fused
    }

    #[test]
    fn a_backlog_of_two_weeks_is_one_job() {
        let backlog = two_hours(170, |_, _| {});
        let row = fused(&backlog, &PassOptions::default()).unwrap();
        assert_eq!(row.inputs, (0..168).collect::<Vec<_>>());
        assert_eq!((row.steps, row.level), (42 + 7 + 1, 4));
        assert_eq!(row.why, Why::Window { start: 0, length: 336 * HOUR });
        // lower levels, fewer steps
        let days = fused(&backlog, &PassOptions { max_level: 3, ..PassOptions::default() }).unwrap();
        assert_eq!((days.inputs.len(), days.steps, days.level), (24, 7, 3));
        assert_eq!(fused(&backlog, &PassOptions { max_level: 2, ..PassOptions::default() }), None, "one step is no row");
        assert_eq!(fused(&backlog, &PassOptions { stepwise: true, ..PassOptions::default() }), None);
        assert_eq!(fused(&backlog, &PassOptions { accept_malformed_index: true, ..PassOptions::default() }), None);
    }

    #[test]
    fn a_row_ends_before_what_it_may_not_reach() {
        // the index of two weeks would come to 16800 bytes, that of two days to 2400
        let small = |max| PassOptions { block_max_index_bytes: max, ..PassOptions::default() };
        let backlog = two_hours(170, |_, _| {});
        assert_eq!(fused(&backlog, &small(20_000)).unwrap().inputs.len(), 168);
        assert_eq!(fused(&backlog, &small(19_000)).unwrap().inputs.len(), 24);
        assert_eq!(fused(&backlog, &small(2_000)), None);
        let mut heavy = two_hours(170, |_, _| {});
        let sized = |name: &str, len_bytes| Object { key: format!("x/{name}"), len_bytes, modified: 0, etag: None };
        heavy.blocks.iter_mut().for_each(|b| b.objects = [sized("chunks/000001", MAX_BYTES / 30)].into());
        assert_eq!(fused(&heavy, &PassOptions::default()).unwrap().inputs.len(), 24);
        let tiny = groups(
            (0..2100).map(|n| block(n + 1, (0, 0), |m| (m.min_time, m.max_time) = (n * HOUR / 6, (n + 1) * HOUR / 6))).collect(),
        )
        .remove(0);
        assert_eq!(fused(&tiny, &PassOptions::default()).unwrap().inputs.len(), 288, "two days of ten minutes each");
    }

    #[test]
    fn a_step_that_decides_something_is_done_by_itself() {
        let deleted = two_hours(170, |n, meta| meta.stats.num_tombstones = u64::from(n == 30));
        assert_eq!(fused(&deleted, &PassOptions::default()).unwrap().inputs.len(), 24, "the first two days hold none");
        let deleted = two_hours(170, |n, meta| meta.stats.num_tombstones = u64::from(n == 5));
        assert_eq!(fused(&deleted, &PassOptions::default()), None);
        let empty = two_hours(170, |n, meta| meta.stats.num_samples = u64::from(n != 3));
        assert_eq!(fused(&empty, &PassOptions::default()), None);
        // replicas first become one, each pair by itself
        let pairs = (0..170).flat_map(|n| [0, 1].map(|r| block(2 * n + r + 1, (2 * n, 2 * n + 2), |_| {})));
        let pairs = groups(pairs.collect()).remove(0);
        let vertical = PassOptions { vertical: true, ..PassOptions::default() };
        let plan = plan_job(&pairs, &vertical);
        assert!(matches!(plan.step, Ok(Step::Compact(ref chosen, Why::Overlap)) if chosen.len() == 2));
        assert_eq!(plan.fused, None);
    }

    /// Does what is planned until nothing is left.
    fn play(mut group: Group, options: &PassOptions) -> (Vec<CatalogBlock>, usize) {
        for jobs in 0..=3 * group.blocks.len() {
            let decided = plan_job(&group, options);
            for mark in &decided.marks {
                let marked = || NoCompactMark::new(mark.block, 0, mark.reason, "").into();
                group.blocks.iter_mut().filter(|b| b.id == mark.block).for_each(|b| b.no_compact = Some(marked()));
            }
            let Some((chosen, _)) = decided.job() else { return (group.blocks, jobs) };
            let mut made = joined(&group, chosen);
            if let Some(row) = &decided.fused {
                let mut meta = Meta::clone(&made.meta);
                meta.compaction.level = row.level;
                made.meta = Arc::new(meta);
            }
            let mut at = 0..;
            group.blocks.retain(|_| at.next().is_some_and(|at| !chosen.contains(&at)));
            group.blocks.push(made);
            group.blocks.sort_by_key(|b| (b.meta.min_time, b.id));
        }
        panic!("it never ends");
    }

    #[test]
    fn rows_leave_what_steps_leave() {
        let mut seed = 7u64;
        let mut draw = move |below: u64| {
            // a linear congruence is chance enough for shapes of groups
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((seed >> 33) % below) as i64
        };
        let (mut rows, mut saved) = (0, 0);
        for round in 0..400 {
            let (mut blocks, mut at) = (Vec::new(), draw(200) * 2);
            let rarely = 1 + draw(40) as u64;
            for n in 0..20 + draw(180) {
                let length = match draw(8 * rarely) {
                    0 => 1,
                    1 => 8,
                    2 => 48,
                    3 => 3,
                    _ => 2,
                };
                at = if draw(3 * rarely) == 0 { at + draw(60) } else { at };
                let mut block = block(n + 1, (at, at + length), |meta| {
                    meta.compaction.level = 1 + draw(2);
                    meta.compaction.failed = draw(20 * rarely) == 0;
                    meta.stats.num_tombstones = u64::from(draw(20 * rarely) == 0);
                    meta.stats.num_samples = u64::from(draw(20 * rarely) != 0);
                });
                if draw(20 * rarely) == 0 {
                    block.no_compact = Some(NoCompactMark::new(block.id, 0, "manual", "").into());
                }
                at += length;
                blocks.push(block);
            }
            let group = groups(blocks).remove(0);
            let limit = if draw(3) == 0 { 1000 + draw(20_000) as u64 } else { u64::MAX };
            let options = PassOptions { block_max_index_bytes: limit, vertical: draw(2) == 0, ..PassOptions::default() };
            rows += usize::from(fused(&group, &options).is_some());
            let (by_rows, jobs) = play(group.clone(), &options);
            let (by_steps, steps) = play(group, &PassOptions { stepwise: true, ..options });
            let told = |b: &CatalogBlock| format!("{:?} {:?} {}", b.id, b.meta, b.no_compact.is_some());
            let (by_rows, by_steps): (Vec<_>, Vec<_>) = (by_rows.iter().map(told).collect(), by_steps.iter().map(told).collect());
            assert_eq!(by_rows, by_steps, "round {round}");
            assert!(jobs <= steps, "round {round}");
            saved += steps - jobs;
        }
        assert!(rows > 100 && saved > 2000, "{rows} rows, {saved} compactions saved");
    }
}
