//! Whether one chunk says what the index says of it: every sample decoded.

use super::finding::Counted;
use crate::format::Malformed;
use crate::format::chunk::{Aggregate, AggregateKind, Encoding, FloatSamples, Samples};
use crate::format::index::ChunkMeta;
use crate::model::{Millis, TimeRange};

/// Decodes the chunk with this encoding and data, and compares it with its entry and block. Returns what is wrong,
/// with the byte of the data where one is to blame.
pub(super) fn check(
    encoding: u8,
    data: &[u8],
    meta: &ChunkMeta,
    block: TimeRange,
    counted: &mut Counted,
) -> Result<(), (Option<u64>, String)> {
    let Some(encoding) = Encoding::from_byte(encoding) else {
        return Err((None, format!("encoding {encoding}, which nobody knows")));
    };
    match encoding {
        Encoding::Aggregate => aggregate(data, meta, counted),
        _ => plain(encoding, data, meta, block, counted),
    }
}

fn plain(
    encoding: Encoding,
    data: &[u8],
    meta: &ChunkMeta,
    block: TimeRange,
    counted: &mut Counted,
) -> Result<(), (Option<u64>, String)> {
    let times = times(encoding, data, Order::Ascending).map_err(said)?;
    counted.samples += times.count;
    if matches!(encoding, Encoding::Xor | Encoding::Xor2) {
        counted.floats += times.count;
    } else {
        counted.histograms += times.count;
    }
    if times.count == 0 {
        return Err((None, "no samples".into()));
    }
    if let Some((at, before)) = times.disorder {
        return Err((None, format!("a sample at {at} behind one at {before}")));
    }
    if (times.first, times.last) != (meta.min_time, meta.max_time) {
        return Err((
            None,
            format!("samples from {} to {}, the index says {} to {}", times.first, times.last, meta.min_time, meta.max_time),
        ));
    }
    if times.first < block.start || times.last >= block.end {
        return Err((
            None,
            format!("samples from {} to {}, the block goes from {} to {}", times.first, times.last, block.start, block.end),
        ));
    }
    Ok(())
}

/// All aggregates of a chunk. The counter begins with the raw sample before its first window and ends with its last
/// value twice, so only its end is compared.
fn aggregate(data: &[u8], meta: &ChunkMeta, counted: &mut Counted) -> Result<(), (Option<u64>, String)> {
    let parts = Aggregate::parse(data).map_err(said)?;
    let mut any = false;
    for (kind, encoding, data) in parts.iter() {
        any = true;
        let order = if kind == AggregateKind::Counter { Order::MayRepeat } else { Order::Ascending };
        let times = times(encoding, data, order).map_err(|m| (Some(m.at), format!("{kind}: {}", m.why)))?;
        if kind == AggregateKind::Count {
            counted.samples += times.count;
        }
        if let Some((at, before)) = times.disorder {
            return Err((None, format!("{kind}: a sample at {at} behind one at {before}")));
        }
        let early = kind != AggregateKind::Counter && times.first < meta.min_time;
        if times.count > 0 && (early || times.last > meta.max_time) {
            let (first, last) = (times.first, times.last);
            return Err((
                None,
                format!("{kind}: samples from {first} to {last}, the index says {} to {}", meta.min_time, meta.max_time),
            ));
        }
    }
    if any { Ok(()) } else { Err((None, "an aggregate of nothing".into())) }
}

fn said(m: Malformed) -> (Option<u64>, String) {
    (Some(m.at), m.why.into_owned())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Ascending,
    MayRepeat,
}

struct Times {
    first: Millis,
    last: Millis,
    count: u64,
    /// The first sample that is not behind the one before it, and that one.
    disorder: Option<(Millis, Millis)>,
}

fn times(encoding: Encoding, data: &[u8], order: Order) -> Result<Times, Malformed> {
    let mut times = Times { first: 0, last: 0, count: 0, disorder: None };
    let mut see = |t: Millis| {
        let wrong = match order {
            Order::Ascending => t <= times.last,
            Order::MayRepeat => t < times.last,
        };
        if times.count == 0 {
            times.first = t;
        } else if wrong && times.disorder.is_none() {
            times.disorder = Some((t, times.last));
        }
        times.last = t;
        times.count += 1;
    };
    if matches!(encoding, Encoding::Xor | Encoding::Xor2) {
        let mut samples = FloatSamples::new(encoding, data)?;
        while samples.advance()? {
            see(samples.time());
        }
    } else {
        let mut samples = Samples::new(encoding, data)?;
        while samples.advance()? {
            see(samples.time());
        }
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::chunk::{XorAppender, encode_aggregate};
    use crate::format::segment::ChunkRef;

    fn xor(times: &[Millis]) -> Vec<u8> {
        let mut chunk = XorAppender::new();
        times.iter().for_each(|&t| chunk.append(t, 1.0));
        chunk.into_bytes()
    }

    fn verdict(encoding: u8, data: &[u8], min_time: Millis, max_time: Millis) -> (Result<(), String>, u64) {
        let meta = ChunkMeta { min_time, max_time, reference: ChunkRef(8) };
        let mut counted = Counted::default();
        let verdict = check(encoding, data, &meta, TimeRange::new(0, 100), &mut counted).map_err(|(_, why)| why);
        (verdict, counted.samples)
    }

    #[test]
    fn times_of_a_plain_chunk() {
        assert_eq!(verdict(1, &xor(&[5, 10, 20]), 5, 20), (Ok(()), 3));
        let (why, _) = verdict(1, &xor(&[5, 10, 20]), 5, 21);
        assert_eq!(why.unwrap_err(), "samples from 5 to 20, the index says 5 to 21");
        let (why, _) = verdict(1, &xor(&[5, 10, 100]), 5, 100);
        assert_eq!(why.unwrap_err(), "samples from 5 to 100, the block goes from 0 to 100");
        let (why, _) = verdict(1, &xor(&[5, 10, 10]), 5, 10);
        assert_eq!(why.unwrap_err(), "a sample at 10 behind one at 10");
        let (why, _) = verdict(1, &xor(&[]), 5, 10);
        assert_eq!(why.unwrap_err(), "no samples");
        let (why, _) = verdict(9, &[], 5, 10);
        assert_eq!(why.unwrap_err(), "encoding 9, which nobody knows");
        assert!(verdict(1, &xor(&[5, 10, 20])[..4], 5, 20).0.is_err());
    }

    #[test]
    fn times_of_an_aggregate() {
        let (windows, counter) = (xor(&[10, 20]), xor(&[3, 10, 20, 20]));
        let part = |data| Some((Encoding::Xor, data));
        let whole = encode_aggregate([part(&windows[..]), part(&windows), None, None, part(&counter)]);
        assert_eq!(verdict(255, &whole, 10, 20), (Ok(()), 2));
        assert_eq!(verdict(255, &whole, 11, 20).0.unwrap_err(), "count: samples from 10 to 20, the index says 11 to 20");
        let nothing = encode_aggregate([None; 5]);
        assert_eq!(verdict(255, &nothing, 0, 0).0.unwrap_err(), "an aggregate of nothing");
    }
}
