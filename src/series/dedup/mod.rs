//! Replicas of one series become one: a replica is followed until it has a gap.
//!
//! Two servers that scrape the same target never do so at the same moment, so a union of their samples
//! would have twice the rate and two clocks. The penalty rule takes one stream and goes over to the
//! other only when the one in use lacks samples for longer than about two scrapes.
//!
//! | need | use |
//! | --- | --- |
//! | two streams as one, sample by sample | [`Penalty`] over two [`Stream`]s; nested for more |
//! | counters that must not fall where the stream changes | [`Raised`] around each stream |
//! | chunk lists of one series, in a compaction | [`merge_penalty`], or a [`PenaltyMerger`] that keeps its buffers |
//!
//! *Source*: `pkg/dedup` of Thanos, `storage/merge.go` of Prometheus.

mod chunks;
mod fold;
mod penalty;
#[cfg(test)]
mod rows;
mod rule;
#[cfg(test)]
mod scenarios;
mod stream;

pub use chunks::{PenaltyMerger, merge_penalty};
pub use penalty::Penalty;
pub use stream::{ChunkStream, Raised, SampleStream, Stream};
