//! Deleting series, or times of them, and relabelling series, in blocks that already lie in the bucket.
//!
//! The plan names the blocks: those that were asked for, and those that were downsampled from them, so that a deleted
//! series is gone at every resolution. Each is streamed through the pipeline into a new block. Blocks that an earlier run
//! of the same request rewrote are recognised by the `rewrites` section of the new block, so a run that was stopped goes
//! on where it was.
//!
//! *Source*: Thanos `cmd/thanos/tools_bucket.go` (`rewrite`), `pkg/compactv2`.

mod changes;
mod naming;
mod notes;
mod plan;
mod request;
mod run;
mod survey;

pub use changes::LogWriter;
pub use plan::{Choice, DoneBlock, Plan, PlannedBlock, plan};
pub use request::{Deletion, Request, parse_deletions};
pub use run::{Fate, Options, Rewritten, run};
pub use survey::{Affected, survey};

#[cfg(test)]
mod tests;
