//! What the values of flags mean, as Thanos reads them, and flags that several commands share.
//!
//! Switches may be written `--x` and `--no-x`; every other flag takes `--x=value` or `--x value`.

mod content;
mod global;
mod planning;
mod prices;
mod retention;
mod value;

pub(crate) use content::{Backup, Objstore, Selector, read_content, read_expanded};
pub(crate) use global::Global;
pub(crate) use planning::Planning;
pub(crate) use prices::Prices;
pub(crate) use retention::Retention;
pub(crate) use value::{TimeOrAgo, bytes, count, go_duration, label_names, prom_duration};

use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command};

/// What is given; ends the process for who asks for help, or is wrong. As with Thanos, who asks for help gets it
/// beside values that make no sense.
pub(crate) fn matches(command: &Command, arguments: Vec<OsString>) -> ArgMatches {
    let is_help = |argument: &OsString| argument == "--help" || argument == "-h";
    match command.clone().try_get_matches_from(&arguments) {
        Ok(matches) => matches,
        Err(error) if error.kind() == ErrorKind::ValueValidation && arguments.iter().any(is_help) => {
            let words = arguments.iter().filter(|a| !a.to_string_lossy().starts_with('-') || is_help(a));
            command.clone().get_matches_from(words)
        }
        Err(error) => error.exit(),
    }
}

/// Flags whose value may hold secrets.
const SECRET: [&str; 2] = ["objstore.config", "objstore.config-file"];

/// Every flag of a subcommand with its value as it was written or is by default, for whoever asks a server.
pub(crate) fn shown(command: &Command, matches: &ArgMatches) -> BTreeMap<String, String> {
    let Some((name, matches)) = matches.subcommand() else { return BTreeMap::new() };
    let Some(command) = command.find_subcommand(name) else { return BTreeMap::new() };
    let value = |arg: &Arg| -> Option<(String, String)> {
        let name = arg.get_long()?;
        let negates = name.starts_with("no-");
        if negates || matches!(name, "help" | "version") {
            return None;
        }
        let values = matches.try_get_raw(arg.get_id().as_str()).ok()?;
        let values: Vec<String> = values.into_iter().flatten().map(|v| v.to_string_lossy().into_owned()).collect();
        let text = if SECRET.contains(&name) { "<REDACTED>".to_owned() } else { values.join(",") };
        Some((name.to_owned(), text))
    };
    command
        .get_arguments()
        .filter(|arg| !arg.is_global_set() || SECRET.contains(&arg.get_long().unwrap_or_default()))
        .filter_map(value)
        .collect()
}

/// Adds the `--no-x` of every switch `--x`, hidden, down the tree of commands.
///
/// A switch that is on by default has its `--no-x` declared where it is read.
pub(crate) fn with_negations(mut command: Command) -> Command {
    let long: Vec<String> = command.get_arguments().filter_map(|a| a.get_long().map(str::to_owned)).collect();
    let switches: Vec<(String, String, bool)> = command
        .get_arguments()
        .filter(|a| matches!(a.get_action(), ArgAction::SetTrue))
        .filter_map(|a| Some((a.get_id().to_string(), a.get_long()?.to_owned(), a.is_global_set())))
        .filter(|(_, name, _)| !long.contains(&format!("no-{name}")) && !name.starts_with("no-"))
        .collect();
    for (id, name, global) in switches {
        let negated = format!("no-{name}");
        let arg = Arg::new(negated.clone()).long(negated).action(ArgAction::SetTrue).hide(true).global(global);
        command = command.arg(arg.conflicts_with(id));
    }
    let below: Vec<String> = command.get_subcommands().map(|c| c.get_name().to_owned()).collect();
    for name in below {
        command = command.mut_subcommand(name, with_negations);
    }
    command
}
