//! What stops retention: more bytes than ever before, and a clock that is wrong.
//!
//! How much a pass ever marked is kept in a file below `--data-dir`. Where there is none, as in a fresh pod, it
//! is the bucket itself that tells what would be odd: whoever runs every few days sees a block soon after it
//! expired, so a plan that takes most of a resolution, of blocks that expired long ago, comes from a new setting.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::RetentionPlan;
use crate::model::Millis;

/// The file with the history of a bucket.
const FILE: &str = "retention.json";

/// So many hundredths of the most bytes that were ever marked may be marked.
const MORE_THAN_EVER_PERCENT: u128 = 120;

/// Without a history: so many hundredths of the bytes of a resolution.
pub const LIMIT_WITHOUT_HISTORY: u64 = 50;

/// Without a history: blocks that expired no longer ago are not counted.
pub const OVERDUE_AFTER: Millis = 7 * 86_400_000;

/// How far two clocks may be apart.
const CLOCKS_APART: Millis = 5 * 60_000;

/// Why nothing is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "because")]
pub enum Brake {
    /// Over 20 % more bytes than ever before.
    MoreThanEver {
        /// Bytes that would be marked in this pass.
        bytes: u64,
        /// The most that were marked in one.
        largest: u64,
    },
    /// No pass is known, and most of a resolution would go that expired long ago.
    MostOf {
        /// Milliseconds between samples, 0 for raw.
        resolution: Millis,
        /// Bytes that would go.
        bytes: u64,
        /// Bytes there are.
        of: u64,
    },
    /// The clock differs from that of the bucket by more than five minutes.
    Clock {
        /// Our time, in milliseconds since the Unix epoch.
        ours: Millis,
        /// The bucket's.
        theirs: Millis,
    },
}

/// What is known of earlier passes over a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// The bucket.
    bucket: String,
    /// The most bytes that one pass marked; 0 if none marked any.
    largest_bytes: u64,
}

impl History {
    /// What the file in `folder` says about `bucket`; nothing where there is none, or one that cannot be read.
    pub fn read(folder: &Path, bucket: &str) -> Self {
        let read = std::fs::read(path(folder)).ok().and_then(|bytes| serde_json::from_slice::<History>(&bytes).ok());
        read.filter(|history| history.bucket == bucket).unwrap_or_else(|| History { bucket: bucket.to_owned(), largest_bytes: 0 })
    }

    /// Notes that a pass marked `bytes`, where that is more than ever before: best effort, since the next pass
    /// then only asks once more.
    pub fn note(mut self, folder: &Path, bytes: u64) {
        if bytes <= self.largest_bytes {
            return;
        }
        self.largest_bytes = bytes;
        let text = serde_json::to_vec(&self).unwrap_or_default();
        let staged = folder.join(format!("{FILE}.new"));
        let write = || std::fs::write(&staged, text).and_then(|()| std::fs::rename(&staged, path(folder)));
        let _ = std::fs::create_dir_all(folder).and_then(|()| write());
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

/// What speaks against carrying out `plan` in a pass that marked `already` bytes before; `theirs` is the time by
/// the bucket's clock, where it tells. A plan that marks nothing needs no brake.
pub fn brakes(plan: &RetentionPlan, history: &History, already: u64, now: Millis, theirs: Option<Millis>) -> Vec<Brake> {
    let mut brakes = Vec::new();
    if plan.expired.is_empty() {
        return brakes;
    }
    let bytes = plan.bytes().saturating_add(already);
    let largest = history.largest_bytes;
    if largest > 0 && u128::from(bytes) * 100 > u128::from(largest) * MORE_THAN_EVER_PERCENT {
        brakes.push(Brake::MoreThanEver { bytes, largest });
    }
    if largest == 0 {
        for &(resolution, of) in &plan.totals {
            let overdue = plan.expired.iter().filter(|e| e.resolution == resolution && e.overdue(now) > OVERDUE_AFTER);
            let bytes = overdue.map(|e| e.bytes).fold(0, u64::saturating_add);
            if u128::from(bytes) * 100 > u128::from(of) * u128::from(LIMIT_WITHOUT_HISTORY) {
                brakes.push(Brake::MostOf { resolution, bytes, of });
            }
        }
    }
    if let Some(theirs) = theirs.filter(|&theirs| now.saturating_sub(theirs).saturating_abs() > CLOCKS_APART) {
        brakes.push(Brake::Clock { ours: now, theirs });
    }
    brakes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::retain::Expired;
    use crate::model::BlockId;

    const DAY: Millis = 86_400_000;
    const NOW: Millis = 1000 * DAY;

    fn plan(bytes: &[u64], expired_days_ago: i64, total: u64) -> RetentionPlan {
        let expired = |&bytes: &u64| Expired {
            block: BlockId::ZERO,
            resolution: 0,
            max_time: NOW - (30 + expired_days_ago) * DAY,
            retention: 30 * DAY,
            bytes,
            lost: None,
        };
        let expired = bytes.iter().map(expired).collect();
        RetentionPlan { expired, totals: vec![(0, total)], ..RetentionPlan::default() }
    }

    fn known(largest_bytes: u64) -> History {
        History { bucket: String::new(), largest_bytes }
    }

    #[test]
    fn twenty_percent_more_than_ever() {
        let check = |bytes: &[u64], already| brakes(&plan(bytes, 1, 10_000), &known(100), already, NOW, None);
        assert_eq!(check(&[60, 60], 0), []);
        assert_eq!(check(&[60, 61], 0), [Brake::MoreThanEver { bytes: 121, largest: 100 }]);
        // several looks of one pass count together
        assert_eq!(check(&[60], 61), [Brake::MoreThanEver { bytes: 121, largest: 100 }]);
        assert_eq!(check(&[], 1000), [], "nothing is marked, so nothing is stopped");
        assert_eq!(check(&[u64::MAX, u64::MAX], 7).len(), 1);
    }

    #[test]
    fn without_a_history_most_of_a_resolution() {
        let check = |bytes: &[u64], days, total| brakes(&plan(bytes, days, total), &known(0), 0, NOW, None);
        // 3d in place of 3y: nearly all of it, and nearly all of it long expired
        assert_eq!(check(&[990], 100, 1000), [Brake::MostOf { resolution: 0, bytes: 990, of: 1000 }]);
        assert_eq!(check(&[500], 100, 1000), []);
        // a fresh pod that runs every few days: what goes has just expired
        assert_eq!(check(&[990], 7, 1000), []);
    }

    #[test]
    fn clocks_that_differ() {
        let check = |theirs| brakes(&plan(&[1], 1, 10), &known(100), 0, NOW, theirs);
        for near in [NOW, NOW - 5 * 60_000, NOW + 5 * 60_000] {
            assert_eq!(check(Some(near)), []);
        }
        for far in [NOW - 5 * 60_000 - 1, NOW + 5 * 60_000 + 1, i64::MIN, i64::MAX] {
            assert_eq!(check(Some(far)), [Brake::Clock { ours: NOW, theirs: far }]);
        }
    }

    #[test]
    fn a_history_is_kept_and_only_grows() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("data");
        let read = |bucket| History::read(&folder, bucket).largest_bytes;
        assert_eq!(read("a"), 0);
        History::read(&folder, "a").note(&folder, 0);
        assert!(!folder.exists(), "nothing was marked, nothing is noted");
        for (bytes, largest) in [(7, 7), (5, 7), (9, 9)] {
            History::read(&folder, "a").note(&folder, bytes);
            assert_eq!(read("a"), largest);
        }
        assert_eq!(read("b"), 0, "another bucket's history says nothing");
        std::fs::write(path(&folder), "{").unwrap();
        assert_eq!(read("a"), 0);
    }
}
