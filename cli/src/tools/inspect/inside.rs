//! `tools bucket inspect --id`: what is inside of one block, as tables or as JSON.

use std::fmt::Write;
use std::ops::Range;
use std::path::Path;

use blockyard::job::inspect::{Inside, MetricShare, Options, PairShare, describe, inside};
use blockyard::model::BlockId;
use blockyard::{Error, Kind, Result};

use super::super::table::{Cell, Table};
use super::super::text;
use super::Output;
use crate::world::World;

/// What to show of the block.
pub(super) struct Show<'a> {
    pub(super) id: BlockId,
    pub(super) part: Option<&'a str>,
    pub(super) bytes: Option<Range<u64>>,
    pub(super) top: usize,
    pub(super) all_chunks: bool,
    pub(super) output: Output,
}

/// Chunks that are looked into unless all are asked for.
const SOME_CHUNKS: u64 = 256;

/// Looks into the block, or describes a part of it.
pub(super) async fn show(
    show: &Show<'_>,
    catalog: &blockyard::job::catalog::Catalog,
    bucket: blockyard::bucket::Bucket,
    world: &World,
) -> Result<()> {
    let Some(block) = catalog.block(show.id) else {
        return Err(Error::new(Kind::NotFound, "there is no such block with a readable meta.json in the bucket").block(show.id));
    };
    let env = world.env(bucket, Path::new("."));
    if let Some(part) = show.part {
        return super::super::print(&describe(&env, block, part, show.bytes.clone()).await?);
    }
    let chunks = if show.all_chunks { u64::MAX } else { SOME_CHUNKS };
    let found = inside(&env, block, &Options { top: show.top, chunks }).await?;
    let text = match show.output {
        Output::Json => {
            let failed = |e| Error::new(Kind::Invalid, "cannot write as JSON").source(e);
            serde_json::to_string_pretty(&found).map_err(failed)? + "\n"
        }
        output => tables(&found, output),
    };
    super::super::print(&text)
}

fn tables(found: &Inside, output: Output) -> String {
    let mut out = format!("{}\n", found.ulid);
    let facts = [
        ("series", found.series),
        ("chunks", found.chunks),
        ("most chunks of a series", found.most_chunks),
        ("symbols", found.symbols),
        ("label names", found.label_names),
        ("label pairs", found.label_pairs),
    ];
    for (name, value) in facts {
        let _ = writeln!(out, "  {name}: {}", text::thousands(value.into()));
    }
    let _ = writeln!(out, "  index version: {}", found.index_version);
    let _ = writeln!(out, "  read for this: {}", text::bytes(found.bytes_read));
    let mut add = |title: &str, table: Table| {
        if !table.rows.is_empty() {
            let _ = write!(out, "\n{title}\n{}", output.print(&table));
        }
    };
    let mut parts = Table::new(["PART", "OFFSET", "BYTES", "SIZE"]);
    parts
        .rows
        .extend(found.parts.iter().map(|p| vec![Cell::text(p.part.clone()), count(p.offset), count(p.bytes), size(p.bytes)]));
    add("Sections of the index, and files", parts);
    let mut per_series = Table::new(["CHUNKS", "#SERIES"]);
    per_series.rows.extend(found.chunks_per_series.iter().map(|c| {
        let range = if c.from == c.to { c.to.to_string() } else { format!("{} to {}", c.from, c.to) };
        vec![Cell::text(range), count(c.series)]
    }));
    add("Chunks of a series", per_series);
    let mut encodings = Table::new(["ENCODING", "#CHUNKS", "#SAMPLES", "SAMPLES/CHUNK", "BYTES/SAMPLE"]);
    encodings.rows.extend(found.encodings.by_encoding.iter().map(|(name, of)| {
        let per_chunk = of.samples as f64 / of.chunks.max(1) as f64;
        let per_sample = of.bytes as f64 / of.samples.max(1) as f64;
        let (per_chunk, per_sample) = (format!("{per_chunk:.1}"), format!("{per_sample:.2}"));
        vec![Cell::text(name.clone()), count(of.chunks), count(of.samples), Cell::text(per_chunk), Cell::text(per_sample)]
    }));
    let looked = found.encodings.looked_into;
    let which = if looked == found.chunks { "all chunks".to_owned() } else { format!("{looked} chunks spread over the block") };
    add(&format!("Encodings, of {which}"), encodings);
    add("Metrics with the most series", metrics(&found.metrics_by_series));
    add("Metrics with the most bytes (index and chunks)", metrics(&found.metrics_by_bytes));
    let mut labels = Table::new(["LABEL", "#VALUES", "#SERIES", "POSTINGS"]);
    labels.rows.extend(
        found.labels.iter().map(|l| vec![Cell::text(l.name.clone()), count(l.values), count(l.series), size(l.postings_bytes)]),
    );
    add("Labels with the most values", labels);
    add("Label pairs with the most series", pairs(&found.pairs_by_series));
    add("Label pairs with the most bytes", pairs(&found.pairs_by_bytes));
    add("Sparse metrics: samples for less than half of the time", metrics(&found.sparse));
    add("Churning metrics: most series are there for less than half of the time", metrics(&found.churning));
    out
}

fn metrics(shares: &[MetricShare]) -> Table {
    let mut table = Table::new(["METRIC", "#SERIES", "#CHUNKS", "SIZE", "COVERAGE", "#SHORT"]);
    table.rows.extend(shares.iter().map(|m| {
        let coverage = format!("{:.1} %", m.coverage_percent);
        vec![
            Cell::text(m.name.clone()),
            count(m.series),
            count(m.chunks),
            size(m.bytes),
            Cell::text(coverage),
            count(m.short_series),
        ]
    }));
    table
}

fn pairs(shares: &[PairShare]) -> Table {
    let mut table = Table::new(["PAIR", "#SERIES", "SIZE"]);
    let name = |p: &PairShare| format!("{}={}", p.name, text::quote(&p.value));
    table.rows.extend(shares.iter().map(|p| vec![Cell::text(name(p)), count(p.series), size(p.bytes)]));
    table
}

fn count(value: u64) -> Cell {
    Cell::number(text::thousands(value.into()), value)
}

fn size(bytes: u64) -> Cell {
    Cell::number(text::bytes(bytes), bytes)
}

/// `A..B`, `A..` or `A`, in bytes.
pub(super) fn byte_range(text: &str) -> Result<Range<u64>, String> {
    let number = |digits: &str| digits.parse::<u64>().map_err(|_| format!("not a range of bytes: {text:?} (such as 8..4096)"));
    let range = match text.split_once("..") {
        Some((start, "")) => number(start)?..u64::MAX,
        Some((start, end)) => number(start)?..number(end)?,
        None => number(text)?..number(text)?.saturating_add(1),
    };
    if range.is_empty() { Err(format!("{text:?} is an empty range")) } else { Ok(range) }
}

#[cfg(test)]
mod tests {
    use super::byte_range;

    #[test]
    fn ranges_of_bytes() {
        assert_eq!(byte_range("8..20"), Ok(8..20));
        assert_eq!(byte_range("8.."), Ok(8..u64::MAX));
        assert_eq!(byte_range("8"), Ok(8..9));
        for text in ["", "a", "9..8", "..", "-1"] {
            assert!(byte_range(text).is_err(), "{text}");
        }
    }
}
