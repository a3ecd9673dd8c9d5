//! Every postings list against the series that have its label pair.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::finding::{Check, Counted, Findings};
use super::index::{Shared, Walked};
use super::pairs::{Pairs, mix};
use super::{MAX_READ_BYTES, MIN_READ_BYTES};
use crate::block::OpenBlock;
use crate::error::Result;
use crate::format::index::{PostingsTable, SymbolTable, decode_postings_list};
use crate::job::Env;
use crate::job::compute::Task;

const PART: &str = "index postings";

/// Symbols to look through one by one before asking the table for the place of the next.
const NEAR_SYMBOLS: usize = 32;

/// One list: where, and of which pair.
#[derive(Clone, Copy)]
struct ListAt {
    offset: u64,
    name: u32,
    value: u32,
}

/// Compares all lists of the table with what was summed over series.
pub(super) async fn check(
    env: &Env,
    block: &OpenBlock,
    table: &Arc<PostingsTable<Bytes>>,
    shared: &Arc<Shared>,
    walked: &mut Walked,
) -> Result<()> {
    let (of_table, of_series) = (Arc::clone(table), Arc::clone(shared));
    let table_at = block.toc().postings_table;
    let (lists, findings) = env.compute().run(move || resolve(&of_table, &of_series.symbols, table_at)).await?;
    walked.findings.join(findings);
    let lists = Arc::new(lists);
    let read_bytes = (env.bucket.read_bytes() as u64).clamp(MIN_READ_BYTES, MAX_READ_BYTES);
    let ahead = env.pool.current_num_threads() * 2 + 1;
    let mut under_way: VecDeque<Task<(Findings, Counted)>> = VecDeque::new();
    let mut first = 0;
    while first < lists.len() || !under_way.is_empty() {
        if first == lists.len() || under_way.len() >= ahead {
            if let Some(oldest) = under_way.pop_front() {
                let (findings, counted) = oldest.await?;
                walked.findings.join(findings);
                walked.counted.join(&counted);
            }
            continue;
        }
        let start = lists[first].offset;
        let behind = first + lists[first..].partition_point(|l| l.offset < start.saturating_add(read_bytes));
        let end = lists.get(behind).map_or(block.toc().postings_range().end, |l| l.offset);
        let (run, range) = (first..behind, start..end.max(start));
        first = behind;
        let (block, pool, lists, shared) = (block.clone(), env.compute(), Arc::clone(&lists), Arc::clone(shared));
        under_way.push_back(Task::spawn(async move {
            let bytes = block.index_range(range.clone()).await?;
            pool.run(move || compare(&bytes, range, &lists[run], &shared)).await
        }));
    }
    let pairs = shared.pairs.as_ref().map_or(0, Pairs::count);
    if walked.counted.lists != pairs {
        let why = format!("{} lists for {pairs} label pairs of series", walked.counted.lists);
        walked.findings.note(Check::Postings, "index postings table", table_at, why);
    }
    Ok(())
}

/// Turns the strings of the table into references, and sorts its lists by place.
fn resolve(table: &PostingsTable<Bytes>, symbols: &SymbolTable<Bytes>, table_at: u64) -> (Vec<ListAt>, Findings) {
    let mut findings = Findings::default();
    let mut lists = Vec::new();
    let mut name: (&[u8], Option<u32>) = (b"", None);
    let mut walk = symbols.iter();
    for entry in table.iter() {
        if entry.name.is_empty() && entry.value.is_empty() {
            continue;
        }
        if name.0 != entry.name {
            name = (entry.name, symbols.find(entry.name));
            walk = symbols.iter();
        }
        // values of a name ascend, so the next is mostly near
        let near = walk.by_ref().take(NEAR_SYMBOLS).find(|&(_, s)| s >= entry.value);
        let value = match near {
            Some((reference, symbol)) if symbol == entry.value => Some(reference),
            _ => symbols.find(entry.value),
        };
        match (name.1, value) {
            (Some(name), Some(value)) => lists.push(ListAt { offset: entry.offset, name, value }),
            _ => {
                let why = format!("{} is made of something that is no symbol", pair(entry.name, entry.value));
                findings.note(Check::Postings, "index postings table", table_at, why);
            }
        }
    }
    lists.sort_by_key(|l| l.offset);
    (lists, findings)
}

fn pair(name: &[u8], value: &[u8]) -> String {
    format!("{}={:?}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
}

fn compare(bytes: &[u8], range: Range<u64>, lists: &[ListAt], shared: &Shared) -> (Findings, Counted) {
    let (mut findings, mut counted) = (Findings::default(), Counted::default());
    let Some(pairs) = &shared.pairs else { return (findings, counted) };
    for list in lists {
        counted.lists += 1;
        let rest = bytes.get((list.offset - range.start) as usize..).unwrap_or_default();
        let ids = match decode_postings_list(rest, list.offset) {
            Ok(ids) => ids,
            Err(m) => {
                findings.note(Check::Postings, m.part, m.at, m.why);
                continue;
            }
        };
        let (mut sum, mut before, mut ascends) = (0u64, None, true);
        for id in ids.iter() {
            sum = sum.wrapping_add(mix(id));
            ascends &= before < Some(id);
            before = Some(id);
        }
        let symbol = |reference| shared.symbols.get(reference).unwrap_or_default();
        let of = || pair(symbol(list.name), symbol(list.value));
        if !ascends {
            findings.note(Check::Postings, PART, list.offset, format!("the list of {} does not ascend", of()));
        }
        if ids.is_empty() {
            findings.note(Check::Postings, PART, list.offset, format!("the list of {} is empty", of()));
        } else if sum != pairs.sum(list.name, list.value) {
            let why = format!("the list of {} names {} series, which are not those that have the label", of(), ids.len());
            findings.note(Check::Postings, PART, list.offset, why);
        }
    }
    (findings, counted)
}
