//! The old block's symbols as the new block has them, and how references to them translate.
//!
//! Where the table's checksum does not hold, a symbol counts as read if the postings table, which has a checksum of
//! its own, names it too: a label with a flipped bit would be another label, and nobody could tell.
//!
//! *Order*: bytewise, so that label sets compare as lists of references.
//! *Memory*: both tables.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::lost::{Losses, Lost};
use crate::error::{Error, Result};
use crate::format::index::{PostingsTable, ReadableSymbols, SymbolTable, SymbolTableWriter, Version};

const PART: &str = "index symbols";

/// Symbols of the new block.
pub(super) struct Symbols {
    /// The section as it is written.
    pub(super) section: Bytes,
    table: SymbolTable<Bytes>,
    renaming: Renaming,
}

/// How an old reference becomes a new one.
enum Renaming {
    /// They are the same.
    Same,
    /// Pairs of old and new, by old.
    Pairs(Vec<(u32, u32)>),
}

impl Symbols {
    /// A table that is whole.
    ///
    /// # Errors
    /// `Corrupt` when it is not.
    pub(super) fn whole(version: Version, section: Bytes, base: u64) -> Result<Self> {
        let table = SymbolTable::decode(version, section.clone(), base)?;
        match version {
            Version::V2 => Ok(Symbols { section: section.slice(..table.len_bytes()), table, renaming: Renaming::Same }),
            Version::V1 => Self::of(table.iter().map(|(old, symbol)| (old, symbol.to_vec())).collect()),
        }
    }

    /// What can be trusted of a table whose checksum or order is wrong.
    pub(super) fn mended(
        version: Version,
        section: &[u8],
        base: u64,
        postings: &PostingsTable<Bytes>,
        why: &Error,
        lost: &mut Losses,
    ) -> Result<Self> {
        let known: BTreeSet<&[u8]> = postings.iter().flat_map(|e| [e.name, e.value]).filter(|s| !s.is_empty()).collect();
        let read = ReadableSymbols::read(version, section, base);
        let count = read.count as usize;
        // a value may be empty, and such a pair has no list
        let empty = read.symbols.first().is_some_and(|(_, symbol)| symbol.is_empty());
        let trusted: Vec<(u32, Vec<u8>)> = if version == Version::V2 && count == known.len() + usize::from(empty) {
            let all = empty.then_some(&b""[..]).into_iter().chain(known.iter().copied());
            (0u32..).zip(all).map(|(n, symbol)| (n, symbol.to_vec())).collect()
        } else {
            // behind a wrong length every symbol may be read in another's place
            let known = |symbol: &[u8]| symbol.is_empty() || known.contains(symbol);
            let until = match read.is_whole {
                true => read.symbols.len(),
                false => read.symbols.iter().position(|(_, s)| !known(s)).unwrap_or(read.symbols.len()),
            };
            let in_place = read.symbols[..until].iter().filter(|(_, symbol)| known(symbol));
            in_place.map(|&(old, symbol)| (old, symbol.to_vec())).collect()
        };
        let gone = count.saturating_sub(trusted.len());
        let (at, why) = (why.offset(), why.what());
        lost.add(match gone {
            0 => Lost::new(PART, at, format!("{why}; all symbols were found in the postings table, nothing is lost by it")),
            n => {
                Lost::new(PART, at, format!("{why}; {n} of {count} symbols cannot be trusted, and series that use them are lost"))
            }
        });
        Self::of(trusted)
    }

    /// A new table of these, given by their old references.
    fn of(mut symbols: Vec<(u32, Vec<u8>)>) -> Result<Self> {
        symbols.sort_by(|a, b| a.1.cmp(&b.1));
        let mut writer = SymbolTableWriter::new();
        let mut pairs: Vec<(u32, u32)> = Vec::with_capacity(symbols.len());
        let mut last: Option<(Vec<u8>, u32)> = None;
        for (old, symbol) in symbols {
            let new = match &last {
                Some((same, new)) if *same == symbol => *new,
                _ => writer.push(&symbol)?,
            };
            pairs.push((old, new));
            last = Some((symbol, new));
        }
        pairs.sort_unstable();
        let section = Bytes::from(writer.finish());
        let table = SymbolTable::decode(Version::V2, section.clone(), 0)?;
        Ok(Symbols { section, table, renaming: Renaming::Pairs(pairs) })
    }

    /// What the new block calls the symbol.
    pub(super) fn new_reference(&self, old: u32) -> Option<u32> {
        match &self.renaming {
            Renaming::Same => Some(old).filter(|&o| (o as usize) < self.table.len()),
            Renaming::Pairs(pairs) => pairs.binary_search_by_key(&old, |p| p.0).ok().map(|i| pairs[i].1),
        }
    }

    /// Labels, given by new references, as people write them.
    pub(super) fn show(&self, labels: &[(u32, u32)]) -> String {
        let text = |reference| self.table.get(reference).map_or_else(|_| "?".into(), |s| String::from_utf8_lossy(s).into_owned());
        let pairs: Vec<String> = labels.iter().map(|&(n, v)| format!("{}={:?}", text(n), text(v))).collect();
        format!("{{{}}}", pairs.join(", "))
    }
}
