//! Where a unit may come from, and who may pick an arm.

use crate::world::LIMIT;
use crate::world::{arm_of, ask_at, canary_after, keys, settled, steady, turn};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use serinus_tests::lab::{CANARY, CONTROL, Lab, Settings};
use serinus_tests::load::{Arm, MODEL, request_body};
use serinus_tests::wait;

#[tokio::test(flavor = "multi_thread")]
async fn units_come_from_cookies_queries_and_claims_and_testers_by_token() {
    let _turn = turn().await;
    let lab = Lab::start(&Settings::default()).await.unwrap();
    let mut spec = steady("sources");
    spec["match"] = json!({
        "path_regex": "/v2/models/[a-z]+/infer", "methods": ["POST"],
        "when": [{"header": "x-tier", "regex": "gold|platinum"}],
    });
    spec["unit"] = json!([{"cookie": "uid"}, {"query": "uid"}, {"jwt_claim": "sub"}]);
    spec["steps"] = json!([{"weights": {CANARY: 50}}]);
    // The SHA-256 of "abc" (FIPS 180-4, its example).
    spec["overrides"] = json!({"tokens": [{"arm": CANARY,
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}]});
    lab.judge.create(&spec).await.unwrap();
    settled(&lab).await.unwrap();
    let allocation = canary_after(&[50]);
    let of = |arm: Arm| {
        let mut keys = keys(100).into_iter();
        keys.find(|key| arm_of(&allocation, key, "sources") == arm)
            .unwrap()
    };
    let (canary, control) = (of(Arm::Canary), of(Arm::Control));
    let bearer = |key: &str| {
        let payload = URL_SAFE_NO_PAD.encode(json!({"sub": key}).to_string());
        format!("Bearer e30.{payload}.unverified")
    };
    let cookie = |key: &str| format!("theme=dark; uid={key}");
    let gold = ("x-tier", "gold");
    for (path, headers, arm, why) in [
        (
            "",
            vec![gold, ("cookie", &*cookie(&canary))],
            Arm::Canary,
            "cookie",
        ),
        (&*format!("?uid={canary}"), vec![gold], Arm::Canary, "query"),
        (
            "",
            vec![gold, ("authorization", &*bearer(&canary))],
            Arm::Canary,
            "claim",
        ),
        (
            &*format!("?uid={canary}"),
            vec![gold, ("cookie", &*cookie(&control))],
            Arm::Control,
            "the cookie comes first",
        ),
        (
            "",
            vec![
                gold,
                ("authorization", "Bearer e30.%%%.x"),
                ("cookie", "uid; =;;"),
            ],
            Arm::Control,
            "nothing that can be read",
        ),
        (
            "",
            vec![("x-tier", "silver"), ("cookie", &*cookie(&canary))],
            Arm::Control,
            "no match",
        ),
        (
            "",
            vec![
                gold,
                ("cookie", &*cookie(&control)),
                ("x-serinus-override", "abc"),
            ],
            Arm::Canary,
            "a tester's token",
        ),
        (
            "",
            vec![
                gold,
                ("cookie", &*cookie(&control)),
                ("x-serinus-override", "abd"),
            ],
            Arm::Control,
            "a wrong token",
        ),
    ] {
        let answered = ask_at(&lab, path, &headers).await.unwrap();
        assert_eq!(answered, arm, "{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_is_issued_and_counts_once_it_is_presented() {
    let _turn = turn().await;
    let lab = Lab::start(&Settings::default()).await.unwrap();
    let mut spec = steady("cookies");
    spec["unit"] = json!([{"issue_cookie": {"name": "uid", "max_age_seconds": 60}}]);
    spec["steps"] = json!([{"weights": {CANARY: 50}}]);
    lab.judge.create(&spec).await.unwrap();
    settled(&lab).await.unwrap();
    let allocation = canary_after(&[50]);
    let http = reqwest::Client::new();
    let url = format!("{}/v2/models/{MODEL}/infer", lab.envoy.address());
    let send = async |cookie: Option<&str>| {
        let mut request = http.post(&url).body(request_body(&lab.images[0]));
        if let Some(cookie) = cookie {
            request = request.header("cookie", cookie);
        }
        let response = request.send().await.unwrap();
        let given = response.headers().get("set-cookie");
        let given = given.map(|value| value.to_str().unwrap().to_owned());
        let body: serde_json::Value = response.json().await.unwrap();
        (given, body["model_version"].as_str().unwrap().to_owned())
    };
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let (given, version) = send(None).await;
        let given = given.unwrap();
        assert!(
            given.ends_with("; Path=/; Max-Age=60; SameSite=Lax; HttpOnly"),
            "{given}"
        );
        let cookie = given.split(';').next().unwrap();
        let value = cookie.strip_prefix("uid=").unwrap();
        assert!(seen.insert(value.to_owned()), "issued twice");
        let expected = match arm_of(&allocation, value, "cookies") {
            Arm::Control => "v1",
            Arm::Canary => "v2",
        };
        assert_eq!(version, expected);
        assert_eq!(
            send(Some(cookie)).await,
            (None, version),
            "who has one gets none"
        );
    }
    wait::until("the reports", LIMIT, async || {
        let status = lab.judge.status("cookies").await?;
        let counted = [CONTROL, CANARY].map(|arm| status.traffic_of(arm).exposures);
        Ok((counted.iter().sum::<u64>() == 20).then_some(()))
    })
    .await
    .unwrap();
}
