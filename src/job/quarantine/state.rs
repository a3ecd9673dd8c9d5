//! How groups stand, as a value: failures go in, verdicts come out.

use serde::{Deserialize, Serialize};

use crate::bucket::is_archived;
use crate::error::{Error, Kind};
use crate::job::Work;
use crate::job::group::Group;
use crate::job::pipeline::is_mismatch;
use crate::model::{BlockId, LabelSet, Millis};

/// The first pause after a failure that passes, in milliseconds; each further one is twice as long.
const FIRST_PAUSE: Millis = 60_000;

/// The longest such pause, in milliseconds.
const LONGEST_PAUSE: Millis = 3_600_000;

/// A pause is longer or shorter by up to so many hundredths, so that groups do not come back together.
const JITTER_PERCENT: u64 = 25;

/// How a group stands; the worse is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Nothing failed.
    Healthy,
    /// Something failed that may work the next time.
    Retrying,
    /// Objects lie in an archive from which they have to be restored.
    Archived,
    /// A job is left alone until its blocks change: a person has to look at it.
    Quarantined,
}

impl Standing {
    /// All of them.
    pub const ALL: [Standing; 4] = [Standing::Healthy, Standing::Retrying, Standing::Archived, Standing::Quarantined];

    /// As metrics and JSON name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Standing::Healthy => "healthy",
            Standing::Retrying => "retrying",
            Standing::Archived => "archived",
            Standing::Quarantined => "quarantined",
        }
    }
}

/// What an error means for the job it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// The next time may be better.
    Passing,
    /// Damage, or an object that is gone: believed when it is seen twice.
    Suspicious,
    /// It will fail again as it did.
    Lasting,
    /// It is in an archive.
    Archived,
}

fn class(error: &Error) -> Class {
    match error.kind() {
        Kind::Denied if is_archived(error) => Class::Archived,
        Kind::Corrupt | Kind::Unsupported | Kind::NotFound => Class::Suspicious,
        Kind::Invalid | Kind::Limit => Class::Lasting,
        Kind::Unavailable | Kind::Denied | Kind::Conflict | Kind::Cancelled => Class::Passing,
    }
}

/// Where something failed, and over what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// Key of the group.
    pub group: String,
    /// Its labels.
    pub labels: LabelSet,
    /// Milliseconds between its samples, 0 for raw.
    pub resolution: Millis,
    /// The blocks of the job, ordered.
    pub blocks: Vec<BlockId>,
    /// What their listing says, from [`super::print`].
    pub print: u64,
    /// The series in which the damage lies, where known.
    pub series: Option<String>,
}

impl Failure {
    /// In `group`, whose key, labels and resolution it takes.
    pub fn of(group: &Group, mut blocks: Vec<BlockId>, print: u64) -> Failure {
        blocks.sort_unstable();
        let labels = LabelSet::clone(&group.labels);
        Failure { group: group.key.clone(), labels, resolution: group.resolution, blocks, print, series: None }
    }
}

/// What is to be done about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// List the bucket again and try once more, now.
    LookAgain,
    /// Try again in a later pass.
    Later,
    /// Leave it alone.
    Held,
}

/// Something that is left alone, for a while or until it changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Key of the group.
    pub group: String,
    /// Its labels.
    pub labels: LabelSet,
    /// Milliseconds between its samples, 0 for raw.
    pub resolution: Millis,
    /// What failed.
    pub work: Work,
    /// How that leaves the group.
    pub standing: Standing,
    /// Blocks of the job, ordered; none where any job of the group would fail.
    pub blocks: Vec<BlockId>,
    /// What their listing said; another one ends it.
    pub print: u64,
    /// When it failed first, in milliseconds since the Unix epoch.
    pub since: Millis,
    /// How often it failed in a row.
    pub attempts: u32,
    /// When it is tried again, in milliseconds since the Unix epoch; 0 where time does not help.
    pub next_try: Millis,
    /// Kind of the error.
    pub kind: Kind,
    /// What happened.
    pub why: String,
    /// The block it is about, where known.
    pub block: Option<BlockId>,
    /// The part of it, where known.
    pub part: Option<String>,
    /// The byte of the part, where known.
    pub at: Option<u64>,
    /// The series in which it lies, where known.
    pub series: Option<String>,
    /// What to do, for people; empty where waiting will do.
    pub next: String,
}

impl Entry {
    /// What failed with `error` at `now`, for the first time.
    pub fn new(work: Work, standing: Standing, failure: Failure, error: &Error, now: Millis) -> Entry {
        Entry {
            work,
            standing,
            since: now,
            attempts: 1,
            next_try: 0,
            kind: error.kind(),
            why: told(error),
            block: error.block_id(),
            part: error.part_name().map(str::to_owned),
            at: error.offset(),
            series: failure.series,
            next: advice(error),
            group: failure.group,
            labels: failure.labels,
            resolution: failure.resolution,
            blocks: failure.blocks,
            print: failure.print,
        }
    }

    /// Blocks without which the group goes on: the one that is damaged, or all of the job where nobody knows.
    pub fn culprits(&self) -> &[BlockId] {
        match self.block.and_then(|block| self.blocks.binary_search(&block).ok()) {
            Some(at) => &self.blocks[at..=at],
            None => &self.blocks,
        }
    }

    /// Whether nobody tries it until something changes.
    pub fn is_held(&self) -> bool {
        matches!(self.standing, Standing::Quarantined | Standing::Archived)
    }

    /// The error again, as it was, with the series.
    pub fn error(&self) -> Error {
        let what =
            self.series.as_ref().map_or_else(|| self.why.clone(), |series| format!("{}, in the series {series}", self.why));
        let mut error = Error::new(self.kind, what);
        if !self.next.is_empty() {
            error = error.next(&*self.next);
        }
        if let Some(block) = self.block {
            error = error.block(block);
        }
        if let Some(part) = &self.part {
            error = error.part(&**part);
        }
        match self.at {
            Some(at) => error.at(at),
            None => error,
        }
    }
}

/// What happened and its causes, without what an entry says besides.
fn told(error: &Error) -> String {
    let text = error.to_string();
    let at = text.find(error.what()).unwrap_or(0);
    let end = error.what_next().map_or(text.len(), |next| text.len().saturating_sub(next.len() + 2));
    text.get(at..end).unwrap_or(&text).to_owned()
}

/// What a person can do, with what to type; nothing where time may do it.
fn advice(error: &Error) -> String {
    let said = error.what_next().map(str::to_owned);
    if class(error) == Class::Passing {
        return said.unwrap_or_default();
    }
    if is_mismatch(error) {
        return "the blocks that went in are untouched and nothing is left of the new one: test the memory and the disk of \
                this machine, and report it"
            .to_owned();
    }
    let Some(block) = error.block_id() else {
        return said.unwrap_or_else(|| "look at the blocks of the group with `blockyard tools bucket verify`".to_owned());
    };
    let leave_out = |why: &str| {
        format!("leave it out with `blockyard tools bucket mark --id={block} --marker=no-compact-mark.json --details={why}`")
    };
    match (class(error), error.kind()) {
        (Class::Archived, _) => format!("restore the objects of the block from the archive, or {}", leave_out("archived")),
        (_, Kind::Corrupt | Kind::NotFound) => format!(
            "see the damage with `blockyard tools bucket verify --id={block} --issues=all`, save the rest with \
             `blockyard tools bucket rewrite --salvage --no-dry-run --id={block}`, or {}",
            leave_out("damaged")
        ),
        (_, Kind::Unsupported) => {
            let said = said.unwrap_or_else(|| "use a version of this program that knows it".to_owned());
            format!("{said}, or {}", leave_out("unsupported"))
        }
        (_, Kind::Limit) => format!("raise the limit, or {}", leave_out("limit")),
        _ => said.unwrap_or_else(|| leave_out("looked-at")),
    }
}

/// Everything that is left alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quarantine {
    entries: Vec<Entry>,
}

impl Quarantine {
    /// With what was kept.
    pub fn new(entries: Vec<Entry>) -> Self {
        Quarantine { entries }
    }

    /// All entries, in the order in which things failed first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Judges that `work` over `failure` ended with `error` at `now`; `chance` spreads pauses.
    pub fn failed(&mut self, work: Work, failure: Failure, error: &Error, now: Millis, chance: u64) -> Verdict {
        let class = class(error);
        let passes = class == Class::Passing;
        // what passes is about the group, and not about what is in its blocks; each block is downsampled by itself
        let is_of_group = passes && work == Work::Compaction;
        let failure = if is_of_group { Failure { blocks: Vec::new(), print: 0, ..failure } } else { failure };
        let same = |e: &Entry| {
            let is_of_it = e.work == work && e.group == failure.group && e.labels == failure.labels;
            // that it could not be read for a while is no second sight of damage
            is_of_it && e.blocks == failure.blocks && (e.next_try != 0) == passes
        };
        let before = self.entries.iter().position(same);
        let known = before.map(|at| &self.entries[at]).filter(|e| e.print == failure.print);
        let (since, attempts) = known.map_or((now, 1), |e| (e.since, e.attempts.saturating_add(1)));
        let (standing, verdict) = match class {
            Class::Passing => (Standing::Retrying, Verdict::Later),
            Class::Suspicious if known.is_none() => (Standing::Retrying, Verdict::LookAgain),
            Class::Suspicious | Class::Lasting => (Standing::Quarantined, Verdict::Held),
            Class::Archived => (Standing::Archived, Verdict::Held),
        };
        let mut entry = Entry { since, attempts, ..Entry::new(work, standing, failure, error, now) };
        if passes {
            entry.next_try = now.saturating_add(pause(attempts, chance));
        }
        match before {
            Some(at) => self.entries[at] = entry,
            None => self.entries.push(entry),
        }
        verdict
    }

    /// `work` of a group ended well: nothing that passes stands against the blocks that were `done` any more, nor
    /// against the group as a whole; where there was nothing to do (`None`), against any of its blocks.
    pub fn succeeded(&mut self, work: Work, group: &str, labels: &LabelSet, done: Option<&[BlockId]>) {
        self.entries.retain(|e| {
            let of_it = e.work == work && e.group == group && e.labels == *labels;
            let is_done = done.is_none_or(|done| e.blocks.is_empty() || e.culprits().iter().any(|id| done.contains(id)));
            !(of_it && is_done) || e.standing != Standing::Retrying
        });
    }

    /// Lets go of entries that `stays` says no to; returns them.
    pub fn lift(&mut self, stays: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        self.entries.extract_if(.., |e| !stays(e)).collect()
    }

    /// Why `work` of a group, or of `block` of it, has to wait at `now`, if it has to.
    pub fn waits(&self, work: Work, group: &str, labels: &LabelSet, block: Option<BlockId>, now: Millis) -> Option<&Entry> {
        let waits = |e: &&Entry| {
            let of_it = e.work == work && e.group == group && e.labels == *labels;
            of_it && e.next_try > now && (e.blocks.is_empty() || block.is_some_and(|id| e.blocks.contains(&id)))
        };
        self.entries.iter().find(waits)
    }

    /// Whatever waits is due at once; how often it failed is kept.
    pub fn hurry(&mut self) {
        // 0 would say that it does not wait
        self.entries.iter_mut().filter(|e| e.next_try != 0).for_each(|e| e.next_try = 1);
    }

    /// What is not to be tried of a group.
    pub fn held<'a>(&'a self, work: Work, group: &'a str, labels: &'a LabelSet) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(move |e| e.is_held() && e.work == work && e.group == group && e.labels == *labels)
    }
}

/// How long to wait after failure number `attempts`; `chance` is any number.
fn pause(attempts: u32, chance: u64) -> Millis {
    let doubled = FIRST_PAUSE.saturating_mul(1 << attempts.saturating_sub(1).min(10)).min(LONGEST_PAUSE);
    let percent = 100 - JITTER_PERCENT + chance % (2 * JITTER_PERCENT + 1);
    doubled * percent as Millis / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_000_000_000;

    fn id(n: i64) -> BlockId {
        BlockId::from_parts(n, 0)
    }

    fn failure(blocks: &[i64], print: u64) -> Failure {
        Failure { group: "0@1".into(), blocks: blocks.iter().map(|&n| id(n)).collect(), print, ..Failure::default() }
    }

    fn error(kind: Kind) -> Error {
        Error::new(kind, "something").block(id(2)).part("chunks/000001").at(7)
    }

    fn archived() -> Error {
        crate::bucket::archived("get a range").block(id(2)).part("x")
    }

    #[test]
    fn failures_and_verdicts() {
        use Standing::{Archived, Quarantined, Retrying};
        use Verdict::{Held, Later, LookAgain};
        // each: failures as (error, print), and what is said of each
        let check = |script: &[(Error, u64)], expected: &[(Verdict, Standing, u32)]| {
            let mut quarantine = Quarantine::default();
            let mut said = Vec::new();
            for (error, print) in script {
                let verdict = quarantine.failed(Work::Compaction, failure(&[1, 2], *print), error, NOW, 0);
                let entry = quarantine.entries().last().unwrap();
                said.push((verdict, entry.standing, entry.attempts));
            }
            assert_eq!(said, expected, "{script:?}");
        };
        for kind in [Kind::Corrupt, Kind::Unsupported, Kind::NotFound] {
            check(&[(error(kind), 1), (error(kind), 1)], &[(LookAgain, Retrying, 1), (Held, Quarantined, 2)]);
            // something changed between the two: that may have been why
            check(&[(error(kind), 1), (error(kind), 2)], &[(LookAgain, Retrying, 1), (LookAgain, Retrying, 1)]);
        }
        for kind in [Kind::Unavailable, Kind::Denied, Kind::Conflict, Kind::Cancelled] {
            check(&[(error(kind), 1), (error(kind), 2)], &[(Later, Retrying, 1), (Later, Retrying, 2)]);
            // the second look could not look
            let then = [(error(Kind::Corrupt), 1), (error(kind), 1), (error(Kind::Corrupt), 1)];
            check(&then, &[(LookAgain, Retrying, 1), (Later, Retrying, 1), (Held, Retrying, 1)]);
        }
        for kind in [Kind::Invalid, Kind::Limit] {
            check(&[(error(kind), 1), (error(kind), 1)], &[(Held, Quarantined, 1), (Held, Quarantined, 2)]);
        }
        check(&[(archived(), 1)], &[(Held, Archived, 1)]);
    }

    #[test]
    fn pauses_grow_and_differ() {
        let mut quarantine = Quarantine::default();
        let mut pauses = Vec::new();
        for _ in 0..9 {
            quarantine.failed(Work::Compaction, failure(&[1], 1), &error(Kind::Unavailable), NOW, 25);
            pauses.push((quarantine.entries()[0].next_try - NOW) / 60_000);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!((pause(1, 0), pause(1, 50), pause(u32::MAX, 50)), (45_000, 75_000, 4_500_000));
        assert!((0..1000).all(|chance| (45_000..=75_000).contains(&pause(1, chance))));
        let wait = |now| quarantine.waits(Work::Compaction, "0@1", &LabelSet::new(), None, now).is_some();
        assert_eq!((wait(NOW), wait(NOW + 3_599_999), wait(NOW + 3_600_000)), (true, true, false));
        assert!(quarantine.waits(Work::Downsampling, "0@1", &LabelSet::new(), None, NOW).is_none());
        quarantine.succeeded(Work::Compaction, "0@1", &LabelSet::new(), Some(&[id(7)]));
        assert!(quarantine.entries().is_empty());
    }

    #[test]
    fn each_block_is_downsampled_by_itself() {
        let mut quarantine = Quarantine::default();
        let (work, none) = (Work::Downsampling, LabelSet::new());
        quarantine.failed(work, failure(&[1], 1), &error(Kind::Unavailable), NOW, 25);
        quarantine.failed(work, failure(&[2], 2), &error(Kind::Corrupt), NOW, 25);
        let waits = |quarantine: &Quarantine, n| quarantine.waits(work, "0@1", &none, Some(id(n)), NOW).is_some();
        assert_eq!([1, 2, 3].map(|n| waits(&quarantine, n)), [true, false, false]);
        // that others go well says nothing of them
        quarantine.succeeded(work, "0@1", &none, Some(&[id(3)]));
        assert_eq!(quarantine.entries().len(), 2);
        assert_eq!(quarantine.failed(work, failure(&[2], 2), &error(Kind::Corrupt), NOW, 25), Verdict::Held);
        quarantine.succeeded(work, "0@1", &none, Some(&[id(1)]));
        assert_eq!((waits(&quarantine, 1), quarantine.held(work, "0@1", &none).count()), (false, 1));
        // it could not be read, and then it was damaged: that was seen once
        quarantine.failed(work, failure(&[4], 4), &error(Kind::Unavailable), NOW, 25);
        assert_eq!(quarantine.failed(work, failure(&[4], 4), &error(Kind::Corrupt), NOW, 25), Verdict::LookAgain);
    }

    #[test]
    fn what_is_held_ends_by_a_change_and_not_by_success() {
        let mut quarantine = Quarantine::default();
        for _ in 0..2 {
            quarantine.failed(Work::Compaction, failure(&[1, 2], 5), &error(Kind::Corrupt), NOW, 0);
        }
        quarantine.failed(Work::Compaction, failure(&[8, 9], 6), &error(Kind::Limit), NOW, 0);
        quarantine.succeeded(Work::Compaction, "0@1", &LabelSet::new(), None);
        let none = LabelSet::new();
        let culprits: Vec<_> = quarantine.held(Work::Compaction, "0@1", &none).map(Entry::culprits).collect();
        assert_eq!(culprits, [&[id(2)][..], &[id(8), id(9)]], "the damaged block, or all where it is none of them");
        assert_eq!(quarantine.held(Work::Downsampling, "0@1", &none).count(), 0);
        let lifted = quarantine.lift(|e| e.print == 6);
        assert_eq!((lifted.len(), lifted[0].print, quarantine.entries().len()), (1, 5, 1));
    }

    #[test]
    fn an_entry_tells_the_error_again_and_what_to_type() {
        let first = error(Kind::Corrupt).source("because").next("do something");
        let failure = Failure { series: Some("{a=\"b\"}".into()), ..failure(&[2], 1) };
        let entry = Entry::new(Work::Compaction, Standing::Quarantined, failure, &first, NOW);
        assert_eq!(entry.why, "something: because");
        let again = entry.error();
        assert_eq!((again.kind(), again.block_id(), again.offset()), (Kind::Corrupt, Some(id(2)), Some(7)));
        let text = again.to_string();
        assert!(
            text.starts_with(&format!(
                "block {}: chunks/000001 at byte 7: something: because, in the series {{a=\"b\"}}; see",
                id(2)
            )),
            "{text}"
        );
        assert!(text.contains(&format!("mark --id={} --marker=no-compact-mark.json", id(2))), "{text}");
        assert!(advice(&archived()).starts_with("restore the objects"));
        let mismatch = error(Kind::Corrupt).next("nothing was marked for deletion; run it again");
        assert!(advice(&mismatch).contains("untouched") && !advice(&mismatch).contains("--id"), "no block is to blame");
        assert_eq!(advice(&Error::new(Kind::Invalid, "overlap").next("look")), "look");
        let json = serde_json::to_string(&entry).unwrap();
        assert_eq!(serde_json::from_str::<Entry>(&json).unwrap(), entry);
    }
}
