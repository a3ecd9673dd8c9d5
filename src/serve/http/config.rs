//! The file behind `--http.config`: the web configuration that Prometheus and its exporters share.
//!
//! *Source*: `prometheus/exporter-toolkit`, `docs/web-configuration.md`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::error::{Error, Kind, Result};

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Config {
    #[serde(rename = "tls_server_config", deserialize_with = "null_is_default")]
    pub(super) tls: Tls,
    #[serde(rename = "http_server_config", deserialize_with = "null_is_default")]
    pub(super) http: Http,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) rate_limit: RateLimit,
    /// Names, and passwords hashed by bcrypt.
    #[serde(rename = "basic_auth_users", deserialize_with = "null_is_default")]
    pub(super) users: BTreeMap<String, String>,
}

/// Certificates and versions.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tls {
    pub(super) cert: String,
    pub(super) key: String,
    pub(super) client_ca: String,
    pub(super) cert_file: String,
    pub(super) key_file: String,
    pub(super) client_auth_type: String,
    pub(super) client_ca_file: String,
    pub(super) client_allowed_sans: Option<Vec<String>>,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) cipher_suites: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) curve_preferences: Vec<String>,
    pub(super) min_version: String,
    pub(super) max_version: String,
    /// Go ignores it too.
    #[serde(rename = "prefer_server_cipher_suites")]
    _prefer_server_cipher_suites: Option<bool>,
}

/// HTTP itself.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Http {
    /// HTTP/2, which is spoken only over TLS.
    pub(super) http2: bool,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) headers: BTreeMap<String, String>,
}

impl Default for Http {
    fn default() -> Self {
        Http { http2: true, headers: BTreeMap::new() }
    }
}

/// How often somebody may ask.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RateLimit {
    pub(super) burst: u32,
    #[serde(deserialize_with = "go_duration")]
    pub(super) interval: Duration,
}

/// Headers that may be set, each with the values it may have; any where none are named.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
    ("Content-Security-Policy", &[]),
];

impl Config {
    /// Reads and checks the file; paths in it are relative to its folder.
    ///
    /// # Errors
    /// `Invalid` with line and column for what cannot be read or makes no sense.
    pub(super) fn read(path: &Path) -> Result<Config> {
        let shown = path.display();
        let invalid = |what: String| Error::new(Kind::Invalid, format!("--http.config={shown}: {what}"));
        let text = std::fs::read_to_string(path).map_err(|e| invalid("the file cannot be read".to_owned()).source(e))?;
        // an empty file sets nothing
        let mut config: Config = match text.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#')) {
            true => Config::default(),
            false => serde_saphyr::from_str(&text).map_err(|e| {
                // without the lines around it: they may hold secrets
                let e = e.without_snippet();
                let place = e.location().map(|l| format!("line {} column {}: ", l.line(), l.column())).unwrap_or_default();
                invalid(format!("{place}{}", e.to_string().lines().next().unwrap_or_default()))
            })?,
        };
        for (name, value) in &config.http.headers {
            let Some((_, values)) = HEADERS.iter().find(|(known, _)| known == name) else {
                return Err(invalid(format!("the header {name} cannot be set; {} can", HEADERS.map(|h| h.0).join(", "))));
            };
            if !values.is_empty() && !values.contains(&value.as_str()) {
                return Err(invalid(format!("{name} is one of {}, not {value:?}", values.join(", "))));
            }
        }
        for (user, hash) in &config.users {
            super::auth::check_hash(hash).map_err(|why| invalid(format!("the password of {user}: {why}")))?;
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        for file in [&mut config.tls.cert_file, &mut config.tls.key_file, &mut config.tls.client_ca_file] {
            if !file.is_empty() {
                *file = folder.join(&*file).to_string_lossy().into_owned();
            }
        }
        Ok(config)
    }
}

fn null_is_default<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(from: D) -> std::result::Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// A length of time such as `1m30s` or `0.5s`.
fn go_duration<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    span(&text).ok_or_else(|| D::Error::custom("not a duration such as 1s or 200ms"))
}

fn span(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 6] = [("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let (number, behind) = rest.split_at(rest.find(|c: char| c.is_ascii_alphabetic())?);
        let (unit, behind) = behind.split_at(behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len()));
        let &(_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        seconds += number.parse::<f64>().ok()? * factor;
        rest = behind;
    }
    (!text.is_empty()).then_some(())?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.yml");
        std::fs::write(&path, text).unwrap();
        Config::read(&path)
    }

    #[test]
    fn what_makes_no_sense_is_named_without_secrets() {
        let check = |text: &str, part: &str| {
            let error = read(text).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid);
            assert!(error.to_string().contains(part), "{error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        };
        check("basic_auth_users:\n  me: hunter2\n", "the password of me");
        check("tls_server_config:\n  cert: a\nbasic_auth: {me: hunter2}\n", "line 3");
        check("http_server_config: {headers: {X-Other: 1}}", "the header X-Other cannot be set");
        check("http_server_config: {headers: {X-Frame-Options: allow}}", "deny, sameorigin");
        check("rate_limit: {interval: often}", "not a duration");
        assert!(Config::read(Path::new("/nowhere/web.yml")).unwrap_err().to_string().contains("cannot be read"));
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        for text in ["", "# nothing\n", "tls_server_config:\nbasic_auth_users:\n"] {
            let config = read(text).unwrap();
            assert!(config.http.http2 && config.users.is_empty() && config.tls.cert.is_empty(), "{text:?}");
        }
        let limit = read("rate_limit: {interval: 1m0.5s, burst: 3}").unwrap().rate_limit;
        assert_eq!((limit.burst, limit.interval), (3, Duration::from_millis(60_500)));
    }
}
