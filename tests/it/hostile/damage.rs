//! Everything that can happen to a block in a bucket, and what a merge makes of it: the same bytes as
//! without the damage, or an error that names block and part, and nothing left behind. Whatever stops a merge
//! is found by `tools bucket verify`, and so is damage to parts that a merge does not read.
//!
//! What Prometheus 2.42 makes of the same damages is worse: it serves blocks without their chunks and
//! prints short dumps without a word.

use blockyard::bucket::Bucket;
use blockyard::encoding::crc32c;
use blockyard::format::meta::Meta;
use blockyard::job::Env;
use blockyard::job::catalog::{SyncOptions, Syncer};
use blockyard::job::compact::CompactOutcome;
use blockyard::job::verify::{Check, Options, run as verify};
use blockyard::model::BlockId;
use blockyard::{Error, Kind};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::mutate::Chance;
use crate::golden::case::Case;
use crate::golden::merge;

type Objects = Vec<(String, Vec<u8>)>;

/// A golden case whose first input is going to be damaged.
struct Patient {
    objects: Objects,
    blocks: Vec<BlockId>,
    runtime: Runtime,
    scratch: TempDir,
    healthy: Objects,
    /// What verification says of the first block when nothing is damaged.
    healthy_said: Vec<String>,
}

impl Patient {
    fn new(name: &str) -> Patient {
        let case = Case::load(name);
        let mut patient = Patient {
            objects: case.objects(),
            blocks: case.steps[0].inputs.iter().map(|i| i.parse().expect("an id")).collect(),
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"),
            scratch: TempDir::new().expect("scratch"),
            healthy: Vec::new(),
            healthy_said: Vec::new(),
        };
        patient.healthy_said = patient.verified(&patient.objects);
        patient.healthy = patient.merge(&patient.objects).expect("a healthy merge");
        patient
    }

    fn key(&self, file: &str) -> String {
        format!("{}/{file}", self.blocks[0])
    }

    fn file(&self, file: &str) -> &[u8] {
        let key = self.key(file);
        &self.objects.iter().find(|(k, _)| *k == key).unwrap_or_else(|| panic!("no {file}")).1
    }

    /// The inputs with one file of the first block changed.
    fn with(&self, file: &str, change: impl FnOnce(&mut Vec<u8>)) -> Objects {
        let key = self.key(file);
        let mut objects = self.objects.clone();
        change(&mut objects.iter_mut().find(|(k, _)| *k == key).unwrap_or_else(|| panic!("no {file}")).1);
        objects
    }

    fn without(&self, file: &str) -> Objects {
        let key = self.key(file);
        let mut objects = self.objects.clone();
        objects.retain(|(k, _)| *k != key);
        objects
    }

    /// What the merge writes, without `meta.json`, as (name, bytes).
    fn merge(&self, objects: &[(String, Vec<u8>)]) -> Result<Objects, Error> {
        self.runtime.block_on(async {
            let env = self.env();
            merge::fill(&env.bucket, objects).await;
            let outcome = merge::merge(&env, &self.blocks).await;
            let mut made = merge::contents(&env.bucket, "").await;
            made.retain(|(key, _)| !objects.iter().any(|(k, _)| k == key));
            match outcome {
                Ok(CompactOutcome::Written { .. }) => {
                    made.retain(|(key, _)| !key.ends_with("/meta.json"));
                    made.iter_mut().for_each(|(key, _)| *key = key[27..].to_owned());
                    Ok(made)
                }
                Ok(CompactOutcome::Empty) => panic!("samples were lost"),
                Err(error) => {
                    assert_eq!(made, [], "nothing stays behind");
                    assert_eq!(env.bucket.list_unfinished_uploads("").await.expect("a listing"), []);
                    Err(error)
                }
            }
        })
    }

    fn env(&self) -> Env {
        merge::env(Bucket::memory(), 1, &self.scratch)
    }

    /// The error of a merge that has to fail.
    fn refused(&self, damage: &str, objects: &[(String, Vec<u8>)]) -> Error {
        match self.merge(objects) {
            Ok(made) => panic!("{damage}: not seen, output {}", if made == self.healthy { "as without it" } else { "differs" }),
            Err(error) => {
                self.check_error(damage, &error);
                self.found(damage, objects);
                error
            }
        }
    }

    /// What verification with every check says of the first block.
    fn verified(&self, objects: &[(String, Vec<u8>)]) -> Vec<String> {
        let checks = Check::ALL.into_iter().filter(|c| !c.is_about_groups()).collect();
        let options = Options { checks, ids: vec![self.blocks[0]], since: None, bytes_per_second: None, state: None };
        self.runtime.block_on(async {
            let env = self.env();
            merge::fill(&env.bucket, objects).await;
            let catalog = Syncer::new(env.bucket.clone(), SyncOptions::default()).sync().await.expect("a look");
            let summary = verify(&env, &catalog, &options, &mut |_| {}).await.expect("damage is a finding");
            let found = summary.blocks.iter().flat_map(|v| v.findings.listed());
            found.map(|f| format!("{}: {f}", f.check)).collect()
        })
    }

    /// Verification finds the damage.
    fn found(&self, damage: &str, objects: &[(String, Vec<u8>)]) -> Vec<String> {
        let mut said = self.verified(objects);
        said.retain(|finding| !self.healthy_said.contains(finding));
        assert!(!said.is_empty(), "{damage}: verification finds nothing");
        said
    }

    fn check_error(&self, damage: &str, error: &Error) {
        assert!(matches!(error.kind(), Kind::Corrupt | Kind::Unsupported | Kind::NotFound), "{damage}: {error:?}");
        assert_eq!(error.block_id(), Some(self.blocks[0]), "{damage}: {error}");
        assert!(error.part_name().is_some(), "{damage}: names no part: {error}");
    }

    /// The merge sees the damage, or it does no harm; whether it was seen.
    fn seen_or_harmless(&self, damage: &str, objects: &[(String, Vec<u8>)]) -> bool {
        match self.merge(objects) {
            Ok(made) => {
                assert!(made == self.healthy, "{damage}: other data, and no error");
                false
            }
            Err(error) => {
                self.check_error(damage, &error);
                self.found(damage, objects);
                true
            }
        }
    }
}

/// What was found wrong lies in this part, at a known byte unless the whole of it is missing.
fn part(error: &Error, damage: &str, part: &str) {
    let named = error.part_name().expect("a part");
    assert!(named.contains(part), "{damage}: {named}, not {part}: {error}");
    assert!(error.offset().is_some() || error.kind() == Kind::NotFound, "{damage}: says no byte: {error}");
}

#[test]
fn a_damaged_meta_is_no_meta() {
    let patient = Patient::new("tombstones");
    let whole = patient.file("meta.json");
    assert!(Meta::decode(whole).is_ok());
    let last = whole.iter().rposition(|&b| b == b'}').expect("a brace");
    for len in 0..=last {
        assert!(Meta::decode(&whole[..len]).is_err(), "cut to {len} bytes");
    }
    let text = std::str::from_utf8(whole).expect("text");
    assert!(text.contains("\n\t\"version\": 1"));
    let newer = text.replacen("\n\t\"version\": 1", "\n\t\"version\": 2", 1);
    assert!(Meta::decode(newer.as_bytes()).is_err());
}

#[test]
fn a_meta_that_counts_wrong_does_no_harm() {
    let patient = Patient::new("one-block-only");
    let recounted = patient.with("meta.json", |b| {
        let text = String::from_utf8(std::mem::take(b)).expect("text");
        let at = text.find("\"numSamples\": ").expect("a count") + 14;
        *b = format!("{}9{}", &text[..at], &text[at..]).into_bytes();
    });
    assert_eq!(patient.merge(&recounted).expect("a merge"), patient.healthy);
    let said = patient.found("numSamples", &recounted);
    assert!(said.len() == 1 && said[0].starts_with("stats: meta.json: numSamples is 9"), "{said:?}");
}

#[test]
fn a_meta_with_too_short_a_time_is_seen() {
    let patient = Patient::new("one-block-only");
    let narrow = patient.with("meta.json", |b| {
        let mut meta = Meta::decode(b).expect("a meta");
        meta.max_time -= 3_600_000;
        *b = meta.encode();
    });
    let error = patient.refused("maxTime an hour early", &narrow);
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
}

#[test]
fn a_damaged_index_is_named() {
    let patient = Patient::new("one-block-only");
    let index = patient.file("index");
    let toc = index.len() - 52;
    let at = |n: usize| u64::from_be_bytes(index[toc + 8 * n..toc + 8 * n + 8].try_into().expect("eight")) as usize;
    let (symbols, postings, table) = (at(0), at(4), at(5));
    let flip = |at: usize| patient.with("index", |b| b[at] ^= 1);

    assert_eq!(patient.refused("no index", &patient.without("index")).part_name(), Some("index"));
    for (damage, objects) in [
        ("an empty index", patient.with("index", Vec::clear)),
        ("index magic", flip(0)),
        ("index version 9", patient.with("index", |b| b[4] = 9)),
        ("a symbol", flip(symbols + 12)),
        ("the length of the symbols", flip(symbols + 3)),
        ("the checksum of the symbols", flip(at(1) - 1)),
        ("the postings offset table", flip(table + 9)),
        ("the checksum of the table", flip(toc - 1)),
        ("an offset of the table of contents", flip(toc + 7)),
        ("the checksum of the table of contents", flip(index.len() - 1)),
        ("half an index", patient.with("index", |b| b.truncate(b.len() / 2))),
        ("an index without its last byte", patient.with("index", |b| b.truncate(b.len() - 1))),
        ("an index with a byte behind it", patient.with("index", |b| b.push(0))),
    ] {
        if damage.contains("the postings offset table") || damage == "the checksum of the table" {
            patient.seen_or_harmless(damage, &objects); // a merge reads every series, and needs no postings
            let said = patient.found(damage, &objects);
            assert!(said.iter().all(|f| f.contains("index postings")), "{damage}: {said:?}");
        } else {
            part(&patient.refused(damage, &objects), damage, "index");
        }
    }
    let list = flip(postings.next_multiple_of(4) + 9);
    patient.seen_or_harmless("a postings list", &list);
    patient.found("a postings list", &list);
}

#[test]
fn damaged_chunks_are_named() {
    let patient = Patient::new("one-block-only");
    let file = "chunks/000001";
    let len = patient.file(file).len();
    patient.refused("no chunks", &patient.without(file));
    for (damage, objects) in [
        ("chunk file magic", patient.with(file, |b| b[0] ^= 1)),
        ("chunk file version", patient.with(file, |b| b[4] = 9)),
        ("a bit of a chunk", patient.with(file, |b| b[len / 2] ^= 4)),
        ("the checksum of the last chunk", patient.with(file, |b| b[len - 1] ^= 1)),
        ("a chunk file cut in half", patient.with(file, |b| b.truncate(len / 2))),
        ("a chunk file without its last byte", patient.with(file, |b| b.truncate(len - 1))),
        ("an empty chunk file", patient.with(file, Vec::clear)),
    ] {
        part(&patient.refused(damage, &objects), damage, file);
    }
    let longer = patient.with(file, |b| b.extend([7; 100]));
    patient.seen_or_harmless("bytes behind the last chunk", &longer);
}

#[test]
fn a_chunk_that_no_decoder_reads_is_named_when_it_must_be_decoded() {
    // overlapping chunks are decoded and encoded anew; one ends early behind a good checksum
    let patient = Patient::new("overlap-2");
    let file = "chunks/000001";
    let whole = patient.file(file);
    let mut at = 8;
    let mut seen = 0;
    while at < whole.len() {
        let (len, from) = match whole[at] {
            low if low < 0x80 => (usize::from(low), at + 1),
            low => (usize::from(low & 0x7f) | usize::from(whole[at + 1]) << 7, at + 2),
        };
        let end = from + 1 + len;
        let overcounted = patient.with(file, |b| {
            b[from + 1] = 0xff; // the count of samples
            let sum = crc32c(&b[from..end]).to_be_bytes();
            b[end..end + 4].copy_from_slice(&sum);
        });
        // not decoded is copied as it is, with its checksum: then the output differs in just that
        if let Err(error) = patient.merge(&overcounted) {
            patient.check_error("too many samples", &error);
            part(&error, "too many samples", "chunk");
            seen += 1;
        }
        at = end + 4;
    }
    assert!(seen > 20, "{seen} chunks were decoded");
}

#[test]
fn damaged_tombstones_are_named() {
    let patient = Patient::new("tombstones");
    let len = patient.file("tombstones").len();
    for (damage, objects) in [
        ("tombstones magic", patient.with("tombstones", |b| b[0] ^= 1)),
        ("tombstones version", patient.with("tombstones", |b| b[4] = 9)),
        ("a tombstone", patient.with("tombstones", |b| b[7] ^= 1)),
        ("the checksum of the tombstones", patient.with("tombstones", |b| b[len - 1] ^= 1)),
        ("no byte of tombstones", patient.with("tombstones", Vec::clear)),
        ("half of the tombstones", patient.with("tombstones", |b| b.truncate(len / 2))),
    ] {
        part(&patient.refused(damage, &objects), damage, "tombstones");
    }
}

/// One bit of each `step`-th byte of `file` is flipped; how many were seen.
fn flips(patient: &Patient, file: &str, step: usize) -> (usize, usize) {
    let mut chance = Chance::new(42);
    let (mut tried, mut seen) = (0, 0);
    for at in (0..patient.file(file).len()).step_by(step) {
        let bit = chance.below(8);
        let objects = patient.with(file, |b| b[at] ^= 1 << bit);
        seen += usize::from(patient.seen_or_harmless(&format!("bit {bit} of byte {at} of {file}"), &objects));
        tried += 1;
    }
    (tried, seen)
}

#[test]
fn a_flipped_bit_anywhere_in_an_index_is_seen_or_harmless() {
    let patient = Patient::new("one-block-only");
    let (tried, seen) = flips(&patient, "index", 1);
    assert!(seen * 3 > tried, "{seen} of {tried} seen"); // postings and padding are not needed
}

#[test]
fn a_flipped_bit_anywhere_in_a_segment_is_seen() {
    let patient = Patient::new("one-series");
    let (tried, seen) = flips(&patient, "chunks/000001", 1);
    assert!(tried - seen <= 3, "{seen} of {tried} seen"); // three bytes of padding in the header
}

#[test]
fn a_flipped_bit_anywhere_in_tombstones_is_seen() {
    let patient = Patient::new("tombstones");
    let (tried, seen) = flips(&patient, "tombstones", 1);
    assert_eq!(seen, tried);
}
