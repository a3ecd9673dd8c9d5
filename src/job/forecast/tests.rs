//! What a forecast says of blocks in one group or in many, as a value, as text and as JSON.

use std::sync::Arc;

use super::*;
use crate::bucket::Object;
use crate::format::meta::Meta;
use crate::model::{BlockId, LabelSet};

const HOUR: Millis = 3_600_000;
const NOW: Millis = 1_000_000 * HOUR;

/// A block of a cluster, from and to in hours: 20 MiB of chunks, 1 MiB of index.
fn block(n: i64, cluster: &str, hours: (i64, i64)) -> CatalogBlock {
    let id = BlockId::from_parts(n, 0);
    let mut meta = Meta { ulid: id, min_time: hours.0 * HOUR, max_time: hours.1 * HOUR, version: 1, ..Meta::default() };
    meta.compaction.level = 1;
    meta.compaction.sources = vec![id];
    (meta.stats.num_series, meta.stats.num_samples, meta.stats.num_chunks) = (1000, 480_000, 4000);
    let object = |(name, len_bytes): (&str, u64)| Object { key: format!("{id}/{name}"), len_bytes, modified: 0, etag: None };
    CatalogBlock {
        id,
        labels: Arc::new(LabelSet::from_iter([("cluster", cluster)])),
        meta: Arc::new(meta),
        objects: [("chunks/000001", 20 << 20), ("index", 1 << 20), ("meta.json", 1000)].map(object).into(),
        deletion: None,
        no_compact: None,
        no_downsample: None,
    }
}

fn of(blocks: Vec<CatalogBlock>, options: &PassOptions, prices: Prices) -> Forecast {
    let mut catalog = Catalog { blocks, ..Catalog::default() };
    let selection = select(&mut catalog, options, NOW);
    let bucket = Bucket::memory();
    let mut knows = Knows::read(&bucket, std::path::Path::new("nowhere"), options, NOW);
    knows.prices = prices;
    forecast(&catalog, &selection, options, &knows)
}

#[test]
fn a_job_counts_what_it_takes() {
    let blocks = (0..5).map(|n| block(1 + n, "a", (2 * n, 2 * n + 2))).collect();
    let prices = Prices { per_1000_get: Some(1.0), per_gib_month: Some(1024.0), ..Prices::default() };
    let forecast = of(blocks, &PassOptions::default(), prices);
    let [job] = &forecast.jobs[..] else { panic!("{:?}", forecast.jobs) };
    assert_eq!((job.blocks.len(), job.min_time_ms, job.max_time_ms, job.in_place_of), (4, 0, 8 * HOUR, 1));
    assert_eq!(job.bytes_read, 4 * (21 << 20));
    // labels are there once, entries of chunks and chunks four times
    let index = (1 << 20) + 3 * 7 * 4000;
    assert_eq!(job.makes, [Made { resolution_ms: 0, bytes_estimated: index + (80 << 20) + 2048 }]);
    // reads of 1 MiB: header, contents, end of symbols, index; segments
    assert_eq!(job.requests.get, 4 * (3 + 1 + 20));
    // parts of 8 MiB: eleven of the segment and two ends; index; meta.json; four marks
    assert_eq!(job.requests.put, (10 + 2) + 1 + 1 + 4);
    assert_eq!(job.requests.head, 2 + 2 + 4 * 2);
    assert_eq!((job.objects_read, job.objects_written_estimated, job.scratch_bytes_at_most), (8, 3, 0));
    assert!((job.seconds_estimated - 84.0 / 32.0).abs() < 1e-9);
    let gets = job.requests.get + job.requests.head;
    assert!((job.price.unwrap() - gets as f64 / 1000.0).abs() < 1e-9);
    let totals = &forecast.totals;
    assert_eq!((totals.compactions, totals.looks, totals.passes, totals.blocks), (1, 2, 1, 5));
    assert_eq!(totals.look_requests, Requests { list: 4, get: 4 + 1, ..Requests::default() });
    assert_eq!(totals.bytes_marked, 4 * ((21 << 20) + 1000));
    assert!(totals.price_per_month_change.unwrap() < -2.0, "three indexes fewer: {totals:?}");
    assert!(!forecast.rates[0].is_measured);
    assert_eq!(forecast.left_alone.iter().map(|l| l.because.because).collect::<Vec<_>>(), ["newest", "window-open"]);
    assert_eq!(forecast.left_alone[1].results_of, [1]);
}

#[test]
fn as_json_each_figure_has_its_unit() {
    let blocks = (0..26).map(|n| block(1 + n, "a", (2 * n, 2 * n + 2))).collect();
    let json = serde_json::to_value(of(blocks, &PassOptions::default(), Prices::default())).unwrap();
    let job = &json["jobs"][0];
    assert_eq!(job["kind"], "compact");
    assert_eq!((&job["because"], &job["windowStartMs"]), (&"window".into(), &0.into()));
    assert_eq!((&job["windowLengthMs"], &job["inPlaceOf"]), (&(48 * HOUR).into(), &7.into()));
    assert_eq!((&job["labels"]["cluster"], &job["resolutionMs"]), (&"a".into(), &0.into()));
    assert_eq!(job["blocks"].as_array().unwrap().len(), 24);
    assert_eq!(job["makes"][1]["resolutionMs"], 300_000);
    assert!(job["requests"]["get"].as_u64().unwrap() > 100);
    assert_eq!(json["totals"]["price"], serde_json::Value::Null);
    let names: Vec<String> = numbers(&json);
    let units = ["Ms", "bytes", "Bytes", "seconds", "Seconds", "objects", "requests", "Requests", "AtMost", "Estimated"];
    let counts = ["number", "pass", "inPlaceOf", "resultsOf", "blocks", "passes", "compactions", "downsamplings", "looks"];
    let others = ["list", "get", "head", "put", "delete", "byLabels", "byTime", "bytesPerSecond"];
    for name in names {
        let is_known = units.iter().any(|u| name.contains(u)) || counts.contains(&&*name) || others.contains(&&*name);
        assert!(is_known, "{name} has no unit");
    }
}

/// Names of all fields that hold numbers.
fn numbers(value: &serde_json::Value) -> Vec<String> {
    match value {
        serde_json::Value::Object(fields) => {
            let each = fields.iter().flat_map(|(name, value)| match value {
                serde_json::Value::Number(_) => vec![name.clone()],
                other => numbers(other),
            });
            each.collect()
        }
        serde_json::Value::Array(all) => all.iter().flat_map(numbers).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn what_is_left_alone_is_said_by_group_or_of_many() {
    let one = |n: i64| block(n, &format!("c{n}"), (0, 2));
    let few = of((1..4).map(one).collect(), &PassOptions::default(), Prices::default());
    assert!(few.is_idle());
    let text = few.to_text(200);
    let line =
        "  not compacted: 00000000010000000000000000 of raw {cluster=\"c1\"}, 21.0 MiB: it is the only block of its group\n";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("jobs     nothing to do\n"), "{text}");
    let many = of((1..101).map(one).collect(), &PassOptions::default(), Prices::default());
    let text = many.to_text(200);
    let line = "  not compacted: 100 blocks of 100 groups, 2.1 GiB: it is the only block of its group\n";
    assert!(text.contains(line), "{text}");
}

#[test]
fn lines_keep_within_the_width() {
    let blocks = (0..200).map(|n| block(1 + n, "a", (2 * n, 2 * n + 2))).collect();
    let prices = Prices { per_1000_get: Some(0.4), per_gib_month: Some(0.02), ..Prices::default() };
    let forecast = of(blocks, &PassOptions { delete_delay: 0, ..PassOptions::default() }, prices);
    for width in [80, 100, 160] {
        let text = forecast.to_text(width);
        let longest = text.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(longest <= width && longest > 70, "{longest} of {width}:\n{text}");
    }
    // nothing is broken where it cannot be
    assert!(forecast.to_text(1).lines().any(|line| line.contains("00000000010000000000000000")));
}

#[test]
fn what_nobody_looks_at_yet() {
    let mut fresh = block(NOW - 5 * 60_000, "a", (0, 2));
    fresh.id = BlockId::from_parts(NOW - 5 * 60_000, 0);
    let mut marked = block(2, "a", (2, 4));
    marked.deletion = Some(Box::new(crate::format::marks::DeletionMark::new(marked.id, NOW / 1000 - 3600, "")));
    let forecast = of(vec![fresh, marked], &PassOptions::default(), Prices::default());
    let said: Vec<_> = forecast.left_alone.iter().map(|l| (l.not, l.because.because, l.because.until_ms)).collect();
    assert_eq!(
        said,
        [(NotDone::LookedAt, "too-fresh", Some(NOW + 25 * 60_000)), (NotDone::Deleted, "marked", Some(NOW + 47 * HOUR)),]
    );
    assert_eq!(forecast.totals.blocks, 0);
}

#[test]
fn what_never_comes() {
    let mut blocks = vec![block(1, "a", (0, 2)), block(2, "a", (14 * 24, 14 * 24 + 2)), block(3, "a", (60 * 24, 60 * 24 + 2))];
    let never = |forecast: &Forecast| -> Vec<(Millis, &'static str, usize)> {
        forecast.never_downsampled.iter().map(|n| (n.to_resolution_ms, n.because.because, n.blocks.len())).collect()
    };
    let forecast = of(blocks.clone(), &PassOptions::default(), Prices::default());
    assert_eq!(never(&forecast), [(300_000, "short-and-alone", 2), (HOUR, "short-and-alone", 2)]);
    let off = PassOptions { downsampling: false, ..PassOptions::default() };
    assert_eq!(never(&of(blocks.clone(), &off, Prices::default())), [(300_000, "disabled", 3), (HOUR, "disabled", 3)]);
    blocks[0].no_compact = Some(Box::new(crate::format::marks::NoCompactMark::new(blocks[0].id, 0, "manual", "why")));
    let forecast = of(blocks, &PassOptions::default(), Prices::default());
    assert!(never(&forecast).contains(&(300_000, "short-and-no-compact-mark", 1)), "{:?}", never(&forecast));
}
