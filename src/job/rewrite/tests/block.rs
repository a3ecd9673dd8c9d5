//! Blocks for tests: made of series with samples, and read back into them.

use std::collections::BTreeMap;

use crate::bucket::Bucket;
use crate::format::index::{ChunkMeta, Index, Writer};
use crate::format::meta::Meta;
use crate::format::segment::{self, ChunkRef, Cutter, DEFAULT_SEGMENT_BYTES, encode_record, header};
use crate::model::{BlockId, LabelSet, Millis, Sample, Value};
use crate::series::{Chunk, encode_in_chunks};

/// Labels in order of names.
pub(super) type Labels = Vec<(String, String)>;

/// A series: its labels and chunks of floats.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    pub(super) labels: Labels,
    pub(super) chunks: Vec<Vec<(Millis, f64)>>,
}

pub(super) fn series(labels: &[(&str, &str)], chunks: &[&[(Millis, f64)]]) -> Series {
    Series {
        labels: labels.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect(),
        chunks: chunks.iter().map(|c| c.to_vec()).collect(),
    }
}

/// One chunk of floats, however many.
fn chunk(samples: &[(Millis, f64)]) -> Chunk {
    let all = samples.iter().map(|&(time, v)| Sample { time, start: 0, value: Value::Float(v) });
    let mut chunks = encode_in_chunks(all).unwrap();
    assert_eq!(chunks.len(), 1, "at most 120 samples");
    chunks.remove(0)
}

/// Puts a block of `series`, which need no order, into the bucket; returns its meta.
pub(super) async fn put(bucket: &Bucket, meta: &Meta, series: &[Series]) {
    let all: Vec<_> = series.iter().map(|s| (s.labels.clone(), s.chunks.iter().map(|c| chunk(c)).collect())).collect();
    put_chunks(bucket, meta, all).await;
}

/// As [`put`], of chunks of any encoding.
pub(super) async fn put_chunks(bucket: &Bucket, meta: &Meta, mut series: Vec<(Labels, Vec<Chunk>)>) {
    series.sort_by(|a, b| a.0.cmp(&b.0));
    let mut index = Writer::new(Vec::new());
    let mut references: BTreeMap<&str, u32> =
        series.iter().flat_map(|s| &s.0).flat_map(|(n, v)| [(n.as_str(), 0), (v.as_str(), 0)]).collect();
    for (symbol, reference) in &mut references {
        *reference = index.symbol(symbol.as_bytes()).unwrap();
    }
    let mut index = index.series().unwrap();
    let mut cutter = Cutter::new(DEFAULT_SEGMENT_BYTES);
    let mut segment = header().to_vec();
    for (labels, chunks) in &series {
        let mut places = Vec::new();
        cutter.place(chunks.iter().map(|c| c.data.len() as u64), &mut places);
        let place =
            |(c, reference): (&Chunk, &ChunkRef)| ChunkMeta { min_time: c.min_time, max_time: c.max_time, reference: *reference };
        let metas: Vec<ChunkMeta> = chunks.iter().zip(&places).map(place).collect();
        chunks.iter().for_each(|c| encode_record(&mut segment, c.encoding.as_byte(), &c.data));
        let labels: Vec<(u32, u32)> = labels.iter().map(|(n, v)| (references[n.as_str()], references[v.as_str()])).collect();
        index.push(&labels, &metas).unwrap();
    }
    let (index, _) = index.finish().unwrap();
    for (name, bytes) in [("chunks/000001", segment), ("index", index), ("meta.json", meta.encode())] {
        bucket.put(&format!("{}/{name}", meta.ulid), bytes.into()).await.unwrap();
    }
}

/// The meta of a block of `[0, 1000)` that is its own source.
pub(super) fn meta(n: i64, resolution: Millis) -> Meta {
    let id = BlockId::from_parts(n, 0);
    let mut meta = Meta { ulid: id, min_time: 0, max_time: 1000, version: 1, ..Meta::default() };
    meta.compaction.level = 1;
    meta.compaction.sources = vec![id];
    meta.thanos.version = 1;
    meta.thanos.labels = LabelSet::from_iter([("cluster", "eu1")]).into();
    meta.thanos.downsample.resolution = resolution;
    meta
}

pub(super) async fn meta_of(bucket: &Bucket, id: BlockId) -> Meta {
    Meta::decode(&bucket.get(&format!("{id}/meta.json"), 1 << 20).await.unwrap()).unwrap()
}

/// All series of a block with their chunks.
pub(super) async fn chunks_of(bucket: &Bucket, id: BlockId) -> Vec<(Labels, Vec<Chunk>)> {
    let index = bucket.get(&format!("{id}/index"), 1 << 30).await.unwrap();
    let index = Index::open(index).unwrap();
    let segment = bucket.get(&format!("{id}/chunks/000001"), 1 << 30).await.unwrap();
    let (mut labels, mut metas) = (Vec::new(), Vec::new());
    let mut walk = index.each_series();
    let mut out = Vec::new();
    while walk.next(&mut labels, &mut metas).unwrap().is_some() {
        let text = |r: u32| String::from_utf8(index.symbol(r).unwrap().to_vec()).unwrap();
        let chunks = metas.iter().map(|m| {
            let at = m.reference.offset() as usize;
            let record = segment::decode_record(&segment[at..], at as u64).unwrap();
            let encoding = crate::format::chunk::Encoding::from_byte(record.encoding).unwrap();
            Chunk { min_time: m.min_time, max_time: m.max_time, encoding, data: record.data.to_vec() }
        });
        out.push((labels.drain(..).map(|(n, v)| (text(n), text(v))).collect(), chunks.collect()));
        metas.clear();
    }
    out
}

/// All series of a block of floats.
pub(super) async fn read(bucket: &Bucket, id: BlockId) -> Vec<Series> {
    let all = chunks_of(bucket, id).await.into_iter();
    let floats = |c: &Chunk| {
        let samples = c.samples().unwrap();
        assert_eq!((samples[0].time, samples[samples.len() - 1].time), (c.min_time, c.max_time), "times of the index");
        let float = |s: Sample| match s.value {
            Value::Float(v) => (s.time, v),
            other => panic!("{other:?}"),
        };
        samples.into_iter().map(float).collect()
    };
    all.map(|(labels, chunks)| Series { labels, chunks: chunks.iter().map(floats).collect() }).collect()
}

/// The symbols of a block's index, in order.
pub(super) async fn symbols_of(bucket: &Bucket, id: BlockId) -> Vec<String> {
    let index = Index::open(bucket.get(&format!("{id}/index"), 1 << 30).await.unwrap()).unwrap();
    (0..index.symbol_count() as u32).map(|r| String::from_utf8(index.symbol(r).unwrap().to_vec()).unwrap()).collect()
}
