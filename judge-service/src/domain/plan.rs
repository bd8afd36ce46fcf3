//! From rollouts to the plan that workers route by.

use super::layers;
use super::rollout::{Phase, Rollout};
use super::spec::{AtStale, RolloutSpec};
use serinus_core::json::FieldError;
use serinus_core::plan::compile;
use serinus_core::plan::wire::{
    self, BucketRange, Holdout, Plan, Revision, RolloutPlan, Sampling, SegmentPlan,
};

/// A rollout with the secret of its users' pseudonyms, which no record of a
/// decision may contain.
#[derive(Debug, Clone, PartialEq)]
pub struct Keyed<'a> {
    pub rollout: &'a Rollout,
    pub identity_key: &'a str,
}

/// What holds for all rollouts of a judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    pub report_interval_ms: u32,
    /// Of one worker and rollout, a second.
    pub most_samples: u32,
    /// Buckets whose units stay out of every rollout.
    pub holdout_buckets: u16,
}

/// The salt of the holdout: with it anybody can recompute who is held out.
const HOLDOUT_SALT: &str = "serinus-holdout";

/// The revision of a plan as JSON, whatever else that says and whichever version it has:
/// the rest is the filter's. (Kubernetes writes numbers as it likes; ours are whole.)
#[must_use]
pub fn revision_in(plan: &serde_json::Value) -> Option<Revision> {
    let number = |name: &str| plan.get("revision")?.get(name)?.as_u64();
    Some(Revision {
        generation: number("generation")?,
        counter: number("counter")?,
    })
}

#[must_use]
pub fn build<'a>(
    rollouts: impl IntoIterator<Item = Keyed<'a>>,
    revision: Revision,
    terms: &Terms,
) -> Plan {
    Plan {
        version: wire::VERSION,
        revision,
        report_interval_ms: terms.report_interval_ms,
        holdout: (terms.holdout_buckets > 0).then(|| Holdout {
            salt: HOLDOUT_SALT.to_owned(),
            buckets: terms.holdout_buckets,
        }),
        rollouts: rollouts
            .into_iter()
            .map(|keyed| rollout_plan(keyed, terms))
            .collect(),
    }
}

fn rollout_plan(keyed: Keyed<'_>, terms: &Terms) -> RolloutPlan {
    let Keyed {
        rollout,
        identity_key,
    } = keyed;
    let spec = &rollout.spec;
    let arm = |index: usize| {
        spec.arms
            .get(index)
            .map(|arm| arm.name.clone())
            .unwrap_or_default()
    };
    let epoch = rollout.epoch();
    let tested = rollout.is_tested();
    // What each request does is counted, and so is never listed.
    let share = if tested && !spec.each_request() {
        1.0
    } else {
        0.0
    };
    let ranges = |allocation: &[(u16, u16, usize)]| -> Vec<BucketRange> {
        let range = |&(from, to, index): &_| BucketRange {
            from,
            to,
            arm: arm(index),
        };
        allocation.iter().map(range).collect()
    };
    let taken_back = rollout.phase.is_taken_back();
    let segments = spec
        .segments
        .iter()
        .filter(|_| !taken_back)
        .map(|segment| SegmentPlan {
            name: segment.name.clone(),
            when: segment.when.clone(),
            arm: segment.arm.as_ref().map(|arm| {
                if rollout.is_dropped(arm) {
                    rollout.baseline.clone()
                } else {
                    arm.clone()
                }
            }),
            allocation: epoch
                .and_then(|epoch| epoch.split(&segment.name))
                .map_or_else(Vec::new, |split| ranges(&split.allocation)),
        })
        .collect();
    RolloutPlan {
        id: spec.id.clone(),
        epoch: epoch.map_or(0, |epoch| epoch.epoch),
        matches: spec.matches.clone(),
        enforced_at: spec.enforced_at.clone(),
        unit: spec.unit.clone(),
        salt: spec.salt.clone().unwrap_or_default(),
        identity_key: identity_key.to_owned(),
        arms: spec.arms.iter().map(|arm| arm.name.clone()).collect(),
        baseline: rollout.baseline.clone(),
        allocation: epoch.map_or_else(Vec::new, |epoch| ranges(&epoch.allocation)),
        segments,
        latency_edges_us: epoch
            .and_then(|epoch| epoch.thresholds.as_ref())
            .map(|thresholds| thresholds.edges_us.clone())
            .unwrap_or_default(),
        event_share: share,
        new_unit_share: share,
        overrides: spec.overrides.clone(),
        sampling: spec
            .sampling
            .as_ref()
            .filter(|_| tested && !rollout.digests.is_empty() && !rollout.sampling_off)
            .map(|sampling| sampling_plan(spec, sampling, terms)),
        breaker: spec.breaker.clone().filter(|_| tested),
        layer: layers::plan(rollout),
        shadow: spec.shadow.clone().filter(|_| copies(rollout)),
        stale_after_ms: match spec.on_stale.then {
            AtStale::Hold => None,
            // Checked to be a day at most.
            AtStale::Baseline => Some((spec.on_stale.after_seconds * 1_000.0) as u64),
        },
        errors: spec.errors.clone(),
        latency_until: spec.latency_until,
        max_held_body_bytes: spec.max_held_body_bytes,
    }
}

/// Beside the bodies go the headers that say how they are written, those that a second
/// request needs, and the request's id.
fn sampling_plan(spec: &RolloutSpec, sampling: &Sampling, terms: &Terms) -> Sampling {
    const WRITTEN: [&str; 2] = ["content-encoding", "inference-header-content-length"];
    const WHERE: [&str; 2] = [":method", ":path"];
    let mut headers = sampling.headers.clone();
    let paired = spec.pairing.iter();
    let again = paired.flat_map(|pairing| {
        let headers = pairing.headers.iter().map(String::as_str);
        headers.chain(WHERE)
    });
    let remember = &spec.remember;
    let id = (remember.ms() > 0).then_some(remember.request_header.as_str());
    for name in WRITTEN.into_iter().chain(again).chain(id) {
        if !headers.iter().any(|known| known == name) {
            headers.push(name.to_owned());
        }
    }
    Sampling {
        headers,
        per_second: sampling.per_second.min(terms.most_samples),
        ..sampling.clone()
    }
}

/// Whether requests are copied: in the shadow steps of a rollout that has any.
fn copies(rollout: &Rollout) -> bool {
    let spec = &rollout.spec;
    let has_shadow_steps = spec.steps.iter().any(|step| spec.is_look_step(step));
    let waits = rollout.phase == Phase::Waiting;
    !rollout.phase.is_taken_back()
        && !waits
        && (!has_shadow_steps || rollout.phase.is_live() && rollout.is_only_looking())
}

/// Whether a filter would take the plan: what only compiling shows (names of
/// headers, numbers of arms) is refused here, with the spec's own paths.
///
/// # Errors
/// The field that does not compile.
pub fn routable(rollout: &Rollout, identity_key: &str) -> Result<(), FieldError> {
    let keyed = Keyed {
        rollout,
        identity_key,
    };
    let terms = Terms {
        report_interval_ms: 1_000,
        most_samples: u32::MAX,
        holdout_buckets: 0,
    };
    let plan = build([keyed], Revision::default(), &terms);
    compile(&plan).map(drop).map_err(|error| {
        let field = error
            .field
            .strip_prefix("rollouts[0].")
            .unwrap_or(&error.field);
        FieldError::new(field, error.problem)
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::domain::check::tests::{spec, spec_json};
    use crate::domain::rollout::tests::rollout;
    use serde_json::json;
    use std::collections::BTreeMap;

    pub(crate) fn terms() -> Terms {
        Terms {
            report_interval_ms: 1_000,
            most_samples: u32::MAX,
            holdout_buckets: 0,
        }
    }

    #[test]
    fn many_workers_sample_less_than_a_rollout_asks_for() {
        let mut rollout = rollout();
        rollout
            .digests
            .insert("control".to_owned(), "0a".to_owned());
        let keyed = || Keyed {
            rollout: &rollout,
            identity_key: "",
        };
        for (most_samples, per_second) in [(u32::MAX, 50), (64, 50), (8, 8)] {
            let terms = Terms {
                most_samples,
                ..terms()
            };
            let plan = build([keyed()], Revision::default(), &terms);
            let sampling = plan.rollouts[0].sampling.clone().unwrap();
            assert_eq!((sampling.share, sampling.per_second), (1.0, per_second));
        }
    }

    #[test]
    fn the_segment_of_a_dropped_arm_goes_to_the_baseline() {
        let mut document = spec_json();
        document["arms"] = json!([{"name": "control"}, {"name": "canary"}, {"name": "third"}]);
        document["steps"] = json!([{"weights": {"canary": 10, "third": 10}}]);
        let when = json!([{"header": "x-card"}]);
        document["segments"] = json!([{"name": "gold", "when": when, "arm": "third"}]);
        let spec = spec(&document).unwrap();
        let mut rollout = Rollout::start(spec, BTreeMap::new(), 1, 1_000).unwrap();
        let arm_of_gold = |rollout: &Rollout| {
            let key = "00".repeat(16);
            let keyed = Keyed {
                rollout,
                identity_key: &key,
            };
            let plan = build([keyed], Revision::default(), &terms());
            serinus_core::plan::compile(&plan).unwrap();
            plan.rollouts[0].segments[0].arm.clone().unwrap()
        };
        assert_eq!(arm_of_gold(&rollout), "third");
        rollout.drop_arms(&["third".to_owned()], 2_000);
        assert_eq!(arm_of_gold(&rollout), "control");
    }

    #[test]
    fn what_is_built_compiles() {
        let mut rollout = rollout();
        let key = "00".repeat(16);
        for move_on in [
            |_: &mut Rollout| {},
            |rollout: &mut Rollout| rollout.enter_step(1, 2).unwrap(),
            |rollout: &mut Rollout| rollout.take_back(Phase::RolledBack, 3),
        ] {
            move_on(&mut rollout);
            let keyed = Keyed {
                rollout: &rollout,
                identity_key: &key,
            };
            let plan = build(
                [keyed],
                Revision {
                    generation: 1,
                    counter: 1,
                },
                &terms(),
            );
            let compiled = serinus_core::plan::compile(&plan).unwrap();
            assert_eq!(compiled.rollouts[0].epoch, rollout.epoch().unwrap().epoch);
        }
    }
}
