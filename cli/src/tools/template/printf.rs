//! Go's `Sprintf` for the values of templates.

use super::super::text;
use super::value::{Value, float};

/// Widths and precisions above this are as good as none.
const MAX_WIDTH: usize = 10_000;

#[derive(Default)]
struct Verb {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
    letter: char,
}

/// Formats `arguments` by `format`; mistakes show in the text, as in Go.
pub(super) fn format(format: &str, arguments: &[Value]) -> String {
    let mut out = String::new();
    let mut rest = arguments.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut verb = Verb::default();
        while let Some(flag) = chars.next_if(|c| "-+# 0".contains(*c)) {
            match flag {
                '-' => verb.minus = true,
                '+' => verb.plus = true,
                '#' => verb.sharp = true,
                ' ' => verb.space = true,
                _ => verb.zero = true,
            }
        }
        let mut number = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| -> Option<usize> {
            if chars.next_if_eq(&'*').is_some() {
                return rest.next().and_then(Value::as_integer).and_then(|n| usize::try_from(n).ok()).map(|n| n.min(MAX_WIDTH));
            }
            let mut value = None;
            while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                chars.next();
                value = Some((value.unwrap_or(0) * 10 + digit as usize).min(MAX_WIDTH));
            }
            value
        };
        verb.width = number(&mut chars).unwrap_or(0);
        if chars.next_if_eq(&'.').is_some() {
            verb.precision = Some(number(&mut chars).unwrap_or(0));
        }
        let Some(letter) = chars.next() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        verb.letter = letter;
        if letter == '%' {
            out.push('%');
            continue;
        }
        match rest.next() {
            None => out.push_str(&format!("%!{letter}(MISSING)")),
            Some(value) => out.push_str(&verb.apply(value)),
        }
    }
    let extra: Vec<String> = rest.map(|v| format!("{}={}", v.type_name(), v.print())).collect();
    if !extra.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    out
}

impl Verb {
    fn apply(&self, value: &Value) -> String {
        let text = match (self.letter, value) {
            ('v', Value::Str(s)) if self.sharp => text::quote(s),
            ('v', Value::Float(_)) if self.precision.is_some() => self.float(value),
            ('v', _) if self.plus => value.print_with_names(),
            ('v', _) => value.print(),
            ('T', _) => value.type_name().to_owned(),
            ('t', Value::Bool(_)) => value.print(),
            ('s' | 'q' | 'x' | 'X', Value::Str(_) | Value::Struct(_) | Value::Time(_) | Value::List(_) | Value::Map(_)) => {
                self.string(value)
            }
            ('d' | 'x' | 'X' | 'o' | 'b' | 'c' | 'q' | 'U', _) if value.as_integer().is_some() => {
                return self.integer(value.as_integer().unwrap_or(0));
            }
            ('d', Value::List(_) | Value::Map(_)) => value.print(),
            ('e' | 'E' | 'f' | 'F' | 'g' | 'G', Value::Float(_)) => self.float(value),
            (letter, Value::Nil | Value::Absent) => format!("%!{letter}(<nil>)"),
            (letter, value) => return format!("%!{letter}({}={})", value.type_name(), value.print()),
        };
        self.pad(text, false)
    }

    fn pad(&self, text: String, number: bool) -> String {
        let width = text.chars().count();
        if width >= self.width {
            return text;
        }
        let gap = self.width - width;
        if self.minus {
            return text + &" ".repeat(gap);
        }
        if self.zero {
            let at = usize::from(number && text.starts_with(['-', '+', ' ']));
            return format!("{}{}{}", &text[..at], "0".repeat(gap), &text[at..]);
        }
        " ".repeat(gap) + &text
    }

    fn string(&self, value: &Value) -> String {
        let mut shown = value.print();
        if let Some(precision) = self.precision {
            shown = shown.chars().take(precision).collect();
        }
        match self.letter {
            'q' => text::quote(&shown),
            'x' => shown.bytes().map(|b| format!("{b:02x}")).collect(),
            'X' => shown.bytes().map(|b| format!("{b:02X}")).collect(),
            _ => shown,
        }
    }

    fn integer(&self, value: i128) -> String {
        let size = value.unsigned_abs();
        let digits = match self.letter {
            'x' => format!("{}{size:x}", if self.sharp { "0x" } else { "" }),
            'X' => format!("{}{size:X}", if self.sharp { "0X" } else { "" }),
            'o' => format!("{}{size:o}", if self.sharp { "0" } else { "" }),
            'b' => format!("{size:b}"),
            'c' => return self.pad(character(value).to_string(), false),
            'q' => return self.pad(format!("{:?}", character(value)), false),
            'U' => return self.pad(format!("U+{size:04X}"), false),
            _ => size.to_string(),
        };
        let digits = match self.precision {
            Some(precision) => format!("{digits:0>precision$}"),
            None => digits,
        };
        let sign = match (value < 0, self.plus, self.space) {
            (true, ..) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        };
        self.pad(format!("{sign}{digits}"), true)
    }

    fn float(&self, value: &Value) -> String {
        let Value::Float(f) = *value else { return value.print() };
        let sign = if self.plus && f >= 0.0 { "+" } else { "" };
        let digits = match self.letter {
            _ if !f.is_finite() => float(f),
            'f' | 'F' => format!("{f:.*}", self.precision.unwrap_or(6)),
            'e' | 'E' => {
                let text = format!("{f:.*e}", self.precision.unwrap_or(6));
                let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |e| ('-', e));
                format!("{digits}{}{sign}{exponent:0>2}", self.letter)
            }
            _ => float(f),
        };
        format!("{sign}{digits}")
    }
}

fn character(value: i128) -> char {
    u32::try_from(value).ok().and_then(char::from_u32).unwrap_or('\u{fffd}')
}
