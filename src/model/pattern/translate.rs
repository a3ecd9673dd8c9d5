//! Go's regular expressions in the words of the `regex` crate.
//!
//! Both are of one family, and differ in corners: Go's `\d`, `\s`, `\w` and `\b` know ASCII only, `\Q…\E` quotes,
//! `{` that begins no repetition is a brace, `[a[b]` and `[a&&b]` are plain sets, `\<` is `<`, octal escapes exist,
//! and `(?x)`, `a**` and repetitions beyond 1000 are refused. What both refuse is left to the engine.
//!
//! *Source*: Go `regexp/syntax/parse.go` with the flags of `regexp.Compile`.

use std::fmt::Write;

/// How often a repetition may repeat at most.
const MAX_REPEAT: u32 = 1000;

/// Names of `[:name:]` sets; all are ASCII.
const NAMED: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word", "xdigit",
];

type Translated<T> = Result<T, String>;

/// The pattern in the crate's syntax, not anchored.
pub(super) fn translate(pattern: &str) -> Translated<String> {
    let mut t = Translator { pattern, at: 0, out: String::with_capacity(pattern.len() + 16) };
    t.run()?;
    Ok(t.out)
}

struct Translator<'a> {
    pattern: &'a str,
    at: usize,
    out: String,
}

impl<'a> Translator<'a> {
    fn run(&mut self) -> Translated<()> {
        let mut after_repeat = false;
        while let Some(c) = self.peek() {
            let begin = self.at;
            let mut repeats = false;
            match c {
                '(' => self.group()?,
                '[' => self.class()?,
                '\\' => self.escape()?,
                '*' | '+' | '?' => {
                    self.bump();
                    self.out.push(c);
                    repeats = true;
                }
                '{' => match self.counted()? {
                    Some(()) => repeats = true,
                    None => {
                        self.bump();
                        self.literal('{');
                    }
                },
                '^' | '$' | '.' | '|' | ')' => {
                    self.bump();
                    self.out.push(c);
                }
                _ => {
                    self.bump();
                    self.literal(c);
                }
            }
            if repeats {
                if self.peek() == Some('?') {
                    self.bump();
                    self.out.push('?');
                }
                if after_repeat {
                    return Err(format!(
                        "invalid nested repetition operator: `{}` at byte {begin}",
                        &self.pattern[begin..self.at]
                    ));
                }
            }
            after_repeat = repeats;
        }
        Ok(())
    }

    fn rest(&self) -> &'a str {
        &self.pattern[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn eat(&mut self, text: &str) -> bool {
        let there = self.rest().starts_with(text);
        if there {
            self.at += text.len();
        }
        there
    }

    fn literal(&mut self, c: char) {
        if c.is_ascii_alphanumeric() || !c.is_ascii() {
            self.out.push(c);
        } else {
            self.code(c);
        }
    }

    fn code(&mut self, c: char) {
        let _ = write!(self.out, "\\x{{{:x}}}", u32::from(c)); // writing to a string does not fail
    }

    /// `(`, `(?flags)`, `(?flags:`, `(?P<name>`, `(?<name>`.
    fn group(&mut self) -> Translated<()> {
        let begin = self.at;
        if !self.eat("(?") {
            self.bump();
            self.out.push('(');
            return Ok(());
        }
        if self.eat("P<") || self.eat("<") {
            let name = self.rest().split('>').next().unwrap_or_default();
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.len() == self.rest().len() || name.is_empty() || !name.chars().all(word) {
                return Err(format!("invalid named capture at byte {begin}"));
            }
            self.at += name.len() + 1;
            let _ = write!(self.out, "(?P<{name}>");
            return Ok(());
        }
        let (mut on, mut off, mut negative, mut flags_since_sign) = (String::new(), String::new(), false, true);
        loop {
            match self.bump() {
                Some(flag @ ('i' | 'm' | 's' | 'U')) => {
                    let (to, from) = if negative { (&mut off, &mut on) } else { (&mut on, &mut off) };
                    from.retain(|f| f != flag);
                    if !to.contains(flag) {
                        to.push(flag);
                    }
                    flags_since_sign = true;
                }
                Some('-') if !negative => (negative, flags_since_sign) = (true, false),
                Some(end @ (':' | ')')) if flags_since_sign => {
                    if !on.is_empty() || !off.is_empty() || end == ':' {
                        let minus = if off.is_empty() { "" } else { "-" };
                        let _ = write!(self.out, "(?{on}{minus}{off}{end}");
                    }
                    return Ok(());
                }
                _ => {
                    return Err(format!(
                        "invalid or unsupported group syntax at byte {begin}: `{}`",
                        &self.pattern[begin..self.at]
                    ));
                }
            }
        }
    }

    /// `{n}`, `{n,}`, `{n,m}`; anything else is a brace, and nothing is taken.
    fn counted(&mut self) -> Translated<Option<()>> {
        let Some((inside, _)) = self.rest()[1..].split_once('}') else { return Ok(None) };
        let number = |text: &str| -> Option<u32> {
            let plain =
                text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() && (text.len() == 1 || !text.starts_with('0'));
            plain.then(|| text.parse().unwrap_or(u32::MAX))
        };
        let (low, high) = match inside.split_once(',') {
            None => (number(inside), number(inside)),
            Some((low, "")) => (number(low), Some(0)),
            Some((low, high)) => (number(low), number(high)),
        };
        let (Some(low), Some(high)) = (low, high) else { return Ok(None) };
        let open = inside.ends_with(',');
        if low > MAX_REPEAT || high > MAX_REPEAT || (!open && low > high) {
            return Err(format!("invalid repeat count `{{{inside}}}` at byte {}", self.at));
        }
        self.at += inside.len() + 2;
        let _ = write!(self.out, "{{{inside}}}");
        Ok(Some(()))
    }

    /// A backslash and what follows, outside of a set.
    fn escape(&mut self) -> Translated<()> {
        if self.eat("\\Q") {
            let quoted = self.rest().split("\\E").next().unwrap_or_default();
            quoted.chars().for_each(|c| self.literal(c));
            self.at += quoted.len();
            self.eat("\\E");
            return Ok(());
        }
        for (written, meant) in [("\\A", "\\A"), ("\\z", "\\z"), ("\\b", "(?-u:\\b)"), ("\\B", "(?-u:\\B)")] {
            if self.eat(written) {
                self.out.push_str(meant);
                return Ok(());
            }
        }
        if self.set_escape()? {
            return Ok(());
        }
        let c = self.escaped_char()?;
        self.literal(c);
        Ok(())
    }

    /// `\d`, `\pL` and their like, in or outside of a set; whether there was one.
    fn set_escape(&mut self) -> Translated<bool> {
        for (written, meant) in [
            ("\\d", "[0-9]"),
            ("\\D", "[^0-9]"),
            ("\\s", "[\\t\\n\\x{c}\\r\\x{20}]"),
            ("\\S", "[^\\t\\n\\x{c}\\r\\x{20}]"),
            ("\\w", "[0-9A-Za-z_]"),
            ("\\W", "[^0-9A-Za-z_]"),
        ] {
            if self.eat(written) {
                self.out.push_str(meant);
                return Ok(true);
            }
        }
        let begin = self.at;
        let mut negative = match self.rest().as_bytes() {
            [b'\\', b'p', ..] => false,
            [b'\\', b'P', ..] => true,
            _ => return Ok(false),
        };
        self.at += 2;
        let name = if self.eat("{") {
            negative ^= self.eat("^");
            let name = self.rest().split('}').next().unwrap_or_default();
            self.at += name.len();
            if self.eat("}") { name } else { "" }
        } else {
            let from = self.at;
            self.bump();
            &self.pattern[from..self.at]
        };
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphabetic() || c == '_') {
            return Err(format!("invalid character class range at byte {begin}: `{}`", &self.pattern[begin..self.at]));
        }
        let _ = write!(self.out, "\\{}{{{name}}}", if negative { 'P' } else { 'p' });
        Ok(true)
    }

    /// The character that an escape stands for.
    fn escaped_char(&mut self) -> Translated<char> {
        let begin = self.at;
        self.bump();
        let bad = |t: &Self| format!("invalid escape sequence at byte {begin}: `{}`", &t.pattern[begin..t.at]);
        let Some(c) = self.bump() else { return Err(format!("trailing backslash at byte {begin}")) };
        let octal = |c: char| c.to_digit(8);
        let code = match c {
            '1'..='7' if self.peek().and_then(octal).is_none() => return Err(bad(self)), // a back reference
            '0'..='7' => {
                let mut code = octal(c).unwrap_or_default();
                for _ in 0..2 {
                    let Some(digit) = self.peek().and_then(octal) else { break };
                    code = code * 8 + digit;
                    self.bump();
                }
                code
            }
            'x' => {
                let digits = if self.eat("{") {
                    let digits = self.rest().split('}').next().unwrap_or_default();
                    self.at += digits.len();
                    if !self.eat("}") {
                        return Err(bad(self));
                    }
                    digits
                } else {
                    let from = self.at;
                    self.bump();
                    self.bump();
                    &self.pattern[from..self.at]
                };
                let hex = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
                let short = digits.trim_start_matches('0');
                match u32::from_str_radix(if short.is_empty() { "0" } else { short }, 16) {
                    Ok(code) if hex => code,
                    _ => return Err(bad(self)),
                }
            }
            'a' => 7,
            'f' => 0xc,
            'n' => 0xa,
            'r' => 0xd,
            't' => 9,
            'v' => 0xb,
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => u32::from(c),
            _ => return Err(bad(self)),
        };
        char::from_u32(code).ok_or_else(|| bad(self))
    }

    /// A set in brackets.
    fn class(&mut self) -> Translated<()> {
        let begin = self.at;
        self.bump();
        self.out.push('[');
        if self.eat("^") {
            self.out.push('^');
        }
        let mut first = true;
        loop {
            if !first && self.eat("]") {
                self.out.push(']');
                return Ok(());
            }
            first = false;
            if self.named_class()? || (self.rest().starts_with('\\') && self.set_escape()?) {
                continue;
            }
            let from = self.at;
            let low = self.class_char(begin)?;
            let mut high = low;
            if self.rest().starts_with('-') && self.rest().len() > 1 && !self.rest().starts_with("-]") {
                self.bump();
                high = self.class_char(begin)?;
            }
            if high < low {
                return Err(format!("invalid character class range at byte {from}: `{}`", &self.pattern[from..self.at]));
            }
            self.code(low);
            if high > low {
                self.out.push('-');
                self.code(high);
            }
        }
    }

    /// `[:alpha:]` in a set; whether there was one.
    fn named_class(&mut self) -> Translated<bool> {
        let Some((name, _)) = self.rest().strip_prefix("[:").and_then(|rest| rest.split_once(":]")) else { return Ok(false) };
        if !NAMED.contains(&name.strip_prefix('^').unwrap_or(name)) {
            return Err(format!("invalid character class range at byte {}: `[:{name}:]`", self.at));
        }
        self.at += name.len() + 4;
        let _ = write!(self.out, "[:{name}:]");
        Ok(true)
    }

    fn class_char(&mut self, begin: usize) -> Translated<char> {
        match self.peek() {
            Some('\\') => self.escaped_char(),
            Some(_) => Ok(self.bump().unwrap_or_default()),
            None => Err(format!("missing closing ] of the set at byte {begin}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Pattern;

    /// What Go says of each, found by asking it (of the open `\Q`: its parser, which a matcher asks first).
    #[test]
    fn corners_of_gos_syntax() {
        for (pattern, yes, no) in [
            (r"\d+", "12", "١٢"),
            (r"\w", "_", "é"),
            (r"\W", "é", "a"),
            (r"\s", "\t", "\u{b}"),
            (r"\S", "\u{b}", " "),
            (r"a\Q.*\Eb", "a.*b", "axxb"),
            (r"\Qa+", "a+", "aa"),
            (r"a{,3}", "a{,3}", "aaa"),
            (r"a{", "a{", "a"),
            (r"a{01}", "a{01}", "a"),
            (r"a{2,3}", "aaa", "a"),
            (r"a{2,}?b", "aaab", "ab"),
            (r"[a&&b]+", "a&b", "c"),
            (r"[a[b]+", "[ab", "]"),
            (r"[]a]+", "]a", "b"),
            (r"[^]a]", "b", "]"),
            (r"[a-]+", "a-", "b"),
            (r"[\w-]+", "a-", "é"),
            (r"[^\d]", "x", "1"),
            (r"[[:^digit:]x]", "a", "1"),
            (r"[[:alpha:]]", "a", "é"),
            (r"[[:alpha]+", "[:alph", "b"),
            (r"\<", "<", "a"),
            (r"\_\-\/", "_-/", "a"),
            (r"\101\x42\x{43}", "ABC", "abc"),
            (r"\0", "\0", "0"),
            (r"(?i)ab(?-i)c", "ABc", "ABC"),
            (r"(?i-s:a.)b", "Axb", "A\nb"),
            (r"a.b", "a\nb", "ab"),
            (r"(?)a", "a", "b"),
            (r"(?ii)a", "A", "b"),
            (r"(?P<x>a)(?<y>b)", "ab", "a"),
            (r"(?i)k", "\u{212a}", "x"),
            (r"\pL\p{Greek}\p{^Greek}\PL", "aαa1", "aaaa"),
            (r"^a$", "a", "ab"),
            (r"a|b", "b", "ab"),
            (r"(?m)a$\n^b", "a\nb", "a\n\nb"),
            (r"a\bb|a\b-", "a-", "ab"),
            (r"a\Bb", "ab", "a"),
            (r"é\bx", "éx", "éé"),
            (r"x*?", "xx", "y"),
            (r"()|a", "", "b"),
            (r"#a b", "#a b", "#ab"),
        ] {
            let parsed = Pattern::new(pattern).unwrap_or_else(|e| panic!("{e}"));
            assert!(parsed.matches(yes), "{pattern:?} must match {yes:?}");
            assert!(!parsed.matches(no), "{pattern:?} must not match {no:?}");
        }
    }

    #[test]
    fn what_go_refuses() {
        for pattern in [
            "a**",
            "a*+",
            "a{2}{3}",
            "*a",
            "(",
            ")",
            "a)",
            "[a",
            "[b-a]",
            "[[:foo:]]",
            "a{1001}",
            "a{3,2}",
            "(?x)a",
            "(?i",
            "(?-)",
            "(?P<>a)",
            "(?P<a-b>c)",
            "(?=a)",
            "(?P=a)",
            r"\1",
            r"\8",
            r"\C",
            r"\q",
            r"\x",
            r"\x{110000}",
            r"\pX",
            r"\p{",
            r"\u0041",
            r"\Z",
            "\\",
            r"[\b]",
        ] {
            let error = Pattern::new(pattern).expect_err(pattern);
            assert!(!error.why.is_empty() && !error.why.contains('\n'), "{error}");
        }
    }
}
