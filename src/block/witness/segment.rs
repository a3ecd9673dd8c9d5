//! Records of one segment, from its bytes in any pieces.

use super::carry;
use crate::block::fingerprint::RecordSum;
use crate::format::Malformed;
use crate::format::segment::{HEADER_BYTES, check_header, decode_record, header, record_len};

/// Reads one segment front to back.
#[derive(Debug)]
pub(super) struct SegmentReader {
    number: u32,
    /// Bytes behind the last whole item, which come again with those that follow.
    rest: Vec<u8>,
    /// Where `rest` begins in the segment.
    at: u64,
}

impl SegmentReader {
    pub(super) fn new(number: u32) -> Self {
        SegmentReader { number, rest: Vec::new(), at: 0 }
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// The records that `bytes` complete, each with where it begins, in order.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Vec<(u32, RecordSum)>, Malformed> {
        // most records have more than a hundred bytes; the guess only saves growing
        let mut records = Vec::with_capacity(bytes.len() / 128);
        let mut rest = std::mem::take(&mut self.rest);
        carry(&mut rest, bytes, |bytes| self.whole(bytes, &mut records))?;
        self.rest = rest;
        Ok(records)
    }

    /// Takes the records that `bytes` hold whole, and says how many bytes these are.
    fn whole(&mut self, bytes: &[u8], records: &mut Vec<(u32, RecordSum)>) -> Result<usize, Malformed> {
        let mut taken = 0;
        if self.at == 0 {
            if bytes.len() < HEADER_BYTES {
                return Ok(0);
            }
            check_header(bytes)?;
            if !bytes.starts_with(&header()) {
                return Err(Malformed::new("segment", 5, "padding of the header is not zero"));
            }
            taken = HEADER_BYTES;
        }
        loop {
            let (rest, at) = (&bytes[taken..], self.at + taken as u64);
            match record_len(rest, at)? {
                Some(len) if len <= rest.len() => {
                    let record = decode_record(rest, at)?;
                    let too_far = |_| Malformed::new("chunk", at, "a record that no reference can name");
                    let place = u32::try_from(at).map_err(too_far)?;
                    let data_bytes = record.data.len() as u32;
                    records.push((place, RecordSum { crc: record.crc, data_bytes, encoding: record.encoding }));
                    taken += len;
                }
                _ => {
                    self.at += taken as u64;
                    return Ok(taken);
                }
            }
        }
    }

    pub(super) fn end(&self) -> Result<(), Malformed> {
        let left = self.rest.len();
        if left == 0 && self.at > 0 {
            return Ok(());
        }
        Err(Malformed::new("chunk", self.at, format!("cut off behind {left} bytes of an item")))
    }
}
