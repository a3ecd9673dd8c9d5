//! What a compactor shows of itself: probes, metrics, its blocks, its flags.
//!
//! One value is fed by the events of the jobs (it is a [`Report`]), and answers requests (it is [`Pages`]).

mod jobs;
mod pages;
mod plan;
mod view;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::json;
use tokio::runtime::Handle;

use super::http::{Answer, Pages, Request};
use super::metrics::{self, Counts, Format, Page, Type};
use crate::bucket::Bucket;
use crate::clock::Clock;
use crate::error::Result;
use crate::job::catalog::{CatalogBlock, Syncer};
use crate::job::forecast::Prices;
use crate::job::pass::PassResult;
use crate::job::todo::Todo;
use crate::job::{Event, Report};
use crate::model::Millis;
use jobs::Jobs;
use pages::Asked;
use plan::Planned;
use view::View;

/// What a compactor shows, and to whom.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `--delete-delay`.
    pub delete_delay: Millis,
    /// `--consistency-delay`.
    pub consistency_delay: Millis,
    /// `--data-dir`, where metas are kept between looks.
    pub data_dir: PathBuf,
    /// `--price.*`, for what is going to be done.
    pub prices: Prices,
    /// The API and the page of links; `None` with `--web.disable`, and where the process does not stay.
    pub web: Option<Web>,
}

/// The API and the page of links.
#[derive(Clone, Debug, Default)]
pub struct Web {
    /// Every flag with its value, secrets left out.
    pub flags: BTreeMap<String, String>,
    /// `--bucket-web-label`.
    pub label: String,
    /// `--web.route-prefix`: the API is there too.
    pub route_prefix: String,
    /// `--web.external-prefix`: where links of the page point.
    pub external_prefix: String,
    /// `--web.prefix-header`: a header that says where, unless the external prefix does.
    pub prefix_header: String,
    /// Whether pages of other sites may ask; not with `--web.disable-cors`.
    pub cors: bool,
    /// Whether marks may be made; not with `--disable-admin-operations`.
    pub admin: bool,
    /// `--block-viewer.global.sync-block-interval`: how old the list of all blocks may be when it is asked for.
    pub view_age: Duration,
    /// `--block-viewer.global.sync-block-timeout`: how long a look for it may take.
    pub view_timeout: Duration,
}

/// The surface of one compactor; to be shared.
pub struct Compactor {
    settings: Settings,
    clock: Arc<dyn Clock>,
    /// Where bucket requests of the API run.
    runtime: Handle,
    started: Millis,
    counts: Counts,
    jobs: Jobs,
    asked: Asked,
    bucket: OnceLock<Bucket>,
    healthy: AtomicBool,
    ready: AtomicBool,
    loaded: Mutex<View>,
    plan: Planned,
    /// What stands against groups, as JSON.
    groups: Mutex<Arc<str>>,
    global: Mutex<View>,
    /// Looks for the list of all blocks, one at a time.
    looker: tokio::sync::Mutex<Option<Syncer>>,
}

impl Compactor {
    /// Healthy, and not ready yet; requests to a bucket will run on `runtime`.
    pub fn new(settings: Settings, clock: Arc<dyn Clock>, runtime: Handle) -> Arc<Self> {
        Arc::new(Compactor {
            settings,
            started: clock.now(),
            clock,
            runtime,
            counts: Counts::default(),
            jobs: Jobs::default(),
            asked: Asked::default(),
            bucket: OnceLock::new(),
            healthy: AtomicBool::new(true),
            ready: AtomicBool::new(false),
            loaded: Mutex::default(),
            plan: Planned::default(),
            groups: Mutex::new(r#"{"states":{},"troubles":[]}"#.into()),
            global: Mutex::default(),
            looker: tokio::sync::Mutex::default(),
        })
    }

    /// The bucket is open: what is asked of it is shown, and the compactor is ready.
    pub fn opened(&self, bucket: &Bucket) {
        // a second bucket would be a second compactor
        let _ = self.bucket.set(bucket.clone());
        self.ready.store(true, Relaxed);
    }

    /// It is going to end: not ready any more.
    pub fn stopping(&self) {
        self.ready.store(false, Relaxed);
    }

    /// Counts a pass that is over.
    pub fn pass_over(&self, result: &Result<PassResult>) {
        self.counts.pass_over(result);
    }

    /// Shows what is left to do.
    pub fn set_todo(&self, todo: Todo) {
        self.counts.set_todo(todo);
    }

    /// The blocks of the last look, without their objects, and when it was; `None` before the first.
    pub fn last_look(&self) -> Option<(Arc<[CatalogBlock]>, Millis)> {
        let view = lock(&self.loaded);
        view.refreshed.map(|at| (view.blocks.clone(), at))
    }

    /// All metrics.
    fn metrics(&self, format: Format) -> String {
        let mut page = Page::new(format);
        metrics::build(&mut page);
        let mut family = page.family(
            "thanos_status",
            Type::Gauge,
            "Represents status (0 indicates failure, 1 indicates success) of the component.",
        );
        for (check, is) in [("healthy", &self.healthy), ("ready", &self.ready)] {
            let value = f64::from(u8::from(is.load(Relaxed)));
            family.value(&[("check", check), ("component", "compact")], value);
        }
        let seconds = |millis: Millis| millis as f64 / 1000.0;
        let help = "Configured delete delay in seconds.";
        page.one("thanos_delete_delay_seconds", Type::Gauge, help, seconds(self.settings.delete_delay));
        let help = "Configured consistency delay in seconds.";
        page.one("thanos_consistency_delay_seconds", Type::Gauge, help, seconds(self.settings.consistency_delay));
        self.counts.write(&mut page, self.clock.now());
        if let Some(bucket) = self.bucket.get() {
            metrics::bucket(&mut page, bucket);
        }
        self.asked.write(&mut page);
        metrics::process(&mut page);
        page.finish()
    }
}

impl Report for Compactor {
    fn event(&self, event: Event<'_>) {
        if let Event::Looked { catalog, selection, options, .. } = event {
            *lock(&self.loaded) = View::new(&selection.blocks, self.clock.now());
            if self.settings.web.is_some() {
                self.plan.looked(catalog, selection, options, self.clock.now());
            }
        }
        if let Event::LookFailed { error, .. } = event {
            lock(&self.loaded).failed(error, self.clock.now());
        }
        self.jobs.event(&event, self.clock.now());
        if let Event::Groups { standings, troubles } = &event {
            *lock(&self.groups) = json!({ "states": standings, "troubles": troubles }).to_string().into();
        }
        self.counts.event(event);
    }
}

impl Pages for Arc<Compactor> {
    fn answer(&self, request: Request) -> BoxFuture<'_, Answer> {
        Box::pin(pages::answer(self, request))
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    // what is behind these locks is replaced as a whole
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
