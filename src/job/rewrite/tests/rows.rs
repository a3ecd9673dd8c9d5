//! The rows of upstream's `TestCompactor_WriteSeries_e2e`, each with what the change log says.
//!
//! *Source*: Thanos `pkg/compactv2/compactor_test.go`; its rows that merge two blocks are a compaction here.

use super::block::{Series, meta, put, read, series};
use super::*;
use crate::job::relabel::parse_relabelings;

const A: &[(i64, f64)] = &[(0, 0.0), (1, 1.0), (2, 2.0)];
const B: &[(i64, f64)] = &[(10, 11.0), (11, 11.0), (20, 20.0)];
const AB: &[(i64, f64)] = &[(0, 0.0), (1, 1.0), (2, 2.0), (10, 12.0), (11, 11.0), (20, 20.0)];
const ALL: &[(i64, f64)] = &[(0, 0.0), (1, 1.0), (2, 2.0), (10, 11.0), (11, 11.0), (20, 20.0)];

/// Rewrites a block of `input`: the series that are left, with the change log, and counts as `meta.json` has them.
fn check(input: &[Series], request: &Request, expected: &[Series], changes: &str) {
    wait(async {
        let world = World::new(2);
        let old = meta(1, 0);
        put(world.bucket(), &old, input).await;
        let mut lines = String::new();
        let planned = world.catalog().await.blocks.remove(0);
        let mut changed = |line: &str| {
            lines.push_str(line);
            Ok(())
        };
        let counted = survey(&world.env, &planned, request, &mut changed).await.unwrap();
        assert_eq!(lines, changes, "a dry run says the same");

        let done = world.run(request, &Choice::Ids(vec![old.ulid]), &world.options()).await.unwrap();
        assert_eq!(done.len(), 1);
        let samples = |all: &[Series]| all.iter().flat_map(|s| &s.chunks).map(|c| c.len() as u64).sum::<u64>();
        if expected.is_empty() {
            assert!(matches!(done[0].fate, Fate::Emptied));
            assert_eq!(world.catalog().await.blocks.len(), 1, "nothing stays behind");
            assert_eq!(counted.deleted_series, input.len() as u64);
            return;
        }
        let meta = written(&done[0]);
        assert_eq!(read(world.bucket(), meta.ulid).await, expected);
        assert_eq!(world.change_log(meta.ulid), changes);
        let chunks = expected.iter().map(|s| s.chunks.len() as u64).sum();
        let stats = &meta.stats;
        assert_eq!((stats.num_series, stats.num_chunks, stats.num_samples), (expected.len() as u64, chunks, samples(expected)));
        if request.relabeling.is_empty() {
            assert_eq!(counted.samples, samples(input) - samples(expected), "what a dry run counts is what goes");
        }
    });
}

fn abc() -> [Series; 3] {
    [series(&[("a", "1")], &[ALL]), series(&[("a", "2")], &[A, B]), series(&[("a", "3")], &[AB])]
}

#[test]
fn nothing_is_asked_for() {
    check(&abc(), &request("", ""), &abc(), "");
}

#[test]
fn a_request_that_deletes_nothing() {
    let yaml = "- matchers: '{a=\"0\"}'\n  intervals: [{mint: -9223372036854775808, maxt: 9223372036854775807}]\n\
                - matchers: '{a=\"1\"}'\n  intervals: [{mint: -9223372036854775808, maxt: -1}]\n";
    check(&abc(), &request(yaml, ""), &abc(), "");
    let yaml = "- matchers: '{a=\"0\"}'\n- matchers: '{a=\"1\"}'\n  intervals: [{mint: -9223372036854775808, maxt: -1}]\n";
    check(&abc(), &request(yaml, ""), &abc(), "");
}

#[test]
fn the_second_series_is_deleted() {
    let yaml = "- matchers: '{a=\"2\"}'\n- matchers: '{a=\"1\"}'\n  intervals: [{mint: -9223372036854775808, maxt: -1}]\n";
    let [one, _, three] = abc();
    check(&abc(), &request(yaml, ""), &[one, three], "Deleted {a=\"2\"} [{0 20}]\n");
}

#[test]
fn the_second_series_and_part_of_the_third() {
    let yaml = "- matchers: '{a=\"2\"}'\n- matchers: '{a=\"1\"}'\n  intervals: [{mint: -9223372036854775808, maxt: -1}]\n\
                - matchers: '{a=\"3\"}'\n  intervals: [{mint: 10, maxt: 11}]\n";
    let [one, _, _] = abc();
    let left = series(&[("a", "3")], &[&[(0, 0.0), (1, 1.0), (2, 2.0), (20, 20.0)]]);
    check(&abc(), &request(yaml, ""), &[one, left], "Deleted {a=\"2\"} [{0 20}]\nDeleted {a=\"3\"} [{10 11}]\n");
}

#[test]
fn all_matchers_have_to_match() {
    let yaml = "- matchers: '{a=\"1\", b=\"2\"}'";
    let input = [
        series(&[("a", "1")], &[AB]),
        series(&[("a", "1"), ("b", "1")], &[ALL]),
        series(&[("a", "1"), ("b", "2")], &[A, B]),
        series(&[("a", "1"), ("b", "2"), ("foo", "bar")], &[A, B]),
        series(&[("b", "2")], &[AB]),
        series(&[("c", "1")], &[AB]),
    ];
    let left = [input[0].clone(), input[1].clone(), input[4].clone(), input[5].clone()];
    let changes = "Deleted {a=\"1\", b=\"2\"} [{0 20}]\nDeleted {a=\"1\", b=\"2\", foo=\"bar\"} [{0 20}]\n";
    check(&input, &request(yaml, ""), &left, changes);
}

#[test]
fn matchers_that_are_no_equality_select_labels_that_are_there() {
    let yaml = "- matchers: '{a!=\"1\", foo=~\"^ba.$\"}'";
    let input = [
        series(&[("a", ""), ("foo", "bat")], &[A, B]),
        series(&[("a", "1")], &[A, B]),
        series(&[("a", "2")], &[A, B]),
        series(&[("a", "2"), ("foo", "1")], &[A, B]),
        series(&[("a", "2"), ("foo", "bar")], &[A, B]),
        series(&[("a", "3"), ("foo", "baz")], &[A, B]),
        series(&[("c", "1")], &[A, B]),
        series(&[("foo", "bat")], &[A, B]),
    ];
    let left: Vec<Series> = input.iter().enumerate().filter(|(n, _)| ![4, 5].contains(n)).map(|(_, s)| s.clone()).collect();
    let changes = "Deleted {a=\"2\", foo=\"bar\"} [{0 20}]\nDeleted {a=\"3\", foo=\"baz\"} [{0 20}]\n";
    check(&input, &request(yaml, ""), &left, changes);
}

/// Upstream's row of samples every so often in two chunks, one of which goes.
#[test]
fn a_chunk_that_loses_all_is_left_out() {
    let times = |from: i64, to: i64| -> Vec<(i64, f64)> { (from..to).map(|i| (i * 6, i as f64)).collect() };
    let (first, second) = (times(0, 117), times(117, 150));
    let input = [series(&[("a", "1")], &[&first, &second])];
    let yaml = "- matchers: '{a=\"1\"}'\n  intervals: [{mint: 0, maxt: 696}]";
    check(&input, &request(yaml, ""), &[series(&[("a", "1")], &[&second])], "Deleted {a=\"1\"} [{0 696}]\n");
}

#[test]
fn chunks_of_a_series_become_larger_ones() {
    let yaml = "- {action: drop, regex: no-match, source_labels: [a]}";
    let input = [series(&[("a", "1")], &[A, B])];
    check(&input, &request("", yaml), &[series(&[("a", "1")], &[ALL])], "");
}

#[test]
fn a_series_is_dropped_by_a_rule() {
    let [one, two, three] = abc();
    let yaml = "- {action: drop, regex: '1', source_labels: [a]}";
    let left = [series(&[("a", "2")], &[ALL]), three.clone()];
    check(&[one, two, three], &request("", yaml), &left, "Deleted {a=\"1\"} [{0 20}]\n");
}

#[test]
fn series_change_places() {
    let yaml = "- {regex: '1', source_labels: [a], target_label: a, replacement: '3'}\n\
                - {regex: '2', source_labels: [a], target_label: a, replacement: '0'}";
    let input = [series(&[("a", "1")], &[AB]), series(&[("a", "2")], &[A, B])];
    let left = [series(&[("a", "0")], &[ALL]), series(&[("a", "3")], &[AB])];
    check(&input, &request("", yaml), &left, "Relabelled {a=\"1\"} {a=\"3\"}\nRelabelled {a=\"2\"} {a=\"0\"}\n");
}

#[test]
fn series_without_labels_are_dropped() {
    let yaml = "- {action: labeldrop, regex: a}";
    let input = [series(&[("a", "1")], &[A, B]), series(&[("a", "2")], &[A, B])];
    check(&input, &request("", yaml), &[], "Deleted {a=\"1\"} [{0 20}]\nDeleted {a=\"2\"} [{0 20}]\n");
    let input = [series(&[("a", "1")], &[A, B]), series(&[("a", "2"), ("b", "1")], &[A, B])];
    let changes = "Deleted {a=\"1\"} [{0 20}]\nRelabelled {a=\"2\", b=\"1\"} {b=\"1\"}\n";
    check(&input, &request("", yaml), &[series(&[("b", "1")], &[ALL])], changes);
}

#[test]
fn series_become_one() {
    let yaml = "- {regex: '1|2', source_labels: [a], target_label: a, replacement: '0'}";
    let input = [
        series(&[("a", "1")], &[&[(1, 1.0), (2, 2.0), (10, 10.0), (20, 20.0)]]),
        series(&[("a", "2")], &[&[(0, 0.0), (2, 2.0), (3, 3.0)], &[(4, 4.0), (11, 11.0), (20, 20.0), (25, 25.0)]]),
    ];
    let merged: Vec<(i64, f64)> = [0, 1, 2, 3, 4, 10, 11, 20, 25].iter().map(|&t| (t, t as f64)).collect();
    let changes = "Relabelled {a=\"1\"} {a=\"0\"}\nRelabelled {a=\"2\"} {a=\"0\"}\n";
    check(&input, &request("", yaml), &[series(&[("a", "0")], &[&merged])], changes);
}

#[test]
fn a_moved_series_joins_one_that_stays() {
    let yaml = "- {regex: '1', source_labels: [a], target_label: a, replacement: '2'}";
    let input = [series(&[("a", "1")], &[A]), series(&[("a", "2")], &[B]), series(&[("a", "3")], &[A])];
    let left = [series(&[("a", "2")], &[ALL]), series(&[("a", "3")], &[A])];
    check(&input, &request("", yaml), &left, "Relabelled {a=\"1\"} {a=\"2\"}\n");
}

#[test]
fn labels_are_changed_before_series_are_deleted() {
    let relabeling = "- {regex: '1', source_labels: [a], target_label: a, replacement: '9'}";
    let deletions =
        "- matchers: '{a=\"9\"}'\n  intervals: [{mint: 0, maxt: 9}]\n- matchers: '{a=\"1\"}'\n- matchers: '{a=\"3\"}'";
    let left = [series(&[("a", "2")], &[ALL]), series(&[("a", "9")], &[B])];
    let request = Request { relabeling: parse_relabelings(relabeling).unwrap(), ..request(deletions, "") };
    wait(async {
        let world = World::new(2);
        put(world.bucket(), &meta(1, 0), &abc()).await;
        let done = world.run(&request, &Choice::Ids(vec![meta(1, 0).ulid]), &world.options()).await.unwrap();
        let new = written(&done[0]).ulid;
        assert_eq!(read(world.bucket(), new).await, left);
        let log = world.change_log(new);
        assert_eq!(log, "Relabelled {a=\"1\"} {a=\"9\"}\nDeleted {a=\"9\"} [{0 9}]\nDeleted {a=\"3\"} [{0 20}]\n");
    });
}
