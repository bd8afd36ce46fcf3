//! Gates: what others say before a step may end. They hold, and a query may take back; none
//! of them promotes. One that does not answer is closed: nothing is promoted on what is not
//! known.

pub(super) mod prometheus;
mod watch;
mod window;

pub(super) use watch::Watch;
pub use watch::{GateKind, GateState};

use super::Service;
use super::webhooks::signature;
use crate::domain::spec::{AskGate, Gates, QueryGate};
use crate::domain::{Millis, Rollout};
use crate::web::Web;
use axum::http::{Method, Request, header};
use bytes::Bytes;
use http_body_util::Full;
use serde_json::json;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use watch::Checked;

/// How often it is looked for what is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

const ASK_EVERY_MS: Millis = 10_000;

/// What is shown of another one's refusal.
const SHOWN: usize = 200;

/// A character has four bytes at most.
const KEPT: usize = SHOWN * 4;

/// One gate of one step of one rollout.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Question {
    rollout: String,
    created_ms: Millis,
    step: usize,
    gate: String,
}

/// What is asked now.
#[derive(Default)]
struct UnderWay {
    questions: HashSet<Question>,
    answers: JoinSet<Question>,
}

impl Question {
    fn of(rollout: &Rollout, gate: &str) -> Self {
        Self {
            rollout: rollout.spec.id.clone(),
            created_ms: rollout.created_ms,
            step: rollout.step,
            gate: gate.to_owned(),
        }
    }
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
                        let secret = service.settings.gate_secret.as_deref();
                        let checked = ask(&service.web, secret, &asked, &gate).await;
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
            && under_way.questions.insert(Question::of(rollout, gate))
    }

    /// What is another answer than before is looked at now, whoever else is still asked.
    fn answered(&self, rollout: &Rollout, gate: &str, checked: Checked) -> Question {
        if self.gates.note(rollout, gate, self.now(), checked) {
            self.changed.notify_one();
        }
        Question::of(rollout, gate)
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

async fn ask(web: &Web, secret: Option<&str>, rollout: &Rollout, gate: &AskGate) -> Checked {
    let body = json!({
        "rollout": rollout.spec.id,
        "phase": rollout.phase.name(),
        "step": rollout.step,
        "steps": rollout.spec.steps.len(),
        "arms": rollout.spec.arms,
    });
    let body = body.to_string();
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(&gate.url)
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(secret) = secret {
        let signed = signature(secret, body.as_bytes());
        request = request.header("x-serinus-signature", signed);
    }
    let request = match request.body(Full::new(Bytes::from(body))) {
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
