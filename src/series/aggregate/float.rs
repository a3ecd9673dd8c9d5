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
        self.min = if value < self.min { value } else { self.min };
        self.max = if value > self.max { value } else { self.max };
    }
}

impl Fold {
    /// Widens the bounds, two samples at a time: they wait for no sum, as sums wait for each other.
    #[inline]
    fn bound(&mut self, values: &[f64]) {
        let (mut low, mut high) = ([self.min; 2], [self.max; 2]);
        let mut pairs = values.chunks_exact(2);
        for pair in &mut pairs {
            for lane in 0..2 {
                low[lane] = if pair[lane] < low[lane] { pair[lane] } else { low[lane] };
                high[lane] = if pair[lane] > high[lane] { pair[lane] } else { high[lane] };
            }
        }
        for &value in pairs.remainder() {
            low[0] = if value < low[0] { value } else { low[0] };
            high[0] = if value > high[0] { value } else { high[0] };
        }
        // of zeros of both signs the first counts
        let is_tied = |[one, other]: [f64; 2]| one == other && one.to_bits() != other.to_bits();
        if is_tied(low) || is_tied(high) {
            for &value in values {
                self.min = if value < self.min { value } else { self.min };
                self.max = if value > self.max { value } else { self.max };
            }
            return;
        }
        self.min = if low[1] < low[0] { low[1] } else { low[0] };
        self.max = if high[1] > high[0] { high[1] } else { high[0] };
    }
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
