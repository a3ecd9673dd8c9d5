//! Values counted by size: a histogram with bounds that do not change.

/// How many values were at most as large as each bound, and larger than the one before.
#[derive(Clone, Debug)]
pub struct Spread {
    bounds: &'static [f64],
    counts: Vec<u64>,
    sum: f64,
}

impl Spread {
    /// Nothing yet, with upper bounds in ascending order.
    pub fn new(bounds: &'static [f64]) -> Self {
        Spread { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    /// Counts one value.
    pub fn observe(&mut self, value: f64) {
        self.counts[self.bounds.partition_point(|&bound| bound < value)] += 1;
        self.sum += value;
    }

    /// Upper bounds.
    pub fn bounds(&self) -> &[f64] {
        self.bounds
    }

    /// Values by bound; the last are above all bounds.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// All values together.
    pub fn sum(&self) -> f64 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_what_is_below() {
        let mut spread = Spread::new(&[1.0, 10.0]);
        [0.5, 1.0, 1.1, 10.0, 11.0].into_iter().for_each(|v| spread.observe(v));
        assert_eq!(spread.counts(), [2, 2, 1]);
        assert_eq!(spread.sum(), 23.6);
    }
}
