//! The calls to the judge, when the network or the judge fails.

use std::time::Duration;

use serde_json::json;

use crate::host::{Failure, Host, Request};
use crate::judge::{CONFIGURATION, Judge, OWN, control_and_canary, next, plan, worker};

const FAILURES: [Failure; 3] = [Failure::Unavailable, Failure::Timeout, Failure::CutOff];

fn fail_all(host: &mut Host, failure: Failure) -> usize {
    let pending = host.pending_callouts();
    for call in &pending {
        host.fail(call.id, failure).unwrap();
    }
    pending.len()
}

#[test]
fn a_failed_poll_is_tried_again_with_a_growing_pause() {
    for failure in FAILURES {
        let mut host = Host::new();
        assert!(host.start(CONFIGURATION).unwrap());
        let polls_in = |host: &mut Host, seconds: u32| -> usize {
            (0..seconds * 10)
                .map(|_| {
                    host.advance(Duration::from_millis(100)).unwrap();
                    fail_all(host, failure)
                })
                .sum()
        };
        let first = polls_in(&mut host, 5);
        assert!(
            (3..=10).contains(&first),
            "{failure:?}: {first} in the first 5 s"
        );
        polls_in(&mut host, 55);
        let later = polls_in(&mut host, 60);
        assert!(
            (10..=30).contains(&later),
            "{failure:?}: {later} in a later minute"
        );
        // And it is well again as soon as the judge is.
        let mut judge = Judge::with(plan());
        judge.run(&mut host, Duration::from_secs(6));
        assert_eq!(judge.reached.unwrap().counter, 1);
    }
}

#[test]
fn a_plan_from_anybody_but_the_judge_is_none() {
    let (mut host, _) = worker(plan());
    let (_, canary) = control_and_canary();
    let poll = host.pending_to("/v1/plan")[0].id;
    let other = next(&plan(), "allocation", json!([]));
    let none: [(&str, &str); 0] = [];
    host.answer(poll, 200, &none, &serde_json::to_vec(&other).unwrap())
        .unwrap();
    let routed = host
        .request(&Request::get("/", &[("x-user-id", canary.as_str())]))
        .unwrap();
    assert_eq!(routed.arm().as_deref(), Some("canary"));
}

#[test]
fn a_dead_judge_costs_a_bounded_number_of_calls_and_no_request() {
    let (mut host, _) = worker(plan());
    let (_, canary) = control_and_canary();
    let request = Request::post("/", &[("x-user-id", canary.as_str())], b"{}");
    for _ in 0..600 {
        host.advance(Duration::from_millis(100)).unwrap();
        assert_eq!(
            host.request(&request).unwrap().arm().as_deref(),
            Some("canary")
        );
        assert!(host.pending_callouts().len() <= 3);
    }
}

#[test]
fn a_call_that_cannot_even_be_made_is_no_disaster() {
    for unknown in [true, false] {
        let mut host = Host::new();
        assert!(host.start(CONFIGURATION).unwrap());
        if unknown {
            host.forget_cluster("judge");
        } else {
            host.refuse_callouts(true);
        }
        host.advance(Duration::from_secs(30)).unwrap();
        assert_eq!(host.callouts_made(), 0);
        assert!(
            host.call_count("proxy_http_call") < 30,
            "{}",
            host.call_count("proxy_http_call")
        );
        let routed = host
            .request(&Request::get("/", &[("x-user-id", "u")]))
            .unwrap();
        assert_eq!(routed.status(), Some(200));
        if !unknown {
            host.refuse_callouts(false);
            let mut judge = Judge::with(plan());
            judge.run(&mut host, Duration::from_secs(6));
            assert_eq!(judge.reached.unwrap().counter, 1);
        }
    }
}

#[test]
fn odd_answers_are_survived() {
    for (status, headers, body) in [
        (
            200,
            vec![("x-serinus-judge", b"\xff".as_slice())],
            b"{}".as_slice(),
        ),
        (500, vec![("x-serinus-judge", b"".as_slice())], b""),
        (304, vec![("x-serinus-judge", b"x".as_slice())], b""),
        (
            200,
            vec![
                ("x-serinus-judge", b"x".as_slice()),
                (":status", b"\xff".as_slice()),
            ],
            b"",
        ),
        (404, vec![], b"not found"),
    ] {
        let (mut host, mut judge) = worker(plan());
        host.request(&Request::get("/", &[("x-user-id", "u")]))
            .unwrap();
        host.advance(Duration::from_secs(2)).unwrap();
        for call in host.pending_callouts() {
            host.answer(call.id, status, &headers, body).unwrap();
        }
        judge.plan = Some(next(&plan(), "epoch", json!(2)));
        judge.run(&mut host, Duration::from_secs(2));
        assert_eq!(judge.reached.unwrap().counter, 2, "{status}");
    }
}

#[test]
fn a_judge_that_does_not_hold_polls_is_not_asked_in_a_loop() {
    let (mut host, _) = worker(plan());
    let before = host.callouts_made();
    for _ in 0..10 {
        host.advance(Duration::from_millis(100)).unwrap();
        // Answers within the millisecond, for as long as it is asked.
        for _ in 0..100 {
            let Some(poll) = host.pending_to("/v1/plan").first().cloned() else {
                break;
            };
            host.answer(poll.id, 204, &OWN, b"").unwrap();
        }
    }
    let polls = host.callouts_made() - before;
    assert!(polls <= 20, "{polls} polls in a second");
}

#[test]
fn polls_say_who_asks() {
    let mut host = Host::new();
    host.set_property("xds.node.id", b"gateway-1");
    assert!(host.start(CONFIGURATION).unwrap());
    host.advance(Duration::from_millis(100)).unwrap();
    let poll = host.pending_to("/v1/plan").remove(0);
    assert_eq!(poll.cluster, "judge");
    assert_eq!(poll.method(), "GET");
    assert_eq!(
        poll.headers.text("x-serinus-node").as_deref(),
        Some("gateway-1")
    );
    let session = poll
        .path()
        .split("session=")
        .nth(1)
        .map(str::to_owned)
        .unwrap();
    assert_eq!(session.len(), 32, "{session}");
}
