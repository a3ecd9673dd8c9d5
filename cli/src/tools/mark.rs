//! `tools bucket mark`: puts a mark on blocks, or takes it away.

use std::path::Path;

use blockyard::job::mark::{self, Marked, Marker};
use blockyard::model::BlockId;
use blockyard::{Error, Kind, Result};
use clap::Args;

use crate::exit::Exit;
use crate::flags::Objstore;
use crate::world::World;

/// Flags of `tools bucket mark`.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// ID (ULID) of a block, repeatable
    #[arg(long, value_name = "ULID", required = true)]
    id: Vec<String>,
    /// The mark: deletion-mark.json, no-compact-mark.json or no-downsample-mark.json
    #[arg(long, value_name = "MARKER", value_parser = marker)]
    marker: Marker,
    /// Why, for people; goes into the mark
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    details: String,
    /// Take the mark away
    #[arg(long)]
    remove: bool,
}

fn marker(name: &str) -> std::result::Result<Marker, String> {
    let all = Marker::ALL.map(Marker::file);
    Marker::ALL
        .into_iter()
        .find(|m| m.file() == name)
        .ok_or_else(|| format!("not supported marker {name}, use one of {}", all.join(", ")))
}

/// Marks all of the blocks, or none when one of them is not there.
pub(crate) async fn run(flags: Flags, objstore: &Objstore, world: &World) -> Result<Exit> {
    let invalid = |what: String| Error::new(Kind::Invalid, what);
    let ids = flags
        .id
        .iter()
        .map(|text| text.parse::<BlockId>().map_err(|why| invalid(format!("block.id is not a valid UUID, got: {text} ({why})"))));
    let ids = ids.collect::<Result<Vec<_>>>()?;
    if !flags.remove && flags.details.is_empty() {
        return Err(invalid("required flag --details not provided".to_owned()).next("say in --details why you mark these blocks"));
    }
    let env = world.env(objstore.open().await?, Path::new("."));
    let file = flags.marker.file();
    let lines: Vec<String> = if flags.remove {
        let removed = mark::remove(&env, flags.marker, &ids).await?;
        let line = |(id, removed): (&BlockId, bool)| match removed {
            true => format!("{id}: {file} removed\n"),
            false => {
                tracing::warn!(id = %id, "requested to remove the mark, but there is no {file}");
                format!("{id}: there was no {file}\n")
            }
        };
        ids.iter().zip(removed).map(line).collect()
    } else {
        let marked = mark::put(&env, flags.marker, &ids, &flags.details).await?;
        let line = |(id, marked): (&BlockId, Marked)| match marked {
            Marked::Written => format!("{id}: {file} written\n"),
            Marked::Already => {
                tracing::warn!(id = %id, "requested to mark, but there is a {file} already: it stays as it is");
                format!("{id}: there was a {file} already, it stays as it is\n")
            }
            Marked::NoBlock => format!("{id}: the block is gone, nothing was written\n"),
        };
        ids.iter().zip(marked).map(line).collect()
    };
    super::print(&lines.concat())?;
    tracing::info!(marker = file, IDs = flags.id.join(","), "marking done");
    Ok(Exit::Done)
}
