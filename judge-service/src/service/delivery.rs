//! The plan that is out, and which worker has it.

use crate::domain::Millis;
use super::Poll;
use crate::domain::evidence::Workers;
use bytes::Bytes;
use serde::Serialize;
use serinus_core::plan::{Plan, Revision};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// A worker that has not called for this long is silent: three times the longest poll.
const SILENT_MS: Millis = 30_000;

/// A worker that is silent for longer is no longer waited for: in a fleet that scales,
/// proxies come and go.
const MISSED_MS: Millis = 120_000;

/// A session that has not called for this long is gone, with its Envoy.
const GONE_MS: Millis = 600_000;

/// Sessions kept at most; the longest silent go first.
const MAX_SESSIONS: usize = 50_000;

/// Revisions whose arrival is remembered.
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
}

#[derive(Default)]
struct State {
    sessions: HashMap<String, Session>,
    /// By revision: how its delivery went.
    rounds: BTreeMap<Revision, Round>,
}

struct Session {
    node: String,
    revision: Option<Revision>,
    seen_ms: Millis,
    refused: Option<String>,
    /// Whether it ever sent a report or samples: Envoy's main thread polls and serves nothing.
    serves: bool,
}

struct Round {
    published_ms: Millis,
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
        }
    }

    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Published>> {
        self.plan.subscribe()
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
        let arrived = entry.revision != Some(poll.revision) && entry.serves;
        entry.revision = Some(poll.revision);
        entry.refused.clone_from(&poll.refused);
        if arrived && let Some(round) = state.rounds.get_mut(&poll.revision) {
            round.last_arrival_ms = Some(now);
        }
    }

    /// A worker sent a report or samples.
    pub fn serves(&self, session: &str, now: Millis) {
        let mut state = self.state();
        state.make_room(now);
        state.session(session, now).serves = true;
    }

    #[must_use]
    pub fn workers(&self, now: Millis) -> Vec<WorkerState> {
        let current = self.revision();
        let state = self.state();
        let mut workers: Vec<WorkerState> = state
            .sessions
            .iter()
            .map(|(id, session)| WorkerState {
                session: id.clone(),
                node: session.node.clone(),
                revision: session.revision.map(|revision| revision.to_string()),
                state: session.state(current, now),
                serves_traffic: session.serves,
                last_seen_ms: session.seen_ms,
                refused: session.refused.clone(),
            })
            .collect();
        workers
            .sort_by(|left, right| (&left.node, &left.session).cmp(&(&right.node, &right.session)));
        workers
    }

    /// What a verdict takes into account of the workers.
    #[must_use]
    pub fn heard_of(&self, now: Millis) -> Workers {
        let current = self.revision();
        let state = self.state();
        let mut workers = Workers::default();
        let recent = |session: &&Session| now.saturating_sub(session.seen_ms) <= MISSED_MS;
        let serving = state.sessions.values().filter(|session| session.serves);
        for session in serving.filter(recent) {
            workers.serving += 1;
            match session.state(current, now) {
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
        let count = |wanted: &str| {
            state
                .sessions
                .values()
                .filter(|session| session.serves && session.state(current, now) == wanted)
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
                revision: None,
                seen_ms: now,
                refused: None,
                serves: false,
            });
        // What another judge heard comes later than what this one did.
        session.seen_ms = session.seen_ms.max(now);
        session
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
    fn state(&self, current: Revision, now: Millis) -> &'static str {
        if now.saturating_sub(self.seen_ms) > SILENT_MS {
            "silent"
        } else if self.refused.is_some() {
            "refused"
        } else if self.revision == Some(current) {
            "converged"
        } else {
            "lagging"
        }
    }
}

impl Published {
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

    #[test]
    fn measures_arrival_at_workers_that_serve() {
        let delivery = Delivery::empty();
        delivery.give_out(Published::of(&plan(1)), 0);
        let polled = |session: &str, counter, now| {
            let poll = Poll {
                session: session.to_owned(),
                node: "node".to_owned(),
                revision: plan(counter).revision,
                refused: None,
            };
            delivery.polled(&poll, now);
        };
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
}
