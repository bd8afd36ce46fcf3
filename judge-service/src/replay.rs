//! Judging a stored decision again: the same evidence must give the same verdict.

use crate::domain::decision::{By, Decision, Deed, Evidence, Sealed};
use crate::domain::evidence::VERSION;
use crate::domain::{Action, Verdict};
use crate::policy;

#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("it is not a decision of the judge: {0}")]
    Unreadable(serinus_core::json::FieldError),
    #[error("its hash is {recorded}, but its content is another: it was changed")]
    Tampered { recorded: String },
    #[error("a person made this decision; there is no evidence to judge again")]
    NoEvidence,
    #[error(
        "its evidence has version {0}, and this program judges version {VERSION}: ask the Serinus that made it"
    )]
    OtherVersion(u32),
    #[error(
        "the same evidence gives another verdict: {:?} ({}) instead of {:?} ({})",
        now.action, now.reasons.join("; "), then.action, then.reasons.join("; ")
    )]
    Differs {
        then: Box<Verdict>,
        now: Box<Verdict>,
    },
    #[error("{0} is not what the evidence says: the record was forged")]
    Forged(&'static str),
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
    if evidence.bundle.version != VERSION {
        return Err(ReplayError::OtherVersion(evidence.bundle.version));
    }
    let now = policy::judge(&evidence.bundle);
    // Compared as JSON: that is the form in which it is kept and shown, and in
    // it a number that is not finite equals itself.
    if serde_json::to_vec(&now).ok() != serde_json::to_vec(&evidence.verdict).ok() {
        return Err(ReplayError::Differs {
            then: Box::new(evidence.verdict.clone()),
            now: Box::new(now),
        });
    }
    matches_its_evidence(&sealed.decision, &now)?;
    Ok(sealed)
}

/// The record around the evidence must say what the evidence says: a hash without
/// a key stops nobody from sealing a changed record anew.
fn matches_its_evidence(decision: &Decision, verdict: &Verdict) -> Result<(), ReplayError> {
    let Some(Evidence { bundle, .. }) = &decision.evidence else {
        return Err(ReplayError::NoEvidence);
    };
    let to_step = bundle.rollout.step + usize::from(verdict.action == Action::Promote);
    for (what, same) in [
        ("deed", Some(decision.deed) == Deed::of(verdict.action)),
        ("by", decision.by == By::Judge),
        ("reasons", decision.reasons == verdict.reasons),
        ("at_ms", decision.at_ms == bundle.now_ms),
        ("rollout", decision.rollout == bundle.rollout.spec.id),
        ("from_step", decision.from_step == bundle.rollout.step),
        ("to_step", decision.to_step == to_step),
    ] {
        if !same {
            return Err(ReplayError::Forged(what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::decision::NO_HASH;
    use crate::domain::evidence::Workers;
    use crate::domain::rollout::tests::rollout;
    use crate::domain::{Bundle, evidence};
    use std::collections::BTreeMap;

    fn decision() -> Decision {
        let mut rollout = rollout();
        // Past its deadline, so that the verdict is more than to hold.
        rollout.spec.deadline.seconds = 1.0;
        let bundle = Bundle {
            version: evidence::VERSION,
            now_ms: 1_000_000,
            rollout,
            sums: vec![],
            new_users: vec![],
            not_ready: BTreeMap::new(),
            workers: Workers::default(),
        };
        let verdict = policy::judge(&bundle);
        Decision {
            rollout: bundle.rollout.spec.id.clone(),
            sequence: 2,
            at_ms: bundle.now_ms,
            deed: Deed::Pause,
            by: By::Judge,
            from_step: 0,
            to_step: 0,
            reasons: verdict.reasons.clone(),
            previous_hash: NO_HASH.to_owned(),
            evidence: Some(Evidence { bundle, verdict }),
        }
    }

    fn replayed(decision: Decision) -> Result<Sealed, ReplayError> {
        let sealed = Sealed::seal(decision).unwrap();
        replay(&serde_json::to_vec(&sealed).unwrap())
    }

    #[test]
    fn a_forged_record_is_found_though_its_hash_is_right() {
        replayed(decision()).unwrap();
        type Forge = fn(&mut Decision);
        let forgeries: [(&str, Forge); 5] = [
            ("deed", |record| record.deed = Deed::Promote),
            ("by", |record| record.by = By::Person),
            ("reasons", |record| {
                record.reasons = vec!["all fine".to_owned()]
            }),
            ("rollout", |record| record.rollout = "other".to_owned()),
            ("to_step", |record| record.to_step = 3),
        ];
        for (field, forge) in forgeries {
            let mut record = decision();
            forge(&mut record);
            match replayed(record) {
                Err(ReplayError::Forged(named)) => assert_eq!(named, field),
                other => panic!("{field}: {other:?}"),
            }
        }
        let mut record = decision();
        record.evidence.as_mut().unwrap().verdict.action = Action::Promote;
        assert!(matches!(replayed(record), Err(ReplayError::Differs { .. })));
    }
}
