//! What bytes mean: pure functions between bytes and values.

pub use crate::encoding::Malformed;
