//! Rules applied to label sets.

use std::borrow::Cow;

use md5::{Digest, Md5};
use regex::Captures;

use super::rule::{Action, Relabeling};

/// Labels under way: what they were, what was taken away, what was set; in the order in which it happened, since
/// several labels may be copied to one name.
pub(super) struct Builder<'a> {
    base: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    gone: Vec<String>,
    set: Vec<(String, String)>,
}

impl<'a> Builder<'a> {
    /// Labels in order of names; those without a value count as absent.
    pub(super) fn new(labels: impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)>) -> Self {
        Builder { base: labels.filter(|l| !l.1.is_empty()).collect(), gone: Vec::new(), set: Vec::new() }
    }

    pub(super) fn get(&self, name: &str) -> &str {
        if let Some((_, value)) = self.set.iter().find(|s| s.0 == name) {
            return value;
        }
        if self.gone.iter().any(|g| g == name) {
            return "";
        }
        self.base.iter().find(|b| b.0 == name).map_or("", |b| &b.1)
    }

    pub(super) fn set(&mut self, name: &str, value: String) {
        if value.is_empty() {
            self.remove(name);
        } else if let Some(there) = self.set.iter_mut().find(|s| s.0 == name) {
            there.1 = value;
        } else {
            self.set.push((name.to_owned(), value));
        }
    }

    fn remove(&mut self, name: &str) {
        self.set.retain(|s| s.0 != name);
        self.gone.push(name.to_owned());
    }

    /// What there is now: labels that were there from the start, then those that were set.
    fn now(&self) -> Vec<(String, String)> {
        let stays = |name: &str| !self.gone.iter().any(|g| g == name) && !self.set.iter().any(|s| s.0 == name);
        let base = self.base.iter().filter(|b| stays(&b.0)).map(|b| (b.0.to_string(), b.1.to_string()));
        base.chain(self.set.iter().cloned()).collect()
    }

    fn is_changed(&self) -> bool {
        !self.gone.is_empty() || !self.set.is_empty()
    }

    /// Applies one rule; whether the label set is kept.
    pub(super) fn apply(&mut self, rule: &Relabeling) -> bool {
        let values: Vec<&str> = rule.source_labels.iter().map(|name| self.get(name)).collect();
        let value = values.join(&rule.separator);
        match rule.action {
            Action::Drop => return !rule.regex.is_match(&value),
            Action::Keep => return rule.regex.is_match(&value),
            Action::DropEqual => return self.get(&rule.target_label) != value,
            Action::KeepEqual => return self.get(&rule.target_label) == value,
            Action::Replace => {
                if let Some(captures) = rule.regex.captures(&value) {
                    let target = expand(&rule.target_label, &captures);
                    if !target.is_empty() {
                        self.set(&target, expand(&rule.replacement, &captures));
                    }
                }
            }
            Action::Lowercase => self.set(&rule.target_label, value.chars().map(lower).collect()),
            Action::Uppercase => self.set(&rule.target_label, value.chars().map(upper).collect()),
            Action::HashMod => {
                self.set(&rule.target_label, hash_mod(&value, rule.modulus).to_string());
            }
            Action::LabelMap => {
                for (name, value) in self.now() {
                    if let Some(captures) = rule.regex.captures(&name) {
                        self.set(&expand(&rule.replacement, &captures), value);
                    }
                }
            }
            Action::LabelDrop | Action::LabelKeep => {
                let drops = rule.action == Action::LabelDrop;
                for (name, _) in self.now() {
                    if rule.regex.is_match(&name) == drops {
                        self.remove(&name);
                    }
                }
            }
        }
        true
    }
}

/// The last eight bytes of the MD5 of a text, modulo `modulus`, which is not 0.
pub(super) fn hash_mod(text: &str, modulus: u64) -> u64 {
    let mut half = [0; 8];
    half.copy_from_slice(&Md5::digest(text.as_bytes())[8..]);
    u64::from_be_bytes(half) % modulus
}

/// What becomes of a label set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relabeled {
    /// Nothing changes.
    Same,
    /// These labels take its place, in order of names.
    Changed(Vec<(String, String)>),
    /// It is dropped, or no label is left.
    Dropped,
}

/// Applies `rules` to labels in order of names; labels without a value count as absent.
pub fn relabel<'a>(rules: &[Relabeling], labels: impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)>) -> Relabeled {
    let mut had_empty = false;
    let mut builder = Builder::new(labels.inspect(|l| had_empty |= l.1.is_empty()));
    if !rules.iter().all(|rule| builder.apply(rule)) {
        return Relabeled::Dropped;
    }
    if !builder.is_changed() && !had_empty {
        return if builder.base.is_empty() { Relabeled::Dropped } else { Relabeled::Same };
    }
    let mut now = builder.now();
    now.sort_unstable();
    if now.is_empty() {
        Relabeled::Dropped
    } else if !had_empty && now.iter().map(|(n, v)| (n.as_str(), v.as_str())).eq(builder.base.iter().map(|b| (&*b.0, &*b.1))) {
        Relabeled::Same
    } else {
        Relabeled::Changed(now)
    }
}

/// A template as Go's `Regexp.Expand` fills it: `$1`, `$name`, `${name}`, `$$`; what no group is called is empty, and a
/// dollar that begins none of these is a dollar.
fn expand(template: &str, captures: &Captures<'_>) -> String {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix('$') {
            out.push('$');
            rest = behind;
            continue;
        }
        let in_braces = rest.strip_prefix('{').and_then(|r| r.split_once('}')).filter(|(name, _)| name.chars().all(word));
        let (name, behind) = match in_braces {
            Some(parts) => parts,
            None => rest.split_at(rest.find(|c| !word(c)).unwrap_or(rest.len())),
        };
        if name.is_empty() {
            out.push('$');
            continue;
        }
        let number = name.bytes().all(|b| b.is_ascii_digit()) && (name.len() == 1 || !name.starts_with('0'));
        let group = if number { name.parse().ok().and_then(|n| captures.get(n)) } else { captures.name(name) };
        out.push_str(group.map_or("", |g| g.as_str()));
        rest = behind;
    }
    out.push_str(rest);
    out
}

/// One character in lower case; Go maps one to one.
fn lower(c: char) -> char {
    let mut all = c.to_lowercase();
    // the dotted capital I alone becomes two, of which Go takes the first
    all.next().unwrap_or(c)
}

/// One character in upper case; what would become several stays as it is.
fn upper(c: char) -> char {
    let mut all = c.to_uppercase();
    match (all.next(), all.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse_relabelings;
    use super::*;

    fn run(yaml: &str, labels: &[(&str, &str)]) -> Relabeled {
        relabel(&parse_relabelings(yaml).unwrap(), labels.iter().map(|&(n, v)| (Cow::from(n), Cow::from(v))))
    }

    fn changed(labels: &[(&str, &str)]) -> Relabeled {
        Relabeled::Changed(labels.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect())
    }

    /// The rows of Prometheus' own table that differ in kind.
    #[test]
    fn actions() {
        let abc = [("a", "foo"), ("b", "bar"), ("c", "baz")];
        for (yaml, labels, expected) in [
            (
                "- {source_labels: [a], regex: 'f(.*)', target_label: d, separator: ;, replacement: 'ch${1}-ch${1}'}",
                &abc[..],
                changed(&[("a", "foo"), ("b", "bar"), ("c", "baz"), ("d", "choo-choo")]),
            ),
            (
                "- {source_labels: [a, b], regex: 'f(.*);(.*)r', target_label: a, replacement: 'b${1}${2}m'}\n\
                 - {source_labels: [c, a], regex: '(b).*b(.*)ba(.*)', target_label: d, replacement: '$1$2$2$3'}",
                &abc[..],
                changed(&[("a", "boobam"), ("b", "bar"), ("c", "baz"), ("d", "boooom")]),
            ),
            (
                "- {source_labels: [a], regex: '.*o.*', action: drop}\n- {source_labels: [a], target_label: d}",
                &abc[..],
                Relabeled::Dropped,
            ),
            ("- {source_labels: [a], regex: 'no-match', action: drop}", &abc[..], Relabeled::Same),
            ("- {source_labels: [a], regex: 'f|o', action: drop}", &abc[..], Relabeled::Same),
            ("- {source_labels: [a], regex: 'no-match', action: keep}", &abc[..], Relabeled::Dropped),
            ("- {source_labels: [a], regex: 'f.*', action: keep}", &abc[..], Relabeled::Same),
            ("- {source_labels: [a], regex: 'no-match', target_label: d, replacement: x}", &abc[..], Relabeled::Same),
            ("- {source_labels: [a], regex: 'f(.*)', target_label: a, replacement: 'foo'}", &abc[..], Relabeled::Same),
            (
                "- {source_labels: [c], target_label: d, action: hashmod, modulus: 1000}",
                &abc[..],
                changed(&[("a", "foo"), ("b", "bar"), ("c", "baz"), ("d", "976")]),
            ),
            (
                "- {regex: '(b.*)', replacement: 'bar_${1}', action: labelmap}",
                &[("a", "foo"), ("b1", "bar"), ("b2", "baz")][..],
                changed(&[("a", "foo"), ("b1", "bar"), ("b2", "baz"), ("bar_b1", "bar"), ("bar_b2", "baz")]),
            ),
            (
                "- {regex: 'b.*', replacement: 'x', action: labelmap}",
                &[("a", "1"), ("b1", "2"), ("b2", "3")][..],
                changed(&[("a", "1"), ("b1", "2"), ("b2", "3"), ("x", "3")]),
            ),
            ("- {regex: '(b.*)', action: labeldrop}", &abc[..], changed(&[("a", "foo"), ("c", "baz")])),
            ("- {regex: '(b.*)', action: labelkeep}", &abc[..], changed(&[("b", "bar")])),
            ("- {regex: '.*', action: labeldrop}", &abc[..], Relabeled::Dropped),
            (
                "- {source_labels: [a], target_label: a_up, action: uppercase}\n- {source_labels: [a_up], target_label: b, action: lowercase}",
                &[("a", "bÀr")][..],
                changed(&[("a", "bÀr"), ("a_up", "BÀR"), ("b", "bàr")]),
            ),
            ("- {source_labels: [a], target_label: b, action: keepequal}", &abc[..], Relabeled::Dropped),
            ("- {source_labels: [a], target_label: b, action: keepequal}", &[("a", "x"), ("b", "x")][..], Relabeled::Same),
            ("- {source_labels: [a], target_label: b, action: dropequal}", &[("a", "x"), ("b", "x")][..], Relabeled::Dropped),
            // what is expanded into nothing removes, a target that is nothing does nothing
            (
                "- {source_labels: [a], regex: 'foo', target_label: b, replacement: ''}",
                &abc[..],
                changed(&[("a", "foo"), ("c", "baz")]),
            ),
            ("- {source_labels: [a], regex: '(x)?foo', target_label: '$1', replacement: y}", &abc[..], Relabeled::Same),
            ("- {target_label: d, replacement: v}", &abc[..], changed(&[("a", "foo"), ("b", "bar"), ("c", "baz"), ("d", "v")])),
            ("- {regex: 'no', action: labeldrop}", &[("a", "1"), ("b", "")][..], changed(&[("a", "1")])),
        ] {
            assert_eq!(run(yaml, labels), expected, "{yaml}");
        }
    }

    #[test]
    fn templates() {
        let regex = crate::model::anchored("(?P<x>a)(b)?").unwrap();
        let captures = regex.captures("a").unwrap();
        for (template, expected) in [
            ("$1-$x-${x}-$2-$3", "a-a-a--"),
            ("$$1", "$1"),
            ("$1x", ""),
            ("${1}x", "ax"),
            ("$", "$"),
            ("${", "${"),
            ("a$-b", "a$-b"),
            ("${a b}", "${a b}"),
            ("$01", ""),
        ] {
            assert_eq!(expand(template, &captures), expected, "{template}");
        }
    }
}
