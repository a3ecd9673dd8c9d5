//! A bucket in equal shares without writing rules: `--shard=i/n`.
//!
//! The share of a block is the MD5 of the values of its external labels, in order of their names and joined by `;`, its
//! last eight bytes modulo n: what `hashmod` makes of them. Only replica labels are left out, so that what is merged lies
//! in one share. A share is a number of whole groups, and depends on nothing but the labels: whatever else comes into the
//! bucket, no group changes its share.

use std::collections::BTreeSet;
use std::fmt::{self, Write};
use std::str::FromStr;

use super::apply::hash_mod;
use crate::model::LabelSet;

/// Joins values, as in rules that name no separator.
const SEPARATOR: &str = ";";

/// Joins values where they are told apart again: no value holds it.
const APART: &str = "\\u0001";
/// The same as a pattern has it.
const APART_PATTERN: &str = "\\\\x01";

/// One of so many equal shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u64,
    of: u64,
}

/// Names of the labels of blocks, without those of replicas: each way in which blocks are labelled, once.
pub type Namings = BTreeSet<Vec<String>>;

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(index, of)| Some((number(index)?, number(of)?)));
        match parsed {
            None => Err(format!("{text:?} is no share such as 0/3: which, counted from 0, and of how many")),
            Some((_, 0)) => Err(format!("{text:?}: a bucket has at least one share, 0/1")),
            Some((index, of)) if index >= of => Err(format!("{text:?}: the shares of {of} are 0/{of} to {}/{of}", of - 1)),
            Some((index, of)) => Ok(Shard { index, of }),
        }
    }
}

/// Digits alone.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl Shard {
    /// Which, counted from 0.
    pub fn index(self) -> u64 {
        self.index
    }

    /// Of how many.
    pub fn of(self) -> u64 {
        self.of
    }

    /// Whether a block with these external labels is in it; labels `without` are not looked at.
    pub fn has(self, labels: &LabelSet, without: &[String]) -> bool {
        let values: Vec<&str> = deciding(labels, without).map(|(_, value)| value).collect();
        hash_mod(&values.join(SEPARATOR), self.of) == self.index
    }

    /// The names of the labels that decide about a block.
    pub fn naming(labels: &LabelSet, without: &[String]) -> Vec<String> {
        deciding(labels, without).map(|(name, _)| name.to_owned()).collect()
    }

    /// The `--selector.relabel-config` that chooses the same blocks, of those that are labelled in these ways; with the
    /// same replica labels given.
    pub fn relabel_config(self, namings: &Namings) -> String {
        let mut yaml = String::new();
        let hash = |yaml: &mut String, names: &[String], target: &str| {
            // writing to a string does not fail
            let _ = write!(
                yaml,
                "- action: hashmod\n  source_labels: {}\n  modulus: {}\n  target_label: {target}\n",
                quoted(names),
                self.of
            );
        };
        if namings.len() <= 1 {
            hash(&mut yaml, namings.first().map_or(&[][..], Vec::as_slice), "__shard");
            let _ = write!(yaml, "- action: keep\n  source_labels: [__shard]\n  regex: \"{}\"\n", self.index);
            return yaml;
        }
        // each way has a hash of its own, and which labels are there tells which of them counts
        let targets: Vec<String> = (0..namings.len()).map(|n| format!("__shard_{n}")).collect();
        namings.iter().zip(&targets).for_each(|(names, target)| hash(&mut yaml, names, target));
        let all: BTreeSet<&String> = namings.iter().flatten().collect();
        let ways = namings.iter().enumerate().map(|(way, names)| {
            let labels = all.iter().map(|name| if names.contains(name) { "[^\\\\x01]+" } else { "" }.to_owned());
            let hashes = (0..targets.len()).map(|n| if n == way { self.index.to_string() } else { "[0-9]+".to_owned() });
            labels.chain(hashes).collect::<Vec<String>>().join(APART_PATTERN)
        });
        let ways = ways.collect::<Vec<String>>().join("|");
        let sources: Vec<String> = all.into_iter().cloned().chain(targets).collect();
        let sources = quoted(&sources);
        let _ = write!(yaml, "- action: keep\n  source_labels: {sources}\n  separator: \"{APART}\"\n  regex: \"{ways}\"\n");
        yaml
    }
}

/// Labels that decide about a block: those without a value count as absent, as in rules.
fn deciding<'a>(labels: &'a LabelSet, without: &'a [String]) -> impl Iterator<Item = (&'a str, &'a str)> {
    labels.iter().filter(|(name, value)| !value.is_empty() && !without.iter().any(|w| w == name))
}

/// A YAML list of texts.
fn quoted(names: &[String]) -> String {
    // texts always have a form in JSON, which is YAML
    serde_json::to_string(names).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::{keeps, parse_rules};
    use super::*;
    use crate::model::BlockId;

    #[test]
    fn shares_are_written_as_which_of_how_many() {
        let shard: Shard = "2/3".parse().unwrap();
        assert_eq!((shard.index(), shard.of(), shard.to_string()), (2, 3, "2/3".to_owned()));
        assert!("0/1".parse::<Shard>().is_ok());
        for (text, why) in [
            ("", "is no share such as 0/3"),
            ("1", "is no share such as 0/3"),
            ("1/", "is no share such as 0/3"),
            ("-1/3", "is no share such as 0/3"),
            ("+1/3", "is no share such as 0/3"),
            ("1/3/5", "is no share such as 0/3"),
            ("0/99999999999999999999", "is no share such as 0/3"),
            ("0/0", "at least one share"),
            ("3/3", "the shares of 3 are 0/3 to 2/3"),
        ] {
            assert!(text.parse::<Shard>().unwrap_err().contains(why), "{text:?}: {:?}", text.parse::<Shard>());
        }
    }

    fn labels(n: usize) -> LabelSet {
        let (cluster, replica) = (format!("c{}", n / 2), format!("r{}", n % 2));
        let mut labels = LabelSet::from_iter([("cluster", cluster), ("replica", replica)]);
        match n % 6 {
            0 | 1 => {}
            2 | 3 => _ = labels.0.insert("region".to_owned(), format!("eu{}", n % 4 / 2)),
            _ => {
                labels.0.remove("cluster");
                labels.0.insert("a label; with \"signs\"".to_owned(), format!("x;y{}", n / 2));
            }
        }
        labels
    }

    #[test]
    fn each_group_is_in_one_share_and_rules_choose_the_same() {
        let replicas = ["replica".to_owned()];
        for namings in [2usize, 6] {
            let all: Vec<LabelSet> = (0..600).filter(|n| n % 6 < namings).map(labels).collect();
            let known: Namings = all.iter().map(|l| Shard::naming(l, &replicas)).collect();
            assert_eq!(known.len(), namings / 2);
            let mut counts = Vec::new();
            for index in 0..3 {
                let shard = Shard { index, of: 3 };
                let yaml = shard.relabel_config(&known);
                let rules = parse_rules(&yaml).unwrap_or_else(|e| panic!("{e}\n{yaml}"));
                let mut count = 0;
                for labels in &all {
                    let mut twin = labels.clone();
                    twin.0.insert("replica".to_owned(), "another".to_owned());
                    let has = shard.has(labels, &replicas);
                    assert_eq!(has, shard.has(&twin, &replicas), "replicas lie together");
                    assert_eq!(has, keeps(&rules, BlockId::ZERO, labels, &replicas), "{labels}\n{yaml}");
                    count += usize::from(has);
                }
                counts.push(count);
            }
            assert_eq!(counts.iter().sum::<usize>(), all.len(), "each in one, and none in two: {counts:?}");
            assert!(counts.iter().all(|n| n * 5 > all.len()), "about equal: {counts:?}");
        }
    }

    #[test]
    fn the_usual_rules() {
        let namings = Namings::from([vec!["cluster".to_owned(), "tenant".to_owned()]]);
        assert_eq!(
            Shard { index: 1, of: 4 }.relabel_config(&namings),
            "- action: hashmod\n  source_labels: [\"cluster\",\"tenant\"]\n  modulus: 4\n  target_label: __shard\n\
             - action: keep\n  source_labels: [__shard]\n  regex: \"1\"\n"
        );
        // blocks without labels are in one share too
        let none = (0..3).filter(|&index| Shard { index, of: 3 }.has(&LabelSet::new(), &[])).count();
        assert_eq!(none, 1);
        let rules = parse_rules(&Shard { index: 0, of: 1 }.relabel_config(&Namings::new())).unwrap();
        assert!(keeps(&rules, BlockId::ZERO, &LabelSet::new(), &[]));
    }
}
