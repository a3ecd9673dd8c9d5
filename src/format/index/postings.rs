//! Postings lists: which series have a label pair.

use super::{FRAME, TooLong, section, section_len};
use crate::encoding::{Malformed, crc32c};

const PART: &str = "index postings";

/// Series ids of one label pair, checksum verified; what an id means the index's format says.
///
/// *Order*: as written, which is ascending in every sound index; nothing here relies on it.
#[derive(Clone, Copy, Debug)]
pub struct PostingsList<'a> {
    ids: &'a [[u8; 4]],
}

impl<'a> PostingsList<'a> {
    /// How many ids.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The id at `position`.
    pub fn get(&self, position: usize) -> Option<u32> {
        self.ids.get(position).map(|id| u32::from_be_bytes(*id))
    }

    /// The ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = u32> + DoubleEndedIterator + Clone + use<'a> {
        self.ids.iter().map(|id| u32::from_be_bytes(*id))
    }

    /// Bytes of the whole list, length field to checksum, without padding.
    pub fn len_bytes(&self) -> usize {
        2 * FRAME + 4 + 4 * self.ids.len()
    }
}

/// Bytes of the list that `bytes` begin with, length field to checksum; `None` below four bytes.
pub fn postings_list_len(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk::<4>().map(|len| u64::from(u32::from_be_bytes(*len)) + 2 * FRAME as u64)
}

/// Reads the list that `bytes` begin with; more may follow. Nothing is copied.
///
/// `base` is the offset of `bytes` in the index, for errors.
///
/// # Errors
/// [`Malformed`] when cut off, when the checksum differs, or when count and length do not agree.
pub fn decode_postings_list(bytes: &[u8], base: u64) -> Result<PostingsList<'_>, Malformed> {
    let content = section(PART, bytes, base)?;
    let Some((count, ids)) = content.split_first_chunk::<4>() else {
        return Err(Malformed::new(PART, base, format!("list of {} bytes has no count", content.len())));
    };
    let count = u32::from_be_bytes(*count);
    let (ids, rest) = ids.as_chunks::<4>();
    if !rest.is_empty() || ids.len() as u64 != u64::from(count) {
        let why = format!("{count} series in a list of {} bytes", content.len());
        return Err(Malformed::new(PART, base, why));
    }
    Ok(PostingsList { ids })
}

/// Appends a list, length field to checksum. The caller has aligned it to four bytes.
///
/// # Errors
/// [`TooLong`] when the list does not fit its length field; then `out` is as it was.
pub fn encode_postings_list(out: &mut Vec<u8>, ids: impl ExactSizeIterator<Item = u32>) -> Result<(), TooLong> {
    let count = ids.len();
    let len = section_len(PART, 4 + 4 * count as u64)?;
    out.reserve(2 * FRAME + len as usize);
    out.extend_from_slice(&len.to_be_bytes());
    let content = out.len();
    out.extend_from_slice(&(count as u32).to_be_bytes());
    for id in ids {
        out.extend_from_slice(&id.to_be_bytes());
    }
    assert_eq!(out.len() - content, len as usize, "the iterator said {count} ids");
    let crc = crc32c(&out[content..]);
    out.extend_from_slice(&crc.to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_ways(ids in proptest::collection::vec(any::<u32>(), 0..50), bit in 0usize..10_000) {
            let mut out = vec![];
            encode_postings_list(&mut out, ids.iter().copied()).unwrap();
            let list = decode_postings_list(&out, 0).unwrap();
            prop_assert_eq!(list.iter().collect::<Vec<_>>(), &ids[..]);
            prop_assert_eq!((list.len(), list.len_bytes()), (ids.len(), out.len()));
            prop_assert_eq!(list.get(ids.len()), None);
            prop_assert_eq!(postings_list_len(&out), Some(out.len() as u64));
            for cut in 0..out.len() {
                prop_assert!(decode_postings_list(&out[..cut], 0).is_err());
            }
            let bit = bit % (out.len() * 8);
            out[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decode_postings_list(&out, 0).is_err());
        }
    }

    #[test]
    fn known_bytes_and_a_count_that_lies() {
        let mut out = vec![];
        encode_postings_list(&mut out, [3, 7].into_iter()).unwrap();
        assert_eq!(out[..16], [0, 0, 0, 12, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 7]);
        out[7] = 3;
        let crc = crc32c(&out[4..16]);
        out[16..].copy_from_slice(&crc.to_be_bytes());
        assert_eq!(
            decode_postings_list(&out, 64).unwrap_err().to_string(),
            "index postings at byte 64: 3 series in a list of 12 bytes"
        );
    }
}
