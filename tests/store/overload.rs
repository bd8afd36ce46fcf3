//! More than the store takes: samples are shed first, then workers are asked to wait with
//! their reports, and each report is counted in the end, once.

use crate::trouble::{ID, LIMIT, created};
use axum::body::Bytes;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use serinus_tests::failure::{During, Result};
use serinus_tests::judge::Judge;
use serinus_tests::lab::{CANARY, CONTROL};
use serinus_tests::postgres::Postgres;
use serinus_tests::wait;
use tokio::task::{LocalSet, spawn_local};

/// Of half a megabyte each: together they are more than the judge lets wait.
const WORKERS: u64 = 64;

const UNITS: u64 = 40_000;

fn report(number: u64, epoch: u64) -> Bytes {
    let first = number * UNITS;
    let units: Vec<Value> = (first..first + UNITS)
        .map(|unit| json!([unit, 0]))
        .collect();
    let report = json!({
        "version": 1, "session": format!("{number:032x}"), "sequence": 1, "revision": null,
        "rollouts": [{"rollout": ID, "epoch": epoch, "new_units": units, "arms": [
            {"arm": CONTROL, "slots": [[3, 1, 1, 0, 900, []]]}, {"arm": CANARY, "slots": []},
        ]}],
    });
    Bytes::from(report.to_string())
}

/// How often a worker was asked to wait because the judge is busy.
async fn send_until_counted(url: String, body: Bytes) -> Result<u64> {
    let http = reqwest::Client::new();
    let mut busy = 0;
    wait::until("a report to be counted", LIMIT, async || {
        let answer = http.post(&url).body(body.clone()).send().await;
        let answer = answer.during("send a report")?;
        let wait = answer.headers().contains_key("retry-after");
        match answer.status() {
            StatusCode::OK => Ok(Some(())),
            StatusCode::TOO_MANY_REQUESTS if wait => {
                busy += 1;
                Ok(None)
            }
            // The store was asked, and did not answer in time.
            StatusCode::SERVICE_UNAVAILABLE if wait => Ok(None),
            other => Err(format!("{other}: {}", answer.text().await?).into()),
        }
    })
    .await?;
    Ok(busy)
}

async fn counter(judge: &Judge, name: &str) -> Result<u64> {
    let counters = judge.call(Method::GET, "/v1/counters", None).await?.body;
    let count = counters[name].as_u64();
    count.ok_or_else(|| format!("no {name} in {counters}").into())
}

#[tokio::test]
async fn samples_are_shed_then_reports_are_slowed_and_no_sum_is_lost() {
    LocalSet::new().run_until(overload()).await;
}

async fn overload() {
    let server = Postgres::start(&[]).await.unwrap();
    let database = server.database().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut judge = Judge::new(folder.path()).unwrap();
    judge.store(&database.url());
    judge.start().await.unwrap();
    created(&judge).await.unwrap();
    let plan = judge.call(Method::GET, "/v1/plan", None).await.unwrap();
    let epoch = plan.body["rollouts"][0]["epoch"].as_u64().unwrap();

    // The store lets a judge wait for three seconds: all is sent within them.
    let reports: Vec<_> = (1..=WORKERS).map(|number| report(number, epoch)).collect();
    // It can be read, so the judge goes on; nothing can be written to it.
    let lock = "LOCK TABLE sums IN EXCLUSIVE MODE";
    let held = server.hold(&database, lock).await.unwrap();
    let workers: Vec<_> = reports
        .into_iter()
        .map(|report| {
            let url = format!("{}/v1/reports", judge.address());
            spawn_local(send_until_counted(url, report))
        })
        .collect();
    let sample = json!({"version": 1, "session": "5e".repeat(16), "samples": [{"rollout": ID,
        "epoch": epoch, "arm": CANARY, "unit": 7, "request": "e30=", "response": "e30="}]});
    let body = sample.to_string();
    wait::until("a sample to be shed", LIMIT, async || {
        let answer = judge.call(Method::POST, "/v1/samples", Some(&body)).await?;
        Ok((answer.status == 429).then_some(()))
    })
    .await
    .unwrap();
    held.release().await.unwrap();

    let mut busy = 0;
    for worker in workers {
        busy += worker.await.unwrap().unwrap();
    }
    assert!(busy > 0, "nobody was asked to wait");
    assert!(counter(&judge, "samples_shed").await.unwrap() > 0);
    let status = judge.status(ID).await.unwrap();
    assert_eq!(status.traffic_of(CONTROL).exposures, WORKERS);
}
