//! One block as one thing: opened, built, published, retired.

mod build;
mod publish;
pub mod retire;
mod stream;

pub use build::Written;
pub(crate) use build::{IndexFile, Segments, Shard};
pub use publish::{discard, publish};
pub use stream::{Part, RangeStream, ReadAhead};
