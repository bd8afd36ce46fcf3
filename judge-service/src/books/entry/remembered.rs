//! What is remembered of a rollout in the store, for outcomes that come later.

use super::{Entry, Whose};
use crate::domain::Millis;
use crate::domain::remembered::{Answered, Forgotten, Kind, MOST, Name, Remembered, TOLD_MS};
use crate::store::Change;
use serinus_core::identity::IdentityKey;
use std::collections::BTreeMap;

/// How often the store is asked to forget what is old.
const FORGET_EVERY_MS: Millis = 10_000;

/// What the pending change must take.
#[derive(Debug, Default)]
pub(super) struct Pending {
    remembered: BTreeMap<Name, (Millis, String)>,
    forgotten: Vec<Forgotten>,
    forgot_ms: Millis,
}

impl Entry {
    /// A sampled request was answered, with this label and the probability of it.
    pub fn answered(
        &mut self,
        whose: Whose<'_>,
        request_id: Option<&str>,
        (label, confidence): (Option<i64>, Option<f64>),
        at_ms: Millis,
    ) {
        if !self.rollout.takes_samples() || self.rollout.spec.remember.ms() == 0 {
            return;
        }
        let answered = Answered {
            epoch: whose.epoch,
            segment: whose.segment.map(str::to_owned),
            arm: whose.arm,
            unit: whose.unit,
            label,
            confidence,
        };
        let record = answered.to_record();
        if let Some(key) = self.secret()
            && let Some(id) = request_id
        {
            self.remember(Name::request(&key, id), at_ms, record.clone());
        }
        // Where nobody has a key, nobody is asked for by it.
        if !self.rollout.spec.each_request() {
            self.remember(Name::user(whose.unit), at_ms, record);
        }
    }

    /// The id of an outcome was counted.
    pub fn was_told(&mut self, name: Name, at_ms: Millis) {
        self.remember(name, at_ms, String::new());
    }

    /// From when on sampled answers may be recalled.
    #[must_use]
    pub fn recalls_since(&self, now: Millis) -> Millis {
        let oldest = now.saturating_sub(self.rollout.spec.remember.ms());
        oldest.max(self.rollout.forgot_answers_ms.unwrap_or_default())
    }

    /// The secret of the users' pseudonyms; there is none only in a damaged database.
    pub(crate) fn secret(&self) -> Option<IdentityKey> {
        IdentityKey::from_hex(&self.identity_key)
    }

    /// Asks the store to forget what is old, if it was not asked just now; whether it was.
    pub fn forget_what_is_old(&mut self, now: Millis) -> bool {
        if now.saturating_sub(self.pending.forgot_ms) < FORGET_EVERY_MS {
            return false;
        }
        self.pending.forgot_ms = now;
        let answers = match self.rollout.phase.is_over() {
            true => now,
            false => self.recalls_since(now),
        };
        let told = now.saturating_sub(TOLD_MS);
        for kind in Kind::ALL {
            self.pending.forgotten.push(Forgotten {
                rollout: self.rollout.spec.id.clone(),
                kind,
                before_ms: if kind == Kind::Told { told } else { answers },
                most: MOST,
            });
        }
        true
    }

    fn remember(&mut self, name: Name, at_ms: Millis, record: String) {
        self.pending.remembered.insert(name, (at_ms, record));
    }
}

impl Pending {
    pub fn take(&mut self, rollout: &str, change: &mut Change) {
        let remembered = core::mem::take(&mut self.remembered).into_iter();
        change
            .remembered
            .extend(remembered.map(|(name, (at_ms, record))| Remembered {
                rollout: rollout.to_owned(),
                name,
                at_ms,
                record,
            }));
        change.forgotten.append(&mut self.forgotten);
    }
}
