//! Progress of jobs, as events: the command line draws bars from them, a server counts metrics.

use crate::error::Error;
use crate::model::BlockId;

/// One attempt at a job within this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub u64);

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
