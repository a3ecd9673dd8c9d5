//! Native histograms: one run of raw histograms, and aggregates of histograms.

use super::AggregateChunks;
use crate::format::Malformed;
use crate::format::chunk::{Aggregate, Encoding};
use crate::model::Millis;

/// One run of native histograms of a series, gathered and aggregated; buffers are reused.
#[derive(Clone, Debug, Default)]
pub(super) struct NativeRun {}

impl NativeRun {
    /// Whether no sample was taken since the run began.
    pub(super) fn is_empty(&self) -> bool {
        true
    }

    /// Begins another run.
    pub(super) fn clear(&mut self) {}

    /// Takes the next raw chunk of the run, of any encoding of histograms.
    ///
    /// # Errors
    /// Always, as of now.
    pub(super) fn push(&mut self, encoding: Encoding, _data: &[u8]) -> Result<(), Malformed> {
        Err(Malformed::new("chunk", 0, format!("chunks of encoding {encoding} are not downsampled")))
    }

    /// Appends the aggregates of all samples that were pushed, as many chunks as they become.
    pub(super) fn windows(&mut self, _resolution: Millis, _out: &mut AggregateChunks) -> Result<(), Malformed> {
        Ok(())
    }

    /// Appends the aggregates of aggregates: those of `chunks` become one chunk, or more where one
    /// cannot hold them. Each lies before the next in time.
    pub(super) fn coarser(
        &mut self,
        _chunks: &[Aggregate<'_>],
        _resolution: Millis,
        _out: &mut AggregateChunks,
    ) -> Result<(), Malformed> {
        Err(Malformed::new("chunk", 0, "aggregates of histograms are not downsampled"))
    }
}
