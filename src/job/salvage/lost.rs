//! What could not be taken over into a new block: where it lay, why, and which times it covered.

use serde::Serialize;

use crate::model::Millis;

/// How many losses are kept in words; the rest are counted.
pub const MAX_LISTED: usize = 10_000;

/// Something that is not in the new block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// The part of the old block: `index series`, `chunks/000001`.
    pub part: String,
    /// The byte of the part.
    pub at: Option<u64>,
    /// A clause.
    pub why: String,
    /// The series, where its labels could be read.
    pub series: Option<String>,
    /// First and last millisecond that are lost of it, both within, where known.
    pub times: Option<(Millis, Millis)>,
}

impl Lost {
    pub(super) fn new(part: impl Into<String>, at: impl Into<Option<u64>>, why: impl Into<String>) -> Self {
        Lost { part: part.into(), at: at.into(), why: why.into(), series: None, times: None }
    }

    pub(super) fn of(mut self, series: String) -> Self {
        self.series = Some(series);
        self
    }

    pub(super) fn times(mut self, from: Millis, to: Millis) -> Self {
        self.times = Some((from, to));
        self
    }
}

/// Everything that is not in the new block, in the order in which it was met.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Losses {
    /// At most [`MAX_LISTED`] of them in words.
    pub listed: Vec<Lost>,
    /// How many more there are.
    pub unlisted: u64,
    /// Series of which nothing is left, as far as they can be counted.
    pub series: u64,
    /// Chunks of which something or all is lost.
    pub chunks: u64,
}

impl Losses {
    pub(super) fn add(&mut self, lost: Lost) {
        if self.listed.len() < MAX_LISTED {
            self.listed.push(lost);
        } else {
            self.unlisted += 1;
        }
    }

    pub(super) fn series(&mut self, lost: Lost) {
        self.series += 1;
        self.add(lost);
    }

    pub(super) fn chunk(&mut self, lost: Lost) {
        self.chunks += 1;
        self.add(lost);
    }

    pub(super) fn join(&mut self, behind: Losses) {
        self.series += behind.series;
        self.chunks += behind.chunks;
        self.unlisted += behind.unlisted;
        behind.listed.into_iter().for_each(|lost| self.add(lost));
    }

    /// Whether nothing is lost.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.unlisted == 0
    }
}
