//! What people do to rollouts holds on every side: API, disk and Envoy.

use crate::world::{LIMIT, ask, ask_at, keys, settled, steady, turn};
use reqwest::Method;
use serde_json::json;
use serinus_tests::artefacts;
use serinus_tests::judge::status::Phase;
use serinus_tests::lab::{CANARY, CONTROL, Lab, Settings};
use serinus_tests::load::{Arm, USER_HEADER};
use serinus_tests::wait;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

/// Sends a deed and hangs up after a moment, without waiting for the answer.
fn hang_up(lab: &Lab, path: &str, after: Duration) {
    let mut stream = TcpStream::connect(("127.0.0.1", lab.judge.port())).unwrap();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: judge\r\ncontent-length: 0\r\n\r\n"
    )
    .unwrap();
    stream.set_read_timeout(Some(after)).unwrap();
    let _ = stream.read(&mut [0; 1]);
}

/// Each hangs up at another moment of the deed: what was not begun is not done, and
/// what was begun is done on every side.
#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_leaves_no_deed_half_done() {
    const ROLLOUTS: u64 = 40;
    let _turn = turn().await;
    let mut lab = Lab::start(&Settings::default()).await.unwrap();
    let ids: Vec<String> = (0..ROLLOUTS).map(|number| format!("r{number}")).collect();
    for (id, number) in ids.iter().zip(0..) {
        let mut spec = steady(id);
        spec["match"] = json!({"path_prefix": format!("/{id}/")});
        lab.judge.create(&spec).await.unwrap();
        let path = format!("/v1/rollouts/{id}/abort");
        hang_up(&lab, &path, Duration::from_micros(100 * (number + 1)));
    }
    let phases = async |lab: &Lab| {
        let mut phases = Vec::new();
        for id in &ids {
            phases.push(lab.judge.status(id).await.unwrap().phase);
        }
        phases
    };
    let plan = async |lab: &Lab| {
        let reply = lab.judge.call(Method::GET, "/v1/plan", None).await;
        reply.unwrap().body
    };
    // The last deed may still be under way: one after it is done once that is.
    let mut last = steady("last");
    last["match"] = json!({"path_prefix": "/last/"});
    lab.judge.create(&last).await.unwrap();
    let before = wait::until("all deeds to be done", LIMIT, async || {
        let (first, second) = (phases(&lab).await, phases(&lab).await);
        Ok((first == second).then_some(first))
    })
    .await
    .unwrap();
    let aborted = before.iter().filter(|phase| **phase == Phase::Aborted);
    assert!(aborted.count() > 0, "{before:?}");
    let planned = plan(&lab).await;
    for (rollout, phase) in planned["rollouts"].as_array().unwrap().iter().zip(&before) {
        let ranges = rollout["allocation"].as_array().unwrap().len();
        let expected = if *phase == Phase::Aborted { 1 } else { 2 };
        assert_eq!(ranges, expected, "{rollout} {phase:?}");
    }
    lab.judge.kill().await.unwrap();
    lab.judge.start().await.unwrap();
    assert_eq!(phases(&lab).await, before, "the disk knows the same");
    assert_eq!(plan(&lab).await["rollouts"], planned["rollouts"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_of_the_same_id_inherits_nothing() {
    let _turn = turn().await;
    let lab = Lab::start(&Settings::default()).await.unwrap();
    lab.judge.create(&steady("again")).await.unwrap();
    settled(&lab).await.unwrap();
    lab.canary
        .set_faults(&json!({"error_rate": 0.5}))
        .await
        .unwrap();
    // Fewer than the judge or a breaker would act on, and not reported yet.
    for key in keys(30) {
        let _ = ask(&lab, &[(USER_HEADER, &key)]).await;
    }
    lab.judge.act("again", "abort", "anew").await.unwrap();
    let path = "/v1/rollouts/again";
    let deleted = lab.judge.call(Method::DELETE, path, None).await.unwrap();
    assert_eq!(deleted.status, 204);
    lab.judge.create(&steady("again")).await.unwrap();
    settled(&lab).await.unwrap();
    // Old reports arrive before a new one of the same worker does.
    lab.canary
        .set_faults(&json!({"error_rate": 0.0}))
        .await
        .unwrap();
    for key in keys(40) {
        ask(&lab, &[(USER_HEADER, &key)]).await.unwrap();
    }
    wait::until("40 requests in the books", LIMIT, async || {
        let status = lab.judge.status("again").await?;
        let counted: Vec<(u64, u64)> = [CONTROL, CANARY]
            .map(|arm| status.traffic_of(arm))
            .map(|traffic| (traffic.exposures, traffic.errors))
            .to_vec();
        let exposures: u64 = counted.iter().map(|arm| arm.0).sum();
        if exposures > 40 || counted.iter().any(|arm| arm.1 > 0) {
            return Err(format!("counted what was before: {counted:?}").into());
        }
        Ok((exposures == 40).then_some(()))
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_is_for_one_judge_and_one_match_for_one_rollout() {
    let _turn = turn().await;
    let lab = Lab::start(&Settings::default()).await.unwrap();
    let second = Command::new(artefacts::program("serinus").unwrap())
        .args(["serve", "--listen", "127.0.0.1:0", "--store"])
        .arg(lab.folder().join("judge.sqlite"))
        .output()
        .unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("another judge has it open"), "{said}");

    lab.judge.create(&steady("first")).await.unwrap();
    let again = steady("second").to_string();
    let refused = lab
        .judge
        .call(Method::POST, "/v1/rollouts", Some(&again))
        .await
        .unwrap();
    assert_eq!(refused.status, 409);
    assert!(
        refused.body["detail"].as_str().unwrap().contains("`first`"),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_path_goes_past_its_rollout_and_workers_have_names() {
    let _turn = turn().await;
    let lab = Lab::start(&Settings::default()).await.unwrap();
    let mut spec = steady("paths");
    spec["steps"] = json!([{"weights": {CANARY: 50}}]);
    lab.judge.create(&spec).await.unwrap();
    settled(&lab).await.unwrap();
    let users = keys(100);
    let mut canary = None;
    for key in &users {
        if ask(&lab, &[(USER_HEADER, key)]).await.unwrap() == Arm::Canary {
            canary = Some(key);
            break;
        }
    }
    let headers = [(USER_HEADER, canary.unwrap().as_str())];
    assert_eq!(ask_at(&lab, "?x=1", &headers).await.unwrap(), Arm::Canary);
    for path in [
        "/v2/models/%64igits/infer",
        "/v2//models/digits/infer",
        "/v2/models/other/../digits/infer",
        "/v2/./models/digits/infer",
    ] {
        let answer = raw(&lab, path, headers[0].1);
        assert!(
            answer.contains("\"model_version\":\"v2\""),
            "{path}: {answer}"
        );
    }
    let workers = lab
        .judge
        .call(Method::GET, "/v1/workers", None)
        .await
        .unwrap();
    for worker in workers.body.as_array().unwrap() {
        assert_eq!(worker["node"], "envoy-1", "{worker}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_arm_is_held_and_the_judge_says_why() {
    let _turn = turn().await;
    let lab = Lab::start(&Settings::default()).await.unwrap();
    let mut spec = steady("misspelt");
    spec["arms"] = json!([{"name": CONTROL}, {"name": "canry"}]);
    spec["minimum"] = json!({"seconds": 1, "exposures": 50});
    spec["steps"] = json!([{"weights": {"canry": 50}}, {"weights": {"canry": 100}}]);
    lab.judge.create(&spec).await.unwrap();
    settled(&lab).await.unwrap();
    let load = lab.load(300, 3_000).unwrap();
    wait::until("the judge to say why it holds", LIMIT, async || {
        let status = lab.judge.status("misspelt").await?;
        assert_eq!((status.phase, status.step), (Phase::Running, 0));
        let evaluation = status.evaluation.filter(|_| load.count() > 0);
        let said = evaluation.is_some_and(|evaluation| {
            let missing =
                |reason: &String| reason.contains("both served by Envoy's cluster `control`");
            evaluation.reasons.iter().any(missing)
        });
        Ok(said.then_some(()))
    })
    .await
    .unwrap();
}

/// A request with the path as it is: HTTP clients tidy it up.
fn raw(lab: &Lab, path: &str, user: &str) -> String {
    let address = lab.envoy.address().trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    let body = serinus_tests::load::request_body(&lab.images[0]);
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: models\r\nconnection: close\r\n{USER_HEADER}: {user}\r\ncontent-length: {length}\r\n\r\n"
    )
    .unwrap();
    stream.write_all(&body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
