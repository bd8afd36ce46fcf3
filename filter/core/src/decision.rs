//! From a request to an arm.

use crate::bucket;
use crate::identity::UnitHash;
use crate::plan::compiled::SegmentTo;
use crate::plan::{CompiledPlan, CompiledRollout};
use crate::request::{Reader, Request};
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// Why a request is not randomised: it gets an arm, and never enters a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fallback {
    /// No source of a unit is present, or all are empty.
    NoUnit,
    /// The unit's bucket is in no range.
    Outside,
    /// This worker's breaker took an arm out of the rollout.
    Breaker,
    /// A tester's token picked the arm.
    Override,
    /// The request's segment goes to one arm as a whole.
    Rule,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Placed by weights: counts for the verdict.
    Randomised {
        unit: UnitHash,
        slot: u8,
    },
    Fallback(Fallback),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    pub rollout: Rc<CompiledRollout>,
    /// Index of the segment that the request is in; `None` for the rest.
    pub segment: Option<usize>,
    pub arm: usize,
    pub placement: Placement,
}

/// Which breakers of this worker are open.
pub trait Breakers {
    /// The arm that is taken out of a rollout, if one is.
    fn tripped(&self, rollout: &CompiledRollout) -> Option<usize>;
}

/// The decision for a request, or `None` when no rollout matches it. The first
/// rollout that matches decides, in the order of the plan.
#[must_use]
pub fn decide(
    plan: &CompiledPlan,
    request: &impl Request,
    breakers: &impl Breakers,
) -> Option<Decision> {
    let request = Reader::new(request);
    let rollout = plan
        .rollouts
        .iter()
        .find(|rollout| rollout.matcher.matches(&request))?;
    let segment = rollout
        .segments
        .iter()
        .position(|segment| segment.when.iter().all(|when| when.holds(&request)));
    let (arm, placement) = assign(rollout, segment, &request, breakers.tripped(rollout));
    Some(Decision {
        rollout: Rc::clone(rollout),
        segment,
        arm,
        placement,
    })
}

/// Overrides before segments, segments before weights.
fn assign(
    rollout: &CompiledRollout,
    segment: Option<usize>,
    request: &Reader<'_>,
    tripped: Option<usize>,
) -> (usize, Placement) {
    let overridden = rollout.overrides.as_ref();
    if let Some(arm) = overridden.and_then(|overrides| overrides.arm(request)) {
        return (arm, Placement::Fallback(Fallback::Override));
    }
    let fallback = |cause| (rollout.baseline, Placement::Fallback(cause));
    let segment = segment.and_then(|index| rollout.segments.get(index));
    let allocation = match segment.map(|segment| &segment.to) {
        None => &rollout.allocation,
        Some(SegmentTo::Split(allocation)) => allocation,
        Some(SegmentTo::Arm(arm)) if tripped == Some(*arm) => return fallback(Fallback::Breaker),
        Some(SegmentTo::Arm(arm)) => return (*arm, Placement::Fallback(Fallback::Rule)),
    };
    let unit = rollout.unit.iter().find_map(|source| source.read(request));
    let Some(unit) = unit else {
        return fallback(Fallback::NoUnit);
    };
    let place = bucket::place(&unit, &rollout.salt);
    let Some(arm) = allocation.arm(place.bucket) else {
        return fallback(Fallback::Outside);
    };
    // Once one arm is out, its users are on the baseline: no arm of the rollout
    // is a fair sample any more, so all of them leave the test here.
    match tripped {
        Some(tripped) if tripped == arm => fallback(Fallback::Breaker),
        Some(_) => (arm, Placement::Fallback(Fallback::Breaker)),
        None => (
            arm,
            Placement::Randomised {
                unit: rollout.identity.hash(&unit),
                slot: place.slot,
            },
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::compiled::tests::{compiled, plan_json};
    use crate::request::Fake;
    use serde_json::json;

    struct Tripped(Option<usize>);
    impl Breakers for Tripped {
        fn tripped(&self, _: &CompiledRollout) -> Option<usize> {
            self.0
        }
    }
    fn request(path: &str, unit: Option<&str>) -> Fake {
        let unit = unit.map(|unit| ("x-user-id", unit.as_bytes()));
        Fake::new([(":path", path.as_bytes())].into_iter().chain(unit))
    }
    fn in_arm(plan: &CompiledPlan, arm: usize) -> String {
        let rollout = &plan.rollouts[0];
        (0..)
            .map(|i| format!("user-{i}"))
            .find(|unit| {
                rollout
                    .allocation
                    .arm(bucket::place(unit.as_bytes(), "s").bucket)
                    == Some(arm)
            })
            .unwrap()
    }

    #[test]
    fn places_by_weights() {
        let plan = compiled(&plan_json()).unwrap();
        for arm in [0, 1] {
            let unit = in_arm(&plan, arm);
            let decision = decide(
                &plan,
                &request("/v2/models/digits/infer", Some(&unit)),
                &Tripped(None),
            )
            .unwrap();
            assert_eq!(decision.arm, arm);
            assert!(matches!(decision.placement, Placement::Randomised { .. }));
        }
    }

    #[test]
    fn whatever_is_missing_goes_to_the_baseline() {
        let mut document = plan_json();
        document["rollouts"][0]["allocation"] = json!([{"from": 0, "to": 1, "arm": "canary"}]);
        let plan = compiled(&document).unwrap();
        assert_eq!(
            decide(&plan, &request("/other", Some("u")), &Tripped(None)),
            None
        );
        for (unit, cause) in [
            (None, Fallback::NoUnit),
            (Some(""), Fallback::NoUnit),
            (Some("u"), Fallback::Outside),
        ] {
            let decision =
                decide(&plan, &request("/v2/models/digits", unit), &Tripped(None)).unwrap();
            assert_eq!(
                (decision.arm, decision.placement),
                (0, Placement::Fallback(cause))
            );
        }
    }

    #[test]
    fn a_breaker_takes_its_arm_back_and_all_arms_out_of_the_test() {
        let plan = compiled(&plan_json()).unwrap();
        for arm in [0, 1] {
            let unit = in_arm(&plan, arm);
            let decision = decide(
                &plan,
                &request("/v2/models/digits", Some(&unit)),
                &Tripped(Some(1)),
            )
            .unwrap();
            assert_eq!(decision.arm, 0);
            assert_eq!(decision.placement, Placement::Fallback(Fallback::Breaker));
        }
    }

    #[test]
    fn a_token_picks_an_arm_over_everything_and_is_not_randomised() {
        let mut document = plan_json();
        // The SHA-256 of "abc" (FIPS 180-4, its example).
        document["rollouts"][0]["overrides"] = json!({"tokens": [{"arm": "canary",
            "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}]});
        let plan = compiled(&document).unwrap();
        let control = in_arm(&plan, 0);
        let with = |token: &str| {
            let headers = [
                (":path", "/v2/models/digits".as_bytes()),
                ("x-user-id", control.as_bytes()),
                ("x-serinus-override", token.as_bytes()),
            ];
            decide(&plan, &Fake::new(headers), &Tripped(Some(1))).unwrap()
        };
        let overridden = with("abc");
        assert_eq!(
            (overridden.arm, overridden.placement),
            (1, Placement::Fallback(Fallback::Override))
        );
        assert_eq!(with("abd").arm, 0);
    }

    #[test]
    fn the_first_source_that_is_present_wins_and_the_first_rollout_that_matches() {
        let mut document = plan_json();
        let mut second = document["rollouts"][0].clone();
        second["id"] = json!("second");
        second["match"] = json!({});
        second["unit"] = json!([{"query": "u"}, {"cookie": "u"}]);
        document["rollouts"].as_array_mut().unwrap().push(second);
        let plan = compiled(&document).unwrap();
        let decide = |headers: &[(&str, &str)]| {
            let headers = headers
                .iter()
                .map(|(name, value)| (*name, value.as_bytes()));
            decide(&plan, &Fake::new(headers), &Tripped(None)).unwrap()
        };
        let of = |path, cookie| decide(&[(":path", path), ("cookie", cookie)]);
        assert_eq!(of("/v2/models/digits", "u=1").rollout.id, "digits");
        let by_query = of("/?u=a", "u=b");
        assert_eq!(by_query.rollout.id, "second");
        assert_eq!(by_query, of("/?u=a", ""));
        assert_eq!(of("/", "u=a").placement, by_query.placement);
        assert_ne!(of("/", "u=b").placement, by_query.placement);
        assert_eq!(of("/", "").placement, Placement::Fallback(Fallback::NoUnit));
    }

    #[test]
    fn gold_goes_here_platinum_there_and_the_rest_by_weights() {
        let mut document = plan_json();
        document["rollouts"][0]["segments"] = json!([
            {"name": "gold", "when": [{"header": "x-card", "in": ["gold"]}], "arm": "control"},
            {"name": "platinum", "when": [{"header": "x-card", "in": ["platinum"]}], "arm": "canary"},
            {"name": "silver", "when": [{"header": "x-card", "prefix": "s"}],
             "allocation": [{"from": 0, "to": 10_000, "arm": "canary"}]},
        ]);
        let plan = compiled(&document).unwrap();
        let decided = |card: &str, arm: usize, tripped| {
            let unit = in_arm(&plan, arm);
            let headers = [
                (":path", "/v2/models/digits".as_bytes()),
                ("x-card", card.as_bytes()),
                ("x-user-id", unit.as_bytes()),
            ];
            let decision = decide(&plan, &Fake::new(headers), &Tripped(tripped)).unwrap();
            (decision.segment, decision.arm, decision.placement)
        };
        let rule = Placement::Fallback(Fallback::Rule);
        let breaker = Placement::Fallback(Fallback::Breaker);
        assert_eq!(decided("gold", 1, None), (Some(0), 0, rule));
        assert_eq!(decided("platinum", 0, None), (Some(1), 1, rule));
        assert_eq!(decided("platinum", 0, Some(1)), (Some(1), 0, breaker));
        let (segment, arm, placement) = decided("silver", 0, None);
        assert_eq!((segment, arm), (Some(2), 1));
        assert!(matches!(placement, Placement::Randomised { .. }));
        for arm in [0, 1] {
            let (segment, found, placement) = decided("bronze", arm, None);
            assert_eq!((segment, found), (None, arm));
            assert!(matches!(placement, Placement::Randomised { .. }));
        }
    }
}
