//! Sums and differences.

use super::bounds::{exponential_bound, is_exponential};
use super::custom::{add_with_other_bounds, common_bounds};
use super::reduce::reduced;
use super::spans::{Place, merge_spans, span_indices};
use super::{BucketSpan, FloatHistogram, ResetHint};

/// What a sum had to leave out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// One side said that it was reset, the other that it was not; the sum says nothing.
    pub hints_collide: bool,
    /// The custom bounds differed: only those that both have are left.
    pub bounds_differ: bool,
}

/// One histogram has custom bounds, the other has not: they have no sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherBuckets;

impl std::fmt::Display for OtherBuckets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("histograms with custom and with exponential buckets have no sum")
    }
}

impl std::error::Error for OtherBuckets {}

/// Whether the other one is added or taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Plus,
    Minus,
}

impl Sign {
    pub(super) fn of(self, count: f64) -> f64 {
        match self {
            Sign::Plus => count,
            Sign::Minus => -count,
        }
    }
}

impl FloatHistogram {
    /// Adds `other`, bucket by bucket; buckets that are lacking are inserted.
    ///
    /// The coarser schema and the wider zero bucket win; different custom bounds leave those that both
    /// have. The sum is a gauge if one side is.
    ///
    /// # Errors
    /// [`OtherBuckets`]; nothing is changed.
    pub fn add(&mut self, other: &FloatHistogram) -> Result<Added, OtherBuckets> {
        self.combine(other, Sign::Plus)
    }

    /// Takes `other` away, in the manner of [`FloatHistogram::add`].
    ///
    /// # Errors
    /// [`OtherBuckets`]; nothing is changed.
    pub fn sub(&mut self, other: &FloatHistogram) -> Result<Added, OtherBuckets> {
        self.combine(other, Sign::Minus)
    }

    fn combine(&mut self, other: &FloatHistogram, sign: Sign) -> Result<Added, OtherBuckets> {
        if self.uses_custom_buckets() != other.uses_custom_buckets() {
            return Err(OtherBuckets);
        }
        let mut added = Added { hints_collide: self.adjust_hint(other.reset_hint), bounds_differ: false };
        if !self.uses_custom_buckets() {
            let zero_count = self.reconcile_zero_buckets(other);
            self.zero_count += sign.of(zero_count);
        }
        self.count += sign.of(other.count);
        self.sum += sign.of(other.sum);
        if self.uses_custom_buckets() && self.custom_values != other.custom_values {
            added.bounds_differ = true;
            let common = common_bounds(&self.custom_values, &other.custom_values);
            add_with_other_bounds(self, other, sign, &common);
            self.custom_values = common;
            return Ok(added);
        }
        self.reduce_to(other.schema);
        let skip = is_exponential(self.schema).then_some((self.schema, self.zero_threshold));
        let levels = (other.schema > self.schema).then(|| other.schema.abs_diff(self.schema));
        for (spans, buckets, other_spans, other_buckets) in [
            (&mut self.positive_spans, &mut self.positive_buckets, &other.positive_spans, &other.positive_buckets),
            (&mut self.negative_spans, &mut self.negative_buckets, &other.negative_spans, &other.negative_buckets),
        ] {
            match levels {
                None => add_buckets(spans, buckets, other_spans, other_buckets, sign, skip),
                Some(levels) => {
                    let (other_spans, other_buckets) = reduced(other_spans, other_buckets, levels);
                    add_buckets(spans, buckets, &other_spans, &other_buckets, sign, skip);
                }
            }
        }
        Ok(added)
    }

    /// What is known of a reset once a histogram with `other` was added; whether the two contradict.
    fn adjust_hint(&mut self, other: ResetHint) -> bool {
        use ResetHint::{Gauge, Unknown};
        match (self.reset_hint, other) {
            (own, other) if own == other => {}
            (Gauge, _) | (_, Gauge) => self.reset_hint = Gauge,
            (Unknown, _) | (_, Unknown) => self.reset_hint = Unknown,
            _ => {
                self.reset_hint = Unknown;
                return true;
            }
        }
        false
    }
}

/// Adds `other_buckets` to `buckets`; leading ones that end within the zero bucket are left out: `skip`
/// names schema and threshold, where they are compared at all.
fn add_buckets(
    spans: &mut Vec<BucketSpan>,
    buckets: &mut Vec<f64>,
    other_spans: &[BucketSpan],
    other_buckets: &[f64],
    sign: Sign,
    skip: Option<(i32, f64)>,
) {
    let others = span_indices(other_spans).zip(other_buckets);
    let mut others =
        others.skip_while(|&(index, _)| skip.is_some_and(|(schema, threshold)| exponential_bound(index, schema) <= threshold));
    let mut counts = others.clone().map(|(_, &count)| sign.of(count));
    merge_spans(spans, others.by_ref().map(|(index, _)| index), |place| {
        let count = counts.next().unwrap_or_default();
        match place {
            Place::Found(at) => buckets[at] += count,
            Place::New(at) => buckets.insert(at, count),
        }
    });
}
