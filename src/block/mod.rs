//! One block as one thing: opened, built, published, retired.

mod build;
pub mod fingerprint;
mod open;
mod publish;
mod reads;
pub mod retire;
mod stream;
mod witness;

pub use build::Written;
#[cfg(test)]
pub(crate) use build::tamper;
pub(crate) use build::{IndexFile, Segments, Shard};
pub use open::{OpenBlock, SegmentFile, SeriesRun};
pub use publish::{discard, publish};
pub use reads::Reads;
pub use stream::{Part, RangeStream, ReadAhead};
pub(crate) use witness::{Witness, read_back};
