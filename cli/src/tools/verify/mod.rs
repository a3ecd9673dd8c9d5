//! `tools bucket verify`: Thanos' issues with its words, and the checks of the content that it does not have.

mod print;
mod repair;

use std::path::{Path, PathBuf};

use blockyard::job::catalog::Depth;
use blockyard::job::verify::{Check, GroupFinding, Heard, Options, Verdict, run as verify};
use blockyard::model::{BlockId, Millis};
use blockyard::{Error, Kind, Result};
use clap::{Args, ValueEnum};

use crate::exit::Exit;
use crate::flags::{Backup, Objstore, TimeOrAgo, bytes, prom_duration};
use crate::world::World;

/// Looking at a bucket takes as long as it takes: upstream has no limit here either.
const NO_TIMEOUT_MS: Millis = 24 * 3_600_000;

/// Flags of `tools bucket verify`.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// Issues to verify, repeatable. Of Thanos: index_known_issues, overlapped_blocks (the default), duplicated_compaction.
    /// Beyond: chunks (every checksum, every sample decoded, times, order), postings (complete and exact), stats, files
    /// (sizes, hashes), symbols; `all` is all of these
    #[arg(short, long, value_name = "ISSUE", value_delimiter = ',')]
    issues: Vec<String>,
    /// Block IDs to verify only, repeatable. If none is specified, all blocks will be verified
    #[arg(long, value_name = "ULID")]
    id: Vec<String>,
    /// Only blocks uploaded at this time or later: RFC 3339, or a duration relative to now such as -1d
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<TimeOrAgo>,
    /// File that keeps what was verified: with the same file, a run that was stopped goes on where it was
    #[arg(long, value_name = "PATH")]
    state_file: Option<PathBuf>,
    /// The most bytes that are read in a second, such as 50MB
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    bytes_per_second: Option<u64>,
    /// Exit with 1 if any issue is found; without it Thanos' three issues are reported and exit with 0
    #[arg(long)]
    fail: bool,
    /// How verdicts are printed
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Output,
    /// Attempt to repair blocks for which index_known_issues or duplicated_compaction were detected. No compactor may run
    /// on the bucket meanwhile. The old block is copied to the backup bucket before it goes
    #[arg(short, long)]
    repair: bool,
    /// How long blocks that were repaired or removed stay with a mark before a compactor deletes them; 0s deletes them at once
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = prom_duration)]
    delete_delay: Millis,
    #[command(flatten)]
    backup: Backup,
}

/// How verdicts are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A line for each block, then its findings.
    Text,
    /// One document.
    Json,
}

impl Flags {
    fn options(&self, now: Millis) -> Result<Options> {
        let ids = self.id.iter().map(|text| {
            let invalid = |e| Error::new(Kind::Invalid, format!("invalid ULID found in --id flag: {text:?} is {e}"));
            text.parse::<BlockId>().map_err(invalid)
        });
        let ids = ids.collect::<Result<Vec<_>>>()?;
        Ok(Options {
            checks: if self.repair { repair::checks(&self.issues)? } else { checks(&self.issues, !ids.is_empty())? },
            ids,
            since: self.since.map(|since| since.resolve(now)),
            bytes_per_second: self.bytes_per_second.filter(|&limit| limit > 0),
            state: self.state_file.clone(),
        })
    }
}

/// Names of issues as checks. When nobody names any, those over groups are left out for single blocks.
fn checks(names: &[String], single: bool) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    if names.is_empty() {
        checks.extend(Check::DEFAULT.iter().filter(|c| !(single && c.is_about_groups())));
    }
    for name in names {
        if name == "all" {
            checks.extend(Check::ALL.iter().filter(|c| !(single && c.is_about_groups())));
            continue;
        }
        let all: Vec<&str> = Check::ALL.iter().map(|c| c.as_str()).collect();
        checks.push(
            name.parse().map_err(|why: String| Error::new(Kind::Invalid, why).next(format!("use {} or all", all.join(", "))))?,
        );
    }
    checks.sort();
    checks.dedup();
    Ok(checks)
}

/// Verifies, says what is found as it comes, and prints verdicts.
pub(crate) async fn run(flags: Flags, objstore: &Objstore, world: &World) -> Result<Exit> {
    let options = flags.options(world.clock.now())?;
    let bucket = objstore.open().await?;
    let backup = repair::backup(&flags).await?;
    let names: Vec<&str> = options.checks.iter().map(|c| c.as_str()).collect();
    let verifiers = names.join(",");
    let task = if flags.repair { "verify and repair" } else { "verify" };
    if flags.repair {
        tracing::warn!(verifiers, "GLOBAL COMPACTOR SHOULD __NOT__ BE RUNNING ON THE SAME BUCKET");
    }
    tracing::info!(verifiers, "Starting {task} task");
    for check in &options.checks {
        tracing::info!(verifiers, verifier = check.as_str(), "with-repair" = flags.repair, "started verifying issue");
    }
    let catalog = super::look(&bucket, NO_TIMEOUT_MS, Depth::Everything, world).await?;
    for &id in &options.ids {
        if catalog.block(id).is_none() && !catalog.partial.iter().any(|p| p.id == id) {
            return Err(Error::new(Kind::NotFound, "there is no such block in the bucket").block(id));
        }
    }
    let env = world.env(bucket, Path::new("."));
    let mut hear = |heard: Heard<'_>| match heard {
        Heard::Groups(check, found) => say_groups(&verifiers, check, found),
        Heard::Block(verdict) => say_block(&verifiers, verdict),
    };
    let summary = verify(&env, &catalog, &options, &mut hear).await?;
    let repairs = match backup {
        Some(backup) => repair::run(&env, &catalog, &summary, backup, flags.delete_delay, &verifiers).await?,
        None => Vec::new(),
    };
    for check in &options.checks {
        tracing::info!(verifiers, verifier = check.as_str(), "with-repair" = flags.repair, "verified issue");
    }
    tracing::info!(verifiers, "{task} task completed");
    super::print(&match flags.output {
        Output::Text => print::text(&summary, &repairs),
        Output::Json => print::json(&summary, &options.checks, &repairs),
    })?;
    let wrong = if flags.repair {
        repairs.iter().any(|r| r.is_trouble() || (flags.fail && r.error.is_some()))
    } else {
        summary.found_more_than_upstream() || (flags.fail && summary.found_anything())
    };
    Ok(if wrong { Exit::Failed } else { Exit::Done })
}

fn say_groups(verifiers: &str, check: Check, found: &[GroupFinding]) {
    let verifier = check.as_str();
    let mut kill = Vec::new();
    for f in found {
        let (group, text) = (f.group.as_str(), f.text.as_str());
        if check == Check::OverlappedBlocks {
            tracing::warn!(verifiers, verifier, group, overlap = text, "found overlapped blocks");
        } else if f.duplicates {
            tracing::warn!(
                verifiers,
                verifier,
                group,
                "range-min" = f.start,
                "range-max" = f.end,
                kill = text,
                "found duplicated blocks"
            );
            kill.extend(f.blocks.iter().map(ToString::to_string).filter(|id| !kill.contains(id)).collect::<Vec<_>>());
        } else {
            let range = format!("{{{} {}}}", f.start, f.end);
            let what = "found overlapped blocks, but all of the blocks are unique. Seems like unrelated issue. Ignoring overlap";
            tracing::warn!(verifiers, verifier, group, range, overlap = text, "{what}");
        }
    }
    if check == Check::DuplicatedCompaction && !found.is_empty() {
        let (ids, num) = (format!("[{}]", kill.join(" ")), kill.len());
        tracing::warn!(verifiers, verifier, ULIDs = ids, num, "Found duplicated blocks that are ok to be removed");
    }
}

fn say_block(verifiers: &str, verdict: &Verdict) {
    let id = verdict.block.to_string();
    for finding in verdict.findings.listed() {
        let (verifier, err) = (finding.check.as_str(), finding.to_string());
        tracing::warn!(verifiers, verifier, id, err, "detected issue");
    }
    if verdict.findings.unlisted() > 0 {
        tracing::warn!(verifiers, id, num = verdict.findings.unlisted(), "detected more issues of the same kinds");
    }
    if verdict.findings.is_empty() {
        tracing::debug!(verifiers, id, "no issue");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_checks() {
        let names = |names: &[&str], single| {
            let names: Vec<String> = names.iter().map(|&n| n.to_owned()).collect();
            checks(&names, single).map(|c| c.iter().map(|c| c.as_str()).collect::<Vec<_>>()).map_err(|e| e.to_string())
        };
        assert_eq!(names(&[], false).unwrap(), ["overlapped_blocks", "index_known_issues"]);
        assert_eq!(names(&[], true).unwrap(), ["index_known_issues"]);
        assert_eq!(names(&["chunks", "index_known_issues", "chunks"], false).unwrap(), ["index_known_issues", "chunks"]);
        assert_eq!(names(&["all"], false).unwrap().len(), 8);
        assert_eq!(names(&["all"], true).unwrap().len(), 6);
        assert!(names(&["nope"], false).unwrap_err().starts_with("no such issue ID nope"));
    }
}
