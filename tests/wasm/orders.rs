//! Whatever comes in whatever order, the filter does not trap, and forgets each
//! stream when it ends.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use crate::host::{Artefact, Headers, Host, Options};
use crate::judge::{Judge, next, plan};

const CONFIGURATION: &str = r#"{"judge": {"cluster": "judge"}, "hold_bodies": true,
    "shadow_header": "x-serinus-shadow", "response_header": "x-serinus"}"#;

#[derive(Debug, Clone)]
enum Event {
    Open(Vec<(String, Vec<u8>)>, bool),
    RequestBody(Vec<u8>, bool),
    RequestTrailers,
    ResponseHeaders(u16, bool),
    ResponseBody(Vec<u8>, bool),
    ResponseTrailers(Vec<u8>),
    Finish,
    NewPlan(u64),
    Pass(u64),
}

fn event() -> impl Strategy<Value = (usize, Event)> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..40);
    let json = Just(br#"{"user": "ada", "card": "gold"}"#.to_vec());
    let value = || prop_oneof![bytes().prop_map(no_line_ends), Just(b"ada".to_vec())];
    let name = prop::sample::select(vec![
        "x-user-id",
        "cookie",
        "authorization",
        "x-serinus-override",
        "content-type",
        "content-encoding",
        "content-length",
        "expect",
        "upgrade",
    ]);
    let headers = prop::collection::vec((name.prop_map(str::to_owned), value()), 0..5);
    let event = prop_oneof![
        4 => (headers, any::<bool>()).prop_map(|(headers, end)| Event::Open(headers, end)),
        3 => (prop_oneof![bytes(), json], any::<bool>())
            .prop_map(|(body, end)| Event::RequestBody(body, end)),
        1 => Just(Event::RequestTrailers),
        2 => (100u16..600, any::<bool>())
            .prop_map(|(status, end)| Event::ResponseHeaders(status, end)),
        2 => (bytes(), any::<bool>()).prop_map(|(body, end)| Event::ResponseBody(body, end)),
        1 => value().prop_map(Event::ResponseTrailers),
        3 => Just(Event::Finish),
        1 => (0u64..1_000).prop_map(Event::NewPlan),
        1 => (1u64..2_000).prop_map(Event::Pass),
    ];
    (0usize..4, event)
}

fn no_line_ends(bytes: Vec<u8>) -> Vec<u8> {
    let line_end = |byte: &u8| !matches!(byte, 0 | b'\r' | b'\n');
    bytes.into_iter().filter(line_end).collect()
}

/// Everything at once: bodies, segments, tokens, cookies, a shadow, samples.
fn everything() -> serde_json::Value {
    let mut plan = plan();
    let rollout = &mut plan["rollouts"][0];
    rollout["unit"] = json!([{"header": "x-user-id"}, {"cookie": "u"}, {"jwt_claim": "sub"},
        {"body": "/user"}, {"issue_cookie": {"name": "uid"}}]);
    rollout["segments"] = json!([
        {"name": "gold", "when": [{"body": "/card", "in": ["gold"]}], "arm": "canary"}]);
    rollout["overrides"] = json!({"tokens": [{"arm": "canary", "sha256": "00".repeat(32)}]});
    rollout["shadow"] = json!({"cluster": "shadow", "share": 0.5});
    rollout["sampling"] = json!({"share": 1.0, "per_second": 50, "max_body_bytes": 100});
    rollout["breaker"] = json!({"minimum_requests": 1, "error_share": 0.1, "window_ms": 1000});
    rollout["latency_edges_us"] = json!([1, 1_000, 500_000]);
    rollout["max_held_body_bytes"] = json!(60);
    rollout["stale_after_ms"] = json!(1_500);
    plan
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn no_order_of_events_traps(events in prop::collection::vec(event(), 1..120)) {
        let options = Options {
            allow_on_headers_stop_iteration: true,
            ..Options::default()
        };
        let mut host = Host::of(Artefact::built(), options).unwrap();
        prop_assert!(host.start(CONFIGURATION).unwrap());
        let mut plan = everything();
        let mut judge = Judge::with(plan.clone());
        judge.run(&mut host, Duration::from_millis(200));
        let mut open: [Option<u32>; 4] = [None; 4];
        for (place, event) in events {
            let now = open[place];
            match (event, now) {
                (Event::Open(headers, end), None) => {
                    let id = host.stream();
                    open[place] = Some(id);
                    let mut sent = vec![
                        (":method".to_owned(), b"POST".to_vec()),
                        (":path".to_owned(), b"/v2".to_vec()),
                        (":authority".to_owned(), b"models".to_vec()),
                    ];
                    sent.extend(headers);
                    host.request_headers(id, &Headers::of(&sent), end).unwrap();
                }
                (Event::RequestBody(body, end), Some(id)) => {
                    host.request_body(id, &body, end).unwrap();
                }
                (Event::RequestTrailers, Some(id)) => {
                    host.request_trailers(id, &Headers::of(&[("a", "b")])).unwrap();
                }
                (Event::ResponseHeaders(status, end), Some(id)) => {
                    let headers = Headers::of(&[(":status", status.to_string())]);
                    host.response_headers(id, &headers, end).unwrap();
                }
                (Event::ResponseBody(body, end), Some(id)) => {
                    host.response_body(id, &body, end).unwrap();
                }
                (Event::ResponseTrailers(status), Some(id)) => {
                    let trailers = Headers::of(&[("grpc-status", status)]);
                    host.response_trailers(id, &trailers).unwrap();
                }
                (Event::Finish, Some(id)) => {
                    host.finish(id).unwrap();
                    open[place] = None;
                }
                (Event::NewPlan(epoch), _) => {
                    plan = next(&plan, "epoch", json!(epoch));
                    judge.plan = Some(plan.clone());
                }
                (Event::Pass(milliseconds), _) => {
                    judge.run(&mut host, Duration::from_millis(milliseconds));
                }
                _ => {}
            }
        }
        for id in open.into_iter().flatten() {
            host.finish(id).unwrap();
        }
        prop_assert!(!host.is_dead());
        prop_assert_eq!(host.open_streams(), 0);
    }
}
