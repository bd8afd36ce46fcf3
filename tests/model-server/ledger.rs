//! Counts what the server did, in all and for each user.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use serde::Serialize;

/// Users beyond this number are served and counted in all, but not one by one.
const MAX_UNITS: usize = 1_000_000;

/// A user's key beyond this number of bytes is not kept.
const MAX_UNIT_BYTES: usize = 256;

/// What was done in all. A request that is in flight, or whose client left, is in
/// `requests` only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub requests: u64,
    pub ok: u64,
    /// Answers with a 5xx.
    pub errors: u64,
    /// Answers with a 4xx: the client's own mistakes.
    pub refused: u64,
    /// Distinct users.
    pub units: u64,
}

/// What one user saw. Times are milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unit {
    pub requests: u64,
    pub errors: u64,
    /// When the first request came.
    pub first_ms: u64,
    /// When the latest request came.
    pub last_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_error_ms: Option<u64>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    Error,
    Refused,
}

/// Everything since the start, or since the latest reset.
pub struct Ledger {
    clock: Clock,
    counts: Counts,
    units: BTreeMap<String, Unit>,
}

/// The wall clock at the start plus a monotonic clock: comparable with other
/// processes on the machine, and never going back.
struct Clock {
    start: Instant,
    start_ms: u64,
}

// === impl Outcome ===

impl Outcome {
    pub fn of(status: StatusCode) -> Self {
        if status.is_success() {
            Self::Ok
        } else if status.is_client_error() {
            Self::Refused
        } else {
            Self::Error
        }
    }
}

// === impl Ledger ===

impl Ledger {
    pub fn new() -> Self {
        Self {
            clock: Clock::new(),
            counts: Counts::default(),
            units: BTreeMap::new(),
        }
    }

    /// Counts a request that came.
    pub fn arrived(&mut self, unit: Option<&str>) {
        self.counts.requests += 1;
        let now = self.clock.now_ms();
        let Some(key) = unit.filter(|key| key.len() <= MAX_UNIT_BYTES) else {
            return;
        };
        if let Some(unit) = self.units.get_mut(key) {
            unit.requests += 1;
            unit.last_ms = now;
        } else if self.units.len() < MAX_UNITS {
            let unit = Unit {
                requests: 1,
                errors: 0,
                first_ms: now,
                last_ms: now,
                first_error_ms: None,
            };
            self.units.insert(key.to_owned(), unit);
        }
    }

    /// Counts how a request ended.
    pub fn answered(&mut self, unit: Option<&str>, outcome: Outcome) {
        match outcome {
            Outcome::Ok => self.counts.ok += 1,
            Outcome::Refused => self.counts.refused += 1,
            Outcome::Error => {
                self.counts.errors += 1;
                let now = self.clock.now_ms();
                if let Some(unit) = unit.and_then(|key| self.units.get_mut(key)) {
                    unit.errors += 1;
                    unit.first_error_ms.get_or_insert(now);
                }
            }
        }
    }

    pub fn counts(&self) -> Counts {
        Counts {
            units: self.units.len() as u64,
            ..self.counts
        }
    }

    pub fn units(&self) -> &BTreeMap<String, Unit> {
        &self.units
    }

    pub fn reset(&mut self) {
        self.counts = Counts::default();
        self.units.clear();
    }
}

impl Clock {
    fn new() -> Self {
        // A clock before 1970 counts from there.
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            start: Instant::now(),
            start_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn now_ms(&self) -> u64 {
        self.start_ms
            .saturating_add(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_told_apart() {
        let mut ledger = Ledger::new();
        for (unit, outcome) in [
            (Some("a"), Outcome::Ok),
            (Some("b"), Outcome::Error),
            (Some("a"), Outcome::Refused),
            (None, Outcome::Ok),
        ] {
            ledger.arrived(unit);
            ledger.answered(unit, outcome);
        }
        assert_eq!(
            ledger.counts(),
            Counts {
                requests: 4,
                ok: 2,
                errors: 1,
                refused: 1,
                units: 2
            }
        );
        assert_eq!(
            (
                ledger.units()["a"].requests,
                ledger.units()["a"].first_error_ms
            ),
            (2, None)
        );
        assert!(ledger.units()["b"].first_error_ms.is_some());
        ledger.reset();
        assert_eq!(ledger.counts(), Counts::default());
    }

    #[test]
    fn a_key_that_is_too_long_is_not_kept() {
        let mut ledger = Ledger::new();
        ledger.arrived(Some(&"a".repeat(MAX_UNIT_BYTES + 1)));
        assert_eq!(
            ledger.counts(),
            Counts {
                requests: 1,
                ..Counts::default()
            }
        );
    }
}
