//! A plan for people.

use std::collections::BTreeMap;
use std::fmt;

use super::{Deletion, Nothing, Plan, PlannedCompaction, PlannedDeletion, Why};
use crate::job::downsample::{self, PlannedDownsample};
use crate::model::{BlockId, Millis, Timestamp};

/// So many groups with one reason are listed; more are one line.
const GROUPS_LISTED: usize = 5;
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

impl fmt::Display for PlannedCompaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<String> = self.inputs.iter().map(ToString::to_string).collect();
        let time = |millis| Timestamp::from_millis(millis);
        writeln!(f, "compact {} blocks of {} {}", self.inputs.len(), self.resolution, self.labels)?;
        writeln!(f, "  why      {}", self.why)?;
        if self.in_place_of > 1 {
            writeln!(f, "  instead  of {} compactions, whose blocks in between are not written", self.in_place_of)?;
        }
        writeln!(f, "  inputs   {}", ids.join(" "))?;
        if !self.downsampled_to.is_empty() {
            let levels: Vec<String> = self.downsampled_to.iter().map(|&l| duration_text(l)).collect();
            writeln!(f, "  and      downsamples the result to {} on the way", levels.join(" and "))?;
        }
        writeln!(f, "  covers   {} to {}", time(self.min_time), time(self.max_time))?;
        writeln!(f, "  reads    {} in about {} requests", size_text(self.bytes_in), self.requests.get)?;
        writeln!(f, "  writes   {} at most in about {} requests", size_text(self.bytes_out_estimate), self.requests.put)?;
        writeln!(f, "  scratch  {}", if self.scratch == 0 { "none".to_owned() } else { size_text(self.scratch) + " at most" })
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

impl fmt::Display for PlannedDeletion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.why {
            Deletion::Marked { since } => format!("marked {}", Timestamp::from_millis(since.saturating_mul(1000))),
            Deletion::PartialUpload { newest } => format!("partial, nothing new since {}", Timestamp::from_millis(newest)),
        };
        write!(f, "delete {}: {why}, {} objects, {}", self.block, self.objects, size_text(self.bytes))
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

/// One paragraph a compaction, one line for each of the rest, and a summary.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.deletions.iter().try_for_each(|deletion| writeln!(f, "{deletion}"))?;
        write!(f, "{}", self.retention)?;
        for garbage in &self.garbage {
            writeln!(f, "mark {} for deletion: {} has all its sources", garbage.block, garbage.covered_by)?;
        }
        for mark in &self.marks {
            writeln!(f, "mark {} no-compact: {}, {}", mark.block, mark.reason, mark.details)?;
        }
        for compaction in &self.compactions {
            write!(f, "{compaction}")?;
        }
        for downsampling in &self.downsamplings {
            write!(f, "{downsampling}")?;
        }
        f.write_str(&never_text(&self.never_downsampled))?;
        let mut same: BTreeMap<&str, usize> = BTreeMap::new();
        self.nothing.iter().for_each(|group| *same.entry(&group.reason).or_default() += 1);
        same.retain(|_, &mut groups| groups > GROUPS_LISTED);
        for (reason, groups) in &same {
            writeln!(f, "nothing of {groups} groups: {reason}")?;
        }
        for group in self.nothing.iter().filter(|group| !same.contains_key(&*group.reason)) {
            writeln!(f, "nothing of {} {} ({} blocks): {}", group.resolution, group.labels, group.blocks, group.reason)?;
        }
        let inputs: usize = self.compactions.iter().map(|c| c.inputs.len()).sum();
        let bytes = |of: fn(&PlannedCompaction) -> u64| self.compactions.iter().map(of).fold(0, u64::saturating_add);
        writeln!(
            f,
            "plan: {} compactions of {inputs} blocks, {} in, {} out at most; {} blocks downsampled; {} marks, \
             {} duplicates, {} deletions; nothing for {} groups",
            self.compactions.len(),
            size_text(bytes(|c| c.bytes_in)),
            size_text(bytes(|c| c.bytes_out_estimate)),
            self.downsamplings.len(),
            self.marks.len(),
            self.garbage.len(),
            self.deletions.len(),
            self.nothing.len()
        )
    }
}
