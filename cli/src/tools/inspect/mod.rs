//! `tools bucket inspect`: a table of all blocks, or with `--id` what is inside of one.

mod inside;
mod json;
mod rows;

use blockyard::job::catalog::Depth;
use blockyard::model::Millis;
use blockyard::{Error, Kind, Result};
use clap::{Args, ValueEnum};
use jiff::tz::TimeZone;

use super::text;
use crate::exit::Exit;
use crate::flags::{Objstore, count, go_duration, prom_duration};
use crate::world::World;
use rows::{Column, Look};

/// Flags of `tools bucket inspect`.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// Selects blocks based on label, e.g. '-l key1=\"value1\" -l key2=\"value2\"'. All key value pairs must match
    #[arg(short = 'l', long = "selector", value_name = "<name>=\\\"<value>\\\"")]
    selector: Vec<String>,
    /// Sort by columns. It's also possible to sort by multiple columns, e.g. '--sort-by FROM --sort-by UNTIL'
    #[arg(long, value_name = "COLUMN", default_values = ["FROM", "UNTIL"])]
    sort_by: Vec<String>,
    /// Timeout to download metadata from remote storage
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = go_duration)]
    timeout: Millis,
    /// Output format for result
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: Output,
    /// More columns, comma-separated
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    columns: Vec<Column>,
    /// Totals for each resolution and label set below the blocks
    #[arg(long)]
    totals: bool,
    /// Time after which the compactor deletes marked blocks, for the time that is left in the column of marks
    #[arg(long, value_name = "DURATION", default_value = "48h", value_parser = prom_duration)]
    delete_delay: Millis,
    /// Look inside one block, by ranged reads: sections, cardinality, chunks
    #[arg(long, value_name = "ULID")]
    id: Option<String>,
    /// With --id: every byte of a part with its meaning: index, chunks/000001, meta.json, tombstones, …
    #[arg(long, value_name = "PART", requires = "id")]
    describe: Option<String>,
    /// With --describe: only these bytes; of a segment they begin where a chunk begins, which is then taken apart
    #[arg(long, value_name = "A..B", value_parser = inside::byte_range, requires = "describe")]
    bytes: Option<std::ops::Range<u64>>,
    /// With --id: how many of each kind are listed
    #[arg(long, value_name = "N", default_value = "10", value_parser = count)]
    top: usize,
    /// With --id: look into all chunks for encodings and samples, not only into some
    #[arg(long, requires = "id")]
    all_chunks: bool,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// Comma-separated.
    Csv,
    /// Separated by tabs.
    Tsv,
    /// One document with everything, whatever columns are asked for.
    Json,
}

/// Shows the blocks of a bucket, or one of them.
pub(crate) async fn run(flags: Flags, objstore: &Objstore, world: &World) -> Result<Exit> {
    let selector = flags.selector.iter().map(|s| label(s)).collect::<Result<Vec<_>>>()?;
    let header = rows::header(&flags.columns);
    let sort_by = flags.sort_by.iter().map(|name| place(&header, name)).collect::<Result<Vec<_>>>()?;
    let bucket = objstore.open().await?;
    let metas_say_all = flags.id.is_none() && flags.columns.is_empty() && !flags.totals && flags.output != Output::Json;
    let depth = if metas_say_all { Depth::Metas } else { Depth::Everything };
    let catalog = super::look(&bucket, flags.timeout, depth, world).await?;
    if let Some(id) = &flags.id {
        let invalid = |e| Error::new(Kind::Invalid, format!("--id={id}: {e}"));
        let show = inside::Show {
            id: id.parse().map_err(invalid)?,
            part: flags.describe.as_deref(),
            bytes: flags.bytes.clone(),
            top: flags.top,
            all_chunks: flags.all_chunks,
            output: flags.output,
        };
        inside::show(&show, &catalog, bucket, world).await?;
        return Ok(Exit::Done);
    }
    let look = Look { now: world.clock.now(), delete_delay: flags.delete_delay, zone: TimeZone::system() };
    let matches = |block: &&blockyard::job::catalog::CatalogBlock| {
        selector.iter().all(|(name, value)| block.meta.labels().get(name) == Some(value))
    };
    let blocks: Vec<_> = catalog.blocks.iter().filter(matches).collect();
    // folders without a readable meta have no labels to match
    let partial = if selector.is_empty() { catalog.partial.as_slice() } else { &[] };
    if flags.output == Output::Json {
        super::print(&json::document(&blocks, partial, &catalog.failed, &look))?;
    } else {
        let mut table = rows::blocks(&blocks, partial, &flags.columns, header, &look);
        table.sort_by(&sort_by);
        super::print(&flags.output.print(&table))?;
        if flags.totals {
            super::print(&format!("\n{}", flags.output.print(&rows::totals(&blocks, &look))))?;
        }
    }
    catalog.check_complete()?;
    Ok(Exit::Done)
}

impl Output {
    fn print(self, table: &super::table::Table) -> String {
        match self {
            Output::Csv => table.to_separated(','),
            Output::Tsv => table.to_separated('\t'),
            Output::Table | Output::Json => table.to_text(),
        }
    }
}

/// `name="value"`.
fn label(given: &str) -> Result<(String, String)> {
    let invalid = |why: String| Error::new(Kind::Invalid, format!("error parsing selector flag: {why}"));
    let Some((name, value)) = given.split_once('=') else { return Err(invalid(format!("unrecognized label {given:?}"))) };
    if name.is_empty() {
        return Err(invalid(format!("unsupported format for label {given}")));
    }
    match text::unquote(value) {
        Some(value) => Ok((name.to_owned(), value)),
        None => Err(invalid("unquote label value: invalid syntax".into()).next("write it in quotes: -l 'name=\"value\"'")),
    }
}

fn place(header: &[&str], name: &str) -> Result<usize> {
    header.iter().position(|c| *c == name).ok_or_else(|| {
        Error::new(Kind::Invalid, format!("there is no column {name:?} to sort by"))
            .next(format!("use one of {}", header.join(", ")))
    })
}
