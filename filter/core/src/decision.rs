//! From a request to an arm.

use crate::allocation::Allocation;
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
    /// The client had no unit, and got one with the answer.
    NewCookie,
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
    /// The value of a `Set-Cookie` for the answer.
    pub set_cookie: Option<String>,
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
    random: &dyn Fn() -> Option<[u8; 16]>,
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
    let mut decision = Decision {
        rollout: Rc::clone(rollout),
        segment,
        arm: rollout.baseline,
        placement: Placement::Fallback(Fallback::NoUnit),
        set_cookie: None,
    };
    let tripped = breakers.tripped(rollout);
    (decision.arm, decision.placement) = assign(rollout, segment, &request, tripped);
    // Who has no unit gets one, and the arm that it will have from now on; but it is
    // not counted before it comes back, which a bot's never does.
    if decision.placement == Placement::Fallback(Fallback::NoUnit)
        && let Some(cookie) = &rollout.issue_cookie
        && let Some(random) = random()
    {
        let (unit, header) = cookie.issue(random);
        (decision.arm, decision.placement) =
            match place(rollout, allocation(rollout, segment), tripped, &unit) {
                (arm, Placement::Randomised { .. }) => {
                    (arm, Placement::Fallback(Fallback::NewCookie))
                }
                other => other,
            };
        decision.set_cookie = Some(header);
    }
    Some(decision)
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
    let segment_to = segment.and_then(|index| rollout.segments.get(index));
    match segment_to.map(|segment| &segment.to) {
        Some(SegmentTo::Arm(arm)) if tripped == Some(*arm) => {
            return (rollout.baseline, Placement::Fallback(Fallback::Breaker));
        }
        Some(SegmentTo::Arm(arm)) => return (*arm, Placement::Fallback(Fallback::Rule)),
        _ => {}
    }
    let sources = rollout.unit.iter().map(|source| source.read(request));
    let issued = rollout.issue_cookie.iter();
    let issued = issued.map(|cookie| cookie.read(request));
    match sources.chain(issued).flatten().next() {
        Some(unit) => place(rollout, allocation(rollout, segment), tripped, &unit),
        None => (rollout.baseline, Placement::Fallback(Fallback::NoUnit)),
    }
}

fn allocation(rollout: &CompiledRollout, segment: Option<usize>) -> &Allocation {
    let segment = segment.and_then(|index| rollout.segments.get(index));
    match segment.map(|segment| &segment.to) {
        Some(SegmentTo::Split(own)) => own,
        _ => &rollout.allocation,
    }
}

fn place(
    rollout: &CompiledRollout,
    allocation: &Allocation,
    tripped: Option<usize>,
    unit: &[u8],
) -> (usize, Placement) {
    let fallback = |cause| (rollout.baseline, Placement::Fallback(cause));
    let place = bucket::place(unit, &rollout.salt);
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
                unit: rollout.identity.hash(unit),
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
    fn no_chance() -> Option<[u8; 16]> {
        None
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
                &no_chance,
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
            decide(
                &plan,
                &request("/other", Some("u")),
                &Tripped(None),
                &no_chance
            ),
            None
        );
        for (unit, cause) in [
            (None, Fallback::NoUnit),
            (Some(""), Fallback::NoUnit),
            (Some("u"), Fallback::Outside),
        ] {
            let decision = decide(
                &plan,
                &request("/v2/models/digits", unit),
                &Tripped(None),
                &no_chance,
            )
            .unwrap();
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
                &no_chance,
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
            decide(&plan, &Fake::new(headers), &Tripped(Some(1)), &no_chance).unwrap()
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
            decide(&plan, &Fake::new(headers), &Tripped(None), &no_chance).unwrap()
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
            let decision =
                decide(&plan, &Fake::new(headers), &Tripped(tripped), &no_chance).unwrap();
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

    #[test]
    fn a_cookie_is_issued_routes_at_once_and_counts_once_it_comes_back() {
        let mut document = plan_json();
        document["rollouts"][0]["unit"] =
            json!([{"header": "x-user-id"}, {"issue_cookie": {"name": "uid"}}]);
        let plan = compiled(&document).unwrap();
        let mut arms = [0, 0];
        for number in 0..100u8 {
            let random = || Some([number; 16]);
            let path = (":path", "/v2/models/digits".as_bytes());
            let none = Fake::new([path]);
            let first = decide(&plan, &none, &Tripped(None), &random).unwrap();
            assert_eq!(first.placement, Placement::Fallback(Fallback::NewCookie));
            let header = first.set_cookie.unwrap();
            assert!(header.ends_with("; Path=/; Max-Age=31536000; SameSite=Lax; HttpOnly"));
            let cookie = header.split(';').next().unwrap();
            let back = Fake::new([path, ("cookie", cookie.as_bytes())]);
            let second = decide(&plan, &back, &Tripped(None), &random).unwrap();
            assert_eq!(
                second.arm, first.arm,
                "the same version from the first request on"
            );
            assert!(matches!(second.placement, Placement::Randomised { .. }));
            assert_eq!(second.set_cookie, None);
            arms[first.arm] += 1;
            let tripped = decide(&plan, &none, &Tripped(Some(1)), &random).unwrap();
            assert_eq!(tripped.arm, 0);
            let no_randomness = decide(&plan, &none, &Tripped(None), &no_chance).unwrap();
            assert_eq!((no_randomness.arm, no_randomness.set_cookie), (0, None));
        }
        assert!(arms[1] > 0, "{arms:?}");
    }
}
