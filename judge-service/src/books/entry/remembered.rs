//! What is remembered of a rollout in the store, for outcomes that come later.

use super::{Entry, Whose};
use crate::domain::Millis;
use crate::domain::remembered::{Answered, Forgotten, Kind, Name, Remembered, TOLD_MS};
use crate::store::Change;
use serinus_core::identity::IdentityKey;
use std::collections::BTreeMap;

/// What the pending change must take.
#[derive(Debug, Default)]
pub(super) struct Pending(BTreeMap<Name, (Millis, String)>);

impl Entry {
    /// A request was sampled: whose it is, is known, and not yet what was answered.
    pub fn asked(&mut self, whose: Whose<'_>, request_id: Option<&str>, at_ms: Millis) {
        self.answered(whose, request_id, None, at_ms);
    }

    /// A sampled request was answered, with this label and the probability of it, where
    /// those are known.
    pub fn answered(
        &mut self,
        whose: Whose<'_>,
        request_id: Option<&str>,
        answer: Option<(Option<i64>, Option<f64>)>,
        at_ms: Millis,
    ) {
        let remembers = self.rollout.takes_samples() && self.rollout.spec.remember.ms() > 0;
        // A worker may still have the plan of another rollout of this name.
        if !remembers || !self.knows(whose.epoch, whose.segment) {
            return;
        }
        let (label, confidence) = answer.unwrap_or_default();
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
            let name = Name::of(Kind::Request, &key, id);
            self.remember(name, at_ms, record.clone());
        }
        // Where nobody has a key, nobody is asked for by it.
        if answer.is_some() && !self.rollout.spec.each_request() {
            self.remember(Name::user(whose.unit), at_ms, record);
        }
    }

    /// Something was told under these names.
    pub fn was_told(&mut self, names: &[Name], at_ms: Millis) {
        for &name in names {
            self.remember(name, at_ms, String::new());
        }
    }

    /// From when on sampled answers may be recalled.
    #[must_use]
    pub fn recalls_since(&self, now: Millis) -> Millis {
        let oldest = now.saturating_sub(self.rollout.spec.remember.ms());
        oldest.max(self.rollout.forgot_answers_ms.unwrap_or_default())
    }

    /// What may go from the store, of each kind.
    pub fn forgotten(&self, now: Millis) -> impl Iterator<Item = Forgotten> {
        let answers = match self.rollout.phase.is_over() {
            true => now,
            false => self.recalls_since(now),
        };
        let told = now.saturating_sub(TOLD_MS);
        Kind::ALL.into_iter().map(move |kind| Forgotten {
            rollout: self.rollout.spec.id.clone(),
            kind,
            before_ms: if kind.is_answer() { answers } else { told },
        })
    }

    /// The secret of the users' pseudonyms; there is none only in a damaged database.
    pub(crate) fn secret(&self) -> Option<IdentityKey> {
        IdentityKey::from_hex(&self.identity_key)
    }

    fn remember(&mut self, name: Name, at_ms: Millis, record: String) {
        self.pending.0.insert(name, (at_ms, record));
    }
}

impl Pending {
    pub fn take(&mut self, rollout: &str, change: &mut Change) {
        let remembered = core::mem::take(&mut self.0).into_iter();
        let remembered = remembered.map(|(name, (at_ms, record))| Remembered {
            rollout: rollout.to_owned(),
            name,
            at_ms,
            record,
        });
        change.remembered.extend(remembered);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Phase;
    use crate::domain::rollout::tests::rollout;

    const NOW: Millis = 100 * 24 * 3_600 * 1_000;

    fn entry() -> Entry {
        Entry::new(rollout(), "0a".repeat(16))
    }

    fn whose(entry: &Entry) -> Whose<'static> {
        Whose {
            epoch: entry.rollout.epochs[0].epoch,
            segment: None,
            arm: 1,
            unit: 7,
        }
    }

    fn kinds(entry: &mut Entry) -> Vec<Kind> {
        let mut change = Change::default();
        entry.pending.take("digits", &mut change);
        change
            .remembered
            .iter()
            .map(|known| known.name.kind)
            .collect()
    }

    #[test]
    fn who_was_asked_is_known_before_what_was_answered() {
        let mut entry = entry();
        let own = whose(&entry);
        entry.asked(own, Some("r-1"), NOW);
        assert_eq!(kinds(&mut entry), [Kind::Request]);
        entry.answered(own, Some("r-1"), Some((Some(3), None)), NOW);
        assert_eq!(kinds(&mut entry), [Kind::User, Kind::Request]);
        entry.answered(own, None, Some((None, None)), NOW);
        assert_eq!(kinds(&mut entry), [Kind::User]);
    }

    #[test]
    fn nothing_is_remembered_that_nobody_may_know_or_ask_for() {
        let mut entry = entry();
        let own = whose(&entry);
        for other in [
            Whose { epoch: 9, ..own },
            Whose {
                segment: Some("made up"),
                ..own
            },
        ] {
            entry.answered(other, Some("r-1"), Some((None, None)), NOW);
        }
        assert_eq!(kinds(&mut entry), []);
        entry.rollout.sampling_off = true;
        entry.answered(own, Some("r-1"), Some((None, None)), NOW);
        entry.rollout.sampling_off = false;
        entry.rollout.spec.remember.seconds = 0.0;
        entry.answered(own, Some("r-1"), Some((None, None)), NOW);
        assert_eq!(kinds(&mut entry), []);
    }

    #[test]
    fn what_is_older_than_may_be_known_goes() {
        let mut entry = entry();
        let week = 7 * 24 * 3_600 * 1_000;
        assert_eq!(entry.recalls_since(NOW), NOW - week);
        // Sampling that was stopped and goes on does not bring back what was there.
        entry.rollout.forgot_answers_ms = Some(NOW - 5);
        assert_eq!(entry.recalls_since(NOW), NOW - 5);
        assert_eq!(entry.recalls_since(NOW + 2 * week), NOW + week);
        let before = |entry: &Entry| -> Vec<(bool, Millis)> {
            let forgotten = entry.forgotten(NOW);
            let all: std::collections::BTreeSet<_> = forgotten
                .map(|what| (what.kind.is_answer(), what.before_ms))
                .collect();
            all.into_iter().collect()
        };
        let told = NOW - TOLD_MS;
        assert_eq!(before(&entry), [(false, told), (true, NOW - 5)]);
        entry.rollout.phase = Phase::Aborted;
        assert_eq!(before(&entry), [(false, told), (true, NOW)]);
    }
}
