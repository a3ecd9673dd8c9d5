//! Blocks of several resolutions, runs that are resumed, blocks that are chosen by labels.

use super::block::{Series, chunks_of, meta, meta_of, put, put_chunks, read, series, symbols_of};
use super::*;
use crate::block::retire::mark_for_deletion;
use crate::error::Kind;
use crate::format::chunk::{Aggregate, AggregateKind, Encoding, Samples, encode_aggregate};
use crate::model::{LabelSet, Millis, Sample, Value, parse_selector};
use crate::series::{Chunk, encode_in_chunks};

const FIVE_MINUTES: Millis = 300_000;
const ONE_HOUR: Millis = 3_600_000;
const UP: &str = "- matchers: up";

fn two() -> [Series; 2] {
    let samples: &[&[(Millis, f64)]] = &[&[(1, 1.0), (2, 2.0)]];
    [series(&[("__name__", "down")], samples), series(&[("__name__", "up"), ("x", "y")], samples)]
}

/// A block with other sources than itself.
fn made_of(n: i64, resolution: Millis, sources: &[i64]) -> Meta {
    let mut made = meta(n, resolution);
    made.compaction.sources = sources.iter().map(|&s| BlockId::from_parts(s, 0)).collect();
    made
}

async fn world(metas: &[Meta]) -> World {
    let world = World::new(2);
    for meta in metas {
        put(world.bucket(), meta, &two()).await;
    }
    world
}

fn ids(ids: &[i64]) -> Choice {
    Choice::Ids(ids.iter().map(|&n| BlockId::from_parts(n, 0)).collect())
}

fn matching(selector: &str) -> Choice {
    Choice::Matching { matchers: parse_selector(selector).unwrap(), min_time: Millis::MIN, max_time: Millis::MAX }
}

fn planned(plan: &Plan) -> Vec<(i64, bool)> {
    plan.blocks.iter().map(|p| (p.block.id.created(), p.follows)).collect()
}

#[test]
fn what_was_downsampled_from_a_block_follows_it() {
    wait(async {
        let metas =
            [meta(1, 0), made_of(2, FIVE_MINUTES, &[1]), made_of(3, ONE_HOUR, &[1]), meta(4, 0), made_of(5, FIVE_MINUTES, &[4])];
        let world = world(&metas).await;
        let request = request(UP, "");
        let plan = world.plan(&request, &ids(&[1])).await.unwrap();
        assert_eq!(planned(&plan), [(1, false), (2, true), (3, true)]);
        let done = world.run(&request, &ids(&[1]), &world.options()).await.unwrap();
        let raw = written(&done[0]).ulid;
        for rewritten in &done {
            let new = written(rewritten);
            assert_eq!(new.compaction.sources, [raw], "who covered whom does so after");
            assert_eq!(new.thanos.source, "bucket.rewrite");
            assert_eq!(new.thanos.rewrites.len(), 1);
            assert_eq!(read(world.bucket(), new.ulid).await, two()[..1]);
            assert_eq!(meta_of(world.bucket(), new.ulid).await.encode(), new.encode());
            assert!(world.bucket().exists(&format!("{}/no-compact-mark.json", rewritten.block)).await.unwrap());
            assert!(!world.bucket().exists(&format!("{}/deletion-mark.json", rewritten.block)).await.unwrap());
        }
        assert_eq!(plan.overlaps().len(), 3, "each resolution is a group");
    });
}

#[test]
fn a_run_that_was_stopped_goes_on() {
    wait(async {
        let metas = [meta(1, 0), made_of(2, FIVE_MINUTES, &[1]), made_of(3, ONE_HOUR, &[1])];
        let world = world(&metas).await;
        let request = request(UP, "");
        let first = world.run(&request, &matching("{}"), &world.options()).await.unwrap();
        let raw = written(&first[0]).ulid;
        // as if it had stopped before the second block was visible
        world.bucket().delete(&format!("{}/meta.json", written(&first[1]).ulid)).await.unwrap();
        let plan = world.plan(&request, &matching("{}")).await.unwrap();
        assert_eq!(planned(&plan), [(2, false)]);
        assert_eq!(plan.done.iter().map(|d| d.block.created()).collect::<Vec<_>>(), [1, 3]);
        let options = Options { delete_blocks: true, ..world.options() };
        let second = world.run(&request, &matching("{}"), &options).await.unwrap();
        assert_eq!(written(&second[0]).compaction.sources, [raw]);
        for old in [1, 2, 3] {
            let key = format!("{}/deletion-mark.json", BlockId::from_parts(old, 0));
            assert!(world.bucket().exists(&key).await.unwrap(), "block {old} is marked");
        }
        let third = world.run(&request, &ids(&[1, 2, 3]), &options).await.unwrap();
        assert!(third.is_empty(), "all is done");
        let plan = world.plan(&request, &Choice::Ids(vec![raw])).await.unwrap();
        assert!(plan.blocks.is_empty() && plan.warnings[0].1.contains("made by this very request"));
        // another request begins anew, from what is left
        let other = super::request("- matchers: down", "");
        assert_eq!(world.plan(&other, &matching("{}")).await.unwrap().blocks.len(), 3);
    });
}

#[test]
fn sources_stay_apart_where_they_were_apart() {
    wait(async {
        let metas = [
            made_of(10, 0, &[1, 2]),
            made_of(11, FIVE_MINUTES, &[1]),
            made_of(12, FIVE_MINUTES, &[2]),
            made_of(13, ONE_HOUR, &[1, 2]),
        ];
        let world = world(&metas).await;
        let plan = world.plan(&request(UP, ""), &ids(&[10])).await.unwrap();
        let [raw, one, two, hour] = &plan.blocks[..] else { panic!("{plan:?}") };
        assert_eq!((&one.sources, &two.sources), (&vec![one.id], &vec![two.id]));
        let both: Vec<BlockId> = [one.id, two.id].into_iter().collect::<std::collections::BTreeSet<_>>().into_iter().collect();
        assert_eq!((&raw.sources, &hour.sources), (&both, &both));
        assert!(plan.blocks.iter().all(|p| p.family == raw.family));
    });
}

#[test]
fn blocks_that_hold_more_than_was_chosen_stay() {
    wait(async {
        let metas = [meta(1, 0), meta(2, 0), made_of(3, FIVE_MINUTES, &[1, 2])];
        let world = world(&metas).await;
        let plan = world.plan(&request(UP, ""), &ids(&[1])).await.unwrap();
        assert_eq!(planned(&plan), [(1, false)]);
        assert!(plan.warnings.iter().any(|w| w.0.created() == 3 && w.1.contains("from others")), "{:?}", plan.warnings);
        let plan = world.plan(&request(UP, ""), &ids(&[1, 2])).await.unwrap();
        assert_eq!(planned(&plan), [(1, false), (2, false), (3, true)]);
        let plan = world.plan(&request(UP, ""), &ids(&[3])).await.unwrap();
        assert_eq!(planned(&plan), [(3, false)]);
        assert!(plan.warnings.iter().any(|w| w.1.contains("finer resolution")), "{:?}", plan.warnings);
    });
}

#[test]
fn blocks_are_chosen_by_labels_and_time() {
    wait(async {
        let mut other = meta(2, 0);
        other.thanos.labels = LabelSet::from_iter([("cluster", "us1")]).into();
        let mut later = meta(3, 0);
        later.max_time = 2000;
        let world = world(&[meta(1, 0), other, later, meta(4, 0)]).await;
        mark_for_deletion(world.bucket(), BlockId::from_parts(4, 0), 0, "").await.unwrap();
        let request = request(UP, "");
        let plan = world.plan(&request, &matching("{cluster=\"eu1\"}")).await.unwrap();
        assert_eq!(planned(&plan), [(1, false), (3, false)]);
        assert!(plan.warnings[0].1.contains("marked for deletion"));
        let choice = Choice::Matching { matchers: Vec::new(), min_time: 1500, max_time: Millis::MAX };
        assert_eq!(planned(&world.plan(&request, &choice).await.unwrap()), [(3, false)]);

        let untouched = Options { skip_untouched: true, ..world.options() };
        let absent = super::request("- matchers: '{x=\"z\"}'", "");
        let done = world.run(&absent, &matching("{}"), &untouched).await.unwrap();
        assert!(done.len() == 3 && done.iter().all(|d| matches!(d.fate, Fate::Untouched)));
        assert_eq!(world.catalog().await.blocks.len(), 4, "nothing was written");
    });
}

#[test]
fn aggregates_are_cut_at_the_borders_of_windows() {
    wait(async {
        let world = World::new(2);
        let mut old = meta(1, FIVE_MINUTES);
        old.max_time = ONE_HOUR;
        let floats = |values: [f64; 3]| {
            let samples = (1..).zip(values).map(|(n, v)| Sample { time: n * FIVE_MINUTES - 1, start: 0, value: Value::Float(v) });
            encode_in_chunks(samples).unwrap().remove(0).data
        };
        let (counts, sums) = (floats([1.0, 2.0, 3.0]), floats([10.0, 20.0, 30.0]));
        let slot = Some((Encoding::Xor, &sums[..]));
        let data = encode_aggregate([Some((Encoding::Xor, &counts[..])), slot, slot, slot, None]);
        let chunk = Chunk { min_time: 299_999, max_time: 899_999, encoding: Encoding::Aggregate, data };
        let labels = vec![("__name__".to_owned(), "up".to_owned())];
        put_chunks(world.bucket(), &old, vec![(labels, vec![chunk])]).await;
        // one millisecond of the second window
        let request = request("- matchers: up\n  intervals: [{mint: 300000, maxt: 300000}]", "");
        let block = world.catalog().await.blocks.remove(0);
        let counted = survey(&world.env, &block, &request, &mut |_| Ok(())).await.unwrap();
        assert_eq!((counted.cut_series, counted.chunks), (1, 1));
        let done = world.run(&request, &ids(&[1]), &world.options()).await.unwrap();
        let left = chunks_of(world.bucket(), written(&done[0]).ulid).await.remove(0).1.remove(0);
        let aggregate = Aggregate::parse(&left.data).unwrap();
        let (encoding, sums) = aggregate.get(AggregateKind::Sum).unwrap();
        let times: Vec<Millis> = Samples::new(encoding, sums).unwrap().map(|s| s.unwrap().time).collect();
        assert_eq!((times, left.min_time, left.max_time), (vec![299_999, 899_999], 299_999, 899_999));
    });
}

#[test]
fn what_is_refused() {
    wait(async {
        let mut bare = meta(2, 0);
        bare.thanos.labels = LabelSet::new().into();
        let world = world(&[meta(1, 0), bare]).await;
        world.bucket().put("00000000060000000000000000/index", vec![0].into()).await.unwrap();
        let request = request(UP, "");
        for (choice, kind, why) in [
            (ids(&[1, 7]), Kind::NotFound, "there is no such block"),
            (ids(&[2]), Kind::Invalid, "empty external labels are not allowed"),
            (Choice::Ids(vec!["00000000060000000000000000".parse().unwrap()]), Kind::Corrupt, "its meta.json is missing"),
        ] {
            let error = world.plan(&request, &choice).await.unwrap_err();
            assert_eq!(error.kind(), kind);
            assert!(error.to_string().contains(why), "{error}");
        }
        assert!(plan(&world.catalog().await, &request, &ids(&[2]), true, &*world.env.clock).is_ok(), "--prom-blocks");
    });
}

#[test]
fn symbols_that_nobody_uses_go_on_request() {
    wait(async {
        let world = world(&[meta(1, 0)]).await;
        let kept = request(UP, "");
        let done = world.run(&kept, &ids(&[1]), &world.options()).await.unwrap();
        assert_eq!(symbols_of(world.bucket(), written(&done[0]).ulid).await, ["__name__", "down", "up", "x", "y"]);
        let world = self::world(&[meta(1, 0)]).await;
        let dropped = Request { drop_unused_symbols: true, ..kept };
        let done = world.run(&dropped, &ids(&[1]), &world.options()).await.unwrap();
        let new = written(&done[0]).ulid;
        assert_eq!(symbols_of(world.bucket(), new).await, ["__name__", "down"]);
        assert_eq!(read(world.bucket(), new).await, two()[..1]);
        assert_eq!(world.change_log(new), "Deleted {__name__=\"up\", x=\"y\"} [{1 2}]\n");
    });
}

#[test]
fn the_old_block_stays_as_it_was_where_writing_fails() {
    wait(async {
        let world = world(&[meta(1, 0)]).await;
        // an index that is cut off
        let key = format!("{}/index", BlockId::from_parts(1, 0));
        let index = world.bucket().get(&key, 1 << 20).await.unwrap();
        world.bucket().put(&key, index.slice(..index.len() - 60)).await.unwrap();
        let error = world.run(&request(UP, ""), &ids(&[1]), &world.options()).await.unwrap_err();
        assert_eq!((error.kind(), error.block_id()), (Kind::Corrupt, Some(BlockId::from_parts(1, 0))));
        assert_eq!(world.catalog().await.blocks.len(), 1);
        assert!(world.catalog().await.partial.is_empty(), "nothing stays behind");
        assert!(!world.bucket().exists(&format!("{}/no-compact-mark.json", BlockId::from_parts(1, 0))).await.unwrap());
    });
}
