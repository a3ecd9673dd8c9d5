//! Sums, bounds and running totals of floats, in the order of the samples, as their bits depend on it.

/// Not a number, as x86-64 makes it of infinities that cancel out; other machines make other bits.
const NAN: f64 = f64::from_bits(0xfff8_0000_0000_0000);

/// A result with the same bits on every machine.
#[inline]
pub(super) fn settled(value: f64) -> f64 {
    if value.is_nan() { NAN } else { value }
}

/// What a window's samples add up to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fold {
    pub(super) sum: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Fold {
    /// Of no samples; bounds are as upstream begins with, so that a window of infinities keeps one of them.
    #[inline]
    pub(super) fn new() -> Self {
        Fold { sum: 0.0, min: f64::MAX, max: -f64::MAX }
    }

    #[inline]
    pub(super) fn add(&mut self, value: f64) {
        self.sum += value;
        self.widen(value);
    }

    /// Of zeros of both signs the first counts, and what is not a number does not.
    #[inline(always)]
    fn widen(&mut self, value: f64) {
        self.min = lower(self.min, value);
        self.max = higher(self.max, value);
    }

    /// Widens the bounds, two samples at a time: they wait for no sum, as sums wait for each other.
    #[inline]
    fn bound(&mut self, values: &[f64]) {
        let (mut low, mut high) = ([self.min; 2], [self.max; 2]);
        let mut pairs = values.chunks_exact(2);
        for pair in &mut pairs {
            for lane in 0..2 {
                low[lane] = lower(low[lane], pair[lane]);
                high[lane] = higher(high[lane], pair[lane]);
            }
        }
        for &value in pairs.remainder() {
            low[0] = lower(low[0], value);
            high[0] = higher(high[0], value);
        }
        // zeros of both signs, of which either lane may have the first
        let is_tied = |[one, other]: [f64; 2]| one == other && one.to_bits() != other.to_bits();
        if is_tied(low) || is_tied(high) {
            values.iter().for_each(|&value| self.widen(value));
            return;
        }
        self.min = lower(low[0], low[1]);
        self.max = higher(high[0], high[1]);
    }
}

/// `value` if it is below `bound`, else that.
#[inline(always)]
fn lower(bound: f64, value: f64) -> f64 {
    if value < bound { value } else { bound }
}

/// `value` if it is above `bound`, else that.
#[inline(always)]
fn higher(bound: f64, value: f64) -> f64 {
    if value > bound { value } else { bound }
}

/// The running total of a counter over the samples of a chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    pub(super) total: f64,
    last: f64,
    is_first: bool,
}

impl Running {
    /// Before the first sample, whose value is `first`.
    pub(super) fn begin(first: f64) -> Self {
        Running { total: first, last: first, is_first: true }
    }

    /// Adds the next samples to the total, and to a window.
    #[inline]
    pub(super) fn add(&mut self, fold: &mut Fold, values: &[f64]) {
        let mut values = values;
        if self.is_first
            && let Some((&first, rest)) = values.split_first()
        {
            // the total is its value to the bit, whatever the difference to itself would make of it
            fold.add(first);
            self.is_first = false;
            values = rest;
        }
        let (mut sum, mut total, mut last) = (fold.sum, self.total, self.last);
        for &value in values {
            sum += value;
            total += if value < last { value } else { value - last };
            last = value;
        }
        (fold.sum, self.total, self.last) = (sum, total, last);
        fold.bound(values);
    }

    /// Lets the next sample begin a new counter, whatever its value.
    pub(super) fn reset(&mut self) {
        self.last = f64::INFINITY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Zeros of both signs, infinities and what is not a number are where lanes could differ from one by one.
        #[test]
        fn bounds_are_those_of_one_by_one(
            values in prop::collection::vec(
                prop_oneof![Just(0.0), Just(-0.0), Just(f64::NAN), Just(f64::INFINITY), Just(-f64::INFINITY), -2.0f64..2.0],
                0..12,
            ),
            before in prop::collection::vec(prop_oneof![Just(0.0), Just(-0.0)], 0..2),
        ) {
            let mut one_by_one = Fold::new();
            before.iter().for_each(|&value| one_by_one.add(value));
            let mut at_once = one_by_one;
            values.iter().for_each(|&value| one_by_one.add(value));
            at_once.bound(&values);
            prop_assert_eq!(at_once.min.to_bits(), one_by_one.min.to_bits());
            prop_assert_eq!(at_once.max.to_bits(), one_by_one.max.to_bits());
        }
    }
}
