//! The first pass over a block whose symbols change: which labels each series gets, and which symbols that takes.
//!
//! *Memory*: the old symbol table, 4 bytes a symbol, new strings once each, and [`NewLabels`].

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::changes::{Outcome, deleted_line, lost_of, outcome, relabeled_line};
use super::notes::{Notes, put_bytes, put_number};
use super::request::Request;
use crate::error::{Error, Kind, Result};
use crate::format::index::SymbolTableWriter;
use crate::format::tombstones::Interval;
use crate::job::Env;
use crate::job::pipeline::{Edit, NewLabels, Place, Scan, SeriesView, SourceBlock, UNUSED, Verdict};
use crate::job::relabel::Relabeled;

/// Marks a string that the old table does not have.
const NEW_STRING: i64 = -1;

/// Computes new labels on many threads; what is decided comes back as notes, in the order of the index.
struct Naming {
    request: Request,
    /// One bit an old symbol.
    used: OnceLock<Vec<AtomicU64>>,
}

impl Naming {
    fn uses(&self, series: SeriesView<'_>, reference: u32) {
        let used = self.used.get_or_init(|| (0..series.symbol_count().div_ceil(64)).map(|_| AtomicU64::new(0)).collect());
        if let Some(word) = used.get(reference as usize / 64) {
            word.fetch_or(1 << (reference % 64), Ordering::Relaxed);
        }
    }

    fn is_used(&self, reference: usize) -> bool {
        let word = self.used.get().and_then(|used| used.get(reference / 64));
        word.is_some_and(|word| word.load(Ordering::Relaxed) >> (reference % 64) & 1 == 1)
    }
}

impl Edit for Naming {
    fn decide(&self, series: SeriesView<'_>, log: &mut Vec<u8>) -> Verdict {
        let Outcome { labels, verdict } = outcome(&self.request, series);
        let lost = lost_of(series.chunks(), &verdict);
        let gone = match &verdict {
            Verdict::Keep => false,
            Verdict::Drop => true,
            Verdict::Cut(_) => series.chunks().iter().all(|c| lost.covers(Interval::new(c.min_time, c.max_time))),
        };
        let keeps_symbols = !(gone && self.request.drop_unused_symbols);
        match &labels {
            Relabeled::Same => {
                if keeps_symbols {
                    series.references().iter().for_each(|&(name, value)| {
                        self.uses(series, name);
                        self.uses(series, value);
                    });
                }
            }
            Relabeled::Dropped => {
                log.push(0);
                put_bytes(log, deleted_line(series.labels(), lost.as_slice()).as_bytes());
            }
            Relabeled::Changed(new) => {
                log.push(if gone { 1 } else { 2 });
                put_bytes(log, relabeled_line(series.labels(), new).as_bytes());
                let line = match lost.as_slice() {
                    [] => String::new(),
                    lost => deleted_line(new.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())), lost),
                };
                put_bytes(log, line.as_bytes());
                let strings = new.iter().flat_map(|(n, v)| [n, v]).filter(|_| keeps_symbols);
                put_number(log, strings.clone().count() as i64);
                for string in strings {
                    match series.find(string.as_bytes()) {
                        Some(reference) => {
                            self.uses(series, reference);
                            put_number(log, i64::from(reference));
                        }
                        None => {
                            put_number(log, NEW_STRING);
                            put_bytes(log, string.as_bytes());
                        }
                    }
                }
                let place = series.place();
                put_number(log, place.position as i64);
                put_number(log, i64::from(place.len_bytes));
                let cut: &[Interval] = if let Verdict::Cut(cut) = &verdict { cut } else { &[] };
                put_number(log, cut.len() as i64);
                for i in cut {
                    put_number(log, i.min);
                    put_number(log, i.max);
                }
            }
        }
        verdict
    }

    fn collect(&self, _: Vec<u8>) {}
}

/// Reads the block's index once; `changed` hears what the change log says of series that get other labels or none.
///
/// # Errors
/// `Corrupt` names part and offset; `Limit` when the new symbols do not fit one table; else what the bucket says.
pub(super) async fn name(
    env: &Env,
    source: &SourceBlock,
    request: &Request,
    changed: &mut (dyn FnMut(&str) -> Result<()> + Send),
) -> Result<NewLabels> {
    let naming = Arc::new(Naming { request: request.clone(), used: OnceLock::new() });
    let mut scan = Scan::open(env, source, naming.clone()).await?;
    let old_count = scan.symbols().len();
    let too_many = || Error::new(Kind::Limit, "the new symbols do not fit one table").block(source.id);
    let mut strings: HashMap<Vec<u8>, u32> = HashMap::new();
    // strings are numbered as they come: old ones as they were, new ones behind them
    let mut labels = NewLabels::default();
    let mut refs = Vec::new();
    let mut deleted = String::new();
    while let Some(notes) = scan.next().await? {
        let mut notes = Notes::new(&notes);
        while let Some(kind) = notes.byte() {
            changed(&String::from_utf8_lossy(notes.bytes()))?;
            if kind == 0 {
                continue;
            }
            deleted.push_str(&String::from_utf8_lossy(notes.bytes()));
            refs.clear();
            for _ in 0..notes.number() {
                let reference = match notes.number() {
                    NEW_STRING => {
                        let next = u32::try_from(old_count + strings.len()).map_err(|_| too_many())?;
                        *strings.entry(notes.bytes().to_vec()).or_insert(next)
                    }
                    old => old as u32,
                };
                refs.push(reference);
            }
            let place = Place { position: notes.number() as u64, len_bytes: notes.number() as u32 };
            let cut = (0..notes.number()).map(|_| Interval::new(notes.number(), notes.number())).collect();
            if kind == 2 {
                labels.push(place, refs.chunks_exact(2).map(|pair| (pair[0], pair[1])), cut);
            }
        }
    }
    // upstream relabels all series before it deletes any
    changed(&deleted)?;

    let mut new: Vec<(Vec<u8>, u32)> = strings.into_iter().collect();
    new.sort_unstable();
    let mut writer = SymbolTableWriter::new();
    let mut remap = vec![UNUSED; old_count + new.len()];
    let mut new = new.into_iter().peekable();
    for old in 0..old_count {
        if !naming.is_used(old) {
            continue;
        }
        let symbol = scan.symbols().get(old as u32)?;
        while let Some((string, temporary)) = new.next_if(|n| n.0.as_slice() < symbol) {
            remap[temporary as usize] = writer.push(&string).map_err(|_| too_many())?;
        }
        remap[old] = writer.push(symbol).map_err(|_| too_many())?;
    }
    for (string, temporary) in new {
        remap[temporary as usize] = writer.push(&string).map_err(|_| too_many())?;
    }
    let finishing = env.compute().run(move || {
        labels.finish(writer.finish(), remap, old_count);
        labels
    });
    finishing.await
}
