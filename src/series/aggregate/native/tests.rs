//! Histograms in, aggregates out.

use proptest::prelude::*;

use super::super::{Downsampler, FIVE_MINUTES, ONE_HOUR};
use super::*;
use crate::format::chunk::FloatSamples;
use crate::format::chunk::{Appended, FloatHistogramAppender, HistogramAppender, Mode};
use crate::model::{BucketSpan, CUSTOM_BUCKETS_SCHEMA, Histogram, is_stale};
use crate::series::begins_anew;

/// A chunk with the times of its first and last sample.
type Chunk = (Encoding, Vec<u8>, (Millis, Millis));

fn spans(all: &[(i32, u32)]) -> Vec<BucketSpan> {
    all.iter().map(|&(offset, length)| BucketSpan { offset, length }).collect()
}

/// A counter with these buckets from index 0 on, and as many observations.
fn histogram(buckets: &[u64]) -> Histogram {
    let mut last = 0;
    let deltas = buckets.iter().map(|&b| b as i64 - std::mem::replace(&mut last, b as i64)).collect();
    Histogram {
        schema: 2,
        count: buckets.iter().sum(),
        sum: buckets.iter().sum::<u64>() as f64 * 1.5,
        positive_spans: spans(&[(0, buckets.len() as u32)]),
        positive_buckets: deltas,
        ..Histogram::default()
    }
}

/// Chunks of histograms, cut where the encoding asks for it and after `most` samples.
fn chunks(samples: &[(Millis, Histogram)], most: u32) -> Vec<Chunk> {
    let mut out: Vec<Chunk> = Vec::new();
    let mut open: Option<(HistogramAppender, Millis, Millis)> = None;
    for (time, histogram) in samples {
        let (mut to, first, last) = match open.take() {
            Some(open) if open.0.count() < most => open,
            full => {
                out.extend(full.map(|(to, first, last)| (Encoding::Histogram, to.into_bytes(), (first, last))));
                (HistogramAppender::new(), *time, *time)
            }
        };
        open = Some(match to.append(*time, histogram, None, Mode::MayCut).unwrap() {
            Appended::NewChunk(new) => {
                out.push((Encoding::Histogram, to.into_bytes(), (first, last)));
                (new, *time, *time)
            }
            _ => (to, first, *time),
        });
    }
    out.extend(open.map(|(to, first, last)| (Encoding::Histogram, to.into_bytes(), (first, last))));
    out
}

fn float_chunk(samples: &[(Millis, FloatHistogram)]) -> Chunk {
    let mut to = FloatHistogramAppender::new();
    for (time, histogram) in samples {
        assert!(!matches!(to.append(*time, histogram, None, Mode::MayCut).unwrap(), Appended::NewChunk(_)));
    }
    (Encoding::FloatHistogram, to.into_bytes(), (samples[0].0, samples[samples.len() - 1].0))
}

fn both(chunks: &[Chunk]) -> Result<[AggregateChunks; 2], Malformed> {
    let mut downsampler = Downsampler::new();
    for (encoding, data, range) in chunks {
        downsampler.push(0, *encoding, data, range.0, range.1)?;
    }
    let mut out = [AggregateChunks::default(), AggregateChunks::default()];
    let [five, hour] = &mut out;
    downsampler.finish(Some(five), Some(hour))?;
    Ok(out)
}

/// The hour of five minutes that lie in a block.
fn hour_of(five: &AggregateChunks) -> AggregateChunks {
    let mut downsampler = Downsampler::new();
    for (chunk, data) in five.iter() {
        downsampler.push(FIVE_MINUTES, Encoding::Aggregate, data, chunk.min_time, chunk.max_time).unwrap();
    }
    let mut hour = AggregateChunks::default();
    downsampler.finish(None, Some(&mut hour)).unwrap();
    hour
}

/// Counts of all windows.
fn counts(chunks: &AggregateChunks) -> Vec<(Millis, f64)> {
    let of = |data| Aggregate::parse(data).unwrap().get(AggregateKind::Count).unwrap();
    chunks.iter().flat_map(|(_, data)| FloatSamples::new(of(data).0, of(data).1).unwrap().map(Result::unwrap)).collect()
}

/// Histograms of all windows, chunk by chunk.
fn histograms(chunks: &AggregateChunks, kind: AggregateKind) -> Vec<Vec<(Millis, FloatHistogram)>> {
    let chunk = |data| {
        let (encoding, data) = Aggregate::parse(data).unwrap().get(kind).unwrap();
        let mut samples = Samples::new(encoding, data).unwrap();
        let mut all = Vec::new();
        while samples.advance().unwrap() {
            let ValueRef::FloatHistogram(histogram) = samples.value() else { panic!("no float histogram") };
            all.push((samples.time(), histogram.clone()));
        }
        all
    };
    chunks.iter().map(|(_, data)| chunk(data)).collect()
}

#[test]
fn equal_histograms() {
    let samples: Vec<_> = (0..599).map(|i| (i * 60_000, histogram(&[1, 1]))).collect();
    let [five, hour] = both(&chunks(&samples, 120)).unwrap();
    assert_eq!(five.chunks.len(), 1);
    let (_, data) = five.iter().next().unwrap();
    let kinds: Vec<_> = Aggregate::parse(data).unwrap().iter().map(|(kind, ..)| kind).collect();
    assert_eq!(kinds, [AggregateKind::Count, AggregateKind::Sum, AggregateKind::Counter]);
    let of_windows = counts(&five);
    assert_eq!((of_windows.len(), of_windows[0], of_windows[119]), (120, (299_999, 5.0), (598 * 60_000, 4.0)));
    let sums = &histograms(&five, AggregateKind::Sum)[0];
    assert_eq!((sums[0].1.count, sums[0].1.sum, sums[119].1.count), (10.0, 15.0, 8.0));
    assert!(sums.iter().all(|(_, sum)| sum.reset_hint == ResetHint::Gauge));
    let counters = &histograms(&five, AggregateKind::Counter)[0];
    assert!(counters.iter().all(|(_, counter)| counter.count == 2.0 && counter.positive_buckets == [1.0, 1.0]));
    assert_eq!([0, 1].map(|i| counters[i].1.reset_hint), [ResetHint::Unknown, ResetHint::NotReset]);
    let hours = histograms(&hour, AggregateKind::Sum);
    assert_eq!((hours[0].len(), hours[0][0].1.count, hours[0][9].1.count), (10, 120.0, 118.0));
    assert_eq!(hour, hour_of(&five));
}

#[test]
fn histograms_and_then_floats() {
    let mut all = chunks(&(1..=20).map(|i| (i * 15_000, histogram(&[i as u64]))).collect::<Vec<_>>(), 120);
    let mut floats = crate::format::chunk::XorAppender::new();
    (21..=40).for_each(|i: i64| floats.append(i * 15_000, (i - 21) as f64));
    all.push((Encoding::Xor, floats.into_bytes(), (315_000, 600_000)));
    let [five, hour] = both(&all).unwrap();
    assert_eq!(counts(&five), [(299_999, 19.0), (300_000, 1.0), (599_999, 19.0), (600_000, 1.0)]);
    assert_eq!(counts(&hour), [(300_000, 20.0), (600_000, 20.0)]);
    let (_, last) = hour.iter().last().unwrap();
    let (encoding, data) = Aggregate::parse(last).unwrap().get(AggregateKind::Counter).unwrap();
    let counter: Vec<_> = FloatSamples::new(encoding, data).unwrap().map(Result::unwrap).collect();
    assert_eq!(counter, [(315_000, 0.0), (600_000, 19.0), (600_000, 19.0)]);
}

#[test]
fn resets_are_added_up() {
    let values: Vec<u64> = (1..=15).chain(1..=5).chain(1..=10).collect();
    let samples: Vec<_> = values.iter().enumerate().map(|(i, &v)| (i as i64 * 30_000, histogram(&[v, 2 * v]))).collect();
    let [five, hour] = both(&chunks(&samples, 120)).unwrap();
    assert_eq!(counts(&five), [(299_999, 10.0), (599_999, 10.0), (870_000, 10.0)]);
    let counters = &histograms(&five, AggregateKind::Counter)[0];
    let buckets: Vec<_> = counters.iter().map(|(_, counter)| counter.positive_buckets.clone()).collect();
    assert_eq!(buckets, [[10.0, 20.0], [20.0, 40.0], [30.0, 60.0]]);
    assert_eq!(counts(&hour), [(870_000, 30.0)]);
    assert_eq!(histograms(&hour, AggregateKind::Counter)[0][0].1.count, 90.0);
}

#[test]
fn the_coarsest_schema_of_a_batch() {
    let fine = |i: i64| Histogram { schema: 3, ..histogram(&[i as u64, 1, 2 * i as u64]) };
    let samples: Vec<_> = (1..=20).map(|i| (i * 30_000, if i % 7 == 0 { histogram(&[9 * i as u64]) } else { fine(i) })).collect();
    let [five, hour] = both(&chunks(&samples, 120)).unwrap();
    assert_eq!(counts(&five).iter().map(|(_, count)| count).sum::<f64>(), 20.0);
    for kind in [AggregateKind::Sum, AggregateKind::Counter] {
        let all = histograms(&five, kind).concat();
        assert!(all.iter().all(|(_, histogram)| histogram.schema == 2), "{all:?}");
    }
    let total: f64 = histograms(&five, AggregateKind::Sum).concat().iter().map(|(_, sum)| sum.count).sum();
    assert_eq!(total, samples.iter().map(|(_, h)| h.count as f64).sum::<f64>());
    assert_eq!(hour, hour_of(&five));
}

/// All windows of sums and counters are there, in as many chunks.
fn is_whole(five: &AggregateChunks, samples: usize) {
    assert_eq!(counts(five).iter().map(|(_, count)| count).sum::<f64>(), samples as f64);
    let times: Vec<_> = counts(five).iter().map(|&(time, _)| time).collect();
    for kind in [AggregateKind::Sum, AggregateKind::Counter] {
        let windows = histograms(five, kind).concat();
        assert_eq!(windows.iter().map(|&(time, _)| time).collect::<Vec<_>>(), times, "{kind}");
    }
}

#[test]
fn a_zero_bucket_that_grows_loses_no_window() {
    let with = |i: i64| Histogram {
        zero_threshold: if i < 30 { 0.001 } else { 0.5 },
        zero_count: 1,
        count: 3 * i as u64 + 1,
        ..histogram(&[i as u64, 2 * i as u64])
    };
    let samples: Vec<_> = (1..=60).map(|i| (i * 30_000, with(i))).collect();
    let [five, hour] = both(&chunks(&samples, 120)).unwrap();
    is_whole(&five, 60);
    assert_eq!(histograms(&five, AggregateKind::Counter).iter().map(Vec::len).collect::<Vec<_>>(), [3, 4]);
    let last = histograms(&five, AggregateKind::Counter).concat().pop().unwrap().1;
    assert_eq!((last.zero_threshold, last.count), (0.5, 181.0), "the counter goes on");
    is_whole(&hour, 60);
    assert_eq!(hour, hour_of(&five));
}

#[test]
fn bounds_that_change_lose_no_window() {
    let custom = |i: i64, bounds: &[f64]| Histogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        custom_values: bounds.to_vec(),
        ..histogram(&[i as u64, 2 * i as u64])
    };
    let bounds = |i: i64| if i <= 30 { &[1.0, 2.0][..] } else { &[1.0, 2.0, 5.0] };
    let samples: Vec<_> = (1..=60).map(|i| (i * 30_000, custom(i, bounds(i)))).collect();
    let [five, hour] = both(&chunks(&samples, 120)).unwrap();
    is_whole(&five, 60);
    is_whole(&hour, 60);
    let last = histograms(&five, AggregateKind::Counter).concat().pop().unwrap().1;
    assert_eq!((last.count, last.custom_values), (180.0, vec![1.0, 2.0]));
}

#[test]
fn custom_and_exponential_buckets_are_batches_of_their_own() {
    let custom = |i: i64| Histogram { schema: CUSTOM_BUCKETS_SCHEMA, custom_values: vec![1.0, 2.0], ..histogram(&[i as u64]) };
    let samples: Vec<_> = (1..=40).map(|i| (i * 30_000, if i <= 15 { custom(i) } else { histogram(&[i as u64]) })).collect();
    let [five, hour] = both(&chunks(&samples, 120)).unwrap();
    is_whole(&five, 40);
    is_whole(&hour, 40);
}

#[test]
fn gauges_have_no_resets() {
    let values = [5u64, 3, 9, 1, 7, 7, 2, 4, 8, 6, 1, 3];
    let gauge = |v: u64| Histogram { reset_hint: ResetHint::Gauge, ..histogram(&[v]) };
    let samples: Vec<_> = values.iter().enumerate().map(|(i, &v)| (i as i64 * 60_000, gauge(v))).collect();
    let [five, hour] = both(&chunks(&samples, 120)).unwrap();
    let counters = histograms(&five, AggregateKind::Counter).concat();
    assert!(counters.iter().all(|(_, counter)| counter.reset_hint == ResetHint::Gauge));
    assert_eq!(counters.iter().map(|(_, c)| c.count).collect::<Vec<_>>(), [7.0, 6.0, 3.0], "the last of each window");
    assert_eq!(histograms(&hour, AggregateKind::Sum)[0][0].1.count, 56.0);
}

#[test]
fn sums_that_are_no_numbers_are_left_out() {
    let odd = |i: i64| if i % 3 == 0 { f64::NAN } else { 1.0 };
    let samples: Vec<_> = (0..30).map(|i| (i * 60_000, Histogram { sum: odd(i), ..histogram(&[i as u64]) })).collect();
    let [five, _] = both(&chunks(&samples, 120)).unwrap();
    is_whole(&five, 20);
}

#[test]
fn a_reset_that_hides_at_the_border_of_chunks() {
    // the second chunk says that the counter was reset, though no count is less
    let reset = |i: i64| if i == 5 { ResetHint::Reset } else { ResetHint::Unknown };
    let samples: Vec<_> =
        (0..10).map(|i| (i * 30_000, Histogram { reset_hint: reset(i), ..histogram(&[i as u64 + 1]) })).collect();
    let chunks = chunks(&samples, 120);
    assert_eq!(chunks.len(), 2);
    let [five, hour] = both(&chunks).unwrap();
    let last = histograms(&five, AggregateKind::Counter).concat().pop().unwrap().1;
    assert_eq!(last.count, 5.0 + 10.0);
    assert_eq!(histograms(&hour, AggregateKind::Counter)[0][0].1.count, 15.0);
}

#[test]
fn resets_that_only_start_times_tell() {
    let text = include_str!("../../../../testdata/chunks/samples.txt");
    let mut hidden = 0;
    for line in text.lines() {
        let Some((byte, hex)) = line.strip_prefix("chunk ").and_then(|rest| rest.split_once(' ')) else { continue };
        let encoding = Encoding::from_byte(byte.parse().unwrap()).unwrap();
        if !matches!(encoding, Encoding::HistogramSt | Encoding::FloatHistogramSt) {
            continue;
        }
        let data: Vec<u8> = (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
        let mut samples = Samples::new(encoding, &data).unwrap();
        let (mut times, mut total, mut seen, mut before) = (Vec::new(), 0.0, 0.0, None);
        while samples.advance().unwrap() {
            let (sum, count) = match samples.value() {
                ValueRef::Histogram(h) => (h.sum, h.count as f64),
                ValueRef::FloatHistogram(h) => (h.sum, h.count),
                ValueRef::Float(_) => panic!("a float"),
            };
            if is_stale(sum) {
                continue;
            }
            let at = (samples.start(), samples.time());
            if before.is_some_and(|before| begins_anew(before, at)) {
                total += seen;
                hidden += 1;
            }
            (before, seen) = (Some(at), count);
            times.push(at.1);
        }
        let range = (times[0], times[times.len() - 1]);
        let [five, _] = both(&[(encoding, data, range)]).unwrap();
        if five.chunks.len() == 1 {
            let last = histograms(&five, AggregateKind::Counter).concat().pop().unwrap().1;
            if last.reset_hint != ResetHint::Gauge {
                assert_eq!(last.count, total + seen);
            }
        }
    }
    assert!(hidden > 0, "no chunk has what this is about");
}

#[test]
fn what_does_not_hold_together_is_an_error() {
    let bad = Histogram { positive_spans: spans(&[(5, 1), (-3, 1)]), ..histogram(&[1, 2]) };
    let e = both(&chunks(&[(1, bad)], 120)).unwrap_err();
    assert_eq!(e.why, "histograms whose spans, buckets and bounds do not hold together");
}

#[test]
fn chunks_that_each_bring_other_buckets_end_a_batch_early() {
    let far = |i: i64| Histogram { positive_spans: spans(&[(i as i32 * 300, 300)]), ..histogram(&[0; 300]) };
    let samples: Vec<_> = (0..320).map(|i| (i * 300_000, far(i))).collect();
    let [five, _] = both(&chunks(&samples, 120)).unwrap();
    is_whole(&five, 320);
    assert!(five.chunks.len() > 4, "{}", five.chunks.len());
}

/// A counter, integer or float, that changes its layout, restarts and ends now and then.
fn walk(seed: u64, odd: bool, floats: bool) -> (Vec<Chunk>, usize) {
    let mut state = seed | 1;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let (mut time, mut offset, mut buckets) = (random(1_000_000) as i64, 0, vec![1.0f64; 3]);
    let (mut threshold, mut schema) = (0.001, 3);
    let mut samples: Vec<(Millis, FloatHistogram)> = Vec::new();
    let mut sum = 0.0;
    for _ in 0..400 {
        time += 15_000 + random(30_000) as i64;
        match random(60) {
            0 => buckets = vec![0.0; 1 + random(4) as usize],
            1 => buckets.push(0.0),
            2 => {
                offset -= 2;
                buckets.splice(0..0, [0.0, 0.0]);
            }
            3 if odd => threshold = [0.001, 0.25, 0.5][random(3) as usize],
            4 if odd => schema = 1 + random(4) as i32,
            _ => {}
        }
        let at = random(buckets.len() as u64) as usize;
        buckets[at] += if floats { random(1000) as f64 / 7.0 } else { random(9) as f64 };
        sum += random(1000) as f64 / 8.0;
        samples.push((
            time,
            FloatHistogram {
                schema,
                zero_threshold: threshold,
                zero_count: 1.0,
                count: buckets.iter().sum::<f64>() + 1.0,
                sum,
                positive_spans: spans(&[(offset, buckets.len() as u32)]),
                positive_buckets: buckets.clone(),
                ..FloatHistogram::default()
            },
        ));
    }
    let mut out: Vec<Chunk> = Vec::new();
    let mut to = FloatHistogramAppender::new();
    let mut first = samples[0].0;
    let mut last = first;
    for (time, histogram) in &samples {
        if let Appended::NewChunk(new) = to.append(*time, histogram, None, Mode::MayCut).unwrap() {
            out.push((Encoding::FloatHistogram, std::mem::replace(&mut to, new).into_bytes(), (first, last)));
            first = *time;
        }
        last = *time;
    }
    out.push((Encoding::FloatHistogram, to.into_bytes(), (first, last)));
    (out, samples.len())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn nothing_is_lost(seed: u64, odd: bool, floats: bool) {
        let (chunks, samples) = walk(seed, odd, floats);
        let [five, hour] = both(&chunks).unwrap();
        is_whole(&five, samples);
        is_whole(&hour, samples);
        prop_assert_eq!(&hour, &hour_of(&five));
    }

    #[test]
    fn one_by_one_and_in_rows_are_the_same(seed: u64, floats: bool) {
        let (chunks, _) = walk(seed, false, floats);
        let slices: Vec<_> = chunks.iter().map(|(encoding, data, _)| (*encoding, &data[..])).collect();
        let plan = Plan { len: 150, is_raw: true };
        let want = Want { counts: true, sums: true, counters: true };
        let made = |only_exact| {
            let mut out = AggregateChunks::default();
            let mut engine = Engine::default();
            engine.only_exact = only_exact;
            engine.run(&slices, plan, want, ONE_HOUR / 4, &mut out).unwrap();
            out
        };
        let (rows, exact) = (made(false), made(true));
        for kind in [AggregateKind::Sum, AggregateKind::Counter] {
            for (a, b) in histograms(&rows, kind).concat().iter().zip(&histograms(&exact, kind).concat()) {
                prop_assert_eq!(a, b, "{}", kind);
            }
        }
        prop_assert!(rows == exact);
    }

    #[test]
    fn a_counter_counts_what_the_series_did(seed: u64) {
        let (chunks, _) = walk(seed, false, false);
        let slices: Vec<_> = chunks.iter().map(|(encoding, data, _)| (*encoding, &data[..])).collect();
        let (mut total, mut before) = (0.0, None::<FloatHistogram>);
        for (encoding, data) in &slices {
            let mut samples = Samples::new(*encoding, data).unwrap();
            while samples.advance().unwrap() {
                let ValueRef::FloatHistogram(h) = samples.value() else { panic!("no float histogram") };
                let reset = before.as_ref().is_some_and(|before| h.detect_reset(before));
                total += if reset { h.count } else { h.count - before.map_or(0.0, |b| b.count) };
                before = Some(h.clone());
            }
        }
        let mut out = AggregateChunks::default();
        let want = Want { counts: true, sums: true, counters: true };
        Engine::default().run(&slices, Plan { len: usize::MAX, is_raw: true }, want, FIVE_MINUTES, &mut out).unwrap();
        prop_assert_eq!(histograms(&out, AggregateKind::Counter).concat().pop().unwrap().1.count, total);
    }

    #[test]
    fn damage_is_an_error_or_a_result(seed: u64, flips in prop::collection::vec((any::<usize>(), any::<u8>()), 1..6)) {
        let (mut chunks, _) = walk(seed, true, seed % 2 == 0);
        for (at, to) in flips {
            let chunk = at % chunks.len();
            let data = &mut chunks[chunk].1;
            let byte = (at / 7) % data.len().min(60);
            data[byte] ^= to;
        }
        if let Ok([five, _]) = both(&chunks) {
            hour_of(&five);
        }
    }
}

#[test]
fn a_lone_float_histogram() {
    let lone = FloatHistogram { positive_spans: spans(&[(0, 0)]), count: 1.0, zero_count: 1.0, ..FloatHistogram::default() };
    let [five, hour] = both(&[float_chunk(&[(7, lone)])]).unwrap();
    assert_eq!((counts(&five), counts(&hour)), (vec![(7, 1.0)], vec![(7, 1.0)]));
}
