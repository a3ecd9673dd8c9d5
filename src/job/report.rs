//! Progress of jobs, as events: the command line draws bars from them, a server counts metrics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::job::catalog::Catalog;
use crate::job::filter::Selection;
use crate::job::pass::PassOptions;
use crate::job::quarantine::{Entry, Standing};
use crate::model::{BlockId, Millis};

/// One attempt at a job within this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub u64);

impl JobId {
    /// A number that no other job of this process has.
    pub fn next() -> JobId {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        JobId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Something that happened. All numbers of bytes are increments since the event before.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A job begins.
    Started {
        /// Which.
        job: JobId,
        /// `compact`, `verify`, …
        kind: &'static str,
        /// The group it is for, in words: resolution and labels.
        group: &'a str,
        /// Its inputs.
        blocks: &'a [BlockId],
        /// Bytes it is going to read, as far as known.
        bytes: u64,
    },
    /// A job read and wrote so much more.
    Moved {
        /// Which.
        job: JobId,
        /// Bytes read from the bucket.
        read: u64,
        /// Bytes written to the bucket.
        written: u64,
    },
    /// A job left out samples of its inputs which replicas have too.
    Deduplicated {
        /// Which.
        job: JobId,
        /// How many.
        samples: u64,
    },
    /// A job is done.
    Finished {
        /// Which.
        job: JobId,
        /// What came of it, in words.
        outcome: &'a str,
    },
    /// A job gave up.
    Failed {
        /// Which.
        job: JobId,
        /// Why.
        error: &'a Error,
    },
    /// The bucket was looked at, and this is what a compactor sees of it.
    Looked {
        /// How long it took, in milliseconds.
        took: Millis,
        /// What is there, without blocks.
        catalog: &'a Catalog,
        /// The blocks: which are worked on, and what became of the rest.
        selection: &'a Selection,
        /// By what they were chosen.
        options: &'a PassOptions,
    },
    /// Whether somebody else compacts the bucket, as a look shows it.
    Rivals {
        /// Blocks that another compactor made since this process looked first.
        blocks: usize,
    },
    /// The bucket could not be looked at: nothing is decided.
    LookFailed {
        /// How long it took, in milliseconds.
        took: Millis,
        /// Why.
        error: &'a Error,
    },
    /// Duplicates were looked for, and marked.
    Collected {
        /// How long it took, in milliseconds.
        took: Millis,
        /// How many were marked.
        marked: usize,
        /// What went wrong, if anything.
        error: Option<&'a Error>,
    },
    /// Work on a group, or on one block of it, begins.
    Began {
        /// What.
        work: Work,
        /// Milliseconds between samples of what it reads, 0 for raw.
        resolution: Millis,
    },
    /// Work on a group, or on one block of it, is over.
    Ended {
        /// What.
        work: Work,
        /// Milliseconds between samples of what it read, 0 for raw.
        resolution: Millis,
        /// How long it took, in milliseconds.
        took: Millis,
        /// What came of it.
        outcome: Outcome<'a>,
    },
    /// A block was marked; it was not before.
    Marked {
        /// The block.
        block: BlockId,
        /// Name of the mark's object, such as `deletion-mark.json`.
        file: &'static str,
        /// Why, in one of the words that marks know; empty where they know none.
        reason: &'a str,
        /// The block's samples are in another block now.
        replaced: bool,
    },
    /// A block, or what there was of one, was deleted, or could not be.
    Deleted {
        /// The block.
        block: BlockId,
        /// It never became a block.
        partial: bool,
        /// Why it could not.
        error: Option<&'a Error>,
    },
    /// How the groups stand, all of them.
    Groups {
        /// Groups by how they stand; each counts once, as its worst trouble has it.
        standings: &'a BTreeMap<Standing, usize>,
        /// What stands against those that are not healthy.
        troubles: &'a [Entry],
    },
    /// Everything that was due was cleaned, or tried to be.
    Cleaned,
    /// Something a person should know that is no job's.
    Note {
        /// How much it matters.
        level: Level,
        /// The block it is about.
        block: Option<BlockId>,
        /// A sentence.
        text: &'a str,
    },
}

/// What is done to a group or to a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// Blocks of a group become one, if any are due.
    Compaction,
    /// A block gets a copy of lower resolution.
    Downsampling,
}

/// What came of work.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// Nothing was due.
    Nothing,
    /// There is a new block, or several became none.
    Made {
        /// They overlapped.
        vertical: bool,
    },
    /// It failed; whoever asked for it says what that means.
    Failed(&'a Error),
}

/// How much a note matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Detail for whoever looks for a cause.
    Debug,
    /// What the program does.
    Info,
    /// Something is not as it should be, and work goes on.
    Warn,
    /// Something failed.
    Error,
}

/// Hears of progress; called from many threads, must not block.
pub trait Report: Send + Sync {
    /// One event.
    fn event(&self, event: Event<'_>);
}

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Report for Silent {
    fn event(&self, _: Event<'_>) {}
}
