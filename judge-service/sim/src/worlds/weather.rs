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
    /// From a request on: the highest factor, and the request up to which it is known to
    /// be the highest.
    pub(super) fn stretch(&self, at: u64) -> (f64, u64) {
        let place = |time: f64| (time * self.requests).ceil() as u64;
        match self.weather {
            Weather::Calm => (1.0, u64::MAX),
            Weather::Turning { from, to } => (from.max(to), u64::MAX),
            Weather::Daily { swing, .. } => (1.0 + swing, u64::MAX),
            Weather::Outage { from, to, .. } => {
                let next = [place(from), place(to)].into_iter().find(|&end| end > at);
                (self.times(at), next.unwrap_or(u64::MAX))
            }
            Weather::Bursts { length, .. } => {
                let begun = self.bursts.partition_point(|&start| start <= at);
                let next = self.bursts.get(begun).copied();
                let last = begun.checked_sub(1).and_then(|last| self.bursts.get(last));
                let end = last.map(|start| start + length).filter(|&end| end > at);
                let nearest = next.into_iter().chain(end).min();
                (self.times(at), nearest.unwrap_or(u64::MAX))
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_factor_is_above_its_stretch() {
        let weathers = [
            Weather::Turning { from: 1.0, to: 3.0 },
            Weather::Daily {
                swing: 0.8,
                days: 5.0,
            },
            Weather::Outage {
                from: 0.4,
                to: 0.6,
                times: 50.0,
            },
            Weather::Bursts {
                every: 200.0,
                length: 100,
                times: 30.0,
            },
        ];
        for weather in weathers {
            let forecast = weather.forecast(2_000, &mut Draw::new(1, "weather", 0));
            let mut at = 0;
            while at < 2_000 {
                let (most, end) = forecast.stretch(at);
                assert!(end > at);
                for at in at..end.min(2_000) {
                    assert!(forecast.times(at) <= most, "{weather:?} at {at}");
                }
                at = end;
            }
        }
    }
}
