//! Chunk segments, the files `chunks/000001`, `chunks/000002`, … of a block.
//!
//! A segment is an 8-byte header and then chunk records, one behind the other; [`describe`] prints
//! them. Which record goes into which segment is the [`Cutter`]'s decision.
//!
//! *Source*: Prometheus `tsdb/chunks/chunks.go`.

mod cutter;
mod record;

pub use cutter::Cutter;
pub use record::{ENCODING_BYTES, Record, data_of, decode_record, encode_record, encoded_len, record_len};

use std::fmt;

use crate::encoding::{Cursor, Dump, Malformed};

/// First four bytes of a segment.
pub const MAGIC: u32 = 0x85BD_40DD;

/// The only version there is.
pub const VERSION: u8 = 1;

/// Bytes before the first record: magic, version, three zero bytes.
pub const HEADER_BYTES: usize = 8;

/// Bytes at which Prometheus and Thanos begin another segment unless told otherwise.
pub const DEFAULT_SEGMENT_BYTES: u64 = 512 << 20;

const PART: &str = "segment";

/// Where a chunk record is: number of the segment (the first is 0) and offset of its length field.
///
/// *Order*: as the records lie in the block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkRef(pub u64);

impl ChunkRef {
    /// The record at byte `offset` of segment number `segment`, counted from 0.
    pub const fn new(segment: u32, offset: u32) -> Self {
        ChunkRef((segment as u64) << 32 | offset as u64)
    }

    /// Number of the segment, counted from 0: the file's name is one more.
    pub const fn segment(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Offset of the record in its segment, in bytes.
    pub const fn offset(self) -> u32 {
        self.0 as u32
    }
}

/// `segment:offset`, the segment counted from 0.
impl fmt::Display for ChunkRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.segment(), self.offset())
    }
}

/// What a segment begins with.
pub const fn header() -> [u8; HEADER_BYTES] {
    let [a, b, c, d] = MAGIC.to_be_bytes();
    [a, b, c, d, VERSION, 0, 0, 0]
}

/// Checks the first [`HEADER_BYTES`] of a segment; what lies behind them is not looked at.
///
/// # Errors
/// [`Malformed`] when cut off, or with another magic number or version. The padding may be anything,
/// as upstream does not look at it either.
pub fn check_header(bytes: &[u8]) -> Result<(), Malformed> {
    let mut c = Cursor::new(PART, bytes);
    let magic = c.be32()?;
    if magic != MAGIC {
        return Err(Malformed::new(PART, 0, format!("magic number {magic:08x} instead of {MAGIC:08x}")));
    }
    let version = c.u8()?;
    if version != VERSION {
        return Err(Malformed::new(PART, 4, format!("version {version} instead of {VERSION}")));
    }
    c.skip(HEADER_BYTES - c.index())
}

/// The records of a whole segment in file order.
///
/// # Errors
/// [`Malformed`] for the header; the iterator yields one for the first damaged record and ends there,
/// since nothing says where the next one begins.
pub fn records(segment: &[u8]) -> Result<Records<'_>, Malformed> {
    check_header(segment)?;
    Ok(Records { segment, at: HEADER_BYTES })
}

/// Iterator of [`records`]: offset in the segment and record, checksum verified.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    segment: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<(u64, Record<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.segment[self.at..];
        if rest.is_empty() {
            return None;
        }
        let at = self.at as u64;
        match decode_record(rest, at) {
            Ok(record) => {
                self.at += record.len_bytes;
                Some(Ok((at, record)))
            }
            Err(e) => {
                self.at = self.segment.len();
                Some(Err(e))
            }
        }
    }
}

/// Every byte of a segment with its meaning; the chunk's own bytes are one run.
///
/// # Errors
/// [`Malformed`] as [`records`] finds it.
pub fn describe(segment: &[u8]) -> Result<String, Malformed> {
    let mut dump = Dump::new(segment, 0);
    let each = records(segment)?;
    dump.begin("header");
    dump.field(4, "magic number of a segment");
    dump.field(5, format!("version {VERSION}"));
    dump.field(HEADER_BYTES, "padding");
    dump.end();
    for (i, record) in each.enumerate() {
        let (at, record) = record?;
        dump.begin(format!("chunk {i} at {at}"));
        let end = at as usize + record.len_bytes;
        let data = end - 4 - record.data.len();
        dump.field(data - 1, format!("{} bytes of data", record.data.len()));
        dump.field(data, format!("encoding {}", record.encoding));
        dump.field(end - 4, "data");
        dump.field(end, "CRC32C of encoding and data");
        dump.end();
    }
    Ok(dump.finish())
}

/// Runs every decoder of this room over `bytes`; whatever they are, nothing may panic.
///
/// Mutation tests and fuzz targets share it.
pub fn exercise(bytes: &[u8]) {
    let _ = describe(bytes);
    let _ = record_len(bytes, 0);
    if let Ok(record) = decode_record(bytes, 0) {
        let mut again = Vec::new();
        encode_record(&mut again, record.encoding, record.data);
        assert_eq!(again, bytes[..record.len_bytes], "a record that is read is written the same");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(chunks: &[(u8, &[u8])]) -> Vec<u8> {
        let mut out = header().to_vec();
        for &(encoding, data) in chunks {
            encode_record(&mut out, encoding, data);
        }
        out
    }

    #[test]
    fn references_are_segment_and_offset() {
        let r = ChunkRef::new(3, 0xffff_fff0);
        assert_eq!(r.0, 0x3_ffff_fff0);
        assert_eq!((r.segment(), r.offset()), (3, 0xffff_fff0));
        assert_eq!(r.to_string(), "3:4294967280");
        assert!(ChunkRef::new(0, u32::MAX) < ChunkRef::new(1, 8));
    }

    #[test]
    fn a_header_is_checked_field_by_field() {
        assert_eq!(header(), [0x85, 0xbd, 0x40, 0xdd, 1, 0, 0, 0]);
        assert_eq!(check_header(&header()), Ok(()));
        assert_eq!(check_header(&[0x85, 0xbd, 0x40, 0xdd, 1, 9, 9, 9]), Ok(()));
        assert_eq!(check_header(&[0x85, 0xbd, 0x40, 0xde, 1, 0, 0, 0]).unwrap_err().at, 0);
        assert_eq!(check_header(&[0x85, 0xbd, 0x40, 0xdd, 2, 0, 0, 0]).unwrap_err().at, 4);
        for len in 0..HEADER_BYTES {
            assert!(check_header(&header()[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn records_are_walked_to_the_end() {
        let bytes = segment(&[(1, b"abc"), (255, b""), (2, &[7; 300])]);
        let seen: Vec<_> =
            records(&bytes).unwrap().map(|r| r.map(|(at, r)| (at, r.encoding, r.data.len(), r.len_bytes)).unwrap()).collect();
        assert_eq!(seen, [(8, 1, 3, 9), (17, 255, 0, 6), (23, 2, 300, 307)]);
        assert_eq!(records(&segment(&[])).unwrap().count(), 0);
    }

    #[test]
    fn a_damaged_record_ends_the_walk_at_its_offset() {
        let mut bytes = segment(&[(1, b"abc"), (1, b"def")]);
        bytes[20] ^= 1;
        let mut walk = records(&bytes).unwrap();
        assert!(walk.next().unwrap().is_ok());
        assert_eq!(walk.next().unwrap().unwrap_err().at, 17);
        assert!(walk.next().is_none());
    }

    #[test]
    fn a_dump_covers_every_byte() {
        let text = describe(&segment(&[(1, b"abc")])).unwrap();
        assert_eq!(
            text,
            "            header
         0    85bd40dd  # magic number of a segment
         4    01  # version 1
         5    000000  # padding
            chunk 0 at 8
         8    03  # 3 bytes of data
         9    01  # encoding 1
        10    616263  # data
        13    c30d7db2  # CRC32C of encoding and data
"
        );
    }

    #[test]
    fn a_real_segment_reads_and_writes_back() {
        let bytes = include_bytes!("../../../testdata/index-v1/chunks/000001");
        let mut again = header().to_vec();
        let mut count = 0;
        for record in records(bytes).unwrap() {
            let (_, record) = record.unwrap();
            encode_record(&mut again, record.encoding, record.data);
            count += 1;
        }
        assert_eq!(count, 102);
        assert_eq!(again, bytes);
    }
}
