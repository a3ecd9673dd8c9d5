//! One entry of the series section: labels as symbol references, chunks as times and places.

use super::TooLong;
use crate::encoding::{MAX_LENGTH_FIELD_BYTES, Malformed, crc32c, length_field, put_uvarint, uvarint_len};
use crate::format::segment::ChunkRef;
use crate::model::Millis;

/// In format 2 each entry begins at a multiple of this many bytes.
pub const SERIES_ALIGN: u64 = 16;

const CRC_BYTES: usize = 4;

const PART: &str = "index series";

/// Where a chunk is and which times it covers, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChunkMeta {
    /// Time of the first sample.
    pub min_time: Millis,
    /// Time of the last sample.
    pub max_time: Millis,
    /// Where the record is.
    pub reference: ChunkRef,
}

/// Bytes of the entry that `bytes` begin with, length field to checksum, or `None` when even the
/// length field is cut off (it has at most five bytes). The body itself need not be there.
///
/// `base` is the offset of `bytes` in the index, for errors.
///
/// # Errors
/// [`Malformed`] for a length above 32 bits.
#[inline]
pub fn series_entry_len(bytes: &[u8], base: u64) -> Result<Option<usize>, Malformed> {
    Ok(length_field(PART, bytes, base)?.map(|(body, field)| field + body + CRC_BYTES))
}

/// Reads the entry that `bytes` begin with and verifies its checksum; more may follow. Appends its
/// label pairs (references of name and value) to `labels` and its chunks to `chunks`, and returns the
/// bytes of the entry, length field to checksum, without padding.
///
/// Both formats have the same entries; what a symbol reference means differs. Nothing is said about
/// the order of labels, times or chunks: who needs it checks it.
///
/// `base` is the offset of `bytes` in the index, for errors.
///
/// # Errors
/// [`Malformed`] when cut off, when the checksum differs, or when the body is not an entry; then
/// `labels` and `chunks` are as they were.
#[inline]
pub fn decode_series(
    bytes: &[u8],
    base: u64,
    labels: &mut Vec<(u32, u32)>,
    chunks: &mut Vec<ChunkMeta>,
) -> Result<usize, Malformed> {
    let Some((body_len, field)) = length_field(PART, bytes, base)? else {
        return Err(Malformed::new(PART, base, format!("length field cut off after {} bytes", bytes.len())));
    };
    let len = field + body_len + CRC_BYTES;
    let Some(entry) = bytes.get(..len) else {
        return Err(Malformed::new(PART, base, format!("entry of {len} bytes, {} left", bytes.len())));
    };
    let (body, stored) = entry[field..].split_at(body_len);
    let stored = u32::from_be_bytes([stored[0], stored[1], stored[2], stored[3]]);
    let computed = crc32c(body);
    if computed != stored {
        return Err(Malformed::new(PART, base, format!("checksum {stored:08x} stored, {computed:08x} computed")));
    }
    let (labels_before, chunks_before) = (labels.len(), chunks.len());
    let mut fields = Fields { bytes: body, at: 0 };
    match fields.labels(labels).and_then(|()| fields.chunks(chunks)) {
        Ok(()) => Ok(len),
        Err(why) => {
            labels.truncate(labels_before);
            chunks.truncate(chunks_before);
            Err(Malformed::new(PART, base + (field + fields.at) as u64, why))
        }
    }
}

/// Reads the body; an error is a reason, and `at` where it was found.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Fields<'_> {
    #[inline]
    fn uvarint(&mut self) -> Result<u64, &'static str> {
        // one load serves varints of up to eight bytes, which nearly all are
        if let Some(eight) = self.bytes[self.at..].first_chunk::<8>() {
            let word = u64::from_le_bytes(*eight);
            let ends = !word & 0x8080_8080_8080_8080;
            if ends != 0 {
                let len = ends.trailing_zeros() / 8 + 1;
                self.at += len as usize;
                let kept = word & (u64::MAX >> (64 - 8 * len));
                return Ok(squeeze(kept & 0x7f7f_7f7f_7f7f_7f7f));
            }
        }
        self.uvarint_slow()
    }

    /// Near the end of the body, and above eight bytes.
    fn uvarint_slow(&mut self) -> Result<u64, &'static str> {
        let mut value = 0u64;
        for (i, &b) in self.bytes[self.at..].iter().take(10).enumerate() {
            if i == 9 && b > 1 {
                return Err("varint above 64 bits");
            }
            value |= u64::from(b & 0x7f) << (7 * i);
            if b < 0x80 {
                self.at += i + 1;
                return Ok(value);
            }
        }
        Err("varint cut off")
    }

    #[inline]
    fn varint(&mut self) -> Result<i64, &'static str> {
        self.uvarint().map(|u| (u >> 1) as i64 ^ -((u & 1) as i64))
    }

    #[inline]
    fn reference(&mut self) -> Result<u32, &'static str> {
        if let Some(&b) = self.bytes.get(self.at)
            && b < 0x80
        {
            self.at += 1;
            return Ok(u32::from(b));
        }
        u32::try_from(self.uvarint()?).map_err(|_| "symbol reference above 32 bits")
    }

    /// A count of things that have `least` bytes each.
    #[inline]
    fn count(&mut self, least: usize, why: &'static str) -> Result<usize, &'static str> {
        let count = self.uvarint()?;
        if count > ((self.bytes.len() - self.at) / least) as u64 {
            return Err(why);
        }
        Ok(count as usize)
    }

    #[inline]
    fn labels(&mut self, labels: &mut Vec<(u32, u32)>) -> Result<(), &'static str> {
        let count = self.count(2, "more labels than the entry has room for")?;
        labels.reserve(count);
        for _ in 0..count {
            let pair = (self.reference()?, self.reference()?);
            labels.push(pair);
        }
        Ok(())
    }

    #[inline]
    fn chunks(&mut self, chunks: &mut Vec<ChunkMeta>) -> Result<(), &'static str> {
        let count = self.count(3, "more chunks than the entry has room for")?;
        chunks.reserve(count);
        // differences wrap, as upstream's do: a chunk may span all times there are
        let (mut end, mut place) = (0i64, 0u64);
        for i in 0..count {
            let min_time = if i == 0 { self.varint()? } else { end.wrapping_add(self.uvarint()? as i64) };
            let max_time = min_time.wrapping_add(self.uvarint()? as i64);
            place = if i == 0 { self.uvarint()? } else { place.wrapping_add(self.varint()? as u64) };
            end = max_time;
            chunks.push(ChunkMeta { min_time, max_time, reference: ChunkRef(place) });
        }
        if self.at != self.bytes.len() {
            return Err("bytes behind the last chunk");
        }
        Ok(())
    }
}

/// Closes the gaps of one bit above each seven.
#[inline]
fn squeeze(sevens: u64) -> u64 {
    let x = (sevens & 0x007f_007f_007f_007f) | ((sevens & 0x7f00_7f00_7f00_7f00) >> 1);
    let x = (x & 0x0000_3fff_0000_3fff) | ((x & 0x3fff_0000_3fff_0000) >> 2);
    (x & 0x0fff_ffff) | ((x & 0x0fff_ffff_0000_0000) >> 4)
}

/// Bytes that [`encode_series`] adds.
pub fn encoded_series_len(labels: &[(u32, u32)], chunks: &[ChunkMeta]) -> u64 {
    let body = body_len(labels, chunks);
    uvarint_len(body) as u64 + body + CRC_BYTES as u64
}

fn body_len(labels: &[(u32, u32)], chunks: &[ChunkMeta]) -> u64 {
    let mut bytes = uvarint_len(labels.len() as u64) + uvarint_len(chunks.len() as u64);
    for &(name, value) in labels {
        bytes += uvarint_len(name.into()) + uvarint_len(value.into());
    }
    let mut before: Option<&ChunkMeta> = None;
    for c in chunks {
        let (min, place) = chunk_fields(before, c);
        bytes += uvarint_len(min) + uvarint_len(c.max_time.wrapping_sub(c.min_time) as u64) + uvarint_len(place);
        before = Some(c);
    }
    bytes as u64
}

/// First and third field of a chunk, as unsigned varints.
#[inline]
fn chunk_fields(before: Option<&ChunkMeta>, c: &ChunkMeta) -> (u64, u64) {
    let zigzag = |v: i64| ((v << 1) ^ (v >> 63)) as u64;
    match before {
        None => (zigzag(c.min_time), c.reference.0),
        Some(b) => (c.min_time.wrapping_sub(b.max_time) as u64, zigzag(c.reference.0.wrapping_sub(b.reference.0) as i64)),
    }
}

/// Appends an entry, length field to checksum, without padding.
///
/// # Errors
/// [`TooLong`] for a body above 4 GiB; then `out` is as it was.
pub fn encode_series(out: &mut Vec<u8>, labels: &[(u32, u32)], chunks: &[ChunkMeta]) -> Result<(), TooLong> {
    let body = body_len(labels, chunks);
    super::section_len(PART, body)?;
    out.reserve(MAX_LENGTH_FIELD_BYTES + body as usize + CRC_BYTES);
    put_uvarint(out, body);
    let start = out.len();
    put_uvarint(out, labels.len() as u64);
    for &(name, value) in labels {
        put_uvarint(out, name.into());
        put_uvarint(out, value.into());
    }
    put_uvarint(out, chunks.len() as u64);
    let mut before: Option<&ChunkMeta> = None;
    for c in chunks {
        let (min, place) = chunk_fields(before, c);
        put_uvarint(out, min);
        put_uvarint(out, c.max_time.wrapping_sub(c.min_time) as u64);
        put_uvarint(out, place);
        before = Some(c);
    }
    debug_assert_eq!((out.len() - start) as u64, body);
    let crc = crc32c(&out[start..]);
    out.extend_from_slice(&crc.to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number() -> impl Strategy<Value = u64> {
        (any::<u64>(), 0u32..64).prop_map(|(n, shift)| n >> shift)
    }

    fn chunk() -> impl Strategy<Value = ChunkMeta> {
        (number(), number(), number(), any::<bool>()).prop_map(|(a, b, place, negative)| {
            let min_time = if negative { !(a as i64) } else { a as i64 };
            ChunkMeta { min_time, max_time: min_time.wrapping_add(b as i64), reference: ChunkRef(place) }
        })
    }

    proptest! {
        #[test]
        fn both_ways(
            labels in proptest::collection::vec((number(), number()).prop_map(|(n, v)| (n as u32, v as u32)), 0..20),
            chunks in proptest::collection::vec(chunk(), 0..20),
            behind in 0usize..12, bit in 0usize..100_000,
        ) {
            let mut out = vec![];
            encode_series(&mut out, &labels, &chunks).unwrap();
            let len = out.len();
            prop_assert_eq!(encoded_series_len(&labels, &chunks), len as u64);
            prop_assert_eq!(series_entry_len(&out, 0), Ok(Some(len)));
            out.resize(len + behind, 0xff);
            // what was there before stays
            let before = ChunkMeta { min_time: 1, max_time: 2, reference: ChunkRef(3) };
            let (mut l, mut c) = (vec![(7, 8)], vec![before]);
            prop_assert_eq!(decode_series(&out, 0, &mut l, &mut c), Ok(len));
            prop_assert_eq!((&l[1..], &c[1..]), (&labels[..], &chunks[..]));
            let (mut l, mut c) = (vec![(7, 8)], vec![before]);
            for cut in 0..len {
                prop_assert!(decode_series(&out[..cut], 0, &mut l, &mut c).is_err());
            }
            let bit = bit % (len * 8);
            out[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decode_series(&out, 0, &mut l, &mut c).is_err());
            prop_assert_eq!((l, c), (vec![(7, 8)], vec![before]));
        }

        #[test]
        fn a_varint_is_what_it_was(n in number(), behind in 0usize..12) {
            let mut bytes = vec![];
            put_uvarint(&mut bytes, n);
            let len = bytes.len();
            bytes.resize(len + behind, 0x91);
            let mut fields = Fields { bytes: &bytes, at: 0 };
            prop_assert_eq!((fields.uvarint(), fields.at), (Ok(n), len));
        }
    }

    /// A body under a right checksum.
    fn check(body: &[u8], expected: &str) {
        let mut bytes = vec![];
        put_uvarint(&mut bytes, body.len() as u64);
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(&crc32c(body).to_be_bytes());
        let (mut labels, mut chunks) = (vec![], vec![]);
        let e = decode_series(&bytes, 32, &mut labels, &mut chunks).unwrap_err();
        assert_eq!(e.to_string(), format!("index series at byte {expected}"));
        assert!(labels.is_empty() && chunks.is_empty() && labels.capacity() < 16 && chunks.capacity() < 16);
    }

    #[test]
    fn damage_under_a_right_checksum() {
        check(&[], "33: varint cut off");
        check(&[0xff, 0xff, 0xff, 0xff, 0x0f, 1, 1], "38: more labels than the entry has room for");
        check(&[1, 0x80, 0x80, 0x80, 0x80, 0x10, 1, 0, 0, 0, 0, 0], "39: symbol reference above 32 bits");
        check(&[1, 1, 2, 3, 0, 0, 0], "37: more chunks than the entry has room for");
        check(&[1, 1, 2, 1, 0, 0, 0, 9], "40: bytes behind the last chunk");
        check(&[1, 1, 2, 1, 0, 0, 0x80], "39: varint cut off");
        check(&[0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0], "35: varint above 64 bits");
    }

    #[test]
    fn lengths_that_no_writer_makes() {
        assert_eq!(series_entry_len(&[], 0), Ok(None));
        assert_eq!(series_entry_len(&[0x80; 4], 0), Ok(None));
        assert_eq!(series_entry_len(&[0x80; 5], 48).unwrap_err().at, 48);
        assert_eq!(series_entry_len(&[0xff, 0xff, 0xff, 0xff, 0x7f], 48).unwrap_err().at, 48);
        assert!(decode_series(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0], 0, &mut vec![], &mut vec![]).is_err());
    }
}
