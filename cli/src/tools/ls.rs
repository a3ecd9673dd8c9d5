//! `tools bucket ls`: one line, document or text of your own for each block, in order of ids.

use std::fmt::Write;

use blockyard::job::catalog::CatalogBlock;
use blockyard::job::catalog::Depth;
use blockyard::job::relabel::{keeps, parse_rules};
use blockyard::model::Millis;
use blockyard::{Error, Kind, Result};
use clap::Args;
use jiff::tz::TimeZone;

use super::template::{Template, block_value};
use super::text;
use crate::exit::Exit;
use crate::flags::{Objstore, Selector, TimeOrAgo, go_duration};
use crate::world::World;

/// Flags of `tools bucket ls`.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// Format in which each block is printed: nothing for its id, `json`, `wide`, or a Go template over its meta
    /// such as '{{.ULID}} {{.Thanos.Downsample.Resolution}} {{len .Compaction.Sources}}'
    #[arg(short, long, value_name = "FORMAT", default_value = "")]
    output: String,
    /// Exclude blocks marked for deletion
    #[arg(long)]
    exclude_delete: bool,
    /// Only blocks that end at this time or later: RFC 3339, or a duration relative to now such as -1d or 2h45m
    #[arg(long, value_name = "TIME", default_value = "0000-01-01T00:00:00Z", allow_hyphen_values = true)]
    min_time: TimeOrAgo,
    /// Only blocks that begin at this time or earlier: RFC 3339, or a duration relative to now
    #[arg(long, value_name = "TIME", default_value = "9999-12-31T23:59:59Z", allow_hyphen_values = true)]
    max_time: TimeOrAgo,
    #[command(flatten)]
    selector: Selector,
    /// Timeout to download metadata from remote storage
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = go_duration)]
    timeout: Millis,
}

/// How a block is printed.
enum Form {
    Id,
    Wide(TimeZone),
    Json,
    Template(Template),
}

impl Form {
    fn parse(text: &str) -> Result<Form> {
        Ok(match text {
            "" => Form::Id,
            "wide" => Form::Wide(TimeZone::system()),
            "json" => Form::Json,
            text => {
                let invalid = |why| Error::new(Kind::Invalid, format!("invalid template: {why}"));
                Form::Template(Template::parse(text).map_err(invalid)?)
            }
        })
    }

    fn print(&self, block: &CatalogBlock, out: &mut String) -> Result<()> {
        let meta = &block.meta;
        // writing to a string does not fail
        match self {
            Form::Id => drop(writeln!(out, "{}", block.id)),
            Form::Wide(zone) => {
                // times are cut to seconds before they are subtracted
                let length = (meta.max_time / 1000).wrapping_sub(meta.min_time / 1000).wrapping_mul(1_000_000_000);
                let _ = writeln!(
                    out,
                    "{} -- {} - {} Diff: {}, Compaction: {}, Downsample: {}, Source: {}",
                    block.id,
                    text::rfc3339(meta.min_time, zone),
                    text::rfc3339(meta.max_time, zone),
                    text::duration(length),
                    meta.compaction.level,
                    meta.resolution(),
                    meta.thanos.source
                );
            }
            Form::Json => out.push_str(&String::from_utf8_lossy(&meta.encode())),
            Form::Template(template) => {
                let failed = |why| Error::new(Kind::Invalid, format!("iter: execute template: {why}")).block(block.id);
                out.push_str(&template.execute(&block_value(block)).map_err(failed)?);
                out.push('\n');
            }
        }
        Ok(())
    }
}

/// Lists the blocks.
pub(crate) async fn run(flags: Flags, objstore: &Objstore, world: &World) -> Result<Exit> {
    let form = Form::parse(&flags.output)?;
    let rules = parse_rules(&flags.selector.read()?)?;
    let now = world.clock.now();
    let (min_time, max_time) = (flags.min_time.resolve(now), flags.max_time.resolve(now));
    let bucket = objstore.open().await?;
    let catalog = super::look(&bucket, flags.timeout, Depth::Everything, world).await?;
    let chosen = catalog.blocks.iter().filter(|b| {
        b.meta.max_time >= min_time
            && b.meta.min_time <= max_time
            && !(flags.exclude_delete && b.deletion.is_some())
            && keeps(&rules, b.id, b.meta.labels(), &[])
    });
    let mut out = String::new();
    let mut objects = 0;
    for block in chosen {
        objects += 1;
        let printed = form.print(block, &mut out);
        if printed.is_err() || out.len() > 1 << 16 {
            super::print(&out)?;
            out.clear();
        }
        printed?;
    }
    super::print(&out)?;
    catalog.check_complete()?;
    tracing::info!(objects, "ls done");
    Ok(Exit::Done)
}
