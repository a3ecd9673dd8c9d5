//! One chunk record: length of the data, encoding, data, checksum.

use crate::encoding::{Malformed, crc32c, length_field, put_uvarint, uvarint_len};

/// Bytes of the encoding, which the length field does not count.
pub const ENCODING_BYTES: usize = 1;

/// Bytes of the checksum, which the length field does not count either.
const CRC_BYTES: usize = 4;

const PART: &str = "chunk";

/// A record whose checksum was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// How the data is encoded; not judged here.
    pub encoding: u8,
    /// The chunk itself.
    pub data: &'a [u8],
    /// Bytes of the whole record: length field, encoding, data, checksum.
    pub len_bytes: usize,
    /// CRC32C of encoding and data as the record has it.
    pub crc: u32,
}

/// Bytes of a whole record that has `data_bytes` bytes of data.
#[inline]
pub fn encoded_len(data_bytes: u64) -> u64 {
    (uvarint_len(data_bytes) + ENCODING_BYTES + CRC_BYTES) as u64 + data_bytes
}

/// The length field, which has to be as short as it can be: bytes of data and bytes of the field.
#[inline]
fn shortest_length_field(bytes: &[u8], base: u64) -> Result<Option<(usize, usize)>, Malformed> {
    match length_field(PART, bytes, base)? {
        Some((_, field)) if field > 1 && bytes[field - 1] == 0 => {
            Err(Malformed::new(PART, base, "length field is longer than it needs to be"))
        }
        found => Ok(found),
    }
}

/// Bytes of the whole record that `bytes` begin with, or `None` when even the length field is cut
/// off (it has at most five bytes). The data itself need not be there.
///
/// `base` is the offset of `bytes` in the segment, for errors.
///
/// # Errors
/// [`Malformed`] for a length field that no writer makes.
#[inline]
pub fn record_len(bytes: &[u8], base: u64) -> Result<Option<usize>, Malformed> {
    Ok(shortest_length_field(bytes, base)?.map(|(data, field)| field + ENCODING_BYTES + data + CRC_BYTES))
}

/// Reads the record that `bytes` begin with and verifies its checksum; more may follow.
///
/// `base` is the offset of `bytes` in the segment, for errors.
///
/// # Errors
/// [`Malformed`] when cut off, when the checksum differs, or for a length field that no writer makes
/// (so that a record that was read can be copied as it is).
#[inline]
pub fn decode_record(bytes: &[u8], base: u64) -> Result<Record<'_>, Malformed> {
    let Some((data_len, field)) = shortest_length_field(bytes, base)? else {
        return Err(cut_off(bytes.len(), base));
    };
    let len_bytes = field + ENCODING_BYTES + data_len + CRC_BYTES;
    let Some(record) = bytes.get(..len_bytes) else {
        return Err(Malformed::new(PART, base, format!("record of {len_bytes} bytes, {} left", bytes.len())));
    };
    let (body, stored) = record[field..].split_at(ENCODING_BYTES + data_len);
    let crc = u32::from_be_bytes([stored[0], stored[1], stored[2], stored[3]]);
    let computed = crc32c(body);
    if computed != crc {
        return Err(Malformed::new(PART, base, format!("checksum {crc:08x} stored, {computed:08x} computed")));
    }
    Ok(Record { encoding: body[0], data: &body[ENCODING_BYTES..], len_bytes, crc })
}

/// The `data_bytes` bytes of data of a whole record that was verified or made just now.
///
/// # Panics
/// When the record is shorter than that.
#[inline]
pub fn data_of(record: &[u8], data_bytes: u32) -> &[u8] {
    let end = record.len() - CRC_BYTES;
    &record[end - data_bytes as usize..end]
}

#[cold]
fn cut_off(left: usize, base: u64) -> Malformed {
    Malformed::new(PART, base, format!("length field cut off after {left} bytes"))
}

/// Appends a record.
///
/// # Panics
/// When `data` has more than `u32::MAX` bytes.
pub fn encode_record(out: &mut Vec<u8>, encoding: u8, data: &[u8]) {
    assert!(u32::try_from(data.len()).is_ok(), "chunk of {} bytes", data.len());
    out.reserve(encoded_len(data.len() as u64) as usize);
    put_uvarint(out, data.len() as u64);
    let body = out.len();
    out.push(encoding);
    out.extend_from_slice(data);
    let crc = crc32c(&out[body..]);
    out.extend_from_slice(&crc.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_ways(encoding: u8, data in proptest::collection::vec(any::<u8>(), 0..400), behind in proptest::collection::vec(any::<u8>(), 0..9)) {
            let mut out = Vec::new();
            encode_record(&mut out, encoding, &data);
            let len = out.len();
            prop_assert_eq!(len as u64, encoded_len(data.len() as u64));
            out.extend_from_slice(&behind);
            prop_assert_eq!(record_len(&out, 0).unwrap(), Some(len));
            let record = decode_record(&out, 0).unwrap();
            prop_assert_eq!((record.encoding, record.data, record.len_bytes), (encoding, &data[..], len));
            for cut in 0..len {
                prop_assert!(decode_record(&out[..cut], 0).is_err());
            }
        }

        #[test]
        fn one_wrong_bit_is_never_other_data(data in proptest::collection::vec(any::<u8>(), 0..60), bit in 0usize..512) {
            let mut out = Vec::new();
            encode_record(&mut out, 1, &data);
            let bit = bit % (out.len() * 8);
            out[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decode_record(&out, 0).is_err());
        }
    }

    #[test]
    fn lengths_that_no_writer_makes() {
        let why = |bytes: &[u8]| record_len(bytes, 40).unwrap_err();
        assert_eq!(why(&[0x80, 0x00]).why, "length field is longer than it needs to be");
        assert_eq!(why(&[0x80; 5]).why, "length field is longer than five bytes");
        assert_eq!(why(&[0xff, 0xff, 0xff, 0xff, 0x7f]).at, 40);
        assert_eq!(record_len(&[0xff, 0xff, 0xff, 0xff, 0x0f], 0).unwrap(), Some(5 + 1 + u32::MAX as usize + 4));
        assert_eq!(record_len(&[0x80, 0x80], 0), Ok(None));
        assert_eq!(record_len(&[], 0), Ok(None));
        assert_eq!(decode_record(&[0xff, 0xff, 0xff, 0xff, 0x0f, 1], 7).unwrap_err().at, 7);
    }
}
