//! `type: FILESYSTEM`: a bucket in a directory.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Opened, yaml};
use crate::bucket::Bucket;
use crate::error::{Error, Kind, Result};

/// Upstream reads this provider's fields, and only these, without asking what the others are.
#[derive(Default, Deserialize)]
pub(super) struct Config {
    #[serde(default, deserialize_with = "yaml::null_is_default")]
    directory: String,
    #[serde(flatten)]
    unknown: BTreeMap<String, IgnoredAny>,
}

pub(super) fn open(config: Config, prefix: &str) -> Result<Opened> {
    if config.directory.is_empty() {
        return Err(Error::new(Kind::Invalid, "missing directory for filesystem bucket").next("set `directory` in `config`"));
    }
    let mut warnings: Vec<String> =
        config.unknown.keys().map(|key| format!("a FILESYSTEM bucket knows no `{key}`: it is ignored")).collect();
    if !Path::new(&config.directory).exists() {
        warnings.push(format!("{} does not exist: the bucket is empty until something is written", config.directory));
    }
    Ok(Opened { bucket: Bucket::filesystem(&config.directory, prefix)?, warnings })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket::provider;

    async fn open(text: &str) -> Result<Opened> {
        provider::open(text, &|_| None).await
    }

    #[tokio::test]
    async fn opens_what_upstream_opens() {
        let opened = open("type: filesystem\nconfig:\n  directory: \"/\"\n").await.unwrap();
        assert_eq!((opened.bucket.name(), opened.warnings), ("FILESYSTEM /", vec![]));
        let opened = open("type: Filesystem\nconfig: {directory: /, x: {y: [1]}}\nprefix: /a/b/").await.unwrap();
        assert_eq!(opened.bucket.name(), "FILESYSTEM / below a/b/");
        assert_eq!(opened.warnings, ["a FILESYSTEM bucket knows no `x`: it is ignored"]);
    }

    #[tokio::test]
    async fn a_missing_directory_is_a_warning_and_none_at_all_an_error() {
        let opened = open("type: FILESYSTEM\nconfig: {directory: /not/there}").await.unwrap();
        assert!(opened.warnings[0].contains("/not/there"));
        for text in ["type: FILESYSTEM", "type: FILESYSTEM\nconfig:", "type: FILESYSTEM\nconfig: {directory: ''}"] {
            assert_eq!(open(text).await.unwrap_err().kind(), Kind::Invalid, "{text}");
        }
    }
}
