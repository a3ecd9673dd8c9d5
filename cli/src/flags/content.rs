//! Pairs of flags `--x` (the content) and `--x-file` (a path), of which at most one may be given.

use std::path::PathBuf;

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

/// What one of the two flags holds; empty when neither is given.
///
/// # Errors
/// `Invalid` when both are given; `NotFound` and others when the file cannot be read.
pub(crate) fn read_content(name: &str, content: Option<&str>, file: Option<&PathBuf>) -> Result<String> {
    // an empty value counts as none, so that deployments can pass an unset variable
    let content = content.filter(|c| !c.is_empty());
    let file = file.filter(|f| !f.as_os_str().is_empty());
    match (content, file) {
        (Some(_), Some(_)) => {
            Err(Error::new(Kind::Invalid, format!("both --{name}-file and --{name} are set")).next("give one of the two"))
        }
        (Some(content), None) => Ok(content.to_owned()),
        (None, None) => Ok(String::new()),
        (None, Some(path)) => std::fs::read_to_string(path).map_err(|e| {
            let kind = match e.kind() {
                std::io::ErrorKind::NotFound => Kind::NotFound,
                std::io::ErrorKind::PermissionDenied => Kind::Denied,
                _ => Kind::Invalid,
            };
            Error::new(kind, format!("cannot read {} for --{name}-file", path.display())).source(e)
        }),
    }
}
