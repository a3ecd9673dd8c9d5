//! Groups: blocks that may become one block, because their labels and their resolution are the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde_json::value::RawValue;

use crate::job::catalog::CatalogBlock;
use crate::model::{LabelSet, Millis, TimeRange};

/// Blocks of the same external labels and resolution.
#[derive(Clone, Debug)]
pub struct Group {
    /// `<resolution>@<hash of the labels>`, as upstream names it.
    pub key: String,
    /// What the blocks have in common.
    pub labels: Arc<LabelSet>,
    /// Milliseconds between samples, 0 for raw.
    pub resolution: Millis,
    /// The blocks, by minimum time, then by id.
    pub blocks: Vec<CatalogBlock>,
}

/// Sorts blocks into groups, ordered by key.
pub fn groups(blocks: Vec<CatalogBlock>) -> Vec<Group> {
    let mut by_labels: FxHashMap<(Millis, Arc<LabelSet>), Vec<CatalogBlock>> = FxHashMap::default();
    for block in blocks {
        by_labels.entry((block.meta.resolution(), block.labels.clone())).or_default().push(block);
    }
    let mut groups: Vec<Group> = by_labels
        .into_iter()
        .map(|((resolution, labels), mut blocks)| {
            blocks.sort_by_key(|b| (b.meta.min_time, b.id));
            Group { key: group_key(resolution, &labels), labels, resolution, blocks }
        })
        .collect();
    groups.sort_by(|a, b| (&a.key, &a.labels).cmp(&(&b.key, &b.labels)));
    groups
}

/// The text that names a group: `<resolution>@<hash of the labels>`.
pub fn group_key(resolution: Millis, labels: &LabelSet) -> String {
    format!("{resolution}@{}", labels.hash64())
}

impl Group {
    /// The smallest range around all its blocks.
    pub fn time_range(&self) -> TimeRange {
        let ranges = self.blocks.iter().map(|b| b.meta.time_range());
        ranges.reduce(TimeRange::union).unwrap_or(TimeRange::new(0, 0))
    }

    /// Resolution and labels, for people.
    pub fn describe(&self) -> String {
        format!("{}@{}", self.resolution, self.labels)
    }

    /// What a block made of this group says in `extensions`: the keys that all blocks have which have any,
    /// with the values of the first.
    pub fn extensions(&self) -> Option<Box<RawValue>> {
        type Fields = BTreeMap<String, Box<RawValue>>;
        let mut maps = self
            .blocks
            .iter()
            .filter_map(|b| b.meta.thanos.extensions.as_ref())
            .filter_map(|raw| serde_json::from_str::<Fields>(raw.get()).ok());
        let mut common = maps.next()?;
        for other in maps {
            common.retain(|key, _| other.contains_key(key));
        }
        serde_json::value::to_raw_value(&common).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::meta::Meta;
    use crate::model::BlockId;

    fn block(n: i64, change: impl FnOnce(&mut Meta)) -> CatalogBlock {
        let mut meta = Meta { ulid: BlockId::from_parts(n, 0), ..Meta::default() };
        change(&mut meta);
        CatalogBlock {
            id: meta.ulid,
            labels: meta.thanos.labels.shared().cloned().unwrap_or_default(),
            meta: Arc::new(meta),
            objects: Arc::new([]),
            deletion: None,
            no_compact: None,
            no_downsample: None,
        }
    }

    #[test]
    fn labels_and_resolution_make_a_group() {
        let labels = |value: &str| LabelSet::from_iter([("a", value)]);
        let blocks = vec![
            block(5, |m| (m.min_time, m.max_time) = (2, 30)),
            block(4, |m| (m.min_time, m.max_time) = (0, 10)),
            block(3, |m| (m.min_time, m.max_time) = (1, 20)),
            block(2, |m| m.thanos.downsample.resolution = 1000),
            block(1, |m| m.thanos.labels = labels("1").into()),
            // Go's nil map and an empty one are the same group
            block(6, |m| {
                m.thanos.labels = LabelSet::new().into();
                (m.min_time, m.max_time) = (2, 3);
            }),
        ];
        let groups = groups(blocks);
        assert!(groups.is_sorted_by(|a, b| a.key < b.key));
        let plain = groups.iter().find(|g| g.key == "0@17241709254077376921").unwrap();
        let ids: Vec<i64> = plain.blocks.iter().map(|b| b.id.created()).collect();
        assert_eq!(ids, [4, 3, 5, 6]);
        assert_eq!(plain.time_range(), TimeRange::new(0, 30));
        assert_eq!(groups.len(), 3);
        assert!(groups.iter().any(|g| g.key == "1000@17241709254077376921"));
        assert!(groups.iter().any(|g| g.describe() == r#"0@{a="1"}"#));
    }

    #[test]
    fn extensions_that_all_have() {
        let extensions = |all: &[Option<&str>]| {
            let with = |(n, json): (i64, &Option<&str>)| {
                block(n, |m| m.thanos.extensions = json.map(|j| RawValue::from_string(j.to_owned()).unwrap()))
            };
            let group = groups((1..).zip(all).map(with).collect()).remove(0);
            group.extensions().map(|raw| raw.get().to_owned())
        };
        assert_eq!(extensions(&[None, None]), None);
        assert_eq!(extensions(&[Some("{}"), Some(r#"{"foo":"bar"}"#)]).as_deref(), Some("{}"));
        assert_eq!(extensions(&[Some(r#"{"foo":"bar"}"#), Some("{}")]).as_deref(), Some("{}"));
        assert_eq!(extensions(&[Some(r#"{"foo":"bar"}"#), Some(r#"{"foo":"x"}"#)]).as_deref(), Some(r#"{"foo":"bar"}"#));
        assert_eq!(extensions(&[Some(r#"{"z":1,"a":2.50}"#), None]).as_deref(), Some(r#"{"a":2.50,"z":1}"#));
        assert_eq!(extensions(&[Some("[1]"), Some(r#"{"a":1}"#)]).as_deref(), Some(r#"{"a":1}"#));
    }
}
