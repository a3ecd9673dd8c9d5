//! An index, read by every road and written again.

use super::*;
use crate::format::segment::ChunkRef;

/// Everything that an index says, read by one road, written again.
fn rewrite(bytes: &[u8]) -> Vec<u8> {
    let index = Index::open(bytes).unwrap();
    let mut writer = Writer::new(vec![]);
    for (reference, symbol) in index.symbols() {
        assert_eq!(writer.symbol(symbol).unwrap(), reference);
    }
    let mut writer = writer.series().unwrap();
    let (mut walk, mut labels, mut chunks) = (index.each_series(), vec![], vec![]);
    while let Some(id) = walk.next(&mut labels, &mut chunks).unwrap() {
        assert_eq!(writer.push(&labels, &chunks).unwrap(), id);
    }
    let (out, toc) = writer.finish().unwrap();
    assert_eq!(toc, *index.toc());
    out
}

/// Asks for everything in every way, and compares the ways.
fn audit(bytes: &[u8]) -> usize {
    let index = Index::open(bytes).unwrap();
    let mut pairs = std::collections::BTreeMap::<(Vec<u8>, Vec<u8>), Vec<u32>>::new();
    let (mut walk, mut labels, mut chunks) = (index.each_series(), vec![], vec![]);
    let (mut labels_again, mut chunks_again, mut all) = (vec![], vec![], vec![]);
    while let Some(id) = walk.next(&mut labels, &mut chunks).unwrap() {
        index.series(id, &mut labels_again, &mut chunks_again).unwrap();
        assert_eq!((&labels, &chunks), (&labels_again, &chunks_again));
        for &(name, value) in &labels {
            let pair = (index.symbol(name).unwrap().to_vec(), index.symbol(value).unwrap().to_vec());
            pairs.entry(pair).or_default().push(id);
        }
        all.push(id);
    }
    assert_eq!(index.all_postings().unwrap().iter().collect::<Vec<_>>(), all);
    let mut names: Vec<_> = pairs.keys().map(|(name, _)| &name[..]).collect();
    names.dedup();
    assert_eq!(index.label_names().collect::<Vec<_>>(), names);
    for name in names {
        let values: Vec<_> = pairs.keys().filter(|(n, _)| n == name).map(|(_, v)| &v[..]).collect();
        assert_eq!(index.label_values(name).map(|e| e.value).collect::<Vec<_>>(), values);
    }
    for ((name, value), ids) in &pairs {
        assert_eq!(index.postings(name, value).unwrap().unwrap().iter().collect::<Vec<_>>(), *ids);
    }
    assert_eq!(index.postings_table().count(), pairs.len() + 1);
    for (reference, symbol) in index.symbols() {
        assert_eq!((index.symbol(reference).unwrap(), index.find_symbol(symbol)), (symbol, Some(reference)));
    }
    all.len()
}

const COMPACTED: &[u8] = include_bytes!("../../../testdata/index/compacted");
const ENCODINGS: &[u8] = include_bytes!("../../../testdata/index/encodings");
const FORMAT_1: &[u8] = include_bytes!("../../../testdata/index-v1/index");

#[test]
fn what_prometheus_and_thanos_wrote_is_written_the_same() {
    for bytes in [COMPACTED, ENCODINGS] {
        assert!(rewrite(bytes) == bytes);
    }
}

#[test]
fn every_road_to_the_same_answer() {
    assert_eq!([COMPACTED, ENCODINGS, FORMAT_1].map(audit), [605, 120, 102]);
}

/// A generator of numbers that is the same every time (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// A few series of every shape: no chunks, many chunks, all times there are, bytes that are no text.
fn odd_index() -> Vec<u8> {
    let mut writer = Writer::new(vec![]);
    let symbols: [&[u8]; 7] = [b"", b"a", b"b", b"name", b"x\"y", &[0xff; 200], &[0xff, 0xff, 0xff]];
    let mut sorted = symbols.to_vec();
    sorted.sort_unstable();
    for symbol in &sorted {
        writer.symbol(symbol).unwrap();
    }
    let mut writer = writer.series().unwrap();
    let chunk = |min_time, max_time, place| ChunkMeta { min_time, max_time, reference: ChunkRef(place) };
    writer.push(&[(1, 0)], &[]).unwrap();
    writer.push(&[(1, 2), (3, 4)], &[chunk(i64::MIN, i64::MAX, 8)]).unwrap();
    let many: Vec<_> =
        (0..300).map(|i| chunk(i * 1000 - 90_000, i * 1000 - 89_001, 8 + ((i as u64 / 100) << 32) + i as u64)).collect();
    writer.push(&[(1, 5), (2, 5)], &many).unwrap();
    writer.push(&[(3, 6)], &[chunk(0, 0, u64::MAX >> 1), chunk(1, 1, u64::MAX)]).unwrap();
    writer.finish().unwrap().0
}

#[test]
fn odd_series_survive() {
    let bytes = odd_index();
    assert_eq!(audit(&bytes), 4);
    assert!(rewrite(&bytes) == bytes);
    exercise(&bytes);
}

#[test]
fn an_empty_index_has_every_section() {
    let (bytes, toc) = Writer::new(vec![]).series().unwrap().finish().unwrap();
    assert_eq!(audit(&bytes), 0);
    assert!(rewrite(&bytes) == bytes);
    assert_eq!((toc.series, toc.postings, toc.postings_table, bytes.len()), (17, 17, 32, 32 + 16 + 52));
    exercise(&bytes);
}

#[test]
fn what_prometheus_refuses_is_refused() {
    let order = |r: Result<u32, WriteError>| match r.unwrap_err() {
        WriteError::Order(why) => why,
        other => panic!("{other}"),
    };
    let mut writer = Writer::new(vec![]);
    for symbol in [b"a", b"b", b"c"] {
        writer.symbol(symbol).unwrap();
    }
    assert_eq!(order(writer.symbol(b"c")), "symbol \"c\" behind \"c\"");
    let mut writer = writer.series().unwrap();
    let chunk = |min_time, max_time, place| ChunkMeta { min_time, max_time, reference: ChunkRef(place) };
    assert_eq!(order(writer.push(&[], &[])), "series 0: not above the one before it");
    writer.push(&[(0, 1)], &[chunk(0, 9, 100)]).unwrap();
    for (labels, chunks, why) in [
        (&[(0, 1)][..], vec![], "not above the one before it"),
        (&[(0, 0), (1, 1)], vec![], "not above the one before it"),
        (&[(0, 3)], vec![], "label of symbols 0 and 3, there are 3"),
        (&[(0, 2)], vec![chunk(0, 9, 99)], "chunk at 0:99 behind one at 0:100"),
        (&[(0, 2)], vec![chunk(0, 9, 200), chunk(9, 12, 300)], "chunk from 9 behind one up to 9"),
        (&[(0, 2)], vec![chunk(3, 2, 200)], "chunk from 3 to 2"),
    ] {
        assert_eq!(order(writer.push(labels, &chunks)), format!("series 1: {why}"));
    }
    // what was refused left no trace
    writer.push(&[(0, 1), (2, 2)], &[chunk(-9, 9, 100)]).unwrap();
    let (bytes, _) = writer.finish().unwrap();
    assert_eq!(audit(&bytes), 2);
}

#[test]
fn a_sink_that_refuses_is_an_error() {
    #[derive(Debug)]
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("full"))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let writer = Writer::new(Full).series().unwrap();
    assert_eq!(writer.finish().unwrap_err().to_string(), "full");
}

/// What an index says, in an order of its own: series, then every list.
type Said = (Vec<(Vec<(u32, u32)>, Vec<ChunkMeta>)>, Vec<(Vec<u8>, Vec<u8>, Vec<u32>)>, Vec<Vec<u8>>);

/// All that can be asked, or the first error.
fn say(bytes: &[u8]) -> Result<Said, Malformed> {
    let index = Index::open(bytes)?;
    let (mut walk, mut labels, mut chunks, mut series) = (index.each_series(), vec![], vec![], vec![]);
    while walk.next(&mut labels, &mut chunks)?.is_some() {
        series.push((labels.clone(), chunks.clone()));
    }
    let list = |e: TableEntry<'_>| Ok((e.name.to_vec(), e.value.to_vec(), index.postings_at(e.offset)?.iter().collect()));
    let lists = index.postings_table().map(list).collect::<Result<_, Malformed>>()?;
    Ok((series, lists, index.symbols().map(|(_, s)| s.to_vec()).collect()))
}

#[test]
fn a_wrong_bit_is_an_error_or_no_difference() {
    let mut numbers = Numbers(3);
    for good in [&odd_index()[..], ENCODINGS, FORMAT_1] {
        let said = say(good).unwrap();
        let mut same = 0;
        for _ in 0..3000 {
            let mut bad = good.to_vec();
            let at = numbers.below(good.len());
            bad[at] ^= 1 << numbers.below(8);
            match say(&bad) {
                Ok(other) => {
                    assert!(other == said, "byte {at} changes what is said");
                    same += 1;
                }
                Err(e) => assert!(e.at <= good.len() as u64, "{e}"),
            }
        }
        // padding between series
        assert!(same < 2000, "{same} of 3000 were not noticed");
    }
}

#[test]
fn no_bytes_hurt() {
    let mut numbers = Numbers(7);
    for good in [&odd_index()[..], ENCODINGS, FORMAT_1] {
        for cut in (0..good.len()).step_by(if good.len() > 4000 { 13 } else { 1 }) {
            assert!(say(&good[..cut]).is_err(), "cut at {cut}");
            exercise(&good[..cut]);
        }
        for _ in 0..300 {
            let mut bad = good.to_vec();
            for _ in 0..=numbers.below(4) {
                let (at, len) = (numbers.below(bad.len()), numbers.below(9));
                for b in bad.iter_mut().skip(at).take(len) {
                    *b = [0, 1, 0x7f, 0x80, 0xff][numbers.below(5)];
                }
            }
            mend(&mut bad);
            exercise(&bad);
        }
        // parts alone, from anywhere, with a right checksum
        for _ in 0..600 {
            let from = numbers.below(good.len());
            let mut part = good[from..(from + 4 + numbers.below(400)).min(good.len())].to_vec();
            if part.len() >= 8 {
                let (len, end) = (part.len() as u32 - 8, part.len() - 4);
                part[..4].copy_from_slice(&len.to_be_bytes());
                let crc = crc32c(&part[4..end]);
                part[end..].copy_from_slice(&crc.to_be_bytes());
            }
            exercise(&part);
        }
    }
}

/// Makes the checksums of the sections right again, so that damage gets past them.
fn mend(bytes: &mut [u8]) {
    let len = bytes.len();
    if len < TOC_BYTES {
        return;
    }
    let crc = crc32c(&bytes[len - TOC_BYTES..len - 4]);
    bytes[len - 4..].copy_from_slice(&crc.to_be_bytes());
    let Ok(toc) = Toc::decode(&bytes[len - TOC_BYTES..], len as u64) else { return };
    for at in [toc.symbols as usize, toc.postings_table as usize] {
        let Some(head) = bytes.get(at..).and_then(|b| b.first_chunk::<4>()) else { continue };
        let end = (at + 4).saturating_add(u32::from_be_bytes(*head) as usize);
        if let Some(content) = bytes.get(at + 4..end) {
            let crc = crc32c(content);
            if let Some(stored) = bytes.get_mut(end..end + 4) {
                stored.copy_from_slice(&crc.to_be_bytes());
            }
        }
    }
}

#[test]
fn a_dump_covers_every_byte() {
    for bytes in [COMPACTED, ENCODINGS, FORMAT_1, &odd_index()] {
        let text = describe(bytes).unwrap();
        assert!(!text.contains("not described"));
    }
    let mut writer = Writer::new(vec![]);
    writer.symbol(b"job").unwrap();
    writer.symbol(b"x").unwrap();
    let mut writer = writer.series().unwrap();
    writer.push(&[(0, 1)], &[ChunkMeta { min_time: 5, max_time: 7, reference: ChunkRef(8) }]).unwrap();
    let text = describe(&writer.finish().unwrap().0).unwrap();
    assert_eq!(text, include_str!("../../../testdata/index/small.txt"));
}

#[test]
fn ranges_hold_their_lists() {
    for bytes in [COMPACTED, ENCODINGS, FORMAT_1] {
        let index = Index::open(bytes).unwrap();
        for e in index.postings_table() {
            let range = index.postings_range(e.name, e.value).unwrap();
            let part = &bytes[range.start as usize..range.end as usize];
            let list = decode_postings_list(part, range.start).unwrap();
            assert!(part.len() - list.len_bytes() < 4, "no more than padding behind the list");
        }
        assert_eq!(index.postings_range(b"no such name", b""), None);
    }
}
