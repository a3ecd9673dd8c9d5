//! The planner's tables, read from text: metas in, plan out.
//!
//! A file begins with `ranges` and has cases. A case names its blocks, `id[start,end)` with `series=`,
//! `tombstones=`, `index=`, `resolution=`, `failed` and `marked`; `limit` sets the largest index, `vertical`
//! turns vertical compaction on. `plan` has the ids of the step or `none`, then `:` and why; `mark` has an id
//! and its reason.

use super::*;
use crate::model::TimeRange;

struct Case {
    name: String,
    pieces: Vec<Piece>,
    limits: Limits,
    expected: Vec<String>,
}

fn id(n: i64) -> BlockId {
    BlockId::from_parts(n, 0)
}

fn parse_piece(line: &str) -> Piece {
    let (name, rest) = line.split_once('[').expect(line);
    let (range, rest) = rest.split_once(')').expect(line);
    let (start, end) = range.split_once(',').expect(line);
    let mut piece = Piece {
        id: id(name.trim().parse().expect(line)),
        range: TimeRange::new(start.parse().expect(line), end.parse().expect(line)),
        resolution: 0,
        failed: false,
        no_compact: false,
        series: 0,
        tombstones: 0,
        index_bytes: 0,
    };
    for word in rest.split_whitespace() {
        match word.split_once('=').unwrap_or((word, "0")) {
            ("failed", _) => piece.failed = true,
            ("marked", _) => piece.no_compact = true,
            ("series", n) => piece.series = n.parse().expect(line),
            ("tombstones", n) => piece.tombstones = n.parse().expect(line),
            ("index", n) => piece.index_bytes = n.parse().expect(line),
            ("resolution", n) => piece.resolution = n.parse().expect(line),
            other => panic!("{other:?} in {line}"),
        }
    }
    piece
}

fn parse(text: &str) -> (Vec<Millis>, Vec<Case>) {
    let (mut ranges, mut cases) = (Vec::new(), Vec::<Case>::new());
    for line in text.lines().map(|l| l.split('#').next().unwrap_or("").trim()).filter(|l| !l.is_empty()) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (word, cases.last_mut()) {
            ("ranges", _) => ranges = rest.split_whitespace().map(|n| n.parse().expect(line)).collect(),
            ("case", _) => cases.push(Case {
                name: rest.to_owned(),
                pieces: Vec::new(),
                limits: Limits { max_index_bytes: u64::MAX, vertical: false },
                expected: Vec::new(),
            }),
            ("limit", Some(case)) => case.limits.max_index_bytes = rest.parse().expect(line),
            ("vertical", Some(case)) => case.limits.vertical = true,
            ("plan" | "mark", Some(case)) => case.expected.push(line.to_owned()),
            (_, Some(case)) => case.pieces.push(parse_piece(line)),
            (_, None) => panic!("before the first case: {line}"),
        }
    }
    (ranges, cases)
}

fn run(case: &Case, ranges: &[Millis]) -> Vec<String> {
    let mut pieces = case.pieces.clone();
    pieces.sort_by_key(|p| (p.range.start, p.id));
    let (step, marks) = next_step_within(&pieces, ranges, case.limits);
    let plan = match step {
        Step::Compact(chosen, why) => {
            let ids: Vec<String> = chosen.iter().map(|&at| pieces[at].id.created().to_string()).collect();
            let why = match why {
                Why::Overlap => "overlap".to_owned(),
                Why::Window { start, length } => format!("window {start}+{length}"),
                Why::Tombstones => "tombstones".to_owned(),
            };
            format!("plan {}: {why}", ids.join(" "))
        }
        Step::Nothing(nothing) => {
            let why = match nothing {
                Nothing::OneBlock => "one block".to_owned(),
                Nothing::AllMarked => "all marked".to_owned(),
                Nothing::OneRange => "one range".to_owned(),
                Nothing::Failed { block } => format!("{} failed", block.created()),
                Nothing::Open { start, length, blocks } => format!("{blocks} in open window {start}+{length}"),
                Nothing::Separated => "separated".to_owned(),
                Nothing::Apart => "apart".to_owned(),
            };
            format!("plan none: {why}")
        }
    };
    let marks = marks.iter().map(|m| format!("mark {} {}", m.block.created(), m.reason));
    std::iter::once(plan).chain(marks).collect()
}

fn check(text: &str, cases_expected: usize) {
    let (ranges, cases) = parse(text);
    let mut wrong = String::new();
    for case in &cases {
        let got = run(case, &ranges);
        if got != case.expected {
            wrong.push_str(&format!("case {}\n  want {:?}\n  got  {got:?}\n", case.name, case.expected));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert_eq!(cases.len(), cases_expected);
}

#[test]
fn upstreams_planner() {
    check(include_str!("../../../testdata/plans/planner.txt"), 24);
}

#[test]
fn blocks_marked_no_compact() {
    check(include_str!("../../../testdata/plans/no-compact.txt"), 12);
}

#[test]
fn large_indexes() {
    check(include_str!("../../../testdata/plans/index-size.txt"), 9);
}

#[test]
fn overlaps_of_downsampled_blocks() {
    check(include_str!("../../../testdata/plans/vertical.txt"), 4);
}

#[test]
fn odd_times() {
    check(include_str!("../../../testdata/plans/odd-times.txt"), 6);
}

#[test]
fn the_products_ranges() {
    check(include_str!("../../../testdata/plans/product.txt"), 5);
}

#[test]
fn one_range_never_plans() {
    let text = "case x\n 1[0,10)\n 2[10,20)\n 3[20,30)\n 4[30,40)\n";
    assert_eq!(run(&parse(text).1[0], &[10]), ["plan none: one range"]);
}

#[test]
fn steps_come_to_an_end_and_keep_blocks_apart() {
    const RANGES: [Millis; 5] = [20, 60, 180, 540, 1620];
    let mut seed = 1u64;
    let mut draw = |below: u64| {
        // a linear congruence is chance enough for shapes of groups
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for round in 0..500 {
        let mut pieces = Vec::new();
        let mut at = draw(2000) as Millis - 1000;
        for n in 0..draw(40) as i64 {
            let length = RANGES[draw(4) as usize];
            at = (at + draw(40) as Millis) / 20 * 20;
            let text = format!("{n}[{at},{}) series={} tombstones={}", at + length, draw(50), draw(3));
            let mut piece = parse_piece(&text);
            piece.no_compact = draw(10) == 0;
            piece.failed = draw(20) == 0;
            pieces.push(piece);
            at += length;
        }
        let covered: Millis = pieces.iter().map(|p| p.range.len_ms()).sum();
        for left in (0..=2 * pieces.len()).rev() {
            let Step::Compact(chosen, why) = next_step(&pieces, &RANGES) else { break };
            assert!(left > 0, "round {round} never ends");
            let mut made = pieces[chosen[0]].clone();
            made.tombstones = 0;
            made.range = chosen.iter().map(|&at| pieces[at].range).reduce(TimeRange::union).unwrap();
            assert!(chosen.iter().all(|&at| !pieces[at].no_compact), "round {round}");
            assert_eq!(chosen.len() == 1, why == Why::Tombstones, "round {round}");
            let mut at = 0..;
            pieces.retain(|_| !chosen.contains(&at.next().unwrap()));
            pieces.push(made);
            pieces.sort_by_key(|p| (p.range.start, p.id));
            assert!(pieces.is_sorted_by(|a, b| a.range.end <= b.range.start), "round {round}");
        }
        let after: Millis = pieces.iter().map(|p| p.range.len_ms()).sum();
        assert!(after >= covered, "round {round}");
    }
}

#[test]
fn lengths_and_sizes_for_people() {
    let lengths = [(0, "0s"), (7_200_000, "2h"), (1_209_600_000, "14d"), (129_600_020, "1d12h20ms"), (-1000, "-1s")];
    lengths.iter().for_each(|&(ms, text)| assert_eq!(duration_text(ms), text));
    let sizes = [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_572_864, "1.5 MiB"), (u64::MAX, "16.0 EiB")];
    sizes.iter().for_each(|&(bytes, text)| assert_eq!(size_text(bytes), text));
}

mod groups {
    //! What keeps a whole group from being compacted.

    use std::sync::Arc;

    use super::super::*;
    use crate::format::marks::NoCompactMark;
    use crate::format::meta::Meta;
    use crate::job::group::groups;
    use crate::model::LabelSet;

    const HOUR: Millis = 3_600_000;

    /// Blocks as `(id, first hour, hour behind, sources)`.
    fn group(blocks: &[(i64, i64, i64, &[i64])]) -> Group {
        let of = |&(n, start, end, sources): &(i64, i64, i64, &[i64])| {
            let mut meta = Meta { ulid: BlockId::from_parts(n, 0), version: 1, ..Meta::default() };
            (meta.min_time, meta.max_time) = (start * HOUR, end * HOUR);
            meta.compaction.sources = sources.iter().map(|&s| BlockId::from_parts(s, 0)).collect();
            let object = |name: &str, len_bytes| crate::bucket::Object {
                key: format!("{}/{name}", meta.ulid),
                len_bytes,
                modified: 0,
                etag: None,
            };
            let objects = vec![object("chunks/000001", 20 << 20), object("index", 1 << 20), object("meta.json", 1000)];
            CatalogBlock {
                id: meta.ulid,
                labels: Arc::new(LabelSet::from_iter([("cluster", "a")])),
                meta: Arc::new(meta),
                objects: objects.into(),
                deletion: None,
                no_compact: None,
                no_downsample: None,
            }
        };
        groups(blocks.iter().map(of).collect()).remove(0)
    }

    fn reason(group: &Group, options: &PassOptions) -> String {
        plan_group(group, options).step.map_or_else(|e| e.to_string(), |step| format!("{step:?}"))
    }

    #[test]
    fn an_overlap_halts_its_group_unless_vertical() {
        let mut group = group(&[(1, 0, 2, &[1]), (2, 1, 4, &[2]), (3, 4, 6, &[3])]);
        let options = PassOptions::default();
        let error = plan_group(&group, &options).step.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.to_string().contains("blocks of one group overlap: 00000000010000000000000000 [0, 7200000), 00000000020000000000000000 [3600000, 14400000)"), "{error}");
        // a mark does not take the overlap away
        group.blocks[0].no_compact = Some(NoCompactMark::new(group.blocks[0].id, 0, "manual", "").into());
        assert!(plan_group(&group, &options).step.is_err());
        group.blocks[0].no_compact = None;
        let vertical = PassOptions { vertical: true, ..options };
        assert_eq!(reason(&group, &vertical), "Compact([0, 1], Overlap)");
    }

    #[test]
    fn samples_that_came_late_are_merged_without_being_asked_for() {
        let with = |late: &[usize], change: fn(&mut Group)| {
            let mut group = group(&[(1, 0, 2, &[1]), (2, 1, 4, &[2]), (3, 4, 6, &[3]), (4, 5, 8, &[4])]);
            for &at in late {
                Arc::make_mut(&mut group.blocks[at].meta).compaction.hints = vec!["from-out-of-order".to_owned()];
            }
            change(&mut group);
            reason(&group, &PassOptions::default())
        };
        let as_they_are: fn(&mut Group) = |_| {};
        assert_eq!(with(&[0, 3], as_they_are), "Compact([0, 1], Overlap)");
        assert_eq!(with(&[1, 2], as_they_are), "Compact([0, 1], Overlap)");
        // the other two overlap for no such reason, and they are named
        let text = with(&[1], as_they_are);
        assert!(text.contains("overlap: 00000000030000000000000000 [14400000, 21600000), 0000000004"), "{text}");
        let text = with(&[0, 3], |group| group.resolution = 300_000);
        assert!(text.contains("overlap"), "nobody knows how to merge two averages: {text}");
        // a mark keeps one out, which may overlap what becomes of the others
        let marked = |group: &mut Group| {
            group.blocks[1].no_compact = Some(NoCompactMark::new(group.blocks[1].id, 0, "manual", "").into());
        };
        assert_eq!(with(&[1, 3], marked), "Compact([2, 3], Overlap)");
    }

    #[test]
    fn common_sources_halt_unless_vertical() {
        let group = group(&[(1, 0, 2, &[1, 9]), (2, 2, 4, &[2]), (3, 4, 6, &[3, 9]), (4, 6, 8, &[4]), (5, 8, 10, &[5])]);
        let options = PassOptions::default();
        let text = reason(&group, &options);
        let named = "00000000090000000000000000 is a source of 00000000010000000000000000 and of 00000000030000000000000000";
        assert!(text.contains(named), "{text}");
        assert!(reason(&group, &PassOptions { vertical: true, ..options }).starts_with("Compact([0, 1, 2, 3]"));
    }

    #[test]
    fn why_nothing_is_planned_is_said() {
        let group = group(&[(1, 0, 2, &[1]), (2, 2, 4, &[2]), (3, 4, 6, &[3])]);
        let Ok(Step::Nothing(nothing)) = plan_group(&group, &PassOptions::default()).step else { panic!("a step") };
        assert_eq!(
            nothing.to_string(),
            "window of 8h from 1970-01-01T00:00:00Z has 2 blocks and is open until it is full or two blocks begin behind it"
        );
    }

    #[test]
    fn each_block_that_is_left_alone_has_its_reason() {
        let say = |blocks: &[(i64, i64, i64)], marked: &[i64], failed: &[i64], options: &PassOptions| -> Vec<String> {
            let all: Vec<_> = blocks.iter().map(|&(n, from, to)| (n, from, to, [n])).collect();
            let all: Vec<(i64, i64, i64, &[i64])> = all.iter().map(|(n, from, to, own)| (*n, *from, *to, &own[..])).collect();
            let mut group = group(&all);
            for block in &mut group.blocks {
                if marked.contains(&block.id.created()) {
                    block.no_compact = Some(NoCompactMark::new(block.id, 0, "manual", "").into());
                }
                Arc::make_mut(&mut block.meta).compaction.failed = failed.contains(&block.id.created());
            }
            assert!(matches!(plan_group(&group, options).step, Ok(Step::Nothing(_))), "{blocks:?}");
            left_alone(&group, options).into_iter().map(|alone| format!("{alone:?}")).collect()
        };
        let all = PassOptions::default();
        let hours = |n: i64| format!("start: {}, length: {}", n * HOUR, 8 * HOUR);
        assert_eq!(say(&[(1, 0, 2)], &[], &[], &all), ["OneBlock"]);
        let open = format!("Open {{ {}, blocks: 2 }}", hours(0));
        assert_eq!(say(&[(1, 0, 2), (2, 2, 4), (3, 4, 6)], &[], &[], &all), [&*open, &open, "Newest"]);
        // a gap: nobody else came into the first eight hours, two days are still open
        let two_days = format!("Open {{ start: 0, length: {}, blocks: 2 }}", 48 * HOUR);
        assert_eq!(say(&[(1, 0, 2), (2, 8, 10), (3, 18, 20)], &[], &[], &all), [&*two_days, &two_days, "Newest"]);
        let (longest, days) = (14 * 24, 14 * 24 * HOUR);
        assert_eq!(
            say(&[(1, 0, longest), (2, longest, longest + 2), (3, 3 * longest, 3 * longest + 2)], &[], &[], &all),
            [
                format!("Longest {{ length: {days} }}"),
                format!("NoNeighbour {{ start: {days}, length: {days} }}"),
                "Newest".into()
            ]
        );
        assert_eq!(
            say(&[(1, longest - 1, longest + 1), (2, 3 * longest, 3 * longest + 2)], &[], &[], &all)[0],
            format!("Crosses {{ length: {days} }}")
        );
        let marked = [(1, 0, 2), (2, 2, 4), (3, 4, 6), (4, 8, 10), (5, 10, 12)];
        assert_eq!(say(&marked, &[2, 4, 5], &[], &all), ["Separated", "Marked", "Separated", "Marked", "Marked"]);
        let failed = say(&[(1, 0, 2), (2, 2, 4), (3, 8, 10), (4, 10, 12)], &[], &[2], &all);
        assert!(failed[0].starts_with("Failed") && failed[1].starts_with("Failed"), "{failed:?}");
        let none = PassOptions { max_level: 0, ..all };
        assert_eq!(say(&[(1, 0, 2), (2, 2, 4)], &[], &[], &none), ["OneRange", "Newest"]);
    }
}
