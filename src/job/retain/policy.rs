//! How long which blocks are kept: three flags, and policies for blocks with certain labels.

use serde::Deserialize;

use crate::error::{Error, Kind, Result};
use crate::model::{LabelSet, Matcher, Millis, all_match, parse_duration, parse_selector, show_matchers};
use crate::series::aggregate::{FIVE_MINUTES, ONE_HOUR};

/// How long blocks of each resolution are kept, in milliseconds; 0 is for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Samples as they were scraped.
    pub raw: Millis,
    /// Samples of five minutes.
    pub five_minutes: Millis,
    /// Samples of one hour.
    pub one_hour: Millis,
}

impl Keep {
    /// How long blocks of `resolution` are kept; one that nobody names is kept for ever.
    pub fn of(self, resolution: Millis) -> Millis {
        match resolution {
            0 => self.raw,
            FIVE_MINUTES => self.five_minutes,
            ONE_HOUR => self.one_hour,
            _ => 0,
        }
    }
}

/// How long blocks are kept whose external labels match.
#[derive(Clone, Debug)]
pub struct Policy {
    matchers: Vec<Matcher>,
    raw: Option<Millis>,
    five_minutes: Option<Millis>,
    one_hour: Option<Millis>,
}

impl Policy {
    /// Whether it is about blocks with these labels, replica labels left out.
    pub fn matches(&self, labels: &LabelSet) -> bool {
        all_match(&self.matchers, labels)
    }

    /// How long these blocks are kept; what the policy leaves out is as `flags` say.
    pub fn keep(&self, flags: Keep) -> Keep {
        Keep {
            raw: self.raw.unwrap_or(flags.raw),
            five_minutes: self.five_minutes.unwrap_or(flags.five_minutes),
            one_hour: self.one_hour.unwrap_or(flags.one_hour),
        }
    }

    /// Its matchers, for people.
    pub fn describe(&self) -> String {
        show_matchers(&self.matchers)
    }
}

/// A policy as YAML has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    matchers: Option<String>,
    #[serde(default)]
    raw: Option<String>,
    #[serde(default, rename = "5m")]
    five_minutes: Option<String>,
    #[serde(default, rename = "1h")]
    one_hour: Option<String>,
}

/// Policies from a YAML list of `matchers`, `raw`, `5m` and `1h`; nothing but space is no policies.
///
/// # Errors
/// `Invalid`: YAML that is no such list, unknown keys, matchers and durations that are none, a policy without
/// matchers or without a duration.
pub fn parse_policies(yaml: &str) -> Result<Vec<Policy>> {
    let invalid = |what: String| Error::new(Kind::Invalid, what).part("retention policy");
    if yaml.trim().is_empty() {
        return Ok(Vec::new());
    }
    let written: Option<Vec<Written>> = serde_saphyr::from_str(yaml).map_err(|e| invalid(e.to_string()))?;
    let each = written.unwrap_or_default().into_iter().enumerate();
    each.map(|(n, written)| Policy::new(written).map_err(|why| invalid(format!("entry {}: {why}", n + 1)))).collect()
}

impl Policy {
    fn new(written: Written) -> Result<Self, String> {
        let text = written.matchers.ok_or("it has no matchers, such as '{tenant=\"a\"}'")?;
        let matchers = parse_selector(&text).map_err(|e| format!("matchers {text:?}: {e}"))?;
        let length = |name: &str, given: Option<String>| {
            given.map(|text| parse_duration(&text).map_err(|e| format!("{name}: {e}"))).transpose()
        };
        let (raw, five_minutes, one_hour) =
            (length("raw", written.raw)?, length("5m", written.five_minutes)?, length("1h", written.one_hour)?);
        if raw.is_none() && five_minutes.is_none() && one_hour.is_none() {
            return Err("it has none of raw, 5m and 1h".to_owned());
        }
        Ok(Policy { matchers, raw, five_minutes, one_hour })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Millis = 86_400_000;

    #[test]
    fn policies_are_read() {
        let yaml = r#"
- matchers: '{tenant="a", env=~"dev|test"}'
  raw: 2d
  5m: 2w
- matchers: '{tenant!=""}'
  1h: 0d
"#;
        let policies = parse_policies(yaml).unwrap();
        let flags = Keep { raw: 30 * DAY, five_minutes: 60 * DAY, one_hour: 90 * DAY };
        assert_eq!(policies[0].keep(flags), Keep { raw: 2 * DAY, five_minutes: 14 * DAY, one_hour: 90 * DAY });
        assert_eq!(policies[1].keep(flags), Keep { one_hour: 0, ..flags });
        let first = |pairs: &[(&str, &str)]| {
            let labels = LabelSet::from_iter(pairs.iter().copied());
            policies.iter().position(|policy| policy.matches(&labels))
        };
        assert_eq!(first(&[("tenant", "a"), ("env", "dev")]), Some(0));
        assert_eq!(first(&[("tenant", "a"), ("env", "prod")]), Some(1));
        assert_eq!(first(&[("env", "dev")]), None);
        assert!(policies[0].describe().contains("tenant"), "{}", policies[0].describe());
        assert!(parse_policies(" \n").unwrap().is_empty());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (yaml, why) in [
            ("- {matchers: '{a=\"b\"}', raw: 2d, 10m: 3d}", "10m"),
            ("- {raw: 2d}", "entry 1: it has no matchers"),
            ("- {matchers: '{a=\"b\"}'}", "entry 1: it has none of raw, 5m and 1h"),
            ("- {matchers: '{a=\"b\"}', raw: 1.5d}", "entry 1: raw: \"1.5d\" has the unit"),
            ("- {matchers: '{a=\"b\"}', raw: 30}", "entry 1: raw: not a duration"),
            ("- {matchers: '{a=b}', raw: 30d}", "entry 1: matchers"),
            ("- {matchers: '{a=~\"(\"}', raw: 30d}", "entry 1: matchers"),
            ("matchers: '{a=\"b\"}'", ""),
            ("- {matchers: '{a=\"b\"}', raw: 2d, raw: 3d}", ""),
        ] {
            let error = parse_policies(yaml).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid);
            assert!(error.to_string().contains(why), "{yaml}: {error}");
        }
    }
}
