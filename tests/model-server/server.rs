//! What all routes share: the model, the faults, the ledger.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::json;

use serinus_judge::inference::{MAX_BODY_BYTES, Model, OpenInference};

use crate::faults::{Fate, Faults};
use crate::ledger::{Ledger, Outcome};
use crate::{lab, open_inference};
use serinus_tests::random::Random;

/// What a server is started with.
pub struct Config {
    pub model: Arc<dyn Model>,
    pub name: String,
    pub version: String,
    pub unit_header: HeaderName,
    pub faults: Faults,
    pub seed: u64,
}

/// A server; clones are the same server.
#[derive(Clone)]
pub struct Server(Arc<Shared>);

struct Shared {
    config: Config,
    protocol: OpenInference,
    state: Mutex<State>,
}

/// What changes while the server runs.
pub struct State {
    pub faults: Faults,
    pub ledger: Ledger,
    random: Random,
}

/// An error as the protocol says it: a status with `{"error": "..."}`.
pub struct Problem(pub StatusCode, pub String);

// === impl Server ===

impl Server {
    /// Refuses faults that are out of range, and a model without labels.
    pub fn new(config: Config) -> Result<Self, String> {
        config.faults.check(config.model.input_len())?;
        if config.model.labels().is_none() {
            return Err("output.kind is `values`, but this server answers with labels and needs `probabilities`".to_owned());
        }
        let state = State {
            faults: config.faults,
            ledger: Ledger::new(),
            random: Random::new(config.seed),
        };
        let protocol = OpenInference::for_model(config.model.as_ref());
        Ok(Self(Arc::new(Shared {
            config,
            protocol,
            state: Mutex::new(state),
        })))
    }

    pub fn router(self) -> Router {
        Router::new()
            .merge(open_inference::router())
            .merge(lab::router())
            .fallback(|| async {
                Problem(
                    StatusCode::NOT_FOUND,
                    "there is nothing at this path".to_owned(),
                )
            })
            .method_not_allowed_fallback(|| async {
                Problem(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "this path takes another method".to_owned(),
                )
            })
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .with_state(self)
    }

    pub fn config(&self) -> &Config {
        &self.0.config
    }

    pub fn protocol(&self) -> &OpenInference {
        &self.0.protocol
    }

    /// Never held across an await. A panic elsewhere leaves nothing half-written.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request and decides what happens to it.
    pub fn arrived(&self, unit: Option<&str>) -> Fate {
        let State {
            faults,
            ledger,
            random,
        } = &mut *self.state();
        ledger.arrived(unit);
        faults.decide(random)
    }

    /// Counts how a request ended.
    pub fn answered(&self, unit: Option<&str>, outcome: Outcome) {
        self.state().ledger.answered(unit, outcome);
    }
}

// === impl Problem ===

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self(status, reason) = self;
        (status, Json(json!({"error": reason}))).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Fault;
    use reqwest::Client;
    use serde_json::Value;
    use std::path::Path;
    use std::time::{Duration, Instant};

    const MODELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models");
    const NO_FAULTS: Faults = Faults {
        error_rate: 0.0,
        latency_ms: 0.0,
        latency_spread: 0.0,
        fault: Fault::None,
    };

    /// A running server and a client for it.
    struct Running {
        url: String,
        client: Client,
    }

    impl Running {
        async fn start(name: &str, faults: Faults) -> Self {
            let server = Server::new(Config {
                model: serinus_judge::inference::load(
                    &Path::new(MODELS).join(format!("{name}.json")),
                )
                .unwrap(),
                name: "digits".to_owned(),
                version: "v1".to_owned(),
                unit_header: HeaderName::from_static("x-user-id"),
                faults,
                seed: 1,
            })
            .unwrap();
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            tokio::spawn(async move { axum::serve(listener, server.router()).await });
            Self {
                url,
                client: Client::builder().no_proxy().build().unwrap(),
            }
        }

        async fn get(&self, path: &str) -> (u16, Value) {
            answer(self.client.get(format!("{}{path}", self.url))).await
        }

        async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
            answer(
                self.client
                    .post(format!("{}{path}", self.url))
                    .body(body.to_string()),
            )
            .await
        }

        async fn infer(&self, unit: &str, rows: &[Vec<f32>]) -> (u16, Value) {
            let url = format!("{}/v2/models/digits/infer", self.url);
            answer(
                self.client
                    .post(url)
                    .header("x-user-id", unit)
                    .body(request(rows).to_string()),
            )
            .await
        }
    }

    async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let body = response.bytes().await.unwrap();
        (
            status,
            if body.is_empty() {
                Value::Null
            } else {
                serde_json::from_slice(&body).unwrap()
            },
        )
    }

    fn request(rows: &[Vec<f32>]) -> Value {
        json!({"id": "r1", "inputs": [{"name": "image", "shape": [rows.len(), 64], "datatype": "FP32", "data": rows}]})
    }

    /// The inputs of expected.json and scikit-learn's probabilities for one model.
    fn expected(name: &str) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
        let text = std::fs::read(Path::new(MODELS).join("expected.json")).unwrap();
        let file: Value = serde_json::from_slice(&text).unwrap();
        let read = |value: &Value| serde_json::from_value(value.clone()).unwrap();
        (read(&file["inputs"]), read(&file["probabilities"][name]))
    }

    fn probabilities(answer: &Value) -> Vec<f32> {
        serde_json::from_value(answer["outputs"][1]["data"].clone()).unwrap()
    }

    /// Source: scikit-learn 1.9.1 by tests/models/train.py; tolerance 1e-5, as in serinus-judge.
    #[tokio::test]
    async fn answers_are_those_of_scikit_learn() {
        for name in ["digits-v1", "digits-v2"] {
            let running = Running::start(name, NO_FAULTS).await;
            let (inputs, expected) = expected(name);
            let (status, answer) = running.infer("a", &inputs).await;
            assert_eq!(status, 200, "{answer}");
            assert_eq!(
                (
                    &answer["model_name"],
                    &answer["model_version"],
                    &answer["id"]
                ),
                (&json!("digits"), &json!("v1"), &json!("r1"))
            );
            assert_eq!(answer["outputs"][0]["name"], "label");
            assert_eq!(answer["outputs"][0]["shape"], json!([inputs.len()]));
            assert_eq!(answer["outputs"][1]["shape"], json!([inputs.len(), 10]));
            for (found, right) in probabilities(&answer).iter().zip(expected.concat()) {
                assert!((found - right).abs() <= 1e-5, "{found} is not {right}");
            }
        }
    }

    #[tokio::test]
    async fn the_protocol_is_complete() {
        let running = Running::start("digits-v1", NO_FAULTS).await;
        assert_eq!(running.get("/v2").await.1["name"], "serinus-model-server");
        assert_eq!(
            running.get("/v2/health/live").await,
            (200, json!({"live": true}))
        );
        assert_eq!(
            running.get("/v2/health/ready").await,
            (200, json!({"ready": true}))
        );
        let metadata = running.get("/v2/models/digits").await;
        assert_eq!(
            (metadata.0, &metadata.1["inputs"][0]["shape"]),
            (200, &json!([-1, 64]))
        );
        assert_eq!(running.get("/v2/models/digits/ready").await.0, 200);
        assert_eq!(
            running.get("/v2/models/digits/versions/v1/ready").await.0,
            200
        );
        let body = request(&[vec![0.0; 64]]);
        assert_eq!(
            running
                .post("/v2/models/digits/versions/v1/infer", &body)
                .await
                .0,
            200
        );
    }

    #[tokio::test]
    async fn mistakes_are_answered_in_words() {
        let running = Running::start("digits-v1", NO_FAULTS).await;
        let good = request(&[vec![0.0; 64]]);
        let cases = [
            (
                running.post("/v2/models/digits/infer", &json!({})).await,
                400,
                "missing field `inputs`",
            ),
            (
                running
                    .post("/v2/models/digits/infer", &request(&[vec![0.0; 63]]))
                    .await,
                400,
                "has shape [1, 64], but its data has [1, 63]",
            ),
            (
                running.post("/v2/models/other/infer", &good).await,
                404,
                "model `other` is not served here, only `digits`",
            ),
            (
                running
                    .post("/v2/models/digits/versions/v9/infer", &good)
                    .await,
                404,
                "version `v9` is not served here, only `v1`",
            ),
            (running.get("/v2/models/other").await, 404, "model `other`"),
            (running.get("/nothing").await, 404, "nothing at this path"),
            (
                running.get("/v2/models/digits/infer").await,
                405,
                "another method",
            ),
            (
                running
                    .post("/lab/faults", &json!({"eror_rate": 0.1}))
                    .await,
                400,
                "unknown field `eror_rate`",
            ),
            (
                running.post("/lab/faults", &json!({"error_rate": 2})).await,
                400,
                "error_rate is 2, but must be between 0 and 1",
            ),
        ];
        for ((status, answer), expected_status, expected) in cases {
            let error = answer["error"].as_str().unwrap();
            assert_eq!(status, expected_status, "{error}");
            assert!(
                error.contains(expected),
                "expected `{expected}`, found `{error}`"
            );
        }
        let too_large = running
            .client
            .post(format!("{}/v2/models/digits/infer", running.url))
            .body(vec![b' '; MAX_BODY_BYTES + 1]);
        assert_eq!(answer(too_large).await.0, 413);
        assert_eq!(
            running.get("/lab/counts").await.1,
            json!({"requests": 3, "ok": 0, "errors": 0, "refused": 3, "units": 0})
        );
    }

    #[tokio::test]
    async fn users_and_errors_are_counted() {
        let running = Running::start("digits-v1", NO_FAULTS).await;
        let image = [vec![0.0; 64]];
        running.infer("a", &image).await;
        let (status, faults) = running.post("/lab/faults", &json!({"error_rate": 1})).await;
        assert_eq!(
            (status, &faults["error_rate"], &faults["fault"]),
            (200, &json!(1.0), &json!("none"))
        );
        let (status, answer) = running.infer("b", &image).await;
        assert!(status == 500 || status == 503, "{status}");
        assert_eq!(answer["error"], "the model server fails on purpose");
        running.post("/lab/faults", &json!({"error_rate": 0})).await;
        running.infer("b", &image).await;

        let counts = running.get("/lab/counts").await.1;
        assert_eq!(
            counts,
            json!({"requests": 3, "ok": 2, "errors": 1, "refused": 0, "units": 2})
        );
        let units = running.get("/lab/units").await.1;
        assert_eq!(
            (&units["a"]["requests"], &units["b"]["requests"]),
            (&json!(1), &json!(2))
        );
        assert_eq!(units["a"].get("first_error_ms"), None);
        let error_ms = units["b"]["first_error_ms"].as_u64().unwrap();
        assert!(
            units["b"]["first_ms"].as_u64().unwrap() <= error_ms
                && error_ms <= units["b"]["last_ms"].as_u64().unwrap()
        );

        assert_eq!(running.post("/lab/reset", &Value::Null).await.0, 204);
        assert_eq!(running.get("/lab/counts").await.1["requests"], 0);
    }

    #[tokio::test]
    async fn wrong_preprocessing_answers_200_and_wrong() {
        let running = Running::start("digits-v2", NO_FAULTS).await;
        let (inputs, _) = expected("digits-v2");
        let right = running.infer("a", &inputs).await.1;
        let mut agreeing = Vec::new();
        for fault in ["wrong-preprocessing", "unscaled-pixels"] {
            running.post("/lab/faults", &json!({"fault": fault})).await;
            let (status, wrong) = running.infer("a", &inputs).await;
            assert_eq!(status, 200);
            let difference = probabilities(&right)
                .iter()
                .zip(probabilities(&wrong))
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            assert!(
                difference > 0.1,
                "{fault} changes no probability by more than {difference}"
            );
            let labels = |answer: &Value| answer["outputs"][0]["data"].as_array().unwrap().clone();
            agreeing.push(
                labels(&right)
                    .iter()
                    .zip(labels(&wrong))
                    .filter(|(a, b)| **a == *b)
                    .count(),
            );
        }
        // One fault is loud and one is quiet: that is what they are for.
        assert!(agreeing[0] < inputs.len() / 2, "{agreeing:?}");
        assert!(agreeing[1] > inputs.len() * 9 / 10, "{agreeing:?}");
    }

    #[tokio::test]
    async fn latency_is_added() {
        let running = Running::start(
            "digits-v1",
            Faults {
                latency_ms: 30.0,
                ..NO_FAULTS
            },
        )
        .await;
        let start = Instant::now();
        running.infer("a", &[vec![0.0; 64]]).await;
        assert!(start.elapsed() >= Duration::from_millis(30));
    }
}
