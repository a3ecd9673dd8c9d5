//! `compact --dry-run` and `tools bucket plan`: one forecast, for people and for programs.

use crate::compact::bucket;
use crate::{blockyard, objstore, snapshot};

const CONSISTENCY: &str = "--consistency-delay=0s";

#[test]
fn a_plan_for_people_and_for_programs() {
    let dir = tempfile::tempdir().unwrap();
    bucket(dir.path());
    let before = snapshot(dir.path());
    let config = objstore(dir.path());
    let plan = ["tools", "bucket", "plan", &config, CONSISTENCY, "--price.get=0.4", "--price.put=5", "--price.storage=0.02"];
    let table = blockyard(dir.path(), &plan);
    assert_eq!(table.code, Some(0), "{}", table.err);
    for part in
        ["JOBS, in order\n", "compact", "raw {cluster=\"us1\"}", "01M7XN0E2JB16839K498S6BG0Y", "TOTALS\n", "(assumed)", "price "]
    {
        assert!(table.out.contains(part), "{part}: {}", table.out);
    }
    assert!(table.out.lines().all(|line| line.chars().count() <= 100), "{}", table.out);
    let dry = blockyard(dir.path(), &[&["compact", "--dry-run"], &plan[3..]].concat());
    let without_time = |text: &str| text.lines().filter(|l| !l.contains("looked at")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(without_time(&dry.out), without_time(&table.out), "{}", dry.err);

    let json = blockyard(dir.path(), &[&plan[..], &["--output=json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&json.out).expect("JSON");
    let job = &json["jobs"][0];
    assert_eq!((&job["kind"], &job["because"]), (&"compact".into(), &"window".into()));
    assert_eq!(job["blocks"].as_array().unwrap().len(), 3);
    assert!(json["totals"]["price"].as_f64().unwrap() > 0.0 && job["requests"]["get"].as_u64().unwrap() > 9, "{json}");
    assert_eq!(json["leftAlone"][0]["because"], "newest");
    assert_eq!(snapshot(dir.path()), before, "nothing is written anywhere");

    // what was done says how quick the next will be
    let ran = blockyard(dir.path(), &["compact", &config, CONSISTENCY]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(dir.path().join("data/rates.json").exists());
    let idle = blockyard(dir.path(), &plan[..5]);
    assert!(idle.out.contains("nothing to do") && !idle.out.contains("JOBS"), "{}", idle.out);
    assert!(
        idle.out.contains("not deleted: 3 blocks") || idle.out.contains("it is marked, and the delay is over at"),
        "{}",
        idle.out
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    bucket(dir.path());
    let config = objstore(dir.path());
    for (flag, message) in [
        ("--price.get=-1", "not an amount"),
        ("--output=yaml", "yaml"),
        ("--retention.resolution-raw=1h", "(40 hours)"),
        ("--deduplication.func=penalty", "replica label"),
    ] {
        let ran = blockyard(dir.path(), &["tools", "bucket", "plan", &config, flag]);
        assert_eq!((ran.code, &*ran.out), (Some(2), ""), "{flag}");
        assert!(ran.err.contains(message), "{flag}: {}", ran.err);
    }
}
