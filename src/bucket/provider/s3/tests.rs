//! Every key of an S3 configuration: done, warned of, or refused.

use std::io::{BufRead, BufReader, Write};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::*;
use crate::bucket::provider;

const BASE: &str = "type: S3\nconfig:\n  bucket: b\n  endpoint: localhost:1\n  insecure: true\n";
const KEYS: &str = "  access_key: AK\n  secret_key: SK\n";

async fn open(more: &str) -> Result<Opened> {
    provider::open(&format!("{BASE}{more}"), &|_| None).await
}

#[tokio::test]
async fn a_plain_configuration_opens_without_a_word() {
    let opened = open(KEYS).await.unwrap();
    assert_eq!(opened.bucket.name(), "S3 localhost:1/b");
    assert_eq!(opened.warnings, [""; 0]);
    assert_eq!(opened.bucket.read_bytes(), READ_BYTES);
}

#[tokio::test]
async fn every_key_that_upstream_documents_is_known() {
    let all = "  region: r\n  disable_dualstack: true\n  aws_sdk_auth: false\n  access_key: AK\n  secret_key: SK\n  session_token: T\n  \
        signature_version2: false\n  put_user_metadata: {X-Amz-Storage-Class: STANDARD_IA, team: ours}\n  \
        http_config:\n    idle_conn_timeout: 1m30s\n    response_header_timeout: 2m\n    insecure_skip_verify: false\n    \
        tls_handshake_timeout: 10s\n    expect_continue_timeout: 1s\n    max_idle_conns: 100\n    max_idle_conns_per_host: 100\n    \
        max_conns_per_host: 3\n    tls_config:\n      ca_file: \"\"\n      cert_file: \"\"\n      key_file: \"\"\n      server_name: \"\"\n      \
        insecure_skip_verify: false\n    disable_compression: false\n  trace:\n    enable: false\n  list_objects_version: \"\"\n  \
        bucket_lookup_type: auto\n  send_content_md5: true\n  disable_multipart: false\n  part_size: 67108864\n  sse_config:\n    \
        type: \"\"\n    kms_key_id: \"\"\n    kms_encryption_context: {}\n    encryption_key: \"\"\n  sts_endpoint: \"\"\n  max_retries: 3\nprefix: \"\"\n";
    let opened = open(all).await.unwrap();
    let told = opened.warnings.join("\n");
    for key in ["tls_handshake_timeout", "expect_continue_timeout", "max_idle_conns", "send_content_md5"] {
        assert!(told.contains(&format!("{key}`")), "{key} in {told}");
    }
    assert_eq!(opened.warnings.len(), 4, "{told}");
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_and_not_dropped() {
    for (more, kind, word) in [
        ("  signature_version2: true\n", Kind::Unsupported, "signature_version2"),
        ("  list_objects_version: v1\n", Kind::Unsupported, "list_objects_version"),
        ("  list_objects_version: v3\n", Kind::Invalid, "list_objects_version"),
        ("  bucket_lookup_type: dns\n", Kind::Invalid, "dns"),
        ("  sse_config: {type: SSE-KMS, kms_key_id: k, kms_encryption_context: {a: b}}\n", Kind::Unsupported, "context"),
        ("  sse_config: {type: SSE-KMS}\n", Kind::Invalid, "kms_key_id"),
        ("  sse_config: {type: SSE-C}\n", Kind::Invalid, "encryption_key"),
        ("  sse_config: {type: SSE-C, encryption_key: /not/there}\n", Kind::Invalid, "/not/there"),
        ("  sse_config: {type: AES}\n", Kind::Invalid, "AES"),
        ("  http_config: {tls_config: {cert_file: c, key_file: k}}\n", Kind::Unsupported, "client certificates"),
        ("  http_config: {tls_config: {server_name: other}}\n", Kind::Unsupported, "server_name"),
        ("  http_config: {tls_config: {ca_file: /not/there}}\n", Kind::Invalid, "/not/there"),
        ("  http_config: {idle_conn_timeout: soon}\n", Kind::Invalid, "duration"),
        ("  aws_sdk_auth: true\n", Kind::Invalid, "mutually exclusive"),
    ] {
        let e = open(&format!("{KEYS}{more}")).await.unwrap_err();
        assert!(e.kind() == kind && e.to_string().contains(word), "{more}: {e:?}");
    }
    for (text, word) in [
        ("type: S3\nconfig: {endpoint: e}", "bucket"),
        ("type: S3\nconfig: {bucket: b}", "endpoint"),
        ("type: S3\nconfig: {bucket: b, endpoint: 'https://e'}", "scheme"),
        ("type: S3\nconfig: {bucket: b, endpoint: e, access_key: a}", "secret_key"),
        ("type: S3\nconfig: {bucket: b, endpoint: e, secret_key: a}", "access_key"),
    ] {
        let e = provider::open(text, &|_| None).await.unwrap_err();
        assert!(e.kind() == Kind::Invalid && e.to_string().contains(word), "{text}: {e:?}");
    }
}

#[tokio::test]
async fn a_key_file_of_the_wrong_length_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for (len, opens) in [(31, false), (32, true), (33, false)] {
        fs::write(file.path(), vec![7; len]).unwrap();
        let more = format!("{KEYS}  sse_config: {{type: SSE-C, encryption_key: {}}}\n", file.path().display());
        assert_eq!(open(&more).await.is_ok(), opens, "{len} bytes");
    }
}

#[tokio::test]
async fn keys_come_from_the_environment_when_the_configuration_has_none() {
    let env = |name: &str| match name {
        "AWS_ACCESS_KEY_ID" => Some("from".to_owned()),
        "AWS_SECRET_ACCESS_KEY" => Some("outside".to_owned()),
        _ => None,
    };
    let builder = credentials::from_outside(AmazonS3Builder::new(), &env).unwrap();
    assert_eq!(builder.get_config_value(&AmazonS3ConfigKey::AccessKeyId).as_deref(), Some("from"));
    let token = |name: &str| name.starts_with("AWS_ROLE_ARN").then(|| "arn".to_owned());
    let builder = credentials::from_outside(AmazonS3Builder::new(), &token).unwrap();
    assert_eq!(builder.get_config_value(&AmazonS3ConfigKey::RoleArn).as_deref(), Some("arn"));
}

#[test]
fn metadata_and_storage_class() {
    let config = Config {
        put_user_metadata: [("x-AMZ-storage-class", "COLD"), ("team", "ours")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        ..Config::default()
    };
    let attributes = config.attributes();
    assert_eq!(attributes.get(&Attribute::StorageClass).map(AsRef::as_ref), Some("COLD"));
    assert_eq!(attributes.get(&Attribute::Metadata("team".into())).map(AsRef::as_ref), Some("ours"));
}

#[test]
fn part_sizes() {
    let size = |disable_multipart, part_size| Config { disable_multipart, part_size, ..Config::default() }.tuning().part_bytes;
    assert_eq!(size(false, None), PART_BYTES);
    assert_eq!(size(false, Some(1)), MIN_PART_BYTES);
    assert_eq!(size(false, Some(64 << 20)), 64 << 20);
    assert!(size(true, None) >= 5 << 30);
}

/// A server that gives every request `answer`, and keeps connections open; and how many of them there were.
fn server(answer: String) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&connections);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            seen.fetch_add(1, SeqCst);
            let answer = answer.clone();
            std::thread::spawn(move || {
                let stream = stream.unwrap();
                for line in BufReader::new(&stream).lines() {
                    if line.is_ok_and(|line| line.is_empty()) {
                        (&stream).write_all(answer.as_bytes()).unwrap();
                    }
                }
            });
        }
    });
    (address, connections)
}

async fn bucket_at(address: std::net::SocketAddr) -> Bucket {
    let text = format!(
        "{{type: S3, config: {{bucket: b, endpoint: '{address}', insecure: true, access_key: a, secret_key: s, region: r}}}}"
    );
    provider::open(&text, &|_| None).await.unwrap().bucket
}

#[tokio::test]
async fn new_connections_are_new() {
    let answer = "HTTP/1.1 206 Partial Content\r\nContent-Length: 1\r\nContent-Range: bytes 0-0/1\r\n\r\nx";
    let (address, connections) = server(answer.to_owned());
    let bucket = bucket_at(address).await;
    for renewed in [0, 1] {
        let bucket = if renewed == 1 { bucket.with_new_connections().unwrap() } else { bucket.clone() };
        for _ in 0..2 {
            assert_eq!(bucket.get_range("k", 0..1).await.unwrap(), "x");
        }
        assert_eq!(connections.load(SeqCst), 1 + renewed);
    }
    assert_eq!(bucket.requests().get_range.calls, 4, "all are counted");
}

#[tokio::test]
async fn an_object_in_an_archive_says_so() {
    for (code, is_archived) in [("InvalidObjectState", true), ("AccessDenied", false)] {
        let body = format!("<Error><Code>{code}</Code><Message>The operation is not valid</Message></Error>");
        let (address, _) = server(format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        let error = bucket_at(address).await.get_range("k", 0..1).await.unwrap_err();
        assert_eq!((error.kind(), crate::bucket::is_archived(&error)), (Kind::Denied, is_archived), "{error}");
    }
}
