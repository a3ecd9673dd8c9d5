//! Series downsampled while they pass by: their chunks, merged already, become windows of five minutes
//! and of an hour in columns of their own.
//!
//! *Memory*: the samples of one series.

use super::assemble::{Column, OutChunk};
use crate::format::Malformed;
use crate::format::chunk::Encoding;
use crate::format::segment::{data_of, encode_record, encoded_len};
use crate::model::Millis;
use crate::series::aggregate::{AggregateChunks, Downsampler};

/// One level that is made.
#[derive(Default)]
struct Level {
    column: Column,
    /// Chunks of one series; kept for its memory.
    chunks: AggregateChunks,
}

/// Downsamples series, one after the other.
pub(super) struct Downsampling {
    /// Milliseconds between the inputs' samples, 0 for raw.
    resolution: Millis,
    downsampler: Downsampler,
    five: Option<Level>,
    hour: Option<Level>,
}

impl Downsampling {
    /// Makes these levels, if there are any, of chunks of this resolution.
    pub(super) fn new(resolution: Millis, five: bool, hour: bool) -> Option<Self> {
        (five || hour).then(|| Downsampling {
            resolution,
            downsampler: Downsampler::default(),
            five: five.then(Level::default),
            hour: hour.then(Level::default),
        })
    }

    /// Downsamples one series: its chunks, and their records one behind the other.
    ///
    /// # Errors
    /// Chunks that do not decode, or that a block of this resolution cannot have.
    pub(super) fn series(&mut self, series: u32, chunks: &[OutChunk], records: &[u8]) -> Result<(), Malformed> {
        let mut at = 0;
        for chunk in chunks {
            let end = at + encoded_len(u64::from(chunk.data_bytes)) as usize;
            let data = data_of(&records[at..end], chunk.data_bytes);
            self.push(chunk.encoding, data, chunk.min_time, chunk.max_time)?;
            at = end;
        }
        self.end(series)
    }

    /// Takes the next chunk of a series.
    ///
    /// # Errors
    /// One that begins before the last ended, does not decode, or cannot be in a block of this resolution.
    pub(super) fn push(&mut self, encoding: Encoding, data: &[u8], min_time: Millis, max_time: Millis) -> Result<(), Malformed> {
        self.downsampler.push(self.resolution, encoding, data, min_time, max_time)
    }

    /// Ends a series.
    ///
    /// # Errors
    /// Aggregates that do not fit a chunk.
    pub(super) fn end(&mut self, series: u32) -> Result<(), Malformed> {
        let Downsampling { downsampler, five, hour, .. } = self;
        downsampler.finish(five.as_mut().map(|l| &mut l.chunks), hour.as_mut().map(|l| &mut l.chunks))?;
        five.iter_mut().chain(hour).for_each(|level| level.take(series));
        Ok(())
    }

    /// The columns of five minutes and of an hour, where they were asked for.
    pub(super) fn into_columns(self) -> (Option<Column>, Option<Column>) {
        (self.five.map(|l| l.column), self.hour.map(|l| l.column))
    }
}

impl Level {
    /// Appends the records of one series.
    fn take(&mut self, series: u32) {
        let column = &mut self.column;
        let mut at = 0;
        for chunk in &self.chunks.chunks {
            let end = at + chunk.len_bytes as usize;
            encode_record(&mut column.bytes, Encoding::Aggregate.as_byte(), &self.chunks.bytes[at..end]);
            column.chunks.push(OutChunk {
                min_time: chunk.min_time,
                max_time: chunk.max_time,
                encoding: Encoding::Aggregate,
                data_bytes: chunk.len_bytes,
            });
            column.counts.chunks += 1;
            column.counts.samples += u64::from(chunk.samples);
            at = end;
        }
        if !self.chunks.chunks.is_empty() {
            column.counts.series += 1;
            column.series.push((series, column.chunks.len() as u32));
        }
        self.chunks.bytes.clear();
        self.chunks.chunks.clear();
    }
}
