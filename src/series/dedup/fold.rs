//! The penalty rule folded over many lists, on columns.
//!
//! Upstream nests an iterator for each list, so that with many lists each sample passes many of them.
//! Here the result so far is one list in memory, and a list that begins late costs only the samples
//! that it can have a say in: those before it stay where they are.

use super::rule::{Rule, Side};
use crate::model::Millis;

/// What is kept of the lists so far; `V` is a value or a reference to one.
#[derive(Clone, Debug)]
pub(super) struct Fold<V> {
    times: Vec<Millis>,
    values: Vec<V>,
    /// So many samples are out of reach for lists that begin at `begin` or later.
    settled: usize,
    begin: Millis,
    /// The end of the list so far, while it is walked beside the next.
    tail: (Vec<Millis>, Vec<V>),
}

impl<V> Default for Fold<V> {
    fn default() -> Self {
        Fold { times: Vec::new(), values: Vec::new(), settled: 0, begin: Millis::MIN, tail: (Vec::new(), Vec::new()) }
    }
}

impl<V: Copy> Fold<V> {
    /// Begins anew with one list, strictly ascending in time.
    pub(super) fn begin(&mut self, times: &[Millis], values: &[V]) {
        debug_assert_eq!(times.len(), values.len());
        self.times.clear();
        self.times.extend_from_slice(times);
        self.values.clear();
        self.values.extend_from_slice(values);
        (self.settled, self.begin) = (0, Millis::MIN);
    }

    /// The list so far becomes the first stream, this list, strictly ascending in time, the second.
    pub(super) fn add(&mut self, times: &[Millis], values: &[V]) {
        debug_assert_eq!(times.len(), values.len());
        let Some(&begin) = times.first() else { return };
        let settled = self.settle(begin);
        let rule = match settled.checked_sub(1) {
            None => Rule::default(),
            Some(last) => Rule::behind_a(self.times[last], last.checked_sub(1).map(|before| self.times[before])),
        };
        let (tail_times, tail_values) = &mut self.tail;
        tail_times.clear();
        tail_times.extend_from_slice(&self.times[settled..]);
        tail_values.clear();
        tail_values.extend_from_slice(&self.values[settled..]);
        self.times.truncate(settled);
        self.values.truncate(settled);
        walk((tail_times, tail_values), (times, values), rule, (&mut self.times, &mut self.values));
    }

    /// The samples that are kept.
    pub(super) fn kept(&self) -> (&[Millis], &[V]) {
        (&self.times, &self.values)
    }

    /// How many samples are picked before a list that begins at `begin` is looked at: each is not
    /// later, and puts no penalty on that list that would move it.
    fn settle(&mut self, begin: Millis) -> usize {
        if begin < self.begin {
            self.settled = 0;
        }
        self.begin = begin;
        let mut before = self.settled.checked_sub(1).map(|last| self.times[last]);
        for &time in &self.times[self.settled..] {
            let moved_to = Rule::behind_a(time, before).target(Side::B);
            if time > begin || moved_to.is_none_or(|to| to > begin) {
                break;
            }
            before = Some(time);
            self.settled += 1;
        }
        self.settled
    }
}

/// Samples as two columns.
type Samples<'a, V> = (&'a [Millis], &'a [V]);

/// Picks from `a` and `b` by the rule and appends to `out`.
fn walk<V: Copy>(a: Samples<'_, V>, b: Samples<'_, V>, mut rule: Rule, out: (&mut Vec<Millis>, &mut Vec<V>)) {
    let (times, values) = out;
    times.reserve(a.0.len() + b.0.len());
    values.reserve(a.0.len() + b.0.len());
    let (mut i, mut j) = (0, 0);
    loop {
        i = seek(a.0, i, rule.target(Side::A));
        j = seek(b.0, j, rule.target(Side::B));
        let (next_a, next_b) = (a.0.get(i).copied(), b.0.get(j).copied());
        if next_a.is_none() || next_b.is_none() {
            break;
        }
        let (time, value) = match rule.pick(next_a, next_b) {
            Some(Side::A) => (a.0[i], a.1[i]),
            _ => (b.0[j], b.1[j]),
        };
        times.push(time);
        values.push(value);
    }
    // one of the two is over, and without it there are no penalties
    times.extend_from_slice(&a.0[i..]);
    values.extend_from_slice(&a.1[i..]);
    times.extend_from_slice(&b.0[j..]);
    values.extend_from_slice(&b.1[j..]);
}

/// The first sample at or behind `target`, from `at` on.
#[inline(always)]
fn seek(times: &[Millis], mut at: usize, target: Option<Millis>) -> usize {
    let Some(target) = target else { return times.len() };
    while times.get(at).is_some_and(|&time| time < target) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::super::{Penalty, SampleStream, Stream};
    use super::*;
    use crate::model::{Sample, Value};
    use proptest::prelude::*;

    fn samples(times: &[Millis], list: usize) -> Vec<Sample> {
        times.iter().map(|&time| Sample { time, start: 0, value: Value::Float(list as f64) }).collect()
    }

    fn all(mut stream: Box<dyn Stream + '_>) -> Vec<(Millis, usize)> {
        let mut out = Vec::new();
        while let Some(time) = stream.time() {
            out.push((time, stream.float().unwrap() as usize));
            stream.seek(time.saturating_add(1)).unwrap();
            if time == Millis::MAX {
                break;
            }
        }
        out
    }

    /// Strictly ascending times with steps of several orders.
    fn list() -> impl Strategy<Value = Vec<Millis>> {
        let step = prop_oneof![1i64..5, 900i64..1100, 4000i64..6000, 9_000i64..60_000, Just(i64::MAX / 3)];
        (any::<bool>(), 0i64..200_000, prop::collection::vec(step, 0..60)).prop_map(|(lowest, begin, steps)| {
            let begin = if lowest { Millis::MIN } else { begin };
            let mut times = vec![begin];
            for step in steps {
                match times[times.len() - 1].checked_add(step) {
                    Some(time) => times.push(time),
                    None => break,
                }
            }
            times
        })
    }

    impl Stream for Box<dyn Stream + '_> {
        fn time(&self) -> Option<Millis> {
            (**self).time()
        }
        fn value(&self) -> Option<crate::format::chunk::ValueRef<'_>> {
            (**self).value()
        }
        fn seek(&mut self, target: Millis) -> Result<(), crate::format::Malformed> {
            (**self).seek(target)
        }
        fn follow(&mut self, last: f64) {
            (**self).follow(last);
        }
    }

    proptest! {
        #[test]
        fn the_same_as_nested_streams(lists in prop::collection::vec(list(), 1..6)) {
            let samples: Vec<_> = lists.iter().enumerate().map(|(n, times)| samples(times, n)).collect();
            let mut nested: Box<dyn Stream> = Box::new(SampleStream::new(&samples[0]));
            let mut fold = Fold::default();
            fold.begin(&lists[0], &vec![0usize; lists[0].len()]);
            for (n, times) in lists.iter().enumerate().skip(1) {
                nested = Box::new(Penalty::new(nested, SampleStream::new(&samples[n])).unwrap());
                fold.add(times, &vec![n; times.len()]);
            }
            let (times, from) = fold.kept();
            let kept: Vec<_> = times.iter().copied().zip(from.iter().copied()).collect();
            prop_assert!(times.windows(2).all(|w| w[0] < w[1]));
            prop_assert_eq!(kept, all(nested));
        }
    }
}
