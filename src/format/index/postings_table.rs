//! The postings offset table: where the list of each label pair is.

use std::ops::Range;

use super::{FRAME, SAMPLED, TooLong, Version, section, section_len};
use crate::encoding::{Crc32c, Cursor, Malformed, put_uvarint, uvarint_len};

const PART: &str = "index postings table";

/// Strings an entry begins with: name and value.
const KEYS: u8 = 2;

/// One label pair and where its list is; the list of all series has an empty name and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableEntry<'a> {
    /// Label name.
    pub name: &'a [u8],
    /// Label value.
    pub value: &'a [u8],
    /// Offset of the list in the index, its length field.
    pub offset: u64,
}

/// Bytes of one entry.
pub fn entry_len(name_bytes: usize, value_bytes: usize, offset: u64) -> u64 {
    let strings = uvarint_len(name_bytes as u64) + name_bytes + uvarint_len(value_bytes as u64) + value_bytes;
    (1 + strings + uvarint_len(offset)) as u64
}

/// Appends one entry.
pub fn encode_entry(out: &mut Vec<u8>, name: &[u8], value: &[u8], offset: u64) {
    out.push(KEYS);
    put_uvarint(out, name.len() as u64);
    out.extend_from_slice(name);
    put_uvarint(out, value.len() as u64);
    out.extend_from_slice(value);
    put_uvarint(out, offset);
}

/// First pass of writing a table, whose length comes first: counts entries and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PostingsTableLen {
    /// Entries.
    pub count: u64,
    /// Bytes of all entries.
    pub bytes: u64,
}

impl PostingsTableLen {
    /// Counts one more entry.
    pub fn add(&mut self, name_bytes: usize, value_bytes: usize, offset: u64) {
        self.count += 1;
        self.bytes += entry_len(name_bytes, value_bytes, offset);
    }

    /// Bytes of the whole table, length field to checksum.
    pub fn len_bytes(&self) -> u64 {
        (2 * FRAME + 4) as u64 + self.bytes
    }

    /// Second pass: appends length and count to `out`, and takes the same entries again.
    ///
    /// # Errors
    /// [`TooLong`] when the table does not fit its length field; then `out` is as it was.
    pub fn emit(self, out: &mut Vec<u8>) -> Result<PostingsTableEmitter, TooLong> {
        let len = section_len(PART, 4 + self.bytes)?;
        // an entry has at least four bytes: the count fits when the length does
        let count = (self.count as u32).to_be_bytes();
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(&count);
        let mut crc = Crc32c::new();
        crc.update(&count);
        Ok(PostingsTableEmitter { left: self, crc })
    }
}

/// Appends the entries that a [`PostingsTableLen`] counted; `out` may be emptied between calls.
#[derive(Debug)]
pub struct PostingsTableEmitter {
    left: PostingsTableLen,
    crc: Crc32c,
}

impl PostingsTableEmitter {
    /// Appends one entry.
    ///
    /// # Panics
    /// When there are more entries or bytes than were counted.
    pub fn entry(&mut self, out: &mut Vec<u8>, name: &[u8], value: &[u8], offset: u64) {
        let start = out.len();
        encode_entry(out, name, value, offset);
        let bytes = (out.len() - start) as u64;
        assert!(self.left.count > 0 && self.left.bytes >= bytes, "an entry that was not counted");
        self.left.count -= 1;
        self.left.bytes -= bytes;
        self.crc.update(&out[start..]);
    }

    /// Appends the checksum.
    ///
    /// # Panics
    /// When fewer entries or bytes came than were counted.
    pub fn finish(self, out: &mut Vec<u8>) {
        assert_eq!(self.left, PostingsTableLen::default(), "entries that were counted did not come");
        out.extend_from_slice(&self.crc.value().to_be_bytes());
    }
}

/// The postings offset table of an index, over any bytes: a slice, a memory map, a fetched range.
///
/// *Order*: by name, then value, which format 2 has and is verified; format 1 is sorted when read.
///
/// *Memory*: each name's and each 32nd value's position, 4 bytes each, beside the bytes themselves;
/// in format 1 each entry's.
#[derive(Clone, Debug)]
pub struct PostingsTable<B> {
    section: B,
    samples: Samples,
}

impl<B: AsRef<[u8]>> PostingsTable<B> {
    /// Reads the table that `section` begins with (length field to checksum; more may follow),
    /// verifies its checksum and order, and samples positions.
    ///
    /// `base` is the offset of `section` in the index: no list may lie behind it.
    ///
    /// # Errors
    /// [`Malformed`] for any of these.
    pub fn decode(version: Version, section: B, base: u64) -> Result<Self, Malformed> {
        let samples = Samples::decode(version, section.as_ref(), base)?;
        Ok(PostingsTable { section, samples })
    }

    /// How many entries.
    pub fn len(&self) -> usize {
        self.samples.count as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.samples.count == 0
    }

    /// All entries, as they lie in the file.
    pub fn iter(&self) -> TableEntries<'_> {
        self.samples.iter(self.section.as_ref())
    }

    /// Where the list of a label pair is.
    pub fn find(&self, name: &[u8], value: &[u8]) -> Option<u64> {
        self.samples.find(self.section.as_ref(), name, value)
    }

    /// The bytes of the index that hold the list of a label pair, and perhaps padding or other lists
    /// behind it; `end` is where all postings end. What to fetch when only the table is at hand.
    pub fn range(&self, name: &[u8], value: &[u8], end: u64) -> Option<Range<u64>> {
        self.samples.range(self.section.as_ref(), name, value, end)
    }

    /// Label names in order; the empty name of the list of all series is not one.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.samples.names(self.section.as_ref())
    }

    /// Entries of one name, in order of values.
    pub fn values(&self, name: &[u8]) -> impl Iterator<Item = TableEntry<'_>> {
        self.samples.values(self.section.as_ref(), name)
    }
}

/// Positions within a table that was checked, apart from its bytes.
#[derive(Clone, Debug)]
pub(super) struct Samples {
    count: u32,
    /// Where content ends in the section.
    end: usize,
    /// Positions of entries in the section, in order of (name, value): all of them, or each name's
    /// first and each 32nd of a name.
    at: Vec<u32>,
    /// Whether entries between samples follow in the file.
    sorted: bool,
    /// For each name, where its samples begin in `at`.
    names: Vec<u32>,
}

impl Samples {
    pub(super) fn decode(version: Version, bytes: &[u8], base: u64) -> Result<Samples, Malformed> {
        let content = section(PART, bytes, base)?;
        let mut c = Cursor::at_offset(PART, content, base.saturating_add(FRAME as u64));
        let count = c.be32()?;
        let sorted = version == Version::V2;
        let mut s = Samples { count, end: FRAME + content.len(), at: vec![], sorted, names: vec![] };
        let mut before: Option<TableEntry<'_>> = None;
        let mut of_name = 0;
        for i in 0..count {
            let (start, place) = (FRAME + c.index(), c.position());
            let entry = read_entry(&mut c)?;
            if entry.offset >= base {
                return Err(Malformed::new(PART, place, format!("list at {}, behind the table itself", entry.offset)));
            }
            let same_name = before.is_some_and(|b| b.name == entry.name);
            if sorted && before.is_some_and(|b| (b.name, b.value) >= (entry.name, entry.value)) {
                return Err(Malformed::new(PART, place, format!("entry {i} is not above the one before it")));
            }
            of_name = if same_name { of_name + 1 } else { 0 };
            if sorted && of_name == 0 {
                s.names.push(s.at.len() as u32);
            }
            // the section's length is 32 bits, and so is each position in it
            if !sorted || of_name % SAMPLED == 0 {
                s.at.push(start as u32);
            }
            before = Some(entry);
        }
        if !c.is_empty() {
            return Err(c.fail(format!("{} bytes behind the last of {count} entries", c.remaining())));
        }
        if !sorted {
            s.sort(bytes);
        }
        Ok(s)
    }

    /// Brings the positions of all entries in order, and finds where names begin.
    fn sort(&mut self, bytes: &[u8]) {
        let key = |at: u32| entry_at(bytes, at as usize).map(|(e, _)| (e.name, e.value));
        self.at.sort_by_key(|&at| key(at));
        let mut before = None;
        for (i, &at) in self.at.iter().enumerate() {
            let name = key(at).map(|(name, _)| name);
            if before != Some(name) {
                self.names.push(i as u32);
            }
            before = Some(name);
        }
    }

    pub(super) fn iter<'a>(&self, bytes: &'a [u8]) -> TableEntries<'a> {
        TableEntries { bytes, at: FRAME + 4, left: self.count }
    }

    fn name_of<'a>(&self, bytes: &'a [u8], sample: u32) -> Option<&'a [u8]> {
        entry_at(bytes, *self.at.get(sample as usize)? as usize).map(|(e, _)| e.name)
    }

    /// The samples of one name.
    fn run(&self, bytes: &[u8], name: &[u8]) -> Option<Range<usize>> {
        let i = self.names.partition_point(|&n| self.name_of(bytes, n).is_some_and(|other| other < name));
        let from = *self.names.get(i)?;
        if self.name_of(bytes, from)? != name {
            return None;
        }
        let to = self.names.get(i + 1).map_or(self.at.len(), |&n| n as usize);
        Some(from as usize..to)
    }

    pub(super) fn find(&self, bytes: &[u8], name: &[u8], value: &[u8]) -> Option<u64> {
        self.locate(bytes, name, value).map(|(offset, _)| offset)
    }

    pub(super) fn range(&self, bytes: &[u8], name: &[u8], value: &[u8], end: u64) -> Option<Range<u64>> {
        let (start, next) = self.locate(bytes, name, value)?;
        // lists do not overlap: one that begins behind this one bounds it, whatever their order
        let next = next.filter(|&next| next > start).unwrap_or(end);
        Some(start..next.clamp(start, end.max(start)))
    }

    /// Where the list of a pair is, and that of the entry behind it in the file.
    fn locate(&self, bytes: &[u8], name: &[u8], value: &[u8]) -> Option<(u64, Option<u64>)> {
        let run = &self.at[self.run(bytes, name)?];
        let behind = run.partition_point(|&at| entry_at(bytes, at as usize).is_some_and(|(e, _)| e.value <= value));
        let at = run[behind.checked_sub(1)?] as usize;
        let left = if self.sorted { SAMPLED as u32 + 1 } else { 2 };
        let mut near = TableEntries { bytes: bytes.get(..self.end)?, at, left };
        let found = near.find(|e| !self.sorted || (e.name, e.value) >= (name, value))?;
        if (found.name, found.value) != (name, value) {
            return None;
        }
        Some((found.offset, near.next().map(|e| e.offset)))
    }

    pub(super) fn names<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.names.iter().filter_map(move |&n| self.name_of(bytes, n)).filter(|name| !name.is_empty())
    }

    pub(super) fn values<'a>(&'a self, bytes: &'a [u8], name: &[u8]) -> impl Iterator<Item = TableEntry<'a>> + use<'a> {
        let run = self.run(bytes, name).unwrap_or(0..0);
        let first = self.at.get(run.start).copied().filter(|_| !run.is_empty());
        // in a sorted table the entries of a name follow one another up to the next name's first
        let end = self.at.get(run.end).map_or(self.end, |&at| at as usize);
        let in_file = first.filter(|_| self.sorted).map(|at| TableEntries { bytes, at: at as usize, left: self.count });
        let file = in_file
            .into_iter()
            .flat_map(move |mut each| std::iter::from_fn(move || if each.at < end { each.next() } else { None }));
        let listed = if self.sorted { 0..0 } else { run };
        let listed = self.at[listed].iter().filter_map(move |&at| entry_at(bytes, at as usize).map(|(e, _)| e));
        file.chain(listed)
    }
}

fn read_entry<'a>(c: &mut Cursor<'a>) -> Result<TableEntry<'a>, Malformed> {
    let keys = c.uvarint()?;
    if keys != u64::from(KEYS) {
        return Err(c.fail(format!("entry with {keys} strings instead of {KEYS}")));
    }
    Ok(TableEntry { name: c.uvarint_bytes()?, value: c.uvarint_bytes()?, offset: c.uvarint()? })
}

/// The entry that begins at `at` and where it ends; only for positions that were checked.
fn entry_at(bytes: &[u8], at: usize) -> Option<(TableEntry<'_>, usize)> {
    let mut c = Cursor::new(PART, bytes.get(at..)?);
    let entry = read_entry(&mut c).ok()?;
    Some((entry, at + c.index()))
}

/// Iterator of [`PostingsTable::iter`].
#[derive(Clone, Debug)]
pub struct TableEntries<'a> {
    bytes: &'a [u8],
    at: usize,
    left: u32,
}

impl<'a> Iterator for TableEntries<'a> {
    type Item = TableEntry<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let (entry, end) = entry_at(self.bytes, self.at)?;
        self.left -= 1;
        self.at = end;
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::crc32c;
    use proptest::prelude::*;

    /// A table of these entries in this order.
    fn table(entries: &[(String, String, u64)]) -> Vec<u8> {
        let mut len = PostingsTableLen::default();
        for (name, value, offset) in entries {
            len.add(name.len(), value.len(), *offset);
        }
        let mut out = vec![];
        let mut emitter = len.emit(&mut out).unwrap();
        for (name, value, offset) in entries {
            emitter.entry(&mut out, name.as_bytes(), value.as_bytes(), *offset);
        }
        emitter.finish(&mut out);
        assert_eq!(out.len() as u64, len.len_bytes());
        out
    }

    const BASE: u64 = 1 << 40;

    proptest! {
        #[test]
        fn finds_what_is_there(pairs in proptest::collection::btree_map(("[a-c]{1,2}", "[a-f]{0,3}"), 0..BASE, 0..200), turn in 0usize..200) {
            let mut entries: Vec<_> = pairs.iter().map(|((n, v), o)| (n.clone(), v.clone(), *o)).collect();
            let end = BASE + 8;
            for version in [Version::V2, Version::V1] {
                if version == Version::V1 {
                    // any order
                    let turn = turn.min(entries.len());
                    entries.rotate_left(turn);
                }
                let bytes = table(&entries);
                let table = PostingsTable::decode(version, &bytes[..], BASE).unwrap();
                prop_assert_eq!(table.len(), pairs.len());
                prop_assert!(table.iter().map(|e| e.offset).eq(entries.iter().map(|e| e.2)), "as they lie");
                let mut names: Vec<_> = pairs.keys().map(|(n, _)| n.as_bytes()).collect();
                names.dedup();
                prop_assert_eq!(table.names().collect::<Vec<_>>(), names.clone());
                for name in names {
                    let expected = pairs.iter().filter(|((n, _), _)| n.as_bytes() == name).map(|((_, v), o)| (v.as_bytes(), *o));
                    prop_assert!(table.values(name).map(|e| (e.value, e.offset)).eq(expected));
                }
                for name in ["a", "b", "bb", "cc", "d", ""] {
                    for value in ["", "a", "b", "cd", "fff", "z"] {
                        let expected = pairs.get(&(name.to_owned(), value.to_owned())).copied();
                        prop_assert_eq!(table.find(name.as_bytes(), value.as_bytes()), expected);
                    }
                }
                for (i, (name, value, offset)) in entries.iter().enumerate() {
                    prop_assert_eq!(table.find(name.as_bytes(), value.as_bytes()), Some(*offset));
                    let next = entries.get(i + 1).map(|e| e.2).filter(|next| next > offset).unwrap_or(end);
                    prop_assert_eq!(table.range(name.as_bytes(), value.as_bytes(), end), Some(*offset..next));
                }
            }
        }
    }

    #[test]
    fn damage_under_a_right_checksum() {
        let entry = |name: &str, value: &str, offset| (name.to_owned(), value.to_owned(), offset);
        let good = table(&[entry("", "", 8), entry("a", "x", 20), entry("a", "y", 40)]);
        let check = |at: usize, to: u8, expected: &str| {
            let mut bad = good.clone();
            bad[at] = to;
            let end = bad.len() - 4;
            let crc = crc32c(&bad[4..end]);
            bad[end..].copy_from_slice(&crc.to_be_bytes());
            let e = PostingsTable::decode(Version::V2, &bad[..], 100).unwrap_err();
            assert_eq!(e.to_string(), format!("index postings table at byte {expected}"));
        };
        check(7, 4, "124: varint cut off");
        check(7, 2, "118: 6 bytes behind the last of 2 entries");
        check(8, 3, "109: entry with 3 strings instead of 2");
        check(22, b'x', "118: entry 2 is not above the one before it");
        check(23, 100, "118: list at 100, behind the table itself");
        assert!(PostingsTable::decode(Version::V1, &good[..], 100).is_ok());
    }

    #[test]
    #[should_panic = "an entry that was not counted"]
    fn the_second_pass_is_held_to_the_first() {
        let mut out = vec![];
        let mut emitter = PostingsTableLen::default().emit(&mut out).unwrap();
        emitter.entry(&mut out, b"a", b"b", 1);
    }

    #[test]
    fn a_table_above_four_gibibytes_is_refused() {
        let len = PostingsTableLen { count: 1 << 28, bytes: u64::from(u32::MAX) - 3 };
        let mut out = vec![];
        let e = len.emit(&mut out).unwrap_err();
        assert_eq!(e.to_string(), "index postings table of 4294967296 bytes, the format ends at 4294967295");
        assert!(out.is_empty());
    }
}
