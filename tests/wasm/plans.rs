//! Plans and plugin configurations: parse, compile, and only then swap in.

use std::time::Duration;

use serde_json::{Value, json};

use crate::host::{Host, Request, Response};
use crate::judge::{CONFIGURATION, OWN, control_and_canary, next, plan, worker};

fn arm_of(host: &mut Host, unit: &str) -> Option<String> {
    host.request(&Request::get("/", &[("x-user-id", unit)]))
        .unwrap()
        .arm()
}

/// Plans that must be refused, and the field that the refusal names.
fn bad_plans() -> Vec<(Vec<u8>, &'static str)> {
    let good = next(&plan(), "epoch", json!(2));
    let bytes = |plan: &Value| serde_json::to_vec(plan).unwrap();
    let with = |field: &str, value: Value| bytes(&next(&good, field, value));
    let whole = bytes(&good);
    let mut version = good.clone();
    version["version"] = json!(99);
    let mut older = plan();
    older["revision"] = json!({"generation": 0, "counter": 9});
    vec![
        (Vec::new(), ""),
        (b"no json".to_vec(), ""),
        (b"\xff\xfe\x00".to_vec(), ""),
        (whole[..whole.len() / 2].to_vec(), ""),
        (b"[]".to_vec(), ""),
        ([b"[".repeat(100_000), b"]".repeat(100_000)].concat(), ""),
        (bytes(&version), "version"),
        (bytes(&older), "revision"),
        (with("baseline", json!("nobody")), "rollouts[0].baseline"),
        (
            with("allocation", json!([{"from": 9, "to": 3, "arm": "canary"}])),
            "rollouts[0].allocation[0]",
        ),
        (
            with("identity_key", json!("short")),
            "rollouts[0].identity_key",
        ),
        (
            with("arms", json!(["control", "can ary"])),
            "rollouts[0].arms[1]",
        ),
        (
            with("arms", json!(["control", "canary\r\nx: y"])),
            "rollouts[0].arms[1]",
        ),
        (
            with("unit", json!([{"header": "a b"}])),
            "rollouts[0].unit[0].header",
        ),
    ]
}

#[test]
fn a_refused_plan_leaves_the_last_good_one_and_tells_the_judge() {
    let (control, canary) = control_and_canary();
    for (bytes, field) in bad_plans() {
        let (mut host, mut judge) = worker(plan());
        let poll = host.pending_to("/v1/plan")[0].id;
        host.answer(poll, 200, &OWN, &bytes).unwrap();
        assert_eq!(
            arm_of(&mut host, &control).as_deref(),
            Some("control"),
            "{field}"
        );
        assert_eq!(
            arm_of(&mut host, &canary).as_deref(),
            Some("canary"),
            "{field}"
        );
        assert_eq!(
            host.complaints().len(),
            1,
            "it is logged once: {:?}",
            host.complaints()
        );
        judge.run(&mut host, Duration::from_millis(500));
        assert_eq!(judge.refusals.len(), 1, "{field}");
        assert!(
            judge.refusals[0].contains(field),
            "{} names {field}",
            judge.refusals[0]
        );

        // A good one clears it.
        judge.plan = Some(next(&plan(), "epoch", json!(2)));
        judge.run(&mut host, Duration::from_secs(1));
        assert_eq!(judge.reached.unwrap().counter, 2);
        let poll = &host.pending_to("/v1/plan")[0];
        assert_eq!(poll.headers.text("x-serinus-refused"), None);
    }
}

#[test]
fn fields_of_a_newer_judge_are_passed_over_and_named() {
    let mut plan = plan();
    plan["colour"] = json!("yellow");
    plan["rollouts"][0]["mood"] = json!({"deep": [1]});
    let (host, _) = worker(plan);
    let complaint = host.complaints().join("\n");
    assert!(
        complaint.contains("colour") && complaint.contains("rollouts[0].mood"),
        "{complaint}"
    );
}

#[test]
fn a_new_plan_is_asked_for_at_once_and_its_revision_told() {
    let (mut host, mut judge) = worker(plan());
    judge.plan = Some(next(&plan(), "epoch", json!(2)));
    judge.serve(&mut host);
    assert_eq!(judge.reached.unwrap().counter, 2, "without a tick");
}

#[test]
fn a_bad_configuration_is_refused_and_the_old_one_goes_on() {
    let (mut host, mut judge) = worker(plan());
    let (_, canary) = control_and_canary();
    for bad in [
        "no json",
        "1",
        "\u{0}",
        r#"{"judge": {"cluster": ""}}"#,
        r#"{"judge": {"cluster": "judge"}, "disable": true}"#,
        r#"{"judge": {"cluster": "judge"}, "arm_header": "a b"}"#,
        r#"{"judge": {"cluster": "judge"}, "arm_header": ":path"}"#,
    ] {
        assert!(!host.reconfigure(bad).unwrap(), "{bad}");
        assert!(!Host::new().start(bad).unwrap(), "{bad}");
    }
    assert_eq!(host.root_contexts(), 1);
    assert_eq!(arm_of(&mut host, &canary).as_deref(), Some("canary"));
    judge.run(&mut host, Duration::from_secs(2));
    assert_eq!(judge.sums(1, "canary").exposures, 1);
}

#[test]
fn a_configuration_is_an_object() {
    assert!(!Host::new().start("[]").unwrap());
}

#[test]
fn without_a_judge_nothing_ticks() {
    for configuration in ["", "{}"] {
        let mut host = Host::new();
        assert!(host.start(configuration).unwrap());
        host.advance(Duration::from_secs(60)).unwrap();
        assert_eq!(host.tick_period(), Duration::ZERO);
        assert_eq!(host.callouts_made(), 0);
        assert_eq!(arm_of(&mut host, "u"), None);
    }
}

#[test]
fn the_arm_header_can_be_named() {
    let mut host = Host::new();
    let configuration = r#"{"judge": {"cluster": "judge"}, "arm_header": "X-Model-Version"}"#;
    assert!(host.start(configuration).unwrap());
    let mut judge = crate::judge::Judge::with(plan());
    judge.run(&mut host, Duration::from_millis(200));
    let (_, canary) = control_and_canary();
    let request = Request::get(
        "/",
        &[
            ("x-user-id", canary.as_str()),
            ("x-model-version", "forged"),
        ],
    );
    let routed = host.request(&request).unwrap();
    assert_eq!(
        routed.upstream_header("x-model-version").as_deref(),
        Some("canary")
    );
    assert_eq!(routed.arm(), None);
}

#[test]
fn a_configuration_that_comes_back_finds_its_root_at_work() {
    let (mut host, mut judge) = worker(plan());
    let (control, canary) = control_and_canary();
    let open = host.stream();
    host.send(open, &Request::get("/", &[("x-user-id", control.as_str())]))
        .unwrap();
    let other = r#"{"judge": {"cluster": "judge"}, "disabled": true}"#;
    assert!(host.reconfigure(other).unwrap());
    judge.run(&mut host, Duration::from_secs(2));
    assert_eq!(arm_of(&mut host, &canary), None);
    host.configure_back(CONFIGURATION).unwrap();
    assert_eq!(host.root_contexts(), 1);
    assert_eq!(arm_of(&mut host, &canary).as_deref(), Some("canary"));
    host.answer_stream(open, &Response::ok()).unwrap();
    host.finish(open).unwrap();
    judge.plan = Some(next(&plan(), "epoch", json!(2)));
    judge.run(&mut host, Duration::from_secs(2));
    assert_eq!(judge.reached.unwrap().counter, 2);
    let sums = ["control", "canary"].map(|arm| judge.sums(1, arm));
    assert_eq!(
        sums.map(|sums| (sums.exposures, sums.finished)),
        [(1, 1), (1, 1)]
    );
}

#[test]
fn no_configuration_push_leaks_a_timer_or_a_root_context() {
    let (mut host, mut judge) = worker(plan());
    let definitions = host.metric_definitions();
    for _ in 0..50 {
        assert!(host.reconfigure(CONFIGURATION).unwrap());
        judge.run(&mut host, Duration::from_millis(200));
    }
    assert_eq!((host.root_contexts(), host.leaked_timers()), (1, 0));
    assert_eq!(host.metric_definitions(), definitions);
    assert_eq!(host.pending_to("/v1/plan").len(), 1);
}
