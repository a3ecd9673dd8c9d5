//! One pass over a bucket: look, clean, plan, compact, until nothing is left to do.
//!
//! *Order*, as upstream's: blocks whose deletion is due go first, then duplicates are marked, then every group
//! makes one step, some groups at a time; this repeats until no group has a step left. Then what is due is
//! downsampled, twice: the second time what the first time made. At last partial uploads and unfinished ones
//! are cleaned.
//!
//! A compaction whose block would be downsampled in the same pass makes the coarser blocks on the way.

mod beside;
mod downsample;
mod hold;
mod options;
mod run;
mod step;

pub use crate::job::compact::{HashFunc, VerifyOutput};
pub use beside::Beside;
pub(crate) use downsample::Ahead;
pub(crate) use hold::Holds;
pub use options::{Dedup, Discovery, MAX_LEVEL, PassOptions, RANGES};
pub(crate) use run::syncer;
pub use run::{Compacted, Compactor, Engine, GroupError, PassResult, run};

#[cfg(test)]
mod tests;
