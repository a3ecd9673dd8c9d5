//! Series of one index, from its bytes in any pieces, and whether all that follows them fits.
//!
//! Postings are held against the series: the ids of all lists together, and those of the list of all series. The
//! table has to name each list once, in order. Every section's checksum is compared.

use xxhash_rust::xxh3::xxh3_64;

use super::carry;
use super::join::Seen;
use crate::block::fingerprint::LabelsSum;
use crate::encoding::{Crc32c, Cursor};
use crate::format::Malformed;
use crate::format::index::{
    ChunkMeta, HEADER_BYTES, SERIES_ALIGN, SymbolStep, SymbolStream, TOC_BYTES, Toc, Version, check_header, decode_postings_list,
    decode_series, postings_list_len, series_entry_len,
};

const SERIES: &str = "index series";
const POSTINGS: &str = "index postings";
const TABLE: &str = "index postings table";

/// Postings lists begin at multiples of this many bytes.
const LIST_ALIGN: u64 = 4;

/// Reads one index front to back.
#[derive(Debug)]
pub(super) struct IndexReader {
    stage: Stage,
    /// Bytes behind the last whole item, which come again with those that follow.
    rest: Vec<u8>,
    /// Where the next item begins in the index, or the padding before it.
    at: u64,
    symbols: SymbolStream,
    symbol_count: u32,
    labels: Vec<(u32, u32)>,
    chunks: Vec<ChunkMeta>,
    /// What was seen, to be held against the table of contents.
    toc: Toc,
    /// Of all series.
    ids: Ids,
    /// Of all series once for each of their labels.
    labelled: Ids,
    /// Of the lists of label pairs.
    listed: Ids,
    /// Where lists were seen, in order, and where the table says they are.
    lists: Places,
    named: Places,
    table: Table,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Header,
    Symbols,
    Series,
    Lists,
    TableHead,
    Table,
    TableSum,
    Toc,
}

/// Sums over ids of series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ids {
    count: u64,
    sum: u64,
}

impl Ids {
    #[inline]
    fn add(&mut self, count: u64, sum: u64) {
        self.count = self.count.wrapping_add(count);
        self.sum = self.sum.wrapping_add(sum);
    }
}

/// Offsets in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Places {
    count: u64,
    hash: u64,
}

impl Places {
    fn add(&mut self, at: u64) {
        self.count += 1;
        let mut both = [0; 16];
        both[..8].copy_from_slice(&self.hash.to_le_bytes());
        both[8..].copy_from_slice(&at.to_le_bytes());
        self.hash = xxh3_64(&both);
    }
}

/// The postings offset table on its way.
#[derive(Debug, Default)]
struct Table {
    /// Where its checksum begins in the index.
    end: u64,
    entries: u32,
    crc: Crc32c,
    /// The last pair, which the next one stands behind.
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Default for IndexReader {
    fn default() -> Self {
        IndexReader {
            stage: Stage::Header,
            rest: Vec::new(),
            at: 0,
            symbols: SymbolStream::new(Version::V2, HEADER_BYTES as u64),
            symbol_count: 0,
            labels: Vec::new(),
            chunks: Vec::new(),
            toc: Toc { symbols: HEADER_BYTES as u64, ..Toc::default() },
            ids: Ids::default(),
            labelled: Ids::default(),
            listed: Ids::default(),
            lists: Places::default(),
            named: Places::default(),
            table: Table::default(),
        }
    }
}

impl IndexReader {
    /// What `bytes` complete. Series end at `series_end` and lists at `table`, as far as that is known: more than
    /// any byte that was given if it is not.
    pub(super) fn read(&mut self, bytes: &[u8], series_end: u64, table: u64) -> Result<Seen, Malformed> {
        let mut seen = Seen::default();
        let mut rest = std::mem::take(&mut self.rest);
        carry(&mut rest, bytes, |bytes| self.whole(bytes, series_end, table, &mut seen))?;
        self.rest = rest;
        Ok(seen)
    }

    /// Takes whole items, and says how many bytes these are.
    fn whole(&mut self, bytes: &[u8], series_end: u64, table: u64, seen: &mut Seen) -> Result<usize, Malformed> {
        let mut taken = 0;
        loop {
            let rest = &bytes[taken..];
            let (at, stage) = (self.at, self.stage);
            let more = match stage {
                Stage::Header => self.header(rest)?,
                Stage::Symbols => self.symbols(rest, seen)?,
                Stage::Series => self.series(rest, series_end, seen)?,
                Stage::Lists => self.list(rest, table)?,
                Stage::TableHead => self.table_head(rest),
                Stage::Table => self.table_entry(rest)?,
                Stage::TableSum => self.table_sum(rest)?,
                Stage::Toc => 0,
            };
            self.at += more as u64;
            taken += more;
            if (self.at, self.stage) == (at, stage) {
                return Ok(taken);
            }
        }
    }

    fn header(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        if bytes.len() < HEADER_BYTES {
            return Ok(0);
        }
        match check_header(bytes)? {
            Version::V2 => self.stage = Stage::Symbols,
            Version::V1 => return Err(Malformed::new("index", 4, "version 1, which is not written")),
        }
        Ok(HEADER_BYTES)
    }

    fn symbols(&mut self, bytes: &[u8], seen: &mut Seen) -> Result<usize, Malformed> {
        let taken = self.symbols.push(bytes);
        loop {
            match self.symbols.step()? {
                SymbolStep::Symbol(number, text) => {
                    seen.sum.symbol(number, text);
                    self.symbol_count = number + 1;
                }
                SymbolStep::Need(_) => return Ok(taken),
                SymbolStep::End => {
                    self.stage = Stage::Series;
                    self.toc.series = self.at + taken as u64;
                    return Ok(taken);
                }
            }
        }
    }

    /// All whole entries, with the padding before each.
    fn series(&mut self, bytes: &[u8], end: u64, seen: &mut Seen) -> Result<usize, Malformed> {
        let mut taken = 0;
        loop {
            let at = self.at + taken as u64;
            if at >= end {
                self.stage = Stage::Lists;
                self.toc.label_indices = end;
                self.toc.postings = end;
                return if at == end { Ok(taken) } else { Err(Malformed::new(SERIES, at, "reaches into what follows")) };
            }
            let Some(begin) = padding(SERIES, &bytes[taken..], at, SERIES_ALIGN)? else { return Ok(taken) };
            let (rest, at) = (&bytes[taken + begin..], at + begin as u64);
            if at >= end || rest.is_empty() || series_entry_len(rest, at)?.is_none_or(|len| len > rest.len()) {
                // the padding is taken with its entry: behind the last series there is none
                return if at > end { Err(Malformed::new(SERIES, at, "padding behind the last series")) } else { Ok(taken) };
            }
            self.labels.clear();
            self.chunks.clear();
            let len = decode_series(rest, at, &mut self.labels, &mut self.chunks)?;
            taken += begin + len;
            self.entry(at, seen)?;
        }
    }

    /// The entry that was just decoded.
    #[inline]
    fn entry(&mut self, at: u64, seen: &mut Seen) -> Result<(), Malformed> {
        let mut sum = LabelsSum::default();
        let mut highest = 0;
        for &(name, value) in &self.labels {
            sum.pair(name, value);
            highest = highest.max(name).max(value);
        }
        if highest >= self.symbol_count {
            return Err(Malformed::new(SERIES, at, format!("symbol {highest} is not in the table")));
        }
        seen.sum.series += 1;
        seen.chunks.extend(self.chunks.iter().map(|c| (sum, *c)));
        let (id, labels) = (at / SERIES_ALIGN, self.labels.len() as u64);
        self.ids.add(1, id);
        self.labelled.add(labels, id.wrapping_mul(labels));
        Ok(())
    }

    fn list(&mut self, bytes: &[u8], table: u64) -> Result<usize, Malformed> {
        if self.at >= table {
            self.toc.label_indices_table = table;
            self.toc.postings_table = table;
            self.stage = Stage::TableHead;
            return if self.at == table { Ok(0) } else { Err(Malformed::new(POSTINGS, self.at, "reaches into the table")) };
        }
        let Some(begin) = padding(POSTINGS, bytes, self.at, LIST_ALIGN)? else { return Ok(0) };
        let (rest, at) = (&bytes[begin..], self.at + begin as u64);
        if postings_list_len(rest).is_none_or(|len| len > rest.len() as u64) {
            return Ok(0);
        }
        let list = decode_postings_list(rest, at)?;
        let ids = Ids { count: list.len() as u64, sum: list.iter().fold(0, |sum, id| sum.wrapping_add(u64::from(id))) };
        if self.lists.count > 0 {
            self.listed.add(ids.count, ids.sum);
        } else if ids != self.ids {
            return Err(Malformed::new(
                POSTINGS,
                at,
                format!("{} series in the list of all, there are {}", ids.count, self.ids.count),
            ));
        }
        self.lists.add(at);
        Ok(begin + list.len_bytes())
    }

    fn table_head(&mut self, bytes: &[u8]) -> usize {
        let Some((&[a, b, c, d, ref count @ ..], _)) = bytes.split_first_chunk::<8>() else { return 0 };
        self.table.end = self.at + 4 + u64::from(u32::from_be_bytes([a, b, c, d]));
        self.table.entries = u32::from_be_bytes(*count);
        self.table.crc.update(count);
        self.stage = if self.table.entries == 0 { Stage::TableSum } else { Stage::Table };
        8
    }

    fn table_entry(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let left = usize::try_from(self.table.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let bytes = &bytes[..bytes.len().min(left)];
        let mut cursor = Cursor::at_offset(TABLE, bytes, self.at);
        let mut read = || Ok((cursor.uvarint()?, cursor.uvarint_bytes()?, cursor.uvarint_bytes()?, cursor.uvarint()?));
        let (keys, name, value, offset) = match read() {
            Ok(entry) => entry,
            // it may only be cut off
            Err(_) if bytes.len() < left => return Ok(0),
            Err(m) => return Err(m),
        };
        let is_behind = (name, value) > (&*self.table.name, &*self.table.value);
        if keys != 2 || (self.named.count > 0 && !is_behind) {
            return Err(Malformed::new(TABLE, self.at, "an entry that does not stand behind the one before"));
        }
        let len = cursor.index();
        self.table.crc.update(&bytes[..len]);
        replace(&mut self.table.name, name);
        replace(&mut self.table.value, value);
        self.named.add(offset);
        self.table.entries -= 1;
        if self.table.entries == 0 {
            self.stage = Stage::TableSum;
        }
        Ok(len)
    }

    fn table_sum(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let Some(stored) = bytes.first_chunk::<4>() else { return Ok(0) };
        let wrong = |why: String| Err(Malformed::new(TABLE, self.at, why));
        let (stored, computed) = (u32::from_be_bytes(*stored), self.table.crc.value());
        if self.at != self.table.end {
            return wrong(format!("ends at {}, not at {}", self.at, self.table.end));
        }
        if stored != computed {
            return wrong(format!("checksum {stored:08x} stored, {computed:08x} computed"));
        }
        if self.named != self.lists {
            return wrong(format!("{} entries for {} lists, or others than these", self.named.count, self.lists.count));
        }
        if self.listed != self.labelled {
            let why = format!("{} series in all lists, series have {} labels", self.listed.count, self.labelled.count);
            return Err(Malformed::new(POSTINGS, self.toc.postings, why));
        }
        self.stage = Stage::Toc;
        Ok(4)
    }

    pub(super) fn end(&self) -> Result<(), Malformed> {
        if self.stage != Stage::Toc || self.rest.len() != TOC_BYTES {
            let why = format!("cut off, or with something behind its end, {} bytes before it", self.rest.len());
            return Err(Malformed::new("index", self.at, why));
        }
        let toc = Toc::decode(&self.rest, self.at + TOC_BYTES as u64)?;
        if toc == self.toc {
            Ok(())
        } else {
            Err(Malformed::new("index table of contents", self.at, format!("{toc:?} is not what there is: {:?}", self.toc)))
        }
    }
}

/// How many zeros stand before the next item, if they are all there.
#[inline]
fn padding(part: &'static str, bytes: &[u8], at: u64, align: u64) -> Result<Option<usize>, Malformed> {
    let zeros = (at.next_multiple_of(align) - at) as usize;
    match bytes.get(..zeros) {
        Some(padding) if padding.iter().all(|&b| b == 0) => Ok(Some(zeros)),
        Some(_) => Err(Malformed::new(part, at, "padding is not zero")),
        None => Ok(None),
    }
}

fn replace(to: &mut Vec<u8>, with: &[u8]) {
    to.clear();
    to.extend_from_slice(with);
}
