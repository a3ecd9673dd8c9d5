//! `blockyard compact`: passes over a bucket, once or for as long as the process runs.

mod flags;
mod http;
mod repeat;
mod serve;
mod turn;

use std::sync::Arc;

use blockyard::Result;
use blockyard::job::Env;
use blockyard::job::pass::{self, Engine, HashFunc, PassOptions, PassResult, VerifyOutput};
use blockyard::job::{forecast, lease};
use blockyard::model::Millis;
use blockyard::serve::compactor::Compactor;

pub(crate) use flags::Flags;
use serve::Served;

use crate::exit::Exit;
use crate::memory;
use crate::world::World;

/// One pass, a dry run of one, or passes until a signal comes.
///
/// # Errors
/// `Invalid` before anything is begun; what ended a pass as a whole. A group that failed is no error here:
/// its messages were reported, and the exit code tells.
pub(crate) async fn run(flags: Flags, world: &World) -> Result<Exit> {
    let options = flags.options(world.clock.now())?;
    if flags.dry_run {
        let env = world.env(flags.objstore.open().await?, &flags.data_dir);
        let forecast = forecast::look(&env, &options, flags.prices.given()).await?;
        crate::tools::print(&forecast.to_text(crate::tools::columns()))?;
        return Ok(Exit::Done);
    }
    if options.range_divisor != 1 {
        let divisor = options.range_divisor;
        tracing::warn!(divisor, "all ranges are divided, which is for tests: this is no bucket that anybody needs");
    }
    let served = Served::start(&flags, world)?;
    let env = served.env(world, flags.objstore.open().await?, &flags);
    let surface = Arc::clone(&served.surface);
    let work = async |env: &Env| match flags.wait {
        true => repeat::repeat(&flags, env, &surface).await,
        false => once(env, &options, &surface).await,
    };
    let alone = async {
        match flags.no_lease {
            true => work(&env).await,
            false => turn::in_turn(&flags, &env, &lease::shard(&options.relabel, options.shard), work).await,
        }
    };
    served.around(&flags, &env.cancel, alone).await
}

/// One pass, with a summary for people.
async fn once(env: &Env, options: &PassOptions, surface: &Compactor) -> Result<Exit> {
    let result = pass::run(env, options, &Engine).await;
    surface.pass_over(&result);
    let result = result?;
    for done in &result.compacted {
        match done.output {
            Some(block) => println!("{} blocks became block {block}", done.inputs.len()),
            None => println!("{} blocks held no samples and became none", done.inputs.len()),
        }
    }
    for done in &result.downsampled {
        print!("{}", crate::tools::downsampled(done));
    }
    result.retention.marked.iter().for_each(|expired| println!("{expired}"));
    result.retention.held.iter().for_each(|held| println!("{held}"));
    log(&result);
    println!("{}", summary(&result));
    Ok(if result.is_clean() { Exit::Done } else { Exit::Failed })
}

fn summary(result: &PassResult) -> String {
    let many = |n: usize, one: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") };
    let failed = result.errors.iter().filter(|e| e.tried).count();
    let left_alone = result.errors.len() - failed;
    let mut parts = vec![many(result.compacted.len(), "compaction")];
    let further = [
        (result.downsampled.len(), "block", " downsampled"),
        (result.not_downsampled.len(), "block", " not downsampled: the messages say why"),
        (result.marked.len(), "block", " marked no-compact"),
        (result.garbage.len(), "duplicate", " marked for deletion"),
        (result.retention.marked.len(), "block", " expired"),
        (result.retention.held.len(), "expired block", " held until downsampled"),
        (result.deleted.len(), "block", " deleted"),
        (result.uploads, "unfinished upload", " ended"),
        (failed, "group", " failed: the messages say why"),
        (left_alone, "group", " left alone since it failed before: the messages say why and what to do"),
        (result.postponed.len(), "job", " postponed for want of memory or disk: the messages say how much"),
        (result.clean_errors.len(), "block", " not cleaned up"),
        (result.retention.brakes.len(), "reason", " not to mark what has expired: the messages say why"),
        (result.retention.errors.len(), "block", " not marked though expired"),
    ];
    parts.extend(further.into_iter().filter(|&(n, ..)| n > 0).map(|(n, one, what)| many(n, one) + what));
    format!("pass done: {}", parts.join(", "))
}

fn log(result: &PassResult) {
    let seen: Vec<String> =
        result.states.iter().filter(|&(_, &n)| n > 0).map(|(state, n)| format!("{}={n}", state.as_str())).collect();
    let groups: Vec<String> = result.standings.iter().map(|(standing, n)| format!("{}={n}", standing.as_str())).collect();
    tracing::info!(
        compactions = result.compacted.len(),
        downsampled = result.downsampled.len(),
        marked_no_compact = result.marked.len(),
        duplicates = result.garbage.len(),
        expired = result.retention.marked.len(),
        held = result.retention.held.len(),
        deleted = result.deleted.len(),
        failed_groups = result.errors.iter().filter(|e| e.tried).count(),
        groups = groups.join(","),
        failed_downsamplings = result.not_downsampled.len(),
        postponed = result.postponed.len(),
        rounds = result.rounds,
        blocks = seen.join(","),
        "pass done"
    );
}

impl Flags {
    /// What a pass that begins at `now` is told.
    ///
    /// # Errors
    /// `Invalid` for flags that make no sense together or name what this version does not have;
    /// `NotFound`, `Denied` for a file that cannot be read.
    pub(crate) fn options(&self, now: Millis) -> Result<PassOptions> {
        let options = PassOptions {
            concurrency: self.concurrency,
            memory_budget: match self.memory_budget.or_else(memory::budget) {
                None | Some(0) => u64::MAX,
                Some(bytes) => bytes,
            },
            hash_func: if self.hash_func == "SHA256" { HashFunc::Sha256 } else { HashFunc::None },
            verify_output: if self.verify_output == "readback" { VerifyOutput::ReadBack } else { VerifyOutput::Sent },
            skip_out_of_order: self.skip_out_of_order,
            accept_malformed_index: self.accept_malformed_index,
            quarantine: !self.halt_on_error,
            back_off: self.wait,
            downsample_concurrency: self.downsample_concurrency,
            ..self.planning.options(now)?
        };
        options.check()?;
        Ok(options)
    }
}
