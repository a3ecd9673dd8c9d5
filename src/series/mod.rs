//! Sorted streams of series and the math on them.

mod encode;
mod heap;
mod overlap;

pub use encode::{encode_in_chunks, without};
pub use heap::GoHeap;
pub use overlap::{Chunk, merge_overlapping};
