//! What compiles, and the field that each mistake is named by.

use super::*;
use serde_json::{Value, json};

pub(crate) fn plan_json() -> Value {
    json!({
        "version": 1,
        "revision": {"generation": 1, "counter": 7},
        "report_interval_ms": 1000,
        "rollouts": [{
            "id": "digits", "epoch": 3,
            "match": {"path_prefix": "/v2/models/digits"},
            "unit": [{"header": "X-User-Id"}],
            "salt": "s", "identity_key": "000102030405060708090a0b0c0d0e0f",
            "arms": ["control", "canary"], "baseline": "control",
            "allocation": [
                {"from": 0, "to": 9000, "arm": "control"},
                {"from": 9000, "to": 10000, "arm": "canary"}
            ],
            "latency_edges_us": [1000, 2000],
            "sampling": {"share": 1.0, "per_second": 100, "max_body_bytes": 65536},
            "breaker": {"minimum_requests": 20, "error_share": 0.2, "window_ms": 10000}
        }]
    })
}

pub(crate) fn compiled(document: &Value) -> Result<CompiledPlan, FieldError> {
    let (plan, _) = crate::json::read_tolerant(&serde_json::to_vec(document).unwrap())?;
    compile(&plan)
}

#[test]
fn compiles() {
    let plan = compiled(&plan_json()).unwrap();
    let rollout = &plan.rollouts[0];
    assert_eq!(rollout.unit, [Attribute::Header("x-user-id".to_owned())]);
    assert_eq!(rollout.baseline, 0);
    assert_eq!(rollout.allocation.buckets_of(1), 1000);
}

#[test]
fn is_tolerant_of_what_a_newer_judge_adds() {
    let mut document = plan_json();
    document["rollouts"][0]["colour"] = json!("yellow");
    let bytes = serde_json::to_vec(&document).unwrap();
    let (plan, ignored) = crate::json::read_tolerant::<Plan>(&bytes).unwrap();
    assert!(compile(&plan).is_ok());
    assert_eq!(ignored, ["rollouts[0].colour"]);
}

#[test]
fn every_error_names_its_field() {
    type Case = (&'static str, Value, &'static str);
    let cases: &[Case] = &[
        ("/version", json!(2), "version"),
        ("/report_interval_ms", json!(1), "report_interval_ms"),
        ("/rollouts/0/id", json!("a b"), "rollouts[0].id"),
        ("/rollouts/0/arms", json!([]), "rollouts[0].arms"),
        (
            "/rollouts/0/arms/1",
            json!("control"),
            "rollouts[0].arms[1]",
        ),
        (
            "/holdout",
            json!({"salt": "", "buckets": 10_001}),
            "holdout.buckets",
        ),
        (
            "/rollouts/0/layer",
            json!({"salt": "", "from": 5, "to": 5}),
            "rollouts[0].layer",
        ),
        (
            "/rollouts/0/shadow",
            json!({"cluster": "a b"}),
            "rollouts[0].shadow.cluster",
        ),
        (
            "/rollouts/0/shadow",
            json!({"cluster": "a", "arms": ["nobody"]}),
            "rollouts[0].shadow.arms[0]",
        ),
        (
            "/rollouts/0/shadow",
            json!({"cluster": "a", "segments": ["gold"]}),
            "rollouts[0].shadow.segments[0]",
        ),
        (
            "/rollouts/0/shadow",
            json!({"cluster": "a", "share": 2}),
            "rollouts[0].shadow.share",
        ),
        (
            "/rollouts/0/errors",
            json!({"statuses": ["5xx", "teapot"]}),
            "rollouts[0].errors.statuses[1]",
        ),
        (
            "/rollouts/0/max_held_body_bytes",
            json!(1_000_000),
            "rollouts[0].max_held_body_bytes",
        ),
        (
            "/rollouts/0/unit",
            json!([{"body": "user"}]),
            "rollouts[0].unit[0].body",
        ),
        (
            "/rollouts/0/match",
            json!({"when": [{"body": "/a"}]}),
            "rollouts[0].match.when[0].body",
        ),
        ("/rollouts/0/baseline", json!("old"), "rollouts[0].baseline"),
        (
            "/rollouts/0/allocation/1/arm",
            json!("canry"),
            "rollouts[0].allocation[1].arm",
        ),
        (
            "/rollouts/0/allocation/1/from",
            json!(8999),
            "rollouts[0].allocation[1]",
        ),
        (
            "/rollouts/0/allocation/1/to",
            json!(10001),
            "rollouts[0].allocation[1]",
        ),
        ("/rollouts/0/unit", json!([]), "rollouts[0].unit"),
        (
            "/rollouts/0/unit/0/header",
            json!("a b"),
            "rollouts[0].unit[0].header",
        ),
        (
            "/rollouts/0/unit/0",
            json!({"moon": "x"}),
            "rollouts[0].unit[0]",
        ),
        (
            "/rollouts/0/identity_key",
            json!("00"),
            "rollouts[0].identity_key",
        ),
        (
            "/rollouts/0/latency_edges_us",
            json!([2, 2]),
            "rollouts[0].latency_edges_us",
        ),
        (
            "/rollouts/0/sampling/share",
            json!(1.1),
            "rollouts[0].sampling.share",
        ),
        (
            "/rollouts/0/breaker/error_share",
            json!(0),
            "rollouts[0].breaker.error_share",
        ),
        ("/rollouts/0/epoch", json!(-1), "rollouts[0].epoch"),
        (
            "/rollouts/0/segments",
            json!([{"name": "gold", "when": []}]),
            "rollouts[0].segments[0].when",
        ),
        (
            "/rollouts/0/segments",
            json!([{"name": "gold", "when": [{"header": "x"}], "arm": "nobody"}]),
            "rollouts[0].segments[0].arm",
        ),
        (
            "/rollouts/0/segments",
            json!([{"name": "gold", "when": [{"header": "x"}], "allocation": [
                {"from": 0, "to": 9, "arm": "control"}, {"from": 8, "to": 10, "arm": "canary"}]}]),
            "rollouts[0].segments[0].allocation[1]",
        ),
        (
            "/rollouts/0/segments",
            json!([{"name": "gold", "when": [{"moon": "x"}], "arm": "canary"}]),
            "rollouts[0].segments[0].when[0]",
        ),
        (
            "/rollouts/0/match",
            json!({"path_prefix": "v2"}),
            "rollouts[0].match.path_prefix",
        ),
        (
            "/rollouts/0/match",
            json!({"host": "models.example:80"}),
            "rollouts[0].match.host",
        ),
        (
            "/rollouts/0/match",
            json!({"host": "*.example"}),
            "rollouts[0].match.host",
        ),
        (
            "/rollouts/0/match",
            json!({"path_prefix": "/v2\r\nx"}),
            "rollouts[0].match.path_prefix",
        ),
        (
            "/rollouts/0/match",
            json!({"path_regex": "("}),
            "rollouts[0].match.path_regex",
        ),
        (
            "/rollouts/0/match",
            json!({"methods": ["post"]}),
            "rollouts[0].match.methods[0]",
        ),
        (
            "/rollouts/0/match",
            json!({"when": [{"in": ["x"]}]}),
            "rollouts[0].match.when[0]",
        ),
        (
            "/rollouts/0/match",
            json!({"when": [{"header": "x", "cookie": "y"}]}),
            "rollouts[0].match.when[0]",
        ),
        (
            "/rollouts/0/match",
            json!({"when": [{"header": "x", "prefix": "y", "in": ["z"]}]}),
            "rollouts[0].match.when[0]",
        ),
        (
            "/rollouts/0/match",
            json!({"when": [{"header": "x", "in": []}]}),
            "rollouts[0].match.when[0].in",
        ),
        (
            "/rollouts/0/match",
            json!({"when": [{"query": "x", "at_least": 2, "at_most": 1}]}),
            "rollouts[0].match.when[0].at_least",
        ),
        (
            "/rollouts/0/unit/0",
            json!({"cookie": "a b"}),
            "rollouts[0].unit[0].cookie",
        ),
        (
            "/rollouts/0/unit",
            json!([{"issue_cookie": {"name": "u"}}, {"header": "x"}]),
            "rollouts[0].unit[0].issue_cookie",
        ),
        (
            "/rollouts/0/unit/0",
            json!({"issue_cookie": {"name": "u", "path": "/;Domain=evil"}}),
            "rollouts[0].unit[0].issue_cookie.path",
        ),
        (
            "/rollouts/0/unit/0",
            json!({"issue_cookie": {"name": "u", "same_site": "none"}}),
            "rollouts[0].unit[0].issue_cookie.same_site",
        ),
        (
            "/rollouts/0/unit/0",
            json!({"jwt_claim": ""}),
            "rollouts[0].unit[0].jwt_claim",
        ),
        (
            "/rollouts/0/overrides",
            json!({"tokens": [{"sha256": "00", "arm": "canary"}]}),
            "rollouts[0].overrides.tokens[0].sha256",
        ),
        (
            "/rollouts/0/overrides",
            json!({"tokens": [{"sha256": "00".repeat(32), "arm": "nobody"}]}),
            "rollouts[0].overrides.tokens[0].arm",
        ),
    ];
    for (pointer, value, field) in cases {
        let mut document = plan_json();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        match document.pointer_mut(parent).unwrap() {
            Value::Array(list) => list[key.parse::<usize>().unwrap()] = value.clone(),
            object => object[key] = value.clone(),
        }
        let error = compiled(&document).unwrap_err();
        assert_eq!(&error.field, field, "{error}");
    }
    let mut twice = plan_json();
    let rollout = twice["rollouts"][0].clone();
    twice["rollouts"].as_array_mut().unwrap().push(rollout);
    assert_eq!(compiled(&twice).unwrap_err().field, "rollouts[1].id");
}
