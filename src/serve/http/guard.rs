//! Who gets in: TLS for connections, passwords and a limit for requests.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use hyper::HeaderMap;
use tokio_rustls::TlsAcceptor;

use super::answer::Answer;
use super::auth::Passwords;
use super::config::{Config, RateLimit};
use super::tls;
use crate::error::{Error, Kind, Result};

/// The rules of a configuration file, if there is one.
pub(super) struct Guard {
    path: Option<PathBuf>,
    /// Whether connections are TLS connections, for as long as the server runs.
    is_secure: bool,
    passwords: Passwords,
    /// Requests that may come at once now, and since when.
    bucket: Mutex<(f64, Instant)>,
    limit: Option<RateLimit>,
}

impl Guard {
    /// Reads the file once, to tell of mistakes.
    pub(super) fn new(path: Option<PathBuf>) -> Result<Guard> {
        let (mut limit, mut is_secure) = (None, false);
        if let Some(path) = &path {
            let config = Config::read(path)?;
            is_secure = tls::server(&config, path)?.is_some();
            limit = Some(config.rate_limit).filter(|limit| !limit.interval.is_zero());
        }
        let burst = limit.as_ref().map_or(0, |l| l.burst);
        let bucket = Mutex::new((f64::from(burst), Instant::now()));
        Ok(Guard { path, is_secure, passwords: Passwords::default(), bucket, limit })
    }

    /// What makes a connection a TLS connection; `None` where it stays plain, as it was when the server began.
    ///
    /// # Errors
    /// The file was changed, and makes no sense now or says nothing of TLS any more.
    pub(super) fn acceptor(&self) -> Result<Option<TlsAcceptor>> {
        let Some(path) = self.path.as_ref().filter(|_| self.is_secure) else { return Ok(None) };
        match tls::server(&Config::read(path)?, path)? {
            Some(config) => Ok(Some(TlsAcceptor::from(config))),
            None => {
                Err(Error::new(Kind::Invalid, "--http.config has no certificate any more").next("start again to serve plainly"))
            }
        }
    }

    /// What a request is refused with, if it is, and the headers that every answer has.
    pub(super) async fn check(&self, headers: &HeaderMap) -> (Option<Answer>, Vec<(String, String)>) {
        let Some(path) = &self.path else { return (None, Vec::new()) };
        let Ok(config) = Config::read(path) else {
            return (Some(Answer::text(500, "Internal Server Error\n")), Vec::new());
        };
        if self.is_too_often(Instant::now()) {
            return (Some(Answer::text(429, "Too Many Requests\n")), Vec::new());
        }
        let own = config.http.headers.into_iter().collect();
        let authorization = headers.get("authorization").and_then(|v| v.to_str().ok()).unwrap_or_default();
        if config.users.is_empty() || self.passwords.allow(authorization, &config.users).await {
            return (None, own);
        }
        (Some(Answer::text(401, "Unauthorized\n").header("www-authenticate", "Basic")), own)
    }

    fn is_too_often(&self, now: Instant) -> bool {
        let Some(limit) = &self.limit else { return false };
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, since) = *bucket;
        let gained = now.saturating_duration_since(since).as_secs_f64() / limit.interval.as_secs_f64();
        let left = (left + gained).min(f64::from(limit.burst));
        let is_free = left >= 1.0;
        *bucket = (if is_free { left - 1.0 } else { left }, now);
        !is_free
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_and_then_one_at_a_time() {
        let mut guard = Guard::new(None).unwrap();
        let start = Instant::now();
        assert!(!guard.is_too_often(start), "there is no limit");
        guard.limit = Some(RateLimit { burst: 2, interval: Duration::from_secs(1) });
        guard.bucket = Mutex::new((2.0, start));
        let asked = |millis| guard.is_too_often(start + Duration::from_millis(millis));
        assert_eq!([0, 0, 1, 900, 1000, 1001].map(asked), [false, false, true, true, false, true]);
    }
}
