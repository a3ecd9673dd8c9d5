//! The zero bucket, and how two of different width become one.

use super::FloatHistogram;
use super::bounds::exponential_bound;
use super::spans::span_indices;

impl FloatHistogram {
    /// What the zero count would be with a wider threshold, and that threshold: where it would cut
    /// through a bucket that has observations, it is the end of that bucket.
    pub(super) fn zero_count_at(&self, wider: f64) -> (f64, f64) {
        let mut threshold = wider;
        if threshold == self.zero_threshold {
            return (self.zero_count, threshold);
        }
        'again: loop {
            let mut count = self.zero_count;
            for (side, spans, buckets) in
                [(0, &self.positive_spans, &self.positive_buckets), (1, &self.negative_spans, &self.negative_buckets)]
            {
                for (index, &bucket) in span_indices(spans).zip(buckets) {
                    if exponential_bound(index - 1, self.schema) >= threshold {
                        break;
                    }
                    count += bucket;
                    let end = exponential_bound(index, self.schema);
                    if end > threshold {
                        if bucket != 0.0 {
                            threshold = end;
                            if side == 1 {
                                // more of the other side falls within now
                                continue 'again;
                            }
                        }
                        break;
                    }
                }
            }
            return (count, threshold);
        }
    }

    /// Empties the buckets within the zero bucket, whose observations are in its count already.
    fn trim_zero_bucket(&mut self) {
        for (spans, buckets) in
            [(&self.positive_spans, &mut self.positive_buckets), (&self.negative_spans, &mut self.negative_buckets)]
        {
            for (index, bucket) in span_indices(spans).zip(buckets) {
                if exponential_bound(index - 1, self.schema) >= self.zero_threshold {
                    break;
                }
                *bucket = 0.0;
            }
        }
        self.compact();
    }

    /// Widens the zero bucket until it holds that of `other` and cuts through no bucket of either; what
    /// the zero count of `other` would be then.
    pub(super) fn reconcile_zero_buckets(&mut self, other: &FloatHistogram) -> f64 {
        let (mut count, mut threshold) = (other.zero_count, other.zero_threshold);
        // both only grow, from end of bucket to end of bucket; thresholds that do not compare stay
        while let Some(order) = threshold.partial_cmp(&self.zero_threshold).filter(|order| order.is_ne()) {
            if order.is_lt() {
                (count, threshold) = other.zero_count_at(self.zero_threshold);
            }
            if threshold > self.zero_threshold {
                (self.zero_count, self.zero_threshold) = self.zero_count_at(threshold);
                self.trim_zero_bucket();
            }
        }
        count
    }
}
