//! Paths to answers.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use hyper::Method;
use serde_json::json;

use super::{Compactor, Web, lock};
use crate::block::retire::{self, Marked};
use crate::error::{Error, Kind, Result};
use crate::model::{BlockId, Timestamp};
use crate::serve::http::{Answer, Request};
use crate::serve::metrics::{Format, Page, Spread, Type};

const SECONDS: [f64; 17] = [0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0, 240.0, 360.0, 720.0];

/// What other sites may do.
const CORS: [(&str, &str); 4] = [
    ("access-control-allow-headers", "Accept, Accept-Encoding, Authorization, Content-Type, Origin"),
    ("access-control-allow-methods", "GET, POST, OPTIONS"),
    ("access-control-allow-origin", "*"),
    ("access-control-expose-headers", "Date"),
];

/// The reason of a mark that a person makes.
const MANUAL: &str = "manual";

/// Requests to the API that were answered.
#[derive(Default)]
pub(super) struct Asked(Mutex<BTreeMap<(&'static str, String, u16), Spread>>);

impl Asked {
    fn note(&self, handler: &'static str, method: &Method, code: u16, began: Instant) {
        let method = method.as_str().to_ascii_lowercase();
        let mut asked = lock(&self.0);
        asked.entry((handler, method, code)).or_insert_with(|| Spread::new(&SECONDS)).observe(began.elapsed().as_secs_f64());
    }

    pub(super) fn write(&self, page: &mut Page) {
        let asked = lock(&self.0);
        let labels = |(handler, method, code): &(&'static str, String, u16)| {
            [("code", code.to_string()), ("handler", (*handler).to_owned()), ("method", method.clone())]
        };
        let mut family = page.family("http_requests_total", Type::Counter, "Tracks the number of HTTP requests.");
        for (key, spread) in asked.iter() {
            let count: u64 = spread.counts().iter().sum();
            family.value(&labels(key).each_ref().map(|(n, v)| (*n, v.as_str())), count as f64);
        }
        let help = "Tracks the latencies for HTTP requests.";
        let mut family = page.family("http_request_duration_seconds", Type::Histogram, help);
        for (key, spread) in asked.iter() {
            family.spread(&labels(key).each_ref().map(|(n, v)| (*n, v.as_str())), spread);
        }
    }
}

pub(super) async fn answer(compactor: &Arc<Compactor>, request: Request) -> Answer {
    let probe = |is: bool| if is { Answer::text(200, "OK") } else { Answer::text(503, "NOT OK\n") };
    match request.path.as_str() {
        "/-/healthy" => return probe(compactor.healthy.load(Relaxed)),
        "/-/ready" => return probe(compactor.ready.load(Relaxed)),
        "/metrics" => {
            let format = Format::accepted(request.header("accept"));
            return Answer::new(200, format.content_type(), compactor.metrics(format));
        }
        _ => {}
    }
    let Some(web) = &compactor.settings.web else { return not_found() };
    let prefix = web.route_prefix.trim_matches('/');
    let path = match request.path.strip_prefix('/').and_then(|path| path.strip_prefix(prefix)) {
        Some(rest) if !prefix.is_empty() && (rest.is_empty() || rest.starts_with('/')) => rest,
        _ => request.path.as_str(),
    };
    match path.strip_prefix("/api/v1/") {
        Some(call) => api(compactor, web, &request, call).await,
        None if matches!(path, "" | "/" | "/blocks" | "/loaded") => links(web, &request),
        None => not_found(),
    }
}

fn not_found() -> Answer {
    Answer::text(404, "404 page not found\n")
}

async fn api(compactor: &Arc<Compactor>, web: &Web, request: &Request, call: &str) -> Answer {
    let began = Instant::now();
    let (handler, allowed) = match call {
        "blocks" => ("blocks", Method::GET),
        "groups" => ("groups", Method::GET),
        "plan" => ("plan", Method::GET),
        "blocks/mark" => ("blocks_mark", Method::POST),
        "jobs" => ("jobs", Method::GET),
        "status/flags" => ("status_flags", Method::GET),
        "status/runtimeinfo" => ("status_runtime", Method::GET),
        "status/buildinfo" => ("status_build", Method::GET),
        _ if request.method == Method::OPTIONS => ("options", Method::OPTIONS),
        _ => return not_found(),
    };
    let is_head = request.method == Method::HEAD && allowed == Method::GET;
    let (handler, answer) = if request.method == Method::OPTIONS {
        ("options", Ok(None))
    } else if request.method != allowed && !is_head {
        return Answer::text(405, "Method Not Allowed\n").header("allow", &format!("{allowed}, OPTIONS"));
    } else {
        let data = match handler {
            "blocks" => Ok(Some(blocks(compactor, web, request).await)),
            "plan" => Ok(Some(compactor.planned().await.to_string())),
            "groups" => Ok(Some(lock(&compactor.groups).to_string())),
            "blocks_mark" => mark(compactor, web, request).await.map(|()| None),
            "jobs" => Ok(Some(compactor.jobs.to_json(compactor.clock.now()))),
            "status_flags" => Ok(Some(json!(web.flags).to_string())),
            "status_runtime" => Ok(Some(runtime_info(compactor))),
            _ => Ok(Some(build_info())),
        };
        (handler, data)
    };
    let (code, body) = match answer {
        Ok(Some(data)) => (200, format!(r#"{{"status":"success","data":{data}}}"#)),
        Ok(None) => (204, String::new()),
        Err(error) => {
            let body = json!({"status": "error", "errorType": "bad_data", "error": error.to_string()});
            (400, body.to_string())
        }
    };
    compactor.asked.note(handler, &request.method, code, began);
    let mut answer = Answer::new(code, if code == 204 { "" } else { "application/json" }, body);
    if code == 400 {
        answer = answer.header("cache-control", "no-store");
    }
    match web.cors {
        true => CORS.into_iter().fold(answer, |answer, (name, value)| answer.header(name, value)),
        false => answer,
    }
}

async fn blocks(compactor: &Arc<Compactor>, web: &Web, request: &Request) -> String {
    let view = match request.value("view").as_str() {
        "loaded" => lock(&compactor.loaded).clone(),
        _ => compactor.all_blocks().await,
    };
    let label = web.label.clone();
    // many blocks are many megabytes of text
    tokio::task::spawn_blocking(move || view.to_json(&label)).await.unwrap_or_else(|_| "null".to_owned())
}

async fn mark(compactor: &Arc<Compactor>, web: &Web, request: &Request) -> Result<()> {
    let invalid = |what: String| Err(Error::new(Kind::Invalid, what));
    if !web.admin {
        return invalid("Admin operations are disabled".to_owned());
    }
    let (id, action, detail) = (request.value("id"), request.value("action"), request.value("detail"));
    if id.is_empty() {
        return invalid("ID cannot be empty".to_owned());
    }
    if action.is_empty() {
        return invalid("Action cannot be empty".to_owned());
    }
    let Ok(block) = id.parse::<BlockId>() else { return invalid(format!("ULID {id:?} is not valid")) };
    let is_deletion = match action.as_str() {
        "DELETION" => true,
        "NO_COMPACTION" => false,
        _ => return invalid(format!("not supported marker {action}")),
    };
    let Some(bucket) = compactor.bucket.get().cloned() else { return invalid("the bucket is not open yet".to_owned()) };
    let now = compactor.clock.now();
    // the bucket's connections belong to the runtime of the jobs, and a mark is made to its end
    let marking = compactor.runtime.spawn(async move {
        match is_deletion {
            true => retire::mark_for_deletion(&bucket, block, now, &detail).await,
            false => retire::mark_no_compact(&bucket, block, now, MANUAL, &detail).await,
        }
    });
    match marking.await {
        Ok(Ok(Marked::Written | Marked::Already)) => Ok(()),
        Ok(Ok(Marked::NoBlock)) => invalid(format!("there is no block {block}")),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(Error::new(Kind::Cancelled, "asked to stop")),
    }
}

/// The fields are those of Go, so that pages which read them go on working.
fn runtime_info(compactor: &Compactor) -> String {
    let folder = std::env::current_dir().map(|d| d.display().to_string()).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    json!({
        "startTime": Timestamp::from_millis(compactor.started).to_string(),
        "CWD": folder,
        "goroutineCount": 0,
        "GOMAXPROCS": cores,
        "GOGC": "",
        "GODEBUG": "",
        "GOMEMLIMIT": 0,
    })
    .to_string()
}

fn build_info() -> String {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "revision": "unknown",
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
    })
    .to_string()
}

/// A page of links, in place of a viewer.
fn links(web: &Web, request: &Request) -> Answer {
    let header = if web.prefix_header.is_empty() { "" } else { request.header(&web.prefix_header) };
    let prefix = if web.external_prefix.is_empty() { header } else { &web.external_prefix };
    let prefix = prefix.trim_matches('/');
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.~:".contains(c);
    // it goes into a page, and a header is anybody's
    let prefix = if prefix.chars().all(plain) { prefix } else { "" };
    let slash = if prefix.is_empty() || prefix.contains("://") { "" } else { "/" };
    let link = |path: &str| format!("<li><a href=\"{slash}{prefix}{path}\">{path}</a></li>\n");
    let paths = ["/metrics", "/-/healthy", "/-/ready", "/api/v1/blocks?view=global", "/api/v1/blocks?view=loaded"];
    let paths: String = paths.into_iter().chain(["/api/v1/status/flags", "/api/v1/status/buildinfo"]).map(link).collect();
    let page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Blockyard compact</title></head>\n\
         <body><h1>Blockyard compact</h1>\n<ul>\n{paths}</ul></body></html>\n"
    );
    Answer::new(200, "text/html; charset=utf-8", page)
}
