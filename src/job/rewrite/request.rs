//! What is to be changed in blocks: which series or stretches of time go, as the configuration and `meta.json` have it.
//!
//! *Source*: Thanos `pkg/block/metadata/meta.go` (`DeletionRequest`, `Rewrite`).

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::{Error, Kind, Result};
use crate::format::meta::Meta;
use crate::format::tombstones::Interval;
use crate::job::relabel::Relabeling;
use crate::model::{BlockId, MatchOp, Matcher, parse_selector};

/// Series to be deleted, or times of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// All of them have to match, each a label that the series has.
    pub matchers: Vec<Matcher>,
    /// Closed intervals that are deleted; none means whole series.
    pub intervals: Vec<Interval>,
    /// Whatever the person who asked for it wants to remember.
    pub request_id: String,
}

/// What is to be changed.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Applied to labels as the relabelling left them.
    pub deletions: Vec<Deletion>,
    /// Applied first.
    pub relabeling: Vec<Relabeling>,
    /// Symbols that no series uses any more are left out of the new index.
    pub drop_unused_symbols: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenDeletion {
    matchers: String,
    #[serde(default)]
    intervals: Vec<WrittenInterval>,
    #[serde(default)]
    request_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenInterval {
    mint: i64,
    maxt: i64,
}

/// Reads a YAML list of deletions: `matchers`, a selector; optionally `intervals`, each `mint` and `maxt` in
/// milliseconds, both deleted; optionally `request_id`.
///
/// # Errors
/// `Invalid`: YAML that is no such list, fields that nobody knows, selectors that are none or name nothing, intervals
/// that end before they begin, an empty list.
pub fn parse_deletions(yaml: &str) -> Result<Vec<Deletion>> {
    let invalid = |what: String| Error::new(Kind::Invalid, what).part("deletion configuration");
    let written: Option<Vec<WrittenDeletion>> = serde_saphyr::from_str(yaml).map_err(|e| invalid(e.to_string()))?;
    let mut deletions = Vec::new();
    for (n, written) in written.unwrap_or_default().into_iter().enumerate() {
        let wrong = |why: String| invalid(format!("request {}: {why}", n + 1));
        let matchers = parse_selector(&written.matchers).map_err(|e| wrong(format!("matchers {:?}: {e}", written.matchers)))?;
        if matchers.is_empty() {
            let why = "the selector names nothing, so every series would be deleted".to_owned();
            return Err(wrong(why).next("write matchers: '{__name__=~\".+\"}' if that is meant"));
        }
        if let Some(i) = written.intervals.iter().find(|i| i.mint > i.maxt) {
            return Err(wrong(format!("the interval from {} to {} ends before it begins", i.mint, i.maxt)));
        }
        let intervals = written.intervals.iter().map(|i| Interval::new(i.mint, i.maxt)).collect();
        deletions.push(Deletion { matchers, intervals, request_id: written.request_id });
    }
    if deletions.is_empty() {
        return Err(invalid("the list names no deletion".into()).next("write - matchers: '{…}' for each"));
    }
    Ok(deletions)
}

/// A rewrite as `meta.json` records it, field by field as Go has it.
#[derive(Serialize)]
struct Record<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    sources: &'a [BlockIdText],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deletions_applied: Vec<DeletionRecord<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    relabels_applied: &'a [Relabeling],
}

#[derive(Serialize)]
struct DeletionRecord<'a> {
    matchers: Vec<MatcherRecord<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    intervals: Vec<IntervalRecord>,
    #[serde(skip_serializing_if = "str::is_empty")]
    request_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MatcherRecord<'a> {
    r#type: u8,
    name: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct IntervalRecord {
    mint: i64,
    maxt: i64,
}

type BlockIdText = String;

impl Request {
    /// The entry of `rewrites` for a block that had these sources.
    ///
    /// # Errors
    /// None that can happen: labels and numbers have a JSON form.
    pub fn record(&self, sources: &[BlockId]) -> Result<Box<RawValue>> {
        let sources: Vec<BlockIdText> = sources.iter().map(BlockId::to_string).collect();
        let json = self.json(&sources).and_then(RawValue::from_string);
        json.map_err(|e| Error::new(Kind::Invalid, "the request has no JSON form").source(e))
    }

    fn json(&self, sources: &[BlockIdText]) -> serde_json::Result<String> {
        let deletions_applied = self
            .deletions
            .iter()
            .map(|d| DeletionRecord {
                matchers: d.matchers.iter().map(MatcherRecord::from).collect(),
                intervals: d.intervals.iter().map(|i| IntervalRecord { mint: i.min, maxt: i.max }).collect(),
                request_id: &d.request_id,
            })
            .collect();
        serde_json::to_string(&Record { sources, deletions_applied, relabels_applied: &self.relabeling })
    }

    /// The sources of the block that `meta`'s block was made of with this very request, if it was.
    pub fn recorded_in(&self, meta: &Meta) -> Option<Vec<BlockId>> {
        let ours: serde_json::Value = serde_json::from_str(&self.json(&[]).ok()?).ok()?;
        meta.thanos.rewrites.iter().rev().find_map(|record| {
            let record: serde_json::Value = serde_json::from_str(record.get()).ok()?;
            let same = |field: &str| record.get(field) == ours.get(field);
            if !same("deletions_applied") || !same("relabels_applied") {
                return None;
            }
            let sources = record.get("sources")?.as_array()?;
            sources.iter().map(|s| s.as_str()?.parse().ok()).collect()
        })
    }
}

impl<'a> From<&'a Matcher> for MatcherRecord<'a> {
    fn from(matcher: &'a Matcher) -> Self {
        let r#type = match matcher.op() {
            MatchOp::Equal => 0,
            MatchOp::NotEqual => 1,
            MatchOp::Regex => 2,
            MatchOp::NotRegex => 3,
        };
        MatcherRecord { r#type, name: matcher.name(), value: matcher.value() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str =
        "- matchers: '{__name__=~\"a.*\",b!=\"\"}'\n  intervals:\n  - mint: -5\n    maxt: 7\n  request_id: r1\n- matchers: up\n";

    #[test]
    fn what_meta_json_says_of_it() {
        let request = Request { deletions: parse_deletions(TWO).unwrap(), ..Request::default() };
        let source = BlockId::from_parts(7, 7);
        let record = request.record(&[source]).unwrap();
        let expected = format!(
            "{{\"sources\":[\"{source}\"],\"deletions_applied\":[{{\"matchers\":[{{\"Type\":2,\"Name\":\"__name__\",\"Value\":\"a.*\"}},\
             {{\"Type\":1,\"Name\":\"b\",\"Value\":\"\"}}],\"intervals\":[{{\"Mint\":-5,\"Maxt\":7}}],\"request_id\":\"r1\"}},\
             {{\"matchers\":[{{\"Type\":0,\"Name\":\"__name__\",\"Value\":\"up\"}}]}}]}}"
        );
        assert_eq!(record.get(), expected);

        let mut meta = Meta::default();
        assert_eq!(request.recorded_in(&meta), None);
        meta.thanos.rewrites.push(record);
        assert_eq!(request.recorded_in(&meta), Some(vec![source]));
        let other = Request { deletions: parse_deletions("- matchers: up").unwrap(), ..Request::default() };
        assert_eq!(other.recorded_in(&meta), None);
    }

    #[test]
    fn what_is_refused() {
        for (yaml, why) in [
            ("", "names no deletion"),
            ("[]", "names no deletion"),
            ("- matcher: up", "matcher"),
            ("- matchers: up\n  interval: []", "interval"),
            ("- matchers: up\n  intervals: [{mint: 1, maxt: 2, x: 3}]", "x"),
            ("- matchers: up\n  intervals: [{mint: 1}]", "maxt"),
            ("- matchers: up\n  intervals: [{mint: 3, maxt: 2}]", "ends before it begins"),
            ("- intervals: []", "matchers"),
            (
                "- matchers: up\n- matchers: '{a=~\"(\"}'",
                "request 2: matchers \"{a=~\\\"(\\\"}\": 1:2: parse error: regular expression",
            ),
            ("- matchers: '{}'", "every series would be deleted"),
            ("matchers: up", "deletion configuration"),
        ] {
            let error = parse_deletions(yaml).expect_err(yaml);
            assert_eq!(error.kind(), Kind::Invalid);
            assert!(error.to_string().contains(why), "{yaml:?}: {error}");
        }
    }
}
