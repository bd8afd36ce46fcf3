//! What models answer, beside errors and latency: differences before anybody is moved,
//! outcomes that are told later, requests that both versions answer, other protocols.

mod outcomes;
mod pairs;
mod protocols;
mod remembered;
mod slow_model;

use crate::world::{LIMIT, ask, keys};
use reqwest::Method;
use serde_json::{Value, json};
use serinus_tests::judge::Judge;
use serinus_tests::judge::status::{Phase, Status};
use serinus_tests::lab::{CANARY, CANARY_MODEL, CONTROL, CONTROL_MODEL, Lab};
use serinus_tests::load::USER_HEADER;
use serinus_tests::wait;

fn with_models(mut spec: Value) -> Value {
    spec["arms"] = json!([
        {"name": CONTROL, "model": CONTROL_MODEL},
        {"name": CANARY, "model": CANARY_MODEL},
    ]);
    spec["minimum"] = json!({"seconds": 1, "exposures": 50});
    spec["sampling"] = json!({"share": 1.0, "per_second": 1_000});
    spec
}

async fn answers(judge: &Judge, id: &str) -> Value {
    let path = format!("/v1/rollouts/{id}/answers");
    let reply = judge.call(Method::GET, &path, None).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body
}

async fn reached(judge: &Judge, id: &str, phase: Phase) -> Status {
    wait::until(&format!("{id} to be {phase:?}"), LIMIT, async || {
        let status = judge.status(id).await?;
        Ok((status.phase == phase).then_some(status))
    })
    .await
    .unwrap()
}

/// Requests of these users, one each, until the rollout is in the phase.
async fn ask_until(lab: &Lab, id: &str, phase: Phase) -> Status {
    for round in 0.. {
        for key in keys(200) {
            let key = format!("{key}-{round}");
            ask(lab, &[(USER_HEADER, &key)]).await.unwrap();
        }
        let status = lab.judge.status(id).await.unwrap();
        if status.phase == phase || round > 20 {
            return reached(&lab.judge, id, phase).await;
        }
    }
    panic!("rounds have no end")
}

fn reasons(status: &Status) -> String {
    let evaluation = status.evaluation.as_ref().unwrap();
    evaluation.reasons.join(" ")
}

/// A judge without Envoy.
async fn judge() -> Judge {
    let folder = tempfile::tempdir().unwrap().keep();
    let mut judge = Judge::new(&folder).unwrap();
    judge.start().await.unwrap();
    judge
}
