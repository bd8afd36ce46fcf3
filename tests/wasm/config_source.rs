//! Plans that come with the plugin configuration: as strict and as tolerant as those
//! that are polled, and no user moves back by one.

use std::time::Duration;

use serde_json::{Value, json};
use serinus_core::report::Report;

use crate::host::{Host, Request, Response};
use crate::judge::{Judge, OWN, control_and_canary, next, plan};

const SHORT: Duration = Duration::from_millis(200);

/// A plugin configuration with this plan.
fn with(plan: &Value) -> String {
    json!({"judge": {"cluster": "judge"}, "plan": plan}).to_string()
}

fn start(plan: &Value) -> Host {
    let mut host = Host::new();
    assert!(host.start(&with(plan)).unwrap());
    host
}

fn arm_of(host: &mut Host, unit: &str) -> Option<String> {
    host.request(&Request::get("/", &[("x-user-id", unit)]))
        .unwrap()
        .arm()
}

/// The plan with this revision, and with this arm for everybody.
fn whole(generation: u64, counter: u64, arm: &str) -> Value {
    let mut plan = plan();
    plan["revision"] = json!({"generation": generation, "counter": counter});
    plan["rollouts"][0]["allocation"] = json!([{"from": 0, "to": 10_000, "arm": arm}]);
    plan
}

#[test]
fn it_serves_at_once_and_is_not_asked_for() {
    let mut host = start(&plan());
    let (control, canary) = control_and_canary();
    assert_eq!(arm_of(&mut host, &control).as_deref(), Some("control"));
    assert_eq!(arm_of(&mut host, &canary).as_deref(), Some("canary"));
    let mut judge = Judge::default();
    judge.run(&mut host, Duration::from_secs(3));
    assert_eq!(judge.sums(1, "canary").exposures, 1);
    let report = &judge.reports[0];
    assert_eq!(report.revision.map(|revision| revision.counter), Some(1));
}

#[test]
fn a_worker_without_traffic_says_which_plan_it_has_at_once_and_then_now_and_then() {
    let mut host = start(&plan());
    host.set_property("xds.node.id", b"gateway-1");
    assert_eq!(
        host.callouts_made(),
        0,
        "nobody hears of a configuration that is tried"
    );
    host.advance(Duration::from_millis(1)).unwrap();
    let call = host.pending_to("/v1/plan").remove(0);
    assert!(
        call.path()
            .starts_with("/v1/plan?revision=1.1&source=config&session="),
        "{}",
        call.path()
    );
    assert_eq!(
        call.headers.text("x-serinus-node").as_deref(),
        Some("gateway-1")
    );
    host.answer(call.id, 204, &OWN, b"").unwrap();
    let mut said = 0;
    for _ in 0..600 {
        host.advance(Duration::from_millis(100)).unwrap();
        for call in host.pending_to("/v1/plan") {
            said += 1;
            host.answer(call.id, 204, &OWN, b"").unwrap();
        }
    }
    assert!((5..=6).contains(&said), "{said} in a minute");
    // A judge that answers with a plan is not believed here.
    host.advance(Duration::from_secs(10)).unwrap();
    let call = host.pending_to("/v1/plan").remove(0);
    let other = serde_json::to_vec(&whole(1, 9, "canary")).unwrap();
    host.answer(call.id, 200, &OWN, &other).unwrap();
    let (control, _) = control_and_canary();
    assert_eq!(arm_of(&mut host, &control).as_deref(), Some("control"));
}

#[test]
fn what_is_wrong_is_refused_with_its_field_and_the_plan_before_goes_on() {
    let (control, canary) = control_and_canary();
    let good = next(&plan(), "epoch", json!(2));
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut configuration = json!({"judge": {"cluster": "judge"}, "plan": good});
        change(&mut configuration);
        configuration.to_string()
    };
    for (configuration, problem) in [
        (
            changed(&|it| it["plan"] = json!(1)),
            "plan: is 1; an object is right",
        ),
        (
            changed(&|it| it["plan"] = json!({})),
            "plan.version: is missing",
        ),
        (
            changed(&|it| it["plan"]["version"] = json!(99)),
            "plan.version: ",
        ),
        (
            changed(&|it| it["plan"]["rollouts"][0]["baseline"] = json!("nobody")),
            "plan.rollouts[0].baseline: ",
        ),
        (
            changed(&|it| it["plan"]["rollouts"][0]["epoch"] = json!("x")),
            "plan.rollouts[0].epoch: is a text; ",
        ),
        // Settings are as strict with a plan as without.
        (
            changed(&|it| it["disable"] = json!(true)),
            "disable: unknown field",
        ),
        (
            changed(&|it| it["planned"] = json!({})),
            "planned: unknown field",
        ),
        (
            changed(&|it| it["arm_header"] = json!("a b")),
            "arm_header: ",
        ),
        (
            changed(&|it| it["judge"] = json!(null)),
            "judge: is missing; ",
        ),
    ] {
        let mut trial = Host::new();
        assert!(!trial.start(&configuration).unwrap(), "{problem}");
        let complaint = trial.complaints().join("\n");
        let expected = format!("the plugin configuration is refused: {problem}");
        assert!(complaint.contains(&expected), "{complaint}: {expected}");

        let mut host = start(&plan());
        assert!(!host.reconfigure(&configuration).unwrap());
        assert_eq!(host.root_contexts(), 1);
        assert_eq!(arm_of(&mut host, &control).as_deref(), Some("control"));
        assert_eq!(arm_of(&mut host, &canary).as_deref(), Some("canary"));
    }
}

#[test]
fn fields_of_a_newer_judge_are_passed_over_and_named() {
    let mut plan = plan();
    plan["colour"] = json!("yellow");
    plan["rollouts"][0]["mood"] = json!({"deep": [1]});
    let mut host = start(&plan);
    let complaint = host.complaints().join("\n");
    assert!(
        complaint.contains("plan.colour") && complaint.contains("plan.rollouts[0].mood"),
        "{complaint}"
    );
    let (_, canary) = control_and_canary();
    assert_eq!(arm_of(&mut host, &canary).as_deref(), Some("canary"));
}

#[test]
fn an_older_plan_moves_nobody_and_is_said_to_be_older() {
    let mut host = start(&whole(2, 5, "canary"));
    let mut serves = |generation, counter, arm: &str, expected: &str| {
        let accepted = host.reconfigure(&with(&whole(generation, counter, arm)));
        assert!(
            accepted.unwrap(),
            "a worker that refused would have no filter"
        );
        assert_eq!(arm_of(&mut host, "u").as_deref(), Some(expected));
        host.advance(Duration::from_millis(1)).unwrap();
        let call = host.pending_to("/v1/plan").pop().unwrap();
        host.answer(call.id, 204, &OWN, b"").unwrap();
        call.headers.text("x-serinus-refused")
    };
    let older = Some("revision 2.4 is older than the one that serves".to_owned());
    assert_eq!(serves(2, 4, "control", "canary"), older);
    assert!(serves(1, 99, "control", "canary").is_some());
    // The same again, and whatever is newer: a judge that began anew has a higher
    // generation.
    assert_eq!(serves(2, 5, "canary", "canary"), None);
    assert_eq!(serves(3, 1, "control", "control"), None);
    assert_eq!(serves(3, 2, "canary", "canary"), None);
}

#[test]
fn pushes_lose_no_report_and_count_none_twice() {
    let mut host = start(&plan());
    let (control, canary) = control_and_canary();
    let mut judge = Judge::default();
    let mut frozen: Option<Vec<u8>> = None;
    for push in 2..30 {
        let unit = if push % 2 == 0 { &control } else { &canary };
        assert!(arm_of(&mut host, unit).is_some());
        // One more is under way while the configuration changes.
        let open = host.stream();
        host.send(open, &Request::get("/", &[("x-user-id", unit.as_str())]))
            .unwrap();
        let mut plan = plan();
        plan["revision"]["counter"] = json!(push);
        plan["rollouts"][0]["epoch"] = json!(push);
        assert!(host.reconfigure(&with(&plan)).unwrap());
        host.advance(SHORT).unwrap();
        // The newest root sends what waits: the same bytes while nobody answers.
        let report = host.pending_to("/v1/reports").pop().expect("a report");
        if let Some(before) = &frozen {
            assert_eq!(&report.body, before);
        }
        frozen = Some(report.body.clone());
        if push % 3 == 0 {
            judge.serve(&mut host);
            frozen = None;
        }
        host.answer_stream(open, &Response::ok()).unwrap();
        host.finish(open).unwrap();
        assert_eq!(host.root_contexts(), 1);
    }
    judge.run(&mut host, Duration::from_secs(5));
    let (mut exposures, mut finished) = (0, 0);
    for epoch in 1..30 {
        for arm in ["control", "canary"] {
            let sums = judge.sums(epoch, arm);
            exposures += sums.exposures;
            finished += sums.finished;
        }
    }
    assert_eq!((exposures, finished), (56, 56));
    let sequences: Vec<u64> = judge
        .reports
        .iter()
        .map(|report: &Report| report.sequence)
        .collect();
    assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>());
    assert_eq!(host.leaked_timers(), 0);
}

#[test]
fn a_root_that_a_stream_keeps_alive_calls_nobody() {
    let mut host = start(&plan());
    let mut open = Vec::new();
    for push in 2..12 {
        let stream = host.stream();
        host.send(stream, &Request::get("/", &[("x-user-id", "u")]))
            .unwrap();
        open.push(stream);
        let mut plan = plan();
        plan["revision"]["counter"] = json!(push);
        assert!(host.reconfigure(&with(&plan)).unwrap());
        host.advance(SHORT).unwrap();
    }
    assert_eq!(host.root_contexts(), 11, "each as long as its stream");
    // Whatever was sent before stays unanswered; from here on one root speaks.
    let before = host.callouts_made();
    let mut judge = Judge::default();
    judge.run(&mut host, Duration::from_secs(20));
    let made = host.callouts_made() - before;
    assert!(made <= 6, "{made} calls in 20 s");
    for stream in open {
        host.answer_stream(stream, &Response::ok()).unwrap();
        host.finish(stream).unwrap();
    }
    assert_eq!((host.root_contexts(), host.leaked_timers()), (1, 0));
}

#[test]
fn a_worker_that_was_just_configured_is_not_stale() {
    let mut plan = plan();
    plan["rollouts"][0]["stale_after_ms"] = json!(5_000);
    let mut host = start(&plan);
    let (_, canary) = control_and_canary();
    host.advance(Duration::from_secs(4)).unwrap();
    assert_eq!(arm_of(&mut host, &canary).as_deref(), Some("canary"));
    host.advance(Duration::from_secs(2)).unwrap();
    assert_eq!(
        arm_of(&mut host, &canary).as_deref(),
        Some("control"),
        "nobody answered"
    );
    // A judge that hears a worker without traffic keeps it from being stale.
    let mut host = start(&plan);
    Judge::default().run(&mut host, Duration::from_secs(3));
    plan["rollouts"][0]["stale_after_ms"] = json!(15_000);
    plan["revision"]["counter"] = json!(2);
    assert!(host.reconfigure(&with(&plan)).unwrap());
    Judge::default().run(&mut host, Duration::from_secs(60));
    assert_eq!(arm_of(&mut host, &canary).as_deref(), Some("canary"));
}

#[test]
fn a_worker_may_change_from_one_source_to_the_other() {
    let polls = r#"{"judge": {"cluster": "judge"}}"#;
    let mut host = Host::new();
    assert!(host.start(polls).unwrap());
    let mut judge = Judge::with(whole(1, 5, "control"));
    judge.run(&mut host, SHORT);
    assert_eq!(arm_of(&mut host, "u").as_deref(), Some("control"));
    assert!(host.reconfigure(&with(&whole(1, 6, "canary"))).unwrap());
    judge.run(&mut host, SHORT);
    assert_eq!(arm_of(&mut host, "u").as_deref(), Some("canary"));
    // Back: the plan stays until a poll brings a newer one.
    assert!(host.reconfigure(polls).unwrap());
    judge.run(&mut host, SHORT);
    assert_eq!(arm_of(&mut host, "u").as_deref(), Some("canary"));
    judge.plan = Some(whole(1, 7, "control"));
    judge.run(&mut host, Duration::from_secs(1));
    assert_eq!(arm_of(&mut host, "u").as_deref(), Some("control"));
}
