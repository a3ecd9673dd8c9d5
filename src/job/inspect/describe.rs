//! The bytes of one part of a block in words.

use std::fmt::Write;
use std::ops::Range;

use super::super::Env;
use super::super::catalog::CatalogBlock;
use crate::error::{Error, Kind, Result};
use crate::format::chunk::{self, Encoding};
use crate::format::tombstones;
use crate::format::{index, segment};

/// The largest part that is described as a whole, in bytes.
const MAX_WHOLE_BYTES: u64 = 64 << 20;

/// The largest range of a segment, in bytes.
const MAX_RANGE_BYTES: u64 = 16 << 20;

/// Bytes that are read behind a range, so that its last chunk is whole.
const TAIL_BYTES: u64 = 1 << 20;

/// Every byte of `part` (a path below the block's folder) with its meaning, or of a range of it. Of chunk segments a
/// range begins where a chunk begins, and its chunks are taken apart to the bit.
///
/// # Errors
/// `NotFound` without such a part; `Limit` for a large one; `Invalid` for a range that begins within a chunk; `Corrupt`
/// at the first damage.
pub async fn describe(env: &Env, block: &CatalogBlock, part: &str, range: Option<Range<u64>>) -> Result<String> {
    let key = format!("{}/{part}", block.id);
    let Some(object) = block.objects.iter().find(|o| o.key == key) else {
        let names: Vec<&str> = block.objects.iter().filter_map(|o| o.key.split_once('/').map(|(_, path)| path)).collect();
        return Err(Error::new(Kind::NotFound, "the block has no such part")
            .block(block.id)
            .part(part)
            .next(format!("name one of {}", names.join(", "))));
    };
    let named = |e: Error| e.block(block.id);
    if let (true, Some(range)) = (part.starts_with("chunks/"), &range) {
        let start = range.start.max(segment::HEADER_BYTES as u64);
        let end = range.end.min(object.len_bytes).min(start.saturating_add(MAX_RANGE_BYTES));
        if start >= end {
            return Err(Error::new(Kind::Invalid, format!("the segment has {} bytes", object.len_bytes))
                .block(block.id)
                .part(part));
        }
        let behind = end.saturating_add(TAIL_BYTES).min(object.len_bytes);
        let bytes = env.bucket.get_range(&key, start..behind).await.map_err(named)?;
        return chunks(&bytes, start, end).map_err(|e| e.block(block.id).part(part));
    }
    if object.len_bytes > MAX_WHOLE_BYTES {
        let why = format!("{} bytes, at most {MAX_WHOLE_BYTES} are described as a whole", object.len_bytes);
        return Err(Error::new(Kind::Limit, why)
            .block(block.id)
            .part(part)
            .next("name a range of bytes of a segment with --bytes"));
    }
    let bytes = env.bucket.get(&key, MAX_WHOLE_BYTES).await.map_err(named)?;
    let text = match part {
        "index" => index::describe(&bytes),
        "tombstones" => tombstones::describe(&bytes),
        _ if part.starts_with("chunks/") => segment::describe(&bytes),
        _ => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
    };
    let text = text.map_err(|m| Error::from(m).block(block.id))?;
    Ok(match range {
        Some(range) => within(&text, &range),
        None => text,
    })
}

/// The chunks that begin from `start`, where one must, up to `end`.
fn chunks(bytes: &[u8], start: u64, end: u64) -> Result<String> {
    let mut out = String::new();
    let mut at = start;
    while at < end {
        let record = segment::decode_record(&bytes[(at - start) as usize..], at).map_err(|m| {
            if at == start {
                Error::new(Kind::Invalid, format!("no chunk begins at byte {start}: {}", m.why))
                    .next("begin at byte 8, or where verify or an index says that a chunk begins")
            } else {
                Error::from(m)
            }
        })?;
        let data_at = at + (record.len_bytes - 4 - record.data.len()) as u64;
        let (name, content) = match Encoding::from_byte(record.encoding) {
            Some(encoding) => (
                encoding.to_string(),
                chunk::describe(encoding, record.data, data_at).map_err(|m| Error::from(m.shifted(data_at)))?,
            ),
            None => (format!("unknown encoding {}", record.encoding), String::new()),
        };
        let _ = writeln!(out, "{at:>10}  # chunk of {} bytes: {name}, CRC32C {:08x}", record.len_bytes, record.crc);
        out.push_str(&content);
        at += record.len_bytes as u64;
    }
    Ok(out)
}

/// Lines of a dump whose bytes begin within `range`, with the headings above them.
fn within(dump: &str, range: &Range<u64>) -> String {
    let mut out = String::new();
    let mut headings: Vec<&str> = Vec::new();
    for line in dump.lines() {
        match line.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).filter(|_| line.contains('#')) {
            None => headings.push(line),
            Some(at) if range.contains(&at) => {
                headings.drain(..).chain([line]).for_each(|l| {
                    out.push_str(l);
                    out.push('\n');
                });
            }
            Some(_) => headings.clear(),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_taken_apart_from_where_one_begins() {
        let mut bytes = segment::header().to_vec();
        let mut chunk = crate::format::chunk::XorAppender::new();
        chunk.append(1000, 1.5);
        chunk.append(2000, 2.5);
        segment::encode_record(&mut bytes, 1, chunk.bytes());
        let second = bytes.len() as u64;
        segment::encode_record(&mut bytes, 1, chunk.bytes());
        let text = chunks(&bytes[8..], 8, second).unwrap();
        assert!(text.starts_with("         8  # chunk of") && text.matches("# chunk of").count() == 1, "{text}");
        assert_eq!(chunks(&bytes[8..], 8, bytes.len() as u64).unwrap().matches("# chunk of").count(), 2);
        assert_eq!(chunks(&bytes[9..], 9, second).unwrap_err().kind(), Kind::Invalid);
    }

    #[test]
    fn a_range_of_a_dump_keeps_its_headings() {
        let dump = segment::describe(&segment::header()).unwrap();
        assert_eq!(within(&dump, &(4..5)), "         4    01  # version 1\n");
        assert!(within(&dump, &(0..4)).contains("header"));
        assert_eq!(within(&dump, &(100..200)), "");
    }
}
