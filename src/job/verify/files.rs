//! The files of a block against its meta: sizes, hashes, segments without a gap.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::MAX_READ_BYTES;
use super::finding::{Check, Finding, Findings};
use crate::block::Reads;
use crate::error::{Error, Kind, Result};
use crate::format::marks::{DELETION_MARK_FILE, NO_COMPACT_MARK_FILE, NO_DOWNSAMPLE_MARK_FILE};
use crate::format::meta::{META_FILE, Meta};
use crate::format::tombstones::Tombstones;
use crate::job::Env;
use crate::job::catalog::CatalogBlock;

/// Files that the meta need not name.
const BESIDE: [&str; 6] =
    [META_FILE, "tombstones", "change.log", DELETION_MARK_FILE, NO_COMPACT_MARK_FILE, NO_DOWNSAMPLE_MARK_FILE];

/// The most bytes that tombstones may have.
const MAX_TOMBSTONES_BYTES: u64 = 64 << 20;

/// Compares the listing of the block with its meta; hashes are computed where the meta has them.
pub(super) async fn check(env: &Env, reads: &Reads, block: &CatalogBlock, findings: &mut Findings) -> Result<()> {
    let (meta, folder) = (&block.meta, format!("{}/", block.id));
    let there: BTreeMap<&str, u64> =
        block.objects.iter().filter_map(|o| Some((o.key.strip_prefix(&folder)?, o.len_bytes))).collect();
    if meta.ulid != block.id {
        findings.note(Check::Files, META_FILE, None, format!("its ulid is {}", meta.ulid));
    }
    compare(meta, &there, findings);
    for file in &meta.thanos.files {
        let Some(hash) = &file.hash else { continue };
        let Some(&len_bytes) = there.get(file.rel_path.as_str()) else { continue };
        if hash.func != "SHA256" {
            findings.note(Check::Files, &file.rel_path, None, format!("hash function {:?}, which nobody knows", hash.func));
            continue;
        }
        let computed =
            sha256(env, reads, &format!("{folder}{}", file.rel_path), len_bytes).await.map_err(|e| e.block(block.id))?;
        if computed != hash.value {
            let why = format!("hash {computed}, the meta says {}", hash.value);
            findings.note(Check::Files, &file.rel_path, None, why);
        }
    }
    if there.contains_key("tombstones") {
        let bytes =
            reads.bucket().get(&format!("{folder}tombstones"), MAX_TOMBSTONES_BYTES).await.map_err(|e| e.block(block.id))?;
        if let Err(m) = Tombstones::decode(&bytes) {
            findings.note(Check::Files, "tombstones", m.at, m.why);
        }
    }
    Ok(())
}

/// Pure: what is in the folder, by path below it, against what the meta says.
fn compare(meta: &Meta, there: &BTreeMap<&str, u64>, findings: &mut Findings) {
    let mut note = |part: &str, text: String| {
        findings.add(Finding { check: Check::Files, part: Some(part.to_owned()), at: None, text });
    };
    for file in &meta.thanos.files {
        match there.get(file.rel_path.as_str()) {
            None => note(&file.rel_path, "the meta names it, the bucket does not have it".into()),
            Some(&len) if file.size_bytes > 0 && len != file.size_bytes as u64 => {
                note(&file.rel_path, format!("{len} bytes, the meta says {}", file.size_bytes));
            }
            Some(_) => {}
        }
    }
    if !there.contains_key("index") {
        note("index", "it is not there".into());
    }
    let segments: Vec<&str> = there.keys().filter_map(|path| path.strip_prefix("chunks/")).collect();
    if segments.is_empty() && meta.stats.num_chunks > 0 {
        note("chunks", format!("no segment is there, the meta counts {} chunks", meta.stats.num_chunks));
    }
    for (i, name) in segments.iter().enumerate() {
        let expected = format!("{:06}", i + 1);
        if **name != expected {
            note(&format!("chunks/{name}"), format!("segment {expected} should come here"));
            break;
        }
    }
    for name in &meta.thanos.segment_files {
        if !segments.contains(&name.as_str()) {
            note(&format!("chunks/{name}"), "the meta names the segment, the bucket does not have it".into());
        }
    }
    if meta.thanos.files.is_empty() {
        return;
    }
    for path in there.keys() {
        if !BESIDE.contains(path) && !meta.thanos.files.iter().any(|f| f.rel_path == *path) {
            note(path, "the bucket has it, the meta does not name it".into());
        }
    }
}

async fn sha256(env: &Env, reads: &Reads, key: &str, len_bytes: u64) -> Result<String> {
    let mut hash = Sha256::new();
    let mut at = 0;
    while at < len_bytes {
        if env.cancel.is_cancelled() {
            return Err(Error::new(Kind::Cancelled, "stopped"));
        }
        let end = len_bytes.min(at + MAX_READ_BYTES);
        let bytes = reads.range(key, at..end).await?;
        hash = env
            .compute()
            .run(move || {
                hash.update(&bytes);
                hash
            })
            .await?;
        at = end;
    }
    Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::meta::File;

    fn check(there: &[(&str, u64)], expected: &[&str]) {
        let mut meta = Meta::default();
        meta.stats.num_chunks = 1;
        for (path, size_bytes) in [("chunks/000001", 100), ("index", 50), ("meta.json", 0)] {
            meta.thanos.files.push(File { rel_path: path.into(), size_bytes, ..File::default() });
        }
        let mut findings = Findings::default();
        compare(&meta, &there.iter().copied().collect(), &mut findings);
        let found: Vec<String> = findings.listed().iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn listing_against_meta() {
        check(&[("chunks/000001", 100), ("index", 50), ("meta.json", 7), ("deletion-mark.json", 9)], &[]);
        check(&[("chunks/000001", 99), ("index", 50), ("meta.json", 7)], &["chunks/000001: 99 bytes, the meta says 100"]);
        check(
            &[("chunks/000002", 100), ("meta.json", 7), ("extra", 1)],
            &[
                "chunks/000001: the meta names it, the bucket does not have it",
                "index: the meta names it, the bucket does not have it",
                "index: it is not there",
                "chunks/000002: segment 000001 should come here",
                "chunks/000002: the bucket has it, the meta does not name it",
                "extra: the bucket has it, the meta does not name it",
            ],
        );
        check(
            &[("index", 50), ("meta.json", 7)],
            &[
                "chunks/000001: the meta names it, the bucket does not have it",
                "chunks: no segment is there, the meta counts 1 chunks",
            ],
        );
    }
}
