//! `tools bucket rewrite --salvage`: takes over into new blocks what can be read of damaged ones.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use blockyard::job::JobId;
use blockyard::job::catalog::{Catalog, Depth};
use blockyard::job::repair::backup;
use blockyard::job::rewrite::Choice;
use blockyard::job::salvage::{Losses, Salvaged, Task, mark_old, salvage};
use blockyard::model::{BlockId, LabelSet};
use blockyard::{Error, Kind, Result};
use clap::Args;
use serde_json::json;

use super::{external, text};
use crate::exit::Exit;
use crate::flags::{Backup, Objstore};
use crate::world::World;

/// Losses that are printed; the report has all of them.
const SHOWN: usize = 20;

/// Flags about damaged blocks.
#[derive(Args, Debug)]
pub(super) struct Salvage {
    /// Take over all that can be read of the damaged blocks of --id into new blocks, and list what is lost. Lost meta.json
    /// are made anew. The old blocks stay unless --delete-blocks is given
    #[arg(long)]
    salvage: bool,
    /// External label for salvaged blocks that have no meta.json, repeatable; without it those of the other blocks, if all
    /// have the same
    #[arg(long = "salvage.label", value_name = "NAME=VALUE")]
    label: Vec<String>,
    #[command(flatten)]
    backup: Backup,
}

impl Salvage {
    pub(super) fn is_asked(&self) -> bool {
        self.salvage
    }

    fn labels(&self) -> Result<LabelSet> {
        let pairs = self.label.iter().map(|t| external::pair("salvage.label", t)).collect::<Result<Vec<_>>>()?;
        match pairs.iter().find(|(name, _)| !external::is_name(name)) {
            Some((name, _)) => Err(Error::new(Kind::Invalid, format!("{name:?} is no name of a label"))),
            None => Ok(pairs.into_iter().collect()),
        }
    }
}

/// Takes over block after block, or lists what would be lost.
pub(super) async fn run(
    flags: &Salvage,
    choice: Choice,
    for_real: bool,
    delete_blocks: bool,
    tmp_dir: &Path,
    objstore: &Objstore,
    world: &World,
) -> Result<Exit> {
    let Choice::Ids(ids) = choice else {
        return Err(Error::new(Kind::Invalid, "--salvage takes single blocks").next("name them with --id"));
    };
    let given = flags.labels()?;
    let bucket = objstore.open().await?;
    let to = flags.backup.open().await?;
    let catalog = super::look(&bucket, super::rewrite::NO_TIMEOUT_MS, Depth::Everything, world).await?;
    let tasks = ids.iter().zip(0..).map(|(&id, n)| task(&catalog, id, &given, for_real, JobId(n)));
    let tasks = tasks.collect::<Result<Vec<_>>>()?;
    let env = world.env(bucket, tmp_dir);
    let mut out = String::new();
    for task in &tasks {
        if let (true, Some(to)) = (for_real, &to) {
            backup(&env, task.block, to).await?;
        }
        let salvaged = salvage(&env, task).await?;
        let report = write_report(tmp_dir, task.block, &salvaged)?;
        out.push_str(&said(task.block, &salvaged, for_real));
        if !salvaged.lost.is_empty() {
            out.push_str(&format!("  every loss is in {}\n", report.display()));
        }
        if for_real && delete_blocks {
            out.push_str(match mark_old(&env, task.block).await? {
                true => "  the old block is marked for deletion\n",
                false => "  the old block has no meta.json: a compactor deletes it as a partial upload after two days\n",
            });
        } else if for_real && salvaged.meta.is_some() {
            out.push_str("  the old block is as it was: mark it before a compactor runs, which would take one of the two for a duplicate\n");
        }
    }
    if !for_real {
        out.push_str("dry run: nothing was written to the bucket; --no-dry-run does it\n");
    }
    super::print(&out)?;
    Ok(Exit::Done)
}

fn task(catalog: &Catalog, id: BlockId, given: &LabelSet, write: bool, job: JobId) -> Result<Task> {
    if let Some(block) = catalog.block(id) {
        let (objects, meta) = (block.objects.clone(), Some(block.meta.clone()));
        return Ok(Task { job, block: id, objects, meta, labels: LabelSet::new(), write });
    }
    let gone = || Error::new(Kind::NotFound, "there is no such block in the bucket").block(id);
    let partial = catalog.partial.iter().find(|p| p.id == id).ok_or_else(gone)?;
    let labels = if given.is_empty() { of_others(catalog).map_err(|e| e.block(id))? } else { given.clone() };
    tracing::info!(id = %id, labels = %labels, "there is no meta.json that can be read: it is made of index and chunks");
    Ok(Task { job, block: id, objects: partial.objects.clone(), meta: None, labels, write })
}

/// The labels that all other blocks have.
fn of_others(catalog: &Catalog) -> Result<LabelSet> {
    let all: BTreeSet<&LabelSet> = catalog.blocks.iter().map(|b| b.meta.labels()).filter(|l| !l.is_empty()).collect();
    let mut all = all.into_iter();
    match (all.next(), all.next()) {
        (Some(only), None) => Ok(only.clone()),
        (first, _) => {
            let why = if first.is_none() { "no other block has any" } else { "other blocks have different ones" };
            Err(Error::new(Kind::Invalid, format!("nobody says which external labels the block had: {why}"))
                .next("give them with --salvage.label=NAME=VALUE, once for each"))
        }
    }
}

fn said(block: BlockId, salvaged: &Salvaged, for_real: bool) -> String {
    let lost = &salvaged.lost;
    let mut out = match &salvaged.meta {
        Some(meta) => {
            let s = &meta.stats;
            let (series, samples) = (text::thousands(s.num_series.into()), text::thousands(s.num_samples.into()));
            let became = if for_real { format!("became {}", meta.ulid) } else { "would become a block".to_owned() };
            format!(
                "block {block} {became} with {series} series and {samples} samples; lost: {} series, {} chunks\n",
                lost.series, lost.chunks
            )
        }
        None => format!("block {block}: no sample could be read, there is no new block\n"),
    };
    for l in lost.listed.iter().take(SHOWN) {
        out.push_str(&format!("  {}", l.part));
        out.push_str(&l.at.map_or(String::new(), |at| format!(" at byte {at}")));
        out.push_str(&format!(": {}", l.why));
        out.push_str(&l.series.as_ref().map_or(String::new(), |s| format!("; series {s}")));
        let time = |t| text::rfc3339(t, &jiff::tz::TimeZone::UTC);
        out.push_str(&l.times.map_or(String::new(), |(from, to)| format!("; {} to {}", time(from), time(to))));
        out.push('\n');
    }
    let more = lost.listed.len().saturating_sub(SHOWN) as u64 + lost.unlisted;
    if more > 0 {
        out.push_str(&format!("  and {more} more\n"));
    }
    out
}

/// Every loss as JSON, in `<tmp.dir>/<old block>/salvage.json`.
fn write_report(tmp_dir: &Path, block: BlockId, salvaged: &Salvaged) -> Result<PathBuf> {
    let folder = tmp_dir.join(block.to_string());
    let path = folder.join("salvage.json");
    let Losses { listed, unlisted, series, chunks } = &salvaged.lost;
    let document = json!({
        "block": block,
        "new_block": salvaged.meta.as_ref().map(|m| m.ulid),
        "lost_series": series,
        "lost_chunks": chunks,
        "lost": listed,
        "more": unlisted,
    });
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    let written = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, text));
    written.map_err(|e| {
        Error::new(Kind::Invalid, format!("cannot write {}", path.display())).source(e).next("choose another --tmp.dir")
    })?;
    Ok(path)
}
