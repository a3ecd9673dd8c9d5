//! Decoding and encoding of chunks; `elem/s` are samples, so that 250 Melem/s are 4 ns a sample.

use std::hint::black_box;

use blockyard::format::chunk::{
    Appended, Columns, Encoding, FloatHistogramAppender, FloatSamples, HistogramAppender, Mode, Samples, XorAppender,
    decode_columns,
};
use blockyard::model::{BucketSpan, FloatHistogram, Histogram};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Samples of a chunk as Prometheus cuts them.
const SAMPLES: usize = 120;
/// Chunks that take turns, so that branches cannot be learnt by heart.
const CHUNKS: usize = 64;

/// Numbers that are the same in every run.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

type Shape = fn(&mut Seeded, usize) -> Vec<(i64, f64)>;

/// A sample every 15 s.
fn regular(mut value: impl FnMut() -> f64) -> Vec<(i64, f64)> {
    (0..SAMPLES as i64).map(|i| (1_767_571_200_000 + i * 15_000, value())).collect()
}

fn shapes() -> [(&'static str, Shape); 6] {
    [
        ("constant", |_, n| regular(|| n as f64)),
        ("counter", |r, n| {
            let mut count = (n * 1000) as f64;
            regular(|| {
                count += (r.next() % 200) as f64;
                count
            })
        }),
        ("counter-steady", |_, n| {
            let mut count = (n * 1000) as f64;
            regular(|| {
                count += 15.0;
                count
            })
        }),
        ("gauge-two-decimals", |r, _| regular(|| (r.next() % 10_000) as f64 / 100.0)),
        ("random", |r, _| regular(|| f64::from_bits(r.next()))),
        ("counter-jittered", |r, n| {
            let mut count = (n * 1000) as f64;
            let mut samples = regular(|| {
                count += (n % 200) as f64;
                count
            });
            samples.iter_mut().for_each(|(time, _)| *time += (r.next() % 40) as i64 - 20);
            samples
        }),
    ]
}

fn chunk(samples: &[(i64, f64)]) -> Vec<u8> {
    let mut chunk = XorAppender::new();
    samples.iter().for_each(|&(time, value)| chunk.append(time, value));
    chunk.into_bytes()
}

fn floats(c: &mut Criterion) {
    let mut random = Seeded(42);
    for (name, shape) in shapes() {
        let series: Vec<_> = (0..CHUNKS).map(|n| shape(&mut random, n)).collect();
        let chunks: Vec<_> = series.iter().map(|s| chunk(s)).collect();
        let mut group = c.benchmark_group(format!("chunk/xor/{name}"));
        group.throughput(Throughput::Elements((CHUNKS * SAMPLES) as u64));
        group.bench_function("decode", |b| {
            b.iter(|| {
                let mut sum = 0.0;
                let mut last = 0;
                for data in black_box(&chunks) {
                    let mut samples = FloatSamples::new(Encoding::Xor, data).unwrap();
                    while samples.advance().unwrap() {
                        sum += samples.value();
                        last ^= samples.time();
                    }
                }
                (sum, last)
            });
        });
        group.bench_function("columns", |b| {
            let mut columns = Columns::new();
            b.iter(|| {
                let mut last = 0;
                for data in black_box(&chunks) {
                    decode_columns(Encoding::Xor, data, &mut columns).unwrap();
                    last ^= columns.times[SAMPLES - 1];
                }
                last
            });
        });
        group.bench_function("encode", |b| {
            b.iter(|| black_box(&series).iter().map(|s| chunk(s).len()).sum::<usize>());
        });
        group.finish();
    }
}

fn histogram(random: &mut Seeded, last: &mut Histogram) {
    for delta in 0..last.positive_buckets.len() - 1 {
        let more = (random.next() % 3) as i64;
        last.positive_buckets[delta] += more;
        last.positive_buckets[delta + 1] -= more;
        last.count += more as u64;
    }
    last.sum += (random.next() % 1000) as f64 / 10.0;
}

fn histograms(c: &mut Criterion) {
    let mut random = Seeded(42);
    let mut last = Histogram {
        schema: 3,
        zero_threshold: 2f64.powi(-128),
        positive_spans: vec![BucketSpan { offset: -4, length: 12 }, BucketSpan { offset: 2, length: 8 }],
        positive_buckets: vec![0; 20],
        ..Histogram::default()
    };
    let (mut ints, mut in_floats) = (HistogramAppender::new(), FloatHistogramAppender::new());
    for i in 0..SAMPLES as i64 {
        histogram(&mut random, &mut last);
        let mut count = 0;
        let float = FloatHistogram {
            schema: last.schema,
            zero_threshold: last.zero_threshold,
            count: last.count as f64,
            sum: last.sum,
            positive_spans: last.positive_spans.clone(),
            positive_buckets: last.positive_buckets.iter().map(|d| (count += d, count as f64).1).collect(),
            ..FloatHistogram::default()
        };
        let time = 1_767_571_200_000 + i * 15_000;
        assert!(matches!(ints.append(time, &last, None, Mode::AppendOnly), Ok(Appended::Same)));
        assert!(matches!(in_floats.append(time, &float, None, Mode::AppendOnly), Ok(Appended::Same)));
    }
    for (name, encoding, data) in [
        ("histogram", Encoding::Histogram, ints.into_bytes()),
        ("floathistogram", Encoding::FloatHistogram, in_floats.into_bytes()),
    ] {
        let mut group = c.benchmark_group(format!("chunk/{name}/20-buckets"));
        group.throughput(Throughput::Elements(SAMPLES as u64));
        group.bench_function("decode", |b| {
            b.iter(|| {
                let mut samples = Samples::new(encoding, black_box(&data)).unwrap();
                let mut last = 0;
                while samples.advance().unwrap() {
                    last ^= samples.time();
                }
                last
            });
        });
        group.bench_function("columns", |b| {
            let mut columns = Columns::new();
            b.iter(|| decode_columns(encoding, black_box(&data), &mut columns).unwrap());
        });
        group.finish();
    }
}

criterion_group!(benches, floats, histograms);
criterion_main!(benches);
