//! Regular expressions as Prometheus has them: Go's syntax, whole value or nothing, `.` is any character.
//!
//! What most selectors say needs no engine: a literal, a few literals, a prefix, a part, anything.
//! The rest is translated into the syntax of the `regex` crate, which like Go's engine is linear in the text.
//!
//! *Source*: Prometheus `model/labels/regexp.go`, Go `regexp/syntax`.

mod translate;

use std::borrow::Cow;
use std::fmt;

use regex::Regex;

/// A pattern that is none: why, and at which byte of it where that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPattern {
    /// The pattern as it was written.
    pub pattern: String,
    /// What is wrong with it, with the position where it is known.
    pub why: String,
}

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "regular expression {:?}: {}", self.pattern, self.why)
    }
}

impl std::error::Error for BadPattern {}

/// A regular expression that matches whole values.
#[derive(Clone, Debug)]
pub struct Pattern {
    source: String,
    way: Way,
}

/// How a value is compared, cheapest first.
#[derive(Clone, Debug)]
enum Way {
    /// `.*`
    Anything,
    /// `.+`
    Something,
    /// `a` and `a|b|c`: sorted, at least one.
    OneOf(Vec<String>),
    /// `a.*` and `a.+`: the literal, and how many bytes must follow at least.
    Starts(String, usize),
    /// `.*a`, `.+a`
    Ends(String, usize),
    /// `.*a.*`
    Contains(String),
    Regex(Regex),
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What Go's parser refuses, and patterns beyond the engine's size limit.
    pub fn new(source: &str) -> Result<Self, BadPattern> {
        let way = match shortcut(source) {
            Some(way) => way,
            None => Way::Regex(anchored(source)?),
        };
        Ok(Pattern { source: source.to_owned(), way })
    }

    /// The pattern as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether all of `value` matches.
    pub fn matches(&self, value: &str) -> bool {
        match &self.way {
            Way::Anything => true,
            Way::Something => !value.is_empty(),
            Way::OneOf(values) => match &values[..] {
                [one] => one == value,
                many => many.binary_search_by(|v| v.as_str().cmp(value)).is_ok(),
            },
            Way::Starts(prefix, more) => value.len() >= prefix.len() + more && value.starts_with(prefix.as_str()),
            Way::Ends(suffix, more) => value.len() >= suffix.len() + more && value.ends_with(suffix.as_str()),
            Way::Contains(part) => value.contains(part.as_str()),
            Way::Regex(regex) => regex.is_match(value),
        }
    }

    /// The values that match, sorted, where the pattern only lists them.
    pub fn alternatives(&self) -> Option<&[String]> {
        match &self.way {
            Way::OneOf(values) => Some(values),
            _ => None,
        }
    }

    /// What every matching value begins with, where the pattern shows it at once.
    pub fn prefix(&self) -> Option<&str> {
        match &self.way {
            Way::Starts(prefix, _) => Some(prefix),
            _ => None,
        }
    }
}

/// The engine's form of a pattern, anchored at both ends; for who needs what groups captured.
///
/// # Errors
/// As [`Pattern::new`].
pub fn anchored(source: &str) -> Result<Regex, BadPattern> {
    let bad = |why: String| BadPattern { pattern: source.to_owned(), why };
    let translated = translate::translate(source).map_err(bad)?;
    Regex::new(&format!("^(?s:{translated})$")).map_err(|e| bad(engine_words(&e)))
}

/// The last line of the engine's message: the others draw the translated pattern, which nobody wrote.
fn engine_words(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// Whether no character of `text` means anything but itself.
fn is_literal(text: &str) -> bool {
    !text.contains(['\\', '.', '+', '*', '?', '(', ')', '|', '[', ']', '{', '}', '^', '$'])
}

/// The cheap way to match `source`, where there is one.
fn shortcut(source: &str) -> Option<Way> {
    if source.split('|').all(is_literal) {
        let mut values: Vec<String> = source.split('|').map(str::to_owned).collect();
        values.sort_unstable();
        values.dedup();
        return Some(Way::OneOf(values));
    }
    let (before, rest) = match source.strip_prefix(".*") {
        Some(rest) => (Some(0), rest),
        None => source.strip_prefix(".+").map_or((None, source), |rest| (Some(1), rest)),
    };
    let (after, literal) = match rest.strip_suffix(".*") {
        Some(literal) => (Some(0), literal),
        None => rest.strip_suffix(".+").map_or((None, rest), |literal| (Some(1), literal)),
    };
    match (before, after) {
        _ if !is_literal(literal) => None,
        (Some(0), None) if literal.is_empty() => Some(Way::Anything),
        (Some(_), None) if literal.is_empty() => Some(Way::Something),
        (None, Some(0)) if literal.is_empty() => Some(Way::Anything),
        (None, Some(_)) if literal.is_empty() => Some(Way::Something),
        (None, Some(more)) => Some(Way::Starts(literal.to_owned(), more)),
        (Some(more), None) => Some(Way::Ends(literal.to_owned(), more)),
        (Some(0), Some(0)) => Some(Way::Contains(literal.to_owned())),
        _ => None,
    }
}

/// Bytes as text, as Go's engine sees them: each byte that is not UTF-8 is one U+FFFD.
pub(super) fn as_go_reads(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            let mut text = String::with_capacity(bytes.len());
            for chunk in bytes.utf8_chunks() {
                text.push_str(chunk.valid());
                text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
            }
            Cow::Owned(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortcuts_say_what_the_engine_says() {
        let patterns = [
            "",
            "a",
            "a|b|",
            "foo|bar|foo",
            ".*",
            ".+",
            "foo.*",
            "foo.+",
            ".*foo",
            ".+foo",
            ".*foo.*",
            ".+foo.*",
            "foo.*bar",
            "é.*",
            "|",
            "a.+|b",
            "(a)",
            "a\\.b",
        ];
        let values = ["", "a", "b", "foo", "bar", "foofoo", "xfoo", "foox", "xfoox", "foo\nbar", "é", "éé", "\n", "a.b", "axb"];
        for source in patterns {
            let (pattern, engine) = (Pattern::new(source).unwrap(), anchored(source).unwrap());
            for value in values {
                assert_eq!(pattern.matches(value), engine.is_match(value), "{source:?} on {value:?}");
            }
        }
        assert_eq!(Pattern::new("b|a|b").unwrap().alternatives().unwrap(), ["a", "b"]);
        assert_eq!(Pattern::new("foo.*").unwrap().prefix(), Some("foo"));
        assert!(Pattern::new("fo+.*").unwrap().prefix().is_none());
    }

    #[test]
    fn bytes_that_are_no_text_are_one_character_each() {
        assert_eq!(as_go_reads(b"a\xff\xe2\x82b"), "a\u{fffd}\u{fffd}\u{fffd}b");
        assert_eq!(as_go_reads("é".as_bytes()), "é");
    }

    #[test]
    fn errors_name_the_pattern() {
        let error = Pattern::new("a(b").unwrap_err();
        assert!(error.to_string().starts_with("regular expression \"a(b\": "), "{error}");
        assert!(!error.why.contains('\n'));
    }
}
