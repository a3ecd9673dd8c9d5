//! Flags of the HTTP server and of what it shows.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use blockyard::model::Millis;
use blockyard::serve::compactor::{Settings, Web};
use blockyard::serve::http::Options;
use clap::Args;

use super::Flags;
use crate::flags::{go_duration, prom_duration};

/// Where the server listens, and what it shows.
#[derive(Args, Debug)]
#[command(next_help_heading = "HTTP")]
pub(crate) struct Http {
    /// Address of the HTTP server, such as 127.0.0.1:10902 or :10902; "" for no server
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:10902")]
    http_address: String,

    /// How long requests and the work in hand may take to end after SIGINT or SIGTERM
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = prom_duration)]
    http_grace_period: Millis,

    /// File with TLS and authentication of the HTTP server, in the form that Prometheus' exporters share
    #[arg(long = "http.config", value_name = "PATH", default_value = "")]
    http_config: String,

    /// No API for blocks and flags, and no page of links (both are there with --wait)
    #[arg(long = "web.disable")]
    web_disable: bool,

    /// Prefix below which the API is found too
    #[arg(long = "web.route-prefix", value_name = "PREFIX", default_value = "")]
    web_route_prefix: String,

    /// Prefix of links
    #[arg(long = "web.external-prefix", value_name = "PREFIX", default_value = "")]
    web_external_prefix: String,

    /// Header that holds a prefix of links, if --web.external-prefix does not
    #[arg(long = "web.prefix-header", value_name = "HEADER", default_value = "")]
    web_prefix_header: String,

    /// No CORS headers: pages of other sites cannot use the API
    #[arg(long = "web.disable-cors")]
    web_disable_cors: bool,

    /// External label that titles groups in viewers
    #[arg(long, value_name = "LABEL", default_value = "")]
    bucket_web_label: String,

    /// How old the API's list of all blocks may be when it is asked for
    #[arg(long = "block-viewer.global.sync-block-interval", value_name = "DURATION", default_value = "1m", value_parser = go_duration)]
    viewer_interval: Millis,

    /// How long a look for that list may take
    #[arg(long = "block-viewer.global.sync-block-timeout", value_name = "DURATION", default_value = "5m", value_parser = go_duration)]
    viewer_timeout: Millis,

    /// Refuse marks from the API
    #[arg(long)]
    disable_admin_operations: bool,

    /// Every flag with its value, for the API
    #[arg(skip)]
    pub(crate) shown: BTreeMap<String, String>,
}

impl Http {
    /// Where to listen, unless nowhere.
    pub(super) fn options(&self) -> Option<Options> {
        (!self.http_address.is_empty()).then(|| Options {
            address: self.http_address.clone(),
            config: (!self.http_config.is_empty()).then(|| PathBuf::from(&self.http_config)),
            grace: self.grace(),
        })
    }

    /// `--http-grace-period`.
    pub(super) fn grace(&self) -> Duration {
        Duration::from_millis(self.http_grace_period.max(0).unsigned_abs())
    }
}

impl Flags {
    /// What the server shows.
    pub(super) fn settings(&self) -> Settings {
        let http = &self.http;
        let span = |millis: Millis| Duration::from_millis(millis.max(0).unsigned_abs());
        let mut flags = http.shown.clone();
        // on unless it is switched off
        flags.insert("debug.halt-on-error".to_owned(), (!self.stop_on_error).to_string());
        let web = Web {
            flags,
            label: http.bucket_web_label.clone(),
            route_prefix: http.web_route_prefix.clone(),
            external_prefix: http.web_external_prefix.clone(),
            prefix_header: http.web_prefix_header.clone(),
            cors: !http.web_disable_cors,
            admin: !http.disable_admin_operations,
            view_age: span(http.viewer_interval),
            view_timeout: span(http.viewer_timeout),
        };
        Settings {
            delete_delay: self.planning.delete_delay,
            consistency_delay: self.planning.consistency_delay,
            data_dir: self.data_dir.clone(),
            prices: self.prices.given(),
            web: (self.wait && !http.web_disable).then_some(web),
        }
    }
}
