//! Numbers, times and durations as Go prints them, because listings are compared with Thanos' byte for byte.

use std::fmt::Write;

use blockyard::model::Millis;
use jiff::tz::TimeZone;

/// Nanoseconds of a length of time; wraps around as Go's 64-bit durations do.
pub(crate) fn nanos(len_ms: Millis) -> i64 {
    len_ms.wrapping_mul(1_000_000)
}

/// A duration in nanoseconds as Go's `time.Duration` prints it: `48h0m0s`, `1.5s`, `932.411µs`, `0s`.
pub(crate) fn duration(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let n = nanos.unsigned_abs();
    if n == 0 {
        return "0s".into();
    }
    if n < 1_000_000_000 {
        let (unit, per, digits) = match n {
            0..1_000 => ("ns", 1, 0),
            1_000..1_000_000 => ("µs", 1_000, 3),
            _ => ("ms", 1_000_000, 6),
        };
        return format!("{sign}{}{unit}", fraction(n / per, n % per, digits));
    }
    let seconds = n / 1_000_000_000;
    let mut out = sign.to_owned();
    if seconds >= 3600 {
        let _ = write!(out, "{}h", seconds / 3600);
    }
    if seconds >= 60 {
        let _ = write!(out, "{}m", seconds / 60 % 60);
    }
    let _ = write!(out, "{}s", fraction(seconds % 60, n % 1_000_000_000, 9));
    out
}

/// `whole.part` with `digits` digits of part, trailing zeros and an empty part left out.
fn fraction(whole: u64, part: u64, digits: usize) -> String {
    if part == 0 {
        return whole.to_string();
    }
    let text = format!("{whole}.{part:0digits$}");
    text.trim_end_matches('0').to_owned()
}

/// A whole number with commas between thousands.
pub(crate) fn thousands(value: i128) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if value < 0 {
        out.push('-');
    }
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A time in RFC 3339 with whole seconds; milliseconds are cut towards zero, as upstream does.
pub(crate) fn rfc3339(time: Millis, zone: &TimeZone) -> String {
    let Ok(time) = jiff::Timestamp::from_second(time / 1000) else {
        // years that RFC 3339 cannot say
        return format!("@{}", time / 1000);
    };
    let local = time.to_zoned(zone.clone());
    let offset = local.offset().seconds();
    let mut out = local.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    match offset {
        0 => out.push('Z'),
        _ => {
            let minutes = offset.abs() / 60;
            let _ = write!(out, "{}{:02}:{:02}", if offset < 0 { '-' } else { '+' }, minutes / 60, minutes % 60);
        }
    }
    out
}

/// Bytes for people: `12.3 MiB`, exact below one KiB.
pub(crate) fn bytes(len_bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if len_bytes < 1024 {
        return format!("{len_bytes} B");
    }
    let mut value = len_bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A string in double quotes as Go's `%q` has it.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if (c as u32) < 0x20 || c == '\u{7f}' => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Undoes Go's quoting: `"…"` with escapes, `` `…` `` without; `None` when it is neither.
pub(crate) fn unquote(text: &str) -> Option<String> {
    if let Some(raw) = text.strip_prefix('`').and_then(|t| t.strip_suffix('`')) {
        return (!raw.contains('`')).then(|| raw.replace('\r', ""));
    }
    let inner = text.strip_prefix('"')?.strip_suffix('"').filter(|_| text.len() >= 2)?;
    let mut out = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c == '"' || c == '\n' {
            return None;
        }
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let escape = chars.next()?;
        let mut digits = |count: usize, radix: u32, first: u32| -> Option<u32> {
            (0..count).try_fold(first, |value, _| value.checked_mul(radix)?.checked_add(chars.next()?.to_digit(radix)?))
        };
        let code = match escape {
            'u' => char::from_u32(digits(4, 16, 0)?)?,
            'U' => char::from_u32(digits(8, 16, 0)?)?,
            'x' => {
                out.push(digits(2, 16, 0)? as u8);
                continue;
            }
            '0'..='7' => {
                out.push(u8::try_from(digits(2, 8, escape.to_digit(8)?)?).ok()?);
                continue;
            }
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'v' => '\u{b}',
            '"' | '\\' => escape,
            _ => return None,
        };
        out.extend_from_slice(code.encode_utf8(&mut [0; 4]).as_bytes());
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_go_prints_them() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (932_411, "932.411µs"),
            (2_200_000, "2.2ms"),
            (3_300_000_000, "3.3s"),
            (245_000_000_000, "4m5s"),
            (172_800_000_000_000, "48h0m0s"),
            (-28_800_000_000_000, "-8h0m0s"),
            (300_000_000_000, "5m0s"),
            (i64::MIN, "-2562047h47m16.854775808s"),
            (i64::MAX, "2562047h47m16.854775807s"),
        ] {
            assert_eq!(duration(nanos), text);
        }
    }

    #[test]
    fn numbers_and_times() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_000), "1,000");
        assert_eq!(thousands(-1_234_567), "-1,234,567");
        assert_eq!(rfc3339(1_767_571_200_999, &TimeZone::UTC), "2026-01-05T00:00:00Z");
        assert_eq!(rfc3339(-1, &TimeZone::UTC), "1970-01-01T00:00:00Z");
        let east = TimeZone::fixed(jiff::tz::offset(5).saturating_add(jiff::SignedDuration::from_mins(30)));
        assert_eq!(rfc3339(0, &east), "1970-01-01T05:30:00+05:30");
        assert_eq!(rfc3339(i64::MAX, &TimeZone::UTC), "@9223372036854775");
        assert_eq!((bytes(1023), bytes(1024), bytes(177_209_344)), ("1023 B".into(), "1.0 KiB".into(), "169.0 MiB".into()));
    }

    #[test]
    fn quotes_both_ways() {
        for text in ["", "a", "a\"b\\c", "line\nnext\ttab", "é€😀", "\u{1}\u{7f}"] {
            assert_eq!(unquote(&quote(text)).as_deref(), Some(text));
        }
        assert_eq!(unquote("`a\\n`").as_deref(), Some("a\\n"));
        assert_eq!(unquote(r#""\u00e9\101""#).as_deref(), Some("éA"));
        for bad in ["", "a", "\"", "\"a", "\"a\"b\"", r#""\q""#, r#""\x1""#] {
            assert_eq!(unquote(bad), None, "{bad}");
        }
    }
}
