//! Two sample streams as one by the penalty rule.

use super::rule::{Rule, Side};
use super::stream::Stream;
use crate::format::Malformed;
use crate::format::chunk::ValueRef;
use crate::model::Millis;

/// Two streams of one series as one: it follows one until that has a gap.
///
/// More than two are nested, the first leftmost: `Penalty::new(Penalty::new(a, b)?, c)?`. To have
/// counters that do not fall where the stream changes, each is wrapped in a [`Raised`](super::Raised).
///
/// *Order*: ascending in time, whatever the streams hold.
/// *Memory*: none but the streams'.
/// *Errors*: those of the streams; then it is over.
#[derive(Clone, Debug)]
pub struct Penalty<A, B> {
    a: A,
    b: B,
    /// Streams that are not over.
    is_live: [bool; 2],
    rule: Rule,
    current: Option<Side>,
}

impl<A: Stream, B: Stream> Penalty<A, B> {
    /// Stands at the first sample.
    ///
    /// # Errors
    /// Data that does not decode.
    pub fn new(a: A, b: B) -> Result<Self, Malformed> {
        let is_live = [a.time().is_some(), b.time().is_some()];
        let mut penalty = Penalty { a, b, is_live, rule: Rule::default(), current: is_live[0].then_some(Side::A) };
        penalty.advance()?;
        Ok(penalty)
    }

    /// Moves to the next sample; `false` behind the last.
    ///
    /// # Errors
    /// Data that does not decode.
    pub fn advance(&mut self) -> Result<bool, Malformed> {
        // before the first sample, as upstream has it, the first stream is in use with its first value
        let (before, last) = (self.current.unwrap_or(Side::A), self.float());
        self.current = None;
        let [a, b] = [Side::A, Side::B].map(|side| self.rule.target(side));
        Self::move_on(&mut self.a, &mut self.is_live[0], a)?;
        Self::move_on(&mut self.b, &mut self.is_live[1], b)?;
        let times = (self.a.time().filter(|_| self.is_live[0]), self.b.time().filter(|_| self.is_live[1]));
        self.current = self.rule.pick(times.0, times.1);
        if let (Some(now), Some(last)) = (self.current, last)
            && now != before
        {
            self.follow(last);
        }
        Ok(self.current.is_some())
    }

    fn move_on<S: Stream>(stream: &mut S, is_live: &mut bool, target: Option<Millis>) -> Result<(), Malformed> {
        if *is_live {
            *is_live = false;
            if let Some(target) = target {
                stream.seek(target)?;
                *is_live = stream.time().is_some();
            }
        }
        Ok(())
    }
}

impl<A: Stream, B: Stream> Stream for Penalty<A, B> {
    fn time(&self) -> Option<Millis> {
        match self.current? {
            Side::A => self.a.time(),
            Side::B => self.b.time(),
        }
    }

    fn value(&self) -> Option<ValueRef<'_>> {
        match self.current? {
            Side::A => self.a.value(),
            Side::B => self.b.value(),
        }
    }

    /// Goes sample by sample, since a jump would not see the gaps on its way.
    fn seek(&mut self, target: Millis) -> Result<(), Malformed> {
        while self.time().is_some_and(|time| time < target) {
            self.advance()?;
        }
        Ok(())
    }

    fn follow(&mut self, last: f64) {
        if self.is_live[0] && self.a.float().is_some() {
            self.a.follow(last);
        }
        if self.is_live[1] && self.b.float().is_some() {
            self.b.follow(last);
        }
    }
}
