//! One block as one thing: opened, built, published, retired.

mod build;
mod open;
mod publish;
mod reads;
pub mod retire;
mod stream;

pub use build::Written;
pub(crate) use build::{IndexFile, Segments, Shard};
pub use open::{OpenBlock, SegmentFile, SeriesRun};
pub use publish::{discard, publish};
pub use reads::Reads;
pub use stream::{Part, RangeStream, ReadAhead};
