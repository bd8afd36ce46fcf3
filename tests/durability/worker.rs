//! One worker as the filter is: the same ledger, the same protocol, in a process that may
//! end at any time.

use crate::lab::{Lab, Word};
use crate::network::{self, Fate};
use serinus_core::bucket::place;
use serinus_core::decision::{Decision, Fallback, Placement};
use serinus_core::json;
use serinus_core::ledger::{Ending, FlightId, Frozen, Ledger};
use serinus_core::plan::compiled::SegmentTo;
use serinus_core::plan::{self, CompiledPlan, CompiledRollout, Plan};
use serinus_tests::failure::{During, Result};
use serinus_tests::random::Random;
use serinus_tests::wait;
use std::rc::Rc;
use std::time::Duration;

/// Users of one session alone.
const OWN_USERS: u64 = 60;
/// Users of one epoch, whom all workers see. One that is in several epochs is seen by one
/// worker only: of two that report an event in different epochs the order would count.
const SHARED_USERS: u64 = 200;

/// Requests under way at most.
const FLIGHTS: usize = 30;

/// Longer than a judge takes to start on a machine that compiles.
const LIMIT: Duration = Duration::from_secs(60);

pub struct Worker {
    lab: Rc<Lab>,
    random: Random,
    ledger: Ledger,
    plan: Option<Rc<CompiledPlan>>,
    /// Requests under way, and whether each will fail.
    flights: Vec<(FlightId, bool)>,
    now_us: u64,
    /// The report that may have arrived and is not acknowledged.
    unsure: Option<Frozen>,
}

impl Worker {
    pub fn new(lab: Rc<Lab>, mut random: Random) -> Self {
        Self {
            lab,
            ledger: Ledger::new(session(&mut random)),
            random,
            plan: None,
            flights: Vec::new(),
            now_us: 1_000_000,
            unsure: None,
        }
    }

    /// Works until it is calm, and then until all that it counted is acknowledged.
    ///
    /// # Errors
    /// What no judge may do.
    pub async fn run(mut self) -> Result<()> {
        while !self.lab.calm.get() {
            match self.random.below(100) {
                0..40 => self.serve(),
                40..75 => self.report().await?,
                75..95 => self.poll().await?,
                95..99 => self.network_plays().await?,
                _ => self.restart(),
            }
            tokio::task::yield_now().await;
        }
        while let Some((id, fails)) = self.flights.pop() {
            self.end(id, fails);
        }
        while let Some(frozen) = self.ledger.report(self.plan.as_deref()).cloned() {
            wait::until("a last report to be acknowledged", LIMIT, async || {
                let word = self.lab.send(&frozen, Fate::Well).await?;
                Ok((word == Some(Word::Final)).then_some(()))
            })
            .await?;
            self.ledger.acknowledged(frozen.sequence);
        }
        Ok(())
    }

    /// Some requests begin, and some end.
    fn serve(&mut self) {
        let Some(plan) = self.plan.clone() else {
            return;
        };
        for _ in 0..self.random.below(40) {
            self.now_us += self.random.below(2_000);
            let number = self.random.below(plan.rollouts.len() as u64);
            if let Some(rollout) = plan.rollouts.get(number as usize) {
                self.begin(rollout);
            }
        }
        self.ledger.look_at_flights(self.now_us);
        let stay = self.random.below(FLIGHTS as u64) as usize;
        while self.flights.len() > stay {
            let number = self.random.below(self.flights.len() as u64) as usize;
            let (id, fails) = self.flights.swap_remove(number);
            self.end(id, fails);
        }
    }

    fn begin(&mut self, rollout: &Rc<CompiledRollout>) {
        let key = match self.random.below(3) {
            0 => format!("{}-{}", rollout.epoch, self.random.below(SHARED_USERS)),
            _ => format!("{}-{}", self.ledger.session(), self.random.below(OWN_USERS)),
        };
        let stands = place(key.as_bytes(), &rollout.salt);
        let unit = rollout.identity.hash(key.as_bytes());
        // A user is in a segment or is not, and fails always or never.
        let in_segment = unit.is_multiple_of(4) && !rollout.segments.is_empty();
        let fails = unit.is_multiple_of(23);
        let segment = in_segment.then_some(0);
        let arm = match segment.map(|index| &rollout.segments[index].to) {
            None => rollout.allocation.arm(stands.bucket),
            Some(SegmentTo::Split(allocation)) => allocation.arm(stands.bucket),
            Some(SegmentTo::Arm(arm)) => Some(*arm),
        };
        let (arm, placement) = match arm.filter(|_| self.random.below(30) > 0) {
            Some(arm) => (
                arm,
                Placement::Randomised {
                    unit,
                    slot: stands.slot,
                },
            ),
            None => (rollout.baseline, Placement::Fallback(Fallback::NoUnit)),
        };
        let decision = Decision {
            rollout: Rc::clone(rollout),
            segment,
            arm,
            placement,
            shadow: false,
            set_cookie: None,
        };
        let now_us = self.now_us;
        self.lab.tally.borrow_mut().requests += 1;
        if let Some(id) = self.ledger.begin(&decision, || now_us) {
            self.flights.push((id, fails));
        }
    }

    fn end(&mut self, id: FlightId, fails: bool) {
        self.now_us += self.random.below(300);
        let ending = match self.random.below(40) {
            0 => Ending::LocalReply,
            1 => Ending::Disconnected,
            _ => Ending::Finished { error: fails },
        };
        self.ledger.end(id, ending, self.now_us);
    }

    async fn report(&mut self) -> Result<()> {
        let Some(frozen) = self.ledger.report(self.plan.as_deref()).cloned() else {
            return Ok(());
        };
        let fate = Fate::draw(&mut self.random);
        if self.random.below(5) == 0 {
            self.lab.copy(&frozen);
        }
        if fate.may_arrive() {
            self.unsure = Some(frozen.clone());
        }
        if self.lab.send(&frozen, fate).await? == Some(Word::Final) {
            self.ledger.acknowledged(frozen.sequence);
            self.unsure = None;
        }
        Ok(())
    }

    async fn poll(&mut self) -> Result<()> {
        let known = self
            .plan
            .as_ref()
            .map(|plan| plan.revision)
            .unwrap_or_default();
        let newest = self.lab.history.borrow().newest();
        let wait = u64::from(self.random.below(10) == 0);
        let session = self.ledger.session();
        let path = format!("/v1/plan?revision={known}&wait={wait}&session={session}");
        let Ok(answer) = self.lab.call("GET", &path, "").await else {
            return Ok(());
        };
        self.lab.tally.borrow_mut().polls += 1;
        match answer.status {
            200 if answer.by_judge => {
                let (document, _) = json::read_tolerant::<Plan>(&answer.body)
                    .map_err(|error| format!("a plan cannot be read: {error}"))?;
                let compiled = plan::compile(&document)
                    .map_err(|error| format!("a plan makes no sense: {error}"))?;
                // Where there are several judges, some hear of a plan later.
                let at_least = if self.lab.several { known } else { newest };
                let revision = compiled.revision;
                let mut history = self.lab.history.borrow_mut();
                history.plan(revision, &answer.body, known, at_least)?;
                self.plan = Some(Rc::new(compiled));
                Ok(())
            }
            204 | 503 if answer.by_judge => Ok(()),
            _ => Err(format!("a poll was answered {answer:?}").into()),
        }
    }

    /// An old copy comes, or something that no worker sent.
    async fn network_plays(&mut self) -> Result<()> {
        let Some(copy) = self.lab.some_copy() else {
            return Ok(());
        };
        if self.random.below(2) == 0 {
            let fate = Fate::draw(&mut self.random);
            return self.lab.send(&copy, fate).await.map(drop);
        }
        let nonsense = network::nonsense(&copy.bytes, &mut self.random);
        let request = network::request("POST", "/v1/reports", &nonsense);
        if let Ok(answer) = network::call(self.lab.somewhere(), &request).await {
            self.lab.tally.borrow_mut().nonsense += 1;
            // One that can read nothing now does not look at it.
            if !matches!(answer.status, 400 | 429 | 503) || !answer.by_judge {
                let sent = String::from_utf8_lossy(&nonsense);
                return Err(format!("nonsense was answered {answer:?}: {sent}").into());
            }
        }
        Ok(())
    }

    /// Another process comes in its place. What it had not sent is lost, as all that it
    /// knew; what it had sent may still be counted.
    fn restart(&mut self) {
        self.lab.tally.borrow_mut().restarts += 1;
        if let Some(frozen) = self.unsure.take() {
            self.lab.orphan(frozen);
        }
        self.flights.clear();
        self.plan = None;
        self.ledger = Ledger::new(session(&mut self.random));
    }
}

fn session(random: &mut Random) -> String {
    let mut half = || random.below(u64::MAX);
    format!("{:016x}{:016x}", half(), half())
}

/// Sends what is still on its way until all of it was answered.
///
/// # Errors
/// What no judge may do.
pub async fn deliver_the_rest(lab: &Lab) -> Result<()> {
    for frozen in lab.under_way() {
        wait::until("what was on its way to be answered", LIMIT, async || {
            let word = lab.send(&frozen, Fate::Well).await?;
            Ok((word == Some(Word::Final)).then_some(()))
        })
        .await
        .during("deliver the rest")?;
    }
    Ok(())
}
