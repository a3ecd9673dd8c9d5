//! Whether a counter was reset in between.

use super::add::Sign;
use super::bounds::{exponential_bound, is_exponential};
use super::custom::{add_to_common, common_bounds};
use super::reduce::coarser_index;
use super::spans::span_indices;
use super::{BucketSpan, FloatHistogram, ResetHint};

impl FloatHistogram {
    /// Whether the counter was reset between `previous` and this one: its hint says so, or any count is
    /// less, or a bucket with observations is gone, or there are finer buckets than before.
    ///
    /// A gauge is compared as if it were a counter.
    pub fn detect_reset(&self, previous: &FloatHistogram) -> bool {
        match self.reset_hint {
            ResetHint::Reset => return true,
            ResetHint::NotReset => return false,
            ResetHint::Unknown | ResetHint::Gauge => {}
        }
        if self.count < previous.count {
            return true;
        }
        if self.uses_custom_buckets() {
            if !previous.uses_custom_buckets() {
                return true;
            }
            if self.custom_values != previous.custom_values {
                return self.lost_at_common_bounds(previous);
            }
        }
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        let (zero_count, threshold) = previous.zero_count_at(self.zero_threshold);
        if threshold != self.zero_threshold || self.zero_count < zero_count {
            return true;
        }
        let levels = previous.schema.abs_diff(self.schema);
        let lost = |spans: &[BucketSpan], buckets: &[f64], old_spans: &[BucketSpan], old_buckets: &[f64]| {
            let new = self.beyond_zero(span_indices(spans).zip(buckets.iter().copied()));
            let old = self.beyond_zero(joined(old_spans, old_buckets, levels));
            lost_bucket(new, old)
        };
        lost(&self.positive_spans, &self.positive_buckets, &previous.positive_spans, &previous.positive_buckets)
            || lost(&self.negative_spans, &self.negative_buckets, &previous.negative_spans, &previous.negative_buckets)
    }

    /// The buckets, of this histogram's schema, without leading ones that end within its zero bucket.
    fn beyond_zero(&self, buckets: impl Iterator<Item = (i64, f64)>) -> impl Iterator<Item = (i64, f64)> {
        let compares = self.zero_threshold != 0.0 && is_exponential(self.schema);
        buckets.skip_while(move |&(index, _)| compares && exponential_bound(index, self.schema) <= self.zero_threshold)
    }

    /// Whether any count is less up to the bounds that both have.
    fn lost_at_common_bounds(&self, previous: &FloatHistogram) -> bool {
        let common = common_bounds(&self.custom_values, &previous.custom_values);
        let [new, old] = [self, previous].map(|histogram| {
            let mut counts = vec![0.0; common.len() + 1];
            add_to_common(&mut counts, histogram, &common, Sign::Plus);
            counts
        });
        new.iter().zip(&old).any(|(new, old)| new < old)
    }
}

/// Buckets `levels` schemas coarser.
fn joined(spans: &[BucketSpan], buckets: &[f64], levels: u32) -> impl Iterator<Item = (i64, f64)> {
    let mut fine = span_indices(spans).map(move |index| if levels == 0 { index } else { coarser_index(index, levels) });
    let mut counts = buckets.iter().copied();
    let mut ahead = None;
    std::iter::from_fn(move || {
        let mut next = || fine.next().zip(counts.next());
        let (index, mut count) = ahead.take().or_else(&mut next)?;
        loop {
            match next() {
                Some((same, more)) if same == index => count += more,
                other => {
                    ahead = other;
                    return Some((index, count));
                }
            }
        }
    })
}

/// Whether a bucket of `old` has less in `new`, or has observations and is not there.
fn lost_bucket(mut new: impl Iterator<Item = (i64, f64)>, old: impl Iterator<Item = (i64, f64)>) -> bool {
    let mut at = new.next();
    for (index, count) in old {
        while at.is_some_and(|(new_index, _)| new_index < index) {
            at = new.next();
        }
        let lost = match at {
            Some((new_index, new_count)) if new_index == index => new_count < count,
            _ => count != 0.0,
        };
        if lost {
            return true;
        }
    }
    false
}
