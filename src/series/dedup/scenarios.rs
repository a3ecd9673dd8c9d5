//! What is kept of replicas in the situations that people have: figures, and properties against a plain
//! model.

use proptest::prelude::*;

use super::{Penalty, Raised, SampleStream, Stream, merge_penalty};
use crate::model::{Millis, Sample, Value};
use crate::series::{Chunk, DecodedChunks, encode_in_chunks, merge_overlapping};

/// One server of a pair, or of more.
#[derive(Clone, Debug)]
struct Replica {
    interval: Millis,
    /// How far its scrapes, or its clock, are shifted.
    shift: Millis,
    /// Largest deviation of a scrape from its time.
    jitter: Millis,
    /// Half-open spans without samples, and whether counters begin again behind them.
    down: Vec<(Millis, Millis, bool)>,
    /// Samples in a chunk; the last has fewer.
    chunk: usize,
}

impl Replica {
    fn new(interval: Millis, shift: Millis) -> Self {
        Replica { interval, shift, jitter: 40, down: Vec::new(), chunk: 120 }
    }

    fn down(mut self, from: Millis, until: Millis, resets: bool) -> Self {
        self.down.push((from, until, resets));
        self
    }

    /// Scrapes of a counter that grows by one a second, from 0 to `until`; `number` tells replicas apart
    /// in the last digit of the time.
    fn samples(&self, number: usize, until: Millis) -> Vec<Sample> {
        let scrapes = (0..).map(|n| n * self.interval).take_while(|&t| t < until);
        let alive = scrapes.filter(|t| !self.down.iter().any(|d| d.0 <= *t && *t < d.1));
        let sample = |t: Millis| {
            let chance = (t / 10).wrapping_mul(0x9e37_79b9).wrapping_add(number as i64 * 77_777).rem_euclid(104_729);
            let time = t + self.shift + if self.jitter == 0 { 0 } else { chance % (2 * self.jitter + 1) - self.jitter };
            let began = self.down.iter().filter(|d| d.2 && d.1 <= t).map(|d| d.1).max().unwrap_or(0);
            let time = if self.jitter == 0 && self.shift == 0 { time } else { time / 10 * 10 + number as i64 };
            Sample { time, start: 0, value: Value::Float(((t - began) / 1000) as f64) }
        };
        alive.map(sample).collect()
    }

    fn chunks(&self, samples: &[Sample]) -> Vec<Chunk> {
        samples.chunks(self.chunk).flat_map(|part| encode_in_chunks(part.to_vec()).unwrap()).collect()
    }
}

fn samples(chunks: &[Chunk]) -> Vec<Sample> {
    chunks.iter().flat_map(|c| c.samples().unwrap()).collect()
}

/// The rule as one would tell it: who comes before his penalty is over is thrown away, then the earlier
/// of the two is taken, and the other gets a penalty of two steps.
fn model(a: &[Sample], b: &[Sample]) -> Vec<Sample> {
    let (mut a, mut b, mut out) = (a.to_vec(), b.to_vec(), Vec::<Sample>::new());
    let (mut penalty_a, mut penalty_b) = (0, 0);
    loop {
        let last = out.last().map(|s| s.time);
        a.retain(|s| last.is_none_or(|last| s.time > last + penalty_a));
        b.retain(|s| last.is_none_or(|last| s.time > last + penalty_b));
        let from_a = match (a.first(), b.first()) {
            (Some(a), Some(b)) => a.time <= b.time,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => return out,
        };
        let is_between_two = !a.is_empty() && !b.is_empty();
        let next = if from_a { a.remove(0) } else { b.remove(0) };
        let penalty = last.map_or(5000, |last| 2 * (next.time - last));
        match (is_between_two, from_a) {
            (true, true) => (penalty_a, penalty_b) = (0, penalty),
            (true, false) => (penalty_a, penalty_b) = (penalty, 0),
            (false, true) => penalty_a = 0,
            (false, false) => penalty_b = 0,
        }
        out.push(next);
    }
}

/// The same for chunks: those that overlap are folded in the order in which they begin.
fn model_of_chunks(lists: &[Vec<Chunk>]) -> Vec<Sample> {
    let mut chunks: Vec<&Chunk> = lists.iter().flatten().collect();
    chunks.sort_by_key(|c| (c.min_time, c.max_time));
    let mut groups: Vec<(Millis, Vec<Sample>)> = Vec::new();
    for chunk in chunks {
        let more = chunk.samples().unwrap();
        match groups.last_mut() {
            Some((until, group)) if chunk.min_time <= *until => {
                *until = chunk.max_time.max(*until);
                *group = model(group, &more);
            }
            _ => groups.push((chunk.max_time, more)),
        }
    }
    groups.into_iter().flat_map(|(_, samples)| samples).collect()
}

/// What the querier will do: one stream a replica.
fn streamed(replicas: &[Vec<Sample>]) -> Vec<Sample> {
    fn all(mut merged: impl Stream) -> Vec<Sample> {
        let mut out = Vec::new();
        while let (Some(time), Some(v)) = (merged.time(), merged.float()) {
            out.push(Sample { time, start: 0, value: Value::Float(v) });
            merged.seek(time + 1).unwrap();
        }
        out
    }
    let mut merged = replicas[0].clone();
    for next in &replicas[1..] {
        merged = all(Penalty::new(SampleStream::new(&merged), SampleStream::new(next)).unwrap());
    }
    merged
}

const MINUTE: Millis = 60_000;
const HOURS_8: Millis = 480 * MINUTE;

/// The table stands in `docs/DESIGN.md`; where it differs, the message has the one to put there.
#[test]
fn samples_that_are_kept() {
    let at = |seconds: Millis| Replica::new(30_000, seconds * 1000);
    let exact = Replica { jitter: 0, ..at(0) };
    let situations: [(&str, Vec<Replica>); 8] = [
        ("two, equal samples (Receivers)", vec![exact.clone(), exact]),
        ("two, 13 s apart", vec![at(0), at(13)]),
        ("three", vec![at(0), at(11), at(19)]),
        ("five", vec![at(0), at(5), at(11), at(19), at(26)]),
        ("two, the second begins 3 h late", vec![at(0), at(13).down(0, 180 * MINUTE, true)]),
        ("two, the first restarts, 10 min without samples", vec![at(0).down(123 * MINUTE, 133 * MINUTE, true), at(13)]),
        (
            "two, each down for half an hour",
            vec![at(0).down(100 * MINUTE, 130 * MINUTE, true), at(13).down(300 * MINUTE, 330 * MINUTE, true)],
        ),
        ("two, one clock 90 s ahead", vec![at(0), at(90)]),
    ];
    let mut table = String::from(
        "| replicas of 8 h, scraped every 30 s | samples | one to one | penalty | longest step | penalty at query time |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    for (name, replicas) in situations {
        let all: Vec<_> = replicas.iter().enumerate().map(|(n, r)| r.samples(n, HOURS_8)).collect();
        let chunks: Vec<_> = replicas.iter().zip(&all).map(|(r, s)| r.chunks(s)).collect();
        let count: usize = all.iter().map(Vec::len).sum();
        let one_to_one = samples(&merge_overlapping(chunks.clone(), &mut DecodedChunks::default()).unwrap()).len();
        let penalty = samples(&merge_penalty(chunks).unwrap());
        let longest = penalty.windows(2).map(|w| w[1].time - w[0].time).max().unwrap_or(0);
        let (kept, seconds, streamed) = (penalty.len(), (longest + 500) / 1000, streamed(&all).len());
        table += &format!("| {name} | {count} | {one_to_one} | {kept} | {seconds} s | {streamed} |\n");
    }
    let page = include_str!("../../../docs/DESIGN.md");
    assert!(page.contains(&table), "docs/DESIGN.md has another table than\n{table}");
}

fn replica() -> impl Strategy<Value = Replica> {
    let down = prop::collection::vec((0i64..300, 1i64..90, any::<bool>()), 0..3);
    let interval = prop_oneof![4 => Just(30_000i64), 1 => Just(15_000), 1 => Just(60_000)];
    (interval, -90_000i64..90_000, 1i64..5_000, down, 20usize..=120).prop_map(|(interval, shift, jitter, down, chunk)| Replica {
        interval,
        shift,
        jitter,
        down: down.into_iter().map(|(from, len, resets)| (from * MINUTE, (from + len) * MINUTE, resets)).collect(),
        chunk,
    })
}

fn replicas() -> impl Strategy<Value = Vec<Replica>> {
    prop_oneof![Just(2usize), Just(3), Just(5)].prop_flat_map(|n| prop::collection::vec(replica(), n))
}

fn all_samples(replicas: &[Replica]) -> Vec<Vec<Sample>> {
    replicas.iter().enumerate().map(|(n, r)| r.samples(n, 300 * MINUTE)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn chunks_like_the_model(replicas in replicas()) {
        let all = all_samples(&replicas);
        let mut lists: Vec<_> = replicas.iter().zip(&all).map(|(r, s)| r.chunks(s)).collect();
        let merged = merge_penalty(lists.clone()).unwrap();
        for pair in merged.windows(2) {
            prop_assert!(pair[0].max_time < pair[1].min_time);
        }
        let kept = samples(&merged);
        prop_assert!(kept.windows(2).all(|w| w[0].time < w[1].time));
        // a sample's time tells its replica
        prop_assert!(kept.iter().all(|s| all[s.time.rem_euclid(10) as usize].contains(s)), "out of nothing");
        prop_assert_eq!(&kept, &model_of_chunks(&lists));
        // whose chunks come first does not matter as long as no two begin and end together
        lists.reverse();
        prop_assert_eq!(merge_penalty(lists).unwrap(), merged);
    }

    #[test]
    fn streams_like_the_model(replicas in replicas()) {
        let all = all_samples(&replicas);
        let expected = all[1..].iter().fold(all[0].clone(), |merged, next| model(&merged, next));
        prop_assert_eq!(streamed(&all), expected);
    }

    /// While the other is silent, nothing is lost but what a penalty from before the silence covers.
    #[test]
    fn nothing_is_lost_where_one_replica_is_alone(a in replica(), b in replica(), from in 30i64..200, len in 5i64..90) {
        let (from, until) = (from * MINUTE, (from + len) * MINUTE);
        // by so much samples are shifted into the silence
        let b = b.down(from - 3 * MINUTE, until + 3 * MINUTE, false);
        let all = all_samples(&[a, b]);
        for replicas in [all.clone(), vec![all[1].clone(), all[0].clone()]] {
            let out = streamed(&replicas);
            let within = |s: &&Sample| from <= s.time && s.time < until;
            let kept: Vec<_> = out.iter().filter(within).collect();
            let had: Vec<_> = all[0].iter().filter(within).collect();
            prop_assert!(had.ends_with(&kept), "what is kept has holes");
            let before = out.iter().position(|s| s.time >= from).unwrap_or(out.len());
            // a stream that a penalty has moved does not come back, however short later penalties are
            let first = out[..before].first().map(|s| s.time + 5000);
            let later = out[..before].windows(2).map(|w| w[1].time + 2 * (w[1].time - w[0].time));
            let covered = first.into_iter().chain(later).max().unwrap_or(Millis::MIN);
            prop_assert!(had[..had.len() - kept.len()].iter().all(|s| s.time <= covered));
        }
    }

    /// Each replica's resets are added up before; where the stream changes the other may have seen less.
    #[test]
    fn counters_do_not_fall(replicas in replicas(), seen in prop::collection::vec(0u32..10_000, 5)) {
        let mut all = all_samples(&replicas);
        for (samples, seen) in all.iter_mut().zip(seen) {
            let (mut total, mut before) = (f64::from(seen), 0.0);
            for sample in samples {
                let Value::Float(v) = &mut sample.value else { unreachable!("only floats") };
                total += if *v < before { *v } else { *v - before };
                before = std::mem::replace(v, total);
            }
        }
        let counter = |n: usize| Raised::new(SampleStream::new(&all[n]));
        let check = |merged: &mut dyn Stream| {
            let mut last = f64::NEG_INFINITY;
            while let (Some(time), Some(value)) = (merged.time(), merged.float()) {
                prop_assert!(value >= last, "{} falls to {} at {}", last, value, time);
                last = value;
                merged.seek(time + 1).unwrap();
            }
            Ok(())
        };
        let mut two = Penalty::new(counter(0), counter(1)).unwrap();
        check(&mut two)?;
        if all.len() > 2 {
            let two = Penalty::new(counter(0), counter(1)).unwrap();
            check(&mut Penalty::new(two, counter(2)).unwrap())?;
        }
    }
}
