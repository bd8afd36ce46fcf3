//! The sessions of workers, and when each plan reached them.

use super::super::proxies::Proxies;
use crate::domain::Millis;
use schemars::JsonSchema;
use serde::Serialize;
use serinus_core::plan::Revision;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

/// A worker that has not called for this long is silent: three times the longest poll.
pub(in crate::service) const SILENT_MS: Millis = 30_000;

/// A session that has not called for this long is gone, with its Envoy.
pub(in crate::service) const GONE_MS: Millis = 600_000;

/// Sessions kept at most; the longest silent go first.
const MAX_SESSIONS: usize = 50_000;

#[derive(Default)]
pub(super) struct State {
    pub sessions: HashMap<String, Session>,
    /// By revision: how its delivery went.
    pub rounds: BTreeMap<Revision, Round>,
}

pub(super) struct Session {
    pub node: String,
    /// When it was first heard.
    pub since_ms: Millis,
    pub revision: Option<Revision>,
    pub seen_ms: Millis,
    pub refused: Option<String>,
    /// Whether it ever sent a report or samples: Envoy's main thread polls and serves nothing.
    pub serves: bool,
}

/// What a worker has to do with the newest plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It routes by it.
    Converged,
    /// It has not got it yet.
    Lagging,
    /// It has not been heard for longer than three of the longest polls.
    Silent,
    /// It cannot use it, and said why.
    Refused,
}

pub(super) struct Round {
    pub published_ms: Millis,
    pub first_arrival_ms: Option<Millis>,
    pub last_arrival_ms: Option<Millis>,
}

impl State {
    pub fn session(&mut self, id: &str, now: Millis) -> &mut Session {
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
    pub fn arrived(&mut self, session: &str, revision: Revision, now: Millis) {
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

    pub fn make_room(&mut self, now: Millis) {
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

// === impl Standing ===

impl Standing {
    pub const ALL: [Self; 4] = [Self::Converged, Self::Lagging, Self::Silent, Self::Refused];

    /// As JSON has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Converged => "converged",
            Self::Lagging => "lagging",
            Self::Silent => "silent",
            Self::Refused => "refused",
        }
    }
}

// === impl Session ===

impl Session {
    /// Why it does not route by the current plan: in its own words, or in its proxy's,
    /// whose Envoy tried the plan before any worker did.
    pub fn refusal<'a>(&'a self, current: Revision, proxies: &'a Proxies) -> Option<&'a str> {
        let by_proxy = || proxies.refusal(&self.node, current);
        self.refused
            .as_deref()
            .or_else(|| by_proxy().filter(|_| self.revision != Some(current)))
    }

    pub fn standing(&self, current: Revision, now: Millis, proxies: &Proxies) -> Standing {
        if now.saturating_sub(self.seen_ms) > SILENT_MS {
            Standing::Silent
        } else if self.refusal(current, proxies).is_some() {
            Standing::Refused
        } else if self.revision == Some(current) {
            Standing::Converged
        } else {
            Standing::Lagging
        }
    }
}
