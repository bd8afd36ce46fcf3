//! From a request to an arm.

use crate::bucket;
use crate::identity::UnitHash;
use crate::plan::wire::UnitSource;
use crate::plan::{CompiledPlan, CompiledRollout};
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// What the decision reads of a request. Each call may cost a host call, so
/// nothing is read that a plan does not ask for.
pub trait Request {
    /// The first value of a header, by its lower-case name.
    fn header(&self, name: &str) -> Option<Vec<u8>>;
}

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
    pub arm: usize,
    pub placement: Placement,
}

/// Which breakers of this worker are open.
pub trait Breakers {
    /// The arm that is taken out of a rollout, if one is.
    fn tripped(&self, rollout: &CompiledRollout) -> Option<usize>;
}

/// The decision for a request, or `None` when no rollout matches it.
#[must_use]
pub fn decide(
    plan: &CompiledPlan,
    request: &impl Request,
    breakers: &impl Breakers,
) -> Option<Decision> {
    let rollout = matching(plan, request)?;
    let (arm, placement) = assign(rollout, request, breakers);
    Some(Decision {
        rollout: Rc::clone(rollout),
        arm,
        placement,
    })
}

fn assign(
    rollout: &CompiledRollout,
    request: &impl Request,
    breakers: &impl Breakers,
) -> (usize, Placement) {
    let fallback = |cause| (rollout.baseline, Placement::Fallback(cause));
    let Some(unit) = unit(rollout, request) else {
        return fallback(Fallback::NoUnit);
    };
    let place = bucket::place(&unit, &rollout.salt);
    let Some(arm) = rollout.allocation.arm(place.bucket) else {
        return fallback(Fallback::Outside);
    };
    // Once one arm is out, its users are on the baseline: no arm of the rollout
    // is a fair sample any more, so all of them leave the test here.
    match breakers.tripped(rollout) {
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

fn unit(rollout: &CompiledRollout, request: &impl Request) -> Option<Vec<u8>> {
    rollout
        .unit
        .iter()
        .map(|source| match source {
            UnitSource::Header(name) => request.header(name),
        })
        .find_map(|value| value.filter(|value| !value.is_empty()))
}

/// The first rollout that matches; path and host are read once, and only if asked for.
fn matching<'plan>(
    plan: &'plan CompiledPlan,
    request: &impl Request,
) -> Option<&'plan Rc<CompiledRollout>> {
    let mut path = Lazy::new(|| request.header(":path"));
    let mut host = Lazy::new(|| request.header(":authority"));
    plan.rollouts.iter().find(|rollout| {
        let path_fits = rollout.path_prefix.as_ref().is_none_or(|prefix| {
            path.get()
                .as_ref()
                .is_some_and(|path| path.starts_with(prefix.as_bytes()))
        });
        path_fits
            && rollout.host.as_ref().is_none_or(|wanted| {
                host.get()
                    .as_ref()
                    .is_some_and(|host| without_port(host).eq_ignore_ascii_case(wanted.as_bytes()))
            })
    })
}

/// `example.com:8080` and `[::1]:8080` without the port.
pub(crate) fn without_port(host: &[u8]) -> &[u8] {
    match host.iter().rposition(|&byte| byte == b':') {
        Some(colon) => {
            let (name, port) = host.split_at(colon);
            let digits = port.iter().skip(1).all(u8::is_ascii_digit);
            // A colon inside brackets belongs to the address.
            if digits && !port.contains(&b']') {
                name
            } else {
                host
            }
        }
        None => host,
    }
}

struct Lazy<T, F: Fn() -> T> {
    make: F,
    value: Option<T>,
}

impl<T, F: Fn() -> T> Lazy<T, F> {
    fn new(make: F) -> Self {
        Self { make, value: None }
    }

    fn get(&mut self) -> &T {
        self.value.get_or_insert_with(&self.make)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::compiled::tests::{compiled, plan_json};
    use serde_json::json;

    struct Fake(Vec<(&'static str, Vec<u8>)>);
    impl Request for Fake {
        fn header(&self, name: &str) -> Option<Vec<u8>> {
            let found = self.0.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.clone())
        }
    }
    struct Tripped(Option<usize>);
    impl Breakers for Tripped {
        fn tripped(&self, _: &CompiledRollout) -> Option<usize> {
            self.0
        }
    }
    fn request(path: &str, unit: Option<&str>) -> Fake {
        let mut headers = vec![(":path", path.as_bytes().to_vec())];
        headers.extend(unit.map(|unit| ("x-user-id", unit.as_bytes().to_vec())));
        Fake(headers)
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
    fn hosts_match_in_any_case_and_with_any_port() {
        let mut document = plan_json();
        document["rollouts"][0]["match"] = json!({"host": "Models.example"});
        let plan = compiled(&document).unwrap();
        for (host, matches) in [
            ("models.example", true),
            ("MODELS.example:8080", true),
            ("models.example.org", false),
            ("[::1]", false),
        ] {
            let request = Fake(vec![(":authority", host.as_bytes().to_vec())]);
            assert_eq!(
                decide(&plan, &request, &Tripped(None)).is_some(),
                matches,
                "{host}"
            );
        }
        assert_eq!(without_port(b"[::1]:80"), b"[::1]");
        assert_eq!(without_port(b"[::1]"), b"[::1]");
    }
}
