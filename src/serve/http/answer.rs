//! A request as pages see it, and their answer.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Response, StatusCode};

/// One request, with its whole body.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: Method,
    /// The path, as it was sent.
    pub path: String,
    /// What comes behind `?`, as it was sent.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Request {
    pub(super) fn new(head: Parts, body: Bytes) -> Self {
        let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or_default().to_owned());
        Request { method: head.method, path, query, headers: head.headers, body }
    }

    /// The text of a header; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// A value of a form: in the body of a POST first, then behind `?`; empty when there is none.
    pub fn value(&self, name: &str) -> String {
        let find = |text: &[u8]| url::form_urlencoded::parse(text).find(|(key, _)| key == name).map(|(_, v)| v.into_owned());
        let is_form = self.header("content-type").starts_with("application/x-www-form-urlencoded");
        let body = if self.method == Method::POST && is_form { find(&self.body) } else { None };
        body.or_else(|| find(self.query.as_bytes())).unwrap_or_default()
    }
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    /// An answer of a type, with a status that HTTP knows.
    pub fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let answer = Answer { status, headers: HeaderMap::new(), body: body.into() };
        if content_type.is_empty() { answer } else { answer.header("content-type", content_type) }
    }

    /// Plain text.
    pub fn text(status: u16, text: &'static str) -> Self {
        Answer::new(status, "text/plain; charset=utf-8", text).header("x-content-type-options", "nosniff")
    }

    /// With one more header; what cannot be one is left out.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            self.headers.insert(name, value);
        }
        self
    }

    pub(super) fn into_response(self, without_body: bool) -> Response<Full<Bytes>> {
        let len = self.body.len();
        let mut response = Response::new(Full::new(if without_body { Bytes::new() } else { self.body }));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        if without_body {
            response.headers_mut().insert(hyper::header::CONTENT_LENGTH, HeaderValue::from(len));
        }
        response
    }
}
