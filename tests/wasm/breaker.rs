//! The rollback that survives a dead judge.

use std::time::Duration;

use serde_json::json;
use serinus_core::decision::Fallback;

use crate::host::{Host, Request, Response};
use crate::judge::{Judge, control_and_canary, next, plan, units_in, worker};

fn guarded() -> (Host, Judge) {
    let breaker = json!({"minimum_requests": 20, "error_share": 0.5, "window_ms": 10_000});
    worker(next(&plan(), "breaker", breaker))
}

fn send(host: &mut Host, unit: &str, response: Response) -> Option<String> {
    let request = Request::get("/", &[("x-user-id", unit)]).answered(response);
    host.request(&request).unwrap().arm()
}

/// Twenty users who have the canary.
fn canaries() -> impl Iterator<Item = String> {
    units_in(5_000..10_000).take(20)
}

fn fail(host: &mut Host, unit: &str) -> Option<String> {
    send(host, unit, Response::status(500))
}

#[test]
fn it_takes_a_broken_arm_back_and_says_so() {
    let (mut host, mut judge) = guarded();
    let (control, canary) = control_and_canary();
    for user in canaries() {
        send(&mut host, &control, Response::ok());
        assert_eq!(fail(&mut host, &user).as_deref(), Some("canary"), "{user}");
    }
    assert_eq!(
        send(&mut host, &canary, Response::ok()).as_deref(),
        Some("control"),
        "taken back"
    );
    assert_eq!(
        send(&mut host, &control, Response::ok()).as_deref(),
        Some("control")
    );
    assert_eq!(host.complaints().len(), 1, "{:?}", host.complaints());

    judge.run(&mut host, Duration::from_secs(2));
    let trip = judge
        .rollout("digits", 1)
        .iter()
        .find_map(|rollout| rollout.breaker.clone())
        .unwrap();
    assert_eq!(
        (trip.arm.as_str(), trip.finished, trip.errors),
        ("canary", 20, 20)
    );
    let out: u64 = judge
        .rollout("digits", 1)
        .iter()
        .filter_map(|rollout| rollout.fallbacks.get(&Fallback::Breaker))
        .sum();
    assert_eq!(out, 2, "all arms left the test");
    assert_eq!(judge.sums(1, "control").exposures, 20);
    assert_eq!(judge.sums(1, "canary").exposures, 20);

    // Only the judge, with a new epoch, closes it.
    host.advance(Duration::from_secs(60)).unwrap();
    assert_eq!(
        send(&mut host, &canary, Response::ok()).as_deref(),
        Some("control")
    );
    judge.plan = judge.plan.map(|plan| next(&plan, "epoch", json!(2)));
    judge.run(&mut host, Duration::from_secs(16));
    assert_eq!(
        send(&mut host, &canary, Response::ok()).as_deref(),
        Some("canary")
    );
}

#[test]
fn it_survives_a_new_root_context() {
    let (mut host, _) = guarded();
    let (control, canary) = control_and_canary();
    for user in canaries() {
        send(&mut host, &control, Response::ok());
        fail(&mut host, &user);
    }
    assert!(host.reconfigure(crate::judge::CONFIGURATION).unwrap());
    assert_eq!(
        send(&mut host, &canary, Response::ok()).as_deref(),
        Some("control")
    );
}

#[test]
fn it_does_not_trip_when_the_baseline_fails_too() {
    let (mut host, _) = guarded();
    let (control, _) = control_and_canary();
    for user in canaries().chain(canaries()) {
        fail(&mut host, &control);
        assert_eq!(fail(&mut host, &user).as_deref(), Some("canary"));
    }
}

#[test]
fn it_does_not_trip_for_one_client_that_fails() {
    let (mut host, _) = guarded();
    let (control, canary) = control_and_canary();
    for user in canaries() {
        send(&mut host, &control, Response::ok());
        assert!(send(&mut host, &user, Response::ok()).is_some());
        for _ in 0..5 {
            assert_eq!(fail(&mut host, &canary).as_deref(), Some("canary"));
        }
    }
}

#[test]
fn client_disconnects_and_client_errors_do_not_trip_it() {
    let (mut host, _) = guarded();
    let (control, canary) = control_and_canary();
    for _ in 0..100 {
        send(&mut host, &control, Response::ok());
        assert!(send(&mut host, &canary, Response::client_gone()).is_some());
        assert_eq!(
            send(&mut host, &canary, Response::status(404)).as_deref(),
            Some("canary")
        );
    }
}
