//! Aggregate chunks as they leave this room: their bytes, and what an index says of them.

use super::slots::{Column, SLOTS};
use crate::format::Malformed;
use crate::format::chunk::{Encoding, XorEncoder, put_slot};
use crate::model::Millis;

/// Aggregate chunks, one behind the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AggregateChunks {
    /// The chunks' data (encoding 255) without length, encoding byte and checksum, back to back.
    pub bytes: Vec<u8>,
    /// What there is to know of each, in order.
    pub chunks: Vec<AggregateChunk>,
}

/// What an index says of an aggregate chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AggregateChunk {
    /// The time of the first window; a counter's first raw sample may lie before it.
    pub min_time: Millis,
    /// The time of the last window.
    pub max_time: Millis,
    /// Bytes of the data.
    pub len_bytes: u32,
    /// Windows, as the counts have them.
    pub samples: u32,
}

impl AggregateChunks {
    /// Forgets the chunks and keeps the buffers.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.chunks.clear();
    }

    /// Each chunk with its data, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&AggregateChunk, &[u8])> + '_ {
        self.chunks.iter().scan(0, |at, chunk| {
            let from = *at;
            *at += chunk.len_bytes as usize;
            self.bytes.get(from..*at).map(|data| (chunk, data))
        })
    }

    /// Adds a chunk whose data was appended to `bytes` from `from` on.
    pub(super) fn close(&mut self, from: usize, range: (Millis, Millis), samples: u32) -> Result<(), Malformed> {
        let Ok(len_bytes) = u32::try_from(self.bytes.len() - from) else {
            self.bytes.truncate(from);
            return Err(Malformed::new("chunk", 0, "an aggregate of more than 4 GiB"));
        };
        self.chunks.push(AggregateChunk { min_time: range.0, max_time: range.1, len_bytes, samples });
        Ok(())
    }
}

/// Encodes the windows of floats; its buffer is reused.
#[derive(Clone, Debug, Default)]
pub(super) struct FloatEncoder {
    slot: XorEncoder,
}

impl FloatEncoder {
    /// Appends the chunk of these five columns, of which empty ones are absent.
    pub(super) fn chunk(
        &mut self,
        columns: [Column<'_>; SLOTS],
        range: (Millis, Millis),
        out: &mut AggregateChunks,
    ) -> Result<(), Malformed> {
        let from = out.bytes.len();
        let samples = columns[0].times.len() as u32;
        for column in columns {
            if column.times.len() > usize::from(u16::MAX) {
                out.bytes.truncate(from);
                return Err(Malformed::new("chunk", 0, "more windows than a chunk holds"));
            }
            if column.times.is_empty() {
                put_slot(&mut out.bytes, None);
                continue;
            }
            put_slot(&mut out.bytes, Some((Encoding::Xor, self.slot.encode(column.times, column.values))));
        }
        out.close(from, range, samples)
    }
}
