//! Custom buckets whose bounds differ.

use super::FloatHistogram;
use super::add::Sign;
use super::spans::{push_index, span_indices};

/// The bounds that both have; both ascend.
pub(super) fn common_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut common = Vec::new();
    while let (Some(&&x), Some(&&y)) = (a.peek(), b.peek()) {
        if x == y {
            common.push(x);
            b.next();
            a.next();
        } else if x < y {
            a.next();
        } else {
            b.next();
        }
    }
    common
}

/// Adds the buckets of `from` to those that end at `common` bounds, of which its own bounds have all;
/// `to` has one more, up to infinity.
pub(super) fn add_to_common(to: &mut [f64], from: &FloatHistogram, common: &[f64], sign: Sign) {
    let last = common.len();
    let mut target = 0;
    for (index, &count) in span_indices(&from.positive_spans).zip(&from.positive_buckets) {
        let own = usize::try_from(index).ok().and_then(|index| from.custom_values.get(index));
        let at = match own {
            None => last,
            Some(&own) => {
                while target < last && common[target] < own {
                    target += 1;
                }
                target
            }
        };
        to[at] += sign.of(count);
    }
}

/// Adds buckets of other bounds; what is left has `common` bounds, and no empty buckets.
pub(super) fn add_with_other_bounds(to: &mut FloatHistogram, other: &FloatHistogram, sign: Sign, common: &[f64]) {
    let mut all = vec![0.0; common.len() + 1];
    add_to_common(&mut all, to, common, Sign::Plus);
    add_to_common(&mut all, other, common, sign);
    to.positive_spans.clear();
    to.positive_buckets.clear();
    let mut end = None;
    for (index, &count) in all.iter().enumerate().filter(|(_, count)| **count != 0.0) {
        push_index(&mut to.positive_spans, &mut end, index as i64);
        to.positive_buckets.push(count);
    }
}
