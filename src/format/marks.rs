//! The three marks that lie beside a block: to be deleted, not to be compacted, not to be downsampled.
//!
//! *Source*: Thanos `pkg/block/metadata/markers.go`; written as `json.Marshal` writes them, without a newline.

use serde::Deserialize;

use super::gojson::{self, Writer};
use crate::encoding::Malformed;
use crate::model::BlockId;

/// Name of the deletion mark inside a block's folder.
pub const DELETION_MARK_FILE: &str = "deletion-mark.json";
/// Name of the no-compact mark inside a block's folder.
pub const NO_COMPACT_MARK_FILE: &str = "no-compact-mark.json";
/// Name of the no-downsample mark inside a block's folder.
pub const NO_DOWNSAMPLE_MARK_FILE: &str = "no-downsample-mark.json";

/// The only version of each mark that is known.
pub const MARK_VERSION: i64 = 1;

/// Reasons and details in upstream's words, since people and tools look for them.
pub mod texts {
    /// Details of a deletion: another block has all its sources.
    pub const OUTDATED_BLOCK: &str = "outdated block";
    /// Details of a deletion: it went into a compacted block.
    pub const SOURCE_OF_COMPACTED_BLOCK: &str = "source of compacted block";
    /// Details of a deletion: a block without its damage took its place, as a compactor does on its own.
    pub const SOURCE_OF_REPAIRED_BLOCK: &str = "source of repaired block";
    /// Details of a deletion: somebody had it repaired or removed.
    pub const MANUAL_REPAIR: &str = "manual verify-repair";
    /// Reason of a no-compact or no-downsample mark: somebody wanted it.
    pub const MANUAL: &str = "manual";
    /// Reason of a no-compact mark: the index of the result might become too large.
    pub const INDEX_SIZE_EXCEEDING: &str = "index-size-exceeding";
    /// Reason of a no-compact mark: its index has chunks out of order.
    pub const OUT_OF_ORDER_CHUNKS: &str = "block-index-out-of-order-chunk";
    /// Reason of a no-compact mark: it is downsampled and overlaps.
    pub const DOWNSAMPLE_VERTICAL: &str = "downsample-vertical-compaction";
    /// Details of the same.
    pub const DOWNSAMPLE_VERTICAL_DETAILS: &str =
        "verticalCompactionDownsampleFilter: Downsampled block, see https://github.com/thanos-io/thanos/issues/6775";
}

/// Why a mark could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// No such JSON, perhaps written by half: as good as no mark.
    Partial(Malformed),
    /// A version we do not know: nothing may be decided about the block.
    Version(Malformed),
}

/// The block is to be deleted once a delay has passed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct DeletionMark {
    /// The block.
    pub id: BlockId,
    /// [`MARK_VERSION`].
    pub version: i64,
    /// For people.
    pub details: String,
    /// When it was marked, in seconds since the Unix epoch.
    pub deletion_time: i64,
}

/// The block is not to be compacted or rewritten.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NoCompactMark {
    /// The block.
    pub id: BlockId,
    /// [`MARK_VERSION`].
    pub version: i64,
    /// For people.
    pub details: String,
    /// When it was marked, in seconds since the Unix epoch.
    pub no_compact_time: i64,
    /// One of [`texts`].
    pub reason: String,
}

/// The block is not to be downsampled.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NoDownsampleMark {
    /// The block.
    pub id: BlockId,
    /// [`MARK_VERSION`].
    pub version: i64,
    /// For people.
    pub details: String,
    /// When it was marked, in seconds since the Unix epoch.
    pub no_downsample_time: i64,
    /// One of [`texts`].
    pub reason: String,
}

impl Default for DeletionMark {
    fn default() -> Self {
        DeletionMark { id: BlockId::ZERO, version: 0, details: String::new(), deletion_time: 0 }
    }
}

impl Default for NoCompactMark {
    fn default() -> Self {
        NoCompactMark { id: BlockId::ZERO, version: 0, details: String::new(), no_compact_time: 0, reason: String::new() }
    }
}

impl Default for NoDownsampleMark {
    fn default() -> Self {
        NoDownsampleMark { id: BlockId::ZERO, version: 0, details: String::new(), no_downsample_time: 0, reason: String::new() }
    }
}

impl DeletionMark {
    /// A mark of this version, set at `now_s` seconds since the Unix epoch.
    pub fn new(id: BlockId, now_s: i64, details: impl Into<String>) -> Self {
        DeletionMark { id, version: MARK_VERSION, details: details.into(), deletion_time: now_s }
    }

    /// # Errors
    /// See [`Unreadable`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let mark: Self = parse(bytes, DELETION_MARK_FILE)?;
        check(mark.version, DELETION_MARK_FILE).map(|()| mark)
    }

    /// As Go writes it.
    pub fn encode(&self) -> Vec<u8> {
        write(self.id, self.version, &self.details, |w| w.key("deletion_time").bare(self.deletion_time))
    }
}

impl NoCompactMark {
    /// A mark of this version, set at `now_s` seconds since the Unix epoch.
    pub fn new(id: BlockId, now_s: i64, reason: impl Into<String>, details: impl Into<String>) -> Self {
        NoCompactMark { id, version: MARK_VERSION, details: details.into(), no_compact_time: now_s, reason: reason.into() }
    }

    /// # Errors
    /// See [`Unreadable`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let mark: Self = parse(bytes, NO_COMPACT_MARK_FILE)?;
        check(mark.version, NO_COMPACT_MARK_FILE).map(|()| mark)
    }

    /// As Go writes it.
    pub fn encode(&self) -> Vec<u8> {
        write(self.id, self.version, &self.details, |w| {
            w.key("no_compact_time").bare(self.no_compact_time);
            w.key("reason").text(&self.reason);
        })
    }
}

impl NoDownsampleMark {
    /// A mark of this version, set at `now_s` seconds since the Unix epoch.
    pub fn new(id: BlockId, now_s: i64, reason: impl Into<String>, details: impl Into<String>) -> Self {
        NoDownsampleMark { id, version: MARK_VERSION, details: details.into(), no_downsample_time: now_s, reason: reason.into() }
    }

    /// # Errors
    /// See [`Unreadable`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let mark: Self = parse(bytes, NO_DOWNSAMPLE_MARK_FILE)?;
        check(mark.version, NO_DOWNSAMPLE_MARK_FILE).map(|()| mark)
    }

    /// As Go writes it.
    pub fn encode(&self) -> Vec<u8> {
        write(self.id, self.version, &self.details, |w| {
            w.key("no_downsample_time").bare(self.no_downsample_time);
            w.key("reason").text(&self.reason);
        })
    }
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8], part: &'static str) -> Result<T, Unreadable> {
    serde_json::from_slice(bytes).map_err(|e| Unreadable::Partial(gojson::malformed(part, bytes, &e)))
}

fn check(version: i64, part: &'static str) -> Result<(), Unreadable> {
    if version == MARK_VERSION {
        return Ok(());
    }
    let kind = part.trim_end_matches(".json");
    let why = format!("unexpected {kind} file version {version}, expected {MARK_VERSION}");
    Err(Unreadable::Version(Malformed::new(part, 0, why)))
}

fn write(id: BlockId, version: i64, details: &str, rest: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut w = Writer::compact();
    w.object(|w| {
        w.key("id").bare_text(id);
        w.key("version").bare(version);
        if !details.is_empty() {
            w.key("details").text(details);
        }
        rest(w);
    });
    w.finish()
}

/// Reads `bytes` as each mark; whatever they are, nothing may panic.
///
/// Mutation tests and fuzz targets share it.
pub fn exercise(bytes: &[u8]) {
    if let Ok(mark) = DeletionMark::decode(bytes) {
        assert_eq!(DeletionMark::decode(&mark.encode()), Ok(mark), "what is read is written so that it reads the same");
    }
    if let Ok(mark) = NoCompactMark::decode(bytes) {
        assert_eq!(NoCompactMark::decode(&mark.encode()), Ok(mark), "what is read is written so that it reads the same");
    }
    if let Ok(mark) = NoDownsampleMark::decode(bytes) {
        assert_eq!(NoDownsampleMark::decode(&mark.encode()), Ok(mark), "what is read is written so that it reads the same");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01KE5Y5QV0Q3WQ6VJCPD7H1QEV";

    fn id() -> BlockId {
        ID.parse().unwrap()
    }

    #[test]
    fn text_both_ways() {
        let deletion = format!(r#"{{"id":"{ID}","version":1,"details":"source of compacted block","deletion_time":1795262368}}"#);
        let mark = DeletionMark::new(id(), 1_795_262_368, texts::SOURCE_OF_COMPACTED_BLOCK);
        assert_eq!(String::from_utf8(mark.encode()).unwrap(), deletion);
        assert_eq!(DeletionMark::decode(deletion.as_bytes()), Ok(mark));

        let no_compact = format!(r#"{{"id":"{ID}","version":1,"details":"a\u003cb","no_compact_time":7,"reason":"manual"}}"#);
        let mark = NoCompactMark::new(id(), 7, texts::MANUAL, "a<b");
        assert_eq!(String::from_utf8(mark.encode()).unwrap(), no_compact);
        assert_eq!(NoCompactMark::decode(no_compact.as_bytes()), Ok(mark));

        let no_downsample = format!(r#"{{"id":"{ID}","version":1,"no_downsample_time":7,"reason":"manual"}}"#);
        let mark = NoDownsampleMark::new(id(), 7, texts::MANUAL, "");
        assert_eq!(String::from_utf8(mark.encode()).unwrap(), no_downsample);
        assert_eq!(NoDownsampleMark::decode(no_downsample.as_bytes()), Ok(mark));
    }

    #[test]
    fn half_a_mark_is_not_a_mark_of_tomorrow() {
        for bytes in ["", "{", "not json", r#"{"id":"short","version":1}"#, r#"{"version":"1"}"#] {
            assert!(matches!(DeletionMark::decode(bytes.as_bytes()), Err(Unreadable::Partial(_))), "{bytes}");
        }
        let two = format!(r#"{{"id":"{ID}","version":2,"reason":"manual"}}"#);
        let why = |r: Unreadable| match r {
            Unreadable::Version(m) => m.why.into_owned(),
            Unreadable::Partial(m) => panic!("{m}"),
        };
        assert_eq!(why(DeletionMark::decode(two.as_bytes()).unwrap_err()), "unexpected deletion-mark file version 2, expected 1");
        assert_eq!(
            why(NoCompactMark::decode(two.as_bytes()).unwrap_err()),
            "unexpected no-compact-mark file version 2, expected 1"
        );
        assert_eq!(
            why(NoDownsampleMark::decode(two.as_bytes()).unwrap_err()),
            "unexpected no-downsample-mark file version 2, expected 1"
        );
    }
}
