//! A real Prometheus (Debian's 2.42) reads back what we wrote: every sample, and answers to queries.
//!
//! `promtool tsdb dump` hides a damaged chunk behind a short output, so lines are counted against
//! `meta.json`, and a server is asked for every sample: it fails on any chunk that it cannot read.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use blockyard::bucket::Bucket;
use blockyard::format::meta::Meta;
use blockyard::job::compact::CompactOutcome;
use blockyard::model::BlockId;
use serde_json::Value;
use tempfile::TempDir;

use crate::golden::case::Case;
use crate::golden::merge;
use crate::skip::skip;

/// The program, as `tests/run` unpacked it or as the system has it; `None` is a named skip.
fn program(name: &str, test: &str) -> Option<PathBuf> {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/prometheus/usr/bin").join(name);
    let installed = std::env::var_os("PATH")
        .and_then(|path| std::env::split_paths(&path).map(|dir| dir.join(name)).find(|program| program.is_file()));
    let found = unpacked.is_file().then_some(unpacked).or(installed);
    if found.is_none() {
        skip(test, &format!("there is no {name}: Debian's package `prometheus` has it"));
    }
    found
}

/// The last block of a golden case as we made it, and folders that Prometheus takes as its own.
struct Compacted {
    dir: TempDir,
    meta: Meta,
}

impl Compacted {
    fn of(name: &str) -> Compacted {
        let case = Case::load(name);
        let dir = TempDir::new().expect("scratch");
        let bucket = dir.path().join("bucket");
        let env = merge::env(Bucket::filesystem(&bucket, "").expect("a bucket"), 2, &dir);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let [step] = case.steps.as_slice() else { panic!("{name} is more than one step") };
        let blocks: Vec<BlockId> = step.inputs.iter().map(|i| i.parse().expect("an id")).collect();
        let meta = runtime.block_on(async {
            merge::fill(&env.bucket, &case.objects()).await;
            match merge::merge(&env, &blocks).await.unwrap_or_else(|e| panic!("{name}: {e}")) {
                CompactOutcome::Written { meta, .. } => *meta,
                CompactOutcome::Empty => panic!("{name}: nothing was written"),
            }
        });
        let made = Compacted { dir, meta };
        let inputs: Vec<String> = step.inputs.clone();
        made.database("before", &inputs);
        made.database("after", &[made.meta.ulid.to_string()]);
        made
    }

    /// Copies blocks into a folder of their own: a server writes into what it opens.
    fn database(&self, name: &str, blocks: &[String]) {
        let database = self.path(name);
        fs::create_dir_all(database.join("wal")).expect("a folder");
        for id in blocks {
            copy(&self.dir.path().join("bucket").join(id), &database.join(id));
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("chunks")).expect("a folder"); // an empty block has none in a bucket
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        if entry.path().is_dir() {
            copy_files(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
        }
    }
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
    }
}

/// What `promtool tsdb <command> <database>` prints.
fn promtool(program: &Path, command: &str, database: &Path) -> String {
    let output = Command::new(program).args(["tsdb", command]).arg(database).stdin(Stdio::null()).output().expect("promtool");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool tsdb {command}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn sorted_lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines
}

/// Every sample of the inputs, and no other, is in the output.
fn same_samples(test: &str, cases: &[&str]) {
    let Some(program) = program("promtool", test) else { return };
    for name in cases {
        let made = Compacted::of(name);
        let (before, after) = (promtool(&program, "dump", &made.path("before")), promtool(&program, "dump", &made.path("after")));
        assert_eq!(after.lines().count() as u64, made.meta.stats.num_float_samples, "{name}: floats that promtool reads");
        let (before, after) = (sorted_lines(&before), sorted_lines(&after));
        let differs = before.iter().zip(&after).find(|(a, b)| a != b);
        assert!(before == after, "{name}: {} samples before, {} after, {differs:?}", before.len(), after.len());
    }
}

#[test]
fn promtool_reads_every_sample_of_blocks_in_a_row() {
    let cases = ["one-block-only", "empty-block", "chunks-2000", "full-chunks", "label-bytes", "levels", "many-series"];
    same_samples("promtool_reads_every_sample_of_blocks_in_a_row", &cases);
}

#[test]
fn promtool_reads_every_sample_of_odd_values_and_times() {
    let cases = ["special-values", "jumping-times", "negative-times", "gap", "index-v1", "tombstones-floats", "horizontal"];
    same_samples("promtool_reads_every_sample_of_odd_values_and_times", &cases);
}

#[test]
fn promtool_reads_every_sample_of_overlapping_blocks() {
    let cases = ["overlap", "copies", "contained", "chunks-many-overlap"];
    same_samples("promtool_reads_every_sample_of_overlapping_blocks", &cases);
}

#[test]
fn promtool_lists_and_analyzes_what_we_write() {
    let Some(program) = program("promtool", "promtool_lists_and_analyzes_what_we_write") else { return };
    for name in ["many-series", "horizontal", "overlap"] {
        let made = Compacted::of(name);
        let (meta, stats) = (&made.meta, &made.meta.stats);
        let list = promtool(&program, "list", &made.path("after"));
        let row: Vec<&str> = list.lines().nth(1).expect("a row").split_whitespace().collect();
        let numbers = [stats.num_samples, stats.num_chunks, stats.num_series].map(|n| n.to_string());
        assert_eq!(row[..3], [meta.ulid.to_string(), meta.min_time.to_string(), meta.max_time.to_string()], "{name}: {list}");
        assert_eq!(row[4..7], numbers, "{name}: {list}");

        let analysis = promtool(&program, "analyze", &made.path("after"));
        let series = analysis.lines().find_map(|l| l.strip_prefix("Series: ")).expect("a count of series");
        assert_eq!(series.trim(), stats.num_series.to_string(), "{name}: {analysis}");
        assert!(analysis.contains(&format!("Block ID: {}", meta.ulid)), "{name}: {analysis}");
    }
}

/// A server on a copy of a database; killed when it is dropped.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(program: &Path, database: &Path) -> Server {
        let config = database.with_extension("yml");
        fs::write(&config, "").expect("an empty configuration");
        let mut child = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", database.display()))
            .args(["--web.listen-address=127.0.0.1:0", "--storage.tsdb.retention.time=100y"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a server");
        // it says where it listens, and goes on to say things, which somebody has to read
        let mut lines = BufReader::new(child.stderr.take().expect("its log")).lines();
        let mut said = Vec::new();
        let mut address = None;
        while address.is_none() {
            let Some(Ok(line)) = lines.next() else { panic!("the server ended:\n{}", said.join("\n")) };
            if line.contains("msg=\"Listening on\"") {
                address = line.split("address=").nth(1).and_then(|a| a.split_whitespace().next()).map(str::to_owned);
            }
            said.push(line);
        }
        std::thread::spawn(move || lines.for_each(drop));
        let server = Server { child, address: address.expect("an address") };
        for _ in 0..600 {
            if server.get("/-/ready").0 == 200 {
                return server;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the server did not get ready:\n{}", said.join("\n"));
    }

    /// Status and body.
    fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).expect("a connection");
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address).expect("a request");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("a response");
        let (head, body) = response.split_once("\r\n\r\n").expect("a head");
        let status = head.split_whitespace().nth(1).and_then(|s| s.parse().ok()).expect("a status");
        (status, body.to_owned())
    }

    /// The result of an instant query at `at_ms`, ordered by series.
    fn query(&self, query: &str, at_ms: i64) -> Vec<Value> {
        let quoted: String = query.bytes().map(|b| format!("%{b:02x}")).collect();
        let (status, body) = self.get(&format!("/api/v1/query?query={quoted}&time={}.{:03}", at_ms / 1000, at_ms % 1000));
        assert_eq!(status, 200, "{query}: {body}");
        let mut answer: Value = serde_json::from_str(&body).expect("JSON");
        let Value::Array(mut result) = answer["data"]["result"].take() else { panic!("{query}: {body}") };
        result.sort_by_key(|series| series["metric"].to_string());
        result
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn points(result: &[Value]) -> usize {
    let len = |series: &Value, of: &str| series[of].as_array().map_or(0, Vec::len);
    result.iter().map(|series| len(series, "values") + len(series, "histograms")).sum()
}

#[test]
fn a_server_answers_from_what_we_write() {
    let Some(program) = program("prometheus", "a_server_answers_from_what_we_write") else { return };
    for (name, stale_samples) in [("many-series", false), ("overlap", true), ("horizontal", true), ("chunks-2000", false)] {
        let made = Compacted::of(name);
        let (before, after) = (Server::start(&program, &made.path("before")), Server::start(&program, &made.path("after")));
        let (start, end) = (made.meta.min_time, made.meta.max_time);
        let all = format!("{{__name__=~\".+\"}}[{}ms]", end - start);
        // one more millisecond would be the first behind the block; the range is closed at its start
        let everything = after.query(&all, end - 1);
        assert_eq!(everything.len() as u64, made.meta.stats.num_series, "{name}");
        if !stale_samples {
            assert_eq!(points(&everything) as u64, made.meta.stats.num_samples, "{name}: a server reads every sample");
        }
        // not `assert_eq!`, which would print them all
        assert!(before.query(&all, end - 1) == everything, "{name}: other samples than before");
        for query in [
            "count by (__name__) ({__name__=~\".+\"})",
            "sum by (job) (rate({__name__=~\"m_003|http_requests_total\"}[30m]))",
            "topk(3, {__name__!=\"\"})",
            "count({c=\"const\"})",
            "absent(no_such_metric)",
            "avg_over_time(m_001[2h])",
        ] {
            for at in [start + 1000, start + (end - start) / 3, end - 1] {
                assert_eq!(before.query(query, at), after.query(query, at), "{name}: {query} at {at}");
            }
        }
    }
}

#[test]
fn the_alerts_that_we_deploy_are_rules() {
    let Some(promtool) = program("promtool", "the_alerts_that_we_deploy_are_rules") else { return };
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/alerts.yaml");
    let checked = Command::new(promtool).args(["check", "rules"]).arg(&rules).output().expect("promtool");
    let text = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success() && text.contains("SUCCESS"), "{text}{}", String::from_utf8_lossy(&checked.stderr));
}
