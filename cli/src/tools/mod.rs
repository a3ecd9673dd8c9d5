//! `blockyard tools`: commands for people who look after a bucket.

use blockyard::Result;
use clap::{Args, Subcommand};

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
pub(crate) enum BucketCommand {}

/// Runs one of the tools.
pub(crate) async fn run(tools: Tools, _world: &World) -> Result<Exit> {
    let Tools::Bucket(bucket) = tools;
    match bucket.command {}
}
