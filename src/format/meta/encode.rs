//! [`Meta`] to JSON: the order of fields is Go's, and so is what is left out when empty.

use super::{BlockDesc, Compaction, File, IndexStats, Meta, Stats, Thanos, Unknown};
use crate::format::gojson::Writer;

pub(super) fn meta(meta: &Meta) -> Vec<u8> {
    let mut out = written(meta, Writer::indented());
    out.push(b'\n');
    out
}

/// In one line, as answers of an API have it.
pub(super) fn compact(meta: &Meta) -> Vec<u8> {
    written(meta, Writer::compact())
}

fn written(meta: &Meta, mut w: Writer) -> Vec<u8> {
    w.object(|w| {
        w.key("ulid").bare_text(meta.ulid);
        w.key("minTime").bare(meta.min_time);
        w.key("maxTime").bare(meta.max_time);
        w.key("stats").object(|w| stats(w, &meta.stats));
        w.key("compaction").object(|w| compaction(w, &meta.compaction));
        w.key("version").bare(meta.version);
        w.key("thanos").object(|w| thanos(w, &meta.thanos));
        unknown(w, &meta.unknown);
    });
    w.finish()
}

fn stats(w: &mut Writer, stats: &Stats) {
    let counts = [
        ("numSamples", stats.num_samples),
        ("numFloatSamples", stats.num_float_samples),
        ("numHistogramSamples", stats.num_histogram_samples),
        ("numSeries", stats.num_series),
        ("numChunks", stats.num_chunks),
        ("numTombstones", stats.num_tombstones),
    ];
    for (name, count) in counts {
        if count != 0 {
            w.key(name).bare(count);
        }
    }
    unknown(w, &stats.unknown);
}

fn compaction(w: &mut Writer, compaction: &Compaction) {
    w.key("level").bare(compaction.level);
    if !compaction.sources.is_empty() {
        w.key("sources").list(&compaction.sources, |w, id| w.bare_text(id));
    }
    if compaction.deletable {
        w.key("deletable").bare(true);
    }
    if !compaction.parents.is_empty() {
        w.key("parents").list(&compaction.parents, |w, parent| w.object(|w| desc(w, parent)));
    }
    if compaction.failed {
        w.key("failed").bare(true);
    }
    if !compaction.hints.is_empty() {
        w.key("hints").list(&compaction.hints, |w, hint| w.text(hint));
    }
    unknown(w, &compaction.unknown);
}

fn desc(w: &mut Writer, desc: &BlockDesc) {
    w.key("ulid").bare_text(desc.ulid);
    w.key("minTime").bare(desc.min_time);
    w.key("maxTime").bare(desc.max_time);
    unknown(w, &desc.unknown);
}

fn thanos(w: &mut Writer, thanos: &Thanos) {
    if thanos.version != 0 {
        w.key("version").bare(thanos.version);
    }
    match thanos.labels.shared() {
        None => w.key("labels").bare("null"),
        Some(labels) => w.key("labels").object(|w| labels.iter().for_each(|(name, value)| w.key(name).text(value))),
    }
    w.key("downsample").object(|w| {
        w.key("resolution").bare(thanos.downsample.resolution);
        unknown(w, &thanos.downsample.unknown);
    });
    w.key("source").text(&thanos.source);
    if !thanos.segment_files.is_empty() {
        w.key("segment_files").list(&thanos.segment_files, |w, name| w.text(name));
    }
    if !thanos.files.is_empty() {
        w.key("files").list(&thanos.files, |w, one| w.object(|w| file(w, one)));
    }
    if !thanos.rewrites.is_empty() {
        w.key("rewrites").list(&thanos.rewrites, |w, rewrite| w.raw(rewrite.get()));
    }
    w.key("index_stats").object(|w| index_stats(w, &thanos.index_stats));
    if let Some(extensions) = &thanos.extensions {
        w.key("extensions").raw(extensions.get());
    }
    w.key("upload_time").bare_text(thanos.upload_time);
    unknown(w, &thanos.unknown);
}

fn file(w: &mut Writer, file: &File) {
    w.key("rel_path").text(&file.rel_path);
    if file.size_bytes != 0 {
        w.key("size_bytes").bare(file.size_bytes);
    }
    if let Some(hash) = &file.hash {
        w.key("hash").object(|w| {
            w.key("hashFunc").text(&hash.func);
            w.key("value").text(&hash.value);
            unknown(w, &hash.unknown);
        });
    }
    unknown(w, &file.unknown);
}

fn index_stats(w: &mut Writer, stats: &IndexStats) {
    for (name, bytes) in [("series_max_size", stats.series_max_size), ("chunk_max_size", stats.chunk_max_size)] {
        if bytes != 0 {
            w.key(name).bare(bytes);
        }
    }
    unknown(w, &stats.unknown);
}

fn unknown(w: &mut Writer, unknown: &Unknown) {
    for (name, json) in unknown.iter() {
        w.key(name).raw(json);
    }
}
