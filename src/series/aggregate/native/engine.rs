//! Reads chunks of histograms, sample by sample, and ends windows and batches where they end.
//!
//! A batch is summed in rows while its histograms are alike; the first that is not makes it begin again,
//! one at a time.

use super::batch::Ends;
use super::exact::{self, Exact};
use super::plain::Plain;
use super::rows::Rows;
use super::{Batch, Had, Kind, MOST_CELLS, Plan, Want};
use crate::format::Malformed;
use crate::format::chunk::{Aggregate, AggregateKind, Columns, Encoding, FloatSamples, decode_columns};
use crate::model::{Millis, is_stale};
use crate::series::aggregate::AggregateChunks;
use crate::series::aggregate::window::window_end;
use crate::series::begins_anew;

/// Where a batch begins, to begin it again.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    chunk: usize,
    /// Samples of the chunk before it, of those that count.
    sample: usize,
    before: Option<(Millis, Millis)>,
    /// Windows of batches before it.
    windows: Ends,
}

/// Reads chunks of histograms and makes their windows.
#[derive(Clone, Debug, Default)]
pub(super) struct Engine {
    columns: Columns,
    rows: Rows,
    batch: Batch,
    plain: Plain,
    exact: Vec<Exact>,
    /// Whether the batch is made sample by sample.
    is_exact: bool,
    /// Whether every batch is: tests compare.
    pub(super) only_exact: bool,
    /// Whether the batch is one of custom buckets; `None` before its first sample.
    is_custom: Option<bool>,
    is_gauge: bool,
    mark: Mark,
    /// Start and time of the last sample.
    before: Option<(Millis, Millis)>,
    /// Samples of the batch, those without a number too.
    taken: usize,
    /// The end of the last window of the batch, once it has its samples.
    batch_end: Millis,
    window_end: Millis,
    /// Time of the last sample of the batch that has a number.
    last_time: Millis,
}

/// What to do with the next sample.
enum Next {
    Taken,
    /// The batch has to be made again, sample by sample.
    Again,
}

impl Engine {
    /// Makes coarser windows of these chunks, all of custom buckets or none.
    pub(super) fn coarser(
        &mut self,
        chunks: &[Aggregate<'_>],
        resolution: Millis,
        out: &mut AggregateChunks,
    ) -> Result<(), Malformed> {
        let slices = |kind| chunks.iter().filter_map(|chunk| chunk.get(kind)).collect::<Vec<_>>();
        let plan = Plan { len: usize::MAX, is_raw: false };
        let counters = Want { counters: true, ..Want::default() };
        self.run(&slices(AggregateKind::Counter), plan, counters, resolution, out)?;
        let sums = Want { sums: true, ..Want::default() };
        self.run(&slices(AggregateKind::Sum), plan, sums, resolution, out)?;
        self.counts(&slices(AggregateKind::Count), resolution)?;
        self.batch.windows.encode(out)
    }

    /// Makes the windows of all samples of `chunks`; what those were.
    pub(super) fn run(
        &mut self,
        chunks: &[(Encoding, &[u8])],
        plan: Plan,
        want: Want,
        resolution: Millis,
        out: &mut AggregateChunks,
    ) -> Result<Had, Malformed> {
        (self.batch.resolution, self.batch.want) = (resolution, want);
        if want.counts || want.counters {
            // the first of the runs whose windows go together
            self.batch.windows.truncate([0; 3]);
        }
        self.before = None;
        self.begin(Mark { windows: self.batch.windows.lens(), ..Mark::default() });
        let (mut had, mut counted) = (Had::default(), 0);
        let (mut at, mut skip) = (0, 0);
        'chunks: while let Some(&(encoding, data)) = chunks.get(at) {
            decode_columns(encoding, data, &mut self.columns)?;
            self.rows.load(&self.columns)?;
            if counted == at {
                had.count(&self.rows);
                counted += 1;
            }
            let mut begun = false;
            self.rows.is_first = true;
            for sample in 0..self.rows.kept.len() {
                if sample < skip {
                    self.pass(sample, plan);
                    continue;
                }
                if self.ends_before(sample, plan) {
                    self.end(plan, out)?;
                    self.begin(Mark { chunk: at, sample, before: self.before, windows: self.batch.windows.lens() });
                    begun = false;
                }
                if let Next::Again = self.take(sample, plan, &mut begun) {
                    let Mark { chunk, sample, before, windows } = self.mark;
                    (at, skip, self.before) = (chunk, sample, before);
                    self.batch.windows.truncate(windows);
                    self.begin(self.mark);
                    self.is_exact = true;
                    continue 'chunks;
                }
            }
            at += 1;
            skip = 0;
        }
        self.end(plan, out)?;
        Ok(had)
    }

    fn begin(&mut self, mark: Mark) {
        self.mark = mark;
        (self.is_exact, self.is_custom) = (self.only_exact, None);
        (self.taken, self.batch_end) = (0, Millis::MAX);
        self.plain.clear();
        self.exact.clear();
    }

    /// Whether the batch ends before this sample.
    fn ends_before(&self, sample: usize, plan: Plan) -> bool {
        let time = self.rows.times[self.rows.kept[sample]];
        let is_full = plan.is_raw && !self.is_exact && self.batch.windows.cells() > MOST_CELLS && time > self.window_end;
        self.taken > 0
            && (time > self.batch_end || is_full || self.is_custom.is_some_and(|custom| custom != self.rows.is_custom()))
    }

    /// Goes over a sample of the batch before.
    fn pass(&mut self, sample: usize, plan: Plan) {
        let row = self.rows.kept[sample];
        if !(plan.is_raw && self.rows.sums[row].is_nan()) {
            self.rows.is_first = false;
        }
    }

    /// Takes a sample into the batch.
    fn take(&mut self, sample: usize, plan: Plan, begun: &mut bool) -> Next {
        let row = self.rows.kept[sample];
        let time = self.rows.times[row];
        self.taken += 1;
        if self.taken == plan.len {
            self.batch_end = window_end(time, self.batch.resolution);
        }
        if plan.is_raw && self.rows.sums[row].is_nan() {
            return Next::Taken;
        }
        let at = (self.rows.start(row), time);
        let anew = self.before.is_some_and(|before| begins_anew(before, at));
        let kind = self.rows.kind(anew);
        self.before = Some(at);
        self.is_custom = Some(self.rows.is_custom());
        if self.is_exact {
            self.exact.push(Exact { time, histogram: self.rows.histogram(&self.columns, row, kind) });
            return Next::Taken;
        }
        let gauge = kind == Kind::Gauge;
        let is_odd = !self.rows.read(&self.columns, row);
        if !self.plain.is_begun() {
            (self.is_gauge, self.window_end) = (gauge, Millis::MIN);
            *begun = true;
        } else if gauge != self.is_gauge || time < self.last_time || (!*begun && !self.plain.is_like(&self.rows.shape)) {
            return Next::Again;
        }
        if is_odd {
            return Next::Again;
        }
        if time > self.window_end {
            self.plain.close(self.window_end, &mut self.batch, gauge);
            self.window_end = window_end(time, self.batch.resolution);
        }
        if !*begun {
            self.plain.enter(&self.rows.shape, self.batch.want);
            *begun = true;
        }
        self.last_time = time;
        self.plain.add(kind, &self.rows.shape, self.rows.numbers, &self.rows.buckets, self.batch.want.counters);
        Next::Taken
    }

    /// Ends the batch.
    fn end(&mut self, plan: Plan, out: &mut AggregateChunks) -> Result<(), Malformed> {
        if self.is_exact {
            let exact = std::mem::take(&mut self.exact);
            let done = exact::windows(&exact, plan.is_raw, &mut self.batch);
            self.exact = exact;
            done?;
        } else {
            self.plain.close(self.window_end.min(self.last_time), &mut self.batch, self.is_gauge);
        }
        if plan.is_raw { self.batch.windows.encode(out) } else { Ok(()) }
    }

    /// Adds up the counts of windows.
    fn counts(&mut self, chunks: &[(Encoding, &[u8])], resolution: Millis) -> Result<(), Malformed> {
        let mut kept: Vec<(Millis, f64)> = Vec::new();
        for &(encoding, data) in chunks {
            let mut samples = FloatSamples::new(encoding, data)?;
            let mut last = 0;
            while samples.advance()? {
                if !is_stale(samples.value()) && samples.time() >= last {
                    last = samples.time();
                    kept.push((last, samples.value()));
                }
            }
        }
        let Some(&(last, _)) = kept.last() else { return Ok(()) };
        let mut open: Option<(Millis, f64)> = None;
        for (time, value) in kept {
            open = Some(match open {
                Some((end, sum)) if time <= end => (end, sum + value),
                before => {
                    before.into_iter().for_each(|(end, sum)| self.batch.windows.counts.push(end, sum));
                    (window_end(time, resolution).min(last), value)
                }
            });
        }
        open.into_iter().for_each(|(end, sum)| self.batch.windows.counts.push(end, sum));
        Ok(())
    }
}

impl Had {
    fn count(&mut self, rows: &Rows) {
        let (Some(&first), Some(&last)) = (rows.kept.first(), rows.kept.last()) else { return };
        if self.samples == 0 {
            self.range.0 = rows.times[first];
        }
        self.range.1 = rows.times[last];
        self.samples += rows.kept.len();
    }
}
