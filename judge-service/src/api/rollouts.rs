//! What people and their tools call.

use super::Judge;
use super::asking::{self, Asking};
use super::path::Path;
use super::problem::Problem;
use super::query::Query;
use crate::domain::decision::Deed;
use crate::domain::{Millis, Phase};
use crate::reading;
use crate::service::status::Status;
use crate::service::{AnswersStatus, Asked, Example, Point, Service};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{self, MethodRouter};
use schemars::JsonSchema;
use serde::Deserialize;
use serinus_core::json::FieldError;
use std::sync::Arc;

const LONGEST_SPEC: usize = 256 * 1024;
const LONGEST_REASON: usize = 4 * 1024;

#[derive(Debug, Default, JsonSchema, Deserialize)]
pub struct Reason {
    /// Stands in the decision.
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// Names of phases with commas between.
    phase: Option<String>,
    /// The id after which the list goes on.
    after: Option<String>,
    limit: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Since {
    after_ms: Option<Millis>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Creation {
    /// Everything is checked, and nothing is kept.
    #[serde(default)]
    dry_run: bool,
}

/// In the order of their creation.
pub async fn list(
    State(service): Judge,
    Query(listed): Query<Listed>,
) -> Result<Response, Problem> {
    if listed.limit == Some(0) {
        return Err(Problem::empty_page());
    }
    let phases = listed.phase.as_deref().map(phases).transpose()?;
    let mut all = service.statuses().await?;
    if let Some(after) = &listed.after {
        let before = all.iter().position(|status| status.id == *after);
        let before = before.ok_or_else(|| {
            Problem::new(
                StatusCode::NOT_FOUND,
                format!("after: there is no rollout `{after}`; it may be deleted by now"),
            )
        })?;
        all.drain(..=before);
    }
    if let Some(phases) = phases {
        all.retain(|status| phases.contains(&status.phase));
    }
    let limit = listed.limit.unwrap_or(u32::MAX) as usize;
    let more = all.len() > limit;
    all.truncate(limit);
    let last = all.last().filter(|_| more);
    let next = last.map(|last| {
        let mut next = format!("</v1/rollouts?after={}&limit={limit}", last.id);
        if let Some(phase) = &listed.phase {
            next.push_str("&phase=");
            next.push_str(phase);
        }
        next.push_str(">; rel=\"next\"");
        next
    });
    let mut response = Json(all).into_response();
    // What it is made of was checked: ids, a number and names of phases.
    if let Some(Ok(next)) = next.map(|next| HeaderValue::from_str(&next)) {
        response.headers_mut().insert(header::LINK, next);
    }
    Ok(response)
}

fn phases(names: &str) -> Result<Vec<Phase>, Problem> {
    let known = |name: &str| Phase::ALL.into_iter().find(|phase| phase.name() == name);
    let names = names.split(',');
    names
        .map(|name| {
            known(name).ok_or_else(|| {
                let all = Phase::ALL.map(Phase::name).join(", ");
                let problem = format!("`{name}` is no phase; those are {all}");
                Problem::from(FieldError::new("phase", problem))
            })
        })
        .collect()
}

pub async fn create(
    State(service): Judge,
    Query(Creation { dry_run }): Query<Creation>,
    asking: Asking<LONGEST_SPEC>,
) -> Result<Response, Problem> {
    let spec = reading::spec(&asking.body)?;
    if dry_run {
        return Ok(Json(service.try_out(spec).await?).into_response());
    }
    let status = service.create(spec, asking.asked).await?;
    // The id was checked to be letters, digits, `-`, `_` and `.`.
    let location = HeaderValue::from_str(&format!("/v1/rollouts/{}", status.id));
    let mut response = (StatusCode::CREATED, shown(status)).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// With `If-None-Match`, 304 as long as nothing was decided.
pub async fn read(
    State(service): Judge,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let known = asking::tags(&headers, &header::IF_NONE_MATCH)?;
    let status = service.status(&id).await?;
    let any = headers.get(header::IF_NONE_MATCH);
    let is_any = any.is_some_and(|any| any.as_bytes().trim_ascii() == b"*");
    if is_any || known.is_some_and(|known| known.contains(&status.version)) {
        return Ok((StatusCode::NOT_MODIFIED, tag(&status.version)).into_response());
    }
    Ok(shown(status))
}

fn shown(status: Status) -> Response {
    (tag(&status.version), Json(status)).into_response()
}

fn tag(version: &str) -> [(HeaderName, String); 1] {
    [(header::ETAG, format!("\"{version}\""))]
}

pub async fn delete(
    State(service): Judge,
    Path(id): Path<String>,
    asking: Asking<LONGEST_REASON>,
) -> Result<StatusCode, Problem> {
    let asked = with_reason(asking)?;
    service.delete(&id, asked).await?;
    Ok(StatusCode::NO_CONTENT)
}

type Words = Asking<LONGEST_REASON>;

/// What a person does to a rollout that there is, as `POST` of one path: such deeds differ in
/// nothing else.
pub fn doing(deed: Deed) -> MethodRouter<Arc<Service>> {
    routing::post(
        async move |service: Judge, id: Path<String>, words: Words| {
            act(service, id, words, deed).await
        },
    )
}

async fn act(
    State(service): Judge,
    Path(id): Path<String>,
    words: Words,
    deed: Deed,
) -> Result<Response, Problem> {
    let asked = with_reason(words)?;
    Ok(shown(service.act(&id, deed, asked).await?))
}

pub async fn drop_arm(
    State(service): Judge,
    Path((id, arm)): Path<(String, String)>,
    words: Words,
) -> Result<Response, Problem> {
    let asked = with_reason(words)?;
    Ok(shown(service.drop_arm(&id, &arm, asked).await?))
}

fn with_reason(words: Words) -> Result<Asked, Problem> {
    let given: Reason = if words.body.is_empty() {
        Reason::default()
    } else {
        reading::strict(&words.body)?
    };
    Ok(Asked {
        reason: given.reason,
        ..words.asked
    })
}

pub async fn series(
    State(service): Judge,
    Path(id): Path<String>,
    Query(since): Query<Since>,
) -> Result<Json<Vec<Point>>, Problem> {
    known(&service, &id).await?;
    let mut series = service.series(&id);
    if let Some(after) = since.after_ms {
        series.retain(|point| point.at_ms > after);
    }
    Ok(Json(series))
}

pub async fn examples(
    State(service): Judge,
    Path(id): Path<String>,
) -> Result<Json<Vec<Example>>, Problem> {
    known(&service, &id).await?;
    Ok(Json(service.examples(&id)))
}

pub async fn answers(
    State(service): Judge,
    Path(id): Path<String>,
) -> Result<Json<AnswersStatus>, Problem> {
    Ok(Json(service.answers(&id).await?))
}

/// # Errors
/// No such rollout.
pub async fn known(service: &Service, id: &str) -> Result<(), Problem> {
    service.status(id).await?;
    Ok(())
}
