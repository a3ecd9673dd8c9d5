//! How upstream reads YAML: strictly, with `null` for what is left out, variables put in before.

use std::time::Duration;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

use crate::error::{Error, Kind, Result};
use crate::model::parse_duration;

/// One document; fields that nobody knows and keys given twice are errors with line and column.
pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_saphyr::from_str(text).map_err(|e| {
        // without the lines around it: they may hold secrets
        let e = e.without_snippet();
        let place = e.location().map(|l| format!(" at line {} column {}", l.line(), l.column())).unwrap_or_default();
        let what = e.to_string();
        let what = what.lines().next().unwrap_or_default();
        Error::new(Kind::Invalid, format!("the bucket's configuration is wrong{place}: {what}"))
    })
}

/// `key:` with nothing behind it is like no key at all.
pub(super) fn null_is_default<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// A length of time such as `1m30s`: whole numbers with units from `y` to `ms` in that order, or `0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let length = parse_duration(&String::deserialize(from)?).map_err(D::Error::custom)?;
        Ok(Span(Duration::from_millis(length.unsigned_abs())))
    }
}

/// Puts environment variables in for `$(NAME)`, as upstream does for the content of
/// `--objstore.config(-file)`, `--selector.relabel-config(-file)` and its other YAML flags.
///
/// # Errors
/// `Invalid` for a variable that `lookup` does not know.
pub fn expand_env(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("$(") {
        let (before, behind) = rest.split_at(at);
        out.push_str(before);
        let len = behind[2..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(behind.len() - 2);
        let name = &behind[2..2 + len];
        if name.is_empty() || !behind[2 + len..].starts_with(')') {
            // not a reference: one sign on, as the next may begin one
            out.push('$');
            rest = &behind[1..];
            continue;
        }
        let value = lookup(name).ok_or_else(|| {
            Error::new(Kind::Invalid, format!("the environment has no variable `{name}`"))
                .next(format!("set {name}, or write the value in place of $({name})"))
        })?;
        out.push_str(&value);
        rest = &behind[2 + len + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_put_in() {
        let lookup = |name: &str| match name {
            "A" => Some("1".to_owned()),
            "B_2" => Some("$(A)".to_owned()),
            _ => None,
        };
        for (text, expanded) in [
            ("", ""),
            ("x$(A)y$(B_2)", "x1y$(A)"),
            ("$$(A)", "$1"),
            ("$($(A))", "$(1)"),
            ("$A ${A} $() $(A $(-A) $", "$A ${A} $() $(A $(-A) $"),
            ("é$(A)é", "é1é"),
        ] {
            assert_eq!(expand_env(text, lookup).unwrap(), expanded, "{text}");
        }
        let e = expand_env("a: $(NOT_SET)", lookup).unwrap_err();
        assert_eq!(e.kind(), Kind::Invalid);
        assert!(e.to_string().contains("NOT_SET"));
    }

    #[test]
    fn yaml_is_read_as_go_programs_do() {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            #[serde(default, deserialize_with = "null_is_default")]
            text: String,
            #[serde(default, deserialize_with = "null_is_default")]
            flag: bool,
        }
        for (given, text, flag) in [
            ("{}", "", false),
            ("text:\nflag:\n", "", false),
            ("text: 123\nflag: yes", "123", true),
            ("text: 'x'\nflag: on", "x", true),
            ("text: true", "true", false),
        ] {
            let read: Fields = parse(given).unwrap();
            assert_eq!((read.text.as_str(), read.flag), (text, flag), "{given}");
        }
    }
}
