//! What a job will ask of the bucket, and how large what it makes will be: from sizes that a listing tells and from
//! what metas count, by the constants with which the pipeline reads and writes.
//!
//! Requests are those that a provider bills: pages of listings, ranged reads, parts of uploads. The bucket's own counters
//! count a listing and an upload in parts as one.

use std::sync::Arc;

use serde::Serialize;

use crate::bucket::{Bucket, Object};
use crate::format::meta::{self, Meta};
use crate::format::segment::DEFAULT_SEGMENT_BYTES;
use crate::job::catalog::CatalogBlock;
use crate::job::pipeline::input_part_bytes;
use crate::job::plan::scratch_bytes;
use crate::model::{Millis, TimeRange};

/// Objects in one page of a listing.
const OBJECTS_A_PAGE: u64 = 1000;

/// Reads of an input's index beside its parts: header, table of contents, and that symbols end within a part.
const READS_AN_INDEX: u64 = 3;

/// Bytes that a chunk takes in an index: its times and its place, as differences to the chunk before.
const CHUNK_ENTRY_BYTES: u64 = 7;

/// Bytes of one window of a downsampled block, all its aggregates and its share of the index together; measured on
/// counters and gauges scraped every 15 seconds.
const WINDOW_BYTES: u64 = 13;

/// Bytes of a `meta.json`, about.
const META_BYTES: u64 = 2 << 10;

/// Requests to a bucket, by how providers bill them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Requests {
    /// Pages of listings.
    pub list: u64,
    /// Reads of objects and of ranges.
    pub get: u64,
    /// Questions whether an object is there, and how large.
    pub head: u64,
    /// Writes of objects and of their parts, and what begins and ends uploads in parts.
    pub put: u64,
    /// Deletions.
    pub delete: u64,
}

impl Requests {
    /// All of them.
    pub fn all(&self) -> u64 {
        [self.list, self.get, self.head, self.put, self.delete].into_iter().fold(0, u64::saturating_add)
    }

    pub(super) fn add(&mut self, other: Requests) {
        let sum = |a: &mut u64, b| *a = a.saturating_add(b);
        sum(&mut self.list, other.list);
        sum(&mut self.get, other.get);
        sum(&mut self.head, other.head);
        sum(&mut self.put, other.put);
        sum(&mut self.delete, other.delete);
    }

    pub(super) fn times(self, n: u64) -> Requests {
        let by = |a: u64| a.saturating_mul(n);
        let Requests { list, get, head, put, delete } = self;
        Requests { list: by(list), get: by(get), head: by(head), put: by(put), delete: by(delete) }
    }
}

/// How large a block is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) index_bytes: u64,
    pub(super) chunk_bytes: u64,
}

impl Size {
    pub(super) fn of(block: &CatalogBlock) -> Size {
        let chunk_bytes = parts(block, |name| name.starts_with("chunks/")).fold(0, |sum: u64, o| sum.saturating_add(o.len_bytes));
        Size { index_bytes: block.index_bytes(), chunk_bytes }
    }

    /// All objects of the block together.
    pub(super) fn bytes(self) -> u64 {
        self.index_bytes.saturating_add(self.chunk_bytes).saturating_add(META_BYTES)
    }

    fn segments(self) -> u64 {
        self.chunk_bytes.div_ceil(DEFAULT_SEGMENT_BYTES).max(1)
    }

    /// Index, segments and `meta.json`.
    pub(super) fn objects(self) -> u64 {
        self.segments().saturating_add(2)
    }

    /// As a listing would show it; no more objects than a listing of a block that is there has.
    pub(super) fn listed(self, block: &str) -> Arc<[Object]> {
        let object = |name: String, len_bytes| Object { key: format!("{block}/{name}"), len_bytes, modified: 0, etag: None };
        let segments = self.segments().min(999_999);
        let segment = |n: u64| {
            let rest = self.chunk_bytes.saturating_sub((n - 1).saturating_mul(DEFAULT_SEGMENT_BYTES));
            object(format!("chunks/{n:06}"), rest.min(DEFAULT_SEGMENT_BYTES))
        };
        let rest = [("index", self.index_bytes), ("meta.json", META_BYTES)].map(|(n, len)| object(n.to_owned(), len));
        (1..=segments).map(segment).chain(rest).collect()
    }
}

/// Objects of a block whose name within its folder is as asked.
fn parts(block: &CatalogBlock, is: fn(&str) -> bool) -> impl Iterator<Item = &Object> {
    block.objects.iter().filter(move |o| o.key.split_once('/').is_some_and(|(_, rest)| is(rest)))
}

/// How large the block will be that these become. Labels are there once, chunks are copied; of replicas what overlaps
/// is there once.
pub(super) fn joined_size(blocks: &[&CatalogBlock], are_replicas: bool) -> Size {
    let (mut labels, mut entries, mut indexes, mut chunk_bytes) = (0u64, 0u64, 0u64, 0u64);
    let (mut lengths, mut range) = (0u64, None::<TimeRange>);
    for block in blocks {
        let size = Size::of(block);
        let of_chunks = block.meta.stats.num_chunks.saturating_mul(CHUNK_ENTRY_BYTES).min(size.index_bytes);
        labels = labels.max(size.index_bytes - of_chunks);
        entries = entries.saturating_add(of_chunks);
        indexes = indexes.saturating_add(size.index_bytes);
        chunk_bytes = chunk_bytes.saturating_add(size.chunk_bytes);
        let own = block.meta.time_range();
        lengths = lengths.saturating_add(length(own));
        range = Some(range.map_or(own, |range| range.union(own)));
    }
    let covered = range.map_or(0, length);
    let mut size = Size { index_bytes: labels.saturating_add(entries).min(indexes), chunk_bytes };
    if are_replicas && covered < lengths {
        let share = covered as f64 / lengths as f64;
        size.chunk_bytes = (chunk_bytes as f64 * share) as u64;
        size.index_bytes = labels.saturating_add((entries as f64 * share) as u64).min(indexes);
    }
    size
}

/// How large the block of `resolution` will be that is made of one of `size`: a window for each series and length of
/// time, but no more windows than samples.
pub(super) fn coarser_size(of: &Meta, size: Size, resolution: Millis) -> Size {
    let windows = length(of.time_range()).div_ceil(resolution.max(1).unsigned_abs());
    let windows = of.stats.num_series.max(1).saturating_mul(windows);
    let samples = if of.resolution() == 0 { of.stats.num_samples } else { u64::MAX };
    let of_chunks = of.stats.num_chunks.saturating_mul(CHUNK_ENTRY_BYTES).min(size.index_bytes);
    Size { index_bytes: size.index_bytes - of_chunks, chunk_bytes: windows.min(samples).saturating_mul(WINDOW_BYTES) }
}

fn length(range: TimeRange) -> u64 {
    range.end.saturating_sub(range.start).max(0).unsigned_abs()
}

/// What a meta says of a block of this size, as far as a planner looks.
pub(super) fn describe(meta: &mut Meta, size: Size) {
    let size_bytes = i64::try_from(size.index_bytes).unwrap_or(i64::MAX);
    meta.thanos.files = vec![meta::File { rel_path: "index".into(), size_bytes, ..Default::default() }];
}

/// What a job will read and write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Effort {
    pub(super) bytes_read: u64,
    pub(super) bytes_written: u64,
    pub(super) objects_read: u64,
    pub(super) objects_written: u64,
    pub(super) scratch_bytes: u64,
    pub(super) requests: Requests,
}

/// How a bucket is asked.
#[derive(Clone, Copy)]
pub(super) struct Ways<'a> {
    pub(super) bucket: &'a Bucket,
    /// New blocks are read back from the bucket.
    pub(super) reads_back: bool,
}

impl Ways<'_> {
    /// Reading `inputs` side by side and writing blocks of these sizes; sources that go are marked.
    pub(super) fn job(&self, inputs: &[&CatalogBlock], outputs: &[Size], marks: usize) -> Effort {
        let part_bytes = input_part_bytes(self.bucket, inputs.len());
        let reads = |len_bytes: u64| len_bytes.div_ceil(part_bytes.max(1));
        let mut effort = Effort::default();
        for input in inputs {
            let size = Size::of(input);
            effort.requests.get += READS_AN_INDEX.saturating_add(reads(size.index_bytes));
            effort.objects_read += 1;
            for segment in parts(input, |name| name.starts_with("chunks/")) {
                effort.requests.get = effort.requests.get.saturating_add(reads(segment.len_bytes));
                effort.objects_read += 1;
            }
            let tombstones = parts(input, |name| name == "tombstones").count() as u64;
            effort.requests.get += tombstones;
            effort.objects_read += tombstones;
            effort.bytes_read = effort.bytes_read.saturating_add(size.index_bytes).saturating_add(size.chunk_bytes);
        }
        let index_bound =
            inputs.iter().map(|b| b.index_bytes()).fold(16 << 20, |sum: u64, n| sum.saturating_add(n.saturating_mul(2)));
        for output in outputs {
            effort.bytes_written = effort.bytes_written.saturating_add(output.bytes());
            effort.objects_written = effort.objects_written.saturating_add(output.objects());
            effort.requests.add(self.write(output.index_bytes, index_bound.max(output.index_bytes)));
            let mut rest = output.chunk_bytes;
            for _ in 0..output.segments().min(100_000) {
                let segment = rest.min(DEFAULT_SEGMENT_BYTES);
                rest -= segment;
                effort.requests.add(self.write(segment, DEFAULT_SEGMENT_BYTES + (64 << 20)));
            }
            // before a block is seen the sizes of its objects are asked for
            effort.requests.add(Requests { put: 1, head: output.objects() - 1, ..Requests::default() });
            if self.reads_back {
                let back = |len_bytes: u64| len_bytes.div_ceil(self.bucket.read_bytes().max(1) as u64);
                let reads = 1 + back(output.index_bytes).saturating_add(back(output.chunk_bytes));
                effort.requests.get = effort.requests.get.saturating_add(reads);
            }
            effort.scratch_bytes = effort.scratch_bytes.saturating_add(scratch_bytes(output.index_bytes));
        }
        effort.requests.add(self.mark().times(marks as u64));
        effort
    }

    /// Streaming an object of `len_bytes` that was announced as `bound_bytes` at most.
    fn write(&self, len_bytes: u64, bound_bytes: u64) -> Requests {
        match self.bucket.part_bytes(bound_bytes) {
            None => Requests { put: 1, ..Requests::default() },
            // what fits into one part is put as a whole; then it is looked whether it is there
            Some(part) if len_bytes <= part => Requests { put: 1, head: 1, ..Requests::default() },
            Some(part) => Requests { put: 2 + len_bytes.div_ceil(part.max(1)), head: 1, ..Requests::default() },
        }
    }

    /// Marking a block that has no such mark.
    pub(super) fn mark(&self) -> Requests {
        Requests { head: 2, put: 1, ..Requests::default() }
    }

    /// Deleting a block of so many objects: its `meta.json` first, and two folders as some programs make them.
    pub(super) fn delete(&self, objects: u64) -> Requests {
        Requests { head: 1, list: pages(objects), delete: objects.saturating_add(2), ..Requests::default() }
    }

    /// Looking at a bucket of so many objects, of which `marks` are marks, when no meta is new.
    pub(super) fn look(&self, objects: u64, marks: u64, looks_at_the_root: bool) -> Requests {
        let root = u64::from(looks_at_the_root && !self.bucket.is_local());
        let pages = if self.bucket.is_local() { 1 } else { pages(objects) };
        Requests { list: pages + root, get: marks, ..Requests::default() }
    }
}

fn pages(objects: u64) -> u64 {
    objects.div_ceil(OBJECTS_A_PAGE).max(1)
}
