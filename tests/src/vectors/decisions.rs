//! `decisions.json`: a plan and a request -> what becomes of it.

use super::bytes::Bytes;
use crate::failure::Result;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

pub const FILE: &str = "decisions.json";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decisions {
    #[serde(rename = "about")]
    _about: Vec<String>,
    pub plans: Vec<NamedPlan>,
    pub decisions: Vec<Case>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedPlan {
    pub name: String,
    pub plan: Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub name: String,
    pub plan: String,
    #[serde(default)]
    pub around: Around,
    pub request: Request,
    /// Absent until somebody blesses it.
    #[serde(default)]
    pub expect: Expected,
}

/// What a decision depends on beside plan and request.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Around {
    /// How long the judge has not been heard of.
    pub silent_ms: u64,
    /// This worker's breaker took that arm out, of the rollout that matches.
    pub tripped: Option<String>,
    /// The operator's kill switch.
    pub disabled: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    #[serde(default = "get")]
    pub method: String,
    pub host: String,
    #[serde(default = "root")]
    pub path: String,
    #[serde(default)]
    pub headers: Vec<(String, Bytes)>,
    /// Its pieces; none for a request that ends with its headers.
    #[serde(default)]
    pub body: Vec<Bytes>,
    /// The length of the body is not announced.
    #[serde(default)]
    pub chunked: bool,
}

fn get() -> String {
    "GET".to_owned()
}

fn root() -> String {
    "/".to_owned()
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// `None` for a request that no rollout has.
    pub rollout: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arm: Option<String>,
    /// `weights`, or the name of a fallback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The unit's pseudonym, and its slot, where weights decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<u8>,
    /// The request waited for its body.
    #[serde(default, skip_serializing_if = "is_false")]
    pub held: bool,
    /// Headers of ours that the server gets.
    pub request_headers: BTreeMap<String, String>,
    /// What the client gets, with an `x` for each random digit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_cookie: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
fn is_false(truth: &bool) -> bool {
    !*truth
}

/// As `why` names it.
pub const BY_WEIGHTS: &str = "weights";

/// Random hex digits of an issued cookie.
const DIGITS: usize = 32;

/// A `Set-Cookie` with its random digits hidden.
#[must_use]
pub fn hide_digits(header: &str) -> String {
    match header.split_once('=') {
        Some((name, rest)) if rest.is_char_boundary(DIGITS) => {
            let (value, attributes) = rest.split_at(DIGITS);
            let hidden: String = value
                .chars()
                .map(|c| if c.is_ascii_hexdigit() { 'x' } else { c })
                .collect();
            format!("{name}={hidden}{attributes}")
        }
        _ => header.to_owned(),
    }
}

/// # Errors
/// When the file is not as it should be.
pub fn read() -> Result<Decisions> {
    super::read(FILE)
}

impl Decisions {
    /// # Errors
    /// When there is no plan of that name.
    pub fn plan(&self, name: &str) -> Result<&Value> {
        let named = self.plans.iter().find(|plan| plan.name == name);
        let named = named.ok_or_else(|| format!("no plan is named {name}"))?;
        Ok(&named.plan)
    }
}

impl Request {
    /// All of the body.
    #[must_use]
    pub fn whole_body(&self) -> Vec<u8> {
        let pieces = self.body.iter().map(|piece| piece.0.as_slice());
        pieces.collect::<Vec<_>>().concat()
    }

    /// Its headers with those that every client sends, names in lower case.
    #[must_use]
    pub fn all_headers(&self) -> Vec<(String, Vec<u8>)> {
        let mut all = vec![
            (":method".to_owned(), self.method.clone().into_bytes()),
            (":scheme".to_owned(), b"http".to_vec()),
            (":authority".to_owned(), self.host.clone().into_bytes()),
            (":path".to_owned(), self.path.clone().into_bytes()),
        ];
        let own = self.headers.iter();
        all.extend(own.map(|(name, value)| (name.to_ascii_lowercase(), value.0.clone())));
        if !self.body.is_empty() {
            all.push(if self.chunked {
                ("transfer-encoding".to_owned(), b"chunked".to_vec())
            } else {
                let length = self.whole_body().len().to_string();
                ("content-length".to_owned(), length.into_bytes())
            });
        }
        all
    }
}
