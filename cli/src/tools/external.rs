//! `tools bucket rewrite --external-labels.*`: labels of whole blocks change, no sample does.

use std::path::Path;

use blockyard::job::catalog::Depth;
use blockyard::job::external::{self, Change, Plan, Planned};
use blockyard::job::rewrite::Choice;
use blockyard::{Error, Kind, Result};
use clap::Args;

use super::table::{Cell, Table};
use super::text;
use crate::exit::Exit;
use crate::flags::Objstore;
use crate::world::World;

/// Flags about external labels.
#[derive(Args, Debug)]
pub(super) struct ExternalLabels {
    /// Give the chosen blocks, at all resolutions, this external label, repeatable
    #[arg(long = "external-labels.set", value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Take this external label from the chosen blocks, repeatable
    #[arg(long = "external-labels.drop", value_name = "NAME")]
    drop: Vec<String>,
    /// Rename an external label of the chosen blocks, repeatable
    #[arg(long = "external-labels.rename", value_name = "OLD=NEW")]
    rename: Vec<String>,
}

impl ExternalLabels {
    pub(super) fn is_asked(&self) -> bool {
        !(self.set.is_empty() && self.drop.is_empty() && self.rename.is_empty())
    }

    fn change(&self) -> Result<Change> {
        let names = |flag, all: &[String]| all.iter().map(|t| pair(flag, t)).collect::<Result<Vec<_>>>();
        let change = Change {
            rename: names("external-labels.rename", &self.rename)?,
            drop: self.drop.clone(),
            set: names("external-labels.set", &self.set)?,
        };
        let named = change.rename.iter().map(|(_, new)| new).chain(change.set.iter().map(|(name, _)| name));
        match named.into_iter().find(|name| !is_name(name)) {
            Some(name) => Err(Error::new(Kind::Invalid, format!("{name:?} is no name of a label"))),
            None => Ok(change),
        }
    }
}

/// Two texts around the first `=`, the first of them not empty.
pub(super) fn pair(flag: &str, text: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok((name.to_owned(), value.trim_matches('"').to_owned())),
        _ => Err(Error::new(Kind::Invalid, format!("--{flag} {text:?} is not NAME=VALUE"))),
    }
}

pub(super) fn is_name(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.chars().next().is_some_and(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit())
}

/// Plans, then shows what would change or changes it.
pub(super) async fn run(
    flags: &ExternalLabels,
    choice: Choice,
    for_real: bool,
    delete_blocks: bool,
    objstore: &Objstore,
    world: &World,
) -> Result<Exit> {
    let change = flags.change()?;
    let bucket = objstore.open().await?;
    let catalog = super::look(&bucket, super::rewrite::NO_TIMEOUT_MS, Depth::Everything, world).await?;
    catalog.check_complete()?;
    let plan = external::plan(&catalog, &change, &choice, &*world.clock)?;
    for planned in &plan.blocks {
        if let Some(other) = planned.overlaps {
            tracing::warn!(id = %planned.block.id, with = %other, "would overlap a block of its new group: a compactor without vertical compaction stops there");
        }
    }
    let size = text::bytes(plan.bytes());
    let totals = format!("{} blocks of {size}; {} chosen blocks have these labels already", plan.blocks.len(), plan.unchanged);
    if !for_real {
        super::print(&format!("{}dry run: nothing was changed. {totals}; --no-dry-run does it\n", table(&plan)))?;
        return Ok(Exit::Done);
    }
    let env = world.env(bucket, Path::new("."));
    let mut changed = 0;
    let mut done = |planned: &Planned| {
        changed += 1;
        let marked = if delete_blocks { "marked for deletion" } else { "marked no-compact" };
        println!("block {} became {} with {}; {marked}", planned.block.id, planned.id, planned.labels);
    };
    external::run(&env, &plan, delete_blocks, &mut done).await?;
    println!("labels of {changed} blocks changed: {totals}");
    Ok(Exit::Done)
}

fn table(plan: &Plan) -> String {
    if plan.blocks.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["ULID", "RESOLUTION", "LABELS", "LABELS AFTERWARDS", "SIZE", "OVERLAPS"]);
    for p in &plan.blocks {
        table.rows.push(vec![
            Cell::text(p.block.id.to_string()),
            Cell::text(text::duration(text::nanos(p.block.meta.resolution()))),
            Cell::text(p.block.meta.labels().to_string()),
            Cell::text(p.labels.to_string()),
            Cell::number(text::bytes(p.block.bytes()), p.block.bytes()),
            Cell::text(p.overlaps.map_or("-".to_owned(), |o| o.to_string())),
        ]);
    }
    table.to_text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_and_names() {
        assert_eq!(pair("x", "a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
        assert_eq!(pair("x", "a=\"b\"").unwrap().1, "b");
        for text in ["a", "=b", "a=", ""] {
            assert_eq!(pair("x", text).unwrap_err().kind(), Kind::Invalid, "{text:?}");
        }
        assert!(is_name("_a1") && !is_name("1a") && !is_name("") && !is_name("a-b"));
    }
}
