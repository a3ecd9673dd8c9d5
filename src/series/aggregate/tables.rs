//! What upstream's own tests expect, at the resolutions they use.

use super::*;
use crate::format::chunk::{FloatSamples, XorAppender, encode_aggregate};
use crate::model::STALE_NAN_BITS;

const STALE: f64 = f64::from_bits(STALE_NAN_BITS);

type Samples = Vec<(Millis, f64)>;

/// A chunk of a test: its encoding, data and times.
struct Input {
    encoding: Encoding,
    data: Vec<u8>,
    range: (Millis, Millis),
}

fn xor(samples: &[(Millis, f64)]) -> Vec<u8> {
    let mut chunk = XorAppender::new();
    samples.iter().for_each(|&(time, value)| chunk.append(time, value));
    chunk.into_bytes()
}

fn raw(samples: &[(Millis, f64)]) -> Input {
    let range = (samples[0].0, samples[samples.len() - 1].0);
    Input { encoding: Encoding::Xor, data: xor(samples), range }
}

/// Count, sum, min, max, counter; empty ones are absent.
fn aggregate(slots: [&[(Millis, f64)]; SLOTS]) -> Input {
    let encoded = slots.map(xor);
    let data = encode_aggregate(std::array::from_fn(|i| (!slots[i].is_empty()).then_some((Encoding::Xor, &encoded[i][..]))));
    let times = slots[0].iter().chain(slots[4]).map(|s| s.0);
    let range = (times.clone().min().expect("samples"), times.max().expect("samples"));
    Input { encoding: Encoding::Aggregate, data, range }
}

/// What became of a chunk: its aggregates, each as samples, and its times.
#[derive(Debug, PartialEq)]
struct Output {
    slots: [Option<Samples>; SLOTS],
    range: (Millis, Millis),
}

impl Output {
    fn slot(&self, kind: AggregateKind) -> &[(Millis, f64)] {
        self.slots[kind as usize].as_deref().unwrap_or_default()
    }
}

fn read(chunks: &AggregateChunks) -> Vec<Output> {
    let output = |(chunk, data): (&AggregateChunk, &[u8])| {
        let parsed = Aggregate::parse(data).unwrap();
        let slots = AggregateKind::ALL
            .map(|kind| parsed.get(kind).map(|(e, data)| FloatSamples::new(e, data).unwrap().map(Result::unwrap).collect()));
        let output = Output { slots, range: (chunk.min_time, chunk.max_time) };
        assert_eq!(chunk.samples as usize, output.slot(AggregateKind::Count).len());
        output
    };
    chunks.iter().map(output).collect()
}

/// Feeds chunks of `from` to a downsampler of two resolutions.
fn fed(from: Millis, between: (Millis, Millis), chunks: &[Input]) -> Result<Downsampler, Malformed> {
    let mut downsampler = Downsampler::between(between.0, between.1);
    for chunk in chunks {
        downsampler.push(from, chunk.encoding, &chunk.data, chunk.range.0, chunk.range.1)?;
    }
    Ok(downsampler)
}

/// Raw chunks to one resolution.
fn fine(resolution: Millis, chunks: &[Input]) -> AggregateChunks {
    let mut out = AggregateChunks::default();
    fed(0, (resolution, ONE_HOUR), chunks).unwrap().finish(Some(&mut out), None).unwrap();
    out
}

fn ds1() -> Samples {
    vec![(20, 1.), (40, 2.), (60, 3.), (80, 1.), (100, 2.), (101, STALE), (120, 5.), (180, 10.), (250, 1.)]
}

#[test]
fn one_raw_chunk() {
    let out = read(&fine(100, &[raw(&ds1())]));
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].slot(AggregateKind::Count), [(99, 4.), (199, 3.), (250, 1.)]);
    assert_eq!(out[0].slot(AggregateKind::Sum), [(99, 7.), (199, 17.), (250, 1.)]);
    assert_eq!(out[0].slot(AggregateKind::Min), [(99, 1.), (199, 2.), (250, 1.)]);
    assert_eq!(out[0].slot(AggregateKind::Max), [(99, 3.), (199, 10.), (250, 1.)]);
    assert_eq!(out[0].slot(AggregateKind::Counter), [(20, 1.), (99, 4.), (199, 13.), (250, 14.), (250, 1.)]);
    assert_eq!(out[0].range, (99, 250));
}

fn ds2() -> [Samples; 3] {
    let mut first = ds1();
    first[8].1 = 2.;
    [first, vec![(260, 1.), (300, 10.), (340, 15.), (380, 25.), (420, 35.)], vec![(460, STALE), (500, 10.), (540, 3.)]]
}

#[test]
fn three_raw_chunks_become_one() {
    let out = read(&fine(100, &ds2().map(|c| raw(&c))));
    assert_eq!(out.len(), 1);
    let times = [99, 199, 299, 399, 499, 540];
    let expect = |kind, values: [f64; 6]| assert_eq!(out[0].slot(kind), times.into_iter().zip(values).collect::<Vec<_>>());
    expect(AggregateKind::Count, [4., 3., 2., 3., 1., 2.]);
    expect(AggregateKind::Sum, [7., 17., 3., 50., 35., 13.]);
    expect(AggregateKind::Min, [1., 2., 1., 10., 35., 3.]);
    expect(AggregateKind::Max, [3., 10., 2., 25., 35., 10.]);
    let counter = [(20, 1.), (99, 4.), (199, 13.), (299, 16.), (399, 40.), (499, 50.), (540, 63.), (540, 3.)];
    assert_eq!(out[0].slot(AggregateKind::Counter), counter);
}

#[test]
fn chunks_that_overlap_are_refused() {
    let [first, second, third] = ds2().map(|c| raw(&c));
    let again = raw(&ds2()[0]);
    let failed = fed(0, (100, 500), &[first, again, second, third]).unwrap_err();
    assert_eq!(failed.why, "begins before the chunk before it ends");
    let counts: Samples = vec![(199, 5.), (299, 1.)];
    let aggregates = [&counts, &counts].map(|c| aggregate([c, &[], &[], &[], &[]]));
    assert!(fed(499, (499, 500), &aggregates).is_err());
}

#[test]
fn a_chunk_of_no_numbers_leaves_nothing() {
    let mut chunks = ds2();
    for (i, sample) in chunks[0].iter_mut().enumerate() {
        sample.1 = if i % 2 == 0 { f64::NAN } else { STALE };
    }
    let out = read(&fine(100, &chunks.map(|c| raw(&c))));
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].slot(AggregateKind::Count), [(299, 1.), (399, 3.), (499, 1.), (540, 2.)]);
    assert_eq!(out[0].slot(AggregateKind::Sum), [(299, 1.), (399, 50.), (499, 35.), (540, 13.)]);
    assert_eq!(out[0].slot(AggregateKind::Min), [(299, 1.), (399, 10.), (499, 35.), (540, 3.)]);
    assert_eq!(out[0].slot(AggregateKind::Max), [(299, 1.), (399, 25.), (499, 35.), (540, 10.)]);
    let counter = [(260, 1.), (299, 1.), (399, 25.), (499, 35.), (540, 48.), (540, 3.)];
    assert_eq!(out[0].slot(AggregateKind::Counter), counter);
}

/// Aggregates of a resolution to a coarser one.
fn coarse(from: Millis, to: Millis, chunks: &[Input]) -> Vec<Output> {
    let mut out = AggregateChunks::default();
    fed(from, (from, to), chunks).unwrap().finish(None, Some(&mut out)).unwrap();
    read(&out)
}

fn ds5() -> Input {
    let counts = [(199, 5.), (299, 1.), (399, 10.), (400, 3.), (499, 10.), (699, 0.), (999, 100.)];
    let mut bounds = counts;
    bounds[3].1 = -3.;
    // three chunks behind one another, the last one after a reset
    let counter = [
        (99, 100.),
        (299, 150.),
        (499, 210.),
        (499, 10.),
        (599, 20.),
        (799, 50.),
        (999, 120.),
        (999, 50.),
        (1099, 40.),
        (1199, 80.),
        (1299, 110.),
    ];
    aggregate([&counts, &counts, &bounds, &bounds, &counter])
}

const DS5_COUNTER: [(Millis, f64); 5] = [(99, 100.), (499, 210.), (999, 320.), (1299, 430.), (1299, 110.)];

#[test]
fn aggregates_of_aggregates() {
    let out = coarse(499, 500, &[ds5()]);
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].slot(AggregateKind::Count), [(499, 29.), (999, 100.)]);
    assert_eq!(out[0].slot(AggregateKind::Sum), [(499, 29.), (999, 100.)]);
    assert_eq!(out[0].slot(AggregateKind::Min), [(499, -3.), (999, 0.)]);
    assert_eq!(out[0].slot(AggregateKind::Max), [(499, 10.), (999, 100.)]);
    assert_eq!(out[0].slot(AggregateKind::Counter), DS5_COUNTER);
    assert_eq!(out[0].range, (499, 1299));

    // once more changes nothing
    let slots = AggregateKind::ALL.map(|kind| out[0].slot(kind));
    assert_eq!(coarse(499, 500, &[aggregate(slots)]), out);
}

#[test]
fn two_aggregates_become_one() {
    let counts = [(1399, 10.), (1400, 3.), (1499, 10.), (1699, 0.), (1999, 100.)];
    let mut bounds = counts;
    bounds[1].1 = -3.;
    let counter =
        [(1499, 210.), (1499, 10.), (1599, 20.), (1799, 50.), (1999, 120.), (1999, 50.), (2099, 40.), (2199, 80.), (2299, 110.)];
    let out = coarse(499, 500, &[ds5(), aggregate([&counts, &counts, &bounds, &bounds, &counter])]);
    assert_eq!(out.len(), 1);
    let times = [499, 999, 1499, 1999];
    let expect = |kind, values: [f64; 4]| assert_eq!(out[0].slot(kind), times.into_iter().zip(values).collect::<Vec<_>>());
    expect(AggregateKind::Count, [29., 100., 23., 100.]);
    expect(AggregateKind::Sum, [29., 100., 23., 100.]);
    expect(AggregateKind::Min, [-3., 0., -3., 0.]);
    expect(AggregateKind::Max, [10., 100., 10., 100.]);
    let counter = [(99, 100.), (499, 210.), (999, 320.), (1499, 530.), (1999, 640.), (2299, 750.), (2299, 110.)];
    assert_eq!(out[0].slot(AggregateKind::Counter), counter);
}

/// The chunks of a counter that was scraped every 15 s and restarts behind a staleness marker.
fn scraped() -> Vec<Samples> {
    let mut chunks: Vec<Samples> = Vec::new();
    for line in include_str!("../../../testdata/downsample/counter.txt").lines() {
        match line.split_once(' ') {
            None => chunks.push(Vec::new()),
            Some(("#", _)) => {}
            Some((time, value)) => {
                let value = if value == "stale" { STALE } else { value.parse().unwrap() };
                chunks.last_mut().unwrap().push((time.parse().unwrap(), value));
            }
        }
    }
    chunks
}

#[test]
fn a_scraped_counter_at_both_resolutions() {
    let chunks: Vec<_> = scraped().iter().map(|c| raw(c)).collect();
    let (mut five, mut hour) = (AggregateChunks::default(), AggregateChunks::default());
    fed(0, (FIVE_MINUTES, ONE_HOUR), &chunks).unwrap().finish(Some(&mut five), Some(&mut hour)).unwrap();
    let out = read(&five);
    assert_eq!(out.len(), 1);
    let times: Vec<Millis> = (0..11).map(|i| 1_587_690_299_999 + i * FIVE_MINUTES).chain([1_587_693_590_791]).collect();
    let expect = |kind, values: [f64; 12]| assert_eq!(out[0].slot(kind), times.iter().copied().zip(values).collect::<Vec<_>>());
    expect(AggregateKind::Count, [20., 20., 20., 20., 20., 20., 20., 20., 16., 20., 20., 20.]);
    let sums = [
        9_276_972., 9_359_861., 9_447_457., 9_542_732., 9_630_379., 9_715_631., 9_799_808., 9_888_117., 2_989_280., 81_592.,
        163_711., 255_746.,
    ];
    expect(AggregateKind::Sum, sums);
    let least = [461_968., 466_070., 470_131., 474_913., 479_625., 483_709., 488_036., 492_223., 75., 2_261., 6_210., 10_464.];
    expect(AggregateKind::Min, least);
    let most =
        [465_870., 469_951., 474_726., 479_368., 483_566., 487_787., 492_065., 496_245., 496_544., 6_010., 10_242., 14_956.];
    expect(AggregateKind::Max, most);
    let totals =
        [465_870., 469_951., 474_726., 479_368., 483_566., 487_787., 492_065., 496_245., 498_647., 502_554., 506_786., 511_500.];
    let first = (1_587_690_005_791, 461_968.);
    let counter = [first].into_iter().chain(times.iter().copied().zip(totals)).chain([(1_587_693_590_791, 14_956.)]);
    assert_eq!(out[0].slot(AggregateKind::Counter), counter.collect::<Vec<_>>());

    let end = 1_587_693_590_791;
    let out = read(&hour);
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].slot(AggregateKind::Count), [(end, 236.)]);
    assert_eq!(out[0].slot(AggregateKind::Sum), [(end, 80_151_286.)]);
    assert_eq!(out[0].slot(AggregateKind::Min), [(end, 75.)]);
    assert_eq!(out[0].slot(AggregateKind::Max), [(end, 496_544.)]);
    assert_eq!(out[0].slot(AggregateKind::Counter), [first, (end, 511_500.), (end, 14_956.)]);
}

#[test]
fn a_scraped_counter_that_comes_many_times() {
    let chunks: Vec<_> = scraped().iter().map(|c| xor(c)).collect();
    let totals = |times: [usize; 2]| {
        let list = chunks.iter().zip(times).flat_map(|(data, n)| std::iter::repeat_n((Encoding::Xor, &data[..]), n));
        let list: Vec<_> = list.collect();
        crate::series::CounterSamples::new(&list).collect::<Result<Vec<_>, _>>().unwrap()
    };
    let once = totals([1, 1]);
    assert_eq!((once.len(), once[0], once[235]), (236, (1_587_690_005_791, 461_968.), (1_587_693_590_791, 511_500.)));
    assert_eq!(totals([3, 9]), once);
}

#[test]
fn counters_alone_stay_in_one_chunk() {
    let counter = |from: i64| aggregate([&[], &[], &[], &[], &(from..from + 120).map(|t| (t, t as f64)).collect::<Vec<_>>()]);
    let out = coarse(1, 2, &[0, 120, 240, 360].map(counter));
    assert_eq!(out.len(), 1);
    let windows = (0..240).map(|i| (2 * i + 1, (2 * i + 1) as f64));
    let expected: Samples = [(0, 0.)].into_iter().chain(windows).chain([(479, 479.)]).collect();
    assert_eq!(out[0].slots, [None, None, None, None, Some(expected)]);
    // aggregates that are not there have no first time
    assert_eq!(coarse(1, 2, &[counter(1000)])[0].range, (1001, 1119));
}

#[test]
fn resets_at_the_ends_of_windows() {
    let windows: [Samples; 4] = [
        vec![(10, 1.), (20, 3.), (30, 5.)],
        vec![(50, 1.), (60, 8.), (70, 10.)],
        vec![(120, 1.), (130, 18.), (140, 20.)],
        vec![(160, 21.), (170, 38.), (180, 40.)],
    ];
    let (mut slots, mut ends) = (Slots::default(), vec![[0; SLOTS]]);
    for window in &windows {
        let mut run = FloatRun::default();
        run.push(Encoding::Xor, &xor(window)).unwrap();
        run.windows(50, &mut slots, |slots| ends.push(slots.ends()));
    }
    let counter = |slots: &Slots, from: usize| {
        let slot = &slots.0[AggregateKind::Counter as usize];
        slot.times[from..].iter().copied().zip(slot.values[from..].iter().copied()).collect::<Samples>()
    };
    let totals = |samples: &[(Millis, f64)]| {
        let data = xor(samples);
        let list = [(Encoding::Xor, &data[..])];
        crate::series::CounterSamples::new(&list).collect::<Result<Samples, _>>().unwrap()
    };
    let fine = counter(&slots, 0);
    let expected = [
        [(10, 1.), (30, 5.), (30, 5.)],
        [(50, 1.), (70, 10.), (70, 10.)],
        [(120, 1.), (140, 20.), (140, 20.)],
        [(160, 21.), (180, 40.), (180, 40.)],
    ];
    assert_eq!(fine, expected.concat());
    let expected = [(10, 1.), (30, 5.), (50, 6.), (70, 15.), (120, 16.), (140, 35.), (160, 36.), (180, 55.)];
    assert_eq!(totals(&fine), expected);

    let mut hours = Coarse::default();
    let mut coarse = Samples::new();
    for batch in [&ends[..3], &ends[2..]] {
        assert!(hours.chunk(&slots, batch, 100).is_some());
        coarse.extend(counter(&hours.out, 0));
    }
    assert_eq!(coarse, [(10, 1.), (70, 15.), (70, 10.), (120, 1.), (180, 40.), (180, 40.)]);
    assert_eq!(totals(&coarse), [(10, 1.), (70, 15.), (120, 16.), (180, 55.)]);
}

#[test]
fn raw_chunks_among_aggregates() {
    let first = 1_587_690_299_999;
    let at = |i: i64| first + i * FIVE_MINUTES;
    let counts = [(at(0), 20.), (at(1), 20.), (at(2), 20.)];
    let sums = [(at(0), 9_276_972.), (at(1), 9_359_861.), (1_587_693_590_791, 255_746.)];
    let least = [(at(0), 461_968.), (at(1), 466_070.), (at(2), 470_131.), (at(3), 474_913.)];
    let most = [(at(0), 465_870.), (at(1), 469_951.), (at(2), 474_726.)];
    let counter = [(1_587_690_005_791, 461_968.), (at(0), 465_870.), (at(1), 469_951.)];
    let aggregates = || aggregate([&counts, &sums, &least, &most, &counter]);
    let alone = coarse(FIVE_MINUTES, ONE_HOUR, &[aggregates()]);
    // an empty chunk has no times
    let empty = Input { encoding: Encoding::Xor, data: xor(&[]), range: (Millis::MAX, Millis::MIN) };
    assert_eq!(coarse(FIVE_MINUTES, ONE_HOUR, &[aggregates(), empty]), alone);

    // its sample lies before the windows that come first: upstream's result, to the sample
    let late = Input { encoding: Encoding::Xor, data: xor(&[(1_587_690_005_794, 42.5)]), range: (Millis::MAX, Millis::MIN) };
    let out = coarse(FIVE_MINUTES, ONE_HOUR, &[aggregates(), late]);
    let end = 1_587_690_005_794;
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].slot(AggregateKind::Count), [(end, 20.), (end, 20.), (end, 21.)]);
    assert_eq!(out[0].slot(AggregateKind::Sum), [(end, 9_276_972.), (end, 9_359_861.), (end, 255_788.5)]);
    assert_eq!(out[0].slot(AggregateKind::Min), [(end, 461_968.), (end, 466_070.), (end, 470_131.), (end, 42.5)]);
    assert_eq!(out[0].slot(AggregateKind::Max), [(end, 465_870.), (end, 469_951.), (end, 474_726.)]);
    let counter = [(1_587_690_005_791, 461_968.), (at(1), 469_951.), (at(1), 469_951.)];
    assert_eq!(out[0].slot(AggregateKind::Counter), counter);
}

#[test]
fn mostly_no_numbers() {
    // ten hours of a sample a minute, of which one in seven is a number
    let samples: Samples =
        (0..600).map(|i| (1_688_526_018_213 + i * 60_000, if i * i % 7 == 1 { 0.99 } else { f64::NAN })).collect();
    let chunks: Vec<_> = samples.chunks(120).map(raw).collect();
    let (mut five, mut hour) = (AggregateChunks::default(), AggregateChunks::default());
    fed(0, (FIVE_MINUTES, ONE_HOUR), &chunks).unwrap().finish(Some(&mut five), Some(&mut hour)).unwrap();
    let numbers = samples.iter().filter(|s| !s.1.is_nan()).count() as f64;
    for out in [read(&five), read(&hour)] {
        assert_eq!(out.iter().flat_map(|c| c.slot(AggregateKind::Count)).map(|s| s.1).sum::<f64>(), numbers);
        for chunk in &out {
            let times = |kind| chunk.slot(kind).iter().map(|s| s.0).collect::<Vec<_>>();
            assert!(chunk.slots.iter().all(Option::is_some));
            assert_eq!(times(AggregateKind::Sum), times(AggregateKind::Count));
            assert_eq!(times(AggregateKind::Max), times(AggregateKind::Min));
        }
    }
}

#[test]
fn samples_that_are_left_out() {
    // those that go back and staleness markers; equal times stay
    let samples = [(100, 1.), (200, 2.), (200, 3.), (201, 4.), (200, 5.), (300, 6.), (400, STALE), (500, 5.), (-7, 1.)];
    let out = read(&fine(1, &[raw(&samples[..8])]));
    let sums: Vec<_> = out.iter().flat_map(|c| c.slot(AggregateKind::Sum).to_vec()).collect();
    assert_eq!(sums, [(100, 1.), (200, 5.), (201, 4.), (300, 6.), (500, 5.)]);
    let before_the_epoch = Input { encoding: Encoding::Xor, data: xor(&samples[8..]), range: (-7, -7) };
    assert_eq!(read(&fine(1, &[before_the_epoch])), []);
}

#[test]
fn what_is_refused() {
    let why = |from, between, chunks: &[Input]| fed(from, between, chunks).unwrap_err().why.into_owned();
    assert_eq!(why(7, (100, 500), &[raw(&ds1())]), "chunks of a resolution of 7 ms are not downsampled");
    assert_eq!(why(0, (499, 500), &[ds5()]), "an aggregate among raw chunks");
    let histogram = Input { encoding: Encoding::Aggregate, data: vec![0, 1, 3, 0, 0, 0, 0], range: (0, 0) };
    assert_eq!(why(499, (499, 500), &[histogram]), "sum of encoding floathistogram among aggregates of floats");
    let mut from_aggregates = fed(499, (499, 500), &[ds5()]).unwrap();
    let (mut five, mut hour) = (AggregateChunks::default(), AggregateChunks::default());
    assert!(from_aggregates.finish(Some(&mut five), Some(&mut hour)).is_err());
    assert_eq!((five, hour), Default::default());
    // and the next series is as any
    from_aggregates.push(0, Encoding::Xor, &xor(&ds1()), 20, 250).unwrap();
    assert_eq!(from_aggregates.finish(None, None), Ok(()));
}
