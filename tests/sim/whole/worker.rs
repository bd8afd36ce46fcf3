//! One worker as the filter is, whose requests, calls and clock are simulated.

use super::traffic::{Asked, User};
use serinus_core::call::Call;
use serinus_core::decision::{self, Around, Outcome};
use serinus_core::ledger::{Ending, FlightId, Frozen, Ledger};
use serinus_core::plan::{CompiledPlan, Revision};
use std::rc::Rc;

/// Until the first plan says how often to report.
const DEFAULT_REPORT_INTERVAL_US: u64 = 1_000_000;

pub struct Worker {
    ledger: Ledger,
    plan: Option<Rc<CompiledPlan>>,
    report: Call,
}

/// Where a request went.
pub struct Routed {
    pub arm: usize,
    /// `None` for one that is not randomised.
    pub flight: Option<FlightId>,
}

impl Worker {
    pub fn new(session: String) -> Self {
        Self {
            ledger: Ledger::new(session),
            plan: None,
            report: Call::default(),
        }
    }

    pub fn revision(&self) -> Option<Revision> {
        self.plan.as_ref().map(|plan| plan.revision)
    }

    /// A plan came; one that was overtaken on its way is passed over.
    pub fn takes(&mut self, plan: Rc<CompiledPlan>) {
        if self.revision() < Some(plan.revision) {
            self.plan = Some(plan);
        }
    }

    /// `None` where no rollout is known, and so the default route has the request.
    pub fn begin(&mut self, user: &User, now_us: u64) -> Option<Routed> {
        let plan = self.plan.as_ref()?;
        let around = Around {
            point: None,
            breakers: &self.ledger,
            silent_us: 0,
            random: &|| None,
        };
        let Outcome::Decided(decision) = decision::decide(plan, &Asked(user), &around) else {
            return None;
        };
        Some(Routed {
            arm: decision.arm,
            flight: self.ledger.begin(&decision, || now_us),
        })
    }

    pub fn end(&mut self, id: FlightId, fails: bool, now_us: u64) {
        let ending = Ending::Finished { error: fails };
        if let Some((flight, _)) = self.ledger.end(id, ending, now_us) {
            let (rollout, exposure) = (&flight.rollout, flight.exposure);
            // Each version has a cluster of its own, as its route says.
            let cluster = || Some(format!("cluster-{}", exposure.arm));
            self.ledger.served_by(rollout, exposure, cluster);
        }
    }

    /// The report to send, if there is anything to say; and when to look again.
    pub fn reports(&mut self, now_us: u64) -> (Option<&Frozen>, u64) {
        let plan = self.plan.as_deref();
        let interval_us = plan.map_or(DEFAULT_REPORT_INTERVAL_US, |plan| {
            u64::from(plan.report_interval_ms) * 1_000
        });
        self.ledger.look_at_flights(now_us);
        self.report.due_us = now_us + interval_us;
        (self.ledger.report(plan), self.report.due_us)
    }

    /// The judge has counted it; when the next one is due.
    pub fn acknowledged(&mut self, sequence: u64) -> u64 {
        self.ledger.acknowledged(sequence);
        let due_us = self.report.due_us;
        self.report.succeeded(due_us);
        due_us
    }

    /// No answer came; when the same report goes out again.
    pub fn unanswered(&mut self, now_us: u64, jitter: u64) -> u64 {
        self.report.failed(now_us, jitter);
        self.report.due_us
    }
}
