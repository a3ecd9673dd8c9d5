//! What a job needs of the machine, estimated from the sizes of its inputs.

use crate::job::catalog::CatalogBlock;
use crate::job::pipeline::DEFAULT_POSTINGS_BYTES;

/// Memory of a job whatever its inputs: buffers of uploads and the work between the stages (bytes).
const ANY_JOB_BYTES: u64 = 96 << 20;

/// Memory for reading one input ahead at two places (bytes).
const INPUT_BYTES: u64 = 2 << 20;

/// The part of the indexes that is in memory at a time: symbols of all inputs and of the output, and postings that
/// are counted.
const INDEX_PART: u64 = 8;

/// Memory and disk of a job, and what it reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Memory at most, in bytes. It does not grow with samples.
    pub memory: u64,
    /// Bytes on the local disk at most.
    pub scratch: u64,
    /// Bytes that are read from the bucket.
    pub read: u64,
}

impl Needs {
    /// Of a job that reads these blocks.
    pub fn of<'a>(blocks: impl IntoIterator<Item = &'a CatalogBlock>) -> Needs {
        let mut needs = Needs { memory: ANY_JOB_BYTES, ..Needs::default() };
        let mut index_bytes = 0u64;
        for block in blocks {
            index_bytes = index_bytes.saturating_add(block.index_bytes());
            needs.memory += INPUT_BYTES;
            needs.read = block.objects.iter().fold(needs.read, |sum, o| sum.saturating_add(o.len_bytes));
        }
        // counted postings are spilled above their budget
        let in_memory = (index_bytes / INDEX_PART).min(DEFAULT_POSTINGS_BYTES as u64 + index_bytes / (4 * INDEX_PART));
        needs.memory = needs.memory.saturating_add(in_memory);
        needs.scratch = scratch_bytes(index_bytes);
        needs
    }
}

/// Bytes on the local disk at most, for an index of so many bytes: postings are a part of the index, and go to the disk
/// only where there are many.
pub(crate) fn scratch_bytes(index_bytes: u64) -> u64 {
    if index_bytes > DEFAULT_POSTINGS_BYTES as u64 { index_bytes } else { 0 }
}
