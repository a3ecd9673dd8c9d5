//! What a block holds, as sums that do not depend on order: two of them agree when the same chunks belong to
//! the same series, in whatever order they were seen.
//!
//! A chunk counts with the labels of its series, its times, and its record as the record's own checksum, length
//! and encoding give it: whoever adds one has compared that checksum with the bytes. Labels count as numbers of
//! symbols, and each symbol with its number and its text.
//!
//! Sums wrap. What is summed is mixed as XXH3 mixes, so that a field that moves from one chunk to another shows.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::model::Millis;

/// The primes of XXH64, which keep factors apart from zero and from each other.
const PRIMES: [u64; 5] =
    [0x9E37_79B1_85EB_CA87, 0xC2B2_AE3D_27D4_EB4F, 0x1656_67B1_9E37_79F9, 0x85EB_CA77_C2B2_AE63, 0x27D4_EB2F_1656_67C5];

/// A chunk record whose checksum was compared with its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordSum {
    /// CRC32C of encoding and data.
    pub crc: u32,
    /// Bytes of data.
    pub data_bytes: u32,
    /// How the data is encoded.
    pub encoding: u8,
}

impl RecordSum {
    /// Of a whole record with `data_bytes` bytes of data.
    ///
    /// # Panics
    /// When the record is shorter than that.
    #[inline]
    pub fn of(record: &[u8], encoding: u8, data_bytes: u32) -> Self {
        let (_, crc) = record.split_last_chunk::<4>().expect("a record ends with its checksum");
        RecordSum { crc: u32::from_be_bytes(*crc), data_bytes, encoding }
    }
}

/// Sums over symbols, series and chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// Series.
    pub series: u64,
    /// Chunks.
    pub chunks: u64,
    /// Of each chunk with its series.
    pub chunk_sum: u64,
    /// Of each symbol with its number.
    pub symbol_sum: u64,
}

impl Fingerprint {
    /// Adds a chunk of the series with these labels.
    #[inline]
    pub fn chunk(&mut self, labels: LabelsSum, (min_time, max_time): (Millis, Millis), record: RecordSum) {
        let body = u64::from(record.crc) << 32 | u64::from(record.data_bytes);
        let whose = mix(labels.0 ^ PRIMES[0], body ^ PRIMES[1]);
        let when = mix(min_time as u64 ^ PRIMES[2], max_time as u64 ^ PRIMES[3]);
        let how = PRIMES[4].wrapping_mul(1 + u64::from(record.encoding));
        self.chunk_sum = self.chunk_sum.wrapping_add(mix(whose ^ how, when.rotate_left(32) ^ PRIMES[2]));
        self.chunks += 1;
    }

    /// Adds a symbol and its number.
    #[inline]
    pub fn symbol(&mut self, number: u32, text: &[u8]) {
        self.symbol_sum = self.symbol_sum.wrapping_add(xxh3_64_with_seed(text, u64::from(number)));
    }

    /// Adds all that another one saw.
    pub fn add(&mut self, other: &Fingerprint) {
        self.series += other.series;
        self.chunks += other.chunks;
        self.chunk_sum = self.chunk_sum.wrapping_add(other.chunk_sum);
        self.symbol_sum = self.symbol_sum.wrapping_add(other.symbol_sum);
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fingerprint { series, chunks, chunk_sum, symbol_sum } = self;
        write!(f, "{series} series, {chunks} chunks, {chunk_sum:016x}, symbols {symbol_sum:016x}")
    }
}

/// A folded product, by which XXH3 mixes short inputs: a call for each field would cost more than the check is worth.
#[inline]
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// The labels of one series, as numbers of symbols.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LabelsSum(u64);

impl LabelsSum {
    /// Of all pairs of name and value.
    #[inline]
    pub fn of(labels: &[(u32, u32)]) -> Self {
        let mut sum = LabelsSum::default();
        labels.iter().for_each(|&(name, value)| sum.pair(name, value));
        sum
    }

    /// Adds a pair.
    #[inline]
    pub fn pair(&mut self, name: u32, value: u32) {
        let pair = u64::from(name) << 32 | u64::from(value);
        self.0 = self.0.wrapping_add(mix(pair ^ PRIMES[0], pair.rotate_left(29) ^ PRIMES[1]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: RecordSum = RecordSum { crc: 7, data_bytes: 120, encoding: 1 };

    type Chunk<'a> = (&'a [(u32, u32)], (Millis, Millis), RecordSum);

    fn of(chunks: &[Chunk<'_>]) -> Fingerprint {
        let mut sum = Fingerprint::default();
        chunks.iter().for_each(|&(labels, times, record)| sum.chunk(LabelsSum::of(labels), times, record));
        sum
    }

    #[test]
    fn the_order_does_not_matter() {
        let a: Chunk<'_> = (&[(1, 2), (3, 4)], (0, 10), RECORD);
        let b: Chunk<'_> = (&[(1, 2), (3, 5)], (0, 10), RecordSum { crc: 8, ..RECORD });
        let c: Chunk<'_> = (&[(1, 2), (3, 4)], (11, 20), RecordSum { crc: 9, ..RECORD });
        assert_eq!(of(&[a, b, c]), of(&[c, a, b]));
        let mut parts = of(&[b]);
        parts.add(&of(&[a, c]));
        assert_eq!(parts, of(&[a, b, c]));
        assert_ne!(of(&[a, b]), of(&[a, a]));
    }

    #[test]
    fn each_field_matters() {
        let labels: &[_] = &[(1, 2), (3, 4)];
        let seen = of(&[(labels, (5, 10), RECORD)]);
        let others: [Chunk<'_>; 10] = [
            (&[(1, 2), (3, 5)], (5, 10), RECORD),
            (&[(1, 4), (3, 2)], (5, 10), RECORD),
            (&[(2, 1), (3, 4)], (5, 10), RECORD),
            (&[(1, 2)], (5, 10), RECORD),
            (labels, (6, 10), RECORD),
            (labels, (5, 11), RECORD),
            (labels, (10, 5), RECORD),
            (labels, (5, 10), RecordSum { crc: 6, ..RECORD }),
            (labels, (5, 10), RecordSum { data_bytes: 119, ..RECORD }),
            (labels, (5, 10), RecordSum { encoding: 2, ..RECORD }),
        ];
        for other in others {
            assert_ne!(of(&[other]), seen, "{other:?}");
        }
        let symbols = |of: &[(u32, &str)]| {
            let mut sum = Fingerprint::default();
            of.iter().for_each(|(n, text)| sum.symbol(*n, text.as_bytes()));
            sum.symbol_sum
        };
        assert_eq!(symbols(&[(0, "a"), (1, "b")]), symbols(&[(1, "b"), (0, "a")]));
        assert_ne!(symbols(&[(0, "a"), (1, "b")]), symbols(&[(1, "a"), (0, "b")]));
        assert_ne!(symbols(&[(0, "a"), (1, "b")]), symbols(&[(0, "a"), (1, "c")]));
    }

    /// What moves between two chunks keeps plain sums as they are.
    #[test]
    fn fields_that_change_places_show() {
        let labels: &[_] = &[(1, 2)];
        let other = RecordSum { crc: 8, ..RECORD };
        assert_ne!(
            of(&[(labels, (0, 5), RECORD), (labels, (6, 9), other)]),
            of(&[(labels, (0, 5), other), (labels, (6, 9), RECORD)])
        );
        let a: &[_] = &[(1, 9)];
        assert_ne!(of(&[(labels, (0, 5), RECORD), (a, (0, 5), other)]), of(&[(labels, (0, 5), other), (a, (0, 5), RECORD)]));
    }
}
