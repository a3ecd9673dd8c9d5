//! Whether samples that were written are samples that were read, and whether all of those are there.
//!
//! *Cost*: one comparison a sample where the output follows one input, as it does for long; no sorting.

use crate::model::Millis;
use crate::series::{ChunkKind, DecodedChunk, DecodedChunks};

/// A sample: its time, which kind of value it has, and what that says.
type Mark = (Millis, ChunkKind, u64);

/// Holds `output` against `inputs`; with `is_whole`, each time of an input has to be in it.
///
/// Where the samples of some input are not in order, as in damaged blocks, only that each sample of the output is in an
/// input is looked at; returns whether they are.
///
/// # Errors
/// Which sample is too much or missing.
pub(super) fn hold(inputs: &mut [DecodedChunk<'_>], output: &DecodedChunks, is_whole: bool) -> Result<bool, String> {
    let ascends = |times: &[Millis]| times.windows(2).all(|w| w[0] < w[1]);
    if !inputs.iter().all(|c| ascends(c.times)) {
        return each_is_somewhere(inputs, output).map(|()| false);
    }
    if let Some(pair) = output.times().windows(2).find(|w| w[0] >= w[1]) {
        return Err(format!("a sample at {} behind one at {}", pair[1], pair[0]));
    }
    inputs.sort_by_key(|c| c.times.first().copied());
    each_is_of(inputs, output)?;
    if is_whole {
        inputs.iter().try_for_each(|input| all_times(input.times, output.times()))?;
    }
    Ok(true)
}

/// Whether each sample of the output is in an input; both are in order of time.
fn each_is_of(inputs: &[DecodedChunk<'_>], output: &DecodedChunks) -> Result<(), String> {
    // the first sample of each input that was not passed, the input that is followed, the first that is not over
    let mut cursors = vec![0; inputs.len()];
    let (mut followed, mut open) = (0, 0);
    for chunk in output.iter() {
        let (mut times, mut marks) = (chunk.times, chunk.marks);
        while !times.is_empty() {
            if let Some(input) = inputs.get(followed).filter(|input| input.kind == chunk.kind) {
                let at = cursors[followed];
                let same = equal(times, &input.times[at..]).min(equal(marks, &input.marks[at..]));
                (times, marks) = (&times[same..], &marks[same..]);
                cursors[followed] += same;
            }
            let Some(&time) = times.first() else { break };
            open += inputs[open..].iter().take_while(|c| c.times.last().is_none_or(|&last| last < time)).count();
            let begun = inputs[open..].iter().take_while(|c| c.times.first().is_none_or(|&first| first <= time)).count();
            let has_it = |n: &usize| {
                let input = &inputs[*n];
                let at = cursors[*n] + input.times[cursors[*n]..].partition_point(|&t| t < time);
                cursors[*n] = at;
                input.kind == chunk.kind && input.times.get(at) == Some(&time) && input.marks[at] == marks[0]
            };
            followed = (open..open + begun).find(has_it).ok_or_else(|| format!("a sample at {time} that no input has"))?;
        }
    }
    Ok(())
}

/// Whether `times` are all among `of`; both ascend.
fn all_times(mut times: &[Millis], mut of: &[Millis]) -> Result<(), String> {
    while let Some(&time) = times.first() {
        of = &of[of.partition_point(|&t| t < time)..];
        let same = equal(times, of);
        if same == 0 {
            return Err(format!("the sample at {time} is missing"));
        }
        (times, of) = (&times[same..], &of[same..]);
    }
    Ok(())
}

/// How many of the first numbers are equal.
#[inline]
fn equal<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cold]
fn each_is_somewhere(inputs: &[DecodedChunk<'_>], output: &DecodedChunks) -> Result<(), String> {
    fn all<'a>(chunk: DecodedChunk<'a>) -> impl Iterator<Item = Mark> + 'a {
        chunk.times.iter().zip(chunk.marks).map(move |(&t, &mark)| (t, chunk.kind, mark))
    }
    let mut known: Vec<Mark> = inputs.iter().flat_map(|c| all(*c)).collect();
    known.sort_unstable();
    match output.iter().flat_map(all).find(|mark| known.binary_search(mark).is_err()) {
        Some(unknown) => Err(format!("a sample at {} that no input has", unknown.0)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    type Floats<'a> = &'a [(Millis, f64)];

    fn decoded(chunks: &[Floats<'_>]) -> DecodedChunks {
        let mut out = DecodedChunks::default();
        for chunk in chunks {
            let (times, values): (Vec<Millis>, Vec<f64>) = chunk.iter().copied().unzip();
            out.floats((0, 0), &times, &values);
        }
        out
    }

    fn check(inputs: &[Floats<'_>], output: &[Floats<'_>], is_whole: bool) -> Result<(), String> {
        let (inputs, output) = (decoded(inputs), decoded(output));
        let mut inputs: Vec<_> = inputs.iter().collect();
        hold(&mut inputs, &output, is_whole).map(drop)
    }

    #[test]
    fn what_may_be_missing() {
        let (a, b, c) = ((1, 7.0), (2, 8.0), (3, 9.0));
        let says = |result: Result<(), String>, why: &str| assert_eq!(result.unwrap_err(), why);
        for is_whole in [true, false] {
            check(&[&[a, b, c]], &[&[a, b, c]], is_whole).unwrap();
            check(&[&[a, b, c]], &[&[a], &[b, c]], is_whole).unwrap();
            check(&[&[a], &[b, c], &[b]], &[&[a, b, c]], is_whole).unwrap();
            check(&[&[a, (2, 5.0), c], &[b]], &[&[a, b, c]], is_whole).unwrap();
            check(&[&[b, c], &[a]], &[&[a, b], &[c]], is_whole).unwrap();
            says(check(&[&[a, c]], &[&[a, b]], is_whole), "a sample at 2 that no input has");
            says(check(&[&[a, b]], &[&[a, (2, 9.0)]], is_whole), "a sample at 2 that no input has");
            says(check(&[&[a, b]], &[&[a, b], &[b]], is_whole), "a sample at 2 behind one at 2");
            says(check(&[], &[&[a]], is_whole), "a sample at 1 that no input has");
        }
        check(&[&[a, b, c]], &[&[a, c]], false).unwrap();
        says(check(&[&[a, b, c]], &[&[a, c]], true), "the sample at 2 is missing");
        says(check(&[&[a, b], &[c]], &[&[a, b]], true), "the sample at 3 is missing");
        check(&[], &[], true).unwrap();
    }

    #[test]
    fn kinds_are_kept_apart() {
        use crate::model::{Histogram, Sample, Value};
        let mut output = DecodedChunks::default();
        let stale = f64::from_bits(crate::model::STALE_NAN_BITS);
        let value = Value::Histogram(Box::new(Histogram { sum: stale, ..Histogram::default() }));
        output.samples((1, 1), &[Sample { time: 1, start: 0, value }]);
        let input = decoded(&[&[(1, stale)]]);
        let why = hold(&mut input.iter().collect::<Vec<_>>(), &output, true).unwrap_err();
        assert_eq!(why, "a sample at 1 that no input has");
    }

    #[test]
    fn without_order_each_sample_is_looked_for() {
        let (a, b, c) = ((1, 7.0), (2, 8.0), (3, 9.0));
        check(&[&[b, a], &[c]], &[&[b, c]], true).unwrap();
        assert!(check(&[&[b, a], &[c]], &[&[(2, 7.0)]], true).is_err());
    }

    fn series() -> impl Strategy<Value = Vec<Vec<(Millis, f64)>>> {
        let list = prop::collection::btree_map(0i64..60, (0i64..3).prop_map(|v| v as f64), 0..40);
        prop::collection::vec(list.prop_map(|m| m.into_iter().collect()), 0..5)
    }

    proptest! {
        #[test]
        fn like_sets(inputs in series(), mut output in prop::collection::btree_map(0i64..60, 0i64..3, 0..40), flip: bool, chunk in 1usize..20) {
            // mostly what inputs have
            let known: BTreeMap<Millis, f64> = inputs.iter().flatten().copied().collect();
            if flip {
                output = known.iter().map(|(t, v)| (*t, *v as i64)).collect();
            }
            let samples: Vec<_> = output.iter().map(|(t, v)| (*t, *v as f64)).collect();
            let inputs: Vec<&[_]> = inputs.iter().map(Vec::as_slice).collect();
            let output: Vec<&[_]> = samples.chunks(chunk).collect();
            let all: BTreeSet<_> = inputs.iter().flat_map(|c| c.iter()).map(|s| (s.0, s.1.to_bits())).collect();
            let is_of = samples.iter().all(|s| all.contains(&(s.0, s.1.to_bits())));
            prop_assert_eq!(check(&inputs, &output, false).is_ok(), is_of);
            prop_assert_eq!(check(&inputs, &output, true).is_ok(), is_of && samples.len() == known.len());
        }
    }
}
