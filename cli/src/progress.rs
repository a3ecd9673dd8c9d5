//! Progress of jobs for people: bars on a terminal, log lines with rates elsewhere.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use blockyard::job::{Event, JobId, Level, Report};
use blockyard::model::BlockId;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// A long job says every so often that it still runs, where there are no bars.
const LINE_EVERY: Duration = Duration::from_secs(30);

const BAR: &str = "{prefix} [{bar:32}] {bytes}/{total_bytes} {binary_bytes_per_sec} {msg}";

/// Draws bars, or writes log lines when there are none.
pub(crate) struct Progress {
    bars: Option<MultiProgress>,
    running: Mutex<BTreeMap<JobId, Running>>,
}

/// What is known of a job under way.
struct Running {
    kind: &'static str,
    group: String,
    bytes: u64,
    read: u64,
    written: u64,
    began: Instant,
    said: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// With bars, or with log lines.
    pub(crate) fn new(bars: Option<MultiProgress>) -> Self {
        Progress { bars, running: Mutex::default() }
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<JobId, Running>> {
        // a panic elsewhere does not make counts wrong
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bar(&self, kind: &str, group: &str, bytes: u64) -> Option<ProgressBar> {
        let bar = self.bars.as_ref()?.add(ProgressBar::new(bytes));
        if let Ok(style) = ProgressStyle::with_template(BAR) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(format!("{kind} {group}"));
        Some(bar)
    }

    fn note(&self, level: Level, block: Option<BlockId>, text: &str) {
        let (word, enabled) = match level {
            Level::Error => ("error", tracing::enabled!(tracing::Level::ERROR)),
            Level::Warn => ("warning", tracing::enabled!(tracing::Level::WARN)),
            Level::Info | Level::Debug => ("", false),
        };
        match (&self.bars, enabled) {
            (Some(bars), true) => {
                let about = block.map(|b| format!("block {b}: ")).filter(|about| !text.contains(about.as_str()));
                bars.suspend(|| eprintln!("{word}: {}{text}", about.unwrap_or_default()));
            }
            (Some(_), false) | (None, _) => {
                let block = block.map(|b| b.to_string());
                let block = block.as_deref();
                match level {
                    Level::Debug => tracing::debug!(block, "{text}"),
                    Level::Info => tracing::info!(block, "{text}"),
                    Level::Warn => tracing::warn!(block, "{text}"),
                    Level::Error => tracing::error!(block, "{text}"),
                }
            }
        }
    }
}

impl Report for Progress {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Started { job, kind, group, blocks, bytes } => {
                let bar = self.bar(kind, group, bytes);
                if bar.is_none() {
                    tracing::info!(job = job.0, kind, group, blocks = ?blocks, bytes, "job started");
                }
                let now = Instant::now();
                let group = group.to_owned();
                self.running().insert(job, Running { kind, group, bytes, read: 0, written: 0, began: now, said: now, bar });
            }
            Event::Moved { job, read, written } => {
                if let Some(running) = self.running().get_mut(&job) {
                    running.moved(job, read, written);
                }
            }
            Event::Finished { job, outcome } => {
                let Some(running) = self.running().remove(&job) else { return };
                if let Some(bar) = &running.bar {
                    bar.finish_and_clear();
                }
                running.line(job, &format!("job done: {outcome}"));
            }
            Event::Failed { job, error } => {
                let Some(running) = self.running().remove(&job) else { return };
                if let Some(bar) = &running.bar {
                    bar.finish_and_clear();
                }
                // whoever began the job knows what that means, and says it
                tracing::debug!(job = job.0, group = running.group, err = %error, "job failed");
            }
            Event::Note { level, block, text } => self.note(level, block, text),
            // events of a later library: nothing that this program could show
            _ => {}
        }
    }
}

impl Running {
    fn moved(&mut self, job: JobId, read: u64, written: u64) {
        self.read += read;
        self.written += written;
        match &self.bar {
            Some(bar) => {
                bar.set_position(self.read);
                bar.set_message(format!("{} written", indicatif::BinaryBytes(self.written)));
            }
            None if self.said.elapsed() >= LINE_EVERY => {
                self.said = Instant::now();
                self.line(job, "job under way");
            }
            None => {}
        }
    }

    /// A line with what was moved so far, and how fast.
    fn line(&self, job: JobId, text: &str) {
        let seconds = self.began.elapsed().as_secs_f64();
        // a job of no time at all has no rate
        let per_second = |bytes: u64| if seconds > 0.0 { (bytes as f64 / seconds) as u64 } else { 0 };
        tracing::info!(
            job = job.0,
            kind = self.kind,
            group = self.group,
            bytes = self.bytes,
            read = self.read,
            written = self.written,
            seconds = (seconds * 1000.0).round() / 1000.0,
            read_per_second = per_second(self.read),
            written_per_second = per_second(self.written),
            "{text}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_until_the_job_ends() {
        let progress = Progress::new(Some(MultiProgress::with_draw_target(indicatif::ProgressDrawTarget::hidden())));
        let job = JobId(3);
        progress.event(Event::Moved { job, read: 9, written: 9 });
        assert!(progress.running().is_empty(), "a job that never started is none");
        progress.event(Event::Started { job, kind: "compact", group: "0@{}", blocks: &[], bytes: 10 });
        progress.event(Event::Moved { job, read: 4, written: 1 });
        progress.event(Event::Moved { job, read: 2, written: 2 });
        {
            let running = progress.running();
            assert_eq!((running[&job].read, running[&job].written), (6, 3));
            assert_eq!(running[&job].bar.as_ref().unwrap().position(), 6);
        }
        progress.event(Event::Finished { job, outcome: "one block" });
        assert!(progress.running().is_empty());
    }
}
