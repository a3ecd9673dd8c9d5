//! Points in time as RFC 3339 text, to the nanosecond and with their offset, as Go's `time.Time` has them in JSON.

use std::fmt;

use super::Millis;

/// A point in time with the offset it was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timestamp {
    /// Seconds since the Unix epoch; within the years 0 to 9999.
    seconds: i64,
    /// Nanoseconds behind the second, below a thousand million.
    nanos: u32,
    /// Minutes east of UTC.
    offset_minutes: i16,
}

/// Go's zero time, the first second of year 1: "never".
const ZERO_SECONDS: i64 = -62_135_596_800;

impl Default for Timestamp {
    fn default() -> Self {
        Timestamp::ZERO
    }
}

impl Timestamp {
    /// What Go writes for a time that was never set: `0001-01-01T00:00:00Z`.
    pub const ZERO: Timestamp = Timestamp { seconds: ZERO_SECONDS, nanos: 0, offset_minutes: 0 };

    /// A point in milliseconds since the Unix epoch, in UTC; clamped to the years 0 to 9999.
    pub fn from_millis(millis: Millis) -> Self {
        let seconds = millis.div_euclid(1000).clamp(-62_167_219_200, 253_402_300_799);
        let nanos = millis.rem_euclid(1000) as u32 * 1_000_000;
        Timestamp { seconds, nanos, offset_minutes: 0 }
    }

    /// Milliseconds since the Unix epoch, rounded down.
    pub fn millis(self) -> Millis {
        self.seconds * 1000 + i64::from(self.nanos / 1_000_000)
    }

    /// Whether it is Go's zero time.
    pub fn is_zero(self) -> bool {
        self.seconds == ZERO_SECONDS && self.nanos == 0
    }

    /// From RFC 3339 text such as `2026-01-02T15:04:05.5Z`; digits behind the ninth are dropped.
    ///
    /// `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let digits = |from: usize, len: usize| -> Option<i64> {
            let field = bytes.get(from..from + len)?;
            field.iter().try_fold(0i64, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
        };
        let is = |at: usize, byte: u8| (bytes.get(at) == Some(&byte)).then_some(());
        let (year, month, day) = (digits(0, 4)?, digits(5, 2)?, digits(8, 2)?);
        let (hour, minute, second) = (digits(11, 2)?, digits(14, 2)?, digits(17, 2)?);
        for (at, byte) in [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')] {
            is(at, byte)?;
        }
        let in_month = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
        if !in_month || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let mut at = 19;
        let mut nanos = 0;
        if bytes.get(at) == Some(&b'.') {
            let fraction = bytes[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
            if fraction == 0 {
                return None;
            }
            let kept = fraction.min(9);
            nanos = digits(at + 1, kept)? as u32 * 10u32.pow(9 - kept as u32);
            at += 1 + fraction;
        }
        let offset_minutes = match *bytes.get(at)? {
            b'Z' if bytes.len() == at + 1 => 0,
            sign @ (b'+' | b'-') if bytes.len() == at + 6 => {
                let (hours, minutes) = (digits(at + 1, 2)?, digits(at + 4, 2)?);
                is(at + 3, b':')?;
                if hours > 23 || minutes > 59 {
                    return None;
                }
                let minutes = (hours * 60 + minutes) as i16;
                if sign == b'-' { -minutes } else { minutes }
            }
            _ => return None,
        };
        let local = days_since_epoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
        Some(Timestamp { seconds: local - i64::from(offset_minutes) * 60, nanos, offset_minutes })
    }
}

/// As Go's `RFC3339Nano`: trailing zeros of the fraction are left out.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let local = self.seconds + i64::from(self.offset_minutes) * 60;
        let (year, month, day) = date_of(local.div_euclid(86_400));
        let of_day = local.rem_euclid(86_400);
        write!(f, "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60)?;
        if self.nanos > 0 {
            let fraction = format!("{:09}", self.nanos);
            write!(f, ".{}", fraction.trim_end_matches('0'))?;
        }
        match self.offset_minutes {
            0 => f.write_str("Z"),
            m => write!(f, "{}{:02}:{:02}", if m < 0 { '-' } else { '+' }, m.unsigned_abs() / 60, m.unsigned_abs() % 60),
        }
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days of the proleptic Gregorian calendar; years are counted from March so that the leap day comes last.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_both_ways() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", 0),
            ("0001-01-01T00:00:00Z", -62_135_596_800_000),
            ("0000-01-01T00:00:00Z", -62_167_219_200_000),
            ("9999-12-31T23:59:59Z", 253_402_300_799_000),
            ("2024-02-29T12:30:45.5Z", 1_709_209_845_500),
            ("2026-08-22T07:03:01.123456789+02:00", 1_787_374_981_123),
            ("2026-01-02T03:04:05.00000001-09:30", 1_767_357_245_000),
        ] {
            let time = Timestamp::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(time.millis(), millis, "{text}");
            assert_eq!(time.to_string(), text);
        }
        assert_eq!(Timestamp::parse("2026-01-01T00:00:00.1000+00:00").unwrap().to_string(), "2026-01-01T00:00:00.1Z");
        assert!(Timestamp::default().is_zero());
    }

    #[test]
    fn every_day_of_eight_centuries() {
        let mut expected = days_since_epoch(1600, 1, 1);
        for year in 1600..2400 {
            for month in 1..=12 {
                for day in 1..=days_in_month(year, month) {
                    assert_eq!(days_since_epoch(year, month, day), expected);
                    assert_eq!(date_of(expected), (year, month, day));
                    expected += 1;
                }
            }
        }
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01t00:00:00Z",
            "2026-01-01T00:00:60Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00Zx",
            "2026-01-01T00:00:00+0100",
            "2026-01-01T00:00:00+24:00",
            "+026-01-01T00:00:00Z",
            "2026-01-01T00:00:00\u{e9}",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }
}
