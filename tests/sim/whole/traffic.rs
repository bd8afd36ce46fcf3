//! How many requests come, and of whom.

use serinus_core::request::{Body, Request};
use serinus_sim::draw::Draw;

/// In microseconds, as the filter's clock has it.
pub const SECOND: u64 = 1_000_000;

/// Users of a hundred who fail much more often than the others.
const HEAVY_PERCENT: u64 = 5;
/// And how often they do.
const HEAVY_RATE: f64 = 0.15;
/// Of all requests.
pub const MEAN_RATE: f64 = 0.01;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    pub name: &'static str,
    pub per_minute: u32,
    pub users: u32,
}

pub const SLOW: Traffic = Traffic {
    name: "40 a minute",
    per_minute: 40,
    users: 5_000,
};
pub const USUAL: Traffic = Traffic {
    name: "6,000 a minute",
    per_minute: 6_000,
    users: 20_000,
};
/// As many requests, of fewer users.
pub const FEW_USERS: Traffic = Traffic {
    name: "6,000 a minute, of 2,000 users",
    per_minute: 6_000,
    users: 2_000,
};
pub const FAST: Traffic = Traffic {
    name: "4,000 a second",
    per_minute: 240_000,
    users: 300_000,
};

/// One who asks: a user of this run, whose place no other run knows.
pub struct User {
    key: Vec<u8>,
    rate: f64,
}

/// A request as the filter sees it.
pub struct Asked<'a>(pub &'a User);

// === impl Traffic ===

impl Traffic {
    /// Until the next request: they come independently of each other.
    pub fn gap_us(&self, draw: &mut Draw) -> u64 {
        draw.exponential(self.us(1)) as u64
    }

    /// How long so many requests take on average.
    fn us(&self, requests: u32) -> f64 {
        60.0 * SECOND as f64 * f64::from(requests) / f64::from(self.per_minute)
    }

    /// Two looks of the judge are at least this far apart: a second, and ten requests. It
    /// looks more often in truth, and finds nothing new; here each look is paid for.
    pub fn between_looks_us(&self) -> u64 {
        SECOND.max(self.us(10) as u64)
    }

    /// Somebody; `run` tells the users of one run from those of all others.
    pub fn user(&self, run: u32, draw: &mut Draw) -> User {
        User::new(run, draw.below(self.users))
    }
}

// === impl User ===

impl User {
    fn new(run: u32, number: u32) -> Self {
        let is_heavy = u64::from(number) % 100 < HEAVY_PERCENT;
        let heavy = HEAVY_PERCENT as f64 / 100.0;
        Self {
            key: format!("{run:08x}-{number}").into_bytes(),
            rate: if is_heavy {
                HEAVY_RATE
            } else {
                (MEAN_RATE - heavy * HEAVY_RATE) / (1.0 - heavy)
            },
        }
    }

    /// The share of the user's requests that fail at the old version.
    pub fn rate(&self) -> f64 {
        self.rate
    }
}

// === impl Asked ===

impl Request for Asked<'_> {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        match name {
            ":path" => Some(b"/v2/models/digits/infer".to_vec()),
            "x-user-id" => Some(self.0.key.clone()),
            _ => None,
        }
    }

    fn body(&self) -> Body<'_> {
        Body::Unreadable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_differ_and_fail_once_in_a_hundred_on_average() {
        let all: Vec<User> = (0..1_000).map(|number| User::new(7, number)).collect();
        let mean = all.iter().map(User::rate).sum::<f64>() / 1_000.0;
        assert!((mean - MEAN_RATE).abs() < 1e-9, "{mean}");
        let heavy = all.iter().filter(|user| user.rate() > MEAN_RATE).count();
        assert_eq!(heavy, 50);
    }

    #[test]
    fn looks_are_a_second_or_ten_requests_apart() {
        let seconds = [SLOW, USUAL, FAST].map(|traffic| traffic.between_looks_us() / SECOND);
        assert_eq!(seconds, [15, 1, 1]);
    }
}
