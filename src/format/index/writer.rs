//! A whole index of format 2, written front to back in one thread.

use std::fmt;
use std::io::{self, Write};

use super::{ChunkMeta, MAX_BYTES, PostingsTableLen, SERIES_ALIGN, SymbolTable, SymbolTableWriter, Toc, TooLong, Version};
use super::{encode_postings_list, encode_series, header};
use crate::encoding::Malformed;
use crate::format::segment::ChunkRef;

/// Why an index was not written.
#[derive(Debug)]
pub enum WriteError {
    /// The sink refused.
    Io(io::Error),
    /// A part outgrew its length field, or the index its references.
    TooLong(TooLong),
    /// Symbols, series or chunks came out of order, or name a symbol that is not there.
    Order(String),
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::Io(e) => e.fmt(f),
            WriteError::TooLong(e) => e.fmt(f),
            WriteError::Order(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for WriteError {}

impl From<io::Error> for WriteError {
    fn from(e: io::Error) -> Self {
        WriteError::Io(e)
    }
}

impl From<TooLong> for WriteError {
    fn from(e: TooLong) -> Self {
        WriteError::TooLong(e)
    }
}

/// Bytes collected before the sink is called.
const HELD_BYTES: usize = 64 << 10;

/// Counts what went out; never seeks.
#[derive(Debug)]
struct Sink<W> {
    to: W,
    held: Vec<u8>,
    /// Bytes already handed to `to`.
    written: u64,
}

impl<W: Write> Sink<W> {
    fn position(&self) -> u64 {
        self.written + self.held.len() as u64
    }

    fn pad(&mut self, align: u64) {
        let zeros = self.position().next_multiple_of(align) - self.position();
        self.held.resize(self.held.len() + zeros as usize, 0);
    }

    /// After each part: hands over what was collected, and minds the size of the index.
    fn settle(&mut self) -> Result<(), WriteError> {
        if self.position() > MAX_BYTES {
            return Err(TooLong { part: "index", bytes: self.position(), limit: MAX_BYTES }.into());
        }
        if self.held.len() >= HELD_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        self.to.write_all(&self.held)?;
        self.written += self.held.len() as u64;
        self.held.clear();
        Ok(())
    }
}

/// First stage of an index: all symbols, in order.
///
/// *Memory*: the symbols.
#[derive(Debug)]
pub struct Writer<W> {
    sink: Sink<W>,
    symbols: SymbolTableWriter,
}

impl<W: Write> Writer<W> {
    /// Begins an index; the header goes out with the symbols.
    pub fn new(to: W) -> Self {
        Writer { sink: Sink { to, held: header().to_vec(), written: 0 }, symbols: SymbolTableWriter::new() }
    }

    /// Adds a symbol and returns what series call it.
    ///
    /// # Errors
    /// [`WriteError::Order`] when it is not above the last one, [`WriteError::TooLong`] when the
    /// section outgrows its length field; the symbol is not added then.
    pub fn symbol(&mut self, symbol: &[u8]) -> Result<u32, WriteError> {
        if let Some(last) = self.symbols.last()
            && last >= symbol
        {
            let text = |s| String::from_utf8_lossy(s).into_owned();
            return Err(WriteError::Order(format!("symbol {:?} behind {:?}", text(symbol), text(last))));
        }
        Ok(self.symbols.push(symbol)?)
    }

    /// Writes the symbols and goes on to the series.
    ///
    /// # Errors
    /// [`WriteError::Io`].
    pub fn series(mut self) -> Result<SeriesWriter<W>, WriteError> {
        let at = self.sink.position();
        let section = self.symbols.finish();
        self.sink.held.extend_from_slice(&section);
        self.sink.settle()?;
        let symbols = SymbolTable::decode(Version::V2, section, at).map_err(ours)?;
        let toc = Toc { symbols: at, series: self.sink.position(), ..Toc::default() };
        Ok(SeriesWriter { sink: self.sink, toc, symbols, last: vec![], last_ref: ChunkRef(0), ids: vec![], pairs: vec![] })
    }
}

/// What we wrote ourselves a moment ago cannot be damaged.
#[cold]
fn ours(e: Malformed) -> WriteError {
    WriteError::Io(io::Error::other(e))
}

/// Second stage of an index: all series, in order; then the rest by itself.
///
/// *Memory*: the symbols, and 12 bytes for each label of each series.
#[derive(Debug)]
pub struct SeriesWriter<W> {
    sink: Sink<W>,
    toc: Toc,
    symbols: SymbolTable<Vec<u8>>,
    /// Labels of the last series.
    last: Vec<(u32, u32)>,
    /// The last chunk of all.
    last_ref: ChunkRef,
    /// Every series.
    ids: Vec<u32>,
    /// Every label of every series: name, value, series.
    pairs: Vec<(u32, u32, u32)>,
}

impl<W: Write> SeriesWriter<W> {
    /// Adds a series and returns what postings call it.
    ///
    /// `labels` are references of name and value, in order of names. What Prometheus' writer asks for
    /// is asked for: series above the last one, chunks in order of place within the block and in order
    /// of time within the series.
    ///
    /// # Errors
    /// [`WriteError::Order`] for any of these and for symbols that are not there,
    /// [`WriteError::TooLong`] above 64 GiB, [`WriteError::Io`].
    pub fn push(&mut self, labels: &[(u32, u32)], chunks: &[ChunkMeta]) -> Result<u32, WriteError> {
        self.check(labels, chunks)?;
        self.sink.pad(SERIES_ALIGN);
        let at = self.sink.position();
        let Some(id) = Version::V2.series_id(at) else {
            return Err(TooLong { part: "index", bytes: at, limit: MAX_BYTES }.into());
        };
        encode_series(&mut self.sink.held, labels, chunks)?;
        self.sink.settle()?;
        self.ids.push(id);
        self.pairs.extend(labels.iter().map(|&(name, value)| (name, value, id)));
        self.last.clear();
        self.last.extend_from_slice(labels);
        self.last_ref = chunks.last().map_or(self.last_ref, |c| c.reference);
        Ok(id)
    }

    fn check(&self, labels: &[(u32, u32)], chunks: &[ChunkMeta]) -> Result<(), WriteError> {
        let n = self.ids.len();
        let refuse = |why: String| Err(WriteError::Order(format!("series {n}: {why}")));
        let symbols = self.symbols.len();
        if let Some(&(name, value)) = labels.iter().find(|(n, v)| *n as usize >= symbols || *v as usize >= symbols) {
            return refuse(format!("label of symbols {name} and {value}, there are {symbols}"));
        }
        // symbols ascend, so references compare as the strings do
        if labels <= &self.last[..] {
            return refuse("not above the one before it".into());
        }
        let mut last = self.last_ref;
        for (i, c) in chunks.iter().enumerate() {
            if c.reference < last {
                return refuse(format!("chunk at {} behind one at {last}", c.reference));
            }
            last = c.reference;
            if i > 0 && c.min_time <= chunks[i - 1].max_time {
                return refuse(format!("chunk from {} behind one up to {}", c.min_time, chunks[i - 1].max_time));
            }
            if c.max_time < c.min_time {
                return refuse(format!("chunk from {} to {}", c.min_time, c.max_time));
            }
        }
        Ok(())
    }

    /// Writes postings, their offset table and the table of contents; returns the sink and what the
    /// table of contents says.
    ///
    /// # Errors
    /// [`WriteError::TooLong`] when a list, the table or the index outgrow what the format can name,
    /// [`WriteError::Io`].
    pub fn finish(mut self) -> Result<(W, Toc), WriteError> {
        self.toc.label_indices = self.sink.position();
        self.toc.postings = self.sink.position();
        let lists = self.postings()?;
        self.toc.label_indices_table = self.sink.position();
        self.toc.postings_table = self.sink.position();
        self.postings_table(&lists)?;
        self.sink.held.extend_from_slice(&self.toc.encode());
        self.sink.settle()?;
        self.sink.flush()?;
        self.sink.to.flush()?;
        Ok((self.sink.to, self.toc))
    }

    /// All lists: that of all series, then by name and value; returns where each pair's is.
    fn postings(&mut self) -> Result<Lists, WriteError> {
        let list = |sink: &mut Sink<W>, ids: &mut dyn ExactSizeIterator<Item = u32>| -> Result<u64, WriteError> {
            sink.pad(4);
            let at = sink.position();
            encode_postings_list(&mut sink.held, ids)?;
            sink.settle()?;
            Ok(at)
        };
        let all = list(&mut self.sink, &mut self.ids.iter().copied())?;
        let mut pairs = std::mem::take(&mut self.pairs);
        pairs.sort_unstable();
        let mut each = Vec::new();
        for run in pairs.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let at = list(&mut self.sink, &mut run.iter().map(|&(_, _, id)| id))?;
            each.push((run[0].0, run[0].1, at));
        }
        Ok(Lists { all, each })
    }

    fn postings_table(&mut self, lists: &Lists) -> Result<(), WriteError> {
        let string = |reference| self.symbols.get(reference).map_err(ours);
        let mut len = PostingsTableLen::default();
        len.add(0, 0, lists.all);
        for &(name, value, at) in &lists.each {
            len.add(string(name)?.len(), string(value)?.len(), at);
        }
        let mut table = len.emit(&mut self.sink.held)?;
        table.entry(&mut self.sink.held, b"", b"", lists.all);
        for &(name, value, at) in &lists.each {
            table.entry(&mut self.sink.held, string(name)?, string(value)?, at);
            self.sink.settle()?;
        }
        table.finish(&mut self.sink.held);
        self.sink.settle()
    }
}

/// Where the lists are.
struct Lists {
    all: u64,
    /// Name, value, offset, in order.
    each: Vec<(u32, u32, u64)>,
}
