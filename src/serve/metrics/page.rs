//! A page of metrics as text: Prometheus' own format, and OpenMetrics for who asks for it.
//!
//! *Source*: the Prometheus text format 0.0.4 and OpenMetrics 1.0; numbers are written as Go writes them, so
//! that the `le` of a bucket is the same text as with Thanos.

use std::fmt::Write as _;

use super::Spread;

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format, version 0.0.4.
    Text,
    /// OpenMetrics, version 1.0.
    OpenMetrics,
}

impl Format {
    /// What the header `Accept` prefers; Prometheus' text when it does not say.
    pub fn accepted(header: &str) -> Format {
        let mut best = (0.0, Format::Text);
        for range in header.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let format = match parts.next() {
                Some("application/openmetrics-text") => Format::OpenMetrics,
                Some("text/plain" | "text/*") => Format::Text,
                _ => continue,
            };
            let quality = parts.find_map(|p| p.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
            if quality > best.0 {
                best = (quality, format);
            }
        }
        best.1
    }

    /// The header `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// It only grows; its name ends in `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Values counted by size.
    Histogram,
}

/// A page under way.
pub struct Page {
    format: Format,
    out: String,
}

impl Page {
    /// Nothing yet.
    pub fn new(format: Format) -> Self {
        Page { format, out: String::new() }
    }

    /// Begins a metric; its values follow.
    pub fn family<'a>(&'a mut self, name: &'static str, kind: Type, help: &str) -> Family<'a> {
        let (kind, announced) = match kind {
            Type::Counter if self.format == Format::OpenMetrics => ("counter", name.strip_suffix("_total").unwrap_or(name)),
            Type::Counter => ("counter", name),
            Type::Gauge => ("gauge", name),
            Type::Histogram => ("histogram", name),
        };
        let _ = writeln!(self.out, "# HELP {announced} {}\n# TYPE {announced} {kind}", help.replace('\\', "\\\\"));
        Family { page: self, name }
    }

    /// A metric with one value and no labels.
    pub fn one(&mut self, name: &'static str, kind: Type, help: &str, value: f64) {
        self.family(name, kind, help).value(&[], value);
    }

    /// The text.
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }
}

/// One metric of a page.
pub struct Family<'a> {
    page: &'a mut Page,
    name: &'static str,
}

impl Family<'_> {
    /// A value with its labels.
    pub fn value(&mut self, labels: &[(&str, &str)], value: f64) {
        self.line("", labels, None, value);
    }

    /// Values counted by size, with their labels.
    pub fn spread(&mut self, labels: &[(&str, &str)], spread: &Spread) {
        self.buckets(labels, spread.bounds(), spread.counts(), spread.sum());
    }

    /// The same from numbers: `counts` has one more than `bounds`, for values above all.
    pub fn buckets(&mut self, labels: &[(&str, &str)], bounds: &[f64], counts: &[u64], sum: f64) {
        let mut below = 0;
        for (at, count) in counts.iter().enumerate() {
            below += count;
            let bound = bounds.get(at).copied().unwrap_or(f64::INFINITY);
            self.line("_bucket", labels, Some(bound), below as f64);
        }
        self.line("_sum", labels, None, sum);
        self.line("_count", labels, None, below as f64);
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], bound: Option<f64>, value: f64) {
        let format = self.page.format;
        let out = &mut self.page.out;
        out.push_str(self.name);
        out.push_str(suffix);
        let bound = bound.map(|bound| number(bound, format));
        let labels = labels.iter().copied().chain(bound.as_deref().map(|bound| ("le", bound)));
        let mut open = '{';
        for (name, value) in labels {
            let value = value.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"");
            let _ = write!(out, "{open}{name}=\"{value}\"");
            open = ',';
        }
        out.push_str(if open == ',' { "} " } else { " " });
        out.push_str(&number(value, format));
        out.push('\n');
    }
}

/// A number as Go writes it: the shortest that reads the same, with an exponent from a million on.
fn number(value: f64, format: Format) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    if value.is_nan() {
        return "NaN".to_owned();
    }
    let short = format!("{value:e}");
    let (digits, exponent) = short.split_once('e').unwrap_or((&short, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let text = match exponent {
        -4..6 => format!("{value}"),
        _ => format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()),
    };
    match format {
        Format::OpenMetrics if !text.contains(['.', 'e']) => text + ".0",
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_go_writes_them() {
        let check = |value: f64, text: &str| assert_eq!(number(value, Format::Text), text);
        check(0.0, "0");
        check(1.0, "1");
        check(-2.5, "-2.5");
        check(524_288.0, "524288");
        check(1_048_576.0, "1.048576e+06");
        check(1e9, "1e+09");
        check(1_795_275_076.1, "1.7952750761e+09");
        check(0.001, "0.001");
        check(0.00001, "1e-05");
        check(0.000_012_026_7, "1.20267e-05");
        check(1e21, "1e+21");
        check(f64::INFINITY, "+Inf");
        check(f64::NAN, "NaN");
        assert_eq!(number(3.0, Format::OpenMetrics), "3.0");
        assert_eq!(number(0.25, Format::OpenMetrics), "0.25");
        assert_eq!(number(1e6, Format::OpenMetrics), "1e+06");
    }

    #[test]
    fn both_formats() {
        let page = |format| {
            let mut page = Page::new(format);
            page.family("a_total", Type::Counter, "Counts \\ things.").value(&[("x", "a\"b\\c\nd")], 2.0);
            let mut spread = Spread::new(&[0.5]);
            spread.observe(0.25);
            spread.observe(3.0);
            page.family("b", Type::Histogram, "Sizes").spread(&[("y", "z")], &spread);
            page.one("c", Type::Gauge, "Goes", -1.0);
            page.finish()
        };
        assert_eq!(
            page(Format::Text),
            "# HELP a_total Counts \\\\ things.\n# TYPE a_total counter\na_total{x=\"a\\\"b\\\\c\\nd\"} 2\n\
             # HELP b Sizes\n# TYPE b histogram\nb_bucket{y=\"z\",le=\"0.5\"} 1\nb_bucket{y=\"z\",le=\"+Inf\"} 2\n\
             b_sum{y=\"z\"} 3.25\nb_count{y=\"z\"} 2\n# HELP c Goes\n# TYPE c gauge\nc -1\n"
        );
        assert_eq!(
            page(Format::OpenMetrics),
            "# HELP a Counts \\\\ things.\n# TYPE a counter\na_total{x=\"a\\\"b\\\\c\\nd\"} 2.0\n\
             # HELP b Sizes\n# TYPE b histogram\nb_bucket{y=\"z\",le=\"0.5\"} 1.0\nb_bucket{y=\"z\",le=\"+Inf\"} 2.0\n\
             b_sum{y=\"z\"} 3.25\nb_count{y=\"z\"} 2.0\n# HELP c Goes\n# TYPE c gauge\nc -1.0\n# EOF\n"
        );
    }

    #[test]
    fn the_format_that_is_asked_for() {
        let check = |header, format| assert_eq!(Format::accepted(header), format, "{header}");
        check("", Format::Text);
        check("*/*", Format::Text);
        check("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", Format::Text);
        check("application/openmetrics-text;version=1.0.0;q=0.8,text/plain;q=0.5", Format::OpenMetrics);
        check("application/openmetrics-text;version=1.0.0;q=0.3, text/plain;q=0.5", Format::Text);
        check("application/openmetrics-text;q=0", Format::Text);
    }
}
