//! What is wrong with bytes that somebody else wrote, and where.

use std::borrow::Cow;
use std::fmt;

/// Damaged or unsupported bytes, as a value: the part they belong to, the offset, and why.
///
/// A decoder returns this and never panics; whoever knows the block adds its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The part that was read, in the field's own words: `index symbols`, `chunk`, `meta.json`.
    pub part: &'static str,
    /// Offset in bytes from the start of the object, or of the part where it stands alone.
    pub at: u64,
    /// What was expected and what was found.
    pub why: Cow<'static, str>,
}

impl Malformed {
    /// Names damage in `part` at byte `at`.
    pub fn new(part: &'static str, at: u64, why: impl Into<Cow<'static, str>>) -> Self {
        Malformed { part, at, why: why.into() }
    }

    /// The same damage seen from an enclosing object that begins `base` bytes earlier.
    #[must_use]
    pub fn shifted(mut self, base: u64) -> Self {
        self.at = self.at.saturating_add(base);
        self
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}", self.part, self.at, self.why)
    }
}

impl std::error::Error for Malformed {}
