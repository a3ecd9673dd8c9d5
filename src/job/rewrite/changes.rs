//! What is deleted of one series, and how the change log tells it.
//!
//! *Source*: Thanos `pkg/compactv2/modifiers.go`, `pkg/compactv2/changelog.go`; Go `fmt` for the intervals.

use std::fmt::Write as _;
use std::io::Write;
use std::sync::Mutex;

use super::request::{Deletion, Request};
use crate::format::index::ChunkMeta;
use crate::format::tombstones::{Interval, Intervals};
use crate::job::pipeline::{Edit, SeriesView, Verdict};
use crate::job::relabel::{Relabeled, relabel};
use crate::model::{is_plain_name, quote};

/// Writes `{name="value", …}` with Go's quoting.
pub(super) fn write_labels<'a>(out: &mut String, labels: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
    // writing to a string does not fail
    out.push('{');
    for (n, (name, value)) in labels.enumerate() {
        if n > 0 {
            out.push_str(", ");
        }
        match std::str::from_utf8(name) {
            Ok(plain) if is_plain_name(plain) => out.push_str(plain),
            _ => drop(quote(out, name)),
        }
        out.push('=');
        let _ = quote(out, value);
    }
    out.push('}');
}

/// The change log's line about a series that loses these times.
pub(super) fn deleted_line<'a>(labels: impl Iterator<Item = (&'a [u8], &'a [u8])>, lost: &[Interval]) -> String {
    let mut line = "Deleted ".to_owned();
    write_labels(&mut line, labels);
    line.push_str(" [");
    for (n, i) in lost.iter().enumerate() {
        let _ = write!(line, "{}{{{} {}}}", if n > 0 { " " } else { "" }, i.min, i.max);
    }
    line.push_str("]\n");
    line
}

/// The change log's line about a series that gets other labels.
pub(super) fn relabeled_line<'a>(old: impl Iterator<Item = (&'a [u8], &'a [u8])>, new: &[(String, String)]) -> String {
    let mut line = "Relabelled ".to_owned();
    write_labels(&mut line, old);
    line.push(' ');
    write_labels(&mut line, as_bytes(new));
    line.push('\n');
    line
}

pub(super) fn as_bytes(labels: &[(String, String)]) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
    labels.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))
}

/// What becomes of a series: its labels, and its samples under them.
pub(super) struct Outcome {
    pub(super) labels: Relabeled,
    pub(super) verdict: Verdict,
}

/// What a request makes of a series: relabelled first, as upstream, then deleted from by the labels it has then.
pub(super) fn outcome(request: &Request, series: SeriesView<'_>) -> Outcome {
    let labels = match request.relabeling.as_slice() {
        [] => Relabeled::Same,
        rules => relabel(rules, series.labels().map(|(n, v)| (String::from_utf8_lossy(n), String::from_utf8_lossy(v)))),
    };
    let verdict = match &labels {
        Relabeled::Same => decide(&request.deletions, series.labels()),
        Relabeled::Changed(new) => decide(&request.deletions, as_bytes(new)),
        Relabeled::Dropped => Verdict::Drop,
    };
    Outcome { labels, verdict }
}

/// What the requests leave of a series.
///
/// A matcher selects only series that have its label, as upstream: `{b!="x"}` does not select what has no `b`.
pub(super) fn decide<'a>(deletions: &[Deletion], labels: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone) -> Verdict {
    let mut intervals = Intervals::new();
    for deletion in deletions {
        let selects = deletion.matchers.iter().all(|m| {
            let value = labels.clone().find(|l| l.0 == m.name().as_bytes()).map(|l| l.1);
            value.is_some_and(|v| !v.is_empty() && m.matches_bytes(v))
        });
        if !selects {
            continue;
        }
        if deletion.intervals.is_empty() {
            return Verdict::Drop;
        }
        deletion.intervals.iter().for_each(|&i| intervals.add(i));
    }
    if intervals.as_slice().is_empty() { Verdict::Keep } else { Verdict::Cut(intervals.as_slice().to_vec()) }
}

/// The times that chunks lose, as the change log lists them: chunk by chunk, joined where they touch.
pub(super) fn lost_of(chunks: &[ChunkMeta], verdict: &Verdict) -> Intervals {
    let mut lost = Intervals::new();
    match verdict {
        Verdict::Keep => {}
        Verdict::Drop => {
            if let (Some(first), Some(last)) = (chunks.first(), chunks.last()) {
                lost.add(Interval::new(first.min_time, last.max_time));
            }
        }
        Verdict::Cut(intervals) => {
            for c in chunks {
                for i in intervals {
                    lost.add(Interval::new(i.min.max(c.min_time), i.max.min(c.max_time)));
                }
            }
        }
    }
    lost
}

/// Where lines of a change log go.
pub type LogWriter = Box<dyn Write + Send>;

/// Changes series while they pass by, and logs what they lose. Those that get other labels or none leave their place:
/// they were logged when that was decided.
pub(super) struct Changing {
    request: Request,
    log: Option<Mutex<ChangeLog>>,
}

struct ChangeLog {
    out: LogWriter,
    failed: Option<std::io::Error>,
}

impl Changing {
    pub(super) fn new(request: Request, log: Option<LogWriter>) -> Self {
        Changing { request, log: log.map(|out| Mutex::new(ChangeLog { out, failed: None })) }
    }

    /// Ends the log; the first failure to write it.
    pub(super) fn finish(&self) -> std::io::Result<()> {
        let Some(log) = &self.log else { return Ok(()) };
        let mut log = log.lock().unwrap_or_else(|e| e.into_inner());
        match log.failed.take() {
            Some(error) => Err(error),
            None => log.out.flush(),
        }
    }
}

impl Edit for Changing {
    fn decide(&self, series: SeriesView<'_>, log: &mut Vec<u8>) -> Verdict {
        let Outcome { labels, verdict } = outcome(&self.request, series);
        if labels != Relabeled::Same {
            return Verdict::Drop;
        }
        if verdict != Verdict::Keep && self.log.is_some() {
            let lost = lost_of(series.chunks(), &verdict);
            if !lost.as_slice().is_empty() {
                log.extend_from_slice(deleted_line(series.labels(), lost.as_slice()).as_bytes());
            }
        }
        verdict
    }

    fn collect(&self, lines: Vec<u8>) {
        let Some(log) = &self.log else { return };
        let mut log = log.lock().unwrap_or_else(|e| e.into_inner());
        if log.failed.is_none() {
            log.failed = log.out.write_all(&lines).err();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::segment::ChunkRef;
    use crate::job::rewrite::parse_deletions;

    fn verdict(yaml: &str, labels: &[(&str, &str)]) -> Verdict {
        decide(&parse_deletions(yaml).unwrap(), labels.iter().map(|l| (l.0.as_bytes(), l.1.as_bytes())))
    }

    #[test]
    fn all_matchers_of_a_request_have_to_match_labels_that_are_there() {
        let both = "- matchers: '{a=\"1\", b=\"2\"}'";
        assert_eq!(verdict(both, &[("a", "1"), ("b", "2"), ("foo", "bar")]), Verdict::Drop);
        assert_eq!(verdict(both, &[("a", "1")]), Verdict::Keep);
        assert_eq!(verdict(both, &[("b", "2")]), Verdict::Keep);
        let unequal = "- matchers: '{a!=\"1\", foo=~\"^ba.$\"}'";
        assert_eq!(verdict(unequal, &[("a", "2"), ("foo", "bar")]), Verdict::Drop);
        assert_eq!(verdict(unequal, &[("a", "2"), ("foo", "1")]), Verdict::Keep);
        assert_eq!(verdict(unequal, &[("foo", "bat")]), Verdict::Keep);
        assert_eq!(verdict(unequal, &[("a", ""), ("foo", "bat")]), Verdict::Keep);
    }

    #[test]
    fn requests_add_up() {
        let yaml = "- matchers: a\n  intervals: [{mint: 1, maxt: 5}]\n- matchers: '{b=\"x\"}'\n  intervals: [{mint: 6, maxt: 9}]\n- matchers: '{c=\"y\"}'";
        assert_eq!(verdict(yaml, &[("__name__", "a"), ("b", "x")]), Verdict::Cut(vec![Interval::new(1, 9)]));
        assert_eq!(verdict(yaml, &[("__name__", "a")]), Verdict::Cut(vec![Interval::new(1, 5)]));
        assert_eq!(verdict(yaml, &[("__name__", "a"), ("b", "x"), ("c", "y")]), Verdict::Drop);
    }

    #[test]
    fn lines_of_the_change_log() {
        let chunk = |min_time, max_time| ChunkMeta { min_time, max_time, reference: ChunkRef(8) };
        let chunks = [chunk(0, 2), chunk(10, 20)];
        let line = |verdict: Verdict| {
            let labels = [("a", "1"), ("b.c", "x\"")];
            deleted_line(labels.iter().map(|l| (l.0.as_bytes(), l.1.as_bytes())), lost_of(&chunks, &verdict).as_slice())
        };
        assert_eq!(line(Verdict::Drop), "Deleted {a=\"1\", \"b.c\"=\"x\\\"\"} [{0 20}]\n");
        let all = vec![Interval::new(i64::MIN, i64::MAX)];
        assert_eq!(line(Verdict::Cut(all)), "Deleted {a=\"1\", \"b.c\"=\"x\\\"\"} [{0 2} {10 20}]\n");
        assert!(line(Verdict::Cut(vec![Interval::new(1, 11)])).ends_with(" [{1 2} {10 11}]\n"));
        assert!(lost_of(&chunks, &Verdict::Cut(vec![Interval::new(3, 9)])).as_slice().is_empty());
    }
}
