//! Flags of every command: log lines, tracing, the process.

use std::path::PathBuf;

use blockyard::Result;
use clap::Args;

use super::{count, read_content};
use crate::log::{Filter, Format};

/// Flags that every command takes.
#[derive(Args, Debug)]
#[command(next_help_heading = "Process")]
pub(crate) struct Global {
    /// Which log lines are written
    #[arg(long = "log.level", value_name = "LEVEL", default_value = "info", global = true)]
    pub(crate) log_level: Filter,

    /// How log lines are written
    #[arg(long = "log.format", value_name = "FORMAT", default_value = "logfmt", global = true)]
    pub(crate) log_format: Format,

    /// Path to a YAML file with the configuration of tracing; without effect in this version
    #[arg(long = "tracing.config-file", value_name = "PATH", global = true)]
    tracing_file: Option<PathBuf>,

    /// The same, as content
    #[arg(long = "tracing.config", value_name = "CONTENT", global = true)]
    tracing: Option<String>,

    /// Limits of Go's collector: without effect, memory is budgeted in bytes
    #[arg(long, global = true)]
    enable_auto_gomemlimit: bool,

    /// Likewise
    #[arg(long = "auto-gomemlimit.ratio", value_name = "RATIO", default_value = "0.9", global = true)]
    gomemlimit_ratio: f64,

    /// A name in every log line
    #[arg(long = "debug.name", value_name = "NAME", hide = true, global = true)]
    pub(crate) debug_name: Option<String>,

    /// Threads for CPU work; 0 is one a core. Any number gives the same bytes
    #[arg(long = "compute.threads", value_name = "N", default_value = "0", value_parser = count, hide = true, global = true)]
    pub(crate) threads: usize,
}

impl Global {
    /// What a user who set these flags must know.
    ///
    /// # Errors
    /// `Invalid` when a flag and its `-file` are both given or the file cannot be read.
    pub(crate) fn warnings(&self) -> Result<Vec<&'static str>> {
        let mut out = Vec::new();
        if !read_content("tracing.config", self.tracing.as_deref(), self.tracing_file.as_deref())?.is_empty() {
            out.push("tracing is not in this version: no spans are sent");
        }
        if self.log_format == Format::Journald {
            out.push("journald is not in this version: log lines go to stderr as logfmt");
        }
        Ok(out)
    }
}
