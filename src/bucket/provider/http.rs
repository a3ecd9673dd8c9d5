//! `http_config`: how connections are made.

use std::time::Duration;

use object_store::{Certificate, ClientOptions};
use serde::Deserialize;

use super::yaml::{Span, null_is_default};
use crate::error::{Error, Kind, Result};

/// Upstream's defaults, where they matter here.
const IDLE: Duration = Duration::from_secs(90);
const SILENCE: Duration = Duration::from_secs(120);
const CONNECT: Duration = Duration::from_secs(30);
const MAX_IDLE_PER_HOST: usize = 100;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HttpConfig {
    idle_conn_timeout: Option<Span>,
    response_header_timeout: Option<Span>,
    #[serde(deserialize_with = "null_is_default")]
    insecure_skip_verify: bool,
    tls_handshake_timeout: Option<Span>,
    expect_continue_timeout: Option<Span>,
    max_idle_conns: Option<i64>,
    max_idle_conns_per_host: Option<i64>,
    #[serde(deserialize_with = "null_is_default")]
    max_conns_per_host: i64,
    #[serde(deserialize_with = "null_is_default")]
    tls_config: TlsConfig,
    #[serde(deserialize_with = "null_is_default")]
    disable_compression: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TlsConfig {
    #[serde(deserialize_with = "null_is_default")]
    ca_file: String,
    #[serde(deserialize_with = "null_is_default")]
    cert_file: String,
    #[serde(deserialize_with = "null_is_default")]
    key_file: String,
    #[serde(deserialize_with = "null_is_default")]
    server_name: String,
    #[serde(rename = "insecure_skip_verify")]
    _overridden: Option<bool>,
}

impl HttpConfig {
    /// At most so many requests at once, if there is a limit.
    pub(super) fn max_requests(&self) -> Option<usize> {
        usize::try_from(self.max_conns_per_host).ok().filter(|n| *n > 0)
    }

    /// The client's options; what has no counterpart is told in `warnings`.
    ///
    /// A request may take as long as bytes keep coming: only silence ends it.
    pub(super) fn client(&self, insecure: bool, warnings: &mut Vec<String>) -> Result<ClientOptions> {
        let tls = &self.tls_config;
        if !tls.cert_file.is_empty() || !tls.key_file.is_empty() {
            return Err(unsupported("client certificates (`tls_config.cert_file`, `key_file`)"));
        }
        if !tls.server_name.is_empty() {
            return Err(unsupported("other server names than the endpoint's (`tls_config.server_name`)"));
        }
        let idle_per_host = self.max_idle_conns_per_host.map_or(MAX_IDLE_PER_HOST, |n| usize::try_from(n).unwrap_or_default());
        let mut options = ClientOptions::new()
            .with_allow_http(insecure)
            .with_allow_invalid_certificates(self.insecure_skip_verify)
            .with_timeout_disabled()
            .with_connect_timeout(CONNECT)
            .with_read_timeout(or(self.response_header_timeout, SILENCE))
            .with_pool_idle_timeout(or(self.idle_conn_timeout, IDLE))
            .with_pool_max_idle_per_host(idle_per_host);
        if !tls.ca_file.is_empty() {
            let read = std::fs::read(&tls.ca_file);
            let bytes =
                read.map_err(|e| Error::new(Kind::Invalid, "cannot read `tls_config.ca_file`").part(&*tls.ca_file).source(e))?;
            let found = Certificate::from_pem_bundle(&bytes).ok().filter(|found| !found.is_empty());
            let found =
                found.ok_or_else(|| Error::new(Kind::Invalid, "no certificates in `tls_config.ca_file`").part(&*tls.ca_file))?;
            // upstream trusts this file and nothing else
            options = found.into_iter().fold(options.with_no_system_certificates(true), ClientOptions::with_root_certificate);
        }
        for (set, key) in [
            (self.tls_handshake_timeout.is_some(), "tls_handshake_timeout"),
            (self.expect_continue_timeout.is_some(), "expect_continue_timeout"),
            (self.max_idle_conns.is_some(), "max_idle_conns"),
            (self.disable_compression, "disable_compression"),
        ] {
            if set {
                warnings.push(format!("`http_config.{key}` has no effect here"));
            }
        }
        Ok(options)
    }
}

/// Zero means no limit upstream; here it means an hour, as nothing good comes later.
fn or(span: Option<Span>, default: Duration) -> Duration {
    match span {
        None => default,
        Some(Span(Duration::ZERO)) => Duration::from_secs(3600),
        Some(Span(given)) => given,
    }
}

fn unsupported(what: &str) -> Error {
    Error::new(Kind::Unsupported, format!("{what} are not supported"))
        .next("connect through a proxy that adds them, or remove the key")
}

#[cfg(test)]
mod tests {
    use object_store::ClientConfigKey;

    use super::*;
    use crate::bucket::provider::yaml;

    #[test]
    fn only_silence_ends_a_request() {
        for (text, silence, idle) in [("{}", "2m", "1m 30s"), ("response_header_timeout: 7s\nidle_conn_timeout: 0", "7s", "1h")] {
            let config: HttpConfig = yaml::parse(text).unwrap();
            let options = config.client(false, &mut Vec::new()).unwrap();
            let set = |key| options.get_config_value(&key);
            assert_eq!(set(ClientConfigKey::Timeout), None, "a large object may take its time");
            assert_eq!(set(ClientConfigKey::ReadTimeout).as_deref(), Some(silence));
            assert_eq!(set(ClientConfigKey::PoolIdleTimeout).as_deref(), Some(idle));
        }
        let default = ClientOptions::new().get_config_value(&ClientConfigKey::Timeout);
        assert!(default.is_some(), "object_store's own limit, which this turns off");
    }
}
