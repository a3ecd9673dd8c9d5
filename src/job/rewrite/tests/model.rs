//! Random blocks and requests beside a plain model; the same bytes for any number of threads.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::block::{Labels, Series, meta, put, read};
use super::*;
use crate::model::Millis;

/// A value that depends on nothing but the time, so that it does not matter which of two samples is kept.
fn value(time: Millis) -> f64 {
    time as f64 / 3.0
}

fn blocks() -> impl Strategy<Value = Vec<Series>> {
    let label = prop::sample::subsequence(vec![("a", "1"), ("b", "1"), ("b2", "x"), ("c", "3")], 0..4);
    let times = prop::collection::btree_set(0i64..300, 1..60);
    let one = (0..6u8, label, times, 1..4usize).prop_map(|(name, labels, times, chunks)| {
        let mut all: Labels = vec![("__name__".into(), format!("m{name}"))];
        all.extend(labels.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())));
        let times: Vec<Millis> = times.into_iter().collect();
        let chunks = times.chunks(times.len().div_ceil(chunks)).map(|c| c.iter().map(|&t| (t, value(t))).collect()).collect();
        Series { labels: all, chunks }
    });
    prop::collection::vec(one, 1..30).prop_map(|all| {
        let by_labels: BTreeMap<Labels, Series> = all.into_iter().map(|s| (s.labels.clone(), s)).collect();
        by_labels.into_values().collect()
    })
}

/// Labels and times, without chunk borders.
fn flat(series: &[Series]) -> BTreeMap<Labels, Vec<Millis>> {
    let mut out = BTreeMap::new();
    for s in series {
        let samples: Vec<(Millis, f64)> = s.chunks.iter().flatten().copied().collect();
        assert!(samples.iter().all(|&(t, v)| v.to_bits() == value(t).to_bits()));
        out.insert(s.labels.clone(), samples.into_iter().map(|s| s.0).collect());
    }
    out
}

fn get<'a>(labels: &'a Labels, name: &str) -> &'a str {
    labels.iter().find(|l| l.0 == name).map_or("", |l| &l.1)
}

/// Rewrites with 1, 2 and 7 threads; the block's series, and nothing where none are left.
fn rewrite(series: &[Series], request: &Request) -> Vec<Series> {
    let mut first: Option<Vec<(String, Vec<u8>)>> = None;
    let mut left = Vec::new();
    for threads in [1, 2, 7] {
        wait(async {
            let world = World::new(threads);
            put(world.bucket(), &meta(1, 0), series).await;
            let done = world.run(request, &Choice::Ids(vec![meta(1, 0).ulid]), &world.options()).await.unwrap();
            let mut files = vec![];
            if let Fate::Written(meta) = &done[0].fate {
                left = read(world.bucket(), meta.ulid).await;
                for name in ["chunks/000001", "index", "meta.json"] {
                    let bytes = world.bucket().get(&format!("{}/{name}", meta.ulid), 1 << 30).await.unwrap();
                    files.push((name.to_owned(), bytes.to_vec()));
                }
                files.push(("change.log".to_owned(), world.change_log(meta.ulid).into_bytes()));
            }
            let before = first.get_or_insert_with(|| files.clone());
            assert!(*before == files, "{threads} threads make other bytes");
        });
    }
    left
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn deleting_is_a_filter(series in blocks(), from in 0i64..300, len in 0i64..200, unused: bool) {
        let yaml = format!(
            "- matchers: '{{__name__=~\"m[01]\", a=\"1\"}}'\n- matchers: '{{b!=\"\"}}'\n  intervals: [{{mint: {from}, maxt: {}}}, {{mint: 10, maxt: 12}}]",
            from + len
        );
        let request = Request { drop_unused_symbols: unused, ..request(&yaml, "") };
        let mut expected = flat(&series);
        expected.retain(|labels, _| !(["m0", "m1"].contains(&get(labels, "__name__")) && get(labels, "a") == "1"));
        for (labels, times) in &mut expected {
            if !get(labels, "b").is_empty() {
                times.retain(|t| !((from..=from + len).contains(t) || (10..=12).contains(t)));
            }
        }
        expected.retain(|_, times| !times.is_empty());
        prop_assert_eq!(flat(&rewrite(&series, &request)), expected);
    }

    #[test]
    fn relabelling_groups(series in blocks(), unused: bool) {
        let yaml = "- {action: labeldrop, regex: 'b.*'}\n- {source_labels: [__name__], regex: 'm([3-5])', target_label: __name__, replacement: 'a$1'}\n\
                    - {source_labels: [__name__, c], regex: 'm0;3', action: drop}\n- {source_labels: [a], regex: '1', target_label: zz, replacement: new}";
        let deletion = "- matchers: '{__name__=\"a3\"}'\n  intervals: [{mint: 50, maxt: 100}]\n- matchers: a4";
        let request = Request { drop_unused_symbols: unused, ..request(deletion, yaml) };
        let mut expected: BTreeMap<Labels, std::collections::BTreeSet<Millis>> = BTreeMap::new();
        for (labels, times) in flat(&series) {
            let mut new: Labels = labels.into_iter().filter(|l| !l.0.starts_with('b')).collect();
            if let "m3" | "m4" | "m5" = new[0].1.as_str() {
                new[0].1.replace_range(..1, "a");
            }
            if new[0].1 == "a4" || (new[0].1 == "m0" && get(&new, "c") == "3") {
                continue;
            }
            if get(&new, "a") == "1" {
                new.push(("zz".to_owned(), "new".to_owned()));
            }
            let cut = new[0].1 == "a3";
            expected.entry(new).or_default().extend(times.into_iter().filter(|t| !(cut && (50..=100).contains(t))));
        }
        expected.retain(|_, times| !times.is_empty());
        let got = flat(&rewrite(&series, &request));
        let got: BTreeMap<Labels, std::collections::BTreeSet<Millis>> = got.into_iter().map(|(l, t)| (l, t.into_iter().collect())).collect();
        prop_assert_eq!(got, expected);
    }
}
