//! Time as blocks have it.

use std::fmt;

/// Milliseconds since the Unix epoch, or a length of time in milliseconds.
pub type Millis = i64;

/// A half-open range of time: `start` is in, `end` is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeRange {
    /// First millisecond within.
    pub start: Millis,
    /// First millisecond behind.
    pub end: Millis,
}

impl TimeRange {
    /// From `start` up to but without `end`.
    pub const fn new(start: Millis, end: Millis) -> Self {
        TimeRange { start, end }
    }

    /// Length in milliseconds; saturates, and is 0 for a reversed range.
    pub fn len_ms(self) -> Millis {
        self.end.saturating_sub(self.start).max(0)
    }

    /// Whether a millisecond lies within both.
    pub fn overlaps(self, other: TimeRange) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Whether `t` lies within.
    pub fn contains(self, t: Millis) -> bool {
        self.start <= t && t < self.end
    }

    /// The smallest range around both.
    #[must_use]
    pub fn union(self, other: TimeRange) -> TimeRange {
        TimeRange::new(self.start.min(other.start), self.end.max(other.end))
    }
}

impl fmt::Display for TimeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start, self.end)
    }
}
