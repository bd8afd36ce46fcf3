//! Which arm a request gets.

use serde_json::json;
use serinus_core::bucket;

use crate::host::{Host, Request};
use crate::judge::{CONFIGURATION, control_and_canary, next, plan, worker};

fn of_user(unit: &str) -> Request {
    Request::get("/v2/models/digits/infer", &[("x-user-id", unit)])
}

#[test]
fn without_a_plan_requests_take_the_default_route() {
    let mut host = Host::new();
    assert!(host.start(CONFIGURATION).unwrap());
    let routed = host.request(&of_user("u")).unwrap();
    assert_eq!(routed.arm(), None);
    assert_eq!(routed.status(), Some(200));
    assert!(!routed.hung && routed.local_response.is_none());
    assert_eq!(host.complaints(), [""; 0]);
}

#[test]
fn what_a_client_sends_in_the_arm_header_is_removed_or_replaced() {
    let forged = [
        ("X-Serinus-Arm", "canary"),
        ("x-serinus-arm", "canary"),
        ("x-serinus-arm", "\u{fffd}"),
        ("x-user-id", "u"),
    ];
    let mut host = Host::new();
    assert!(host.start(CONFIGURATION).unwrap());
    let routed = host.request(&Request::get("/", &forged)).unwrap();
    assert_eq!(
        routed.upstream.unwrap().all("x-serinus-arm").len(),
        0,
        "no plan"
    );

    let (mut host, _) = worker(plan());
    let (control, _) = control_and_canary();
    let mut request = Request::get("/", &forged[..3]);
    request.headers.add(b"x-user-id", control.as_bytes());
    let routed = host.request(&request).unwrap();
    // Routes are matched again, or the header would come too late.
    assert!(routed.route_cache_clears > 0);
    assert_eq!(routed.upstream.unwrap().all("x-serinus-arm"), [b"control"]);

    let elsewhere = next(&plan(), "match", json!({"path_prefix": "/digits"}));
    let (mut host, _) = worker(elsewhere);
    let routed = host.request(&Request::get("/", &forged)).unwrap();
    assert_eq!(
        routed.upstream.unwrap().all("x-serinus-arm").len(),
        0,
        "no rollout matches"
    );
}

/// NOTE: frozen. These are the vectors that Optimizely publishes; core has the
/// same, and other languages reproduce assignments by them.
#[test]
fn golden_buckets() {
    for (unit, salt, bucket) in [
        ("ppid1", "1886780721", 5254),
        ("ppid2", "1886780721", 4299),
        ("ppid2", "1886780722", 2434),
        ("ppid3", "1886780721", 5439),
    ] {
        for (from, to, arm) in [
            (bucket, bucket + 1, "canary"),
            (0, bucket, "control"),
            (bucket + 1, 10_000, "control"),
        ] {
            let mut plan = next(&plan(), "salt", json!(salt));
            plan["rollouts"][0]["allocation"] = json!([{"from": from, "to": to, "arm": "canary"}]);
            let (mut host, _) = worker(plan);
            let routed = host.request(&of_user(unit)).unwrap();
            assert_eq!(
                routed.arm().as_deref(),
                Some(arm),
                "{unit} {salt} in {from}..{to}"
            );
        }
    }
}

#[test]
fn wasm_and_native_agree() {
    let (mut host, _) = worker(plan());
    for number in 0..2_000 {
        let unit = format!("{number:x}-{}", "é".repeat(number % 7));
        let native = bucket::place(unit.as_bytes(), "salt").bucket;
        let arm = if native < 5000 { "control" } else { "canary" };
        assert_eq!(
            host.request(&of_user(&unit)).unwrap().arm().as_deref(),
            Some(arm),
            "{unit}"
        );
    }
}

#[test]
fn whatever_is_not_assigned_gets_the_baseline_that_the_plan_names() {
    let mut plan = next(&plan(), "baseline", json!("canary"));
    plan["rollouts"][0]["allocation"] = json!([{"from": 0, "to": 1, "arm": "control"}]);
    let (mut host, mut judge) = worker(plan);
    let none: [(&str, &str); 0] = [];
    for request in [Request::get("/", &none), of_user(""), of_user("outside")] {
        assert_eq!(
            host.request(&request).unwrap().arm().as_deref(),
            Some("canary")
        );
    }
    judge.run(&mut host, std::time::Duration::from_secs(2));
    let fallbacks: u64 = judge
        .rollout("digits", 1)
        .iter()
        .flat_map(|rollout| rollout.fallbacks.values())
        .sum();
    assert_eq!(fallbacks, 3, "they are counted");
    assert_eq!(
        judge.sums(1, "canary").exposures,
        0,
        "and are in no verdict"
    );
}

#[test]
fn the_first_rollout_that_matches_decides() {
    let mut plan = next(
        &plan(),
        "match",
        json!({"path_prefix": "/a", "host": "Model.Test"}),
    );
    let mut second = plan["rollouts"][0].clone();
    second["id"] = json!("second");
    second["match"] = json!({"path_prefix": "/"});
    second["arms"] = json!(["old", "new"]);
    second["baseline"] = json!("old");
    second["allocation"] = json!([{"from": 0, "to": 10000, "arm": "new"}]);
    plan["rollouts"].as_array_mut().unwrap().push(second);
    let (mut host, _) = worker(plan);
    let (control, _) = control_and_canary();
    let user = [("x-user-id", control.as_str())];
    for (path, arm) in [("/a/b", "control"), ("/b", "new")] {
        assert_eq!(
            host.request(&Request::get(path, &user))
                .unwrap()
                .arm()
                .as_deref(),
            Some(arm)
        );
    }
}

#[test]
fn odd_requests_are_routed_and_never_trap() {
    let (mut host, _) = worker(next(
        &plan(),
        "match",
        json!({"path_prefix": "/", "host": "model.test"}),
    ));
    let raw: &[&[u8]] = &[
        b"",
        b"\xff\xfe",
        b"\x80",
        b" ",
        &[b'u'; 60_000],
        b"a\tb",
        "\u{202e}x".as_bytes(),
    ];
    for value in raw {
        for name in [
            "x-user-id",
            ":path",
            ":authority",
            ":method",
            "x-serinus-arm",
            "cookie",
            "x-request-id",
        ] {
            let mut request = of_user("u");
            request.headers.set(name.as_bytes(), value);
            let routed = host.request(&request).unwrap();
            assert_eq!(routed.status(), Some(200), "{name}: {value:?}");
            request.headers.remove(name.as_bytes());
            host.request(&request).unwrap();
            let mut request = of_user("u");
            request.response.headers.add(name.as_bytes(), value);
            host.request(&request).unwrap();
        }
    }
    // A request that Envoy rejected before it had headers.
    let rejected = host.stream();
    host.finish(rejected).unwrap();
    assert_eq!(host.open_streams(), 0);
}

#[test]
fn the_kill_switch_overrides_the_plan_and_is_lifted() {
    let (mut host, mut judge) = worker(plan());
    let (_, canary) = control_and_canary();
    assert_eq!(
        host.request(&of_user(&canary)).unwrap().arm().as_deref(),
        Some("canary")
    );
    let off = r#"{"judge": {"cluster": "judge"}, "disabled": true}"#;
    assert!(host.reconfigure(off).unwrap());
    let mut request = of_user(&canary);
    request.headers.add(b"x-serinus-arm", b"canary");
    assert_eq!(host.request(&request).unwrap().arm(), None);
    // No plan that comes meanwhile turns it on.
    judge.plan = Some(next(&plan(), "epoch", json!(2)));
    judge.run(&mut host, std::time::Duration::from_secs(1));
    assert_eq!(host.request(&request).unwrap().arm(), None);
    assert!(host.reconfigure(CONFIGURATION).unwrap());
    assert_eq!(
        host.request(&request).unwrap().arm().as_deref(),
        Some("canary")
    );
}

#[test]
fn a_ramp_moves_users_only_into_canary_and_a_rollback_only_out_of_it() {
    let steps = [1000u16, 2500, 7500, 10_000, 0];
    let users: Vec<String> = (0..300).map(|number| format!("user-{number}")).collect();
    let mut before: Vec<Option<String>> = vec![Some("control".to_owned()); users.len()];
    let mut document = plan();
    let (mut host, mut judge) = worker(document.clone());
    for (step, canary) in steps.into_iter().enumerate() {
        document = next(&document, "epoch", json!(step + 2));
        let ranges = [
            (0, 10_000 - canary, "control"),
            (10_000 - canary, 10_000, "canary"),
        ];
        let ranges = ranges.iter().filter(|(from, to, _)| from < to);
        document["rollouts"][0]["allocation"] = ranges
            .map(|(from, to, arm)| json!({"from": from, "to": to, "arm": arm}))
            .collect();
        judge.plan = Some(document.clone());
        judge.run(&mut host, std::time::Duration::from_millis(100));
        let now: Vec<Option<String>> = users
            .iter()
            .map(|user| host.request(&of_user(user)).unwrap().arm())
            .collect();
        for (was, is) in before.iter().zip(&now).filter(|(was, is)| was != is) {
            let into = if canary == 0 { "control" } else { "canary" };
            assert_eq!(is.as_deref(), Some(into), "step {step}: was {was:?}");
        }
        before = now;
    }
}
