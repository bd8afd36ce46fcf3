//! Times of the week.

use crate::domain::Millis;
use crate::domain::check::minutes;
use crate::domain::spec::{Day, Window};
use jiff::Timestamp;
use jiff::civil::Weekday;

/// Whether it is time, or in words why not.
pub fn open(windows: &[Window], now: Millis) -> Result<(), String> {
    let mut all = Vec::new();
    for window in windows {
        if is_open(window, now)? {
            return Ok(());
        }
        all.push(words(window));
    }
    Err(format!("it is not the time for it: {}", all.join(", or ")))
}

fn is_open(window: &Window, now: Millis) -> Result<bool, String> {
    let at = i64::try_from(now)
        .ok()
        .and_then(|now| Timestamp::from_millisecond(now).ok());
    let at = at.ok_or("the clock says no time of this age")?;
    let there = at.in_tz(&window.zone).map_err(|error| error.to_string())?;
    let today = window.days.is_empty()
        || window
            .days
            .iter()
            .any(|day| weekday(*day) == there.weekday());
    let minute = u32::try_from(there.hour()).unwrap_or_default() * 60
        + u32::try_from(there.minute()).unwrap_or_default();
    let known = |text: &str| minutes(text).ok_or_else(|| format!("`{text}` is no time"));
    Ok(today && (known(&window.from)?..known(&window.to)?).contains(&minute))
}

fn words(window: &Window) -> String {
    let days: Vec<&str> = window.days.iter().map(|day| name(*day)).collect();
    let days = if days.is_empty() {
        "every day".to_owned()
    } else {
        days.join(", ")
    };
    format!(
        "{days} from {} to {} ({})",
        window.from, window.to, window.zone
    )
}

fn weekday(day: Day) -> Weekday {
    match day {
        Day::Mon => Weekday::Monday,
        Day::Tue => Weekday::Tuesday,
        Day::Wed => Weekday::Wednesday,
        Day::Thu => Weekday::Thursday,
        Day::Fri => Weekday::Friday,
        Day::Sat => Weekday::Saturday,
        Day::Sun => Weekday::Sunday,
    }
}

fn name(day: Day) -> &'static str {
    match day {
        Day::Mon => "Mon",
        Day::Tue => "Tue",
        Day::Wed => "Wed",
        Day::Thu => "Thu",
        Day::Fri => "Fri",
        Day::Sat => "Sat",
        Day::Sun => "Sun",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> Millis {
        let time: Timestamp = time.parse().unwrap();
        time.as_millisecond().try_into().unwrap()
    }

    #[test]
    fn no_promotion_on_friday_night() {
        let office = Window {
            days: vec![Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri],
            from: "09:00".to_owned(),
            to: "17:00".to_owned(),
            zone: "Europe/Zurich".to_owned(),
        };
        let is_open = |time: &str| open(std::slice::from_ref(&office), at(time)).is_ok();
        // A Friday; Zurich is an hour ahead in winter, and two in summer.
        assert!(!is_open("2026-11-27T07:59:59Z"));
        assert!(is_open("2026-11-27T08:00:00Z"));
        assert!(is_open("2026-11-27T15:59:59Z"));
        assert!(!is_open("2026-11-27T16:00:00Z"));
        assert!(!is_open("2026-11-28T10:00:00Z"), "a Saturday");
        assert!(is_open("2026-07-03T07:00:00Z"));
        let why = open(&[office], at("2026-11-27T22:00:00Z")).unwrap_err();
        assert!(why.contains("from 09:00 to 17:00 (Europe/Zurich)"), "{why}");
    }

    #[test]
    fn a_night_is_two_windows() {
        let window = |from: &str, to: &str| Window {
            days: Vec::new(),
            from: from.to_owned(),
            to: to.to_owned(),
            zone: "UTC".to_owned(),
        };
        let night = [window("22:00", "24:00"), window("00:00", "06:00")];
        for (time, is_open) in [("23:59:59", true), ("00:00:00", true), ("06:00:00", false)] {
            let found = open(&night, at(&format!("2026-11-27T{time}Z"))).is_ok();
            assert_eq!(found, is_open, "{time}");
        }
    }
}
