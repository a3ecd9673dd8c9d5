//! Windows of histograms that differ in schema, zero threshold, bounds or kind, or have odd values:
//! one at a time, by the arithmetic of histograms.

use super::lane::Numbers;
use super::shape::Shape;
use super::{Batch, MOST_CELLS};
use crate::format::Malformed;
use crate::model::{FloatHistogram, Millis, ResetHint};
use crate::series::aggregate::window::window_end;

/// A histogram of a batch; its hint says reset where a reset is known.
#[derive(Clone, Debug)]
pub(super) struct Exact {
    pub(super) time: Millis,
    pub(super) histogram: FloatHistogram,
}

/// What the samples so far became.
#[derive(Default)]
struct Totals {
    count: usize,
    sum: Option<FloatHistogram>,
    counter: Option<FloatHistogram>,
    previous: Option<FloatHistogram>,
}

/// Makes the windows of these samples, all of exponential or all of custom buckets.
///
/// `counts_as_gauge` says that all are gauges if the first one is.
pub(super) fn windows(samples: &[Exact], counts_as_gauge: bool, batch: &mut Batch) -> Result<(), Malformed> {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return Ok(()) };
    let schema = samples.iter().map(|sample| sample.histogram.schema).min().unwrap_or_default();
    let gauge = counts_as_gauge && first.histogram.reset_hint == ResetHint::Gauge;
    let mut totals = Totals::default();
    let mut end: Option<Millis> = None;
    for sample in samples {
        if end.is_none_or(|end| sample.time > end) {
            if let Some(end) = end {
                totals.close(end, gauge, batch);
            }
            end = Some(window_end(sample.time, batch.resolution).min(last.time));
        }
        totals.add(&sample.histogram, schema).map_err(|e| Malformed::new("chunk", 0, e.to_string()))?;
    }
    if let Some(end) = end {
        totals.close(end, gauge, batch);
    }
    Ok(())
}

impl Totals {
    fn add(&mut self, histogram: &FloatHistogram, schema: i32) -> Result<(), crate::model::OtherBuckets> {
        let coarse = (histogram.schema > schema).then(|| histogram.copy_to_schema(schema));
        let now = coarse.as_ref().unwrap_or(histogram);
        match (&mut self.counter, &self.previous) {
            (Some(counter), Some(previous)) => {
                // finer buckets than before are a sign too, so that the histogram is asked as it was
                if now.reset_hint != ResetHint::Gauge && histogram.detect_reset(previous) {
                    counter.add(now)?;
                } else {
                    let mut step = now.clone();
                    step.sub(previous)?;
                    counter.add(&step)?;
                }
            }
            _ => self.counter = Some(now.clone()),
        }
        match &mut self.sum {
            Some(sum) => {
                sum.add(now)?;
            }
            None => self.sum = Some(now.clone()),
        }
        self.count += 1;
        self.previous = Some(now.clone());
        Ok(())
    }

    /// Ends the window.
    fn close(&mut self, time: Millis, gauge: bool, batch: &mut Batch) {
        let count = std::mem::take(&mut self.count);
        let (Some(sum), Some(counter)) = (self.sum.take(), &mut self.counter) else { return };
        if batch.want.sums {
            let (shape, numbers, buckets) = parts(&sum);
            batch.windows.sums.push(time, &shape, numbers, &buckets, true);
        }
        if batch.want.counters {
            if gauge {
                counter.reset_hint = ResetHint::Gauge;
            }
            let (shape, numbers, buckets) = parts(counter);
            batch.windows.counters.push(time, &shape, numbers, &buckets, counter.reset_hint == ResetHint::Gauge);
        }
        if batch.want.counts {
            batch.windows.counts.push(time, count as f64);
        }
        if batch.windows.cells() > MOST_CELLS {
            // hostile: the counter begins anew, with only the buckets that come
            (self.counter, self.previous) = (None, None);
        }
    }
}

/// A histogram as a row.
fn parts(histogram: &FloatHistogram) -> (Shape, Numbers, Vec<f64>) {
    let mut shape = Shape::default();
    shape.set(histogram);
    let numbers = Numbers { count: histogram.count, zero_count: histogram.zero_count, sum: histogram.sum };
    (shape, numbers, [&histogram.positive_buckets[..], &histogram.negative_buckets].concat())
}
