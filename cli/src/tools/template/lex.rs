//! From text to pieces: plain text, and the words of each action.

/// A word of an action.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// `.`
    Dot,
    /// `.Name`, directly after what came before when `joined`.
    Field { name: String, joined: bool },
    /// `$` or `$name`.
    Variable(String),
    /// A keyword, function or constant.
    Word(String),
    /// A number.
    Number(String),
    /// A character constant.
    Char(char),
    /// A string, quotes undone.
    Str { value: String, source: String },
    /// One of `( ) | , = :=`.
    Sign(&'static str),
}

/// A token and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) at: Place,
    /// Whether blanks stood before it.
    pub(super) spaced: bool,
}

/// A line from 1, and a column in bytes from 0, as Go counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    /// Printed as it is.
    Text(String),
    /// `{{ … }}`.
    Action(Vec<Placed>, Place),
}

/// Splits a template.
pub(super) fn pieces(source: &str) -> Result<Vec<Piece>, String> {
    let mut out = Vec::new();
    let mut at = 0;
    let mut trim_next = false;
    loop {
        let open = source[at..].find("{{").map(|i| at + i);
        let mut text = &source[at..open.unwrap_or(source.len())];
        if trim_next {
            text = text.trim_start_matches(blank);
        }
        let Some(open) = open else {
            if !text.is_empty() {
                out.push(Piece::Text(text.to_owned()));
            }
            return Ok(out);
        };
        let mut inner = open + 2;
        if source[inner..].starts_with('-') && source[inner + 1..].starts_with(blank) {
            text = text.trim_end_matches(blank);
            inner += 2;
        }
        if !text.is_empty() {
            out.push(Piece::Text(text.to_owned()));
        }
        let line = place(source, inner).line;
        let after_blanks = &source[inner..];
        if let Some(comment) = after_blanks.trim_start_matches(blank).strip_prefix("/*") {
            let end = comment.find("*/").ok_or_else(|| format!("template: :{line}: unclosed comment"))?;
            let rest = &comment[end + 2..];
            let (rest, trimmed) =
                close(rest).ok_or_else(|| format!("template: :{line}: comment ends before closing delimiter"))?;
            at = source.len() - rest.len();
            trim_next = trimmed;
            continue;
        }
        let (tokens, rest, trimmed) = action(source, inner)?;
        out.push(Piece::Action(tokens, place(source, inner)));
        at = rest;
        trim_next = trimmed;
    }
}

fn blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// What is behind `}}` or ` -}}`, and whether it trims; `None` when no delimiter is next.
fn close(rest: &str) -> Option<(&str, bool)> {
    if let Some(rest) = rest.strip_prefix("}}") {
        return Some((rest, false));
    }
    let trimmed = rest.trim_start_matches(blank);
    if trimmed.len() < rest.len()
        && let Some(rest) = trimmed.strip_prefix("-}}")
    {
        return Some((rest, true));
    }
    trimmed.strip_prefix("}}").map(|rest| (rest, false))
}

fn place(source: &str, at: usize) -> Place {
    let before = &source[..at];
    let line = before.matches('\n').count() + 1;
    Place { line, column: at - before.rfind('\n').map_or(0, |i| i + 1) }
}

/// The words of one action from byte `at`; returns where the text goes on and whether it is trimmed.
fn action(source: &str, mut at: usize) -> Result<(Vec<Placed>, usize, bool), String> {
    let mut tokens: Vec<Placed> = Vec::new();
    let start = at;
    loop {
        let rest = &source[at..];
        let here = place(source, at);
        let wrong = |why: String| format!("template: :{}: {why}", here.line);
        if let Some((after, trimmed)) = close(rest) {
            return Ok((tokens, source.len() - after.len(), trimmed));
        }
        let spaced = at > start && source[..at].ends_with(blank);
        let Some(first) = rest.chars().next() else { return Err(wrong("unclosed action".into())) };
        if blank(first) {
            at += first.len_utf8();
            continue;
        }
        let (token, len) = match first {
            '(' => (Token::Sign("("), 1),
            ')' => (Token::Sign(")"), 1),
            '|' => (Token::Sign("|"), 1),
            ',' => (Token::Sign(","), 1),
            '=' => (Token::Sign("="), 1),
            ':' if rest.starts_with(":=") => (Token::Sign(":="), 2),
            '.' if !rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                let len = word_len(&rest[1..]);
                if len == 0 {
                    (Token::Dot, 1)
                } else {
                    let joined = !spaced
                        && tokens.last().is_some_and(|t| {
                            matches!(t.token, Token::Field { .. } | Token::Variable(_) | Token::Sign(")") | Token::Word(_))
                        });
                    (Token::Field { name: rest[1..=len].to_owned(), joined }, len + 1)
                }
            }
            '$' => {
                let len = 1 + word_len(&rest[1..]);
                (Token::Variable(rest[..len].to_owned()), len)
            }
            '"' | '`' => {
                let len = quoted_len(rest, first)
                    .ok_or_else(|| wrong(format!("unterminated {}quoted string", if first == '`' { "raw " } else { "" })))?;
                let source = rest[..len].to_owned();
                let Some(value) = super::super::text::unquote(&source) else { return Err(wrong("invalid syntax".into())) };
                (Token::Str { value, source }, len)
            }
            '\'' => {
                let len = quoted_len(rest, '\'').ok_or_else(|| wrong("unterminated character constant".into()))?;
                let inner = &rest[1..len - 1];
                let inner = if inner == "\\'" { "'" } else { inner };
                let value = super::super::text::unquote(&format!("\"{}\"", inner.replace('"', "\\\"")));
                let mut chars = value.as_deref().unwrap_or("").chars();
                match (chars.next(), chars.next()) {
                    (Some(c), None) => (Token::Char(c), len),
                    _ => return Err(wrong(format!("malformed character constant: {}", &rest[..len]))),
                }
            }
            c if c.is_ascii_digit()
                || c == '.'
                || ((c == '-' || c == '+') && rest[1..].starts_with(|d: char| d.is_ascii_digit() || d == '.')) =>
            {
                let len =
                    rest[1..].find(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '_')).map_or(rest.len(), |i| i + 1);
                (Token::Number(rest[..len].to_owned()), len)
            }
            c if c == '_' || c.is_alphabetic() => {
                let len = word_len(rest);
                (Token::Word(rest[..len].to_owned()), len)
            }
            c => return Err(wrong(format!("unexpected {c:?} in command"))),
        };
        tokens.push(Placed { token, at: here, spaced });
        at += len;
    }
}

fn word_len(text: &str) -> usize {
    text.find(|c: char| !(c == '_' || c.is_alphanumeric())).unwrap_or(text.len())
}

/// The length of a quoted run with both quotes.
fn quoted_len(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (i, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote != '`' => escaped = true,
            '\n' if quote != '`' => return None,
            c if c == quote => return Some(i + 1),
            _ => {}
        }
    }
    None
}
