//! Judging a stored decision again: the same evidence must give the same verdict.

use crate::domain::decision::{By, Decision, Deed, Evidence, NO_HASH, Sealed};
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
    #[error("it {0}: the chain is broken here")]
    Unchained(&'static str),
    #[error("there is no decision in it")]
    Empty,
}

impl ReplayError {
    /// Whether it says that a record is not to be trusted, and not only that it is none.
    #[must_use]
    pub fn is_untrue(&self) -> bool {
        match self {
            Self::Tampered { .. } | Self::Differs { .. } | Self::Forged(_) | Self::Unchained(_) => {
                true
            }
            Self::Unreadable(_) | Self::NoEvidence | Self::OtherVersion(_) | Self::Empty => false,
        }
    }
}

/// What a file has in it: a decision, or all of a rollout from the first on.
#[derive(Debug)]
pub enum Replayed {
    One(Box<Sealed>),
    Chain {
        decisions: usize,
        /// Those that the judge made, and that were judged again.
        replayed: usize,
        last: Box<Sealed>,
    },
}

/// A decision of a chain that is not what it was.
#[derive(Debug, thiserror::Error)]
#[error("decision {place}: {problem}")]
pub struct Broken {
    /// Counted from 1.
    pub place: usize,
    pub problem: ReplayError,
}

/// Reads what `GET /v1/rollouts/{id}/decisions/{sequence}` or `.../chain` gives, and
/// judges again what is in it.
///
/// # Errors
/// A file that is neither, and the first decision that was changed, does not follow
/// from the one before or judges differently.
pub fn replay(bytes: &[u8]) -> Result<Replayed, Broken> {
    let first = |problem| Broken { place: 1, problem };
    let is_list = bytes.trim_ascii_start().starts_with(b"[");
    let unreadable = |error| first(ReplayError::Unreadable(error));
    if !is_list {
        let sealed: Sealed = serinus_core::json::read_strict(bytes).map_err(unreadable)?;
        let evidence = sealed.decision.evidence.as_ref();
        check(&sealed)
            .and_then(|()| evidence.map(drop).ok_or(ReplayError::NoEvidence))
            .map_err(|problem| Broken {
                place: usize::try_from(sealed.decision.sequence).unwrap_or(1),
                problem,
            })?;
        return Ok(Replayed::One(Box::new(sealed)));
    }
    let chain: Vec<Sealed> = serinus_core::json::read_strict(bytes).map_err(unreadable)?;
    let decisions = chain.len();
    let judged = chain.iter().filter(|own| own.decision.evidence.is_some());
    let replayed = judged.count();
    let mut before: Option<Sealed> = None;
    for (place, sealed) in (1..).zip(chain) {
        follows(&sealed, before.as_ref())
            .and_then(|()| check(&sealed))
            .map_err(|problem| Broken { place, problem })?;
        before = Some(sealed);
    }
    let Some(last) = before else {
        return Err(first(ReplayError::Empty));
    };
    Ok(Replayed::Chain {
        decisions,
        replayed,
        last: Box::new(last),
    })
}

fn follows(sealed: &Sealed, before: Option<&Sealed>) -> Result<(), ReplayError> {
    let (sequence, hash, at_ms) = before.map_or((0, NO_HASH, 0), |before| {
        let decision = &before.decision;
        (decision.sequence, before.hash.as_str(), decision.at_ms)
    });
    let decision = &sealed.decision;
    let other = before.is_some_and(|before| before.decision.rollout != decision.rollout);
    let what = if decision.previous_hash != hash {
        "names another hash than the decision before it has"
    } else if decision.sequence != sequence + 1 {
        "does not have the next number: one is missing"
    } else if other {
        "is of another rollout"
    } else if decision.at_ms < at_ms {
        "is older than the decision before it"
    } else {
        return Ok(());
    };
    Err(ReplayError::Unchained(what))
}

/// Whether a record is what was sealed, and the judge's verdicts are those of the
/// evidence, bit for bit.
fn check(sealed: &Sealed) -> Result<(), ReplayError> {
    if !sealed.is_intact() {
        return Err(ReplayError::Tampered {
            recorded: sealed.hash.clone(),
        });
    }
    let decision = &sealed.decision;
    if let Some(before) = &decision.evidence_before {
        let verdict = judged_again(before)?;
        let came_before = decision
            .evidence
            .as_ref()
            .is_some_and(|evidence| before.bundle.now_ms <= evidence.bundle.now_ms);
        if verdict.action != Action::Hold || !came_before {
            return Err(ReplayError::Forged("evidence_before"));
        }
    }
    match &decision.evidence {
        Some(evidence) => matches_its_evidence(decision, &judged_again(evidence)?),
        None if decision.by == By::Judge => Err(ReplayError::Forged("by")),
        None => Ok(()),
    }
}

fn judged_again(evidence: &Evidence) -> Result<Verdict, ReplayError> {
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
    Ok(now)
}

/// The record around the evidence must say what the evidence says: a hash without
/// a key stops nobody from sealing a changed record anew.
fn matches_its_evidence(decision: &Decision, verdict: &Verdict) -> Result<(), ReplayError> {
    let Some(Evidence { bundle, .. }) = &decision.evidence else {
        return Err(ReplayError::NoEvidence);
    };
    let to_step = bundle.rollout.step + usize::from(verdict.action == Action::Promote);
    let mut after = bundle.rollout.clone();
    after.follow(verdict, bundle.now_ms);
    for (what, same) in [
        ("deed", Some(decision.deed) == Deed::of(verdict.action)),
        ("by", decision.by == By::Judge),
        ("drops", decision.drops == verdict.drops),
        ("reasons", decision.reasons == verdict.reasons),
        ("at_ms", decision.at_ms == bundle.now_ms),
        ("rollout", decision.rollout == bundle.rollout.spec.id),
        ("from_step", decision.from_step == bundle.rollout.step),
        ("to_step", decision.to_step == to_step),
        // Those of before do not say it.
        (
            "phase",
            decision.phase.is_none_or(|phase| after.phase == phase),
        ),
        (
            "baseline",
            decision
                .baseline
                .as_ref()
                .is_none_or(|baseline| after.baseline == *baseline),
        ),
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
    use crate::domain::Phase;
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
            closed: BTreeMap::new(),
            breached: BTreeMap::new(),
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
            phase: None,
            baseline: None,
            drops: vec![],
            reasons: verdict.reasons.clone(),
            previous_hash: NO_HASH.to_owned(),
            evidence: Some(Evidence { bundle, verdict }),
            evidence_before: None,
        }
    }

    fn replayed(decision: Decision) -> Result<Replayed, ReplayError> {
        let sealed = Sealed::seal(decision).unwrap();
        replay(&serde_json::to_vec(&sealed).unwrap()).map_err(|broken| broken.problem)
    }

    /// Created by a person, paused by the judge, aborted by a person.
    fn chain() -> Vec<Sealed> {
        let by_person = |sequence, at_ms, deed| Decision {
            sequence,
            at_ms,
            deed,
            by: By::Person,
            evidence: None,
            ..decision()
        };
        let mut chain: Vec<Sealed> = Vec::new();
        for decision in [
            by_person(1, 1, Deed::Create),
            decision(),
            by_person(3, 2_000_000, Deed::Abort),
        ] {
            let previous_hash = chain.last().map_or(NO_HASH, |last| &last.hash).to_owned();
            let decision = Decision {
                previous_hash,
                ..decision
            };
            chain.push(Sealed::seal(decision).unwrap());
        }
        chain
    }

    fn broken(chain: &[Sealed]) -> (usize, String) {
        let Broken { place, problem } = replay(&serde_json::to_vec(chain).unwrap()).unwrap_err();
        (place, problem.to_string())
    }

    #[test]
    fn a_chain_names_the_decision_that_was_changed() {
        let whole = serde_json::to_vec(&chain()).unwrap();
        assert!(matches!(
            replay(&whole),
            Ok(Replayed::Chain {
                decisions: 3,
                replayed: 1,
                ..
            })
        ));
        let mut changed = chain();
        changed[1].decision.reasons = vec!["all fine".to_owned()];
        let (place, problem) = broken(&changed);
        assert!(
            place == 2 && problem.contains("it was changed"),
            "{problem}"
        );
        // Sealed anew, it says what its evidence does not; and were that right, the
        // next one names the hash of what was there before.
        changed[0].decision.reasons = vec!["somebody else".to_owned()];
        changed[0] = Sealed::seal(changed[0].decision.clone()).unwrap();
        let (place, problem) = broken(&changed);
        assert!(place == 2 && problem.contains("another hash"), "{problem}");
        let mut missing = chain();
        missing.remove(1);
        assert_eq!(broken(&missing).0, 2);
        assert_eq!(broken(&[]).1, "there is no decision in it");
    }

    #[test]
    fn the_look_before_is_judged_again_too() {
        let with_before = |change: fn(&mut Evidence)| {
            let mut record = decision();
            let mut bundle = record.evidence.clone().unwrap().bundle;
            bundle.now_ms = 500;
            let verdict = policy::judge(&bundle);
            let mut before = Evidence { bundle, verdict };
            change(&mut before);
            record.evidence_before = Some(before);
            replayed(record)
        };
        with_before(|_| {}).unwrap();
        let later = with_before(|before| {
            before.bundle.now_ms = 2_000_000;
            before.verdict = policy::judge(&before.bundle);
        });
        assert!(matches!(later, Err(ReplayError::Forged("evidence_before"))));
        let other = with_before(|before| before.verdict.reasons.clear());
        assert!(matches!(other, Err(ReplayError::Differs { .. })));
    }

    #[test]
    fn a_forged_record_is_found_though_its_hash_is_right() {
        replayed(decision()).unwrap();
        type Forge = fn(&mut Decision);
        let forgeries: [(&str, Forge); 8] = [
            ("deed", |record| record.deed = Deed::Promote),
            ("drops", |record| record.drops = vec!["canary".to_owned()]),
            ("by", |record| record.by = By::Person),
            ("reasons", |record| {
                record.reasons = vec!["all fine".to_owned()]
            }),
            ("rollout", |record| record.rollout = "other".to_owned()),
            ("to_step", |record| record.to_step = 3),
            ("phase", |record| record.phase = Some(Phase::Promoted)),
            ("baseline", |record| {
                record.baseline = Some("canary".to_owned())
            }),
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
