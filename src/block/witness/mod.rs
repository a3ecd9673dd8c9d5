//! Reads a block on its way into the bucket, from the very bytes that are sent, and says what it holds.
//!
//! Each object has a reader of its own, which is given the bytes front to back in any pieces. It knows nothing of
//! whoever made them: records come from segments, labels and references from index entries, and a chunk counts
//! when an entry points exactly at a record that was seen. So a byte that changed, a reference that leads
//! elsewhere, a record that no series has, a list or table that does not fit the series, all end in an error.
//!
//! *Order*: within each object bytes come in order; between objects as it happens.
//! *Memory*: what one object is ahead of the other, 40 bytes a chunk; an item that is cut off by a piece.
//! *Errors*: `Corrupt` with block, part and offset.

mod index;
mod join;
mod read_back;
mod segment;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::fingerprint::Fingerprint;
use crate::error::{Error, Kind, Result};
use crate::format::Malformed;
use crate::model::BlockId;
use index::IndexReader;
use join::Joined;
pub(crate) use read_back::read_back;
use segment::SegmentReader;

/// Bytes that are first joined to an item that was cut off.
const CARRY_BYTES: usize = 1 << 10;

/// What can be done about bytes that are not what they were.
const RUN_AGAIN: &str =
    "nothing was marked for deletion, run it again; if it comes back, test the memory of this machine and report it";

/// Sees one block pass by; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Witness {
    block: BlockId,
    joined: Arc<Mutex<Joined>>,
    bounds: Arc<Bounds>,
}

/// Where sections of the index end that do not say so themselves, told before the first byte behind them comes.
/// The table of contents, which is the last of what is read, has to agree.
#[derive(Debug)]
pub(crate) struct Bounds {
    series_end: AtomicU64,
    table: AtomicU64,
}

impl Bounds {
    /// Series end at this byte.
    pub(crate) fn series_end(&self, at: u64) {
        self.series_end.store(at, Ordering::Release);
    }

    /// The postings offset table begins at this byte.
    pub(crate) fn table(&self, at: u64) {
        self.table.store(at, Ordering::Release);
    }
}

impl Witness {
    /// Of the block `block`, of which nothing was seen.
    pub(crate) fn new(block: BlockId) -> Self {
        let unknown = || AtomicU64::new(u64::MAX);
        let bounds = Bounds { series_end: unknown(), table: unknown() };
        Witness { block, joined: Arc::default(), bounds: Arc::new(bounds) }
    }

    /// For whoever knows where sections end.
    pub(crate) fn bounds(&self) -> Arc<Bounds> {
        self.bounds.clone()
    }

    /// A reader of the segment with this number, from 0.
    pub(crate) fn segment(&self, number: u32) -> Reader {
        Reader {
            witness: self.clone(),
            name: format!("chunks/{:06}", u64::from(number) + 1),
            of: Of::Segment(SegmentReader::new(number)),
        }
    }

    /// A reader of the index.
    pub(crate) fn index(&self) -> Reader {
        Reader { witness: self.clone(), name: "index".to_owned(), of: Of::Index(Box::default()) }
    }

    /// What all objects together hold, each of which has ended.
    ///
    /// # Errors
    /// `Corrupt` when there are records that no series points at, or the other way around.
    pub(crate) fn finish(&self) -> Result<Fingerprint> {
        self.joined().finish().map_err(|m| self.wrong(m.part, m))
    }

    fn joined(&self) -> MutexGuard<'_, Joined> {
        self.joined.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    #[cold]
    fn wrong(&self, part: &str, m: Malformed) -> Error {
        Error::new(Kind::Corrupt, format!("what was written is not what is read back from it: {}", m.why))
            .block(self.block)
            .part(part)
            .at(m.at)
            .next(RUN_AGAIN)
    }
}

/// Reads one object of a block that a [`Witness`] sees.
#[derive(Debug)]
pub(crate) struct Reader {
    witness: Witness,
    name: String,
    of: Of,
}

#[derive(Debug)]
enum Of {
    Segment(SegmentReader),
    Index(Box<IndexReader>),
}

impl Reader {
    /// Takes the next bytes of the object.
    ///
    /// # Errors
    /// `Corrupt` with part and offset.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<()> {
        let Reader { witness, name, of } = self;
        let read = match of {
            Of::Segment(reader) => reader.read(bytes).and_then(|records| witness.joined().records(reader.number(), records)),
            Of::Index(reader) => {
                let bound = |b: &AtomicU64| b.load(Ordering::Acquire);
                reader
                    .read(bytes, bound(&witness.bounds.series_end), bound(&witness.bounds.table))
                    .and_then(|seen| witness.joined().entries(seen))
            }
        };
        read.map_err(|m| witness.wrong(&part(name, &m), m))
    }

    /// Ends the object.
    ///
    /// # Errors
    /// `Corrupt` where it is cut off.
    pub(crate) fn end(&mut self) -> Result<()> {
        let ended = match &mut self.of {
            Of::Segment(reader) => reader.end(),
            Of::Index(reader) => reader.end(),
        };
        ended.map_err(|m| self.witness.wrong(&part(&self.name, &m), m))
    }
}

/// Hands `rest` and `bytes` behind it to `whole`, which takes whole items and says how many bytes these are; what is
/// left is `rest`. Only an item that was cut off is copied.
fn carry(
    rest: &mut Vec<u8>,
    mut bytes: &[u8],
    mut whole: impl FnMut(&[u8]) -> Result<usize, Malformed>,
) -> Result<(), Malformed> {
    let mut more = CARRY_BYTES;
    while !rest.is_empty() && !bytes.is_empty() {
        let held = rest.len();
        let (next, behind) = bytes.split_at(bytes.len().min(more));
        rest.extend_from_slice(next);
        let taken = whole(rest)?;
        if taken >= held {
            bytes = &bytes[taken - held..];
            rest.clear();
        } else {
            rest.drain(..taken);
            bytes = behind;
            more = more.saturating_mul(2);
        }
    }
    if rest.is_empty() {
        let taken = whole(bytes)?;
        rest.extend_from_slice(&bytes[taken..]);
    }
    Ok(())
}

/// The object where it is one of many, else the part of it.
fn part(name: &str, m: &Malformed) -> String {
    if name == "index" { m.part.to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests;
