//! `compact --dry-run` and `tools bucket plan`: one forecast, for people and for programs.

use crate::compact::bucket;
use crate::serve::client::{get, start};
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
    // a long path has the time wrapped into a line of its own
    let is_time = |line: &str| line.contains("looked at") || line.trim().parse::<jiff::Timestamp>().is_ok();
    let without_time = |text: &str| text.lines().filter(|l| !is_time(l)).map(str::to_owned).collect::<Vec<_>>();
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

#[test]
fn a_running_compactor_tells_too() {
    let dir = tempfile::tempdir().unwrap();
    bucket(dir.path());
    let config = objstore(dir.path());
    let waiting = ["compact", "--wait", "--wait-interval=1h", CONSISTENCY, "--downsampling.disable", "--price.get=1", &config];
    let mut running = start(dir.path(), &waiting);
    running.wait_for("waiting for the next pass");
    let asked = get(running.address, "/api/v1/plan");
    assert_eq!(asked.status, 200, "{}", asked.body);
    let plan: serde_json::Value = serde_json::from_str(&asked.body).unwrap();
    let (plan, again) = (&plan["data"], get(running.address, "/api/v1/plan").body);
    assert_eq!(again, asked.body, "it is computed once a look");
    let left = plan["leftAlone"].as_array().unwrap();
    assert!(left.iter().any(|l| l["not"] == "deleted" && l["blocks"].as_array().unwrap().len() == 3), "{plan}");
    assert!(plan["totals"]["price"].as_f64().unwrap() > 0.0 && plan["jobs"].as_array().unwrap().is_empty(), "{plan}");
    // a dry run that looks at the same bucket says the same, but for the time
    let said = blockyard(
        dir.path(),
        &["tools", "bucket", "plan", &config, CONSISTENCY, "--downsampling.disable", "--price.get=1", "-o", "json"],
    );
    let said: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(said["leftAlone"], plan["leftAlone"]);
}

#[test]
fn shares_of_a_bucket_are_disjoint_and_each_says_its_rules() {
    let dir = tempfile::tempdir().unwrap();
    bucket(dir.path());
    let config = objstore(dir.path());
    let plan = |flag: &str| {
        let ran = blockyard(dir.path(), &["tools", "bucket", "plan", &config, CONSISTENCY, flag, "--output=json"]);
        assert_eq!(ran.code, Some(0), "{flag}: {}", ran.err);
        serde_json::from_str::<serde_json::Value>(&ran.out).unwrap()
    };
    let shares = [0, 1, 2].map(|n| plan(&format!("--shard={n}/3")));
    let blocks: Vec<u64> = shares.iter().map(|s| s["totals"]["blocks"].as_u64().unwrap()).collect();
    let mut sorted = blocks.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [0, 0, 5], "one group is in one share");
    for share in &shares {
        let rules = share["shard"]["relabelConfig"].as_str().unwrap();
        assert!(rules.contains("source_labels: [\"cluster\"]") && rules.contains("modulus: 3"), "{rules}");
        let same = plan(&format!("--selector.relabel-config={rules}"));
        assert_eq!((&same["jobs"], &same["totals"]), (&share["jobs"], &share["totals"]));
    }
    // a compactor of a share says so, and waits for nobody of another share
    let own = blocks.iter().position(|&n| n == 5).unwrap();
    let shard = |n: usize| format!("--shard={n}/3");
    let ran = blockyard(dir.path(), &["compact", &config, CONSISTENCY, &shard((own + 1) % 3), "--http-address="]);
    assert!(ran.code == Some(0) && ran.out.contains("0 compactions"), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("working on a share of the bucket") && ran.err.contains("hashmod"), "{}", ran.err);
    let ran = blockyard(dir.path(), &["compact", &config, CONSISTENCY, &shard(own), "--http-address="]);
    assert!(ran.code == Some(0) && ran.out.contains("1 compaction"), "{}{}", ran.out, ran.err);
    for (flag, message) in [("--shard=3/3", "the shares of 3 are 0/3 to 2/3"), ("--shard=1", "is no share such as 0/3")] {
        let ran = blockyard(dir.path(), &["compact", "--dry-run", &config, flag]);
        assert_eq!((ran.code, &*ran.out), (Some(2), ""), "{flag}");
        assert!(ran.err.contains(message), "{flag}: {}", ran.err);
    }
}
