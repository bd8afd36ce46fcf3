//! What a judge hears of workers, in a form that it can pass on to another.

use super::Delivery;
use super::proxies::Told;
use crate::domain::Millis;
use serde::{Deserialize, Serialize};
use serinus_core::plan::Revision;

/// A worker asks for what comes after its revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poll {
    pub session: String,
    pub node: String,
    pub revision: Revision,
    /// Why it did not take the plan that it was given last.
    pub refused: Option<String>,
}

/// By the clock of the judge that heard it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Heard {
    Polled {
        poll: Poll,
        at_ms: Millis,
    },
    /// It sent a report or samples.
    Serves {
        session: String,
        /// Of the plan that it routed by when it made the report.
        revision: Option<Revision>,
        at_ms: Millis,
    },
    /// A proxy on ECDS, which has or had a stream to the judge that says so.
    Proxy {
        told: Told,
        at_ms: Millis,
    },
}

impl Heard {
    pub(super) fn tell(&self, delivery: &Delivery) {
        match self {
            Self::Polled { poll, at_ms } => delivery.polled(poll, *at_ms),
            Self::Serves {
                session,
                revision,
                at_ms,
            } => delivery.reported(session, *revision, *at_ms),
            Self::Proxy { told, at_ms } => delivery.proxies().told(told, *at_ms),
        }
    }
}
