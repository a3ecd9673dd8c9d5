//! A block of real bytes: seen in any pieces it is the same, and no byte of it can change unseen.

use super::*;
use crate::encoding::crc32c;
use crate::format::index::{SeriesWalk, Toc, Version, encode_series};

const INDEX: &[u8] = include_bytes!("../../../testdata/damage/sound/index");
const SEGMENT: &[u8] = include_bytes!("../../../testdata/damage/sound/000001");

fn toc(index: &[u8]) -> Toc {
    Toc::decode(&index[index.len() - 52..], index.len() as u64).unwrap()
}

/// What both objects hold, given in pieces; the index is `lead` pieces ahead.
fn see_in_pieces(index: &[u8], segment: &[u8], piece: usize, lead: usize) -> Result<Fingerprint> {
    let witness = Witness::new(BlockId::from_parts(1, 2));
    let end = toc(INDEX);
    witness.bounds().series_end(end.postings);
    witness.bounds().table(end.postings_table);
    let (mut of_index, mut of_segment) = (witness.index(), witness.segment(0));
    let mut records = segment.chunks(piece);
    for (n, bytes) in index.chunks(piece).enumerate() {
        of_index.read(bytes)?;
        if n >= lead {
            records.next().map_or(Ok(()), |bytes| of_segment.read(bytes))?;
        }
    }
    records.try_for_each(|bytes| of_segment.read(bytes))?;
    of_index.end()?;
    of_segment.end()?;
    witness.finish()
}

fn see(index: &[u8], segment: &[u8]) -> Result<Fingerprint> {
    see_in_pieces(index, segment, usize::MAX, 0)
}

#[test]
fn pieces_do_not_matter() {
    let whole = see(INDEX, SEGMENT).unwrap();
    assert_eq!((whole.series, whole.chunks), (16, 80));
    for (piece, lead) in [(1, 0), (7, 3), (64, 1000), (1000, 0)] {
        assert_eq!(see_in_pieces(INDEX, SEGMENT, piece, lead).unwrap(), whole, "pieces of {piece}");
    }
}

#[test]
fn no_byte_changes_unseen() {
    let mut changed = INDEX.to_vec();
    for at in 0..INDEX.len() {
        changed[at] ^= 1 << (at % 8);
        let error = see(&changed, SEGMENT).expect_err("a byte of the index");
        assert_eq!(error.kind(), Kind::Corrupt);
        changed[at] = INDEX[at];
    }
    let mut changed = SEGMENT.to_vec();
    // all of the first records, and some of the others
    for at in (0..2000).chain((2000..SEGMENT.len()).step_by(37)) {
        changed[at] ^= 1 << (at % 8);
        let error = see(INDEX, &changed).expect_err("a byte of a segment");
        assert_eq!((error.kind(), error.part_name()), (Kind::Corrupt, Some("chunks/000001")), "byte {at}");
        changed[at] = SEGMENT[at];
    }
}

#[test]
fn nothing_may_be_missing_at_the_end() {
    for cut in [1, 5, 52, 60, INDEX.len() - 4, INDEX.len()] {
        assert!(see(&INDEX[..INDEX.len() - cut], SEGMENT).is_err(), "{cut} bytes less");
    }
    for cut in [1, 4, 100, SEGMENT.len() - 8, SEGMENT.len()] {
        assert!(see(INDEX, &SEGMENT[..SEGMENT.len() - cut]).is_err(), "{cut} bytes less");
    }
    assert!(see(&[INDEX, &[0]].concat(), SEGMENT).is_err());
    assert!(see(INDEX, &[SEGMENT, &[0]].concat()).is_err());
}

/// Changes the entry of the first series and gives it the right checksum.
fn with_entry(change: impl FnOnce(&mut Vec<(u32, u32)>, &mut Vec<crate::format::index::ChunkMeta>)) -> Vec<u8> {
    let series = toc(INDEX).series_range();
    let mut walk = SeriesWalk::new(Version::V2, &INDEX[series.start as usize..series.end as usize], series.start);
    let (mut labels, mut chunks) = (vec![], vec![]);
    let at = walk.next(&mut labels, &mut chunks).unwrap().unwrap() as usize * 16;
    let (mut before, mut after) = (vec![], vec![]);
    encode_series(&mut before, &labels, &chunks).unwrap();
    change(&mut labels, &mut chunks);
    encode_series(&mut after, &labels, &chunks).unwrap();
    assert_eq!(before.len(), after.len(), "the change keeps all places");
    let mut index = INDEX.to_vec();
    index[at..at + after.len()].copy_from_slice(&after);
    index
}

#[test]
fn checksums_that_are_right_do_not_help() {
    let sound = see(INDEX, SEGMENT).unwrap();
    assert_eq!(see(&with_entry(|_, _| ()), SEGMENT).unwrap(), sound);
    let moved = with_entry(|_, chunks| chunks[1].reference.0 += 1);
    assert!(see(&moved, SEGMENT).unwrap_err().to_string().contains("the next record is at"));
    let other = with_entry(|_, chunks| chunks[0].max_time -= 1);
    assert_ne!(see(&other, SEGMENT).unwrap(), sound);
    let last = with_entry(|labels, _| labels.last_mut().unwrap().1 -= 1);
    assert_ne!(see(&last, SEGMENT).unwrap(), sound);

    // a list whose series is another one
    let at = toc(INDEX).postings_table as usize;
    let list = at - 4 - 4 - 8;
    let found = (0..list).rev().find(|&p| p % 4 == 0 && INDEX[p..p + 8] == [0, 0, 0, 8, 0, 0, 0, 1]);
    let mut index = INDEX.to_vec();
    let begin = found.expect("a list of one series") + 4;
    index[begin + 7] ^= 1;
    let crc = crc32c(&index[begin..begin + 8]);
    index[begin + 8..begin + 12].copy_from_slice(&crc.to_be_bytes());
    let error = see(&index, SEGMENT).unwrap_err();
    assert!(error.to_string().contains("series in all lists"), "{error}");
    assert!(error.what_next().unwrap().contains("nothing was marked"));
}

#[tokio::test]
async fn read_back_from_a_bucket() {
    let bucket = crate::bucket::Bucket::memory();
    let id = BlockId::from_parts(1, 2);
    let written = [("chunks/000001", SEGMENT), ("index", INDEX)].map(|(name, bytes)| crate::block::Written {
        name: name.to_owned(),
        len_bytes: bytes.len() as u64,
        sha256: None,
    });
    bucket.put(&format!("{id}/index"), INDEX.into()).await.unwrap();
    bucket.put(&format!("{id}/chunks/000001"), SEGMENT.into()).await.unwrap();
    assert_eq!(read_back(&bucket, id, &written).await.unwrap(), see(INDEX, SEGMENT).unwrap());
    let mut changed = SEGMENT.to_vec();
    changed[1000] ^= 1;
    bucket.put(&format!("{id}/chunks/000001"), changed.into()).await.unwrap();
    let error = read_back(&bucket, id, &written).await.unwrap_err();
    assert_eq!((error.kind(), error.block_id(), error.part_name()), (Kind::Corrupt, Some(id), Some("chunks/000001")));
}
