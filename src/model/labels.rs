//! Label sets as doors and plans have them; inside jobs labels are symbol references.

use std::collections::BTreeMap;
use std::fmt;

use xxhash_rust::xxh64::Xxh64;

/// Label names and values, ordered by name: the external labels of a block, a series at a door.
///
/// *Order*: as Prometheus orders label sets, pair by pair, then the shorter first.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct LabelSet(pub BTreeMap<String, String>);

impl LabelSet {
    /// No labels.
    pub fn new() -> Self {
        LabelSet::default()
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Pairs in order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many pairs.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The hash that names groups and shards: xxHash64 over name, 0xFF, value, 0xFF of each pair.
    pub fn hash64(&self) -> u64 {
        let mut hash = Xxh64::new(0);
        for (name, value) in self.iter() {
            hash.update(name.as_bytes());
            hash.update(&[0xff]);
            hash.update(value.as_bytes());
            hash.update(&[0xff]);
        }
        hash.digest()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for LabelSet {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        LabelSet(pairs.into_iter().map(|(n, v)| (n.into(), v.into())).collect())
    }
}

/// `{name="value", …}` with Go's quoting of values.
impl fmt::Display for LabelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{name}={value:?}")?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_upstream_has_them() {
        assert_eq!(LabelSet::new().hash64(), 17_241_709_254_077_376_921);
        let two = LabelSet::from_iter([("foo", "bar"), ("foo1", "bar2")]);
        assert_eq!(two.hash64(), 2_124_638_872_457_683_483);
        let odd = LabelSet::from_iter([("foo/some..thing/some.thing/../", "a_b_c/bar-something-a\\metric/a\\x")]);
        assert_eq!(odd.hash64(), 16_590_761_456_214_576_373);
        assert_eq!(two.to_string(), r#"{foo="bar", foo1="bar2"}"#);
    }
}
