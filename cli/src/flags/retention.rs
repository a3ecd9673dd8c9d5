//! How long blocks are kept: flags of `compact` and of `tools bucket retention`.

use std::path::PathBuf;

use blockyard::Result;
use blockyard::job::pass::PassOptions;
use blockyard::job::retain::parse_policies;
use blockyard::model::Millis;
use clap::Args;

use super::{prom_duration, read_content};

/// `--retention.*`.
#[derive(Args, Debug)]
pub(crate) struct Retention {
    /// How long raw samples are kept; 0d is for ever
    #[arg(long = "retention.resolution-raw", value_name = "DURATION", default_value = "0d", value_parser = prom_duration)]
    raw: Millis,

    /// How long samples of resolution 1 (5 minutes) are kept; 0d is for ever
    #[arg(long = "retention.resolution-5m", value_name = "DURATION", default_value = "0d", value_parser = prom_duration)]
    five_minutes: Millis,

    /// How long samples of resolution 2 (1 hour) are kept; 0d is for ever
    #[arg(long = "retention.resolution-1h", value_name = "DURATION", default_value = "0d", value_parser = prom_duration)]
    one_hour: Millis,

    /// YAML list of {matchers, raw, 5m, 1h}: blocks whose external labels match are kept for so long; the first
    /// entry that matches counts, and what it leaves out is as the flags above say
    #[arg(long = "retention.policy", value_name = "content")]
    policy: Option<String>,

    /// Path to a file with the content of --retention.policy (mutually exclusive)
    #[arg(long = "retention.policy-file", value_name = "file-path")]
    policy_file: Option<PathBuf>,

    /// Mark what has expired even if it is far more than ever before, or if the clock differs from the bucket's;
    /// for one run, after a look at --dry-run
    #[arg(long = "retention.confirm")]
    confirm: bool,
}

impl Retention {
    /// Puts what was given into the options of a pass.
    ///
    /// # Errors
    /// `Invalid` for both forms of the policy at once, a file that cannot be read, a policy that is none.
    pub(crate) fn apply(&self, options: &mut PassOptions) -> Result<()> {
        let policy = read_content("retention.policy", self.policy.as_deref(), self.policy_file.as_deref())?;
        (options.retention_raw, options.retention_5m, options.retention_1h) = (self.raw, self.five_minutes, self.one_hour);
        options.retention_policies = parse_policies(&policy)?;
        options.retention_confirm = self.confirm;
        Ok(())
    }
}
