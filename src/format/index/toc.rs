//! The table of contents, the last 52 bytes of an index.

use std::ops::Range;

use super::HEADER_BYTES;
use crate::encoding::{Cursor, Malformed, crc32c};

/// Bytes of the table of contents: six offsets and a checksum.
pub const TOC_BYTES: usize = 6 * 8 + 4;

const PART: &str = "index table of contents";

/// Where each section of an index begins, in bytes from the start of the file.
///
/// What Prometheus writes today: `series` is the end of the symbols, `label_indices` and `postings`
/// the end of the series, all before any padding; `label_indices_table` equals `postings_table`.
/// Older versions have label indices between series and postings, and their table before that of the
/// postings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Toc {
    /// Symbol table.
    pub symbols: u64,
    /// First series, before padding.
    pub series: u64,
    /// Label indices; no longer written.
    pub label_indices: u64,
    /// Their offset table; no longer written.
    pub label_indices_table: u64,
    /// First postings list, before padding.
    pub postings: u64,
    /// Postings offset table.
    pub postings_table: u64,
}

impl Toc {
    /// Reads the last [`TOC_BYTES`] of an index of `file_len` bytes.
    ///
    /// # Errors
    /// [`Malformed`] when `last` has another length, the checksum differs, or the sections are not in
    /// order within the file. Offsets in errors are those of the file.
    pub fn decode(last: &[u8], file_len: u64) -> Result<Toc, Malformed> {
        let Some(base) = file_len.checked_sub((TOC_BYTES + HEADER_BYTES) as u64).map(|b| b + HEADER_BYTES as u64) else {
            return Err(Malformed::new(PART, 0, format!("index of {file_len} bytes has no room for it")));
        };
        if last.len() != TOC_BYTES {
            return Err(Malformed::new(PART, base, format!("{} bytes instead of {TOC_BYTES}", last.len())));
        }
        let mut c = Cursor::at_offset(PART, last, base);
        let toc = Toc {
            symbols: c.be64()?,
            series: c.be64()?,
            label_indices: c.be64()?,
            label_indices_table: c.be64()?,
            postings: c.be64()?,
            postings_table: c.be64()?,
        };
        let computed = crc32c(&last[..c.index()]);
        let stored = c.be32()?;
        if computed != stored {
            return Err(Malformed::new(PART, base, format!("checksum {stored:08x} stored, {computed:08x} computed")));
        }
        toc.check(base)?;
        Ok(toc)
    }

    /// Order and bounds; `end` is where the sections end and the table of contents begins.
    fn check(&self, end: u64) -> Result<(), Malformed> {
        let ordered = [
            ("header", HEADER_BYTES as u64),
            ("symbols", self.symbols),
            ("series", self.series),
            ("postings", self.postings),
            ("postings offset table", self.postings_table),
            ("table of contents", end),
        ];
        for (i, pair) in ordered.windows(2).enumerate() {
            let [(before, a), (behind, b)] = [pair[0], pair[1]];
            if a > b {
                // the field that is too high; the header cannot be
                let field = if i == 0 { 0 } else { [0, 8, 32, 40][i - 1] };
                return Err(Malformed::new(PART, end + field, format!("{before} at {a}, behind {behind} at {b}")));
            }
        }
        for (what, at, field) in
            [("label indices", self.label_indices, 16), ("label indices table", self.label_indices_table, 24)]
        {
            if at != 0 && !(self.series..=end).contains(&at) {
                let why = format!("{what} at {at}, not between series at {} and the end at {end}", self.series);
                return Err(Malformed::new(PART, end + field, why));
            }
        }
        Ok(())
    }

    /// The table of contents as bytes.
    pub fn encode(&self) -> [u8; TOC_BYTES] {
        let mut out = [0; TOC_BYTES];
        let fields =
            [self.symbols, self.series, self.label_indices, self.label_indices_table, self.postings, self.postings_table];
        for (to, field) in out.chunks_exact_mut(8).zip(fields) {
            to.copy_from_slice(&field.to_be_bytes());
        }
        let crc = crc32c(&out[..TOC_BYTES - 4]);
        out[TOC_BYTES - 4..].copy_from_slice(&crc.to_be_bytes());
        out
    }

    /// Where the table of contents itself is, in an index of `file_len` bytes: read this first.
    pub fn range(file_len: u64) -> Range<u64> {
        file_len.saturating_sub(TOC_BYTES as u64)..file_len
    }

    /// The symbol table: length field to checksum.
    pub fn symbols_range(&self) -> Range<u64> {
        self.symbols..self.series
    }

    /// All series, with padding before them and between them.
    pub fn series_range(&self) -> Range<u64> {
        // what follows begins where the last series ends, or not far behind it
        let end = [self.label_indices, self.label_indices_table, self.postings, self.postings_table]
            .into_iter()
            .filter(|&at| at >= self.series)
            .min();
        self.series..end.unwrap_or(self.series)
    }

    /// The label indices of older versions; empty where there are none.
    pub fn label_indices_range(&self) -> Range<u64> {
        if (self.series..self.postings).contains(&self.label_indices) {
            self.label_indices..self.postings
        } else {
            self.postings..self.postings
        }
    }

    /// All postings lists, with padding before them and between them.
    pub fn postings_range(&self) -> Range<u64> {
        if (self.postings + 1..self.postings_table).contains(&self.label_indices_table) {
            self.postings..self.label_indices_table
        } else {
            self.postings..self.postings_table
        }
    }

    /// The label indices' offset table of older versions; empty where there is none.
    pub fn label_indices_table_range(&self) -> Range<u64> {
        self.postings_range().end..self.postings_table
    }

    /// The postings offset table, length field to checksum, in an index of `file_len` bytes.
    pub fn postings_table_range(&self, file_len: u64) -> Range<u64> {
        self.postings_table..Toc::range(file_len).start.max(self.postings_table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Toc =
        Toc { symbols: 5, series: 60, label_indices: 200, label_indices_table: 300, postings: 200, postings_table: 300 };
    const OLD: Toc =
        Toc { symbols: 5, series: 60, label_indices: 200, label_indices_table: 300, postings: 250, postings_table: 320 };
    const EMPTY: Toc =
        Toc { symbols: 5, series: 17, label_indices: 17, label_indices_table: 36, postings: 17, postings_table: 36 };

    #[test]
    fn both_ways() {
        for toc in [NEW, OLD, EMPTY] {
            assert_eq!(Toc::decode(&toc.encode(), 400), Ok(toc));
        }
    }

    #[test]
    fn ranges() {
        assert_eq!(Toc::range(400), 348..400);
        assert_eq!(NEW.symbols_range(), 5..60);
        assert_eq!((NEW.series_range(), OLD.series_range(), EMPTY.series_range()), (60..200, 60..200, 17..17));
        assert_eq!((NEW.label_indices_range(), OLD.label_indices_range()), (200..200, 200..250));
        assert_eq!((NEW.postings_range(), OLD.postings_range(), EMPTY.postings_range()), (200..300, 250..300, 17..36));
        assert_eq!((NEW.label_indices_table_range(), OLD.label_indices_table_range()), (300..300, 300..320));
        assert_eq!(NEW.postings_table_range(400), 300..348);
    }

    #[test]
    fn every_wrong_bit_is_noticed() {
        let good = NEW.encode();
        for bit in 0..good.len() * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Toc::decode(&bad, 400).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn sections_out_of_order_or_out_of_the_file() {
        let at = |toc: Toc, file_len: u64| Toc::decode(&toc.encode(), file_len).unwrap_err().at;
        assert_eq!(at(Toc { symbols: 4, ..NEW }, 400), 348);
        assert_eq!(at(Toc { series: 201, ..NEW }, 400), 356);
        assert_eq!(at(Toc { label_indices: 59, ..NEW }, 400), 364);
        assert_eq!(at(Toc { label_indices_table: u64::MAX, ..NEW }, 400), 372);
        assert_eq!(at(NEW, 351), 339);
        assert!(Toc::decode(&NEW.encode(), 352).is_ok());
        assert_eq!(at(NEW, 50), 0);
        assert!(Toc::decode(&NEW.encode()[1..], 400).is_err());
    }
}
