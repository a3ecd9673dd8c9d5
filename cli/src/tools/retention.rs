//! `tools bucket retention`: marks blocks for deletion that are older than their retention.

use std::path::PathBuf;

use blockyard::Result;
use blockyard::job::downsample::Empties;
use blockyard::job::pass::PassOptions;
use blockyard::job::retain::{self, Retained, RetentionPlan};
use clap::Args;

use super::selected::{Selected, look};
use crate::exit::Exit;
use crate::flags::{Objstore, Retention};
use crate::world::World;

/// Flags of `tools bucket retention`.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    #[command(flatten)]
    selected: Selected,
    #[command(flatten)]
    retention: Retention,
    /// Hold expired blocks of which a compactor is still to make coarser samples that are kept, as `compact` does
    #[arg(long = "retention.hold")]
    hold: bool,
    /// Print what would be marked, and mark nothing
    #[arg(long)]
    dry_run: bool,
    /// Folder that keeps how much was ever marked; that of the compactor will do
    #[arg(long, value_name = "DIR", default_value = "./data")]
    data_dir: PathBuf,
}

/// Marks, and prints what expired, what is held, and what stopped it.
pub(crate) async fn run(flags: Flags, objstore: &Objstore, world: &World) -> Result<Exit> {
    let mut options = PassOptions { downsampling: flags.hold, ..flags.selected.options()? };
    flags.retention.apply(&mut options)?;
    options.check()?;
    if !options.retains() {
        tracing::warn!("no retention is set: every block is kept for ever");
    }
    let env = world.env(objstore.open().await?, &flags.data_dir);
    let (_, mut selection) = look(&env, &options).await?;
    if !flags.hold {
        let careful = PassOptions { downsampling: true, ..options.clone() };
        let empties = Empties::read(&env.scratch, None);
        let lost = retain::plan_knowing(&selection.blocks, &careful, env.clock.now(), &empties);
        let lost = lost.held.len() + lost.expired.iter().filter(|e| e.lost.is_some()).count();
        if lost > 0 {
            tracing::warn!(
                blocks = lost,
                "expired blocks have no coarser samples yet that would be kept; --retention.hold waits for them"
            );
        }
    }
    if flags.dry_run {
        let plan = retain::look(&env, &selection.blocks, &options).await?;
        super::print(&said(&plan))?;
        return Ok(Exit::Done);
    }
    tracing::warn!("no compactor should run on the same bucket meanwhile");
    let mut retained = Retained::default();
    retain::run(&env, &mut selection.blocks, &options, &mut retained).await;
    let clean = retained.is_clean();
    let Retained { marked, held, brakes, .. } = retained;
    super::print(&said(&RetentionPlan { expired: marked, held, brakes, ..RetentionPlan::default() }))?;
    Ok(if clean { Exit::Done } else { Exit::Failed })
}

fn said(plan: &RetentionPlan) -> String {
    let text = plan.to_string();
    if text.is_empty() { "retention: nothing has expired\n".to_owned() } else { text }
}
