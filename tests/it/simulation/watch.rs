//! What must hold after every single change of the bucket, whoever failed in between.
//!
//! - A folder with a `meta.json` has every object that it names, with its size, and can be read.
//! - Blocks without a deletion mark have every sample that they ever had, unless it has expired. That is more than a reader
//!   needs, who takes marked blocks within the delay too, and it means that sources are marked after their result is whole.
//! - What was ever visible is deleted only when its mark is older than the delay. The one exception is a block whose
//!   `meta.json` was written and said not to be: the process that hears so may take it back.
//! - What never became visible is deleted by the process that wrote it, or when it is two days old.

use std::collections::BTreeMap;
use std::sync::Arc;

use blockyard::format::marks::{DELETION_MARK_FILE, DeletionMark};
use blockyard::format::meta::{META_FILE, Meta};
use blockyard::job::clean::GIVEN_UP_AFTER;
use blockyard::job::pass::PassOptions;
use blockyard::model::{BlockId, Millis};
use blockyard::series::aggregate::FIVE_MINUTES;
use bytes::Bytes;
use object_store::path::Path as Key;

use super::samples::{Bits, Truth, is_content};
use super::store::Objects;

/// Judges changes.
#[derive(Default)]
pub(super) struct Watch {
    /// What an undisturbed run leaves, where that is known.
    truth: Option<Arc<Truth>>,
    options: PassOptions,
    blocks: BTreeMap<String, Block>,
    /// Samples that were in blocks without a mark.
    shown: Bits,
    /// Which process writes.
    life: u32,
    /// The first thing that was wrong.
    pub(super) broken: Option<String>,
}

/// A folder.
#[derive(Default)]
struct Block {
    /// Which process wrote it.
    life: u32,
    /// What its `meta.json` says, while it is there.
    visible: Option<(Meta, Arc<Bits>)>,
    /// It was visible, and the writer knew.
    published: bool,
    marked: bool,
}

impl Watch {
    /// Of runs with these options; without a `truth` samples are not looked at.
    pub(super) fn new(truth: Option<Arc<Truth>>, options: &PassOptions) -> Self {
        Watch { truth, options: options.clone(), ..Watch::default() }
    }

    pub(super) fn restarted(&mut self) {
        self.life += 1;
        // nobody is left who might take it back
        self.blocks.values_mut().for_each(|block| block.published |= block.visible.is_some());
    }

    pub(super) fn acknowledged(&mut self, key: &str) {
        if let Some((folder, META_FILE)) = key.split_once('/') {
            let life = self.life;
            self.blocks.entry(folder.to_owned()).or_insert_with(|| Block { life, ..Block::default() }).published = true;
        }
    }

    pub(super) fn put(&mut self, objects: &Objects, key: &str, now: Millis) {
        let Some((folder, name)) = split(key) else { return };
        let life = self.life;
        let block = self.blocks.entry(folder.to_owned()).or_insert_with(|| Block { life, ..Block::default() });
        match name {
            META_FILE => {
                // whoever is not the program puts blocks that are there for sure
                block.published |= life == 0;
                match read(objects, folder, self.truth.as_deref()) {
                    Ok(seen) => block.visible = Some(seen),
                    Err(why) => self.fail(format!("{folder} becomes visible and is not whole: {why}")),
                }
            }
            DELETION_MARK_FILE => {
                block.marked = true;
                if block.visible.is_none() {
                    self.fail(format!("{folder} is marked and not there"));
                }
            }
            _ if block.visible.is_some() && life > 0 && is_content(name) => {
                self.fail(format!("{key} is written to a block that is visible"))
            }
            _ => {}
        }
        self.check_samples(now, key);
    }

    /// Before the deletion of `key`.
    pub(super) fn deleting(&mut self, objects: &Objects, key: &str, now: Millis) {
        let Some((folder, name)) = split(key) else { return };
        if !objects.contains_key(&Key::from(key)) {
            return;
        }
        let mark = objects.get(&Key::from(format!("{folder}/{DELETION_MARK_FILE}")));
        let mark = mark.and_then(|(bytes, _)| DeletionMark::decode(bytes).ok());
        if mark.is_some_and(|mark| now - mark.deletion_time * 1000 > self.options.delete_delay) {
            return;
        }
        let Some(block) = self.blocks.get(folder) else { return };
        let own = block.life == self.life;
        let newest = below(objects, folder).map(|(_, (_, modified))| *modified).max().unwrap_or_default();
        let old = now - newest > GIVEN_UP_AFTER;
        let why = match (&block.visible, block.published) {
            (Some(_), true) => "the block is visible and not marked for so long",
            (Some(_), false) if own && name == META_FILE => return,
            (Some(_), false) => "the block is visible",
            (None, _) if own || old => return,
            (None, _) => "another process may be writing it",
        };
        self.fail(format!("{key} is deleted: {why}"));
    }

    /// After it.
    pub(super) fn deleted(&mut self, objects: &Objects, key: &str, now: Millis) {
        let Some((folder, name)) = split(key) else { return };
        let Some(block) = self.blocks.get_mut(folder) else { return };
        match name {
            META_FILE => block.visible = None,
            DELETION_MARK_FILE => block.marked = false,
            _ if block.visible.is_some() => self.fail(format!("{key} is gone and its block is visible")),
            _ => {}
        }
        if below(objects, folder).next().is_none() {
            self.blocks.remove(folder);
        }
        self.check_samples(now, key);
    }

    /// Every sample that was ever in a block without a mark still is, unless it has expired.
    fn check_samples(&mut self, now: Millis, key: &str) {
        let Some(truth) = self.truth.clone() else { return };
        let (mut covered, mut published) = (Bits::default(), Bits::default());
        for block in self.blocks.values().filter(|b| !b.marked) {
            if let Some((_, bits)) = &block.visible {
                covered.add(bits);
                if block.published {
                    published.add(bits);
                }
            }
        }
        let options = &self.options;
        let expired = |number: &usize| {
            let (resolution, time) = truth.sample(*number);
            let keep = match resolution {
                0 => options.retention_raw,
                FIVE_MINUTES => options.retention_5m,
                _ => options.retention_1h,
            };
            keep > 0 && time < now - keep
        };
        let lost = self.shown.beyond(&covered).find(|number| !expired(number));
        if let Some(number) = lost {
            let (resolution, time) = truth.sample(number);
            self.fail(format!(
                "after the change of {key} a sample of resolution {resolution} at {time} is in no block without a mark"
            ));
        }
        self.shown.add(&published);
    }

    fn fail(&mut self, what: String) {
        self.broken.get_or_insert(what);
    }
}

/// The folder of a block, and the name within.
fn split(key: &str) -> Option<(&str, &str)> {
    key.split_once('/').filter(|(folder, _)| folder.parse::<BlockId>().is_ok())
}

/// Objects of a block.
pub(super) fn below<'a>(objects: &'a Objects, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a (Bytes, Millis))> {
    let own = move |(key, object): (&'a Key, &'a (Bytes, Millis))| {
        let name = key.as_ref().strip_prefix(folder)?.strip_prefix('/')?;
        Some((name, object))
    };
    objects.range(Key::from(folder)..).take_while(move |(key, _)| key.as_ref().starts_with(folder)).filter_map(own)
}

/// The whole block in a folder.
fn read(objects: &Objects, folder: &str, truth: Option<&Truth>) -> Result<(Meta, Arc<Bits>), String> {
    let all: BTreeMap<String, Bytes> =
        below(objects, folder).map(|(name, (bytes, _))| (name.to_owned(), bytes.clone())).collect();
    let meta = Meta::decode(&all[META_FILE]).map_err(|e| e.to_string())?;
    for file in meta.thanos.files.iter().filter(|f| f.rel_path != META_FILE) {
        let held = all.get(&file.rel_path).map(|bytes| bytes.len() as i64);
        if held != Some(file.size_bytes) {
            return Err(format!("{} should have {} bytes and has {held:?}", file.rel_path, file.size_bytes));
        }
    }
    let segments = meta.thanos.segment_files.iter().all(|name| all.contains_key(&format!("chunks/{name}")));
    if meta.thanos.files.is_empty() || !segments {
        return Err("files or segments are not named".to_owned());
    }
    let bits = truth.map_or(Ok(Arc::default()), |truth| truth.of(&meta, &all))?;
    Ok((meta, bits))
}
