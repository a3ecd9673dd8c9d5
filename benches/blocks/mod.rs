//! Blocks for benches, written by the library itself: counters of a cluster whose pods come and go.
//!
//! *Memory*: the block that is being made, wholly.

use std::collections::BTreeMap;

use blockyard::format::chunk::XorAppender;
use blockyard::format::index::{ChunkMeta, Writer};
use blockyard::format::meta::{Compaction, File, META_FILE, Meta, Stats, Thanos};
use blockyard::format::segment::{ChunkRef, Cutter, DEFAULT_SEGMENT_BYTES, encode_record, header};
use blockyard::model::{BlockId, LabelSet, Millis};

/// Time that a block covers.
const RANGE: Millis = 2 * 3_600_000;
/// Where the first block begins: where ranges of 2 h, 8 h, 2 d and 14 d all begin.
const BEGIN: Millis = 1460 * 14 * 24 * 3_600_000;
/// Samples of a chunk as Prometheus cuts them.
const SAMPLES_PER_CHUNK: u64 = 120;
/// Series of one pod.
const METRICS: u32 = 20;
/// Of ten pods, one is replaced from block to block.
const POD_LIFE: u32 = 10;
const NAMESPACES: u32 = 20;
const NODES: u32 = 50;

/// How large a block is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) series: u32,
    /// Of each series.
    pub(crate) samples: u32,
}

/// A block that is in no bucket yet.
pub(crate) struct Block {
    pub(crate) meta: Meta,
    /// Name below the block's folder and bytes; `meta.json` is the last.
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

/// The block that covers the `window`th [`RANGE`] since [`BEGIN`]; the same in every run.
pub(crate) fn block(window: u32, size: Size) -> Block {
    let min_time = BEGIN + i64::from(window) * RANGE;
    let series = series(window, size.series);
    let mut index = Writer::new(Vec::new());
    let symbols: BTreeMap<&str, ()> = series.keys().flatten().flat_map(|(n, v)| [(&**n, ()), (&**v, ())]).collect();
    let mut references = BTreeMap::new();
    for symbol in symbols.into_keys() {
        references.insert(symbol, index.symbol(symbol.as_bytes()).expect("symbols ascend"));
    }
    let mut index = index.series().expect("symbols fit");
    let mut cutter = Cutter::new(DEFAULT_SEGMENT_BYTES);
    let mut segments: Vec<Vec<u8>> = Vec::new();
    let mut stats = Stats::default();
    let (mut labels, mut places) = (Vec::new(), Vec::new());
    for (text, &seed) in &series {
        let chunks = chunks(seed, min_time, size.samples);
        places.clear();
        cutter.place(chunks.iter().map(|c| c.data.len() as u64), &mut places);
        stats.num_chunks += chunks.len() as u64;
        let metas: Vec<_> = chunks.iter().zip(&places).map(|(c, &place)| c.append(place, &mut segments)).collect();
        labels.clear();
        labels.extend(text.iter().map(|(n, v)| (references[&**n], references[&**v])));
        index.push(&labels, &metas).expect("series ascend");
    }
    let (index, _) = index.finish().expect("an index");
    stats.num_series = u64::from(size.series);
    stats.num_samples = u64::from(size.series) * u64::from(size.samples);
    stats.num_float_samples = stats.num_samples;
    let mut files: Vec<_> = (1..).zip(segments).map(|(n, bytes)| (format!("chunks/{n:06}"), bytes)).collect();
    files.push(("index".to_owned(), index));
    let meta = meta(min_time, window, stats, &files);
    files.push((META_FILE.to_owned(), meta.encode()));
    Block { meta, files }
}

type Labels = Vec<(&'static str, String)>;

/// Label sets in order, and a number that tells their samples apart.
fn series(window: u32, count: u32) -> BTreeMap<Labels, u64> {
    let of = |i: u32| {
        let (pod, metric) = (i / METRICS, i % METRICS);
        // a pod that is replaced has a new name and address, and runs elsewhere
        let life = (window + pod % POD_LIFE) / POD_LIFE;
        let mixed = pod.wrapping_add(life << 20).wrapping_mul(0x9e37_79b9);
        let labels = vec![
            ("__name__", format!("bench_metric_{metric:03}_total")),
            ("container", format!("container-{}", metric % 3)),
            ("instance", format!("10.{}.{}.{}:8080", mixed >> 24, mixed >> 16 & 255, mixed >> 8 & 255)),
            ("job", format!("job-{}", metric % 10)),
            ("namespace", format!("namespace-{:02}", pod % NAMESPACES)),
            ("node", format!("node-{:02}", mixed % NODES)),
            ("pod", format!("pod-{pod:06}-{life:02}-{mixed:08x}")),
        ];
        (labels, u64::from(mixed) << 8 | u64::from(metric))
    };
    (0..count).map(of).collect()
}

struct Chunk {
    min_time: Millis,
    max_time: Millis,
    data: Vec<u8>,
}

impl Chunk {
    fn append(&self, place: ChunkRef, segments: &mut Vec<Vec<u8>>) -> ChunkMeta {
        segments.resize_with(segments.len().max(place.segment() as usize + 1), || header().to_vec());
        let segment = &mut segments[place.segment() as usize];
        assert_eq!(segment.len(), place.offset() as usize, "a record lies where the cutter says");
        encode_record(segment, XorAppender::ENCODING.as_byte(), &self.data);
        ChunkMeta { min_time: self.min_time, max_time: self.max_time, reference: place }
    }
}

/// A counter with steps of its own, scraped `samples` times within a block.
fn chunks(seed: u64, min_time: Millis, samples: u32) -> Vec<Chunk> {
    let interval = RANGE / i64::from(samples.max(1));
    let mut random = seed.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1;
    let mut value = (random >> 40) as f64;
    let times: Vec<Millis> = (0..i64::from(samples)).map(|i| min_time + i * interval).collect();
    let of = |times: &[Millis]| {
        let mut data = XorAppender::new();
        for &time in times {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            value += (random % (1 + seed % 100)) as f64;
            data.append(time, value);
        }
        Chunk { min_time: times[0], max_time: times[times.len() - 1], data: data.into_bytes() }
    };
    times.chunks(SAMPLES_PER_CHUNK as usize).map(of).collect()
}

fn meta(min_time: Millis, window: u32, stats: Stats, files: &[(String, Vec<u8>)]) -> Meta {
    let max_time = min_time + RANGE;
    let ulid = BlockId::from_parts(max_time, u128::from(window));
    let file = |name: &str, bytes: usize| File { rel_path: name.to_owned(), size_bytes: bytes as i64, ..File::default() };
    let mut listed: Vec<File> = files.iter().map(|(name, bytes)| file(name, bytes.len())).collect();
    listed.push(file(META_FILE, 0));
    Meta {
        ulid,
        min_time,
        max_time,
        stats,
        compaction: Compaction { level: 1, sources: vec![ulid], ..Compaction::default() },
        version: 1,
        thanos: Thanos {
            version: 1,
            labels: LabelSet::from_iter([("cluster", "bench")]).into(),
            source: "sidecar".to_owned(),
            segment_files: files.iter().filter_map(|(name, _)| name.strip_prefix("chunks/").map(str::to_owned)).collect(),
            files: listed,
            ..Thanos::default()
        },
        ..Meta::default()
    }
}
