//! Kernels of compaction: symbol tables merged, series merged by their labels, overlapping chunks
//! merged; and all of it together, with postings, from and to a bucket in memory on one thread.
//!
//! `elem/s` are symbols, series of all inputs, samples of all inputs.

mod blocks;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use blockyard::block::discard;
use blockyard::bucket::Bucket;
use blockyard::clock::ManualClock;
use blockyard::format::chunk::{Encoding, XorAppender};
use blockyard::format::index::{Index, SymbolStep, SymbolStream, SymbolTableWriter, Version};
use blockyard::job::compact::{CompactOutcome, CompactTask, DEFAULT_POSTINGS_BYTES, SourceBlock, compact};
use blockyard::job::{Env, Silent};
use blockyard::model::LabelSet;
use blockyard::series::{Chunk, DecodedChunks, GoHeap, merge_overlapping};
use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use futures::TryStreamExt;
use tokio_util::sync::CancellationToken;

use blocks::{Block, Size};

const INPUTS: u32 = 4;
const SIZE: Size = Size { series: 20_000, samples: 120 };
/// Bytes that a symbol table comes in.
const PART_BYTES: usize = 1 << 20;
/// Chunks of each list that is merged with another.
const CHUNKS: usize = 24;
const SAMPLES: usize = 120;

fn inputs() -> Vec<Block> {
    (0..INPUTS).map(|window| blocks::block(window, SIZE)).collect()
}

fn index(block: &Block) -> &[u8] {
    &block.files.iter().find(|(name, _)| name == "index").expect("an index").1
}

fn symbol_section(block: &Block) -> &[u8] {
    let opened = Index::open(index(block)).expect("an index");
    let toc = opened.toc();
    &index(block)[toc.symbols as usize..toc.series as usize]
}

/// One table of several, and for each input what its references become.
fn merge_symbols(sections: &[&[u8]]) -> (SymbolTableWriter, Vec<Vec<u32>>) {
    let mut streams: Vec<_> = sections.iter().map(|_| SymbolStream::new(Version::V2, 0)).collect();
    let mut parts: Vec<_> = sections.iter().map(|s| s.chunks(PART_BYTES)).collect();
    let mut remaps = vec![Vec::new(); sections.len()];
    let mut next = |n: usize, streams: &mut [SymbolStream], symbol: &mut Vec<u8>| {
        loop {
            match streams[n].step().expect("a sound table") {
                SymbolStep::Symbol(_, bytes) => {
                    symbol.clear();
                    symbol.extend_from_slice(bytes);
                    return true;
                }
                SymbolStep::End => return false,
                SymbolStep::Need(_) => {}
            }
            streams[n].push(parts[n].next().expect("a whole table"));
        }
    };
    let mut heads = vec![Some(Vec::new()); sections.len()];
    let mut wanted: Vec<usize> = (0..sections.len()).collect();
    let mut out = SymbolTableWriter::new();
    loop {
        for n in wanted.drain(..) {
            let mut symbol = heads[n].take().unwrap_or_default();
            heads[n] = next(n, &mut streams, &mut symbol).then_some(symbol);
        }
        let Some(least) = heads.iter().flatten().min() else { return (out, remaps) };
        let reference = out.push(least).expect("one table holds them");
        wanted.extend((0..heads.len()).filter(|&n| heads[n].as_ref() == Some(least)));
        wanted.iter().for_each(|&n| remaps[n].push(reference));
    }
}

fn symbols(c: &mut Criterion) {
    let blocks = inputs();
    let sections: Vec<_> = blocks.iter().map(symbol_section).collect();
    let count: usize = merge_symbols(&sections).1.iter().map(Vec::len).sum();
    let mut group = c.benchmark_group("merge");
    group.throughput(Throughput::Elements(count as u64));
    group.bench_function("symbols", |b| b.iter(|| merge_symbols(black_box(&sections)).0.finish().len()));
}

type Labels = Vec<(u32, u32)>;

/// Pops equal label sets together, as a compaction does; returns how many series come out.
fn merge_series(inputs: &[Vec<Labels>]) -> usize {
    fn less(a: &(&Labels, usize), b: &(&Labels, usize)) -> bool {
        a.0 < b.0
    }
    let mut rest: Vec<_> = inputs.iter().map(|i| i.iter()).collect();
    let mut heap = GoHeap::new();
    let mut wanted: Vec<usize> = (0..inputs.len()).collect();
    let mut out = 0;
    loop {
        for n in wanted.drain(..) {
            if let Some(labels) = rest[n].next() {
                heap.push((labels, n), less);
            }
        }
        let Some(&(labels, _)) = heap.peek() else { return out };
        while heap.peek().is_some_and(|top| top.0 == labels) {
            wanted.extend(heap.pop(less).map(|(_, n)| n));
        }
        out += 1;
    }
}

fn series(c: &mut Criterion) {
    let of = |block: &Block, remap: Option<&[u32]>| -> Vec<Labels> {
        let index = Index::open(index(block)).expect("an index");
        let mut walk = index.each_series();
        let (mut labels, mut chunks, mut out) = (Vec::new(), Vec::new(), Vec::new());
        while walk.next(&mut labels, &mut chunks).expect("sound series").is_some() {
            let to = |r: u32| remap.map_or(r, |remap| remap[r as usize]);
            out.push(labels.iter().map(|&(n, v)| (to(n), to(v))).collect());
        }
        out
    };
    let blocks = inputs();
    let remaps = merge_symbols(&blocks.iter().map(symbol_section).collect::<Vec<_>>()).1;
    let churning: Vec<_> = blocks.iter().zip(&remaps).map(|(b, remap)| of(b, Some(remap))).collect();
    let equal = vec![of(&blocks[0], None); INPUTS as usize];
    let mut group = c.benchmark_group("merge/series");
    group.throughput(Throughput::Elements(u64::from(INPUTS * SIZE.series)));
    for (name, inputs) in [("equal", &equal), ("churning", &churning)] {
        group.bench_function(name, |b| b.iter(|| merge_series(black_box(inputs))));
    }
}

/// Samples of a counter every 15 s: `skew` moves the times of all, `jitter` those of each, in ms.
fn counter(skew: i64, jitter: u64) -> Vec<(i64, f64)> {
    let (mut random, mut value) = (42u64, 0.0);
    let sample = |i: i64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        value += (random % 50) as f64;
        (1_767_571_200_000 + i * 15_000 + skew + ((random >> 32) % (jitter + 1)) as i64, value)
    };
    (0..(CHUNKS * SAMPLES) as i64).map(sample).collect()
}

/// Chunks of `SAMPLES`, the first of `first`.
fn cut(samples: &[(i64, f64)], first: usize) -> Vec<Chunk> {
    let (begin, rest) = samples.split_at(first);
    let chunk = |samples: &[(i64, f64)]| {
        let mut data = XorAppender::new();
        samples.iter().for_each(|&(time, value)| data.append(time, value));
        let (min_time, max_time) = (samples[0].0, samples[samples.len() - 1].0);
        Chunk { min_time, max_time, encoding: Encoding::Xor, data: data.into_bytes() }
    };
    std::iter::once(begin).chain(rest.chunks(SAMPLES)).map(chunk).collect()
}

fn overlap(c: &mut Criterion) {
    let samples = counter(0, 0);
    let one = cut(&samples, SAMPLES);
    let cases = [
        ("equal", one.clone()),
        ("equal-cut-elsewhere", cut(&samples, SAMPLES / 2)),
        ("between", cut(&counter(7_000, 0), SAMPLES)),
        ("jittered", cut(&counter(0, 40), SAMPLES)),
    ];
    let mut group = c.benchmark_group("merge/overlap");
    group.throughput(Throughput::Elements(2 * (CHUNKS * SAMPLES) as u64));
    for (name, two) in cases {
        group.bench_function(name, |b| {
            b.iter_batched(
                || vec![one.clone(), two.clone()],
                |lists| merge_overlapping(lists, &mut DecodedChunks::default()).expect("sound chunks").len(),
                BatchSize::SmallInput,
            );
        });
    }
}

/// Puts a block into the bucket and returns it as an input.
async fn put(bucket: &Bucket, block: Block) -> SourceBlock {
    let id = block.meta.ulid;
    for (name, bytes) in block.files {
        bucket.put(&format!("{id}/{name}"), Bytes::from(bytes)).await.expect("put");
    }
    let objects: Vec<_> = bucket.list(&id.to_string()).try_collect().await.expect("a listing");
    SourceBlock { id, meta: Arc::new(block.meta), objects: objects.into() }
}

fn whole(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let scratch = tempfile::tempdir().expect("a folder");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
    let env = Env {
        bucket: Bucket::memory(),
        pool: Arc::new(pool),
        clock: ManualClock::new(1_800_000_000_000, 1),
        report: Arc::new(Silent),
        scratch: scratch.path().to_owned(),
        cancel: CancellationToken::new(),
    };
    let inputs: Vec<_> = inputs().into_iter().map(|block| runtime.block_on(put(&env.bucket, block))).collect();
    let mut group = c.benchmark_group("merge/whole");
    group.sample_size(10).throughput(Throughput::Elements(u64::from(INPUTS * SIZE.series)));
    for (name, postings_bytes) in [("postings-held", DEFAULT_POSTINGS_BYTES), ("postings-spilled", 1)] {
        group.bench_function(name, |b| {
            b.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    let mut task = CompactTask::new(env.clock.new_block_id(), inputs.clone(), LabelSet::new(), 0);
                    task.postings_bytes = postings_bytes;
                    let begun = Instant::now();
                    let outcome = runtime.block_on(compact(&env, &task)).expect("a block");
                    spent += begun.elapsed();
                    assert!(matches!(outcome, CompactOutcome::Written { .. }));
                    runtime.block_on(discard(&env.bucket, task.id)).expect("deleted");
                }
                spent
            });
        });
    }
}

criterion_group!(benches, symbols, series, overlap, whole);
criterion_main!(benches);
