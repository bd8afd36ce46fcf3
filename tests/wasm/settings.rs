//! What the plugin configuration adds to a plan, and what a plan cannot do without it.

use std::time::Duration;

use serde_json::json;

use crate::host::{Host, Request};
use crate::judge::{CONFIGURATION, Judge, plan, unit_in};

/// A worker with this plugin configuration and plan.
fn worker_with(configuration: &str, plan: &serde_json::Value) -> Host {
    let mut host = Host::new();
    assert!(host.start(configuration).unwrap());
    Judge::with(plan.clone()).run(&mut host, Duration::from_millis(200));
    host
}

#[test]
fn a_client_is_told_its_rollout_and_arm_where_that_is_asked_for() {
    let canary = unit_in(5_000..10_000);
    let users = [("x-user-id", canary.as_str())];
    let asked = r#"{"judge": {"cluster": "judge"}, "response_header": "X-Serinus"}"#;
    for (configuration, told) in [
        (CONFIGURATION, None),
        (asked, Some("rollout=digits; arm=canary")),
    ] {
        let mut host = worker_with(configuration, &plan());
        let routed = host.request(&Request::get("/", &users)).unwrap();
        assert_eq!(routed.response.text("x-serinus").as_deref(), told);
    }
}

#[test]
fn of_two_hops_one_decides_and_counts_and_the_other_leaves_the_arm_to_routes() {
    let mut plan = plan();
    plan["rollouts"][0]["enforced_at"] = json!("gateway");
    let canary = unit_in(5_000..10_000);
    let at = |settings: &str, arm_sent: &str| {
        let configuration = format!(r#"{{"judge": {{"cluster": "judge"}}, {settings}}}"#);
        let mut host = Host::new();
        assert!(host.start(&configuration).unwrap());
        let mut judge = Judge::with(plan.clone());
        judge.run(&mut host, Duration::from_millis(200));
        let headers = [("x-user-id", canary.as_str()), ("x-serinus-arm", arm_sent)];
        let routed = host.request(&Request::get("/", &headers)).unwrap();
        judge.run(&mut host, Duration::from_secs(3));
        let counted = judge
            .reports
            .iter()
            .any(|report| !report.rollouts.is_empty());
        (routed.arm(), counted)
    };
    let canary = || Some("canary".to_owned());
    for (settings, arm_sent, outcome) in [
        // At the point what was sent is nothing.
        (
            r#""enforcement_point": "gateway", "trusts_arm": true"#,
            "control",
            (canary(), true),
        ),
        (
            r#""enforcement_point": "sidecar", "trusts_arm": true"#,
            "canary",
            (canary(), false),
        ),
        // A hop that clients reach, and one that was told nothing, trust nobody.
        (r#""enforcement_point": "edge""#, "canary", (None, false)),
        (r#""disabled": false"#, "canary", (None, false)),
        // The kill switch takes the arm away, also where it is trusted.
        (
            r#""enforcement_point": "sidecar", "trusts_arm": true, "disabled": true"#,
            "canary",
            (None, false),
        ),
    ] {
        assert_eq!(at(settings, arm_sent), outcome, "{settings}");
    }
}

#[test]
fn a_plan_that_needs_more_than_the_configuration_gives_is_said_and_harms_nobody() {
    let mut plan = plan();
    plan["rollouts"][0]["unit"] = json!([{"body": "/user"}]);
    plan["rollouts"][0]["shadow"] = json!({"cluster": "shadow"});
    let mut host = worker_with(CONFIGURATION, &plan);
    let complaints = host.complaints().join("\n");
    for setting in ["hold_bodies", "shadow_header"] {
        assert!(
            complaints.contains(&format!("needs `{setting}`")),
            "{complaints}"
        );
    }
    let none: [(&str, &str); 0] = [];
    let request = Request::post("/", &none, br#"{"user": "ada"}"#);
    let routed = host.request(&request).unwrap();
    assert_eq!(
        (routed.hung, routed.arm().as_deref()),
        (false, Some("control"))
    );
}
