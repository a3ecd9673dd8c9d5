//! Plans of retention over metas, and what becomes of them in a bucket.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::TryStreamExt;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::bucket::{Bucket, Object};
use crate::clock::ManualClock;
use crate::format::marks::{DeletionMark, NoCompactMark, NoDownsampleMark};
use crate::format::meta::Meta;
use crate::job::{Env, Event, Report, Silent};
use crate::model::LabelSet;
use crate::series::aggregate::{FIVE_MINUTES, ONE_HOUR};

const HOUR: Millis = 3_600_000;
const DAY: Millis = 24 * HOUR;

/// A Thursday at midnight in 2026, and the start of a window of two weeks and so of every shorter one.
const NOW: Millis = 1470 * 14 * DAY;

fn id(n: i64) -> BlockId {
    BlockId::from_parts(n, 0)
}

/// A block of 100 bytes from `from` to `to`, milliseconds relative to now.
fn block(n: i64, resolution: Millis, from: Millis, to: Millis) -> CatalogBlock {
    of(n, resolution, from, to, &[n])
}

fn of(n: i64, resolution: Millis, from: Millis, to: Millis, sources: &[i64]) -> CatalogBlock {
    let mut meta = Meta { ulid: id(n), min_time: NOW + from, max_time: NOW + to, version: 1, ..Meta::default() };
    meta.compaction.level = 1;
    meta.compaction.sources = sources.iter().map(|&s| id(s)).collect();
    meta.stats.num_samples = 10;
    meta.thanos.labels = LabelSet::from_iter([("cluster", "a")]).into();
    meta.thanos.downsample.resolution = resolution;
    CatalogBlock {
        id: meta.ulid,
        labels: meta.thanos.labels.shared().cloned().unwrap_or_default(),
        meta: Arc::new(meta),
        objects: Arc::new([Object { key: format!("{}/index", id(n)), len_bytes: 100, modified: 0, etag: None }]),
        deletion: None,
        no_compact: None,
        no_downsample: None,
    }
}

fn plain(raw: Millis, five_minutes: Millis, one_hour: Millis) -> PassOptions {
    PassOptions { downsampling: false, ..downsampling(raw, five_minutes, one_hour) }
}

fn downsampling(raw: Millis, five_minutes: Millis, one_hour: Millis) -> PassOptions {
    PassOptions { retention_raw: raw, retention_5m: five_minutes, retention_1h: one_hour, ..PassOptions::default() }
}

fn expired(plan: &RetentionPlan) -> Vec<i64> {
    plan.expired.iter().map(|e| e.block.created()).collect()
}

fn held(plan: &RetentionPlan) -> Vec<(i64, &Owes)> {
    plan.held.iter().map(|h| (h.block.created(), &h.owes)).collect()
}

/// R1 to R6: upstream's rules.
#[test]
fn blocks_go_by_their_end_and_resolution() {
    let four = [
        block(1, 0, -3 * DAY, -2 * DAY),
        block(2, FIVE_MINUTES, -2 * DAY, -DAY),
        block(3, ONE_HOUR, -DAY, -23 * HOUR),
        block(4, 0, -23 * HOUR, -6 * HOUR),
    ];
    let check = |blocks: &[CatalogBlock], options: &PassOptions| expired(&plan(blocks, options, NOW));
    assert_eq!(check(&[], &plain(DAY, DAY, DAY)), [0; 0], "R1");
    assert_eq!(check(&four, &plain(DAY, 0, 0)), [1], "R2");
    assert_eq!(check(&four, &plain(0, 0, 0)), [0; 0], "R3");
    let in_1900 = block(1, 0, -NOW - 70 * 365 * DAY, -NOW - 70 * 365 * DAY + 1);
    assert_eq!(check(std::slice::from_ref(&in_1900), &plain(0, 0, 0)), [0; 0], "R4");
    assert_eq!(check(&[in_1900], &plain(DAY, 0, 0)), [1]);
    assert_eq!(check(&[block(1, 1, -3 * DAY, -2 * DAY)], &plain(DAY, DAY, DAY)), [0; 0], "R5");
    let pairs = [
        block(1, 0, -DAY, 0),
        block(2, 0, -2 * DAY, -DAY - 1000),
        block(3, FIVE_MINUTES, -7 * DAY, -6 * DAY),
        block(4, FIVE_MINUTES, -8 * DAY, -7 * DAY - 1000),
        block(5, ONE_HOUR, -14 * DAY, -13 * DAY),
        block(6, ONE_HOUR, -15 * DAY, -14 * DAY - 1000),
    ];
    assert_eq!(check(&pairs, &plain(DAY, 7 * DAY, 14 * DAY)), [2, 4, 6], "R6");
    // whole seconds count, and the limit itself is kept
    assert_eq!(check(&[block(1, 0, -3 * DAY, -DAY)], &plain(DAY, 0, 0)), [0; 0]);
    assert_eq!(check(&[block(1, 0, -3 * DAY, -DAY - 1)], &plain(DAY, 0, 0)), [1]);
    let plan = plan(&four, &plain(DAY, 0, 0), NOW);
    assert_eq!(plan.expired[0].details(), "block exceeding retention of 24h0m0s");
    assert_eq!((plan.bytes(), plan.totals), (100, vec![(0, 200), (FIVE_MINUTES, 100), (ONE_HOUR, 100)]));
}

#[test]
fn the_first_policy_that_matches_counts() {
    let mut other = block(2, 0, -6 * DAY, -5 * DAY);
    other.labels = Arc::new(LabelSet::from_iter([("cluster", "b")]));
    let blocks = [block(1, 0, -6 * DAY, -5 * DAY), other, block(3, FIVE_MINUTES, -6 * DAY, -5 * DAY)];
    let check = |yaml: &str| {
        let options = PassOptions { retention_policies: parse_policies(yaml).unwrap(), ..plain(4 * DAY, 0, 0) };
        expired(&plan(&blocks, &options, NOW))
    };
    assert_eq!(check(""), [1, 2]);
    assert_eq!(check("- {matchers: '{cluster=\"a\"}', raw: 0d, 5m: 1d}"), [2, 3]);
    assert_eq!(check("- {matchers: '{cluster=~\"a|b\"}', raw: 6d}\n- {matchers: '{cluster=\"b\"}', raw: 1d}"), [0; 0]);
    assert_eq!(check("- {matchers: '{cluster=\"c\"}', raw: 6d}"), [1, 2]);
}

/// Raw goes after 60 days, five minutes after a year, hours stay.
fn years() -> PassOptions {
    downsampling(60 * DAY, 365 * DAY, 0)
}

#[test]
fn what_is_long_enough_is_held_until_it_is_downsampled() {
    let day = |n: i64| n * DAY;
    let long = block(1, 0, day(-98), day(-84));
    let newest = block(9, 0, -2 * HOUR, 0);
    let check = |blocks: &[CatalogBlock]| plan(blocks, &years(), NOW);
    let first = check(&[long.clone(), newest.clone()]);
    assert_eq!(held(&first), [(1, &Owes::Downsampling { to: FIVE_MINUTES })]);
    assert_eq!((expired(&first), first.held_bytes()), (vec![], 100));
    // there it is
    let second = check(&[long.clone(), of(2, FIVE_MINUTES, day(-98), day(-84), &[1]), newest.clone()]);
    assert_eq!((expired(&second), held(&second)), (vec![1], vec![]));
    assert_eq!(second.expired[0].lost, None);
    // coarser samples would be gone too: nobody waits for them
    let short = plan(&[long.clone(), newest.clone()], &downsampling(60 * DAY, 61 * DAY, 62 * DAY), NOW);
    assert_eq!((expired(&short), short.expired[0].lost), (vec![1], None));
    // those of five minutes would be gone, those of an hour not, and they come by way of the others
    let hours = plan(&[long.clone(), newest.clone()], &downsampling(60 * DAY, 61 * DAY, 0), NOW);
    assert_eq!(held(&hours), [(1, &Owes::Downsampling { to: FIVE_MINUTES })]);
    let there =
        plan(&[long.clone(), of(2, ONE_HOUR, day(-98), day(-84), &[1]), newest], &downsampling(60 * DAY, 61 * DAY, 0), NOW);
    assert_eq!((expired(&there), there.expired[0].lost), (vec![1], None));
    // a block that is to be left alone stays raw for ever, and says so
    let mut marked = long;
    marked.no_downsample = Some(NoDownsampleMark::new(marked.id, 0, "manual", "").into());
    let never = check(&[marked]);
    assert_eq!((expired(&never), never.expired[0].lost), (vec![1], Some(Never::NoDownsample)));
}

#[test]
fn five_minutes_wait_for_their_hours() {
    let options = downsampling(0, 30 * DAY, 0);
    let part = |n: i64, days: i64| block(n, FIVE_MINUTES, (-98 + days) * DAY, (-96 + days) * DAY);
    let later = block(9, FIVE_MINUTES, -14 * DAY, 0);
    let week: Vec<CatalogBlock> = (0..7).map(|n| part(1 + n, 2 * n)).chain([later.clone()]).collect();
    let plan_of = |blocks: &[CatalogBlock]| plan(blocks, &options, NOW);
    let owes = Owes::Compaction { to: ONE_HOUR };
    assert_eq!(held(&plan_of(&week)), (1..8).map(|n| (n, &owes)).collect::<Vec<_>>());
    // only eight days of the window were ever there: no block of ten days comes of that
    let short: Vec<CatalogBlock> = (0..4).map(|n| part(1 + n, 2 * n)).chain([later]).collect();
    let never = plan_of(&short);
    assert_eq!(expired(&never), [1, 2, 3, 4]);
    assert!(never.expired.iter().all(|e| e.lost == Some(Never::TooShort)));
}

#[test]
fn a_window_is_waited_for_while_it_is_open_and_two_days_longer() {
    // kept for 40 hours, which is less than a window of two days and two more
    let options = downsampling(40 * HOUR, 0, 0);
    let two_hours = |n: i64| block(1 + n, 0, 2 * HOUR * n, 2 * HOUR * (n + 1));
    let blocks: Vec<CatalogBlock> = (0..4).map(two_hours).collect();
    let at = |after: Millis, options: &PassOptions| plan(&blocks, options, NOW + after);
    assert!(at(42 * HOUR, &options).is_empty(), "a block of 2h is kept for 42h");
    let open = at(43 * HOUR, &options);
    assert_eq!(held(&open), [(1, &Owes::Window { until: NOW + 4 * DAY })]);
    // the window of two days is closed, that of two weeks is not
    let later = at(5 * DAY, &options);
    assert_eq!(held(&later)[0], (1, &Owes::Window { until: NOW + 16 * DAY }));
    let end = at(16 * DAY, &options);
    assert_eq!(expired(&end), [1, 2, 3, 4]);
    assert_eq!(end.expired[0].lost, Some(Never::TooShort));
    // where nothing is joined to two days nothing is waited for
    let eight_hours = at(43 * HOUR, &PassOptions { max_level: 2, ..options.clone() });
    assert_eq!(expired(&eight_hours), [1]);
    // nor for a block that is not to be joined
    let mut marked = blocks.clone();
    marked[0].no_compact = Some(NoCompactMark::new(marked[0].id, 0, "manual", "").into());
    let alone = plan(&marked, &options, NOW + 43 * HOUR);
    assert_eq!((expired(&alone), alone.expired[0].lost), (vec![1], Some(Never::NoCompact)));
    let mut failed = blocks.clone();
    Arc::make_mut(&mut failed[1].meta).compaction.failed = true;
    let alone = plan(&failed, &options, NOW + 43 * HOUR);
    assert_eq!((expired(&alone), alone.expired[0].lost), (vec![1], Some(Never::Failed)));
}

/// Two weeks of blocks of two days and the first hours behind, of a group of which nothing comes any more.
fn silent() -> Vec<CatalogBlock> {
    let days = (0..7).map(|n| block(1 + n, 0, 2 * n * DAY, 2 * (n + 1) * DAY));
    let hours = (0..3).map(|n| block(11 + n, 0, 14 * DAY + 2 * HOUR * n, 14 * DAY + 2 * HOUR * (n + 1)));
    days.chain(hours).collect()
}

#[test]
fn the_newest_block_stays_while_a_window_before_it_is_to_be_joined() {
    let options = downsampling(40 * HOUR, 12 * DAY, 0);
    // two days after the window behind is closed, and no pass did anything for a month: the hours are too short for ever,
    // but it is the last of them that closes the two weeks
    let late = NOW + 31 * DAY;
    let first = plan(&silent(), &options, late);
    assert_eq!(expired(&first), [11, 12]);
    let due = Owes::Downsampling { to: FIVE_MINUTES };
    let waiting: Vec<(i64, &Owes)> = (1..8).map(|n| (n, &due)).chain([(13, &Owes::Others)]).collect();
    assert_eq!(held(&first), waiting);
    assert!(first.to_string().contains("; others are still to be joined and downsampled, and without it less comes of them\n"));
    // joined and downsampled, it goes
    let sources: Vec<i64> = (1..8).collect();
    let after: Vec<CatalogBlock> = [0, FIVE_MINUTES, ONE_HOUR]
        .into_iter()
        .enumerate()
        .map(|(at, resolution)| of(21 + at as i64, resolution, 0, 14 * DAY, &sources))
        .chain([silent().remove(9)])
        .collect();
    let second = plan(&after, &options, late);
    assert_eq!((expired(&second), held(&second)), (vec![13, 21, 22], vec![]));
}

#[test]
fn a_short_block_goes_where_others_do_not_need_it() {
    let options = downsampling(40 * HOUR, 12 * DAY, 0);
    let late = NOW + 31 * DAY;
    // another group's: its newest block is its own
    let mut other = silent();
    other[9].labels = Arc::new(LabelSet::from_iter([("cluster", "b")]));
    assert_eq!(expired(&plan(&other, &options, late)), [11, 13]);
    // a newer block is there that has not expired
    let mut live = silent();
    live.push(block(14, 0, 30 * DAY, 31 * DAY));
    assert_eq!(expired(&plan(&live, &options, late)), [11, 12, 13]);
    // hours are not kept, and nothing of five minutes is still to be joined
    let no_hours = downsampling(40 * HOUR, 0, HOUR);
    assert_eq!(expired(&plan(&silent(), &no_hours, late)), [11, 12, 13]);
    // without downsampling nothing is held
    let off = PassOptions { downsampling: false, ..options };
    assert_eq!(expired(&plan(&silent(), &off, late)).len(), 10);
}

#[test]
fn a_group_that_waits_for_a_person_loses_nothing() {
    let options = downsampling(40 * HOUR, 0, 0);
    let overlapping = [block(1, 0, -98 * DAY, -98 * DAY + 8 * HOUR), block(2, 0, -98 * DAY, -98 * DAY + 8 * HOUR)];
    let stuck = plan(&overlapping, &options, NOW);
    assert_eq!(expired(&stuck), [0; 0]);
    assert!(matches!(held(&stuck)[0], (1, Owes::Person { why }) if why.contains("overlap")), "{stuck}");
    assert!(stuck.to_string().contains("its group waits for a person: blocks of one group overlap"), "{stuck}");
}

#[test]
fn a_compactor_that_was_off_for_two_months() {
    // it stopped in the middle of a window of two weeks: two blocks of two days were downsampled, the rest of the
    // window and two months are as they were uploaded
    let options = downsampling(40 * HOUR, 10 * DAY, 0);
    let start = -70 * DAY;
    let mut blocks = Vec::new();
    for n in 0..2 {
        let sources: Vec<i64> = (0..24).map(|s| 1 + 24 * n + s).collect();
        let (from, to) = (start + 2 * n * DAY, start + 2 * (n + 1) * DAY);
        blocks.push(of(2000 + n, 0, from, to, &sources));
        blocks.push(of(3000 + n, FIVE_MINUTES, from, to, &sources));
    }
    for n in 48..(70 * 12) {
        blocks.push(block(1 + n, 0, start + 2 * HOUR * n, start + 2 * HOUR * (n + 1)));
    }
    let first = plan(&blocks, &options, NOW);
    // what was downsampled goes; all else that has expired waits, the blocks of five minutes too: they become
    // hours only together with the rest of their window
    assert_eq!(expired(&first), [2000, 2001]);
    assert!(first.expired.iter().all(|e| e.lost.is_none()));
    let waiting: Vec<i64> = held(&first).iter().map(|h| h.0).collect();
    let by_age: Vec<i64> =
        blocks.iter().filter(|b| b.meta.resolution() == 0 && b.meta.max_time + 40 * HOUR < NOW).map(|b| b.id.created()).collect();
    assert_eq!(waiting.len(), by_age.len() - 2 + 2, "all raw blocks but two, and two of five minutes");
    assert!(waiting.ends_with(&[3000, 3001]));
    assert!(first.held.iter().all(|h| matches!(h.owes, Owes::Compaction { .. } | Owes::Window { .. })), "{first}");
    assert_eq!(held(&first).last(), Some(&(3001, &Owes::Compaction { to: ONE_HOUR })));

    // the pass did its work: two weeks at a time, at all resolutions
    let mut after = Vec::new();
    for window in 0..5 {
        let sources: Vec<i64> = (0..168).map(|s| 1 + 168 * window + s).collect();
        let (from, to) = (start + 14 * window * DAY, start + 14 * (window + 1) * DAY);
        for (at, resolution) in [0, FIVE_MINUTES, ONE_HOUR].into_iter().enumerate() {
            after.push(of(5000 + 10 * window + at as i64, resolution, from, to, &sources));
        }
    }
    let last = plan(&after, &options, NOW);
    assert!(last.held.is_empty(), "{last}");
    // raw up to 40 hours ago, five minutes up to ten days ago: only what ends now is kept of these
    assert_eq!(expired(&last), [5000, 5001, 5010, 5011, 5020, 5021, 5030, 5031]);
    assert!(last.expired.iter().all(|e| e.lost.is_none()));
}

#[test]
fn a_plan_for_people() {
    let newest = block(9, 0, -2 * HOUR, 0);
    let mut short = block(2, 0, -80 * DAY, -80 * DAY + 2 * HOUR);
    short.no_compact = Some(NoCompactMark::new(short.id, 0, "manual", "").into());
    let mut plan = plan(&[block(1, 0, -98 * DAY, -84 * DAY), short, newest], &years(), NOW);
    plan.brakes = vec![Brake::MoreThanEver { bytes: 2048, largest: 1024 }, Brake::Clock { ours: NOW, theirs: 0 }];
    let text = plan.to_string();
    for line in [
        "hold 00000000010000000000000000: raw until ",
        ", kept for 60d, 100 B; samples of 5m are still to be made of it\n",
        "expire 00000000020000000000000000: raw until ",
        "; its samples are lost: too short to be downsampled, and marked no-compact\n",
        "stopped: retention would mark nothing: this pass would mark 2.0 KiB, over 20 % more than the 1.0 KiB",
        "and 1970-01-01T00:00:00Z in the bucket",
        "retention: 1 block expires, 100 B; 1 of them without a coarser one; 1 held, 100 B\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!(json["held"][0]["owes"]["what"], "downsampling");
    assert_eq!(json["brakes"][0]["because"], "more-than-ever");
    assert_eq!(RetentionPlan::default().to_string(), "");
}

/// Remembers what it is told.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Report for Heard {
    fn event(&self, event: Event<'_>) {
        if let Event::Note { text, .. } = event {
            self.0.lock().unwrap().push(text.to_owned());
        }
    }
}

struct World {
    env: Env,
    _folder: tempfile::TempDir,
}

impl World {
    fn new(bucket: impl FnOnce(&std::path::Path) -> Bucket, now: Millis) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let env = Env {
            bucket: bucket(folder.path()),
            pool: Arc::new(rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap()),
            clock: ManualClock::new(now, 7),
            report: Arc::new(Silent),
            scratch: folder.path().join("data"),
            cancel: CancellationToken::new(),
        };
        World { env, _folder: folder }
    }

    async fn put(&self, blocks: &[CatalogBlock]) {
        for block in blocks {
            self.env.bucket.put(&format!("{}/meta.json", block.id), Bytes::from(block.meta.encode())).await.unwrap();
        }
    }

    async fn run(&self, blocks: &mut Vec<CatalogBlock>, options: &PassOptions) -> Retained {
        let mut retained = Retained::default();
        run(&self.env, blocks, options, &mut retained).await;
        retained
    }

    /// Marks in the bucket, each with its details.
    async fn marks(&self) -> Vec<(i64, String)> {
        let keys: Vec<String> = self.env.bucket.list("").map_ok(|o| o.key).try_collect().await.unwrap();
        let mut marks = Vec::new();
        for key in keys.iter().filter(|key| key.ends_with("/deletion-mark.json")) {
            let mark = DeletionMark::decode(&self.env.bucket.get(key, 1 << 20).await.unwrap()).unwrap();
            marks.push((mark.id.created(), mark.details));
        }
        marks
    }
}

#[tokio::test]
async fn blocks_are_marked_and_leave() {
    let world = World::new(|_| Bucket::memory(), NOW + 3650 * DAY);
    let mut blocks = vec![block(1, 0, 0, DAY), block(2, FIVE_MINUTES, 0, DAY), block(3, 0, 3649 * DAY, 3650 * DAY)];
    world.put(&blocks[1..]).await;
    world.env.bucket.put(&format!("{}/meta.json", id(1)), Bytes::from(blocks[0].meta.encode())).await.unwrap();
    let options = PassOptions { retention_confirm: true, ..plain(30 * DAY, 60 * DAY, 0) };
    let retained = world.run(&mut blocks, &options).await;
    assert!(retained.is_clean());
    assert_eq!(retained.marked.iter().map(|e| e.block).collect::<Vec<_>>(), [id(1), id(2)]);
    assert_eq!(blocks.iter().map(|b| b.id).collect::<Vec<_>>(), [id(3)], "what is marked is not compacted");
    let details = |days: i64| format!("block exceeding retention of {}h0m0s", days * 24);
    assert_eq!(world.marks().await, [(1, details(30)), (2, details(60))]);
    // a block that somebody deleted in the meantime gets no mark
    let mut gone = vec![block(7, 0, 0, DAY)];
    assert!(world.run(&mut gone, &options).await.marked.is_empty());
    assert_eq!(world.marks().await.len(), 2);
}

#[tokio::test]
async fn the_brake_stops_all_and_a_confirmation_lets_go() {
    let mut world = World::new(|_| Bucket::memory(), NOW + 3650 * DAY);
    let heard = Arc::new(Heard::default());
    world.env.report = heard.clone();
    let old: Vec<CatalogBlock> = (1..5).map(|n| block(n, 0, n * DAY, (n + 1) * DAY)).collect();
    world.put(&old).await;
    // 3d in place of 3y, and no pass is known
    let options = plain(3 * DAY, 0, 0);
    let stopped = world.run(&mut old.clone(), &options).await;
    assert_eq!(stopped.brakes, [Brake::MostOf { resolution: 0, bytes: 400, of: 400 }]);
    assert!(!stopped.is_clean() && stopped.marked.is_empty() && world.marks().await.is_empty());
    let said = heard.0.lock().unwrap().join("\n");
    assert!(said.contains("retention marks nothing: 400 B of all 400 B of resolution raw"), "{said}");
    assert!(said.contains("--retention.confirm"), "{said}");
    // a dry run says the same
    let plan = look(&world.env, &old, &options).await.unwrap();
    assert_eq!(plan.brakes, stopped.brakes);
    // two are confirmed; from then on the file tells what is usual
    let confirmed = PassOptions { retention_confirm: true, ..options.clone() };
    assert_eq!(world.run(&mut old[..2].to_vec(), &confirmed).await.marked.len(), 2);
    let three: Vec<CatalogBlock> = (11..14).map(|n| block(n, 0, n * DAY, (n + 1) * DAY)).collect();
    world.put(&three).await;
    let stopped = world.run(&mut three.clone(), &options).await;
    assert_eq!(stopped.brakes, [Brake::MoreThanEver { bytes: 300, largest: 200 }]);
    assert_eq!(world.run(&mut three[..2].to_vec(), &options).await.marked.len(), 2);
    assert_eq!(world.run(&mut three.clone(), &confirmed).await.marked.len(), 1, "two of them are marked already");
    assert_eq!(world.marks().await.len(), 5);
}

#[tokio::test]
async fn a_clock_that_is_wrong_marks_nothing() {
    use crate::clock::{Clock, SystemClock};
    let now = SystemClock.now();
    for (off, stops) in [(0, false), (10 * 60_000, true), (-10 * 60_000, true)] {
        let world = World::new(|folder| Bucket::filesystem(folder.join("bucket"), "").unwrap(), now + off);
        let ago = now - NOW - 40 * DAY;
        let mut blocks = vec![block(1, 0, ago, ago + DAY), block(2, 0, ago + 39 * DAY, ago + 40 * DAY)];
        world.put(&blocks).await;
        let options = plain(38 * DAY, 0, 0);
        let retained = world.run(&mut blocks, &options).await;
        assert_eq!(matches!(retained.brakes[..], [Brake::Clock { .. }]), stops, "{off}: {:?}", retained.brakes);
        assert_eq!(world.marks().await.len(), usize::from(!stops), "{off}");
    }
}

#[tokio::test]
async fn a_bucket_that_does_not_tell_the_time_shows_when_ours_is_behind() {
    // its objects are of today, and by our clock it is 1970
    let world = World::new(|_| Bucket::memory(), 100 * DAY);
    let mut old = block(1, 0, -NOW, -NOW + DAY);
    let modified = 200 * DAY;
    old.objects = Arc::new([Object { key: "x/index".to_owned(), len_bytes: 1, modified, etag: None }]);
    world.put(std::slice::from_ref(&old)).await;
    let newest = block(2, 0, -NOW + 99 * DAY, -NOW + 100 * DAY);
    let retained = world.run(&mut vec![old, newest], &plain(98 * DAY, 0, 0)).await;
    assert_eq!(retained.brakes, [Brake::Clock { ours: 100 * DAY, theirs: modified }]);
}
