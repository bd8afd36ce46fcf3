//! One release in virtual time: requests come, workers count and report them, the judge
//! looks and its plans go out, until nothing moves any more.

use super::agenda::Agenda;
use super::cases::{Case, OUTAGE_SECONDS, OUTAGE_SHARE};
use super::judge::{Found, Judge, is_end};
use super::traffic::{SECOND, Traffic};
use super::version::Version;
use super::worker::Worker;
use serinus_core::ledger::FlightId;
use serinus_core::plan::CompiledPlan;
use serinus_judge::domain::Phase;
use serinus_judge::domain::evidence::Workers;
use serinus_sim::draw::Draw;
use serinus_tests::failure::Result;
use std::rc::Rc;

const WORKERS: u32 = 2;

/// The longest that a plan is on its way to a worker.
const PLAN_WITHIN_US: f64 = SECOND as f64;
/// What a report takes one way, on average.
const REPORT_TAKES_US: f64 = 2_000.0;
/// One call in so many is lost, as often on its way there as on its way back.
const LOST_IN: u32 = 200;
/// A worker that hears nothing gives a report up after this, as `filter/src/judge_link.rs`.
const SEND_TIMEOUT_US: u64 = 5 * SECOND;

/// How long after its step began an outage does.
const OUTAGE_AFTER_US: u64 = 20 * SECOND;

/// A release that is still open after so many requests is let go: a day at 100 a second is
/// 8,640,000 of them, and takes a minute.
const MOST_REQUESTS: u64 = 1_000_000;

/// Index of the new version.
const CANARY: usize = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Promoted,
    TakenBack,
    /// Undecided at its deadline, or a person is asked.
    Paused,
    /// Undecided when the simulation let it go.
    Open,
}

/// How a release ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    pub run: u64,
    pub end: End,
    /// The step in which it ended.
    pub step: usize,
    /// All since the new version is worse, or since the release began.
    pub took_us: u64,
    pub requests: u64,
    /// Of those the new version's.
    pub served: u64,
    pub reasons: Vec<String>,
}

enum Event {
    Ends {
        worker: usize,
        flight: FlightId,
        fails: bool,
    },
    /// A worker has a look at whether there is something to report.
    Reports(usize),
    Arrives {
        worker: usize,
        sequence: u64,
        bytes: Vec<u8>,
        answered: bool,
    },
    Acknowledged {
        worker: usize,
        sequence: u64,
    },
    Unanswered(usize),
    Plan {
        worker: usize,
        plan: Rc<CompiledPlan>,
    },
}

/// When something began.
#[derive(Clone, Copy, Default)]
struct Since {
    at_us: u64,
    requests: u64,
    served: u64,
}

struct Release<'a> {
    case: &'a Case,
    traffic: Traffic,
    draw: Draw,
    /// Tells this run's users from those of others.
    users: u32,
    agenda: Agenda<Event>,
    workers: Vec<Worker>,
    judge: Judge,
    looked_us: u64,
    /// What the last look lacked.
    lacking: Vec<String>,
    /// The step, and when it began.
    step: usize,
    step_since: Since,
    /// When the new version began to be what it is in this case.
    worse_since: Option<Since>,
    requests: u64,
    served: u64,
}

pub fn run(case: &Case, traffic: Traffic, seed: u64, run: u64) -> Result<Ended> {
    let name = format!("{} at {}", case.name, traffic.name);
    Release::new(case, traffic, Draw::new(seed, &name, run))?.until_it_ends(run)
}

impl<'a> Release<'a> {
    fn new(case: &'a Case, traffic: Traffic, mut draw: Draw) -> Result<Self> {
        let judge = Judge::new(hex(&mut draw), case.minimum_seconds)?;
        let workers = (0..WORKERS).map(|_| Worker::new(hex(&mut draw))).collect();
        let users = draw.below(u32::MAX);
        let mut release = Self {
            case,
            traffic,
            draw,
            users,
            agenda: Agenda::new(),
            workers,
            judge,
            looked_us: 0,
            lacking: Vec::new(),
            step: 0,
            step_since: Since::default(),
            worse_since: None,
            requests: 0,
            served: 0,
        };
        release.gives_out(0)?;
        // Workers do not report at the same time.
        for worker in 0..WORKERS as usize {
            let first_us = (release.draw.uniform() * SECOND as f64) as u64;
            release.agenda.put(first_us, Event::Reports(worker));
        }
        Ok(release)
    }

    fn until_it_ends(mut self, run: u64) -> Result<Ended> {
        let mut arrives_us = 0;
        loop {
            arrives_us += self.traffic.gap_us(&mut self.draw);
            while let Some((now_us, event)) = self.agenda.next_before(arrives_us) {
                if let Some(reasons) = self.happens(event, now_us)? {
                    return self.ended(run, now_us, reasons);
                }
            }
            if self.requests >= MOST_REQUESTS {
                let lacking = std::mem::take(&mut self.lacking);
                return self.ended(run, arrives_us, lacking);
            }
            self.asks(arrives_us);
        }
    }

    fn ended(self, run: u64, now_us: u64, reasons: Vec<String>) -> Result<Ended> {
        let end = match self.judge.rollout()?.phase {
            Phase::Promoted => End::Promoted,
            Phase::Paused => End::Paused,
            phase if phase.is_taken_back() => End::TakenBack,
            _ => End::Open,
        };
        let since = self.worse_since.unwrap_or_default();
        Ok(Ended {
            run,
            end,
            step: self.step,
            took_us: now_us.saturating_sub(since.at_us),
            requests: self.requests - since.requests,
            served: self.served - since.served,
            reasons,
        })
    }

    /// A request comes to one of the workers, and goes on to a version.
    fn asks(&mut self, now_us: u64) {
        if self.worse_since.is_none() && self.is_worse(now_us) {
            self.worse_since = Some(self.now(now_us));
        }
        self.requests += 1;
        let user = self.traffic.user(self.users, &mut self.draw);
        let worker = self.draw.below(WORKERS) as usize;
        let routed = self
            .workers
            .get_mut(worker)
            .and_then(|worker| worker.begin(&user, now_us));
        let arm = routed.as_ref().map_or(0, |routed| routed.arm);
        self.served += u64::from(arm == CANARY);
        let trouble = self.trouble(now_us);
        let answer = self.version(arm).answer(&user, trouble, &mut self.draw);
        if let Some(flight) = routed.and_then(|routed| routed.flight) {
            let ends = Event::Ends {
                worker,
                flight,
                fails: answer.fails,
            };
            self.agenda.put(now_us + answer.takes_us, ends);
        }
    }

    fn version(&self, arm: usize) -> Version {
        if arm == CANARY && self.worse_since.is_some() {
            self.case.canary
        } else {
            self.case.control
        }
    }

    fn is_worse(&self, now_us: u64) -> bool {
        let case = self.case;
        let lasted_us = now_us.saturating_sub(self.step_since.at_us);
        self.step > case.from_step
            || self.step == case.from_step && lasted_us >= case.after_seconds * SECOND
    }

    fn now(&self, at_us: u64) -> Since {
        Since {
            at_us,
            requests: self.requests,
            served: self.served,
        }
    }

    fn trouble(&self, now_us: u64) -> f64 {
        let begins_us = self.step_since.at_us + OUTAGE_AFTER_US;
        let lasts = begins_us..begins_us + OUTAGE_SECONDS * SECOND;
        if self.case.outage_in == Some(self.step) && lasts.contains(&now_us) {
            OUTAGE_SHARE
        } else {
            0.0
        }
    }

    /// Why nothing moves any more, if that is so now.
    fn happens(&mut self, event: Event, now_us: u64) -> Result<Option<Vec<String>>> {
        match event {
            Event::Ends {
                worker,
                flight,
                fails,
            } => {
                if let Some(worker) = self.workers.get_mut(worker) {
                    worker.end(flight, fails, now_us);
                }
            }
            Event::Plan { worker, plan } => {
                if let Some(worker) = self.workers.get_mut(worker) {
                    worker.takes(plan);
                }
            }
            Event::Reports(worker) => self.reports(worker, now_us),
            Event::Acknowledged { worker, sequence } => {
                if let Some(own) = self.workers.get_mut(worker) {
                    let due_us = own.acknowledged(sequence);
                    self.agenda.put(due_us.max(now_us), Event::Reports(worker));
                }
            }
            Event::Unanswered(worker) => {
                let jitter = u64::from(self.draw.below(u32::MAX));
                if let Some(own) = self.workers.get_mut(worker) {
                    let due_us = own.unanswered(now_us, jitter);
                    self.agenda.put(due_us, Event::Reports(worker));
                }
            }
            Event::Arrives {
                worker,
                sequence,
                bytes,
                answered,
            } => {
                self.judge.takes(&bytes)?;
                if answered {
                    let at_us = now_us + self.on_its_way_us();
                    let back = Event::Acknowledged { worker, sequence };
                    self.agenda.put(at_us, back);
                }
                return self.looks(now_us);
            }
        }
        Ok(None)
    }

    fn reports(&mut self, worker: usize, now_us: u64) {
        let Some(own) = self.workers.get_mut(worker) else {
            return;
        };
        let (report, due_us) = own.reports(now_us);
        let Some(report) = report.cloned() else {
            self.agenda.put(due_us, Event::Reports(worker));
            return;
        };
        let arrives = self.draw.below(LOST_IN) > 0;
        let answered = arrives && self.draw.below(LOST_IN) > 0;
        if arrives {
            let at_us = now_us + self.on_its_way_us();
            let letter = Event::Arrives {
                worker,
                sequence: report.sequence,
                bytes: report.bytes,
                answered,
            };
            self.agenda.put(at_us, letter);
        }
        if !answered {
            let at_us = now_us + SEND_TIMEOUT_US;
            self.agenda.put(at_us, Event::Unanswered(worker));
        }
    }

    /// The judge looks, unless it just did.
    fn looks(&mut self, now_us: u64) -> Result<Option<Vec<String>>> {
        if now_us < self.looked_us + self.traffic.between_looks_us() {
            return Ok(None);
        }
        self.looked_us = now_us;
        let current = self.judge.revision();
        let late = |worker: &&Worker| worker.revision() != Some(current);
        let workers = Workers {
            serving: self.workers.len(),
            lagging: self.workers.iter().filter(late).count(),
            ..Workers::default()
        };
        match self.judge.looks(workers, now_us / 1_000)? {
            Found::Nothing(lacking) => self.lacking = lacking,
            Found::Measured => self.gives_out(now_us)?,
            Found::Decided(reasons) => {
                let rollout = self.judge.rollout()?;
                if is_end(rollout.phase) {
                    return Ok(Some(reasons));
                }
                self.enters(rollout.step, now_us);
                self.gives_out(now_us)?;
            }
        }
        Ok(None)
    }

    fn enters(&mut self, step: usize, now_us: u64) {
        self.step = step;
        self.step_since = self.now(now_us);
    }

    fn gives_out(&mut self, now_us: u64) -> Result<()> {
        let plan = Rc::new(self.judge.gives_out()?);
        for worker in 0..self.workers.len() {
            let at_us = now_us + (self.draw.uniform() * PLAN_WITHIN_US) as u64;
            let plan = Rc::clone(&plan);
            self.agenda.put(at_us, Event::Plan { worker, plan });
        }
        Ok(())
    }

    fn on_its_way_us(&mut self) -> u64 {
        self.draw.exponential(REPORT_TAKES_US) as u64
    }
}

/// 32 hex digits, as the host's randomness gives them.
fn hex(draw: &mut Draw) -> String {
    (0..4)
        .map(|_| format!("{:08x}", draw.below(u32::MAX)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::cases::{self, Right};
    use super::*;

    const SOME: Traffic = Traffic {
        name: "600 a minute",
        per_minute: 600,
        users: 50_000,
    };

    fn with_errors(ratio: f64) -> Case {
        Case {
            name: "test",
            canary: Version::with_errors(ratio),
            right: Right::Promote,
            from_step: 0,
            ..cases::all().remove(0)
        }
    }

    #[test]
    fn a_good_version_is_promoted_to_the_end() {
        let ended = run(&with_errors(1.0), SOME, 1, 0).unwrap();
        assert_eq!((ended.end, ended.step), (End::Promoted, 2), "{ended:?}");
    }

    #[test]
    fn one_with_ten_times_the_errors_is_taken_back() {
        let ended = run(&with_errors(10.0), SOME, 1, 0).unwrap();
        assert_eq!((ended.end, ended.step), (End::TakenBack, 0), "{ended:?}");
        assert!(ended.requests < 5_000, "{ended:?}");
    }

    #[test]
    fn a_run_repeats_from_its_seed() {
        let once = |seed| run(&with_errors(10.0), SOME, seed, 3).unwrap();
        assert_eq!(once(1), once(1));
        assert_ne!(once(1), once(2));
    }
}
