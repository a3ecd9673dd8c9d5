//! Keys: what a caller may name, and where the configured prefix puts it.
//!
//! A key is taken verbatim, never percent-encoded: `é` is stored as `é`.

use object_store::path::Path;

use crate::error::{Error, Kind, Result};

/// The configured prefix, without slashes around it; empty for none.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    /// A prefix as configured: slashes around it do not count, and only slashes mean none.
    pub(super) fn new(prefix: &str) -> Result<Self> {
        let prefix = prefix.trim_matches('/');
        parse(prefix).map_err(|e| e.next("correct `prefix` in the bucket's configuration"))?;
        Ok(Keys { prefix: prefix.to_owned() })
    }

    /// Where an object lies.
    pub(super) fn object(&self, key: &str) -> Result<Path> {
        if key.is_empty() || key.starts_with('/') || key.ends_with('/') {
            return Err(Error::new(Kind::Invalid, "the key of an object neither is empty nor has a slash at an end").part(key));
        }
        self.join(key)
    }

    /// Where a folder lies; "" is the root, one slash at the end is allowed.
    pub(super) fn folder(&self, folder: &str) -> Result<Path> {
        let folder = folder.strip_suffix('/').unwrap_or(folder);
        if folder.starts_with('/') || folder.ends_with('/') {
            return Err(Error::new(Kind::Invalid, "a folder has no slash in front and at most one behind").part(folder));
        }
        self.join(folder)
    }

    /// The caller's name for a full path below the prefix.
    pub(super) fn strip<'a>(&self, full: &'a str) -> &'a str {
        if self.prefix.is_empty() {
            return full;
        }
        match full.strip_prefix(&self.prefix) {
            Some(rest) => rest.strip_prefix('/').unwrap_or(rest),
            None => full,
        }
    }

    /// The prefix, for messages.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    fn join(&self, key: &str) -> Result<Path> {
        match (self.prefix.is_empty(), key.is_empty()) {
            (true, _) => parse(key),
            (_, true) => parse(&self.prefix),
            _ => parse(&format!("{}/{key}", self.prefix)),
        }
    }
}

fn parse(key: &str) -> Result<Path> {
    Path::parse(key).map_err(|e| Error::new(Kind::Invalid, "this cannot be a key").part(key).source(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_put_before_and_taken_off() {
        for (given, kept) in [("", ""), ("/", ""), ("//", ""), ("a", "a"), ("/a/b/", "a/b")] {
            let keys = Keys::new(given).unwrap();
            assert_eq!(keys.prefix(), kept);
            let full = keys.object("x/y").unwrap();
            assert_eq!(full.as_ref(), format!("{kept}/x/y").trim_start_matches('/'));
            assert_eq!(keys.strip(full.as_ref()), "x/y");
            assert_eq!(keys.folder("").unwrap().as_ref(), kept);
            assert_eq!(keys.folder("x/").unwrap().as_ref(), format!("{kept}/x").trim_start_matches('/'));
        }
    }

    #[test]
    fn keys_are_verbatim() {
        let keys = Keys::default();
        for key in ["é", "a b", "100%", "a%2Fb", "x#y", "{}", "a+b=c&d?", "日本/語"] {
            assert_eq!(keys.object(key).unwrap().as_ref(), key);
        }
    }

    #[test]
    fn what_cannot_be_a_key_is_refused() {
        let keys = Keys::default();
        for key in ["", "/", "/a", "a/", "a//b", "a/../b", ".", "a\nb", "a\0"] {
            assert_eq!(keys.object(key).unwrap_err().kind(), Kind::Invalid, "{key:?}");
        }
        assert_eq!(Keys::new("a//b").unwrap_err().kind(), Kind::Invalid);
    }
}
