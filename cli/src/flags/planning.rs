//! What a pass plans by: flags that `compact` and `tools bucket plan` share.

use blockyard::Result;
use blockyard::job::downsample::SeriesPolicy;
use blockyard::job::pass::{Dedup, Discovery, PassOptions};
use blockyard::job::relabel::{Shard, parse_rules};
use blockyard::model::Millis;
use clap::Args;
use clap::builder::PossibleValuesParser;

use super::{Retention, Selector, TimeOrAgo, bytes, count, go_duration, label_names, prom_duration};

/// Which blocks, and what becomes of them.
#[derive(Args, Debug)]
pub(crate) struct Planning {
    /// How old a fresh block must be before it is looked at; blocks made by compaction are not fresh
    #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = go_duration)]
    pub(crate) consistency_delay: Millis,

    /// How long a block stays after it was marked for deletion; 0s deletes at once, which can fail queries
    #[arg(long, value_name = "DURATION", default_value = "48h", value_parser = prom_duration)]
    pub(crate) delete_delay: Millis,

    /// Only blocks that end after this: RFC 3339, or relative to now such as -6w
    #[arg(long, value_name = "TIME", default_value = "0000-01-01T00:00:00Z", allow_hyphen_values = true)]
    pub(crate) min_time: TimeOrAgo,

    /// Only blocks that begin before this: RFC 3339, or relative to now such as -2h
    #[arg(long, value_name = "TIME", default_value = "9999-12-31T23:59:59Z", allow_hyphen_values = true)]
    pub(crate) max_time: TimeOrAgo,

    #[command(flatten)]
    pub(crate) selector: Selector,

    /// Work on one share of the bucket: 0/3, 1/3 and 2/3 are a third each. Which share a block is in follows from its
    /// external labels, replica labels left out, which all shares have to be given alike; the same as hashmod in
    /// --selector.relabel-config, which is applied before
    #[arg(long, value_name = "I/N")]
    pub(crate) shard: Option<Shard>,

    /// External label that tells replicas apart; blocks that differ only in it are merged into one, for good.
    /// Repeatable, and a comma-separated list
    #[arg(long = "deduplication.replica-label", value_name = "LABEL")]
    pub(crate) replica_labels: Vec<String>,

    /// How replicas are merged: "" makes samples of equal time one, which fits Receivers; "penalty" follows one
    /// replica until it has a gap, which fits servers that scrape by themselves
    #[arg(long = "deduplication.func", value_name = "NAME", default_value = "", value_parser = PossibleValuesParser::new(["", "penalty"]))]
    pub(crate) dedup_func: String,

    /// How blocks are found: "concurrent" lists folder by folder, "recursive" lists the whole bucket once
    #[arg(long, value_name = "NAME", default_value = "concurrent", value_parser = PossibleValuesParser::new(["concurrent", "recursive"]))]
    pub(crate) block_discovery_strategy: String,

    /// How many meta.json files and marks are fetched at a time
    #[arg(long, value_name = "N", default_value = "32", value_parser = count)]
    pub(crate) block_meta_fetch_concurrency: usize,

    /// Make no downsampled blocks
    #[arg(long = "downsampling.disable")]
    pub(crate) no_downsampling: bool,

    /// Which series are downsampled: a selector for those that are, or behind ! for those that are not; the
    /// first that matches decides. Repeatable
    #[arg(long = "downsample.filter", value_name = "SELECTOR")]
    pub(crate) downsample_filter: Vec<String>,

    /// Merge blocks of one group that overlap
    #[arg(long = "compact.enable-vertical-compaction", hide = true)]
    pub(crate) vertical: bool,

    /// Write the block of every step, also where the next step of the same group takes it away at once
    #[arg(long = "compact.stepwise")]
    pub(crate) stepwise: bool,

    /// Largest index that a compaction may make; the largest input is marked no-compact instead
    #[arg(long = "compact.block-max-index-size", value_name = "SIZE", default_value = "64GB", value_parser = bytes, hide = true)]
    pub(crate) max_index_bytes: u64,

    /// Largest range of the planner: 1 is 2h, 2 is 8h, 3 is 2d, 4 is 14d
    #[arg(long = "debug.max-compaction-level", value_name = "N", default_value = "4", value_parser = count, hide = true)]
    pub(crate) max_level: usize,

    /// For tests: divide the ranges of the planner, the lengths from which on blocks are downsampled, and what
    /// retention requires, by this number; it has to divide an hour
    #[arg(long = "debug.range-divisor", value_name = "N", default_value = "1", value_parser = count, hide = true)]
    pub(crate) range_divisor: usize,

    #[command(flatten)]
    pub(crate) retention: Retention,
}

impl Planning {
    /// What a pass that begins at `now` plans by; not checked yet.
    ///
    /// # Errors
    /// `Invalid` for flags that name what this version does not have; `NotFound`, `Denied` for a file that cannot be
    /// read.
    pub(crate) fn options(&self, now: Millis) -> Result<PassOptions> {
        let mut options = PassOptions {
            discovery: match self.block_discovery_strategy.as_str() {
                "recursive" => Discovery::Recursive,
                _ => Discovery::Concurrent,
            },
            meta_fetch_concurrency: self.block_meta_fetch_concurrency,
            min_time: self.min_time.resolve(now),
            max_time: self.max_time.resolve(now),
            relabel: parse_rules(&self.selector.read()?)?,
            shard: self.shard,
            consistency_delay: self.consistency_delay,
            delete_delay: self.delete_delay,
            replica_labels: label_names(&self.replica_labels),
            dedup: if self.dedup_func == "penalty" { Dedup::Penalty } else { Dedup::OneToOne },
            vertical: self.vertical,
            stepwise: self.stepwise,
            max_level: self.max_level,
            range_divisor: Millis::try_from(self.range_divisor).unwrap_or(Millis::MAX),
            block_max_index_bytes: self.max_index_bytes,
            downsampling: !self.no_downsampling,
            downsample_policy: SeriesPolicy::parse(&self.downsample_filter)?,
            ..PassOptions::default()
        };
        self.retention.apply(&mut options)?;
        Ok(options)
    }
}
