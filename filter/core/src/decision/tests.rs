//! Who gets which arm, and why.

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
/// The decision of a plan where nothing is unusual.
fn decided(plan: &CompiledPlan, request: &Fake, tripped: Option<usize>) -> Decision {
    match decide(plan, request, &around(&Tripped(tripped), &no_chance)) {
        Outcome::Decided(decision) => decision,
        other => panic!("{other:?}"),
    }
}
fn around<'a>(tripped: &'a Tripped, random: &'a dyn Fn() -> Option<[u8; 16]>) -> Around<'a> {
    Around {
        point: None,
        breakers: tripped,
        silent_us: 0,
        random,
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
        let decision = decided(
            &plan,
            &request("/v2/models/digits/infer", Some(&unit)),
            None,
        );
        assert_eq!(decision.arm, arm);
        assert!(matches!(decision.placement, Placement::Randomised { .. }));
    }
}

#[test]
fn whatever_is_missing_goes_to_the_baseline() {
    let mut document = plan_json();
    document["rollouts"][0]["allocation"] = json!([{"from": 0, "to": 1, "arm": "canary"}]);
    let plan = compiled(&document).unwrap();
    let other = request("/other", Some("u"));
    let outcome = decide(&plan, &other, &around(&Tripped(None), &no_chance));
    assert_eq!(outcome, Outcome::Untouched);
    for (unit, cause) in [
        (None, Fallback::NoUnit),
        (Some(""), Fallback::NoUnit),
        (Some("u"), Fallback::Outside),
    ] {
        let decision = decided(&plan, &request("/v2/models/digits", unit), None);
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
        let decision = decided(&plan, &request("/v2/models/digits", Some(&unit)), Some(1));
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
        decided(&plan, &Fake::new(headers), Some(1))
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
        decided(&plan, &Fake::new(headers), None)
    };
    let of = |path, cookie| decide(&[(":path", path), ("cookie", cookie)]);
    assert_eq!(&*of("/v2/models/digits", "u=1").rollout.id, "digits");
    let by_query = of("/?u=a", "u=b");
    assert_eq!(&*by_query.rollout.id, "second");
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
    let of = |card: &str, arm: usize, tripped| {
        let unit = in_arm(&plan, arm);
        let headers = [
            (":path", "/v2/models/digits".as_bytes()),
            ("x-card", card.as_bytes()),
            ("x-user-id", unit.as_bytes()),
        ];
        let decision = decided(&plan, &Fake::new(headers), tripped);
        (decision.segment, decision.arm, decision.placement)
    };
    let rule = Placement::Fallback(Fallback::Rule);
    let breaker = Placement::Fallback(Fallback::Breaker);
    assert_eq!(of("gold", 1, None), (Some(0), 0, rule));
    assert_eq!(of("platinum", 0, None), (Some(1), 1, rule));
    assert_eq!(of("platinum", 0, Some(1)), (Some(1), 0, breaker));
    let (segment, arm, placement) = of("silver", 0, None);
    assert_eq!((segment, arm), (Some(2), 1));
    assert!(matches!(placement, Placement::Randomised { .. }));
    for arm in [0, 1] {
        let (segment, found, placement) = of("bronze", arm, None);
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
        let decided = |request: &Fake, tripped, random: &dyn Fn() -> Option<[u8; 16]>| match decide(
            &plan,
            request,
            &around(&Tripped(tripped), random),
        ) {
            Outcome::Decided(decision) => decision,
            other => panic!("{other:?}"),
        };
        let first = decided(&none, None, &random);
        assert_eq!(first.placement, Placement::Fallback(Fallback::NewCookie));
        let header = first.set_cookie.unwrap();
        assert!(header.ends_with("; Path=/; Max-Age=31536000; SameSite=Lax; HttpOnly"));
        let cookie = header.split(';').next().unwrap();
        let back = Fake::new([path, ("cookie", cookie.as_bytes())]);
        let second = decided(&back, None, &random);
        assert_eq!(
            second.arm, first.arm,
            "the same version from the first request on"
        );
        assert!(matches!(second.placement, Placement::Randomised { .. }));
        assert_eq!(second.set_cookie, None);
        arms[first.arm] += 1;
        let tripped = decided(&none, Some(1), &random);
        assert_eq!(tripped.arm, 0);
        let no_randomness = decided(&none, None, &no_chance);
        assert_eq!((no_randomness.arm, no_randomness.set_cookie), (0, None));
    }
    assert!(arms[1] > 0, "{arms:?}");
}

#[test]
fn each_request_may_be_a_unit_that_is_drawn() {
    let mut document = plan_json();
    document["rollouts"][0]["unit"] = json!(["each_request"]);
    let plan = compiled(&document).unwrap();
    let request = request("/v2/models/digits", Some("the same user"));
    let mut arms = [0, 0];
    for number in 0..100u8 {
        let random = || Some([number; 16]);
        let around = around(&Tripped(None), &random);
        let Outcome::Decided(decision) = decide(&plan, &request, &around) else {
            panic!("not decided");
        };
        assert!(matches!(decision.placement, Placement::Randomised { .. }));
        arms[decision.arm] += 1;
    }
    assert!(arms.iter().all(|&requests| requests > 0), "{arms:?}");
    let no_randomness = decided(&plan, &request, None);
    assert_eq!(
        (no_randomness.arm, no_randomness.placement),
        (0, Placement::Fallback(Fallback::NoUnit))
    );
    for beside in [
        json!(["each_request", {"header": "x"}]),
        json!([{"header": "x"}, "each_request"]),
    ] {
        document["rollouts"][0]["unit"] = beside;
        let error = compiled(&document).unwrap_err();
        assert!(error.problem.contains("beside another source"), "{error}");
    }
}

/// Two rollouts on one layer for the same requests, as the first and second half.
fn layered() -> serde_json::Value {
    let mut document = plan_json();
    let mut second = document["rollouts"][0].clone();
    document["rollouts"][0]["layer"] = json!({"salt": "ranking", "from": 0, "to": 5_000});
    second["id"] = json!("second");
    second["salt"] = json!("other");
    second["layer"] = json!({"salt": "ranking", "from": 5_000, "to": 8_000});
    document["rollouts"].as_array_mut().unwrap().push(second);
    document
}

#[test]
fn a_layer_gives_each_unit_to_one_rollout() {
    let plan = compiled(&layered()).unwrap();
    let mut counts = [0, 0, 0];
    for i in 0..1_000 {
        let unit = format!("user-{i}");
        let layer_bucket = bucket::place(unit.as_bytes(), "ranking").bucket;
        let decision = decided(&plan, &request("/v2/models/digits", Some(&unit)), None);
        let counted = matches!(decision.placement, Placement::Randomised { .. });
        let (index, expected) = match layer_bucket {
            0..5_000 => (0, ("digits", true)),
            5_000..8_000 => (1, ("second", true)),
            _ => (2, ("digits", false)),
        };
        assert_eq!((&*decision.rollout.id, counted), expected);
        if !counted {
            let layer = Placement::Fallback(Fallback::Layer);
            assert_eq!((decision.arm, decision.placement), (0, layer));
        }
        counts[index] += 1;
    }
    assert!(counts.iter().all(|&count| count > 100), "{counts:?}");
}

#[test]
fn a_token_opens_its_rollout_of_a_layer_whoever_has_the_unit() {
    let mut document = layered();
    document["rollouts"][1]["overrides"] = json!({"tokens": [{"arm": "canary",
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}]});
    let plan = compiled(&document).unwrap();
    for i in 0..50 {
        let unit = format!("user-{i}");
        let headers = [
            (":path", "/v2/models/digits".as_bytes()),
            ("x-user-id", unit.as_bytes()),
            ("x-serinus-override", b"abc"),
        ];
        let decision = decided(&plan, &Fake::new(headers), None);
        let found = (&*decision.rollout.id, decision.arm, decision.placement);
        let token = Placement::Fallback(Fallback::Override);
        assert_eq!(found, ("second", 1, token));
    }
}

#[test]
fn rollouts_of_a_layer_issue_one_cookie() {
    let mut document = layered();
    for rollout in document["rollouts"].as_array_mut().unwrap() {
        rollout["unit"] = json!([{"issue_cookie": {"name": "uid"}}]);
    }
    let plan = compiled(&document).unwrap();
    let mut second = 0;
    for number in 0..100u8 {
        let random = || Some([number; 16]);
        let none = request("/v2/models/digits", None);
        let outcome = decide(&plan, &none, &around(&Tripped(None), &random));
        let Outcome::Decided(decision) = outcome else {
            panic!("{outcome:?}");
        };
        let cookie = format!("{number:02x}").repeat(16);
        let header = decision.set_cookie.unwrap();
        assert!(header.starts_with(&format!("uid={cookie};")), "{header}");
        second += u32::from(&*decision.rollout.id == "second");
    }
    assert!(second > 10, "{second}");
}

#[test]
fn held_out_units_are_in_nothing_but_keep_their_overrides() {
    let mut document = plan_json();
    document["holdout"] = json!({"salt": "out", "buckets": 5_000});
    document["rollouts"][0]["segments"] = json!([
        {"name": "gold", "when": [{"header": "x-card"}], "arm": "canary"}]);
    document["rollouts"][0]["overrides"] = json!({"tokens": [{"arm": "canary",
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}]});
    let plan = compiled(&document).unwrap();
    for i in 0..100 {
        let unit = format!("user-{i}");
        let out = bucket::place(unit.as_bytes(), "out").bucket < 5_000;
        let of = |extra: Option<(&str, &[u8])>| {
            let headers = [
                (":path", "/v2/models/digits".as_bytes()),
                ("x-user-id", unit.as_bytes()),
            ];
            let decision = decided(&plan, &Fake::new(headers.into_iter().chain(extra)), None);
            (decision.arm, decision.placement)
        };
        let held_out = (0, Placement::Fallback(Fallback::Holdout));
        assert_eq!(of(None) == held_out, out);
        assert_eq!(of(Some(("x-card", b"1"))) == held_out, out);
        let (arm, placement) = of(Some(("x-serinus-override", b"abc")));
        assert_eq!(
            (arm, placement),
            (1, Placement::Fallback(Fallback::Override))
        );
    }
}

#[test]
fn a_worker_that_heard_nothing_for_too_long_serves_the_baseline() {
    let mut document = plan_json();
    document["rollouts"][0]["stale_after_ms"] = json!(1_000);
    let plan = compiled(&document).unwrap();
    let unit = in_arm(&plan, 1);
    let after = |silent_us| {
        let around = Around {
            silent_us,
            ..around(&Tripped(None), &no_chance)
        };
        match decide(&plan, &request("/v2/models/digits", Some(&unit)), &around) {
            Outcome::Decided(decision) => (decision.arm, decision.placement),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(after(1_000_000).0, 1);
    let stale = Placement::Fallback(Fallback::Stale);
    assert_eq!(after(1_000_001), (0, stale));
}

#[test]
fn a_rollout_is_decided_at_its_enforcement_point_alone() {
    let mut document = plan_json();
    document["rollouts"][0]["enforced_at"] = json!("gateway");
    let elsewhere_then_here = {
        let mut document = document.clone();
        let mut second = plan_json()["rollouts"][0].clone();
        second["id"] = json!("second");
        document["rollouts"].as_array_mut().unwrap().push(second);
        compiled(&document).unwrap()
    };
    let plan = compiled(&document).unwrap();
    let asked = |plan: &CompiledPlan, path: &str, point| {
        let around = Around {
            point,
            ..around(&Tripped(None), &no_chance)
        };
        decide(plan, &request(path, Some("ada")), &around)
    };
    let decider = |outcome| match outcome {
        Outcome::Decided(decision) => decision.rollout.id.to_string(),
        other => format!("{other:?}"),
    };
    let path = "/v2/models/digits";
    for (point, by) in [
        (Some("gateway"), "digits"),
        (Some("sidecar"), "Elsewhere"),
        (None, "Elsewhere"),
    ] {
        assert_eq!(decider(asked(&plan, path, point)), by, "{point:?}");
    }
    assert_eq!(asked(&plan, "/other", None), Outcome::Untouched);
    // What is enforced here has a request before what is enforced elsewhere.
    for (point, by) in [(Some("gateway"), "digits"), (Some("sidecar"), "second")] {
        let outcome = asked(&elsewhere_then_here, path, point);
        assert_eq!(decider(outcome), by, "{point:?}");
    }
}

#[test]
fn a_body_is_waited_for_only_when_the_decision_needs_it() {
    let mut document = plan_json();
    document["rollouts"][0]["unit"] = json!([{"header": "x-user-id"}, {"body": "/user"}]);
    document["rollouts"][0]["max_held_body_bytes"] = json!(1_000);
    let plan = compiled(&document).unwrap();
    let unit = in_arm(&plan, 1);
    let body = format!("{{\"user\":\"{unit}\"}}");
    let outcome = |unit: Option<&str>, body: Option<&[u8]>, pending: bool| {
        let mut request = request("/v2/models/digits", unit);
        request.body = body.map(<[u8]>::to_vec);
        request.pending = pending;
        decide(&plan, &request, &around(&Tripped(None), &no_chance))
    };
    let placed = |outcome: Outcome| match outcome {
        Outcome::Decided(decision) => (decision.arm, decision.placement),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        outcome(None, None, true),
        Outcome::NeedsBody { at_most: 1_000 }
    );
    let by_header = placed(outcome(Some(&unit), None, true));
    assert_eq!(
        placed(outcome(None, Some(body.as_bytes()), false)),
        by_header
    );
    assert_eq!(by_header.0, 1);
    let cause = |cause| (0, Placement::Fallback(cause));
    assert_eq!(placed(outcome(None, None, false)), cause(Fallback::Body));
    let other: &[u8] = b"{\"users\":1}";
    assert_eq!(
        placed(outcome(None, Some(other), false)),
        cause(Fallback::NoUnit)
    );
}

#[test]
fn a_shadow_gets_its_share_of_units_and_by_arm() {
    let mut document = plan_json();
    document["rollouts"][0]["shadow"] =
        json!({"cluster": "v3", "share": 0.25, "arms": ["control"]});
    let plan = compiled(&document).unwrap();
    let mut shadowed = 0;
    for i in 0..2_000 {
        let unit = format!("user-{i}");
        let decision = decided(&plan, &request("/v2/models/digits", Some(&unit)), None);
        assert!(!(decision.shadow && decision.arm == 1));
        shadowed += u32::from(decision.shadow);
    }
    // 0.9 x 0.25 x 2,000 = 450 +- 6 sd (19).
    assert!((335..565).contains(&shadowed), "{shadowed}");
    let by_chance = |byte: u8| {
        let random = move || Some([byte; 16]);
        let none = request("/v2/models/digits", None);
        match decide(&plan, &none, &around(&Tripped(None), &random)) {
            Outcome::Decided(decision) => decision.shadow,
            other => panic!("{other:?}"),
        }
    };
    assert!(by_chance(0) && by_chance(0x3f) && !by_chance(0x40) && !by_chance(0xff));
}
