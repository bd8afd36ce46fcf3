//! Other users, other keys, other weights: each user is where core says, and the
//! servers' own counts agree.

use crate::world::{LIMIT, arm_of, ask, canary_after, keys, settled, steady, turn};
use serde_json::json;
use serinus_tests::lab::{CANARY, Lab, Settings};
use serinus_tests::load::{Arm, USER_HEADER};
use serinus_tests::wait;
use std::collections::BTreeSet;

const USERS: u32 = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn shares_are_the_weights_and_users_are_where_core_says() {
    let _turn = turn().await;
    let lab = Lab::start(&Settings {
        latency_ms: 0.5,
        ..Settings::default()
    })
    .await
    .unwrap();
    for (salt, percent) in [("1886780721", 10u16), ("ünï", 50), ("b", 73)] {
        let mut spec = steady(&format!("share-{percent}"));
        spec["salt"] = json!(salt);
        spec["steps"] = json!([{"weights": {CANARY: percent}}]);
        lab.judge.create(&spec).await.unwrap();
        settled(&lab).await.unwrap();
        lab.control.reset().await.unwrap();
        lab.canary.reset().await.unwrap();

        let load = lab.load(800, USERS).unwrap();
        wait::until("4,000 answers", LIMIT, async || {
            Ok((load.count() >= 4_000).then_some(()))
        })
        .await
        .unwrap();
        load.stop();

        let outcomes = load.outcomes_from(0);
        let failed = outcomes
            .iter()
            .filter(|outcome| outcome.answer.is_our_fault());
        assert_eq!(failed.count(), 0);
        let allocation = canary_after(&[percent]);
        let belong = |arm: Arm| -> BTreeSet<String> {
            let of_arm = |key: &String| arm_of(&allocation, key, salt) == arm;
            keys(USERS).into_iter().filter(of_arm).collect()
        };
        for (server, arm) in [(&lab.control, Arm::Control), (&lab.canary, Arm::Canary)] {
            let seen: BTreeSet<String> = server.units().await.unwrap().into_keys().collect();
            assert!(
                seen.is_subset(&belong(arm)),
                "{salt}: {arm:?} had others' users"
            );
        }
        let control = lab.control.counts().await.unwrap().requests;
        let canary = lab.canary.counts().await.unwrap().requests;
        let n = (control + canary) as f64;
        let share = f64::from(percent) / 100.0;
        // Two draws add up: which users fall into the arm, and which of them send.
        // Five sd of both is a chance of 1e-6; the seeds are fixed besides.
        let sd = (share * (1.0 - share) * (1.0 / n + 1.0 / f64::from(USERS))).sqrt();
        let found = canary as f64 / n;
        assert!(
            (found - share).abs() < 5.0 * sd,
            "{salt}: {found}, and {share} was planned"
        );

        let id = format!("share-{percent}");
        lab.judge.act(&id, "abort", "next").await.unwrap();
        let path = format!("/v1/rollouts/{id}");
        let deleted = lab.judge.call(reqwest::Method::DELETE, &path, None).await;
        assert_eq!(deleted.unwrap().status, 204);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_asks_for_its_own_header_host_and_path() {
    let _turn = turn().await;
    let lab = Lab::start(&Settings::default()).await.unwrap();
    let mut spec = steady("cards");
    spec["match"] = json!({"host": "cards.example", "path_prefix": "/v2/"});
    spec["unit"] = json!([{"header": "X-Card-Id"}, {"header": USER_HEADER}]);
    spec["steps"] = json!([{"weights": {CANARY: 50}}]);
    lab.judge.create(&spec).await.unwrap();
    settled(&lab).await.unwrap();
    let allocation = canary_after(&[50]);
    let canary = keys(100)
        .into_iter()
        .find(|key| arm_of(&allocation, key, "cards") == Arm::Canary)
        .unwrap();
    let control = keys(100)
        .into_iter()
        .find(|key| arm_of(&allocation, key, "cards") == Arm::Control)
        .unwrap();
    let host = ("host", "Cards.Example:8443");
    let (canary, control) = (canary.as_str(), control.as_str());
    for (headers, arm, why) in [
        (
            vec![host, ("x-card-id", canary)],
            Arm::Canary,
            "the card's key",
        ),
        (
            vec![host, (USER_HEADER, canary)],
            Arm::Canary,
            "no card: the user's",
        ),
        (
            vec![host, ("x-card-id", control), (USER_HEADER, canary)],
            Arm::Control,
            "the card comes first",
        ),
        (vec![host], Arm::Control, "no key at all"),
        (vec![host, ("x-card-id", "")], Arm::Control, "an empty key"),
        (vec![("x-card-id", canary)], Arm::Control, "another host"),
        (
            vec![host, ("x-card-id", control), ("x-serinus-arm", CANARY)],
            Arm::Control,
            "a client picks no arm",
        ),
    ] {
        assert_eq!(ask(&lab, &headers).await.unwrap(), arm, "{why}");
    }
}
