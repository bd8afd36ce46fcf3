//! The plan that is out, and which worker has it.

use super::Poll;
use super::proxies::Proxies;
use crate::domain::evidence::Workers;
use crate::domain::{Delivered, Millis};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use serinus_core::plan::{Plan, Revision};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

mod sessions;

pub use sessions::Standing;
pub(super) use sessions::{GONE_MS, SILENT_MS};
use sessions::{Round, Session, State};

/// A worker that is silent for longer is no longer waited for: in a fleet that scales,
/// proxies come and go.
const MISSED_MS: Millis = 120_000;

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
    /// This judge ends: nobody is to wait here any longer.
    ending: watch::Sender<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct WorkerState {
    pub session: String,
    pub node: String,
    pub revision: Option<String>,
    pub state: Standing,
    pub serves_traffic: bool,
    pub last_seen_ms: Millis,
    pub refused: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Convergence {
    pub revision: String,
    /// Workers that serve traffic and are not silent.
    pub workers: usize,
    pub converged: usize,
    pub silent: usize,
    pub refused: usize,
    /// Workers that ask for plans and have had no traffic yet.
    pub idle: usize,
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
            ending: watch::Sender::new(false),
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

    /// Whether this judge ends, for those who wait.
    #[must_use]
    pub fn ending(&self) -> watch::Receiver<bool> {
        self.ending.subscribe()
    }

    /// Lets go of all who wait: they ask another judge, or this one when it is back.
    pub fn end(&self) {
        self.ending.send_replace(true);
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
                state: session.standing(current, now, &proxies),
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
                    state: Standing::Refused,
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
            match session.standing(current, now, &proxies) {
                Standing::Silent => workers.silent += 1,
                Standing::Refused => workers.refused += 1,
                Standing::Lagging => workers.lagging += 1,
                Standing::Converged => {}
            }
        }
        workers
    }

    #[must_use]
    pub fn convergence(&self, now: Millis) -> Convergence {
        let current = self.revision();
        let state = self.state();
        let proxies = self.proxies();
        let count = |wanted: Standing| {
            let serving = state.sessions.values().filter(|session| session.serves);
            let stands = |session: &&Session| session.standing(current, now, &proxies) == wanted;
            serving.filter(stands).count()
        };
        let (converged, refused) = (count(Standing::Converged), count(Standing::Refused));
        let workers = converged + refused + count(Standing::Lagging);
        let round = state.rounds.get(&current);
        Convergence {
            revision: current.to_string(),
            workers,
            converged,
            silent: count(Standing::Silent),
            refused,
            idle: state
                .sessions
                .values()
                .filter(|session| !session.serves)
                .count(),
            decided_to_last_worker_ms: round
                .filter(|_| workers > 0 && converged == workers)
                .and_then(|round| Some(round.last_arrival_ms?.saturating_sub(round.published_ms))),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
mod tests;
