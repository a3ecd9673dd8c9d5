//! The gate: one suite of what every bucket does, run over each kind of bucket.

mod conformance;
mod faulty;
mod filesystem;
mod memory;
mod patient;
mod s3;
