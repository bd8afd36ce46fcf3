//! What comes with a request that changes something: its body, and under which
//! conditions it is meant.

use super::body;
use super::problem::Problem;
use crate::access::Caller;
use crate::domain::rollout::UsedKey;
use crate::hex::hex;
use crate::service::Asked;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use serinus_core::json::FieldError;
use sha2::{Digest, Sha256};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const LONGEST_KEY: usize = 255;

/// A body of at most so many bytes, with the conditions of the request.
pub struct Asking<const LIMIT: usize> {
    pub asked: Asked,
    pub body: Vec<u8>,
}

impl<S: Send + Sync, const LIMIT: usize> FromRequest<S> for Asking<LIMIT> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let caller = parts.extensions.get::<Caller>();
        let who = caller.map_or(Caller::ANONYMOUS, |caller| caller.name.as_str());
        let who = who.to_owned();
        // First, so that a refusal is no reset.
        let body = body::bytes(body, LIMIT).await?;
        let only_if = tags(&parts.headers, &header::IF_MATCH)?;
        let key = key(&parts.headers)?;
        let content = || {
            let mut content = Sha256::new();
            for part in [parts.method.as_str(), parts.uri.path()] {
                content.update(part);
                content.update([0]);
            }
            content.update(&body);
            hex(&content.finalize())
        };
        let key = key.map(|key| UsedKey {
            key,
            content: content(),
        });
        let asked = Asked {
            who,
            reason: None,
            only_if,
            key,
        };
        Ok(Self { asked, body })
    }
}

/// Entity tags that a header lists, without quotes; `None` for a header that is not there
/// or is `*`, which every rollout that exists meets.
pub fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Vec<String>>, Problem> {
    let wrong = || {
        let title = if name == header::IF_MATCH {
            "If-Match"
        } else {
            "If-None-Match"
        };
        let problem =
            "is no list of entity tags, such as \"1795730705000-3\" with its quotes, and not *";
        Problem::from(FieldError::new(title, problem))
    };
    let mut all = Vec::new();
    let mut values = headers.get_all(name).iter().peekable();
    if values.peek().is_none() {
        return Ok(None);
    }
    for value in values {
        let mut text = value.to_str().map_err(|_| wrong())?.trim();
        if text == "*" {
            return Ok(None);
        }
        // Nothing between two commas is no error (RFC 9110, section 5.6.1.2).
        while !text.is_empty() {
            if let Some(rest) = text.strip_prefix(',') {
                text = rest.trim_start();
                continue;
            }
            let (tag, rest) = first_tag(text).ok_or_else(wrong)?;
            if !(rest.is_empty() || rest.starts_with(',')) {
                return Err(wrong());
            }
            all.push(tag.to_owned());
            text = rest;
        }
    }
    Ok(Some(all))
}

/// A tag without its quotes, between which a comma is one of its letters, and what follows.
fn first_tag(text: &str) -> Option<(&str, &str)> {
    let quoted = text.strip_prefix("W/").unwrap_or(text);
    let (tag, rest) = quoted.strip_prefix('"')?.split_once('"')?;
    Some((tag, rest.trim_start()))
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    if values.next().is_some() || text.is_empty() || text.len() > LONGEST_KEY {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            format!("Idempotency-Key: is not one text of 1 to {LONGEST_KEY} visible characters"),
        ));
    }
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn read(value: &str) -> Option<Option<Vec<String>>> {
        let value = HeaderValue::from_str(value).unwrap();
        let headers = HeaderMap::from_iter([(header::IF_MATCH, value)]);
        tags(&headers, &header::IF_MATCH).ok()
    }

    #[test]
    fn tags_are_read_as_lists() {
        let none = HeaderMap::new();
        assert_eq!(tags(&none, &header::IF_MATCH).ok(), Some(None));
        assert_eq!(read("*"), Some(None));
        assert_eq!(read("\"7-1\""), Some(Some(vec!["7-1".to_owned()])));
        let two = vec!["7-1".to_owned(), "7-2".to_owned()];
        assert_eq!(read("\"7-1\", W/\"7-2\""), Some(Some(two)));
        let odd = vec!["a,b".to_owned(), String::new()];
        assert_eq!(read("\"a,b\" ,\"\""), Some(Some(odd)));
        let one = vec!["7-1".to_owned()];
        assert_eq!(read(", ,\"7-1\", "), Some(Some(one)));
        assert_eq!(read(""), Some(Some(Vec::new())), "which nothing meets");
        for wrong in ["7-1", "\"", "\"a\" \"b\"", "\"a\", *", "W/", "w/\"a\""] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
