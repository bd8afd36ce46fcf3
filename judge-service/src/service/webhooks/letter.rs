//! What is told of a decision, and how it is signed.

use crate::domain::decision::{By, Deed, Sealed};
use crate::domain::{Phase, Rollout};
use crate::hex::hex;
use axum::http::{Method, Request, header};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::Full;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::Sha256;

/// Somebody who is told of decisions.
#[derive(Debug, Clone, Deserialize)]
pub struct Webhook {
    pub name: String,
    pub url: String,
    /// Of what; without any, of all.
    #[serde(default)]
    pub events: Vec<Event>,
    #[serde(default)]
    pub format: Format,
    /// A file with the secret that signs what is sent.
    #[serde(default)]
    pub secret_file: Option<String>,
    /// What is in it.
    #[serde(skip)]
    pub secret: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// The decision as JSON.
    #[default]
    Serinus,
    /// A message for people: Slack, Mattermost and others take it.
    Slack,
}

/// Deeds, and what they come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    Create,
    Start,
    /// A next step began.
    Promote,
    /// The new version has everybody but those held back.
    Promoted,
    RollBack,
    Drop,
    Pause,
    Resume,
    Abort,
    Finish,
    Supersede,
    StopSampling,
    StartSampling,
}

pub struct Letter {
    events: Vec<Event>,
    key: String,
    body: Value,
    words: String,
}

impl Letter {
    /// Of the decision, and of what of the rollout never changes: so what is told again is
    /// the same, whatever became of the rollout since.
    #[must_use]
    pub fn of(rollout: &Rollout, sealed: &Sealed) -> Self {
        let decision = &sealed.decision;
        let mut events = vec![event(decision.deed)];
        let is_last = decision.to_step + 1 == rollout.spec.steps.len();
        // Decisions of before this was kept do not say it.
        let phase = decision.phase.unwrap_or(rollout.phase);
        let baseline = decision.baseline.as_ref().unwrap_or(&rollout.baseline);
        let won = matches!(phase, Phase::Promoted | Phase::Finished);
        let goes_on = matches!(decision.deed, Deed::Promote | Deed::Approve);
        if goes_on && is_last && won {
            events.push(Event::Promoted);
        }
        let id = &rollout.spec.id;
        let by = match decision.by {
            By::Judge => "the judge",
            By::Person => "a person",
        };
        let what = events.last().map(|event| name(*event)).unwrap_or_default();
        let reasons = decision.reasons.join("; ");
        Self {
            key: format!("{id}-{}-{}", rollout.created_ms, decision.sequence),
            words: format!(
                "*{id}*: {what} by {by}, step {} of {}: {reasons}",
                decision.to_step + 1,
                rollout.spec.steps.len()
            ),
            body: json!({
                "rollout": id, "events": events, "sequence": decision.sequence,
                "at_ms": decision.at_ms, "deed": decision.deed, "by": decision.by,
                "from_step": decision.from_step, "to_step": decision.to_step,
                "drops": decision.drops, "reasons": decision.reasons, "hash": sealed.hash,
                "phase": phase, "baseline": baseline,
                "arms": rollout.spec.arms, "digests": rollout.digests,
            }),
            events,
        }
    }

    #[must_use]
    pub fn is_for(&self, hook: &Webhook) -> bool {
        hook.events.is_empty() || self.events.iter().any(|event| hook.events.contains(event))
    }

    /// # Errors
    /// A URL that is none.
    pub fn request(&self, hook: &Webhook) -> Result<Request<Full<Bytes>>, String> {
        let body = match hook.format {
            Format::Serinus => self.body.to_string(),
            Format::Slack => json!({ "text": self.words }).to_string(),
        };
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&hook.url)
            .header(header::CONTENT_TYPE, "application/json")
            // What comes again has the same one.
            .header("idempotency-key", &self.key);
        if let Some(secret) = &hook.secret {
            request = request.header("x-serinus-signature", signature(secret, body.as_bytes()));
        }
        request
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| format!("{} cannot be called: {error}", hook.url))
    }
}

/// `sha256=` and HMAC-SHA256 of the body in hex, as GitHub signs its webhooks.
pub(in crate::service) fn signature(secret: &str, body: &[u8]) -> String {
    // A key may have any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    mac.update(body);
    format!("sha256={}", hex(&mac.finalize().into_bytes()))
}

fn event(deed: Deed) -> Event {
    match deed {
        Deed::Create => Event::Create,
        Deed::Start => Event::Start,
        // Whoever waits for the next step to begin is told, whoever said so.
        Deed::Promote | Deed::Approve => Event::Promote,
        Deed::RollBack => Event::RollBack,
        Deed::Drop => Event::Drop,
        Deed::Pause => Event::Pause,
        Deed::Resume => Event::Resume,
        Deed::Abort => Event::Abort,
        Deed::Finish => Event::Finish,
        Deed::Supersede => Event::Supersede,
        Deed::StopSampling => Event::StopSampling,
        Deed::StartSampling => Event::StartSampling,
    }
}

fn name(event: Event) -> &'static str {
    match event {
        Event::Create => "created",
        Event::Start => "started",
        Event::Promote => "next step begun",
        Event::Promoted => "promoted",
        Event::RollBack => "rolled back",
        Event::Drop => "an arm was dropped",
        Event::Pause => "paused",
        Event::Resume => "resumed",
        Event::Abort => "aborted",
        Event::Finish => "finished",
        Event::Supersede => "superseded",
        Event::StopSampling => "sampling switched off",
        Event::StartSampling => "sampling switched on",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::tests::{spec, spec_json};
    use crate::domain::decision::Decision;
    use std::collections::BTreeMap;

    /// From RFC 4231, test case 2.
    #[test]
    fn signatures_are_hmac_sha256() {
        assert_eq!(
            signature("Jefe", b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn what_is_told_late_is_what_was_decided() {
        let mut document = spec_json();
        document["steps"] = json!([{"weights": {"canary": 100}}]);
        let mut rollout = Rollout::start(spec(&document).unwrap(), BTreeMap::new(), 1, 7).unwrap();
        let decision = Decision {
            rollout: "r".to_owned(),
            sequence: 2,
            at_ms: 5,
            deed: Deed::Promote,
            by: By::Judge,
            from_step: 0,
            to_step: 0,
            phase: Some(Phase::Promoted),
            baseline: Some("canary".to_owned()),
            drops: vec![],
            reasons: vec!["better".to_owned()],
            previous_hash: String::new(),
            evidence: None,
            evidence_before: None,
        };
        let sealed = Sealed::seal(decision).unwrap();
        let early = Letter::of(&rollout, &sealed);
        assert!(early.events.contains(&Event::Promoted));
        assert_eq!(early.body["phase"], "promoted");
        assert_eq!(early.body["baseline"], "canary");
        rollout.take_back(Phase::RolledBack, 9);
        let late = Letter::of(&rollout, &sealed);
        assert_eq!((late.key, late.body), (early.key, early.body));
        assert_eq!(late.words, early.words);
    }
}
