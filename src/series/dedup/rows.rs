//! What upstream's own tests say, row by row (`pkg/dedup/iter_test.go`, `chunk_iter_test.go`).

use super::{ChunkStream, Penalty, Raised, SampleStream, Stream, merge_penalty};
use crate::format::chunk::{AggregateKind, Encoding, XorAppender, encode_aggregate};
use crate::model::{BucketSpan, Histogram, Millis, Sample, Value};
use crate::series::{Chunk, encode_in_chunks};

type Floats = Vec<(Millis, f64)>;

fn samples(floats: &[(Millis, f64)]) -> Vec<Sample> {
    floats.iter().map(|&(time, v)| Sample { time, start: 0, value: Value::Float(v) }).collect()
}

fn all(mut stream: impl Stream) -> Vec<Sample> {
    let mut out = Vec::new();
    while let (Some(time), Some(value)) = (stream.time(), stream.value().map(|v| v.to_owned())) {
        out.push(Sample { time, start: 0, value });
        stream.seek(time + 1).unwrap();
    }
    out
}

/// Merges two lists of samples, at hand and out of chunks.
fn check(a: &[(Millis, f64)], b: &[(Millis, f64)], expected: &[(Millis, f64)]) {
    let (a, b) = (samples(a), samples(b));
    assert_eq!(all(Penalty::new(SampleStream::new(&a), SampleStream::new(&b)).unwrap()), samples(expected));
    let [a, b] = [a, b].map(|s| encode_in_chunks(s).unwrap());
    let merged = Penalty::new(ChunkStream::new(&a).unwrap(), ChunkStream::new(&b).unwrap()).unwrap();
    assert_eq!(all(merged), samples(expected));
}

/// Samples with one value, at these times in seconds.
fn at(seconds: &[f64], value: f64) -> Floats {
    seconds.iter().map(|s| ((s * 1000.0) as Millis, value)).collect()
}

#[test]
fn the_first_is_preferred() {
    let a = [(10_000, 10.0), (20_000, 11.0), (30_000, 12.0), (40_000, 13.0)];
    check(&a, &a.map(|(t, v)| (t, v + 10.0)), &a);
}

#[test]
fn the_second_is_preferred_where_it_begins_earlier() {
    let b = at(&[10.0, 20.0, 30.0, 40.0], 2.0);
    check(&at(&[10.1, 20.1, 30.1, 40.1], 1.0), &b, &b);
}

#[test]
fn one_missing_sample_is_no_gap() {
    let a = at(&[10.0, 20.0, 40.0], 1.0);
    check(&a, &at(&[10.0, 20.0, 30.0, 40.0], 2.0), &a);
    check(&a, &at(&[15.0, 25.0, 35.0, 45.0], 2.0), &a);
}

#[test]
fn behind_a_gap_it_stays_with_the_other() {
    let mut expected = at(&[10.0, 20.0, 30.0], 1.0);
    expected.extend(at(&[50.1, 60.1], 2.0));
    check(&at(&[10.0, 20.0, 30.0, 60.0, 70.0], 1.0), &at(&[10.1, 20.1, 30.1, 40.1, 50.1, 60.1], 2.0), &expected);
}

#[test]
fn streams_that_follow_one_another() {
    let parts = [
        vec![(10_000, 1.0), (20_000, 2.0)],
        vec![(60_000, 3.0), (70_000, 4.0)],
        vec![(200_000, 5.0), (210_000, 6.0)],
        vec![(10_000, 1.0), (20_000, 2.0)],
    ]
    .map(|p| samples(&p));
    let [a, b, c, d] = parts.each_ref().map(|p| SampleStream::new(p));
    let nested = Penalty::new(Penalty::new(Penalty::new(a, b).unwrap(), c).unwrap(), d).unwrap();
    assert_eq!(all(nested), parts[..3].concat());
}

fn histogram() -> Value {
    let spans = |parts: &[(i32, u32)]| parts.iter().map(|&(offset, length)| BucketSpan { offset, length }).collect();
    Value::Histogram(Box::new(Histogram {
        count: 20,
        sum: -2.5,
        zero_count: 12,
        zero_threshold: 0.001,
        negative_spans: spans(&[(0, 4), (1, 1)]),
        negative_buckets: vec![1, 2, -2, 1, -1],
        ..Histogram::default()
    }))
}

fn histograms(seconds: &[Millis]) -> Vec<Sample> {
    seconds.iter().map(|s| Sample { time: s * 1000, start: 0, value: histogram() }).collect()
}

#[test]
fn a_float_and_histograms_are_one_stream() {
    let (a, b) = (samples(&[(0, 0.0)]), histograms(&[10, 20, 30, 40]));
    let expected = [a.clone(), b.clone()].concat();
    for (a, b) in [(&a, &b), (&b, &a)] {
        assert_eq!(all(Penalty::new(SampleStream::new(a), SampleStream::new(b)).unwrap()), expected);
    }
}

/// Issue 2401 of Thanos. Its own test sees 90k before 100k, since its streams seek backwards, which
/// chunks do not: when 45001 is picked, the first stream has been moved to 100k for good.
#[test]
fn a_counter_does_not_fall_where_the_stream_changes() {
    let a = [(10, 8.0), (20, 9.0), (50, 10.0), (60, 11.0), (70, 12.0), (80, 13.0), (90, 14.0), (100, 15.0)];
    let mut a = a.map(|(s, v)| (s * 1000, v));
    a[2].0 = 50_001;
    let b = [(10_001, 8.0), (45_001, 8.5), (55_001, 9.5), (65_001, 10.5)];
    check(&a, &b, &[(10_000, 8.0), (20_000, 9.0), (45_001, 8.5), (55_001, 9.5), (65_001, 10.5), (100_000, 15.0)]);
    let (a, b) = (samples(&a), samples(&b));
    let raised = Penalty::new(Raised::new(SampleStream::new(&a)), Raised::new(SampleStream::new(&b))).unwrap();
    let expected = [(10_000, 8.0), (20_000, 9.0), (45_001, 9.0), (55_001, 10.0), (65_001, 11.0), (100_000, 15.0)];
    assert_eq!(all(raised), samples(&expected));
}

/// Chunks of samples whose value is their time.
fn chunks(parts: &[&[Millis]]) -> Vec<Chunk> {
    parts
        .iter()
        .flat_map(|times| encode_in_chunks(samples(&times.iter().map(|&t| (t, t as f64)).collect::<Floats>())).unwrap())
        .collect()
}

fn check_chunks(lists: &[&[&[Millis]]], expected: &[&[Millis]]) {
    let merged = merge_penalty(lists.iter().map(|list| chunks(list)).collect()).unwrap();
    assert_eq!(merged, chunks(expected), "{lists:?}");
}

#[test]
fn chunks_of_one_series() {
    check_chunks(&[&[]], &[]);
    check_chunks(&[&[], &[]], &[]);
    check_chunks(&[&[&[1, 2], &[3]]], &[&[1, 2], &[3]]);
    check_chunks(&[&[&[1, 2], &[3, 5]], &[&[7, 9], &[10]]], &[&[1, 2], &[3, 5], &[7, 9], &[10]]);
    check_chunks(&[&[&[1, 2], &[3, 8]], &[&[7, 9], &[10]]], &[&[1, 2], &[3, 8], &[10]]);
    check_chunks(&[&[&[1, 2], &[2, 5008]], &[&[7, 9], &[10]]], &[&[1, 2, 5008]]);
    check_chunks(&[&[&[1, 2, 3, 5]], &[&[2, 3, 5]]], &[&[1, 2, 3, 5]]);
    check_chunks(&[&[&[1, 2, 3, 5]], &[&[2, 3, 6]], &[&[0, 4]]], &[&[0, 4]]);
    check_chunks(&[&[&[1, 2, 3, 5]], &[&[4, 6]], &[&[6, 10]]], &[&[1, 2, 3, 5]]);
    check_chunks(&[&[&[0, 5], &[10, 15]], &[&[2, 20], &[25, 30]], &[&[18, 26], &[31, 35]]], &[&[0, 5], &[31, 35]]);
    let run = |from, to| (from..to).collect::<Vec<Millis>>();
    check_chunks(&[&[&run(0, 110)], &[&run(60, 110)]], &[&run(0, 110)]);
    check_chunks(&[&[&run(0, 90)], &[&run(60, 150)]], &[&run(0, 90)]);
}

#[test]
fn equal_chunks_are_kept_once_and_as_they_are() {
    // 200 samples in one chunk: nothing that is encoded anew has so many
    let mut long = XorAppender::new();
    (0..200).for_each(|t| long.append(t, 1.0));
    let list = vec![Chunk { min_time: 0, max_time: 199, encoding: Encoding::Xor, data: long.into_bytes() }];
    assert_eq!(merge_penalty(vec![list.clone(), list.clone(), list.clone()]).unwrap(), list);
}

#[test]
fn chunks_of_histograms() {
    let lists = [histograms(&[0, 60, 90]), histograms(&[30, 60, 90, 120])].map(|s| encode_in_chunks(s).unwrap());
    let merged = merge_penalty(lists.to_vec()).unwrap();
    assert_eq!(merged, encode_in_chunks(histograms(&[0, 30, 60, 90, 120])).unwrap());
}

#[test]
fn a_series_that_turns_from_floats_to_histograms() {
    let floats = encode_in_chunks(samples(&[(30_000, 1.0), (60_000, 1.0)])).unwrap();
    let list = |seconds| [floats.clone(), encode_in_chunks(histograms(seconds)).unwrap()].concat();
    let merged = merge_penalty(vec![list(&[150, 180, 210]), list(&[150, 180, 210, 240, 270])]).unwrap();
    assert_eq!(merged, list(&[150, 180, 210]));
}

/// Upstream goes on with the kind of the first chunk and forgets all others: 60 s of floats would
/// be all that is left of ten minutes.
#[test]
fn no_kind_of_sample_is_lost_where_floats_and_histograms_overlap() {
    let floats = encode_in_chunks(samples(&(0..=4).map(|i| (i * 15_000, 1.0)).collect::<Floats>())).unwrap();
    let all: Vec<Millis> = (1..=40).map(|i| i * 15).collect();
    let merged = merge_penalty(vec![floats.clone(), encode_in_chunks(histograms(&all)).unwrap()]).unwrap();
    // floats as long as there are some, then histograms, two steps later
    let rest: Vec<Millis> = all.into_iter().filter(|&s| s > 90).collect();
    assert_eq!(merged, [floats, encode_in_chunks(histograms(&rest)).unwrap()].concat());
}

/// Five-minute aggregates of samples a minute apart whose value is their time.
fn aggregate(windows: &[[f64; 4]], times: &[Millis]) -> Chunk {
    let data = [0, 1, 2, 3].map(|kind| {
        let mut chunk = XorAppender::new();
        times.iter().zip(windows).for_each(|(&t, w)| chunk.append(t, w[kind]));
        chunk.into_bytes()
    });
    let slot = |kind: AggregateKind| data.get(kind as usize).map(|d| (Encoding::Xor, &d[..]));
    let data = encode_aggregate(AggregateKind::ALL.map(slot));
    Chunk { min_time: times[0], max_time: times[times.len() - 1], encoding: Encoding::Aggregate, data }
}

/// Upstream thins out each of the five by itself, and the counter loses a window. Here overlapping
/// aggregates are an error; blocks of such are marked before it comes to that.
#[test]
fn aggregates_that_are_equal_or_apart() {
    let from_0 = aggregate(&[[5.0, 600e3, 0.0, 240e3], [5.0, 2100e3, 300e3, 540e3]], &[299_999, 540_000]);
    let behind = aggregate(&[[5.0, 3600e3, 600e3, 840e3], [5.0, 5100e3, 900e3, 1140e3]], &[899_999, 1_140_000]);
    let from_2 = aggregate(&[[3.0, 540e3, 120e3, 240e3], [5.0, 2100e3, 300e3, 540e3]], &[299_999, 540_000]);
    let merge = |lists: [&Chunk; 2]| merge_penalty(lists.map(|c| vec![c.clone()]).to_vec());
    assert_eq!(merge([&from_0, &from_0]), Ok(vec![from_0.clone()]));
    assert_eq!(merge([&from_0, &behind]), Ok(vec![from_0.clone(), behind]));
    let refused = merge([&from_0, &from_2]).unwrap_err();
    assert!(refused.why.contains("aggregates that overlap"), "{refused}");
}
