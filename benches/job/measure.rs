//! Runs a program to its end and says what it took, as Linux tells in `/proc`.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// Unit of CPU times in `/proc`: the same 100 a second on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;
/// CPU of children that were waited for, in `/proc/self/stat` behind the program's name.
const CHILDREN_USER: usize = 13;
const CHILDREN_SYSTEM: usize = 14;

/// What a run took; what the system does not tell is `None`.
pub(crate) struct Measured {
    pub(crate) succeeded: bool,
    pub(crate) wall: Duration,
    /// User and system.
    pub(crate) cpu_seconds: Option<f64>,
    /// Highest resident set, by the kernel's own mark.
    pub(crate) peak_bytes: Option<u64>,
    /// Highest anonymous part seen.
    pub(crate) anonymous_bytes: Option<u64>,
    /// Highest part of mapped files seen.
    pub(crate) mapped_bytes: Option<u64>,
    /// Handed to `write` and its relatives.
    pub(crate) written_bytes: Option<u64>,
}

/// Runs `command`, its output into `log`.
pub(crate) fn run(command: &mut Command, log: &Path) -> io::Result<Measured> {
    let output = File::create(log)?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let (cpu, written) = (children_cpu(), self_written());
    let begun = Instant::now();
    let mut child = command.spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let (mut peak, mut anonymous, mut mapped) = (None, None, None);
    let exit = loop {
        if let Ok(text) = fs::read_to_string(&status) {
            peak = peak.max(kib(&text, "VmHWM:"));
            anonymous = anonymous.max(kib(&text, "RssAnon:"));
            mapped = mapped.max(kib(&text, "RssFile:"));
        }
        if let Some(exit) = child.try_wait()? {
            break exit;
        }
        std::thread::sleep(LOOK);
    };
    Ok(Measured {
        succeeded: exit.success(),
        wall: begun.elapsed(),
        // both grow by what a child took once it was waited for
        cpu_seconds: children_cpu().zip(cpu).map(|(after, before)| after - before),
        written_bytes: self_written().zip(written).map(|(after, before)| after - before),
        peak_bytes: peak,
        anonymous_bytes: anonymous,
        mapped_bytes: mapped,
    })
}

/// A field of `/proc/.../status`, in bytes.
fn kib(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|l| l.strip_prefix(field))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|n| n << 10)
}

fn children_cpu() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |n: usize| fields.get(n)?.parse::<f64>().ok();
    Some((ticks(CHILDREN_USER)? + ticks(CHILDREN_SYSTEM)?) / TICKS_PER_SECOND)
}

fn self_written() -> Option<u64> {
    let io = fs::read_to_string("/proc/self/io").ok()?;
    io.lines().find_map(|l| l.strip_prefix("wchar:"))?.trim().parse().ok()
}
