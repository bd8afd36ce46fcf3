//! The golden vectors through the artefact; natively they run in `tests/src/vectors`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use serinus_tests::vectors::assignment;
use serinus_tests::vectors::decisions::{self, BY_WEIGHTS, Case, Expected, hide_digits};

use crate::host::{Action, Headers, Host, Request, Response};
use crate::judge::Judge;

/// Longer than the time until the first report, and than the plans' interval.
const A_WHILE: Duration = Duration::from_millis(1_100);

fn worker(plan: &Value, disabled: bool) -> (Host, Judge) {
    let configuration = json!({
        "judge": {"cluster": "judge"}, "shadow_header": "x-serinus-shadow",
        "hold_bodies": true, "disabled": disabled,
    });
    let mut host = Host::new();
    assert!(host.start(&configuration.to_string()).unwrap());
    let mut judge = Judge::with(plan.clone());
    judge.run(&mut host, A_WHILE);
    assert_eq!(host.complaints(), [""; 0]);
    (host, judge)
}

#[test]
fn assignments() {
    let document = assignment::read().unwrap();
    let (mut host, mut judge) = worker(&document.plan(1), false);
    let mut expected: BTreeMap<(String, String), BTreeMap<u8, u64>> = BTreeMap::new();
    for probe in document.probes() {
        let none: [(&str, &str); 0] = [];
        let mut request = Request::get(&probe.path, &none);
        request.headers.set(b":authority", probe.host.as_bytes());
        let routed = host.request(&request).unwrap();
        assert_eq!(routed.arm().as_deref(), Some(&*probe.arm), "{}", probe.name);
        if let Some(slot) = probe.slot {
            let slots = expected.entry((probe.host, probe.arm)).or_default();
            *slots.entry(slot).or_default() += 1;
        }
    }
    judge.run(&mut host, A_WHILE);
    let mut found: BTreeMap<(String, String), BTreeMap<u8, u64>> = BTreeMap::new();
    let rollouts = judge.reports.iter().flat_map(|report| &report.rollouts);
    for (rollout, arm) in
        rollouts.flat_map(|rollout| rollout.arms.iter().map(move |arm| (rollout, arm)))
    {
        let key = (rollout.rollout.clone(), arm.arm.clone());
        for slot in &arm.slots {
            *found
                .entry(key.clone())
                .or_default()
                .entry(slot.0)
                .or_default() += slot.1;
        }
    }
    assert_eq!(found, expected);
}

#[test]
fn decisions() {
    let document = decisions::read().unwrap();
    for case in &document.decisions {
        let plan = document.plan(&case.plan).unwrap();
        assert_eq!(decide(plan, case), case.expect, "{}", case.name);
    }
}

/// Begins a request; whether it is held, until all of its body is there.
fn send(host: &mut Host, request: &decisions::Request) -> (u32, bool) {
    let id = host.stream();
    let headers = Headers::of(&request.all_headers());
    let action = host.request_headers(id, &headers, request.body.is_empty());
    let held = action.unwrap() == Action::Pause;
    for (index, piece) in request.body.iter().enumerate() {
        let last = index + 1 == request.body.len();
        host.request_body(id, &piece.0, last).unwrap();
    }
    assert!(host.stream_state(id).forwarded, "it went on");
    (id, held)
}

/// What becomes of a request, by what server, client and judge see of it.
fn decide(plan: &Value, case: &Case) -> Expected {
    let (mut host, mut judge) = worker(plan, case.around.disabled);
    if let Some(arm) = &case.around.tripped {
        trip(&mut host, case, arm);
        judge.run(&mut host, A_WHILE);
    }
    let silence = Duration::from_millis(case.around.silent_ms);
    host.advance(silence).unwrap();
    let before = judge.reports.len();
    let (id, held) = send(&mut host, &case.request);
    let sent = host.stream_state(id).request_headers.clone();
    host.answer_stream(id, &Response::ok()).unwrap();
    let stream = host.finish(id).unwrap();
    assert_eq!(stream.request_body.passed, case.request.whole_body());
    judge.run(&mut host, A_WHILE);

    let ours = sent
        .0
        .iter()
        .filter(|(name, _)| name.starts_with(b"x-serinus-"));
    let ours = ours.map(|(name, value)| {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (text(name), text(value))
    });
    let request_headers: BTreeMap<String, String> = ours
        .filter(|(name, _)| name != "x-serinus-override")
        .collect();
    let mut expected = Expected {
        arm: request_headers.get("x-serinus-arm").cloned(),
        held,
        request_headers,
        set_cookie: stream
            .response_headers
            .text("set-cookie")
            .map(|cookie| hide_digits(&cookie)),
        ..Expected::default()
    };
    let new = judge.reports[before..].iter();
    let mut counted = new.flat_map(|report| &report.rollouts);
    let Some(rollout) = counted.next() else {
        return expected;
    };
    assert_eq!(counted.next(), None, "it is counted once");
    expected.rollout = Some(rollout.rollout.clone());
    expected.segment = rollout.segment.clone();
    let causes: Vec<_> = rollout.fallbacks.iter().collect();
    let rows = rollout
        .arms
        .iter()
        .flat_map(|arm| arm.slots.iter().map(move |slot| (&arm.arm, slot)));
    match (causes.as_slice(), rows.collect::<Vec<_>>().as_slice()) {
        ([(cause, 1)], []) => expected.why = Some(cause.name().to_owned()),
        ([], [(arm, slot)]) => {
            assert_eq!(slot.1, 1);
            assert_eq!(Some(*arm), expected.arm.as_ref());
            expected.why = Some(BY_WEIGHTS.to_owned());
            expected.slot = Some(slot.0);
            expected.unit = Some(format!("{:016x}", rollout.new_units[0].0));
        }
        other => panic!("{other:?}"),
    }
    expected
}

/// Fails every request of an arm, until this worker takes it out.
fn trip(host: &mut Host, case: &Case, arm: &str) {
    for number in 0..60 {
        let request = decisions::Request {
            method: "GET".to_owned(),
            host: case.request.host.clone(),
            path: "/".to_owned(),
            headers: vec![(
                "x-user-id".to_owned(),
                serinus_tests::vectors::bytes::Bytes(format!("tripper-{number}").into_bytes()),
            )],
            body: Vec::new(),
            chunked: false,
        };
        let (id, _) = send(host, &request);
        let routed = host.stream_state(id).request_headers.text("x-serinus-arm");
        let status = if routed.as_deref() == Some(arm) {
            500
        } else {
            200
        };
        host.answer_stream(id, &Response::status(status)).unwrap();
        host.finish(id).unwrap();
    }
    assert_eq!(host.complaints().len(), 1, "{:?}", host.complaints());
}
