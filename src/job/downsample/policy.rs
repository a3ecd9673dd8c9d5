//! Which series are downsampled, where not all are (`--downsample.filter`).

use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::job::pipeline::{SeriesChoice, SeriesView};
use crate::model::{Matcher, parse_selector, show_matchers};

/// Rules of which the first that matches a series decides. A series that none matches is downsampled unless
/// one of the rules says which are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesPolicy(Arc<[Rule]>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    takes: bool,
    matchers: Vec<Matcher>,
}

impl SeriesPolicy {
    /// Reads selectors, each for series that are downsampled, or, behind `!`, for series that are not; `None`
    /// where there are no rules.
    ///
    /// # Errors
    /// `Invalid` for a text that is no selector.
    pub fn parse(filters: &[impl AsRef<str>]) -> Result<Option<SeriesPolicy>> {
        let rule = |text: &str| {
            let (takes, selector) = match text.trim_start().strip_prefix('!') {
                Some(rest) => (false, rest),
                None => (true, text),
            };
            match parse_selector(selector) {
                Ok(matchers) => Ok(Rule { takes, matchers }),
                Err(why) => Err(Error::new(Kind::Invalid, format!("--downsample.filter {text:?}: {why}"))
                    .next("write a selector such as '{__name__=~\"job:.*\"}', or one behind ! for series to leave out")),
            }
        };
        let rules = filters.iter().map(|f| rule(f.as_ref())).collect::<Result<Vec<Rule>>>()?;
        Ok((!rules.is_empty()).then(|| SeriesPolicy(rules.into())))
    }

    /// Its rules for people, the first first.
    pub fn describe(&self) -> String {
        let rule = |rule: &Rule| format!("{}{}", if rule.takes { "" } else { "!" }, show_matchers(&rule.matchers));
        self.0.iter().map(rule).collect::<Vec<String>>().join(" ")
    }

    /// As a pass asks it.
    pub fn choice(&self) -> SeriesChoice {
        let policy = self.clone();
        SeriesChoice::new(move |series: SeriesView<'_>| policy.takes(|name| series.label(name.as_bytes())))
    }

    /// Whether the series with these labels is downsampled.
    fn takes<'a>(&self, label: impl Fn(&str) -> Option<&'a [u8]>) -> bool {
        // a label that is absent has the empty value
        let matches = |rule: &&Rule| rule.matchers.iter().all(|m| m.matches_bytes(label(m.name()).unwrap_or_default()));
        match self.0.iter().find(matches) {
            Some(rule) => rule.takes,
            None => !self.0.iter().any(|rule| rule.takes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(filters: &[&str], labels: &[(&str, &'static str)]) -> bool {
        let policy = SeriesPolicy::parse(filters).unwrap().unwrap();
        policy.takes(|name| labels.iter().find(|l| l.0 == name).map(|l| l.1.as_bytes()))
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let (up, debug) = ([("__name__", "up"), ("job", "a")], [("__name__", "debug_x"), ("job", "a")]);
        assert!(takes(&["!{__name__=~\"debug_.*\"}"], &up));
        assert!(!takes(&["!{__name__=~\"debug_.*\"}"], &debug));
        assert!(takes(&["up"], &up) && !takes(&["up"], &debug));
        assert!(takes(&["up", "{job=\"a\"}", "!{job!=\"b\"}"], &debug));
        assert!(!takes(&["!debug_x", "{job=\"a\"}"], &debug));
        assert!(takes(&["{zone=\"\"}"], &up), "an absent label is an empty one");
        assert_eq!(SeriesPolicy::parse(&[""; 0]).unwrap(), None);
    }

    #[test]
    fn a_bad_selector_is_named() {
        let refused = SeriesPolicy::parse(&["!{a=~\"(\"}"]).unwrap_err();
        assert_eq!(refused.kind(), Kind::Invalid);
        assert!(refused.to_string().contains("--downsample.filter"), "{refused}");
    }
}
