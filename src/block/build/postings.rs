//! Postings of a block that is being built, in one pass over its series.
//!
//! Each label pair has a list of the series that carry it, kept as varint deltas in blocks that grow
//! with the list: a busy pair costs little more than a byte a series. Pairs are spread over shards by
//! label name, so that shards fill side by side; what comes out does not depend on how many there are.
//!
//! *Order*: pairs by (name, value) reference, which is the order of their texts; series ascending.
//! *Memory*: about 1.5 bytes a posting and 40 a pair; above its budget a shard is written out as a
//! sorted run and begins anew.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use rustc_hash::FxBuildHasher;

use crate::bucket::of_spill;
use crate::encoding::{Cursor, put_uvarint};
use crate::error::{Error, Kind, Result};

/// Bytes of a page of list blocks.
const PAGE_BYTES: usize = 256 << 10;
/// Payload bytes of a list's first, second, … block; all further ones are as the last.
const BLOCK_BYTES: [usize; 7] = [8, 16, 32, 64, 128, 256, 512];
/// Behind the payload of each block: where the next one is.
const LINK_BYTES: usize = 4;

/// One pair's list.
#[derive(Clone, Copy, Debug)]
struct List {
    last: u32,
    count: u32,
    head: u32,
    /// Next free byte of the tail block, and the end of its payload.
    at: u32,
    end: u32,
    blocks: u32,
}

/// Lists in linked blocks within pages.
#[derive(Debug, Default)]
struct Arena {
    pages: Vec<Box<[u8]>>,
    /// Bytes used of the last page.
    used: usize,
}

impl Arena {
    fn allocate(&mut self, bytes: usize) -> u32 {
        if self.pages.is_empty() || self.used + bytes > PAGE_BYTES {
            self.pages.push(vec![0; PAGE_BYTES].into_boxed_slice());
            self.used = 0;
        }
        let at = (self.pages.len() - 1) * PAGE_BYTES + self.used;
        self.used += bytes;
        // a shard is written out long before it holds 4 GiB
        at as u32
    }

    fn byte(&mut self, at: u32) -> &mut u8 {
        &mut self.pages[at as usize / PAGE_BYTES][at as usize % PAGE_BYTES]
    }

    fn begin(&mut self) -> List {
        let head = self.allocate(BLOCK_BYTES[0] + LINK_BYTES);
        List { last: 0, count: 0, head, at: head, end: head + BLOCK_BYTES[0] as u32, blocks: 1 }
    }

    fn push(&mut self, list: &mut List, value: u32) {
        let mut delta = value - list.last;
        list.last = value;
        list.count += 1;
        loop {
            if list.at == list.end {
                let payload = BLOCK_BYTES[(list.blocks as usize).min(BLOCK_BYTES.len() - 1)];
                let next = self.allocate(payload + LINK_BYTES);
                for (i, b) in next.to_be_bytes().into_iter().enumerate() {
                    *self.byte(list.end + i as u32) = b;
                }
                list.blocks += 1;
                list.at = next;
                list.end = next + payload as u32;
            }
            let more = if delta < 0x80 { 0 } else { 0x80 };
            *self.byte(list.at) = delta as u8 & 0x7f | more;
            list.at += 1;
            delta >>= 7;
            if more == 0 {
                return;
            }
        }
    }

    /// Calls `each` with the payload bytes of a list, in order.
    fn payload(&self, list: &List, mut each: impl FnMut(&[u8])) {
        let mut begin = list.head as usize;
        for n in 0..list.blocks as usize {
            let page = &self.pages[begin / PAGE_BYTES];
            let at = begin % PAGE_BYTES;
            let full = at + BLOCK_BYTES[n.min(BLOCK_BYTES.len() - 1)];
            if n + 1 == list.blocks as usize {
                each(&page[at..at + (list.at as usize - begin)]);
                return;
            }
            each(&page[at..full]);
            let link = page[full..full + LINK_BYTES].first_chunk::<4>().copied().unwrap_or_default();
            begin = u32::from_be_bytes(link) as usize;
        }
    }
}

/// The pairs whose label names fall to it.
#[derive(Debug)]
pub(crate) struct Shard {
    number: u32,
    shards: u32,
    pairs: HashMap<u64, u32, FxBuildHasher>,
    lists: Vec<List>,
    arena: Arena,
    /// What the label at each position was in the series before: neighbours share most labels.
    recent: Vec<(u64, u32)>,
    budget_bytes: usize,
    scratch: PathBuf,
    runs: Vec<PathBuf>,
}

fn pair(name: u32, value: u32) -> u64 {
    (u64::from(name) << 32) | u64::from(value)
}

impl Shard {
    /// `shards` of them, that together take about `budget_bytes`, with 0 as little as can be; runs are written to `scratch`.
    pub(crate) fn all(shards: usize, budget_bytes: usize, scratch: &Path) -> Vec<Shard> {
        let shards = shards.max(1);
        (0..shards)
            .map(|number| Shard {
                number: number as u32,
                shards: shards as u32,
                pairs: HashMap::default(),
                lists: Vec::new(),
                arena: Arena::default(),
                recent: Vec::new(),
                // references into pages have 32 bits
                budget_bytes: (budget_bytes / shards).min(2 << 30),
                scratch: scratch.to_owned(),
                runs: Vec::new(),
            })
            .collect()
    }

    /// Adds a series with its labels; series come in ascending order.
    pub(crate) fn add(&mut self, series: u32, labels: &[(u32, u32)]) {
        for (position, &(name, value)) in labels.iter().enumerate() {
            if self.shards > 1 && name % self.shards != self.number {
                continue;
            }
            let key = pair(name, value);
            if position >= self.recent.len() {
                self.recent.resize(position + 1, (u64::MAX, 0));
            }
            let list = if self.recent[position].0 == key {
                self.recent[position].1
            } else {
                let list = *self.pairs.entry(key).or_insert_with(|| {
                    self.lists.push(self.arena.begin());
                    (self.lists.len() - 1) as u32
                });
                self.recent[position] = (key, list);
                list
            };
            self.arena.push(&mut self.lists[list as usize], series);
        }
    }

    fn memory_bytes(&self) -> usize {
        self.arena.pages.len() * PAGE_BYTES + self.lists.len() * size_of::<List>() + self.pairs.capacity() * 16
    }

    /// Whether it is time for [`Shard::write_run`].
    pub(crate) fn is_over_budget(&self) -> bool {
        let least = if self.budget_bytes == 0 { 0 } else { 4 * PAGE_BYTES };
        self.memory_bytes() > self.budget_bytes.max(least)
    }

    fn sorted(&self) -> Vec<(u64, u32)> {
        let mut sorted: Vec<_> = self.pairs.iter().map(|(&k, &l)| (k, l)).collect();
        sorted.sort_unstable();
        sorted
    }

    /// Writes what it holds to a file and begins anew. Waits for the disk.
    pub(crate) fn write_run(&mut self) -> Result<()> {
        let path = self.scratch.join(format!("postings-{}-{}", self.number, self.runs.len()));
        let bytes = self.memory_bytes() as u64;
        let fail = |e: std::io::Error| of_spill(&path, bytes, e);
        std::fs::create_dir_all(&self.scratch).map_err(fail)?;
        // it goes with this shard, also if it cannot be written to its end
        self.runs.push(path.clone());
        let mut file = BufWriter::with_capacity(1 << 20, File::create(&path).map_err(fail)?);
        let mut entry = Vec::new();
        for (key, number) in self.sorted() {
            let list = &self.lists[number as usize];
            let mut payload = 0u64;
            self.arena.payload(list, |bytes| payload += bytes.len() as u64);
            entry.clear();
            put_uvarint(&mut entry, key >> 32);
            put_uvarint(&mut entry, key & 0xffff_ffff);
            put_uvarint(&mut entry, u64::from(list.count));
            put_uvarint(&mut entry, payload);
            self.arena.payload(list, |bytes| entry.extend_from_slice(bytes));
            file.write_all(&entry).map_err(fail)?;
        }
        file.flush().map_err(fail)?;
        drop(file);
        self.pairs = HashMap::default();
        self.lists = Vec::new();
        self.arena = Arena::default();
        self.recent.clear();
        Ok(())
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        for run in &self.runs {
            // a leftover is found by age; nothing depends on it
            let _ = std::fs::remove_file(run);
        }
        if !self.runs.is_empty() {
            // the last one takes the folder along
            let _ = std::fs::remove_dir(&self.scratch);
        }
    }
}

/// One pair and the series that carry it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PairList {
    pub(crate) name: u32,
    pub(crate) value: u32,
    pub(crate) count: u32,
    /// Varint deltas; begins anew with an absolute number at each of these counts.
    pieces: Vec<(u32, Vec<u8>)>,
}

impl PairList {
    /// The series, ascending.
    pub(crate) fn series(&self) -> impl Iterator<Item = u32> + '_ {
        self.pieces.iter().flat_map(|(count, bytes)| {
            let mut cursor = Cursor::new("postings in scratch", bytes);
            let mut last = 0u32;
            (0..*count).map(move |_| {
                // the bytes are our own, made by `Arena::push`
                last = last.wrapping_add(cursor.uvarint32().unwrap_or_default());
                last
            })
        })
    }
}

/// One sorted run: what a shard holds, or wrote out.
enum Run<'a> {
    Held { shard: &'a Shard, sorted: Vec<(u64, u32)>, at: usize },
    File { file: BufReader<File>, next: Option<(u64, u32, u64)> },
}

/// All pairs of all shards, in order. Waits for the disk where runs were written.
pub(crate) struct PairLists<'a> {
    runs: Vec<Run<'a>>,
}

impl<'a> PairLists<'a> {
    /// Begins at the first pair; can be called again for another pass.
    pub(crate) fn new(shards: &'a [Shard]) -> Result<Self> {
        let mut runs = Vec::new();
        for shard in shards {
            for path in &shard.runs {
                let file = File::open(path).map_err(|e| unreadable(e).part(path.display().to_string()))?;
                let mut run = Run::File { file: BufReader::with_capacity(64 << 10, file), next: None };
                run.read_head()?;
                runs.push(run);
            }
            runs.push(Run::Held { shard, sorted: shard.sorted(), at: 0 });
        }
        Ok(PairLists { runs })
    }

    /// The next pair.
    pub(crate) fn next(&mut self) -> Result<Option<PairList>> {
        let Some(key) = self.runs.iter().filter_map(Run::key).min() else { return Ok(None) };
        let mut list = PairList { name: (key >> 32) as u32, value: key as u32, count: 0, pieces: Vec::new() };
        // runs of one shard are in order of time, so that their series ascend
        for run in &mut self.runs {
            if run.key() == Some(key) {
                let piece = run.take()?;
                list.count += piece.0;
                list.pieces.push(piece);
            }
        }
        Ok(Some(list))
    }
}

fn unreadable(e: std::io::Error) -> Error {
    Error::new(Kind::Unavailable, "cannot read postings back from scratch").source(e)
}

impl Run<'_> {
    fn key(&self) -> Option<u64> {
        match self {
            Run::Held { sorted, at, .. } => sorted.get(*at).map(|s| s.0),
            Run::File { next, .. } => next.map(|n| n.0),
        }
    }

    fn take(&mut self) -> Result<(u32, Vec<u8>)> {
        match self {
            Run::Held { shard, sorted, at } => {
                let list = &shard.lists[sorted[*at].1 as usize];
                *at += 1;
                let mut bytes = Vec::with_capacity(list.count as usize + 8);
                shard.arena.payload(list, |b| bytes.extend_from_slice(b));
                Ok((list.count, bytes))
            }
            Run::File { file, next } => {
                let (_, count, payload) = next.take().unwrap_or_default();
                let mut bytes = vec![0; payload as usize];
                file.read_exact(&mut bytes).map_err(unreadable)?;
                self.read_head()?;
                Ok((count, bytes))
            }
        }
    }

    fn read_head(&mut self) -> Result<()> {
        let Run::File { file, next } = self else { return Ok(()) };
        let Some(name) = read_uvarint(file)? else { return Ok(()) };
        let mut rest = [0u64; 3];
        for field in &mut rest {
            *field = read_uvarint(file)?.ok_or_else(|| unreadable(std::io::ErrorKind::UnexpectedEof.into()))?;
        }
        *next = Some(((name << 32) | rest[0], rest[1] as u32, rest[2]));
        Ok(())
    }
}

/// A varint, or `None` at the very end of the file.
fn read_uvarint(file: &mut BufReader<File>) -> Result<Option<u64>> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        match file.read_exact(&mut byte) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof && shift == 0 => return Ok(None),
            Err(e) => return Err(unreadable(e)),
        }
        value |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] < 0x80 {
            return Ok(Some(value));
        }
    }
    Err(unreadable(std::io::ErrorKind::InvalidData.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type Series = Vec<(u32, u32)>;

    fn expected(series: &[Series]) -> BTreeMap<(u32, u32), Vec<u32>> {
        let mut lists: BTreeMap<_, Vec<u32>> = BTreeMap::new();
        for (i, labels) in series.iter().enumerate() {
            for &l in labels {
                lists.entry(l).or_default().push(i as u32 * 7 + 1);
            }
        }
        lists
    }

    fn built(series: &[Series], shards: usize, run_every: usize) -> BTreeMap<(u32, u32), Vec<u32>> {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("runs");
        let mut all = Shard::all(shards, 1 << 20, &folder);
        for (i, labels) in series.iter().enumerate() {
            for shard in &mut all {
                shard.add(i as u32 * 7 + 1, labels);
                if i % run_every == run_every - 1 {
                    shard.write_run().unwrap();
                }
            }
        }
        let mut lists = PairLists::new(&all).unwrap();
        let mut order = Vec::new();
        let mut out = BTreeMap::new();
        while let Some(list) = lists.next().unwrap() {
            order.push((list.name, list.value));
            assert_eq!(list.series().count(), list.count as usize);
            out.insert((list.name, list.value), list.series().collect());
        }
        assert!(order.is_sorted_by(|a, b| a < b));
        drop(lists);
        drop(all);
        assert!(!folder.exists(), "runs are removed");
        out
    }

    proptest! {
        #[test]
        fn like_a_map_of_lists(
            series in prop::collection::vec(prop::collection::btree_map(0u32..6, 0u32..9, 1..5), 1..300),
            shards in 1usize..4,
            run_every in 20usize..400,
        ) {
            let series: Vec<Series> = series.into_iter().map(|s| s.into_iter().collect()).collect();
            prop_assert_eq!(built(&series, shards, run_every), expected(&series));
        }
    }

    #[test]
    fn a_long_list_crosses_blocks_and_pages() {
        let series: Vec<Series> = (0..400_000).map(|i| vec![(1, 1), (2, i % 5)]).collect();
        assert_eq!(built(&series, 2, usize::MAX), expected(&series));
    }
}
