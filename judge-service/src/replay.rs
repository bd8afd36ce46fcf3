//! Judging a stored decision again: the same evidence must give the same verdict.

use crate::domain::Verdict;
use crate::domain::decision::Sealed;
use crate::policy;

#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("it is not a decision of the judge: {0}")]
    Unreadable(serinus_core::json::FieldError),
    #[error("its hash is {recorded}, but its content is another: it was changed")]
    Tampered { recorded: String },
    #[error("a person made this decision; there is no evidence to judge again")]
    NoEvidence,
    #[error("the same evidence now gives another verdict: {now:?} instead of {then:?}")]
    Differs {
        then: Box<Verdict>,
        now: Box<Verdict>,
    },
}

/// Reads a decision as `GET /v1/rollouts/{id}/decisions/{sequence}` gives it, and
/// returns it when judging it again gave the same verdict, bit for bit.
///
/// # Errors
/// A file that is no decision, was changed, has no evidence, or judges differently.
pub fn replay(bytes: &[u8]) -> Result<Sealed, ReplayError> {
    let sealed: Sealed = serinus_core::json::read_strict(bytes).map_err(ReplayError::Unreadable)?;
    if !sealed.is_intact() {
        return Err(ReplayError::Tampered {
            recorded: sealed.hash,
        });
    }
    let Some(evidence) = &sealed.decision.evidence else {
        return Err(ReplayError::NoEvidence);
    };
    let now = policy::judge(&evidence.bundle);
    // Compared as JSON: that is the form in which it is kept and shown, and in
    // it a number that is not finite equals itself.
    if serde_json::to_vec(&now).ok() != serde_json::to_vec(&evidence.verdict).ok() {
        return Err(ReplayError::Differs {
            then: Box::new(evidence.verdict.clone()),
            now: Box::new(now),
        });
    }
    Ok(sealed)
}
