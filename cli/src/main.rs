//! The `blockyard` command: flags to library values, values to exit codes.

#[allow(dead_code)] // likewise
mod exit;
#[allow(dead_code, unused_imports)] // values that the first command is about to read
mod flags;
mod tools;
#[allow(dead_code)] // likewise
mod world;

use std::process::ExitCode;
use std::sync::Arc;

use blockyard::job::Silent;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use exit::Exit;
use world::World;

/// Keeps Prometheus blocks in object storage: compacts, verifies and inspects them, as a drop-in for Thanos.
#[derive(Parser, Debug)]
#[command(name = "blockyard", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Tools for people who look after a bucket
    #[command(subcommand)]
    Tools(tools::Tools),
}

fn main() -> ExitCode {
    let command = flags::with_negations(Cli::command());
    let cli = match Cli::from_arg_matches(&command.get_matches()) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = World::new(0, Arc::new(Silent)).and_then(|world| {
        runtime.block_on(async {
            match cli.command {
                Command::Tools(tools) => tools::run(tools, &world).await,
            }
        })
    });
    let exit = done.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        Exit::from(&error)
    });
    ExitCode::from(exit.code())
}
