//! A forecast as a value: what it is made of, and what it comes to.

use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::{Pace, Prices, Requests, ShownRate};
use crate::job::plan::Why;
use crate::model::{BlockId, LabelSet, Millis};

/// What a compactor will do. The names of fields are those of the JSON that `docs/PLAN.md` describes.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    /// When the bucket was looked at, in milliseconds since the Unix epoch.
    pub seen_at_ms: Millis,
    /// Provider, place and prefix.
    pub bucket: String,
    /// Compactions and downsamplings, in order.
    pub jobs: Vec<Job>,
    /// Marks that are made, but for those of blocks that jobs replace.
    pub marks: Vec<Mark>,
    /// Blocks and parts of blocks that are deleted at once.
    pub deletions: Vec<Removal>,
    /// What is not done, to which blocks, and why; as it is when all jobs are done.
    pub left_alone: Vec<LeftAlone>,
    /// Samples of lower resolution that are never made, and why.
    pub never_downsampled: Vec<NeverMade>,
    /// Why retention marks nothing although blocks have expired, until somebody confirms it.
    pub stopped: Vec<String>,
    /// The share of the bucket that is worked on; `None` where it is all of it.
    pub shard: Option<Share>,
    /// Blocks that others work on, or that lie outside of the time that is asked for.
    pub excluded: Excluded,
    /// How quick jobs are taken to be.
    pub rates: Vec<ShownRate>,
    /// What is paid.
    pub prices: Prices,
    /// All of it together.
    pub totals: Totals,
}

/// Blocks that become one, or one that becomes coarser ones.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// From 1, in order.
    pub number: usize,
    /// In which pass, from 1.
    pub pass: usize,
    /// What is done.
    pub kind: JobKind,
    /// Key of the group.
    pub group: String,
    /// Milliseconds between samples of what is read, 0 for raw.
    pub resolution_ms: Millis,
    /// External labels.
    #[serde(serialize_with = "of_labels")]
    pub labels: Arc<LabelSet>,
    /// Why, for programs.
    #[serde(flatten)]
    pub because: Because,
    /// Why, for people.
    pub why: String,
    /// Blocks that go in, by minimum time.
    pub blocks: Vec<BlockId>,
    /// Numbers of the jobs whose results go in too.
    pub results_of: Vec<usize>,
    /// First millisecond.
    pub min_time_ms: Millis,
    /// First millisecond behind.
    pub max_time_ms: Millis,
    /// Compactions that it stands for: 1 where it is one step of the planner.
    pub in_place_of: usize,
    /// Blocks that come out, finer first; none where the inputs hold no samples.
    pub makes: Vec<Made>,
    /// Bytes that are read.
    pub bytes_read: u64,
    /// Bytes that are written, about.
    pub bytes_written_estimated: u64,
    /// Bytes of blocks that are marked for deletion since their samples are in the new one.
    pub bytes_freed: u64,
    /// Objects that are read.
    pub objects_read: u64,
    /// Objects that are written, about, without marks.
    pub objects_written_estimated: u64,
    /// Requests to the bucket, about, marks included.
    pub requests: Requests,
    /// Bytes on the local disk at most.
    pub scratch_bytes_at_most: u64,
    /// How long it takes, about.
    pub seconds_estimated: f64,
    /// What its requests and reads cost, where prices are given.
    pub price: Option<f64>,
    /// By whose rate.
    pub rate: Pace,
}

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobKind {
    /// Blocks become one, and coarser ones on the way where those are due.
    Compact,
    /// A block becomes coarser ones, and stays.
    Downsample,
}

/// A block that a job makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Made {
    /// Milliseconds between samples, 0 for raw.
    pub resolution_ms: Millis,
    /// Its bytes, about.
    pub bytes_estimated: u64,
}

/// A reason in words that do not change, with its figures; which there are depends on the word.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Because {
    /// The word.
    pub because: &'static str,
    /// First millisecond of the window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_start_ms: Option<Millis>,
    /// Length of the window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_length_ms: Option<Millis>,
    /// Length that a block would need.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needs_length_ms: Option<Millis>,
    /// Until when nothing is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<Millis>,
    /// The reason that a mark names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark_reason: Option<String>,
}

/// A block, or what a job makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Which {
    /// The block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<BlockId>,
    /// The number of the job that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_of: Option<usize>,
}

/// A mark that is made.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// In which pass, from 1.
    pub pass: usize,
    /// Which mark.
    pub mark: MarkKind,
    /// Of what.
    #[serde(flatten)]
    pub which: Which,
    /// Milliseconds between samples, 0 for raw.
    pub resolution_ms: Millis,
    /// External labels.
    #[serde(serialize_with = "of_labels")]
    pub labels: Arc<LabelSet>,
    /// Why, for programs: `duplicate`, `expired`, or the reason that the mark names.
    pub because: &'static str,
    /// Why, for people.
    pub why: String,
    /// Set where coarser samples of an expired block would be kept, and there are none and never will be: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
    /// Bytes of the block.
    pub bytes: u64,
    /// Its objects.
    pub objects: u64,
    /// Requests to the bucket.
    pub requests: Requests,
}

/// Which mark is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MarkKind {
    /// The block is to be deleted.
    Deletion,
    /// The block is not to be compacted.
    NoCompact,
}

/// A block, or what there is of one, that is deleted at once.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Removal {
    /// The block.
    pub block: BlockId,
    /// Why, for programs: `marked`, `partial-upload`.
    pub because: &'static str,
    /// Why, for people.
    pub why: String,
    /// Its objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Requests to the bucket.
    pub requests: Requests,
}

/// What is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotDone {
    /// They are not looked at.
    LookedAt,
    /// They are not compacted.
    Compacted,
    /// They are not downsampled although they are due.
    Downsampled,
    /// They are not marked for deletion although they have expired.
    Expired,
    /// They are not deleted yet although they are marked, or no whole block.
    Deleted,
}

/// Blocks of one group of which something is not done for one reason.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftAlone {
    /// What.
    pub not: NotDone,
    /// Key of the group; empty where blocks are not sorted into groups.
    pub group: String,
    /// Milliseconds between samples, 0 for raw.
    pub resolution_ms: Millis,
    /// External labels.
    #[serde(serialize_with = "of_labels")]
    pub labels: Arc<LabelSet>,
    /// Why, for programs.
    #[serde(flatten)]
    pub because: Because,
    /// Why, for people.
    pub why: String,
    /// The blocks, by minimum time.
    pub blocks: Vec<BlockId>,
    /// Numbers of the jobs whose results it is said of too.
    pub results_of: Vec<usize>,
    /// Bytes of all of them, about.
    pub bytes: u64,
}

/// Samples that are never made.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NeverMade {
    /// Milliseconds between samples of the blocks, 0 for raw.
    pub resolution_ms: Millis,
    /// Milliseconds between samples that are not made.
    pub to_resolution_ms: Millis,
    /// Why, for programs.
    #[serde(flatten)]
    pub because: Because,
    /// Why, for people.
    pub why: String,
    /// The blocks, by id.
    pub blocks: Vec<BlockId>,
    /// Numbers of the jobs whose results it is said of too.
    pub results_of: Vec<usize>,
}

/// Blocks that are not looked at since somebody said so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Excluded {
    /// By their labels.
    pub by_labels: usize,
    /// By their time.
    pub by_time: usize,
}

/// A share of a bucket, as `--shard` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    /// Which, counted from 0.
    pub index: u64,
    /// Of how many.
    pub of: u64,
    /// The `--selector.relabel-config` that chooses the same blocks, of those that are there.
    pub relabel_config: String,
}

/// All of it together.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Blocks that are looked at.
    pub blocks: usize,
    /// Passes until nothing is left, at least 1.
    pub passes: usize,
    /// Compactions, each of which may stand for several.
    pub compactions: usize,
    /// Downsamplings that are jobs of their own.
    pub downsamplings: usize,
    /// Looks at the bucket, and what they ask.
    pub looks: u64,
    /// Requests of those looks.
    pub look_requests: Requests,
    /// Requests of all of it.
    pub requests: Requests,
    /// Bytes that are read.
    pub bytes_read: u64,
    /// Bytes that are written, about.
    pub bytes_written_estimated: u64,
    /// Bytes that are marked for deletion.
    pub bytes_marked: u64,
    /// Bytes that are deleted at once.
    pub bytes_deleted: u64,
    /// Bytes on the local disk at most, of any one job.
    pub scratch_bytes_at_most: u64,
    /// How long the jobs take one after the other, about.
    pub seconds_estimated: f64,
    /// What requests and reads cost, where prices are given.
    pub price: Option<f64>,
    /// By how much keeping the bucket gets dearer a month when all that is marked is gone, negative where it gets
    /// cheaper; where a price is given.
    pub price_per_month_change: Option<f64>,
}

impl Forecast {
    /// Whether nothing would be changed.
    pub fn is_idle(&self) -> bool {
        self.jobs.is_empty() && self.marks.is_empty() && self.deletions.is_empty()
    }

    pub(super) fn sum_up(&mut self) {
        let totals = &mut self.totals;
        totals.requests = totals.look_requests;
        totals.passes = 1;
        let sum = |sum: &mut u64, n: u64| *sum = sum.saturating_add(n);
        for job in &self.jobs {
            *(if job.kind == JobKind::Compact { &mut totals.compactions } else { &mut totals.downsamplings }) += 1;
            totals.passes = totals.passes.max(job.pass);
            totals.requests.add(job.requests);
            sum(&mut totals.bytes_read, job.bytes_read);
            sum(&mut totals.bytes_written_estimated, job.bytes_written_estimated);
            sum(&mut totals.bytes_marked, job.bytes_freed);
            totals.scratch_bytes_at_most = totals.scratch_bytes_at_most.max(job.scratch_bytes_at_most);
            totals.seconds_estimated += job.seconds_estimated;
        }
        for mark in &self.marks {
            totals.passes = totals.passes.max(mark.pass);
            totals.requests.add(mark.requests);
            if mark.mark == MarkKind::Deletion {
                sum(&mut totals.bytes_marked, mark.bytes);
            }
        }
        for deletion in &self.deletions {
            totals.requests.add(deletion.requests);
            sum(&mut totals.bytes_deleted, deletion.bytes);
        }
        totals.price = self.prices.of(&totals.requests, totals.bytes_read);
        let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        let gone = totals.bytes_marked.saturating_add(totals.bytes_deleted);
        let change = signed(totals.bytes_written_estimated).saturating_sub(signed(gone));
        totals.price_per_month_change = self.prices.a_month(change);
    }
}

impl From<Why> for Because {
    fn from(why: Why) -> Self {
        match why {
            Why::Overlap => Because { because: "overlap", ..Because::default() },
            Why::Tombstones => Because { because: "tombstones", ..Because::default() },
            Why::Window { start, length } => {
                Because { because: "window", window_start_ms: Some(start), window_length_ms: Some(length), ..Because::default() }
            }
        }
    }
}

fn of_labels<S: Serializer>(labels: &Arc<LabelSet>, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    labels.as_ref().serialize(serializer)
}
