//! One block as one thing: opened, built, published, retired.

<<<<<<< HEAD
mod build;
mod publish;
=======
pub mod retire;
>>>>>>> f676833 (plan: groups, their next step, and why there is none)
mod stream;

pub use build::Written;
pub(crate) use build::{IndexFile, Segments, Shard};
pub use publish::{discard, publish};
pub use stream::{Part, RangeStream, ReadAhead};
