//! What the server does wrong, and how often.

use std::time::Duration;

use axum::http::StatusCode;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use serinus_tests::random::Random;

/// The pixels of the lab's images are 0..=16, and its models scale them by 1/16.
const PIXEL_MAX: f32 = 16.0;

/// Ten minutes: longer than any client waits.
const MAX_LATENCY_MS: f64 = 600_000.0;

/// What is wrong with answers that look right: quick, and 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    None,
    /// Feeds the image transposed, as code does that takes columns for rows: most
    /// labels are wrong.
    WrongPreprocessing,
    /// Forgets to scale the pixels: most labels stay right and the probabilities
    /// do not, so that no error rate and no accuracy shows it.
    UnscaledPixels,
}

/// The faults that are set at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Faults {
    /// The share of requests that fail, 0 to 1.
    pub error_rate: f64,
    /// The median latency in milliseconds.
    pub latency_ms: f64,
    /// The sigma of the latency's logarithm.
    pub latency_spread: f64,
    pub fault: Fault,
}

/// A partial update: what is left out stays.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    error_rate: Option<f64>,
    latency_ms: Option<f64>,
    latency_spread: Option<f64>,
    fault: Option<Fault>,
}

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fate {
    pub latency: Duration,
    /// The status to fail with.
    pub failure: Option<StatusCode>,
    pub fault: Fault,
}

// === impl Faults ===

impl Faults {
    /// The faults after a change.
    pub fn with(self, change: Change) -> Self {
        Self {
            error_rate: change.error_rate.unwrap_or(self.error_rate),
            latency_ms: change.latency_ms.unwrap_or(self.latency_ms),
            latency_spread: change.latency_spread.unwrap_or(self.latency_spread),
            fault: change.fault.unwrap_or(self.fault),
        }
    }

    /// Checks every number's range; `width` is the length of the model's input.
    pub fn check(&self, width: usize) -> Result<(), String> {
        let limits = [
            ("error_rate", self.error_rate, 1.0),
            ("latency_ms", self.latency_ms, MAX_LATENCY_MS),
            ("latency_spread", self.latency_spread, 5.0),
        ];
        for (name, number, limit) in limits {
            if !(0.0..=limit).contains(&number) {
                return Err(format!(
                    "{name} is {number}, but must be between 0 and {limit}"
                ));
            }
        }
        let side = width.isqrt();
        if self.fault == Fault::WrongPreprocessing && side * side != width {
            return Err(format!(
                "fault is wrong-preprocessing, but the model's {width} inputs are not a square image"
            ));
        }
        Ok(())
    }

    /// Decides about one request. Always takes the same count of random numbers,
    /// so that a changed rate does not change whose turn it is later.
    pub fn decide(&self, random: &mut Random) -> Fate {
        let (chance, kind, normal) = (random.uniform(), random.uniform(), random.normal());
        let failure = if kind < 0.5 {
            StatusCode::INTERNAL_SERVER_ERROR
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        let latency_ms =
            (self.latency_ms * (self.latency_spread * normal).exp()).min(MAX_LATENCY_MS);
        Fate {
            latency: Duration::from_secs_f64(latency_ms / 1000.0),
            failure: (chance < self.error_rate).then_some(failure),
            fault: self.fault,
        }
    }
}

// === impl Fault ===

impl Fault {
    /// What this fault makes of the input rows.
    pub fn distort(self, rows: &mut [Vec<f32>]) {
        for row in rows {
            match self {
                Self::None => {}
                Self::WrongPreprocessing => *row = transposed(row),
                // The model divides by 16; this makes it as if it had not.
                Self::UnscaledPixels => row.iter_mut().for_each(|pixel| *pixel *= PIXEL_MAX),
            }
        }
    }
}

/// A square image with rows and columns exchanged.
fn transposed(image: &[f32]) -> Vec<f32> {
    let side = image.len().isqrt();
    (0..side)
        .flat_map(|column| image.iter().skip(column).step_by(side.max(1)))
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Faults = Faults {
        error_rate: 0.0,
        latency_ms: 0.0,
        latency_spread: 0.0,
        fault: Fault::None,
    };

    #[test]
    fn a_transposed_image_has_rows_for_columns() {
        let mut rows = [vec![1.0, 2.0, 3.0, 4.0], vec![1.0; 4]];
        Fault::WrongPreprocessing.distort(&mut rows);
        assert_eq!(rows, [[1.0, 3.0, 2.0, 4.0], [1.0; 4]]);
    }

    #[test]
    fn a_change_leaves_the_rest_as_it_was() {
        let change: Change = serde_json::from_str(r#"{"error_rate": 0.3}"#).unwrap();
        let faults = Faults {
            latency_ms: 5.0,
            ..GOOD
        };
        assert_eq!(
            faults.with(change),
            Faults {
                error_rate: 0.3,
                ..faults
            }
        );
    }

    #[test]
    fn impossible_faults_are_refused() {
        let cases = [
            (
                Faults {
                    error_rate: 1.5,
                    ..GOOD
                },
                "error_rate is 1.5, but must be between 0 and 1",
            ),
            (
                Faults {
                    latency_ms: -1.0,
                    ..GOOD
                },
                "latency_ms is -1",
            ),
            (
                Faults {
                    latency_spread: f64::NAN,
                    ..GOOD
                },
                "latency_spread is NaN",
            ),
            (
                Faults {
                    fault: Fault::WrongPreprocessing,
                    ..GOOD
                },
                "are not a square image",
            ),
        ];
        for (faults, expected) in cases {
            let error = faults.check(63).unwrap_err();
            assert!(
                error.starts_with(expected) || error.ends_with(expected),
                "{error}"
            );
        }
    }

    #[test]
    fn rates_and_latencies_are_what_was_asked_for() {
        let faults = Faults {
            error_rate: 0.3,
            latency_ms: 10.0,
            latency_spread: 0.5,
            ..GOOD
        };
        let mut random = Random::new(1);
        let n = 10_000;
        let fates: Vec<Fate> = (0..n).map(|_| faults.decide(&mut random)).collect();
        // Five standard errors of a share; the seed is fixed, so this fails always or never.
        let near = |count: usize, share: f64| {
            let found = count as f64 / f64::from(n);
            assert!(
                (found - share).abs() < 5.0 * (share * (1.0 - share) / f64::from(n)).sqrt(),
                "{found} is not {share}"
            );
        };
        near(
            fates.iter().filter(|fate| fate.failure.is_some()).count(),
            0.3,
        );
        near(
            fates
                .iter()
                .filter(|fate| fate.failure == Some(StatusCode::SERVICE_UNAVAILABLE))
                .count(),
            0.15,
        );
        near(
            fates
                .iter()
                .filter(|fate| fate.latency > Duration::from_millis(10))
                .count(),
            0.5,
        );
    }

    #[test]
    fn a_seed_decides_the_same_requests_at_any_rate() {
        let failures = |error_rate: f64| {
            let mut random = Random::new(7);
            let faults = Faults { error_rate, ..GOOD };
            (0..1000)
                .map(|_| faults.decide(&mut random).failure.is_some())
                .collect::<Vec<_>>()
        };
        assert_eq!(failures(0.1), failures(0.1));
        assert!(
            failures(0.1)
                .iter()
                .zip(failures(0.5))
                .all(|(few, many)| !few || many)
        );
    }
}
