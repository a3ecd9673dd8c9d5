//! The index of a block: symbols, series, postings, postings offset table, table of contents.
//!
//! Formats 1 and 2 are read, from a slice or piece by piece ([`Toc`] says which range holds what);
//! format 2 is written exactly as Prometheus 3.9.1 writes it.
//!
//! *Source*: Prometheus `tsdb/index/index.go`; its `tsdb/docs/format/index.md` in outline.

mod describe;
mod postings;
mod postings_table;
mod reader;
mod series;
mod series_walk;
mod symbol_stream;
mod symbols;
mod toc;
mod writer;

pub use describe::{describe, exercise};
pub use postings::{PostingsList, decode_postings_list, encode_postings_list, postings_list_len};
pub use postings_table::{
    PostingsTable, PostingsTableEmitter, PostingsTableLen, TableEntries, TableEntry, encode_entry, entry_len,
};
pub use reader::Index;
pub use series::{ChunkMeta, SERIES_ALIGN, decode_series, encode_series, encoded_series_len, series_entry_len};
pub use series_walk::SeriesWalk;
pub use symbol_stream::{SymbolStep, SymbolStream};
pub use symbols::{ReadableSymbols, SymbolTable, SymbolTableWriter, Symbols};
pub use toc::{TOC_BYTES, Toc};
pub use writer::{SeriesWriter, WriteError, Writer};

use std::fmt;

use crate::encoding::{Cursor, Malformed, crc32c};

/// First four bytes of an index.
pub const MAGIC: u32 = 0xBAAA_D700;

/// Bytes before the symbols: magic and version.
pub const HEADER_BYTES: usize = 5;

/// The most bytes an index may have: references count 16 bytes in 32 bits.
pub const MAX_BYTES: u64 = 16 * (u32::MAX as u64);

/// Every which entry the tables keep the position of.
const SAMPLED: usize = 32;

const PART: &str = "index";

/// Format of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// Symbols are referred to by file offset, series by file offset; postings in any order.
    V1,
    /// Symbols are referred to by ordinal, series by offset / 16; postings table sorted.
    V2,
}

impl Version {
    /// The byte in the header.
    pub const fn as_byte(self) -> u8 {
        match self {
            Version::V1 => 1,
            Version::V2 => 2,
        }
    }

    /// Offset in the file of the series that postings call `id`.
    pub const fn series_offset(self, id: u32) -> u64 {
        match self {
            Version::V1 => id as u64,
            Version::V2 => id as u64 * SERIES_ALIGN,
        }
    }

    /// What postings call the series at `offset`; `None` where no series can be.
    pub fn series_id(self, offset: u64) -> Option<u32> {
        match self {
            Version::V1 => u32::try_from(offset).ok(),
            Version::V2 if offset.is_multiple_of(SERIES_ALIGN) => u32::try_from(offset / SERIES_ALIGN).ok(),
            Version::V2 => None,
        }
    }
}

/// What an index of format 2 begins with.
pub const fn header() -> [u8; HEADER_BYTES] {
    let [a, b, c, d] = MAGIC.to_be_bytes();
    [a, b, c, d, Version::V2.as_byte()]
}

/// Checks the first [`HEADER_BYTES`] of an index and says its format.
///
/// # Errors
/// [`Malformed`] when cut off, or with another magic number or an unknown version.
pub fn check_header(bytes: &[u8]) -> Result<Version, Malformed> {
    let mut c = Cursor::new(PART, bytes);
    let magic = c.be32()?;
    if magic != MAGIC {
        return Err(Malformed::new(PART, 0, format!("magic number {magic:08x} instead of {MAGIC:08x}")));
    }
    match c.u8()? {
        1 => Ok(Version::V1),
        2 => Ok(Version::V2),
        other => Err(Malformed::new(PART, 4, format!("version {other}, known are 1 and 2"))),
    }
}

/// A part outgrew the field that holds its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// Which part.
    pub part: &'static str,
    /// Its length in bytes.
    pub bytes: u64,
    /// The most it can be, in bytes.
    pub limit: u64,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes, the format ends at {}", self.part, self.bytes, self.limit)
    }
}

impl std::error::Error for TooLong {}

/// The length field of a section whose content (count included, checksum not) is `bytes` long.
fn section_len(part: &'static str, bytes: u64) -> Result<u32, TooLong> {
    u32::try_from(bytes).map_err(|_| TooLong { part, bytes, limit: u64::from(u32::MAX) })
}

/// Bytes of a section's length field, and of its checksum.
const FRAME: usize = 4;

/// Content of the section (length, content, checksum) that `bytes` begin with; checksum verified.
/// More may follow.
fn section<'a>(part: &'static str, bytes: &'a [u8], base: u64) -> Result<&'a [u8], Malformed> {
    let mut c = Cursor::at_offset(part, bytes, base);
    let len = c.be32()? as usize;
    if c.remaining() < FRAME || len > c.remaining() - FRAME {
        return Err(Malformed::new(part, base, format!("section of {len} bytes and checksum, {} left", c.remaining())));
    }
    let content = c.take(len)?;
    let stored = c.be32()?;
    let computed = crc32c(content);
    if computed != stored {
        return Err(Malformed::new(part, base, format!("checksum {stored:08x} stored, {computed:08x} computed")));
    }
    Ok(content)
}

#[cfg(test)]
mod tests;
