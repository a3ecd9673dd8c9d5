//! What a provider's failure means for the caller.

use std::error::Error as StdError;
use std::io;

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

/// A failure of an object store; `what` says what was tried.
pub(super) fn of_store(what: &str, e: object_store::Error) -> Error {
    use object_store::Error as E;
    let (kind, next) = match &e {
        E::NotFound { .. } if names_missing_bucket(&e) => {
            (Kind::NotFound, Some("check `bucket` and `endpoint` in the bucket's configuration"))
        }
        E::NotFound { .. } => (Kind::NotFound, None),
        E::PermissionDenied { .. } => (Kind::Denied, Some("check the bucket's policy for these credentials")),
        E::Unauthenticated { .. } => (Kind::Denied, Some("check the credentials in the bucket's configuration")),
        E::AlreadyExists { .. } | E::Precondition { .. } | E::NotModified { .. } => (Kind::Conflict, None),
        E::NotSupported { .. } | E::NotImplemented { .. } => (Kind::Unsupported, None),
        E::UnknownConfigurationKey { .. } => (Kind::Invalid, None),
        E::InvalidPath { .. } => (Kind::Unsupported, Some(BAD_KEY)),
        _ if bad_key(&e) => (Kind::Unsupported, Some(BAD_KEY)),
        _ => (Kind::Unavailable, Some("check that the object store is reachable, then run again")),
    };
    with_next(Error::new(kind, what).source(e), next)
}

const BAD_KEY: &str = "rename or delete the object whose key has an empty segment (`//`), a dot segment or a control character";

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

/// A missing bucket and a missing object both answer 404; only the body tells them apart.
fn names_missing_bucket(e: &object_store::Error) -> bool {
    e.to_string().contains("NoSuchBucket")
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
    fn a_bad_key_in_a_listing_is_known_by_its_cause() {
        let cause = object_store::path::Path::parse("a//b").unwrap_err();
        let e = object_store::Error::Generic { store: "S3", source: Box::new(cause) };
        assert!(bad_key(&e));
        assert_eq!(of_store("list", e).kind(), Kind::Unsupported);
    }
}
