//! The gate: one suite of what every bucket does, run over each kind of bucket.

mod conformance;
mod filesystem;
mod memory;
