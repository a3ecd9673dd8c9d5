//! Sorted streams of series and the math on them.

pub mod aggregate;
mod counter;
mod decoded;
pub mod dedup;
mod encode;
mod heap;
mod overlap;

pub use counter::{Counter, CounterSamples, begins_anew};
pub use decoded::{ChunkKind, DecodedChunk, DecodedChunks};
pub use encode::{SAMPLES_PER_CHUNK, encode_in_chunks, without};
pub use heap::GoHeap;
pub use overlap::{Chunk, merge_anew, merge_overlapping};
