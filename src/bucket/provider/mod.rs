//! From a bucket's configuration to a bucket: the same YAML that Thanos reads.
//!
//! ```yaml
//! type: S3          # in any case
//! config: { ... }   # the provider's own keys
//! prefix: a/folder  # put before every key
//! ```
//!
//! A new provider is a file here that turns its `config` into an object store, a line in
//! [`WORKING`] and an arm in [`open`].
//!
//! *Source:* `client/factory.go` of the module `github.com/thanos-io/objstore`.

mod filesystem;
mod http;
mod s3;
mod yaml;

use serde::Deserialize;

use super::Bucket;
use crate::error::{Error, Kind, Result};
pub use yaml::expand_env;

/// What can be opened.
const WORKING: &str = "FILESYSTEM and S3";
/// What upstream can open besides.
const OTHERS: [&str; 8] = ["GCS", "AZURE", "SWIFT", "COS", "ALIYUNOSS", "BOS", "OCI", "OBS"];

/// A bucket, and what of its configuration does not do what the words say.
#[derive(Debug)]
pub struct Opened {
    /// The bucket; nothing was asked of it yet.
    pub bucket: Bucket,
    /// Sentences for whoever wrote the configuration.
    pub warnings: Vec<String>,
}

/// Where environment variables come from.
pub(super) type Lookup<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

/// The part of the document that says how to read the rest.
#[derive(Deserialize)]
struct Type {
    #[serde(default, rename = "type", deserialize_with = "yaml::null_is_default")]
    name: String,
}

/// The whole document, for a provider's `config`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<C: Default + for<'a> Deserialize<'a>> {
    #[serde(rename = "type")]
    _name: serde::de::IgnoredAny,
    #[serde(default = "C::default", deserialize_with = "yaml::null_is_default")]
    config: C,
    #[serde(default, deserialize_with = "yaml::null_is_default")]
    prefix: String,
}

/// Opens the bucket that `text` describes, with variables from `env`.
pub(super) async fn open(text: &str, env: Lookup<'_>) -> Result<Opened> {
    let kind: Type = yaml::parse(text)?;
    match kind.name.to_ascii_uppercase().as_str() {
        "FILESYSTEM" => {
            let Document { config, prefix, .. } = yaml::parse(text)?;
            filesystem::open(config, &prefix)
        }
        "S3" => {
            let Document { config, prefix, .. } = yaml::parse(text)?;
            s3::open(config, &prefix, env).await
        }
        "" => Err(Error::new(Kind::Invalid, "the bucket's configuration has no `type`")
            .next(format!("set `type`, `config` and if wanted `prefix`; {WORKING} work"))),
        name => {
            let known = OTHERS.contains(&name);
            let what = if known { "is not supported yet" } else { "is not known" };
            Err(Error::new(
                if known { Kind::Unsupported } else { Kind::Invalid },
                format!("a bucket of type {} {what}", kind.name),
            )
            .next(format!("use one of {WORKING}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(text: &str) -> Error {
        open(text, &|_| None).await.unwrap_err()
    }

    #[tokio::test]
    async fn other_types_are_named() {
        let e = refused("type: gcs\nconfig: {bucket: b}").await;
        assert_eq!(e.kind(), Kind::Unsupported);
        assert_eq!(e.to_string(), "a bucket of type gcs is not supported yet; use one of FILESYSTEM and S3");
        assert_eq!(refused("type: FTP").await.kind(), Kind::Invalid);
        assert_eq!(refused("config: {}").await.kind(), Kind::Invalid);
    }

    #[tokio::test]
    async fn unknown_fields_are_refused_with_their_place() {
        for (text, place, word) in [
            ("type: FILESYSTEM\nconfig:\n  directory: /x\nprefx: y\n", "line 4", "prefx"),
            ("type: S3\nconfig:\n  bucket: b\n  endpont: e\n", "line 4 column 3", "endpont"),
            ("type: S3\nconfig:\n  http_config:\n    idle: 1s\n", "line 4 column 5", "idle"),
            ("type: S3\nconfig:\n  bucket: a\n  bucket: b\n", "line 4", "bucket"),
        ] {
            let e = refused(text).await;
            assert_eq!(e.kind(), Kind::Invalid);
            assert!(e.to_string().contains(place) && e.to_string().contains(word), "{e}");
        }
    }

    #[tokio::test]
    async fn a_refusal_does_not_show_secrets() {
        let e = refused("type: S3\nconfig:\n  secret_key: hush-hush\n  nonsense: hush-hush\n").await;
        assert!(!e.to_string().contains("hush"), "{e}");
    }
}
