//! Envoy asks again: a retry is for the same user, so it stays on the user's arm,
//! and the whole of it is one request in the books.

use crate::wire::echo::pattern;
use crate::wire::{Counts, Wire, options, spec, user};
use crate::world::turn;
use serde_json::json;
use serinus_tests::load::{Arm, USER_HEADER};

const ARMS: [Arm; 2] = [Arm::Control, Arm::Canary];

fn other(arm: Arm) -> Arm {
    match arm {
        Arm::Control => Arm::Canary,
        Arm::Canary => Arm::Control,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_stays_on_its_users_arm() {
    let _turn = turn().await;
    let wire = Wire::start(&options::RETRIES).await;
    for arm in ARMS {
        let (key, server) = (user(arm), wire.server(arm));
        let who = (USER_HEADER, key.as_str());
        let mut client = wire.http1().await;
        // The third attempt is good, and has the whole body again.
        server.fail_next(2);
        let body = pattern(100_000);
        let answer = client.ask("POST /", &[who], &body).await.unwrap();
        assert_eq!((answer.status, answer.arm()), (200, Some(arm)));
        assert!(answer.body == body);
        assert_eq!(server.take_seen().len(), 3);
        // No attempt is good.
        server.fail_next(3);
        let answer = client.ask("GET /", &[who], b"").await.unwrap();
        assert_eq!((answer.status, answer.arm()), (503, Some(arm)));
        assert_eq!(server.take_seen().len(), 3);
        // Nor is there an answer to any.
        let drop = [who, ("x-answer", "drop")];
        let answer = client.ask("GET /", &drop, b"").await.unwrap();
        assert_eq!((answer.status, answer.arm()), (503, None));
        assert_eq!(server.take_seen().len(), 3);
        assert_eq!(wire.server(other(arm)).count(), 0);
        let expected = Counts {
            exposures: 3,
            finished: 3,
            errors: 2,
            ..Counts::default()
        };
        wire.counted(arm, expected).await;
    }
    wire.unharmed().await;
}

/// The version failed once, though no user saw it.
#[tokio::test(flavor = "multi_thread")]
async fn a_retried_answer_is_an_error_where_the_rollout_says_so() {
    let _turn = turn().await;
    let mut spec = spec();
    spec["errors"] = json!({"statuses": ["5xx"], "retried": true});
    let wire = Wire::start_with(&spec, &options::RETRIES).await;
    for arm in ARMS {
        let (key, server) = (user(arm), wire.server(arm));
        let mut client = wire.http1().await;
        for (failures, attempts) in [(0, 1), (1, 2), (2, 3)] {
            server.fail_next(failures);
            let who = [(USER_HEADER, key.as_str())];
            let answer = client.ask("POST /", &who, b"body").await.unwrap();
            assert_eq!((answer.status, answer.arm()), (200, Some(arm)));
            assert_eq!(server.take_seen().len(), attempts);
        }
        let expected = Counts {
            exposures: 3,
            finished: 3,
            errors: 2,
            ..Counts::default()
        };
        wire.counted(arm, expected).await;
    }
    wire.unharmed().await;
}

/// As shipped: no route retries, and no client makes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_asks_for_retries_in_vain() {
    let _turn = turn().await;
    let wire = Wire::start(&[]).await;
    for arm in ARMS {
        let (key, server) = (user(arm), wire.server(arm));
        let headers = [
            (USER_HEADER, key.as_str()),
            ("x-envoy-retry-on", "5xx"),
            ("x-envoy-max-retries", "5"),
            ("x-envoy-upstream-alt-stat-name", "mine"),
            ("x-envoy-upstream-rq-timeout-ms", "1"),
        ];
        server.fail_next(1);
        let mut client = wire.http1().await;
        let answer = client.ask("GET /", &headers, b"").await.unwrap();
        assert_eq!((answer.status, answer.arm()), (503, Some(arm)));
        let seen = server.take_seen();
        assert_eq!(seen.len(), 1);
        for (name, _) in &headers[1..] {
            assert!(!seen[0].headers.contains_key(*name), "{name}");
        }
    }
    wire.unharmed().await;
}
