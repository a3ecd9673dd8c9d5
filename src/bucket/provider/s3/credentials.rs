//! Credentials that are not in the configuration: environment, shared file, the machine's role.
//!
//! In upstream's order. `object_store` knows roles (web identity, containers, instances); the
//! shared file it does not, so that is read here. Profiles that need a login or another role
//! are refused by name.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::bucket::provider::Lookup;
use crate::error::{Error, Kind, Result};

/// Others renew the shared file while we run.
const REREAD: Duration = Duration::from_secs(60);

/// What a profile may have that only a login or another program can turn into keys.
const NOT_KEYS: [&str; 4] = ["role_arn", "sso_session", "sso_start_url", "credential_process"];

pub(super) fn from_outside(builder: AmazonS3Builder, env: Lookup<'_>) -> Result<AmazonS3Builder> {
    let any = |names: &[&str]| names.iter().find_map(|name| env(name).filter(|v| !v.is_empty()));
    let id = any(&["AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY"]);
    let secret = any(&["AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"]);
    if let (Some(id), Some(secret)) = (id, secret) {
        let builder = builder.with_access_key_id(id).with_secret_access_key(secret);
        return Ok(match any(&["AWS_SESSION_TOKEN"]) {
            Some(token) => builder.with_token(token),
            None => builder,
        });
    }
    if let Some(file) = SharedFile::named_by(env)
        && file.has_keys()?
    {
        return Ok(builder.with_credentials(Arc::new(file)));
    }
    use AmazonS3ConfigKey as K;
    let roles = [
        (K::WebIdentityTokenFile, "AWS_WEB_IDENTITY_TOKEN_FILE"),
        (K::RoleArn, "AWS_ROLE_ARN"),
        (K::RoleSessionName, "AWS_ROLE_SESSION_NAME"),
        (K::ContainerCredentialsRelativeUri, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
        (K::ContainerCredentialsFullUri, "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        (K::ContainerAuthorizationTokenFile, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
    ];
    Ok(roles.into_iter().fold(builder, |builder, (key, name)| match any(&[name]) {
        Some(value) => builder.with_config(key, value),
        None => builder,
    }))
}

/// One profile of `~/.aws/credentials`.
#[derive(Debug)]
struct SharedFile {
    path: PathBuf,
    profile: String,
    /// Whether somebody asked for this file or profile by name.
    asked_for: bool,
    last: Mutex<Option<(Instant, Arc<AwsCredential>)>>,
}

impl SharedFile {
    fn named_by(env: Lookup<'_>) -> Option<Self> {
        let given = env("AWS_SHARED_CREDENTIALS_FILE").filter(|v| !v.is_empty());
        let profile = env("AWS_PROFILE").filter(|v| !v.is_empty());
        let asked_for = given.is_some() || profile.is_some();
        let path = match given {
            Some(path) => path.into(),
            None => PathBuf::from(env("HOME").filter(|v| !v.is_empty())?).join(".aws/credentials"),
        };
        Some(SharedFile { path, profile: profile.unwrap_or_else(|| "default".to_owned()), asked_for, last: Mutex::new(None) })
    }

    /// Whether the file is the one to use; an error when it was meant to be and cannot.
    fn has_keys(&self) -> Result<bool> {
        match self.read() {
            Ok(_) => Ok(true),
            Err(e) if self.asked_for || e.kind() == Kind::Unsupported => Err(e),
            Err(_) => Ok(false),
        }
    }

    fn read(&self) -> Result<AwsCredential> {
        let failed = |kind, what: String| Error::new(kind, what).part(self.path.display().to_string());
        let text = std::fs::read_to_string(&self.path)
            .map_err(|e| failed(Kind::Invalid, "cannot read the shared credentials".to_owned()).source(e))?;
        let profile = section(&text, &self.profile)
            .ok_or_else(|| failed(Kind::Invalid, format!("there is no profile `{}`", self.profile)))?;
        let value = |name: &str| profile.iter().rev().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        match (value("aws_access_key_id"), value("aws_secret_access_key")) {
            (Some(key_id), Some(secret_key)) => Ok(AwsCredential { key_id, secret_key, token: value("aws_session_token") }),
            _ => Err(match NOT_KEYS.iter().find(|name| value(name).is_some()) {
                Some(name) => failed(Kind::Unsupported, format!("the profile `{}` uses `{name}`", self.profile))
                    .next("put keys for it into the environment, for example with `aws configure export-credentials`"),
                None => failed(Kind::Invalid, format!("the profile `{}` has no keys", self.profile)),
            }),
        }
    }
}

#[async_trait]
impl CredentialProvider for SharedFile {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut last = self.last.lock().await;
        if let Some((read, credential)) = &*last
            && read.elapsed() < REREAD
        {
            return Ok(Arc::clone(credential));
        }
        let credential = self.read().map_err(|e| object_store::Error::Generic { store: "S3", source: e.into() })?;
        let credential = Arc::new(credential);
        *last = Some((Instant::now(), Arc::clone(&credential)));
        Ok(credential)
    }
}

/// The keys and values below `[name]`.
fn section<'a>(text: &'a str, name: &str) -> Option<Vec<(&'a str, &'a str)>> {
    let heading = |line: &'a str| line.trim().strip_prefix('[')?.strip_suffix(']').map(str::trim);
    let mut lines = text.lines().skip_while(|line| heading(line) != Some(name));
    lines.next()?;
    let pairs = lines.take_while(|line| heading(line).is_none()).filter(|line| !line.trim_start().starts_with(['#', ';']));
    Some(pairs.filter_map(|line| line.split_once('=')).map(|(key, value)| (key.trim(), value.trim())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# ours\n[default]\naws_access_key_id = AK\naws_secret_access_key=SK\n\n[work]\naws_access_key_id=W\n\
        ; a=b\naws_secret_access_key = WS=\naws_session_token = T\n[sso]\nsso_session = x\n[none]\n";

    fn shared(profile: Option<&str>) -> Result<Option<AwsCredential>> {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join(".aws/credentials");
        std::fs::create_dir(dir.path().join(".aws")).unwrap();
        std::fs::write(&path, FILE).unwrap();
        let env = |name: &str| match name {
            "HOME" => Some(dir.path().display().to_string()),
            "AWS_PROFILE" => profile.map(str::to_owned),
            _ => None,
        };
        let file = SharedFile::named_by(&env).unwrap();
        Ok(if file.has_keys()? { Some(file.read()?) } else { None })
    }

    #[test]
    fn profiles_of_the_shared_file() {
        let keys = |c: Option<AwsCredential>| c.map(|c| (c.key_id, c.secret_key, c.token));
        assert_eq!(keys(shared(None).unwrap()), Some(("AK".into(), "SK".into(), None)));
        assert_eq!(keys(shared(Some("work")).unwrap()), Some(("W".into(), "WS=".into(), Some("T".into()))));
        assert_eq!(shared(Some("sso")).unwrap_err().kind(), Kind::Unsupported);
        assert_eq!(shared(Some("none")).unwrap_err().kind(), Kind::Invalid);
        assert_eq!(shared(Some("other")).unwrap_err().kind(), Kind::Invalid);
    }

    #[test]
    fn no_shared_file_is_no_error_unless_named() {
        let home = |name: &str| (name == "HOME").then(|| "/not/there".to_owned());
        assert!(!SharedFile::named_by(&home).unwrap().has_keys().unwrap());
        let named = |name: &str| (name == "AWS_SHARED_CREDENTIALS_FILE").then(|| "/not/there".to_owned());
        assert_eq!(SharedFile::named_by(&named).unwrap().has_keys().unwrap_err().kind(), Kind::Invalid);
        assert!(SharedFile::named_by(&|_| None).is_none());
    }
}
