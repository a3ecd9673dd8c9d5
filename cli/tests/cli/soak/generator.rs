//! Servers that upload blocks while they are soaked: which samples there are is a function of the seed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fs;
use std::path::{Path, PathBuf};

use blockyard::format::index::{ChunkMeta, Writer};
use blockyard::format::meta::{File, Meta};
use blockyard::format::segment::{ChunkRef, Cutter, DEFAULT_SEGMENT_BYTES, encode_record, header};
use blockyard::model::{BlockId, LabelSet, Millis, Sample, Value};
use blockyard::series::encode_in_chunks;

/// Series of each server.
pub(super) const SERIES: u32 = 300;
/// Samples that a block has of a series that is always there.
const SAMPLES: i64 = 100;
/// Blocks of two hours in one of two days: what comes late comes before such a window ends.
const WINDOW: i64 = 24;
/// The servers, by cluster and replica. Those of one cluster scrape the same.
const SERVERS: [(&str, &str); 3] = [("eu1", "a"), ("eu1", "b"), ("us1", "a")];

/// A number that looks like chance and is none.
pub(super) fn mix(parts: &[u64]) -> u64 {
    parts.iter().fold(0x9e37_79b9_7f4a_7c15, |hash: u64, &part| {
        let mut x = hash.wrapping_add(part).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x ^= x >> 29;
        x = x.wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 32)
    })
}

/// The samples of all servers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Truth {
    pub(super) seed: u64,
    /// Where the first block begins.
    pub(super) begin: Millis,
    /// What two hours are here.
    pub(super) range: Millis,
}

impl Truth {
    /// Between samples.
    pub(super) fn step(&self) -> Millis {
        self.range / SAMPLES
    }

    /// Samples of a series before the end of block `blocks`.
    pub(super) fn len(blocks: i64) -> usize {
        (blocks * SAMPLES) as usize
    }

    /// When sample `at` of a series is, and what it says; `None` while the series is not there.
    pub(super) fn sample(&self, cluster: &str, series: u32, at: i64) -> Option<(Millis, f64)> {
        let n = u64::from(series) + u64::from(cluster.as_bytes()[0]) * 1000;
        if series % 5 == 4 && (at / 700 + i64::from(series)) % 3 == 0 {
            return None;
        }
        let hash = mix(&[self.seed, n, at.unsigned_abs()]);
        let time = self.begin + at * self.step() + (hash % (self.step() as u64 * 4 / 10).max(1)) as i64;
        // counters begin anew now and then
        let value = if series % 2 == 1 { (at % 5000) as f64 } else { (hash >> 20) as f64 % 1000.0 / 8.0 };
        Some((time, value))
    }

    /// Which sample a time belongs to.
    pub(super) fn at(&self, time: Millis) -> Option<i64> {
        (time >= self.begin).then(|| (time - self.begin) / self.step())
    }

    /// From and to before which sample a block goes.
    fn samples_of(block: i64) -> std::ops::Range<i64> {
        block * SAMPLES..(block + 1) * SAMPLES
    }
}

/// Uploads blocks when they are due.
pub(super) struct Generator {
    pub(super) truth: Truth,
    bucket: PathBuf,
    /// Files are put together here.
    staging: PathBuf,
    /// When, and then which block of which server; a block that is due later than its end is late.
    due: BinaryHeap<Reverse<(Millis, i64, usize)>>,
    /// The next block that is not planned yet.
    next: i64,
    ids: u64,
    pub(super) uploaded: u64,
    pub(super) late: u64,
    pub(super) missed: u64,
    pub(super) broken: u64,
}

impl Generator {
    /// Blocks into `dir/bucket`, the first of which begins where a window of two days does, at most so long ago.
    pub(super) fn new(seed: u64, range: Millis, dir: &Path, now: Millis) -> Self {
        let (bucket, staging) = (dir.join("bucket"), dir.join("staging"));
        fs::create_dir_all(&bucket).unwrap();
        fs::create_dir_all(&staging).unwrap();
        let begin = now.div_euclid(WINDOW * range) * WINDOW * range;
        let truth = Truth { seed, begin, range };
        let due = BinaryHeap::new();
        Generator { truth, bucket, staging, due, next: 0, ids: 0, uploaded: 0, late: 0, missed: 0, broken: 0 }
    }

    /// Blocks that are over before `now`, whether or not they are uploaded yet.
    pub(super) fn blocks(&self) -> i64 {
        self.next
    }

    /// Uploads what is due at `now`; with `all`, what is late as well, and no further blocks come.
    pub(super) fn run(&mut self, now: Millis, all: bool) {
        while !all && self.truth.begin + (self.next + 1) * self.truth.range <= now {
            self.plan(self.next);
            self.next += 1;
        }
        while let Some(&Reverse((due, block, server))) = self.due.peek()
            && (all || due <= now)
        {
            self.due.pop();
            self.upload(block, server);
        }
    }

    fn plan(&mut self, block: i64) {
        let (seed, range) = (self.truth.seed, self.truth.range);
        let end = self.truth.begin + (block + 1) * range;
        // what belongs to a window of two days is there when the window is over
        let may_wait = block % WINDOW < WINDOW - 6;
        let absent = mix(&[seed, 1, block as u64]) % 20;
        for server in 0..SERVERS.len() {
            let dice = mix(&[seed, 2, block as u64, server as u64]);
            if server as u64 == absent && server < 2 {
                self.missed += 1;
                continue;
            }
            let mut due = end + (dice % 300) as i64 * range / 1000;
            if may_wait && (dice >> 20).is_multiple_of(12) {
                due = end + range + ((dice >> 30) % 2000) as i64 * range / 1000;
                self.late += 1;
            }
            self.due.push(Reverse((due, block, server)));
        }
    }

    fn upload(&mut self, block: i64, server: usize) {
        self.ids += 1;
        let dice = mix(&[self.truth.seed, 3, block as u64, server as u64]);
        if dice.is_multiple_of(40) {
            // an upload that comes to nothing, and is begun anew
            let (id, files) = self.block(block, server);
            self.put(id, &files[..1]);
            self.broken += 1;
            self.ids += 1;
        }
        let (id, files) = self.block(block, server);
        self.put(id, &files);
        self.uploaded += 1;
    }

    /// Each file appears as a whole, in this order.
    fn put(&self, id: BlockId, files: &[(String, Vec<u8>)]) {
        for (name, bytes) in files {
            let (staged, target) = (self.staging.join("file"), self.bucket.join(id.to_string()).join(name));
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::write(&staged, bytes).unwrap();
            fs::rename(staged, target).unwrap();
        }
    }

    /// A block's files; `meta.json` is the last.
    fn block(&self, block: i64, server: usize) -> (BlockId, Vec<(String, Vec<u8>)>) {
        let (cluster, replica) = SERVERS[server];
        let id = BlockId::from_parts(super::now(), u128::from(mix(&[self.truth.seed, 4, self.ids])));
        let mut meta = Meta { ulid: id, version: 1, ..Meta::default() };
        let names: Vec<String> = (0..SERIES).map(|n| format!("{n:06}")).collect();
        let instances: Vec<String> = (0..SERIES).map(|n| format!("i-{:03}", n / 10)).collect();
        let words = ["__name__", "instance", "n", "soak"].into_iter();
        let symbols = words.chain(names.iter().map(|s| &**s)).chain(instances.iter().map(|s| &**s));
        let mut references: BTreeMap<&str, u32> = symbols.map(|s| (s, 0)).collect();
        let mut index = Writer::new(Vec::new());
        for (symbol, reference) in &mut references {
            *reference = index.symbol(symbol.as_bytes()).unwrap();
        }
        let mut index = index.series().unwrap();
        let (mut cutter, mut segment) = (Cutter::new(DEFAULT_SEGMENT_BYTES), header().to_vec());
        // an instance has ten series, so that order of labels is order of numbers
        for series in 0..SERIES {
            let samples = Truth::samples_of(block).filter_map(|at| self.truth.sample(cluster, series, at));
            let samples: Vec<Sample> =
                samples.map(|(time, value)| Sample { time, start: 0, value: Value::Float(value) }).collect();
            let count = samples.len() as u64;
            let chunks = encode_in_chunks(samples).unwrap();
            if chunks.is_empty() {
                continue;
            }
            let mut places: Vec<ChunkRef> = Vec::new();
            cutter.place(chunks.iter().map(|c| c.data.len() as u64), &mut places);
            let entries: Vec<ChunkMeta> = chunks
                .iter()
                .zip(&places)
                .map(|(c, &reference)| ChunkMeta { min_time: c.min_time, max_time: c.max_time, reference })
                .collect();
            chunks.iter().for_each(|c| encode_record(&mut segment, c.encoding.as_byte(), &c.data));
            let labels = [("__name__", "soak"), ("instance", &*instances[series as usize]), ("n", &*names[series as usize])];
            index.push(&labels.map(|(n, v)| (references[n], references[v])), &entries).unwrap();
            meta.stats.num_series += 1;
            meta.stats.num_samples += count;
            meta.stats.num_float_samples += count;
            meta.stats.num_chunks += chunks.len() as u64;
        }
        let (index, _) = index.finish().unwrap();
        let mut files = vec![("chunks/000001".to_owned(), segment), ("index".to_owned(), index)];
        meta.min_time = self.truth.begin + block * self.truth.range;
        meta.max_time = meta.min_time + self.truth.range;
        meta.compaction.level = 1;
        meta.compaction.sources = vec![id];
        meta.thanos.labels = LabelSet::from_iter([("cluster", cluster), ("replica", replica)]).into();
        meta.thanos.version = 1;
        meta.thanos.source = "sidecar".to_owned();
        meta.thanos.segment_files = vec!["000001".to_owned()];
        let file = |(name, bytes): &(String, Vec<u8>)| File {
            rel_path: name.clone(),
            size_bytes: bytes.len() as i64,
            ..File::default()
        };
        meta.thanos.files = files.iter().map(file).collect();
        meta.thanos.files.push(File { rel_path: "meta.json".to_owned(), ..File::default() });
        files.push(("meta.json".to_owned(), meta.encode()));
        (id, files)
    }
}
