//! The text of a vector selector as matchers: `{a="b", c=~"d.*"}`, `metric{…}`, `{"my.metric", "l.b"="x"}`.
//!
//! Strings are those of PromQL: between `"`, `'` with escapes, or between backquotes as they are. `#` begins a comment.
//!
//! *Source*: Prometheus `promql/parser/lex.go`, `util/strutil/quote.go`.

use std::fmt;

use super::matcher::{METRIC_NAME, MatchOp, Matcher};

/// Words of the language that cannot name a metric outside of braces.
const KEYWORDS: [&str; 8] = ["bool", "on", "ignoring", "group_left", "group_right", "atan2", "inf", "nan"];

/// A text that is no selector: where, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSelector {
    /// Line of the text, from 1.
    pub line: usize,
    /// Character of the line, from 1.
    pub column: usize,
    /// What was expected and what was found.
    pub why: String,
}

impl fmt::Display for BadSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: parse error: {}", self.line, self.column, self.why)
    }
}

impl std::error::Error for BadSelector {}

/// The matchers of a vector selector, in the order they are written; a name before the braces is the last.
///
/// # Errors
/// Text that is no selector, patterns that are none.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, BadSelector> {
    let mut parser = Parser { text, at: 0 };
    parser.selector().map_err(|(at, why)| {
        let before = &text[..at.min(text.len())];
        let line_begin = before.rfind('\n').map_or(0, |n| n + 1);
        BadSelector { line: before.matches('\n').count() + 1, column: before[line_begin..].chars().count() + 1, why }
    })
}

/// Where, in bytes, and why.
type Parsed<T> = Result<T, (usize, String)>;

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn selector(&mut self) -> Parsed<Vec<Matcher>> {
        self.space();
        let begin = self.at;
        let name = self.word(|c| c == ':');
        if KEYWORDS.iter().any(|k| k.eq_ignore_ascii_case(name)) {
            return Err((
                begin,
                format!("unexpected <{}>: it cannot name a metric outside of braces", name.to_ascii_lowercase()),
            ));
        }
        self.space();
        let mut matchers = Vec::new();
        if self.eat("{") {
            self.matchers(&mut matchers)?;
        } else if name.is_empty() {
            return Err(self.unexpected("a metric name or \"{\""));
        }
        if !name.is_empty() {
            matchers.push(Matcher::equal(METRIC_NAME, name));
        }
        self.space();
        if self.at < self.text.len() { Err(self.unexpected("the end of the selector")) } else { Ok(matchers) }
    }

    fn matchers(&mut self, matchers: &mut Vec<Matcher>) -> Parsed<()> {
        loop {
            self.space();
            if self.eat("}") {
                return Ok(());
            }
            matchers.push(self.matcher()?);
            self.space();
            if !self.eat(",") {
                return if self.eat("}") { Ok(()) } else { Err(self.unexpected("\",\" or \"}\" in label matching")) };
            }
            self.space();
            if self.rest().starts_with(',') {
                return Err(self.unexpected("identifier or \"}\" in label matching"));
            }
        }
    }

    fn matcher(&mut self) -> Parsed<Matcher> {
        let begin = self.at;
        let (name, quoted) = match self.string()? {
            Some(name) => (name, true),
            None => (self.word(|_| false).to_owned(), false),
        };
        if !quoted && name.is_empty() {
            return Err(self.unexpected("identifier or \"}\" in label matching"));
        }
        self.space();
        let ops = [("=~", MatchOp::Regex), ("=", MatchOp::Equal), ("!~", MatchOp::NotRegex), ("!=", MatchOp::NotEqual)];
        let Some((_, op)) = ops.into_iter().find(|(written, _)| self.eat(written)) else {
            // a string alone is the metric's name
            let alone = quoted && (self.rest().is_empty() || self.rest().starts_with([',', '}']));
            return if alone { Ok(Matcher::equal(METRIC_NAME, name)) } else { Err(self.unexpected("label matching operator")) };
        };
        self.space();
        match self.string()? {
            Some(value) => Matcher::new(name, op, value).map_err(|e| (begin, e.to_string())),
            None => Err(self.unexpected("string in label matching")),
        }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn eat(&mut self, token: &str) -> bool {
        let there = self.rest().starts_with(token);
        if there {
            self.at += token.len();
        }
        there
    }

    /// Passes over spaces and comments.
    fn space(&mut self) {
        loop {
            self.at += self.rest().len() - self.rest().trim_start_matches([' ', '\t', '\n', '\r']).len();
            if !self.rest().starts_with('#') {
                return;
            }
            self.at += self.rest().find(['\n', '\r']).unwrap_or(self.rest().len());
        }
    }

    /// The identifier here, empty where there is none; `also` names characters that it may have besides.
    fn word(&mut self, also: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        if rest.starts_with(|c: char| c.is_ascii_digit()) {
            return "";
        }
        let len = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || also(c))).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    fn unexpected(&self, expected: &str) -> (usize, String) {
        let found = match self.rest().chars().next() {
            Some(c) => format!("{c:?}"),
            None => "end of input".to_owned(),
        };
        (self.at, format!("unexpected {found}, expected {expected}"))
    }

    /// The string that begins here, where one does.
    fn string(&mut self) -> Parsed<Option<String>> {
        let begin = self.at;
        let Some(quote @ ('"' | '\'' | '`')) = self.rest().chars().next() else { return Ok(None) };
        self.at += 1;
        if quote == '`' {
            let Some(len) = self.rest().find('`') else { return Err((begin, "unterminated raw string".to_owned())) };
            let raw = self.rest()[..len].to_owned();
            self.at += len + 1;
            return Ok(Some(raw));
        }
        let mut value = Vec::new();
        loop {
            let here = self.at;
            match self.bump() {
                None | Some('\n') => return Err((begin, "unterminated quoted string".to_owned())),
                Some('\\') => self.escape(quote, here, &mut value)?,
                Some(c) if c == quote => break,
                Some(c) => value.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        // upstream allows such values; they cannot be written to JSON and read again
        String::from_utf8(value).map(Some).map_err(|_| (begin, "the string's bytes are not UTF-8".to_owned()))
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// What follows a backslash.
    fn escape(&mut self, quote: char, begin: usize, value: &mut Vec<u8>) -> Parsed<()> {
        let bad = |why: &str| (begin, why.to_owned());
        let (digits, radix) = match self.bump() {
            None => return Err(bad("escape sequence not terminated")),
            Some('x') => (2, 16),
            Some('u') => (4, 16),
            Some('U') => (8, 16),
            Some('0'..='7') => {
                self.at -= 1;
                (3, 8)
            }
            Some(c) => {
                value.push(match c {
                    'a' => 7,
                    'b' => 8,
                    'f' => 0xc,
                    'n' => b'\n',
                    'r' => b'\r',
                    't' => b'\t',
                    'v' => 0xb,
                    '\\' => b'\\',
                    c if c == quote => c as u8, // one of two ASCII quotes
                    c => return Err((begin, format!("unknown escape sequence {c:?}"))),
                });
                return Ok(());
            }
        };
        let mut code = 0_u32;
        for _ in 0..digits {
            let digit = self.bump().ok_or_else(|| bad("escape sequence not terminated"))?;
            let digit =
                digit.to_digit(radix).ok_or_else(|| (begin, format!("illegal character {digit:?} in escape sequence")))?;
            code =
                code.checked_mul(radix).and_then(|c| c.checked_add(digit)).ok_or_else(|| bad("escape sequence is too large"))?;
        }
        if digits < 4 {
            value.push(u8::try_from(code).map_err(|_| bad("escape sequence is beyond a byte"))?);
            return Ok(());
        }
        let c = char::from_u32(code).ok_or_else(|| bad("escape sequence is an invalid Unicode code point"))?;
        value.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::matcher::show_matchers;
    use super::*;

    fn check(text: &str, expected: &str) {
        let parsed = parse_selector(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(show_matchers(&parsed), expected, "{text}");
    }

    #[test]
    fn selectors() {
        check(r#"{a="b",c=~"d.*"}"#, r#"{a="b", c=~"d.*"}"#);
        check("up", r#"{__name__="up"}"#);
        check(r#" job:rate:sum { a != "b" , } "#, r#"{a!="b", __name__="job:rate:sum"}"#);
        check(r#"{"my.metric", "l.b"="x"}"#, r#"{__name__="my.metric", "l.b"="x"}"#);
        check(r#"{"l.b"!~"x|y"}"#, r#"{"l.b"!~"x|y"}"#);
        check("{}", "{}");
        check("sum{by='x'}", r#"{by="x", __name__="sum"}"#);
        check("{on=`x\\n`} # that is all", r#"{on="x\\n"}"#);
        check("{a='1', # one\n b=\"2\"\n}", r#"{a="1", b="2"}"#);
        check(r#"{__name__="a",__name__!="b"}"#, r#"{__name__="a", __name__!="b"}"#);
    }

    #[test]
    fn strings() {
        check(r#"{a="\a\b\f\n\r\t\v\\\"'"}"#, r#"{a="\a\b\f\n\r\t\v\\\"'"}"#);
        check(r#"{a='\'"'}"#, r#"{a="'\""}"#);
        check(r#"{a="\x41\101\u00e9\U0001F600"}"#, r#"{a="AAé😀"}"#);
        check(r#"{a="\xc3\xa9"}"#, r#"{a="é"}"#);
        check("{a=`\"\n'`}", r#"{a="\"\n'"}"#);
    }

    #[test]
    fn errors_say_where() {
        for (text, line, column, why) in [
            ("", 1, 1, "unexpected end of input, expected a metric name"),
            ("{", 1, 2, "unexpected end of input, expected identifier"),
            ("{a}", 1, 3, "expected label matching operator"),
            ("{a=}", 1, 4, "unexpected '}', expected string"),
            ("{a=b}", 1, 4, "unexpected 'b', expected string"),
            ("{a=\"b\" c=\"d\"}", 1, 8, "expected \",\" or \"}\""),
            ("{,}", 1, 2, "expected identifier"),
            ("{a=\"b\",,}", 1, 8, "expected identifier"),
            ("{a=\"b\"} x", 1, 9, "expected the end"),
            ("{1a=\"b\"}", 1, 2, "unexpected '1'"),
            ("{a\n =~\"(\"}", 1, 2, "regular expression \"(\""),
            ("{\n  é=\"b\"}", 2, 3, "unexpected 'é'"),
            ("{a=\"b}", 1, 4, "unterminated quoted string"),
            ("{a=`b}", 1, 4, "unterminated raw string"),
            ("{a=\"\\q\"}", 1, 5, "unknown escape sequence 'q'"),
            ("{a=\"\\'\"}", 1, 5, "unknown escape sequence"),
            ("{a=\"\\x4\"}", 1, 5, "illegal character"),
            ("{a=\"\\400\"}", 1, 5, "beyond a byte"),
            ("{a=\"\\ud800\"}", 1, 5, "invalid Unicode code point"),
            ("{a=\"\\UFFFFFFFF\"}", 1, 5, "invalid Unicode code point"),
            ("{a=\"\\xff\"}", 1, 4, "not UTF-8"),
            ("on{a=\"b\"}", 1, 1, "unexpected <on>"),
            ("up[5m]", 1, 3, "unexpected '['"),
        ] {
            let error = parse_selector(text).expect_err(text);
            assert_eq!((error.line, error.column), (line, column), "{text}: {error}");
            assert!(error.why.contains(why), "{text}: {error}");
        }
    }
}
