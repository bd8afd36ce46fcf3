//! A worker's linear memory, to the page, under plans that change all the time. Real
//! Envoy, whose size is all that shows from outside, has a soak in `tests/e2e`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::host::{Host, Request, Response};
use crate::judge::{Judge, plan};

const CONFIGURATION: &str = r#"{"judge": {"cluster": "judge"}, "hold_bodies": true,
    "shadow_header": "x-serinus-shadow"}"#;

/// Another allocation, another epoch, and a rollout that comes for one plan of twenty.
fn changed(counter: u64) -> Value {
    let mut plan = plan();
    plan["revision"]["counter"] = json!(counter);
    plan["report_interval_ms"] = json!(100);
    let rollout = &mut plan["rollouts"][0];
    rollout["epoch"] = json!(counter);
    rollout["unit"] = json!([{"header": "x-user-id"}, {"body": "/user"},
        {"issue_cookie": {"name": "serinus"}}]);
    let canary = counter * 37 % 9_999 + 1;
    rollout["allocation"] = json!([
        {"from": 0, "to": canary, "arm": "control"}, {"from": canary, "to": 10_000, "arm": "canary"}]);
    rollout["segments"] = json!([{"name": "gold", "when": [{"header": "x-card"}],
        "allocation": [{"from": 0, "to": canary, "arm": "canary"}]}]);
    rollout["sampling"] = json!({"share": 0.5, "per_second": 50, "max_body_bytes": 1_000});
    rollout["latency_edges_us"] = json!([1_000, 10_000]);
    let mut guest = rollout.clone();
    guest["id"] = json!(format!("guest-{}", counter % 20));
    guest["match"] = json!({"path_prefix": "/guest"});
    plan["rollouts"].as_array_mut().unwrap().insert(0, guest);
    plan
}

#[test]
fn a_workers_memory_settles_over_a_thousand_plans() {
    const PLANS: u64 = 1_000;
    let mut host = Host::new();
    assert!(host.start(CONFIGURATION).unwrap());
    let mut judge = Judge::default();
    let mut sizes = Vec::new();
    for counter in 1..=PLANS {
        judge.plan = Some(changed(counter));
        judge.run(&mut host, Duration::from_millis(200));
        // Plans change while a request is under way.
        let open = host.stream();
        host.send(open, &Request::get("/", &[("x-user-id", "open")]))
            .unwrap();
        for number in 0..20 {
            let user = format!("user-{counter}-{number}");
            let who = [("x-user-id", user.as_str())];
            let none: [(&str, &str); 0] = [];
            let path = if number % 3 == 0 { "/guest" } else { "/" };
            let request = match number % 5 {
                0 => Request::post("/", &none, format!(r#"{{"user": "{user}"}}"#).as_bytes()),
                1 => Request::get("/", &none),
                2 => Request::get(path, &who).answered(Response::client_gone()),
                3 => Request::get(path, &[who[0], ("x-card", "gold")]),
                _ => Request::post(path, &who, &[b'x'; 3_000]).answered(Response::status(500)),
            };
            host.request(&request).unwrap();
        }
        if counter % 25 == 0 {
            assert!(host.reconfigure(CONFIGURATION).unwrap());
        }
        host.answer_stream(open, &Response::ok()).unwrap();
        host.finish(open).unwrap();
        // Only what the filter keeps is of interest.
        judge.reports.clear();
        judge.samples.clear();
        sizes.push(host.memory_bytes());
    }
    assert_eq!(judge.refusals, [""; 0]);
    assert_eq!(host.open_streams(), 0);
    let page = 64 * 1024;
    let (half, end) = (sizes[sizes.len() / 2], sizes[sizes.len() - 1]);
    println!(
        "{} pages at first, {} at half, {} at the end",
        sizes[0] / page,
        half / page,
        end / page
    );
    // The allocator's gaps may take a page more at any time, and never another one.
    assert!(
        end <= half + page,
        "memory grows, in pages: {:?}",
        sizes.iter().map(|size| size / page).collect::<Vec<_>>()
    );
}
