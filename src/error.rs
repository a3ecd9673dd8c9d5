//! The one error of everything above the formats: what happened, where, and what to do next.

use std::fmt;

use crate::encoding::Malformed;
use crate::model::BlockId;

/// What the caller can do about an error; retry, skip and quarantine read this and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Bytes are damaged: repair or replace the object; trying again does not help.
    Corrupt,
    /// Bytes are of a kind or version that this program does not know.
    Unsupported,
    /// The object, block or bucket is not there.
    NotFound,
    /// The other side failed or did not answer: try again later.
    Unavailable,
    /// The other side refused: credentials or permissions.
    Denied,
    /// Somebody else changed what this was about: look again and decide anew.
    Conflict,
    /// We were asked to stop.
    Cancelled,
    /// The caller asked for something that makes no sense: flags, configuration, arguments.
    Invalid,
    /// A named limit was reached.
    Limit,
}

impl Kind {
    /// The kind as one lower-case word, for log lines and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Corrupt => "corrupt",
            Kind::Unsupported => "unsupported",
            Kind::NotFound => "not-found",
            Kind::Unavailable => "unavailable",
            Kind::Denied => "denied",
            Kind::Conflict => "conflict",
            Kind::Cancelled => "cancelled",
            Kind::Invalid => "invalid",
            Kind::Limit => "limit",
        }
    }
}

/// A result with [`enum@Kind`]-carrying errors.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What happened, to which block and part, at which byte, why, and what to do next.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    what: String,
    block: Option<BlockId>,
    part: Option<String>,
    at: Option<u64>,
    next: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind`; `what` says in a short clause what happened.
    #[cold]
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Error(Box::new(Inner { kind, what: what.into(), block: None, part: None, at: None, next: None, source: None }))
    }

    /// Says which block, unless that is known already.
    #[must_use]
    pub fn block(mut self, block: BlockId) -> Self {
        self.0.block.get_or_insert(block);
        self
    }

    /// Says which part of the block or which key, unless that is known already.
    #[must_use]
    pub fn part(mut self, part: impl Into<String>) -> Self {
        self.0.part.get_or_insert_with(|| part.into());
        self
    }

    /// Says which byte of the part.
    #[must_use]
    pub fn at(mut self, at: u64) -> Self {
        self.0.at = Some(at);
        self
    }

    /// Says what to do next, as an imperative sentence without a full stop.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.0.next.get_or_insert_with(|| next.into());
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// What happened, without where and why.
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// The block it is about, where known.
    pub fn block_id(&self) -> Option<BlockId> {
        self.0.block
    }

    /// The part or key it is about, where known.
    pub fn part_name(&self) -> Option<&str> {
        self.0.part.as_deref()
    }

    /// The byte of the part, where known.
    pub fn offset(&self) -> Option<u64> {
        self.0.at
    }

    /// What to do next, where known.
    pub fn what_next(&self) -> Option<&str> {
        self.0.next.as_deref()
    }
}

impl From<Malformed> for Error {
    fn from(m: Malformed) -> Self {
        Error::new(Kind::Corrupt, m.why.into_owned()).part(m.part).at(m.at)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let e = &*self.0;
        if let Some(block) = e.block {
            write!(f, "block {block}: ")?;
        }
        match (&e.part, e.at) {
            (Some(part), Some(at)) => write!(f, "{part} at byte {at}: ")?,
            (Some(part), None) => write!(f, "{part}: ")?,
            _ => {}
        }
        f.write_str(&e.what)?;
        let mut cause = e.source.as_deref().map(|s| s as &dyn std::error::Error);
        while let Some(c) = cause {
            write!(f, ": {c}")?;
            cause = c.source();
        }
        if let Some(next) = &e.next {
            write!(f, "; {next}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({self})", self.0.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // the text above already has the whole chain
        None
    }
}
