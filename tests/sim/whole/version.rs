//! How a version answers.

use super::traffic::{SECOND, User};
use serinus_sim::draw::Draw;

/// Of the logarithm of a duration.
const SIGMA: f64 = 0.5;

/// The median duration of an answer.
pub const MEDIAN_US: f64 = 20_000.0;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Version {
    /// A user's share of errors, as a multiple of what it is at the old version.
    pub error_ratio: f64,
    /// What an error takes; `None` for as long as an answer.
    pub error_takes_us: Option<u64>,
    pub median_us: f64,
    /// So many answers of all
    pub slow_share: f64,
    /// take so many times as long.
    pub slowness: f64,
}

pub struct Answer {
    pub fails: bool,
    pub takes_us: u64,
}

impl Version {
    pub const GOOD: Self = Self {
        error_ratio: 1.0,
        error_takes_us: None,
        median_us: MEDIAN_US,
        slow_share: 0.0,
        slowness: 1.0,
    };

    /// `trouble`: the share of requests that fail whatever the version.
    pub fn answer(&self, user: &User, trouble: f64, draw: &mut Draw) -> Answer {
        let own = (user.rate() * self.error_ratio).min(1.0);
        let fails = draw.chance(1.0 - (1.0 - own) * (1.0 - trouble));
        let times = if draw.chance(self.slow_share) {
            self.slowness
        } else {
            1.0
        };
        let takes_us = (self.median_us * times * (SIGMA * draw.normal()).exp()) as u64;
        Answer {
            fails,
            takes_us: match self.error_takes_us {
                Some(takes_us) if fails => takes_us,
                _ => takes_us,
            },
        }
    }

    pub fn with_errors(error_ratio: f64) -> Self {
        Self {
            error_ratio,
            ..Self::GOOD
        }
    }

    pub fn failing_after(self, seconds: f64) -> Self {
        Self {
            error_takes_us: Some((seconds * SECOND as f64) as u64),
            ..self
        }
    }
}
