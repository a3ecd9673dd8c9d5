//! What a provider's failure means for the caller.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::Path;

use crate::error::{Error, Kind};

/// A failure of the file system; `what` says what was tried.
pub(super) fn of_io(what: &str, e: io::Error) -> Error {
    use io::ErrorKind as K;
    let (kind, next) = match e.kind() {
        K::NotFound | K::NotADirectory | K::IsADirectory => (Kind::NotFound, None),
        K::PermissionDenied | K::ReadOnlyFilesystem => {
            (Kind::Denied, Some("check who owns the bucket's directory and how it is mounted"))
        }
        K::StorageFull | K::QuotaExceeded => (Kind::Unavailable, Some("make room on the file system, then run again")),
        K::InvalidFilename | K::InvalidInput => (Kind::Invalid, None),
        K::UnexpectedEof => {
            (Kind::Corrupt, Some("the file became shorter while it was read: do not change files of a bucket in place"))
        }
        _ => (Kind::Unavailable, Some("check the disk, then run again")),
    };
    with_next(Error::new(kind, what).source(e), next)
}

/// A failure to write `bytes` bytes into the file at `path`; of a full disk it says where room is needed, and for how much.
pub(super) fn of_write(path: &Path, bytes: u64, e: io::Error) -> Error {
    if !is_full(&e) {
        return of_io("write", e);
    }
    let next = "make room on that file system; nothing else has to be done";
    Error::new(Kind::Unavailable, no_room(path, bytes)).source(e).next(next)
}

/// As [`of_write`], of a scratch file. Whatever is wrong with the scratch folder, it is no block's fault.
pub(crate) fn of_spill(path: &Path, bytes: u64, e: io::Error) -> Error {
    let what = if is_full(&e) { no_room(path, bytes) } else { format!("cannot write {}", path.display()) };
    Error::new(Kind::Unavailable, what).source(e).next("make room there, or set --data-dir to a folder with more, then run again")
}

fn is_full(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn no_room(path: &Path, bytes: u64) -> String {
    let much = if bytes == 0 { "another file".to_owned() } else { format!("{bytes} bytes more") };
    format!("there is no room for {much} at {}", path.display())
}

/// A failure of an object store; `what` says what was tried.
///
/// Kinds of listings' failures are lost on the way, so the answer's words are read too.
pub(super) fn of_store(what: &str, e: object_store::Error) -> Error {
    use object_store::Error as E;
    let said = e.to_string();
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let (kind, next) = match &e {
        // a missing bucket and a missing object both answer 404
        _ if says(&["NoSuchBucket"]) => (Kind::NotFound, Some(WHICH_BUCKET)),
        E::NotFound { .. } => (Kind::NotFound, None),
        _ if says(&["InvalidObjectState"]) => (Kind::Denied, Some(FROM_ARCHIVE)),
        E::PermissionDenied { .. } => (Kind::Denied, Some(WHICH_RIGHTS)),
        E::Unauthenticated { .. } => (Kind::Denied, Some(WHICH_RIGHTS)),
        E::AlreadyExists { .. } | E::Precondition { .. } | E::NotModified { .. } => (Kind::Conflict, None),
        E::NotSupported { .. } | E::NotImplemented { .. } => (Kind::Unsupported, None),
        E::UnknownConfigurationKey { .. } => (Kind::Invalid, None),
        _ if bad_key(&e) => (Kind::Unsupported, Some(BAD_KEY)),
        _ if says(&["status code: 403", "status code: 401"]) => (Kind::Denied, Some(WHICH_RIGHTS)),
        _ => (Kind::Unavailable, Some("check that the object store is reachable, then run again")),
    };
    with_next(Error::new(kind, what).source(Said(shortened(&said))), next)
}

const WHICH_BUCKET: &str = "check `bucket` and `endpoint` in the bucket's configuration";
const FROM_ARCHIVE: &str = "restore the object from the archive class in which it lies";
const WHICH_RIGHTS: &str = "check the credentials in the bucket's configuration, and the bucket's policy for them";
const BAD_KEY: &str = "rename or delete the object whose key has an empty segment (`//`), a dot segment or a control character";

/// Whether an object was refused because it lies in an archive (S3 Glacier) from which nothing can be read before
/// it is restored.
pub fn is_archived(e: &Error) -> bool {
    e.kind() == Kind::Denied && e.what_next() == Some(FROM_ARCHIVE)
}

/// The error of such an object.
#[cfg(test)]
pub(crate) fn archived(what: &str) -> Error {
    let said = "<Error><Code>InvalidObjectState</Code><Message>not valid for its storage class</Message></Error>";
    of_store(what, object_store::Error::Generic { store: "S3", source: said.into() })
}

/// Whether a listing failed because some key in the bucket cannot be a path.
pub(super) fn bad_key(e: &object_store::Error) -> bool {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(e);
    while let Some(c) = cause {
        if c.is::<object_store::path::Error>() {
            return true;
        }
        cause = c.source();
    }
    false
}

/// What an object store said. Its errors repeat their causes in their own words, so they are kept
/// as words, once.
#[derive(Debug)]
struct Said(String);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Said {}

/// One line: of an XML answer its code and message, of anything else the beginning.
fn shortened(said: &str) -> String {
    const MOST_CHARS: usize = 400;
    let within = |tag: &str| {
        let (_, behind) = said.split_once(&format!("<{tag}>"))?;
        behind.split_once(&format!("</{tag}>")).map(|(text, _)| text)
    };
    let text = match (said.find("<?xml").or_else(|| said.find("<Error>")), within("Code")) {
        (Some(at), Some(code)) => format!("{}{code}: {}", &said[..at], within("Message").unwrap_or_default()),
        _ => said.to_owned(),
    };
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(MOST_CHARS).collect()
}

fn with_next(e: Error, next: Option<&str>) -> Error {
    match next {
        Some(next) => e.next(next),
        None => e,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_io() {
        for (io, kind) in [
            (io::ErrorKind::NotFound, Kind::NotFound),
            (io::ErrorKind::PermissionDenied, Kind::Denied),
            (io::ErrorKind::StorageFull, Kind::Unavailable),
            (io::ErrorKind::UnexpectedEof, Kind::Corrupt),
            (io::ErrorKind::Other, Kind::Unavailable),
        ] {
            assert_eq!(of_io("x", io.into()).kind(), kind, "{io:?}");
        }
    }

    #[test]
    fn a_missing_bucket_says_what_to_check() {
        let missing = |source: &str| object_store::Error::NotFound { path: "p".into(), source: source.into() };
        let bucket = of_store("get", missing("<Code>NoSuchBucket</Code>"));
        assert_eq!(bucket.kind(), Kind::NotFound);
        assert!(bucket.what_next().unwrap().contains("endpoint"));
        assert_eq!(of_store("get", missing("<Code>NoSuchKey</Code>")).what_next(), None);
    }

    #[test]
    fn an_archived_object_is_no_question_of_rights() {
        let e = archived("get a range");
        assert!(is_archived(&e) && e.to_string().contains("InvalidObjectState"), "{e}");
        let denied = object_store::Error::PermissionDenied { path: "p".into(), source: "AccessDenied".into() };
        assert!(!is_archived(&of_store("get", denied)));
    }

    #[test]
    fn an_answer_is_told_once_and_short() {
        let xml = "Error performing GET u - status code: 403 Forbidden: <?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code>\
            <Message>no</Message><RequestId>x</RequestId></Error>";
        let e = of_store("list", object_store::Error::Generic { store: "S3", source: xml.into() });
        assert_eq!(e.kind(), Kind::Denied);
        let told = "list: Generic S3 error: Error performing GET u - status code: 403 Forbidden: AccessDenied: no; check the credentials";
        assert!(e.to_string().starts_with(told), "{e}");
        let long = of_store("get", object_store::Error::Generic { store: "S3", source: "é ".repeat(10_000).into() });
        assert!(long.to_string().len() < 1_000);
    }

    #[test]
    fn a_bad_key_in_a_listing_is_known_by_its_cause() {
        let cause = object_store::path::Path::parse("a//b").unwrap_err();
        let e = object_store::Error::Generic { store: "S3", source: Box::new(cause) };
        assert!(bad_key(&e));
        assert_eq!(of_store("list", e).kind(), Kind::Unsupported);
    }
}
