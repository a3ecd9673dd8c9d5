//! One block as one thing: opened, built, published, retired.

mod stream;

pub use stream::{Part, RangeStream, ReadAhead};
