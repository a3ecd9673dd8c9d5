//! `tools bucket downsample`: makes the blocks of five minutes and of an hour that are due, again and again.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use blockyard::job::downsample::{self, BucketDownsampling, DownsampleOptions, Downsampled, SeriesPolicy};
use blockyard::job::pass::HashFunc;
use blockyard::model::Millis;
use blockyard::{Error, Kind, Result};
use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::exit::Exit;
use crate::flags::{Objstore, count, go_duration, prom_duration};
use crate::world::World;

/// Flags of `tools bucket downsample`.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// Print what one run would do, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Pause between two runs; 0s runs once
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = go_duration)]
    wait_interval: Millis,
    /// How many blocks are downsampled at a time; one already uses all cores
    #[arg(long = "downsample.concurrency", value_name = "N", default_value = "1", value_parser = count)]
    concurrency: usize,
    /// Which series are downsampled: a selector for those that are, or behind ! for those that are not; the
    /// first that matches decides. Repeatable. Nothing else says which data there is: what is left out is
    /// not made later
    #[arg(long = "downsample.filter", value_name = "SELECTOR")]
    filter: Vec<String>,
    /// Folder for scratch files; it may be emptied between runs
    #[arg(long, value_name = "DIR", default_value = "./data")]
    data_dir: PathBuf,
    /// Hash of every file in meta.json: "" for none, or "SHA256"
    #[arg(long, value_name = "NAME", default_value = "", value_parser = PossibleValuesParser::new(["", "SHA256"]))]
    hash_func: String,
    #[command(flatten)]
    unused: Unused,
}

/// Flags of upstream that have nothing to set here.
#[derive(Args, Debug)]
#[command(next_help_heading = "Read, without effect in this version")]
struct Unused {
    /// How many objects of a block are moved at a time; reads and writes are pipelined instead
    #[arg(long, value_name = "N", default_value = "1", value_parser = count)]
    block_files_concurrency: usize,
    /// Address of the HTTP server
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:10902")]
    http_address: String,
    /// How long HTTP requests may take to end
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = prom_duration)]
    http_grace_period: Millis,
    /// File with TLS and authentication of the HTTP server
    #[arg(long = "http.config", value_name = "PATH", default_value = "")]
    http_config: String,
}

/// Runs until a signal comes, a block fails, or once.
///
/// # Errors
/// `Invalid` before anything is begun; a bucket that cannot be looked at, but for one that is unavailable
/// between two runs.
pub(crate) async fn run(flags: Flags, objstore: &Objstore, world: &World) -> Result<Exit> {
    let policy = SeriesPolicy::parse(&flags.filter)?;
    let env = world.env(objstore.open().await?, &flags.data_dir);
    let options = DownsampleOptions {
        concurrency: flags.concurrency,
        hash_func: if flags.hash_func == "SHA256" { HashFunc::Sha256 } else { HashFunc::None },
        policy,
        ..DownsampleOptions::default()
    };
    if flags.dry_run {
        super::print(&downsample::dry_run(&env, &options).await?.to_string())?;
        return Ok(Exit::Done);
    }
    let pause = Duration::from_millis(flags.wait_interval.max(0).unsigned_abs());
    loop {
        match downsample::run(&env, &options).await {
            Ok(result) => {
                super::print(&told(&result))?;
                if !result.failed.is_empty() {
                    return Ok(Exit::Failed);
                }
            }
            Err(error) if error.kind() == Kind::Unavailable && !pause.is_zero() => {
                tracing::error!(kind = error.kind().as_str(), err = %error, "run failed, the next one tries again");
            }
            Err(error) => return Err(error),
        }
        if pause.is_zero() {
            return Ok(Exit::Done);
        }
        tracing::info!(seconds = pause.as_secs_f64(), "waiting for the next run");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = env.cancel.cancelled() => return Err(Error::new(Kind::Cancelled, "asked to stop")),
        }
    }
}

fn told(result: &BucketDownsampling) -> String {
    let mut out: String = result.downsampled.iter().map(downsampled).collect();
    let blocks = |n: usize| if n == 1 { "1 block".to_owned() } else { format!("{n} blocks") };
    let _ = write!(out, "looked at {}: {} downsampled", blocks(result.blocks), result.downsampled.len());
    match result.failed.len() {
        0 => out.push('\n'),
        n => {
            let _ = writeln!(out, ", {n} failed: the messages say why");
        }
    }
    out
}

/// What became of a block, a line for each one that was made of it.
pub(crate) fn downsampled(done: &Downsampled) -> String {
    if done.written.is_empty() {
        return format!("block {} held no samples to downsample\n", done.source);
    }
    let made = done.written.iter().map(|meta| {
        let level = downsample::name(meta.resolution());
        format!("block {} downsampled to {level}: block {}, {} series\n", done.source, meta.ulid, meta.stats.num_series)
    });
    made.collect()
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches};

    use crate::Cli;

    #[test]
    fn flags_of_upstream_with_their_defaults() {
        let mut root = crate::flags::with_negations(Cli::command());
        root.build();
        let matches = root.try_get_matches_from(["blockyard", "tools", "bucket", "downsample", "--downsample.filter=!{a=\"b\"}"]);
        let crate::Command::Tools(super::super::Tools::Bucket(bucket)) =
            Cli::from_arg_matches(&matches.unwrap()).unwrap().command
        else {
            panic!("another command")
        };
        let super::super::BucketCommand::Downsample(flags) = bucket.command else { panic!("another tool") };
        assert_eq!((flags.wait_interval, flags.concurrency, flags.unused.block_files_concurrency), (300_000, 1, 1));
        assert_eq!((flags.data_dir.to_str(), &*flags.hash_func), (Some("./data"), ""));
        assert_eq!(flags.filter, ["!{a=\"b\"}"]);
    }
}
