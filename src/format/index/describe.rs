//! A whole index in words: every byte with its meaning.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{ChunkMeta, HEADER_BYTES, Index, Version};
use crate::encoding::{Cursor, Dump, Malformed};

const PART: &str = "index";

/// Every byte of an index with its meaning, label names and values beside the references.
///
/// Label indices, which older versions wrote and nothing reads, are one run.
///
/// # Errors
/// [`Malformed`] as [`Index::open`], and for the first damaged series or postings list.
pub fn describe(bytes: &[u8]) -> Result<String, Malformed> {
    let index = Index::open(bytes)?;
    let mut page = Page { index: &index, bytes, dump: Dump::new(bytes, 0) };
    let (toc, end) = (index.toc(), bytes.len() as u64);
    page.dump.begin("header");
    page.dump.field(4, "magic number of an index");
    page.dump.field(HEADER_BYTES, format!("version {}", index.version().as_byte()));
    page.dump.end();
    page.symbols(toc.symbols_range())?;
    page.series(toc.series_range())?;
    page.unread(toc.label_indices_range(), "label indices, which nothing reads");
    page.postings(toc.postings_range())?;
    page.unread(toc.label_indices_table_range(), "label indices table, which nothing reads");
    page.table(toc.postings_table_range(end))?;
    page.toc();
    Ok(page.dump.finish())
}

struct Page<'a> {
    index: &'a Index<&'a [u8]>,
    bytes: &'a [u8],
    dump: Dump<'a>,
}

fn quoted(bytes: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(bytes))
}

impl<'a> Page<'a> {
    /// Ends what came before at `at`; bytes in between are padding.
    fn go_to(&mut self, at: u64, what: &str) {
        if at > self.dump.index() as u64 {
            self.dump.field(at as usize, what);
        }
    }

    /// Reads on where the dump is.
    fn cursor(&self) -> Cursor<'a> {
        Cursor::at_offset(PART, &self.bytes[self.dump.index()..], self.dump.index() as u64)
    }

    /// Describes what the cursor has read since.
    fn field(&mut self, c: &Cursor<'_>, meaning: impl AsRef<str>) {
        self.dump.field(c.position() as usize, meaning);
    }

    fn unread(&mut self, range: Range<u64>, what: &str) {
        self.go_to(range.start, "padding");
        self.go_to(range.end, what);
    }

    /// Length and count of a section whose checksum was verified.
    fn head(&mut self, c: &mut Cursor<'_>, what: &str) -> Result<u32, Malformed> {
        let len = c.be32()?;
        self.field(c, format!("{len} bytes"));
        let count = c.be32()?;
        self.field(c, format!("{count} {what}"));
        Ok(count)
    }

    fn tail(&mut self, c: &mut Cursor<'_>) -> Result<(), Malformed> {
        c.skip(4)?;
        self.field(c, "CRC32C");
        self.dump.end();
        Ok(())
    }

    fn symbols(&mut self, range: Range<u64>) -> Result<(), Malformed> {
        self.go_to(range.start, "padding");
        self.dump.begin("symbols");
        let mut c = self.cursor();
        let count = self.head(&mut c, "symbols")?;
        for i in 0..count {
            let reference = match self.index.version() {
                Version::V1 => c.position() as u32,
                Version::V2 => i,
            };
            let symbol = c.uvarint_bytes()?;
            self.field(&c, format!("{reference} is {}", quoted(symbol)));
        }
        self.tail(&mut c)
    }

    fn series(&mut self, range: Range<u64>) -> Result<(), Malformed> {
        let (mut walk, mut labels, mut chunks) = (self.index.each_series(), vec![], vec![]);
        while let Some(id) = walk.next(&mut labels, &mut chunks)? {
            let at = self.index.version().series_offset(id);
            self.go_to(at, "padding");
            self.entry(id, &labels, &chunks)?;
        }
        self.go_to(range.end, "padding");
        Ok(())
    }

    fn entry(&mut self, id: u32, labels: &[(u32, u32)], chunks: &[ChunkMeta]) -> Result<(), Malformed> {
        self.dump.begin(format!("series {id}"));
        let mut c = self.cursor();
        let len = c.uvarint()?;
        self.field(&c, format!("{len} bytes"));
        c.uvarint()?;
        self.field(&c, format!("{} labels", labels.len()));
        for &(name, value) in labels {
            c.uvarint()?;
            c.uvarint()?;
            let text = |r| self.index.symbol(r).map(quoted);
            let (n, v) = (text(name)?, text(value)?);
            self.field(&c, format!("{name} = {value}: {n} = {v}"));
        }
        c.uvarint()?;
        self.field(&c, format!("{} chunks", chunks.len()));
        for (i, chunk) in chunks.iter().enumerate() {
            let since = if i == 0 { "" } else { ", counted from the one before" };
            c.uvarint()?;
            self.field(&c, format!("chunk {i}: from {}{since}", chunk.min_time));
            c.uvarint()?;
            self.field(&c, format!("to {}, counted from its beginning", chunk.max_time));
            c.uvarint()?;
            self.field(&c, format!("at {}{since}", chunk.reference));
        }
        self.tail(&mut c)
    }

    fn postings(&mut self, range: Range<u64>) -> Result<(), Malformed> {
        let owners: BTreeMap<u64, String> = self
            .index
            .postings_table()
            .map(|e| {
                let all = e.name.is_empty() && e.value.is_empty();
                (e.offset, if all { "all series".into() } else { format!("{} = {}", quoted(e.name), quoted(e.value)) })
            })
            .collect();
        for (at, owner) in owners {
            // a list that begins within another one, or before all of them, is no list
            if at < self.dump.index() as u64 || !range.contains(&at) {
                return Err(Malformed::new("index postings", at, format!("list of {owner} is not behind the others")));
            }
            self.go_to(at, "padding");
            self.dump.begin(format!("postings of {owner}"));
            let list = self.index.postings_at(at)?;
            let mut c = self.cursor();
            self.head(&mut c, "series")?;
            let shown: Vec<_> = list.iter().take(8).map(|id| id.to_string()).collect();
            c.skip(4 * list.len())?;
            self.field(&c, format!("{}{}", shown.join(" "), if list.len() > shown.len() { " …" } else { "" }));
            self.tail(&mut c)?;
        }
        self.go_to(range.end, "padding");
        Ok(())
    }

    fn table(&mut self, range: Range<u64>) -> Result<(), Malformed> {
        self.go_to(range.start, "padding");
        self.dump.begin("postings offset table");
        let mut c = self.cursor();
        let count = self.head(&mut c, "lists")?;
        for _ in 0..count {
            c.uvarint()?;
            self.field(&c, "2 strings");
            let name = c.uvarint_bytes()?;
            self.field(&c, format!("name {}", quoted(name)));
            let value = c.uvarint_bytes()?;
            self.field(&c, format!("value {}", quoted(value)));
            let at = c.uvarint()?;
            self.field(&c, format!("postings at {at}"));
        }
        self.tail(&mut c)?;
        self.go_to(range.end, "padding");
        Ok(())
    }

    fn toc(&mut self) {
        let toc = self.index.toc();
        self.dump.begin("table of contents");
        for (what, at) in [
            ("symbols", toc.symbols),
            ("series", toc.series),
            ("label indices", toc.label_indices),
            ("label indices table", toc.label_indices_table),
            ("postings", toc.postings),
            ("postings offset table", toc.postings_table),
        ] {
            self.dump.field(self.dump.index() + 8, format!("{what} at {at}"));
        }
        self.dump.field(self.bytes.len(), "CRC32C");
        self.dump.end();
    }
}

/// Runs every decoder of this room over `bytes`; whatever they are, nothing may panic.
///
/// Mutation tests and fuzz targets share it.
pub fn exercise(bytes: &[u8]) {
    use super::*;
    let (mut labels, mut chunks) = (vec![], vec![]);
    // as a whole
    let described = describe(bytes);
    if let Ok(index) = Index::open(bytes) {
        for (reference, symbol) in index.symbols() {
            assert_eq!(index.symbol(reference), Ok(symbol));
            assert_eq!(index.find_symbol(symbol), Some(reference));
        }
        for entry in index.postings_table() {
            assert!(described.is_err() || index.postings_at(entry.offset).is_ok(), "describing reads every list");
            if index.version() == Version::V2 {
                assert_eq!(index.postings_range(entry.name, entry.value).map(|r| r.start), Some(entry.offset));
            }
        }
        for name in index.label_names() {
            assert!(index.label_values(name).count() > 0, "a name has a value");
        }
        let _ = index.all_postings();
        let mut walk = index.each_series();
        while let Ok(Some(id)) = walk.next(&mut labels, &mut chunks) {
            assert_eq!(index.series(id, &mut labels, &mut chunks), Ok(()));
        }
    }
    // each part alone
    let _ = (check_header(bytes), Toc::decode(bytes, bytes.len() as u64), series_entry_len(bytes, 0));
    for version in [Version::V1, Version::V2] {
        let table = SymbolTable::decode(version, bytes, 5);
        let streamed = stream(version, bytes);
        assert_eq!(table.as_ref().ok().map(SymbolTable::len), streamed.ok(), "both readers of symbols agree");
        let _ = PostingsTable::decode(version, bytes, bytes.len() as u64);
    }
    if let Ok(list) = decode_postings_list(bytes, 0) {
        assert_eq!(Some(list.len_bytes() as u64), postings_list_len(bytes));
    }
    labels.clear();
    chunks.clear();
    if decode_series(bytes, 0, &mut labels, &mut chunks).is_ok() {
        let mut again = vec![];
        assert_eq!(encode_series(&mut again, &labels, &chunks), Ok(()));
        let (mut labels_again, mut chunks_again) = (vec![], vec![]);
        assert_eq!(decode_series(&again, 0, &mut labels_again, &mut chunks_again), Ok(again.len()));
        assert_eq!((labels, chunks), (labels_again, chunks_again), "what is read is written so that it reads the same");
    }
}

/// How many symbols a stream finds in a section that comes in small parts; cut off is an error.
fn stream(version: Version, section: &[u8]) -> Result<usize, Malformed> {
    use super::{SymbolStep, SymbolStream};
    let mut stream = SymbolStream::new(version, 5);
    let (mut parts, mut seen) = (section.chunks(7), 0);
    loop {
        match stream.step()? {
            SymbolStep::Symbol(..) => seen += 1,
            SymbolStep::End => return Ok(seen),
            SymbolStep::Need(_) => match parts.next() {
                Some(part) => _ = stream.push(part),
                None => return Err(Malformed::new(PART, section.len() as u64, "section cut off")),
            },
        }
    }
}
