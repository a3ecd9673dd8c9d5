//! Small buckets, each with something that a pass has to get right.

use std::collections::BTreeMap;

use blockyard::format::index::{ChunkMeta, Index, Writer};
use blockyard::format::marks::{DeletionMark, NoCompactMark};
use blockyard::format::meta::{File, Meta};
use blockyard::format::segment::{ChunkRef, Cutter, DEFAULT_SEGMENT_BYTES, encode_record, header};
use blockyard::format::tombstones::{Interval, Tombstones};
use blockyard::job::pass::{Dedup, PassOptions};
use blockyard::model::{BlockId, LabelSet, Millis, Sample, Value};
use blockyard::series::encode_in_chunks;
use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::samples::REPLICA;

pub(super) const HOUR: Millis = 3_600_000;
pub(super) const DAY: Millis = 24 * HOUR;

/// A multiple of two weeks, in 2023.
const BASE: Millis = 1_400 * 14 * DAY;

/// A bucket and what is done to it.
pub(super) struct Workload {
    pub(super) name: &'static str,
    pub(super) options: PassOptions,
    /// Key, bytes, and when it was written.
    pub(super) objects: Vec<(String, Bytes, Millis)>,
    /// When the first pass begins.
    pub(super) start: Millis,
    /// From when on nothing expires any more.
    pub(super) horizon: Millis,
    /// Options of a pass that comes before, of which nothing fails.
    pub(super) before: Option<PassOptions>,
}

/// A block that is to be written.
pub(crate) struct Plan<'a> {
    pub(crate) number: u32,
    pub(crate) cluster: &'a str,
    pub(crate) replica: Option<&'a str>,
    pub(crate) hours: (i64, i64),
    /// Between samples.
    pub(crate) step: Millis,
    /// Of its samples.
    pub(crate) offset: Millis,
    /// Cuts the middle out of its first series.
    pub(crate) tombstones: bool,
    /// Takes the last sample at its very end.
    pub(crate) at_the_end: bool,
}

impl Default for Plan<'_> {
    fn default() -> Self {
        Plan {
            number: 0,
            cluster: "eu1",
            replica: None,
            hours: (0, 2),
            step: 10 * 60_000,
            offset: 0,
            tombstones: false,
            at_the_end: false,
        }
    }
}

impl Plan<'_> {
    fn id(&self) -> BlockId {
        BlockId::from_parts(BASE + self.hours.1 * HOUR, u128::from(self.number))
    }

    fn samples(&self, series: usize) -> Vec<Sample> {
        let (from, to) = (BASE + self.hours.0 * HOUR, BASE + self.hours.1 * HOUR);
        let times = (from..to).step_by(self.step as usize).map(|t| t + self.offset).filter(|&t| t < to);
        let times = times.chain(self.at_the_end.then_some(to));
        // the third comes and goes
        let times = times.filter(|t| series != 2 || t / (3 * HOUR) % 2 == 0);
        let value = |t: Millis| match series {
            1 => (t.rem_euclid(50 * HOUR) / 1000) as f64,
            _ => (xxh3_64(&(t / 60_000 + series as i64).to_le_bytes()) % 1000) as f64 / 8.0,
        };
        times.map(|time| Sample { time, start: 0, value: Value::Float(value(time)) }).collect()
    }

    pub(crate) fn objects(&self) -> Vec<(String, Bytes, Millis)> {
        let names = [
            [("__name__", "load"), ("job", "node")],
            [("__name__", "requests_total"), ("job", "api")],
            [("__name__", "up"), ("job", "api")],
        ];
        let mut index = Writer::new(Vec::new());
        let mut references: BTreeMap<&str, u32> = names.iter().flatten().flat_map(|&(n, v)| [(n, 0), (v, 0)]).collect();
        for (symbol, reference) in &mut references {
            *reference = index.symbol(symbol.as_bytes()).expect("a symbol");
        }
        let mut index = index.series().expect("symbols");
        let (mut cutter, mut segment) = (Cutter::new(DEFAULT_SEGMENT_BYTES), header().to_vec());
        let mut meta = Meta { ulid: self.id(), version: 1, ..Meta::default() };
        for (number, labels) in names.iter().enumerate() {
            let samples = self.samples(number);
            let count = samples.len() as u64;
            let chunks = encode_in_chunks(samples).expect("floats");
            if chunks.is_empty() {
                continue;
            }
            let mut places: Vec<ChunkRef> = Vec::new();
            cutter.place(chunks.iter().map(|c| c.data.len() as u64), &mut places);
            let entry = |(c, &reference): (&blockyard::series::Chunk, _)| ChunkMeta {
                min_time: c.min_time,
                max_time: c.max_time,
                reference,
            };
            let entries: Vec<ChunkMeta> = chunks.iter().zip(&places).map(entry).collect();
            chunks.iter().for_each(|c| encode_record(&mut segment, c.encoding.as_byte(), &c.data));
            let labels: Vec<(u32, u32)> = labels.iter().map(|(n, v)| (references[n], references[v])).collect();
            index.push(&labels, &entries).expect("series in order");
            meta.stats.num_series += 1;
            meta.stats.num_samples += count;
            meta.stats.num_float_samples += count;
            meta.stats.num_chunks += chunks.len() as u64;
        }
        let (index, _) = index.finish().expect("an index");
        let mut files = vec![("chunks/000001", Bytes::from(segment)), ("index", index.into())];
        if self.tombstones {
            let index = Index::open(files[1].1.clone()).expect("our own index");
            let first = index.each_series().next(&mut Vec::new(), &mut Vec::new()).expect("a series").expect("a series");
            let mut tombstones = Tombstones::default();
            let middle = BASE + (self.hours.0 + self.hours.1) * HOUR / 2;
            tombstones.add(u64::from(first), Interval::new(middle - HOUR / 2, middle + HOUR / 2));
            meta.stats.num_tombstones = 1;
            files.push(("tombstones", tombstones.encode().into()));
        }
        (meta.min_time, meta.max_time) = (BASE + self.hours.0 * HOUR, BASE + self.hours.1 * HOUR);
        meta.compaction.level = 1;
        meta.compaction.sources = vec![meta.ulid];
        let labels = [("cluster", self.cluster)].into_iter().chain(self.replica.map(|replica| (REPLICA, replica)));
        meta.thanos.labels = labels.collect::<LabelSet>().into();
        meta.thanos.version = 1;
        meta.thanos.source = "sidecar".to_owned();
        meta.thanos.segment_files = vec!["000001".to_owned()];
        let file = |(name, bytes): &(&str, Bytes)| File {
            rel_path: (*name).to_owned(),
            size_bytes: bytes.len() as i64,
            ..File::default()
        };
        meta.thanos.files = files.iter().map(file).collect();
        meta.thanos.files.push(File { rel_path: "meta.json".to_owned(), ..File::default() });
        files.push(("meta.json", meta.encode().into()));
        let at = meta.max_time;
        files.into_iter().map(|(name, bytes)| (format!("{}/{name}", meta.ulid), bytes, at)).collect()
    }
}

fn objects<'a>(plans: impl IntoIterator<Item = Plan<'a>>) -> Vec<(String, Bytes, Millis)> {
    plans.into_iter().flat_map(|plan| plan.objects()).collect()
}

/// Two small blocks behind two weeks: the newest of a group stays as it is.
fn later<'a>(number: u32) -> [Plan<'a>; 2] {
    [0, 1].map(|n| Plan { number: number + n, hours: (336 + 2 * n as i64, 338 + 2 * n as i64), ..Plan::default() })
}

/// Seven blocks of two days and what comes behind.
fn two_weeks<'a>() -> impl Iterator<Item = Plan<'a>> {
    let days =
        |n: u32| Plan { number: 1 + n, hours: (48 * i64::from(n), 48 * i64::from(n) + 48), step: 20 * 60_000, ..Plan::default() };
    (0..7).map(days)
}

fn options() -> PassOptions {
    PassOptions { consistency_delay: 30 * 60_000, retention_confirm: true, ..PassOptions::default() }
}

/// All of them; the number of a seed's is its remainder.
pub(super) fn all() -> Vec<Workload> {
    vec![weeks(), replicas(), penalty(), overlap(), retention(), aggregated(), backlog()]
}

/// Two days become two weeks, with five minutes and an hour made on the way.
fn weeks() -> Workload {
    let objects = objects(two_weeks().chain(later(11)));
    Workload { name: "weeks", options: options(), objects, start: BASE + 20 * DAY, horizon: BASE + 30 * DAY, before: None }
}

/// Pairs with the same samples, and a group without replicas beside them.
fn replicas() -> Workload {
    let pair = |n: u32| ["a", "b"].map(|r| Plan { number: 1 + 2 * n + u32::from(r == "b"), replica: Some(r), ..of_two_hours(n) });
    let alone = |n: u32| Plan { number: 21 + n, cluster: "us1", ..of_two_hours(n) };
    let objects = objects((0..5).flat_map(pair).chain((0..5).map(alone)));
    let options = PassOptions { replica_labels: vec![REPLICA.to_owned()], concurrency: 2, ..options() };
    Workload { name: "replicas", options, objects, start: BASE + DAY, horizon: BASE + 10 * DAY, before: None }
}

fn of_two_hours<'a>(n: u32) -> Plan<'a> {
    Plan { hours: (2 * i64::from(n), 2 * i64::from(n) + 2), step: 5 * 60_000, ..Plan::default() }
}

/// Pairs whose clocks differ, of two days, which are due for five minutes.
fn penalty() -> Workload {
    let pair = |n: u32| {
        ["a", "b"].map(|r| {
            let b = u32::from(r == "b");
            let hours = (48 * i64::from(n), 48 * i64::from(n) + 48);
            Plan {
                number: 1 + 2 * n + b,
                replica: Some(r),
                hours,
                offset: i64::from(b) * 7000,
                step: 20 * 60_000,
                ..Plan::default()
            }
        })
    };
    let newest =
        ["a", "b"].map(|r| Plan { number: 31 + u32::from(r == "b"), replica: Some(r), hours: (96, 98), ..Plan::default() });
    let objects = objects((0..2).flat_map(pair).chain(newest));
    let options = PassOptions { replica_labels: vec![REPLICA.to_owned()], dedup: Dedup::Penalty, ..options() };
    Workload { name: "penalty", options, objects, start: BASE + 6 * DAY, horizon: BASE + 16 * DAY, before: None }
}

/// Overlapping blocks, tombstones, every kind of mark, and what is left of uploads that were given up.
fn overlap() -> Workload {
    let rows = (0..4).map(|n| Plan { number: 1 + n, tombstones: n == 2, ..of_two_hours(n) });
    let across = [Plan { number: 9, hours: (1, 5), step: 5 * 60_000, ..Plan::default() }];
    let newest = [Plan { number: 10, hours: (8, 10), ..Plan::default() }];
    let kept = [
        Plan { number: 11, cluster: "no-compact", ..Plan::default() },
        Plan { number: 12, cluster: "no-compact", hours: (2, 4), ..Plan::default() },
    ];
    let marked = [13, 14].map(|number| Plan { number, cluster: "marked", ..Plan::default() });
    let ids: Vec<BlockId> = kept.iter().chain(&marked).map(Plan::id).collect();
    let mut objects = objects(rows.chain(across).chain(newest).chain(kept).chain(marked));
    let start = BASE + 5 * DAY;
    let seconds = |at: Millis| at / 1000;
    for &id in &ids[..2] {
        let mark = NoCompactMark::new(id, seconds(start), "manual", "").encode();
        objects.push((format!("{id}/no-compact-mark.json"), mark.into(), start));
    }
    for (&id, age) in ids[2..].iter().zip([3 * DAY, HOUR]) {
        let mark = DeletionMark::new(id, seconds(start - age), "of a person").encode();
        objects.push((format!("{id}/deletion-mark.json"), mark.into(), start - age));
    }
    for (number, age) in [(21, 4 * DAY), (22, HOUR)] {
        let id = BlockId::from_parts(start - age, number);
        objects.push((format!("{id}/chunks/000001"), header().to_vec().into(), start - age));
    }
    let options = PassOptions { vertical: true, ..options() };
    Workload { name: "overlap", options, objects, start, horizon: BASE + 20 * DAY, before: None }
}

/// Short times: raw samples for 40 hours, five minutes for twelve days, an hour for ever.
fn retention() -> Workload {
    let objects = objects(two_weeks().chain(later(11)));
    let options = PassOptions { retention_raw: 40 * HOUR, retention_5m: 12 * DAY, ..options() };
    Workload { name: "retention", options, objects, start: BASE + 15 * DAY, horizon: BASE + 60 * DAY, before: None }
}

/// Blocks of two days that have their five minutes already: those are compacted too, and make the hour.
fn aggregated() -> Workload {
    let eighth = Plan { number: 8, hours: (336, 384), step: 20 * 60_000, ..Plan::default() };
    let newest = Plan { number: 9, hours: (384, 386), ..Plan::default() };
    let objects = objects(two_weeks().chain([eighth, newest]));
    let before = Some(PassOptions { max_level: 3, ..options() });
    Workload { name: "aggregated", options: options(), objects, start: BASE + 20 * DAY, horizon: BASE + 30 * DAY, before }
}

/// Two hours become two days at once, without eight hours in between; and in steps, where one of the blocks has a deletion.
fn backlog() -> Workload {
    // the newest two begin behind the two days, which closes them
    let block = |n: u32| Plan { step: 15 * 60_000, ..of_two_hours(if n < 8 { n } else { n + 17 }) };
    let rows = (0..10).map(|n| Plan { number: 1 + n, ..block(n) });
    let steps = (0..10).map(|n| Plan { number: 31 + n, cluster: "us1", tombstones: n == 5, ..block(n) });
    let (objects, start, horizon) = (objects(rows.chain(steps)), BASE + 6 * DAY, BASE + 16 * DAY);
    Workload { name: "backlog", options: options(), objects, start, horizon, before: None }
}
