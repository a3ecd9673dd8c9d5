//! Which URL and which region: as upstream's client concludes them from the endpoint.

use object_store::ClientOptions;
use object_store::aws::resolve_bucket_region;

use super::{Config, Lookups};
use crate::bucket::failure::of_store;
use crate::error::Result;

const DEFAULT_REGION: &str = "us-east-1";
const GLOBAL: &str = "s3.amazonaws.com";

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// With scheme; with the bucket's name in front where it belongs there.
    pub(super) url: String,
    pub(super) region: String,
    pub(super) virtual_hosted: bool,
}

impl Endpoint {
    pub(super) async fn of(config: &Config, client: &ClientOptions) -> Result<Self> {
        let region = match region_of(&config.endpoint) {
            _ if !config.region.is_empty() => config.region.clone(),
            Some(region) => region.to_owned(),
            None if config.endpoint == GLOBAL => {
                resolve_bucket_region(&config.bucket, client).await.map_err(|e| of_store("ask for the bucket's region", e))?
            }
            None => DEFAULT_REGION.to_owned(),
        };
        Ok(Self::new(config, region))
    }

    fn new(config: &Config, region: String) -> Self {
        let secure = !config.insecure;
        let scheme = if secure { "https" } else { "http" };
        // Amazon answers for a region at that region's own name
        let host = if config.endpoint == GLOBAL { format!("s3.{region}.amazonaws.com") } else { config.endpoint.clone() };
        let virtual_hosted = match config.bucket_lookup_type {
            Lookups::VirtualHosted => true,
            Lookups::Path => false,
            // a dot in the name does not fit the endpoint's certificate
            Lookups::Auto => names_buckets_in_hosts(&host) && !(secure && config.bucket.contains('.')),
        };
        let url = if virtual_hosted { format!("{scheme}://{}.{host}", config.bucket) } else { format!("{scheme}://{host}") };
        Endpoint { url, region, virtual_hosted }
    }

    /// What keys are appended to, without a slash at the end.
    pub(super) fn objects_url(&self, bucket: &str) -> String {
        if self.virtual_hosted { self.url.clone() } else { format!("{}/{bucket}", self.url) }
    }
}

fn names_buckets_in_hosts(host: &str) -> bool {
    let host = host.split(':').next().unwrap_or_default();
    host == "storage.googleapis.com"
        || [".amazonaws.com", ".amazonaws.com.cn", ".aliyuncs.com"].iter().any(|suffix| host.ends_with(suffix))
}

/// `eu-west-1` of `s3.eu-west-1.amazonaws.com` and its relatives.
fn region_of(host: &str) -> Option<&str> {
    let name = host.strip_suffix(".amazonaws.com").or_else(|| host.strip_suffix(".amazonaws.com.cn"))?;
    let name = name.strip_prefix("s3").and_then(|n| n.strip_prefix(['.', '-']))?;
    let name = ["fips.dualstack.", "fips-", "fips.", "dualstack."].iter().find_map(|p| name.strip_prefix(p)).unwrap_or(name);
    (!name.is_empty() && !name.contains('.') && name != "external-1").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_of_hosts() {
        for (host, region) in [
            ("s3.eu-west-1.amazonaws.com", Some("eu-west-1")),
            ("s3-eu-west-1.amazonaws.com", Some("eu-west-1")),
            ("s3.dualstack.eu-west-1.amazonaws.com", Some("eu-west-1")),
            ("s3-fips.us-gov-west-1.amazonaws.com", Some("us-gov-west-1")),
            ("s3.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            ("s3.amazonaws.com", None),
            ("s3-external-1.amazonaws.com", None),
            ("minio:9000", None),
        ] {
            assert_eq!(region_of(host), region, "{host}");
        }
    }

    #[test]
    fn where_the_buckets_name_goes() {
        let url = |endpoint: &str, bucket: &str, lookup: Lookups, insecure: bool| {
            let config = Config {
                endpoint: endpoint.to_owned(),
                bucket: bucket.to_owned(),
                bucket_lookup_type: lookup,
                insecure,
                ..Config::default()
            };
            Endpoint::new(&config, "r".to_owned()).objects_url(bucket)
        };
        use Lookups::{Auto, Path, VirtualHosted};
        assert_eq!(url("minio:9000", "b", Auto, true), "http://minio:9000/b");
        assert_eq!(url("minio:9000", "b", VirtualHosted, false), "https://b.minio:9000");
        assert_eq!(url("s3.amazonaws.com", "b", Auto, false), "https://b.s3.r.amazonaws.com");
        assert_eq!(url("s3.amazonaws.com", "b.c", Auto, false), "https://s3.r.amazonaws.com/b.c");
        assert_eq!(url("s3.eu-west-1.amazonaws.com", "b", Path, false), "https://s3.eu-west-1.amazonaws.com/b");
        assert_eq!(url("storage.googleapis.com", "b", Auto, false), "https://b.storage.googleapis.com");
    }
}
