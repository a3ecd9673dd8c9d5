//! Values that a template sees, and how Go prints them.

use std::collections::BTreeMap;
use std::fmt::Write;

/// A value of a template: what Go's reflection would have found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// Nothing: a nil pointer or interface.
    Nil,
    /// A key that a map does not have.
    Absent,
    /// `bool`.
    Bool(bool),
    /// `int`, which is what literals and `len` are.
    Plain(i64),
    /// `int64`.
    Int(i64),
    /// `uint64`.
    Uint(u64),
    /// `float64`.
    Float(f64),
    /// `string`.
    Str(String),
    /// A slice.
    List(Vec<Value>),
    /// A map with string keys.
    Map(BTreeMap<String, Value>),
    /// A struct.
    Struct(Struct),
    /// `time.Time`, in UTC.
    Time(Time),
}

/// Fields in order, methods that take nothing, and the text of its `String` method where it has one.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Struct {
    name: &'static str,
    fields: Vec<(&'static str, Value)>,
    /// Fields of embedded structs and results of methods: found by name, not printed.
    hidden: Vec<(&'static str, Value)>,
    shown: Option<String>,
}

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Time {
    /// Nanoseconds since the Unix epoch.
    pub(crate) nanos: i128,
}

impl Struct {
    /// No fields yet; `name` is Go's name of the type.
    pub(crate) fn new(name: &'static str) -> Self {
        Struct { name, ..Struct::default() }
    }

    /// One more field.
    pub(crate) fn field(mut self, name: &'static str, value: Value) -> Self {
        self.fields.push((name, value));
        self
    }

    /// One more method that takes nothing (or a promoted field).
    pub(crate) fn method(mut self, name: &'static str, value: Value) -> Self {
        self.hidden.push((name, value));
        self
    }

    /// What `String()` returns.
    pub(crate) fn shown(mut self, text: impl Into<String>) -> Self {
        self.shown = Some(text.into());
        self
    }

    /// `outer` with this struct as its embedded field `name`: found by that name, and its fields and methods as if
    /// they were the outer one's.
    pub(crate) fn promoted_into(self, outer: Struct, name: &'static str) -> Struct {
        let inner = self.fields.iter().chain(&self.hidden).cloned();
        let hidden = outer.hidden.iter().cloned().chain(inner).collect();
        Struct { hidden, ..outer }.field(name, Value::Struct(self))
    }

    /// A field or method.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.fields.iter().chain(&self.hidden).find(|(n, _)| *n == name).map(|(_, v)| v)
    }
}

impl Value {
    /// Go's name of the type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Value::Nil | Value::Absent => "interface {}",
            Value::Bool(_) => "bool",
            Value::Plain(_) => "int",
            Value::Int(_) => "int64",
            Value::Uint(_) => "uint64",
            Value::Float(_) => "float64",
            Value::Str(_) => "string",
            Value::List(_) => "[]interface {}",
            Value::Map(_) => "map[string]string",
            Value::Struct(s) => s.name,
            Value::Time(_) => "time.Time",
        }
    }

    /// Whether `if` and `with` take it as true.
    pub(super) fn truth(&self) -> bool {
        match self {
            Value::Nil | Value::Absent => false,
            Value::Bool(b) => *b,
            Value::Plain(i) | Value::Int(i) => *i != 0,
            Value::Uint(u) => *u != 0,
            Value::Float(f) => *f != 0.0,
            Value::Str(s) => !s.is_empty(),
            Value::List(l) => !l.is_empty(),
            Value::Map(m) => !m.is_empty(),
            Value::Struct(_) | Value::Time(_) => true,
        }
    }

    /// As a whole number, where it is one.
    pub(super) fn as_integer(&self) -> Option<i128> {
        match self {
            Value::Plain(i) | Value::Int(i) => Some((*i).into()),
            Value::Uint(u) => Some((*u).into()),
            _ => None,
        }
    }

    /// As Go's `fmt.Fprint` and `%v` print it.
    pub(super) fn print(&self) -> String {
        let mut out = String::new();
        self.print_to(&mut out, false);
        out
    }

    /// As `%+v` prints it: structs with names of fields.
    pub(super) fn print_with_names(&self) -> String {
        let mut out = String::new();
        self.print_to(&mut out, true);
        out
    }

    fn print_to(&self, out: &mut String, names: bool) {
        match self {
            Value::Nil => out.push_str("<nil>"),
            Value::Absent => out.push_str("<no value>"),
            Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Value::Plain(i) | Value::Int(i) => {
                let _ = write!(out, "{i}");
            }
            Value::Uint(u) => {
                let _ = write!(out, "{u}");
            }
            Value::Float(f) => out.push_str(&float(*f)),
            Value::Str(s) => out.push_str(s),
            Value::List(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(' ');
                    }
                    item.print_to(out, names);
                }
                out.push(']');
            }
            Value::Map(entries) => {
                out.push_str("map[");
                for (i, (key, value)) in entries.iter().enumerate() {
                    if i > 0 {
                        out.push(' ');
                    }
                    out.push_str(key);
                    out.push(':');
                    value.print_to(out, names);
                }
                out.push(']');
            }
            Value::Struct(Struct { shown: Some(text), .. }) => out.push_str(text),
            Value::Struct(s) => {
                out.push('{');
                for (i, (name, value)) in s.fields.iter().enumerate() {
                    if i > 0 {
                        out.push(' ');
                    }
                    if names {
                        out.push_str(name);
                        out.push(':');
                    }
                    value.print_to(out, names);
                }
                out.push('}');
            }
            Value::Time(t) => {
                out.push_str(&t.format("2006-01-02 15:04:05"));
                let part = t.nanos.rem_euclid(1_000_000_000);
                if part != 0 {
                    let _ = write!(out, ".{}", format!("{part:09}").trim_end_matches('0'));
                }
                out.push_str(" +0000 UTC");
            }
        }
    }
}

/// A float as Go's `%v`: shortest, with an exponent below 1e-4 and from 1e21.
pub(super) fn float(f: f64) -> String {
    if f.is_nan() {
        return "NaN".into();
    }
    if f.is_infinite() {
        return if f > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    let size = f.abs();
    if size != 0.0 && !(1e-4..1e21).contains(&size) {
        let text = format!("{f:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |e| ('-', e));
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    format!("{f}")
}

impl Time {
    /// By Go's layout: the reference time 2006-01-02 15:04:05 in the wanted form.
    pub(super) fn format(self, layout: &str) -> String {
        // longest first, so that `2006` is not read as `2`
        const PARTS: [(&str, &str); 24] = [
            ("January", "%B"),
            ("Monday", "%A"),
            ("Z07:00", "Z"),
            ("-07:00", "+00:00"),
            ("-0700", "+0000"),
            ("2006", "%Y"),
            (".000000000", ".%9f"),
            (".000000", ".%6f"),
            (".000", ".%3f"),
            ("Jan", "%b"),
            ("Mon", "%a"),
            ("MST", "UTC"),
            ("01", "%m"),
            ("02", "%d"),
            ("03", "%I"),
            ("04", "%M"),
            ("05", "%S"),
            ("06", "%y"),
            ("15", "%H"),
            ("PM", "%p"),
            ("_2", "%e"),
            ("1", "%-m"),
            ("2", "%-d"),
            ("3", "%-I"),
        ];
        let Ok(moment) = jiff::Timestamp::from_nanosecond(self.nanos) else { return format!("@{}", self.nanos / 1_000_000_000) };
        let moment = moment.to_zoned(jiff::tz::TimeZone::UTC);
        let mut out = String::new();
        let mut rest = layout;
        while let Some(first) = rest.chars().next() {
            if let Some((part, how)) = PARTS.iter().find(|(part, _)| rest.starts_with(part)) {
                out.push_str(&moment.strftime(how).to_string());
                rest = &rest[part.len()..];
            } else {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        out
    }

    /// A method that takes nothing.
    pub(super) fn method(self, name: &str) -> Option<Value> {
        Some(match name {
            "Unix" => Value::Int(self.nanos.div_euclid(1_000_000_000) as i64),
            "UnixMilli" => Value::Int(self.nanos.div_euclid(1_000_000) as i64),
            "UnixNano" => Value::Int(self.nanos as i64),
            "IsZero" => Value::Bool(self.nanos == ZERO_NANOS),
            "UTC" => Value::Time(self),
            "Year" => Value::Plain(self.format("2006").parse().ok()?),
            "Day" => Value::Plain(self.format("2").parse().ok()?),
            "Month" => Value::Str(self.format("January")),
            "String" => Value::Str(Value::Time(self).print()),
            _ => return None,
        })
    }
}

/// Go's zero time, 0001-01-01T00:00:00Z.
const ZERO_NANOS: i128 = -62_135_596_800 * 1_000_000_000;
