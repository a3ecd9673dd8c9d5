//! A block's meta as Go's template engine sees it: fields by Go's names, in Go's order.

use std::collections::BTreeMap;

use blockyard::job::catalog::CatalogBlock;
use blockyard::model::BlockId;

use super::value::{Struct, Time, Value};

/// The meta of `block`.
pub(crate) fn block_value(block: &CatalogBlock) -> Value {
    let meta = &block.meta;
    let (stats, compaction, thanos) = (&meta.stats, &meta.compaction, &meta.thanos);
    let stats = Struct::new("tsdb.BlockStats")
        .field("NumSamples", Value::Uint(stats.num_samples))
        .field("NumFloatSamples", Value::Uint(stats.num_float_samples))
        .field("NumHistogramSamples", Value::Uint(stats.num_histogram_samples))
        .field("NumSeries", Value::Uint(stats.num_series))
        .field("NumChunks", Value::Uint(stats.num_chunks))
        .field("NumTombstones", Value::Uint(stats.num_tombstones));
    let parents = compaction.parents.iter().map(|p| {
        Value::Struct(
            Struct::new("tsdb.BlockDesc")
                .field("ULID", id(p.ulid))
                .field("MinTime", Value::Int(p.min_time))
                .field("MaxTime", Value::Int(p.max_time)),
        )
    });
    let compaction = Struct::new("tsdb.BlockMetaCompaction")
        .field("Level", Value::Plain(compaction.level))
        .field("Sources", list(compaction.sources.iter().map(|&s| id(s))))
        .field("Deletable", Value::Bool(compaction.deletable))
        .field("Parents", list(parents))
        .field("Failed", Value::Bool(compaction.failed))
        .field("Hints", list(compaction.hints.iter().map(|h| Value::Str(h.clone()))));
    let files = thanos.files.iter().map(|f| {
        let hash = f.hash.as_ref().map_or(Value::Nil, |h| {
            let hash = Struct::new("*metadata.ObjectHash")
                .field("Func", Value::Str(h.func.clone()))
                .field("Value", Value::Str(h.value.clone()));
            Value::Struct(hash)
        });
        Value::Struct(
            Struct::new("metadata.File")
                .field("RelPath", Value::Str(f.rel_path.clone()))
                .field("SizeBytes", Value::Int(f.size_bytes))
                .field("Hash", hash),
        )
    });
    let labels: BTreeMap<String, Value> = meta.labels().iter().map(|(n, v)| (n.to_owned(), Value::Str(v.to_owned()))).collect();
    let uploaded = Time { nanos: i128::from(thanos.upload_time.millis()) * 1_000_000 };
    let index_stats = Struct::new("metadata.IndexStats")
        .field("SeriesMaxSize", Value::Int(thanos.index_stats.series_max_size))
        .field("ChunkMaxSize", Value::Int(thanos.index_stats.chunk_max_size));
    let downsample = Struct::new("metadata.ThanosDownsample").field("Resolution", Value::Int(meta.resolution()));
    let thanos = Struct::new("metadata.Thanos")
        .field("Version", Value::Plain(thanos.version))
        .field("Labels", Value::Map(labels))
        .field("Downsample", Value::Struct(downsample))
        .field("Source", Value::Str(thanos.source.clone()))
        .field("SegmentFiles", list(thanos.segment_files.iter().map(|s| Value::Str(s.clone()))))
        .field("Files", list(files))
        .field("Rewrites", list(thanos.rewrites.iter().map(|raw| json(raw.get()))))
        .field("IndexStats", Value::Struct(index_stats))
        .field("Extensions", thanos.extensions.as_ref().map_or(Value::Nil, |raw| json(raw.get())))
        .field("UploadTime", Value::Time(uploaded))
        .method("GroupKey", Value::Str(meta.group_key()))
        .method("ResolutionString", Value::Str(meta.resolution().to_string()));
    let of_tsdb = Struct::new("tsdb.BlockMeta")
        .field("ULID", id(meta.ulid))
        .field("MinTime", Value::Int(meta.min_time))
        .field("MaxTime", Value::Int(meta.max_time))
        .field("Stats", Value::Struct(stats))
        .field("Compaction", Value::Struct(compaction))
        .field("Version", Value::Plain(meta.version));
    let text = format!("{} (min time: {}, max time: {})", meta.ulid, meta.min_time, meta.max_time);
    let whole = Struct::new("**metadata.Meta").shown(text.clone()).method("String", Value::Str(text));
    Value::Struct(of_tsdb.promoted_into(whole, "BlockMeta").field("Thanos", Value::Struct(thanos)))
}

fn id(id: BlockId) -> Value {
    let text = id.to_string();
    let created = Value::Uint(id.created().unsigned_abs());
    Value::Struct(Struct::new("ulid.ULID").shown(text.clone()).method("String", Value::Str(text)).method("Time", created))
}

fn list(items: impl Iterator<Item = Value>) -> Value {
    Value::List(items.collect())
}

/// JSON as Go decodes it where no type is known.
fn json(text: &str) -> Value {
    fn value(json: serde_json::Value) -> Value {
        match json {
            serde_json::Value::Null => Value::Nil,
            serde_json::Value::Bool(b) => Value::Bool(b),
            serde_json::Value::Number(n) => Value::Float(n.as_f64().unwrap_or(f64::NAN)),
            serde_json::Value::String(s) => Value::Str(s),
            serde_json::Value::Array(items) => Value::List(items.into_iter().map(value).collect()),
            serde_json::Value::Object(fields) => Value::Map(fields.into_iter().map(|(k, v)| (k, value(v))).collect()),
        }
    }
    serde_json::from_str(text).map_or(Value::Nil, value)
}
