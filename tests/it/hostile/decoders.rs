//! Every decoder, with real bytes to start from and a way to make damaged ones past the checksums.

use blockyard::encoding::crc32c;
use blockyard::format::marks::{DeletionMark, NoCompactMark, NoDownsampleMark};
use blockyard::format::{chunk, index, marks, meta, segment, tombstones};
use blockyard::series::aggregate;

use super::mutate::Chance;
use crate::golden::case::Case;

/// Seeds are cut off here, in bytes: every truncation of each is tried.
const SEED_BYTES: usize = 16 << 10;

/// How many chunks of each encoding are seeds.
const CHUNKS_EACH: usize = 7;

/// One decoder: `exercise` may find anything in any bytes but must come back.
pub(crate) struct Decoder {
    pub(crate) name: &'static str,
    pub(crate) exercise: fn(&[u8]),
    /// Real bytes, the shortest first.
    pub(crate) seeds: Vec<Vec<u8>>,
    /// Makes checksums right again, as far as the bytes still have a shape, so that what lies behind
    /// them is reached.
    pub(crate) mend: fn(&mut [u8], &mut Chance),
    /// How many mutations it is given.
    pub(crate) mutations: u64,
}

/// Files of golden inputs whose key ends in `suffix`, of at most `SEED_BYTES`, smallest first.
fn seeds(cases: &[&str], suffix: &str) -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> = cases
        .iter()
        .flat_map(|case| Case::load(case).objects())
        .filter(|(key, bytes)| key.ends_with(suffix) && bytes.len() <= SEED_BYTES)
        .map(|(_, bytes)| bytes)
        .collect();
    found.sort_by_key(Vec::len);
    found.dedup();
    assert!(!found.is_empty(), "no seeds {suffix}");
    found
}

const KINDS: [&str; 10] = [
    "one-series",
    "overlap-mixed",
    "overlap-histograms-custom-bucket",
    "overlap-float-histograms-gauge",
    "jumping-times",
    "special-values",
    "heap-order",
    "index-v1",
    "tombstones",
    "tombstones-overlap",
];

/// Every decoder.
pub(crate) fn all() -> Vec<Decoder> {
    vec![
        Decoder { name: "chunk", exercise: chunk::exercise, seeds: chunks(), mend: |_, _| {}, mutations: 270_000 },
        Decoder {
            name: "index",
            exercise: index::exercise,
            seeds: seeds(&KINDS, "/index"),
            mend: mend_index,
            mutations: 350_000,
        },
        Decoder {
            name: "segment",
            exercise: segment::exercise,
            seeds: seeds(&["one-series", "single-samples", "touching", "heap-order", "segments-64"], "/000001"),
            mend: mend_segment,
            mutations: 150_000,
        },
        Decoder {
            name: "tombstones",
            exercise: tombstones::exercise,
            seeds: seeds(&KINDS, "/tombstones"),
            mend: mend_tombstones,
            mutations: 80_000,
        },
        Decoder {
            name: "meta",
            exercise: meta::exercise,
            seeds: seeds(&KINDS, "/meta.json"),
            mend: |_, _| {},
            mutations: 80_000,
        },
        Decoder { name: "downsample", exercise: aggregate::exercise, seeds: series(), mend: |_, _| {}, mutations: 30_000 },
        Decoder { name: "marks", exercise: marks::exercise, seeds: written_marks(), mend: |_, _| {}, mutations: 40_000 },
    ]
}

/// Series for a downsampler: a byte for the resolution, then chunks, each with its encoding and 16 bits of length.
fn series() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for chunk in chunks().iter().filter(|chunk| chunk.len() <= 4 << 10) {
        let record = [&chunk[..1], &(chunk.len() as u16 - 1).to_be_bytes(), &chunk[1..]].concat();
        for resolution in 0..2 {
            seeds.push([&[resolution][..], &record, &record].concat());
        }
    }
    seeds.sort_by_key(Vec::len);
    seeds
}

/// Chunks of every encoding, its byte first: the smallest, the largest, and some between.
fn chunks() -> Vec<Vec<u8>> {
    let cases = KINDS.iter().chain(&["new-encodings", "aggregates"]);
    let mut found: Vec<Vec<u8>> = Vec::new();
    for (_, bytes) in cases.flat_map(|case| Case::load(case).objects()).filter(|(key, _)| key.contains("/chunks/")) {
        for record in segment::records(&bytes).expect("a real segment") {
            let (_, record) = record.expect("a real record");
            found.push([&[record.encoding][..], record.data].concat());
        }
    }
    found.retain(|chunk| chunk.len() <= SEED_BYTES);
    found.sort_by(|a, b| (a[0], a.len(), a).cmp(&(b[0], b.len(), b)));
    found.dedup();
    let some = |of: &[Vec<u8>]| (0..CHUNKS_EACH).map(|n| of[(of.len() - 1) * n / (CHUNKS_EACH - 1)].clone()).collect::<Vec<_>>();
    let mut seeds: Vec<_> = found.chunk_by(|a, b| a[0] == b[0]).flat_map(some).collect();
    seeds.sort_by_key(Vec::len);
    seeds.dedup();
    seeds
}

fn written_marks() -> Vec<Vec<u8>> {
    let id = "01KE5Y5QV0Q3WQ6VJCPD7H1QEV".parse().expect("an id");
    vec![
        DeletionMark::new(id, 1_767_571_200, "source of compacted block").encode(),
        NoCompactMark::new(id, 1_767_571_200, "manual", "").encode(),
        NoDownsampleMark::new(id, 1_767_571_200, "manual", "because \u{1F600} \"said\" so").encode(),
    ]
}

fn put_crc(bytes: &mut [u8], from: usize, to: usize) {
    if from <= to && to.checked_add(4).is_some_and(|end| end <= bytes.len()) {
        let sum = crc32c(&bytes[from..to]).to_be_bytes();
        bytes[to..to + 4].copy_from_slice(&sum);
    }
}

fn be32(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?) as usize)
}

fn be64(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u64::from_be_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?)).ok()
}

fn uvarint(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut value = 0usize;
    for (n, byte) in bytes.get(at..)?.iter().take(5).enumerate() {
        value |= ((byte & 0x7f) as usize) << (7 * n);
        if byte & 0x80 == 0 {
            return Some((value, at + n + 1));
        }
    }
    None
}

/// A section of a four-byte length, a body and a checksum.
fn mend_section(bytes: &mut [u8], at: usize) -> Option<usize> {
    let from = at.checked_add(4)?;
    let to = from.checked_add(be32(bytes, at)?)?;
    put_crc(bytes, from, to);
    to.checked_add(4)
}

fn mend_index(bytes: &mut [u8], chance: &mut Chance) {
    let Some(toc) = bytes.len().checked_sub(52) else { return };
    put_crc(bytes, toc, toc + 48);
    let section = |bytes: &[u8], n: usize| be64(bytes, toc + 8 * n).unwrap_or(usize::MAX);
    let (symbols, series, postings, table) = (section(bytes, 0), section(bytes, 1), section(bytes, 4), section(bytes, 5));
    mend_section(bytes, symbols);
    mend_section(bytes, table);
    if chance.below(4) == 0 {
        return; // damaged entries as they are
    }
    let align = if bytes.get(4) == Some(&1) { 1 } else { 16 };
    let mut at = series;
    while at < section(bytes, 2) && at < bytes.len() {
        at = at.next_multiple_of(align);
        let Some((len, from)) = uvarint(bytes, at) else { break };
        let Some(to) = from.checked_add(len) else { break };
        put_crc(bytes, from, to);
        at = to.saturating_add(4);
    }
    let mut at = postings;
    while at < table && at < bytes.len() {
        let Some(end) = mend_section(bytes, at.next_multiple_of(4)) else { break };
        at = end;
    }
}

fn mend_segment(bytes: &mut [u8], _: &mut Chance) {
    let mut at = 8;
    while let Some((len, from)) = uvarint(bytes, at) {
        let Some(to) = from.checked_add(len).and_then(|to| to.checked_add(1)) else { break };
        put_crc(bytes, from, to);
        at = to.saturating_add(4);
    }
}

fn mend_tombstones(bytes: &mut [u8], _: &mut Chance) {
    if let Some(to) = bytes.len().checked_sub(4) {
        put_crc(bytes, 5, to);
    }
}

#[test]
fn every_encoding_is_a_seed() {
    let mut encodings: Vec<u8> = chunks().iter().map(|chunk| chunk[0]).collect();
    encodings.sort_unstable();
    encodings.dedup();
    assert_eq!(encodings, chunk::Encoding::ALL.map(|e| e.as_byte()));
}

#[test]
fn mending_leaves_whole_bytes_as_they_are() {
    for decoder in all() {
        for seed in &decoder.seeds {
            let mut mended = seed.clone();
            for n in 0..4 {
                (decoder.mend)(&mut mended, &mut Chance::new(n));
            }
            assert!(mended == *seed, "{} of {} bytes", decoder.name, seed.len());
        }
    }
}
