//! A forecast for people: what is done in order, what is left alone, and what it comes to.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Forecast, Job, JobKind, LeftAlone, Mark, MarkKind, NeverMade, NotDone, Requests};
use crate::job::downsample::name;
use crate::job::plan::{duration_text, size_text};
use crate::model::{BlockId, Millis, Timestamp};

/// So many blocks are named in one place; the JSON names all.
const BLOCKS_NAMED: usize = 6;
/// So many groups with one reason are named; more are one line.
const GROUPS_NAMED: usize = 5;
/// Columns in which nothing is broken any more.
const NARROWEST: usize = 40;

impl Forecast {
    /// For people, in lines of at most `width` columns where words allow it.
    pub fn to_text(&self, width: usize) -> String {
        let mut page = Page { out: String::new(), width: width.max(NARROWEST) };
        self.jobs(&mut page);
        self.marks(&mut page);
        self.left_alone(&mut page);
        self.never(&mut page);
        self.totals(&mut page);
        page.out
    }

    fn jobs(&self, page: &mut Page) {
        if self.jobs.is_empty() {
            return;
        }
        page.title("JOBS, in order");
        page.line(&format!(
            "{:>4}  {:<10}  {:>6}  {:<16}  {:>6}  {:>9}  {:>9}  {:>6}",
            "#", "job", "blocks", "from", "length", "reads", "writes", "time"
        ));
        for job in &self.jobs {
            job.print(page);
        }
    }

    fn marks(&self, page: &mut Page) {
        if self.marks.is_empty() && self.deletions.is_empty() && self.stopped.is_empty() {
            return;
        }
        page.title("MARKS AND DELETIONS");
        for deletion in &self.deletions {
            let size = size_text(deletion.bytes);
            page.item("  ", &format!("delete {}: {}, {} objects, {size}", deletion.block, deletion.why, deletion.objects));
        }
        self.marks.iter().for_each(|mark| page.item("  ", &mark.to_text()));
        for why in &self.stopped {
            page.item("  ", &format!("stopped: retention would mark nothing: {why}"));
        }
    }

    fn left_alone(&self, page: &mut Page) {
        let excluded = self.excluded.by_labels + self.excluded.by_time;
        if self.left_alone.is_empty() && excluded == 0 {
            return;
        }
        page.title("LEFT ALONE, when all that is done");
        // many groups of which the same is said are one line, without figures that differ
        let mut same: BTreeMap<(NotDone, &str), Vec<&LeftAlone>> = BTreeMap::new();
        for left in &self.left_alone {
            same.entry((left.not, left.because.because)).or_default().push(left);
        }
        for ((not, _), all) in same {
            let mut by_why: BTreeMap<&str, Vec<&LeftAlone>> = BTreeMap::new();
            all.iter().for_each(|left| by_why.entry(&left.why).or_default().push(left));
            for (why, all) in by_why {
                print_left(page, not, why, &all);
            }
        }
        let words = [(self.excluded.by_labels, "their labels"), (self.excluded.by_time, "their time")];
        for (count, by) in words.into_iter().filter(|w| w.0 > 0) {
            page.item("  ", &format!("not looked at: {}, excluded by {by}", many(count, "block")));
        }
    }

    fn never(&self, page: &mut Page) {
        if self.never_downsampled.is_empty() {
            return;
        }
        page.title("NEVER DOWNSAMPLED");
        for NeverMade { to_resolution_ms, why, blocks, results_of, .. } in &self.never_downsampled {
            let level = if *to_resolution_ms == 0 { "5m or 1h".to_owned() } else { name(*to_resolution_ms) };
            page.item("  ", &format!("never {level} of {}: {why}", named(blocks, results_of)));
        }
    }

    fn totals(&self, page: &mut Page) {
        let totals = &self.totals;
        page.title("TOTALS");
        let mut jobs = format!(
            "{}, {} in {}, after which {} is left to do",
            many(totals.compactions, "compaction"),
            many(totals.downsamplings, "downsampling"),
            if totals.passes == 1 { "1 pass".to_owned() } else { format!("{} passes", totals.passes) },
            if self.left_alone.iter().any(|l| l.because.because == "waits-for-a-person") {
                "only what waits for a person"
            } else {
                "nothing"
            }
        );
        if self.is_idle() {
            jobs = "nothing to do".to_owned();
        }
        let now = Timestamp::from_millis(self.seen_at_ms);
        page.field("bucket", &format!("{}, {} to work on, looked at {now}", self.bucket, many(totals.blocks, "block")));
        page.field("jobs", &jobs);
        if !self.jobs.is_empty() {
            let time = seconds_text(totals.seconds_estimated).replace('<', "less than ");
            page.field("time", &format!("{time}, estimated, one job after the other"));
            let rates: Vec<String> = self
                .rates
                .iter()
                .map(|rate| {
                    let how = if rate.is_measured { "measured" } else { "assumed" };
                    format!("{} {}/s ({how})", rate.kind.as_str(), size_text(rate.bytes_per_second as u64))
                })
                .collect();
            page.field("rates", &rates.join(", "));
        }
        page.field("reads", &size_text(totals.bytes_read));
        page.field("writes", &format!("{}, estimated", size_text(totals.bytes_written_estimated)));
        page.field("frees", &format!("{} by marks, {} at once", size_text(totals.bytes_marked), size_text(totals.bytes_deleted)));
        page.field("scratch", &scratch_text(totals.scratch_bytes_at_most));
        let looks = format!(
            "{} of them to look at the bucket {}",
            totals.look_requests.all(),
            if totals.looks == 1 { "once".to_owned() } else { format!("{} times", totals.looks) }
        );
        page.field("requests", &format!("{}; {looks}", requests_text(&totals.requests)));
        if let Some(share) = &self.shard {
            page.field("shard", &format!("{}/{}, which is the same as this --selector.relabel-config:", share.index, share.of));
            share.relabel_config.lines().for_each(|line| page.line(&format!("           {line}")));
        }
        if let Some(price) = totals.price {
            let month = totals.price_per_month_change.map_or(String::new(), |change| format!(", then {change:+.4} a month"));
            page.field("price", &format!("{price:.4}{month}"));
        }
    }
}

impl Job {
    fn print(&self, page: &mut Page) {
        let kind = match self.kind {
            JobKind::Compact => "compact",
            JobKind::Downsample => "downsample",
        };
        let from = Timestamp::from_millis(self.min_time_ms).to_string();
        page.line(&format!(
            "{:>4}  {kind:<10}  {:>6}  {:<16}  {:>6}  {:>9}  {:>9}  {:>6}",
            self.number,
            self.blocks.len() + self.results_of.len(),
            from.get(..16).unwrap_or(&from),
            length_text(self.max_time_ms.saturating_sub(self.min_time_ms)),
            size_text(self.bytes_read),
            size_text(self.bytes_written_estimated),
            seconds_text(self.seconds_estimated),
        ));
        page.field("  group", &format!("{} {}", name(self.resolution_ms), self.labels));
        let instead = match self.in_place_of {
            0 | 1 => String::new(),
            n => format!("; instead of {n} compactions, whose blocks in between are not written"),
        };
        page.field("  why", &format!("{}{instead}", self.why));
        let makes: Vec<String> =
            self.makes.iter().map(|m| format!("{} of about {}", name(m.resolution_ms), size_text(m.bytes_estimated))).collect();
        page.field("  makes", &if makes.is_empty() { "nothing: there are no samples".to_owned() } else { makes.join(", ") });
        let price = self.price.map_or(String::new(), |price| format!("; price {price:.4}"));
        page.field(
            "  asks",
            &format!("{}; scratch {}{price}", requests_text(&self.requests), scratch_text(self.scratch_bytes_at_most)),
        );
        page.field("  blocks", &named(&self.blocks, &self.results_of));
    }
}

impl Mark {
    fn to_text(&self) -> String {
        let which = match (self.which.block, self.which.result_of) {
            (Some(block), _) => block.to_string(),
            (None, job) => format!("the {} block of job {}", name(self.resolution_ms), job.unwrap_or_default()),
        };
        match (self.mark, self.because) {
            (MarkKind::NoCompact, reason) => format!("mark {which} no-compact: {reason}, {}", self.why),
            (MarkKind::Deletion, "expired") => {
                let lost = self.lost.as_ref().map_or(String::new(), |why| format!("; its samples are lost: {why}"));
                format!("expire {which}: {}{lost}", self.why)
            }
            (MarkKind::Deletion, _) => format!("mark {which} for deletion: {}", self.why),
        }
    }
}

/// One reason, of one group or of many.
fn print_left(page: &mut Page, not: NotDone, why: &str, all: &[&LeftAlone]) {
    let what = match not {
        NotDone::LookedAt => "not looked at",
        NotDone::Compacted => "not compacted",
        NotDone::Downsampled => "not downsampled",
        NotDone::Expired => "not expired",
        NotDone::Deleted => "not deleted",
    };
    if all.len() > GROUPS_NAMED {
        let blocks: usize = all.iter().map(|l| l.blocks.len() + l.results_of.len()).sum();
        let bytes = all.iter().map(|l| l.bytes).fold(0, u64::saturating_add);
        let groups = if all[0].group.is_empty() { String::new() } else { format!(" of {} groups", all.len()) };
        return page.item("  ", &format!("{what}: {}{groups}, {}: {why}", many(blocks, "block"), size_text(bytes)));
    }
    for left in all {
        let of = if left.group.is_empty() { String::new() } else { format!(" of {} {}", name(left.resolution_ms), left.labels) };
        let (which, size) = (named(&left.blocks, &left.results_of), size_text(left.bytes));
        page.item("  ", &format!("{what}: {which}{of}, {size}: {why}"));
    }
}

/// A page of lines that are broken between words.
struct Page {
    out: String,
    width: usize,
}

impl Page {
    fn title(&mut self, title: &str) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        self.line(title);
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    /// A name and what it is, the following lines below what it is.
    fn field(&mut self, name: &str, text: &str) {
        let indent = if name.starts_with(' ') { 14 } else { 11 };
        let name = if name.starts_with(' ') { format!("    {name}") } else { format!("  {name}") };
        self.wrapped(&format!("{name:<indent$}"), text, indent);
    }

    /// Text behind `lead`, the following lines a little further in.
    fn item(&mut self, lead: &str, text: &str) {
        self.wrapped(lead, text, lead.chars().count() + 2);
    }

    fn wrapped(&mut self, lead: &str, text: &str, indent: usize) {
        let mut line = lead.to_owned();
        let (mut columns, mut is_empty) = (lead.chars().count(), true);
        for word in text.split_whitespace() {
            let len = word.chars().count();
            if !is_empty && columns + 1 + len > self.width {
                self.line(&line);
                line = " ".repeat(indent);
                (columns, is_empty) = (indent, true);
            }
            if !is_empty {
                line.push(' ');
                columns += 1;
            }
            line.push_str(word);
            (columns, is_empty) = (columns + len, false);
        }
        self.line(&line);
    }
}

/// Blocks and results of jobs, the first few by name.
fn named(blocks: &[BlockId], results_of: &[usize]) -> String {
    let mut text: Vec<String> = blocks.iter().take(BLOCKS_NAMED).map(ToString::to_string).collect();
    if blocks.len() > BLOCKS_NAMED {
        text.push(format!("and {} more", blocks.len() - BLOCKS_NAMED));
    }
    if !results_of.is_empty() {
        let jobs: Vec<String> = results_of.iter().take(BLOCKS_NAMED).map(ToString::to_string).collect();
        let more = results_of.len().saturating_sub(BLOCKS_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let and = if text.is_empty() { "" } else { "and " };
        let (what, which) = if results_of.len() == 1 { ("result", "job") } else { ("results", "jobs") };
        text.push(format!("{and}the {what} of {which} {}{more}", jobs.join(" ")));
    }
    text.join(" ")
}

fn many(count: usize, one: &str) -> String {
    let (count, s) = (count as u64, if count == 1 { "" } else { "s" });
    format!("{count} {one}{s}")
}

fn requests_text(requests: &Requests) -> String {
    let Requests { list, get, head, put, delete } = *requests;
    let all = [(get, "GET"), (head, "HEAD"), (put, "PUT"), (list, "LIST"), (delete, "DELETE")];
    let mut text = String::new();
    for (count, kind) in all.into_iter().filter(|kind| kind.0 > 0) {
        let comma = if text.is_empty() { "" } else { ", " };
        // writing to a string does not fail
        let _ = write!(text, "{comma}{count} {kind}");
    }
    text
}

fn scratch_text(bytes: u64) -> String {
    if bytes == 0 { "none".to_owned() } else { format!("{} at most", size_text(bytes)) }
}

/// A length of time in its two largest units.
fn length_text(length: Millis) -> String {
    let day = 86_400_000;
    let rounded = match length {
        n if n >= day => n - n % 3_600_000,
        n if n >= 3_600_000 => n - n % 60_000,
        n => n,
    };
    duration_text(rounded)
}

fn seconds_text(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => "<1s".to_owned(),
        s if s >= 3600.0 => length_text((s / 60.0).round() as Millis * 60_000),
        s => duration_text(s.round() as Millis * 1000),
    }
}
