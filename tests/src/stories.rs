//! Three releases in a lab: one that is wrong but answers 200, a good one through
//! a shared incident, and a broken one whose judge is killed. The demo tells them
//! and the end-to-end tests check them.

mod comparison;
pub mod judge_dead;
mod play;
mod screen;
pub mod shared_incident;
mod spec;
mod watch;
pub mod wrong_but_200;

use crate::digits;
use crate::failure::Result;
use crate::judge::status::Phase;
use crate::lab::{CANARY_MODEL, Lab};
use crate::load::Load;
use serde_json::json;

pub use comparison::Comparison;
pub use play::ACROSS;
pub use screen::{Cell, Screen};
use watch::Watch;
pub use watch::{Moment, Statuses};

/// Where the stories play.
pub struct Stage {
    pub lab: Lab,
    pub load: Load,
    pub users: u32,
    pub requests_per_second: u32,
    /// The share of requests that fail in both arms, as in life.
    pub natural_errors: f64,
    /// What the canary's model file says about each image.
    canary_labels: Vec<u8>,
}

/// How a story ended.
#[derive(Debug, Clone)]
pub struct End {
    pub title: &'static str,
    /// The rollout's name in the judge.
    pub rollout: String,
    pub phase: Phase,
    /// From the rollout's creation to the verdict that ended it.
    pub seconds: f64,
    /// From that verdict until the last worker had it.
    pub delivered_ms: Option<u64>,
    pub requests: u64,
    /// Requests that failed because of Serinus or Envoy.
    pub our_failures: u64,
    pub users_hurt: u64,
    pub peers: Comparison,
    /// The judge's reasons for the last verdict.
    pub reasons: Vec<String>,
    /// What the replay of that verdict's evidence printed.
    pub replay: String,
    /// What a summary should not leave out.
    pub notes: Vec<String>,
    /// What did not go as it should.
    pub problems: Vec<String>,
}

impl Stage {
    /// A lab with its load. `requests_per_second` and `users` set the scale.
    ///
    /// # Errors
    /// When a model file does not load or the load cannot start.
    pub fn new(
        lab: Lab,
        users: u32,
        requests_per_second: u32,
        natural_errors: f64,
    ) -> Result<Self> {
        let load = lab.load(requests_per_second, users)?;
        let canary_labels = digits::expected_labels(CANARY_MODEL, &lab.images)?;
        Ok(Self {
            lab,
            load,
            users,
            requests_per_second,
            natural_errors,
            canary_labels,
        })
    }

    /// Both servers as well as they can be: faults of an earlier story are gone.
    ///
    /// # Errors
    /// When a server does not answer.
    pub async fn recover(&self) -> Result<()> {
        let well = json!({
            "error_rate": self.natural_errors,
            "latency_ms": self.lab.latency_ms(),
            "fault": "none",
        });
        self.lab.control.set_faults(&well).await?;
        self.lab.canary.set_faults(&well).await
    }
}

// === impl End ===

impl End {
    /// What happened, for a reader.
    #[must_use]
    pub fn in_words(&self) -> Vec<String> {
        let mut lines = vec![self.verdict_in_words()];
        lines.extend(self.reasons.iter().map(|reason| format!("    {reason}")));
        lines.push(format!(
            "{} requests, of which Serinus failed {}; users hurt: {}",
            self.requests, self.our_failures, self.users_hurt
        ));
        let replayed = self.replay.lines().next().unwrap_or("differs");
        lines.push(format!("replay of its evidence: {replayed}"));
        lines
    }

    /// "rolled back, 6.2 s"
    #[must_use]
    pub fn short(&self) -> String {
        format!("{}, {:.1} s", self.phase_in_words(), self.seconds)
    }

    fn phase_in_words(&self) -> &'static str {
        match self.phase {
            Phase::Waiting => "still waiting",
            Phase::Running => "still running",
            Phase::Paused => "paused",
            Phase::Promoted => "promoted",
            Phase::Finished => "finished",
            Phase::RolledBack => "rolled back",
            Phase::Aborted => "aborted",
            Phase::Superseded => "superseded",
        }
    }

    /// "rolled back after 6.2 s, and all workers had it 12 ms later"
    #[must_use]
    pub fn verdict_in_words(&self) -> String {
        let phase = self.phase_in_words();
        let delivered = self
            .delivered_ms
            .map(|ms| format!(", and all workers had it {ms} ms later"))
            .unwrap_or_default();
        format!("{phase} after {:.1} s{delivered}", self.seconds)
    }
}
