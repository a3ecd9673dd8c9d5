//! Prometheus TSDB blocks in object storage: read, write, merge, compact, verify and inspect them.
//!
//! The crate is a house of floors; a floor looks down, never up (see `docs/ARCHITECTURE.md`):
//!
//! | floor | question it answers |
//! | --- | --- |
//! | [`encoding`] | how are bytes read without trusting them, and written? |
//! | [`model`] | what is a label, a sample, a histogram, a block id, a time range? |
//! | [`mod@format`] | what do the bytes of a chunk, an index, a segment, a `meta.json` mean? |
//! | [`series`] | how do sorted streams of series become one? |
//! | [`bucket`], [`error`], [`clock`] | how is everything reached that is not our own memory? |
//! | [`block`] | how is one block opened, built and published as one thing? |
//! | [`job`] | what should happen in a bucket, and how is it carried out? |
//! | `serve` (feature `serve`) | what does a program that stays show of itself, and to whom? |
//!
//! Everything up to [`series`] is free of IO, threads, clocks and logging, and is all there is
//! with `default-features = false`.
#![deny(unsafe_code)]

pub mod encoding;
pub mod format;
pub mod model;
pub mod series;

#[cfg(feature = "bucket")]
pub mod block;
#[cfg(feature = "bucket")]
pub mod bucket;
#[cfg(feature = "bucket")]
pub mod clock;
#[cfg(feature = "bucket")]
pub mod error;
#[cfg(feature = "bucket")]
pub mod job;
#[cfg(feature = "serve")]
pub mod serve;

#[cfg(feature = "bucket")]
pub use error::{Error, Kind, Result};
