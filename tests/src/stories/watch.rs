//! Looks at everything once a second while a story runs.

use super::screen::Cell;
use super::{Comparison, Stage};
use crate::failure::Result;
use crate::judge::Status;
use crate::lab::CANARY;
use crate::load::{Answer, Arm, now_ms};
use crate::model_server::Counts;
use crate::peers::Users;
use crate::peers::{Observed, SLOW_MS, STEPS, Second};
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// What hurts a user in a story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// The canary answered otherwise than its model file.
    WrongAnswer,
    /// The canary failed a request.
    Error,
    /// The canary is no worse than control: what fails is not its fault.
    Nothing,
}

/// One second of a story.
#[derive(Debug, Clone)]
pub struct Moment {
    /// Since the rollout was created.
    pub seconds: f64,
    /// The judge's word; none while it is dead.
    pub status: Option<Status>,
    /// Requests that came to each arm's server in this second, by its own count.
    pub control_requests: u64,
    pub canary_requests: u64,
    pub users_hurt: u64,
    pub our_failures: u64,
    /// The judge's metrics, for a line of a timeline.
    pub cells: Vec<Cell>,
}

/// The sums of a story.
pub struct Watch {
    harm: Harm,
    start: Instant,
    next: Instant,
    outcomes_seen: usize,
    control: Counts,
    canary: Counts,
    canary_seconds: Vec<Second>,
    control_latencies_us: Vec<u32>,
    canary_latencies_us: Vec<u32>,
    canary_wrong: u64,
    users_wrong: HashSet<u32>,
    users_failed: u64,
    requests: u64,
    our_failures: u64,
    /// When the canary broke, for one that was well before: milliseconds since 1970.
    broke_ms: Option<u64>,
}

/// Statuses and speed of one arm: all that a dashboard without a model sees.
#[derive(Debug, Clone, Copy)]
pub struct Statuses {
    pub requests: u64,
    pub errors: u64,
    pub p99_ms: f64,
}

impl Watch {
    /// Begins with servers and load as they are now: what they did before does
    /// not count.
    pub async fn start(stage: &Stage, harm: Harm) -> Result<Self> {
        stage.lab.control.reset().await?;
        stage.lab.canary.reset().await?;
        let now = Instant::now();
        Ok(Self {
            harm,
            start: now,
            next: now,
            outcomes_seen: stage.load.count(),
            control: Counts::default(),
            canary: Counts::default(),
            canary_seconds: Vec::new(),
            control_latencies_us: Vec::new(),
            canary_latencies_us: Vec::new(),
            canary_wrong: 0,
            users_wrong: HashSet::new(),
            users_failed: 0,
            requests: 0,
            our_failures: 0,
            broke_ms: None,
        })
    }

    pub fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    pub fn our_failures(&self) -> u64 {
        self.our_failures
    }

    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// From now on the canary is broken: what it did before is not what a peer's
    /// rule would have gone on to see.
    pub fn canary_breaks(&mut self) {
        self.broke_ms = Some(now_ms());
        self.canary_seconds.clear();
    }

    /// Seconds from the moment when the canary broke to its last request.
    pub async fn broken_until_last_request(&self, stage: &Stage) -> Result<f64> {
        let units = stage.lab.canary.units().await?;
        let last = units.values().map(|unit| unit.last_ms).max();
        Ok(last.zip(self.broke_ms).map_or(0.0, |(last, broke)| {
            last.saturating_sub(broke) as f64 / 1_000.0
        }))
    }

    /// Waits for the next full second and looks.
    pub async fn second(&mut self, stage: &Stage, rollout: &str) -> Result<Moment> {
        self.next += Duration::from_secs(1);
        sleep_until(self.next).await;
        self.look(stage, rollout).await
    }

    /// Looks now.
    pub async fn look(&mut self, stage: &Stage, rollout: &str) -> Result<Moment> {
        let control = stage.lab.control.counts().await?;
        let canary = stage.lab.canary.counts().await?;
        let slow = self.read_outcomes(stage);
        let canary_requests = canary.requests - self.canary.requests;
        // A canary's life begins with its first request.
        if canary_requests > 0 || !self.canary_seconds.is_empty() {
            self.canary_seconds.push(Second {
                requests: canary_requests as f64,
                errors: (canary.errors - self.canary.errors) as f64,
                slow: slow as f64,
            });
        }
        let control_requests = control.requests - self.control.requests;
        (self.control, self.canary) = (control, canary);
        if self.harm == Harm::Error {
            let units = stage.lab.canary.units().await?;
            self.users_failed = units.values().filter(|unit| unit.errors > 0).count() as u64;
        }
        let status = match stage.lab.judge.process() {
            Some(_) => Some(stage.lab.judge.status(rollout).await?),
            None => None,
        };
        Ok(Moment {
            seconds: self.seconds(),
            cells: status.as_ref().map(cells).unwrap_or_default(),
            status,
            control_requests,
            canary_requests,
            users_hurt: self.users_hurt(stage),
            our_failures: self.our_failures,
        })
    }

    /// Returns how many of the canary's answers were slow.
    fn read_outcomes(&mut self, stage: &Stage) -> u64 {
        let outcomes = stage.load.outcomes_from(self.outcomes_seen);
        self.outcomes_seen += outcomes.len();
        self.requests += outcomes.len() as u64;
        let mut slow = 0;
        for outcome in outcomes {
            self.our_failures += u64::from(outcome.answer.is_our_fault());
            let Answer::Served { arm, label } = outcome.answer else {
                continue;
            };
            if arm == Arm::Control {
                self.control_latencies_us.push(outcome.latency_us);
                continue;
            }
            self.canary_latencies_us.push(outcome.latency_us);
            slow += u64::from(outcome.latency_us > SLOW_MS * 1_000);
            let right = stage.canary_labels.get(usize::from(outcome.image));
            if right.is_some_and(|&right| right != label) {
                self.canary_wrong += 1;
                self.users_wrong.insert(outcome.user);
            }
        }
        slow
    }

    /// Distinct users that got something bad from the canary, less those that the
    /// same requests would have hurt by the errors that are there in any case.
    pub fn users_hurt(&self, stage: &Stage) -> u64 {
        match self.harm {
            Harm::Nothing => 0,
            Harm::WrongAnswer => self.users_wrong.len() as u64,
            Harm::Error => {
                let natural = stage.natural_errors * self.canary.requests as f64;
                self.users_failed.saturating_sub(natural.round() as u64)
            }
        }
    }

    /// The same canary under the rules of others.
    pub async fn compare(&self, stage: &Stage) -> Result<Comparison> {
        let users = Users {
            count: stage.users,
            requests_per_second: f64::from(stage.requests_per_second),
        };
        let faults = stage.lab.canary.faults().await?;
        let requests = users.requests_per_second * STEPS[0] / 100.0;
        let answers = self.canary_latencies_us.len().max(1) as f64;
        let slow: f64 = self.canary_seconds.iter().map(|second| second.slow).sum();
        let then = Second {
            requests,
            errors: requests * faults.error_rate,
            slow: requests * slow / answers,
        };
        // The chance that a request to the canary hurts its user.
        let bad = match self.harm {
            Harm::Nothing => 0.0,
            Harm::WrongAnswer => self.canary_wrong as f64 / answers,
            Harm::Error => (faults.error_rate - stage.natural_errors).max(0.0),
        };
        let observed = Observed::new(self.canary_seconds.clone(), then);
        Ok(Comparison::new(&observed, users, bad))
    }

    pub fn control_statuses(&self) -> Statuses {
        statuses(self.control, &self.control_latencies_us)
    }

    pub fn canary_statuses(&self) -> Statuses {
        statuses(self.canary, &self.canary_latencies_us)
    }
}

fn statuses(counts: Counts, latencies_us: &[u32]) -> Statuses {
    let mut sorted = latencies_us.to_vec();
    sorted.sort_unstable();
    let at = sorted.len() * 99 / 100;
    Statuses {
        requests: counts.requests,
        errors: counts.errors,
        p99_ms: f64::from(sorted.get(at).copied().unwrap_or_default()) / 1_000.0,
    }
}

impl Statuses {
    /// Whether so many errors are what `natural` ones make: within four standard
    /// deviations and one, which chance exceeds once in 10,000 times.
    #[must_use]
    pub fn are_natural(&self, natural: f64) -> bool {
        let expected = self.requests as f64 * natural;
        self.errors as f64 <= expected + 4.0 * expected.sqrt() + 1.0
    }

    #[must_use]
    pub fn in_words(&self, arm: &str) -> String {
        let (requests, errors) = (self.requests, self.errors);
        format!(
            "{arm}: {requests} requests, {} answered 200, {errors} with an error that both versions have; p99 {:.0} ms",
            requests - errors,
            self.p99_ms
        )
    }
}

/// The judge's metrics that a timeline shows: one column each, and whether it is
/// a difference of the arms or the canary's own rate.
const COLUMNS: [(&str, &str, bool); 3] = [
    ("errors", "errors", true),
    ("latency_p95", "slow", true),
    ("agreement", "wrong", false),
];

fn cells(status: &Status) -> Vec<Cell> {
    COLUMNS
        .iter()
        .map(|&(metric, name, is_difference)| {
            let metric = status.metric(metric).filter(|metric| metric.arm == CANARY);
            let percent = |value: Option<f64>| value.map(|value| value * 100.0);
            let value = metric.and_then(|metric| {
                if is_difference {
                    metric.difference
                } else {
                    metric.arm_rate
                }
            });
            Cell {
                name,
                value: percent(value),
                interval: metric
                    .and_then(|metric| Some((percent(metric.lower)?, percent(metric.upper)?))),
                harmed: metric.is_some_and(|metric| metric.harmed),
                within_margin: metric.and_then(|metric| metric.within_margin),
            }
        })
        .collect()
}
