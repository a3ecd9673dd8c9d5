//! Two layouts of buckets side by side: what each lacks, and the layout that has all.

use crate::model::BucketSpan;

/// Empty buckets to put before the bucket at `pos` (or behind the last).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insert {
    pub(super) pos: usize,
    pub(super) num: usize,
}

/// How an old and a new layout of one side differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// What the old one lacks.
    pub(super) forward: Vec<Insert>,
    /// What the new one lacks.
    pub(super) backward: Vec<Insert>,
    /// Buckets of both.
    pub(super) merged: Vec<BucketSpan>,
}

/// The index of every bucket that `spans` have, in order.
pub(super) fn indices(spans: &[BucketSpan]) -> impl Iterator<Item = i64> {
    let mut next = 0i64;
    spans.iter().flat_map(move |span| {
        let first = next + i64::from(span.offset);
        next = first + i64::from(span.length);
        first..next
    })
}

/// How many buckets `spans` have.
pub(super) fn count(spans: &[BucketSpan]) -> u64 {
    spans.iter().map(|s| u64::from(s.length)).sum()
}

/// Compares buckets (index and count, by index); `None` as soon as `lost` says that the old bucket
/// cannot have become the new one (`None` where a layout lacks it).
pub(super) fn difference<C: Copy>(
    mut old: impl Iterator<Item = (i64, C)>,
    mut new: impl Iterator<Item = (i64, C)>,
    lost: impl Fn(Option<C>, Option<C>) -> bool,
) -> Option<Difference> {
    let mut found = Difference::default();
    let (mut old_pos, mut new_pos) = (0, 0);
    let (mut a, mut b) = (old.next(), new.next());
    let mut end = None;
    loop {
        let index = match (a, b) {
            (None, None) => return Some(found),
            (Some((i, _)), None) | (None, Some((i, _))) => i,
            (Some((i, _)), Some((j, _))) => i.min(j),
        };
        let at = |side: Option<(i64, C)>| side.filter(|&(i, _)| i == index).map(|(_, count)| count);
        let (in_old, in_new) = (at(a), at(b));
        if lost(in_old, in_new) {
            return None;
        }
        if in_old.is_none() {
            add(&mut found.forward, old_pos);
        } else {
            old_pos += 1;
            a = old.next();
        }
        if in_new.is_none() {
            add(&mut found.backward, new_pos);
        } else {
            new_pos += 1;
            b = new.next();
        }
        push(&mut found.merged, &mut end, index);
    }
}

fn add(inserts: &mut Vec<Insert>, pos: usize) {
    match inserts.last_mut() {
        Some(last) if last.pos == pos => last.num += 1,
        _ => inserts.push(Insert { pos, num: 1 }),
    }
}

/// Adds the bucket `index` behind `end`, where the last span ends.
pub(super) fn push(spans: &mut Vec<BucketSpan>, end: &mut Option<i64>, index: i64) {
    match (spans.last_mut(), *end) {
        (Some(last), Some(end)) if end == index => last.length += 1,
        // layouts that fit 32 bits differ by what fits 32 bits, but for hostile ones
        (_, before) => spans.push(BucketSpan { offset: (index - before.unwrap_or(0)) as i32, length: 1 }),
    }
    *end = Some(index + 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(text: &[(i32, u32)]) -> Vec<BucketSpan> {
        text.iter().map(|&(offset, length)| BucketSpan { offset, length }).collect()
    }

    #[test]
    fn what_each_lacks() {
        let old = spans(&[(0, 2), (2, 1), (3, 2), (3, 1), (1, 1)]);
        let new = spans(&[(0, 3), (1, 1), (1, 4), (3, 3)]);
        assert_eq!(indices(&old).collect::<Vec<_>>(), [0, 1, 4, 8, 9, 13, 15]);
        let pair = |s: &[BucketSpan]| indices(s).map(|i| (i, ())).collect::<Vec<_>>();
        let both = difference(pair(&old).into_iter(), pair(&new).into_iter(), |_, _| false).unwrap();
        let inserts = [(2, 1), (3, 2), (6, 1)].map(|(pos, num)| Insert { pos, num });
        assert_eq!(both.forward, inserts);
        assert_eq!(both.backward, []);
        assert_eq!(both.merged, new);
        let back = difference(pair(&new).into_iter(), pair(&old).into_iter(), |_, _| false).unwrap();
        assert_eq!((back.backward, back.merged), (both.forward, new));
    }

    #[test]
    fn disjoint_layouts_and_empty_spans() {
        let old = spans(&[(-3, 0), (1, 2), (0, 0)]);
        let new = spans(&[(5, 1)]);
        let pair = |s: &[BucketSpan]| indices(s).map(|i| (i, ())).collect::<Vec<_>>();
        let both = difference(pair(&old).into_iter(), pair(&new).into_iter(), |_, _| false).unwrap();
        assert_eq!(both.forward, [Insert { pos: 2, num: 1 }]);
        assert_eq!(both.backward, [Insert { pos: 0, num: 2 }]);
        assert_eq!(both.merged, spans(&[(-2, 2), (5, 1)]));
        assert_eq!(difference(pair(&old).into_iter(), pair(&new).into_iter(), |_, b| b.is_none()), None);
    }
}
