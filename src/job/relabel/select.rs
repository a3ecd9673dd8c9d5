//! Which blocks are ours: relabelling rules over external labels, as `--selector.relabel-config` has them.
//!
//! Only `keep`, `drop` and `hashmod` select; the labels themselves stay as they are.
//!
//! *Source*: Prometheus `model/relabel/relabel.go`, Thanos `pkg/block/fetcher.go` (`LabelShardedMetaFilter`).

use std::borrow::Cow;

use super::apply::Builder;
use super::rule::{Action, Relabeling, Written};
use crate::error::{Error, Kind, Result};
use crate::model::{BlockId, LabelSet};

/// The label that holds the id of the block while rules are applied.
pub const BLOCK_ID_LABEL: &str = "__block_id";

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule(Relabeling);

/// Rules from a YAML list; nothing but space is no rules.
///
/// # Errors
/// `Invalid`: YAML that is no such list, an action that does not select, a pattern that is none.
pub fn parse_rules(yaml: &str) -> Result<Vec<Rule>> {
    if yaml.trim().is_empty() {
        return Ok(Vec::new());
    }
    let invalid = |e: String| Error::new(Kind::Invalid, e).part("relabel configuration");
    // fields that nobody knows are allowed and not looked at, as upstream
    let written: Option<Vec<Written>> = serde_saphyr::from_str(yaml).map_err(|e| invalid(e.to_string()))?;
    written.unwrap_or_default().into_iter().map(|rule| Rule::new(rule).map_err(invalid)).collect()
}

/// Whether a block with these external labels is kept by all rules.
pub fn keeps(rules: &[Rule], block: BlockId, labels: &LabelSet, without: &[String]) -> bool {
    if rules.is_empty() {
        return true;
    }
    let seen = labels.iter().filter(|(name, _)| !without.iter().any(|w| w == name));
    let mut labels = Builder::new(seen.map(|(n, v)| (Cow::from(n), Cow::from(v))));
    labels.set(BLOCK_ID_LABEL, block.to_string());
    rules.iter().all(|rule| labels.apply(&rule.0))
}

impl Rule {
    fn new(written: Written) -> Result<Self, String> {
        match Action::parse(&written.action) {
            None | Some(Action::Keep | Action::Drop | Action::HashMod) => Relabeling::new(written).map(Rule),
            Some(other) => Err(format!("unsupported relabel action: {}", other.as_str())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(yaml: &str, without: &[String], blocks: &[&[(&str, &str)]]) -> Vec<u64> {
        let rules = parse_rules(yaml).unwrap();
        let numbered = (1..).zip(blocks);
        let keeps = |&(n, labels): &(u64, &&[(&str, &str)])| {
            keeps(&rules, BlockId::from_parts(n as i64, 0), &LabelSet::from_iter(labels.iter().copied()), without)
        };
        numbered.filter(keeps).map(|(n, _)| n).collect()
    }

    #[test]
    fn keep_and_drop() {
        let yaml = "- action: drop\n  regex: \"A\"\n  source_labels:\n  - cluster\n\
                    - action: keep\n  regex: \"keepme\"\n  source_labels:\n  - message\n";
        let blocks: [&[(&str, &str)]; 6] = [
            &[("cluster", "B"), ("message", "keepme")],
            &[("something", "A"), ("message", "keepme")],
            &[("cluster", "A"), ("message", "keepme")],
            &[("cluster", "A"), ("something", "B"), ("message", "keepme")],
            &[("cluster", "B")],
            &[("cluster", "B"), ("message", "keepme")],
        ];
        assert_eq!(kept(yaml, &[], &blocks), [1, 2, 6]);
    }

    #[test]
    fn shards_of_block_ids() {
        let shard = |n: u64| {
            let yaml = format!(
                "- action: hashmod\n  source_labels: [\"__block_id\"]\n  target_label: shard\n  modulus: 3\n\
                 - action: keep\n  source_labels: [shard]\n  regex: {n}\n"
            );
            let rules = parse_rules(&yaml).unwrap();
            let id = |n: u64| BlockId::from_parts(n as i64, 0);
            (1..=15).filter(|&n| keeps(&rules, id(n), &LabelSet::new(), &[])).collect::<Vec<_>>()
        };
        assert_eq!(shard(0), [2, 6, 11, 13]);
        assert_eq!(shard(1), [5, 7, 10, 12, 14, 15]);
        assert_eq!(shard(2), [1, 3, 4, 8, 9]);
    }

    #[test]
    fn replica_labels_are_not_seen() {
        let yaml = "- action: keep\n  regex: r1\n  source_labels: [replica]\n";
        let blocks: [&[(&str, &str)]; 2] = [&[("replica", "r1")], &[("replica", "r2")]];
        assert_eq!(kept(yaml, &[], &blocks), [1]);
        assert!(kept(yaml, &["replica".to_owned()], &blocks).is_empty());
    }

    #[test]
    fn several_labels_are_joined_and_patterns_anchored() {
        let yaml = "- action: KEEP\n  regex: a;b.*\n  source_labels: [x, y]\n";
        let blocks: [&[(&str, &str)]; 3] = [&[("x", "a"), ("y", "b\nc")], &[("x", "a"), ("y", "cb")], &[("x", "aa"), ("y", "b")]];
        assert_eq!(kept(yaml, &[], &blocks), [1]);
    }

    #[test]
    fn what_is_refused() {
        for (yaml, why) in [
            ("- action: labelmap\n  regex: a", "unsupported relabel action: labelmap"),
            ("- regex: a", "unsupported relabel action: replace"),
            ("- action: shuffle", "unknown relabel action \"shuffle\""),
            ("- action: hashmod\n  target_label: x", "requires non-zero modulus"),
            ("- action: hashmod\n  modulus: 2", "requires 'target_label' value"),
            ("- action: keep\n  regex: \"(\"", "regular expression \"(\""),
            ("action: keep", "relabel configuration"),
        ] {
            let error = parse_rules(yaml).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid);
            assert!(error.to_string().contains(why), "{yaml}: {error}");
        }
        assert!(parse_rules(" \n").unwrap().is_empty());
        assert!(parse_rules("[]").unwrap().is_empty());
    }
}
