//! Every flag of `thanos compact`, with its default and its form of values.
//!
//! Flags of parts that this version does not have are read too, so that a deployment can swap the
//! binary; [`Later`] says which they are, and what of them changes data is warned of when set.

use std::path::PathBuf;

use blockyard::model::Millis;
use clap::Args;
use clap::builder::PossibleValuesParser;

use super::http::Http;
use crate::flags::{Objstore, Planning, Prices, bytes, count, go_duration};

/// Flags of `blockyard compact`.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// Print what one pass would do, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    #[command(flatten)]
    pub(crate) objstore: Objstore,

    /// Folder for scratch files; it may be emptied between runs
    #[arg(long, value_name = "DIR", default_value = "./data")]
    pub(crate) data_dir: PathBuf,

    /// Keep running: one pass after the other, with --wait-interval between them
    #[arg(short, long)]
    pub(crate) wait: bool,

    /// Pause between two passes (with --wait)
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = go_duration)]
    pub(crate) wait_interval: Millis,

    #[command(flatten)]
    pub(crate) planning: Planning,

    #[command(flatten)]
    pub(crate) prices: Prices,

    /// Hash of every file in meta.json: "" for none, or "SHA256"
    #[arg(long, value_name = "NAME", default_value = "", value_parser = PossibleValuesParser::new(["", "SHA256"]))]
    pub(crate) hash_func: String,

    /// Where a new block is read from, to be held against its sources before they may be marked: "sent" reads the
    /// bytes while they are uploaded, "readback" also reads the block back from the bucket
    #[arg(long, value_name = "NAME", default_value = "sent", value_parser = PossibleValuesParser::new(["sent", "readback"]))]
    pub(crate) verify_output: String,

    /// How many compactions are under way at a time, of one group or of several; one already uses all cores
    #[arg(long = "compact.concurrency", value_name = "N", default_value = "1", value_parser = count)]
    pub(crate) concurrency: usize,

    /// Memory that all compactions and downsamplings together may take, by estimate; what never fits is postponed,
    /// and a message says so. 0 for any; without the flag four fifths of the machine's, or of its control group's
    #[arg(long = "compact.memory-budget", value_name = "SIZE", value_parser = bytes)]
    pub(crate) memory_budget: Option<u64>,

    /// How many blocks are downsampled at a time; one already uses all cores
    #[arg(long = "downsample.concurrency", value_name = "N", default_value = "1", value_parser = count)]
    pub(crate) downsample_concurrency: usize,

    /// Mark blocks with chunks out of order no-compact instead of failing their group
    #[arg(long = "compact.skip-block-with-out-of-order-chunks", hide = true)]
    pub(crate) skip_out_of_order: bool,

    /// Neither wait for another compactor of this bucket nor let it wait
    #[arg(long = "compact.no-lease")]
    pub(crate) no_lease: bool,

    /// Take indexes whose label names are out of order
    #[arg(long = "debug.accept-malformed-index", hide = true)]
    pub(crate) accept_malformed_index: bool,

    /// With --wait: halt when a block turns out to be damaged, and do nothing until a restart, as Thanos does;
    /// without this flag the group is left alone until its blocks change, and the others go on
    #[arg(long = "debug.halt-on-error", hide = true, overrides_with = "stop_on_error")]
    pub(crate) halt_on_error: bool,

    /// With --wait: end with exit code 1 when a block turns out to be damaged
    #[arg(long = "no-debug.halt-on-error", hide = true)]
    pub(crate) stop_on_error: bool,

    /// How often what is due is deleted while a pass takes longer (with --wait); 0s leaves it to the passes
    #[arg(long = "compact.cleanup-interval", value_name = "DURATION", default_value = "5m", value_parser = go_duration)]
    pub(crate) cleanup_interval: Millis,

    /// How often it is counted what is left to do, for metrics (with --wait); 0s does not
    #[arg(long = "compact.progress-interval", value_name = "DURATION", default_value = "5m", value_parser = go_duration)]
    pub(crate) progress_interval: Millis,

    #[command(flatten)]
    pub(crate) http: Http,

    #[command(flatten)]
    pub(crate) later: Later,
}

/// Flags of parts that are not in this version.
#[derive(Args, Debug)]
#[command(next_help_heading = "Read, without effect in this version")]
pub(crate) struct Later {
    /// How many objects of a block are moved at a time; reads and writes are pipelined instead
    #[arg(long, value_name = "N", default_value = "1", value_parser = count)]
    block_files_concurrency: usize,

    /// How many blocks are downloaded at a time; inputs are streamed instead
    #[arg(long = "compact.blocks-fetch-concurrency", value_name = "N", default_value = "1", value_parser = count)]
    blocks_fetch_concurrency: usize,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches};

    use super::*;
    use crate::flags::TimeOrAgo;
    use crate::{Cli, Command};

    #[derive(serde::Deserialize)]
    struct Upstream {
        name: String,
        #[serde(default)]
        short: Option<char>,
        #[serde(default)]
        switch: bool,
        #[serde(default)]
        shown_as: Option<String>,
        #[serde(default)]
        repeatable: bool,
    }

    fn upstream(command: &str) -> Vec<Upstream> {
        let all = include_str!("../../../testdata/surface/flags.json");
        let mut all: std::collections::BTreeMap<String, Vec<Upstream>> = serde_json::from_str(all).unwrap();
        all.remove(command).unwrap()
    }

    fn parse(arguments: &[&str]) -> Result<Box<Flags>, String> {
        let command = crate::flags::with_negations(Cli::command());
        let matches =
            command.try_get_matches_from(["blockyard", "compact"].iter().chain(arguments)).map_err(|e| e.to_string())?;
        match Cli::from_arg_matches(&matches).map_err(|e| e.to_string())?.command {
            Command::Compact(flags) => Ok(flags),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_flag_of_upstream_with_its_default() {
        let mut root = Cli::command();
        root.build();
        let compact = root.find_subcommand("compact").unwrap();
        let mut seen = 0;
        for flag in upstream("compact").iter().chain(&upstream("(all commands)")) {
            let name = &flag.name;
            if name == "version" {
                continue; // of the program, not of each command
            }
            let ours = compact.get_arguments().find(|a| a.get_long() == Some(name)).unwrap_or_else(|| panic!("no --{name}"));
            seen += 1;
            assert_eq!(ours.get_short(), flag.short, "--{name}");
            let takes_value = ours.get_action().takes_values();
            assert_eq!(takes_value, !flag.switch, "--{name}");
            assert_eq!(matches!(ours.get_action(), clap::ArgAction::Append), flag.repeatable, "--{name}");
            let shown = flag.shown_as.as_deref().unwrap_or_default().trim_matches('"');
            if takes_value && !shown.starts_with('<') && shown != name.to_ascii_uppercase() {
                let default: Vec<_> = ours.get_default_values().iter().map(|v| v.to_string_lossy()).collect();
                assert_eq!(default, [shown], "--{name}");
            }
        }
        assert_eq!(seen, 38 + 7);
    }

    #[test]
    fn hidden_flags_and_all_forms_of_values() {
        let flags = parse(&[
            "--debug.max-compaction-level=3",
            "--debug.accept-malformed-index",
            "--compact.enable-vertical-compaction",
            "--compact.block-max-index-size=1GB",
            "--compact.skip-block-with-out-of-order-chunks",
            "--no-debug.halt-on-error",
            "--no-wait",
            "--no-downsampling.disable",
            "--delete-delay=2d",
            "--consistency-delay",
            "1.5h",
            "--min-time=-6w",
            "--deduplication.replica-label=b,a",
            "--deduplication.replica-label",
            "c",
            "--log.level=debug",
        ])
        .unwrap();
        assert_eq!((flags.planning.max_level, flags.planning.max_index_bytes), (3, 1 << 30));
        assert!(flags.accept_malformed_index && flags.planning.vertical && flags.skip_out_of_order && flags.stop_on_error);
        assert!(!flags.wait && !flags.planning.no_downsampling);
        assert_eq!((flags.planning.delete_delay, flags.planning.consistency_delay), (172_800_000, 5_400_000));
        assert_eq!(flags.planning.min_time, TimeOrAgo::Relative(-3_628_800_000));
        assert_eq!(crate::flags::label_names(&flags.planning.replica_labels), ["a", "b", "c"]);
        assert_eq!(parse(&[]).unwrap().planning.max_index_bytes, 64 << 30);
    }

    #[test]
    fn what_upstream_refuses() {
        for bad in [
            "--bogus",
            "extra",
            "--wait=true",
            "--compact.concurrency=x",
            "--delete-delay=1.5h",
            "--consistency-delay=1d",
            "--deduplication.func=foo",
            "--hash-func=MD5",
            "--compact.block-max-index-size=64XB",
            "--min-time=garbage",
            "--retention.resolution-raw=30",
        ] {
            assert!(parse(&[bad]).is_err(), "{bad}");
        }
        assert!(parse(&["--wait", "--no-wait"]).is_err());
        assert!(parse(&["--data-dir=a", "--data-dir=b"]).is_err());
    }

    #[test]
    fn options_of_a_pass() {
        let options = |arguments: &[&str]| parse(arguments).unwrap().options(1_000_000_000);
        let refused = options(&["--deduplication.func=penalty"]).unwrap_err();
        assert_eq!(refused.kind(), blockyard::Kind::Invalid);
        assert!(refused.to_string().contains("at least one replica label"), "{refused}");
        let penalty = options(&["--deduplication.func=penalty", "--deduplication.replica-label=r"]).unwrap();
        assert_eq!(penalty.dedup, blockyard::job::pass::Dedup::Penalty);
        assert!(options(&["--debug.max-compaction-level=5"]).is_err());
        assert!(options(&["--selector.relabel-config=a", "--selector.relabel-config-file=b"]).is_err());
        assert!(options(&["--retention.resolution-raw=39h"]).unwrap_err().to_string().contains("(40 hours)"));
        assert!(options(&["--retention.policy=- {matchers: '{a=\"b\"}', keep: 1d}"]).unwrap_err().to_string().contains("keep"));
        let kept = options(&["--retention.resolution-1h=1y", "--retention.policy=- {matchers: '{a=\"b\"}', raw: 2d}"]).unwrap();
        assert_eq!((kept.retention_1h, kept.retention_policies.len(), kept.retention_confirm), (31_536_000_000, 1, false));
        let read_back = options(&["--verify-output=readback"]).unwrap();
        assert_eq!(read_back.verify_output, blockyard::job::pass::VerifyOutput::ReadBack);
        assert!(parse(&["--verify-output=never"]).is_err());
        let made = options(&["--min-time=-1s", "--hash-func=SHA256", "--block-discovery-strategy=recursive"]).unwrap();
        assert_eq!(made.min_time, 999_999_000);
        assert_eq!(format!("{:?} {:?}", made.hash_func, made.discovery), "Sha256 Recursive");
        let budgets = ["--compact.memory-budget=0", "--compact.memory-budget=1GB"].map(|f| options(&[f]).unwrap().memory_budget);
        assert_eq!(budgets, [u64::MAX, 1 << 30]);
        let plain = options(&[]).unwrap();
        // the budget is the machine's
        let default = blockyard::job::pass::PassOptions { memory_budget: plain.memory_budget, ..Default::default() };
        assert_eq!(format!("{plain:?}"), format!("{default:?}"));
    }
}
