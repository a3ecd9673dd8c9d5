//! The penalty rule alone: which of two streams gives the next sample.

use crate::model::Millis;

/// Penalty of the stream that was not picked first, in milliseconds, while no scrape interval is known.
const INITIAL_PENALTY: Millis = 5000;

/// One of the two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The first, which wins ties.
    A,
    /// The second.
    B,
}

/// What the rule remembers between two picks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rule {
    /// Time of the sample that was picked last.
    last: Option<Millis>,
    /// What the next sample of each stream has to be later than the one behind `last`.
    penalties: [Millis; 2],
}

impl Rule {
    /// The state behind a sample of `A` at `time`, behind one at `before` if it was not the first.
    #[inline]
    pub(super) fn behind_a(time: Millis, before: Option<Millis>) -> Rule {
        let mut rule = Rule { last: before, penalties: [0, 0] };
        rule.picked(Side::A, time);
        rule
    }

    /// The earliest time that the next sample of a stream may have; `None` when time is over.
    #[inline]
    pub(super) fn target(&self, side: Side) -> Option<Millis> {
        match self.last {
            None => Some(Millis::MIN),
            Some(last) => Some(last.checked_add(1)?.saturating_add(self.penalties[side as usize])),
        }
    }

    /// Decides between samples at or behind their stream's [`Rule::target`]; `None` when both are over.
    #[inline]
    pub(super) fn pick(&mut self, a: Option<Millis>, b: Option<Millis>) -> Option<Side> {
        let (side, time) = match (a, b) {
            (Some(a), Some(b)) if a <= b => (Side::A, a),
            (_, Some(b)) if a.is_some() => (Side::B, b),
            // where the other stream is over, it needs no penalty any more
            (Some(time), None) => return Some(self.alone(Side::A, time)),
            (None, Some(time)) => return Some(self.alone(Side::B, time)),
            _ => return None,
        };
        self.picked(side, time);
        Some(side)
    }

    /// The stream in use is free; the other has to be later by two of the steps just seen, so that a
    /// sample close to this one is not picked.
    #[inline]
    fn picked(&mut self, side: Side, time: Millis) {
        let penalty = self.last.map_or(INITIAL_PENALTY, |last| time.saturating_sub(last).saturating_mul(2));
        self.penalties = match side {
            Side::A => [0, penalty],
            Side::B => [penalty, 0],
        };
        self.last = Some(time);
    }

    fn alone(&mut self, side: Side, time: Millis) -> Side {
        self.penalties[side as usize] = 0;
        self.last = Some(time);
        side
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn penalties_are_two_steps() {
        let mut rule = Rule::default();
        assert_eq!(rule.target(Side::A), Some(Millis::MIN));
        assert_eq!(rule.pick(Some(10), Some(10)), Some(Side::A));
        assert_eq!((rule.target(Side::A), rule.target(Side::B)), (Some(11), Some(5011)));
        assert_eq!(rule.pick(Some(20), Some(6000)), Some(Side::A));
        assert_eq!((rule.target(Side::A), rule.target(Side::B)), (Some(21), Some(41)));
        assert_eq!(rule.pick(Some(7000), Some(6000)), Some(Side::B));
        assert_eq!((rule.target(Side::A), rule.target(Side::B)), (Some(6001 + 2 * 5980), Some(6001)));
        assert_eq!(rule.pick(None, None), None);
    }

    #[test]
    fn the_ends_of_time() {
        let mut rule = Rule::default();
        assert_eq!(rule.pick(Some(Millis::MIN), Some(0)), Some(Side::A));
        assert_eq!(rule.pick(Some(Millis::MAX - 1), Some(Millis::MAX)), Some(Side::A));
        assert_eq!(rule.target(Side::B), Some(Millis::MAX));
        assert_eq!(rule.pick(None, Some(Millis::MAX)), Some(Side::B));
        assert_eq!((rule.target(Side::A), rule.target(Side::B)), (None, None));
    }
}
