//! Records that were seen in segments, and chunks that entries of the index have, brought together.

use std::collections::{BTreeMap, VecDeque};

use crate::block::fingerprint::{Fingerprint, LabelsSum, RecordSum};
use crate::format::Malformed;
use crate::format::index::ChunkMeta;
use crate::format::segment::ChunkRef;

/// What entries of the index hold.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Each chunk with the labels of its series, in the order of the entries.
    pub(super) chunks: Vec<(LabelsSum, ChunkMeta)>,
    /// How many series, and symbols; nothing of chunks.
    pub(super) sum: Fingerprint,
}

/// Both sides, as far as they were seen.
#[derive(Debug, Default)]
pub(super) struct Joined {
    /// Records of each segment that no entry has reached.
    records: BTreeMap<u32, VecDeque<(u32, RecordSum)>>,
    /// Chunks whose records were not seen.
    chunks: VecDeque<(LabelsSum, ChunkMeta)>,
    sum: Fingerprint,
}

impl Joined {
    pub(super) fn records(&mut self, segment: u32, records: Vec<(u32, RecordSum)>) -> Result<(), Malformed> {
        self.records.entry(segment).or_default().extend(records);
        self.join()
    }

    pub(super) fn entries(&mut self, seen: Seen) -> Result<(), Malformed> {
        self.sum.add(&seen.sum);
        if self.chunks.is_empty() {
            self.chunks = seen.chunks.into();
        } else {
            self.chunks.extend(seen.chunks);
        }
        self.join()
    }

    /// References ascend as records do: each chunk is that of the next record of its segment.
    fn join(&mut self) -> Result<(), Malformed> {
        while let Some(&(_, next)) = self.chunks.front() {
            let segment = next.reference.segment();
            let Some(records) = self.records.get_mut(&segment).filter(|r| !r.is_empty()) else { return Ok(()) };
            while let (Some(&(labels, chunk)), Some(&(place, record))) = (self.chunks.front(), records.front()) {
                if chunk.reference.segment() != segment {
                    break;
                }
                if chunk.reference != ChunkRef::new(segment, place) {
                    let at = chunk.reference.offset();
                    let why = format!("a series has a chunk at byte {at} of segment {segment}, the next record is at {place}");
                    return Err(Malformed::new("index series", 0, why));
                }
                self.sum.chunk(labels, (chunk.min_time, chunk.max_time), record);
                self.chunks.pop_front();
                records.pop_front();
            }
        }
        Ok(())
    }

    pub(super) fn finish(&self) -> Result<Fingerprint, Malformed> {
        if let Some((_, chunk)) = self.chunks.front() {
            let why = format!("{} chunks have no record, the first at {:?}", self.chunks.len(), chunk.reference);
            return Err(Malformed::new("index series", 0, why));
        }
        match self.records.iter().find_map(|(segment, records)| records.front().map(|r| (segment, r.0, records.len()))) {
            Some((segment, at, left)) => {
                let why = format!("{left} records of segment {} belong to no series", u64::from(*segment) + 1);
                Err(Malformed::new("chunk", u64::from(at), why))
            }
            None => Ok(self.sum),
        }
    }
}
