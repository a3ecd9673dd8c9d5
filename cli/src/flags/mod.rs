//! What the values of flags mean, as Thanos reads them, and flags that several commands share.
//!
//! Switches may be written `--x` and `--no-x`; every other flag takes `--x=value` or `--x value`.

mod content;
mod global;
mod retention;
mod value;

pub(crate) use content::{Backup, Objstore, Selector, read_content, read_expanded};
pub(crate) use global::Global;
pub(crate) use retention::Retention;
pub(crate) use value::{TimeOrAgo, bytes, count, go_duration, label_names, prom_duration};

use clap::{Arg, ArgAction, Command};

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
