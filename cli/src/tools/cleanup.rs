//! `tools bucket cleanup`: deletes what is marked and due, and uploads that were given up.

use std::path::Path;

use blockyard::Result;
use blockyard::job::clean;
use clap::Args;

use super::selected::{Selected, look};
use crate::exit::Exit;
use crate::flags::Objstore;
use crate::world::World;

/// Flags of `tools bucket cleanup`.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    #[command(flatten)]
    selected: Selected,
    /// Print what would be deleted, and delete nothing
    #[arg(long)]
    dry_run: bool,
}

/// Deletes, and prints what was deleted.
pub(crate) async fn run(flags: Flags, objstore: &Objstore, world: &World) -> Result<Exit> {
    let options = flags.selected.options()?;
    options.check()?;
    let env = world.env(objstore.open().await?, Path::new("."));
    let (catalog, selection) = look(&env, &options).await?;
    let now = env.clock.now();
    let mut planned = clean::due(&selection, &catalog, options.delete_delay, now);
    planned.extend(clean::given_up(&catalog, now));
    let waiting = selection.marked.len() - planned.iter().filter(|d| selection.marked.iter().any(|b| b.id == d.block)).count();
    if flags.dry_run {
        let lines: String = planned.iter().map(|deletion| format!("{deletion}\n")).collect();
        super::print(&format!("{lines}plan: {} deletions, {waiting} marked blocks wait for their delay\n", planned.len()))?;
        return Ok(Exit::Done);
    }
    let mut cleaned = clean::run(&env, &catalog, &planned).await;
    let unfinished = clean::unfinished_uploads(&env).await;
    cleaned.errors.extend(unfinished.errors);
    for error in &cleaned.errors {
        tracing::error!(err = %error, "not cleaned");
    }
    let done: String = planned.iter().filter(|d| cleaned.deleted.contains(&d.block)).map(|d| format!("{d}\n")).collect();
    super::print(&format!(
        "{done}cleanup done: {} deleted, {} unfinished uploads ended, {waiting} marked blocks wait for their delay\n",
        cleaned.deleted.len(),
        unfinished.uploads
    ))?;
    Ok(if cleaned.errors.is_empty() { Exit::Done } else { Exit::Failed })
}
