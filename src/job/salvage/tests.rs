//! Real blocks with every kind of damage: what comes out is what was there, and what does not is listed.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::TryStreamExt;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::bucket::Bucket;
use crate::clock::ManualClock;
use crate::format::index::{SeriesWalk, SymbolTable, Toc, check_header};
use crate::format::segment::decode_record;
use crate::job::Silent;

type Files = BTreeMap<String, Vec<u8>>;

/// What happens to the bytes of a file.
type Damage<'a> = &'a dyn Fn(&mut Vec<u8>);

/// By label set: times, encoding and data of each chunk.
type Content = BTreeMap<Vec<(String, String)>, Vec<(Millis, Millis, u8, Vec<u8>)>>;

/// The block of `testdata/damage` of this name.
fn block(name: &str) -> Files {
    let read = |file: &str| {
        let path = format!("{}/testdata/damage/{name}/{file}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
    };
    [("index", "index"), ("chunks/000001", "000001"), ("meta.json", "meta.json")]
        .map(|(name, file)| (name.to_owned(), read(file)))
        .into()
}

/// A block of 60 raw series with three chunks each, as it is once the nine entries of its index that lie are gone.
async fn sound() -> Files {
    let done = take(&block("complete-outside-chunks")).await.unwrap();
    assert_eq!(done.said(), [""; 0], "times in the index are those of the samples, and copies are no loss");
    done.made.unwrap()
}

fn content(files: &Files) -> Content {
    let index = &files["index"];
    let version = check_header(index).unwrap();
    let toc = Toc::decode(&index[index.len() - 52..], index.len() as u64).unwrap();
    let slice = |r: std::ops::Range<u64>| &index[r.start as usize..r.end as usize];
    let symbols = SymbolTable::decode(version, slice(toc.symbols_range()), toc.symbols).unwrap();
    let mut walk = SeriesWalk::new(version, slice(toc.series_range()), toc.series);
    let (mut labels, mut chunks, mut all) = (vec![], vec![], Content::new());
    while walk.next(&mut labels, &mut chunks).unwrap().is_some() {
        let text = |r| String::from_utf8(symbols.get(r).unwrap().to_vec()).unwrap();
        let names = labels.iter().map(|&(n, v)| (text(n), text(v))).collect();
        let chunks = chunks.iter().map(|c| {
            let segment = &files[&format!("chunks/{:06}", c.reference.segment() + 1)];
            let at = c.reference.offset();
            let record = decode_record(&segment[at as usize..], at.into()).unwrap();
            (c.min_time, c.max_time, record.encoding, record.data.to_vec())
        });
        assert!(all.insert(names, chunks.collect()).is_none(), "one series twice");
    }
    all
}

struct Done {
    salvaged: Salvaged,
    made: Option<Files>,
}

impl Done {
    fn said(&self) -> Vec<String> {
        self.salvaged.lost.listed.iter().map(|l| format!("{} {:?}: {}", l.part, l.at, l.why)).collect()
    }
}

/// Takes over the block of `files`, of which only `meta.json` may be missing.
async fn take(files: &Files) -> Result<Done> {
    let bucket = Bucket::memory();
    let id = BlockId::from_parts(1_767_600_000_000, 9);
    for (name, bytes) in files {
        bucket.put(&format!("{id}/{name}"), Bytes::from(bytes.clone())).await?;
    }
    let env = Env {
        bucket: bucket.clone(),
        pool: Arc::new(rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap()),
        clock: ManualClock::new(1_767_600_000_000, 1),
        report: Arc::new(Silent),
        scratch: std::env::temp_dir(),
        cancel: CancellationToken::new(),
    };
    let list = async || bucket.list("").try_collect::<Vec<Object>>().await.unwrap();
    let before = list().await;
    let meta = files.get("meta.json").map(|bytes| Arc::new(Meta::decode(bytes).unwrap()));
    let labels = LabelSet::from_iter([("cluster", "x")]);
    let objects = before.clone().into();
    let task = Task { job: JobId(1), block: id, objects, meta, labels, write: true };
    let planned = salvage(&env, &Task { write: false, ..task.clone() }).await;
    assert_eq!(list().await.len(), before.len(), "a dry run writes nothing");
    let salvaged = salvage(&env, &task).await;
    assert_eq!(planned.is_ok(), salvaged.is_ok());
    let after = list().await;
    let mut made = Files::new();
    for object in after.iter().filter(|o| !before.contains(o)) {
        made.insert(object.key[27..].to_owned(), bucket.get(&object.key, 1 << 30).await?.to_vec());
    }
    let salvaged = match salvaged {
        Ok(salvaged) => salvaged,
        Err(error) => {
            assert!(made.is_empty(), "nothing stays: {error}");
            return Err(error);
        }
    };
    assert_eq!(planned?.lost, salvaged.lost, "a dry run lists the same");
    assert_eq!(made.is_empty(), salvaged.meta.is_none());
    if let Some(meta) = &salvaged.meta {
        assert_eq!(made["meta.json"], meta.encode());
    }
    Ok(Done { salvaged, made: (!made.is_empty()).then_some(made) })
}

/// Everything that came out was there as it is, and what did not is listed.
fn check(says: &str, done: &Done, whole: &Content) -> usize {
    let made = done.made.as_ref().map(content).unwrap_or_default();
    for (labels, chunks) in &made {
        let before = whole.get(labels).unwrap_or_else(|| panic!("{says}: {labels:?} was not there"));
        assert!(chunks.iter().all(|c| before.contains(c)), "{says}: other chunks of {labels:?}");
    }
    let count = |c: &Content| c.values().map(Vec::len).sum::<usize>();
    let missing = count(whole) - count(&made);
    assert!(missing == 0 || !done.salvaged.lost.is_empty(), "{says}: {missing} chunks are missing and nobody says so");
    if let Some(meta) = &done.salvaged.meta {
        assert_eq!((meta.stats.num_series, meta.stats.num_chunks), (made.len() as u64, count(&made) as u64), "{says}");
    }
    missing
}

#[tokio::test]
async fn a_sound_block_comes_out_to_the_byte() {
    for (name, files) in [("aggregates", block("sound")), ("raw", sound().await)] {
        let done = take(&files).await.unwrap();
        assert_eq!(done.said(), [""; 0], "{name}");
        let made = done.made.expect("a block");
        for file in ["index", "chunks/000001"] {
            assert!(made[file] == files[file], "{name}: {file}");
        }
        let (old, new) = (Meta::decode(&files["meta.json"]).unwrap(), Meta::decode(&made["meta.json"]).unwrap());
        assert_eq!((old.min_time, old.max_time, old.labels()), (new.min_time, new.max_time, new.labels()));
        assert_eq!((old.sources(), old.stats.num_samples), (new.sources(), new.stats.num_samples));
    }
}

#[tokio::test]
async fn a_lost_meta_is_made_of_index_and_chunks() {
    for (name, mut files) in [("aggregates", block("sound")), ("raw", sound().await)] {
        let old = Meta::decode(&files.remove("meta.json").unwrap()).unwrap();
        let done = take(&files).await.unwrap();
        assert_eq!(done.said(), [""; 0], "{name}");
        assert_eq!(check(name, &done, &content(&files)), 0);
        let new = done.salvaged.meta.expect("a block");
        assert_eq!(new.resolution(), old.resolution(), "{name}");
        let counts = |m: &Meta| (m.stats.num_series, m.stats.num_chunks, m.stats.num_samples);
        assert_eq!(counts(&new), counts(&old), "{name}");
        assert_eq!(new.labels().to_string(), r#"{cluster="x"}"#);
        assert!(old.min_time <= new.min_time && new.min_time < new.max_time && new.max_time <= old.max_time, "{name}");
        assert_eq!((new.version, new.compaction.level, new.sources().len()), (1, 1, 1), "{name}");
    }
}

#[tokio::test]
async fn samples_outside_of_the_block_are_cut_off_and_listed() {
    let mut files = sound().await;
    let mut meta = Meta::decode(&files["meta.json"]).unwrap();
    meta.max_time -= 1_800_000;
    files.insert("meta.json".into(), meta.encode());
    let done = take(&files).await.unwrap();
    let said = done.said();
    assert_eq!(said.len(), 60, "{said:?}");
    assert!(said.iter().all(|s| s.contains("samples outside of the block's range")), "{said:?}");
    let meta = done.salvaged.meta.expect("a block");
    let all = content(&done.made.expect("a block"));
    assert!(all.values().flatten().all(|c| meta.min_time <= c.0 && c.1 < meta.max_time));
}

#[tokio::test]
async fn every_damage_of_an_index() {
    let mut files = sound().await;
    files.remove("meta.json");
    let whole = content(&files);
    let index = files["index"].clone();
    let toc = Toc::decode(&index[index.len() - 52..], index.len() as u64).unwrap();
    let with = |change: Damage<'_>| {
        let mut files = files.clone();
        change(files.get_mut("index").unwrap());
        files
    };
    let series = toc.series.next_multiple_of(16) as usize;
    let cases: [(&str, Damage<'_>, usize); 9] = [
        ("header", &|b| b[0] ^= 1, 0),
        ("version", &|b| b[4] = 9, 0),
        ("a symbol", &|b| b[toc.symbols as usize + 40] ^= 1, 0),
        ("the checksum of the symbols", &|b| b[toc.series as usize - 1] ^= 1, 0),
        ("the table of contents", &|b| b[index.len() - 1] ^= 1, 0),
        ("the postings table", &|b| b[toc.postings_table as usize + 9] ^= 1, 0),
        ("the list of all series", &|b| b[toc.postings.next_multiple_of(4) as usize + 9] ^= 1, 0),
        ("one entry", &|b| b[series + 5] ^= 1, 3),
        ("without its end", &|b| b.truncate(toc.postings_table as usize), 0),
    ];
    for (says, change, most) in cases {
        let done = take(&with(change)).await.unwrap_or_else(|e| panic!("{says}: {e}"));
        let missing = check(says, &done, &whole);
        assert!(missing <= most && (missing > 0) == (most > 0), "{says}: {missing} missing, {:?}", done.said());
        assert!(!done.said().is_empty(), "{says}");
    }
    // cut off in the middle of the series: those before stay
    let half = (series + toc.series_range().end as usize) / 2;
    let done = take(&with(&|b| b.truncate(half))).await.unwrap();
    let missing = check("half", &done, &whole);
    assert!((60..130).contains(&missing), "{missing}");
    let error = take(&with(&|b| b.truncate(series - 20))).await.err().expect("no symbols, no block");
    assert!(error.to_string().contains("restore the index from a backup"), "{error}");
    files.remove("index");
    assert_eq!(take(&files).await.err().map(|e| e.kind()), Some(Kind::NotFound));
}

#[tokio::test]
async fn every_damage_of_chunks() {
    let mut files = sound().await;
    files.remove("meta.json");
    let whole = content(&files);
    let chunks = whole.values().map(Vec::len).sum::<usize>();
    let len = files["chunks/000001"].len();
    for (says, keep, missing) in
        [("half", len / 2, 70..110), ("without its last byte", len - 1, 1..2), ("nothing", 0, chunks..chunks + 1)]
    {
        let mut files = files.clone();
        files.get_mut("chunks/000001").unwrap().truncate(keep);
        let done = take(&files).await.unwrap();
        let lost = check(says, &done, &whole);
        assert!(missing.contains(&lost), "{says}: {lost}");
        assert_eq!(done.salvaged.lost.chunks, lost as u64, "{says}");
        let times = done
            .salvaged
            .lost
            .listed
            .iter()
            .filter(|l| l.part == "chunks/000001")
            .all(|l| l.times.is_some() && l.series.is_some());
        assert!(times, "{says}: {:?}", done.said());
    }
    files.remove("chunks/000001");
    let done = take(&files).await.unwrap();
    assert!(done.made.is_none() && done.said()[0].contains("the segment is not there"), "{:?}", done.said());
    assert_eq!((done.salvaged.lost.chunks, done.salvaged.lost.series), (chunks as u64, 60));
}

#[tokio::test]
async fn a_flipped_bit_anywhere_costs_little_and_is_listed() {
    let mut files = sound().await;
    files.remove("meta.json");
    let whole = content(&files);
    for (file, step, most) in [("index", 37, 8), ("chunks/000001", 997, 1)] {
        for at in (0..files[file].len()).step_by(step) {
            let mut files = files.clone();
            files.get_mut(file).unwrap()[at] ^= 1 << (at % 8);
            let says = format!("byte {at} of {file}");
            let done = take(&files).await.unwrap_or_else(|e| panic!("{says}: {e}"));
            let missing = check(&says, &done, &whole);
            assert!(missing <= most, "{says}: {missing} chunks lost: {:?}", done.said());
        }
    }
}
