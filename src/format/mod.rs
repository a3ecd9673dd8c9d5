//! What bytes mean: pure functions between bytes and values.

pub mod chunk;
mod gojson;
pub mod index;
pub mod marks;
pub mod meta;
pub mod segment;
pub mod tombstones;

pub use crate::encoding::Malformed;
