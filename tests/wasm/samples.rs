//! Copies of bodies for the judge's reference inference.

use std::time::Duration;

use serde_json::json;

use crate::host::{Headers, Host, Request, Response};
use crate::judge::{Judge, control_and_canary, next, plan, worker};

fn sampling(per_second: u32) -> (Host, Judge) {
    let all = json!({"share": 1.0, "per_second": per_second, "max_body_bytes": 100});
    worker(next(&plan(), "sampling", all))
}

fn post(unit: &str, chunks: &[&[u8]]) -> Request {
    let mut request = Request::post("/infer", &[("x-user-id", unit)], b"");
    request.body = chunks.iter().map(|chunk| chunk.to_vec()).collect();
    request
}

fn sent_and_dropped(judge: &Judge) -> (u64, u64) {
    let rollouts = judge.rollout("digits", 1);
    let arms = rollouts.iter().flat_map(|rollout| &rollout.arms);
    arms.fold((0, 0), |(sent, dropped), arm| {
        (sent + arm.samples_sent, dropped + arm.samples_dropped)
    })
}

#[test]
fn bodies_are_copied_chunk_by_chunk_and_pass_unchanged() {
    let (mut host, mut judge) = sampling(100);
    let (_, canary) = control_and_canary();
    let mut request = post(&canary, &[b"ab", b"", b"c\xff"]);
    request.response.body = vec![b"x".to_vec(), b"yz".to_vec()];
    let routed = host.request(&request).unwrap();
    assert_eq!(routed.upstream_body, b"abc\xff");
    assert_eq!(routed.response_body, b"xyz");
    judge.run(&mut host, Duration::from_secs(2));
    let samples = &judge.samples[0].samples;
    assert_eq!(samples.len(), 1);
    let sample = &samples[0];
    assert_eq!(
        (sample.rollout.as_str(), sample.epoch, sample.arm.as_str()),
        ("digits", 1, "canary")
    );
    // Base64 of the two bodies.
    assert_eq!(
        (sample.request.as_str(), sample.response.as_str()),
        ("YWJj/w==", "eHl6")
    );
    assert_eq!(sent_and_dropped(&judge), (1, 0));
}

#[test]
fn what_is_too_large_or_too_much_is_dropped_and_counted() {
    let (mut host, mut judge) = sampling(2);
    let (control, _) = control_and_canary();
    host.request(&post(&control, &[&[b'x'; 60], &[b'x'; 60]]))
        .unwrap();
    let mut large_answer = post(&control, &[b"x"]);
    large_answer.response.body = vec![vec![b'x'; 101]];
    host.request(&large_answer).unwrap();
    host.request(&post(&control, &[b"third in this second"]))
        .unwrap();
    judge.run(&mut host, Duration::from_secs(2));
    assert_eq!(judge.samples.len(), 0);
    assert_eq!(sent_and_dropped(&judge), (0, 3));
}

#[test]
fn failed_requests_and_lost_answers_do_no_harm() {
    let (mut host, mut judge) = sampling(1000);
    let (control, canary) = control_and_canary();
    for unit in [&control, &canary] {
        for response in [
            Response::status(500),
            Response::client_gone(),
            Response::upstream_reset(),
        ] {
            host.request(&post(unit, &[b"x"]).answered(response))
                .unwrap();
        }
    }
    judge.run(&mut host, Duration::from_secs(2));
    assert_eq!(judge.samples.len(), 0);
}

#[test]
fn the_queue_is_bounded_while_the_judge_is_away() {
    let everything = json!({"share": 1.0, "per_second": 1_000_000, "max_body_bytes": 1_000_000});
    let (mut host, _) = worker(next(&plan(), "sampling", everything));
    let (control, _) = control_and_canary();
    let request = post(&control, &[&[b'x'; 100_000]]);
    for _ in 0..20 {
        host.request(&request).unwrap();
    }
    let before = host.memory_bytes();
    for _ in 0..200 {
        host.request(&request).unwrap();
    }
    let grown = host.memory_bytes() - before;
    assert!(grown <= 4 << 20, "{grown} bytes more for 20 MB of bodies");
}

#[test]
fn headers_that_the_plan_names_are_copied_beside_the_bodies() {
    let headers = ["content-encoding", ":path", "x-absent"];
    let all = json!({"share": 1.0, "per_second": 100, "max_body_bytes": 100, "headers": headers});
    let (mut host, mut judge) = worker(next(&plan(), "sampling", all));
    let (control, _) = control_and_canary();
    let mut request = post(&control, &[b"ab"]);
    let encoded = Headers::of(&[("content-encoding", "gzip")]);
    let secret = Headers::of(&[("authorization", "secret")]);
    request.headers.0.extend(encoded.0.clone());
    request.headers.0.extend(secret.0);
    request.response.headers.0.extend(encoded.0);
    host.request(&request).unwrap();
    judge.run(&mut host, Duration::from_secs(2));
    let sample = &judge.samples[0].samples[0];
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let gzip = pair("content-encoding", "gzip");
    assert_eq!(
        sample.request_headers,
        [gzip.clone(), pair(":path", "/infer")]
    );
    assert_eq!(sample.response_headers, [gzip]);
}
