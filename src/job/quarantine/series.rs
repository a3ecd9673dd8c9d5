//! Which series a damaged byte belongs to, so that people know what they would lose.
//!
//! Asked once, when a block is about to be left alone: its index is read then, and nothing of its chunks.

use std::sync::Arc;

use bytes::Bytes;

use crate::block::{OpenBlock, Reads, SeriesRun};
use crate::error::{Error, Kind, Result};
use crate::format::index::{Version, decode_series};
use crate::format::segment::ChunkRef;
use crate::job::Env;

/// The largest index that is read for a name, in bytes.
const MAX_INDEX_BYTES: u64 = 1 << 30;

/// Series entries that are read together, in bytes.
const RUN_BYTES: u64 = 4 << 20;

/// What an error calls the series section of an index.
const INDEX_SERIES: &str = "index series";

/// What an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// A byte of the index.
    Index(u64),
    /// A byte of a segment, by its number from 0.
    Segment(u32, u64),
}

fn place(error: &Error) -> Option<Place> {
    if !matches!(error.kind(), Kind::Corrupt | Kind::Unsupported) {
        return None;
    }
    let (part, at) = (error.part_name()?, error.offset()?);
    match part.strip_prefix("chunks/") {
        Some(number) => Some(Place::Segment(number.parse::<u32>().ok()?.checked_sub(1)?, at)),
        None => (part == INDEX_SERIES).then_some(Place::Index(at)),
    }
}

/// The labels of the series in which the damage lies that `error` is about; `None` where it lies in no series, where the
/// index is damaged so that nobody can tell, or where it has more than 1 GiB.
///
/// *Memory*: the symbol table, 4 bytes a series, 4 MiB of entries.
pub async fn series_of(env: &Env, error: &Error) -> Option<String> {
    let place = place(error)?;
    let reads = Reads::new(env.bucket.clone(), None);
    let block = OpenBlock::open(&reads, error.block_id()?).await.ok()?;
    if block.index_bytes() > MAX_INDEX_BYTES {
        return None;
    }
    let labels = find(env, &block, place).await.ok()??;
    let symbols = block.symbols().await.ok()?;
    let mut pairs = Vec::with_capacity(labels.len());
    for (name, value) in labels {
        let text = |reference| symbols.get(reference).ok().map(String::from_utf8_lossy);
        pairs.push(format!("{}={:?}", text(name)?, text(value)?));
    }
    Some(format!("{{{}}}", pairs.join(", ")))
}

/// References to names and values of the series at `place`.
type Labels = Vec<(u32, u32)>;

async fn find(env: &Env, block: &OpenBlock, place: Place) -> Result<Option<Labels>> {
    let table = block.postings_table().await?;
    let ids = block.all_series(&table).await?;
    if !ids.is_sorted() {
        return Ok(None);
    }
    let version = block.version();
    let (wanted, ids) = match place {
        Place::Segment(segment, at) => (Some((segment, at)), Arc::new(ids)),
        Place::Index(at) => {
            let behind = ids.partition_point(|&id| version.series_offset(id) <= at);
            if at >= block.toc().series_range().end {
                return Ok(None);
            }
            (None, Arc::new(ids[behind.saturating_sub(1)..behind].to_vec()))
        }
    };
    let mut nearest = None;
    for run in block.series_runs(&ids, RUN_BYTES) {
        let until = run.bytes.start.saturating_add(2 * RUN_BYTES).min(run.bytes.end);
        let bytes = block.index_range(run.bytes.start..until).await?;
        let ids = ids.clone();
        nearest = env.compute().run(move || scan(version, &ids, &run, &bytes, wanted, nearest)).await?;
    }
    Ok(nearest.map(|(_, labels)| labels))
}

/// The series of a run whose chunk begins nearest before the byte that is wanted, unless that of `nearest` is nearer;
/// any series where none is wanted.
fn scan(
    version: Version,
    ids: &[u32],
    run: &SeriesRun,
    bytes: &Bytes,
    wanted: Option<(u32, u64)>,
    mut nearest: Option<(u64, Labels)>,
) -> Option<(u64, Labels)> {
    let (mut labels, mut chunks) = (Vec::new(), Vec::new());
    for &id in &ids[run.ids.clone()] {
        let offset = version.series_offset(id);
        labels.clear();
        chunks.clear();
        let entry = usize::try_from(offset - run.bytes.start).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
        if decode_series(entry, offset, &mut labels, &mut chunks).is_err() {
            continue;
        }
        let begin = |reference: ChunkRef| u64::from(reference.offset());
        let found = match wanted {
            None => Some(offset),
            Some((segment, at)) => {
                let before = chunks.iter().map(|c| c.reference).filter(|r| r.segment() == segment && begin(*r) <= at);
                before.map(begin).max()
            }
        };
        if let Some(found) = found
            && nearest.as_ref().is_none_or(|(before, _)| found > *before)
        {
            nearest = Some((found, labels.clone()));
        }
    }
    nearest
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::bucket::Bucket;
    use crate::clock::ManualClock;
    use crate::format::index::Index;
    use crate::job::Silent;
    use crate::model::BlockId;

    const INDEX: &[u8] = include_bytes!("../../../testdata/damage/sound/index");

    async fn env(index: &[u8]) -> Env {
        let bucket = Bucket::memory();
        bucket.put(&format!("{}/index", BlockId::ZERO), index.to_vec().into()).await.unwrap();
        Env {
            bucket,
            pool: Arc::new(rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap()),
            clock: ManualClock::new(0, 1),
            report: Arc::new(Silent),
            scratch: std::env::temp_dir(),
            cancel: CancellationToken::new(),
        }
    }

    async fn at(env: &Env, part: &str, at: u64) -> Option<String> {
        series_of(env, &Error::new(Kind::Corrupt, "x").block(BlockId::ZERO).part(part).at(at)).await
    }

    #[tokio::test]
    async fn every_byte_of_a_series_names_it() {
        let index = Index::open(INDEX).unwrap();
        let env = env(INDEX).await;
        let (mut labels, mut chunks, mut seen) = (vec![], vec![], 0);
        for id in index.all_postings().unwrap().iter() {
            index.series(id, &mut labels, &mut chunks).unwrap();
            let text = |r| String::from_utf8(index.symbol(r).unwrap().to_vec()).unwrap();
            let pairs: Vec<String> = labels.iter().map(|&(n, v)| format!("{}={:?}", text(n), text(v))).collect();
            let expected = Some(format!("{{{}}}", pairs.join(", ")));
            let offset = index.version().series_offset(id);
            for offset in [offset, offset + 9] {
                assert_eq!(at(&env, "index series", offset).await, expected);
            }
            for chunk in &chunks {
                let begin = u64::from(chunk.reference.offset());
                let part = format!("chunks/{:06}", chunk.reference.segment() + 1);
                assert_eq!(
                    [at(&env, &part, begin).await, at(&env, &part, begin + 3).await],
                    [expected.clone(), expected.clone()]
                );
            }
            seen += 1;
        }
        assert!(seen > 1);
    }

    #[tokio::test]
    async fn where_nobody_can_tell() {
        let sound = env(INDEX).await;
        assert_eq!(at(&sound, "chunks/000001", 7).await, None, "before the first chunk");
        assert_eq!(at(&sound, "chunks/000009", 8).await, None);
        for offset in [0, INDEX.len() as u64, u64::MAX] {
            assert_eq!(at(&sound, "index series", offset).await, None);
        }
        let toc = *Index::open(INDEX).unwrap().toc();
        for flipped in [INDEX.len() as u64 - 9, toc.postings_table + 9, toc.symbols + 9] {
            let mut bytes = INDEX.to_vec();
            bytes[flipped as usize] ^= 1;
            assert_eq!(at(&env(&bytes).await, "chunks/000001", 8).await, None);
        }
    }

    #[test]
    fn places_of_errors() {
        let check = |kind, part: &str, at: Option<u64>, expected| {
            let error = Error::new(kind, "x").block(BlockId::ZERO).part(part);
            let error = at.into_iter().fold(error, Error::at);
            assert_eq!(place(&error), expected, "{error:?}");
        };
        check(Kind::Corrupt, "chunks/000001", Some(8), Some(Place::Segment(0, 8)));
        check(Kind::Unsupported, "chunks/000012", Some(0), Some(Place::Segment(11, 0)));
        check(Kind::Corrupt, "index series", Some(9), Some(Place::Index(9)));
        check(Kind::Corrupt, "chunks/000001", None, None);
        check(Kind::Corrupt, "chunks/000000", Some(8), None);
        check(Kind::Corrupt, "chunks/x", Some(8), None);
        check(Kind::Corrupt, "index postings", Some(8), None);
        check(Kind::NotFound, "chunks/000001", Some(8), None);
    }
}
