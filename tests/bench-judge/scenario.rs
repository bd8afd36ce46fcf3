//! One judge under one load, from nothing: workers that wait, then reports as fast as
//! they are taken, then changes of the plan.

use crate::bench::{Bench, Kind};
use crate::cores::Cores;
use crate::load::{CONNECTIONS, Load, Sequences};
use crate::pollers::Pollers;
use crate::tenths;
use serde_json::{Value, json};
use serinus_tests::failure::Result;
use std::time::{Duration, Instant};

#[derive(Clone, Copy)]
pub struct Scenario {
    pub kind: Kind,
    pub workers: usize,
    pub rollouts: usize,
    pub users: u64,
    pub length: Duration,
    pub changes: usize,
}

pub struct Found {
    scenario: Scenario,
    pub reports_per_second: f64,
    pub cpu_us_per_report: f64,
    /// Of its core, which others may have had a part of.
    pub core_share: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub postponed: u64,
    memory_waiting_mb: f64,
    memory_reported_mb: f64,
    pub memory_most_mb: f64,
    pub change_ms_best: f64,
    pub change_ms_worst: f64,
}

impl Scenario {
    pub async fn measure(&self, cores: &Cores) -> Result<Found> {
        let bench = Bench::start(self.kind, cores).await?;
        let rollouts = bench.rollouts(self.rollouts).await?;
        let port = bench.judge.port();
        let pollers = Pollers::start(port, self.workers).await?;
        let (memory_waiting_mb, _) = bench.memory_mb()?;
        let load = Load {
            port,
            rollouts,
            sessions: self.workers as u64,
            connections: CONNECTIONS.min(self.workers as u64),
            users: self.users,
            rate: None,
        };
        let cpu_s = bench.cpu_s()?;
        let reports = load.run(self.length, &Sequences::default()).await?;
        let cpu_s = bench.cpu_s()? - cpu_s;
        let (memory_reported_mb, _) = bench.memory_mb()?;
        let changes = self.change(&bench, &pollers).await?;
        let (_, memory_most_mb) = bench.memory_mb()?;
        Ok(Found {
            scenario: *self,
            reports_per_second: reports.per_second(),
            cpu_us_per_report: tenths(cpu_s * 1e6 / reports.acknowledged as f64),
            core_share: (cpu_s / reports.seconds * 100.0).round() / 100.0,
            p50_ms: tenths(reports.quantile_ms(0.5)),
            p99_ms: tenths(reports.quantile_ms(0.99)),
            postponed: reports.postponed,
            memory_waiting_mb,
            memory_reported_mb,
            memory_most_mb,
            change_ms_best: changes.iter().copied().fold(f64::INFINITY, f64::min),
            change_ms_worst: changes.iter().copied().fold(0.0, f64::max),
        })
    }

    /// Milliseconds from each change to the last poller that has it.
    async fn change(&self, bench: &Bench, pollers: &Pollers) -> Result<Vec<f64>> {
        let mut times = Vec::new();
        for number in 0..self.changes {
            // Nobody is still taking the plan before.
            pollers.all_have(pollers.newest()).await?;
            let deed = if number % 2 == 0 { "pause" } else { "resume" };
            let before = pollers.newest();
            let start = Instant::now();
            bench
                .judge
                .act("model-000", deed, "for the benchmark")
                .await?;
            let last = pollers.all_have(before + 1).await?;
            times.push(tenths((last - start).as_secs_f64() * 1_000.0));
        }
        Ok(times)
    }
}

impl Found {
    pub fn to_json(&self) -> Value {
        let scenario = &self.scenario;
        json!({
            "workers": scenario.workers, "rollouts": scenario.rollouts, "users": scenario.users,
            "seconds": scenario.length.as_secs(),
            "reports_per_second": self.reports_per_second.round(),
            "judge_cpu_us_per_report": self.cpu_us_per_report,
            "share_of_its_core_that_the_judge_had": self.core_share,
            "report_p50_ms": self.p50_ms, "report_p99_ms": self.p99_ms, "reports_postponed": self.postponed,
            "memory_mb_with_all_waiting": self.memory_waiting_mb.round(),
            "memory_mb_after_reports": self.memory_reported_mb.round(),
            "memory_mb_most": self.memory_most_mb.round(),
            "change_to_last_poller_ms": {"best": self.change_ms_best, "worst": self.change_ms_worst},
        })
    }
}
