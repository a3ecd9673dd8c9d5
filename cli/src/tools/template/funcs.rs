//! Functions that Go's templates bring along.

use std::cmp::Ordering;
use std::fmt::Write;

use super::printf;
use super::value::Value;

const NAMES: [&str; 19] = [
    "and", "or", "not", "len", "index", "slice", "print", "printf", "println", "html", "js", "urlquery", "eq", "ne", "lt", "le",
    "gt", "ge", "call",
];

/// Why a call failed.
pub(super) enum Wrong {
    /// Too many or too few arguments.
    Count(String),
    /// An argument that the function cannot take.
    Value(String),
}

/// Whether there is a function of that name.
pub(super) fn is_known(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Calls a function.
pub(super) fn call(name: &str, arguments: Vec<Value>) -> Result<Value, Wrong> {
    let at_least = match name {
        "print" | "println" | "html" | "js" | "urlquery" => 0,
        "ne" | "lt" | "le" | "gt" | "ge" => 2,
        _ => 1,
    };
    let at_most = match name {
        "not" | "len" => 1,
        "ne" | "lt" | "le" | "gt" | "ge" => 2,
        _ => usize::MAX,
    };
    let given = arguments.len();
    if given < at_least || given > at_most {
        let want = if at_most == usize::MAX { format!("at least {at_least}") } else { at_least.to_string() };
        return Err(Wrong::Count(format!("wrong number of args for {name}: want {want} got {given}")));
    }
    let value = match name {
        "and" | "or" => arguments.into_iter().last().unwrap_or(Value::Nil),
        "not" => Value::Bool(!arguments[0].truth()),
        "len" => len(&arguments[0])?,
        "index" => index(&arguments)?,
        "slice" => slice(&arguments)?,
        "print" => Value::Str(print(&arguments)),
        "println" => Value::Str(arguments.iter().map(Value::print).collect::<Vec<_>>().join(" ") + "\n"),
        "printf" => match &arguments[0] {
            Value::Str(format) => Value::Str(printf::format(format, &arguments[1..])),
            other => return Err(Wrong::Value(format!("wrong type for value; expected string; got {}", other.type_name()))),
        },
        "html" => Value::Str(escape(&print(&arguments), html)),
        "js" => Value::Str(escape(&print(&arguments), js)),
        "urlquery" => Value::Str(escape(&print(&arguments), url)),
        "eq" => {
            let mut found = false;
            for other in &arguments[1..] {
                found |= equal(&arguments[0], other)?;
            }
            if given < 2 {
                return Err(Wrong::Value("missing argument for comparison".into()));
            }
            Value::Bool(found)
        }
        "ne" => Value::Bool(!equal(&arguments[0], &arguments[1])?),
        "lt" => Value::Bool(order(&arguments[0], &arguments[1])?.is_lt()),
        "le" => Value::Bool(order(&arguments[0], &arguments[1])?.is_le()),
        "gt" => Value::Bool(order(&arguments[0], &arguments[1])?.is_gt()),
        "ge" => Value::Bool(order(&arguments[0], &arguments[1])?.is_ge()),
        _ => return Err(Wrong::Value(format!("non-function of type {}", arguments[0].type_name()))),
    };
    Ok(value)
}

fn wrong<T>(why: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong::Value(why.into()))
}

fn len(value: &Value) -> Result<Value, Wrong> {
    let len = match value {
        Value::Str(s) => s.len(),
        Value::List(l) => l.len(),
        Value::Map(m) => m.len(),
        Value::Nil => return wrong("len of nil pointer"),
        other => return wrong(format!("len of type {}", other.type_name())),
    };
    Ok(Value::Plain(len as i64))
}

fn index(arguments: &[Value]) -> Result<Value, Wrong> {
    let mut value = arguments[0].clone();
    for key in &arguments[1..] {
        value = match (&value, key) {
            (Value::Map(entries), Value::Str(key)) => entries.get(key).cloned().unwrap_or(Value::Str(String::new())),
            (Value::List(items), key) => items[position(key, items.len(), false)?].clone(),
            (Value::Str(text), key) => Value::Uint(text.as_bytes()[position(key, text.len(), false)?].into()),
            (Value::Map(_), other) => return wrong(format!("value has type {}; should be string", other.type_name())),
            (Value::Nil | Value::Absent, _) => return wrong("index of untyped nil"),
            (other, _) => return wrong(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(value)
}

/// `key` as a position below `len`, or up to it when `end` is allowed.
fn position(key: &Value, len: usize, end: bool) -> Result<usize, Wrong> {
    let Some(at) = key.as_integer() else { return wrong(format!("cannot index slice/array with type {}", key.type_name())) };
    match usize::try_from(at) {
        Ok(i) if i < len || (end && i == len) => Ok(i),
        _ => wrong(format!("index out of range: {at}")),
    }
}

fn slice(arguments: &[Value]) -> Result<Value, Wrong> {
    let bounds = &arguments[1..];
    if bounds.len() > 3 {
        return wrong(format!("too many slice indexes: {}", bounds.len()));
    }
    let len = match &arguments[0] {
        Value::Str(_) if bounds.len() == 3 => return wrong("cannot 3-index slice a string"),
        Value::Str(s) => s.len(),
        Value::List(l) => l.len(),
        other => return wrong(format!("can't slice item of type {}", other.type_name())),
    };
    let from = bounds.first().map_or(Ok(0), |b| position(b, len, true))?;
    let to = bounds.get(1).map_or(Ok(len), |b| position(b, len, true))?;
    if from > to {
        return wrong(format!("invalid slice index: {from} > {to}"));
    }
    Ok(match &arguments[0] {
        Value::Str(s) => match s.get(from..to) {
            Some(part) => Value::Str(part.to_owned()),
            None => return wrong("slice cuts a character"),
        },
        Value::List(l) => Value::List(l[from..to].to_vec()),
        _ => Value::Nil,
    })
}

/// As Go's `Sprint`: a blank between operands when neither is a string.
fn print(arguments: &[Value]) -> String {
    let mut out = String::new();
    for (i, value) in arguments.iter().enumerate() {
        if i > 0 && !matches!(value, Value::Str(_)) && !matches!(arguments[i - 1], Value::Str(_)) {
            out.push(' ');
        }
        out.push_str(&value.print());
    }
    out
}

fn equal(a: &Value, b: &Value) -> Result<bool, Wrong> {
    if let (Some(a), Some(b)) = (a.as_integer(), b.as_integer()) {
        return Ok(a == b);
    }
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Float(a), Value::Float(b)) => Ok(a == b),
        (Value::Str(a), Value::Str(b)) => Ok(a == b),
        (Value::Nil | Value::Absent, Value::Nil | Value::Absent) => Ok(true),
        (Value::Struct(a), Value::Struct(b)) => Ok(a == b),
        (Value::Time(a), Value::Time(b)) => Ok(a == b),
        (Value::List(_) | Value::Map(_), _) => wrong(format!("non-comparable type {}: {}", a.print(), a.type_name())),
        _ => wrong("incompatible types for comparison"),
    }
}

fn order(a: &Value, b: &Value) -> Result<Ordering, Wrong> {
    if let (Some(a), Some(b)) = (a.as_integer(), b.as_integer()) {
        return Ok(a.cmp(&b));
    }
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(b).unwrap_or(Ordering::Equal)),
        (Value::Str(a), Value::Str(b)) => Ok(a.cmp(b)),
        (Value::Bool(_) | Value::List(_) | Value::Map(_) | Value::Struct(_) | Value::Time(_), _) => {
            wrong("invalid type for comparison")
        }
        _ => wrong("incompatible types for comparison"),
    }
}

fn escape(text: &str, one: fn(char, &mut String)) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| one(c, &mut out));
    out
}

fn html(c: char, out: &mut String) {
    match c {
        '\0' => out.push('\u{fffd}'),
        '"' => out.push_str("&#34;"),
        '\'' => out.push_str("&#39;"),
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        c => out.push(c),
    }
}

fn js(c: char, out: &mut String) {
    match c {
        '\\' => out.push_str("\\\\"),
        '\'' => out.push_str("\\'"),
        '"' => out.push_str("\\\""),
        '<' | '>' | '&' | '=' | '\0'..='\u{1f}' => {
            let _ = write!(out, "\\u{:04X}", u32::from(c));
        }
        c => out.push(c),
    }
}

fn url(c: char, out: &mut String) {
    match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.' | '~' => out.push(c),
        ' ' => out.push('+'),
        c => c.encode_utf8(&mut [0; 4]).bytes().for_each(|b| {
            let _ = write!(out, "%{b:02X}");
        }),
    }
}
