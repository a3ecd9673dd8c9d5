//! What is forecast, held against what real passes over real blocks do and ask of the bucket.

use std::sync::Arc;

use blockyard::bucket::{Bucket, Requests as Counted, Tuning};
use blockyard::job::forecast::{Forecast, JobKind, Prices, look};
use blockyard::job::pass::{Engine, PassOptions, run};
use tempfile::TempDir;

use super::golden::case::Case;
use super::golden::merge;
use super::simulation::workload::Plan;

/// Estimates are right to a quarter, and three requests.
fn about(what: &str, forecast: u64, counted: u64) {
    let off = forecast.abs_diff(counted);
    assert!(off <= counted / 4 + 3, "{what}: {forecast} were forecast, {counted} counted");
}

fn between(before: &Counted, after: &Counted) -> [u64; 4] {
    let of = |c: &Counted| {
        [
            c.iter.calls,
            c.get.calls + c.get_range.calls,
            // a streamed object is looked for once it is written, which the gate does not count: two or three a job
            c.exists.calls + c.attributes.calls,
            c.upload.calls + c.upload_part.calls,
        ]
    };
    let (before, after) = (of(before), of(after));
    std::array::from_fn(|n| after[n] - before[n])
}

fn check(objects: &[(String, Vec<u8>)], change: impl Fn(&mut PassOptions), tuning: &Tuning) -> Forecast {
    let dir = TempDir::new().expect("scratch");
    let store = Arc::new(object_store::memory::InMemory::new());
    let bucket = Bucket::over(store, "", tuning.clone()).expect("a bucket");
    let env = merge::env(bucket, 2, &dir);
    let mut options = PassOptions { consistency_delay: 0, ..PassOptions::default() };
    change(&mut options);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        merge::fill(&env.bucket, objects).await;
        // whoever passes over it again and again knows the metas
        let idle =
            PassOptions { max_level: 0, downsampling: false, replica_labels: Vec::new(), vertical: false, ..options.clone() };
        run(&env, &idle, &Engine).await.expect("a pass");
        let forecast = look(&env, &options, Prices::default()).await.expect("a look");
        let before = env.bucket.requests();
        let result = run(&env, &options, &Engine).await.expect("a pass");
        let [list, get, head, put] = between(&before, &env.bucket.requests());

        let done: Vec<_> = result.compacted.iter().map(|c| c.inputs.len()).collect();
        let jobs = forecast.jobs.iter().filter(|j| j.kind == JobKind::Compact);
        assert_eq!(jobs.map(|j| j.blocks.len() + j.results_of.len()).collect::<Vec<_>>(), done);
        assert!(!done.is_empty(), "nothing was done");
        let asked = &forecast.totals.requests;
        about("LIST", asked.list, list);
        about("GET", asked.get, get);
        about("HEAD", asked.head, head);
        about("PUT", asked.put, put);
        forecast
    })
}

#[test]
fn requests_are_those_that_are_counted() {
    let small = Tuning { read_bytes: 4 << 10, part_bytes: 8 << 10, ..Tuning::default() };
    for tuning in [&Tuning::default(), &small] {
        let case = |name| Case::load(name).objects();
        check(&case("horizontal"), |_| {}, tuning);
        check(&case("one-to-one"), |options| options.replica_labels = vec!["replica".to_owned()], tuning);
        check(&case("overlap"), |options| options.vertical = true, tuning);
    }
}

/// Blocks of two hours, one behind the other.
fn backlog(count: u32) -> Vec<(String, Vec<u8>)> {
    let block = |n: u32| {
        let hours = (2 * i64::from(n), 2 * i64::from(n) + 2);
        let plan = Plan { number: n + 1, hours, step: 60_000, ..Plan::default() };
        plan.objects().into_iter().map(|(key, bytes, _)| (key, bytes.to_vec()))
    };
    (0..count).flat_map(block).collect()
}

#[test]
fn a_backlog_in_one_go_and_step_by_step() {
    let objects = backlog(170);
    let forecast = check(&objects, |_| {}, &Tuning::default());
    assert_eq!((forecast.jobs[0].in_place_of, forecast.jobs[0].makes.len()), (50, 3), "{}", forecast.to_text(100));
    let forecast = check(&objects, |options| options.stepwise = true, &Tuning::default());
    assert_eq!(forecast.totals.compactions, 50);
}
