//! What a compactor shows of itself over HTTP, asked by a client of the wire.

pub(crate) mod client;

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use crate::compact::bucket;
use crate::objstore;
use client::{Asked, Running, get, probe, request, start, value};

/// Passes at once, and then none for long.
const WAITING: [&str; 4] = ["compact", "--wait", "--wait-interval=1h", "--consistency-delay=0s"];

/// The same, and a pass follows another at once.
const RESTLESS: [&str; 5] = ["compact", "--wait", "--wait-interval=100ms", "--consistency-delay=0s", "--downsampling.disable"];

/// A waiting compactor of the bucket in `dir`, after its first pass.
fn after_a_pass(dir: &Path, arguments: &[&str]) -> Running {
    let config = objstore(dir);
    let mut running = start(dir, &[&WAITING[..], &["--downsampling.disable", &config], arguments].concat());
    running.wait_for("waiting for the next pass");
    running
}

#[test]
fn metrics_are_what_changed_in_the_bucket() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = bucket(dir.path());
    // a lease would be requests too
    let running = after_a_pass(dir.path(), &["--compact.progress-interval=100ms", "--compact.no-lease"]);
    running.until("/metrics", |page| page.contains("thanos_compact_todo_compactions 0"));
    let page = get(running.address, "/metrics").body;
    let check = |name: &str, expected: f64| assert_eq!(value(&page, name), expected, "{name}");

    // three blocks became one and were marked; nothing is left to do
    check("thanos_compact_iterations_total", 1.0);
    check("thanos_compact_halted", 0.0);
    check("thanos_compact_retries_total", 0.0);
    check("thanos_compact_group_compactions_total{resolution=\"0\"}", 1.0);
    check("thanos_compact_group_compactions_total{resolution=\"300000\"}", 0.0);
    check("thanos_compact_group_vertical_compactions_total{resolution=\"0\"}", 0.0);
    check("thanos_compact_group_compactions_failures_total{resolution=\"0\"}", 0.0);
    check("thanos_compact_blocks_marked_total{marker=\"deletion-mark.json\",reason=\"\"}", 3.0);
    check("thanos_compact_garbage_collected_blocks_total", 3.0);
    check("prometheus_tsdb_compactions_total", 1.0);
    check("prometheus_tsdb_compaction_duration_seconds_count", 1.0);
    check("prometheus_tsdb_compaction_populating_block", 0.0);
    check("thanos_compact_blocks_cleaned_total", 0.0);
    check("thanos_compact_block_cleanup_loops_total", 1.0);
    check("thanos_compact_todo_compaction_blocks", 0.0);
    check("thanos_delete_delay_seconds", 172_800.0);
    check("thanos_consistency_delay_seconds", 0.0);
    check("thanos_status{check=\"ready\",component=\"compact\"}", 1.0);
    let marks = fs::read_dir(&bucket).unwrap().filter(|b| b.as_ref().unwrap().path().join("deletion-mark.json").exists());
    assert_eq!(marks.count(), 3);

    // the last look saw all blocks of the bucket: those that are marked, and those that are not
    let blocks = fs::read_dir(&bucket).unwrap().count() as f64;
    check("thanos_blocks_meta_synced{state=\"marked-for-deletion\"}", 3.0);
    check("thanos_blocks_meta_synced{state=\"loaded\"}", blocks - 3.0);
    check("thanos_blocks_meta_sync_failures_total", 0.0);
    assert_eq!(value(&page, "thanos_blocks_meta_syncs_total"), value(&page, "thanos_blocks_meta_sync_duration_seconds_count"));

    // requests of the gate: an index, a segment, a meta.json and three marks were written
    let name = format!("{{bucket=\"fs: {}\",operation=\"upload\"}}", bucket.display());
    check(&format!("thanos_objstore_bucket_operations_total{name}"), 6.0);
    check(&format!("thanos_objstore_bucket_operation_failures_total{name}"), 0.0);
    check(&format!("thanos_objstore_bucket_operation_duration_seconds_count{name}"), 6.0);
    let written: u64 = files(&bucket).into_iter().filter(|(is_new, _)| *is_new).map(|(_, len)| len).sum();
    check(&format!("thanos_objstore_bucket_operation_transferred_bytes_sum{name}"), written as f64);
    let uploaded =
        value(&page, &format!("thanos_objstore_bucket_last_successful_upload_time{{bucket=\"fs: {}\"}}", bucket.display()));
    assert!(uploaded > 1.5e9);

    // of the blocks that no compactor made, the oldest that is left ended at this second
    let line = page.lines().find(|l| l.starts_with("blockyard_compact_oldest_uncompacted_block_age_seconds{")).unwrap();
    let asked_at = 1_795_219_800.0 + line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
    assert!((uploaded..uploaded + 3600.0).contains(&asked_at), "{line}");

    let open = request(running.address, "GET", "/metrics", &[("Accept", "application/openmetrics-text;version=1.0.0")], "");
    assert!(open.head.contains("application/openmetrics-text"), "{}", open.head);
    assert!(open.body.contains("# TYPE thanos_compact_iterations counter\nthanos_compact_iterations_total 1.0\n"));
    assert!(open.body.ends_with("# EOF\n"));
}

/// Files of the blocks below `bucket`: whether this test's compactor wrote them, and their length.
fn files(bucket: &Path) -> Vec<(bool, u64)> {
    let mut found = Vec::new();
    for block in fs::read_dir(bucket).unwrap().map(|b| b.unwrap().path()) {
        let meta: serde_json::Value = serde_json::from_slice(&fs::read(block.join("meta.json")).unwrap()).unwrap();
        let is_new = meta["compaction"]["level"] == 2;
        for name in ["index", "chunks/000001", "meta.json", "deletion-mark.json"] {
            if let Ok(file) = fs::metadata(block.join(name)) {
                found.push((is_new || name == "deletion-mark.json", file.len()));
            }
        }
    }
    found
}

#[test]
fn a_damaged_block_halts_its_group_and_the_rest_stays_up() {
    let dir = tempfile::tempdir().unwrap();
    let segment = bucket(dir.path()).join("01M7XNJR0HDNHTF9KETBJQBHRR/chunks/000001");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[1000] ^= 4;
    fs::write(&segment, bytes).unwrap();
    let running = after_a_pass(dir.path(), &["--compact.progress-interval=0s"]);
    let page = get(running.address, "/metrics").body;
    let check = |name: &str, expected: f64| assert_eq!(value(&page, name), expected, "{name}");
    check("thanos_compact_halted", 1.0);
    check("thanos_compact_iterations_total", 0.0);
    // it was looked at twice before it was believed
    check("thanos_compact_group_compactions_failures_total{resolution=\"0\"}", 2.0);
    check("blockyard_compact_groups{state=\"quarantined\"}", 1.0);
    check("blockyard_compact_groups{state=\"retrying\"}", 0.0);
    let line = page.lines().find(|l| l.starts_with("blockyard_compact_quarantined_group{")).unwrap();
    assert!(line.contains("labels=\"{cluster=\\\"us1\\\"}\"") && line.ends_with(" 1"), "{line}");
    let asked = get(running.address, "/api/v1/groups").body;
    let asked: serde_json::Value = serde_json::from_str(&asked).unwrap();
    let trouble = &asked["data"]["troubles"][0];
    assert_eq!((&trouble["standing"], &trouble["attempts"]), (&"quarantined".into(), &2.into()), "{asked}");
    assert_eq!((&trouble["block"], &trouble["part"]), (&"01M7XNJR0HDNHTF9KETBJQBHRR".into(), &"chunks/000001".into()));
    assert!(trouble["series"].as_str().is_some_and(|series| series.starts_with("{__name__=")), "{trouble}");
    assert!(trouble["next"].as_str().unwrap().contains("tools bucket mark --id=01M7XNJR0HDNHTF9KETBJQBHRR"), "{trouble}");
    check("thanos_compact_group_compactions_total{resolution=\"0\"}", 0.0);
    check("thanos_compact_blocks_marked_total{marker=\"deletion-mark.json\",reason=\"\"}", 0.0);
    // its blocks wait: the age is that of the oldest, which ended long ago
    let line = page.lines().find(|l| l.starts_with("blockyard_compact_oldest_uncompacted_block_age_seconds{")).unwrap();
    assert!(line.contains("labels=\"{cluster=\\\"us1\\\"}\""), "{line}");
    assert!(line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() > 0.0, "{line}");
    assert!(!page.contains("thanos_compact_todo_compactions"), "nobody counts with an interval of 0s");
    assert_eq!(get(running.address, "/-/healthy").status, 200);
    assert_eq!(get(running.address, "/-/ready").status, 200);
}

#[test]
fn a_replaced_object_ends_a_quarantine_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let block = bucket(dir.path()).join("01M7XNJR0HDNHTF9KETBJQBHRR");
    let segment = block.join("chunks/000001");
    let whole = fs::read(&segment).unwrap();
    fs::write(&segment, &whole[..whole.len() - 1]).unwrap();
    let mut meta: serde_json::Value = serde_json::from_slice(&fs::read(block.join("meta.json")).unwrap()).unwrap();
    meta["thanos"]["files"] = serde_json::json!([{ "rel_path": "chunks/000001", "size_bytes": whole.len() }]);
    fs::write(block.join("meta.json"), meta.to_string()).unwrap();
    let config = objstore(dir.path());
    let arguments = [&RESTLESS[..], &[&config]].concat();
    let mut running = start(dir.path(), &arguments);
    running.wait_for("chunks/000001");
    running.until("/metrics", |page| page.contains("thanos_compact_halted 1"));
    fs::write(&segment, &whole).unwrap();
    let compactions = |page: &str| value(page, "thanos_compact_group_compactions_total{resolution=\"0\"}");
    running.until("/metrics", |page| page.contains("thanos_compact_halted 0") && compactions(page) == 1.0);
    let page = get(running.address, "/metrics").body;
    assert_eq!(value(&page, "thanos_compact_group_compactions_failures_total{resolution=\"0\"}"), 0.0, "nothing was read");
    assert!(!page.contains("blockyard_compact_quarantined_group{"));
}

#[test]
fn halt_on_error_given_explicitly_halts() {
    let dir = tempfile::tempdir().unwrap();
    let segment = bucket(dir.path()).join("01M7XNJR0HDNHTF9KETBJQBHRR/chunks/000001");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[1000] ^= 4;
    fs::write(&segment, bytes).unwrap();
    let config = objstore(dir.path());
    let arguments = [&RESTLESS[..], &["--debug.halt-on-error", &config]].concat();
    let mut running = start(dir.path(), &arguments);
    running.wait_for("halted, as --debug.halt-on-error asks");
    let page = get(running.address, "/metrics").body;
    assert_eq!(value(&page, "thanos_compact_halted"), 1.0);
    assert_eq!(value(&page, "thanos_compact_group_compactions_failures_total{resolution=\"0\"}"), 1.0);
    assert_eq!(get(running.address, "/-/healthy").status, 200);
    assert!(!dir.path().join("data/quarantine.json").exists(), "the next start tries again");
    running.signal("TERM");
    assert_eq!(running.end(), Some(143));
}

#[test]
fn blocks_are_listed_and_marked() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = bucket(dir.path());
    let running = after_a_pass(dir.path(), &["--bucket-web-label=cluster", "--block-viewer.global.sync-block-interval=0s"]);
    let data = |path: &str| -> serde_json::Value {
        let asked = get(running.address, path);
        assert_eq!(asked.status, 200, "{path}: {}", asked.body);
        assert!(asked.head.contains("access-control-allow-origin: *"), "{}", asked.head);
        serde_json::from_str::<serde_json::Value>(&asked.body).unwrap()["data"].take()
    };
    assert_eq!(data("/api/v1/jobs"), serde_json::json!([]), "the pass is over");
    let (loaded, global) = (data("/api/v1/blocks?view=loaded"), data("/api/v1/blocks"));
    // the lease lies in a folder that is no block
    let blocks = fs::read_dir(&bucket).unwrap().count() - 1;
    assert_eq!(loaded["blocks"].as_array().unwrap().len(), blocks - 3);
    assert_eq!(global["blocks"].as_array().unwrap().len(), blocks);
    assert_eq!((&global["label"], &global["err"]), (&"cluster".into(), &serde_json::Value::Null));
    assert!(global["refreshedAt"].as_str().unwrap().starts_with("20"));
    let made = loaded["blocks"].as_array().unwrap().iter().find(|b| b["compaction"]["level"] == 2).unwrap();
    let id = made["ulid"].as_str().unwrap();
    let meta: serde_json::Value = serde_json::from_slice(&fs::read(bucket.join(id).join("meta.json")).unwrap()).unwrap();
    assert_eq!(*made, meta);

    let mark = |form: &str| {
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        request(running.address, "POST", "/api/v1/blocks/mark", &headers, form)
    };
    let refused = |form: &str, why: &str| {
        let asked = mark(form);
        assert_eq!(asked.status, 400, "{form}");
        let body: serde_json::Value = serde_json::from_str(&asked.body).unwrap();
        assert_eq!((&body["status"], &body["errorType"]), (&"error".into(), &"bad_data".into()));
        assert!(body["error"].as_str().unwrap().contains(why), "{body}");
    };
    refused("", "ID cannot be empty");
    refused(&format!("id={id}"), "Action cannot be empty");
    refused("id=x&action=DELETION", "ULID \"x\" is not valid");
    refused(&format!("id={id}&action=FOO"), "not supported marker FOO");
    refused("id=01M7XNJR0HDNHTF9KETBJQBHR0&action=DELETION", "there is no block");
    let asked = mark(&format!("id={id}&action=NO_COMPACTION&detail=looked+at"));
    assert_eq!((asked.status, asked.body.as_str()), (204, ""));
    let written: serde_json::Value =
        serde_json::from_slice(&fs::read(bucket.join(id).join("no-compact-mark.json")).unwrap()).unwrap();
    assert_eq!((&written["reason"], &written["details"]), (&"manual".into(), &"looked at".into()));
    assert_eq!(mark(&format!("id={id}&action=DELETION")).status, 204);
    assert!(bucket.join(id).join("deletion-mark.json").exists());

    let flags = data("/api/v1/status/flags");
    assert_eq!((&flags["wait-interval"], &flags["disable-admin-operations"]), (&"1h".into(), &"false".into()));
    assert_eq!((&flags["objstore.config"], &flags["debug.halt-on-error"]), (&"<REDACTED>".into(), &"true".into()));
    assert!(data("/api/v1/status/runtimeinfo")["startTime"].is_string());
    assert!(data("/api/v1/status/buildinfo")["version"].is_string());
    assert_eq!(get(running.address, "/api/v1/nothing").status, 404);
    let wrong = request(running.address, "POST", "/api/v1/blocks", &[], "");
    assert!(wrong.status == 405 && wrong.head.contains("allow: get, options"), "{}", wrong.head);
    assert_eq!(request(running.address, "OPTIONS", "/api/v1/blocks", &[], "").status, 204);
    assert!(get(running.address, "/").body.contains("<a href=\"/metrics\">"));

    let page = get(running.address, "/metrics").body;
    // as in Thanos, marks of people are not those of the compactor, which marked the three that became one
    let marked = |marker: &str| value(&page, &format!("thanos_compact_blocks_marked_total{{marker=\"{marker}\",reason=\"\"}}"));
    assert_eq!(marked("deletion-mark.json"), 3.0);
    assert!(!page.contains("thanos_compact_blocks_marked_total{marker=\"no-compact-mark.json\",reason=\"manual\"}"), "{page}");
    assert_eq!(value(&page, "http_requests_total{code=\"400\",handler=\"blocks_mark\",method=\"post\"}"), 5.0);
    assert_eq!(value(&page, "thanos_bucket_uiblocks_meta_syncs_total"), 1.0);
    assert_eq!(value(&page, "thanos_bucket_uiblocks_meta_synced{state=\"loaded\"}"), blocks as f64);
}

#[test]
fn what_flags_of_the_web_change() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("bucket")).unwrap();
    let running = after_a_pass(
        dir.path(),
        &["--disable-admin-operations", "--web.disable-cors", "--web.route-prefix=/thanos", "--web.prefix-header=X-Prefix"],
    );
    let asked = request(running.address, "POST", "/api/v1/blocks/mark?id=01M7XNJR0HDNHTF9KETBJQBHR0&action=DELETION", &[], "");
    assert!(asked.status == 400 && asked.body.contains("Admin operations are disabled"), "{}", asked.body);
    for path in ["/api/v1/blocks?view=loaded", "/thanos/api/v1/blocks?view=loaded"] {
        let asked = get(running.address, path);
        assert_eq!(asked.status, 200, "{path}");
        assert!(!asked.head.contains("access-control"), "{}", asked.head);
    }
    assert_eq!(get(running.address, "/thanosapi/v1/blocks").status, 404);
    let link = |header: &str| request(running.address, "GET", "/thanos/", &[("X-Prefix", header)], "").body;
    assert!(link("/proxy").contains("<a href=\"/proxy/metrics\">"), "{}", link("/proxy"));
    assert!(link("\"><script>").contains("<a href=\"/metrics\">"), "a header does not write the page");
    drop(running);

    let running = after_a_pass(dir.path(), &["--web.external-prefix=https://a.example/x/", "--web.prefix-header=X-Prefix"]);
    let page = request(running.address, "GET", "/", &[("X-Prefix", "/proxy")], "").body;
    assert!(page.contains("<a href=\"https://a.example/x/metrics\">"), "{page}");
    drop(running);

    let running = after_a_pass(dir.path(), &["--web.disable"]);
    assert_eq!(["/", "/api/v1/blocks", "/metrics"].map(|path| get(running.address, path).status), [404, 404, 200]);
}

#[test]
fn it_listens_before_the_bucket_answers_and_ends_within_the_grace_period() {
    // a bucket that takes connections and says nothing
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = format!(
        "--objstore.config={{type: S3, config: {{bucket: b, endpoint: '{}', insecure: true, access_key: a, secret_key: s, region: r}}}}",
        silent.local_addr().unwrap()
    );
    let mut running = start(dir.path(), &["compact", "--wait", "--http-grace-period=1s", "--compact.no-lease", &config]);
    assert_eq!(get(running.address, "/-/healthy").status, 200);
    running.until("/-/ready", |body| body == "OK");
    let page = get(running.address, "/metrics").body;
    assert_eq!(value(&page, "thanos_compact_iterations_total"), 0.0);
    running.signal("HUP");
    running.wait_for("SIGHUP");
    assert_eq!(get(running.address, "/-/healthy").status, 200, "a hangup ends nothing");
    running.signal("TERM");
    running.wait_for("the grace period is over");
    assert_eq!(running.end(), Some(143));
}

#[test]
fn an_address_that_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("--http-address={}", taken.local_addr().unwrap());
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("bucket")).unwrap();
    let config = objstore(dir.path());
    let once = crate::blockyard(dir.path(), &["compact", &config, &address]);
    assert_eq!(once.code, Some(0), "{}", once.err);
    assert!(once.err.contains("level=warn") && once.err.contains("cannot listen at"), "{}", once.err);
    let waiting = crate::blockyard(dir.path(), &["compact", "--wait", &config, &address]);
    assert_eq!(waiting.code, Some(1), "{}", waiting.err);
    assert!(waiting.err.contains("give another --http-address"), "{}", waiting.err);
    let wrong = crate::blockyard(dir.path(), &["compact", "--wait", &config, "--http-address=nowhere"]);
    assert_eq!(wrong.code, Some(2), "{}", wrong.err);
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused_before_anything_is_begun() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("bucket")).unwrap();
    let config = objstore(dir.path());
    let check = |text: &str, part: &str| {
        fs::write(dir.path().join("web.yml"), text).unwrap();
        let ran = crate::blockyard(dir.path(), &["compact", "--wait", &config, "--http.config=web.yml", "--http-address=:0"]);
        assert_eq!(ran.code, Some(2), "{text}: {}", ran.err);
        assert!(ran.err.contains(part), "{text}: {}", ran.err);
    };
    check("tls_server_config: {cert_file: a.pem}", "missing one of key or key_file");
    check("tls_server_config: {cert_file: a.pem, key_file: a.key}", "failed to read cert_file");
    check("basic_auth_users: {me: plain}", "htpasswd");
    check("tls_server: {}", "web.yml: line 1");
    let tls = tls_paths();
    check(&format!("tls_server_config: {{{tls}, client_ca_file: a.pem}}"), "without a Client Auth Policy");
    check(&format!("tls_server_config: {{{tls}, client_auth_type: Maybe}}"), "invalid ClientAuth: Maybe");
    check(&format!("tls_server_config: {{{tls}, max_version: TLS11}}"), "TLS below 1.2 is not offered");
    check(&format!("tls_server_config: {{{tls}, cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]}}"), "is not offered");
    check(&format!("tls_server_config: {{{tls}, client_allowed_sans: [a]}}"), "not in this version");
}

/// Where certificate and key of the server lie, for a configuration.
fn tls_paths() -> String {
    let folder = client::certificates();
    format!("cert_file: '{0}/server.pem', key_file: '{0}/server.key'", folder.display())
}

#[test]
fn passwords_and_headers_count_from_the_next_request() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("bucket")).unwrap();
    let users = format!("basic_auth_users: {{me: {HASH}}}\n");
    let headers = "http_server_config: {headers: {X-Frame-Options: deny}}\n";
    fs::write(dir.path().join("web.yml"), format!("{users}{headers}")).unwrap();
    let running = after_a_pass(dir.path(), &["--http.config=web.yml"]);
    let ask =
        |authorization: &str| -> Asked { request(running.address, "GET", "/-/healthy", &[("Authorization", authorization)], "") };
    let refused = get(running.address, "/-/healthy");
    assert!(refused.status == 401 && refused.head.contains("www-authenticate: Basic"), "{}", refused.head);
    assert!(refused.head.contains("x-frame-options: deny"), "{}", refused.head);
    assert_eq!(ask("Basic bWU6c2VjcmV0").status, 200, "me:secret");
    assert_eq!(ask("Basic bWU6c2VjcmV1").status, 401, "me:secreu");
    assert_eq!(ask("Basic eW91OnNlY3JldA==").status, 401, "you:secret");
    fs::write(dir.path().join("web.yml"), headers).unwrap();
    assert_eq!(get(running.address, "/-/healthy").status, 200, "nobody is asked for a password any more");
    fs::write(dir.path().join("web.yml"), "rubbish").unwrap();
    assert_eq!(get(running.address, "/-/healthy").status, 500);
}

/// `secret`, hashed by bcrypt at its lowest cost.
const HASH: &str = "$2b$04$YJ9FHkFBxlbI0XbMkXP8RuYn3rI0hh1as8OnaJF9eQlrtwCWZiy5u";

#[test]
fn tls_with_and_without_certificates_of_clients() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("bucket")).unwrap();
    let config =
        |more: &str| fs::write(dir.path().join("web.yml"), format!("tls_server_config: {{{}{more}}}", tls_paths())).unwrap();
    config("");
    let running = after_a_pass(dir.path(), &["--http.config=web.yml"]);
    let secure = |own: bool| client::secure(running.address, "/-/healthy", own).map(|asked| (asked.status, asked.body));
    assert_eq!(secure(false).unwrap(), (200, "OK".to_owned()));
    assert!(client::try_plain(running.address).is_err(), "it does not speak plainly");
    // the file is read for each connection
    let ca = client::certificates().join("ca.pem");
    config(&format!(", client_auth_type: RequireAndVerifyClientCert, client_ca_file: '{}'", ca.display()));
    assert!(secure(false).is_err(), "a client without a certificate");
    assert_eq!(secure(true).unwrap().0, 200);
    config(", client_auth_type: RequireAnyClientCert, min_version: TLS13");
    assert!(secure(false).is_err());
    assert_eq!(secure(true).unwrap().0, 200);
}

/// Families of metrics that a text names.
fn named(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text
        .split(|c: char| !is_part(c))
        .filter(|w| ["thanos_", "blockyard_", "process_", "prometheus_tsdb_"].iter().any(|p| w.starts_with(p)));
    words.map(|word| word.strip_suffix("_bucket").unwrap_or(word).to_owned()).collect()
}

#[test]
fn alerts_and_dashboards_of_deploy_ask_for_metrics_that_are_there() {
    let dir = tempfile::tempdir().unwrap();
    bucket(dir.path());
    let running = after_a_pass(dir.path(), &["--compact.progress-interval=100ms"]);
    running.until("/metrics", |page| page.contains("thanos_compact_todo_compactions 0"));
    let page = get(running.address, "/metrics").body;
    let there: BTreeSet<&str> = page.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    for name in ["alerts.yaml", "dashboard.json"] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name)).unwrap();
        let asked = named(&text);
        assert!(asked.len() > 5, "{name}: {asked:?}");
        let missing: Vec<_> = asked.iter().filter(|n| !there.contains(n.as_str())).collect();
        assert!(missing.is_empty(), "{name}: {missing:?}");
    }
}

#[test]
fn a_second_compactor_waits_ready_and_healthy_until_the_first_ends() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = bucket(dir.path());
    let first = after_a_pass(dir.path(), &[]);
    let config = objstore(dir.path());
    let second = [&WAITING[..], &["--downsampling.disable", &config, "--data-dir=second"]].concat();
    let mut second = start(dir.path(), &second);
    let line = second.wait_for("compacts this bucket: waiting");
    assert!(line.contains("level=warn"), "{line}");
    for path in ["/-/healthy", "/-/ready"] {
        assert_eq!(get(second.address, path).status, 200, "{path}");
    }
    let alone = crate::blockyard(dir.path(), &["compact", "--dry-run", "--consistency-delay=0s", &config]);
    assert_eq!(alone.code, Some(0), "reading waits for nobody: {}", alone.err);

    first.signal("TERM");
    assert_eq!(first.end(), Some(143));
    second.wait_for("waiting for the next pass");
    second.signal("TERM");
    assert_eq!(second.end(), Some(143));
    assert!(!bucket.join("blockyard").exists(), "nothing is left behind");
}

/// Replicas of one server, all of whose samples are merged: work for all cores, for seconds.
const REPLICAS: usize = 40;

/// The promise is an answer within a second, so that is what is asked of every probe; none is tried again.
#[test]
fn probes_are_answered_within_a_second_while_all_cores_are_busy() {
    let dir = tempfile::tempdir().unwrap();
    let original = bucket(dir.path());
    let blocks: Vec<_> = fs::read_dir(&original).unwrap().map(|b| b.unwrap().path()).collect();
    for (n, block) in blocks.iter().enumerate() {
        let meta: serde_json::Value = serde_json::from_slice(&fs::read(block.join("meta.json")).unwrap()).unwrap();
        for replica in 0..REPLICAS {
            let mut meta = meta.clone();
            // another id of the same time
            let name = block.file_name().unwrap().to_str().unwrap();
            let id = format!("{}{n:02}{replica:02}", &name[..22]);
            meta["ulid"] = id.clone().into();
            meta["compaction"]["sources"] = serde_json::json!([id]);
            meta["thanos"]["labels"]["replica"] = replica.to_string().into();
            let to = original.join(&id);
            fs::create_dir_all(to.join("chunks")).unwrap();
            for file in ["index", "chunks/000001"] {
                fs::hard_link(block.join(file), to.join(file)).unwrap();
            }
            fs::write(to.join("meta.json"), meta.to_string()).unwrap();
        }
        fs::remove_dir_all(block).unwrap();
    }
    let config = objstore(dir.path());
    let replica = ["--deduplication.replica-label=replica", "--compact.concurrency=4", "--downsampling.disable", &config];
    let mut running = start(dir.path(), &[&WAITING[..], &replica].concat());
    running.wait_for("job started");
    let (mut slowest, mut probes, second) = (Duration::ZERO, 0, Duration::from_secs(1));
    let mut work = 1;
    loop {
        for path in ["/-/healthy", "/-/ready"] {
            let (status, took) = probe(running.address, path, second).unwrap_or_else(|e| panic!("{path}, probe {probes}: {e}"));
            assert_eq!(status, 200, "{path}");
            assert!(took <= second, "{path}, probe {probes}: {took:?}");
            (slowest, probes) = (slowest.max(took), probes + 1);
        }
        let lines: Vec<String> = running.lines().collect();
        work += lines.iter().filter(|line| line.contains("job started")).count();
        if lines.iter().any(|line| line.contains("msg=\"pass done\"")) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    println!("{probes} probes beside {work} jobs, the slowest took {slowest:?}");
    assert!(probes >= 20, "{probes} probes are too few to show anything");
}
