//! Against the real libraries: what they read, and what they write, from `testdata/chunks`.

use std::fmt::Write;

use super::*;
use crate::encoding::crc32c;
use crate::model::{BucketSpan, FloatHistogram, Histogram};

const SAMPLES: &str = include_str!("../../../testdata/chunks/samples.txt");
const WRITTEN: &str = include_str!("../../../testdata/chunks/written.txt");
const APPENDS: &str = include_str!("../../../testdata/chunks/appends.txt");

/// A chunk, and lines that say its samples or their digest.
pub(super) struct Golden {
    pub(super) encoding: Encoding,
    pub(super) data: Vec<u8>,
    truth: Vec<&'static str>,
}

/// All chunks of the test data.
pub(super) fn chunks() -> Vec<Golden> {
    let mut all: Vec<Golden> = Vec::new();
    for line in SAMPLES.lines().chain(WRITTEN.lines()).filter(|l| !l.starts_with('#')) {
        if let Some(chunk) = line.strip_prefix("chunk ") {
            let (byte, hex) = chunk.split_once(' ').unwrap();
            let data = (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
            all.push(Golden { encoding: Encoding::from_byte(byte.parse().unwrap()).unwrap(), data, truth: Vec::new() });
        } else {
            all.last_mut().unwrap().truth.push(line);
        }
    }
    all
}

/// The samples as the truth has them.
fn show(before: &str, encoding: Encoding, data: &[u8]) -> String {
    if encoding == Encoding::Aggregate {
        let parts = Aggregate::parse(data).unwrap();
        return parts.iter().map(|(kind, encoding, data)| show(&format!("{kind} "), encoding, data)).collect();
    }
    let bits = |f: f64| format!("\"{:016x}\"", f.to_bits());
    let list = |items: Vec<String>| if items.is_empty() { "null".to_owned() } else { format!("[{}]", items.join(",")) };
    let floats = |f: &[f64]| list(f.iter().map(|&f| bits(f)).collect());
    let spans = |s: &[BucketSpan]| list(s.iter().map(|s| format!("[{},{}]", s.offset, s.length)).collect());
    let fields = |h: &FloatHistogram| {
        [
            h.schema.to_string(),
            bits(h.zero_threshold),
            bits(h.zero_count),
            bits(h.count),
            bits(h.sum),
            spans(&h.positive_spans),
            floats(&h.positive_buckets),
            spans(&h.negative_spans),
            floats(&h.negative_buckets),
            floats(&h.custom_values),
            (h.reset_hint as u8).to_string(),
        ]
        .join(",")
    };
    let mut out = String::new();
    let mut samples = Samples::new(encoding, data).unwrap();
    while samples.advance().unwrap() {
        let value = match samples.value() {
            ValueRef::Float(v) => format!("{:016x}", v.to_bits()),
            ValueRef::Histogram(h) => format!("h [{}]", fields(&in_floats(h))),
            ValueRef::FloatHistogram(h) => format!("h [{}]", fields(h)),
        };
        let start = match samples.start() {
            0 => String::new(),
            start => format!(" st={start}"),
        };
        writeln!(out, "{before}{} {value}{start}", samples.time()).unwrap();
    }
    out
}

/// As the tool that wrote the truth shows integer histograms.
fn in_floats(h: &Histogram) -> FloatHistogram {
    let absolute = |deltas: &[i64]| {
        let mut count = 0;
        deltas.iter().map(|d| (count += d, count as f64).1).collect()
    };
    FloatHistogram {
        reset_hint: h.reset_hint,
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        zero_count: h.zero_count as f64,
        count: h.count as f64,
        sum: h.sum,
        positive_spans: h.positive_spans.clone(),
        negative_spans: h.negative_spans.clone(),
        positive_buckets: absolute(&h.positive_buckets),
        negative_buckets: absolute(&h.negative_buckets),
        custom_values: h.custom_values.clone(),
    }
}

#[test]
fn samples_are_what_prometheus_reads() {
    let mut seen = [0; 256];
    for chunk in chunks() {
        let text = show("", chunk.encoding, &chunk.data);
        match chunk.truth[0].strip_prefix("crc ") {
            Some(_) => assert_eq!(format!("crc {} {:08x}", text.lines().count(), crc32c(text.as_bytes())), chunk.truth[0]),
            None => assert_eq!(text.lines().collect::<Vec<_>>(), chunk.truth),
        }
        if chunk.encoding != Encoding::Aggregate {
            assert_eq!(sample_count(chunk.encoding, &chunk.data), Ok(text.lines().count() as u32));
        }
        seen[usize::from(chunk.encoding.as_byte())] += 1;
    }
    assert!(Encoding::ALL.iter().all(|e| seen[usize::from(e.as_byte())] >= 5), "{seen:?}");
}

/// The same samples again, from nothing; `None` for encodings that are not written.
fn rewritten(encoding: Encoding, data: &[u8]) -> Option<Vec<u8>> {
    let mut samples = Samples::new(encoding, data).ok()?;
    Some(match encoding {
        Encoding::Xor => {
            let mut chunk = XorAppender::new();
            FloatSamples::new(encoding, data).unwrap().map(Result::unwrap).for_each(|(t, v)| chunk.append(t, v));
            assert_eq!(XorAppender::reopen(data).unwrap().bytes(), data);
            chunk.into_bytes()
        }
        Encoding::Histogram => {
            let mut chunk = HistogramAppender::new();
            while samples.advance().unwrap() {
                let ValueRef::Histogram(h) = samples.value() else { panic!("no histogram") };
                chunk.append(samples.time(), h, None, Mode::AppendOnly).unwrap();
            }
            assert_eq!(HistogramAppender::reopen(data).unwrap().bytes(), data);
            chunk.into_bytes()
        }
        Encoding::FloatHistogram => {
            let mut chunk = FloatHistogramAppender::new();
            while samples.advance().unwrap() {
                let ValueRef::FloatHistogram(h) = samples.value() else { panic!("no float histogram") };
                chunk.append(samples.time(), h, None, Mode::AppendOnly).unwrap();
            }
            assert_eq!(FloatHistogramAppender::reopen(data).unwrap().bytes(), data);
            chunk.into_bytes()
        }
        _ => return None,
    })
}

#[test]
fn samples_are_written_as_prometheus_writes_them() {
    let check = |encoding: Encoding, data: &[u8]| {
        let mut expected = data.to_vec();
        let Some(again) = rewritten(encoding, data) else { return 0 };
        if encoding != Encoding::Xor {
            // what the writer knew of the chunk before, samples do not say
            expected[header::HINT_BYTE] = again[header::HINT_BYTE];
        }
        assert_eq!(again, expected, "{encoding}");
        1
    };
    let mut checked = 0;
    for chunk in chunks() {
        if chunk.encoding == Encoding::Aggregate {
            let parts = Aggregate::parse(&chunk.data).unwrap();
            checked += parts.iter().map(|(_, encoding, data)| check(encoding, data)).sum::<usize>();
            assert_eq!(encode_aggregate(AggregateKind::ALL.map(|kind| parts.get(kind))), chunk.data);
        } else {
            checked += check(chunk.encoding, &chunk.data);
        }
    }
    assert!(checked > 50, "{checked}");
}

/// `[a,b]` as its items.
fn items<T>(text: &str, item: impl Fn(&str) -> T) -> Vec<T> {
    text[1..text.len() - 1].split(',').filter(|t| !t.is_empty()).map(item).collect()
}

fn int<T: std::str::FromStr<Err: fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn float(text: &str) -> f64 {
    f64::from_bits(u64::from_str_radix(text, 16).unwrap())
}

fn span(text: &str) -> BucketSpan {
    let (offset, length) = text.split_once(':').unwrap();
    BucketSpan { offset: int(offset), length: int(length) }
}

/// Replays the appends of one case; `parse` makes a histogram of the words from the hint on.
fn replay<H: native::Native>(lines: &[&str], parse: impl Fn(&[&str]) -> H) {
    let mut chunk = NativeAppender::<H>::new();
    let mut before: Option<NativeAppender<H>> = None;
    let mut lines = lines.iter();
    while let Some(line) = lines.next() {
        if *line == "cut" {
            before = Some(std::mem::take(&mut chunk));
            continue;
        }
        let words: Vec<&str> = line.split(' ').collect();
        let mode = if words[3] == "true" { Mode::AppendOnly } else { Mode::MayCut };
        let before = before.as_ref().filter(|_| words[4] == "true");
        let done = match chunk.append(int(words[1]), &parse(&words), before, mode) {
            Ok(Appended::Same) => "same",
            Ok(Appended::Recoded) => "recoded",
            Ok(Appended::NewChunk(next)) => {
                chunk = next;
                "new"
            }
            Err(_) => "err",
        };
        let expected = lines.next().unwrap();
        assert_eq!(format!("= {done} {} {:08x}", chunk.bytes().len(), crc32c(chunk.bytes())), *expected, "{line}");
        let again = NativeAppender::<H>::reopen(chunk.bytes()).unwrap();
        assert_eq!((again.count(), again.hint(), again.last_time()), (chunk.count(), chunk.hint(), chunk.last_time()));
        if chunk.count() % 7 == 3 {
            chunk = again;
        }
    }
}

#[test]
fn histograms_are_appended_as_prometheus_appends_them() {
    let lines: Vec<&str> = APPENDS.lines().filter(|l| !l.starts_with('#')).collect();
    let hint = |word: &str| match word {
        "0" => ResetHint::Unknown,
        "1" => ResetHint::Reset,
        "2" => ResetHint::NotReset,
        _ => ResetHint::Gauge,
    };
    let mut cases = 0;
    for case in lines.split(|l| l.starts_with("case")).filter(|c| !c.is_empty()) {
        if cases % 2 == 0 {
            replay(case, |w| Histogram {
                reset_hint: hint(w[2]),
                schema: int(w[5]),
                zero_threshold: float(w[6]),
                zero_count: int(w[7]),
                count: int(w[8]),
                sum: float(w[9]),
                positive_spans: items(w[10], span),
                positive_buckets: items(w[11], int),
                negative_spans: items(w[12], span),
                negative_buckets: items(w[13], int),
                custom_values: items(w[14], float),
            });
        } else {
            replay(case, |w| FloatHistogram {
                reset_hint: hint(w[2]),
                schema: int(w[5]),
                zero_threshold: float(w[6]),
                zero_count: float(w[7]),
                count: float(w[8]),
                sum: float(w[9]),
                positive_spans: items(w[10], span),
                positive_buckets: items(w[11], float),
                negative_spans: items(w[12], span),
                negative_buckets: items(w[13], float),
                custom_values: items(w[14], float),
            });
        }
        cases += 1;
    }
    assert!(cases >= 10, "{cases}");
}
