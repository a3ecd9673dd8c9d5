//! Kernels of the index: series entries, symbols, postings, the postings offset table, places of chunks.

use std::hint::black_box;

use blockyard::format::index::{
    ChunkMeta, Index, PostingsTable, SeriesWalk, SymbolStep, SymbolStream, SymbolTable, Version, Writer, decode_postings_list,
    encode_postings_list, encode_series,
};
use blockyard::format::segment::{ChunkRef, Cutter};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Series of the index that is benched.
const SERIES: usize = 50_000;

/// Ten labels a series, `chunks` chunks each, as a Kubernetes cluster has them.
fn index(chunks: usize) -> Vec<u8> {
    let (metrics, names) = (500, 10u32);
    let values: Vec<String> = (0..SERIES / 5).map(|i| format!("pod-{i:06}-{:08x}", i.wrapping_mul(0x9e37_79b9))).collect();
    let mut symbols: Vec<String> = (0..names).map(|i| format!("label_{i:02}")).collect();
    symbols.extend((0..metrics).map(|i| format!("metric_{i:05}_total")));
    symbols.extend(values);
    let mut writer = Writer::new(vec![]);
    for symbol in &symbols {
        writer.symbol(symbol.as_bytes()).unwrap();
    }
    let mut writer = writer.series().unwrap();
    let mut place = 8;
    for i in 0..SERIES as u32 {
        let value = |n: u32| names + metrics + (i.wrapping_mul(n * n + 1) + n * 977) % (SERIES as u32 / 5);
        let mut labels: Vec<(u32, u32)> = (1..names).map(|n| (n, value(n))).collect();
        labels.insert(0, (0, names + i / (SERIES as u32 / metrics)));
        labels[1].1 = names + metrics + i % (SERIES as u32 / metrics);
        let metas: Vec<_> = (0..chunks as i64)
            .map(|c| {
                place += 160;
                let min_time = 1_767_225_600_000 + c * 1_800_000;
                ChunkMeta { min_time, max_time: min_time + 1_785_000, reference: ChunkRef(place) }
            })
            .collect();
        writer.push(&labels, &metas).unwrap();
    }
    writer.finish().unwrap().0
}

fn series(c: &mut Criterion) {
    let mut group = c.benchmark_group("series");
    group.throughput(Throughput::Elements(SERIES as u64));
    for chunks in [1, 4, 24] {
        let bytes = index(chunks);
        let index = Index::open(&bytes[..]).unwrap();
        let range = index.toc().series_range();
        let section = &bytes[range.start as usize..range.end as usize];
        let (mut labels, mut metas) = (vec![], vec![]);
        group.bench_function(BenchmarkId::new("decode", chunks), |b| {
            b.iter(|| {
                let mut walk = SeriesWalk::new(Version::V2, black_box(section), range.start);
                while let Some(id) = walk.next(&mut labels, &mut metas).unwrap() {
                    black_box((id, &labels, &metas));
                }
            });
        });
        let mut all = vec![];
        let mut walk = index.each_series();
        while walk.next(&mut labels, &mut metas).unwrap().is_some() {
            all.push((labels.clone(), metas.clone()));
        }
        let mut out = vec![];
        group.bench_function(BenchmarkId::new("encode", chunks), |b| {
            b.iter(|| {
                for (labels, metas) in &all {
                    out.clear();
                    encode_series(&mut out, black_box(labels), metas).unwrap();
                }
            });
        });
    }
}

fn tables(c: &mut Criterion) {
    let bytes = index(1);
    let index = Index::open(&bytes[..]).unwrap();
    let toc = index.toc();
    let symbols = &bytes[toc.symbols as usize..toc.series as usize];
    let mut group = c.benchmark_group("symbols");
    group.throughput(Throughput::Elements(index.symbol_count() as u64));
    group.bench_function("table", |b| b.iter(|| SymbolTable::decode(Version::V2, black_box(symbols), 5).unwrap().len()));
    group.bench_function("stream", |b| {
        b.iter(|| {
            let mut stream = SymbolStream::new(Version::V2, 5);
            for part in symbols.chunks(64 << 10) {
                stream.push(part);
                while let SymbolStep::Symbol(reference, symbol) = stream.step().unwrap() {
                    black_box((reference, symbol));
                }
            }
        });
    });
    group.finish();

    let table = &bytes[toc.postings_table as usize..];
    let mut group = c.benchmark_group("postings");
    group.throughput(Throughput::Elements(index.postings_table().count() as u64));
    group.bench_function("table", |b| {
        b.iter(|| PostingsTable::decode(Version::V2, black_box(table), toc.postings_table).unwrap().len())
    });
    group.throughput(Throughput::Elements(SERIES as u64));
    let all: Vec<u32> = index.all_postings().unwrap().iter().collect();
    let mut list = vec![];
    group.bench_function("encode", |b| {
        b.iter(|| {
            list.clear();
            encode_postings_list(&mut list, black_box(&all).iter().copied()).unwrap();
        })
    });
    group.bench_function("decode", |b| {
        b.iter(|| decode_postings_list(black_box(&list), 0).unwrap().iter().map(u64::from).sum::<u64>())
    });
}

fn places(c: &mut Criterion) {
    let mut group = c.benchmark_group("cutter");
    group.throughput(Throughput::Elements(4 * SERIES as u64));
    let mut refs = vec![];
    group.bench_function("place", |b| {
        b.iter(|| {
            let mut cutter = Cutter::new(1 << 20);
            refs.clear();
            for i in 0..SERIES as u64 {
                cutter.place(black_box([100 + i % 99, 130, 120, 140]), &mut refs);
            }
        });
    });
}

criterion_group!(benches, series, tables, places);
criterion_main!(benches);
