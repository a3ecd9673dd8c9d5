//! One input's chunk segments, read front to back as merged batches ask for their records.
//!
//! References ascend from series to series, so the read is sequential by construction.
//! *Memory*: the parts that the batch asked for, and the stream's read-ahead.

use std::collections::VecDeque;

use super::merge::Stretch;
use crate::block::{Part, RangeStream, ReadAhead};
use crate::bucket::Bucket;
use crate::error::{Error, Kind, Result};
use crate::format::Malformed;
use crate::format::segment::{self, ChunkRef};
use crate::model::BlockId;

/// One segment object of an input.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) key: String,
    pub(super) len_bytes: u64,
}

/// The parts around one stretch of records.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) segment: u32,
    /// Where the last record of the stretch ends; its parts may hold the beginning of the next one.
    pub(super) end: u64,
    pub(super) parts: Vec<Part>,
}

/// The chunk bytes of one input.
pub(super) struct ChunkFeed {
    bucket: Bucket,
    block: BlockId,
    segments: Vec<Segment>,
    read_ahead: ReadAhead,
    open: Option<Open>,
}

struct Open {
    segment: u32,
    stream: RangeStream,
    window: VecDeque<Part>,
}

impl ChunkFeed {
    pub(super) fn new(bucket: &Bucket, block: BlockId, segments: Vec<Segment>, read_ahead: ReadAhead) -> Self {
        ChunkFeed { bucket: bucket.clone(), block, segments, read_ahead, open: None }
    }

    fn bad(&self, at: ChunkRef, what: impl Into<String>) -> Error {
        Error::new(Kind::Corrupt, what)
            .block(self.block)
            .part(format!("chunks/{:06}", u64::from(at.segment()) + 1))
            .at(u64::from(at.offset()))
            .next("run `tools bucket verify -i chunks` on the block, then replace it or mark it no-compact")
    }

    /// The bytes of all records in these stretches.
    ///
    /// # Errors
    /// What the bucket says; `Corrupt` when a reference points outside its segment or goes back.
    pub(super) async fn take(&mut self, stretches: &[Stretch]) -> Result<Vec<Run>> {
        let mut runs = Vec::with_capacity(stretches.len());
        for s in stretches {
            runs.push(self.take_one(s).await?);
        }
        Ok(runs)
    }

    async fn take_one(&mut self, s: &Stretch) -> Result<Run> {
        let number = s.first.segment();
        let Some(of) = self.segments.get(number as usize).cloned() else {
            return Err(self.bad(
                s.first,
                format!("the index points into segment {}, and there are {}", u64::from(number) + 1, self.segments.len()),
            ));
        };
        let (first, last) = (u64::from(s.first.offset()), u64::from(s.last.offset()));
        if first < segment::HEADER_BYTES as u64 || last >= of.len_bytes {
            return Err(self.bad(s.last, format!("the index points outside the segment's {} bytes", of.len_bytes)));
        }
        if self.open.as_ref().is_none_or(|o| o.segment != number) {
            self.open = Some(self.open_segment(number, of.clone()).await?);
        }
        let Some(mut open) = self.open.take() else { return Err(self.bad(s.first, "segment is not open")) };
        while open.window.len() > 1 && open.window[0].end() <= first {
            open.window.pop_front();
        }
        let end = loop {
            let have = open.window.back().map_or(0, Part::end);
            if last < have {
                // the record's own length says where the stretch ends
                match record_len_at(&open.window, last).map_err(|m| self.bad(s.last, m.why.into_owned()))? {
                    Some(len) if last + len <= have => break last + len,
                    Some(len) if last + len > of.len_bytes => {
                        return Err(self.bad(s.last, format!("a record of {len} bytes reaches over the segment's end")));
                    }
                    _ => {}
                }
            }
            match open.stream.next().await.map_err(|e| e.block(self.block))? {
                Some(part) => {
                    // a gap that nothing refers to is not kept
                    while open.window.back().is_some_and(|p| p.end() <= first) {
                        open.window.pop_back();
                    }
                    open.window.push_back(part);
                }
                None => return Err(self.bad(s.last, "a record is cut off by the end of the segment")),
            }
        };
        let parts = open.window.iter().filter(|p| p.end() > first && p.offset < end).cloned().collect();
        self.open = Some(open);
        Ok(Run { segment: number, end, parts })
    }

    async fn open_segment(&self, number: u32, of: Segment) -> Result<Open> {
        let mut stream = RangeStream::new(&self.bucket, of.key.as_str(), 0..of.len_bytes, self.read_ahead);
        let first = stream.next().await.map_err(|e| e.block(self.block))?;
        let header = first.as_ref().map_or(&[][..], |p| &p.bytes);
        segment::check_header(header).map_err(|m| self.bad(ChunkRef::new(number, m.at as u32), m.why.into_owned()))?;
        Ok(Open { segment: number, stream, window: first.into_iter().collect() })
    }
}

/// How long the record at `offset` is, if enough of it is in the window.
fn record_len_at(window: &VecDeque<Part>, offset: u64) -> Result<Option<u64>, Malformed> {
    let mut head = [0u8; 16];
    let mut have = 0;
    for part in window {
        let from = offset + have as u64;
        if from < part.offset || from >= part.end() {
            continue;
        }
        let rest = &part.bytes[(from - part.offset) as usize..];
        let n = rest.len().min(head.len() - have);
        head[have..have + n].copy_from_slice(&rest[..n]);
        have += n;
        if have == head.len() {
            break;
        }
    }
    Ok(segment::record_len(&head[..have], offset)?.map(|len| len as u64))
}

/// Reads records out of runs, quickest where references ascend.
pub(super) struct Records<'a> {
    runs: &'a [Run],
    run: usize,
    part: usize,
    last: ChunkRef,
    joined: Vec<u8>,
}

impl<'a> Records<'a> {
    pub(super) fn new(runs: &'a [Run]) -> Self {
        Records { runs, run: 0, part: 0, last: ChunkRef(0), joined: Vec::new() }
    }

    /// The record at `at`, its checksum verified.
    pub(super) fn get(&mut self, at: ChunkRef) -> Result<(segment::Record<'_>, &[u8]), Malformed> {
        let offset = u64::from(at.offset());
        let gone = || Malformed::new("chunk", offset, "the bytes of the record were not read");
        if at < self.last {
            // a merge of overlapping chunks may ask again, and series that were moved ask in any order
            let behind = |r: &Run| (r.segment, r.end) <= (at.segment(), offset);
            (self.run, self.part) = (self.runs.partition_point(behind), 0);
        }
        self.last = at;
        while self.runs.get(self.run).is_some_and(|r| r.segment < at.segment() || r.end <= offset) {
            self.run += 1;
            self.part = 0;
        }
        let run = self.runs.get(self.run).filter(|r| r.segment == at.segment()).ok_or_else(gone)?;
        while run.parts.get(self.part).is_some_and(|p| p.end() <= offset) {
            self.part += 1;
        }
        let part = run.parts.get(self.part).filter(|p| p.offset <= offset).ok_or_else(gone)?;
        let rest = &part.bytes[(offset - part.offset) as usize..];
        let whole = match segment::record_len(rest, offset)? {
            Some(len) if len <= rest.len() => &rest[..len],
            _ => {
                // the record lies across parts: as much as its length field says is joined, and no more
                self.joined.clear();
                self.joined.extend_from_slice(rest);
                let mut behind = run.parts[self.part + 1..].iter().map(|part| &part.bytes[..]);
                let mut next = &[][..];
                let len = loop {
                    let len = segment::record_len(&self.joined, offset)?;
                    let lacks = len.map_or(1, |len| len.saturating_sub(self.joined.len()));
                    if let (Some(len), 0) = (len, lacks) {
                        break len;
                    }
                    while next.is_empty() {
                        next = behind.next().ok_or_else(gone)?;
                    }
                    let (more, later) = next.split_at(lacks.min(next.len()));
                    self.joined.extend_from_slice(more);
                    next = later;
                };
                &self.joined[..len]
            }
        };
        Ok((segment::decode_record(whole, offset)?, whole))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_record_across_any_number_of_parts() {
        let mut segment = segment::header().to_vec();
        let mut expected = Vec::new();
        for len in [0usize, 5, 200, 20_000] {
            expected.push((ChunkRef::new(0, segment.len() as u32), vec![len as u8; len]));
            segment::encode_record(&mut segment, 1, &vec![len as u8; len]);
        }
        for part_bytes in [1, 2, 3, 7, 100, 19_000, 30_000] {
            let part =
                |(n, bytes): (usize, &[u8])| Part { offset: (n * part_bytes) as u64, bytes: Bytes::copy_from_slice(bytes) };
            let parts: Vec<_> = segment.chunks(part_bytes).enumerate().map(part).collect();
            let whole = [Run { segment: 0, end: segment.len() as u64, parts: parts.clone() }];
            let mut records = Records::new(&whole);
            for (at, data) in &expected {
                let (record, bytes) = records.get(*at).unwrap();
                assert_eq!((record.data, record.len_bytes), (&data[..], bytes.len()), "parts of {part_bytes}");
            }
            let cut = [Run { segment: 0, end: segment.len() as u64, parts: parts[..parts.len() - 1].to_vec() }];
            assert!(Records::new(&cut).get(expected[3].0).is_err(), "parts of {part_bytes}");
        }
    }
}
