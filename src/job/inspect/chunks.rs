//! A look into some chunks of a block, or all: encodings, samples, bytes.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use crate::block::{OpenBlock, SegmentFile};
use crate::error::{Error, Result};
use crate::format::chunk::{Encoding, sample_count};
use crate::format::segment::{ChunkRef, decode_record};
use crate::job::Env;
use crate::job::compute::Task;

/// Bytes that are read of a chunk whose end nobody knows.
const UNKNOWN_BYTES: u64 = 64 << 10;

/// Chunks that lie so near to one another are read together.
const NEAR_BYTES: u64 = 16 << 10;

/// The most that is read together.
const MAX_READ_BYTES: u64 = 4 << 20;

/// What chunks are made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Encodings {
    /// How many chunks were looked into.
    pub looked_into: u64,
    /// Of each encoding.
    pub by_encoding: BTreeMap<String, OfEncoding>,
}

/// Chunks of one encoding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OfEncoding {
    /// How many.
    pub chunks: u64,
    /// Their samples.
    pub samples: u64,
    /// Their bytes, frames included.
    pub bytes: u64,
}

impl Encodings {
    fn join(&mut self, other: Encodings) {
        self.looked_into += other.looked_into;
        for (name, of) in other.by_encoding {
            let sum = self.by_encoding.entry(name).or_default();
            sum.chunks += of.chunks;
            sum.samples += of.samples;
            sum.bytes += of.bytes;
        }
    }
}

/// Chunks of one segment that are read together: bytes, and where chunks begin.
struct Reading {
    segment: SegmentFile,
    start: u64,
    end: u64,
    chunks: Vec<u64>,
}

/// Looks into the chunks at these places; with each the bytes that it has, where known.
pub(super) async fn look(
    env: &Env,
    open: &OpenBlock,
    segments: &[SegmentFile],
    mut places: Vec<(ChunkRef, u64)>,
    all: bool,
) -> Result<Encodings> {
    places.sort_unstable_by_key(|(place, _)| *place);
    let near = if all { MAX_READ_BYTES } else { NEAR_BYTES };
    let mut readings: Vec<Reading> = Vec::new();
    for (place, bytes) in places {
        let start = u64::from(place.offset());
        let Some(segment) = segments.get(place.segment() as usize).filter(|s| start < s.len_bytes) else { continue };
        let bytes = if bytes == 0 { UNKNOWN_BYTES } else { bytes };
        let end = (start + bytes).min(segment.len_bytes);
        match readings.last_mut() {
            Some(last) if last.segment == *segment && start <= last.end + near && end <= last.start + MAX_READ_BYTES => {
                last.end = last.end.max(end);
                last.chunks.push(start);
            }
            _ => readings.push(Reading { segment: segment.clone(), start, end, chunks: vec![start] }),
        }
    }
    let mut sum = Encodings::default();
    let mut under_way: VecDeque<Task<Result<Encodings>>> = VecDeque::new();
    for reading in readings {
        if under_way.len() >= 16
            && let Some(oldest) = under_way.pop_front()
        {
            sum.join(oldest.await??);
        }
        let (open, pool) = (open.clone(), env.compute());
        under_way.push_back(Task::spawn(async move {
            let bytes = open.segment_range(&reading.segment, reading.start..reading.end).await?;
            pool.run(move || each(&bytes, &reading).map_err(|e| e.block(open.id()))).await
        }));
    }
    for task in under_way {
        sum.join(task.await??);
    }
    Ok(sum)
}

fn each(bytes: &[u8], reading: &Reading) -> Result<Encodings> {
    let mut sum = Encodings::default();
    let part = || format!("chunks/{}", reading.segment.name);
    for &at in &reading.chunks {
        let rest = bytes.get((at - reading.start) as usize..).unwrap_or_default();
        let record = decode_record(rest, at).map_err(|m| Error::new(crate::Kind::Corrupt, m.why).part(part()).at(m.at))?;
        let (name, samples) = match Encoding::from_byte(record.encoding) {
            Some(encoding) => {
                let damaged = |m: crate::format::Malformed| Error::new(crate::Kind::Corrupt, m.why).part(part()).at(at);
                (encoding.to_string(), sample_count(encoding, record.data).map_err(damaged)?)
            }
            None => (format!("unknown ({})", record.encoding), 0),
        };
        sum.looked_into += 1;
        let of = sum.by_encoding.entry(name).or_default();
        of.chunks += 1;
        of.samples += u64::from(samples);
        of.bytes += record.len_bytes as u64;
    }
    Ok(sum)
}
