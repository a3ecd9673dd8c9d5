//! The merged symbol table, and for each input how its references translate.
//!
//! The merged table is sorted as each input's is, so translation is monotone: label sets compare
//! as sequences of integers from here on and no label string is touched again.
//!
//! *Order*: bytewise. *Memory*: the merged section, four bytes a symbol and input, one part an input.

use crate::block::RangeStream;
use crate::block::fingerprint::Fingerprint;
use crate::error::Result;
use crate::format::Malformed;
use crate::format::index::{SymbolStep, SymbolStream, SymbolTableWriter, TooLong, Version};
use crate::job::compute::Pool;

/// Translates one input's symbol references.
#[derive(Debug, Default)]
pub(super) struct Remap {
    to: Vec<u32>,
    /// In format 1 a reference is an offset in the file: the offsets, ascending.
    offsets: Option<Vec<u32>>,
}

impl Remap {
    #[inline]
    pub(super) fn get(&self, reference: u32) -> Option<u32> {
        let ordinal = match &self.offsets {
            None => reference as usize,
            Some(offsets) => offsets.binary_search(&reference).ok()?,
        };
        self.to.get(ordinal).copied()
    }
}

/// One input's table on its way into the merge.
struct Head {
    stream: SymbolStream,
    /// The next symbol, if it is known.
    symbol: Vec<u8>,
    state: State,
    remap: Remap,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The next symbol has to be decoded.
    Unknown,
    Known,
    Ended,
}

/// A merge of sorted symbol tables that stops where it needs bytes.
pub(super) struct SymbolMerge {
    heads: Vec<Head>,
    least: Vec<u8>,
    out: SymbolTableWriter,
    /// Of the inputs' symbols, each with its number in the merged table.
    sum: Fingerprint,
}

/// What a step ended with.
enum Step {
    /// Input `n` has no whole symbol left.
    Need(usize),
    Done,
}

/// Why a step could not go on.
enum Stopped {
    /// The table of input `n` is damaged.
    Damaged(usize, Malformed),
    /// All symbols together do not fit one table.
    TooLong(TooLong),
}

impl SymbolMerge {
    /// Merges tables of these formats.
    pub(super) fn new(versions: impl Iterator<Item = (Version, u64)>) -> Self {
        let heads = versions
            .map(|(version, section_at)| Head {
                stream: SymbolStream::new(version, section_at),
                symbol: Vec::new(),
                state: State::Unknown,
                remap: Remap { to: Vec::new(), offsets: matches!(version, Version::V1).then(Vec::new) },
            })
            .collect();
        SymbolMerge { heads, least: Vec::new(), out: SymbolTableWriter::new(), sum: Fingerprint::default() }
    }

    /// Merges until bytes are needed or all tables have ended.
    fn step(&mut self) -> Result<Step, Stopped> {
        loop {
            for (n, head) in self.heads.iter_mut().enumerate() {
                if head.state != State::Unknown {
                    continue;
                }
                match head.stream.step().map_err(|m| Stopped::Damaged(n, m))? {
                    SymbolStep::Symbol(reference, symbol) => {
                        head.symbol.clear();
                        head.symbol.extend_from_slice(symbol);
                        if let Some(offsets) = &mut head.remap.offsets {
                            offsets.push(reference);
                        }
                        head.state = State::Known;
                    }
                    SymbolStep::Need(_) => return Ok(Step::Need(n)),
                    SymbolStep::End => head.state = State::Ended,
                }
            }
            let known = self.heads.iter().enumerate().filter(|(_, h)| h.state == State::Known);
            let Some(least) = known.min_by(|a, b| a.1.symbol.cmp(&b.1.symbol)).map(|(n, _)| n) else {
                return Ok(Step::Done);
            };
            self.least.clone_from(&self.heads[least].symbol);
            let reference = self.out.push(&self.least).map_err(Stopped::TooLong)?;
            self.sum.symbol(reference, &self.heads[least].symbol);
            for head in self.heads.iter_mut().filter(|h| h.state == State::Known && h.symbol == self.least) {
                head.remap.to.push(reference);
                head.state = State::Unknown;
            }
        }
    }
}

/// Merges the symbol sections that `streams` read; returns the writer with the merged table, one
/// translation an input, and the sum over the inputs' symbols with their numbers in the merged table.
///
/// # Errors
/// Damage is turned into an error by `damaged`, which knows the blocks; else what the bucket says.
pub(super) async fn merge_symbols(
    mut merge: SymbolMerge,
    streams: &mut [RangeStream],
    pool: &Pool,
    damaged: impl Fn(usize, Malformed) -> crate::error::Error,
) -> Result<(SymbolTableWriter, Vec<Remap>, u64)> {
    loop {
        let (step, back) = pool.run(move || (merge.step(), merge)).await?;
        merge = back;
        match step.map_err(|stopped| match stopped {
            Stopped::Damaged(n, m) => damaged(n, m),
            Stopped::TooLong(limit) => limit.into(),
        })? {
            Step::Done => {
                let remaps = merge.heads.into_iter().map(|h| h.remap).collect();
                return Ok((merge.out, remaps, merge.sum.symbol_sum));
            }
            Step::Need(n) => match streams[n].next().await? {
                Some(part) => {
                    merge.heads[n].stream.push(&part.bytes);
                }
                None => return Err(damaged(n, Malformed::new("index symbols", 0, "cut off by the end of the section"))),
            },
        }
    }
}
