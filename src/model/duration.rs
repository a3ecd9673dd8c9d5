//! Lengths of time as Prometheus reads them and as Go prints them.

use super::Millis;

/// The longest length that upstream can count, which is 2 to the 63 nanoseconds.
const LONGEST: u64 = (i64::MAX / 1_000_000) as u64;

/// Prometheus' `model.ParseDuration`: whole numbers, units from y to ms in that order, `0` without one.
///
/// # Errors
/// A sentence that names the text and what is wrong with it.
pub fn parse_duration(text: &str) -> Result<Millis, String> {
    let bad = || format!("not a duration: {text:?} (such as 30d, 1w, 12h30m; no fractions)");
    if text == "0" {
        return Ok(0);
    }
    let (mut rest, mut last, mut total) = (text, 0, 0u64);
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let number: u64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (place, ms) = match &rest[..end] {
            "y" => (1, 365 * 86_400_000),
            "w" => (2, 7 * 86_400_000),
            "d" => (3, 86_400_000),
            "h" => (4, 3_600_000),
            "m" => (5, 60_000),
            "s" => (6, 1_000),
            "ms" => (7, 1),
            unit => return Err(format!("{text:?} has the unit {unit:?}, which is none of y, w, d, h, m, s, ms")),
        };
        if place <= last {
            return Err(bad());
        }
        last = place;
        total = number.checked_mul(ms).and_then(|n| total.checked_add(n)).unwrap_or(u64::MAX);
        if total > LONGEST {
            return Err(format!("{text:?} is longer than 292 years"));
        }
        rest = &rest[end..];
    }
    Ok(total as i64)
}

/// A length of time as Go's `time.Duration` prints it: `48h0m0s`, `1m0.5s`, `20ms`, `0s`.
pub fn go_duration_text(length: Millis) -> String {
    let (sign, ms) = (if length < 0 { "-" } else { "" }, length.unsigned_abs());
    match ms {
        0 => return "0s".to_owned(),
        1..1000 => return format!("{sign}{ms}ms"),
        _ => {}
    }
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    let fraction = match ms % 1000 {
        0 => String::new(),
        part => format!(".{part:03}").trim_end_matches('0').to_owned(),
    };
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}{fraction}s"),
        (0, _) => format!("{sign}{minutes}m{seconds}{fraction}s"),
        _ => format!("{sign}{hours}h{minutes}m{seconds}{fraction}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_prometheus_has_them() {
        let table = [
            ("0", 0),
            ("0d", 0),
            ("48h", 172_800_000),
            ("1w", 604_800_000),
            ("1d12h", 129_600_000),
            ("1y", 31_536_000_000),
            ("5ms", 5),
        ];
        for (text, ms) in table {
            assert_eq!(parse_duration(text), Ok(ms), "{text}");
        }
        for text in ["", "-1h", "1.5h", "30m1h", "1h1h", "90", "d", "1ns", "300y", "99999999999999999999d", "1 s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_as_go_prints_them() {
        for (ms, text) in [
            (0, "0s"),
            (20, "20ms"),
            (1_500, "1.5s"),
            (60_000, "1m0s"),
            (86_400_000, "24h0m0s"),
            (2_592_000_050, "720h0m0.05s"),
            (-5_400_000, "-1h30m0s"),
        ] {
            assert_eq!(go_duration_text(ms), text);
        }
    }
}
