//! What a pass is told, as plain values; the defaults are those of Thanos.

use crate::error::{Error, Kind, Result};
use crate::job::compact::{HashFunc, VerifyOutput};
use crate::job::downsample::{LongEnough, SeriesPolicy};
use crate::job::relabel::{Rule, Shard};
use crate::job::retain::{Keep, Policy};
use crate::model::Millis;

const MINUTE: Millis = 60_000;
const HOUR: Millis = 60 * MINUTE;
const DAY: Millis = 24 * HOUR;

/// Lengths of blocks by level: the first is the base and never a target.
pub const RANGES: [Millis; 5] = [HOUR, 2 * HOUR, 8 * HOUR, 2 * DAY, 14 * DAY];

/// The highest `--debug.max-compaction-level`.
pub const MAX_LEVEL: usize = RANGES.len() - 1;

/// How blocks of a bucket are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Discovery {
    /// A listing of the root, then one of each block's folder, many at a time.
    #[default]
    Concurrent,
    /// One listing of everything.
    Recursive,
}

/// How samples of replicas become one series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dedup {
    /// Samples with the same time are one sample.
    #[default]
    OneToOne,
    /// One replica is followed until it has a gap.
    Penalty,
}

/// What a pass is told.
#[derive(Clone, Debug)]
pub struct PassOptions {
    /// `--block-discovery-strategy`.
    pub discovery: Discovery,
    /// `--block-meta-fetch-concurrency`: how many small objects are fetched at a time.
    pub meta_fetch_concurrency: usize,
    /// `--min-time`, resolved: blocks that end before it are not looked at.
    pub min_time: Millis,
    /// `--max-time`, resolved: blocks that begin behind it are not looked at.
    pub max_time: Millis,
    /// `--selector.relabel-config`, from [`crate::job::relabel::parse_rules`].
    pub relabel: Vec<Rule>,
    /// `--shard`: the share of what those rules leave; `None` for all of it.
    pub shard: Option<Shard>,
    /// `--consistency-delay`: younger blocks that no compactor made are left alone.
    pub consistency_delay: Millis,
    /// `--delete-delay`: how long a mark is old before its block goes.
    pub delete_delay: Millis,
    /// `--deduplication.replica-label`, split at commas, sorted, each once; any turns vertical compaction on.
    pub replica_labels: Vec<String>,
    /// `--deduplication.func`.
    pub dedup: Dedup,
    /// `--compact.enable-vertical-compaction`.
    pub vertical: bool,
    /// `--compact.stepwise`: the block of every step is written, also where the next step takes it away.
    pub stepwise: bool,
    /// `--compact.concurrency`: compactions at a time.
    pub concurrency: usize,
    /// `--compact.memory-budget`: bytes of memory that all jobs together may take, as they are estimated.
    pub memory_budget: u64,
    /// `--debug.max-compaction-level`, at most [`MAX_LEVEL`].
    pub max_level: usize,
    /// `--debug.range-divisor`: by what all lengths of time are divided that planning, downsampling and retention
    /// have by themselves, so that a test sees years in hours; 1 but in tests. What flags say is not divided.
    pub range_divisor: Millis,
    /// `--compact.block-max-index-size` in bytes.
    pub block_max_index_bytes: u64,
    /// `--hash-func`.
    pub hash_func: HashFunc,
    /// `--verify-output`: where new blocks are read from before their sources may be marked.
    pub verify_output: VerifyOutput,
    /// `--compact.skip-block-with-out-of-order-chunks`.
    pub skip_out_of_order: bool,
    /// `--debug.accept-malformed-index`.
    pub accept_malformed_index: bool,
    /// Whether what failed for good is left alone until its blocks change, in this process and in those after it;
    /// `--debug.halt-on-error` says no.
    pub quarantine: bool,
    /// Whether a group whose failure may pass is tried later and later; not where each pass is a process.
    pub back_off: bool,
    /// `--retention.resolution-raw`; 0 keeps for ever.
    pub retention_raw: Millis,
    /// `--retention.resolution-5m`; 0 keeps for ever.
    pub retention_5m: Millis,
    /// `--retention.resolution-1h`; 0 keeps for ever.
    pub retention_1h: Millis,
    /// `--retention.policy`, from [`crate::job::retain::parse_policies`]: the first that matches a block counts.
    pub retention_policies: Vec<Policy>,
    /// `--retention.confirm`: mark what has expired, however much it is and whatever the clock says.
    pub retention_confirm: bool,
    /// Whether blocks are downsampled; `--downsampling.disable` says no.
    pub downsampling: bool,
    /// `--downsample.concurrency`: blocks at a time.
    pub downsample_concurrency: usize,
    /// `--downsample.filter`: which series are downsampled; `None` for all.
    pub downsample_policy: Option<SeriesPolicy>,
}

impl Default for PassOptions {
    fn default() -> Self {
        PassOptions {
            discovery: Discovery::Concurrent,
            meta_fetch_concurrency: 32,
            min_time: -62_167_219_200_000,
            max_time: 253_402_300_799_000,
            relabel: Vec::new(),
            shard: None,
            consistency_delay: 30 * MINUTE,
            delete_delay: 2 * DAY,
            replica_labels: Vec::new(),
            dedup: Dedup::OneToOne,
            vertical: false,
            stepwise: false,
            concurrency: 1,
            memory_budget: u64::MAX,
            max_level: MAX_LEVEL,
            range_divisor: 1,
            block_max_index_bytes: 64 << 30,
            hash_func: HashFunc::None,
            verify_output: VerifyOutput::Sent,
            skip_out_of_order: false,
            accept_malformed_index: false,
            quarantine: true,
            back_off: false,
            retention_raw: 0,
            retention_5m: 0,
            retention_1h: 0,
            retention_policies: Vec::new(),
            retention_confirm: false,
            downsampling: true,
            downsample_concurrency: 1,
            downsample_policy: None,
        }
    }
}

impl PassOptions {
    /// Whether overlapping blocks are merged: asked for, or implied by replica labels.
    pub fn is_vertical(&self) -> bool {
        self.vertical || !self.replica_labels.is_empty()
    }

    /// Lengths of blocks that are planned for.
    pub fn ranges(&self) -> Vec<Millis> {
        RANGES[..=self.max_level.min(MAX_LEVEL)].iter().map(|range| range / self.range_divisor.max(1)).collect()
    }

    /// From which length on blocks are downsampled.
    pub fn long_enough(&self) -> LongEnough {
        let (long, divisor) = (LongEnough::default(), self.range_divisor.max(1));
        LongEnough { five: long.five / divisor, hour: long.hour / divisor }
    }

    /// How long blocks are kept for which no policy is.
    pub fn retention(&self) -> Keep {
        Keep { raw: self.retention_raw, five_minutes: self.retention_5m, one_hour: self.retention_1h }
    }

    /// Whether there is a block that does not stay for ever.
    pub fn retains(&self) -> bool {
        self.retention() != Keep::default() || !self.retention_policies.is_empty()
    }

    /// Whether the options make sense together; to be asked before a pass.
    ///
    /// # Errors
    /// `Invalid`, in upstream's words where it has any.
    pub fn check(&self) -> Result<()> {
        let invalid = |what: &str| Err(Error::new(Kind::Invalid, what));
        if self.max_level > MAX_LEVEL {
            let what = format!("compaction level {} is above the highest, {MAX_LEVEL}", self.max_level);
            return Err(Error::new(Kind::Invalid, what).next("set --debug.max-compaction-level lower"));
        }
        if self.range_divisor < 1 || HOUR % self.range_divisor != 0 {
            let what = format!("an hour cannot be divided by {} into milliseconds", self.range_divisor);
            return Err(Error::new(Kind::Invalid, what).next("set --debug.range-divisor to 60, or leave it out"));
        }
        if self.dedup == Dedup::Penalty && self.replica_labels.is_empty() {
            return invalid("penalty based deduplication needs at least one replica label specified");
        }
        let flags = self.retention();
        self.check_retention(flags)?;
        for policy in &self.retention_policies {
            let whose = || format!("retention policy {}", policy.describe());
            self.check_retention(policy.keep(flags)).map_err(|e| e.part(whose()))?;
        }
        if self.meta_fetch_concurrency == 0 || self.concurrency == 0 || self.downsample_concurrency == 0 {
            return invalid("concurrency has to be at least 1");
        }
        Ok(())
    }

    /// Blocks have to be kept until they are long enough to be downsampled.
    fn check_retention(&self, keep: Keep) -> Result<()> {
        let refused = if !self.downsampling {
            return Ok(());
        } else if keep.raw != 0 && keep.raw < self.long_enough().five {
            "raw resolution must be higher than the minimum block size after which 5m resolution downsampling will occur \
             (40 hours)"
        } else if keep.five_minutes != 0 && keep.five_minutes < self.long_enough().hour {
            "5m resolution retention must be higher than the minimum block size after which 1h resolution downsampling \
             will occur (10 days)"
        } else {
            return Ok(());
        };
        Err(Error::new(Kind::Invalid, refused))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        let check = |change: fn(&mut PassOptions)| {
            let mut options = PassOptions::default();
            change(&mut options);
            options.check().map_err(|e| e.to_string())
        };
        assert_eq!(check(|_| {}), Ok(()));
        assert!(check(|o| o.dedup = Dedup::Penalty).unwrap_err().contains("replica label"));
        for divisor in [0, -1, 7, 2 * HOUR] {
            let options = PassOptions { range_divisor: divisor, ..PassOptions::default() };
            assert!(options.check().unwrap_err().to_string().contains("--debug.range-divisor"), "{divisor}");
        }
        assert!(check(|o| o.max_level = 5).unwrap_err().contains("highest, 4"));
        assert!(check(|o| o.retention_raw = 40 * HOUR - 1).unwrap_err().contains("(40 hours)"));
        assert_eq!(check(|o| o.retention_raw = 40 * HOUR), Ok(()));
        assert!(check(|o| o.retention_5m = 10 * DAY - 1).unwrap_err().contains("(10 days)"));
        let refused = check(|o| {
            o.retention_policies = crate::job::retain::parse_policies("- {matchers: '{a=\"b\"}', raw: 39h}").unwrap();
        })
        .unwrap_err();
        assert!(refused.contains("retention policy {a=\"b\"}") && refused.contains("(40 hours)"), "{refused}");
        assert_eq!(
            check(|o| (o.downsampling, o.retention_raw, o.retention_5m) = (false, 1, 1)),
            Ok(()),
            "nothing is downsampled, so nothing is too early"
        );
        assert!(check(|o| o.concurrency = 0).is_err());
    }

    #[test]
    fn a_test_sees_years_in_hours() {
        let options =
            PassOptions { range_divisor: 60, retention_raw: 40 * MINUTE, retention_5m: 4 * HOUR, ..PassOptions::default() };
        assert_eq!(options.ranges(), [MINUTE, 2 * MINUTE, 8 * MINUTE, 48 * MINUTE, 336 * MINUTE]);
        assert_eq!(options.long_enough(), LongEnough { five: 40 * MINUTE, hour: 4 * HOUR });
        options.check().unwrap();
        let short = PassOptions { retention_5m: 4 * HOUR - 1, ..options };
        assert!(short.check().unwrap_err().to_string().contains("(10 days)"));
    }

    #[test]
    fn replica_labels_imply_vertical() {
        let mut options = PassOptions::default();
        assert!(!options.is_vertical());
        options.replica_labels.push("replica".to_owned());
        assert!(options.is_vertical());
        options.max_level = 2;
        assert_eq!(options.ranges(), [HOUR, 2 * HOUR, 8 * HOUR]);
    }
}
