//! Downsampling of floats to both resolutions; `elem/s` are raw samples, so that 125 Melem/s are 8 ns a sample.
//!
//! `decode` is the part of it that any reader pays.

use std::hint::black_box;

use blockyard::format::chunk::{Columns, Encoding, XorAppender, decode_columns};
use blockyard::series::aggregate::{AggregateChunks, Downsampler};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Milliseconds of a series: a block as it is when it is downsampled.
const LENGTH: i64 = 14 * 86_400_000;
/// Series that take turns, so that branches cannot be learnt by heart.
const SERIES: usize = 4;

/// Numbers that are the same in every run.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, limit: u64) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit) as f64
    }
}

struct Chunk {
    times: (i64, i64),
    data: Vec<u8>,
}

fn series(interval: i64, mut value: impl FnMut() -> f64) -> Vec<Chunk> {
    let samples: Vec<_> = (0..LENGTH / interval).map(|i| (1_767_571_200_000 + i * interval, value())).collect();
    let chunk = |samples: &[(i64, f64)]| {
        let mut chunk = XorAppender::new();
        samples.iter().for_each(|&(time, value)| chunk.append(time, value));
        Chunk { times: (samples[0].0, samples[samples.len() - 1].0), data: chunk.into_bytes() }
    };
    samples.chunks(120).map(chunk).collect()
}

fn both_levels(c: &mut Criterion) {
    let mut random = Seeded(42);
    for interval in [15_000, 60_000] {
        for kind in ["counter", "gauge-two-decimals"] {
            let all: Vec<_> = (0..SERIES)
                .map(|n| {
                    let mut count = (n * 1000) as f64;
                    series(interval, || match kind {
                        "counter" => {
                            count += random.below(200);
                            count
                        }
                        _ => random.below(10_000) / 100.0,
                    })
                })
                .collect();
            let mut group = c.benchmark_group(format!("downsample/{kind}/{}s", interval / 1000));
            group.throughput(Throughput::Elements(SERIES as u64 * (LENGTH / interval) as u64));
            group.sample_size(20);
            group.bench_function("decode", |b| {
                let mut columns = Columns::new();
                b.iter(|| {
                    for chunk in black_box(&all).iter().flatten() {
                        decode_columns(Encoding::Xor, &chunk.data, &mut columns).unwrap();
                    }
                });
            });
            group.bench_function("5m-and-1h", |b| {
                let mut downsampler = Downsampler::new();
                let (mut five, mut hour) = (AggregateChunks::default(), AggregateChunks::default());
                b.iter(|| {
                    for chunks in black_box(&all) {
                        five.clear();
                        hour.clear();
                        for Chunk { times, data } in chunks {
                            downsampler.push(0, Encoding::Xor, data, times.0, times.1).unwrap();
                        }
                        downsampler.finish(Some(&mut five), Some(&mut hour)).unwrap();
                    }
                    (five.bytes.len(), hour.bytes.len())
                });
            });
            group.finish();
        }
    }
}

criterion_group!(benches, both_levels);
criterion_main!(benches);
