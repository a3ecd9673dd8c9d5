//! What S3 can do and `object_store` does not ask for, as requests that we sign ourselves:
//! listing and ending unfinished uploads, deleting directory markers.

use std::fmt::Write;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::DATE;
use http::{Method, StatusCode};
use object_store::ClientOptions;
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};
use object_store::path::Path as Key;
use serde::Deserialize;

use super::connect;
use crate::bucket::Unfinished;
use crate::bucket::failure::of_store;
use crate::bucket::objects::Beyond;
use crate::error::{Error, Kind, Result};
use crate::model::Millis;

/// Tries of one request, the first one too.
const ATTEMPTS: u32 = 4;
/// Before the second try; twice as long before each further one.
const BACKOFF: Duration = Duration::from_millis(200);

/// How an answer begins.
struct Head {
    status: StatusCode,
    /// When it was given, by the server's clock.
    date: Option<Millis>,
}

/// Signs and sends.
#[derive(Debug)]
pub(super) struct Signed {
    http: HttpClient,
    /// The bucket's URL without a slash at the end.
    url: String,
    region: String,
    credentials: AwsCredentialProvider,
}

impl Signed {
    pub(super) fn new(options: &ClientOptions, url: String, region: String, credentials: AwsCredentialProvider) -> Result<Self> {
        Ok(Signed { http: connect(options)?, url, region, credentials })
    }

    /// Status and body; fails only when no answer came or the server failed, after some tries.
    async fn ask(&self, method: Method, below: &str) -> Result<(StatusCode, Bytes)> {
        self.answer(method, below).await.map(|(head, body)| (head.status, body))
    }

    async fn answer(&self, method: Method, below: &str) -> Result<(Head, Bytes)> {
        let mut wait = BACKOFF;
        for attempt in 1.. {
            let failure = match self.ask_once(method.clone(), below).await {
                Ok((Head { status, .. }, _)) if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                    Error::new(Kind::Unavailable, format!("{method}: the server answers {status}"))
                }
                Err(e) if e.kind() == Kind::Unavailable => e,
                result => return result,
            };
            if attempt == ATTEMPTS {
                return Err(failure.next("check that the object store is reachable, then run again"));
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        unreachable!("the loop ends by returning")
    }

    async fn ask_once(&self, method: Method, below: &str) -> Result<(Head, Bytes)> {
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = method;
        let url = format!("{}{below}", self.url);
        *request.uri_mut() = url.parse().map_err(|e: http::uri::InvalidUri| Error::new(Kind::Invalid, "no URL").source(e))?;
        let credential = self.credentials.get_credential().await.map_err(|e| of_store("get credentials", e))?;
        AwsAuthorizer::new(&credential, "s3", &self.region)
            .try_authorize(&mut request, None)
            .map_err(|e| of_store("sign a request", e))?;
        let failed = |e| Error::new(Kind::Unavailable, "no answer from the server").source(e);
        let response = self.http.execute(request).await.map_err(failed)?;
        let date = response.headers().get(DATE).and_then(|date| date.to_str().ok()).and_then(time_of);
        let head = Head { status: response.status(), date };
        Ok((head, response.into_body().bytes().await.map_err(failed)?))
    }

    async fn delete(&self, below: &str) -> Result<()> {
        match self.ask(Method::DELETE, below).await? {
            (status, _) if status.is_success() || status == StatusCode::NOT_FOUND => Ok(()),
            (status, body) => Err(answered(status, &body)),
        }
    }
}

#[async_trait]
impl Beyond for Signed {
    async fn list_unfinished(&self, folder: &Key) -> Result<Vec<Unfinished>> {
        let prefix = if folder.as_ref().is_empty() { String::new() } else { format!("{folder}/") };
        let mut found = Vec::new();
        let mut behind = String::new();
        loop {
            let query = format!("/?uploads=&prefix={}{behind}", encoded(&prefix, Slash::Escaped));
            let (status, body) = self.ask(Method::GET, &query).await?;
            if !status.is_success() {
                return Err(answered(status, &body));
            }
            let page = parse(&body)?;
            for upload in page.upload {
                found.push(upload.unfinished()?);
            }
            let next = format!(
                "&key-marker={}&upload-id-marker={}",
                encoded(&page.next_key_marker, Slash::Escaped),
                encoded(&page.next_upload_id_marker, Slash::Escaped)
            );
            // a server that says "more" and does not move on would keep us for ever
            if !page.is_truncated || page.next_key_marker.is_empty() || next == behind {
                return Ok(found);
            }
            behind = next;
        }
    }

    async fn abort_unfinished(&self, key: &Key, id: &str) -> Result<()> {
        self.delete(&format!("/{}?uploadId={}", encoded(key.as_ref(), Slash::Kept), encoded(id, Slash::Escaped))).await
    }

    async fn delete_marker(&self, folder: &Key) -> Result<()> {
        self.delete(&format!("/{}/", encoded(folder.as_ref(), Slash::Kept))).await
    }

    async fn date(&self) -> Result<Option<Millis>> {
        match self.answer(Method::GET, "/?list-type=2&max-keys=1").await? {
            (head, _) if head.status.is_success() => Ok(head.date),
            (head, body) => Err(answered(head.status, &body)),
        }
    }
}

/// The time that a `Date` header tells.
fn time_of(date: &str) -> Option<Millis> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok().map(jiff::Timestamp::as_millisecond)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    upload: Vec<Listed>,
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    next_key_marker: String,
    #[serde(default)]
    next_upload_id_marker: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    key: String,
    upload_id: String,
    initiated: String,
}

impl Listed {
    fn unfinished(self) -> Result<Unfinished> {
        let started: jiff::Timestamp = self.initiated.parse().map_err(unreadable)?;
        Ok(Unfinished { key: self.key, id: self.upload_id, started: started.as_millisecond(), len_bytes: None })
    }
}

fn parse(body: &[u8]) -> Result<Page> {
    quick_xml::de::from_reader(body).map_err(unreadable)
}

fn unreadable(e: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Kind::Unsupported, "the server's list of unfinished uploads cannot be read").source(e)
}

fn answered(status: StatusCode, body: &[u8]) -> Error {
    let kind = match status {
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => Kind::Denied,
        StatusCode::NOT_FOUND => Kind::NotFound,
        StatusCode::NOT_IMPLEMENTED | StatusCode::METHOD_NOT_ALLOWED => Kind::Unsupported,
        _ => Kind::Unavailable,
    };
    let said: String = String::from_utf8_lossy(body).chars().take(300).collect();
    Error::new(kind, format!("the server answers {status}: {said}"))
}

#[derive(Clone, Copy, PartialEq)]
enum Slash {
    Kept,
    Escaped,
}

/// Percent-encoded as the signature wants it: all but letters, digits and `-._~`.
fn encoded(text: &str, slash: Slash) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte.into()),
            b'/' if slash == Slash::Kept => out.push('/'),
            _ => _ = write!(out, "%{byte:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding() {
        assert_eq!(encoded("a b/é+~", Slash::Kept), "a%20b/%C3%A9%2B~");
        assert_eq!(encoded("a/b", Slash::Escaped), "a%2Fb");
    }

    #[test]
    fn dates_are_read() {
        assert_eq!(time_of("Tue, 10 Nov 2026 20:48:33 GMT"), Some(1_794_343_713_000));
        assert_eq!(time_of("yesterday"), None);
    }

    #[test]
    fn pages_are_read() {
        let body = br#"<?xml version="1.0" encoding="UTF-8"?>
            <ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Bucket>b</Bucket><KeyMarker></KeyMarker>
            <NextKeyMarker>k2</NextKeyMarker><NextUploadIdMarker>i2</NextUploadIdMarker><IsTruncated>true</IsTruncated>
            <Upload><Key>k&amp;1</Key><UploadId>i1</UploadId><Initiator><ID>x</ID></Initiator><Initiated>2026-11-10T20:48:33.000Z</Initiated></Upload>
            <Upload><Key>k2</Key><UploadId>i2</UploadId><Initiated>2026-11-10T20:48:33Z</Initiated></Upload>
            </ListMultipartUploadsResult>"#;
        let page = parse(body).unwrap();
        assert!(page.is_truncated);
        assert_eq!((page.next_key_marker.as_str(), page.upload.len()), ("k2", 2));
        let first = page.upload.into_iter().next().unwrap().unfinished().unwrap();
        assert_eq!((first.key.as_str(), first.id.as_str(), first.started), ("k&1", "i1", 1_794_343_713_000));

        let none = parse(b"<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>").unwrap();
        assert!(none.upload.is_empty());
        assert_eq!(parse(b"<html>").err().map(|e| e.kind()), Some(Kind::Unsupported));
    }
}
