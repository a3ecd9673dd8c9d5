//! Pairs of flags `--x` (the content) and `--x-file` (a path), of which at most one may be given.

use std::path::{Path, PathBuf};

use blockyard::bucket::{Bucket, expand_env};
use blockyard::{Error, Kind, Result};
use clap::Args;

/// `--objstore.config` and `--objstore.config-file`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Objstore {
    /// Path to YAML file that contains object store configuration
    #[arg(long = "objstore.config-file", value_name = "file-path", global = true)]
    pub(crate) objstore_file: Option<PathBuf>,
    /// Alternative to 'objstore.config-file' flag (mutually exclusive). Content of YAML file that contains object store configuration
    #[arg(long = "objstore.config", value_name = "content", global = true)]
    pub(crate) objstore: Option<String>,
}

/// `--selector.relabel-config` and `--selector.relabel-config-file`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Selector {
    /// Path to YAML file with relabeling configuration that selects blocks by their external labels
    #[arg(long = "selector.relabel-config-file", value_name = "file-path")]
    pub(crate) selector_file: Option<PathBuf>,
    /// Alternative to 'selector.relabel-config-file' flag (mutually exclusive). Content of YAML file with relabeling configuration
    #[arg(long = "selector.relabel-config", value_name = "content")]
    pub(crate) selector: Option<String>,
}

impl Objstore {
    /// Opens the bucket; nothing is asked of it yet.
    ///
    /// # Errors
    /// `Invalid` without a configuration or for one that makes no sense, `Unsupported` for a type of bucket
    /// that this version does not have.
    pub(crate) async fn open(&self) -> Result<Bucket> {
        open("objstore.config", self.objstore.as_deref(), self.objstore_file.as_deref()).await?.ok_or_else(|| {
            Error::new(Kind::Invalid, "no bucket is given").next("set --objstore.config-file=PATH, or --objstore.config=YAML")
        })
    }
}

/// `--objstore-backup.config` and `--objstore-backup.config-file`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Backup {
    /// Path to YAML file that contains object store-backup configuration. Used for repair logic to backup blocks before removal
    #[arg(long = "objstore-backup.config-file", value_name = "file-path")]
    pub(crate) backup_file: Option<PathBuf>,
    /// Alternative to 'objstore-backup.config-file' flag (mutually exclusive). Content of YAML file that contains object
    /// store-backup configuration
    #[arg(long = "objstore-backup.config", value_name = "content")]
    pub(crate) backup: Option<String>,
}

impl Backup {
    /// Opens the bucket for copies of blocks, if one is given.
    ///
    /// # Errors
    /// As [`Objstore::open`].
    pub(crate) async fn open(&self) -> Result<Option<Bucket>> {
        open("objstore-backup.config", self.backup.as_deref(), self.backup_file.as_deref()).await
    }
}

/// Opens the bucket that one of two flags describes, if one does.
async fn open(name: &str, content: Option<&str>, file: Option<&Path>) -> Result<Option<Bucket>> {
    let text = read_content(name, content, file)?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    let opened = Bucket::from_yaml(&expand_env(&text, variable)?).await?;
    for warning in opened.warnings {
        tracing::warn!("{warning}");
    }
    tracing::debug!(bucket = opened.bucket.name(), flag = name, "bucket opened");
    Ok(Some(opened.bucket))
}

impl Selector {
    /// The YAML of the rules; empty when none are given.
    ///
    /// # Errors
    /// `Invalid` when both flags are given, the file cannot be read or a variable is not set.
    pub(crate) fn read(&self) -> Result<String> {
        read_expanded("selector.relabel-config", self.selector.as_deref(), self.selector_file.as_deref())
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// As [`read_content`], with `$(VARIABLE)` of the environment filled in.
///
/// # Errors
/// `Invalid` as there, and when a variable is not set.
pub(crate) fn read_expanded(name: &str, content: Option<&str>, file: Option<&Path>) -> Result<String> {
    expand_env(&read_content(name, content, file)?, variable)
}

/// What one of the two flags holds; empty when neither is given.
///
/// # Errors
/// `Invalid` when both are given or the file cannot be read.
pub(crate) fn read_content(name: &str, content: Option<&str>, file: Option<&Path>) -> Result<String> {
    // an empty value counts as none, so that deployments can pass an unset variable
    let content = content.filter(|c| !c.is_empty());
    let file = file.filter(|f| !f.as_os_str().is_empty());
    let invalid = |what: String| Error::new(Kind::Invalid, what);
    match (content, file) {
        (Some(_), Some(_)) => Err(invalid(format!("both --{name}-file and --{name} are set")).next("give one of the two")),
        (Some(content), None) => Ok(content.to_owned()),
        (None, None) => Ok(String::new()),
        (None, Some(path)) => std::fs::read_to_string(path)
            .map_err(|e| invalid(format!("cannot read {} for --{name}-file", path.display())).source(e)),
    }
}
