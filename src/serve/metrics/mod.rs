//! What happened, as Prometheus reads it.
//!
//! There is no registry and nothing global: whoever serves a page of metrics holds the values and writes them,
//! family by family, into a [`Page`]. Names, types and labels are those of Thanos, so that its alerts and
//! dashboards go on working.

mod bucket;
mod compactor;
mod page;
mod process;
mod spread;

pub use bucket::bucket;
pub use compactor::{Counts, Todo};
pub use page::{Family, Format, Page, Type};
pub use process::{build, process};
pub use spread::Spread;
