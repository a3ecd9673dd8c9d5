//! JSON text to the byte as Go's `encoding/json` writes it: HTML escaping, tab indentation, `{}` for what is empty.
//!
//! *Source*: Go 1.26 `encoding/json` (`appendString`, `appendIndent`, `appendCompact`).

use std::fmt::Write as _;

use crate::encoding::Malformed;

/// How deeply raw JSON that is carried along may be nested; indentation costs depth times length.
pub(crate) const MAX_RAW_DEPTH: usize = 64;

/// Writes one JSON document, front to back.
pub(crate) struct Writer {
    out: Vec<u8>,
    /// One tab a level and a line per element, or none at all.
    indented: bool,
    depth: usize,
    /// Whether the innermost object or list has an element yet.
    any: bool,
}

impl Writer {
    /// As `Encoder.SetIndent("", "\t")`.
    pub(crate) fn indented() -> Self {
        Writer { out: Vec::with_capacity(1024), indented: true, depth: 0, any: false }
    }

    /// As `json.Marshal`.
    pub(crate) fn compact() -> Self {
        Writer { out: Vec::with_capacity(256), indented: false, depth: 0, any: false }
    }

    /// The text, without a trailing newline.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.out
    }

    /// `{`, the fields that `fields` writes, `}`.
    pub(crate) fn object(&mut self, fields: impl FnOnce(&mut Self)) {
        self.nested(b'{', b'}', fields);
    }

    /// `[`, one value per call of `each`, `]`.
    pub(crate) fn list<T>(&mut self, items: impl IntoIterator<Item = T>, mut each: impl FnMut(&mut Self, T)) {
        self.nested(b'[', b']', |w| {
            for item in items {
                w.element();
                each(w, item);
            }
        });
    }

    /// The name of a field; its value has to follow.
    pub(crate) fn key(&mut self, name: &str) -> &mut Self {
        self.element();
        self.text(name);
        self.out.push(b':');
        if self.indented {
            self.out.push(b' ');
        }
        self
    }

    /// A string.
    pub(crate) fn text(&mut self, text: &str) {
        self.out.push(b'"');
        escape(&mut self.out, text);
        self.out.push(b'"');
    }

    /// A string that needs no escaping: an id, a time.
    pub(crate) fn bare_text(&mut self, text: impl std::fmt::Display) {
        self.out.push(b'"');
        self.bare(text);
        self.out.push(b'"');
    }

    /// A number, a boolean or whatever else needs no quotes.
    pub(crate) fn bare(&mut self, value: impl std::fmt::Display) {
        let mut text = String::new();
        let _ = write!(text, "{value}"); // a String takes everything
        self.out.extend_from_slice(text.as_bytes());
    }

    /// A valid JSON value as somebody else wrote it, laid out anew.
    pub(crate) fn raw(&mut self, json: &str) {
        let bytes = json.as_bytes();
        let mut at = 0;
        // what is open: whether each has an element
        let mut open: Vec<bool> = Vec::new();
        while at < bytes.len() {
            let byte = bytes[at];
            at += 1;
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => {}
                b'{' | b'[' => {
                    self.out.push(byte);
                    open.push(self.any);
                    self.any = false;
                    self.depth += 1;
                    if !matches!(bytes[at..].iter().find(|b| !b.is_ascii_whitespace()), Some(b'}' | b']')) {
                        self.any = true;
                        self.line();
                    }
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.any {
                        self.line();
                    }
                    self.any = open.pop().unwrap_or(true);
                    self.out.push(byte);
                }
                b',' => {
                    self.out.push(byte);
                    self.line();
                }
                b':' => {
                    self.out.push(byte);
                    if self.indented {
                        self.out.push(b' ');
                    }
                }
                b'"' => {
                    let end = at + string_len(&bytes[at..]);
                    self.out.push(b'"');
                    escape_html_only(&mut self.out, &json[at..end]);
                    self.out.push(b'"');
                    at = end + 1;
                }
                other => self.out.push(other),
            }
        }
    }

    fn nested(&mut self, begin: u8, end: u8, inside: impl FnOnce(&mut Self)) {
        self.out.push(begin);
        self.depth += 1;
        let before = std::mem::replace(&mut self.any, false);
        inside(self);
        self.depth -= 1;
        if std::mem::replace(&mut self.any, before) {
            self.line();
        }
        self.out.push(end);
    }

    fn element(&mut self) {
        if std::mem::replace(&mut self.any, true) {
            self.out.push(b',');
        }
        self.line();
    }

    fn line(&mut self) {
        if self.indented {
            self.out.push(b'\n');
            self.out.resize(self.out.len() + self.depth, b'\t');
        }
    }
}

/// What a JSON reader says about `bytes`, with its line and column as an offset.
pub(crate) fn malformed(part: &'static str, bytes: &[u8], error: &serde_json::Error) -> Malformed {
    let before: usize = bytes.split_inclusive(|&b| b == b'\n').take(error.line().saturating_sub(1)).map(<[u8]>::len).sum();
    let at = (before + error.column().saturating_sub(1)).min(bytes.len());
    let text = error.to_string();
    let why = text.rsplit_once(" at line ").map_or(&*text, |(why, _)| why).to_owned();
    Malformed::new(part, at as u64, why)
}

/// How deeply the JSON value `json` is nested.
pub(crate) fn raw_depth(json: &str) -> usize {
    let bytes = json.as_bytes();
    let (mut depth, mut deepest, mut at) = (0usize, 0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => at += 1 + string_len(&bytes[at + 1..]),
            _ => {}
        }
        at += 1;
    }
    deepest
}

/// Length of a string's inside: up to its closing quote, or to the end.
fn string_len(inside: &[u8]) -> usize {
    let mut at = 0;
    while at < inside.len() {
        match inside[at] {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    inside.len()
}

fn escape(out: &mut Vec<u8>, text: &str) {
    for c in text.chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\u{c}' => out.extend_from_slice(b"\\f"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => unicode_escape(out, c),
            _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// Text that is escaped already, but perhaps not for HTML.
fn escape_html_only(out: &mut Vec<u8>, text: &str) {
    for c in text.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => unicode_escape(out, c),
            _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

fn unicode_escape(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(format!("\\u{:04x}", c as u32).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(text: &str) -> String {
        let mut w = Writer::compact();
        w.text(text);
        String::from_utf8(w.finish()).unwrap()
    }

    #[test]
    fn strings_as_go_escapes_them() {
        assert_eq!(
            strings("a\"\\\u{8}\u{c}\n\r\t\u{1}\u{7f}é<>&\u{2028}\u{2029}/"),
            "\"a\\\"\\\\\\b\\f\\n\\r\\t\\u0001\u{7f}é\\u003c\\u003e\\u0026\\u2028\\u2029/\""
        );
    }

    #[test]
    fn layout() {
        let write = |mut w: Writer| {
            w.object(|w| {
                w.key("empty").object(|_| {});
                w.key("none").list([0; 0], |w, n| w.bare(n));
                w.key("list").list([1, 2], |w, n| w.bare(n));
                w.key("raw").raw(r#" {"a" : [ ],"b":[1, {"c<":"\"}]"}], "d":{ }} "#);
                w.key("last").bare(true);
            });
            String::from_utf8(w.finish()).unwrap()
        };
        assert_eq!(
            write(Writer::compact()),
            r#"{"empty":{},"none":[],"list":[1,2],"raw":{"a":[],"b":[1,{"c\u003c":"\"}]"}],"d":{}},"last":true}"#
        );
        let tabbed = "{\n\t\"empty\": {},\n\t\"none\": [],\n\t\"list\": [\n\t\t1,\n\t\t2\n\t],\n\t\"raw\": {\n\t\t\"a\": [],\n\t\t\"b\": [\n\t\t\t1,\n\t\t\t{\n\t\t\t\t\"c\\u003c\": \"\\\"}]\"\n\t\t\t}\n\t\t],\n\t\t\"d\": {}\n\t},\n\t\"last\": true\n}";
        assert_eq!(write(Writer::indented()), tabbed);
    }

    #[test]
    fn depth_counts_brackets_outside_strings() {
        assert_eq!(raw_depth("1"), 0);
        assert_eq!(raw_depth(r#"{"a]}[":["\"[",{}]}"#), 3);
    }
}
