//! Where buckets lie: indices of spans, and two sets of spans as one.

use super::BucketSpan;

/// The index of every bucket that `spans` have, in order.
pub fn span_indices(spans: &[BucketSpan]) -> impl Iterator<Item = i64> + Clone + '_ {
    let mut next = 0i64;
    spans.iter().flat_map(move |span| {
        let first = next.saturating_add(i64::from(span.offset));
        next = first.saturating_add(i64::from(span.length));
        first..next
    })
}

/// Where a bucket is in the merged spans: its position among all buckets so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It was there.
    Found(usize),
    /// It is new; what was at this position moves behind it.
    New(usize),
}

/// Makes room in `into` for the buckets with these `indices`, which ascend; `placed` hears of each.
///
/// *Order*: ascending, so that no later bucket moves an earlier one. A new bucket lengthens the span
/// before it, else the span behind it, else it is a span; spans that touch are not joined. That is how
/// Prometheus does it.
pub fn merge_spans(into: &mut Vec<BucketSpan>, indices: impl IntoIterator<Item = i64>, mut placed: impl FnMut(Place)) {
    // the span we are at, the index of its first bucket, and the position of that
    let (mut at, mut first, mut position) = (0usize, 0i64, 0usize);
    if let Some(span) = into.first() {
        first = i64::from(span.offset);
    }
    for index in indices {
        loop {
            let Some(span) = into.get(at) else {
                // only where there is no span at all: else we stay at the last
                into.push(BucketSpan { offset: index as i32, length: 1 });
                (at, first, position) = (0, index, 0);
                placed(Place::New(0));
                break;
            };
            let end = first + i64::from(span.length);
            if index < first {
                // before the first span; gaps behind others are seen from before
                if first == index + 1 {
                    into[at].offset -= 1;
                    into[at].length += 1;
                } else {
                    into[at].offset = (first - index - 1) as i32;
                    into.insert(at, BucketSpan { offset: index as i32, length: 1 });
                }
                first = index;
                placed(Place::New(position));
                break;
            }
            if index < end {
                placed(Place::Found(position + (index - first) as usize));
                break;
            }
            let length = span.length as usize;
            let next_first = into.get(at + 1).map(|next| end + i64::from(next.offset));
            if next_first.is_some_and(|next_first| index >= next_first) {
                at += 1;
                (first, position) = (next_first.unwrap_or(end), position + length);
                continue;
            }
            if index == end {
                into[at].length += 1;
                if let Some(next) = into.get_mut(at + 1) {
                    next.offset -= 1;
                }
                placed(Place::New(position + length));
                break;
            }
            at += 1;
            position += length;
            if next_first == Some(index + 1) {
                into[at].offset -= 1;
                into[at].length += 1;
            } else {
                if let Some(next_first) = next_first {
                    into[at].offset = (next_first - index - 1) as i32;
                }
                into.insert(at, BucketSpan { offset: (index - end) as i32, length: 1 });
            }
            first = index;
            placed(Place::New(position));
            break;
        }
    }
}

/// Where the first span begins, and one behind where the last ends; (0, 0) without spans.
pub(super) fn extent(spans: &[BucketSpan]) -> (i64, i64) {
    let end =
        spans.iter().fold(0i64, |end, span| end.saturating_add(i64::from(span.offset)).saturating_add(i64::from(span.length)));
    (spans.first().map_or(0, |span| span.offset.into()), end)
}

/// Adds the bucket `index` behind `end`, where the last span ends.
pub(super) fn push_index(spans: &mut Vec<BucketSpan>, end: &mut Option<i64>, index: i64) {
    match (spans.last_mut(), *end) {
        (Some(last), Some(end)) if end == index => last.length += 1,
        (_, before) => spans.push(BucketSpan { offset: (index - before.unwrap_or(0)) as i32, length: 1 }),
    }
    *end = Some(index + 1);
}
