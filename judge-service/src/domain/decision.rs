//! What was decided, by whom and why: a chain in which each record names the
//! hash of the one before, so that a changed record shows.

use super::{Action, Bundle, Millis, Phase, Verdict};
use crate::hex::hex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The first record's `previous_hash`.
pub const NO_HASH: &str = "";

#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Decision {
    pub rollout: String,
    /// From 1 for each rollout.
    pub sequence: u64,
    pub at_ms: Millis,
    pub deed: Deed,
    pub by: By,
    pub from_step: usize,
    pub to_step: usize,
    /// The rollout's, once it was decided; decisions of before this was kept have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Which arm was the baseline, once it was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// The arms that were taken off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drops: Vec<String>,
    pub reasons: Vec<String>,
    pub previous_hash: String,
    /// What the judge saw and said; `None` for what a person did.
    pub evidence: Option<Evidence>,
    /// The look before, in which it changed nothing yet; `None` if the judge had just
    /// started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence_before: Option<Evidence>,
}

#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Evidence {
    pub bundle: Bundle,
    pub verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    Create,
    /// From waiting to the first step.
    Start,
    Promote,
    /// A person said yes to what the judge had its evidence for: the next step began.
    Approve,
    RollBack,
    /// An arm was taken off: its users are on the baseline.
    Drop,
    Pause,
    Resume,
    Abort,
    Finish,
    /// No requests and answers are copied any more, and what was kept of them is gone.
    StopSampling,
    StartSampling,
    /// Another rollout took its place.
    Supersede,
}

impl Deed {
    /// As JSON has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Start => "start",
            Self::Promote => "promote",
            Self::Approve => "approve",
            Self::RollBack => "roll_back",
            Self::Drop => "drop",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Abort => "abort",
            Self::Finish => "finish",
            Self::Supersede => "supersede",
            Self::StopSampling => "stop_sampling",
            Self::StartSampling => "start_sampling",
        }
    }

    /// What an action of the judge is called once it is done; `None` for none.
    #[must_use]
    pub fn of(action: Action) -> Option<Self> {
        match action {
            Action::Hold => None,
            Action::Start => Some(Self::Start),
            Action::Promote => Some(Self::Promote),
            Action::RollBack => Some(Self::RollBack),
            Action::Drop => Some(Self::Drop),
            Action::Pause => Some(Self::Pause),
            Action::Finish => Some(Self::Finish),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    Judge,
    Person,
}

/// A decision with the SHA-256 of its JSON: what is stored, shown and replayed.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Sealed {
    pub hash: String,
    pub decision: Decision,
}

impl Sealed {
    /// # Errors
    /// A number that JSON cannot write, which no evidence has.
    pub fn seal(decision: Decision) -> Result<Self, serde_json::Error> {
        let hash = hash(&decision)?;
        Ok(Self { hash, decision })
    }

    /// Whether the decision is what was sealed.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        hash(&self.decision).is_ok_and(|hash| hash == self.hash)
    }
}

fn hash(decision: &Decision) -> Result<String, serde_json::Error> {
    let bytes = serde_json::to_vec(decision)?;
    Ok(hex(&Sha256::digest(&bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_record_shows() {
        let decision = Decision {
            rollout: "r".to_owned(),
            sequence: 1,
            at_ms: 5,
            deed: Deed::Create,
            by: By::Person,
            from_step: 0,
            to_step: 0,
            phase: None,
            baseline: None,
            drops: vec![],
            reasons: vec!["because".to_owned()],
            previous_hash: NO_HASH.to_owned(),
            evidence: None,
            evidence_before: None,
        };
        let mut sealed = Sealed::seal(decision).unwrap();
        let read: Sealed = serde_json::from_str(&serde_json::to_string(&sealed).unwrap()).unwrap();
        assert!(read.is_intact());
        sealed.decision.reasons[0].push('!');
        assert!(!sealed.is_intact());
    }

    /// What was sealed before phase and baseline were kept has the same hash as then.
    #[test]
    fn a_chain_of_before_still_holds() {
        let stored = r#"{"hash": "HASH", "decision": {"rollout": "r", "sequence": 1, "at_ms": 5, "deed": "create", "by": "person", "from_step": 0, "to_step": 0, "reasons": ["because"], "previous_hash": "", "evidence": null}}"#;
        let was_hashed = r#"{"rollout":"r","sequence":1,"at_ms":5,"deed":"create","by":"person","from_step":0,"to_step":0,"reasons":["because"],"previous_hash":"","evidence":null}"#;
        let hash = hex(&Sha256::digest(was_hashed));
        let read: Sealed = serde_json::from_str(&stored.replace("HASH", &hash)).unwrap();
        assert!(read.is_intact());
        assert_eq!(read.decision.phase, None);
    }
}
