//! What a job may change about a pass: how overlapping chunks are joined, which series are left out or
//! cut, and what happens to chunks that are not as they should be.
//!
//! *Order*: decisions are taken on many threads at a time; what is said about them is handed over on one,
//! in the order of the input's series, whatever the number of threads.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::renamed::Place;
use crate::format::Malformed;
use crate::format::chunk::Encoding;
use crate::format::index::{ChunkMeta, SymbolTable};
use crate::format::tombstones::Interval;
use crate::series::dedup::PenaltyMerger;
use crate::series::{Chunk, DecodedChunks, merge_overlapping};

/// How the chunk lists of one series, one list an input, become one list without overlap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Join {
    /// Samples at one time are one sample.
    #[default]
    OneToOne,
    /// One replica is followed until it has a gap.
    Penalty,
    /// All samples of a series are encoded anew, overlapping or not; for one input.
    Anew,
    /// Chunks are copied and nothing else: inputs of which chunks overlap, are cut, or reach to the end of their block,
    /// and those without chunks, are refused with an error ([`is_not_apart`](super::is_not_apart)).
    Apart,
}

/// A [`Join`] at work; it keeps its buffers from series to series.
pub(super) enum Joiner {
    OneToOne,
    Penalty(Box<PenaltyMerger>),
}

impl Joiner {
    pub(super) fn new(join: Join) -> Self {
        match join {
            Join::OneToOne | Join::Anew | Join::Apart => Joiner::OneToOne,
            Join::Penalty => Joiner::Penalty(Box::default()),
        }
    }

    /// Joins `lists`, which come in the order in which upstream's heap pops them; what is decoded is added to `decoded`.
    ///
    /// # Errors
    /// Overlapping chunks that do not decode, and overlapping aggregates.
    pub(super) fn join(&mut self, lists: Vec<Vec<Chunk>>, decoded: &mut DecodedChunks) -> Result<Vec<Chunk>, Malformed> {
        match self {
            Joiner::OneToOne => merge_overlapping(lists, decoded),
            Joiner::Penalty(merger) => merger.merge(lists, decoded),
        }
    }
}

/// The merged symbol table, by which label references become text.
pub(super) type SharedSymbols = Arc<SymbolTable<Bytes>>;

/// A series as an input's index has it.
#[derive(Clone, Copy)]
pub struct SeriesView<'a> {
    pub(super) symbols: &'a SymbolTable<Bytes>,
    pub(super) labels: &'a [(u32, u32)],
    pub(super) chunks: &'a [ChunkMeta],
    pub(super) place: Place,
}

impl<'a> SeriesView<'a> {
    /// Names and values as bytes, in the order of the index.
    pub fn labels(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone {
        // references were checked against the table when they were translated
        self.labels.iter().map(move |&(n, v)| {
            let text = |r| self.symbols.get(r).unwrap_or_default();
            (text(n), text(v))
        })
    }

    /// The value of the label `name`.
    pub fn label(self, name: &[u8]) -> Option<&'a [u8]> {
        self.labels().find(|l| l.0 == name).map(|l| l.1)
    }

    /// Names and values as numbers of symbols, in the order of the index.
    pub fn references(self) -> &'a [(u32, u32)] {
        self.labels
    }

    /// How many symbols there are.
    pub fn symbol_count(self) -> usize {
        self.symbols.len()
    }

    /// The number of a symbol.
    pub fn find(self, symbol: &[u8]) -> Option<u32> {
        self.symbols.find(symbol)
    }

    /// Where its entry lies in the index of its block.
    pub fn place(self) -> Place {
        self.place
    }

    /// Its chunks, in the order of the index, with the places of their records.
    pub fn chunks(self) -> &'a [ChunkMeta] {
        self.chunks
    }
}

/// Says which series are downsampled.
#[derive(Clone)]
pub struct SeriesChoice(Arc<dyn Fn(SeriesView<'_>) -> bool + Send + Sync>);

impl SeriesChoice {
    /// Those for which `choose` says yes; called on many threads at a time.
    pub fn new(choose: impl Fn(SeriesView<'_>) -> bool + Send + Sync + 'static) -> Self {
        SeriesChoice(Arc::new(choose))
    }

    /// Whether this one is.
    pub(super) fn takes(&self, series: SeriesView<'_>) -> bool {
        (self.0)(series)
    }
}

impl fmt::Debug for SeriesChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SeriesChoice")
    }
}

/// What becomes of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stays as it is.
    Keep,
    /// All of it is left out.
    Drop,
    /// It loses the samples in these closed intervals; chunks that lose all are left out.
    Cut(Vec<Interval>),
}

/// Decides about each series of each input.
pub trait Edit: Send + Sync {
    /// Decides about one series; called on many threads at a time. What is appended to `log` comes to
    /// [`Edit::collect`] in the order of the series.
    fn decide(&self, series: SeriesView<'_>, log: &mut Vec<u8>) -> Verdict;

    /// Takes over what was logged about a stretch of series; stretches of one input come in order.
    fn collect(&self, log: Vec<u8>);
}

/// What happens to an input that is not as it should be.
#[derive(Clone, Default)]
pub enum Judge {
    /// Any damage ends the pass; so do chunks that are out of order or outside their block.
    #[default]
    Strict,
    /// Chunks are judged one by one. Takes one input.
    Lenient(Arc<dyn Salvage>),
}

/// A chunk with its record.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// What the index says of it.
    pub meta: ChunkMeta,
    /// How the data is to be read.
    pub encoding: Encoding,
    /// The chunk's data, whose checksum holds.
    pub data: &'a [u8],
}

/// Something that was left out.
#[derive(Clone, Debug)]
pub struct Lost {
    /// Names and values of the series, or nothing where its entry could not be read.
    pub labels: Vec<(String, String)>,
    /// Which chunk, or `None` for the whole series.
    pub chunk: Option<ChunkMeta>,
    /// Why.
    pub why: Malformed,
}

/// Judges chunks one by one, and hears what could not be kept.
pub trait Salvage: Send + Sync {
    /// Whether `chunk` goes out behind `before`, the last chunk of its series that does. Called for each
    /// chunk in the order of the index, on many threads at a time.
    ///
    /// # Errors
    /// What ends the pass.
    fn keeps(&self, before: Option<Candidate<'_>>, chunk: Candidate<'_>) -> Result<bool, Malformed>;

    /// Whether records and series entries that cannot be read are left out instead of ending the pass.
    fn skips_damage(&self) -> bool;

    /// Takes over what was damaged and left out, in the order of the series.
    fn lost(&self, lost: Vec<Lost>);
}
