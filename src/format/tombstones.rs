//! The file `tombstones` of a block: which times of which series are deleted.
//!
//! Magic number, version, then records of (series reference, first time, last time), then a CRC32C
//! of the records alone, without the version before them; [`describe`] prints them. Prometheus writes
//! an empty one into every block.
//!
//! *Source*: Prometheus `tsdb/tombstones/tombstones.go`.

use std::collections::BTreeMap;

use crate::encoding::{Cursor, Dump, Malformed, crc32c, put_uvarint, put_varint};
use crate::model::Millis;

/// First four bytes of the file.
pub const MAGIC: u32 = 0x0130_BA30;

/// The only version there is.
pub const VERSION: u8 = 1;

/// Bytes before the records: magic and version.
pub const HEADER_BYTES: usize = 5;

const CRC_BYTES: usize = 4;

const PART: &str = "tombstones";

/// Deleted times of one series, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval {
    /// First deleted millisecond.
    pub min: Millis,
    /// Last deleted millisecond.
    pub max: Millis,
}

impl Interval {
    /// From `min` to `max`, both included.
    pub const fn new(min: Millis, max: Millis) -> Self {
        Interval { min, max }
    }

    /// Whether `t` lies within.
    pub fn contains(self, t: Millis) -> bool {
        self.min <= t && t <= self.max
    }
}

/// Intervals that ascend and neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Intervals(Vec<Interval>);

impl Intervals {
    /// No intervals.
    pub const fn new() -> Self {
        Intervals(Vec::new())
    }

    /// The intervals in order.
    pub fn as_slice(&self) -> &[Interval] {
        &self.0
    }

    /// Adds an interval, and makes one of all that overlap it or lie a millisecond beside it. A
    /// reversed one holds no time and changes nothing.
    pub fn add(&mut self, new: Interval) {
        if new.min > new.max {
            return;
        }
        // [from, to) are those that become one with the new interval
        let from = self.0.partition_point(|i| i.max < new.min.saturating_sub(1));
        let to = from + self.0[from..].partition_point(|i| i.min <= new.max.saturating_add(1));
        let merged = match self.0[from..to] {
            [] => new,
            [first, .., last] => Interval::new(first.min.min(new.min), last.max.max(new.max)),
            [one] => Interval::new(one.min.min(new.min), one.max.max(new.max)),
        };
        self.0.splice(from..to, [merged]);
    }

    /// Whether one interval holds all of `part`: a chunk of these times is deleted as a whole.
    pub fn covers(&self, part: Interval) -> bool {
        let i = self.0.partition_point(|i| i.max < part.min);
        self.0.get(i).is_some_and(|i| i.contains(part.min) && i.contains(part.max))
    }

    /// Whether any time of `part` is deleted.
    pub fn overlaps(&self, part: Interval) -> bool {
        let i = self.0.partition_point(|i| i.max < part.min);
        part.min <= part.max && self.0.get(i).is_some_and(|i| i.min <= part.max)
    }

    /// Whether the sample at `t` is deleted.
    pub fn contains(&self, t: Millis) -> bool {
        self.covers(Interval::new(t, t))
    }
}

impl FromIterator<Interval> for Intervals {
    fn from_iter<I: IntoIterator<Item = Interval>>(intervals: I) -> Self {
        let mut all = Intervals::new();
        intervals.into_iter().for_each(|i| all.add(i));
        all
    }
}

/// Deleted times of a block, by series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tombstones(BTreeMap<u64, Intervals>);

impl Tombstones {
    /// Nothing deleted.
    pub const fn new() -> Self {
        Tombstones(BTreeMap::new())
    }

    /// Reads a whole file. Records of one series merge as [`Intervals::add`] says.
    ///
    /// # Errors
    /// [`Malformed`] when cut off, with another magic number or version, when the checksum differs, or
    /// when a record is cut off.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut all = Tombstones::new();
        walk(bytes, |_, record| all.add(record.series, record.interval))?;
        Ok(all)
    }

    /// The whole file, series in order of references.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_be_bytes().to_vec();
        out.push(VERSION);
        for (&series, intervals) in &self.0 {
            for interval in intervals.as_slice() {
                put_uvarint(&mut out, series);
                put_varint(&mut out, interval.min);
                put_varint(&mut out, interval.max);
            }
        }
        let crc = crc32c(&out[HEADER_BYTES..]);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }

    /// Deletes times of the series that the block's postings call `series`.
    pub fn add(&mut self, series: u64, interval: Interval) {
        if interval.min <= interval.max {
            self.0.entry(series).or_default().add(interval);
        }
    }

    /// Deleted times of a series.
    pub fn get(&self, series: u64) -> Option<&Intervals> {
        self.0.get(&series)
    }

    /// Series that lost times, in order of references.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Intervals)> {
        self.0.iter().map(|(&series, intervals)| (series, intervals))
    }

    /// Whether nothing is deleted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many intervals there are: `numTombstones` in the block's statistics.
    pub fn len(&self) -> usize {
        self.0.values().map(|i| i.as_slice().len()).sum()
    }
}

struct Record {
    series: u64,
    interval: Interval,
    /// Where each field ends in the file.
    ends: [usize; 3],
}

/// Checks the frame and hands over each record with its offset.
fn walk(bytes: &[u8], mut each: impl FnMut(usize, Record)) -> Result<(), Malformed> {
    let mut c = Cursor::new(PART, bytes);
    let magic = c.be32()?;
    if magic != MAGIC {
        return Err(Malformed::new(PART, 0, format!("magic number {magic:08x} instead of {MAGIC:08x}")));
    }
    let version = c.u8()?;
    if version != VERSION {
        return Err(Malformed::new(PART, 4, format!("version {version} instead of {VERSION}")));
    }
    let Some((records, stored)) = c.rest().split_last_chunk::<CRC_BYTES>() else {
        return Err(c.fail(format!("{} bytes left, {CRC_BYTES} of checksum expected", c.remaining())));
    };
    let (stored, computed) = (u32::from_be_bytes(*stored), crc32c(records));
    if stored != computed {
        return Err(c.fail(format!("checksum {stored:08x} stored, {computed:08x} computed")));
    }
    let mut c = Cursor::at_offset(PART, records, HEADER_BYTES as u64);
    while !c.is_empty() {
        let at = HEADER_BYTES + c.index();
        let (series, end) = (c.uvarint()?, c.index());
        let (min, min_end) = (c.varint()?, c.index());
        let max = c.varint()?;
        let ends = [end, min_end, c.index()].map(|i| HEADER_BYTES + i);
        each(at, Record { series, interval: Interval::new(min, max), ends });
    }
    Ok(())
}

/// Every byte of the file with its meaning.
///
/// # Errors
/// [`Malformed`] as [`Tombstones::decode`].
pub fn describe(bytes: &[u8]) -> Result<String, Malformed> {
    let mut dump = Dump::new(bytes, 0);
    dump.begin("header");
    dump.field(4, "magic number of tombstones");
    dump.field(HEADER_BYTES, format!("version {VERSION}"));
    dump.end();
    walk(bytes, |at, record| {
        dump.begin(format!("record at {at}"));
        dump.field(record.ends[0], format!("series {}", record.series));
        dump.field(record.ends[1], format!("from {}", record.interval.min));
        dump.field(record.ends[2], format!("to {}", record.interval.max));
        dump.end();
    })?;
    dump.field(bytes.len(), "CRC32C of the records");
    Ok(dump.finish())
}

/// Runs every decoder of this room over `bytes`; whatever they are, nothing may panic.
///
/// Mutation tests and fuzz targets share it.
pub fn exercise(bytes: &[u8]) {
    let read = Tombstones::decode(bytes);
    assert_eq!(read.is_ok(), describe(bytes).is_ok(), "decoding and describing agree");
    if let Ok(read) = read {
        assert_eq!(Tombstones::decode(&read.encode()), Ok(read), "what is read is written so that it reads the same");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(have: &[(i64, i64)], new: (i64, i64), expected: &[(i64, i64)]) {
        let mut all = Intervals(have.iter().map(|&(a, b)| Interval::new(a, b)).collect());
        all.add(Interval::new(new.0, new.1));
        let seen: Vec<_> = all.as_slice().iter().map(|i| (i.min, i.max)).collect();
        assert_eq!(seen, expected, "{have:?} and {new:?}");
    }

    #[test]
    fn intervals_merge_when_they_overlap_or_touch() {
        check(&[], (1, 2), &[(1, 2)]);
        check(&[(1, 2)], (1, 2), &[(1, 2)]);
        check(&[(1, 4), (6, 6)], (5, 6), &[(1, 6)]);
        check(&[(1, 10), (12, 20), (25, 30)], (21, 25), &[(1, 10), (12, 30)]);
        check(&[(1, 10), (12, 20), (25, 30)], (22, 23), &[(1, 10), (12, 20), (22, 23), (25, 30)]);
        check(&[(1, 2), (3, 5), (7, 7)], (6, 7), &[(1, 2), (3, 7)]);
        check(&[(5, 10), (12, 20), (25, 30)], (18, 24), &[(5, 10), (12, 30)]);
        check(&[(5, 10), (12, 20), (25, 30)], (1, 40), &[(1, 40)]);
        check(&[(5, 10), (12, 20)], (1, 3), &[(1, 3), (5, 10), (12, 20)]);
        check(&[(5, 10)], (7, 3), &[(5, 10)]);
    }

    #[test]
    fn the_ends_of_time() {
        check(&[(0, 1), (10, 11)], (5, i64::MAX), &[(0, 1), (5, i64::MAX)]);
        check(&[(0, 1), (10, 11)], (i64::MIN, 5), &[(i64::MIN, 5), (10, 11)]);
        check(&[(i64::MIN, 0), (9, i64::MAX)], (i64::MIN, i64::MAX), &[(i64::MIN, i64::MAX)]);
        check(&[(i64::MIN, i64::MIN)], (i64::MAX, i64::MAX), &[(i64::MIN, i64::MIN), (i64::MAX, i64::MAX)]);
    }

    proptest! {
        #[test]
        fn as_a_set_of_times(adds in proptest::collection::vec((0i64..40, 0i64..12), 0..12), part in (0i64..50, 0i64..8)) {
            let mut set = [false; 60];
            let mut all = Intervals::new();
            for (min, len) in adds {
                all.add(Interval::new(min, min + len));
                set[min as usize..=(min + len) as usize].fill(true);
            }
            for t in 0..60 {
                prop_assert_eq!(all.contains(t), set[t as usize]);
            }
            prop_assert!(all.as_slice().windows(2).all(|w| w[0].max + 1 < w[1].min));
            let part = Interval::new(part.0, part.0 + part.1);
            let times = &set[part.min as usize..=part.max as usize];
            prop_assert_eq!(all.covers(part), times.iter().all(|&d| d));
            prop_assert_eq!(all.overlaps(part), times.iter().any(|&d| d));
        }

        #[test]
        fn both_ways(records in proptest::collection::vec((0u64..5, any::<i64>(), any::<i64>()), 0..20)) {
            let mut all = Tombstones::new();
            for (series, a, b) in records {
                all.add(series, Interval::new(a, b));
            }
            let bytes = all.encode();
            prop_assert_eq!(Tombstones::decode(&bytes), Ok(all.clone()));
            exercise(&bytes);
            for cut in 0..bytes.len() {
                prop_assert!(Tombstones::decode(&bytes[..cut]).is_err(), "cut at {}", cut);
            }
        }
    }

    fn example() -> Tombstones {
        let mut all = Tombstones::new();
        all.add(300, Interval::new(-1, 64));
        all.add(7, Interval::new(0, 1));
        all.add(7, Interval::new(5, 6));
        all
    }

    #[test]
    fn a_dump_covers_every_byte() {
        let bytes = example().encode();
        let text = describe(&bytes).unwrap();
        assert_eq!(
            text,
            "            header
         0    0130ba30  # magic number of tombstones
         4    01  # version 1
            record at 5
         5    07  # series 7
         6    00  # from 0
         7    02  # to 1
            record at 8
         8    07  # series 7
         9    0a  # from 5
        10    0c  # to 6
            record at 11
        11    ac02  # series 300
        13    01  # from -1
        14    8001  # to 64
        16  5806a34d  # CRC32C of the records
"
        );
    }

    #[test]
    fn an_empty_file_of_prometheus() {
        let bytes = include_bytes!("../../testdata/index-v1/tombstones");
        let none = Tombstones::decode(bytes).unwrap();
        assert!(none.is_empty());
        assert_eq!(none.encode(), bytes);
        assert_eq!((example().len(), none.len()), (3, 0));
    }

    #[test]
    fn damage() {
        let good = example().encode();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Tombstones::decode(&bad).is_err(), "bit {bit}");
            exercise(&bad);
        }
        // a record cut off under a right checksum
        let mut bad = good[..good.len() - 6].to_vec();
        let crc = crc32c(&bad[HEADER_BYTES..]);
        bad.extend_from_slice(&crc.to_be_bytes());
        assert_eq!(Tombstones::decode(&bad).unwrap_err().why, "varint cut off");
    }
}
