//! Numbers as people say them.

use std::time::{SystemTime, UNIX_EPOCH};

pub const MISSING: &str = "-";

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// `rolled_back` as people write it.
pub fn plain(name: &str) -> String {
    name.replace('_', " ")
}

/// Without what would move a terminal's cursor, or more: others wrote it.
pub fn clean(text: &str) -> String {
    let seen = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(seen).collect()
}

/// How long ago, `3 min`. The judge's clock may be a little ahead of this one.
pub fn ago(then_ms: u64, now_ms: u64) -> String {
    span(now_ms.saturating_sub(then_ms))
}

pub fn span(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// The time of day in UTC, `22:55:01Z`.
pub fn clock(ms: u64) -> String {
    let seconds = ms / 1_000 % 86_400;
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}Z", seconds % 60)
}

/// Day and time in UTC, `2026-11-27 22:55:01Z`.
pub fn time(ms: u64) -> String {
    let since = i64::try_from(ms).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(since).map_or_else(
        |_| MISSING.to_owned(),
        |time| time.strftime("%F %TZ").to_string(),
    )
}

pub fn duration(micros: Option<u64>) -> String {
    match micros {
        None => MISSING.to_owned(),
        Some(us @ 0..1_000) => format!("{us} us"),
        Some(us @ 1_000..10_000_000) => format!("{:.1} ms", us as f64 / 1_000.0),
        Some(us) => format!("{:.1} s", us as f64 / 1_000_000.0),
    }
}

/// A share as `1.25%`.
pub fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return MISSING.to_owned();
    }
    format!("{:.2}%", part as f64 / whole as f64 * 100.0)
}

/// A difference of shares in percentage points, `+0.42`.
pub fn points(difference: Option<f64>) -> String {
    difference.map_or(MISSING.to_owned(), |x| format!("{:+.2}", x * 100.0))
}

/// `1234567` as `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_well() {
        assert_eq!(ago(1_000, 500), "0 s");
        assert_eq!(span(180_000), "3 min");
        assert_eq!(span(3 * 86_400_000), "3 days");
        assert_eq!(clock(86_400_000 + 3_723_000), "01:02:03Z");
        assert_eq!(duration(Some(8_250)), "8.2 ms");
        assert_eq!(duration(None), "-");
        assert_eq!(share(1, 80), "1.25%");
        assert_eq!(points(Some(-0.004_2)), "-0.42");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(12), "12");
        assert_eq!(clean("a\u{1b}[31mb\nc"), "a [31mb c");
    }
}
