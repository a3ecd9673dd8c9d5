//! Which label values are meant: `=`, `!=`, `=~`, `!~`, with Prometheus' semantics.
//!
//! A label that is absent has the empty value. Patterns match whole values.

use std::fmt;

use super::pattern::{BadPattern, Pattern, as_go_reads};
use super::{LabelSet, quote};

/// The name of the label that holds a metric's name.
pub const METRIC_NAME: &str = "__name__";

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl MatchOp {
    /// The operator as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        }
    }

    /// The operator that says the opposite.
    #[must_use]
    pub fn inverse(self) -> Self {
        match self {
            MatchOp::Equal => MatchOp::NotEqual,
            MatchOp::NotEqual => MatchOp::Equal,
            MatchOp::Regex => MatchOp::NotRegex,
            MatchOp::NotRegex => MatchOp::Regex,
        }
    }
}

/// One condition on the value of one label.
#[derive(Clone, Debug)]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: String,
    pattern: Option<Pattern>,
}

impl Matcher {
    /// A condition; `value` is a pattern for the operators of patterns.
    ///
    /// # Errors
    /// A pattern that is none.
    pub fn new(name: impl Into<String>, op: MatchOp, value: impl Into<String>) -> Result<Self, BadPattern> {
        let (name, value) = (name.into(), value.into());
        let pattern = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(Pattern::new(&value)?),
        };
        Ok(Matcher { name, op, value, pattern })
    }

    /// `name="value"`.
    pub fn equal(name: impl Into<String>, value: impl Into<String>) -> Self {
        Matcher { name: name.into(), op: MatchOp::Equal, value: value.into(), pattern: None }
    }

    /// The label's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it compares.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// The value or pattern as it was written.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether `value` is meant; empty where the label is absent.
    pub fn matches(&self, value: &str) -> bool {
        let same = match &self.pattern {
            Some(pattern) => pattern.matches(value),
            None => value == self.value,
        };
        same == matches!(self.op, MatchOp::Equal | MatchOp::Regex)
    }

    /// As [`Matcher::matches`], for values from a block, which need not be UTF-8.
    pub fn matches_bytes(&self, value: &[u8]) -> bool {
        match &self.pattern {
            None => (value == self.value.as_bytes()) == (self.op == MatchOp::Equal),
            Some(_) => self.matches(&as_go_reads(value)),
        }
    }

    /// Whether a label set is meant.
    pub fn matches_set(&self, labels: &LabelSet) -> bool {
        self.matches(labels.get(&self.name).unwrap_or_default())
    }

    /// The values that are meant, sorted, where the matcher only lists them: `="a"`, `=~"a|b"`.
    pub fn values(&self) -> Option<Vec<&str>> {
        match (self.op, &self.pattern) {
            (MatchOp::Equal, _) => Some(vec![&self.value]),
            (MatchOp::Regex, Some(pattern)) => Some(pattern.alternatives()?.iter().map(String::as_str).collect()),
            _ => None,
        }
    }

    /// What every value that is meant begins with, where the matcher shows it at once: `=~"a.*"`.
    pub fn prefix(&self) -> Option<&str> {
        if self.op == MatchOp::Regex { self.pattern.as_ref()?.prefix() } else { None }
    }
}

/// Two matchers are equal when they are written equally.
impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Eq for Matcher {}

/// `name="value"`, the name quoted where it is no plain word.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if quote::is_plain_name(&self.name) {
            f.write_str(&self.name)?
        } else {
            quote::quote(f, self.name.as_bytes())?
        }
        f.write_str(self.op.as_str())?;
        quote::quote(f, self.value.as_bytes())
    }
}

/// A list of matchers as it is shown: `{a="b", c=~"d.*"}`.
pub fn show_matchers(matchers: &[Matcher]) -> String {
    let each: Vec<String> = matchers.iter().map(Matcher::to_string).collect();
    format!("{{{}}}", each.join(", "))
}

/// Whether all of `matchers` mean these labels.
pub fn all_match(matchers: &[Matcher], labels: &LabelSet) -> bool {
    matchers.iter().all(|m| m.matches_set(labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of Prometheus' own table: operator, value, what it is asked, what it answers.
    #[test]
    fn operators() {
        use MatchOp::{Equal, NotEqual, NotRegex, Regex};
        for (op, value, asked, answer) in [
            (Equal, "bar", "bar", true),
            (Equal, "bar", "foo-bar", false),
            (NotEqual, "bar", "bar", false),
            (NotEqual, "bar", "foo-bar", true),
            (Regex, "bar", "bar", true),
            (Regex, "bar", "foo-bar", false),
            (Regex, ".*bar", "foo-bar", true),
            (NotRegex, "bar", "bar", false),
            (NotRegex, "bar", "foo-bar", true),
            (NotRegex, ".*bar", "foo-bar", false),
            (Regex, "$*bar", "foo-bar", false),
            (Regex, "bar^+", "foo-bar", false),
            (Regex, "$+bar", "foo-bar", false),
            (Equal, "", "", true),
            (NotEqual, "", "", false),
            (Regex, ".+", "", false),
            (Regex, "a|", "", true),
        ] {
            let matcher = Matcher::new("l", op, value).unwrap();
            assert_eq!(matcher.matches(asked), answer, "{matcher} on {asked:?}");
            assert_eq!(matcher.matches_bytes(asked.as_bytes()), answer, "{matcher} on {asked:?}");
            let opposite = Matcher::new("l", op.inverse(), value).unwrap();
            assert_eq!(opposite.matches(asked), !answer, "{opposite} on {asked:?}");
        }
    }

    #[test]
    fn absent_labels_are_empty() {
        let labels = LabelSet::from_iter([("a", "1")]);
        let all = |text: &str| all_match(&crate::model::parse_selector(text).unwrap(), &labels);
        assert!(all(r#"{a="1", b=""}"#) && all(r#"{b!="x"}"#) && all(r#"{b=~".*"}"#));
        assert!(!all(r#"{a="1", b!=""}"#) && !all(r#"{b=~".+"}"#));
    }

    #[test]
    fn values_that_are_no_text() {
        let any = Matcher::new("l", MatchOp::Regex, "a.b").unwrap();
        assert!(any.matches_bytes(b"a\xffb") && !any.matches_bytes(b"a\xff\xfeb"));
        assert!(!Matcher::equal("l", "a\u{fffd}b").matches_bytes(b"a\xffb"));
    }

    #[test]
    fn what_is_meant_is_listed_where_it_can_be() {
        let new = |op, value| Matcher::new("l", op, value).unwrap();
        assert_eq!(new(MatchOp::Regex, "b|a").values().unwrap(), ["a", "b"]);
        assert_eq!(new(MatchOp::Equal, "b|a").values().unwrap(), ["b|a"]);
        assert!(new(MatchOp::NotRegex, "b|a").values().is_none());
        assert_eq!(new(MatchOp::Regex, "ab.*").prefix(), Some("ab"));
        assert!(new(MatchOp::NotRegex, "ab.*").prefix().is_none());
    }

    #[test]
    fn shown_as_written() {
        assert_eq!(Matcher::new("a.b", MatchOp::NotRegex, "x\"\n").unwrap().to_string(), r#""a.b"!~"x\"\n""#);
        assert_eq!(show_matchers(&[Matcher::equal("a", "b"), Matcher::equal("c", "é")]), r#"{a="b", c="é"}"#);
    }
}
