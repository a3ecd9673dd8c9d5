//! What is in the bucket in the end, held against every sample that was ever uploaded.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use blockyard::format::chunk::{Aggregate, AggregateKind, Encoding, Samples};
use blockyard::format::index::Index;
use blockyard::format::meta::Meta;
use blockyard::format::segment::decode_record;
use blockyard::model::{Millis, TimeRange, Value};

use super::generator::{SERIES, Truth};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// Samples that were uploaded, of each cluster once.
    pub(super) expected: u64,
    /// Of these, in one live raw block.
    pub(super) raw: u64,
    /// Of these, gone from raw blocks by retention, and counted by coarser ones.
    pub(super) coarse_only: u64,
    /// Counted by live blocks of five minutes and of an hour.
    pub(super) counted: [u64; 2],
    /// Live blocks: raw, five minutes, an hour.
    pub(super) blocks: [usize; 3],
    /// What is wrong.
    pub(super) wrong: Vec<String>,
}

/// A block that is to stay.
struct Live {
    name: String,
    meta: Meta,
    cluster: String,
}

const RESOLUTIONS: [Millis; 3] = [0, 300_000, 3_600_000];

/// Blocks of the bucket by resolution that are to stay, and those that are marked.
pub(super) fn census(bucket: &Path) -> ([usize; 3], usize) {
    let (live, marked) = blocks(bucket);
    (RESOLUTIONS.map(|r| live.iter().filter(|b| b.meta.resolution() == r).count()), marked)
}

fn blocks(bucket: &Path) -> (Vec<Live>, usize) {
    let (mut live, mut marked) = (Vec::new(), 0);
    for block in fs::read_dir(bucket).unwrap().map(|b| b.unwrap().path()) {
        // a block may be on its way, or go, while we look
        let Ok(bytes) = fs::read(block.join("meta.json")) else { continue };
        if block.join("deletion-mark.json").exists() {
            marked += 1;
            continue;
        }
        let meta = Meta::decode(&bytes).unwrap();
        let cluster = meta.labels().0["cluster"].clone();
        live.push(Live { name: block.file_name().unwrap().to_str().unwrap().to_owned(), meta, cluster });
    }
    live.sort_by(|a, b| a.name.cmp(&b.name));
    (live, marked)
}

/// Accounts for every sample of `blocks` blocks of each cluster. Raw samples of the clusters of `expires` may be gone
/// when they are older than `expired_before`.
pub(super) fn account(truth: &Truth, blocks_made: i64, bucket: &Path, expires: &str, expired_before: Millis) -> Account {
    let (live, _) = blocks(bucket);
    let mut account = Account { blocks: census(bucket).0, ..Account::default() };
    for cluster in ["eu1", "us1"] {
        let own: Vec<&Live> = live.iter().filter(|b| b.cluster == cluster).collect();
        let len = Truth::len(blocks_made);
        let mut seen: Vec<Vec<u8>> = vec![vec![0; len]; SERIES as usize];
        let mut covered: Vec<TimeRange> = Vec::new();
        for block in own {
            let read = match block.meta.resolution() {
                0 => raw(truth, bucket, block, &mut seen),
                resolution => {
                    let range = block.meta.time_range();
                    let others = live.iter().filter(|o| o.cluster == cluster && o.meta.resolution() == resolution);
                    if let Some(other) = others.into_iter().find(|o| o.name < block.name && o.meta.time_range().overlaps(range)) {
                        account.wrong.push(format!("{} overlaps {} at resolution {resolution}", block.name, other.name));
                    }
                    covered.push(range);
                    coarse(truth, bucket, block).map(|n| account.counted[usize::from(resolution == RESOLUTIONS[2])] += n)
                }
            };
            if let Err(why) = read {
                account.wrong.push(format!("block {} ({cluster}, {}): {why}", block.name, block.meta.resolution()));
            }
        }
        let mut lost: BTreeMap<String, (u64, Millis, Millis)> = BTreeMap::new();
        for (series, seen) in (0..).zip(&seen) {
            for (at, &times) in (0..).zip(seen) {
                let Some((time, _)) = truth.sample(cluster, series, at) else { continue };
                account.expected += 1;
                let is_covered = covered.iter().any(|range| range.contains(time));
                let why = match times {
                    1 => {
                        account.raw += 1;
                        continue;
                    }
                    0 if cluster != expires || time >= expired_before => "lost",
                    0 if is_covered => {
                        account.coarse_only += 1;
                        continue;
                    }
                    0 => "expired, and in no coarser block",
                    _ => "twice",
                };
                let (n, first, last) = lost.entry(why.to_owned()).or_insert((0, time, time));
                (*n, *first, *last) = (*n + 1, time.min(*first), time.max(*last));
            }
        }
        account.wrong.extend(lost.into_iter().map(|(why, (n, first, last))| {
            format!(
                "{n} samples of {cluster} are {why}, from {first} to {last} ({} to {} since the begin)",
                first - truth.begin,
                last - truth.begin
            )
        }));
    }
    account
}

/// Counts each sample of a raw block, and compares what it says.
fn raw(truth: &Truth, bucket: &Path, block: &Live, seen: &mut [Vec<u8>]) -> Result<(), String> {
    walk(bucket, block, |series, encoding, data| {
        for sample in Samples::new(encoding, data).map_err(|e| e.to_string())? {
            let sample = sample.map_err(|e| e.to_string())?;
            let at = truth.at(sample.time).ok_or_else(|| format!("a sample of series {series} at {}", sample.time))?;
            let Value::Float(value) = sample.value else { return Err(format!("no float in series {series}")) };
            if truth.sample(&block.cluster, series, at) != Some((sample.time, value)) {
                return Err(format!("series {series} has {value} at {}, which nobody uploaded", sample.time));
            }
            let times = seen[series as usize].get_mut(at as usize).ok_or("a sample of a block that was never uploaded")?;
            *times = times.saturating_add(1);
        }
        Ok(())
    })
}

/// Adds up the counts of a coarse block, and compares them series by series with what lies in its range.
fn coarse(truth: &Truth, bucket: &Path, block: &Live) -> Result<u64, String> {
    let mut counts: HashMap<u32, u64> = HashMap::new();
    walk(bucket, block, |series, _, data| {
        let aggregate = Aggregate::parse(data).map_err(|e| e.to_string())?;
        let (encoding, data) = aggregate.get(AggregateKind::Count).ok_or("a chunk without counts")?;
        for sample in Samples::new(encoding, data).map_err(|e| e.to_string())? {
            let Value::Float(count) = sample.map_err(|e| e.to_string())?.value else { return Err("no float".to_owned()) };
            *counts.entry(series).or_default() += count as u64;
        }
        Ok(())
    })?;
    let range = block.meta.time_range();
    let (from, to) = (truth.at(range.start).ok_or("it begins before all samples")?, truth.at(range.end).unwrap_or(0));
    let mut sum = 0;
    for series in 0..SERIES {
        let times = (from..=to).filter_map(|at| truth.sample(&block.cluster, series, at));
        let expected = times.filter(|(time, _)| range.contains(*time)).count() as u64;
        let counted = counts.get(&series).copied().unwrap_or_default();
        if counted != expected {
            return Err(format!("series {series} counts {counted} samples in {range} and not {expected}"));
        }
        sum += counted;
    }
    Ok(sum)
}

/// Every chunk of a block, with the number of its series.
fn walk(bucket: &Path, block: &Live, mut chunk: impl FnMut(u32, Encoding, &[u8]) -> Result<(), String>) -> Result<(), String> {
    let read = |name: &str| fs::read(bucket.join(&block.name).join(name)).map_err(|e| format!("{name}: {e}"));
    let index = Index::open(read("index")?).map_err(|e| e.to_string())?;
    let mut segments: HashMap<u32, Vec<u8>> = HashMap::new();
    let (mut labels, mut chunks) = (Vec::new(), Vec::new());
    let mut walk = index.each_series();
    while walk.next(&mut labels, &mut chunks).map_err(|e| e.to_string())?.is_some() {
        let mut series = None;
        for (name, value) in labels.drain(..) {
            if index.symbol(name).map_err(|e| e.to_string())? == b"n" {
                let value = String::from_utf8_lossy(index.symbol(value).map_err(|e| e.to_string())?).into_owned();
                series = value.parse::<u32>().ok().filter(|&n| n < SERIES);
            }
        }
        let series = series.ok_or("a series that nobody uploaded")?;
        for place in chunks.drain(..) {
            let number = place.reference.segment();
            if let Entry::Vacant(place) = segments.entry(number) {
                place.insert(read(&format!("chunks/{:06}", number + 1))?);
            }
            let at = place.reference.offset() as usize;
            let record = segments[&number].get(at..).ok_or("a chunk behind the end")?;
            let record = decode_record(record, at as u64).map_err(|e| e.to_string())?;
            chunk(series, Encoding::from_byte(record.encoding).ok_or("an unknown encoding")?, record.data)?;
        }
    }
    Ok(())
}
