//! Steps and reasons for people.

use std::collections::BTreeMap;
use std::fmt;

use super::{Alone, Deletion, Nothing, PlannedDeletion, Why};
use crate::job::downsample::{self, PlannedDownsample};
use crate::model::{BlockId, Millis, Timestamp};

/// So many blocks are named in one line.
const BLOCKS_LISTED: usize = 5;

/// A length of time in the units of Prometheus: `2h`, `1d12h`, `20ms`.
pub fn duration_text(length: Millis) -> String {
    if length == 0 {
        return "0s".to_owned();
    }
    let mut rest = length.unsigned_abs();
    let mut text = if length < 0 { "-".to_owned() } else { String::new() };
    for (unit, ms) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
        let count = rest / ms;
        rest %= ms;
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    text
}

/// A number of bytes in binary units: `512 B`, `1.5 MiB`.
pub fn size_text(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let power = (bytes.ilog2() / 10).min(6) as usize;
    format!("{:.1} {}", bytes as f64 / 1024f64.powi(power as i32), UNITS[power - 1])
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Why::Overlap => f.write_str("they overlap"),
            Why::Window { start, length } => {
                write!(f, "window of {} from {} is complete", duration_text(length), Timestamp::from_millis(start))
            }
            Why::Tombstones => f.write_str("many tombstones"),
        }
    }
}

impl fmt::Display for Nothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Nothing::OneBlock => f.write_str("there is only one block"),
            Nothing::AllMarked => f.write_str("all blocks are marked no-compact"),
            Nothing::OneRange => f.write_str("the highest compaction level is 0"),
            Nothing::Failed { block } => write!(f, "a compaction of block {block} failed before"),
            Nothing::Open { start, length, blocks } => write!(
                f,
                "window of {} from {} has {blocks} blocks and is open until it is full or two blocks begin behind it",
                duration_text(length),
                Timestamp::from_millis(start)
            ),
            Nothing::Separated => f.write_str("blocks marked no-compact leave no two others side by side"),
            Nothing::Apart => f.write_str("no two blocks but the newest lie in one window"),
        }
    }
}

impl fmt::Display for Alone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let window = |start, length| format!("window of {} from {}", duration_text(length), Timestamp::from_millis(start));
        match *self {
            Alone::Marked => f.write_str("it is marked no-compact"),
            Alone::OneBlock => f.write_str("it is the only block of its group"),
            Alone::Newest => f.write_str("it is the newest of its group, which is left alone until a later one comes"),
            Alone::OneRange => f.write_str("the highest compaction level is 0"),
            Alone::Failed { block } => write!(f, "a compaction of block {block}, of the same window, failed before"),
            Alone::Open { start, length, blocks } => {
                let (window, has) = (window(start, length), if blocks == 1 { "block" } else { "blocks" });
                write!(f, "{window} has {blocks} {has} and is open until it is full or two blocks begin behind it")
            }
            Alone::Separated => f.write_str("blocks marked no-compact lie between it and the others of its window"),
            Alone::Longest { length } => write!(f, "it fills a window of {}, the longest range", duration_text(length)),
            Alone::NoNeighbour { start, length } => write!(f, "the {} is over and has no other block", window(start, length)),
            Alone::Crosses { length } => {
                write!(f, "it reaches over a border of windows, also of the longest range, {}", duration_text(length))
            }
        }
    }
}

impl fmt::Display for PlannedDownsample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let levels: Vec<String> = self.to.iter().map(|&l| duration_text(l)).collect();
        let from = downsample::name(self.from);
        let time = |millis| Timestamp::from_millis(millis);
        writeln!(f, "downsample {} of {from} {} to {}", self.block, self.labels, levels.join(" and "))?;
        writeln!(f, "  covers   {} to {}", time(self.min_time), time(self.max_time))?;
        writeln!(f, "  reads    {} once", size_text(self.bytes_in))
    }
}

impl fmt::Display for Deletion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Deletion::Marked { since } => write!(f, "marked {}", Timestamp::from_millis(since.saturating_mul(1000))),
            Deletion::PartialUpload { newest } => {
                write!(f, "partial, nothing new since {}", Timestamp::from_millis(newest))
            }
        }
    }
}

impl fmt::Display for PlannedDeletion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "delete {}: {}, {} objects, {}", self.block, self.why, self.objects, size_text(self.bytes))
    }
}

/// One line for each level and reason for which it is never made.
pub(crate) fn never_text(all: &[downsample::Never]) -> String {
    let mut never: BTreeMap<(Millis, String), Vec<BlockId>> = BTreeMap::new();
    for n in all {
        never.entry((n.to, n.why.to_string())).or_default().push(n.block);
    }
    let line = |((to, why), blocks): (&(Millis, String), &Vec<BlockId>)| {
        let shown: Vec<String> = blocks.iter().take(BLOCKS_LISTED).map(ToString::to_string).collect();
        let more = blocks.len().saturating_sub(BLOCKS_LISTED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("never {} of {}{more}: {why}\n", downsample::name(*to), shown.join(" "))
    };
    never.iter().map(line).collect()
}
