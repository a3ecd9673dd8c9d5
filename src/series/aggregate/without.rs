//! Deleted intervals, cut out of aggregates at the borders of windows.

use super::window::window_end;
use crate::format::Malformed;
use crate::format::chunk::{Aggregate, AggregateKind, Encoding, FloatSamples, XorEncoder, encode_aggregate};
use crate::model::Millis;
use crate::series::{Chunk, without};

/// The aggregate chunk without the windows that these closed intervals touch; as it is when they touch
/// none, and nothing when none is left.
///
/// A window reaches from where its span of `resolution` begins to its own time; touched anywhere, it goes
/// as a whole: which of its samples were deleted cannot be told. A counter of floats is made anew from what
/// is left, as if the rest had never been: behind a gap it begins with the least value of the first window,
/// which is that window's first raw value unless the counter was reset in it. A counter of histograms keeps
/// its running totals.
///
/// # Errors
/// Data that does not decode, chunks that are no aggregates; histograms that do not fit one chunk once
/// others are gone.
pub fn without_windows(chunk: Chunk, resolution: Millis, intervals: &[(Millis, Millis)]) -> Result<Option<Chunk>, Malformed> {
    // those times of windows that go: a window's time lies within its span
    let gone: Vec<_> =
        intervals.iter().filter(|i| i.1 >= 0).map(|&(from, to)| (from, window_end(to, resolution.max(1)))).collect();
    if !gone.iter().any(|&(from, to)| from <= chunk.max_time && chunk.min_time <= to) {
        return Ok(Some(chunk));
    }
    if chunk.encoding != Encoding::Aggregate {
        return Err(Malformed::new("chunk", 0, "windows are deleted within a chunk of samples"));
    }
    let aggregate = Aggregate::parse(&chunk.data)?;
    let mut slots: [Option<(Encoding, Vec<u8>)>; 5] = Default::default();
    let mut range: Option<(Millis, Millis)> = None;
    for (kind, encoding, data) in aggregate.iter() {
        let is_float = matches!(encoding, Encoding::Xor | Encoding::Xor2);
        let left = if kind == AggregateKind::Counter && is_float {
            counter_without(&aggregate, &gone)?
        } else {
            let whole = Chunk { min_time: Millis::MIN, max_time: Millis::MAX, encoding, data: data.to_vec() };
            without(whole, &gone)?.map(|left| (left.encoding, left.min_time, left.max_time, left.data))
        };
        if let Some((encoding, min, max, data)) = left {
            range = Some(range.map_or((min, max), |(a, b)| (a.min(min), b.max(max))));
            slots[kind as usize] = Some((encoding, data));
        }
    }
    let Some((min_time, max_time)) = range else { return Ok(None) };
    let data = encode_aggregate(std::array::from_fn(|i| slots[i].as_ref().map(|(encoding, data)| (*encoding, &data[..]))));
    Ok(Some(Chunk { min_time, max_time, encoding: Encoding::Aggregate, data }))
}

type Samples = Vec<(Millis, f64)>;

fn floats(aggregate: &Aggregate<'_>, kind: AggregateKind) -> Result<Samples, Malformed> {
    match aggregate.get(kind) {
        Some((encoding @ (Encoding::Xor | Encoding::Xor2), data)) => FloatSamples::new(encoding, data)?.collect(),
        _ => Ok(Vec::new()),
    }
}

/// A counter of floats without these windows: encoding, times of the first and last window, data.
#[expect(clippy::type_complexity, reason = "used once, right above")]
fn counter_without(
    aggregate: &Aggregate<'_>,
    gone: &[(Millis, Millis)],
) -> Result<Option<(Encoding, Millis, Millis, Vec<u8>)>, Malformed> {
    let all = floats(aggregate, AggregateKind::Counter)?;
    let least = floats(aggregate, AggregateKind::Min)?;
    let most = floats(aggregate, AggregateKind::Max)?;
    let bound = |of: &Samples, time| of.binary_search_by_key(&time, |s| s.0).ok().map(|i| of[i].1);
    let [first, windows @ .., last] = &all[..] else { return Ok(None) };
    let is_gone = |time| gone.iter().any(|&(from, to)| from <= time && time <= to);
    let mut out: Samples = Vec::with_capacity(all.len());
    // the total as it is made anew, and the raw value it stands for
    let (mut total, mut raw) = (0.0, f64::INFINITY);
    // the window before, in the old chunk, when it was kept
    let mut before = Some(*first);
    for (i, &(time, old)) in windows.iter().enumerate() {
        if is_gone(time) {
            before = None;
            continue;
        }
        let high = bound(&most, time).unwrap_or(old);
        let step = windows[..i].last().map_or(old - first.1, |s| old - s.1);
        match before {
            // from the first raw value of the chunk, or window to window, nothing changes
            Some(kept) if i == 0 => {
                out.push(kept);
                total = old;
            }
            Some(_) => total += step,
            None => {
                let low = bound(&least, time).unwrap_or(old).min(high);
                let within = (high - low).min(step.max(0.0));
                if out.is_empty() {
                    out.push((time, low));
                    total = low + within;
                } else {
                    total += within + if low >= raw { low - raw } else { low };
                }
            }
        }
        out.push((time, total));
        // the last raw value of a window is its greatest, unless the counter was reset in it
        raw = if i + 1 == windows.len() { last.1 } else { high };
        before = Some((time, old));
    }
    let (Some(begin), Some(&(end, _))) = (out.get(1), out.last()) else { return Ok(None) };
    let begin = begin.0;
    out.push((end, raw));
    let (times, values): (Vec<_>, Vec<_>) = out.into_iter().unzip();
    Ok(Some((Encoding::Xor, begin, end, XorEncoder::new().encode(&times, &values).to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::chunk::XorAppender;
    use crate::series::aggregate::{AggregateChunks, Downsampler, FIVE_MINUTES};
    use proptest::prelude::*;

    /// A counter's aggregates of five minutes, as one chunk; a sample a minute.
    fn downsampled(samples: &[(Millis, f64)]) -> Option<Chunk> {
        let mut raw = XorAppender::new();
        samples.iter().for_each(|&(t, v)| raw.append(t, v));
        let (&(from, _), &(to, _)) = (samples.first()?, samples.last()?);
        let mut downsampler = Downsampler::new();
        downsampler.push(0, Encoding::Xor, raw.bytes(), from, to).unwrap();
        let mut out = AggregateChunks::default();
        downsampler.finish(Some(&mut out), None).unwrap();
        assert_eq!(out.chunks.len(), 1);
        let (min_time, max_time) = (out.chunks[0].min_time, out.chunks[0].max_time);
        Some(Chunk { min_time, max_time, encoding: Encoding::Aggregate, data: out.bytes })
    }

    proptest! {
        #[test]
        fn as_if_the_samples_had_never_been(
            steps in prop::collection::vec(0u32..50, 2..120),
            from in 0i64..130,
            len in 0i64..60,
            reset in prop::option::of(1usize..24),
        ) {
            let mut value = 100.0;
            let samples: Vec<(Millis, f64)> = steps
                .iter()
                .enumerate()
                .map(|(i, &step)| {
                    // a reset between windows is seen; one within a window can only be bounded
                    value = if reset.is_some_and(|at| at * 5 == i) { 0.0 } else { value + f64::from(step) };
                    (i as i64 * 60_000, value)
                })
                .collect();
            let deleted = (from * 60_000, (from + len) * 60_000);
            let last = samples[samples.len() - 1].0;
            let touches = |time: Millis| {
                let begin = time - time % FIVE_MINUTES;
                begin <= deleted.1 && deleted.0 <= (begin + FIVE_MINUTES - 1).min(last)
            };
            let left: Vec<_> = samples.iter().copied().filter(|s| !touches(s.0)).collect();
            let got = without_windows(downsampled(&samples).unwrap(), FIVE_MINUTES, &[deleted]).unwrap();
            let mut expected = downsampled(&left);
            // a chunk's last window has the time of its last sample; cut short, it has that of its end
            if let (Some(got), Some(expected)) = (&got, &mut expected) {
                let slots = |chunk: &Chunk| AggregateKind::ALL.map(|kind| floats(&Aggregate::parse(&chunk.data).unwrap(), kind).unwrap());
                let (got, mut expected) = (slots(got), slots(expected));
                for (slot, got) in expected.iter_mut().zip(&got) {
                    let end = got[got.len() - 1].0;
                    let was = slot[slot.len() - 1].0;
                    prop_assert!(was <= end && end < was + FIVE_MINUTES);
                    slot.iter_mut().filter(|s| s.0 == was).for_each(|s| s.0 = end);
                }
                // where a counter begins anew, its first sample has the time of its first window
                expected[4][0].0 = got[4][0].0;
                prop_assert_eq!(got, expected);
            } else {
                prop_assert_eq!(got, expected);
            }
        }
    }

    #[test]
    fn what_is_not_touched_stays() {
        let samples: Vec<_> = (0..30).map(|i| (i * 60_000, i as f64)).collect();
        let chunk = downsampled(&samples).unwrap();
        for far in [(-5, -1), (1_740_001, 9_000_000)] {
            assert_eq!(without_windows(chunk.clone(), FIVE_MINUTES, &[far]), Ok(Some(chunk.clone())));
        }
        assert_eq!(without_windows(chunk.clone(), FIVE_MINUTES, &[(0, Millis::MAX)]), Ok(None));
        assert_eq!(without_windows(chunk, FIVE_MINUTES, &[(Millis::MIN, Millis::MAX)]), Ok(None));
    }
}
