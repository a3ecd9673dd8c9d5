//! What a compactor did, counted from the events of its jobs.
//!
//! Every value follows from an [`Event`] or from the end of a pass; nothing is counted that did not happen.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::{Page, Spread, Type};
use crate::error::Result;
use crate::job::filter::State;
use crate::job::group::group_key;
use crate::job::pass::PassResult;
use crate::job::quarantine::Standing;
pub use crate::job::todo::Todo;
use crate::job::todo::{Waiting, waiting};
use crate::job::{Event, JobId, Outcome, Report, Work};
use crate::model::Millis;

const LOOK_SECONDS: [f64; 7] = [0.01, 1.0, 10.0, 100.0, 300.0, 600.0, 1000.0];
const COLLECT_SECONDS: [f64; 16] = [0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0, 240.0, 360.0, 720.0];
const DOWNSAMPLE_SECONDS: [f64; 7] = [60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0];
const COMPACT_SECONDS: [f64; 14] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0];

/// Milliseconds between samples of the three resolutions.
const RESOLUTIONS: [Millis; 3] = [0, 300_000, 3_600_000];

/// States of `thanos_blocks_meta_synced` that are there from the beginning.
const STATES: [&str; 12] = [
    "corrupted-meta-json",
    "duplicate",
    "failed",
    "label-excluded",
    "loaded",
    "marked-for-deletion",
    "marked-for-no-compact",
    "marked-for-no-downsample",
    "no-meta-json",
    "parquet-migrated",
    "time-excluded",
    "too-fresh",
];

/// Marks that are there from the beginning: the object's name, and the reason.
const MARKS: [(&str, &str); 4] = [
    ("deletion-mark.json", ""),
    ("no-compact-mark.json", "block-index-out-of-order-chunk"),
    ("no-compact-mark.json", "downsample-vertical-compaction"),
    ("no-compact-mark.json", "index-size-exceeding"),
];

/// The most groups that are named by a metric.
const MOST_NAMED: usize = 100;

/// Everything that is counted.
pub struct Counts {
    state: Mutex<Counted>,
}

/// Looks at the bucket of one kind.
struct Looks {
    done: u64,
    failed: u64,
    seconds: Spread,
    states: BTreeMap<State, usize>,
    labels_removed: usize,
}

#[derive(Default)]
struct Steps {
    started: u64,
    completed: u64,
    failed: u64,
    made: u64,
    vertical: u64,
}

struct Downsampled {
    done: u64,
    failed: u64,
    seconds: Spread,
}

struct Counted {
    /// Groups by how they stand.
    standings: BTreeMap<Standing, usize>,
    /// Key and labels of groups that are left alone.
    quarantined: BTreeSet<(String, String)>,
    retries: u64,
    iterations: u64,
    cleanups: u64,
    partial_attempts: u64,
    cleaned: u64,
    clean_failures: u64,
    marked: BTreeMap<(String, String), u64>,
    replaced: u64,
    deduplicated: u64,
    collections: u64,
    collect_failures: u64,
    collect_seconds: Spread,
    steps: BTreeMap<Millis, Steps>,
    downsampled: BTreeMap<Millis, Downsampled>,
    running: HashMap<JobId, Instant>,
    compactions: u64,
    compact_seconds: Spread,
    looks: Looks,
    views: Looks,
    todo: Option<Todo>,
    waiting: Vec<Waiting>,
    rivals: usize,
}

impl Looks {
    fn new() -> Self {
        Looks { done: 0, failed: 0, seconds: Spread::new(&LOOK_SECONDS), states: BTreeMap::new(), labels_removed: 0 }
    }

    fn look(&mut self, took: Millis, found: Option<(&BTreeMap<State, usize>, usize)>) {
        self.done += 1;
        self.seconds.observe(seconds(took));
        match found {
            Some((states, labels_removed)) => (self.states, self.labels_removed) = (states.clone(), labels_removed),
            None => self.failed += 1,
        }
    }
}

impl Default for Counts {
    fn default() -> Self {
        let downsampled = |_| Downsampled { done: 0, failed: 0, seconds: Spread::new(&DOWNSAMPLE_SECONDS) };
        Counts {
            state: Mutex::new(Counted {
                standings: Standing::ALL.into_iter().map(|s| (s, 0)).collect(),
                quarantined: BTreeSet::new(),
                retries: 0,
                iterations: 0,
                cleanups: 0,
                partial_attempts: 0,
                cleaned: 0,
                clean_failures: 0,
                marked: MARKS.iter().map(|&(file, reason)| ((file.to_owned(), reason.to_owned()), 0)).collect(),
                replaced: 0,
                deduplicated: 0,
                collections: 0,
                collect_failures: 0,
                collect_seconds: Spread::new(&COLLECT_SECONDS),
                steps: RESOLUTIONS.iter().map(|&r| (r, Steps::default())).collect(),
                downsampled: RESOLUTIONS[..2].iter().map(|&r| (r, downsampled(r))).collect(),
                running: HashMap::new(),
                compactions: 0,
                compact_seconds: Spread::new(&COMPACT_SECONDS),
                looks: Looks::new(),
                views: Looks::new(),
                todo: None,
                waiting: Vec::new(),
                rivals: 0,
            }),
        }
    }
}

impl Report for Counts {
    fn event(&self, event: Event<'_>) {
        let mut counted = self.counted();
        match event {
            Event::Started { job, kind: "compact", .. } => _ = counted.running.insert(job, Instant::now()),
            Event::Finished { job, .. } => {
                if let Some(began) = counted.running.remove(&job) {
                    counted.compactions += 1;
                    counted.compact_seconds.observe(began.elapsed().as_secs_f64());
                }
            }
            Event::Failed { job, .. } => _ = counted.running.remove(&job),
            Event::Looked { took, selection, .. } => {
                counted.looks.look(took, Some((&selection.states, selection.labels_removed)));
                counted.waiting = waiting(&selection.blocks);
            }
            Event::Rivals { blocks } => counted.rivals = blocks,
            Event::LookFailed { took, .. } => counted.looks.look(took, None),
            Event::Collected { took, error, .. } => match error {
                // Thanos times what succeeded
                None => {
                    counted.collections += 1;
                    counted.collect_seconds.observe(seconds(took));
                }
                Some(_) => counted.collect_failures += 1,
            },
            Event::Began { work: Work::Compaction, resolution } => counted.steps.entry(resolution).or_default().started += 1,
            Event::Began { work: Work::Downsampling, .. } => {}
            Event::Ended { work: Work::Compaction, resolution, outcome, .. } => {
                let steps = counted.steps.entry(resolution).or_default();
                match outcome {
                    Outcome::Nothing => steps.completed += 1,
                    Outcome::Made { vertical } => {
                        steps.completed += 1;
                        steps.made += 1;
                        steps.vertical += u64::from(vertical);
                    }
                    Outcome::Failed(_) => steps.failed += 1,
                }
            }
            Event::Ended { work: Work::Downsampling, resolution, took, outcome } => {
                let new = || Downsampled { done: 0, failed: 0, seconds: Spread::new(&DOWNSAMPLE_SECONDS) };
                let downsampled = counted.downsampled.entry(resolution).or_insert_with(new);
                // attempts, as Thanos counts them
                downsampled.done += 1;
                match outcome {
                    Outcome::Failed(_) => downsampled.failed += 1,
                    Outcome::Nothing | Outcome::Made { .. } => downsampled.seconds.observe(seconds(took)),
                }
            }
            Event::Marked { file, reason, replaced, .. } => {
                *counted.marked.entry((file.to_owned(), reason.to_owned())).or_default() += 1;
                counted.replaced += u64::from(replaced);
            }
            Event::Deleted { partial, error, .. } => {
                counted.partial_attempts += u64::from(partial);
                match error {
                    None => counted.cleaned += 1,
                    Some(_) => counted.clean_failures += 1,
                }
            }
            Event::Deduplicated { samples, .. } => counted.deduplicated += samples,
            Event::Groups { standings, troubles } => {
                counted.standings = standings.clone();
                let left_alone = troubles.iter().filter(|e| e.standing == Standing::Quarantined);
                let named = left_alone.map(|e| (e.group.clone(), e.labels.to_string()));
                counted.quarantined = named.take(MOST_NAMED).collect();
            }
            Event::Cleaned => counted.cleanups += 1,
            // other jobs, and what is for people
            _ => {}
        }
    }
}

impl Counts {
    /// Counts a pass that is over.
    pub fn pass_over(&self, result: &Result<PassResult>) {
        let mut counted = self.counted();
        match result {
            Ok(result) => {
                let is_whole = result.errors.is_empty() && result.not_downsampled.is_empty();
                counted.iterations += u64::from(is_whole);
                // what is left alone is not tried again
                let again = result.errors.iter().any(|e| e.tried && e.standing == Standing::Retrying)
                    || result.not_downsampled.iter().any(|failed| failed.tried);
                counted.retries += u64::from(again);
            }
            Err(_) => counted.retries += 1,
        }
    }

    /// Keeps what is left to do.
    pub fn set_todo(&self, todo: Todo) {
        self.counted().todo = Some(todo);
    }

    /// Counts a look of the viewer at the whole bucket: how many blocks it found, and how many folders without
    /// a meta and with a damaged one.
    pub fn viewed(&self, took: Millis, found: Option<&BTreeMap<State, usize>>) {
        self.counted().views.look(took, found.map(|states| (states, 0)));
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        // a panic elsewhere does not make counts wrong
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes everything, as of `now`.
    pub fn write(&self, page: &mut Page, now: Millis) {
        let counted = self.counted();
        counted.passes(page);
        counted.cleaning(page);
        counted.steps(page);
        counted.downsampling(page);
        counted.compacting(page);
        looks(page, &LOOKS, &counted.looks);
        looks(page, &VIEWS, &counted.views);
        let metric = |page: &mut Page, name, help, value: u64| page.one(name, Type::Counter, help, value as f64);
        let base = counted.looks.done + counted.views.done;
        metric(
            page,
            "thanos_blocks_meta_base_syncs_total",
            "Total blocks metadata synchronization attempts by base Fetcher",
            base,
        );
        let help = "Total blocks metadata cache busts by base Fetcher";
        metric(page, "thanos_blocks_meta_base_cache_busts_total", help, 0);
        counted.left(page, now);
    }
}

impl Counted {
    fn passes(&self, page: &mut Page) {
        let help = "Set to 1 while a group of blocks needs a person to look at it.";
        let halted = self.standings.get(&Standing::Quarantined).is_some_and(|&n| n > 0);
        page.one("thanos_compact_halted", Type::Gauge, help, f64::from(u8::from(halted)));
        let help = "Groups of blocks by how they stand: healthy, to be tried again, in an archive, or left alone for a person.";
        let mut family = page.family("blockyard_compact_groups", Type::Gauge, help);
        for (standing, &count) in &self.standings {
            family.value(&[("state", standing.as_str())], count as f64);
        }
        let help = "Set to 1 for each group of which a job is left alone until its blocks change, at most 100 of them.";
        let mut family = page.family("blockyard_compact_quarantined_group", Type::Gauge, help);
        for (group, labels) in &self.quarantined {
            family.value(&[("group", group), ("labels", labels)], 1.0);
        }
        let help = "Blocks that another compactor made since this one looked first: more than 0 where two work on one bucket.";
        page.one("blockyard_compact_rival_blocks", Type::Gauge, help, self.rivals as f64);
        let counter = |page: &mut Page, name, help, value: u64| page.one(name, Type::Counter, help, value as f64);
        let help = "Total number of retries after retriable compactor error.";
        counter(page, "thanos_compact_retries_total", help, self.retries);
        let help = "Total number of iterations that were executed successfully.";
        counter(page, "thanos_compact_iterations_total", help, self.iterations);
    }

    fn cleaning(&self, page: &mut Page) {
        let counter = |page: &mut Page, name, help, value: u64| page.one(name, Type::Counter, help, value as f64);
        let help = "Total number of cleanups of partially uploaded blocks and marked blocks that were executed.";
        counter(page, "thanos_compact_block_cleanup_loops_total", help, self.cleanups);
        let help = "Total number of started deletions of blocks that are assumed aborted and only partially uploaded.";
        counter(page, "thanos_compact_aborted_partial_uploads_deletion_attempts_total", help, self.partial_attempts);
        counter(page, "thanos_compact_blocks_cleaned_total", "Total number of blocks deleted in compactor.", self.cleaned);
        let help = "Failures encountered while deleting blocks in compactor.";
        counter(page, "thanos_compact_block_cleanup_failures_total", help, self.clean_failures);
        let help = "Total number of blocks marked in compactor.";
        let mut family = page.family("thanos_compact_blocks_marked_total", Type::Counter, help);
        for ((file, reason), &count) in &self.marked {
            family.value(&[("marker", file), ("reason", reason)], count as f64);
        }
        let help = "Total number of blocks marked for deletion because their samples are in another block.";
        counter(page, "thanos_compact_garbage_collected_blocks_total", help, self.replaced);
        let help = "Total number of garbage collection operations.";
        counter(page, "thanos_compact_garbage_collection_total", help, self.collections);
        let help = "Total number of failed garbage collection operations.";
        counter(page, "thanos_compact_garbage_collection_failures_total", help, self.collect_failures);
        let help = "Time it took to perform garbage collection iteration.";
        page.family("thanos_compact_garbage_collection_duration_seconds", Type::Histogram, help)
            .spread(&[], &self.collect_seconds);
    }

    fn steps(&self, page: &mut Page) {
        let mut family = |name, help, of: fn(&Steps) -> u64| {
            let mut family = page.family(name, Type::Counter, help);
            for (resolution, steps) in &self.steps {
                family.value(&[("resolution", &resolution.to_string())], of(steps) as f64);
            }
        };
        let help = "Total number of group compaction attempts.";
        family("thanos_compact_group_compaction_runs_started_total", help, |s| s.started);
        let help = "Total number of group completed compaction runs, those that resulted with no compaction included.";
        family("thanos_compact_group_compaction_runs_completed_total", help, |s| s.completed);
        let help = "Total number of failed group compactions.";
        family("thanos_compact_group_compactions_failures_total", help, |s| s.failed);
        let help = "Total number of group compaction attempts that resulted in a new block.";
        family("thanos_compact_group_compactions_total", help, |s| s.made);
        let help = "Total number of group compaction attempts that resulted in a new block based on overlapping blocks.";
        family("thanos_compact_group_vertical_compactions_total", help, |s| s.vertical);
    }

    fn downsampling(&self, page: &mut Page) {
        let mut counters = |name, help, of: fn(&Downsampled) -> u64| {
            let mut family = page.family(name, Type::Counter, help);
            for (resolution, downsampled) in &self.downsampled {
                family.value(&[("resolution", &resolution.to_string())], of(downsampled) as f64);
            }
        };
        counters("thanos_compact_downsample_total", "Total number of downsampling attempts.", |d| d.done);
        counters("thanos_compact_downsample_failures_total", "Total number of failed downsampling attempts.", |d| d.failed);
        let help = "Duration of downsample runs";
        let mut family = page.family("thanos_compact_downsample_duration_seconds", Type::Histogram, help);
        for (resolution, downsampled) in &self.downsampled {
            family.spread(&[("resolution", &resolution.to_string())], &downsampled.seconds);
        }
    }

    fn compacting(&self, page: &mut Page) {
        let help = "Total number of compactions that were executed.";
        page.one("prometheus_tsdb_compactions_total", Type::Counter, help, self.compactions as f64);
        let help = "Total number of compactions done on overlapping blocks.";
        let vertical: u64 = self.steps.values().map(|s| s.vertical).sum();
        page.one("prometheus_tsdb_vertical_compactions_total", Type::Counter, help, vertical as f64);
        let help = "Duration of compaction runs";
        page.family("prometheus_tsdb_compaction_duration_seconds", Type::Histogram, help).spread(&[], &self.compact_seconds);
        let help = "Total number of samples that compaction left out because replicas have them too.";
        page.one("blockyard_compact_deduplicated_samples_total", Type::Counter, help, self.deduplicated as f64);
        let help = "Set to 1 when a block is currently being written.";
        let writing = u8::from(!self.running.is_empty());
        page.one("prometheus_tsdb_compaction_populating_block", Type::Gauge, help, f64::from(writing));
    }

    fn left(&self, page: &mut Page, now: Millis) {
        if let Some(todo) = &self.todo {
            let gauge = |page: &mut Page, name, help, value: usize| page.one(name, Type::Gauge, help, value as f64);
            gauge(page, "thanos_compact_todo_compactions", "number of compactions to be done", todo.compactions);
            gauge(
                page,
                "thanos_compact_todo_compaction_blocks",
                "number of blocks planned to be compacted",
                todo.compaction_blocks,
            );
            gauge(page, "thanos_compact_todo_downsample_blocks", "number of blocks to be downsampled", todo.downsample_blocks);
            let help = "number of blocks that have crossed their retention period";
            gauge(page, "thanos_compact_todo_deletion_blocks", help, todo.deletion_blocks);
        }
        let mut groups: Vec<&Waiting> = self.waiting.iter().collect();
        groups.sort_unstable_by_key(|w| (w.resolution, &w.labels));
        let mut ages = |name, help, of: fn(&Waiting) -> Option<Millis>| {
            let mut family = page.family(name, Type::Gauge, help);
            for group in &groups {
                if let Some(since) = of(group) {
                    let (key, labels) = (group_key(group.resolution, &group.labels), group.labels.to_string());
                    family.value(&[("group", key.as_str()), ("labels", labels.as_str())], seconds(now.saturating_sub(since)));
                }
            }
        };
        let help = "How long ago the oldest block ended that no compactor made; of each group that has such a block.";
        ages("blockyard_compact_oldest_uncompacted_block_age_seconds", help, |w| w.uncompacted);
        let help = "How long ago the oldest block ended that is long enough to be downsampled and is not; of each group that has such a block.";
        ages("blockyard_compact_oldest_undownsampled_block_age_seconds", help, |w| w.undownsampled);
    }
}

/// Names of the metrics about looks at the bucket: done, failed, seconds, states, modified.
type Names = [&'static str; 5];

const LOOKS: Names = [
    "thanos_blocks_meta_syncs_total",
    "thanos_blocks_meta_sync_failures_total",
    "thanos_blocks_meta_sync_duration_seconds",
    "thanos_blocks_meta_synced",
    "thanos_blocks_meta_modified",
];

const VIEWS: Names = [
    "thanos_bucket_uiblocks_meta_syncs_total",
    "thanos_bucket_uiblocks_meta_sync_failures_total",
    "thanos_bucket_uiblocks_meta_sync_duration_seconds",
    "thanos_bucket_uiblocks_meta_synced",
    "thanos_bucket_uiblocks_meta_modified",
];

fn looks(page: &mut Page, names: &Names, looks: &Looks) {
    let [done, failed, seconds, synced, modified] = *names;
    page.one(done, Type::Counter, "Total blocks metadata synchronization attempts", looks.done as f64);
    page.one(failed, Type::Counter, "Total blocks metadata synchronization failures", looks.failed as f64);
    let help = "Duration of the blocks metadata synchronization in seconds";
    page.family(seconds, Type::Histogram, help).spread(&[], &looks.seconds);
    let mut family = page.family(synced, Type::Gauge, "Number of block metadata synced");
    for name in STATES {
        let count: usize = looks.states.iter().filter(|(state, _)| state.as_str() == name).map(|(_, n)| n).sum();
        family.value(&[("state", name)], count as f64);
    }
    page.family(modified, Type::Gauge, "Number of blocks whose metadata changed")
        .value(&[("modified", "replica-label-removed")], looks.labels_removed as f64);
}

fn seconds(millis: Millis) -> f64 {
    millis as f64 / 1000.0
}
