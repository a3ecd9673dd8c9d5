//! Durations, times, sizes and counts as Go programs read them from flags.
//!
//! Two forms of durations live side by side upstream: Go's own (`1.5h`, `-300ms`, `0`) and
//! Prometheus' (`2w`, `1d12h`, no fractions). Each flag keeps the form that it has there.

use blockyard::model::Millis;
pub(crate) use blockyard::model::parse_duration as prom_duration;

/// Go's `time.ParseDuration`, to the millisecond below: `300ms`, `-1.5h`, `2h45m`, `0`.
pub(crate) fn go_duration(text: &str) -> Result<Millis, String> {
    let bad = || format!("not a duration: {text:?} (such as 30s, 5m, 1.5h, 2h45m)");
    let (negative, mut rest) = sign(text);
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(bad());
    }
    let mut nanos = 0f64;
    while !rest.is_empty() {
        let (number, unit, behind) = term(rest).ok_or_else(bad)?;
        let scale = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            "" => return Err(format!("{text:?} has no unit (such as 30s, 5m, 1.5h)")),
            _ => return Err(format!("{text:?} has the unit {unit:?}, which is none of ns, us, ms, s, m, h")),
        };
        nanos += number * scale;
        rest = behind;
    }
    if nanos >= i64::MAX as f64 {
        return Err(format!("{text:?} is longer than 292 years"));
    }
    let ms = (nanos / 1e6) as i64;
    Ok(if negative { -ms } else { ms })
}

/// A point in time, or so long before or after now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeOrAgo {
    /// RFC 3339.
    At(Millis),
    /// Relative to now; negative is the past.
    Relative(Millis),
}

impl TimeOrAgo {
    /// The point in time, seen from `now`.
    pub(crate) fn resolve(self, now: Millis) -> Millis {
        match self {
            TimeOrAgo::At(time) => time,
            TimeOrAgo::Relative(by) => now.saturating_add(by),
        }
    }
}

impl std::str::FromStr for TimeOrAgo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(time) = rfc3339(text) {
            return Ok(TimeOrAgo::At(time));
        }
        let (negative, length) = match text.strip_prefix('-') {
            Some(length) => (true, length),
            None => (false, text),
        };
        let by = prom_duration(length).map_err(|_| {
            format!("{text:?} is neither a time (2026-01-31T00:00:00Z) nor a duration relative to now (-6w, 2h45m)")
        })?;
        Ok(TimeOrAgo::Relative(if negative { -by } else { by }))
    }
}

/// A time in RFC 3339, which wants date, time and offset; years 0000 to 9999.
fn rfc3339(text: &str) -> Option<Millis> {
    let b = text.as_bytes();
    let shape = b.len() >= 20 && b[4] == b'-' && b[7] == b'-' && b[10] == b'T' && b[13] == b':' && b[16] == b':';
    if !shape {
        return None;
    }
    // the library takes what is no RFC 3339 too, such as a zone in brackets or an offset without a colon
    let zone = &text[19 + text[19..].find(['Z', '+', '-'])?..];
    let zoned = zone == "Z" || (zone.len() == 6 && zone.as_bytes()[3] == b':');
    // jiff's own bounds are just inside these two, which are upstream's defaults
    match text {
        "9999-12-31T23:59:59Z" => return Some(253_402_300_799_000),
        _ if !zoned => return None,
        _ => {}
    }
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}

/// A size as `units.ParseBase2Bytes` reads it: `64GB` is `64GiB`, 64 times 2 to the 30.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let bad = || format!("not a size: {text:?} (such as 512MB, 1.5GiB, 64GB; 1 KB is 1024 bytes)");
    let (negative, mut rest) = sign(text);
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() || negative {
        return Err(bad());
    }
    let mut total = 0f64;
    while !rest.is_empty() {
        let (number, unit, behind) = term(rest).ok_or_else(bad)?;
        let power = match unit.strip_suffix("iB").or_else(|| unit.strip_suffix('B')).ok_or_else(bad)? {
            "" => 0,
            "K" => 1,
            "M" => 2,
            "G" => 3,
            "T" => 4,
            "P" => 5,
            "E" => 6,
            _ => return Err(bad()),
        };
        total += number * 1024f64.powi(power);
        rest = behind;
    }
    if total >= i64::MAX as f64 { Err(format!("{text:?} is more than 8 EiB")) } else { Ok(total as u64) }
}

/// A whole number as kingpin reads one: by way of a float, so that `1e3` is a thousand.
pub(crate) fn count(text: &str) -> Result<usize, String> {
    match text.parse::<f64>() {
        Ok(n) if n >= 0.0 && n < u32::MAX.into() && !text.starts_with('+') => Ok(n as usize),
        _ => Err(format!("not a number from 0 to {}: {text:?}", u32::MAX - 1)),
    }
}

/// Names of labels from a flag that may repeat and may hold several, comma-separated: sorted, each once.
pub(crate) fn label_names(given: &[String]) -> Vec<String> {
    let mut names: Vec<String> = given.iter().filter(|g| !g.is_empty()).flat_map(|g| g.split(',')).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

fn sign(text: &str) -> (bool, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    }
}

/// The first `number unit` of `text` and what is behind.
fn term(text: &str) -> Option<(f64, &str, &str)> {
    let number = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let digits = &text[..number];
    if !digits.bytes().any(|b| b.is_ascii_digit()) || digits.matches('.').count() > 1 {
        return None;
    }
    let behind = &text[number..];
    let unit = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
    // `.5` and `5.` are numbers to Go and to Rust
    Some((digits.parse().ok()?, &behind[..unit], &behind[unit..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_go_has_them() {
        let table = [
            ("0", 0),
            ("5m", 300_000),
            ("1.5h", 5_400_000),
            ("-1.5h", -5_400_000),
            ("+2h45m", 9_900_000),
            ("1h1h", 7_200_000),
            (".5s", 500),
            ("300ms", 300),
            ("1500us", 1),
            ("30m0s", 1_800_000),
        ];
        for (text, ms) in table {
            assert_eq!(go_duration(text), Ok(ms), "{text}");
        }
        for text in ["", "-", "90", "1d", "h", "1.2.3s", "5 m", "1e3s", "9999999h"] {
            assert!(go_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_and_ago() {
        use TimeOrAgo::{At, Relative};
        let table = [
            ("0000-01-01T00:00:00Z", At(-62_167_219_200_000)),
            ("9999-12-31T23:59:59Z", At(253_402_300_799_000)),
            ("2026-11-20T22:20:00.5+01:00", At(1_795_209_600_500)),
            ("-6w", Relative(-3_628_800_000)),
            ("2h45m", Relative(9_900_000)),
        ];
        for (text, want) in table {
            assert_eq!(text.parse(), Ok(want), "{text}");
        }
        for text in [
            "",
            "-",
            "garbage",
            "2026-11-20",
            "2026-11-20T22:20:00",
            "2026-11-20 22:20:00Z",
            "-1.5h",
            "2026-11-20T22:20:00Z[UTC]",
        ] {
            assert!(text.parse::<TimeOrAgo>().is_err(), "{text}");
        }
        assert_eq!(Relative(-5).resolve(7), 2);
    }

    #[test]
    fn sizes_are_powers_of_two() {
        let table = [
            ("0", 0),
            ("64GB", 64 << 30),
            ("64GiB", 64 << 30),
            ("1.5KB", 1536),
            ("1MB512KB", (1 << 20) + (512 << 10)),
            ("7B", 7),
        ];
        for (text, n) in table {
            assert_eq!(bytes(text), Ok(n), "{text}");
        }
        for text in ["", "64", "64XB", "-1GB", "GB", "64G", "16EB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn counts_and_names() {
        assert_eq!(count("32"), Ok(32));
        assert_eq!(count("1e3"), Ok(1000));
        for text in ["", "x", "-1", "NaN", "inf", "1e12"] {
            assert!(count(text).is_err(), "{text}");
        }
        let given = ["b,a".to_owned(), String::new(), "b".to_owned()];
        assert_eq!(label_names(&given), ["a", "b"]);
    }
}
