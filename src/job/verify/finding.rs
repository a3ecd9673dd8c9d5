//! What was checked and what was found.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::BlockId;

/// One kind of check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Thanos': overlapping times within a group.
    OverlappedBlocks,
    /// Thanos': the health of the index.
    IndexKnownIssues,
    /// Thanos': blocks of the same times, sources and stats.
    DuplicatedCompaction,
    /// Every checksum of a chunk, every sample decoded; times within chunk and block, in order.
    Chunks,
    /// Every postings list is complete and exact.
    Postings,
    /// Counts in the meta are those of the content.
    Stats,
    /// Sizes and hashes of files are those of the meta; no segment is missing.
    Files,
    /// Symbols ascend, and series refer to nothing else.
    Symbols,
}

impl Check {
    /// Every check.
    pub const ALL: [Check; 8] = [
        Check::OverlappedBlocks,
        Check::IndexKnownIssues,
        Check::DuplicatedCompaction,
        Check::Chunks,
        Check::Postings,
        Check::Stats,
        Check::Files,
        Check::Symbols,
    ];

    /// What runs when nobody says, as upstream.
    pub const DEFAULT: [Check; 2] = [Check::IndexKnownIssues, Check::OverlappedBlocks];

    /// The name in flags and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Check::OverlappedBlocks => "overlapped_blocks",
            Check::IndexKnownIssues => "index_known_issues",
            Check::DuplicatedCompaction => "duplicated_compaction",
            Check::Chunks => "chunks",
            Check::Postings => "postings",
            Check::Stats => "stats",
            Check::Files => "files",
            Check::Symbols => "symbols",
        }
    }

    /// Whether Thanos has it too: what it finds is reported and is no failure.
    pub fn is_upstream(self) -> bool {
        matches!(self, Check::OverlappedBlocks | Check::IndexKnownIssues | Check::DuplicatedCompaction)
    }

    /// Whether it compares blocks with one another instead of looking into one.
    pub fn is_about_groups(self) -> bool {
        matches!(self, Check::OverlappedBlocks | Check::DuplicatedCompaction)
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Check {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Check::ALL.into_iter().find(|c| c.as_str() == text).ok_or_else(|| format!("no such issue ID {text}"))
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What found it.
    pub check: Check,
    /// The part of the block.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub part: Option<String>,
    /// The byte of the part.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub at: Option<u64>,
    /// A clause.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.part, self.at) {
            (Some(part), Some(at)) => write!(f, "{part} at byte {at}: ")?,
            (Some(part), None) => write!(f, "{part}: ")?,
            _ => {}
        }
        f.write_str(&self.text)
    }
}

/// How many findings of one check on one block are kept in words; the rest are counted.
pub const MAX_LISTED: usize = 20;

/// Findings on one block, in the order in which they lie in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    listed: Vec<Finding>,
    unlisted: u64,
}

impl Findings {
    /// One more.
    pub fn add(&mut self, finding: Finding) {
        if self.listed.iter().filter(|f| f.check == finding.check).count() < MAX_LISTED {
            self.listed.push(finding);
        } else {
            self.unlisted += 1;
        }
    }

    /// One more, in pieces.
    pub fn note(&mut self, check: Check, part: impl Into<String>, at: impl Into<Option<u64>>, text: impl Into<String>) {
        self.add(Finding { check, part: Some(part.into()), at: at.into(), text: text.into() });
    }

    /// One more, about the block as a whole.
    pub fn note_block(&mut self, check: Check, text: impl Into<String>) {
        self.add(Finding { check, part: None, at: None, text: text.into() });
    }

    /// Those of what follows.
    pub fn join(&mut self, behind: Findings) {
        behind.listed.into_iter().for_each(|f| self.add(f));
        self.unlisted += behind.unlisted;
    }

    /// Those that are kept in words.
    pub fn listed(&self) -> &[Finding] {
        &self.listed
    }

    /// How many there are beside those.
    pub fn unlisted(&self) -> u64 {
        self.unlisted
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.unlisted == 0
    }
}

/// What was counted in a block on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Series that were read.
    pub series: u64,
    /// Chunks that their entries name.
    pub chunks: u64,
    /// Samples that were decoded; 0 unless chunks were read.
    pub samples: u64,
    /// Of those, floats.
    pub floats: u64,
    /// Of those, native histograms.
    pub histograms: u64,
    /// Postings lists that were compared.
    pub lists: u64,
    /// Symbols that no series uses: what deleted series leave behind, no damage. 0 unless symbols were looked at.
    pub unused_symbols: u64,
    /// Chunks that could not be read to their end, or are not what the index says.
    pub damaged_chunks: u64,
}

impl Counted {
    /// Adds what was counted elsewhere in the block.
    pub fn join(&mut self, other: &Counted) {
        self.series += other.series;
        self.chunks += other.chunks;
        self.samples += other.samples;
        self.floats += other.floats;
        self.histograms += other.histograms;
        self.lists += other.lists;
        self.unused_symbols += other.unused_symbols;
        self.damaged_chunks += other.damaged_chunks;
    }
}

/// What came of one block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The block.
    pub block: BlockId,
    /// What is not as it should be.
    pub findings: Findings,
    /// What was counted.
    pub counted: Counted,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_both_ways() {
        for check in Check::ALL {
            assert_eq!(check.as_str().parse(), Ok(check));
        }
        assert_eq!("nope".parse::<Check>(), Err("no such issue ID nope".into()));
    }

    #[test]
    fn many_findings_are_counted() {
        let mut all = Findings::default();
        for i in 0..50 {
            all.note(Check::Chunks, "chunks/000001", i, "x");
        }
        all.note(Check::Stats, "meta.json", None, "y");
        assert_eq!((all.listed().len(), all.unlisted()), (MAX_LISTED + 1, 30));
        let mut twice = all.clone();
        twice.join(all);
        assert_eq!((twice.listed().len(), twice.unlisted()), (MAX_LISTED + 2, 80));
        assert_eq!(twice.listed()[3].to_string(), "chunks/000001 at byte 3: x");
    }
}
