//! Reading the chunks that series name: in order of where they lie, a range at a time.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::finding::{Check, Counted, Findings};
use super::sound;
use crate::block::{OpenBlock, SegmentFile};
use crate::error::Result;
use crate::format::index::ChunkMeta;
use crate::format::segment::{self, HEADER_BYTES};
use crate::job::compute::Pool;
use crate::model::TimeRange;

/// Bytes that are read behind where the last chunk of a range begins; nearly every chunk ends within.
const TAIL_BYTES: u64 = 64 << 10;

/// A chunk of more bytes is taken for a damaged length.
const MAX_RECORD_BYTES: u64 = 128 << 20;

/// A chunk as a series names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChunkAt {
    pub(super) meta: ChunkMeta,
    /// What postings call the series.
    pub(super) series: u32,
}

/// Chunks of one segment that are read together.
pub(super) struct Reading {
    segment: SegmentFile,
    bytes: Range<u64>,
    chunks: Vec<ChunkAt>,
}

/// Magic and version of every segment.
pub(super) async fn check_headers(block: &OpenBlock, segments: &[SegmentFile], findings: &mut Findings) -> Result<()> {
    for segment in segments {
        let head = block.segment_range(segment, 0..segment.len_bytes.min(HEADER_BYTES as u64)).await?;
        if let Err(m) = segment::check_header(&head) {
            findings.note(Check::Chunks, part(segment), m.at, m.why);
        }
    }
    Ok(())
}

fn part(segment: &SegmentFile) -> String {
    format!("chunks/{}", segment.name)
}

/// Sorts chunks by place and cuts them into ranges of about `read_bytes`; chunks that lie nowhere are findings.
pub(super) fn plan(mut chunks: Vec<ChunkAt>, segments: &[SegmentFile], read_bytes: u64, findings: &mut Findings) -> Vec<Reading> {
    if !chunks.is_sorted_by_key(|c| c.meta.reference) {
        chunks.sort_by_key(|c| c.meta.reference);
    }
    let mut out: Vec<Reading> = Vec::new();
    let mut rest = chunks.as_slice();
    while let Some(first) = rest.first() {
        let (number, start) = (first.meta.reference.segment(), u64::from(first.meta.reference.offset()));
        let in_range = rest.partition_point(|c| {
            c.meta.reference.segment() == number && u64::from(c.meta.reference.offset()) < start.saturating_add(read_bytes)
        });
        let (run, behind) = rest.split_at(in_range);
        rest = behind;
        let Some(segment) = segments.get(number as usize) else {
            let name = format!("chunks/{:06}", u64::from(number) + 1);
            findings.note(Check::Chunks, name, None, format!("the segment is not there; series name {} chunks in it", run.len()));
            continue;
        };
        let inside = run.partition_point(|c| u64::from(c.meta.reference.offset()) < segment.len_bytes);
        for chunk in &run[inside..] {
            let at = u64::from(chunk.meta.reference.offset());
            let why = format!("series {} has a chunk here, the segment ends at {}", chunk.series, segment.len_bytes);
            findings.note(Check::Chunks, part(segment), at, why);
        }
        let run = &run[..inside];
        let Some(last) = run.last() else { continue };
        let next = rest.first().filter(|c| c.meta.reference.segment() == number).map(|c| u64::from(c.meta.reference.offset()));
        let guess = u64::from(last.meta.reference.offset()).saturating_add(TAIL_BYTES);
        let end = next.map_or(guess, |n| n.min(guess.max(start + read_bytes))).min(segment.len_bytes);
        out.push(Reading { segment: segment.clone(), bytes: start..end, chunks: run.to_vec() });
    }
    out
}

/// Reads a range and decodes every chunk in it.
pub(super) async fn decode(
    block: &OpenBlock,
    pool: &Pool,
    reading: Reading,
    times: TimeRange,
    with_findings: bool,
) -> Result<(Findings, Counted)> {
    let Reading { segment, bytes: range, chunks } = reading;
    let mut bytes = block.segment_range(&segment, range.clone()).await?;
    if let Some(last) = chunks.last() {
        let begins = (u64::from(last.meta.reference.offset()) - range.start) as usize;
        let whole = segment::record_len(bytes.get(begins..).unwrap_or_default(), 0).ok().flatten().unwrap_or(0) as u64;
        let end = (range.start + begins as u64 + whole.min(MAX_RECORD_BYTES)).min(segment.len_bytes);
        if end > range.end {
            let more = block.segment_range(&segment, range.end..end).await?;
            let mut joined = BytesMut::with_capacity(bytes.len() + more.len());
            joined.extend_from_slice(&bytes);
            joined.extend_from_slice(&more);
            bytes = joined.freeze();
        }
    }
    let base = range.start;
    pool.run(move || each(&bytes, base, &segment, &chunks, times, with_findings)).await
}

fn each(
    bytes: &Bytes,
    base: u64,
    segment: &SegmentFile,
    chunks: &[ChunkAt],
    times: TimeRange,
    with_findings: bool,
) -> (Findings, Counted) {
    let (mut findings, mut counted) = (Findings::default(), Counted::default());
    for chunk in chunks {
        let at = u64::from(chunk.meta.reference.offset());
        let rest = bytes.get((at - base) as usize..).unwrap_or_default();
        let wrong = match segment::decode_record(rest, at) {
            Err(m) => Some((m.at, m.why.into_owned())),
            Ok(record) => {
                let data_at = at + (record.len_bytes - 4 - record.data.len()) as u64;
                sound::check(record.encoding, record.data, &chunk.meta, times, &mut counted)
                    .err()
                    .map(|(within, why)| (within.map_or(at, |w| data_at + w), why))
            }
        };
        if let Some((at, why)) = wrong {
            counted.damaged_chunks += 1;
            if with_findings {
                findings.note(Check::Chunks, part(segment), at, format!("{why} (series {})", chunk.series));
            }
        }
    }
    (findings, counted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::segment::ChunkRef;

    fn at(segment: u32, offset: u32) -> ChunkAt {
        ChunkAt { meta: ChunkMeta { min_time: 0, max_time: 0, reference: ChunkRef::new(segment, offset) }, series: 1 }
    }

    fn check(chunks: &[(u32, u32)], expected: &[(&str, Range<u64>, usize)], wrong: &[&str]) {
        let segments: Vec<SegmentFile> = ["000001", "000002"]
            .iter()
            .map(|name| SegmentFile { key: format!("x/chunks/{name}"), name: (*name).to_owned(), len_bytes: 1_000_000 })
            .collect();
        let mut findings = Findings::default();
        let plan = plan(chunks.iter().map(|&(s, o)| at(s, o)).collect(), &segments, 1000, &mut findings);
        let plan: Vec<_> = plan.iter().map(|r| (r.segment.name.as_str(), r.bytes.clone(), r.chunks.len())).collect();
        assert_eq!(plan, expected);
        let found: Vec<String> = findings.listed().iter().map(ToString::to_string).collect();
        assert_eq!(found, wrong);
    }

    #[test]
    fn ranges_end_where_the_next_begins() {
        check(&[(0, 8), (0, 500), (0, 1100), (0, 1900)], &[("000001", 8..1100, 2), ("000001", 1100..67_436, 2)], &[]);
        check(&[(0, 999_990), (1, 8)], &[("000001", 999_990..1_000_000, 1), ("000002", 8..65_544, 1)], &[]);
        // far apart: only what is needed
        check(&[(0, 8), (0, 900_000)], &[("000001", 8..65_544, 1), ("000001", 900_000..965_536, 1)], &[]);
        // any order, and one chunk twice
        check(&[(1, 8), (0, 20), (0, 20)], &[("000001", 20..65_556, 2), ("000002", 8..65_544, 1)], &[]);
    }

    #[test]
    fn places_that_are_not_there() {
        check(
            &[(0, 2_000_000), (2, 8), (2, 9)],
            &[],
            &[
                "chunks/000001 at byte 2000000: series 1 has a chunk here, the segment ends at 1000000",
                "chunks/000003: the segment is not there; series name 2 chunks in it",
            ],
        );
    }
}
