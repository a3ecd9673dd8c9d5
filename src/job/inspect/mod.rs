//! What is inside of one block, by ranged reads: sections, cardinality, chunks.
//!
//! *Order*: everything is ordered by size, then by name.
//! *Memory*: the symbol table, the table of postings lists, 4 bytes a series, about 100 bytes a label pair.
//! *Errors*: `Corrupt` at the first damage, with part and byte: `verify` says more of a damaged block.

mod cardinality;
mod chunks;
mod describe;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use super::Env;
use super::catalog::CatalogBlock;
use super::compute::Task;
use crate::block::{OpenBlock, Reads};
use crate::error::{Error, Kind, Result};
use crate::format::index::{HEADER_BYTES, SymbolTable, TOC_BYTES, decode_series};
use crate::model::BlockId;
use cardinality::{Counter, Share, Shares};
pub use chunks::Encodings;
pub use describe::describe;

/// What one ranged read of the walk over series asks for, at least and at most.
const READ_BYTES: std::ops::RangeInclusive<u64> = (1 << 20)..=(8 << 20);

/// How closely to look.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many of each kind are listed.
    pub top: usize,
    /// How many chunks are looked into, spread over the block; all of them with `u64::MAX`.
    pub chunks: u64,
}

/// What is inside of a block.
#[derive(Clone, Debug, Serialize)]
pub struct Inside {
    /// The block.
    pub ulid: BlockId,
    /// Format of its index.
    pub index_version: u8,
    /// Sections of the index and other files.
    pub parts: Vec<PartSize>,
    /// Symbols.
    pub symbols: u64,
    /// Label names.
    pub label_names: u64,
    /// Different label pairs.
    pub label_pairs: u64,
    /// Series.
    pub series: u64,
    /// Chunks.
    pub chunks: u64,
    /// Series by how many chunks they have.
    pub chunks_per_series: Vec<ChunkCount>,
    /// The most chunks that a series has.
    pub most_chunks: u64,
    /// What chunks are made of.
    pub encodings: Encodings,
    /// Metric names with the most series.
    pub metrics_by_series: Vec<MetricShare>,
    /// Metric names with the most bytes.
    pub metrics_by_bytes: Vec<MetricShare>,
    /// Label names with the most values.
    pub labels: Vec<LabelShare>,
    /// Label pairs with the most series.
    pub pairs_by_series: Vec<PairShare>,
    /// Label pairs with the most bytes.
    pub pairs_by_bytes: Vec<PairShare>,
    /// Metrics whose series have samples for less than half of the block's time on average.
    pub sparse: Vec<MetricShare>,
    /// Metrics most of whose series come or go within the block, by how many do.
    pub churning: Vec<MetricShare>,
    /// Bytes that were read to find this out.
    pub bytes_read: u64,
}

/// A section of the index, or a file.
#[derive(Clone, Debug, Serialize)]
pub struct PartSize {
    /// Its name.
    pub part: String,
    /// Where it begins in its file.
    pub offset: u64,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Series with so many chunks.
#[derive(Clone, Debug, Serialize)]
pub struct ChunkCount {
    /// The least of the range.
    pub from: u64,
    /// The most of it.
    pub to: u64,
    /// How many series.
    pub series: u64,
}

/// Sums of a metric.
#[derive(Clone, Debug, Serialize)]
pub struct MetricShare {
    /// Its name.
    pub name: String,
    /// Series.
    pub series: u64,
    /// Their chunks.
    pub chunks: u64,
    /// Bytes of the series in the index and of their chunks.
    pub bytes: u64,
    /// Which part of the block's time their chunks span, on average, in percent.
    pub coverage_percent: f64,
    /// Series that are there for less than half of the block.
    pub short_series: u64,
}

/// Sums of a label name.
#[derive(Clone, Debug, Serialize)]
pub struct LabelShare {
    /// The name.
    pub name: String,
    /// Different values.
    pub values: u64,
    /// Series that have it.
    pub series: u64,
    /// Bytes of names and values in the postings table and of their lists.
    pub postings_bytes: u64,
}

/// Sums of a label pair.
#[derive(Clone, Debug, Serialize)]
pub struct PairShare {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
    /// Series that have it.
    pub series: u64,
    /// Bytes of the series in the index and of their chunks.
    pub bytes: u64,
}

/// Looks into a block.
///
/// # Errors
/// `Corrupt` for damage, `NotFound` without an index, `Cancelled`; others from the bucket.
pub async fn inside(env: &Env, block: &CatalogBlock, options: &Options) -> Result<Inside> {
    let reads = Reads::new(env.bucket.clone(), None);
    let open = OpenBlock::open(&reads, block.id).await?;
    let symbols = Arc::new(open.symbols().await?);
    let table = open.postings_table().await?;
    let ids = open.all_series(&table).await?;
    let section = open.toc().series_range();
    let inside = |id: &u32| section.contains(&open.version().series_offset(*id));
    if !ids.is_sorted_by(|a, b| a < b) || !ids.iter().all(inside) {
        return Err(Error::new(Kind::Corrupt, "the list of all series does not ascend within the series")
            .block(block.id)
            .part("index postings"));
    }
    let stride = block.meta.stats.num_chunks.div_ceil(options.chunks.max(1));
    let mut shares = walk(env, block, &open, ids, stride).await?;
    let segments = open.segments().await?;
    shares.end(|n| segments.get(n as usize).map(|s| s.len_bytes));
    let encodings = chunks::look(env, &open, &segments, std::mem::take(&mut shares.sampled), stride == 1).await?;
    let names = Names { symbols, label_names: table.names().count() as u64 };
    let parts = parts(&open, block);
    let mut inside = env
        .compute()
        .run({
            let (options, range_ms, ulid) = (*options, block.meta.time_range().len_ms(), block.id);
            move || sum_up(ulid, shares, &names, &options, range_ms, encodings)
        })
        .await??;
    inside.index_version = open.version().as_byte();
    inside.parts = parts;
    inside.bytes_read = reads.bytes_read();
    Ok(inside)
}

/// Sums over all series.
async fn walk(env: &Env, block: &CatalogBlock, open: &OpenBlock, ids: Vec<u32>, stride: u64) -> Result<Shares> {
    let read_bytes = (env.bucket.read_bytes() as u64).clamp(*READ_BYTES.start(), *READ_BYTES.end());
    let ahead = env.pool.current_num_threads() * 2 + 1;
    let mut waiting = open.series_runs(&ids, read_bytes).into_iter();
    let ids = Arc::new(ids);
    let times = block.meta.time_range();
    let mut under_way: VecDeque<Task<Result<Shares>>> = VecDeque::new();
    let mut shares = Shares::default();
    loop {
        if env.cancel.is_cancelled() {
            return Err(Error::new(Kind::Cancelled, "stopped").block(block.id));
        }
        while under_way.len() < ahead
            && let Some(run) = waiting.next()
        {
            let (open, pool, ids) = (open.clone(), env.compute(), Arc::clone(&ids));
            under_way.push_back(Task::spawn(async move {
                let bytes = open.index_range(run.bytes.clone()).await?;
                pool.run(move || {
                    let mut counter = Counter::new(times, stride);
                    let (mut labels, mut chunks) = (Vec::new(), Vec::new());
                    for i in run.ids {
                        let offset = open.version().series_offset(ids[i]);
                        labels.clear();
                        chunks.clear();
                        let entry = bytes.get((offset - run.bytes.start) as usize..).unwrap_or_default();
                        let len = decode_series(entry, offset, &mut labels, &mut chunks)
                            .map_err(|m| Error::from(m).block(open.id()).next("see what is left with tools bucket verify"))?;
                        counter.series(&labels, &chunks, len as u64);
                    }
                    Ok(counter.finish())
                })
                .await
            }));
        }
        let Some(next) = under_way.pop_front() else { return Ok(shares) };
        shares.join(next.await??);
    }
}

/// Sections of the index, then the files of the block.
fn parts(open: &OpenBlock, block: &CatalogBlock) -> Vec<PartSize> {
    let toc = open.toc();
    let tail = open.index_bytes().saturating_sub(TOC_BYTES as u64);
    let sections = [
        ("index header", 0..HEADER_BYTES as u64),
        ("index symbols", toc.symbols_range()),
        ("index series", toc.series_range()),
        ("index label indices", toc.label_indices_range()),
        ("index postings", toc.postings_range()),
        ("index label indices table", toc.label_indices_table_range()),
        ("index postings table", toc.postings_table_range(open.index_bytes())),
        ("index table of contents", tail..open.index_bytes()),
    ];
    let sections = sections.into_iter().filter(|(_, range)| !range.is_empty()).map(|(part, range)| PartSize {
        part: part.to_owned(),
        offset: range.start,
        bytes: range.end - range.start,
    });
    let files = block.objects.iter().map(|o| {
        let path = o.key.split_once('/').map_or(o.key.as_str(), |(_, path)| path);
        PartSize { part: path.to_owned(), offset: 0, bytes: o.len_bytes }
    });
    sections.chain(files).collect()
}

/// References to names.
struct Names {
    symbols: Arc<SymbolTable<Bytes>>,
    label_names: u64,
}

impl Names {
    fn text(&self, reference: u32) -> Result<String> {
        Ok(String::from_utf8_lossy(self.symbols.get(reference)?).into_owned())
    }

    fn pair(&self, pair: cardinality::Pair, share: &Share) -> Result<PairShare> {
        Ok(PairShare { name: self.text(pair.0)?, value: self.text(pair.1)?, series: share.series, bytes: share.bytes })
    }

    fn metric(&self, value: u32, share: &Share, range_ms: i64) -> Result<MetricShare> {
        Ok(MetricShare {
            name: self.text(value)?,
            series: share.series,
            chunks: share.chunks,
            bytes: share.bytes,
            coverage_percent: coverage(share, range_ms),
            short_series: share.short,
        })
    }
}

/// Percent of the block's time that chunks of the series span on average.
fn coverage(share: &Share, range_ms: i64) -> f64 {
    let whole = share.series as f64 * range_ms.max(1) as f64;
    (1000.0 * share.lived_ms as f64 / whole).round() / 10.0
}

fn sum_up(
    ulid: BlockId,
    shares: Shares,
    names: &Names,
    options: &Options,
    range_ms: i64,
    encodings: Encodings,
) -> Result<Inside> {
    let pairs: Vec<(cardinality::Pair, Share)> = shares.pairs.into_iter().collect();
    let of_metrics = names.symbols.find(b"__name__");
    let metrics: Vec<(cardinality::Pair, Share)> = pairs.iter().filter(|(p, _)| Some(p.0) == of_metrics).copied().collect();
    let metric = |(pair, share): &(cardinality::Pair, Share)| names.metric(pair.1, share, range_ms);
    let pair = |(pair, share): &(cardinality::Pair, Share)| names.pair(*pair, share);
    let sparse: Vec<_> = metrics.iter().filter(|(_, s)| coverage(s, range_ms) < 50.0).copied().collect();
    let churning: Vec<_> = metrics.iter().filter(|(_, s)| s.short * 2 > s.series).copied().collect();
    let mut by_name: BTreeMap<u32, LabelShare> = BTreeMap::new();
    for ((name, value), share) in &pairs {
        let label = match by_name.entry(*name) {
            std::collections::btree_map::Entry::Occupied(at) => at.into_mut(),
            std::collections::btree_map::Entry::Vacant(at) => {
                at.insert(LabelShare { name: names.text(*name)?, values: 0, series: 0, postings_bytes: 0 })
            }
        };
        label.values += 1;
        label.series += share.series;
        let strings = label.name.len() + names.symbols.get(*value)?.len();
        // a list has length, count and checksum; an entry of the table two lengths, a tag and an offset
        label.postings_bytes += 4 * share.series + 12 + strings as u64 + 8;
    }
    let mut labels: Vec<LabelShare> = by_name.into_values().collect();
    labels.sort_by(|a, b| b.values.cmp(&a.values).then_with(|| a.name.cmp(&b.name)));
    labels.truncate(options.top);
    let counts = shares.chunks_per_series.iter().enumerate().filter(|(_, n)| **n > 0).map(|(slot, &series)| ChunkCount {
        from: if slot == 0 { 1 } else { (1 << (slot - 1)) + 1 },
        to: 1 << slot,
        series,
    });
    Ok(Inside {
        ulid,
        index_version: 0,
        parts: Vec::new(),
        symbols: names.symbols.len() as u64,
        label_names: names.label_names,
        label_pairs: pairs.len() as u64,
        series: shares.total.series,
        chunks: shares.total.chunks,
        chunks_per_series: counts.collect(),
        most_chunks: shares.most_chunks,
        encodings,
        metrics_by_series: top(&metrics, options.top, |s| s.series).iter().map(metric).collect::<Result<_>>()?,
        metrics_by_bytes: top(&metrics, options.top, |s| s.bytes).iter().map(metric).collect::<Result<_>>()?,
        labels,
        pairs_by_series: top(&pairs, options.top, |s| s.series).iter().map(pair).collect::<Result<_>>()?,
        pairs_by_bytes: top(&pairs, options.top, |s| s.bytes).iter().map(pair).collect::<Result<_>>()?,
        sparse: top(&sparse, options.top, |s| s.bytes).iter().map(metric).collect::<Result<_>>()?,
        churning: top(&churning, options.top, |s| s.short).iter().map(metric).collect::<Result<_>>()?,
        bytes_read: 0,
    })
}

/// The `n` largest by `size`; among equals those whose strings come first, which is the order of references.
fn top(all: &[(cardinality::Pair, Share)], n: usize, size: impl Fn(&Share) -> u64) -> Vec<(cardinality::Pair, Share)> {
    let mut all = all.to_vec();
    all.sort_by(|(a, x), (b, y)| size(y).cmp(&size(x)).then_with(|| a.cmp(b)));
    all.truncate(n);
    all
}

#[cfg(test)]
mod tests;
