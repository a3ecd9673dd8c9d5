//! What bytes mean: pure functions between bytes and values.

pub mod index;
pub mod segment;

pub use crate::encoding::Malformed;
