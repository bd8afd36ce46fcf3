//! What happens to the error rate of both arms alike.

use crate::draw::Draw;
use std::f64::consts::TAU;

/// Factors of the error rate over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weather {
    Calm,
    /// In a straight line to so many times the rate (or to less of it).
    Turning {
        from: f64,
        to: f64,
    },
    /// `1 + swing sin`, so many times.
    Daily {
        swing: f64,
        days: f64,
    },
    /// So many times the rate in a part of the time.
    Outage {
        from: f64,
        to: f64,
        times: f64,
    },
    /// So many times the rate, for `length` requests, on average every `every`.
    Bursts {
        every: f64,
        length: u64,
        times: f64,
    },
}

/// The weather of one run.
pub(super) struct Forecast {
    weather: Weather,
    requests: f64,
    /// When each burst begins.
    bursts: Vec<u64>,
}

impl Weather {
    pub(super) fn forecast(self, requests: u64, draw: &mut Draw) -> Forecast {
        let mut bursts = Vec::new();
        if let Self::Bursts { every, .. } = self {
            let mut start = draw.exponential(every) as u64;
            while start < requests {
                bursts.push(start);
                start += 1 + draw.exponential(every) as u64;
            }
        }
        Forecast {
            weather: self,
            requests: requests as f64,
            bursts,
        }
    }
}

impl Forecast {
    /// The highest factor.
    pub(super) fn most(&self) -> f64 {
        match self.weather {
            Weather::Calm => 1.0,
            Weather::Turning { from, to } => from.max(to),
            Weather::Daily { swing, .. } => 1.0 + swing,
            Weather::Outage { times, .. } | Weather::Bursts { times, .. } => times.max(1.0),
        }
    }

    /// The factor at a request.
    pub(super) fn times(&self, at: u64) -> f64 {
        let time = at as f64 / self.requests;
        match self.weather {
            Weather::Calm => 1.0,
            Weather::Turning { from, to } => from + (to - from) * time,
            Weather::Daily { swing, days } => 1.0 + swing * libm::sin(TAU * days * time),
            Weather::Outage { from, to, times } => {
                if (from..to).contains(&time) {
                    times
                } else {
                    1.0
                }
            }
            Weather::Bursts { length, times, .. } => {
                let begun = self.bursts.partition_point(|&start| start <= at);
                let last = begun.checked_sub(1).and_then(|last| self.bursts.get(last));
                if last.is_some_and(|&start| at - start < length) {
                    times
                } else {
                    1.0
                }
            }
        }
    }
}
