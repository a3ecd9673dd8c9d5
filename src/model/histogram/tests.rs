//! Arithmetic beside what Prometheus computed, and the rest.

use super::*;

#[test]
fn clone_from_keeps_buffers() {
    let from = Histogram { positive_buckets: vec![1, 2], sum: 3.0, ..Histogram::default() };
    let mut to = Histogram { positive_buckets: Vec::with_capacity(100), ..Histogram::default() };
    to.clone_from(&from);
    assert_eq!(to, from);
    assert_eq!(from.clone(), from);
    assert_eq!(to.positive_buckets.capacity(), 100);
}

/// Operations on seeded random histograms, computed by Prometheus 3.9.1.
const ARITHMETIC: &str = include_str!("../../../testdata/histogram/arithmetic.txt");

fn list<T>(text: &str, one: impl Fn(&str) -> T) -> Vec<T> {
    text.split(',').filter(|part| *part != "-").map(one).collect()
}

fn parse(line: &str) -> FloatHistogram {
    let float = |text: &str| text.parse::<f64>().unwrap();
    let spans = |text: &str| {
        list(text, |pair| {
            let (offset, length) = pair.split_once(':').unwrap();
            BucketSpan { offset: offset.parse().unwrap(), length: length.parse().unwrap() }
        })
    };
    let fields: Vec<&str> = line.split(' ').collect();
    FloatHistogram {
        reset_hint: [ResetHint::Unknown, ResetHint::Reset, ResetHint::NotReset, ResetHint::Gauge]
            [fields[0].parse::<usize>().unwrap()],
        schema: fields[1].parse().unwrap(),
        zero_threshold: float(fields[2]),
        zero_count: float(fields[3]),
        count: float(fields[4]),
        sum: float(fields[5]),
        positive_spans: spans(fields[6]),
        negative_spans: spans(fields[7]),
        positive_buckets: list(fields[8], float),
        negative_buckets: list(fields[9], float),
        custom_values: list(fields[10], float),
    }
}

#[test]
fn as_prometheus_computes() {
    let mut lines = ARITHMETIC.lines().filter(|line| !line.starts_with('#'));
    let mut seen = std::collections::BTreeMap::new();
    while let Some(head) = lines.next() {
        let words: Vec<&str> = head.split(' ').collect();
        let mut next = || parse(lines.next().unwrap());
        let mut a = next();
        assert!(a.is_sound(), "{head}");
        let before = format!("{a:?}");
        match words[0] {
            "add" | "sub" => {
                let b = next();
                let added = if words[0] == "add" { a.add(&b) } else { a.sub(&b) }.unwrap();
                assert_eq!(added.hints_collide.to_string(), words[1]);
                assert_eq!(added.bounds_differ.to_string(), words[2]);
                let expected = next();
                assert_eq!(format!("{a:?}"), format!("{expected:?}"), "{head}\n{before}\n{b:?}");
            }
            "reset" => {
                let b = next();
                assert_eq!(b.detect_reset(&a).to_string(), words[1], "{a:?}\n{b:?}");
            }
            "compact" => {
                a.compact();
                assert_eq!(format!("{a:?}"), format!("{:?}", next()), "{head} {before}");
            }
            "schema" => assert_eq!(a.copy_to_schema(words[1].parse().unwrap()), next()),
            other => panic!("{other}"),
        }
        *seen.entry(words[0]).or_insert(0) += 1;
    }
    assert!(seen.len() == 5 && seen.values().all(|&n| n > 30), "{seen:?}");
}

#[test]
fn integers_become_floats() {
    let integer = Histogram {
        schema: 1,
        count: 12,
        zero_count: 2,
        sum: 4.5,
        positive_spans: vec![BucketSpan { offset: 1, length: 3 }],
        positive_buckets: vec![3, -1, 2],
        reset_hint: ResetHint::NotReset,
        ..Histogram::default()
    };
    let float = integer.to_float();
    assert_eq!(float.positive_buckets, [3.0, 2.0, 4.0]);
    assert_eq!((float.count, float.zero_count, float.sum), (12.0, 2.0, 4.5));
    assert_eq!((float.reset_hint, &float.positive_spans), (ResetHint::NotReset, &integer.positive_spans));
}

#[test]
fn custom_and_exponential_buckets_have_no_sum() {
    let (mut a, b) = (FloatHistogram::default(), FloatHistogram { schema: CUSTOM_BUCKETS_SCHEMA, ..FloatHistogram::default() });
    assert_eq!(a.add(&b), Err(OtherBuckets));
    assert_eq!(a, FloatHistogram::default());
}

#[test]
fn what_does_not_hold_together() {
    let span = |offset, length| vec![BucketSpan { offset, length }];
    let good = FloatHistogram { positive_spans: span(0, 2), positive_buckets: vec![1.0, 2.0], ..FloatHistogram::default() };
    assert!(good.is_sound());
    let unsound = [
        FloatHistogram { positive_buckets: vec![1.0], ..good.clone() },
        FloatHistogram { positive_spans: span(i32::MAX, 2), ..good.clone() },
        FloatHistogram { positive_spans: span(i32::MIN, 2), ..good.clone() },
        FloatHistogram { positive_spans: [span(5, 1), span(-3, 1)].concat(), ..good.clone() },
        FloatHistogram { zero_threshold: f64::NAN, ..good.clone() },
        FloatHistogram { schema: CUSTOM_BUCKETS_SCHEMA, ..good.clone() },
        FloatHistogram { schema: CUSTOM_BUCKETS_SCHEMA, custom_values: vec![2.0, 2.0], ..good.clone() },
        FloatHistogram { schema: CUSTOM_BUCKETS_SCHEMA, custom_values: vec![f64::NAN, 2.0], ..good.clone() },
        FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            custom_values: vec![1.0, 2.0],
            positive_spans: span(-1, 2),
            ..good.clone()
        },
    ];
    for histogram in unsound {
        assert!(!histogram.is_sound(), "{histogram:?}");
    }
    assert!(FloatHistogram { schema: CUSTOM_BUCKETS_SCHEMA, custom_values: vec![1.0], ..good }.is_sound());
}

#[test]
fn spans_that_say_nothing_take_a_bucket() {
    // upstream fails on a first span without buckets
    let mut spans = vec![BucketSpan { offset: 0, length: 0 }];
    let mut places = Vec::new();
    merge_spans(&mut spans, [0, 1, 5], |place| places.push(place));
    assert_eq!(places, [Place::New(0), Place::New(1), Place::New(2)]);
    assert_eq!(span_indices(&spans).collect::<Vec<_>>(), [0, 1, 5]);
    merge_spans(&mut spans, [-7, 1, 4, 7], |place| places.push(place));
    assert_eq!(places[3..], [Place::New(0), Place::Found(2), Place::New(3), Place::New(5)]);
    assert_eq!(span_indices(&spans).collect::<Vec<_>>(), [-7, 0, 1, 4, 5, 7]);
}
