//! One pass over a bucket: look, clean, plan, compact, until nothing is left to do.

mod options;

pub use crate::format::meta::HashFunc;
pub use options::{Dedup, Discovery, MAX_LEVEL, PassOptions, RANGES};
