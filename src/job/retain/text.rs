//! Retention for people.

use std::fmt;

use super::{Brake, Expired, Held, Never, Owes, RetentionPlan};
use crate::job::plan::{duration_text, size_text};
use crate::model::{Millis, Timestamp};

/// A resolution as the flags name it.
pub(super) fn resolution_text(resolution: Millis) -> String {
    match resolution {
        0 => "raw".to_owned(),
        other => duration_text(other),
    }
}

impl fmt::Display for Owes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owes::Downsampling { to } => write!(f, "samples of {} are still to be made of it", resolution_text(*to)),
            Owes::Compaction { to } => {
                write!(f, "it is still to be joined with others, and samples of {} to be made of that", resolution_text(*to))
            }
            Owes::Others => f.write_str("others are still to be joined and downsampled, and without it less comes of them"),
            Owes::Window { until } => {
                write!(
                    f,
                    "too short to be downsampled, and more may come to join it with until {}",
                    Timestamp::from_millis(*until)
                )
            }
            Owes::Person { why } => write!(f, "it is not downsampled, and its group waits for a person: {why}"),
        }
    }
}

impl fmt::Display for Never {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Never::TooShort => "too short to be downsampled, and nothing comes any more to join it with",
            Never::NoCompact => "too short to be downsampled, and marked no-compact",
            Never::NoDownsample => "marked no-downsample",
            Never::Failed => "too short to be downsampled, and a compaction of its window failed before",
            Never::NoSources => "it names no sources, without which nothing is downsampled",
        })
    }
}

impl fmt::Display for Brake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let confirm = "if this is right, run once with --retention.confirm";
        match *self {
            Brake::MoreThanEver { bytes, largest } => write!(
                f,
                "this pass would mark {}, over 20 % more than the {} that any pass marked before; {confirm}",
                size_text(bytes),
                size_text(largest)
            ),
            Brake::MostOf { resolution, bytes, of } => write!(
                f,
                "{} of all {} of resolution {} expired more than a week ago, and no earlier pass is known; {confirm}",
                size_text(bytes),
                size_text(of),
                resolution_text(resolution)
            ),
            Brake::Clock { ours, theirs } => write!(
                f,
                "it is {} here and {} in the bucket, which is more than five minutes apart; set the clock, or {confirm}",
                Timestamp::from_millis(ours),
                Timestamp::from_millis(theirs)
            ),
        }
    }
}

impl Expired {
    /// Why it goes, for people.
    pub fn why(&self) -> String {
        age(self.resolution, self.max_time, self.retention, self.bytes)
    }
}

impl Held {
    /// Why it stays, for people.
    pub fn why(&self) -> String {
        format!("{}; {}", age(self.resolution, self.max_time, self.retention, self.bytes), self.owes)
    }
}

impl fmt::Display for Expired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expire {}: {}", self.block, self.why())?;
        match &self.lost {
            Some(why) => write!(f, "; its samples are lost: {why}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hold {}: {}", self.block, self.why())
    }
}

fn age(resolution: Millis, max_time: Millis, retention: Millis, bytes: u64) -> String {
    let (resolution, until) = (resolution_text(resolution), Timestamp::from_millis(max_time));
    format!("{resolution} until {until}, kept for {}, {}", duration_text(retention), size_text(bytes))
}

/// One line for each block that has expired, and what stops it all.
impl fmt::Display for RetentionPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expired.iter().try_for_each(|expired| writeln!(f, "{expired}"))?;
        self.held.iter().try_for_each(|held| writeln!(f, "{held}"))?;
        self.brakes.iter().try_for_each(|brake| writeln!(f, "stopped: retention would mark nothing: {brake}"))?;
        if self.is_empty() {
            return Ok(());
        }
        let lost = self.expired.iter().filter(|e| e.lost.is_some()).count();
        match self.expired.len() {
            0 => f.write_str("retention: no block expires")?,
            1 => write!(f, "retention: 1 block expires, {}", size_text(self.bytes()))?,
            n => write!(f, "retention: {n} blocks expire, {}", size_text(self.bytes()))?,
        }
        if lost > 0 {
            write!(f, "; {lost} of them without a coarser one")?;
        }
        if !self.held.is_empty() {
            write!(f, "; {} held, {}", self.held.len(), size_text(self.held_bytes()))?;
        }
        f.write_str("\n")
    }
}
