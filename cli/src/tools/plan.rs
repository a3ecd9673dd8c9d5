//! `tools bucket plan`: what a compactor with these flags will do, what it costs, what it will not do and why.

use std::path::PathBuf;

use blockyard::job::forecast;
use blockyard::{Error, Kind, Result};
use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::exit::Exit;
use crate::flags::{Objstore, Planning, Prices};
use crate::world::World;

/// Flags of `tools bucket plan`.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// `table` for people, or `json` with every block
    #[arg(short, long, value_name = "FORMAT", default_value = "table", value_parser = PossibleValuesParser::new(["table", "json"]))]
    output: String,

    #[command(flatten)]
    planning: Planning,

    #[command(flatten)]
    prices: Prices,

    /// Folder of the compactor, whose finished jobs say how quick the next ones will be; nothing is written to it
    #[arg(long, value_name = "DIR", default_value = "./data")]
    data_dir: PathBuf,
}

/// Looks, and prints.
pub(crate) async fn run(flags: Flags, objstore: &Objstore, world: &World) -> Result<Exit> {
    let options = flags.planning.options(world.clock.now())?;
    let env = world.env(objstore.open().await?, &flags.data_dir);
    let forecast = forecast::look(&env, &options, flags.prices.given()).await?;
    let text = match flags.output.as_str() {
        "json" => serde_json::to_string_pretty(&forecast)
            .map_err(|e| Error::new(Kind::Invalid, "the plan has a number that JSON does not have").source(e))?,
        _ => forecast.to_text(super::columns()),
    };
    super::print(&text)?;
    if !text.ends_with('\n') {
        super::print("\n")?;
    }
    Ok(Exit::Done)
}
