//! What the plan asks of a request: whether a rollout has it, whose it is, and who opens an
//! arm by a token.

use crate::read_fields;
#[cfg(feature = "schema")]
use defaults::{override_header, root, year, yes};
use serde::{Deserialize, Serialize};

/// All that is named must hold; an empty one matches every request.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(default))]
pub struct Match {
    /// The `:authority`, in any case, without regard to a port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What the path begins with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_prefix: Option<String>,
    /// Matches the whole path, without its query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_regex: Option<String>,
    /// Such as `POST`; none is any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Questions about the request, all of which must hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<Condition>,
}

read_fields!(Match {
    host,
    path_prefix,
    path_regex,
    methods,
    when,
    ..Match::default()
});

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum UnitSource {
    /// The value of this request header.
    Header(String),
    /// A cookie, by its name.
    Cookie(String),
    /// A parameter of the query string, decoded.
    Query(String),
    /// A claim of the bearer token's payload, which is not verified here.
    JwtClaim(String),
    /// A JSON pointer into the body, such as `/user/id`: the request is held until
    /// its body is there.
    Body(String),
    /// A cookie that the filter itself gives to who has none; the last source.
    IssueCookie(IssueCookie),
    /// Each request is a unit of its own, and its arm is drawn: for services whose
    /// callers have no key. It stands alone.
    EachRequest,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct IssueCookie {
    /// The cookie's.
    pub name: String,
    /// Default: a year. Browsers cap it at about 400 days.
    #[cfg_attr(feature = "schema", schemars(default = "year"))]
    pub max_age_seconds: u32,
    /// The cookie's.
    #[cfg_attr(feature = "schema", schemars(default = "root"))]
    pub path: String,
    /// The cookie's; default: the host that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Sent by TLS only.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub secure: bool,
    /// Hidden from scripts of the page.
    #[cfg_attr(feature = "schema", schemars(default = "yes"))]
    pub http_only: bool,
    /// Whether other sites' requests have it.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub same_site: SameSite,
}

read_fields!(IssueCookie {
    name,
    max_age_seconds = YEAR,
    path = "/".to_owned(),
    domain = None,
    secure = false,
    http_only = true,
    same_site = SameSite::default(),
});

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SameSite {
    Strict,
    #[default]
    Lax,
    /// Browsers take it only with `secure`.
    None,
}

const YEAR: u32 = 365 * 24 * 60 * 60;

/// One attribute, by exactly one of the first five, and at most one question; with
/// none it must be present.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(default))]
pub struct Condition {
    /// A request header, by its name; `:path` and `:authority` are such.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// A cookie, by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie: Option<String>,
    /// A parameter of the query string, by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// A claim of the bearer token, which is not verified here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt_claim: Option<String>,
    /// A JSON pointer into the body; not in a rollout's `match`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The value is one of these.
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    pub is_in: Option<Vec<String>>,
    /// The value begins so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Matches the whole value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// A number, inclusive; with `at_most` a range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// A number, inclusive; with `at_least` a range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
}

read_fields!(Condition {
    header,
    cookie,
    query,
    jwt_claim,
    body,
    is_in as "in",
    prefix,
    regex,
    at_least,
    at_most,
    ..Condition::default()
});

/// Lets testers into an arm, whatever rules and weights say. The plan has only
/// hashes of their tokens, so that nobody learns a token from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Overrides {
    /// The header in which a tester sends the token.
    #[cfg_attr(feature = "schema", schemars(default = "override_header"))]
    pub header: String,
    /// Hashes of tokens, and what each opens.
    pub tokens: Vec<OverrideToken>,
}

read_fields!(Overrides {
    header = OVERRIDE_HEADER.to_owned(),
    tokens,
});

const OVERRIDE_HEADER: &str = "x-serinus-override";

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OverrideToken {
    /// 64 hex digits: `printf %s TOKEN | sha256sum`.
    pub sha256: String,
    /// Which the tester gets.
    pub arm: String,
}

read_fields!(OverrideToken { sha256, arm });

/// What `read_fields!` says, for the schema.
#[cfg(feature = "schema")]
mod defaults {
    use super::{OVERRIDE_HEADER, YEAR};

    pub fn year() -> u32 {
        YEAR
    }

    pub fn root() -> String {
        "/".to_owned()
    }

    pub fn yes() -> bool {
        true
    }

    pub fn override_header() -> String {
        OVERRIDE_HEADER.to_owned()
    }
}
