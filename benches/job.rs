//! A whole job: `blockyard compact` on a FILESYSTEM bucket, beside a Thanos binary if one is given.
//!
//! `cargo build --release && cargo bench --bench job -- [--series N] [--blocks B] [--samples S]
//! [--runs N] [--bin PATH] [--peer PATH]`
//!
//! `--blocks` blocks of two hours (4 become one of eight) are written by this library, and a small later
//! one, because the newest of a group stays as it is. Both programs get copies of the same bucket, by
//! turns; what they leave live must be equal to the byte.
//! Wall time and CPU are of the whole process; CPU comes in ticks of 10 ms. Memory is looked at every
//! few milliseconds: anonymous and mapped memory, each at its own peak. It takes a Linux to be told them.

mod blocks;
#[path = "job/measure.rs"]
mod measure;
#[path = "job/outcome.rs"]
mod outcome;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use blocks::Size;
use measure::Measured;

/// Windows of an 8 h block: the small block lies behind the last one begun.
const WINDOWS: u32 = 4;
const SMALL: Size = Size { series: 100, samples: 120 };
const MIB: f64 = (1 << 20) as f64;

struct Options {
    size: Size,
    blocks: u32,
    runs: usize,
    binary: PathBuf,
    peer: Option<PathBuf>,
}

impl Options {
    fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options =
            Options { size: Size { series: 20_000, samples: 120 }, blocks: WINDOWS, runs: 3, binary: beside_this(), peer: None };
        while let Some(flag) = arguments.next() {
            if flag == "--bench" {
                continue; // cargo's own
            }
            let mut value = || arguments.next().ok_or(format!("{flag} needs a value"));
            let number = |text: String| match text.parse::<u32>() {
                Ok(n) if n > 0 => Ok(n),
                _ => Err(format!("{text} is no number above 0")),
            };
            match &*flag {
                "--series" => options.size.series = number(value()?)?,
                "--samples" => options.size.samples = number(value()?)?,
                "--blocks" => options.blocks = number(value()?)?,
                "--runs" => options.runs = number(value()?)? as usize,
                "--bin" => options.binary = value()?.into(),
                "--peer" => options.peer = Some(value()?.into()),
                _ => return Err(format!("{flag} is not known; see the head of benches/job.rs")),
            }
        }
        Ok(options)
    }
}

/// The release binary: this bench lies in `target/release/deps`.
fn beside_this() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.ancestors().nth(2).unwrap_or(Path::new("target/release")).join("blockyard")
}

fn main() -> ExitCode {
    let options = match Options::from_arguments(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("job: {why}");
            return ExitCode::from(2);
        }
    };
    if !options.binary.exists() {
        println!("job: skipped, there is no {}: run `cargo build --release` or name one with --bin", options.binary.display());
        return ExitCode::SUCCESS;
    }
    if let Some(peer) = options.peer.as_ref().filter(|p| !p.exists()) {
        eprintln!("job: there is no peer {}", peer.display());
        return ExitCode::from(2);
    }
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("job: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Runs both in turns, and says whether all went well and both left the same.
fn run(options: &Options) -> io::Result<bool> {
    let dir = tempfile::tempdir()?;
    let input = dir.path().join("input");
    let bytes = make(&input, options)?;
    println!(
        "{} blocks of {} series with {} samples each: {:.1} MiB",
        options.blocks,
        options.size.series,
        options.size.samples,
        bytes as f64 / MIB
    );
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    let mut good = true;
    for round in 0..options.runs {
        let buckets = [dir.path().join("ours"), dir.path().join("peer")];
        ours.push(compact(&options.binary, &input, &buckets[0])?);
        if let Some(peer) = &options.peer {
            peers.push(compact(peer, &input, &buckets[1])?);
        }
        if round == 0 {
            let live = outcome::Outcome::of(&buckets[0], &input)?;
            println!("live afterwards: {live}");
            good &= !live.is_empty();
            if options.peer.is_some() {
                let differs = live.differs_from(&outcome::Outcome::of(&buckets[1], &input)?)?;
                println!("against the peer: {}", differs.as_deref().unwrap_or("equal to the byte"));
                good &= differs.is_none();
            }
        }
        for bucket in buckets.iter().filter(|b| b.exists()) {
            fs::remove_dir_all(bucket)?;
        }
    }
    good &= ours.iter().chain(&peers).all(|m| m.succeeded);
    print(&ours, &peers);
    Ok(good)
}

/// Writes the bucket that is compacted; returns its bytes without the small block.
fn make(bucket: &Path, options: &Options) -> io::Result<u64> {
    let mut bytes = 0;
    let later = options.blocks.next_multiple_of(WINDOWS);
    for window in (0..options.blocks).chain([later]) {
        let block = blocks::block(window, if window == later { SMALL } else { options.size });
        for (name, content) in block.files {
            let path = bucket.join(block.meta.ulid.to_string()).join(name);
            fs::create_dir_all(path.parent().unwrap_or(bucket))?;
            fs::write(path, &content)?;
            bytes += if window == later { 0 } else { content.len() as u64 };
        }
    }
    Ok(bytes)
}

/// One pass over a copy of `input` at `bucket`.
fn compact(binary: &Path, input: &Path, bucket: &Path) -> io::Result<Measured> {
    link(input, bucket)?;
    let scratch = bucket.with_extension("data");
    let mut command = Command::new(binary);
    command
        .args(["compact", "--downsampling.disable", "--consistency-delay=0s", "--delete-delay=48h"])
        .args(["--compact.concurrency=2", "--compact.blocks-fetch-concurrency=8", "--block-files-concurrency=8"])
        .args(["--block-discovery-strategy=recursive", "--http-address=127.0.0.1:0"])
        .arg(format!("--data-dir={}", scratch.display()))
        .arg(format!("--objstore.config={{type: FILESYSTEM, config: {{directory: {:?}}}}}", bucket.display().to_string()));
    let measured = measure::run(&mut command, &bucket.with_extension("log"))?;
    if !measured.succeeded {
        eprintln!("{} failed:\n{}", binary.display(), fs::read_to_string(bucket.with_extension("log"))?);
    }
    if scratch.exists() {
        fs::remove_dir_all(scratch)?;
    }
    Ok(measured)
}

/// A copy of a folder by hard links: nobody writes into an object that is there.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            link(&entry.path(), &target)?;
        } else {
            fs::hard_link(entry.path(), target)?;
        }
    }
    Ok(())
}

fn print(ours: &[Measured], peers: &[Measured]) {
    type Column = fn(&Measured) -> Option<f64>;
    let columns: [(&str, Column); 6] = [
        ("wall s", |m| Some(m.wall.as_secs_f64())),
        ("CPU s", |m| m.cpu_seconds),
        ("peak RSS MiB", |m| Some(m.peak_bytes? as f64 / MIB)),
        ("  anonymous MiB", |m| Some(m.anonymous_bytes? as f64 / MIB)),
        ("  mapped MiB", |m| Some(m.mapped_bytes? as f64 / MIB)),
        ("written MiB", |m| Some(m.written_bytes? as f64 / MIB)),
    ];
    println!("medians of {}    {:>10} {:>10} {:>12}", ours.len(), "ours", "peer", "peer / ours");
    for (name, column) in columns {
        let of = |all: &[Measured]| median(all.iter().filter_map(column).collect());
        let text = |x: Option<f64>| x.map_or("-".to_owned(), |x| format!("{x:.2}"));
        let (ours, peer) = (of(ours), of(peers));
        let ratio = ours.zip(peer).filter(|&(o, _)| o > 0.0).map(|(o, p)| p / o);
        println!("{name:16} {:>10} {:>10} {:>12}", text(ours), text(peer), text(ratio));
    }
}

fn median(mut all: Vec<f64>) -> Option<f64> {
    all.sort_by(f64::total_cmp);
    let (low, high) = (all.get(all.len().checked_sub(1)? / 2)?, all.get(all.len() / 2)?);
    Some((low + high) / 2.0)
}
