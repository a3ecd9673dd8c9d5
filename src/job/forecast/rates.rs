//! How quick jobs were: a small file below `--data-dir` that finished jobs add to, and forecasts read.
//!
//! Sums of bytes and seconds are kept, so that one large job counts as much as many small ones; what was long ago, in
//! hours of work, fades.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::job::JobId;
use crate::model::Millis;

/// The file below `--data-dir`.
const FILE: &str = "rates.json";

/// After so many seconds of work of one kind, what was before counts for a third.
const FADES_AFTER_SECONDS: f64 = 6.0 * 3600.0;

/// Bytes a second that are read where nothing was measured: what a slow bucket gives.
pub const ASSUMED_BYTES_PER_SECOND: f64 = (32u64 << 20) as f64;

/// What a job does, as far as its speed goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pace {
    /// Blocks become one.
    Compact,
    /// Blocks become one, and coarser ones on the way.
    CompactAndDownsample,
    /// A block becomes coarser ones.
    Downsample,
}

/// How quick jobs of each kind were.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rates(BTreeMap<Pace, Sums>);

/// What jobs of one kind did together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Sums {
    bytes_read: f64,
    seconds: f64,
}

/// A rate as a forecast shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShownRate {
    /// Of which jobs.
    pub kind: Pace,
    /// Bytes that are read in a second.
    pub bytes_per_second: f64,
    /// Whether finished jobs say so; else it is assumed.
    pub is_measured: bool,
}

impl Pace {
    /// All of them.
    pub const ALL: [Pace; 3] = [Pace::Compact, Pace::CompactAndDownsample, Pace::Downsample];

    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Pace::Compact => "compact",
            Pace::CompactAndDownsample => "compact and downsample",
            Pace::Downsample => "downsample",
        }
    }
}

impl Rates {
    /// What the file in `folder` says; nothing where there is none, or one that cannot be read.
    pub fn read(folder: &Path) -> Self {
        let read = std::fs::read(path(folder)).ok().and_then(|bytes| serde_json::from_slice::<Rates>(&bytes).ok());
        let is_sound = |rates: &Rates| {
            let numbers = rates.0.values().flat_map(|s| [s.bytes_read, s.seconds]);
            numbers.into_iter().all(|n| n.is_finite() && n >= 0.0)
        };
        read.filter(is_sound).unwrap_or_default()
    }

    /// Bytes that are read in a second by jobs of one kind.
    pub fn of(&self, kind: Pace) -> ShownRate {
        let measured = self.0.get(&kind).filter(|s| s.seconds > 0.0 && s.bytes_read > 0.0);
        let bytes_per_second = measured.map_or(ASSUMED_BYTES_PER_SECOND, |s| s.bytes_read / s.seconds);
        ShownRate { kind, bytes_per_second, is_measured: measured.is_some() }
    }

    fn add(&mut self, kind: Pace, read: u64, seconds: f64) {
        let sums = self.0.entry(kind).or_default();
        let stays = (-seconds / FADES_AFTER_SECONDS).exp();
        sums.bytes_read = sums.bytes_read * stays + read as f64;
        sums.seconds = sums.seconds * stays + seconds;
    }
}

/// Notes in `folder` what a job did in `took` milliseconds: best effort, since a forecast without it assumes.
pub(crate) fn note(folder: &Path, job: JobId, kind: Pace, read: u64, took: Millis) {
    if took <= 0 || read == 0 {
        return; // too short to say anything
    }
    let mut rates = Rates::read(folder);
    rates.add(kind, read, took as f64 / 1000.0);
    let text = serde_json::to_vec(&rates).unwrap_or_default();
    // jobs end side by side, each with a file of its own until it is whole
    let staged = folder.join(format!("{FILE}.{}.new", job.0));
    let write = || std::fs::write(&staged, text).and_then(|()| std::fs::rename(&staged, path(folder)));
    let _ = std::fs::create_dir_all(folder).and_then(|()| write());
}

fn path(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_that_ended_say_how_quick_the_next_will_be() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("data");
        assert!(!Rates::read(&folder).of(Pace::Compact).is_measured);
        assert_eq!(Rates::read(&folder).of(Pace::Compact).bytes_per_second, ASSUMED_BYTES_PER_SECOND);
        note(&folder, JobId(1), Pace::Compact, 0, 1000);
        note(&folder, JobId(1), Pace::Compact, 9, 0);
        assert!(!folder.exists(), "nothing was learnt");
        note(&folder, JobId(1), Pace::Compact, 10_000, 1000);
        note(&folder, JobId(2), Pace::Compact, 30_000, 1000);
        let rates = Rates::read(&folder);
        let rate = rates.of(Pace::Compact);
        assert!(rate.is_measured && (19_900.0..20_100.0).contains(&rate.bytes_per_second), "{rate:?}");
        assert!(!rates.of(Pace::Downsample).is_measured);
        // a long job lets what was before fade
        note(&folder, JobId(3), Pace::Compact, 86_400 * 100, 86_400_000);
        let rate = Rates::read(&folder).of(Pace::Compact).bytes_per_second;
        assert!((100.0..101.0).contains(&rate), "{rate}");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_none() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "[]", "{\"compact\":{}}", "{\"compact\":{\"bytes_read\":-1,\"seconds\":1}}"] {
            std::fs::write(path(dir.path()), text).unwrap();
            assert_eq!(Rates::read(dir.path()), Rates::default(), "{text}");
        }
    }
}
