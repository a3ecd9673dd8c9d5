//! A compactor at work for long, while blocks come, others of its kind are started, and it is killed: in the end every
//! sample is accounted for, and memory is what it was.
//!
//! Ranges are divided, so that two hours are seconds. By 60, as much as makes minutes of hours, half an hour would see
//! no block that is long enough to be downsampled, which is one of 40 hours; by 1440 it sees a month, and both coarser resolutions.
//! What is killed and when is drawn from a seed, which is printed; how far the program has come by then is not.
//! `tests/soak` soaks longer than a check of every change can.

mod account;
mod generator;

use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::time::{Duration, Instant};

use blockyard::clock::{Clock, SystemClock};
use blockyard::model::Millis;

use crate::serve::client::{Running, get, start, value};
use crate::{blockyard, objstore};
use account::{account, census};
use generator::{Generator, mix};

const HOUR: Millis = 3_600_000;

/// Without a wish: minutes, and by what ranges are divided, so that as many blocks come as in a day and a half.
const SHORT: (f64, i64) = (0.4, 7200);
/// By what ranges are divided where minutes are given.
const LONG_DIVISOR: i64 = 1440;

/// Of the run, in hundredths: for so long compactors are killed. Then one stays, whose memory is watched.
const KILLING: u32 = 40;

/// Memory of the last two tenths may be so much above that of the second and third: a quarter, and this.
const SLACK_BYTES: u64 = 16 << 20;
/// Fewer samples of memory say nothing.
const FEWEST_SAMPLES: usize = 50;

fn now() -> Millis {
    SystemClock.now()
}

/// Numbers from a seed.
struct Dice(u64, u64);

impl Dice {
    fn between(&mut self, from: Duration, to: Duration) -> Duration {
        self.1 += 1;
        let span = (to.saturating_sub(from)).as_millis().max(1) as u64;
        from + Duration::from_millis(mix(&[self.0, self.1]) % span)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.1 += 1;
        mix(&[self.0, self.1]).is_multiple_of(n)
    }
}

/// What compactors said.
#[derive(Default)]
struct Heard {
    /// Sums of the figures in lines that end a pass.
    sums: BTreeMap<String, u64>,
    passes: u64,
    warnings: BTreeMap<String, u64>,
    errors: Vec<String>,
}

impl Heard {
    fn listen(&mut self, running: &Running) {
        for line in running.lines() {
            if line.contains("msg=\"pass done\"") {
                self.passes += 1;
                for (name, n) in line.split_whitespace().filter_map(|word| word.split_once('=')) {
                    if let Ok(n) = n.parse::<u64>() {
                        *self.sums.entry(name.to_owned()).or_default() += n;
                    }
                }
            } else if line.contains(" level=error ") {
                println!("soak: said: {line}");
                self.errors.push(line);
            } else if line.contains(" level=warn ") {
                let words = line.split_once("msg=").map_or(&*line, |(_, rest)| rest);
                // the same words about another block are the same
                let text: String = words.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).take(60).collect();
                *self.warnings.entry(text).or_default() += 1;
            }
        }
    }

    fn sum(&self, name: &str) -> u64 {
        self.sums.get(name).copied().unwrap_or_default()
    }
}

/// Bytes of a process that are in memory, where the system tells.
fn resident_bytes(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let kilobytes =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB")?.trim().parse::<u64>().ok())?;
    Some(kilobytes << 10)
}

/// Least, median and most, in bytes.
fn spread(samples: &[u64]) -> [u64; 3] {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    [sorted[0], sorted[sorted.len() / 2], sorted[sorted.len() - 1]]
}

/// Prints memory by tenths of the run, and says what is wrong with it.
fn judge(samples: &[u64]) -> Option<String> {
    if samples.len() < FEWEST_SAMPLES {
        println!("soak: {} samples of memory are too few to judge it", samples.len());
        return None;
    }
    let tenths: Vec<&[u64]> = samples.chunks(samples.len().div_ceil(10)).collect();
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    for (n, tenth) in tenths.iter().enumerate() {
        let [least, median, most] = spread(tenth).map(mib);
        println!("soak: memory in tenth {}: {least:.1} / {median:.1} / {most:.1} MiB (least, median, most)", n + 1);
    }
    let median = |of: &[&[u64]]| spread(&of.concat())[1];
    let (first, last) = (median(&tenths[1..3]), median(&tenths[tenths.len() - 2..]));
    let limit = first + first / 4 + SLACK_BYTES;
    let text = format!("{:.1} MiB at first, {:.1} in the end, {:.1} allowed", mib(first), mib(last), mib(limit));
    println!("soak: memory: {text}");
    (last > limit).then(|| format!("memory grew: {text}"))
}

/// A run.
struct Soak {
    duration: Duration,
    dice: Dice,
    flags: Vec<String>,
    /// How long raw samples of eu1 are kept.
    keep_raw: Millis,
}

impl Soak {
    fn new(minutes: f64, divisor: i64, seed: u64, dir: &Path) -> Soak {
        let range = 2 * HOUR / divisor;
        // as short as they may be
        let (keep_raw, keep_five) = (40 * HOUR / divisor, 240 * HOUR / divisor);
        let flags = [
            objstore(dir),
            format!("--wait-interval={}ms", range / 10),
            format!("--consistency-delay={}ms", range * 3 / 5),
            format!("--delete-delay={}ms", range * 4),
            format!("--compact.cleanup-interval={range}ms"),
            "--deduplication.replica-label=replica".to_owned(),
            "--compact.concurrency=2".to_owned(),
            format!("--debug.range-divisor={divisor}"),
            // one cluster expires, the other is kept
            format!("--retention.policy=- {{matchers: '{{cluster=\"eu1\"}}', raw: {keep_raw}ms, 5m: {keep_five}ms}}"),
            "--retention.confirm".to_owned(),
        ];
        Soak { duration: Duration::from_secs_f64(minutes * 60.0), dice: Dice(seed, 0), flags: flags.into(), keep_raw }
    }

    fn start(&self, dir: &Path, data: &str) -> Running {
        let data = format!("--data-dir={data}");
        let flags = self.flags.iter().map(|f| &**f);
        start(dir, &["compact", "--wait", &data].into_iter().chain(flags).collect::<Vec<_>>())
    }

    /// A time from now, between so many thousandths of the run.
    fn after(&mut self, from: u32, to: u32) -> Instant {
        let part = |thousandths: u32| self.duration * thousandths / 1000;
        let (from, to) = (part(from), part(to));
        Instant::now() + self.dice.between(from, to)
    }

    /// Uploads and disturbs; returns memory of the compactor that stayed, from its start on.
    fn disturb(&mut self, generator: &mut Generator, heard: &mut Heard, dir: &Path) -> Vec<u64> {
        let began = Instant::now();
        let (mut first, mut second) = (self.start(dir, "first"), None::<(Running, Instant)>);
        let (mut kill_at, mut second_at, mut freeze_at) = (self.after(10, 40), self.after(20, 70), self.after(50, 150));
        let sample_every = (self.duration / 500).clamp(Duration::from_millis(50), Duration::from_secs(2));
        let (mut memory, mut sampled, mut told, mut stays) = (Vec::new(), began, began, false);
        let (mut kills, mut seconds, mut freezes) = (0, 0, 0);
        while began.elapsed() < self.duration {
            generator.run(now(), false);
            heard.listen(&first);
            assert!(!first.has_ended(), "the compactor ended by itself: {:?}", heard.errors);
            let now = Instant::now();
            if !stays && began.elapsed() > self.duration * KILLING / 100 {
                // the last kill: from now on it stays
                (kill_at, stays) = (now, true);
                kills += 1;
                first.signal("KILL");
                first.end();
                first = self.start(dir, "first");
            } else if !stays && now >= kill_at {
                kills += 1;
                first.signal(if self.dice.one_in(4) { "TERM" } else { "KILL" });
                first.end();
                first = self.start(dir, "first");
                kill_at = self.after(10, 40);
            }
            if now >= freeze_at {
                freezes += 1;
                first.signal("HUP");
                first.signal("STOP");
                std::thread::sleep(self.dice.between(Duration::from_millis(50), Duration::from_secs(3).min(self.duration / 50)));
                first.signal("CONT");
                freeze_at = self.after(50, 150);
            }
            match second.take() {
                None if now >= second_at => {
                    seconds += 1;
                    second = Some((self.start(dir, "second"), self.after(5, 40)));
                }
                None => {}
                Some((other, until)) if now >= until => {
                    heard.listen(&other);
                    other.signal(if self.dice.one_in(2) { "TERM" } else { "KILL" });
                    other.end();
                    second_at = self.after(20, 70);
                }
                Some(other) => {
                    heard.listen(&other.0);
                    second = Some(other);
                }
            }
            if stays && sampled.elapsed() >= sample_every {
                memory.extend(resident_bytes(first.id()));
                sampled = now;
            }
            if told.elapsed() >= Duration::from_secs(60).min(self.duration / 4) {
                told = now;
                let (live, marked) = census(&dir.join("bucket"));
                let rss = resident_bytes(first.id()).unwrap_or_default() >> 20;
                println!(
                    "soak: {:4} s: {} uploads ({} late, {} missed, {} broken off), live {live:?}, marked {marked}; {} passes, \
                     {} compactions, {} downsamplings, {} expired, {} deleted; {kills} kills, {seconds} seconds, {freezes} \
                     freezes; {rss} MiB; {} warnings, {} errors",
                    began.elapsed().as_secs(),
                    generator.uploaded,
                    generator.late,
                    generator.missed,
                    generator.broken,
                    heard.passes,
                    heard.sum("compactions"),
                    heard.sum("downsampled"),
                    heard.sum("expired"),
                    heard.sum("deleted"),
                    heard.warnings.values().sum::<u64>(),
                    heard.errors.len()
                );
                assert_eq!(get(first.address, "/-/healthy").status, 200);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        generator.run(now(), true);
        let page = get(first.address, "/metrics").body;
        assert_eq!(value(&page, "thanos_compact_halted"), 0.0, "{:?}", heard.errors);
        if let Some((other, _)) = second {
            other.signal("KILL");
            other.end();
        }
        first.signal("TERM");
        heard.listen(&first);
        assert_eq!(first.end(), Some(143));
        memory
    }

    /// Passes until one finds nothing to do.
    fn settle(&self, dir: &Path) {
        let flags = self.flags.iter().map(|f| &**f);
        let arguments: Vec<&str> = ["compact", "--data-dir=first", "--http-address="].into_iter().chain(flags).collect();
        let arguments: Vec<&str> = arguments.into_iter().filter(|a| !a.starts_with("--wait-interval")).collect();
        for _ in 0..20 {
            std::thread::sleep(Duration::from_secs(1));
            let ran = blockyard(dir, &arguments);
            let said = ran.out.lines().last().unwrap_or_default().to_owned();
            println!("soak: {said}");
            assert_eq!(ran.code, Some(0), "{}", ran.err);
            let is_idle = said.starts_with("pass done: 0 compactions") && !said.contains("downsampled");
            if is_idle && !ran.err.contains("too-fresh=") {
                return;
            }
        }
        panic!("there is always something left to do");
    }
}

#[test]
fn soaked_it_accounts_for_every_sample() {
    let asked = |name: &str| env::var(name).ok().and_then(|v| v.parse::<f64>().ok());
    let (minutes, divisor) = match asked("BLOCKYARD_SOAK_MINUTES") {
        Some(minutes) => (minutes, asked("BLOCKYARD_SOAK_DIVISOR").map_or(LONG_DIVISOR, |d| d as i64)),
        None => SHORT,
    };
    let seed = asked("BLOCKYARD_SOAK_SEED").map_or(1, |s| s as u64);
    println!("soak: {minutes} minutes, ranges divided by {divisor}, seed {seed}");
    let dir = tempfile::tempdir().unwrap();
    let mut soak = Soak::new(minutes, divisor, seed, dir.path());
    let mut generator = Generator::new(seed, 2 * HOUR / divisor, dir.path(), now());
    let mut heard = Heard::default();
    let memory = soak.disturb(&mut generator, &mut heard, dir.path());
    soak.settle(dir.path());
    let expired_before = now() - soak.keep_raw;
    let account = account(&generator.truth, generator.blocks(), &dir.path().join("bucket"), "eu1", expired_before);
    println!(
        "soak: {} samples uploaded; {} in raw blocks, {} expired and counted by coarse ones; coarse blocks count {:?} \
         (5m, 1h); live blocks {:?} (raw, 5m, 1h)",
        account.expected, account.raw, account.coarse_only, account.counted, account.blocks
    );
    for (warning, times) in &heard.warnings {
        println!("soak: warned {times} times: {warning}");
    }
    let mut wrong = account.wrong;
    wrong.extend(judge(&memory));
    wrong.extend(heard.errors.iter().map(|line| format!("said: {line}")));
    if heard.sum("compactions") == 0 || account.counted[0] == 0 {
        wrong.push("nothing was compacted or downsampled, so nothing is shown".to_owned());
    }
    assert!(wrong.is_empty(), "soak, seed {seed}:\n{}", wrong.join("\n"));
    println!("soak: every sample is accounted for");
}

/// What would be said if nobody compacted anything: replicas are there twice.
#[test]
fn the_account_finds_what_is_lost_and_what_is_there_twice() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = dir.path().join("bucket");
    let mut generator = Generator::new(1, 1000, dir.path(), 1_800_000_000_000);
    generator.run(generator.truth.begin + 3500, false);
    generator.run(generator.truth.begin + 3500, true);
    let wrong_with = |cluster: &str| {
        let mut wrong = account(&generator.truth, 3, &bucket, "eu1", 0).wrong;
        wrong.retain(|text| text.contains(&format!(" of {cluster} ")));
        wrong
    };
    assert!(wrong_with("eu1")[0].contains("are twice"));
    assert!(wrong_with("us1").is_empty());
    let is_of_us1 =
        |block: &std::path::PathBuf| std::fs::read_to_string(block.join("meta.json")).unwrap_or_default().contains("us1");
    let mut blocks = std::fs::read_dir(&bucket).unwrap().map(|b| b.unwrap().path()).filter(is_of_us1);
    let block = blocks.next().unwrap();
    std::fs::write(block.join("deletion-mark.json"), "{}").unwrap();
    assert!(wrong_with("us1")[0].contains("are lost"), "{:?}", wrong_with("us1"));
}
