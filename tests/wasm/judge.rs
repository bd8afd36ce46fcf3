//! A fake judge at the other end of the filter's callouts, and plans for it.

use std::time::Duration;

use serde_json::{Value, json};
use serinus_core::plan::Revision;
use serinus_core::report::{ArmReport, Report, RolloutReport};
use serinus_core::sample::SampleBatch;

use crate::host::{Callout, Host};

pub const CONFIGURATION: &str = r#"{"judge": {"cluster": "judge"}}"#;
pub const IDENTITY_KEY: &str = "000102030405060708090a0b0c0d0e0f";

/// The header without which an answer is not the judge's.
pub const OWN: [(&str, &str); 1] = [("x-serinus-judge", "test")];

/// A plan with one rollout of everything: users by `x-user-id`, half of the
/// buckets in canary.
pub fn plan() -> Value {
    json!({
        "version": 1,
        "revision": {"generation": 1, "counter": 1},
        "report_interval_ms": 1000,
        "rollouts": [{
            "id": "digits", "epoch": 1,
            "match": {},
            "unit": [{"header": "x-user-id"}],
            "salt": "salt", "identity_key": IDENTITY_KEY,
            "arms": ["control", "canary"], "baseline": "control",
            "allocation": [
                {"from": 0, "to": 5000, "arm": "control"},
                {"from": 5000, "to": 10000, "arm": "canary"},
            ],
        }],
    })
}

/// The same plan with the next revision, and with one field of its rollout set.
pub fn next(plan: &Value, field: &str, value: Value) -> Value {
    let mut next = plan.clone();
    let counter = next["revision"]["counter"].as_u64().unwrap();
    next["revision"]["counter"] = json!(counter + 1);
    next["rollouts"][0][field] = value;
    next
}

/// Keeps what the filter reported; answers at once, but for polls without news.
#[derive(Default)]
pub struct Judge {
    pub plan: Option<Value>,
    /// Each once, by session and sequence number.
    pub reports: Vec<Report>,
    /// Reports that came again.
    pub repeated: usize,
    pub samples: Vec<SampleBatch>,
    /// The newest revision that a poll named.
    pub reached: Option<Revision>,
    /// What polls said of refused plans.
    pub refusals: Vec<String>,
}

// === impl Judge ===

impl Judge {
    pub fn with(plan: Value) -> Judge {
        Judge {
            plan: Some(plan),
            ..Judge::default()
        }
    }

    /// Runs proxy and judge side by side for a while.
    pub fn run(&mut self, host: &mut Host, time: Duration) {
        const STEP: Duration = Duration::from_millis(100);
        for _ in 0..time.as_millis().div_ceil(STEP.as_millis()) {
            host.advance(STEP).unwrap();
            self.serve(host);
        }
    }

    /// Answers what is pending, and what follows from the answers.
    pub fn serve(&mut self, host: &mut Host) {
        // Each round answers all that can be; a filter that asks on and on for
        // what it has is caught here.
        for _ in 0..10 {
            let pending = host.pending_callouts();
            if pending
                .into_iter()
                .filter(|call| self.answer(host, call))
                .count()
                == 0
            {
                return;
            }
        }
        panic!("the filter makes a callout for each answer");
    }

    fn answer(&mut self, host: &mut Host, call: &Callout) -> bool {
        let path = call.path();
        let (status, body) = match path.split('?').next() {
            Some("/v1/plan") => match self.poll(host.now(), call) {
                Some(answer) => answer,
                None => return false,
            },
            Some("/v1/reports") => {
                let report: Report = serde_json::from_slice(&call.body).unwrap();
                let known = |old: &Report| {
                    (&old.session, old.sequence) == (&report.session, report.sequence)
                };
                match self.reports.iter().find(|old| known(old)) {
                    Some(old) => {
                        assert_eq!(*old, report, "a report changed under its number");
                        self.repeated += 1;
                    }
                    None => self.reports.push(report),
                }
                (200, Vec::new())
            }
            Some("/v1/samples") => {
                self.samples
                    .push(serde_json::from_slice(&call.body).unwrap());
                (202, Vec::new())
            }
            _ => panic!("the filter called {} {path}", call.method()),
        };
        host.answer(call.id, status, &OWN, &body).unwrap();
        true
    }

    /// `None` holds the poll.
    fn poll(&mut self, now: u64, call: &Callout) -> Option<(u16, Vec<u8>)> {
        let path = call.path();
        let asked = |name: &str| {
            let mut parts = path.split(['?', '&']);
            parts.find_map(|part| part.strip_prefix(name))
        };
        let revision: Revision = asked("revision=").unwrap().parse().unwrap();
        // Who only says what it has waits for nothing.
        let wait = asked("wait=").map_or(0, |wait| wait.parse().unwrap());
        let wait = Duration::from_secs(wait);
        self.reached = self.reached.max(Some(revision));
        if let Some(refused) = call.headers.text("x-serinus-refused")
            && !self.refusals.contains(&refused)
        {
            self.refusals.push(refused);
        }
        let held = Duration::from_nanos(now - call.sent_at);
        match &self.plan {
            // It only says what it has.
            _ if path.contains("&source=config") => Some((204, Vec::new())),
            Some(plan) if revision_of(plan) > revision => {
                Some((200, serde_json::to_vec(plan).unwrap()))
            }
            _ if held >= wait => Some((204, Vec::new())),
            _ => None,
        }
    }

    /// What was reported of a rollout and epoch, in order.
    pub fn rollout(&self, id: &str, epoch: u64) -> Vec<&RolloutReport> {
        let rollouts = self.reports.iter().flat_map(|report| &report.rollouts);
        rollouts
            .filter(|rollout| rollout.rollout == id && rollout.epoch == epoch)
            .collect()
    }

    /// Everything reported of one arm of `digits`, added up.
    pub fn sums(&self, epoch: u64, arm: &str) -> Sums {
        let mut sums = Sums::default();
        for rollout in self.rollout("digits", epoch) {
            for report in rollout.arms.iter().filter(|report| report.arm == arm) {
                sums.add(report);
            }
        }
        sums
    }
}

fn revision_of(plan: &Value) -> Revision {
    serde_json::from_value(plan["revision"].clone()).unwrap()
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub exposures: u64,
    pub finished: u64,
    pub errors: u64,
    pub latency_us: u64,
    pub local_replies: u64,
    pub disconnects: u64,
}

impl Sums {
    fn add(&mut self, report: &ArmReport) {
        for slot in &report.slots {
            self.exposures += slot.1;
            self.finished += slot.2;
            self.errors += slot.3;
            self.latency_us += slot.4;
        }
        self.local_replies += report.local_replies;
        self.disconnects += report.disconnects;
    }
}

/// A configured worker that routes by this plan, and its judge.
pub fn worker(plan: Value) -> (Host, Judge) {
    let mut host = Host::new();
    assert!(host.start(CONFIGURATION).unwrap());
    let mut judge = Judge::with(plan.clone());
    judge.run(&mut host, Duration::from_millis(200));
    assert_eq!(
        judge.reached,
        Some(revision_of(&plan)),
        "the plan is in force: {:?}",
        host.logs()
    );
    (host, judge)
}

/// Some unit of [`plan`]'s salt with its bucket in this range.
pub fn unit_in(buckets: std::ops::Range<u16>) -> String {
    units_in(buckets).next().unwrap()
}

/// All of them, one after the other.
pub fn units_in(buckets: std::ops::Range<u16>) -> impl Iterator<Item = String> {
    let bucket = |unit: &str| serinus_core::bucket::place(unit.as_bytes(), "salt").bucket;
    let units = (0..).map(|number| format!("user-{number}"));
    units.filter(move |unit| buckets.contains(&bucket(unit)))
}

/// Units that [`plan`] puts in control and in canary.
pub fn control_and_canary() -> (String, String) {
    (unit_in(0..5000), unit_in(5000..10000))
}
