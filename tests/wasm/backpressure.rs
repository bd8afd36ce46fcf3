//! A judge that asks to wait is waited for, as long as it says and not for ever; no sum
//! is lost by that, and samples are the first that are.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use serinus_core::report::Report;

use crate::host::{Artefact, Callout, Host, Options, Request, Response};
use crate::judge::{CONFIGURATION, Judge, OWN, control_and_canary, next, plan, worker};

const TICK: Duration = Duration::from_millis(100);

fn later(seconds: &str) -> [(&str, &str); 2] {
    [OWN[0], ("retry-after", seconds)]
}

fn send(host: &mut Host, unit: &str) {
    host.request(&Request::post("/", &[("x-user-id", unit)], b"{}").answered(Response::ok()))
        .unwrap();
}

/// Lets time pass until there is such a call; how long that took.
fn awaited(host: &mut Host, path: &str, limit: Duration) -> Option<(Callout, Duration)> {
    let begun = host.now();
    loop {
        let waited = Duration::from_nanos(host.now() - begun);
        if let Some(call) = host.pending_to(path).pop() {
            return Some((call, waited));
        }
        if waited >= limit {
            return None;
        }
        host.advance(TICK).unwrap();
        // Polls are answered all the time: the judge is well, and busy.
        if path != "/v1/plan" {
            for poll in host.pending_to("/v1/plan") {
                host.answer(poll.id, 204, &OWN, b"").unwrap();
            }
        }
    }
}

fn report(host: &mut Host) -> Callout {
    let limit = Duration::from_secs(10);
    awaited(host, "/v1/reports", limit)
        .map(|found| found.0)
        .unwrap()
}

/// How long a report waits that the judge answered so.
fn pause(host: &mut Host, status: u16, retry_after: &str) -> Duration {
    let sent = report(host);
    host.answer(sent.id, status, &later(retry_after), b"")
        .unwrap();
    let limit = Duration::from_secs(600);
    let (again, pause) = awaited(host, "/v1/reports", limit).unwrap();
    assert_eq!(again.body, sent.body, "the same bytes");
    pause
}

#[test]
fn a_report_waits_and_newer_sums_merge_behind_it() {
    for status in [429, 503] {
        let (mut host, mut judge) = worker(plan());
        let (control, _) = control_and_canary();
        send(&mut host, &control);
        let sent = report(&mut host);
        host.answer(sent.id, status, &later("5"), b"").unwrap();
        for _ in 0..49 {
            send(&mut host, &control);
            // Even where each poll says that the judge is well.
            assert!(awaited(&mut host, "/v1/reports", TICK).is_none());
        }
        let (again, _) = awaited(&mut host, "/v1/reports", Duration::from_secs(2)).unwrap();
        assert_eq!(again.body, sent.body);
        assert_eq!(host.metric("serinus.reports_total.outcome.postponed"), 1);
        judge.run(&mut host, Duration::from_secs(2));
        let exposures: Vec<u64> = judge.reports.iter().map(exposures).collect();
        assert_eq!(exposures, [1, 49], "one report of all that came meanwhile");
    }
}

fn exposures(report: &Report) -> u64 {
    let arms = report.rollouts.iter().flat_map(|part| &part.arms);
    arms.flat_map(|arm| &arm.slots).map(|slot| slot.1).sum()
}

#[test]
fn no_judge_can_ask_for_more_than_a_minute_and_a_quarter() {
    for (asked, seconds) in [
        ("1", 1.0..1.5),
        ("20", 20.0..25.5),
        ("60", 60.0..75.5),
        ("61", 60.0..75.5),
        ("86400", 60.0..75.5),
        ("18446744073709551615", 60.0..75.5),
    ] {
        let (mut host, _) = worker(plan());
        send(&mut host, &control_and_canary().0);
        let waited = pause(&mut host, 429, asked).as_secs_f64();
        assert!(seconds.contains(&waited), "{asked}: {waited}");
    }
}

#[test]
fn what_is_no_number_of_seconds_is_an_ordinary_failure() {
    for odd in [
        "0",
        "",
        "soon",
        "-5",
        "1e3",
        "18446744073709551616",
        "Fri, 31 Dec 2027 23:59:59 GMT",
        "\u{e9}",
    ] {
        let (mut host, _) = worker(plan());
        send(&mut host, &control_and_canary().0);
        let waited = pause(&mut host, 503, odd);
        assert!(waited <= Duration::from_secs(1), "{odd}: {waited:?}");
    }
}

#[test]
fn only_the_judge_may_ask() {
    let (mut host, _) = worker(plan());
    send(&mut host, &control_and_canary().0);
    let sent = report(&mut host);
    host.answer(sent.id, 503, &[("retry-after", "60")], b"")
        .unwrap();
    let again = awaited(&mut host, "/v1/reports", Duration::from_secs(1));
    assert_eq!(again.unwrap().0.body, sent.body);
}

#[test]
fn a_poll_waits_too_and_then_goes_on() {
    let (mut host, mut judge) = worker(plan());
    let poll = host.pending_to("/v1/plan").remove(0);
    host.answer(poll.id, 503, &later("7"), b"").unwrap();
    let limit = Duration::from_secs(30);
    let (_, waited) = awaited(&mut host, "/v1/plan", limit).unwrap();
    assert!((7.0..9.0).contains(&waited.as_secs_f64()), "{waited:?}");
    assert_eq!(host.metric("serinus.polls_total.outcome.postponed"), 1);
    judge.plan = Some(next(&plan(), "epoch", json!(2)));
    judge.run(&mut host, Duration::from_secs(1));
    assert_eq!(judge.reached.unwrap().counter, 2);
}

#[test]
fn workers_come_back_one_after_another() {
    let times: BTreeSet<Duration> = (1..=20)
        .map(|seed| {
            let options = Options {
                seed,
                ..Options::default()
            };
            let mut host = Host::of(Artefact::built(), options).unwrap();
            assert!(host.start(CONFIGURATION).unwrap());
            Judge::with(plan()).run(&mut host, Duration::from_millis(200));
            send(&mut host, &control_and_canary().0);
            pause(&mut host, 429, "20")
        })
        .collect();
    // Twenty workers in fifty ticks: eight different ones or fewer is a chance of 1e-6.
    assert!(times.len() > 8, "{times:?}");
}

fn sampling() -> (Host, Judge) {
    let all = json!({"share": 1.0, "per_second": 1000, "max_body_bytes": 1_000_000});
    worker(next(&plan(), "sampling", all))
}

#[test]
fn samples_are_shed_while_the_judge_asks_to_wait() {
    let (mut host, mut judge) = sampling();
    let (control, _) = control_and_canary();
    send(&mut host, &control);
    let limit = Duration::from_secs(10);
    let (sent, _) = awaited(&mut host, "/v1/samples", limit).unwrap();
    host.answer(sent.id, 429, &later("5"), b"").unwrap();
    let large = Request::post("/", &[("x-user-id", control.as_str())], &[b'x'; 400_000]);
    for _ in 0..5 {
        host.request(&large).unwrap();
    }
    let before = host.pending_to("/v1/samples").len();
    judge.run(&mut host, Duration::from_millis(4_900));
    assert_eq!((before, judge.samples.len()), (0, 0));
    judge.run(&mut host, Duration::from_secs(3));
    let lost = "serinus.sample_batches_total.outcome.shed";
    assert_eq!(host.metric(lost), 1);
    // Those that fit into the queue: of 533 KB each in base64, one.
    assert_eq!(judge.samples.len(), 1);
    assert_eq!(judge.samples[0].samples.len(), 1);
    let arms = judge
        .rollout("digits", 1)
        .into_iter()
        .flat_map(|part| &part.arms);
    let counted = arms.fold((0, 0), |sum, arm| {
        (sum.0 + arm.samples_sent, sum.1 + arm.samples_dropped)
    });
    assert_eq!(counted, (2, 4), "queued and dropped");
}

#[test]
fn a_judge_that_cannot_take_sums_is_sent_no_samples() {
    let (mut host, _) = sampling();
    let (control, _) = control_and_canary();
    send(&mut host, &control);
    let limit = Duration::from_secs(10);
    let (first, _) = awaited(&mut host, "/v1/samples", limit).unwrap();
    host.answer(first.id, 200, &OWN, b"").unwrap();
    let sent = report(&mut host);
    host.answer(sent.id, 503, &later("5"), b"").unwrap();
    send(&mut host, &control);
    assert!(awaited(&mut host, "/v1/samples", Duration::from_millis(4_900)).is_none());
    assert!(awaited(&mut host, "/v1/samples", Duration::from_secs(2)).is_some());
}

#[test]
fn a_poll_that_nobody_answers_is_given_up_after_ten_seconds() {
    let (mut host, mut judge) = worker(plan());
    let held = host.pending_to("/v1/plan").remove(0);
    assert_eq!(held.timeout, Duration::from_secs(10));
    host.advance(Duration::from_secs(9)).unwrap();
    assert_eq!(host.pending_to("/v1/plan")[0].id, held.id);
    // The first pause after a success is the shortest: 0.1 s at most.
    host.advance(Duration::from_millis(1_300)).unwrap();
    assert_ne!(host.pending_to("/v1/plan")[0].id, held.id);
    judge.plan = Some(next(&plan(), "epoch", json!(2)));
    judge.run(&mut host, Duration::from_secs(1));
    assert_eq!(judge.reached.unwrap().counter, 2);
}
