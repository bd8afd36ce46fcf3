//! What gates said, and what that comes to: of each step of a rollout apart, since what was
//! said of one says nothing of the next.

use super::window;
use crate::domain::spec::{AtBreach, Gates};
use crate::domain::{Millis, Rollout};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The name of all windows together.
const WINDOWS: &str = "windows";

/// What gates say of a rollout now, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Word {
    /// Why no next step may begin.
    pub closed: BTreeMap<String, String>,
    /// Why the rollout is to be taken back.
    pub breached: BTreeMap<String, String>,
}

/// One gate, for people.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct GateState {
    pub name: String,
    pub kind: GateKind,
    pub open: bool,
    /// Why it is closed.
    pub why: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GateKind {
    Ask,
    Windows,
    Query,
}

#[derive(Default)]
pub(in crate::service) struct Watch {
    found: Mutex<HashMap<Key, Found>>,
}

/// A rollout and a gate, by their names.
type Key = (String, String);

#[derive(Debug, Clone, Default)]
struct Found {
    /// Of the gate as it was asked: another rollout of the same id begins anew.
    created_ms: Millis,
    step: usize,
    asked_ms: Millis,
    /// Nothing is wrong with one that is open.
    problem: Option<String>,
    /// Checks in a row with a number out of its bounds.
    breaches: u32,
}

/// What a check came to.
pub(super) enum Checked {
    Open,
    /// Why not.
    Closed(String),
    /// A number that is out of its bounds.
    Breach(String),
}

// === impl Found ===

impl Found {
    fn is_of(&self, rollout: &Rollout) -> bool {
        (self.created_ms, self.step) == (rollout.created_ms, rollout.step)
    }
}

fn key(rollout: &Rollout, gate: &str) -> Key {
    (rollout.spec.id.clone(), gate.to_owned())
}

/// Why a gate is closed, as far as it was asked: one that was not is.
fn problem_of(found: Option<&Found>) -> Option<String> {
    found.map_or_else(
        || Some("it was not asked yet".to_owned()),
        |found| found.problem.clone(),
    )
}

// === impl Watch ===

impl Watch {
    /// What gates say, as far as they were asked; one that was not is closed.
    #[must_use]
    pub fn word(&self, rollout: &Rollout, now: Millis) -> Word {
        let Gates {
            ask,
            windows,
            queries,
        } = &rollout.spec.gates;
        let mut word = Word::default();
        if !windows.is_empty()
            && let Err(why) = window::open(windows, now)
        {
            word.closed.insert(WINDOWS.to_owned(), why);
        }
        let found = self.found();
        // What was said was of one step.
        let of = |gate: &str| {
            let found = found.get(&key(rollout, gate));
            found.filter(|found| found.is_of(rollout))
        };
        for gate in ask {
            if let Some(problem) = problem_of(of(&gate.name)) {
                word.closed.insert(gate.name.clone(), problem);
            }
        }
        for gate in queries {
            let found = of(&gate.name);
            let Some(problem) = problem_of(found) else {
                continue;
            };
            let breaches = found.map_or(0, |found| found.breaches);
            if gate.then == AtBreach::RollBack && breaches >= gate.checks {
                let why = format!("{problem}, at {breaches} checks in a row");
                word.breached.insert(gate.name.clone(), why);
            }
            word.closed.insert(gate.name.clone(), problem);
        }
        word
    }

    /// Each gate of a rollout that is not over, as [`Self::word`] has them together.
    #[must_use]
    pub fn states(&self, rollout: &Rollout, now: Millis) -> Vec<GateState> {
        if rollout.phase.is_over() {
            return Vec::new();
        }
        let mut word = self.word(rollout, now);
        let gates = &rollout.spec.gates;
        let windows = (!gates.windows.is_empty()).then_some((WINDOWS, GateKind::Windows));
        let ask = gates.ask.iter().map(|gate| (&*gate.name, GateKind::Ask));
        let queries = gates.queries.iter();
        let queries = queries.map(|gate| (&*gate.name, GateKind::Query));
        let all = windows.into_iter().chain(ask).chain(queries);
        all.map(|(name, kind)| {
            let closed = word.closed.remove(name);
            let why = word.breached.remove(name).or(closed);
            GateState {
                name: name.to_owned(),
                kind,
                open: why.is_none(),
                why,
            }
        })
        .collect()
    }

    /// Notes an answer; whether it is another one than before.
    pub(super) fn note(
        &self,
        rollout: &Rollout,
        gate: &str,
        now: Millis,
        checked: Checked,
    ) -> bool {
        let key = key(rollout, gate);
        let mut all = self.found();
        let before = all.get(&key);
        // It was asked in a step that is over by now, and so was another one since.
        if before.is_some_and(|before| {
            (before.created_ms, before.step) > (rollout.created_ms, rollout.step)
        }) {
            return false;
        }
        let before = before.filter(|before| before.is_of(rollout));
        let breaches = before.map_or(0, |before| before.breaches);
        let (problem, breaches) = match checked {
            Checked::Open => (None, 0),
            // A check without a number neither adds to a row nor ends it.
            Checked::Closed(why) => (Some(why), breaches),
            Checked::Breach(why) => (Some(why), breaches.saturating_add(1)),
        };
        let found = Found {
            created_ms: rollout.created_ms,
            step: rollout.step,
            asked_ms: now,
            problem,
            breaches,
        };
        let changed = before.is_none_or(|before| {
            (&before.problem, before.breaches) != (&found.problem, found.breaches)
        });
        all.insert(key, found);
        changed
    }

    pub(super) fn is_due(&self, rollout: &Rollout, gate: &str, every: Millis, now: Millis) -> bool {
        let found = self.found();
        found.get(&key(rollout, gate)).is_none_or(|found| {
            !found.is_of(rollout) || now.saturating_sub(found.asked_ms) >= every
        })
    }

    pub(super) fn keep_only(&self, rollouts: &[Rollout]) {
        self.found().retain(|(id, _), found| {
            let mut known = rollouts.iter();
            known.any(|own| own.spec.id == *id && own.created_ms == found.created_ms)
        });
    }

    fn found(&self) -> MutexGuard<'_, HashMap<Key, Found>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::tests::{spec, spec_json};
    use serde_json::json;

    fn rollout() -> Rollout {
        let mut document = spec_json();
        document["gates"] = json!({
            "ask": [{"name": "board", "url": "http://x"}],
            "queries": [{"name": "cpu", "query": "q", "at_most": 1, "then": "roll_back", "checks": 2}],
        });
        Rollout::start(spec(&document).unwrap(), BTreeMap::new(), 1, 7).unwrap()
    }

    #[test]
    fn who_was_not_asked_holds() {
        let word = Watch::default().word(&rollout(), 0);
        assert_eq!(word.closed.keys().collect::<Vec<_>>(), ["board", "cpu"]);
        assert!(word.breached.is_empty());
    }

    #[test]
    fn each_gate_is_shown_until_it_is_over() {
        let (watch, mut rollout) = (Watch::default(), rollout());
        watch.note(&rollout, "board", 1, Checked::Open);
        let shown = |rollout: &Rollout| -> Vec<(String, bool)> {
            let states = watch.states(rollout, 2).into_iter();
            states.map(|gate| (gate.name, gate.open)).collect()
        };
        let known = [("board".to_owned(), true), ("cpu".to_owned(), false)];
        assert_eq!(shown(&rollout), known);
        rollout.set_phase(crate::domain::Phase::Aborted, 3);
        assert!(shown(&rollout).is_empty());
    }

    #[test]
    fn a_number_out_of_bounds_takes_back_after_its_checks() {
        let (watch, rollout) = (Watch::default(), rollout());
        let breach = || Checked::Breach("is 2; at most 1 is right".to_owned());
        assert!(watch.note(&rollout, "cpu", 1, breach()));
        assert!(watch.word(&rollout, 2).breached.is_empty());
        // Nothing known: it holds, and the row goes on.
        watch.note(&rollout, "cpu", 3, Checked::Closed("away".to_owned()));
        assert!(watch.word(&rollout, 4).breached.is_empty());
        watch.note(&rollout, "cpu", 5, breach());
        let word = watch.word(&rollout, 6);
        assert!(
            word.breached["cpu"].contains("at 2 checks in a row"),
            "{word:?}"
        );
        watch.note(&rollout, "cpu", 7, Checked::Open);
        assert_eq!(
            watch.word(&rollout, 8).closed.keys().collect::<Vec<_>>(),
            ["board"]
        );
    }

    #[test]
    fn a_gates_word_is_for_one_step_and_one_rollout() {
        let (watch, mut rollout) = (Watch::default(), rollout());
        watch.note(&rollout, "board", 1, Checked::Open);
        assert!(!watch.word(&rollout, 2).closed.contains_key("board"));
        rollout.step = 1;
        assert!(watch.word(&rollout, 2).closed.contains_key("board"));
        assert!(watch.is_due(&rollout, "board", 10_000, 2));
        rollout.step = 0;
        assert!(!watch.is_due(&rollout, "board", 10_000, 2));
        rollout.created_ms = 8;
        assert!(watch.word(&rollout, 2).closed.contains_key("board"));
        watch.keep_only(&[rollout]);
        assert!(watch.found().is_empty());
    }

    #[test]
    fn a_querys_row_is_of_one_step_and_late_answers_of_before_count_nothing() {
        let (watch, before) = (Watch::default(), rollout());
        let breach = || Checked::Breach("is 2; at most 1 is right".to_owned());
        watch.note(&before, "cpu", 1, breach());
        let mut now = before.clone();
        now.step = 1;
        let closed = &watch.word(&now, 2).closed["cpu"];
        assert!(closed.contains("not asked yet"), "{closed}");
        assert!(watch.note(&now, "cpu", 3, breach()));
        assert!(watch.word(&now, 4).breached.is_empty(), "a row of one");
        // Asked in the step before, and answered now.
        assert!(!watch.note(&before, "cpu", 5, Checked::Open));
        watch.note(&now, "cpu", 6, breach());
        assert!(watch.word(&now, 7).breached.contains_key("cpu"));
    }
}
