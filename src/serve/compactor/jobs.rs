//! Jobs under way: what each reads, how far it is, and when it may be done.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde::Serialize;

use super::lock;
use crate::job::{Event, JobId};
use crate::model::{BlockId, Millis};

/// Jobs that began and did not end, by number.
#[derive(Default)]
pub(super) struct Jobs(Mutex<BTreeMap<JobId, Running>>);

/// One job; the fields are those of the answer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Running {
    kind: &'static str,
    /// Resolution and labels.
    group: String,
    blocks: Vec<BlockId>,
    /// When it began, in milliseconds since the Unix epoch.
    since: Millis,
    /// What it is going to read, as far as known.
    bytes: u64,
    read: u64,
    written: u64,
}

/// A job as it is shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    job: u64,
    #[serde(flatten)]
    running: Running,
    /// From what was read since it began; nothing while that says nothing.
    seconds_left: Option<f64>,
}

impl Jobs {
    pub(super) fn event(&self, event: &Event<'_>, now: Millis) {
        match *event {
            Event::Started { job, kind, group, blocks, bytes } => {
                let (group, blocks) = (group.to_owned(), blocks.to_vec());
                let running = Running { kind, group, blocks, since: now, bytes, read: 0, written: 0 };
                lock(&self.0).insert(job, running);
            }
            Event::Moved { job, read, written } => {
                if let Some(running) = lock(&self.0).get_mut(&job) {
                    running.read = running.read.saturating_add(read);
                    running.written = running.written.saturating_add(written);
                }
            }
            Event::Finished { job, .. } | Event::Failed { job, .. } => _ = lock(&self.0).remove(&job),
            _ => {}
        }
    }

    /// The `data` of an answer.
    pub(super) fn to_json(&self, now: Millis) -> String {
        let jobs = lock(&self.0).clone();
        let shown = jobs.into_iter().map(|(job, running)| Shown { job: job.0, seconds_left: running.seconds_left(now), running });
        // numbers and text always have a form in JSON
        serde_json::to_string(&shown.collect::<Vec<_>>()).unwrap_or_default()
    }
}

impl Running {
    fn seconds_left(&self, now: Millis) -> Option<f64> {
        let took = now.saturating_sub(self.since);
        let left = self.bytes.saturating_sub(self.read);
        (self.read > 0 && took > 0).then(|| left as f64 * (took as f64 / 1000.0) / self.read as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Kind};

    #[test]
    fn a_job_is_there_from_its_beginning_to_its_end() {
        let jobs = Jobs::default();
        let (one, two) = (JobId(1), JobId(2));
        let blocks = [BlockId::from_parts(1, 2)];
        for job in [one, two] {
            jobs.event(&Event::Started { job, kind: "compact", group: "0@{a=\"1\"}", blocks: &blocks, bytes: 400 }, 1_000);
        }
        jobs.event(&Event::Moved { job: one, read: 60, written: 5 }, 2_000);
        jobs.event(&Event::Moved { job: one, read: 40, written: 5 }, 3_000);
        let shown: serde_json::Value = serde_json::from_str(&jobs.to_json(5_000)).unwrap();
        let expected = serde_json::json!([
            {"job": 1, "kind": "compact", "group": "0@{a=\"1\"}", "blocks": [blocks[0].to_string()], "since": 1000, "bytes": 400,
             "read": 100, "written": 10, "secondsLeft": 12.0},
            {"job": 2, "kind": "compact", "group": "0@{a=\"1\"}", "blocks": [blocks[0].to_string()], "since": 1000, "bytes": 400,
             "read": 0, "written": 0, "secondsLeft": null},
        ]);
        assert_eq!(shown, expected);
        jobs.event(&Event::Finished { job: one, outcome: "" }, 6_000);
        jobs.event(&Event::Failed { job: two, error: &Error::new(Kind::Corrupt, "bad") }, 6_000);
        assert_eq!(jobs.to_json(7_000), "[]");
    }
}
