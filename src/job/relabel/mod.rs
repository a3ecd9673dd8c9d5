//! Relabelling rules of Prometheus: as a whole over the labels of series, and, of a few actions, to say which blocks
//! are ours.
//!
//! *Source*: Prometheus `model/relabel/relabel.go`, `model/labels/labels_common.go` (`Builder`).

mod apply;
mod rule;
mod select;
mod shard;

pub use apply::{Relabeled, relabel};
pub use rule::{Action, Relabeling, parse_relabelings};
pub use select::{BLOCK_ID_LABEL, Rule, keeps, parse_rules};
pub use shard::{Namings, Shard};
