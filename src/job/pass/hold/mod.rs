//! Which groups and blocks a pass leaves alone, and what a failure means for those that come after it.
//!
//! [`leave`] asks before a job begins, [`blame`] judges how it ended, [`lift`] ends what is over,
//! [`rival`] makes room for who else is at work, [`tell`] says it all.

mod blame;
mod leave;
mod lift;
mod rival;
mod tell;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::PassOptions;
use super::run::{Compactor, GroupError, Pass};
use crate::error::Error;
use crate::job::catalog::CatalogBlock;
use crate::job::group::Group;
use crate::job::quarantine::{Entry, Flaw, Quarantine, print, store};
use crate::job::{Env, Event, Level};
use crate::model::{BlockId, LabelSet, Millis};

/// What a pass knows of failures: those of passes before, and its own.
#[derive(Default)]
pub(crate) struct Holds {
    state: Quarantine,
    /// Failures that are found anew in each pass: groups that cannot be planned, objects that are not there.
    found: Vec<Entry>,
    /// Blocks of jobs of which the result says already that they are left alone.
    told: HashSet<Vec<BlockId>>,
    /// Blocks of other compactors that people heard of.
    rivals_told: HashSet<BlockId>,
    /// How often a group, or a block, asked for a new look.
    looks: HashMap<String, u32>,
    /// Blocks that lacked something when they were listed by themselves, with the print of the look before that.
    flawed: HashMap<BlockId, (u64, Flaw)>,
    /// Groups at the last look.
    groups: usize,
}

impl Holds {
    /// As kept on the local disk.
    pub(super) fn new(env: &Env, options: &PassOptions) -> Holds {
        let (holds, warning) = Holds::read(&env.scratch, env.bucket.name(), options);
        if let Some(text) = warning {
            env.report.event(Event::Note { level: Level::Warn, block: None, text: &text });
        }
        holds
    }

    /// As kept in `folder` about `bucket`, and what is wrong with the file, if anything is.
    pub(crate) fn read(folder: &Path, bucket: &str, options: &PassOptions) -> (Holds, Option<String>) {
        let (state, warning) = if options.quarantine { store::read(folder, bucket) } else { Default::default() };
        (Holds { state, ..Holds::default() }, warning)
    }

    /// Whether later passes know of it.
    fn is_kept(&self, entry: &Entry) -> bool {
        self.state.entries().contains(entry)
    }

    /// Everything that stands against a group.
    fn troubles(&self) -> Vec<Entry> {
        self.state.entries().iter().chain(&self.found).cloned().collect()
    }
}

impl PassOptions {
    /// What decides besides the blocks whether a job works.
    fn salt(&self) -> String {
        let (dedup, limit) = (self.dedup, self.block_max_index_bytes);
        let accepts = (self.accept_malformed_index, self.skip_out_of_order);
        format!("{} {dedup:?} {limit} {accepts:?}", self.is_vertical())
    }
}

impl<C: Compactor> Pass<'_, C> {
    /// Keeps what is known for processes that come after this one.
    fn keep(&self) {
        if !self.options.quarantine {
            return;
        }
        if let Err(error) = store::write(&self.env.scratch, self.env.bucket.name(), &self.holds.state) {
            let path = store::path(&self.env.scratch);
            let text =
                format!("{} cannot be written, so what failed is tried again by the next process: {error}", path.display());
            self.env.report.event(Event::Note { level: Level::Warn, block: None, text: &text });
        }
    }

    /// Notes how many groups there are.
    pub(in crate::job::pass) fn count_groups(&mut self, groups: usize) {
        self.holds.groups = groups;
    }
}

/// The print of blocks in any order.
fn print_of(mut blocks: Vec<&CatalogBlock>, salt: &str) -> u64 {
    blocks.sort_unstable_by_key(|b| b.id);
    print(blocks, salt)
}

/// A group, for people.
fn name(resolution: Millis, labels: &LabelSet) -> String {
    format!("{resolution}@{labels}")
}
