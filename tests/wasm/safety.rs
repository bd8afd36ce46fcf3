//! Nothing that a client, an upstream, a network or an operator does makes the
//! filter trap: a trap kills the worker's VM and every stream on it.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use crate::host::{Artefact, Failure, Headers, Host, Options, Request, Response, flags};
use crate::judge::{CONFIGURATION, OWN, plan};

/// What may happen to one worker, in any order.
#[derive(Clone, Debug)]
enum Event {
    /// A whole request, with the shape of its answer.
    Request(Request),
    Open(Request),
    /// The answer to one of the streams in flight.
    Answer(usize, Response),
    /// The end of one of them, answered or not.
    Finish(usize),
    /// The judge answers one of the pending calls.
    Call(usize, u16, bool, Vec<u8>),
    Fail(usize, Failure),
    Pass(Duration),
    Advance(Duration),
    Reconfigure(String),
    RefuseCallouts(bool),
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    // What Envoy lets through in a header value: no NUL, CR or LF.
    let any = prop::collection::vec(any::<u8>(), 0..40);
    any.prop_map(|bytes| {
        bytes
            .into_iter()
            .filter(|byte| !matches!(byte, 0 | b'\r' | b'\n'))
            .collect()
    })
}

fn headers() -> impl Strategy<Value = Headers> {
    let name = prop::sample::select(vec![
        "x-user-id",
        "x-serinus-arm",
        "cookie",
        "authorization",
        ":path",
        ":authority",
        ":method",
        "content-type",
        "x-request-id",
        "te",
    ]);
    let value = prop_oneof![
        bytes(),
        "user-[0-9]{1,2}".prop_map(String::into_bytes),
        "/[a-z]{0,9}(\\?[a-z=&]{0,9})?".prop_map(String::into_bytes),
    ];
    prop::collection::vec((name, value), 0..6).prop_map(|pairs| Headers::of(&pairs))
}

fn chunks() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..4)
}

fn response() -> impl Strategy<Value = Response> {
    let status = prop_oneof![
        3 => Just(Some(200)),
        2 => (100u16..1000).prop_map(Some),
        1 => Just(None),
    ];
    let details = prop::sample::select(vec![
        "via_upstream",
        "upstream_reset_before_response_started{x}",
        "response_timeout",
        "downstream_remote_disconnect",
        "direct_response",
        "",
        "local_rate_limited",
    ]);
    let flags = prop::sample::select(vec![
        0,
        flags::NO_HEALTHY_UPSTREAM,
        flags::UPSTREAM_CONNECTION_FAILURE,
        u64::MAX,
    ]);
    let trailers = prop::option::of(headers());
    let times = (0u64..100_000, 0u64..100_000);
    (
        status,
        headers(),
        chunks(),
        trailers,
        times,
        any::<bool>(),
        flags,
        details,
    )
        .prop_map(
            |(status, headers, body, trailers, (latency, streaming), cut_off, flags, details)| {
                Response {
                    status,
                    headers,
                    body,
                    trailers,
                    latency: Duration::from_millis(latency),
                    streaming: Duration::from_millis(streaming),
                    cut_off,
                    flags,
                    details,
                    attempts: 1,
                }
            },
        )
}

fn request() -> impl Strategy<Value = Request> {
    (headers(), chunks(), prop::option::of(headers()), response()).prop_map(
        |(headers, body, trailers, response)| Request {
            headers,
            body,
            trailers,
            response,
            properties: Vec::new(),
        },
    )
}

/// Plans that are right, nearly right, and garbage.
fn answer_body() -> impl Strategy<Value = Vec<u8>> {
    let whole = (0u64..20, 1u64..6, any::<bool>(), 0u16..10_001).prop_map(
        |(counter, epoch, more, split)| {
            let mut plan = plan();
            plan["revision"]["counter"] = json!(counter);
            let rollout = &mut plan["rollouts"][0];
            rollout["epoch"] = json!(epoch);
            rollout["allocation"] = json!([
                {"from": 0, "to": split, "arm": "control"},
                {"from": split, "to": 10000, "arm": "canary"},
            ]);
            if more {
                rollout["match"] = json!({"host": "model.test", "path_prefix": "/a"});
                rollout["unit"] = json!([{"header": "cookie"}, {"header": ":path"}]);
                rollout["latency_edges_us"] =
                    json!([1, 2, 3, 4, 5, 6, 7, 8, 9, 1000, 10_000, 1_000_000]);
                rollout["sampling"] = json!({"share": 1.0, "per_second": 5, "max_body_bytes": 150});
                rollout["breaker"] =
                    json!({"minimum_requests": 1, "error_share": 0.1, "window_ms": 1000});
            }
            plan
        },
    );
    let twisted = (whole.clone(), any::<prop::sample::Index>(), json_leaf()).prop_map(
        |(mut plan, at, leaf)| {
            let paths: [&str; 18] = [
                "/version",
                "/revision",
                "/revision/counter",
                "/report_interval_ms",
                "/rollouts",
                "/rollouts/0",
                "/rollouts/0/id",
                "/rollouts/0/epoch",
                "/rollouts/0/match",
                "/rollouts/0/unit/0",
                "/rollouts/0/unit/0/header",
                "/rollouts/0/salt",
                "/rollouts/0/identity_key",
                "/rollouts/0/arms",
                "/rollouts/0/arms/1",
                "/rollouts/0/baseline",
                "/rollouts/0/allocation/0/from",
                "/rollouts/0/allocation/1/to",
            ];
            if let Some(field) = plan.pointer_mut(at.get::<&str>(&paths)) {
                *field = leaf;
            }
            plan
        },
    );
    let write = |plan: Value| plan.to_string().into_bytes();
    prop_oneof![
        4 => whole.prop_map(write),
        3 => twisted.prop_map(write),
        1 => prop::collection::vec(any::<u8>(), 0..100),
    ]
}

fn json_leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(|number| json!(number)),
        any::<u64>().prop_map(|number| json!(number)),
        any::<f64>().prop_map(|number| json!(number)),
        ".{0,20}".prop_map(|text| json!(text)),
        Just(json!([])),
        Just(json!({})),
        Just(json!([null, {"a": []}])),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let duration = prop_oneof![
        (0u64..2_000).prop_map(Duration::from_millis),
        (0u64..100).prop_map(Duration::from_secs),
    ];
    let failure = prop::sample::select(vec![
        Failure::Unavailable,
        Failure::Timeout,
        Failure::CutOff,
    ]);
    let configuration = prop_oneof![
        4 => Just(CONFIGURATION.to_owned()),
        1 => Just(r#"{"judge": {"cluster": "judge"}, "disabled": true}"#.to_owned()),
        1 => Just("{}".to_owned()),
        1 => ".{0,30}",
    ];
    let status = prop_oneof![4 => Just(200u16), 1 => 100u16..1000];
    prop_oneof![
        8 => request().prop_map(Event::Request),
        4 => request().prop_map(Event::Open),
        4 => (0usize..8, response()).prop_map(|(index, response)| Event::Answer(index, response)),
        4 => (0usize..8).prop_map(Event::Finish),
        8 => (0usize..4, status, any::<bool>(), answer_body())
            .prop_map(|(index, status, own, body)| Event::Call(index, status, own, body)),
        2 => (0usize..4, failure).prop_map(|(index, failure)| Event::Fail(index, failure)),
        2 => duration.clone().prop_map(Event::Pass),
        6 => duration.prop_map(Event::Advance),
        1 => configuration.prop_map(Event::Reconfigure),
        1 => any::<bool>().prop_map(Event::RefuseCallouts),
    ]
}

/// Streams in flight of one run.
#[derive(Default)]
struct Flights(Vec<(u32, bool)>);

fn apply(host: &mut Host, flights: &mut Flights, event: &Event) -> wasmtime::Result<()> {
    let pick = |index: usize, len: usize| (len > 0).then(|| index % len);
    let pending: Vec<u32> = host.pending_callouts().iter().map(|call| call.id).collect();
    match event {
        Event::Request(request) => {
            let routed = host.request(request)?;
            let sent: Vec<u8> = request.body.concat();
            // Whatever happens, the request goes on as it came.
            assert!(!routed.hung && routed.local_response.is_none());
            assert_eq!(routed.upstream_body, sent);
            let arms = routed
                .upstream
                .as_ref()
                .map_or(0, |upstream| upstream.all("x-serinus-arm").len());
            assert!(arms <= 1);
            let arm = routed.arm();
            assert!(
                arm.is_none() || matches!(arm.as_deref(), Some("control" | "canary")),
                "{arm:?}"
            );
        }
        Event::Open(request) => {
            let id = host.stream();
            host.send(id, request)?;
            flights.0.push((id, false));
        }
        Event::Answer(index, response) => {
            if let Some(index) = pick(*index, flights.0.len())
                && !std::mem::replace(&mut flights.0[index].1, true)
            {
                host.answer_stream(flights.0[index].0, response)?;
            }
        }
        Event::Finish(index) => {
            if let Some(index) = pick(*index, flights.0.len()) {
                let (id, _) = flights.0.remove(index);
                host.finish(id)?;
            }
        }
        Event::Call(index, status, own, body) => {
            if let Some(index) = pick(*index, pending.len()) {
                let headers = if *own { OWN.as_slice() } else { &[] };
                host.answer(pending[index], *status, headers, body)?;
            }
        }
        Event::Fail(index, failure) => {
            if let Some(index) = pick(*index, pending.len()) {
                host.fail(pending[index], *failure)?;
            }
        }
        Event::Pass(time) => host.pass(*time),
        Event::Advance(time) => host.advance(*time)?,
        Event::Reconfigure(configuration) => {
            host.reconfigure(configuration)?;
        }
        Event::RefuseCallouts(refuse) => host.refuse_callouts(*refuse),
    }
    Ok(())
}

/// Set SERINUS_TEST_SEED to repeat a run, SERINUS_TEST_CASES for more of them.
#[test]
fn no_order_of_events_traps() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let now = || {
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .subsec_nanos()
    };
    let seed = number("SERINUS_TEST_SEED").unwrap_or_else(|| u64::from(now()));
    let cases = number("SERINUS_TEST_CASES").unwrap_or(200) as u32;
    println!("SERINUS_TEST_SEED={seed} SERINUS_TEST_CASES={cases}");
    let artefact = Artefact::built();
    let mut bytes = [0u8; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let result = TestRunner::new_with_rng(config, rng).run(
        &prop::collection::vec(event(), 1..60),
        |events| {
            let options = Options {
                seed,
                ..Options::default()
            };
            let mut host = Host::of(artefact, options).map_err(error)?;
            host.start(CONFIGURATION).map_err(error)?;
            let mut flights = Flights::default();
            for event in &events {
                apply(&mut host, &mut flights, event).map_err(error)?;
            }
            for (id, _) in flights.0 {
                host.finish(id).map_err(error)?;
            }
            prop_assert_eq!(host.open_streams(), 0);
            prop_assert_eq!(host.root_contexts(), 1);
            prop_assert_eq!(host.leaked_timers(), 0);
            prop_assert!(host.memory_bytes() < 64 << 20);
            Ok(())
        },
    );
    if let Err(failed) = result {
        panic!("with SERINUS_TEST_SEED={seed}: {failed}");
    }
}

fn error(error: wasmtime::Error) -> TestCaseError {
    TestCaseError::fail(format!("{error:?}"))
}
