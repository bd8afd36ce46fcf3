//! The plan that is out, and which worker has it.

use super::Poll;
use super::proxies::Proxies;
use crate::domain::evidence::Workers;
use crate::domain::{Delivered, Millis};
use bytes::Bytes;
use serde::Serialize;
use serinus_core::plan::{Plan, Revision};
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// A worker that has not called for this long is silent: three times the longest poll.
const SILENT_MS: Millis = 30_000;

/// A worker that is silent for longer is no longer waited for: in a fleet that scales,
/// proxies come and go.
const MISSED_MS: Millis = 120_000;

/// A session that has not called for this long is gone, with its Envoy.
pub(super) const GONE_MS: Millis = 600_000;

/// Sessions kept at most; the longest silent go first.
const MAX_SESSIONS: usize = 50_000;

/// Revisions whose arrivals are remembered.
const MAX_ROUNDS: usize = 256;

/// The plan as it goes out.
#[derive(Debug)]
pub struct Published {
    pub revision: Revision,
    /// Shared by all who get it.
    pub bytes: Bytes,
}

pub struct Delivery {
    plan: watch::Sender<Arc<Published>>,
    state: Mutex<State>,
    /// Who takes both takes `state` first.
    proxies: Mutex<Proxies>,
    /// Whether this judge cannot know what the plan is now.
    cut_off: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    sessions: HashMap<String, Session>,
    /// By revision: how its delivery went.
    rounds: BTreeMap<Revision, Round>,
}

struct Session {
    node: String,
    /// When it was first heard.
    since_ms: Millis,
    revision: Option<Revision>,
    seen_ms: Millis,
    refused: Option<String>,
    /// Whether it ever sent a report or samples: Envoy's main thread polls and serves nothing.
    serves: bool,
}

struct Round {
    published_ms: Millis,
    first_arrival_ms: Option<Millis>,
    last_arrival_ms: Option<Millis>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkerState {
    pub session: String,
    pub node: String,
    pub revision: Option<String>,
    pub state: &'static str,
    pub serves_traffic: bool,
    pub last_seen_ms: Millis,
    pub refused: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Convergence {
    pub revision: String,
    /// Workers that serve traffic and are not silent.
    pub workers: usize,
    pub converged: usize,
    pub silent: usize,
    pub refused: usize,
    pub decided_to_last_worker_ms: Option<Millis>,
}

impl Delivery {
    /// No plan yet.
    #[must_use]
    pub fn empty() -> Self {
        let none = Published {
            revision: Revision::default(),
            bytes: Bytes::new(),
        };
        Self {
            plan: watch::Sender::new(Arc::new(none)),
            state: Mutex::new(State::default()),
            proxies: Mutex::default(),
            cut_off: watch::Sender::new(false),
        }
    }

    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Published>> {
        self.plan.subscribe()
    }

    /// Whether the plan is not to be given out for now; for streams, which last.
    #[must_use]
    pub fn cut_off(&self) -> watch::Receiver<bool> {
        self.cut_off.subscribe()
    }

    pub fn set_cut_off(&self, cut_off: bool) {
        self.cut_off
            .send_if_modified(|was| core::mem::replace(was, cut_off) != cut_off);
    }

    #[must_use]
    pub fn revision(&self) -> Revision {
        self.plan.borrow().revision
    }

    /// From now on this is the plan.
    pub fn give_out(&self, plan: Published, now: Millis) {
        let mut state = self.state();
        state.rounds.insert(
            plan.revision,
            Round {
                published_ms: now,
                first_arrival_ms: None,
                last_arrival_ms: None,
            },
        );
        while state.rounds.len() > MAX_ROUNDS {
            state.rounds.pop_first();
        }
        drop(state);
        self.plan.send_replace(Arc::new(plan));
    }

    /// A worker asks for what comes after `revision`.
    pub fn polled(&self, poll: &Poll, now: Millis) {
        let mut state = self.state();
        state.make_room(now);
        let entry = state.session(&poll.session, now);
        entry.node.clone_from(&poll.node);
        entry.refused.clone_from(&poll.refused);
        state.arrived(&poll.session, poll.revision, now);
    }

    /// A worker sent a report or samples.
    pub fn serves(&self, session: &str, now: Millis) {
        let mut state = self.state();
        state.make_room(now);
        state.session(session, now).serves = true;
    }

    /// A worker sent a report, made while it routed by `revision`. One that is sent
    /// again may be older than what the worker said since.
    pub fn reported(&self, session: &str, revision: Option<Revision>, now: Millis) {
        let mut state = self.state();
        state.make_room(now);
        state.session(session, now).serves = true;
        if let Some(revision) = revision {
            state.arrived(session, revision, now);
        }
    }

    /// How a plan has reached the workers: once all have it that served when it went out,
    /// or once those that have not are not waited for any more.
    #[must_use]
    pub fn delivered(&self, revision: Revision, now: Millis) -> Option<Delivered> {
        let state = self.state();
        let Some(round) = state.rounds.get(&revision) else {
            // Hundreds of plans went out since, and nobody knows any more.
            let oldest = state.rounds.first_key_value();
            return oldest
                .is_some_and(|(&oldest, _)| oldest > revision)
                .then(|| Delivered::unknown(revision));
        };
        let took = |arrival: Option<Millis>| Some(arrival?.saturating_sub(round.published_ms));
        let served = state.sessions.values().filter(|session| {
            session.serves
                && session.since_ms <= round.published_ms
                && session.seen_ms.saturating_add(SILENT_MS) >= round.published_ms
        });
        let (have, have_not): (Vec<_>, Vec<_>) =
            served.partition(|session| session.revision >= Some(revision));
        let waits = now < round.published_ms.saturating_add(MISSED_MS);
        if waits && (have.is_empty() || !have_not.is_empty()) {
            return None;
        }
        Some(Delivered {
            revision,
            workers: have.len(),
            missing: have_not.len(),
            first_worker_ms: took(round.first_arrival_ms),
            last_worker_ms: took(round.last_arrival_ms),
        })
    }

    /// What proxies on ECDS say, and said.
    pub fn proxies(&self) -> MutexGuard<'_, Proxies> {
        self.proxies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[must_use]
    pub fn workers(&self, now: Millis) -> Vec<WorkerState> {
        let current = self.revision();
        let state = self.state();
        let proxies = self.proxies();
        let mut workers: Vec<WorkerState> = state
            .sessions
            .iter()
            .map(|(id, session)| WorkerState {
                session: id.clone(),
                node: session.node.clone(),
                revision: session.revision.map(|revision| revision.to_string()),
                state: session.state(current, now, &proxies),
                serves_traffic: session.serves,
                last_seen_ms: session.seen_ms,
                refused: session.refusal(current, &proxies).map(str::to_owned),
            })
            .collect();
        // A proxy whose filter never came to be has no worker that could say so.
        for (node, revision, last_seen_ms, why) in proxies.refusing(current) {
            if !state.sessions.values().any(|session| session.node == node) {
                workers.push(WorkerState {
                    session: String::new(),
                    node: node.to_owned(),
                    revision: revision.map(|revision| revision.to_string()),
                    state: "refused",
                    serves_traffic: false,
                    last_seen_ms,
                    refused: Some(why.to_owned()),
                });
            }
        }
        workers
            .sort_by(|left, right| (&left.node, &left.session).cmp(&(&right.node, &right.session)));
        workers
    }

    /// What a verdict takes into account of the workers.
    #[must_use]
    pub fn heard_of(&self, now: Millis) -> Workers {
        let current = self.revision();
        let state = self.state();
        let proxies = self.proxies();
        let mut workers = Workers::default();
        let recent = |session: &&Session| now.saturating_sub(session.seen_ms) <= MISSED_MS;
        let serving = state.sessions.values().filter(|session| session.serves);
        for session in serving.filter(recent) {
            workers.serving += 1;
            match session.state(current, now, &proxies) {
                "silent" => workers.silent += 1,
                "refused" => workers.refused += 1,
                "lagging" => workers.lagging += 1,
                _ => {}
            }
        }
        workers
    }

    #[must_use]
    pub fn convergence(&self, now: Millis) -> Convergence {
        let current = self.revision();
        let state = self.state();
        let proxies = self.proxies();
        let count = |wanted: &str| {
            state
                .sessions
                .values()
                .filter(|session| session.serves && session.state(current, now, &proxies) == wanted)
                .count()
        };
        let converged = count("converged");
        let workers = converged + count("lagging") + count("refused");
        let round = state.rounds.get(&current);
        Convergence {
            revision: current.to_string(),
            workers,
            converged,
            silent: count("silent"),
            refused: count("refused"),
            decided_to_last_worker_ms: round
                .filter(|_| workers > 0 && converged == workers)
                .and_then(|round| Some(round.last_arrival_ms?.saturating_sub(round.published_ms))),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn session(&mut self, id: &str, now: Millis) -> &mut Session {
        let session = self
            .sessions
            .entry(id.to_owned())
            .or_insert_with(|| Session {
                node: String::new(),
                since_ms: now,
                revision: None,
                seen_ms: now,
                refused: None,
                serves: false,
            });
        // What another judge heard comes later than what this one did.
        session.seen_ms = session.seen_ms.max(now);
        session
    }

    /// A worker has this plan, and with it those between. Its plan never gets older; what
    /// says so comes late. A worker that came after a plan says nothing of how long that
    /// took.
    fn arrived(&mut self, session: &str, revision: Revision, now: Millis) {
        let Some(session) = self.sessions.get_mut(session) else {
            return;
        };
        let before = session.revision;
        if before >= Some(revision) {
            return;
        }
        session.revision = Some(revision);
        if !session.serves {
            return;
        }
        let since_ms = session.since_ms;
        let after = before.map_or(Bound::Unbounded, Bound::Excluded);
        for (_, round) in self.rounds.range_mut((after, Bound::Included(revision))) {
            if since_ms <= round.published_ms {
                round.first_arrival_ms.get_or_insert(now);
                round.last_arrival_ms = Some(now);
            }
        }
    }

    fn make_room(&mut self, now: Millis) {
        if self.sessions.len() < MAX_SESSIONS {
            return;
        }
        self.sessions
            .retain(|_, session| now.saturating_sub(session.seen_ms) < GONE_MS);
        if self.sessions.len() >= MAX_SESSIONS {
            let oldest = self
                .sessions
                .iter()
                .min_by_key(|(_, session)| session.seen_ms)
                .map(|(id, _)| id.clone());
            if let Some(oldest) = oldest {
                self.sessions.remove(&oldest);
            }
        }
    }
}

impl Session {
    /// Why it does not route by the current plan: in its own words, or in its proxy's,
    /// whose Envoy tried the plan before any worker did.
    fn refusal<'a>(&'a self, current: Revision, proxies: &'a Proxies) -> Option<&'a str> {
        let by_proxy = || proxies.refusal(&self.node, current);
        self.refused
            .as_deref()
            .or_else(|| by_proxy().filter(|_| self.revision != Some(current)))
    }

    fn state(&self, current: Revision, now: Millis, proxies: &Proxies) -> &'static str {
        if now.saturating_sub(self.seen_ms) > SILENT_MS {
            "silent"
        } else if self.refusal(current, proxies).is_some() {
            "refused"
        } else if self.revision == Some(current) {
            "converged"
        } else {
            "lagging"
        }
    }
}

impl Published {
    /// Before there was a plan.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.bytes.is_empty()
    }

    /// As another judge wrote it.
    #[must_use]
    pub fn stored(revision: Revision, bytes: Vec<u8>) -> Self {
        Self {
            revision,
            bytes: bytes.into(),
        }
    }

    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        Self {
            revision: plan.revision,
            // Numbers, strings and lists: serialisation cannot fail.
            bytes: serde_json::to_vec(plan).unwrap_or_default().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(counter: u64) -> Plan {
        Plan {
            version: 1,
            revision: Revision {
                generation: 1,
                counter,
            },
            report_interval_ms: 1000,
            holdout: None,
            rollouts: vec![],
        }
    }

    fn poll(session: &str, counter: u64) -> Poll {
        Poll {
            session: session.to_owned(),
            node: "envoy-1".to_owned(),
            revision: plan(counter).revision,
            refused: None,
        }
    }

    #[test]
    fn measures_arrival_at_workers_that_serve() {
        let delivery = Delivery::empty();
        delivery.give_out(Published::of(&plan(1)), 0);
        let polled = |session, counter, now| delivery.polled(&poll(session, counter), now);
        for session in ["main", "worker-1", "worker-2"] {
            polled(session, 1, 10);
        }
        delivery.serves("worker-1", 20);
        delivery.serves("worker-2", 20);
        delivery.give_out(Published::of(&plan(2)), 100);
        polled("worker-1", 2, 103);
        let convergence = delivery.convergence(104);
        assert_eq!((convergence.workers, convergence.converged), (2, 1));
        assert_eq!(convergence.decided_to_last_worker_ms, None);
        polled("worker-2", 2, 107);
        polled("worker-1", 2, 5_000);
        assert_eq!(
            delivery.convergence(5_000).decided_to_last_worker_ms,
            Some(7)
        );
        assert_eq!(delivery.convergence(200_000).silent, 2);
    }

    #[test]
    fn a_decision_is_delivered_once_all_have_it_that_served_then() {
        let delivery = Delivery::empty();
        delivery.give_out(Published::of(&plan(1)), 0);
        for session in ["worker-1", "worker-2"] {
            delivery.reported(session, Some(plan(1).revision), 10);
        }
        delivery.give_out(Published::of(&plan(2)), 100);
        delivery.give_out(Published::of(&plan(3)), 150);
        let took = |counter, now| {
            let delivered = delivery.delivered(plan(counter).revision, now)?;
            let (first, last) = (delivered.first_worker_ms, delivered.last_worker_ms);
            Some((delivered.workers, delivered.missing, first, last))
        };
        delivery.polled(&poll("worker-1", 2), 103);
        assert_eq!(took(2, 104), None);
        // One that came later had nothing to wait for, and the second skips a plan.
        delivery.reported("worker-3", Some(plan(2).revision), 120);
        delivery.polled(&poll("worker-2", 3), 160);
        assert_eq!(took(2, 161), Some((2, 0, Some(3), Some(60))));
        assert_eq!(took(3, 161), None);
        // What is said late changes nothing, and nobody is waited for without end.
        delivery.polled(&poll("worker-2", 2), 170);
        assert_eq!(took(3, 150 + MISSED_MS), Some((1, 2, Some(10), Some(10))));
        assert_eq!(took(4, 200), None);
    }

    #[test]
    fn a_report_says_which_plan_a_worker_has_and_never_an_older_one() {
        let delivery = Delivery::empty();
        delivery.give_out(Published::of(&plan(1)), 0);
        delivery.reported("worker-1", Some(plan(1).revision), 10);
        delivery.give_out(Published::of(&plan(2)), 100);
        delivery.reported("worker-1", Some(plan(2).revision), 104);
        // One that was on its way for long, and one from before any plan.
        delivery.reported("worker-1", Some(plan(1).revision), 900);
        delivery.reported("worker-1", None, 901);
        let convergence = delivery.convergence(902);
        assert_eq!((convergence.workers, convergence.converged), (1, 1));
        assert_eq!(convergence.decided_to_last_worker_ms, Some(4));
    }

    #[test]
    fn what_a_proxy_refuses_its_workers_refuse_until_one_of_them_has_it() {
        let delivery = Delivery::empty();
        delivery.give_out(Published::of(&plan(1)), 0);
        let revision = |counter| plan(counter).revision;
        let states = |now| -> Vec<(String, &'static str, Option<String>)> {
            let workers = delivery.workers(now).into_iter();
            workers
                .map(|worker| (worker.session, worker.state, worker.refused))
                .collect()
        };
        let no = || Some("no".to_owned());
        // One without a worker is shown by itself.
        let refuse = |counter: u64| {
            let version = format!("1.{counter}-x");
            let mut proxies = delivery.proxies();
            proxies.refused("envoy-1", &version, Some(revision(counter)), "no", 1);
        };
        refuse(1);
        assert_eq!(states(1), [(String::new(), "refused", no())]);
        for session in ["worker-1", "worker-2"] {
            delivery.polled(&poll(session, 1), 2);
            delivery.serves(session, 2);
        }
        let worker = |number: u32, state, why| (format!("worker-{number}"), state, why);
        assert_eq!(
            states(2),
            [worker(1, "converged", None), worker(2, "converged", None)]
        );
        delivery.give_out(Published::of(&plan(2)), 3);
        assert_eq!(
            states(3),
            [worker(1, "lagging", None), worker(2, "lagging", None)]
        );
        refuse(2);
        assert_eq!(
            states(4),
            [worker(1, "refused", no()), worker(2, "refused", no())]
        );
        assert_eq!(delivery.heard_of(4).refused, 2);
        assert_eq!(delivery.convergence(4).refused, 2);
        delivery.polled(&poll("worker-1", 2), 5);
        assert_eq!(
            states(5),
            [worker(1, "converged", None), worker(2, "refused", no())]
        );
    }
}
