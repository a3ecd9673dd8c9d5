//! `tools bucket rewrite`: deletes series, or times of them, and relabels series, in blocks that lie in the bucket.

use std::io::Write as _;
use std::path::PathBuf;

use blockyard::job::catalog::Depth;
use blockyard::job::pass::HashFunc;
use blockyard::job::relabel::parse_relabelings;
use blockyard::job::rewrite::{self, Affected, Choice, Fate, Options, Plan, Request, Rewritten, parse_deletions};
use blockyard::model::{BlockId, Matcher, Millis, parse_selector};
use blockyard::{Error, Kind, Result};
use clap::Args;
use clap::builder::PossibleValuesParser;

use super::table::{Cell, Table};
use super::{external, salvage, text};
use crate::exit::Exit;
use crate::flags::{Objstore, TimeOrAgo, read_expanded};
use crate::world::World;

/// Looking at a bucket takes as long as it takes: upstream has no limit here either.
pub(super) const NO_TIMEOUT_MS: Millis = 24 * 3_600_000;

/// Flags of `tools bucket rewrite`.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// ID (ULID) of a block to rewrite, repeatable
    #[arg(long, value_name = "ID")]
    id: Vec<String>,
    /// Instead of --id: blocks whose external labels match, such as '{cluster="eu1",replica=~"a|b"}'
    #[arg(long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// Instead of --id: blocks that end at this time or later: RFC 3339, or a duration relative to now such as -6w
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    min_time: Option<TimeOrAgo>,
    /// Instead of --id: blocks that begin at this time or earlier: RFC 3339, or a duration relative to now
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    max_time: Option<TimeOrAgo>,
    /// Working directory: change logs, one folder a new block, and what does not fit in memory
    #[arg(long = "tmp.dir", value_name = "PATH", default_value_os_t = std::env::temp_dir().join("thanos-rewrite"))]
    tmp_dir: PathBuf,
    /// Show what would change instead of doing it, which is the default; --no-dry-run does it
    #[arg(long, overrides_with = "for_real")]
    dry_run: bool,
    /// Do it
    #[arg(long = "no-dry-run")]
    for_real: bool,
    /// The bucket is read by Prometheus only: blocks may have no external labels
    #[arg(long)]
    prom_blocks: bool,
    /// Mark the original blocks for deletion once they are rewritten
    #[arg(long)]
    delete_blocks: bool,
    /// Hash of every file in meta.json: "" for none, or "SHA256"
    #[arg(long, value_name = "NAME", default_value = "", value_parser = PossibleValuesParser::new(["", "SHA256"]))]
    hash_func: String,
    /// Path to YAML file with the deletions: a list of `matchers` (a selector) with optional `intervals` (`mint`, `maxt` in
    /// milliseconds) and `request_id`
    #[arg(long = "rewrite.to-delete-config-file", value_name = "file-path")]
    to_delete_file: Option<PathBuf>,
    /// Alternative to 'rewrite.to-delete-config-file' flag (mutually exclusive). Content of YAML file with the deletions
    #[arg(long = "rewrite.to-delete-config", value_name = "content")]
    to_delete: Option<String>,
    /// Path to YAML file with relabel rules that are applied to the labels of series
    #[arg(long = "rewrite.to-relabel-config-file", value_name = "file-path")]
    to_relabel_file: Option<PathBuf>,
    /// Alternative to 'rewrite.to-relabel-config-file' flag (mutually exclusive). Content of YAML file with relabel rules
    #[arg(long = "rewrite.to-relabel-config", value_name = "content")]
    to_relabel: Option<String>,
    /// Write each change to <tmp.dir>/<new block>/change.log, which is the default
    #[arg(long = "rewrite.add-change-log", overrides_with = "no_change_log")]
    change_log: bool,
    /// Write no change.log
    #[arg(long = "no-rewrite.add-change-log")]
    no_change_log: bool,
    /// Leave symbols that no series uses any more out of the new index; Thanos keeps those of deleted series
    #[arg(long)]
    drop_unused_symbols: bool,
    #[command(flatten)]
    external: external::ExternalLabels,
    #[command(flatten)]
    salvage: salvage::Salvage,
}

impl Flags {
    fn request(&self) -> Result<Request> {
        let read =
            |name, content: &Option<String>, file: &Option<PathBuf>| read_expanded(name, content.as_deref(), file.as_deref());
        let to_delete = read("rewrite.to-delete-config", &self.to_delete, &self.to_delete_file)?;
        let to_relabel = read("rewrite.to-relabel-config", &self.to_relabel, &self.to_relabel_file)?;
        if to_delete.trim().is_empty() && to_relabel.trim().is_empty() {
            return Err(Error::new(Kind::Invalid, "rewrite configuration should be provided")
                .next("give --rewrite.to-delete-config-file or --rewrite.to-relabel-config-file"));
        }
        let parse_or_none = |text: &str| !text.trim().is_empty();
        Ok(Request {
            deletions: if parse_or_none(&to_delete) { parse_deletions(&to_delete)? } else { Vec::new() },
            relabeling: if parse_or_none(&to_relabel) { parse_relabelings(&to_relabel)? } else { Vec::new() },
            drop_unused_symbols: self.drop_unused_symbols,
        })
    }

    fn is_of_series(&self) -> bool {
        let files = [&self.to_delete_file, &self.to_relabel_file];
        [&self.to_delete, &self.to_relabel].iter().any(|c| c.is_some()) || files.iter().any(|f| f.is_some())
    }

    fn choice(&self, now: Millis) -> Result<Choice> {
        let matching = self.selector.is_some() || self.min_time.is_some() || self.max_time.is_some();
        if self.id.is_empty() != matching {
            let what = if matching { "--id and a choice by labels or time are both given" } else { "no blocks are chosen" };
            return Err(Error::new(Kind::Invalid, what)
                .next("give --id for single blocks, or --selector, --min-time, --max-time for all that match"));
        }
        if !matching {
            let ids = self.id.iter().map(|text| {
                let invalid = |_| Error::new(Kind::Invalid, format!("id is not a valid block ULID, got: {text}"));
                text.parse::<BlockId>().map_err(invalid)
            });
            return Ok(Choice::Ids(ids.collect::<Result<_>>()?));
        }
        let text = self.selector.as_deref().unwrap_or("{}");
        let matchers: Vec<Matcher> =
            parse_selector(text).map_err(|e| Error::new(Kind::Invalid, format!("--selector {text:?}: {e}")))?;
        let time = |time: Option<TimeOrAgo>, or| time.map_or(or, |t| t.resolve(now));
        Ok(Choice::Matching { matchers, min_time: time(self.min_time, Millis::MIN), max_time: time(self.max_time, Millis::MAX) })
    }
}

/// Plans, then shows what would change or changes it.
pub(crate) async fn run(flags: Flags, objstore: &Objstore, world: &World) -> Result<Exit> {
    let ways = [flags.salvage.is_asked(), flags.external.is_asked(), flags.is_of_series()];
    if ways.iter().filter(|&&asked| asked).count() > 1 {
        return Err(Error::new(Kind::Invalid, "--salvage, --external-labels.* and changes of series cannot be done in one run")
            .next("do one after the other"));
    }
    if flags.salvage.is_asked() {
        let choice = flags.choice(world.clock.now())?;
        return salvage::run(&flags.salvage, choice, flags.for_real, flags.delete_blocks, &flags.tmp_dir, objstore, world).await;
    }
    if flags.external.is_asked() {
        let choice = flags.choice(world.clock.now())?;
        return external::run(&flags.external, choice, flags.for_real, flags.delete_blocks, objstore, world).await;
    }
    let request = flags.request()?;
    let choice = flags.choice(world.clock.now())?;
    let bucket = objstore.open().await?;
    let catalog = super::look(&bucket, NO_TIMEOUT_MS, Depth::Everything, world).await?;
    catalog.check_complete()?;
    let plan = rewrite::plan(&catalog, &request, &choice, flags.prom_blocks, &*world.clock)?;
    for (block, warning) in &plan.warnings {
        tracing::warn!(id = %block, "{warning}");
    }
    for done in &plan.done {
        tracing::info!(source = %done.block, new = %done.by, "rewritten before with the same request");
    }
    let env = world.env(bucket, &flags.tmp_dir);
    let log = !flags.no_change_log;
    if !flags.for_real {
        return dry_run(&env, &plan, &request, log.then_some(&flags.tmp_dir)).await;
    }
    let options = Options {
        skip_untouched: matches!(choice, Choice::Matching { .. }),
        delete_blocks: flags.delete_blocks,
        hash_func: if flags.hash_func == "SHA256" { HashFunc::Sha256 } else { HashFunc::None },
        change_logs: log.then(|| flags.tmp_dir.clone()),
    };
    let (mut rewritten, mut untouched) = (0, 0);
    let mut done = |block: &Rewritten| match block.fate {
        Fate::Untouched => {
            untouched += 1;
            tracing::debug!(id = %block.block, "nothing would change");
        }
        _ => {
            rewritten += 1;
            println!("{}", sentence(block));
        }
    };
    rewrite::run(&env, &plan, &request, &options, &mut done).await?;
    println!(
        "rewrite done: {rewritten} blocks rewritten, {untouched} with nothing to change, {} rewritten before",
        plan.done.len()
    );
    if log && rewritten > 0 {
        println!("each change is in change.log, by new block, below {}", flags.tmp_dir.display());
    }
    Ok(Exit::Done)
}

fn sentence(block: &Rewritten) -> String {
    let became = match &block.fate {
        Fate::Written(meta) => {
            format!("became {} with {} series and {} samples", meta.ulid, meta.stats.num_series, meta.stats.num_samples)
        }
        Fate::Emptied => "had no samples left and became no block".to_owned(),
        Fate::Untouched => "stays as it is".to_owned(),
    };
    let marked = if block.marked { "; marked for deletion" } else { "" };
    format!("block {} {became}{marked}", block.block)
}

/// Counts what would change, block by block, and prints a table with totals.
async fn dry_run(env: &blockyard::job::Env, plan: &Plan, request: &Request, logs: Option<&PathBuf>) -> Result<Exit> {
    let mut table =
        Table::new(["ULID", "RESOLUTION", "LABELS", "#SERIES", "-SERIES", "~SERIES", "~LABELS", "-CHUNKS", "-SAMPLES", "BYTES"]);
    let mut total = Affected::default();
    let mut touched = 0;
    for planned in &plan.blocks {
        let mut log = logs.map(|folder| open_log(folder, planned.id)).transpose()?;
        let failed = |e| Error::new(Kind::Unavailable, "the change log cannot be written").source(e);
        let mut changed = |line: &str| log.as_mut().map_or(Ok(()), |log| log.write_all(line.as_bytes())).map_err(failed);
        let affected = rewrite::survey(env, &planned.block, request, &mut changed).await?;
        if let Some(log) = &mut log {
            log.flush().map_err(failed)?;
        }
        total.add(&affected);
        touched += usize::from(!affected.is_nothing());
        let resolution = text::duration(text::nanos(planned.block.meta.resolution()));
        let labels = planned.block.meta.labels().to_string();
        table
            .rows
            .push(row(vec![Cell::text(planned.block.id.to_string()), Cell::text(resolution), Cell::text(labels)], &affected));
    }
    table.rows.push(row(vec![Cell::text("all"), Cell::text(""), Cell::text("")], &total));
    let mut out = table.to_text();
    out.push_str(&format!(
        "dry run: nothing was changed. {touched} of {} blocks hold what is asked for: {} series go, {} lose samples, {} get other labels; {} samples in {} chunks of {}\n",
        plan.blocks.len(),
        text::thousands(total.deleted_series.into()),
        text::thousands(total.cut_series.into()),
        text::thousands(total.relabeled_series.into()),
        text::thousands(total.samples.into()),
        text::thousands(total.chunks.into()),
        text::bytes(total.bytes),
    ));
    for group in plan.overlaps() {
        out.push_str(&format!(
            "group {group}: old and new blocks will lie side by side until the old ones are deleted. A Thanos compactor without \
             --compact.enable-vertical-compaction takes that for an overlap and halts: stop it until then\n"
        ));
    }
    if let Some(folder) = logs.filter(|_| !plan.blocks.is_empty()) {
        out.push_str(&format!("each change is in change.log below {}; --no-dry-run does it\n", folder.display()));
    }
    super::print(&out)?;
    Ok(Exit::Done)
}

fn row(mut cells: Vec<Cell>, a: &Affected) -> Vec<Cell> {
    for n in [a.of_series, a.deleted_series, a.cut_series, a.relabeled_series, a.chunks, a.samples] {
        cells.push(Cell::number(text::thousands(n.into()), n));
    }
    cells.push(Cell::number(text::bytes(a.bytes), a.bytes));
    cells
}

fn open_log(folder: &std::path::Path, id: BlockId) -> Result<std::io::BufWriter<std::fs::File>> {
    let path = folder.join(id.to_string()).join("change.log");
    let open = std::fs::create_dir_all(folder.join(id.to_string())).and_then(|()| std::fs::File::create(&path));
    let failed = |e| {
        Error::new(Kind::Invalid, format!("cannot write {}", path.display()))
            .source(e)
            .next("choose another --tmp.dir, or give --no-rewrite.add-change-log")
    };
    open.map(std::io::BufWriter::new).map_err(failed)
}
