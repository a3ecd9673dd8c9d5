//! Blocks as one JSON document, for programs.

use blockyard::Error;
use blockyard::job::catalog::{CatalogBlock, Partial};
use blockyard::model::{BlockId, Millis};
use serde_json::{Map, Value, json};

use super::super::text;
use super::rows::{self, Look};

/// All that is known of the blocks, of folders that are none, of blocks that could not be looked at, and totals.
pub(super) fn document(blocks: &[&CatalogBlock], partial: &[Partial], failed: &[(BlockId, Error)], look: &Look) -> String {
    let totals: Vec<Value> = rows::sums(blocks)
        .into_iter()
        .map(|((resolution, labels), total)| {
            json!({
                "resolution_ms": resolution,
                "labels": labels,
                "blocks": total.blocks,
                "min_time": total.times.start,
                "max_time": total.times.end,
                "series": wide(total.series),
                "samples": wide(total.samples),
                "chunks": wide(total.chunks),
                "size_bytes": wide(total.bytes),
            })
        })
        .collect();
    let document = json!({
        "blocks": blocks.iter().map(|b| block(b, look)).collect::<Vec<_>>(),
        "partial": partial.iter().map(folder).collect::<Vec<_>>(),
        "failed": failed.iter().map(|(id, error)| json!({"ulid": id, "error": error.to_string()})).collect::<Vec<_>>(),
        "totals": totals,
    });
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

/// Sums of sums stay below 64 bits in any bucket; else the nearest.
fn wide(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

fn time(at: Millis) -> String {
    text::rfc3339(at, &jiff::tz::TimeZone::UTC)
}

fn block(block: &CatalogBlock, look: &Look) -> Value {
    let meta = &block.meta;
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| drop(out.insert(name.to_owned(), value));
    put("ulid", json!(block.id));
    put("from", json!(time(meta.min_time)));
    put("until", json!(time(meta.max_time)));
    put("min_time", json!(meta.min_time));
    put("max_time", json!(meta.max_time));
    put("until_downsampling_ms", json!(rows::until_downsampling(block)));
    put("series", json!(meta.stats.num_series));
    put("samples", json!(meta.stats.num_samples));
    put("chunks", json!(meta.stats.num_chunks));
    put("level", json!(meta.compaction.level));
    put("compaction_failed", json!(meta.compaction.failed));
    put("labels", json!(meta.labels()));
    put("resolution_ms", json!(meta.resolution()));
    put("source", json!(meta.thanos.source));
    put("group", json!(meta.group_key()));
    put("size_bytes", json!(rows::size(block)));
    put("files", files(&block.objects));
    put("sources", json!(meta.compaction.sources));
    put("parents", json!(meta.compaction.parents.iter().map(|p| p.ulid).collect::<Vec<_>>()));
    put("uploaded", json!(rows::uploaded(block).map(time)));
    put("marks", marks(block, look));
    Value::Object(out)
}

fn files(objects: &[blockyard::bucket::Object]) -> Value {
    rows::files(objects).map(|(path, len)| json!({"path": path, "size_bytes": len})).collect()
}

fn marks(block: &CatalogBlock, look: &Look) -> Value {
    let at = |seconds: i64| time(seconds.saturating_mul(1000));
    let mut out = Vec::new();
    if let Some(m) = &block.deletion {
        let due = m.deletion_time.saturating_mul(1000).saturating_add(look.delete_delay);
        let left = due.saturating_sub(look.now).max(0);
        out.push(json!({"mark": "deletion", "at": at(m.deletion_time), "details": m.details, "left_ms": left}));
    }
    if let Some(m) = &block.no_compact {
        out.push(json!({"mark": "no-compact", "at": at(m.no_compact_time), "reason": m.reason, "details": m.details}));
    }
    if let Some(m) = &block.no_downsample {
        out.push(json!({"mark": "no-downsample", "at": at(m.no_downsample_time), "reason": m.reason, "details": m.details}));
    }
    Value::Array(out)
}

fn folder(folder: &Partial) -> Value {
    json!({
        "ulid": folder.id,
        "state": rows::state(folder),
        "size_bytes": folder.bytes(),
        "newest": time(folder.newest()),
        "marked_for_deletion": folder.deletion.is_some(),
        "files": files(&folder.objects),
    })
}
