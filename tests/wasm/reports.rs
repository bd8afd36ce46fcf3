//! What reaches the judge of what happened, exactly once.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use serinus_core::bucket;
use serinus_core::identity::IdentityKey;
use serinus_core::report::{FirstError, FirstOutcome, FirstSlow, MAX_BYTES, NewUnit, Report};

use crate::host::{Artefact, Callout, Failure, Host, Options, Request, Response};
use crate::judge::{
    CONFIGURATION, IDENTITY_KEY, Judge, OWN, Sums, control_and_canary, next, plan, worker,
};

const INTERVAL: Duration = Duration::from_secs(1);

fn send(host: &mut Host, unit: &str, response: Response) {
    host.request(&Request::get("/", &[("x-user-id", unit)]).answered(response))
        .unwrap();
}

/// The report that is on its way, after an interval at most.
fn report(host: &mut Host) -> Callout {
    for _ in 0..100 {
        if let Some(report) = host.pending_to("/v1/reports").pop() {
            return report;
        }
        host.advance(Duration::from_millis(100)).unwrap();
    }
    panic!("no report in 10 seconds");
}

#[test]
fn a_report_has_sums_and_first_events_under_pseudonyms() {
    let (mut host, mut judge) = worker(next(&plan(), "latency_edges_us", json!([10_000, 50_000])));
    let (control, canary) = control_and_canary();
    send(
        &mut host,
        &control,
        Response::ok().after(Duration::from_millis(7)),
    );
    send(
        &mut host,
        &canary,
        Response::status(500).after(Duration::from_millis(1)),
    );
    send(
        &mut host,
        &canary,
        Response::ok().after(Duration::from_millis(20)),
    );
    send(
        &mut host,
        &canary,
        Response::status(404).after(Duration::from_millis(60)),
    );
    let bytes = report(&mut host).body;
    judge.run(&mut host, INTERVAL);

    let sums = |exposures, errors, latency_us| Sums {
        exposures,
        finished: exposures,
        errors,
        latency_us,
        ..Sums::default()
    };
    assert_eq!(judge.sums(1, "control"), sums(1, 0, 7_000));
    assert_eq!(
        judge.sums(1, "canary"),
        sums(3, 1, 80_000),
        "an error's duration is not counted"
    );

    let report: Report = serde_json::from_slice(&bytes).unwrap();
    assert_eq!((report.sequence, report.session.len()), (1, 32));
    assert_eq!(report.revision.map(|revision| revision.counter), Some(2));
    let rollout = &report.rollouts[0];
    let slot = &rollout.arms[1].slots[0];
    assert_eq!(slot.0, bucket::place(canary.as_bytes(), "salt").slot);
    assert_eq!(&*slot.5, [2, 1], "over each edge");
    let key = IdentityKey::from_hex(IDENTITY_KEY).unwrap();
    let [control_hash, canary_hash] = [&control, &canary].map(|unit| key.hash(unit.as_bytes()));
    assert_eq!(
        rollout.new_units,
        [NewUnit(control_hash, 0), NewUnit(canary_hash, 1)]
    );
    assert_eq!(
        rollout.first_outcomes,
        [
            FirstOutcome(control_hash, 0, false),
            FirstOutcome(canary_hash, 1, true)
        ]
    );
    assert_eq!(rollout.first_errors, [FirstError(canary_hash, 1)]);
    assert_eq!(
        rollout.first_slow,
        [FirstSlow(canary_hash, 1, 1), FirstSlow(canary_hash, 1, 2)]
    );
    let text = String::from_utf8(bytes).unwrap();
    assert!(
        !text.contains(&control) && !text.contains(&canary),
        "never the key itself"
    );
    assert!(!text.contains(IDENTITY_KEY));
}

/// How each ending is counted: `errors`, `local_replies`, `disconnects`.
fn counted(response: Response) -> (u64, u64, u64) {
    let (mut host, mut judge) = worker(plan());
    let (_, canary) = control_and_canary();
    send(&mut host, &canary, response.clone());
    judge.run(&mut host, 2 * INTERVAL);
    let sums = judge.sums(1, "canary");
    assert_eq!(sums.exposures, 1, "{response:?}");
    let ended = sums.finished + sums.local_replies + sums.disconnects;
    assert_eq!(ended, 1, "ends as one of the three: {response:?}");
    (sums.errors, sums.local_replies, sums.disconnects)
}

fn local_reply(status: u16, details: &'static str) -> Response {
    Response {
        details,
        attempts: 0,
        ..Response::status(status)
    }
}

#[test]
fn answers_of_the_upstream() {
    for status in [200, 204, 301, 400, 404, 422, 429] {
        assert_eq!(counted(Response::status(status)), (0, 0, 0), "{status}");
    }
    for status in [500, 502, 503, 504, 599] {
        assert_eq!(counted(Response::status(status)), (1, 0, 0), "{status}");
    }
    let mut headers_only = Response::ok();
    headers_only.body = Vec::new();
    assert_eq!(counted(headers_only), (0, 0, 0));
}

#[test]
fn resets_and_timeouts_are_errors() {
    for response in [
        Response::upstream_reset(),
        Response::timeout(),
        Response::no_healthy_upstream(),
    ] {
        assert_eq!(counted(response), (1, 0, 0));
    }
}

#[test]
fn an_answer_that_is_cut_off_is_an_error() {
    assert_eq!(counted(Response::cut_off()), (1, 0, 0));
}

#[test]
fn a_client_that_goes_away_is_counted_apart() {
    assert_eq!(counted(Response::client_gone()), (0, 0, 1));
}

#[test]
fn a_client_that_goes_away_within_the_answer_is_counted_apart() {
    let within_the_answer = Response {
        flags: crate::host::flags::DOWNSTREAM_CONNECTION_TERMINATION,
        details: "downstream_remote_disconnect",
        ..Response::cut_off()
    };
    assert_eq!(counted(within_the_answer), (0, 0, 1));
}

#[test]
fn what_envoy_answers_by_itself_is_counted_apart() {
    assert_eq!(counted(local_reply(503, "overload")), (0, 1, 0));
}

#[test]
fn what_envoy_answers_by_itself_below_500_is_counted_apart() {
    for (status, details) in [
        (403, "rbac_access_denied_matched_policy[none]"),
        (429, "local_rate_limited"),
        (401, "jwt_authn_access_denied{Jwt_is_missing}"),
        (413, "request_payload_too_large"),
    ] {
        assert_eq!(
            counted(local_reply(status, details)),
            (0, 1, 0),
            "{status} {details}"
        );
    }
}

#[test]
fn a_good_grpc_answer_is_no_error() {
    assert_eq!(counted(Response::grpc(0)), (0, 0, 0));
}

#[test]
fn the_same_bytes_are_sent_until_the_judge_itself_answers() {
    let (mut host, _) = worker(plan());
    let (control, _) = control_and_canary();
    send(&mut host, &control, Response::ok());
    let first = report(&mut host);
    let none: [(&str, &str); 0] = [];
    type Ending<'a> = &'a dyn Fn(&mut Host, u32);
    let no_acknowledgements: [Ending<'_>; 6] = [
        &|host, id| host.fail(id, Failure::Unavailable).unwrap(),
        &|host, id| host.fail(id, Failure::Timeout).unwrap(),
        &|host, id| host.fail(id, Failure::CutOff).unwrap(),
        // A proxy in between, or a wrong cluster.
        &|host, id| host.answer(id, 200, &none, b"{}").unwrap(),
        // The judge, but not done: its store is away, or it is overloaded.
        &|host, id| host.answer(id, 503, &OWN, b"").unwrap(),
        &|host, id| host.answer(id, 429, &OWN, b"").unwrap(),
    ];
    for refuse in no_acknowledgements {
        let sent = report(&mut host);
        assert_eq!(sent.body, first.body);
        // What happens meanwhile waits for the next report.
        send(&mut host, &control, Response::status(500));
        refuse(&mut host, sent.id);
    }
    let sent = report(&mut host);
    assert_eq!(sent.body, first.body);
    host.answer(sent.id, 200, &OWN, b"").unwrap();

    let second: Report = serde_json::from_slice(&report(&mut host).body).unwrap();
    assert_eq!(second.sequence, 2);
    let slot = &second.rollouts[0].arms[0].slots[0];
    assert_eq!(
        (slot.1, slot.2, slot.3),
        (6, 6, 6),
        "nothing is lost and nothing is counted twice"
    );
}

#[test]
fn a_report_that_the_judge_refuses_for_good_does_not_block_the_next() {
    let (mut host, mut judge) = worker(plan());
    let (control, _) = control_and_canary();
    send(&mut host, &control, Response::ok());
    let sent = report(&mut host);
    host.answer(sent.id, 400, &OWN, b"").unwrap();
    assert_eq!(host.complaints().len(), 1, "{:?}", host.complaints());
    send(&mut host, &control, Response::ok());
    judge.run(&mut host, 2 * INTERVAL);
    assert_eq!(judge.reports[0].sequence, 2);
    assert_eq!(judge.sums(1, "control").exposures, 1);
}

#[test]
fn nothing_to_say_is_not_said() {
    let (mut host, mut judge) = worker(plan());
    judge.run(&mut host, 30 * INTERVAL);
    assert_eq!(judge.reports.len(), 0);
}

#[test]
fn the_ledger_belongs_to_the_vm_and_survives_a_new_root_context() {
    let (mut host, mut judge) = worker(plan());
    let (control, canary) = control_and_canary();
    send(&mut host, &control, Response::ok());
    judge.run(&mut host, 2 * INTERVAL);
    send(&mut host, &control, Response::ok());

    // In flight while the configuration changes.
    let flying = host.stream();
    host.send(
        flying,
        &Request::get("/", &[("x-user-id", canary.as_str())]),
    )
    .unwrap();
    assert!(host.reconfigure(CONFIGURATION).unwrap());
    assert_eq!(
        host.root_contexts(),
        2,
        "the old root lives as long as its stream"
    );
    send(&mut host, &control, Response::ok());
    host.answer_stream(flying, &Response::status(500)).unwrap();
    host.finish(flying).unwrap();
    assert_eq!(host.root_contexts(), 1);
    judge.run(&mut host, 2 * INTERVAL);

    let sessions: BTreeSet<&str> = judge
        .reports
        .iter()
        .map(|report| report.session.as_str())
        .collect();
    assert_eq!(sessions.len(), 1);
    let sequences: Vec<u64> = judge.reports.iter().map(|report| report.sequence).collect();
    assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>());
    assert_eq!(judge.sums(1, "control").exposures, 3);
    assert_eq!(
        (
            judge.sums(1, "canary").exposures,
            judge.sums(1, "canary").errors
        ),
        (1, 1)
    );
    // First events are remembered too: `control` is new once.
    let new: usize = judge
        .rollout("digits", 1)
        .iter()
        .map(|rollout| rollout.new_units.len())
        .sum();
    assert_eq!(new, 2);
}

#[test]
fn a_report_on_its_way_when_its_root_ends_is_sent_again() {
    let (mut host, mut judge) = worker(plan());
    let (control, _) = control_and_canary();
    send(&mut host, &control, Response::ok());
    let lost = report(&mut host);
    assert!(host.reconfigure(CONFIGURATION).unwrap());
    assert!(
        host.cancelled_callouts()
            .iter()
            .any(|call| call.id == lost.id)
    );
    assert_eq!(report(&mut host).body, lost.body);
    judge.run(&mut host, INTERVAL);
    assert_eq!(judge.sums(1, "control").exposures, 1);
}

#[test]
fn a_stream_counts_under_the_epoch_it_was_decided_in() {
    let (mut host, mut judge) = worker(plan());
    let (control, _) = control_and_canary();
    let flying = host.stream();
    host.send(
        flying,
        &Request::get("/", &[("x-user-id", control.as_str())]),
    )
    .unwrap();
    let mut later = next(&plan(), "epoch", json!(2));
    // By the new plan the same user is in canary.
    later["rollouts"][0]["allocation"] = json!([{"from": 0, "to": 10000, "arm": "canary"}]);
    judge.plan = Some(later);
    judge.run(&mut host, 3 * INTERVAL);
    send(&mut host, &control, Response::ok());
    host.answer_stream(flying, &Response::status(500)).unwrap();
    host.finish(flying).unwrap();
    judge.run(&mut host, 2 * INTERVAL);
    let old = judge.sums(1, "control");
    assert_eq!((old.exposures, old.finished, old.errors), (1, 1, 1));
    let new = judge.sums(2, "canary");
    assert_eq!((new.exposures, new.finished, new.errors), (1, 1, 0));
}

#[test]
fn a_report_has_a_maximum_and_the_rest_follows() {
    let (mut host, mut judge) = worker(plan());
    for number in 0..20_000 {
        send(&mut host, &format!("user-{number}"), Response::status(500));
    }
    let largest = report(&mut host).body.len();
    assert!(largest <= MAX_BYTES, "{largest}");
    judge.run(&mut host, 5 * INTERVAL);
    let listed = |list: &dyn Fn(&serinus_core::report::RolloutReport) -> usize| -> usize {
        judge
            .rollout("digits", 1)
            .iter()
            .map(|rollout| list(rollout))
            .sum()
    };
    assert_eq!(listed(&|rollout| rollout.new_units.len()), 20_000);
    assert_eq!(listed(&|rollout| rollout.first_errors.len()), 20_000);
    let exposures = ["control", "canary"].map(|arm| judge.sums(1, arm).exposures);
    assert_eq!(exposures.iter().sum::<u64>(), 20_000);
}

#[test]
fn workers_have_sessions_of_their_own() {
    let sessions: BTreeSet<String> = (1..=3)
        .map(|seed| {
            let options = Options {
                seed,
                ..Options::default()
            };
            let mut host = Host::of(Artefact::built(), options).unwrap();
            assert!(host.start(CONFIGURATION).unwrap());
            let mut judge = Judge::with(plan());
            judge.run(&mut host, Duration::from_millis(200));
            send(&mut host, "u", Response::ok());
            judge.run(&mut host, 2 * INTERVAL);
            judge.reports[0].session.clone()
        })
        .collect();
    assert_eq!(sessions.len(), 3);
}
