//! Jobs of one group that may be done at the same time.

use std::collections::HashSet;

use super::{GroupPlan, Replay, Why, plan_job};
use crate::job::group::Group;
use crate::job::pass::PassOptions;
use crate::model::{BlockId, Millis};

/// A job of a group.
#[derive(Debug)]
pub struct Job {
    /// The group, as it is when the jobs before this one are done.
    pub group: Group,
    /// What is to be done; blocks that are chosen are there already.
    pub plan: GroupPlan,
}

/// The next job of a group and, up to `most` in all, those behind it that need nothing of it: other blocks, of other
/// times. The first may be that there is nothing to do.
pub fn plan_jobs(group: Group, options: &PassOptions, most: usize) -> Vec<Job> {
    let (mut jobs, mut made): (Vec<Job>, HashSet<BlockId>) = (Vec::new(), HashSet::new());
    let mut taken: Vec<(Millis, Millis)> = Vec::new();
    let mut group = group;
    loop {
        let plan = plan_job(&group, options);
        let Some((chosen, Why::Window { .. })) = plan.job().filter(|_| plan.marks.is_empty()) else {
            // what overlaps, what has to be marked, and what waits for a person is a matter of the whole group
            if jobs.is_empty() {
                jobs.push(Job { group, plan });
            }
            return jobs;
        };
        let blocks = || chosen.iter().map(|&at| &group.blocks[at]);
        let from = blocks().map(|b| b.meta.min_time).min().unwrap_or_default();
        let to = blocks().map(|b| b.meta.max_time).max().unwrap_or_default();
        let needs_others = blocks().any(|b| made.contains(&b.id)) || taken.iter().any(|t| t.0 < to && from < t.1);
        if needs_others {
            return jobs;
        }
        taken.push((from, to));
        let mut steps = Replay::new(group.clone(), options);
        made.extend(steps.join(chosen).first());
        jobs.push(Job { group, plan });
        if jobs.len() >= most {
            return jobs;
        }
        group = steps.into_group();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::format::meta::Meta;
    use crate::job::catalog::CatalogBlock;
    use crate::job::group::groups;

    const HOUR: Millis = 3_600_000;

    fn group(hours: &[(i64, i64)]) -> Group {
        let block = |(n, &(from, to)): (usize, &(i64, i64))| {
            let id = BlockId::from_parts(n as i64 + 1, 0);
            let mut meta = Meta { ulid: id, min_time: from * HOUR, max_time: to * HOUR, version: 1, ..Meta::default() };
            meta.compaction.sources = vec![id];
            meta.compaction.level = 1;
            meta.stats.num_samples = 1;
            CatalogBlock {
                id,
                meta: Arc::new(meta),
                labels: Arc::default(),
                objects: Arc::new([]),
                deletion: None,
                no_compact: None,
                no_downsample: None,
            }
        };
        groups(hours.iter().enumerate().map(block).collect()).remove(0)
    }

    fn chosen(hours: &[(i64, i64)], options: &PassOptions, most: usize) -> Vec<Vec<usize>> {
        let of = |job: &Job| {
            let ids = job.plan.job().map_or(&[][..], |(chosen, _)| chosen).iter().map(|&at| job.group.blocks[at].id);
            ids.map(|id| id.created() as usize).collect()
        };
        plan_jobs(group(hours), options, most).iter().map(of).collect()
    }

    fn two_hours(windows: &[i64]) -> Vec<(i64, i64)> {
        windows.iter().flat_map(|&w| (0..4).map(move |n| (8 * w + 2 * n, 8 * w + 2 * n + 2))).collect()
    }

    #[test]
    fn windows_side_by_side() {
        // the second window of eight hours lacks nothing of the first; what is behind them is the newest
        let hours = [two_hours(&[0, 1]), vec![(16, 18)]].concat();
        assert_eq!(chosen(&hours, &PassOptions::default(), 8), [[1, 2, 3, 4], [5, 6, 7, 8]]);
        assert_eq!(chosen(&hours, &PassOptions::default(), 1), [[1, 2, 3, 4]]);
    }

    #[test]
    fn a_step_that_needs_another_waits() {
        // two days are full, so that all of it is one job; step by step its last step waits for all others
        let hours = [two_hours(&[0, 1, 2, 3, 4, 5]), vec![(48, 50)]].concat();
        assert_eq!(chosen(&hours, &PassOptions::default(), 8).len(), 1);
        let stepwise = PassOptions { stepwise: true, ..PassOptions::default() };
        assert_eq!(chosen(&hours, &stepwise, 8).len(), 6);
    }

    #[test]
    fn weeks_side_by_side() {
        let hours: Vec<(i64, i64)> = (0..14 * 24 * 2 / 2 + 1).map(|n| (2 * n, 2 * n + 2)).collect();
        let jobs = chosen(&hours, &PassOptions::default(), 8);
        assert_eq!(jobs.iter().map(Vec::len).collect::<Vec<_>>(), [168, 168]);
    }

    #[test]
    fn what_overlaps_goes_alone() {
        let hours = [two_hours(&[0]), vec![(1, 3)], two_hours(&[1]), vec![(16, 18)]].concat();
        let vertical = PassOptions { vertical: true, ..PassOptions::default() };
        assert_eq!(chosen(&hours, &vertical, 8).len(), 1);
        let jobs = plan_jobs(group(&hours), &PassOptions::default(), 8);
        assert!(jobs.len() == 1 && jobs[0].plan.step.is_err());
        assert_eq!(chosen(&[(0, 2)], &PassOptions::default(), 8), [[0usize; 0]]);
    }
}
