//! All series of an index, one behind the other.

use super::{ChunkMeta, SERIES_ALIGN, Version, decode_series};
use crate::encoding::Malformed;

impl Version {
    /// Where the series begins that follows one which ends at byte `end` of the index; format 1 has
    /// no padding.
    pub const fn next_series(self, end: u64) -> u64 {
        match self {
            Version::V1 => end,
            Version::V2 => end.saturating_add(SERIES_ALIGN - 1) / SERIES_ALIGN * SERIES_ALIGN,
        }
    }
}

/// Walks a series section from its first entry to its last.
///
/// *Order*: as written, which in every sound index is the order of labels and of ids.
#[derive(Clone, Debug)]
pub struct SeriesWalk<'a> {
    version: Version,
    section: &'a [u8],
    /// Offset of the section in the index.
    base: u64,
    /// Where the last entry ended in the index.
    end: u64,
}

impl<'a> SeriesWalk<'a> {
    /// Walks `section`, which begins at byte `base` of the index; padding before the first entry is
    /// skipped.
    pub fn new(version: Version, section: &'a [u8], base: u64) -> Self {
        SeriesWalk { version, section, base, end: base }
    }

    /// Reads the next series: what postings call it, its labels into `labels` and its chunks into
    /// `chunks`, which are emptied first. `None` behind the last one.
    ///
    /// # Errors
    /// [`Malformed`] as [`decode_series`], and for a place that postings cannot name. Nothing says
    /// where the next entry begins then: the walk is over.
    pub fn next(&mut self, labels: &mut Vec<(u32, u32)>, chunks: &mut Vec<ChunkMeta>) -> Result<Option<u32>, Malformed> {
        labels.clear();
        chunks.clear();
        let at = self.version.next_series(self.end);
        let rest = usize::try_from(at - self.base).ok().and_then(|i| self.section.get(i..)).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        self.end = self.base.saturating_add(self.section.len() as u64);
        let len = decode_series(rest, at, labels, chunks)?;
        let id = self.version.series_id(at);
        let id = id.ok_or_else(|| Malformed::new("index series", at, "series behind all that postings can name"))?;
        self.end = at + len as u64;
        Ok(Some(id))
    }
}
