//! Which record goes into which segment, decided as Prometheus decides it.

use super::record::{ENCODING_BYTES, encoded_len};
use super::{ChunkRef, HEADER_BYTES};
use crate::encoding::MAX_LENGTH_FIELD_BYTES;

/// Gives each chunk record of a block its place.
///
/// The rule is the one of Prometheus' `WriteChunks`, which sees all chunks of one series in one call.
/// It counts each record with a length field of five bytes, whatever the field really takes, and sums
/// since the last cut of the call. While the call has not yet cut a segment that held records before,
/// it cuts when these and the sum exceed the limit, even before the series' first chunk; else it cuts
/// when header and sum do, but never before the first chunk: a segment is never empty, and one chunk
/// may be larger than the limit. Places follow from the records' real lengths.
#[derive(Clone, Debug)]
pub struct Cutter {
    limit: u64,
    /// Number of the segment that is open.
    segment: u32,
    /// Bytes in it, header included; 0 before the first record of all.
    held: u64,
}

impl Cutter {
    /// Places records into segments of about `segment_bytes`; nothing is open yet.
    ///
    /// # Panics
    /// When `segment_bytes` does not fit 32 bits: offsets in references do not go further.
    pub fn new(segment_bytes: u64) -> Self {
        assert!(segment_bytes <= u64::from(u32::MAX), "segments of {segment_bytes} bytes");
        Cutter { limit: segment_bytes, segment: 0, held: 0 }
    }

    /// How many segments were begun.
    pub fn segments(&self) -> u32 {
        if self.held == 0 { 0 } else { self.segment + 1 }
    }

    /// Bytes in the last segment, its header included; 0 before the first record.
    pub fn held_bytes(&self) -> u64 {
        self.held
    }

    /// Places all chunks of one series: appends a reference to `out` for each, in order.
    ///
    /// `data_bytes` are the lengths of the chunks' data without encoding, length field and checksum.
    /// A new segment begins at each reference whose offset is [`HEADER_BYTES`]. A series without
    /// chunks changes nothing.
    ///
    /// # Panics
    /// Above `u32::MAX` bytes of data in one chunk.
    pub fn place(&mut self, data_bytes: impl IntoIterator<Item = u64>, out: &mut Vec<ChunkRef>) {
        const HEADER: u64 = HEADER_BYTES as u64;
        let before = self.held;
        // whether the cut that makes room behind earlier series' records is still to come
        let mut behind_others = before > HEADER;
        let mut sum = 0u64;
        for (i, data) in data_bytes.into_iter().enumerate() {
            assert!(data <= u64::from(u32::MAX), "chunk of {data} bytes");
            let counted = (MAX_LENGTH_FIELD_BYTES + ENCODING_BYTES + 4) as u64 + data;
            sum += counted;
            let cut = if behind_others { before + sum > self.limit } else { i != 0 && HEADER + sum > self.limit };
            if cut {
                behind_others = false;
                sum = counted;
                self.segment += 1;
                self.held = HEADER;
            } else if self.held == 0 {
                self.held = HEADER;
            }
            // below the limit, or the header: every cut above sees to that
            out.push(ChunkRef::new(self.segment, self.held as u32));
            self.held += encoded_len(data);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `WriteChunks` as it is written upstream: batches first, then files.
    #[derive(Default)]
    struct Model {
        n: u64,
        files: u32,
    }

    impl Model {
        fn write_chunks(&mut self, limit: u64, lens: &[u64]) -> Vec<ChunkRef> {
            let mut batches: Vec<Vec<u64>> = vec![vec![]];
            let (mut batch_size, mut first_batch) = (0, true);
            for (i, &len) in lens.iter().enumerate() {
                let size = 5 + 1 + len + 4;
                batch_size += size;
                let mut cut_new = i != 0 && batch_size + 8 > limit;
                if first_batch && self.n > 8 {
                    cut_new = batch_size + self.n > limit;
                    if cut_new {
                        first_batch = false;
                    }
                }
                if cut_new {
                    batches.push(vec![]);
                    batch_size = size;
                }
                batches.last_mut().unwrap().push(len);
            }
            if self.n == 0 {
                self.n = 8;
                self.files = 1;
            }
            let mut refs = vec![];
            for (i, batch) in batches.iter().enumerate() {
                if i > 0 {
                    self.n = 8;
                    self.files += 1;
                }
                for &len in batch {
                    refs.push(ChunkRef::new(self.files - 1, self.n as u32));
                    let mut field = vec![];
                    crate::encoding::put_uvarint(&mut field, len);
                    self.n += field.len() as u64 + 1 + len + 4;
                }
            }
            refs
        }
    }

    fn check(limit: u64, series: &[&[u64]], expected: &[(u32, u32)]) {
        let (mut cutter, mut model) = (Cutter::new(limit), Model::default());
        let mut refs = vec![];
        for lens in series {
            let from = refs.len();
            cutter.place(lens.iter().copied(), &mut refs);
            assert_eq!(refs[from..], model.write_chunks(limit, lens), "the model disagrees");
        }
        assert_eq!(refs, expected.iter().map(|&(s, o)| ChunkRef::new(s, o)).collect::<Vec<_>>());
        assert_eq!((cutter.segments(), cutter.held_bytes()), (model.files, model.n));
    }

    #[test]
    fn everything_fits() {
        check(1000, &[&[10, 20], &[30]], &[(0, 8), (0, 24), (0, 50)]);
    }

    #[test]
    fn the_estimate_counts_five_bytes_for_a_length() {
        // 8 + 2 x (10 + 31) = 90 is full although the records end at 82
        check(90, &[&[31, 31]], &[(0, 8), (0, 45)]);
        check(89, &[&[31, 31]], &[(0, 8), (1, 8)]);
        // behind an earlier series the real position counts: 8 + 37 + 41 = 86
        check(86, &[&[31], &[31]], &[(0, 8), (0, 45)]);
        check(85, &[&[31], &[31]], &[(0, 8), (1, 8)]);
    }

    #[test]
    fn a_series_may_be_cut_before_its_first_chunk_only_behind_others() {
        check(50, &[&[100]], &[(0, 8)]);
        check(50, &[&[100], &[100]], &[(0, 8), (1, 8)]);
        check(0, &[&[0, 0], &[0]], &[(0, 8), (1, 8), (2, 8)]);
    }

    #[test]
    fn a_series_larger_than_a_segment() {
        check(58, &[&[5], &[30, 30, 1, 30]], &[(0, 8), (1, 8), (2, 8), (3, 8), (4, 8)]);
        check(110, &[&[30, 30, 30, 30, 30]], &[(0, 8), (0, 44), (1, 8), (1, 44), (2, 8)]);
    }

    #[test]
    fn after_the_first_cut_only_the_sum_since_counts() {
        // 24 held; 24 + 20 > 40 cuts at once; then 8 + 20 + 11 fits, 8 + 20 + 11 + 11 does not
        check(40, &[&[10], &[10, 1, 1, 1]], &[(0, 8), (1, 8), (1, 24), (2, 8), (2, 15)]);
    }

    #[test]
    fn the_held_bytes_of_the_call_are_those_at_its_start() {
        check(94, &[&[20], &[10, 10, 10]], &[(0, 8), (0, 34), (0, 50), (0, 66)]);
        check(93, &[&[20], &[10, 10, 10]], &[(0, 8), (0, 34), (0, 50), (1, 8)]);
    }

    #[test]
    fn no_chunks_no_segment() {
        let mut cutter = Cutter::new(100);
        cutter.place([], &mut vec![]);
        assert_eq!((cutter.segments(), cutter.held_bytes()), (0, 0));
    }

    proptest! {
        #[test]
        fn as_the_model_does(limit in 0u64..2000, series in proptest::collection::vec(proptest::collection::vec(prop_oneof![0u64..40, 100u64..600, 120u64..140], 1..12), 1..40)) {
            let (mut cutter, mut model) = (Cutter::new(limit), Model::default());
            for lens in &series {
                let mut refs = vec![];
                cutter.place(lens.iter().copied(), &mut refs);
                prop_assert_eq!(refs, model.write_chunks(limit, lens));
                prop_assert_eq!((cutter.segments(), cutter.held_bytes()), (model.files, model.n));
            }
        }
    }
}
