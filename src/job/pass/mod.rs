//! One pass over a bucket: look, clean, plan, compact, downsample, until nothing is left to do.
//!
//! *Order*: blocks whose deletion is due go first, then duplicates are marked, then work begins (`work`): jobs are
//! taken from all groups, and several from one where they do not touch; what takes most blocks away for a byte goes
//! first (`queue`), as long as there is memory and disk for it (`room`). A block is downsampled when nothing of
//! its labels is left to compact. At last partial uploads and unfinished ones are cleaned.
//!
//! A compaction whose block would be downsampled in the same pass makes the coarser blocks on the way.

mod beside;
mod downsample;
mod hold;
mod options;
mod queue;
mod room;
mod run;
mod step;
mod work;

pub use crate::job::compact::{HashFunc, VerifyOutput};
pub use beside::Beside;
pub(crate) use downsample::Ahead;
pub(crate) use hold::Holds;
pub use options::{Dedup, Discovery, MAX_LEVEL, PassOptions, RANGES};
pub(crate) use run::syncer;
pub use run::{Compacted, Compactor, Engine, GroupError, PassResult, Postponed, run};

#[cfg(test)]
mod tests;
