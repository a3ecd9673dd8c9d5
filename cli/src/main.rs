//! The `blockyard` command: flags to library values, values to exit codes.

mod compact;
mod demo;
mod exit;
mod flags;
mod log;
mod memory;
mod progress;
mod tools;
mod world;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use blockyard::{Error, Kind, Result};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use indicatif::MultiProgress;
use tokio::signal::unix::{SignalKind, signal};

use exit::Exit;
use progress::Progress;
use world::World;

/// Keeps Prometheus blocks in object storage: compacts, verifies and inspects them, as a drop-in for Thanos.
#[derive(Parser, Debug)]
#[command(name = "blockyard", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    global: flags::Global,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Every switch --x has a --no-x.

Exit codes:
  0    done
  1    something could not be done, or a check found something: the messages name it
  2    flags or configuration make no sense; nothing was begun
  130  stopped at a clean point by SIGINT; 143 by SIGTERM. A second signal ends at once";

#[derive(Subcommand, Debug)]
enum Command {
    /// Compact the blocks of a bucket
    #[command(after_help = EXIT_CODES)]
    Compact(Box<compact::Flags>),
    /// Make a bucket of real blocks in a new folder, compact it, verify it, show it
    Demo(demo::Flags),
    /// Tools for people who look after a bucket
    #[command(subcommand)]
    Tools(tools::Tools),
}

fn main() -> ExitCode {
    memory::few_heaps(std::thread::available_parallelism().map_or(1, usize::from));
    let command = flags::with_negations(Cli::command());
    let matches = flags::matches(&command, std::env::args_os().collect());
    let mut cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    if let Command::Compact(compact) = &mut cli.command {
        compact.http.shown = flags::shown(&command, &matches);
    }
    let for_people = std::io::stderr().is_terminal() && cli.global.log_format == log::Format::Logfmt;
    let bars = for_people.then(MultiProgress::new);
    // a stranger wants results, not log lines
    let level = match (&cli.command, cli.global.log_level) {
        (Command::Demo(_), log::Filter::Info) => log::Filter::Warn,
        (_, level) => level,
    };
    log::start(level, cli.global.log_format, cli.global.debug_name.clone(), bars.clone());
    let exit = start(cli, Progress::new(bars)).unwrap_or_else(|error| {
        if for_people {
            eprintln!("error: {error}");
        } else {
            tracing::error!(kind = error.kind().as_str(), err = %error, "command failed");
        }
        Exit::from(&error)
    });
    ExitCode::from(exit.code())
}

fn start(cli: Cli, progress: Progress) -> Result<Exit> {
    for warning in cli.global.warnings()? {
        tracing::warn!("{warning}");
    }
    let world = World::new(cli.global.threads, Arc::new(progress))?;
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|e| Error::new(Kind::Unavailable, "cannot start the threads that wait for the bucket").source(e))?;
    let done = runtime.block_on(async {
        let number = Arc::new(AtomicU8::new(0));
        let stop = signals(Arc::clone(&number), world.cancel.clone())?;
        let exit = run(cli.command, &world).await;
        stop.abort();
        match (number.load(Ordering::SeqCst), exit) {
            (0, exit) => exit,
            (number, Ok(_)) => Ok(Exit::Signal(number)),
            (number, Err(error)) if error.kind() == Kind::Cancelled => Ok(Exit::Signal(number)),
            (_, error) => error,
        }
    });
    // work on blocking threads has nothing left to say
    runtime.shutdown_background();
    done
}

async fn run(command: Command, world: &World) -> Result<Exit> {
    match command {
        Command::Compact(flags) => compact::run(*flags, world).await,
        Command::Demo(flags) => demo::run(flags, world).await,
        Command::Tools(tools) => tools::run(tools, world).await,
    }
}

/// Runs a command by its arguments in this process, with the log lines and the pool that are there already.
pub(crate) async fn run_arguments(arguments: &[&str], world: &World) -> Result<Exit> {
    let invalid = |e: clap::Error| Error::new(Kind::Invalid, e.to_string());
    let command = flags::with_negations(Cli::command());
    let matches = command.try_get_matches_from(std::iter::once(&"blockyard").chain(arguments)).map_err(invalid)?;
    run(Cli::from_arg_matches(&matches).map_err(invalid)?.command, world).await
}

/// Cancels on the first SIGINT or SIGTERM and keeps its number; ends the process on the second.
fn signals(number: Arc<AtomicU8>, cancel: tokio_util::sync::CancellationToken) -> Result<tokio::task::JoinHandle<()>> {
    let listen = |kind| signal(kind).map_err(|e| Error::new(Kind::Unavailable, "cannot listen for signals").source(e));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    Ok(tokio::spawn(async move {
        loop {
            let (name, got) = tokio::select! {
                _ = interrupt.recv() => ("SIGINT", 2),
                _ = terminate.recv() => ("SIGTERM", 15),
            };
            if number.swap(got, Ordering::SeqCst) != 0 {
                #[allow(clippy::disallowed_methods)] // this is main.rs: who asks twice does not want to wait
                std::process::exit(i32::from(Exit::Signal(got).code()));
            }
            tracing::info!(signal = name, "caught signal, stopping at the next clean point");
            cancel.cancel();
        }
    }))
}
