//! What downsampling must not lose, whatever the samples.

use super::*;
use crate::format::chunk::{FloatSamples, XorAppender};
use crate::model::STALE_NAN_BITS;
use crate::series::CounterSamples;
use proptest::prelude::*;

type Samples = Vec<(Millis, f64)>;

/// Both resolutions of raw samples in chunks of 120.
fn both(samples: &[(Millis, f64)]) -> [AggregateChunks; 2] {
    let mut downsampler = Downsampler::new();
    for samples in samples.chunks(120) {
        let mut chunk = XorAppender::new();
        samples.iter().for_each(|&(t, v)| chunk.append(t, v));
        downsampler.push(0, Encoding::Xor, chunk.bytes(), samples[0].0, samples[samples.len() - 1].0).unwrap();
    }
    let mut out = [AggregateChunks::default(), AggregateChunks::default()];
    let [five, hour] = &mut out;
    downsampler.finish(Some(five), Some(hour)).unwrap();
    out
}

/// One aggregate of all chunks, in order.
fn slot(chunks: &AggregateChunks, kind: AggregateKind) -> Samples {
    let all = chunks.iter().flat_map(|(_, data)| {
        let (encoding, data) = Aggregate::parse(data).unwrap().get(kind).unwrap();
        FloatSamples::new(encoding, data).unwrap().map(Result::unwrap).collect::<Vec<_>>()
    });
    all.collect()
}

/// What a counter counted from its first sample to its last, as a querier reads its aggregates.
fn increase(chunks: &AggregateChunks) -> f64 {
    let counters: Vec<_> =
        chunks.iter().map(|(_, d)| Aggregate::parse(d).unwrap().get(AggregateKind::Counter).unwrap()).collect();
    let totals: Samples = CounterSamples::new(&counters).collect::<Result<_, _>>().unwrap();
    totals[totals.len() - 1].1 - totals[0].1
}

/// Samples at steps of some seconds to some hours, some of them no numbers, in values of a kind.
fn samples(value: impl Strategy<Value = f64>) -> impl Strategy<Value = Samples> {
    let value = prop_oneof![
        20 => value,
        1 => Just(f64::NAN),
        1 => Just(f64::from_bits(STALE_NAN_BITS)),
    ];
    let steps = prop_oneof![Just(15_000i64), Just(60_000), Just(300_000), Just(2_000_000)];
    (steps, prop::collection::vec((value, -7i64..7, 0u32..40), 1..700)).prop_map(|(step, samples)| {
        let mut time = 1_767_571_200_000;
        let samples = samples.into_iter().map(|(value, jitter, gap)| {
            time += step + jitter * 100 + if gap == 0 { 20 * step } else { 0 };
            (time, value)
        });
        samples.collect()
    })
}

/// By hour: the sum, least and greatest of an aggregate, as a chunk's border can split a window.
fn by_hour(windows: &[(Millis, f64)]) -> Vec<(Millis, f64, f64, f64)> {
    let mut out: Vec<(Millis, f64, f64, f64)> = Vec::new();
    for &(time, value) in windows {
        match out.last_mut() {
            Some(last) if last.0 == time / ONE_HOUR => *last = (last.0, last.1 + value, last.2.min(value), last.3.max(value)),
            _ => out.push((time / ONE_HOUR, value, value, value)),
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_number_is_counted(samples in samples(any::<f64>())) {
        let numbers = samples.iter().filter(|s| !s.1.is_nan()).count() as f64;
        for chunks in both(&samples) {
            prop_assert_eq!(slot(&chunks, AggregateKind::Count).iter().map(|s| s.1).sum::<f64>(), numbers);
        }
    }

    #[test]
    fn averages_lie_between_bounds(samples in samples(-1e9..1e9)) {
        for chunks in both(&samples) {
            let [count, sum, min, max] =
                [AggregateKind::Count, AggregateKind::Sum, AggregateKind::Min, AggregateKind::Max].map(|k| slot(&chunks, k));
            for i in 0..count.len() {
                let (average, slack) = (sum[i].1 / count[i].1, 1e-12 * min[i].1.abs().max(max[i].1.abs()));
                prop_assert_eq!([count[i].0; 3], [sum[i].0, min[i].0, max[i].0]);
                prop_assert!(min[i].1 - slack <= average && average <= max[i].1 + slack);
            }
        }
    }

    #[test]
    fn counters_count_the_same(samples in samples((0u32..500).prop_map(f64::from))) {
        // each value below the last is a reset
        let numbers: Vec<f64> = samples.iter().map(|s| s.1).filter(|v| !v.is_nan()).collect();
        let raw: f64 = numbers.windows(2).map(|pair| if pair[1] < pair[0] { pair[1] } else { pair[1] - pair[0] }).sum();
        for chunks in both(&samples).iter().filter(|chunks| !chunks.chunks.is_empty()) {
            prop_assert_eq!(increase(chunks), raw);
        }
    }

    #[test]
    fn an_hour_of_windows_is_an_hour_of_samples(samples in samples((0u32..500).prop_map(f64::from))) {
        let [five, hour] = both(&samples);
        let numbers: Samples = samples.into_iter().filter(|s| !s.1.is_nan()).collect();
        let ones: Samples = numbers.iter().map(|s| (s.0, 1.0)).collect();
        let raw = by_hour(&numbers);
        for chunks in [&five, &hour] {
            let hours = |kind| by_hour(&slot(chunks, kind));
            prop_assert_eq!(hours(AggregateKind::Count).iter().map(|h| h.1).collect::<Vec<_>>(), by_hour(&ones).iter().map(|h| h.1).collect::<Vec<_>>());
            prop_assert_eq!(hours(AggregateKind::Sum).iter().map(|h| h.1).collect::<Vec<_>>(), raw.iter().map(|h| h.1).collect::<Vec<_>>());
            prop_assert_eq!(hours(AggregateKind::Min).iter().map(|h| h.2).collect::<Vec<_>>(), raw.iter().map(|h| h.2).collect::<Vec<_>>());
            prop_assert_eq!(hours(AggregateKind::Max).iter().map(|h| h.3).collect::<Vec<_>>(), raw.iter().map(|h| h.3).collect::<Vec<_>>());
        }
        // the last raw value of each chunk of an hour is that of its samples
        for (chunk, data) in hour.iter() {
            let (encoding, data) = Aggregate::parse(data).unwrap().get(AggregateKind::Counter).unwrap();
            let counter: Samples = FloatSamples::new(encoding, data).unwrap().map(Result::unwrap).collect();
            let at = |time| numbers.iter().rfind(|s| s.0 <= time).unwrap().1;
            let first = numbers.iter().find(|s| s.0 == counter[0].0).unwrap().1;
            prop_assert_eq!((counter[0].1, counter[counter.len() - 1]), (first, (chunk.max_time, at(chunk.max_time))));
        }
    }

    #[test]
    fn any_bytes_do_no_harm(input in prop::collection::vec(any::<u8>(), 0..400)) {
        exercise(&input);
    }

    #[test]
    fn any_times_and_values_do_no_harm(
        samples in prop::collection::vec((any::<i64>(), 0u32..64, any::<u64>(), 0u32..64), 1..300),
        resolution: bool,
    ) {
        let mut input = vec![u8::from(resolution)];
        for samples in samples.chunks(50) {
            let mut chunk = XorAppender::new();
            samples.iter().for_each(|&(t, ts, v, vs)| chunk.append(t >> ts, f64::from_bits(v << vs)));
            input.push(Encoding::Xor.as_byte());
            input.extend((chunk.bytes().len() as u16).to_be_bytes());
            input.extend(chunk.bytes());
        }
        exercise(&input);
    }
}
