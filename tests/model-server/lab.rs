//! The routes under /lab, by which a demo or a test sets faults and reads counts.
//! No real model server has them, and Serinus never calls them.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

use crate::faults::{Change, Faults};
use crate::ledger::Counts;
use crate::server::{Problem, Server};

pub fn router() -> Router<Server> {
    Router::new()
        .route("/lab/faults", get(faults).post(change_faults))
        .route("/lab/counts", get(counts))
        .route("/lab/units", get(units))
        .route("/lab/reset", post(reset))
}

async fn faults(State(server): State<Server>) -> Json<Faults> {
    Json(server.state().faults)
}

/// Takes a partial update and answers with all faults that are set now.
async fn change_faults(State(server): State<Server>, body: Bytes) -> Result<Json<Faults>, Problem> {
    let refused = |reason| Problem(StatusCode::BAD_REQUEST, reason);
    let change: Change = serde_json::from_slice(&body)
        .map_err(|error| refused(format!("the faults cannot be read: {error}")))?;
    let mut state = server.state();
    let faults = state.faults.with(change);
    faults
        .check(server.config().model.input_len())
        .map_err(refused)?;
    state.faults = faults;
    Ok(Json(faults))
}

async fn counts(State(server): State<Server>) -> Json<Counts> {
    Json(server.state().ledger.counts())
}

async fn units(State(server): State<Server>) -> Response {
    Json(server.state().ledger.units()).into_response()
}

async fn reset(State(server): State<Server>) -> StatusCode {
    server.state().ledger.reset();
    StatusCode::NO_CONTENT
}
