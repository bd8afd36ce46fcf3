//! From a sample's arrival to its place in the statistics, at a rate that one core is to
//! take: read, answered by both arms' model files, compared and counted.

use crate::bench::{Bench, Kind};
use crate::cores::Cores;
use crate::http::Connection;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};
use serinus_tests::digits;
use serinus_tests::failure::Result;
use serinus_tests::lab::{CANARY, CANARY_MODEL, CONTROL, CONTROL_MODEL};
use serinus_tests::load::request_body;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

const PER_SECOND: u32 = 1_000;
/// Samples of a batch: a worker sends what came since its last.
const BATCH: u32 = 10;
const SECONDS: u32 = 20;

pub struct Found {
    pub per_second: f64,
    pub compared: u64,
    pub shed: u64,
    pub p50_us: u64,
    pub p99_us: u64,
}

pub async fn measure(cores: &Cores) -> Result<Found> {
    let bench = Bench::start(Kind::Sqlite, cores).await?;
    let spec = json!({
        "id": "sampled",
        "match": {"path_prefix": "/sampled/"},
        "unit": [{"header": "x-user-id"}],
        "arms": [
            {"name": CONTROL, "model": CONTROL_MODEL},
            {"name": CANARY, "model": CANARY_MODEL},
        ],
    });
    bench.judge.create(&spec).await?;
    let epoch = bench.epoch("sampled").await?;
    let images = digits::read()?;
    let requests: Vec<String> = images
        .iter()
        .map(|image| STANDARD.encode(request_body(image)))
        .collect();
    let outputs = json!({"model_name": "digits", "outputs": [
        {"name": "label", "shape": [1], "datatype": "INT64", "data": [3]},
    ]});
    let response = STANDARD.encode(outputs.to_string());
    let mut connection = Connection::open(bench.judge.port()).await?;
    let mut tick = tokio::time::interval(Duration::from_secs(1) * BATCH / PER_SECOND);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let start = std::time::Instant::now();
    let mut unit = 0u64;
    for _ in 0..PER_SECOND / BATCH * SECONDS {
        tick.tick().await;
        let samples: Vec<Value> = (0..BATCH)
            .map(|_| {
                unit += 1;
                let arm = if unit.is_multiple_of(10) {
                    CANARY
                } else {
                    CONTROL
                };
                json!({
                    "rollout": "sampled", "epoch": epoch, "arm": arm, "unit": unit,
                    "request": requests[unit as usize % requests.len()], "response": response,
                })
            })
            .collect();
        let batch = json!({"version": 1, "session": "0a".repeat(16), "samples": samples});
        let body = batch.to_string();
        let head = format!(
            "POST /v1/samples HTTP/1.1\r\nhost: judge\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let answer = connection
            .ask(&[head.as_bytes(), body.as_bytes()].concat())
            .await?;
        if answer.status != 200 {
            return Err(format!("samples were answered {}", answer.status).into());
        }
    }
    let elapsed = start.elapsed().as_secs_f64();
    let counters = bench.judge.call(Method::GET, "/v1/counters", None).await?;
    let number = |name: &str| {
        let found = counters.body[name].as_u64();
        found.ok_or_else(|| format!("the judge has no {name}"))
    };
    Ok(Found {
        per_second: f64::from(PER_SECOND * SECONDS) / elapsed,
        compared: number("samples_compared")?,
        shed: number("samples_shed")?,
        p50_us: number("sample_p50_us")?,
        p99_us: number("sample_p99_us")?,
    })
}
