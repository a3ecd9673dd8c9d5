//! Sorted streams of series and the math on them.

pub mod aggregate;
mod counter;
mod encode;
mod heap;
mod overlap;

pub use counter::{Counter, CounterSamples, begins_anew};
pub use encode::{encode_in_chunks, without};
pub use heap::GoHeap;
pub use overlap::{Chunk, merge_overlapping};
