//! Postings against series without holding either: each label pair has a sum over its series, made once from the
//! series and once from the list. The sums are of a mixing function of 64 bits, so that lists that differ in any series
//! differ in their sums, but for one chance in 2^64.
//!
//! *Memory*: 20 bytes a symbol and 20 bytes a pair whose value belongs to several names.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bytes::Bytes;

use crate::format::index::{SymbolTable, Version};

/// Sums of label pairs, and which symbols are used.
pub(super) struct Pairs {
    version: Version,
    /// References of symbols in order; empty in format 2, where they count from 0.
    references: Vec<u32>,
    /// By number of the value's symbol: the name it came with first, and the sum.
    slots: Vec<Slot>,
    /// Sums of values that come with a second name, by reference of name and value.
    others: Mutex<HashMap<(u32, u32), u64>>,
}

#[derive(Default)]
struct Slot {
    /// Reference of the name, plus one; 0 for none yet.
    name: AtomicU32,
    sum: AtomicU64,
    used: AtomicU32,
}

/// Spreads a series id over 64 bits (the finish of SplitMix64).
#[inline]
pub(super) fn mix(id: u32) -> u64 {
    let mut x = u64::from(id).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl Pairs {
    pub(super) fn new(version: Version, symbols: &SymbolTable<Bytes>) -> Self {
        let references = match version {
            Version::V1 => symbols.iter().map(|(reference, _)| reference).collect(),
            Version::V2 => Vec::new(),
        };
        let slots = std::iter::repeat_with(Slot::default).take(symbols.len()).collect();
        Pairs { version, references, slots, others: Mutex::default() }
    }

    /// Number of the symbol that series call `reference`.
    pub(super) fn number(&self, reference: u32) -> Option<usize> {
        match self.version {
            Version::V1 => self.references.binary_search(&reference).ok(),
            Version::V2 => Some(reference as usize).filter(|&n| n < self.slots.len()),
        }
    }

    fn add(&self, (name, value): (u32, u32), sum: u64) {
        let (Some(of_name), Some(of_value)) = (self.number(name), self.number(value)) else { return };
        self.slots[of_name].used.store(1, Ordering::Relaxed);
        let slot = &self.slots[of_value];
        slot.used.store(1, Ordering::Relaxed);
        let mine = name.wrapping_add(1);
        let owner = match slot.name.compare_exchange(0, mine, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => mine,
            Err(owner) => owner,
        };
        if owner == mine {
            slot.sum.fetch_add(sum, Ordering::Relaxed);
        } else if let Ok(mut others) = self.others.lock() {
            let sum_of = others.entry((name, value)).or_default();
            *sum_of = sum_of.wrapping_add(sum);
        }
    }

    /// The sum over series that have the pair; 0 for none.
    pub(super) fn sum(&self, name: u32, value: u32) -> u64 {
        let Some(of_value) = self.number(value) else { return 0 };
        let slot = &self.slots[of_value];
        if slot.name.load(Ordering::Relaxed) == name.wrapping_add(1) {
            return slot.sum.load(Ordering::Relaxed);
        }
        self.others.lock().ok().and_then(|others| others.get(&(name, value)).copied()).unwrap_or(0)
    }

    /// How many different pairs series have.
    pub(super) fn count(&self) -> u64 {
        let first = self.slots.iter().filter(|s| s.name.load(Ordering::Relaxed) != 0).count();
        (first + self.others.lock().map_or(0, |others| others.len())) as u64
    }

    /// How many symbols no series uses.
    pub(super) fn unused(&self) -> u64 {
        self.slots.iter().filter(|s| s.used.load(Ordering::Relaxed) == 0).count() as u64
    }
}

/// Collects the sums of one worker; series that follow one another share most pairs, which meet here first.
pub(super) struct PairsOfRun<'a> {
    pairs: &'a Pairs,
    /// By position in the label set.
    held: Vec<((u32, u32), u64)>,
}

impl<'a> PairsOfRun<'a> {
    pub(super) fn new(pairs: &'a Pairs) -> Self {
        PairsOfRun { pairs, held: Vec::new() }
    }

    /// One more series. Returns the first reference that is no symbol.
    pub(super) fn series(&mut self, id: u32, labels: &[(u32, u32)]) -> Option<u32> {
        let sum = mix(id);
        for (i, &pair) in labels.iter().enumerate() {
            match self.held.get_mut(i) {
                Some((held, of_run)) if *held == pair => *of_run = of_run.wrapping_add(sum),
                Some(slot) => {
                    self.pairs.add(slot.0, slot.1);
                    *slot = (pair, sum);
                }
                None => self.held.push((pair, sum)),
            }
        }
        labels.iter().flat_map(|&(name, value)| [name, value]).find(|&r| self.pairs.number(r).is_none())
    }
}

impl Drop for PairsOfRun<'_> {
    fn drop(&mut self) {
        for &(pair, sum) in &self.held {
            self.pairs.add(pair, sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::index::SymbolTableWriter;

    #[test]
    fn sums_are_those_of_lists() {
        let mut writer = SymbolTableWriter::new();
        for symbol in ["", "a", "b", "c", "d", "unused"] {
            writer.push(symbol.as_bytes()).unwrap();
        }
        let symbols = SymbolTable::decode(Version::V2, Bytes::from(writer.finish()), 5).unwrap();
        let pairs = Pairs::new(Version::V2, &symbols);
        // value 3 comes with names 1 and 2
        let series = [(7, vec![(1, 3), (2, 4)]), (9, vec![(1, 3)]), (11, vec![(2, 3)]), (12, vec![(1, 4), (2, 3)])];
        let mut run = PairsOfRun::new(&pairs);
        for (id, labels) in &series {
            assert_eq!(run.series(*id, labels), None);
        }
        assert_eq!(run.series(13, &[(1, 99)]), Some(99));
        drop(run);
        let list = |ids: &[u32]| ids.iter().fold(0u64, |sum, &id| sum.wrapping_add(mix(id)));
        assert_eq!(pairs.sum(1, 3), list(&[7, 9]));
        assert_eq!(pairs.sum(2, 3), list(&[11, 12]));
        assert_eq!(pairs.sum(2, 4), list(&[7]));
        assert_eq!(pairs.sum(1, 4), list(&[12]));
        assert_eq!(pairs.sum(3, 4), 0);
        assert_eq!((pairs.count(), pairs.unused()), (4, 2));
    }
}
