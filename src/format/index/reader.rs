//! A whole index, over a slice or a memory map.

use std::ops::Range;

use super::postings_table::{self, TableEntries, TableEntry};
use super::symbols::{self, Symbols};
use super::{ChunkMeta, PostingsList, SeriesWalk, TOC_BYTES, Toc, Version};
use super::{check_header, decode_postings_list, decode_series};
use crate::encoding::Malformed;

const PART: &str = "index";

/// An index of either format whose bytes are at hand: `&[u8]`, `Bytes`, a memory map.
///
/// Opening reads header, table of contents, symbols and postings offset table and verifies them;
/// series and postings are verified when they are asked for.
///
/// *Memory*: beside the bytes, 4 bytes for each 32nd symbol, each label name and each 32nd value of a
/// name; in format 1 for each label pair.
#[derive(Clone, Debug)]
pub struct Index<B> {
    bytes: B,
    version: Version,
    toc: Toc,
    symbols: symbols::Samples,
    table: postings_table::Samples,
}

impl<B: AsRef<[u8]>> Index<B> {
    /// Opens an index.
    ///
    /// # Errors
    /// [`Malformed`] when header, table of contents, symbols or postings offset table are damaged.
    pub fn open(bytes: B) -> Result<Self, Malformed> {
        let all = bytes.as_ref();
        let version = check_header(all)?;
        let len = all.len() as u64;
        let last = all.len().saturating_sub(TOC_BYTES);
        let toc = Toc::decode(&all[last..], len)?;
        let symbols = symbols::Samples::decode(version, part(all, toc.symbols_range())?, toc.symbols)?;
        let table = part(all, toc.postings_table_range(len))?;
        let table = postings_table::Samples::decode(version, table, toc.postings_table)?;
        Ok(Index { bytes, version, toc, symbols, table })
    }

    /// Format of the index.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Where its sections are.
    pub fn toc(&self) -> &Toc {
        &self.toc
    }

    /// The bytes it was opened with.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    fn section(&self, range: Range<u64>) -> &[u8] {
        // the table of contents was checked against the length
        part(self.bytes.as_ref(), range).unwrap_or_default()
    }

    /// How many symbols.
    pub fn symbol_count(&self) -> usize {
        self.symbols().len()
    }

    /// References and symbols in order.
    pub fn symbols(&self) -> Symbols<'_> {
        self.symbols.iter(self.section(self.toc.symbols_range()))
    }

    /// The symbol that series call `reference`.
    ///
    /// # Errors
    /// [`Malformed`] when there is no such symbol.
    pub fn symbol(&self, reference: u32) -> Result<&[u8], Malformed> {
        self.symbols.get(self.section(self.toc.symbols_range()), reference)
    }

    /// What series call `symbol`, if it is there.
    pub fn find_symbol(&self, symbol: &[u8]) -> Option<u32> {
        self.symbols.find(self.section(self.toc.symbols_range()), symbol)
    }

    fn table_bytes(&self) -> &[u8] {
        self.section(self.toc.postings_table_range(self.bytes().len() as u64))
    }

    /// The postings offset table as it lies in the file.
    pub fn postings_table(&self) -> TableEntries<'_> {
        self.table.iter(self.table_bytes())
    }

    /// Label names in order.
    pub fn label_names(&self) -> impl Iterator<Item = &[u8]> {
        self.table.names(self.table_bytes())
    }

    /// Values of a label in order, with where their lists are.
    pub fn label_values(&self, name: &[u8]) -> impl Iterator<Item = TableEntry<'_>> {
        self.table.values(self.table_bytes(), name)
    }

    /// The bytes that hold the list of a label pair, with what padding follows it; `None` when the
    /// table does not name it.
    pub fn postings_range(&self, name: &[u8], value: &[u8]) -> Option<Range<u64>> {
        self.table.range(self.table_bytes(), name, value, self.toc.postings_range().end)
    }

    /// The list at `offset`, which the postings offset table names.
    ///
    /// # Errors
    /// [`Malformed`] when there is no sound list.
    pub fn postings_at(&self, offset: u64) -> Result<PostingsList<'_>, Malformed> {
        let end = self.toc.postings_table;
        if offset >= end {
            return Err(Malformed::new(PART, offset, format!("no postings behind their table at {end}")));
        }
        decode_postings_list(self.section(offset..end), offset)
    }

    /// Which series have the label pair; `None` when the table does not name it.
    ///
    /// # Errors
    /// [`Malformed`] when the list is damaged.
    pub fn postings(&self, name: &[u8], value: &[u8]) -> Result<Option<PostingsList<'_>>, Malformed> {
        match self.table.find(self.table_bytes(), name, value) {
            Some(offset) => self.postings_at(offset).map(Some),
            None => Ok(None),
        }
    }

    /// All series.
    ///
    /// # Errors
    /// [`Malformed`] when the list is damaged or not there.
    pub fn all_postings(&self) -> Result<PostingsList<'_>, Malformed> {
        let all = self.postings(b"", b"")?;
        all.ok_or_else(|| Malformed::new(PART, self.toc.postings_table, "no list of all series"))
    }

    /// The series that postings call `id`: labels into `labels`, chunks into `chunks`, which are
    /// emptied first.
    ///
    /// # Errors
    /// [`Malformed`] when there is none, or it is damaged.
    pub fn series(&self, id: u32, labels: &mut Vec<(u32, u32)>, chunks: &mut Vec<ChunkMeta>) -> Result<(), Malformed> {
        labels.clear();
        chunks.clear();
        let (offset, within) = (self.version.series_offset(id), self.toc.series_range());
        if !within.contains(&offset) {
            let why = format!("series {id} at {offset} is not between {} and {}", within.start, within.end);
            return Err(Malformed::new(PART, offset, why));
        }
        decode_series(self.section(offset..within.end), offset, labels, chunks).map(|_| ())
    }

    /// All series, one behind the other.
    pub fn each_series(&self) -> SeriesWalk<'_> {
        let range = self.toc.series_range();
        SeriesWalk::new(self.version, self.section(range.clone()), range.start)
    }
}

/// A range of the file.
fn part(bytes: &[u8], range: Range<u64>) -> Result<&[u8], Malformed> {
    let slice = |range: &Range<u64>| bytes.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?);
    let outside = || format!("bytes {} to {} of a file of {}", range.start, range.end, bytes.len());
    slice(&range).ok_or_else(|| Malformed::new(PART, range.start, outside()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values and chunks of every series as text, by either road.
    fn text<B: AsRef<[u8]>>(index: &Index<B>, labels: &[(u32, u32)], chunks: &[ChunkMeta]) -> String {
        let s = |r| String::from_utf8(index.symbol(r).unwrap().to_vec()).unwrap();
        let labels: Vec<_> = labels.iter().map(|&(n, v)| format!("{}={}", s(n), s(v))).collect();
        let chunks: Vec<_> = chunks.iter().map(|c| format!("{}..{}@{}", c.min_time, c.max_time, c.reference)).collect();
        format!("{} {}", labels.join(","), chunks.join(" "))
    }

    #[test]
    fn format_1() {
        let index = Index::open(&include_bytes!("../../../testdata/index-v1/index")[..]).unwrap();
        assert_eq!(index.version(), Version::V1);
        assert_eq!(index.symbol_count(), 104);
        assert_eq!(index.symbols().next(), Some((13, &b"0"[..])));
        assert_eq!(index.symbols().last(), Some((315, &b"meh"[..])));
        for (reference, symbol) in index.symbols() {
            assert_eq!(index.symbol(reference).unwrap(), symbol);
            assert_eq!(index.find_symbol(symbol), Some(reference));
        }
        assert!(index.symbol(14).is_err(), "between two symbols");
        assert_eq!(index.find_symbol(b"ba"), None);

        let (mut labels, mut chunks) = (vec![], vec![]);
        let (mut walk, mut seen) = (index.each_series(), vec![]);
        while let Some(id) = walk.next(&mut labels, &mut chunks).unwrap() {
            seen.push((id, text(&index, &labels, &chunks)));
        }
        assert_eq!(seen.len(), 102);
        assert_eq!(seen[0], (323, "bar=0 0..0@0:8".into()));
        assert_eq!(seen[101].1, "foo=baz 3..3@0:1826");
        assert_eq!(index.all_postings().unwrap().iter().collect::<Vec<_>>(), seen.iter().map(|s| s.0).collect::<Vec<_>>());
        for (id, expected) in &seen {
            index.series(*id, &mut labels, &mut chunks).unwrap();
            assert_eq!(text(&index, &labels, &chunks), *expected);
        }
        assert!(index.series(322, &mut labels, &mut chunks).is_err());
        assert!(index.series(u32::MAX, &mut labels, &mut chunks).is_err());
        assert!(labels.is_empty() && chunks.is_empty());

        assert_eq!(index.label_names().collect::<Vec<_>>(), [&b"bar"[..], b"foo"]);
        let values: Vec<_> = index.label_values(b"bar").map(|e| e.value).collect();
        assert_eq!(values.len(), 100);
        assert!(values.is_sorted());
        assert_eq!(index.postings(b"foo", b"baz").unwrap().map(|p| p.len()), Some(1));
        assert!(index.postings(b"foo", b"bar!").unwrap().is_none());
        assert!(index.postings(b"fo", b"bar").unwrap().is_none());
        assert_eq!(index.label_values(b"none").count(), 0);
    }
}
