//! What a pass left in a bucket beside its inputs, compared to the byte.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use blockyard::format::meta::{META_FILE, Meta};
use blockyard::model::{BlockId, Millis};

/// Bytes that are compared at a time.
const PIECE_BYTES: usize = 1 << 20;

/// What a block is, apart from its id: time, resolution, sources.
type Key = (Millis, Millis, Millis, Vec<BlockId>);

/// New blocks without a deletion mark, and which inputs were marked.
pub(crate) struct Outcome {
    live: BTreeMap<Key, Live>,
    marked: Vec<String>,
}

struct Live {
    folder: PathBuf,
    series: u64,
    samples: u64,
    bytes: u64,
}

impl Outcome {
    /// Looks at `bucket`, which began as a copy of `input`.
    pub(crate) fn of(bucket: &Path, input: &Path) -> io::Result<Outcome> {
        let mut out = Outcome { live: BTreeMap::new(), marked: Vec::new() };
        for entry in fs::read_dir(bucket)? {
            let entry = entry?;
            let (folder, name) = (entry.path(), entry.file_name());
            let is_marked = folder.join("deletion-mark.json").exists();
            if input.join(&name).exists() {
                out.marked.extend(is_marked.then(|| name.to_string_lossy().into_owned()));
                continue;
            }
            if is_marked || !folder.join(META_FILE).exists() {
                continue;
            }
            let meta = Meta::decode(&fs::read(folder.join(META_FILE))?).map_err(io::Error::other)?;
            let mut bytes = 0;
            for file in files(&folder)? {
                bytes += fs::metadata(folder.join(file))?.len();
            }
            let key = (meta.min_time, meta.max_time, meta.resolution(), meta.compaction.sources);
            let (series, samples) = (meta.stats.num_series, meta.stats.num_samples);
            out.live.insert(key, Live { folder, series, samples, bytes });
        }
        out.marked.sort();
        Ok(out)
    }

    /// Whether there is no new block.
    pub(crate) fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// The first difference, in words.
    pub(crate) fn differs_from(&self, peer: &Outcome) -> io::Result<Option<String>> {
        if !self.live.keys().eq(peer.live.keys()) {
            return Ok(Some(format!("DIFFERS: ours are {self}, the peer's {peer}")));
        }
        if self.marked != peer.marked {
            return Ok(Some(format!("DIFFERS: we marked {:?}, the peer {:?}", self.marked, peer.marked)));
        }
        for (ours, theirs) in self.live.values().zip(peer.live.values()) {
            let names = files(&ours.folder)?;
            if names != files(&theirs.folder)? {
                return Ok(Some(format!("DIFFERS: files of {}", ours.folder.display())));
            }
            for name in names {
                if !same(&ours.folder.join(&name), &theirs.folder.join(&name))? {
                    return Ok(Some(format!("DIFFERS: {name} of {}", ours.folder.display())));
                }
            }
        }
        Ok(None)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut each = self.live.values().peekable();
        while let Some(block) = each.next() {
            write!(f, "a block of {} series, {} samples, {} bytes", block.series, block.samples, block.bytes)?;
            f.write_str(if each.peek().is_some() { "; " } else { "" })?;
        }
        if self.is_empty() { f.write_str("no new block") } else { Ok(()) }
    }
}

/// The index and the segments of a block, ordered.
fn files(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = vec!["index".to_owned()];
    for entry in fs::read_dir(folder.join("chunks"))? {
        names.push(format!("chunks/{}", entry?.file_name().to_string_lossy()));
    }
    names.sort();
    Ok(names)
}

fn same(one: &Path, two: &Path) -> io::Result<bool> {
    let (mut one, mut two) = (File::open(one)?, File::open(two)?);
    let (mut a, mut b) = (Vec::with_capacity(PIECE_BYTES), Vec::with_capacity(PIECE_BYTES));
    loop {
        a.clear();
        b.clear();
        one.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut a)?;
        two.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut b)?;
        if a != b || a.is_empty() {
            return Ok(a == b);
        }
    }
}
