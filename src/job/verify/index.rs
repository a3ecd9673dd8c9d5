//! One walk over a block's index, for all checks that need it: series in the order of the list of all series, in ranges
//! that are fetched ahead and scanned on the pool; chunks behind them; then the postings lists.
//!
//! *Order*: findings lie in the order of the index.
//! *Memory*: the symbol table, the table of postings lists, 4 bytes a series; a few ranges under way; with `postings` or
//! `symbols` what [`Pairs`] holds, and 16 bytes a list.
//! *Errors*: damage is a finding; what is returned is trouble with the bucket, or a stop.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::chunks::{self, ChunkAt};
use super::finding::{Check, Counted, Findings};
use super::health::{Fatal, Health, HealthCounter};
use super::lists;
use super::pairs::{Pairs, PairsOfRun};
use super::{Checks, MAX_READ_BYTES, MIN_READ_BYTES};
use crate::block::{OpenBlock, Reads, SegmentFile, SeriesRun};
use crate::error::{Error, Kind, Result};
use crate::format::index::{SERIES_ALIGN, SymbolTable, Version, decode_series};
use crate::format::meta::Meta;
use crate::job::Env;
use crate::job::compute::Task;

/// What came of the walk.
#[derive(Default)]
pub(super) struct Walked {
    pub(super) findings: Findings,
    pub(super) counted: Counted,
    /// Whether every series and chunk was read, so that counts can be compared.
    pub(super) complete: bool,
}

/// What scanning needs, shared by the ranges of a block.
pub(super) struct Shared {
    checks: Checks,
    version: Version,
    pub(super) symbols: SymbolTable<Bytes>,
    ids: Vec<u32>,
    /// With `postings` or `symbols`.
    pub(super) pairs: Option<Pairs>,
    meta: Arc<Meta>,
}

/// What a run gave.
#[derive(Default)]
struct Scanned {
    health: Health,
    findings: Findings,
    counted: Counted,
    chunks: Vec<ChunkAt>,
    unreadable: bool,
}

/// Walks the block of `meta`.
pub(super) async fn walk(env: &Env, reads: &Reads, meta: &Arc<Meta>, checks: Checks) -> Result<Walked> {
    let block = OpenBlock::open(reads, meta.ulid).await?;
    let symbols = block.symbols().await?;
    let table = block.postings_table().await?;
    let ids = block.all_series(&table).await?;
    let mut walked = Walked { complete: true, ..Walked::default() };
    let sound = check_ids(&block, &ids, checks, &mut walked.findings);
    if !sound {
        walked.complete = false;
        return Ok(walked);
    }
    let segments = if checks.chunk_data() { block.segments().await? } else { Vec::new() };
    let segments: Arc<[SegmentFile]> = segments.into_iter().filter(|s| s.name.bytes().all(|b| b.is_ascii_digit())).collect();
    if checks.has(Check::Chunks) {
        chunks::check_headers(&block, &segments, &mut walked.findings).await?;
    }
    let pairs = (checks.has(Check::Postings) || checks.has(Check::Symbols)).then(|| Pairs::new(block.version(), &symbols));
    let shared = Arc::new(Shared { checks, version: block.version(), symbols, ids, pairs, meta: Arc::clone(meta) });
    series(env, &block, &shared, &segments, &mut walked).await?;
    if let Some(pairs) = &shared.pairs {
        if checks.has(Check::Symbols) && pairs.unused() > 0 && walked.complete {
            // deleting series leaves symbols behind: worth knowing, no damage
            walked.counted.unused_symbols = pairs.unused();
        }
        if checks.has(Check::Postings) && walked.complete {
            lists::check(env, &block, &Arc::new(table), &shared, &mut walked).await?;
        }
    }
    Ok(walked)
}

/// Whether the list of all series can be walked: it ascends and stays within the section.
fn check_ids(block: &OpenBlock, ids: &[u32], checks: Checks, findings: &mut Findings) -> bool {
    let version = block.version();
    let section = block.toc().series_range();
    let mut complain = |why: String| {
        for check in checks.of_index() {
            findings.note(check, "index postings", None, why.clone());
        }
    };
    if let Some(pair) = ids.windows(2).find(|pair| pair[0] >= pair[1]) {
        complain(format!("the list of all series has {} behind {}", pair[1], pair[0]));
        return false;
    }
    let outside = ids.iter().find(|&&id| !section.contains(&version.series_offset(id)));
    if let Some(id) = outside {
        complain(format!("the list of all series has {id}, which is not between bytes {} and {}", section.start, section.end));
        return false;
    }
    let first = ids.first().map_or(section.end, |&id| version.series_offset(id));
    let begin = match version {
        Version::V1 => section.start,
        Version::V2 => section.start.next_multiple_of(SERIES_ALIGN),
    };
    if checks.has(Check::Postings) && first > begin {
        findings.note(
            Check::Postings,
            "index series",
            section.start,
            format!("{} bytes that are no series of the list of all", first - begin),
        );
    }
    true
}

/// Walks series and the chunks they name.
async fn series(
    env: &Env,
    block: &OpenBlock,
    shared: &Arc<Shared>,
    segments: &Arc<[SegmentFile]>,
    walked: &mut Walked,
) -> Result<()> {
    let read_bytes = (env.bucket.read_bytes() as u64).clamp(MIN_READ_BYTES, MAX_READ_BYTES);
    // one range for each thread, and as many being fetched
    let ahead = env.pool.current_num_threads() * 2 + 1;
    let mut waiting = block.series_runs(&shared.ids, read_bytes).into_iter();
    let mut scanning: VecDeque<Task<Scanned>> = VecDeque::new();
    let mut decoding: VecDeque<Task<(Findings, Counted)>> = VecDeque::new();
    let mut health = Health::default();
    loop {
        if env.cancel.is_cancelled() {
            return Err(Error::new(Kind::Cancelled, "stopped").block(block.id()));
        }
        while scanning.len() < ahead
            && let Some(run) = waiting.next()
        {
            let (block, shared, pool) = (block.clone(), Arc::clone(shared), env.compute());
            scanning.push_back(Task::spawn(async move {
                let bytes = block.index_range(run.bytes.clone()).await?;
                pool.run(move || scan(&shared, &run, &bytes)).await
            }));
        }
        let Some(next) = scanning.pop_front() else { break };
        let scanned = next.await?;
        health.join(scanned.health);
        walked.findings.join(scanned.findings);
        walked.counted.join(&scanned.counted);
        walked.complete &= !scanned.unreadable;
        for reading in chunks::plan(scanned.chunks, segments, read_bytes, &mut walked.findings) {
            if decoding.len() >= ahead
                && let Some(oldest) = decoding.pop_front()
            {
                let (findings, counted) = oldest.await?;
                walked.findings.join(findings);
                walked.counted.join(&counted);
            }
            let (block, pool, times) = (block.clone(), env.compute(), shared.meta.time_range());
            let chunk_findings = shared.checks.has(Check::Chunks);
            decoding.push_back(Task::spawn(async move { chunks::decode(&block, &pool, reading, times, chunk_findings).await }));
        }
    }
    for task in decoding {
        let (findings, counted) = task.await?;
        walked.findings.join(findings);
        walked.counted.join(&counted);
    }
    if shared.checks.has(Check::IndexKnownIssues) {
        let fatal = health.fatal.as_ref().map(|fatal| format!("gather index issues {}: {}", block.id(), said(fatal, shared)));
        if let Some(problem) = fatal.or_else(|| health.problem()) {
            walked.findings.note_block(Check::IndexKnownIssues, problem);
        }
    }
    Ok(())
}

/// Decodes the series of a run and hands them to every check.
fn scan(shared: &Shared, run: &SeriesRun, bytes: &[u8]) -> Scanned {
    let checks = shared.checks;
    let mut out = Scanned::default();
    let mut counter = checks.has(Check::IndexKnownIssues).then(|| HealthCounter::new(shared.meta.time_range()));
    let mut pairs = shared.pairs.as_ref().map(PairsOfRun::new);
    let (mut labels, mut chunks) = (Vec::new(), Vec::new());
    for i in run.ids.clone() {
        let id = shared.ids[i];
        let offset = shared.version.series_offset(id);
        labels.clear();
        chunks.clear();
        let entry = bytes.get((offset - run.bytes.start) as usize..).unwrap_or_default();
        let len = match decode_series(entry, offset, &mut labels, &mut chunks) {
            Ok(len) => len as u64,
            Err(m) => {
                out.unreadable = true;
                if let Some(counter) = &mut counter {
                    counter.unreadable(format!("read series: {m}"));
                }
                for check in checks.of_index().filter(|c| !c.is_upstream()) {
                    out.findings.note(check, m.part, m.at, m.why.clone());
                }
                continue;
            }
        };
        out.counted.series += 1;
        out.counted.chunks += chunks.len() as u64;
        if let Some(counter) = &mut counter {
            match unknown_symbol(shared, &labels) {
                Some(reference) => counter.unreadable(format!("read series: unknown symbol {reference} at byte {offset}")),
                None => counter.series(id, offset, &labels, &chunks),
            }
        }
        if let Some(pairs) = &mut pairs
            && let Some(reference) = pairs.series(id, &labels)
        {
            let check = if checks.has(Check::Symbols) { Check::Symbols } else { Check::Postings };
            out.findings.note(check, "index series", offset, format!("a label refers to symbol {reference}, which is not there"));
        }
        if checks.has(Check::Postings) {
            let behind = offset + len;
            let next = shared.ids.get(i + 1).map_or(run.bytes.end, |&id| shared.version.series_offset(id));
            let aligned = match shared.version {
                Version::V2 => behind.next_multiple_of(SERIES_ALIGN),
                Version::V1 => behind,
            };
            // behind the last series the section may end at once or after its padding
            let exact = aligned == next || (run.last && i + 1 == shared.ids.len() && behind <= next && next <= aligned);
            if !exact {
                let why =
                    format!("the next series is at {next}: the list of all series leaves something out, or names what is none");
                out.findings.note(Check::Postings, "index series", behind, why);
            }
        }
        if checks.has(Check::Chunks) {
            let overlap = chunks.windows(2).find(|pair| pair[1].min_time <= pair[0].max_time);
            if let Some([before, chunk]) = overlap {
                let why = format!("a chunk begins at {}, the one before it ends at {}", chunk.min_time, before.max_time);
                out.findings.note(Check::Chunks, "index series", offset, why);
            }
        }
        if checks.chunk_data() {
            out.chunks.extend(chunks.iter().map(|&meta| ChunkAt { meta, series: id }));
        }
    }
    out.health = counter.map(HealthCounter::finish).unwrap_or_default();
    out
}

/// The first reference of a series that is no symbol.
fn unknown_symbol(shared: &Shared, labels: &[(u32, u32)]) -> Option<u32> {
    let mut references = labels.iter().flat_map(|&(name, value)| [name, value]);
    match shared.version {
        Version::V2 => references.find(|&r| r as usize >= shared.symbols.len()),
        Version::V1 => references.find(|&r| shared.symbols.get(r).is_err()),
    }
}

/// A fatal problem in upstream's words.
fn said(fatal: &Fatal, shared: &Shared) -> String {
    let labels = |labels: &[(u32, u32)]| {
        let text = |r| String::from_utf8_lossy(shared.symbols.get(r).unwrap_or_default()).into_owned();
        let pairs: Vec<String> = labels.iter().map(|&(name, value)| format!("{}={:?}", text(name), text(value))).collect();
        format!("{{{}}}", pairs.join(", "))
    };
    match fatal {
        Fatal::NoLabels { id } => format!("empty label set detected for series {id}"),
        Fatal::NoChunks { id } => format!("empty chunks for series {id}"),
        Fatal::OutOfOrder { labels: now, previous } => {
            format!("series {} out of order; previous {}", labels(now), labels(previous))
        }
        Fatal::Unreadable { why } => why.clone(),
    }
}
