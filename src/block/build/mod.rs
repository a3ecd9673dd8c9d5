//! Building a block in the bucket: segments and index as streams, `meta.json` when all is there.

mod index;
mod object;
mod postings;
mod segments;

pub(crate) use index::IndexFile;
pub use object::Written;
pub(crate) use postings::Shard;
pub(crate) use segments::Segments;
