//! Gates: what others say before a step may end. They hold, and a query may take back; none
//! of them promotes. One that does not answer is closed: nothing is promoted on what is not
//! known.

pub(super) mod prometheus;
mod window;

use super::Service;
use crate::domain::spec::{AskGate, AtBreach, Gates, QueryGate};
use crate::domain::{Millis, Rollout};
use crate::web::Web;
use axum::http::{Method, Request, header};
use bytes::Bytes;
use http_body_util::Full;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;

/// How often it is looked for what is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

const ASK_EVERY_MS: Millis = 10_000;

/// The name of all windows together.
const WINDOWS: &str = "windows";

/// What is shown of another one's refusal.
const SHOWN: usize = 200;

/// A character has four bytes at most.
const KEPT: usize = SHOWN * 4;

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
pub(super) struct Watch {
    /// By rollout and gate.
    found: Mutex<HashMap<(String, String), Found>>,
}

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
enum Checked {
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
        let of = |gate: &str| {
            let key = (rollout.spec.id.clone(), gate.to_owned());
            let found = found.get(&key);
            // What was said was of one step.
            found.filter(|found| found.is_of(rollout))
        };
        let unasked = || "it was not asked yet".to_owned();
        for gate in ask {
            let found = of(&gate.name);
            let problem = found.map_or_else(|| Some(unasked()), |found| found.problem.clone());
            if let Some(problem) = problem {
                word.closed.insert(gate.name.clone(), problem);
            }
        }
        for gate in queries {
            let found = of(&gate.name);
            let problem = found.map_or_else(|| Some(unasked()), |found| found.problem.clone());
            let Some(problem) = problem else {
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
    fn note(&self, rollout: &Rollout, gate: &str, now: Millis, checked: Checked) -> bool {
        let key = (rollout.spec.id.clone(), gate.to_owned());
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

    fn is_due(&self, rollout: &Rollout, gate: &str, every: Millis, now: Millis) -> bool {
        let key = (rollout.spec.id.clone(), gate.to_owned());
        let found = self.found();
        found.get(&key).is_none_or(|found| {
            !found.is_of(rollout) || now.saturating_sub(found.asked_ms) >= every
        })
    }

    fn keep_only(&self, rollouts: &[Rollout]) {
        self.found().retain(|(id, _), found| {
            let mut known = rollouts.iter();
            known.any(|own| own.spec.id == *id && own.created_ms == found.created_ms)
        });
    }

    fn found(&self) -> MutexGuard<'_, HashMap<(String, String), Found>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One gate of one step of one rollout.
type Question = (String, Millis, usize, String);

/// What is asked now.
#[derive(Default)]
struct UnderWay {
    questions: HashSet<Question>,
    answers: JoinSet<Question>,
}

impl Service {
    /// Asks what is due, gates side by side: one that hangs delays no other.
    pub(super) async fn watch_gates(self: Arc<Self>) {
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut under_way = UnderWay::default();
        loop {
            tokio::select! {
                _ = tick.tick() => self.ask_what_is_due(&mut under_way).await,
                Some(answered) = under_way.answers.join_next() => match answered {
                    Ok(question) => {
                        under_way.questions.remove(&question);
                    }
                    Err(error) => {
                        // Which one it was is not known: rather ask some twice than one never.
                        tracing::error!(%error, "a gate could not be asked");
                        under_way.questions.clear();
                    }
                },
            }
        }
    }

    async fn ask_what_is_due(self: &Arc<Self>, under_way: &mut UnderWay) {
        let Ok(books) = self.books().await else {
            return;
        };
        let gated: Vec<Rollout> = books
            .entries()
            .iter()
            .map(|entry| &entry.rollout)
            .filter(|rollout| !rollout.phase.is_over() && rollout.spec.gates != Gates::default())
            .cloned()
            .collect();
        drop(books);
        self.gates.keep_only(&gated);
        for rollout in gated {
            let rollout = Arc::new(rollout);
            for gate in &rollout.spec.gates.ask {
                if self.takes_up(under_way, &rollout, &gate.name, ASK_EVERY_MS) {
                    let (service, gate) = (Arc::clone(self), gate.clone());
                    let asked = Arc::clone(&rollout);
                    under_way.answers.spawn(async move {
                        let checked = ask(&service.web, &asked, &gate).await;
                        service.answered(&asked, &gate.name, checked)
                    });
                }
            }
            for gate in &rollout.spec.gates.queries {
                // Checked to be a day at most.
                let every = (gate.every_seconds * 1_000.0) as Millis;
                if self.takes_up(under_way, &rollout, &gate.name, every) {
                    let (service, gate) = (Arc::clone(self), gate.clone());
                    let asked = Arc::clone(&rollout);
                    under_way.answers.spawn(async move {
                        let checked = service.query(&gate).await;
                        service.answered(&asked, &gate.name, checked)
                    });
                }
            }
        }
    }

    /// Whether a gate is due and not being asked already; it is, from now on.
    fn takes_up(
        &self,
        under_way: &mut UnderWay,
        rollout: &Rollout,
        gate: &str,
        every: Millis,
    ) -> bool {
        self.gates.is_due(rollout, gate, every, self.now())
            && under_way.questions.insert(question(rollout, gate))
    }

    /// What is another answer than before is looked at now, whoever else is still asked.
    fn answered(&self, rollout: &Rollout, gate: &str, checked: Checked) -> Question {
        if self.gates.note(rollout, gate, self.now(), checked) {
            self.changed.notify_one();
        }
        question(rollout, gate)
    }

    async fn query(&self, gate: &QueryGate) -> Checked {
        let Some(address) = &self.settings.prometheus else {
            return Checked::Closed(
                "the judge was not told of a Prometheus (serinus serve --prometheus)".to_owned(),
            );
        };
        match prometheus::number(&self.web, address, &gate.query).await {
            Err(problem) => Checked::Closed(problem),
            Ok(number) => {
                let low = gate.at_least.filter(|least| number < *least);
                let high = gate.at_most.filter(|most| number > *most);
                match (low, high) {
                    (Some(least), _) => {
                        Checked::Breach(format!("is {number}; at least {least} is right"))
                    }
                    (_, Some(most)) => {
                        Checked::Breach(format!("is {number}; at most {most} is right"))
                    }
                    _ => Checked::Open,
                }
            }
        }
    }
}

fn question(rollout: &Rollout, gate: &str) -> Question {
    let id = rollout.spec.id.clone();
    (id, rollout.created_ms, rollout.step, gate.to_owned())
}

async fn ask(web: &Web, rollout: &Rollout, gate: &AskGate) -> Checked {
    let body = json!({
        "rollout": rollout.spec.id,
        "phase": rollout.phase.name(),
        "step": rollout.step,
        "steps": rollout.spec.steps.len(),
        "arms": rollout.spec.arms,
    });
    let request = Request::builder()
        .method(Method::POST)
        .uri(&gate.url)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body.to_string())));
    let request = match request {
        Ok(request) => request,
        Err(error) => return Checked::Closed(format!("{} is no URL: {error}", gate.url)),
    };
    let within = Duration::from_millis(gate.timeout_ms.into());
    match web.call_for_a_rollout(request, within, KEPT).await {
        Ok(answer) if answer.status.is_success() => Checked::Open,
        Ok(answer) => {
            let said = answer.said(SHOWN);
            let colon = if said.is_empty() { "" } else { ": " };
            Checked::Closed(format!(
                "{} answered {}{colon}{said}",
                gate.url, answer.status
            ))
        }
        Err(problem) => Checked::Closed(format!("{}: {problem}", gate.url)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::tests::{spec, spec_json};

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
        assert!(watch.is_due(&rollout, "board", ASK_EVERY_MS, 2));
        rollout.step = 0;
        assert!(!watch.is_due(&rollout, "board", ASK_EVERY_MS, 2));
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
