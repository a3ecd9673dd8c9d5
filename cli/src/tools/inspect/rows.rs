//! Blocks as rows of a table: upstream's columns, more on request, totals.

use std::collections::BTreeMap;

use blockyard::job::catalog::{CatalogBlock, Partial, PartialReason};
use blockyard::model::{Millis, TimeRange};
use clap::ValueEnum;
use jiff::tz::TimeZone;

use super::super::table::{Cell, Table};
use super::super::text;

/// Upstream's columns.
const COLUMNS: [&str; 13] = [
    "ULID",
    "FROM",
    "UNTIL",
    "RANGE",
    "UNTIL-DOWN",
    "#SERIES",
    "#SAMPLES",
    "#CHUNKS",
    "COMP-LEVEL",
    "COMP-FAILED",
    "LABELS",
    "RESOLUTION",
    "SOURCE",
];

/// How long a raw block must be to be downsampled to five minutes.
const DOWNSAMPLE_RAW_MS: Millis = 40 * 3_600_000;
/// How long a block of five minutes must be to be downsampled to an hour.
const DOWNSAMPLE_5M_MS: Millis = 10 * 24 * 3_600_000;

/// Columns that upstream does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Column {
    /// Bytes of all files
    Size,
    /// Deletion with the time that is left, no-compact, no-downsample
    Marks,
    /// Files and their sizes
    Files,
    /// How many blocks it was made of, and the parents
    Lineage,
    /// When it was uploaded
    Uploaded,
    /// Whether it is whole; lists partial and corrupt blocks too
    State,
}

impl Column {
    fn name(self) -> &'static str {
        match self {
            Column::Size => "SIZE",
            Column::Marks => "MARKS",
            Column::Files => "FILES",
            Column::Lineage => "LINEAGE",
            Column::Uploaded => "UPLOADED",
            Column::State => "STATE",
        }
    }
}

/// What rows are seen by.
pub(super) struct Look {
    pub(super) now: Millis,
    pub(super) delete_delay: Millis,
    pub(super) zone: TimeZone,
}

/// Names of columns.
pub(super) fn header(more: &[Column]) -> Vec<&'static str> {
    COLUMNS.into_iter().chain(more.iter().map(|c| c.name())).collect()
}

/// Length that is missing until the block is downsampled; `None` when it never is.
pub(super) fn until_downsampling(block: &CatalogBlock) -> Option<Millis> {
    let needed = match block.meta.resolution() {
        0 => DOWNSAMPLE_RAW_MS,
        300_000 => DOWNSAMPLE_5M_MS,
        _ => return None,
    };
    Some(needed.wrapping_sub(block.meta.max_time.wrapping_sub(block.meta.min_time)))
}

/// When the block was uploaded, or else when its newest file was written.
pub(super) fn uploaded(block: &CatalogBlock) -> Option<Millis> {
    let said = block.meta.thanos.upload_time;
    if said.is_zero() { block.objects.iter().map(|o| o.modified).max() } else { Some(said.millis()) }
}

/// Bytes of all files of the block.
pub(super) fn size(block: &CatalogBlock) -> u64 {
    block.bytes()
}

/// Path below the block's folder and bytes of each file.
pub(super) fn files(objects: &[blockyard::bucket::Object]) -> impl Iterator<Item = (&str, u64)> {
    objects.iter().map(|o| (o.key.split_once('/').map_or(o.key.as_str(), |(_, path)| path), o.len_bytes))
}

/// Each mark in words.
fn marks(block: &CatalogBlock, look: &Look) -> String {
    let mut marks = Vec::new();
    if let Some(mark) = &block.deletion {
        let left = mark.deletion_time.saturating_mul(1000).saturating_add(look.delete_delay).saturating_sub(look.now);
        marks.push(if left > 0 {
            // to the minute is close enough for days
            format!("deletion (in {})", text::duration(text::nanos(left / 60_000 * 60_000)))
        } else {
            "deletion (due)".to_owned()
        });
    }
    let reason = |kind: &str, reason: &str| if reason.is_empty() { kind.to_owned() } else { format!("{kind} ({reason})") };
    marks.extend(block.no_compact.as_ref().map(|m| reason("no-compact", &m.reason)));
    marks.extend(block.no_downsample.as_ref().map(|m| reason("no-downsample", &m.reason)));
    marks.join(", ")
}

fn labels<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let pairs: Vec<String> = labels.map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join(",")
}

fn time(at: Millis, look: &Look) -> Cell {
    // upstream compares what it printed, which has no milliseconds
    Cell::number(text::rfc3339(at, &look.zone), at / 1000)
}

fn length(len_ms: Millis) -> Cell {
    let nanos = text::nanos(len_ms);
    Cell::number(text::duration(nanos), nanos)
}

fn count(value: impl Into<i128>) -> Cell {
    let value = value.into();
    Cell::number(text::thousands(value), value)
}

/// A row for each block, and with [`Column::State`] for each folder that is none.
pub(super) fn blocks(
    blocks: &[&CatalogBlock],
    partial: &[Partial],
    more: &[Column],
    header: Vec<&'static str>,
    look: &Look,
) -> Table {
    let mut table = Table::new(header);
    for block in blocks {
        let meta = &block.meta;
        let mut row = vec![
            Cell::text(meta.ulid.to_string()),
            time(meta.min_time, look),
            time(meta.max_time, look),
            length(meta.max_time.wrapping_sub(meta.min_time)),
            until_downsampling(block).map_or_else(|| Cell::text("-"), length),
            count(meta.stats.num_series),
            count(meta.stats.num_samples),
            count(meta.stats.num_chunks),
            count(meta.compaction.level),
            Cell::text(meta.compaction.failed.to_string()),
            Cell::text(labels(meta.labels().iter())),
            length(meta.resolution()),
            Cell::text(meta.thanos.source.clone()),
        ];
        row.extend(more.iter().map(|column| match column {
            Column::Size => Cell::number(text::bytes(size(block)), size(block)),
            Column::Marks => Cell::text(marks(block, look)),
            Column::Files => Cell::text(file_list(&block.objects)),
            Column::Lineage => Cell::text(lineage(block)),
            Column::Uploaded => uploaded(block).map_or_else(|| Cell::text("-"), |at| time(at, look)),
            Column::State => Cell::text("whole"),
        }));
        table.rows.push(row);
    }
    if more.contains(&Column::State) {
        for folder in partial {
            let mut row = vec![Cell::text("-"); COLUMNS.len()];
            row[0] = Cell::text(folder.id.to_string());
            row.extend(more.iter().map(|column| match column {
                Column::Size => Cell::number(text::bytes(folder.bytes()), folder.bytes()),
                Column::Files => Cell::text(file_list(&folder.objects)),
                Column::State => Cell::text(state(folder)),
                Column::Uploaded => time(folder.newest(), look),
                Column::Marks if folder.deletion.is_some() => Cell::text("deletion"),
                Column::Marks | Column::Lineage => Cell::text(""),
            }));
            table.rows.push(row);
        }
    }
    table
}

/// Why a folder is no whole block.
pub(super) fn state(folder: &Partial) -> String {
    match &folder.why {
        PartialReason::NoMeta => "partial: there is no meta.json".to_owned(),
        PartialReason::Corrupt(why) => format!("corrupt: {why}"),
    }
}

fn file_list(objects: &[blockyard::bucket::Object]) -> String {
    let files: Vec<String> = files(objects).map(|(path, len)| format!("{path} {}", text::bytes(len))).collect();
    files.join(", ")
}

fn lineage(block: &CatalogBlock) -> String {
    let compaction = &block.meta.compaction;
    let parents: Vec<String> = compaction.parents.iter().map(|p| p.ulid.to_string()).collect();
    let sources = compaction.sources.len();
    if parents.is_empty() { format!("{sources} sources") } else { format!("{sources} sources, parents {}", parents.join(" ")) }
}

/// Sums over blocks.
#[derive(Clone, Debug)]
pub(super) struct Total {
    pub(super) blocks: u64,
    pub(super) times: TimeRange,
    pub(super) series: u128,
    pub(super) samples: u128,
    pub(super) chunks: u128,
    pub(super) bytes: u128,
}

impl Total {
    fn of(block: &CatalogBlock) -> Self {
        let stats = &block.meta.stats;
        Total {
            blocks: 1,
            times: block.meta.time_range(),
            series: stats.num_series.into(),
            samples: stats.num_samples.into(),
            chunks: stats.num_chunks.into(),
            bytes: size(block).into(),
        }
    }

    fn join(&mut self, other: &Total) {
        self.blocks += other.blocks;
        self.times = self.times.union(other.times);
        self.series += other.series;
        self.samples += other.samples;
        self.chunks += other.chunks;
        self.bytes += other.bytes;
    }
}

/// Sums by resolution and labels.
pub(super) fn sums<'a>(blocks: &[&'a CatalogBlock]) -> BTreeMap<(Millis, &'a blockyard::model::LabelSet), Total> {
    let mut sums: BTreeMap<_, Total> = BTreeMap::new();
    for &block in blocks {
        let one = Total::of(block);
        sums.entry((block.meta.resolution(), block.meta.labels())).and_modify(|t| t.join(&one)).or_insert(one);
    }
    sums
}

/// Sums by resolution and labels, and of all.
pub(super) fn totals(blocks: &[&CatalogBlock], look: &Look) -> Table {
    let mut table = Table::new(["RESOLUTION", "LABELS", "#BLOCKS", "FROM", "UNTIL", "#SERIES", "#SAMPLES", "#CHUNKS", "SIZE"]);
    let row = |resolution: Cell, labels: String, total: &Total| {
        let size = u64::try_from(total.bytes).unwrap_or(u64::MAX);
        let wide = |n: u128| count(i128::try_from(n).unwrap_or(i128::MAX));
        vec![
            resolution,
            Cell::text(labels),
            count(total.blocks),
            time(total.times.start, look),
            time(total.times.end, look),
            wide(total.series),
            wide(total.samples),
            wide(total.chunks),
            Cell::number(text::bytes(size), size),
        ]
    };
    let mut all: Option<Total> = None;
    for ((resolution, of), total) in sums(blocks) {
        table.rows.push(row(length(resolution), labels(of.iter()), &total));
        match &mut all {
            Some(all) => all.join(&total),
            None => all = Some(total),
        }
    }
    table.rows.extend(all.map(|all| row(Cell::text("all"), String::new(), &all)));
    table
}
