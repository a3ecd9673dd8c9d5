//! `blockyard tools`: commands for people who look after a bucket.

mod cleanup;
mod downsample;
mod external;
mod inspect;
mod ls;
mod mark;
mod plan;
mod retention;
mod rewrite;
mod salvage;
mod selected;
mod table;
mod template;
mod text;
mod verify;

use std::time::Duration;

use blockyard::job::catalog::{Catalog, Depth, PartialReason, SyncOptions, Syncer};
use blockyard::model::Millis;
use blockyard::{Error, Kind, Result};
use clap::{Args, Subcommand};

pub(crate) use downsample::downsampled;

use crate::exit::Exit;
use crate::flags::Objstore;
use crate::world::World;

/// `blockyard tools …`.
#[derive(Subcommand, Debug)]
pub(crate) enum Tools {
    /// Bucket utility commands
    Bucket(Bucket),
}

/// `blockyard tools bucket …`.
#[derive(Args, Debug)]
pub(crate) struct Bucket {
    #[command(flatten)]
    pub(crate) objstore: Objstore,
    #[command(subcommand)]
    pub(crate) command: BucketCommand,
}

/// What to do with the bucket.
#[derive(Subcommand, Debug)]
pub(crate) enum BucketCommand {
    /// Delete blocks whose deletion mark is old enough, and what was left of uploads
    Cleanup(Box<cleanup::Flags>),
    /// Put a mark on blocks, or take it away: deletion, no compaction, no downsampling
    Mark(Box<mark::Flags>),
    /// Mark blocks for deletion that are older than their retention
    Retention(Box<retention::Flags>),
    /// Verify blocks of the bucket: Thanos' issues, and the content itself
    Verify(Box<verify::Flags>),
    /// Say what a compactor will do with the bucket, what it will cost, and what it will not do and why
    Plan(Box<plan::Flags>),
    /// List all blocks in the bucket
    Ls(Box<ls::Flags>),
    /// Continuously downsample blocks of the bucket that are due for it
    Downsample(Box<downsample::Flags>),
    /// Inspect all blocks in the bucket in detailed, table-like way, or look inside one
    Inspect(Box<inspect::Flags>),
    /// Rewrite chosen blocks: delete series, delete times of series, relabel series
    Rewrite(Box<rewrite::Flags>),
}

/// Runs one of the tools.
pub(crate) async fn run(tools: Tools, world: &World) -> Result<Exit> {
    let Tools::Bucket(bucket) = tools;
    match bucket.command {
        BucketCommand::Cleanup(flags) => cleanup::run(*flags, &bucket.objstore, world).await,
        BucketCommand::Mark(flags) => mark::run(*flags, &bucket.objstore, world).await,
        BucketCommand::Retention(flags) => retention::run(*flags, &bucket.objstore, world).await,
        BucketCommand::Verify(flags) => verify::run(*flags, &bucket.objstore, world).await,
        BucketCommand::Plan(flags) => plan::run(*flags, &bucket.objstore, world).await,
        BucketCommand::Ls(flags) => ls::run(*flags, &bucket.objstore, world).await,
        BucketCommand::Downsample(flags) => downsample::run(*flags, &bucket.objstore, world).await,
        BucketCommand::Inspect(flags) => inspect::run(*flags, &bucket.objstore, world).await,
        BucketCommand::Rewrite(flags) => rewrite::run(*flags, &bucket.objstore, world).await,
    }
}

/// Looks at the bucket once, within `timeout` milliseconds; says which folders are no whole blocks.
async fn look(bucket: &blockyard::bucket::Bucket, timeout: Millis, depth: Depth, world: &World) -> Result<Catalog> {
    if timeout < 60_000 {
        tracing::warn!("Timeout less than 1m could lead to frequent failures");
    }
    let mut syncer = Syncer::new(bucket.clone(), SyncOptions { depth, ..SyncOptions::default() });
    let limit = Duration::from_millis(u64::try_from(timeout).unwrap_or(0));
    let catalog = tokio::select! {
        done = tokio::time::timeout(limit, syncer.sync()) => done.map_err(|_| {
            Error::new(Kind::Unavailable, format!("the metas did not come within {}", text::duration(text::nanos(timeout))))
                .next("allow more with --timeout")
        })??,
        () = world.cancel.cancelled() => return Err(Error::new(Kind::Cancelled, "stopped")),
    };
    for (block, warning) in &catalog.warnings {
        match block {
            Some(id) => tracing::warn!(id = %id, "{warning}"),
            None => tracing::warn!("{warning}"),
        }
    }
    for partial in &catalog.partial {
        match &partial.why {
            PartialReason::NoMeta => tracing::debug!(id = %partial.id, "partial block: there is no meta.json"),
            PartialReason::Corrupt(why) => {
                tracing::warn!(id = %partial.id, err = %why, "corrupt block: its meta.json cannot be read")
            }
        }
    }
    Ok(catalog)
}

/// Columns that a page for people may have: those of the terminal, or 100.
pub(crate) fn columns() -> usize {
    terminal_size::terminal_size().map_or(100, |(terminal_size::Width(columns), _)| usize::from(columns))
}

/// Writes to standard output; a reader that went away is no error.
pub(crate) fn print(text: &str) -> Result<()> {
    use std::io::{ErrorKind, Write};
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Error::new(Kind::Unavailable, "cannot write the result").source(e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn every_flag_of_upstream_with_its_default() {
        let all: serde_json::Value = serde_json::from_str(include_str!("../../../testdata/surface/flags.json")).unwrap();
        let mut root = crate::Cli::command();
        root.build();
        let bucket = root.find_subcommand("tools").and_then(|tools| tools.find_subcommand("bucket")).unwrap();
        for (name, flags) in [("cleanup", 7), ("mark", 6), ("retention", 10), ("rewrite", 13)] {
            let ours = bucket.find_subcommand(name).unwrap();
            let theirs = all[format!("tools bucket {name}")].as_array().unwrap();
            assert_eq!(theirs.len(), flags);
            for flag in theirs {
                let long = flag["name"].as_str().unwrap();
                let argument = ours.get_arguments().find(|a| a.get_long() == Some(long)).unwrap_or_else(|| panic!("no --{long}"));
                assert_eq!(argument.get_action().takes_values(), flag["switch"].is_null(), "{name} --{long}");
                assert_eq!(
                    matches!(argument.get_action(), clap::ArgAction::Append),
                    flag["repeatable"] == true,
                    "{name} --{long}"
                );
                let shown = flag["shown_as"].as_str().unwrap_or_default();
                if !shown.is_empty() && !shown.starts_with('<') && shown != long.to_ascii_uppercase() {
                    let default: Vec<_> = argument.get_default_values().iter().map(|v| v.to_string_lossy()).collect();
                    assert_eq!(default, [shown.trim_matches('"')], "{name} --{long}");
                }
            }
        }
    }
}
