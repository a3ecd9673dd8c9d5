//! Building a block in the bucket: segments and index as streams, `meta.json` when all is there.

mod index;
mod object;
mod postings;
mod segments;

pub(crate) use index::IndexFile;
pub use object::Written;
#[cfg(test)]
pub(crate) use object::tamper;
pub(crate) use postings::Shard;
pub(crate) use segments::Segments;

use crate::error::{Error, Kind};
use crate::format::index::TooLong;

impl From<TooLong> for Error {
    fn from(limit: TooLong) -> Self {
        Error::new(Kind::Limit, limit.to_string())
            .part(limit.part)
            .next("mark the largest of the blocks no-compact, so that the rest of the group goes on")
    }
}
