//! Windows of histograms that are alike: same schema, zero threshold and bounds, all counters or all
//! gauges. They are summed bucket by bucket, and buckets are looked up only where spans change.

use super::lane::Numbers;
use super::shape::{Shape, spread};
use super::{Batch, Kind, Want};
use crate::model::Millis;

/// A histogram whose buckets are in one row, positive ones first.
#[derive(Clone, Debug, Default)]
struct Row {
    shape: Shape,
    numbers: Numbers,
    buckets: Vec<f64>,
}

/// How buckets of the chunk at hand lie in a row; `None` as they are.
type Map = Option<Vec<usize>>;

/// The window that is open, and the counter over the batch.
#[derive(Clone, Debug, Default)]
pub(super) struct Plain {
    /// Samples of the window that is open; 0 where none is.
    in_window: usize,
    sum: Row,
    sum_map: Map,
    /// Whether the batch has a sample.
    is_begun: bool,
    counter: Row,
    counter_map: Map,
    /// The sample before, with the buckets of the counter.
    previous: Vec<f64>,
    previous_numbers: Numbers,
    spread: Vec<f64>,
}

impl Plain {
    pub(super) fn clear(&mut self) {
        (self.in_window, self.is_begun) = (0, false);
    }

    pub(super) fn is_begun(&self) -> bool {
        self.is_begun
    }

    /// Whether histograms of `shape` can follow in this batch.
    pub(super) fn is_like(&self, shape: &Shape) -> bool {
        self.counter.shape.is_like(shape)
    }

    /// Histograms of `shape` follow.
    pub(super) fn enter(&mut self, shape: &Shape, want: Want) {
        if self.in_window > 0 {
            let placed = self.sum.shape.take_in(shape);
            if let Some(places) = &placed.own {
                widen(&mut self.sum.buckets, places, self.sum.shape.width(), &mut self.spread);
            }
            self.sum_map = placed.other;
        }
        if !want.counters {
            return;
        }
        let placed = self.counter.shape.take_in(shape);
        if let Some(places) = &placed.own {
            let width = self.counter.shape.width();
            widen(&mut self.counter.buckets, places, width, &mut self.spread);
            widen(&mut self.previous, places, width, &mut self.spread);
        }
        self.counter_map = placed.other;
    }

    /// Adds a sample of the chunk that was entered, or of `shape` as the first one of the batch; to the
    /// counter only if that `counts`.
    pub(super) fn add(&mut self, kind: Kind, shape: &Shape, numbers: Numbers, buckets: &[f64], counts: bool) {
        if self.in_window == 0 {
            self.sum.shape.copy(shape);
            self.sum_map = None;
            self.sum.numbers = numbers;
            self.sum.buckets.clear();
            self.sum.buckets.extend_from_slice(buckets);
        } else {
            add_numbers(&mut self.sum.numbers, numbers);
            match &self.sum_map {
                None => self.sum.buckets.iter_mut().zip(buckets).for_each(|(sum, count)| *sum += count),
                Some(places) => places.iter().zip(buckets).for_each(|(&at, count)| self.sum.buckets[at] += count),
            }
        }
        self.in_window += 1;
        if !self.is_begun {
            self.is_begun = true;
            self.counter.shape.copy(shape);
            self.counter_map = None;
            self.counter.numbers = numbers;
            self.counter.buckets.clear();
            self.counter.buckets.extend_from_slice(buckets);
            self.previous.clear();
            self.previous.extend_from_slice(buckets);
            self.previous_numbers = numbers;
            return;
        }
        if !counts {
            return;
        }
        let reset = match kind {
            Kind::Gauge | Kind::Follows => false,
            Kind::Begins => true,
            Kind::Unknown => self.detect_reset(numbers, buckets),
        };
        let now = match &self.counter_map {
            None => buckets,
            Some(places) => {
                spread(buckets, places, self.counter.buckets.len(), &mut self.spread);
                &self.spread
            }
        };
        if reset {
            add_numbers(&mut self.counter.numbers, numbers);
            self.counter.buckets.iter_mut().zip(now).for_each(|(counter, now)| *counter += now);
        } else {
            let before = self.previous_numbers;
            let counter = &mut self.counter.numbers;
            counter.count += numbers.count - before.count;
            counter.zero_count += numbers.zero_count - before.zero_count;
            counter.sum += numbers.sum - before.sum;
            let counters = self.counter.buckets.iter_mut().zip(now).zip(&self.previous);
            counters.for_each(|((counter, now), before)| *counter += now - before);
        }
        self.previous.clear();
        self.previous.extend_from_slice(now);
        self.previous_numbers = numbers;
    }

    /// Whether any count is less than in the sample before, or a bucket with observations is gone.
    fn detect_reset(&self, numbers: Numbers, buckets: &[f64]) -> bool {
        let before = self.previous_numbers;
        if numbers.count < before.count || numbers.zero_count < before.zero_count {
            return true;
        }
        let Some(places) = &self.counter_map else {
            return buckets.iter().zip(&self.previous).any(|(now, before)| now < before);
        };
        let mut now = places.iter().zip(buckets).peekable();
        self.previous.iter().enumerate().any(|(at, before)| match now.next_if(|(place, _)| **place == at) {
            Some((_, now)) => now < before,
            None => *before != 0.0,
        })
    }

    /// Ends the window that is open, if one is.
    pub(super) fn close(&mut self, time: Millis, batch: &mut Batch, gauge: bool) {
        if self.in_window == 0 {
            return;
        }
        if batch.want.sums {
            batch.windows.sums.push(time, &self.sum.shape, self.sum.numbers, &self.sum.buckets, true);
        }
        if batch.want.counters {
            batch.windows.counters.push(time, &self.counter.shape, self.counter.numbers, &self.counter.buckets, gauge);
        }
        if batch.want.counts {
            batch.windows.counts.push(time, self.in_window as f64);
        }
        self.in_window = 0;
    }
}

fn add_numbers(to: &mut Numbers, numbers: Numbers) {
    to.count += numbers.count;
    to.zero_count += numbers.zero_count;
    to.sum += numbers.sum;
}

/// Makes room for buckets that came in.
fn widen(buckets: &mut Vec<f64>, places: &[usize], width: usize, spare: &mut Vec<f64>) {
    spread(buckets, places, width, spare);
    std::mem::swap(buckets, spare);
}
