//! Whole passes on a bucket that fails: deterministic, so that a printed seed replays.
//!
//! A run puts a small bucket up, lets a few processes work on it that meet faults and crashes, moves the clock
//! between them, and then lets one that meets none go on until nothing is left to do. [`watch`] judges every single
//! change on the way; at the end the live blocks have to be those of an undisturbed run, to the byte.
//!
//! `BLOCKYARD_SIMULATE=from..to` says which seeds are run, as `tests/simulate` does; then every workload is
//! crashed at every operation as well, not only the first.

mod machine;
mod samples;
mod store;
mod watch;
pub(crate) mod workload;

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use blockyard::bucket::faulty::Faults;
use blockyard::format::meta::{META_FILE, Meta};
use blockyard::job::pass::PassOptions;
use blockyard::model::{BlockId, Millis, Timestamp};
use bytes::Bytes;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use machine::Machine;
use samples::Truth;
use store::{Objects, Shelf, Time};
use watch::{Watch, below};
use workload::{DAY, HOUR, Workload};

/// Seeds that are run where nobody says which.
const SEEDS: Range<u64> = 0..1700;

/// How long a request may take: so long that no two arrive in the same millisecond.
const LATENCY: Duration = Duration::from_secs(1 << 20);

/// Passes until nothing is left to do.
const MOST_PASSES: usize = 16;

/// A workload, and what an undisturbed run makes of it.
struct Known {
    workload: Workload,
    truth: Arc<Truth>,
    /// What is live in the end.
    outcome: BTreeMap<String, String>,
    /// Operations of an undisturbed run.
    operations: u64,
}

/// What happens in a run.
#[derive(Clone, Debug, Default)]
struct Script {
    /// Each process: what it meets, how far the clock moves before each of its passes, and whether it finds the local folder
    /// of the one before.
    processes: Vec<(Faults, Vec<Millis>, bool)>,
}

static KNOWN: LazyLock<Vec<Known>> = LazyLock::new(|| workload::all().into_iter().map(Known::new).collect());

impl Known {
    fn new(mut workload: Workload) -> Known {
        if let Some(before) = workload.before.take() {
            let (shelf, time) = set_up(&workload, Watch::new(None, &before), -DAY);
            let scratch = tempfile::tempdir().expect("a folder");
            let machine = Machine::new(&shelf, &time, Faults::default(), scratch.path());
            let done = machine.pass(&before).expect("an undisturbed pass");
            assert!(done.is_clean() && shelf.broken().is_none(), "{}: {:?}", workload.name, shelf.broken());
            workload.objects = shelf.objects().into_iter().map(|(key, (bytes, at))| (key.to_string(), bytes, at)).collect();
        }
        let mut truth = Truth::default();
        let for_ever = PassOptions { retention_raw: 0, retention_5m: 0, retention_1h: 0, ..workload.options.clone() };
        let undisturbed = |options: &PassOptions, truth| {
            let (shelf, time) = set_up(&workload, Watch::new(truth, options), 0);
            let scratch = tempfile::tempdir().expect("a folder");
            let operations = settle(&shelf, &time, workload.horizon, options, scratch.path());
            let operations = operations.unwrap_or_else(|why| panic!("{} undisturbed: {why}\n{}", workload.name, shelf.tail()));
            (shelf.objects(), operations)
        };
        let (objects, _) = undisturbed(&for_ever, None);
        for folder in folders(&objects) {
            let (meta, all) = block(&objects, &folder).expect("a live block");
            truth.add(&meta, &all);
        }
        let truth = Arc::new(truth);
        let (objects, operations) = undisturbed(&workload.options, Some(truth.clone()));
        let outcome = outcome(&objects).expect("live blocks");
        Known { workload, truth, outcome, operations }
    }

    /// Runs a script; the log, or what went wrong.
    fn run(&self, script: &Script) -> Result<Vec<String>, String> {
        let options = &self.workload.options;
        let (shelf, time) = set_up(&self.workload, Watch::new(Some(self.truth.clone()), options), 0);
        let done = catch_unwind(AssertUnwindSafe(|| self.judge(script, &shelf, &time)));
        let done = done.unwrap_or_else(|_| Err("a panic, see above".to_owned()));
        match shelf.broken().map_or(done, Err) {
            Ok(()) => Ok(shelf.log()),
            Err(why) => Err(format!("workload {}: {why}\n{script:?}\n{}\n{why}", self.workload.name, shelf.tail())),
        }
    }

    fn judge(&self, script: &Script, shelf: &Shelf, time: &Arc<Time>) -> Result<(), String> {
        let options = &self.workload.options;
        let scratch = tempfile::tempdir().map_err(|e| e.to_string())?;
        let mut folder = 0;
        for (faults, waits, keeps_folder) in &script.processes {
            folder += u32::from(!keeps_folder);
            let machine = Machine::new(shelf, time, *faults, &scratch.path().join(folder.to_string()));
            for &wait in waits {
                time.advance(wait);
                // whatever it says: it is the bucket that counts
                _ = machine.pass(options);
                if machine.faulty.crashed() {
                    break;
                }
            }
        }
        let settled = settle(shelf, time, self.workload.horizon, options, &scratch.path().join(folder.to_string()));
        if let Some(why) = shelf.broken() {
            return Err(why);
        }
        settled?;
        let outcome = outcome(&shelf.objects())?;
        let lost = self.outcome.iter().filter(|(block, _)| !outcome.contains_key(*block));
        let new = outcome.iter().filter(|(block, _)| !self.outcome.contains_key(*block));
        let tell = |(_, told): (&String, &String)| format!("\n  {told}");
        let (lost, new): (Vec<_>, Vec<_>) = (lost.map(tell).collect(), new.map(tell).collect());
        match lost.is_empty() && new.is_empty() {
            true => Ok(()),
            false => Err(format!("live blocks differ: missing{}\nand instead{}", lost.concat(), new.concat())),
        }
    }
}

impl Script {
    /// Chance decides, by the seed.
    fn of_seed(seed: u64, known: &Known) -> Script {
        let operations = known.operations;
        let mut drawn = 0u64;
        let mut draw = |below: u64| {
            drawn += 1;
            xxh3_64_with_seed(&drawn.to_le_bytes(), seed) % below
        };
        let mut script = Script::default();
        for _ in 0..1 + draw(4) {
            let shares = |n: u64| [0, 0, 5, 20, 60][n as usize];
            let faults = Faults {
                seed: draw(u64::MAX),
                error_permille: shares(draw(5)),
                timeout_permille: shares(draw(5)),
                timeout: Duration::from_secs(60),
                short_read_permille: shares(draw(5)),
                lost_answer_permille: shares(draw(5)),
                lag_permille: if draw(5) == 0 { 300 } else { 0 },
                lag_operations: draw(300),
                latency: LATENCY,
                failures_in_a_row: draw(4) as u32,
                crash_after: (draw(3) > 0).then(|| draw(operations)),
                crash_done: None,
            };
            let waits = (0..1 + draw(3)).map(|_| [0, HOUR, 30 * HOUR, 49 * HOUR, 4 * DAY][draw(5) as usize]).collect();
            script.processes.push((faults, waits, draw(2) == 0));
        }
        script
    }

    /// One process, which is switched off in its operation `number`, counted from 0.
    fn crash(number: u64, done: bool) -> Script {
        let faults = Faults { latency: LATENCY, crash_after: Some(number), crash_done: Some(done), ..Faults::default() };
        // it comes to deletions too
        Script { processes: vec![(faults, vec![0, 3 * DAY, 3 * DAY], true)] }
    }
}

/// The bucket, `later` than its first pass.
fn set_up(workload: &Workload, watch: Watch, later: Millis) -> (Shelf, Arc<Time>) {
    let time = Time::new(workload.start + later);
    let shelf = Shelf::new(time.clone(), watch);
    for (key, bytes, at) in &workload.objects {
        // a block is there when its meta is
        if !key.ends_with(".json") {
            shelf.place(key, bytes.clone(), *at);
        }
    }
    for end in [META_FILE, "mark.json"] {
        for (key, bytes, at) in workload.objects.iter().filter(|(key, ..)| key.ends_with(end)) {
            shelf.place(key, bytes.clone(), *at);
        }
    }
    (shelf, time)
}

/// Passes that nothing disturbs, until nothing changes any more; how many operations that took.
fn settle(shelf: &Shelf, time: &Arc<Time>, horizon: Millis, options: &PassOptions, scratch: &Path) -> Result<u64, String> {
    let machine = Machine::new(shelf, time, Faults { latency: LATENCY, ..Faults::default() }, scratch);
    for _ in 0..MOST_PASSES {
        let before = shelf.objects();
        let done = machine.pass(options).map_err(|e| format!("a pass without faults fails: {e}"))?;
        if !done.is_clean() {
            return Err("a pass without faults is not clean".to_owned());
        }
        let objects = shelf.objects();
        let over = objects.keys().eq(before.keys()) && !objects.keys().any(|key| key.as_ref().ends_with("deletion-mark.json"));
        if over && blockyard::clock::Clock::now(&**time) >= horizon {
            return Ok(machine.faulty.operations());
        }
        time.advance(3 * DAY);
        if over {
            time.advance_to(horizon);
        }
    }
    Err("there is always something left to do".to_owned())
}

fn folders(objects: &Objects) -> Vec<String> {
    let mut all: Vec<String> = objects.keys().filter_map(|key| key.as_ref().split_once('/')).map(|(f, _)| f.to_owned()).collect();
    all.dedup();
    all
}

fn block(objects: &Objects, folder: &str) -> Result<(Meta, BTreeMap<String, Bytes>), String> {
    let all: BTreeMap<String, Bytes> =
        below(objects, folder).map(|(name, (bytes, _))| (name.to_owned(), bytes.clone())).collect();
    let meta = all.get(META_FILE).ok_or_else(|| format!("of {folder} something is left: {:?}", all.keys()))?;
    Ok((Meta::decode(meta).map_err(|e| e.to_string())?, all))
}

/// Every block by its content, which is all but names and times of writing, and its meta.
fn outcome(objects: &Objects) -> Result<BTreeMap<String, String>, String> {
    let mut out = BTreeMap::new();
    for folder in folders(objects) {
        let (mut meta, all) = block(objects, &folder)?;
        meta.ulid = BlockId::ZERO;
        meta.thanos.upload_time = Timestamp::ZERO;
        meta.compaction.parents.iter_mut().for_each(|parent| parent.ulid = BlockId::ZERO);
        meta.compaction.parents.sort_by_key(|parent| (parent.min_time, parent.max_time));
        let mut content = String::from_utf8_lossy(&meta.encode()).into_owned();
        for (name, bytes) in all.iter().filter(|(name, _)| *name != META_FILE) {
            content += &format!("{name} {:x}\n", xxh3_64(bytes));
        }
        let told = format!(
            "{folder} of [{}, {}) at {}, level {}, {} samples",
            meta.min_time,
            meta.max_time,
            meta.resolution(),
            meta.compaction.level,
            meta.stats.num_samples
        );
        if out.insert(content, told).is_some() {
            return Err(format!("there are two blocks like {folder}"));
        }
    }
    Ok(out)
}

/// Runs all scripts on as many threads as there are; the first that fails, by its number.
fn all(count: u64, script: impl Fn(u64) -> Result<(), String> + Sync) {
    LazyLock::force(&KNOWN);
    let (next, failure) = (AtomicU64::new(0), Mutex::new(None::<(u64, String)>));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while failure.lock().expect("no panic").is_none() {
                    let number = next.fetch_add(1, SeqCst);
                    if number >= count {
                        break;
                    }
                    if let Err(why) = script(number) {
                        let mut failure = failure.lock().expect("no panic");
                        if failure.as_ref().is_none_or(|(first, _)| number < *first) {
                            *failure = Some((number, why));
                        }
                    }
                }
            });
        }
    });
    if let Some((_, why)) = failure.into_inner().expect("no panic") {
        panic!("{why}");
    }
}

/// The seeds to run: `BLOCKYARD_SIMULATE=from..to`, else a few.
fn seeds() -> Option<Range<u64>> {
    let text = std::env::var("BLOCKYARD_SIMULATE").ok()?;
    let range = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    Some(range.unwrap_or_else(|| panic!("BLOCKYARD_SIMULATE={text} is not like 0..100")))
}

#[test]
fn chance_loses_nothing() {
    let seeds = seeds().unwrap_or(SEEDS);
    let began = Instant::now();
    all(seeds.end - seeds.start, |number| {
        let seed = seeds.start + number;
        let known = &KNOWN[(seed % KNOWN.len() as u64) as usize];
        let script = Script::of_seed(seed, known);
        known.run(&script).map(drop).map_err(|why| format!("seed {seed}, replay with `tests/simulate {seed}`: {why}"))
    });
    println!("simulation: {} runs, seeds {seeds:?}, {:.1} s", seeds.end - seeds.start, began.elapsed().as_secs_f64());
}

#[test]
fn a_crash_at_any_operation_loses_nothing() {
    let began = Instant::now();
    let many = if seeds().is_some() { KNOWN.len() } else { 1 };
    let mut runs = 0;
    for known in &KNOWN[..many] {
        all(2 * known.operations, |number| {
            let (at, done) = (number / 2, number % 2 == 1);
            let tell = |why| format!("crash in operation {at} (done: {done}): {why}");
            known.run(&Script::crash(at, done)).map(drop).map_err(tell)
        });
        println!("simulation: {} crashed at each of its {} operations", known.workload.name, known.operations);
        runs += 2 * known.operations;
    }
    println!("simulation: {runs} runs, {:.1} s", began.elapsed().as_secs_f64());
}

#[test]
fn a_seed_replays() {
    for seed in 0..2 * KNOWN.len() as u64 {
        let known = &KNOWN[(seed % KNOWN.len() as u64) as usize];
        let script = Script::of_seed(seed, known);
        let (one, two) = (known.run(&script).expect("a run"), known.run(&script).expect("a run"));
        let differs = one.iter().zip(&two).position(|(a, b)| a != b);
        assert_eq!((one.len(), differs.map(|n| (&one[n], &two[n]))), (two.len(), None), "seed {seed}");
    }
}

#[test]
fn workloads_have_what_they_are_for() {
    for known in KNOWN.iter() {
        let [raw, five, hour] = known.truth.sizes();
        let name = known.workload.name;
        assert!(raw > 100 && known.operations > 40, "{name}: {raw} samples, {} operations", known.operations);
        let coarse = ["weeks", "penalty", "retention", "aggregated"].contains(&name);
        assert_eq!((five > 100, hour > 100), (coarse, coarse && name != "penalty"), "{name}: {five} {hour}");
        println!("{name}: {} operations, samples {raw} {five} {hour}, {} blocks stay", known.operations, known.outcome.len());
    }
}

#[test]
fn the_watch_sees_what_is_wrong() {
    let known = &KNOWN[0];
    let check = |change: &dyn Fn(&Shelf, &Time, &str)| {
        let (shelf, time) = set_up(&known.workload, Watch::new(Some(known.truth.clone()), &known.workload.options), 0);
        shelf.restarted();
        assert_eq!(shelf.broken(), None);
        let folder = folders(&shelf.objects())[0].clone();
        change(&shelf, &time, &folder);
        shelf.broken().unwrap_or_default()
    };
    let delete = |shelf: &Shelf, key: String| {
        use futures::FutureExt as _;
        use object_store::ObjectStoreExt as _;
        shelf.delete(&key.into()).now_or_never().expect("no waiting").expect("a deletion");
    };
    let mark = |folder: &str, at: Millis| -> Bytes {
        blockyard::format::marks::DeletionMark::new(folder.parse().expect("an id"), at / 1000, "").encode().into()
    };
    let start = known.workload.start;
    assert_eq!(check(&|_, _, _| {}), "");
    let lost = check(&|shelf, _, folder| shelf.place(&format!("{folder}/deletion-mark.json"), mark(folder, start), start));
    assert!(lost.contains("in no block without a mark"), "{lost}");
    let soon = check(&|shelf, _, folder| delete(shelf, format!("{folder}/meta.json")));
    assert!(soon.contains("visible and not marked"), "{soon}");
    let half = check(&|shelf, _, folder| {
        let meta = shelf.objects()[&format!("{folder}/meta.json").into()].0.clone();
        shelf.place(&format!("{}/meta.json", BlockId::from_parts(5, 5)), meta, start);
    });
    assert!(half.contains("is not whole"), "{half}");
    let overwritten = check(&|shelf, _, folder| shelf.place(&format!("{folder}/index"), Bytes::new(), start));
    assert!(overwritten.contains("is written to a block that is visible"), "{overwritten}");
    let foreign = check(&|shelf, _, _| {
        let key = format!("{}/index", BlockId::from_parts(5, 5));
        shelf.place(&key, Bytes::new(), start);
        shelf.restarted();
        delete(shelf, key);
    });
    assert!(foreign.contains("another process"), "{foreign}");
}
