//! `blockyard demo`: a bucket of real blocks in a new folder, compacted, verified and shown.
//!
//! Every step but the first is a command that the user can type again; the demo prints it, then runs
//! it in this process.

mod bucket;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use blockyard::clock::Clock;
use blockyard::model::Millis;
use blockyard::{Error, Kind, Result};
use clap::Args;

use crate::exit::Exit;
use crate::world::World;

/// Flags of `blockyard demo`.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// Folder to make; one that an earlier demo made is made anew, any other is left alone
    #[arg(long, default_value = "./blockyard-demo")]
    dir: PathBuf,

    /// Folder with the blocks to begin with: testdata/demo of the source code
    #[arg(long)]
    from: Option<PathBuf>,
}

/// When the demo's blocks were made, and an hour: no clock of the demo is behind that.
const BLOCKS_ARE_THERE: Millis = 1_795_224_000_000; // 2026-11-21T01:20:00Z

/// The machine's clock, unless that is behind the blocks, which would then be too fresh to touch.
struct DemoClock(Arc<dyn Clock>);

impl Clock for DemoClock {
    fn now(&self) -> Millis {
        self.0.now().max(BLOCKS_ARE_THERE)
    }

    fn chance(&self) -> u128 {
        self.0.chance()
    }
}

/// Makes the bucket and runs the commands on it.
///
/// # Errors
/// `Invalid` for a folder that the demo did not make, `NotFound` when there are no blocks to begin with;
/// whatever a command reports.
pub(crate) async fn run(flags: Flags, world: &World) -> Result<Exit> {
    let from = source(flags.from.as_deref())?;
    let world = World { clock: Arc::new(DemoClock(Arc::clone(&world.clock))), ..world.clone() };
    let made = bucket::make(&flags.dir, &from).await?;
    println!(
        "{} blocks of three Prometheus servers ({}) are in {}, a bucket of type FILESYSTEM.\n\
         Two servers are a pair (cluster=eu1, replicas a and b), one is alone (cluster=us1).",
        made.blocks,
        indicatif::BinaryBytes(made.bytes),
        flags.dir.join("bucket").display(),
    );

    let config = format!("--objstore.config-file={}", made.config.display());
    let data = format!("--data-dir={}", flags.dir.join("data").display());
    let inspect = ["tools", "bucket", "inspect", &config];
    let steps: [(&str, &[&str]); 4] = [
        ("What the bucket holds:", &inspect),
        (
            "One compaction pass. It joins the 10-minute blocks of each server; the sources are marked and go in 48 hours.\n\
             The two small blocks after midnight stay: their 2-hour window is still open.",
            &["compact", &config, &data, "--consistency-delay=0s", "--downsampling.disable", "--http-address="],
        ),
        (
            "Every block that is not marked is checked to the last byte, and every sample decoded:",
            &["tools", "bucket", "verify", &config, "--issues=all"],
        ),
        (
            "The bucket afterwards. Each server has one new block of level 2; its sources are listed until they are deleted:",
            &inspect,
        ),
    ];
    for (about, arguments) in steps {
        println!("\n{about}\n\n  $ blockyard {}\n", arguments.join(" "));
        let exit = Box::pin(crate::run_arguments(arguments, &world)).await?;
        if exit != Exit::Done {
            println!("\nThe demo stops here: this command should have ended well.");
            return Ok(exit);
        }
    }

    println!(
        "\nDone. The bucket is in {dir}; delete that folder when you have seen enough.\nTry next:\n\n\
         \x20 $ blockyard compact --dry-run {config} --consistency-delay=0s --downsampling.disable\n\
         \x20 $ blockyard tools bucket ls -o wide {config}\n\
         \x20 $ blockyard tools bucket inspect --help\n\n\
         For your own bucket put your bucket.yml in the place of this one. In a checkout that was not installed,\n\
         write cargo run --release -- instead of blockyard.",
        dir = flags.dir.display(),
    );
    Ok(Exit::Done)
}

/// The folder with the blocks to begin with: as told, or where this program was built, or here.
fn source(told: Option<&Path>) -> Result<PathBuf> {
    const BUILT_AT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/demo");
    let places = match told {
        Some(told) => vec![told.to_owned()],
        None => vec![PathBuf::from("testdata/demo"), PathBuf::from(BUILT_AT)],
    };
    places.into_iter().find(|place| place.join("a1").is_dir()).ok_or_else(|| {
        Error::new(Kind::NotFound, "the demo's blocks are not here: they are in testdata/demo of the source code")
            .next("run the demo in a checkout, or give --from=PATH of that folder")
    })
}
