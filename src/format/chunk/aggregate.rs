//! Aggregates: up to five chunks over the same windows of time, as Thanos' downsampling writes them.
//!
//! For each of count, sum, min, max, counter: a uvarint length; if it is 0 the aggregate is absent
//! and nothing follows, else the encoding byte (not part of the length) and the chunk. Source:
//! `pkg/compact/downsample/aggr.go` of Thanos.

use std::fmt;

use super::Encoding;
use super::bits::PART;
use crate::encoding::{Cursor, Malformed, put_uvarint};

/// What was aggregated; the order is the one in the chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AggregateKind {
    /// How many raw samples a window has.
    Count,
    /// Their sum.
    Sum,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// The last, after resets were added up.
    Counter,
}

impl AggregateKind {
    /// All five, in order.
    pub const ALL: [AggregateKind; 5] =
        [AggregateKind::Count, AggregateKind::Sum, AggregateKind::Min, AggregateKind::Max, AggregateKind::Counter];
}

impl fmt::Display for AggregateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            AggregateKind::Count => "count",
            AggregateKind::Sum => "sum",
            AggregateKind::Min => "min",
            AggregateKind::Max => "max",
            AggregateKind::Counter => "counter",
        })
    }
}

/// The chunks within an aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aggregate<'a> {
    slots: [Option<(Encoding, &'a [u8])>; 5],
}

impl<'a> Aggregate<'a> {
    /// Takes a chunk of encoding 255 apart; the chunks within are not decoded.
    ///
    /// # Errors
    /// [`Malformed`] when a length is more than what is left, an encoding is unknown or again an
    /// aggregate, or bytes are left over.
    pub fn parse(data: &'a [u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(PART, data);
        let mut slots = [None; 5];
        for slot in &mut slots {
            *slot = take_slot(&mut cursor)?;
        }
        if !cursor.is_empty() {
            return Err(cursor.fail("bytes behind the last aggregate"));
        }
        Ok(Aggregate { slots })
    }

    /// The chunk of one aggregate, if it is there.
    pub fn get(&self, kind: AggregateKind) -> Option<(Encoding, &'a [u8])> {
        self.slots[kind as usize]
    }

    /// The chunks that are there, in order.
    pub fn iter(&self) -> impl Iterator<Item = (AggregateKind, Encoding, &'a [u8])> + '_ {
        AggregateKind::ALL.into_iter().filter_map(|kind| self.get(kind).map(|(encoding, data)| (kind, encoding, data)))
    }
}

/// The next slot.
pub(super) fn take_slot<'a>(cursor: &mut Cursor<'a>) -> Result<Option<(Encoding, &'a [u8])>, Malformed> {
    let len = cursor.uvarint()?;
    if len == 0 {
        return Ok(None);
    }
    let byte = cursor.u8()?;
    let encoding = match Encoding::from_byte(byte) {
        Some(encoding) if encoding != Encoding::Aggregate => encoding,
        _ => return Err(cursor.fail(format!("an aggregate of encoding {byte}"))),
    };
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    Ok(Some((encoding, cursor.take(len)?)))
}

/// The chunk (without its encoding byte, 255) that holds these chunks, in the order of
/// [`AggregateKind::ALL`]; an empty one counts as absent.
pub fn encode_aggregate(slots: [Option<(Encoding, &[u8])>; 5]) -> Vec<u8> {
    let mut out = Vec::with_capacity(slots.iter().flatten().map(|(_, data)| data.len() + 4).sum::<usize>() + slots.len());
    for slot in slots {
        put_slot(&mut out, slot);
    }
    out
}

/// Appends the next of the five slots that make a chunk of encoding 255; an empty one counts as absent.
pub fn put_slot(out: &mut Vec<u8>, slot: Option<(Encoding, &[u8])>) {
    match slot.filter(|(_, data)| !data.is_empty()) {
        None => put_uvarint(out, 0),
        Some((encoding, data)) => {
            put_uvarint(out, data.len() as u64);
            out.push(encoding.as_byte());
            out.extend_from_slice(data);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample_count;
    use super::*;

    #[test]
    fn both_ways() {
        let long = [7; 200];
        let slots = [
            Some((Encoding::Xor, &[0u8, 3][..])),
            Some((Encoding::FloatHistogram, &long[..])),
            None,
            None,
            Some((Encoding::Xor, &[1][..])),
        ];
        let data = encode_aggregate(slots);
        assert_eq!(data.len(), 4 + (3 + 200) + 1 + 1 + 3);
        let parsed = Aggregate::parse(&data).unwrap();
        assert_eq!(AggregateKind::ALL.map(|kind| parsed.get(kind)), slots);
        assert_eq!(parsed.iter().count(), 3);
        assert_eq!(sample_count(Encoding::Aggregate, &data), Ok(3));
        for cut in 0..data.len() {
            assert!(Aggregate::parse(&data[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn what_is_refused() {
        let why = |data: &[u8]| Aggregate::parse(data).unwrap_err().why.into_owned();
        assert_eq!(why(&[1, 255, 0, 0, 0, 0, 0]), "an aggregate of encoding 255");
        assert_eq!(why(&[1, 0, 0, 0, 0, 0, 0]), "an aggregate of encoding 0");
        assert_eq!(why(&[0, 0, 0, 0, 0, 9]), "bytes behind the last aggregate");
        assert!(Aggregate::parse(&[255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 1]).is_err());
        assert_eq!(sample_count(Encoding::Aggregate, &[0, 0, 0, 0, 0]), Ok(0));
    }
}
