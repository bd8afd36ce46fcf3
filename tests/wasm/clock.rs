//! A clock that somebody sets: the filter knows none but the wall's.

use std::time::Duration;

use serde_json::json;

use crate::host::{Host, Request, Response};
use crate::judge::{Judge, control_and_canary, next, plan, worker};

const HOUR: i64 = 3_600;

fn send(host: &mut Host, unit: &str) {
    host.request(&Request::get("/", &[("x-user-id", unit)]).answered(Response::ok()))
        .unwrap();
}

#[test]
fn plans_and_reports_go_on_whatever_the_clock_says() {
    for jump in [
        -24 * HOUR,
        -HOUR,
        -1,
        HOUR,
        24 * HOUR,
        -50 * 365 * 24 * HOUR,
    ] {
        let (mut host, mut judge) = worker(plan());
        let (control, _) = control_and_canary();
        send(&mut host, &control);
        judge.run(&mut host, Duration::from_secs(2));
        host.set_clock(jump);
        send(&mut host, &control);
        judge.plan = Some(next(&plan(), "epoch", json!(2)));
        judge.run(&mut host, Duration::from_secs(3));
        assert_eq!(judge.reached.unwrap().counter, 2, "{jump} s");
        assert_eq!(judge.sums(1, "control").exposures, 2, "{jump} s");
        // What operators see goes on too.
        let shown = host.metric("serinus.exposures_total.rollout.digits.arm.control");
        assert_eq!(shown, 2, "{jump} s");
    }
}

#[test]
fn a_request_during_a_jump_counts_once_and_nobody_traps() {
    for jump in [-HOUR, HOUR, -50 * 365 * 24 * HOUR] {
        let (mut host, mut judge): (Host, Judge) = worker(plan());
        let (control, _) = control_and_canary();
        let stream = host.stream();
        let request = Request::get("/", &[("x-user-id", control.as_str())]);
        host.send(stream, &request).unwrap();
        host.set_clock(jump);
        host.answer_stream(stream, &Response::ok()).unwrap();
        host.finish(stream).unwrap();
        judge.run(&mut host, Duration::from_secs(3));
        let sums = judge.sums(1, "control");
        assert_eq!(
            (sums.exposures, sums.finished, sums.errors),
            (1, 1, 0),
            "{jump} s"
        );
    }
}
