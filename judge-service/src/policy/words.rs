//! Numbers as people say them.

use serinus_stats::sequence::Difference;

/// 0.1 as "10%", 0.0052 as "0.52%".
pub fn percent(fraction: f64) -> String {
    let percent = fraction * 100.0;
    let text = if percent.abs() >= 10.0 || percent == 0.0 {
        format!("{percent:.1}")
    } else {
        format!("{percent:.2}")
    };
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    };
    format!("{text}%")
}

/// ln E as odds: "3 million to 1".
pub fn odds(log_e: f64) -> String {
    if log_e <= 0.0 {
        return "none".to_owned();
    }
    // A number beyond any use; e^41 is about 10^18.
    if log_e > 41.0 {
        return "over a billion billion to 1".to_owned();
    }
    let odds = libm::exp(log_e);
    for (size, name) in [
        (1e15, "million billion"),
        (1e9, "billion"),
        (1e6, "million"),
        (1e3, "thousand"),
    ] {
        if odds >= size {
            return format!("{:.0} {name} to 1", odds / size);
        }
    }
    format!("{odds:.1} to 1")
}

/// Requests that are not known to end well; nothing where there are none.
pub fn hanging(requests: u64) -> String {
    match requests {
        0 => String::new(),
        1 => ", and one under way may hang".to_owned(),
        more => format!(", and {more} under way may hang"),
    }
}

/// How much is still to come before a difference is surely within its margin, as it looks
/// now; nothing where that is not known.
pub fn awaited(difference: Option<Difference>, alpha: f64) -> String {
    let Some(difference) = difference.filter(|difference| difference.canary_events > 0) else {
        return String::new();
    };
    match difference.times_as_many(alpha) {
        // What it waits for is another thing.
        Some(times) if times <= 1.0 => String::new(),
        Some(times) if times < 100.0 => {
            format!("; about {times:.1} times as many requests would show it, if they go on so")
        }
        Some(_) => "; more than a hundred times as many requests would show it".to_owned(),
        None => "; as it is now it is beyond that".to_owned(),
    }
}

pub fn seconds(millis: u64) -> String {
    let seconds = millis / 1_000;
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}

pub fn duration_us(micros: u64) -> String {
    if micros < 1_000 {
        format!("{micros} us")
    } else {
        format!("{:.1} ms", micros as f64 / 1_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_well() {
        assert_eq!(percent(0.1), "10%");
        assert_eq!(percent(0.0052), "0.52%");
        assert_eq!(percent(0.0), "0%");
        assert_eq!(percent(1.0), "100%");
        assert_eq!(odds(15.0), "3 million to 1");
        assert_eq!(odds(1e300), "over a billion billion to 1");
        assert_eq!(odds(-1.0), "none");
        assert_eq!(seconds(7_200_000), "2 h");
        assert_eq!(duration_us(8_250), "8.2 ms");
    }
}
