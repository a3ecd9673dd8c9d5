//! What a listing says of blocks: whether they changed, and whether all that their metas name is there.

use std::hash::Hasher;

use xxhash_rust::xxh3::Xxh3;

use crate::bucket::Object;
use crate::error::{Error, Kind};
use crate::format::meta::META_FILE;
use crate::job::catalog::CatalogBlock;

/// A number that changes when an object of `blocks` does: its name, its length, when it was written; marks are
/// objects too. `salt` is what else the outcome of a job depends on.
pub fn print<'a>(blocks: impl IntoIterator<Item = &'a CatalogBlock>, salt: &str) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(salt.as_bytes());
    for object in blocks.into_iter().flat_map(|block| block.objects.iter()) {
        hash.update(object.key.as_bytes());
        // keys hold no zero byte
        hash.write_u8(0);
        hash.write_u64(object.len_bytes);
        hash.write_i64(object.modified);
    }
    hash.digest()
}

/// An object that is not as the meta of its block says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Its name below the block's folder.
    pub name: String,
    /// Its length in bytes by the meta, where the meta says it.
    pub should: Option<u64>,
    /// Its length in bytes in the bucket, if it is there.
    pub is: Option<u64>,
}

/// Objects that the meta of a block names and that are missing or of another length, by the listing `objects`.
pub fn flaws(block: &CatalogBlock, objects: &[Object]) -> Vec<Flaw> {
    let folder = block.id.to_string();
    let named = |object: &&Object, name: &str| {
        object.key.strip_prefix(&folder).and_then(|rest| rest.strip_prefix('/')).is_some_and(|rest| rest == name)
    };
    let listed = |name: &str| objects.iter().find(|o| named(o, name)).map(|o| o.len_bytes);
    let mut flaws = Vec::new();
    let thanos = &block.meta.thanos;
    for file in thanos.files.iter().filter(|f| f.rel_path != META_FILE) {
        let should = u64::try_from(file.size_bytes).ok().filter(|&len| len > 0);
        let is = listed(&file.rel_path);
        if is.is_none() || should.is_some_and(|should| is != Some(should)) {
            flaws.push(Flaw { name: file.rel_path.clone(), should, is });
        }
    }
    for segment in &thanos.segment_files {
        let name = format!("chunks/{segment}");
        if !thanos.files.iter().any(|f| f.rel_path == name) && listed(&name).is_none() {
            flaws.push(Flaw { name, should: None, is: None });
        }
    }
    flaws
}

impl Flaw {
    /// As the error that a job over `block` would end with, were it begun.
    pub fn error(&self, block: &CatalogBlock) -> Error {
        let should = self.should.map_or(String::new(), |len| format!(" of {len} bytes"));
        let what = match self.is {
            None => format!("the object is not in the bucket, and meta.json names it{should}"),
            Some(len) => format!("the object has {len} bytes, and meta.json names it{should}"),
        };
        Error::new(Kind::Corrupt, what).block(block.id).part(&*self.name)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::format::meta::{File, Meta};
    use crate::model::BlockId;

    fn object(name: &str, len_bytes: u64, modified: i64) -> Object {
        Object { key: format!("{}/{name}", BlockId::ZERO), len_bytes, modified, etag: None }
    }

    fn block(files: &[(&str, i64)], segments: &[&str], objects: Vec<Object>) -> CatalogBlock {
        let mut meta = Meta::default();
        let file = |&(name, size_bytes): &(&str, i64)| File { rel_path: name.into(), size_bytes, ..File::default() };
        meta.thanos.files = files.iter().map(file).collect();
        meta.thanos.segment_files = segments.iter().map(|&s| s.to_owned()).collect();
        CatalogBlock {
            id: BlockId::ZERO,
            meta: Arc::new(meta),
            labels: Arc::default(),
            objects: objects.into(),
            deletion: None,
            no_compact: None,
            no_downsample: None,
        }
    }

    #[test]
    fn a_listing_against_a_meta() {
        let check = |files: &[(&str, i64)], segments: &[&str], objects: Vec<Object>| -> Vec<String> {
            let block = block(files, segments, objects);
            flaws(&block, &block.objects).iter().map(|f| f.error(&block).to_string().split_off(33)).collect()
        };
        let whole = vec![object("chunks/000001", 9, 1), object("index", 5, 1), object("meta.json", 300, 1)];
        let files = [("chunks/000001", 9), ("index", 5), ("meta.json", 0)];
        assert_eq!(check(&files, &["000001"], whole.clone()), [""; 0]);
        assert_eq!(
            check(&files, &["000001"], whole[1..].to_vec()),
            [" chunks/000001: the object is not in the bucket, and meta.json names it of 9 bytes"]
        );
        assert_eq!(
            check(&[("index", 6)], &[], whole.clone()),
            [" index: the object has 5 bytes, and meta.json names it of 6 bytes"]
        );
        // metas of old name segments alone, or nothing
        assert_eq!(
            check(&[], &["000001", "000002"], whole.clone()),
            [" chunks/000002: the object is not in the bucket, and meta.json names it"]
        );
        assert_eq!(check(&[], &[], whole.clone()), [""; 0]);
        assert_eq!(check(&[("index", -1)], &[], whole), [""; 0], "a length that is none says nothing");
    }

    #[test]
    fn a_print_changes_with_any_object() {
        let base = || vec![object("chunks/000001", 9, 1), object("index", 5, 1)];
        let of = |objects, salt| print([&block(&[], &[], objects)], salt);
        let first = of(base(), "");
        assert_eq!(of(base(), ""), first);
        let mut all = vec![first, of(base(), "vertical")];
        for change in 0..4 {
            let mut objects = base();
            match change {
                0 => objects[1].modified += 1,
                1 => objects[0].len_bytes += 1,
                2 => objects.push(object("no-compact-mark.json", 1, 2)),
                _ => _ = objects.pop(),
            }
            all.push(of(objects, ""));
        }
        all.sort_unstable();
        assert!(all.windows(2).all(|pair| pair[0] != pair[1]), "{all:?}");
    }
}
