//! The routes of the Open Inference Protocol, version 2.
//! <https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol>

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use serinus_judge::inference::LABEL_OUTPUT;

use crate::faults::Fault;
use crate::ledger::Outcome;
use crate::server::{Config, Problem, Server};

pub fn router() -> Router<Server> {
    Router::new()
        .route("/v2", get(server_metadata))
        .route(
            "/v2/health/live",
            get(|| async { Json(json!({"live": true})) }),
        )
        .route(
            "/v2/health/ready",
            get(|| async { Json(json!({"ready": true})) }),
        )
        .route("/v2/models/{name}", get(model_metadata))
        .route("/v2/models/{name}/ready", get(model_ready))
        .route("/v2/models/{name}/infer", post(infer))
        .route("/v2/models/{name}/versions/{version}", get(model_metadata))
        .route(
            "/v2/models/{name}/versions/{version}/ready",
            get(model_ready),
        )
        .route("/v2/models/{name}/versions/{version}/infer", post(infer))
}

/// The model that a path names and, where it names one, the version.
#[derive(Deserialize)]
struct Address {
    name: String,
    version: Option<String>,
}

/// An inference response: labels of shape [n], probabilities of shape [n, columns].
#[derive(Serialize)]
struct Answer<'a> {
    model_name: &'a str,
    model_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    outputs: (Output<'a, i64>, Output<'a, f32>),
}

#[derive(Serialize)]
struct Output<'a, T> {
    name: &'a str,
    datatype: &'static str,
    shape: Vec<usize>,
    data: Vec<T>,
}

async fn server_metadata() -> Json<Value> {
    Json(
        json!({"name": "serinus-model-server", "version": env!("CARGO_PKG_VERSION"), "extensions": []}),
    )
}

async fn model_metadata(
    State(server): State<Server>,
    Path(address): Path<Address>,
) -> Result<Json<Value>, Problem> {
    let Config {
        model,
        name,
        version,
        ..
    } = address.find(&server)?;
    let input = model.input();
    let mut shape = vec![-1];
    shape.extend(
        input
            .shape
            .iter()
            .map(|&size| i64::try_from(size).unwrap_or(-1)),
    );
    Ok(Json(json!({
        "name": name,
        "versions": [version],
        "platform": "candle_safetensors",
        "inputs": [{"name": input.name, "datatype": input.datatype, "shape": shape}],
        "outputs": [
            {"name": LABEL_OUTPUT, "datatype": "INT64", "shape": [-1]},
            {"name": model.output_name(), "datatype": "FP32", "shape": [-1, model.output_len()]},
        ],
    })))
}

async fn model_ready(
    State(server): State<Server>,
    Path(address): Path<Address>,
) -> Result<Json<Value>, Problem> {
    let config = address.find(&server)?;
    Ok(Json(json!({"name": config.name, "ready": true})))
}

async fn infer(
    State(server): State<Server>,
    Path(address): Path<Address>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let config = match address.find(&server) {
        Ok(config) => config,
        Err(problem) => return problem.into_response(),
    };
    let unit = headers
        .get(&config.unit_header)
        .and_then(|value| value.to_str().ok());
    let fate = server.arrived(unit);
    if !fate.latency.is_zero() {
        tokio::time::sleep(fate.latency).await;
    }
    let result = match (fate.failure, body) {
        (Some(status), _) => Err(Problem(
            status,
            "the model server fails on purpose".to_owned(),
        )),
        (None, Err(rejection)) => Err(Problem(rejection.status(), rejection.body_text())),
        (None, Ok(body)) => predict(&server, &body, fate.fault)
            .map_err(|reason| Problem(StatusCode::BAD_REQUEST, reason)),
    };
    let response = result.into_response();
    server.answered(unit, Outcome::of(response.status()));
    response
}

/// Runs the model on the runtime's own thread: a small network takes some tens of
/// microseconds, which is less than handing it to another thread.
fn predict(server: &Server, body: &[u8], fault: Fault) -> Result<Response, String> {
    let Config {
        model,
        name,
        version,
        ..
    } = server.config();
    let mut request = server
        .protocol()
        .parse_request(body)
        .map_err(|error| error.to_string())?;
    fault.distort(&mut request.rows);
    let rows = model
        .predict(&request.rows)
        .map_err(|error| error.to_string())?;
    let labels = rows.iter().filter_map(|row| model.label_of(row)).collect();
    let count = rows.len();
    let probabilities = rows.concat();
    Ok(Json(Answer {
        model_name: name,
        model_version: version,
        id: request.id,
        outputs: (
            Output {
                name: LABEL_OUTPUT,
                datatype: "INT64",
                shape: vec![count],
                data: labels,
            },
            Output {
                name: model.output_name(),
                datatype: "FP32",
                shape: vec![count, model.output_len()],
                data: probabilities,
            },
        ),
    })
    .into_response())
}

// === impl Address ===

impl Address {
    /// The served model, or the 404 for another one.
    fn find<'a>(&self, server: &'a Server) -> Result<&'a Config, Problem> {
        let config = server.config();
        if self.name != config.name {
            let reason = format!(
                "model `{}` is not served here, only `{}`",
                self.name, config.name
            );
            return Err(Problem(StatusCode::NOT_FOUND, reason));
        }
        match &self.version {
            Some(version) if *version != config.version => {
                let reason = format!(
                    "version `{version}` is not served here, only `{}`",
                    config.version
                );
                Err(Problem(StatusCode::NOT_FOUND, reason))
            }
            _ => Ok(config),
        }
    }
}
