//! Log lines as Thanos writes them: logfmt or JSON with `ts`, `caller`, `level`, `msg` and more, to stderr.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use blockyard::clock::{Clock, SystemClock};
use indicatif::MultiProgress;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// `key=value`, quoted where needed.
    Logfmt,
    /// One object a line, keys in order of the alphabet.
    Json,
    /// Taken for logfmt, with a warning.
    Journald,
}

/// Which lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Filter {
    /// Only errors.
    Error,
    /// Warnings too.
    Warn,
    /// What the program does.
    Info,
    /// Everything.
    Debug,
}

/// Sends log lines of this process to stderr, each with `name` if there is one, above `bars` if there are any.
pub(crate) fn start(filter: Filter, format: Format, name: Option<String>, bars: Option<MultiProgress>) {
    let level = match filter {
        Filter::Error => Level::ERROR,
        Filter::Warn => Level::WARN,
        Filter::Info => Level::INFO,
        Filter::Debug => Level::DEBUG,
    };
    let subscriber = tracing_subscriber::registry().with(Lines { level, format, name, bars });
    // only the first call counts, and there is only one
    drop(tracing::subscriber::set_global_default(subscriber));
}

struct Lines {
    level: Level,
    format: Format,
    name: Option<String>,
    bars: Option<MultiProgress>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn enabled(&self, meta: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        // libraries below us speak of their connections at length
        let most = if meta.target().starts_with("blockyard") { self.level } else { self.level.min(Level::WARN) };
        *meta.level() <= most
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut pairs = Pairs(Vec::new());
        let meta = event.metadata();
        let now = jiff::Timestamp::from_millisecond(SystemClock.now()).unwrap_or_default();
        pairs.0.push(("ts".into(), format!("{now:.3}").into()));
        let file = meta.file().and_then(|f| f.rsplit('/').next()).unwrap_or("unknown");
        pairs.0.push(("caller".into(), format!("{file}:{}", meta.line().unwrap_or(0)).into()));
        pairs.0.push(("level".into(), meta.level().as_str().to_ascii_lowercase().into()));
        if let Some(name) = &self.name {
            pairs.0.push(("name".into(), name.as_str().into()));
        }
        event.record(&mut pairs);
        let mut line = match self.format {
            Format::Json => json(pairs.0),
            Format::Logfmt | Format::Journald => logfmt(&pairs.0),
        };
        line.push('\n');
        // a closed stderr is no reason to stop
        let write = || drop(std::io::stderr().lock().write_all(line.as_bytes()));
        match &self.bars {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }
}

type Pair = (String, serde_json::Value);

struct Pairs(Vec<Pair>);

impl Pairs {
    fn push(&mut self, field: &Field, value: impl Into<serde_json::Value>) {
        let name = if field.name() == "message" { "msg" } else { field.name() };
        self.0.push((name.to_owned(), value.into()));
    }
}

impl Visit for Pairs {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, value);
    }
}

fn json(mut pairs: Vec<Pair>) -> String {
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    serde_json::Value::Object(pairs.into_iter().collect()).to_string()
}

fn logfmt(pairs: &[Pair]) -> String {
    let mut line = String::new();
    for (key, value) in pairs {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(key);
        line.push('=');
        match value {
            serde_json::Value::String(text) if needs_quotes(text) => quote(&mut line, text),
            serde_json::Value::String(text) => line.push_str(text),
            other => {
                let _ = write!(line, "{other}");
            }
        }
    }
    line
}

fn needs_quotes(text: &str) -> bool {
    text == "null" || text.chars().any(|c| c <= ' ' || matches!(c, '=' | '"' | '\x7f' | char::REPLACEMENT_CHARACTER))
}

/// As JSON strings, which is what Go's logfmt does too.
fn quote(line: &mut String, text: &str) {
    line.push_str(&serde_json::Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs() -> Vec<Pair> {
        vec![
            ("ts".into(), "2026-11-21T12:00:00.000Z".into()),
            ("level".into(), "info".into()),
            ("msg".into(), "a \"line\"\nof two".into()),
            ("empty".into(), "".into()),
            ("bytes".into(), 7.into()),
            ("err".into(), "a=b".into()),
        ]
    }

    #[test]
    fn both_forms() {
        assert_eq!(
            logfmt(&pairs()),
            r#"ts=2026-11-21T12:00:00.000Z level=info msg="a \"line\"\nof two" empty= bytes=7 err="a=b""#
        );
        assert_eq!(
            json(pairs()),
            r#"{"bytes":7,"empty":"","err":"a=b","level":"info","msg":"a \"line\"\nof two","ts":"2026-11-21T12:00:00.000Z"}"#
        );
    }
}
