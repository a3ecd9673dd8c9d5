//! `type: S3`: Amazon's and what speaks its language.
//!
//! *Source:* `providers/s3` of the module `github.com/thanos-io/objstore`. Every key of it is
//! done, answered with a warning where leaving it out does no harm, or refused where it would.

mod beyond;
mod credentials;
mod endpoint;

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::limit::LimitStore;
use object_store::{Attribute, Attributes, ClientOptions, ObjectStore, RetryConfig};
use serde::Deserialize;

use super::http::HttpConfig;
use super::yaml::null_is_default;
use super::{Lookup, Opened};
use crate::bucket::key::Keys;
use crate::bucket::objects::{Objects, Renew};
use crate::bucket::{Bucket, Store, Tuning};
use crate::error::{Error, Kind, Result};
use beyond::Signed;
use endpoint::Endpoint;

/// A request costs money and a round trip: few and large ones.
const READ_BYTES: usize = 16 << 20;
const PART_BYTES: u64 = 16 << 20;
/// The least that Amazon takes for any part but the last.
const MIN_PART_BYTES: u64 = 5 << 20;
const PARTS_IN_FLIGHT: usize = 2;
/// As upstream's client.
const MAX_RETRIES: usize = 10;
/// Signatures are not renewed between repetitions, so these end before credentials do.
const RETRY_TIMEOUT: Duration = Duration::from_secs(180);

/// The keys of `config`; not `Debug`, as some are secrets.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Config {
    #[serde(deserialize_with = "null_is_default")]
    bucket: String,
    #[serde(deserialize_with = "null_is_default")]
    endpoint: String,
    #[serde(deserialize_with = "null_is_default")]
    region: String,
    #[serde(rename = "disable_dualstack")]
    _never_dualstack: Option<bool>,
    #[serde(deserialize_with = "null_is_default")]
    aws_sdk_auth: bool,
    #[serde(deserialize_with = "null_is_default")]
    access_key: String,
    #[serde(deserialize_with = "null_is_default")]
    insecure: bool,
    #[serde(deserialize_with = "null_is_default")]
    signature_version2: bool,
    #[serde(deserialize_with = "null_is_default")]
    secret_key: String,
    #[serde(deserialize_with = "null_is_default")]
    session_token: String,
    #[serde(deserialize_with = "null_is_default")]
    put_user_metadata: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_is_default")]
    http_config: HttpConfig,
    #[serde(deserialize_with = "null_is_default")]
    trace: Trace,
    #[serde(deserialize_with = "null_is_default")]
    list_objects_version: String,
    #[serde(deserialize_with = "null_is_default")]
    bucket_lookup_type: Lookups,
    send_content_md5: Option<bool>,
    #[serde(deserialize_with = "null_is_default")]
    disable_multipart: bool,
    part_size: Option<u64>,
    #[serde(deserialize_with = "null_is_default")]
    sse_config: Encryption,
    #[serde(deserialize_with = "null_is_default")]
    sts_endpoint: String,
    #[serde(deserialize_with = "null_is_default")]
    max_retries: usize,
}

/// Where the bucket's name goes in a URL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Lookups {
    #[default]
    Auto,
    VirtualHosted,
    Path,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Trace {
    #[serde(deserialize_with = "null_is_default")]
    enable: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Encryption {
    #[serde(rename = "type", deserialize_with = "null_is_default")]
    kind: String,
    #[serde(deserialize_with = "null_is_default")]
    kms_key_id: String,
    #[serde(deserialize_with = "null_is_default")]
    kms_encryption_context: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_is_default")]
    encryption_key: String,
}

pub(super) async fn open(config: Config, prefix: &str, env: Lookup<'_>) -> Result<Opened> {
    config.validate()?;
    let keys = Keys::new(prefix)?;
    let mut warnings = config.warnings();
    let client = config.http_config.client(config.insecure, &mut warnings)?;
    let endpoint = Endpoint::of(&config, &client).await?;
    let retry = RetryConfig {
        max_retries: if config.max_retries == 0 { MAX_RETRIES } else { config.max_retries },
        retry_timeout: RETRY_TIMEOUT,
        ..RetryConfig::default()
    };
    let builder = AmazonS3Builder::new()
        .with_bucket_name(&config.bucket)
        .with_region(&endpoint.region)
        .with_endpoint(&endpoint.url)
        .with_virtual_hosted_style_request(endpoint.virtual_hosted)
        .with_allow_http(config.insecure)
        .with_client_options(client.clone())
        .with_retry(retry)
        // one key, one DELETE: many compatible servers have no bulk delete, or want MD5 for it
        .with_disable_bulk_delete(true);
    let builder = config.credentials(builder, env)?;
    let builder = config.encryption(config.integrity(builder))?;
    let most = config.http_config.max_requests();
    let build = move || builder.clone().build().map_err(|e| refused("the S3 client refuses the configuration", e));
    let limited = move |built| -> Arc<dyn ObjectStore> {
        match most {
            Some(most) => Arc::new(LimitStore::new(built, most)),
            None => Arc::new(built),
        }
    };
    let built = build()?;

    let beyond = Signed::new(&client, endpoint.objects_url(&config.bucket), endpoint.region, Arc::clone(built.credentials()))?;
    let (store, renew) = (limited(built), Renew(Arc::new(move || build().map(limited))));
    let objects = Objects { store, tuning: config.tuning(), beyond: Some(Arc::new(beyond)), renew: Some(renew) };
    let bucket = Bucket::new(format!("S3 {}/{}", config.endpoint, config.bucket), keys, Store::Objects(objects));
    Ok(Opened { bucket, warnings })
}

impl Config {
    /// What upstream refuses, and what cannot be had here.
    fn validate(&self) -> Result<()> {
        let invalid = |what: &str, next: &str| Err(Error::new(Kind::Invalid, what).next(next));
        let unsupported = |what: &str, next: &str| Err(Error::new(Kind::Unsupported, what).next(next));
        if self.bucket.is_empty() {
            return invalid("no s3 bucket in config file", "set `bucket` in `config`");
        }
        if self.endpoint.is_empty() {
            return invalid("no s3 endpoint in config file", "set `endpoint` in `config`, as host:port");
        }
        if self.endpoint.contains('/') {
            return invalid("an s3 endpoint has neither scheme nor path", "write host:port, and `insecure: true` for plain http");
        }
        if self.aws_sdk_auth && !self.access_key.is_empty() {
            return invalid("aws_sdk_auth and access_key are mutually exclusive", "remove one of them");
        }
        if self.access_key.is_empty() != self.secret_key.is_empty() {
            return invalid(
                "one of s3 access_key and secret_key is set without the other",
                "set both, or none to take the environment's",
            );
        }
        if self.signature_version2 {
            return unsupported("signature_version2 is not supported", "remove it: servers have taken version 4 for many years");
        }
        match self.list_objects_version.as_str() {
            "" | "v2" => {}
            "v1" => return unsupported("list_objects_version: v1 is not supported", "remove it if the server knows v2"),
            _ => return invalid("list_objects_version is v1 or v2", "correct it"),
        }
        if !self.sse_config.kms_encryption_context.is_empty() {
            return unsupported("sse_config.kms_encryption_context is not supported", "remove it if the key's policy allows");
        }
        Ok(())
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.trace.enable {
            warnings.push("`trace.enable` has no effect here".to_owned());
        }
        if self.disable_multipart {
            warnings.push("`disable_multipart`: each object is held in memory as a whole while it is written".to_owned());
        }
        if self.send_content_md5 == Some(true) {
            warnings.push("`send_content_md5`: bodies are sent with SHA-256 checksums instead of MD5".to_owned());
        }
        if self.part_size.is_some_and(|size| size < MIN_PART_BYTES) {
            warnings.push(format!("`part_size`: no provider takes parts below {MIN_PART_BYTES} bytes, that is used"));
        }
        warnings
    }

    fn tuning(&self) -> Tuning {
        let part_bytes = match (self.disable_multipart, self.part_size) {
            (true, _) => u64::MAX,
            (false, Some(size)) => size.max(MIN_PART_BYTES),
            (false, None) => PART_BYTES,
        };
        Tuning { read_bytes: READ_BYTES, part_bytes, parts_in_flight: PARTS_IN_FLIGHT, attributes: self.attributes() }
    }

    /// `put_user_metadata`, in which upstream hides the storage class.
    fn attributes(&self) -> Attributes {
        let named = |key: &String| match key.to_ascii_lowercase().as_str() {
            "x-amz-storage-class" => Attribute::StorageClass,
            _ => Attribute::Metadata(key.clone().into()),
        };
        self.put_user_metadata.iter().map(|(key, value)| (named(key), value.clone())).collect()
    }

    fn credentials(&self, builder: AmazonS3Builder, env: Lookup<'_>) -> Result<AmazonS3Builder> {
        let builder = match self.sts_endpoint.as_str() {
            "" => builder,
            sts => builder.with_config(AmazonS3ConfigKey::StsEndpoint, sts),
        };
        if self.access_key.is_empty() {
            return credentials::from_outside(builder, env);
        }
        let builder = builder.with_access_key_id(&self.access_key).with_secret_access_key(&self.secret_key);
        Ok(if self.session_token.is_empty() { builder } else { builder.with_token(&self.session_token) })
    }

    /// Object Lock wants a checksum in a header; the signature over the body does not count.
    fn integrity(&self, builder: AmazonS3Builder) -> AmazonS3Builder {
        match self.send_content_md5 {
            Some(true) => builder.with_checksum_algorithm(Checksum::SHA256),
            _ => builder,
        }
    }

    fn encryption(&self, builder: AmazonS3Builder) -> Result<AmazonS3Builder> {
        let sse = &self.sse_config;
        let missing = |what: &str| Err(Error::new(Kind::Invalid, format!("{what} must be set for this sse_config.type")));
        match sse.kind.as_str() {
            "" => Ok(builder),
            "SSE-S3" => Ok(set(builder, "aws_server_side_encryption", "AES256")?),
            "SSE-KMS" if sse.kms_key_id.is_empty() => missing("kms_key_id"),
            "SSE-KMS" => Ok(builder.with_sse_kms_encryption(&sse.kms_key_id)),
            "SSE-C" if sse.encryption_key.is_empty() => missing("encryption_key"),
            "SSE-C" => {
                let key = fs::read(&sse.encryption_key)
                    .map_err(|e| Error::new(Kind::Invalid, "cannot read the SSE-C key").part(&*sse.encryption_key).source(e))?;
                if key.len() != 32 {
                    return Err(Error::new(Kind::Invalid, format!("an SSE-C key has 32 bytes, the file has {}", key.len()))
                        .part(&*sse.encryption_key));
                }
                Ok(builder.with_ssec_encryption(base64::engine::general_purpose::STANDARD.encode(key)))
            }
            other => {
                Err(Error::new(Kind::Invalid, format!("sse_config.type `{other}` is not known"))
                    .next("use SSE-S3, SSE-KMS or SSE-C"))
            }
        }
    }
}

/// Sets an option that has a name but no method.
fn set(builder: AmazonS3Builder, key: &str, value: &str) -> Result<AmazonS3Builder> {
    let key: AmazonS3ConfigKey = key.parse().map_err(|e| refused("the S3 client has no such option", e))?;
    Ok(builder.with_config(key, value))
}

fn refused(what: &str, e: object_store::Error) -> Error {
    Error::new(Kind::Invalid, what).source(e)
}

/// The client as [`Signed`] needs it too.
fn connect(options: &ClientOptions) -> Result<object_store::client::HttpClient> {
    use object_store::client::{HttpConnector, ReqwestConnector};
    ReqwestConnector::default().connect(options).map_err(|e| refused("the S3 client refuses the connection's options", e))
}

#[cfg(test)]
mod tests;
