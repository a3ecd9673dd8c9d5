//! One rule: read from YAML, checked as Prometheus checks it, written to `meta.json` as Go writes it.

use std::collections::BTreeMap;

use regex::Regex;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::model::anchored;

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sets the target label to the replacement where the joined source labels match.
    Replace,
    /// Drops what does not match.
    Keep,
    /// Drops what matches.
    Drop,
    /// Drops what differs from the target label.
    KeepEqual,
    /// Drops what equals the target label.
    DropEqual,
    /// Sets the target label to a hash of the source labels, modulo.
    HashMod,
    /// Copies labels whose names match to the names that the replacement makes.
    LabelMap,
    /// Drops labels whose names match.
    LabelDrop,
    /// Drops labels whose names do not match.
    LabelKeep,
    /// Sets the target label to the source labels in lower case.
    Lowercase,
    /// Sets the target label to the source labels in upper case.
    Uppercase,
}

const NAMES: [(Action, &str); 11] = [
    (Action::Replace, "replace"),
    (Action::Keep, "keep"),
    (Action::Drop, "drop"),
    (Action::KeepEqual, "keepequal"),
    (Action::DropEqual, "dropequal"),
    (Action::HashMod, "hashmod"),
    (Action::LabelMap, "labelmap"),
    (Action::LabelDrop, "labeldrop"),
    (Action::LabelKeep, "labelkeep"),
    (Action::Lowercase, "lowercase"),
    (Action::Uppercase, "uppercase"),
];

impl Action {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        NAMES.iter().find(|n| n.0 == self).map_or("", |n| n.1)
    }

    /// The action that a word names, in any case.
    pub(super) fn parse(word: &str) -> Option<Action> {
        NAMES.iter().find(|n| n.1.eq_ignore_ascii_case(word)).map(|n| n.0)
    }
}

/// One relabelling rule; its fields are those of the YAML.
#[derive(Clone, Debug)]
pub struct Relabeling {
    pub(super) source_labels: Vec<String>,
    pub(super) separator: String,
    /// As it was written.
    pub(super) pattern: String,
    pub(super) regex: Regex,
    pub(super) modulus: u64,
    pub(super) target_label: String,
    pub(super) replacement: String,
    pub(super) action: Action,
}

/// A rule as YAML has it.
#[derive(Deserialize)]
#[serde(default)]
pub(super) struct Written {
    source_labels: Option<Vec<String>>,
    separator: String,
    regex: Option<String>,
    modulus: u64,
    target_label: String,
    replacement: String,
    pub(super) action: String,
}

const SEPARATOR: &str = ";";
const REPLACEMENT: &str = "$1";

impl Default for Written {
    fn default() -> Self {
        Written {
            source_labels: None,
            separator: SEPARATOR.to_owned(),
            regex: None,
            modulus: 0,
            target_label: String::new(),
            replacement: REPLACEMENT.to_owned(),
            action: "replace".to_owned(),
        }
    }
}

const FIELDS: [&str; 7] = ["source_labels", "separator", "regex", "modulus", "target_label", "replacement", "action"];

/// Rules from a YAML list.
///
/// # Errors
/// `Invalid`: YAML that is no such list, fields that nobody knows, rules that Prometheus refuses, an empty list.
pub fn parse_relabelings(yaml: &str) -> Result<Vec<Relabeling>> {
    let invalid = |what: String| Error::new(Kind::Invalid, what).part("relabel configuration");
    let fields: Option<Vec<BTreeMap<String, IgnoredAny>>> = serde_saphyr::from_str(yaml).map_err(|e| invalid(e.to_string()))?;
    for (n, rule) in fields.unwrap_or_default().iter().enumerate() {
        if let Some(unknown) = rule.keys().find(|k| !FIELDS.contains(&k.as_str())) {
            return Err(invalid(format!("rule {}: unknown field {unknown:?}, expected one of {}", n + 1, FIELDS.join(", "))));
        }
    }
    let written: Option<Vec<Written>> = serde_saphyr::from_str(yaml).map_err(|e| invalid(e.to_string()))?;
    let rules = written.unwrap_or_default().into_iter().enumerate();
    let rules = rules.map(|(n, rule)| Relabeling::new(rule).map_err(|why| invalid(format!("rule {}: {why}", n + 1))));
    let rules = rules.collect::<Result<Vec<_>>>()?;
    if rules.is_empty() { Err(invalid("the list has no rule".to_owned())) } else { Ok(rules) }
}

impl Relabeling {
    pub(super) fn new(written: Written) -> Result<Self, String> {
        use Action::{DropEqual, HashMod, KeepEqual, LabelDrop, LabelKeep, LabelMap, Lowercase, Replace, Uppercase};
        let action = Action::parse(&written.action).ok_or_else(|| format!("unknown relabel action {:?}", written.action))?;
        let word = action.as_str();
        if let Some(labels) = &written.source_labels
            && labels.iter().any(String::is_empty)
        {
            return Err("\"\" is not a valid label name".to_owned());
        }
        if action == HashMod && written.modulus == 0 {
            return Err("relabel configuration for hashmod requires non-zero modulus".to_owned());
        }
        let sets = matches!(action, Replace | HashMod | Lowercase | Uppercase | KeepEqual | DropEqual);
        if sets && written.target_label.is_empty() {
            return Err(format!("relabel configuration for {word} action requires 'target_label' value"));
        }
        if matches!(action, Lowercase | Uppercase | KeepEqual | DropEqual) && written.replacement != REPLACEMENT {
            return Err(format!("'replacement' can not be set for {word} action"));
        }
        if action == LabelMap && written.replacement.is_empty() {
            return Err(format!("\"\" is invalid 'replacement' for {word} action"));
        }
        let plain = written.modulus == 0 && written.separator == SEPARATOR && written.replacement == REPLACEMENT;
        if matches!(action, DropEqual | KeepEqual) && !(plain && written.regex.is_none()) {
            return Err(format!("{word} action requires only 'source_labels' and `target_label`, and no other fields"));
        }
        let no_labels = written.source_labels.is_none() && written.target_label.is_empty();
        if matches!(action, LabelDrop | LabelKeep) && !(plain && no_labels) {
            return Err(format!("{word} action requires only 'regex', and no other fields"));
        }
        let pattern = written.regex.unwrap_or_else(|| "(.*)".to_owned());
        Ok(Relabeling {
            source_labels: written.source_labels.unwrap_or_default(),
            separator: written.separator,
            regex: anchored(&pattern).map_err(|e| e.to_string())?,
            pattern,
            modulus: written.modulus,
            target_label: written.target_label,
            replacement: written.replacement,
            action,
        })
    }
}

/// As Go writes it; what is empty is left out, but for the pattern.
impl Serialize for Relabeling {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(None)?;
        if !self.source_labels.is_empty() {
            map.serialize_entry("source_labels", &self.source_labels)?;
        }
        if !self.separator.is_empty() {
            map.serialize_entry("separator", &self.separator)?;
        }
        map.serialize_entry("regex", &self.pattern)?;
        if self.modulus != 0 {
            map.serialize_entry("modulus", &self.modulus)?;
        }
        if !self.target_label.is_empty() {
            map.serialize_entry("target_label", &self.target_label)?;
        }
        if !self.replacement.is_empty() {
            map.serialize_entry("replacement", &self.replacement)?;
        }
        map.serialize_entry("action", self.action.as_str())?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused() {
        for (yaml, why) in [
            ("", "has no rule"),
            ("- action: shuffle", "rule 1: unknown relabel action \"shuffle\""),
            ("- action: drop\n- target_label: x\n  sources: [a]", "rule 2: unknown field \"sources\""),
            ("- regex: a", "for replace action requires 'target_label' value"),
            ("- action: hashmod\n  target_label: x", "requires non-zero modulus"),
            ("- action: lowercase\n  target_label: x\n  replacement: y", "'replacement' can not be set for lowercase action"),
            ("- action: labelmap\n  replacement: ''", "is invalid 'replacement' for labelmap action"),
            ("- action: dropequal\n  target_label: x\n  regex: y", "dropequal action requires only 'source_labels'"),
            ("- action: labeldrop\n  regex: y\n  source_labels: [a]", "labeldrop action requires only 'regex'"),
            ("- action: labelkeep\n  regex: y\n  target_label: a", "labelkeep action requires only 'regex'"),
            ("- action: keep\n  regex: '('", "regular expression \"(\""),
            ("- action: keep\n  source_labels: ['']", "not a valid label name"),
            ("action: keep", "relabel configuration"),
        ] {
            let error = parse_relabelings(yaml).expect_err(yaml);
            assert_eq!(error.kind(), Kind::Invalid);
            assert!(error.to_string().contains(why), "{yaml:?}: {error}");
        }
    }

    #[test]
    fn what_meta_json_says_of_it() {
        let yaml = "- action: LabelDrop\n  regex: uid\n- source_labels: [a, b]\n  separator: ''\n  target_label: c\n  replacement: t$1\n\
                    - {action: hashmod, modulus: 3, target_label: x, source_labels: [a], replacement: ''}";
        let rules = parse_relabelings(yaml).unwrap();
        assert_eq!(
            serde_json::to_string(&rules).unwrap(),
            "[{\"separator\":\";\",\"regex\":\"uid\",\"replacement\":\"$1\",\"action\":\"labeldrop\"},\
             {\"source_labels\":[\"a\",\"b\"],\"regex\":\"(.*)\",\"target_label\":\"c\",\"replacement\":\"t$1\",\"action\":\"replace\"},\
             {\"source_labels\":[\"a\"],\"separator\":\";\",\"regex\":\"(.*)\",\"modulus\":3,\"target_label\":\"x\",\"action\":\"hashmod\"}]"
        );
    }
}
