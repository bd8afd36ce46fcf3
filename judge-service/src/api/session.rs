//! Who asks, and the cookie by which the page goes on asking.
//!
//! The cookie is the token itself: so any of several judges knows it, a token that was
//! taken out of the file is out everywhere, and there is nothing to keep.

use super::guard::{Guarded, Peer};
use super::problem::Problem;
use crate::access::{Caller, Role};
use axum::Extension;
use axum::Json;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{self, MethodRouter};
use schemars::JsonSchema;
use serde::Serialize;

pub const PATH: &str = "/v1/session";

pub const COOKIE: &str = "serinus_token";

#[derive(Debug, JsonSchema, Serialize)]
pub struct Session {
    /// As in the file of tokens.
    name: String,
    role: Role,
    /// Whether this judge asks for tokens at all.
    guarded: bool,
}

/// Needs no service: whichever role the judge has, it answers this itself.
pub fn methods<S: Clone + Send + Sync + 'static>() -> MethodRouter<S> {
    routing::get(who).post(begin).delete(end)
}

async fn who(
    Extension(caller): Extension<Caller>,
    Extension(Guarded(admission)): Extension<Guarded>,
) -> Json<Session> {
    Json(Session {
        name: caller.name,
        role: caller.role,
        guarded: admission.is_guarded(),
    })
}

async fn begin(
    caller: Extension<Caller>,
    guarded: Extension<Guarded>,
    peer: Option<Extension<ConnectInfo<Peer>>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if !guarded.0.0.is_guarded() {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "this judge asks nobody for a token, so no session has to begin",
        ));
    }
    let token = bearer(&headers).ok_or_else(|| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "a session begins with a token, in `Authorization: Bearer ...`",
        )
    })?;
    let by_tls = peer.is_some_and(|Extension(ConnectInfo(peer))| peer.by_tls);
    // Whoever ends TLS before this judge says so, and lies only to itself.
    let before = headers.get("x-forwarded-proto");
    let secure = by_tls || before.is_some_and(|scheme| scheme == "https");
    let cookie = cookie(token, secure)?;
    let mut response = who(caller, guarded).await.into_response();
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

async fn end() -> Result<Response, Problem> {
    let mut cookie = cookie("", false)?.as_bytes().to_vec();
    cookie.extend_from_slice(b"; Max-Age=0");
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Ok(cookie) = HeaderValue::from_bytes(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Ends with the browser.
fn cookie(token: &str, secure: bool) -> Result<HeaderValue, Problem> {
    let secure = if secure { "; Secure" } else { "" };
    let text = format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict{secure}");
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "the token is no visible text"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The token of `Authorization: Bearer ...`.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The token of the page's cookie.
pub fn in_cookie(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::COOKIE).iter();
    values.find_map(|value| {
        let mut cookies = value.to_str().ok()?.split(';');
        cookies.find_map(|cookie| {
            let (name, token) = cookie.trim().split_once('=')?;
            (name == COOKIE && !token.is_empty()).then_some(token)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn a_token_is_found_where_it_may_stand() {
        let bearer = |value| bearer(&with(header::AUTHORIZATION, value)).map(str::to_owned);
        assert_eq!(bearer("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(bearer("bearer  abc ").as_deref(), Some("abc"));
        for wrong in ["abc", "Basic abc", "Bearer", "Bearer "] {
            assert_eq!(bearer(wrong), None, "{wrong}");
        }
        let cookie = |value| in_cookie(&with(header::COOKIE, value)).map(str::to_owned);
        assert_eq!(cookie("a=b; serinus_token=x=y").as_deref(), Some("x=y"));
        for wrong in ["", "serinus_token", "serinus_token=", "xserinus_token=a"] {
            assert_eq!(cookie(wrong), None, "{wrong}");
        }
    }
}
