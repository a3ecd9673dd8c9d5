//! What a job that failed means for its group.

use super::tell::Tried;
use super::*;
use crate::error::Kind;
use crate::job::Work;
use crate::job::plan::Step;
use crate::job::quarantine::{Failure, Standing, Verdict};

/// So often the bucket is listed again in one pass because a group failed, and changed meanwhile.
const MOST_LOOKS: u32 = 3;

impl<C: Compactor> Pass<'_, C> {
    /// Whether one of `blocks` looked damaged when it was read before.
    pub(in crate::job::pass) fn is_second_look<'b>(&self, blocks: impl IntoIterator<Item = &'b CatalogBlock>) -> bool {
        let suspicious = self.holds.state.entries().iter().filter(|e| e.standing == Standing::Retrying && e.next_try == 0);
        let suspicious: HashSet<BlockId> = suspicious.flat_map(|e| e.culprits()).copied().collect();
        !suspicious.is_empty() && blocks.into_iter().any(|b| suspicious.contains(&b.id))
    }

    /// What work is given; at a second look blocks are read over new connections.
    pub(in crate::job::pass) fn env_of(&self, is_second_look: bool) -> Env {
        let mut env = self.env.clone();
        if is_second_look {
            // where that fails the connections there are have to do
            env.bucket = env.bucket.with_new_connections().unwrap_or(env.bucket);
        }
        env
    }

    /// Judges a step of `group` that failed, because of damage in `series` if that is known; whether there may be another
    /// step in this pass. It has no step where none could be planned.
    pub(in crate::job::pass) fn blame(
        &mut self,
        group: &Group,
        step: Option<&Step>,
        error: Error,
        series: Option<String>,
    ) -> bool {
        let now = self.env.clock.now();
        let is_job = step.is_some();
        let failure = Failure { series, ..self.failure(group, step, &error) };
        if !self.options.quarantine || !is_job || error.kind() == Kind::Cancelled {
            let standing = if is_passing(&error) { Standing::Retrying } else { Standing::Quarantined };
            let entry = Entry::new(Work::Compaction, standing, failure, &error, now);
            self.stop(&group.key, standing);
            self.tell(&entry, Tried::Yes);
            self.holds.found.push(entry);
            return false;
        }
        let chance = self.env.clock.chance() as u64;
        let blocks = failure.blocks.clone();
        let verdict = self.holds.state.failed(Work::Compaction, failure, &error, now, chance);
        self.keep();
        let looks = self.holds.looks.entry(group.key.clone()).or_default();
        *looks += u32::from(verdict == Verdict::LookAgain);
        if verdict == Verdict::LookAgain && *looks <= MOST_LOOKS {
            self.note_second_look(&name(group.resolution, &group.labels), &error);
            return true;
        }
        let of_it = |e: &&Entry| match verdict {
            Verdict::Later => e.blocks.is_empty(),
            Verdict::LookAgain | Verdict::Held => e.blocks == blocks,
        };
        let mut own = self.holds.state.entries().iter().filter(|e| e.work == Work::Compaction && e.group == group.key);
        let Some(entry) = own.find(of_it).cloned() else { return false };
        if verdict != Verdict::Held {
            self.stop(&group.key, Standing::Retrying);
        }
        self.tell(&entry, Tried::Yes);
        if verdict == Verdict::Held {
            self.report_groups();
        }
        // the rest of the group may go on without these blocks
        verdict == Verdict::Held
    }

    /// What failed: the planned blocks, or the one that the error names where the plan was for others.
    fn failure(&self, group: &Group, step: Option<&Step>, error: &Error) -> Failure {
        let known = error.block_id().filter(|id| group.blocks.iter().any(|b| b.id == *id));
        let mut blocks: Vec<&CatalogBlock> = match step {
            Some(Step::Compact(chosen, _)) => chosen.iter().map(|&at| &group.blocks[at]).collect(),
            _ => group.blocks.iter().collect(),
        };
        if let Some(known) = known
            && !blocks.iter().any(|b| b.id == known)
        {
            blocks = group.blocks.iter().filter(|b| b.id == known).collect();
        }
        let ids = blocks.iter().map(|b| b.id).collect();
        Failure::of(group, ids, print_of(blocks, &self.options.salt()))
    }

    /// Judges a downsampling that failed, because of damage in `series` if that is known; whether it is to be tried once
    /// more in this pass.
    pub(in crate::job::pass) fn blame_block(&mut self, block: &CatalogBlock, error: &Error, series: Option<String>) -> bool {
        if !self.options.quarantine || error.kind() == Kind::Cancelled {
            return false;
        }
        let failure = self.failure_of(block, series);
        let (now, chance) = (self.env.clock.now(), self.env.clock.chance() as u64);
        let verdict = self.holds.state.failed(Work::Downsampling, failure, error, now, chance);
        self.keep();
        let looks = self.holds.looks.entry(block.id.to_string()).or_default();
        *looks += u32::from(verdict == Verdict::LookAgain);
        let again = verdict == Verdict::LookAgain && *looks <= MOST_LOOKS;
        if again {
            self.note_second_look(&name(block.meta.resolution(), &block.labels), error);
        }
        again
    }

    /// What fails where a block fails by itself.
    pub(super) fn failure_of(&self, block: &CatalogBlock, series: Option<String>) -> Failure {
        Failure {
            group: block.group_key(),
            labels: LabelSet::clone(&block.labels),
            resolution: block.meta.resolution(),
            blocks: vec![block.id],
            print: print([block], &self.options.salt()),
            series,
        }
    }

    /// Leaves a group alone until the next pass.
    pub(super) fn stop(&mut self, group: &str, standing: Standing) {
        self.stopped.insert(group.to_owned());
        if standing == Standing::Retrying {
            self.put_off.insert(group.to_owned());
        }
    }
}

fn is_passing(error: &Error) -> bool {
    !matches!(error.kind(), Kind::Corrupt | Kind::Unsupported | Kind::Invalid | Kind::Limit)
}
