//! From what a plan says about requests to what asks them.

use super::compiled::ArmIndex;
use super::wire;
use crate::attribute::Attribute;
use crate::condition::{Check, Condition, Pattern};
use crate::issued::IssuedCookie;
use crate::json::{FieldError, written};
use crate::matching::{Matcher, without_port};
use crate::overrides::Overrides;

/// # Errors
/// The first field that no request could match.
pub fn matcher(matches: &wire::Match) -> Result<Matcher, FieldError> {
    check_prefix(matches)?;
    check_host(matches)?;
    check_methods(matches)?;
    check_asks_no_body(matches)?;
    Ok(Matcher {
        host: matches.host.as_ref().map(|host| host.to_ascii_lowercase()),
        path_prefix: matches.path_prefix.clone(),
        path_regex: path_regex(matches)?,
        methods: matches.methods.clone(),
        when: conditions("match.when", &matches.when)?,
    })
}

/// # Errors
/// A prefix that no path has.
pub fn check_prefix(matches: &wire::Match) -> Result<(), FieldError> {
    if let Some(prefix) = &matches.path_prefix
        && !(prefix.starts_with('/') && prefix.bytes().all(in_path))
    {
        return Err(FieldError::new(
            "match.path_prefix",
            format!(
                "is `{}`; a slash and what may stand in a path are right",
                prefix.escape_default()
            ),
        ));
    }
    Ok(())
}

/// # Errors
/// What is no host's name.
pub fn check_host(matches: &wire::Match) -> Result<(), FieldError> {
    if let Some(host) = &matches.host
        && !(is_host(host) && without_port(host.as_bytes()) == host.as_bytes())
    {
        return Err(FieldError::new(
            "match.host",
            format!(
                "is `{}`; a whole name without a port is right, such as models.example",
                host.escape_default()
            ),
        ));
    }
    Ok(())
}

/// # Errors
/// What is no regular expression, or one that is too large.
pub fn path_regex(matches: &wire::Match) -> Result<Option<Pattern>, FieldError> {
    let text = matches.path_regex.as_ref();
    text.map(|text| pattern("match.path_regex", text))
        .transpose()
}

/// # Errors
/// What is no method.
pub fn check_methods(matches: &wire::Match) -> Result<(), FieldError> {
    for (index, method) in matches.methods.iter().enumerate() {
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(FieldError::new(
                format!("match.methods[{index}]"),
                format!("is `{method}`; a method in upper case is right, such as POST"),
            ));
        }
    }
    Ok(())
}

/// # Errors
/// A condition on the body.
pub fn check_asks_no_body(matches: &wire::Match) -> Result<(), FieldError> {
    match matches.when.iter().position(|when| when.body.is_some()) {
        None => Ok(()),
        Some(index) => Err(FieldError::new(
            format!("match.when[{index}].body"),
            "would hold every request; conditions on the body belong in segments",
        )),
    }
}

/// # Errors
/// The first that makes no sense.
pub fn conditions(
    field: &str,
    conditions: &[wire::Condition],
) -> Result<Vec<Condition>, FieldError> {
    conditions
        .iter()
        .enumerate()
        .map(|(index, wire)| condition(&format!("{field}[{index}]"), wire))
        .collect()
}

/// # Errors
/// What asks nothing, or several things.
pub fn condition(field: &str, wire: &wire::Condition) -> Result<Condition, FieldError> {
    use wire::UnitSource::{Body, Cookie, Header, JwtClaim, Query};
    let sources = [
        wire.header.clone().map(Header),
        wire.cookie.clone().map(Cookie),
        wire.query.clone().map(Query),
        wire.jwt_claim.clone().map(JwtClaim),
        wire.body.clone().map(Body),
    ];
    let mut sources = sources.into_iter().flatten();
    let (Some(source), None) = (sources.next(), sources.next()) else {
        return Err(FieldError::new(
            field,
            "names not exactly one of header, cookie, query, jwt_claim and body",
        ));
    };
    let range = (wire.at_least.is_some() || wire.at_most.is_some()).then_some(Check::Range {
        at_least: wire.at_least.unwrap_or(f64::NEG_INFINITY),
        at_most: wire.at_most.unwrap_or(f64::INFINITY),
    });
    let regex = wire.regex.as_ref();
    let regex = regex
        .map(|text| pattern(&format!("{field}.regex"), text))
        .transpose()?;
    let checks = [
        wire.is_in.clone().map(Check::In),
        wire.prefix.clone().map(Check::Prefix),
        regex.map(Check::Pattern),
        range,
    ];
    let mut checks = checks.into_iter().flatten();
    let (is, None) = (checks.next().unwrap_or(Check::Present), checks.next()) else {
        return Err(FieldError::new(
            field,
            "asks more than one of in, prefix, regex and at_least/at_most; use two conditions",
        ));
    };
    match &is {
        Check::In(values) if values.is_empty() => {
            return Err(FieldError::new(
                format!("{field}.in"),
                "is empty, so that nothing is in it",
            ));
        }
        Check::Range { at_least, at_most } if at_least > at_most => {
            return Err(FieldError::new(
                format!("{field}.at_least"),
                format!(
                    "is {}, which is above at_most = {}",
                    written(*at_least),
                    written(*at_most)
                ),
            ));
        }
        _ => {}
    }
    Ok(Condition {
        of: attribute(field, &source)?,
        is,
    })
}

/// The attributes of a unit in their order, and the cookie that comes last; neither where
/// each request is a unit.
///
/// # Errors
/// A source that is none, or that is never asked.
pub fn unit(
    sources: &[wire::UnitSource],
) -> Result<(Vec<Attribute>, Option<IssuedCookie>), FieldError> {
    if sources.is_empty() {
        return Err(FieldError::new(
            "unit",
            "names no source; one such as {\"header\": \"x-user-id\"} is needed",
        ));
    }
    if let [wire::UnitSource::EachRequest] = sources {
        return Ok((Vec::new(), None));
    }
    let mut attributes = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let field = format!("unit[{index}]");
        if let wire::UnitSource::IssueCookie(cookie) = source {
            if index + 1 < sources.len() {
                return Err(FieldError::new(
                    format!("{field}.issue_cookie"),
                    "is not the last source, so those after it would never be asked",
                ));
            }
            return Ok((attributes, Some(issued(&field, cookie)?)));
        }
        attributes.push(attribute(&field, source)?);
    }
    Ok((attributes, None))
}

fn issued(field: &str, cookie: &wire::IssueCookie) -> Result<IssuedCookie, FieldError> {
    let wrong = |name: &str, problem: String| {
        Err(FieldError::new(
            format!("{field}.issue_cookie.{name}"),
            problem,
        ))
    };
    if cookie.name.is_empty() || cookie.name.len() > 256 || !cookie.name.bytes().all(is_token) {
        return wrong("name", format!("`{}` is no cookie name", cookie.name));
    }
    // RFC 6265, section 4.1.1: anything but control characters and `;`.
    let plain = |text: &str| {
        text.bytes()
            .all(|byte| (b' '..=b'~').contains(&byte) && byte != b';')
    };
    if !cookie.path.starts_with('/') || !plain(&cookie.path) {
        return wrong(
            "path",
            format!("is `{}`; one such as / is right", cookie.path),
        );
    }
    let domain = cookie.domain.as_deref().unwrap_or_default();
    if !plain(domain) {
        return wrong("domain", format!("`{domain}` is no domain"));
    }
    let same_site = match cookie.same_site {
        wire::SameSite::Strict => "Strict",
        wire::SameSite::Lax => "Lax",
        wire::SameSite::None if cookie.secure => "None",
        wire::SameSite::None => {
            return wrong(
                "same_site",
                "is none, which browsers take only with secure".to_owned(),
            );
        }
    };
    let mut attributes = format!(
        "Path={}; Max-Age={}; SameSite={same_site}",
        cookie.path, cookie.max_age_seconds
    );
    for (set, attribute) in [
        (!domain.is_empty(), format!("; Domain={domain}")),
        (cookie.secure, "; Secure".to_owned()),
        (cookie.http_only, "; HttpOnly".to_owned()),
    ] {
        if set {
            attributes.push_str(&attribute);
        }
    }
    Ok(IssuedCookie::new(&cookie.name, &attributes))
}

fn attribute(field: &str, source: &wire::UnitSource) -> Result<Attribute, FieldError> {
    use wire::UnitSource::{Body, Cookie, EachRequest, Header, IssueCookie, JwtClaim, Query};
    let named = |kind: &str, name: &str| {
        if name.is_empty() || name.len() > 256 {
            return Err(FieldError::new(
                format!("{field}.{kind}"),
                "is no name; 1 to 256 bytes are right",
            ));
        }
        Ok(name.to_owned())
    };
    Ok(match source {
        Header(name) => Attribute::Header(header_name(&format!("{field}.header"), name)?),
        Cookie(name) => {
            let name = named("cookie", name)?;
            if !name.bytes().all(is_token) {
                return Err(FieldError::new(
                    format!("{field}.cookie"),
                    format!("`{name}` is no cookie name"),
                ));
            }
            Attribute::Cookie(name)
        }
        Query(name) => Attribute::Query(named("query", name)?),
        JwtClaim(name) => Attribute::Claim(named("jwt_claim", name)?),
        Body(pointer) => {
            if !(pointer.starts_with('/') && pointer.len() <= 256) {
                return Err(FieldError::new(
                    format!("{field}.body"),
                    format!("`{pointer}` is no JSON pointer; one such as /user/id is right"),
                ));
            }
            Attribute::Body(pointer.clone())
        }
        IssueCookie(cookie) => Attribute::Cookie(named("issue_cookie.name", &cookie.name)?),
        EachRequest => {
            return Err(FieldError::new(
                field,
                "is each_request beside another source; users are units, or requests are",
            ));
        }
    })
}

/// # Errors
/// What is no header, no hash or no arm.
pub fn overrides(wire: &wire::Overrides, arm_index: ArmIndex<'_>) -> Result<Overrides, FieldError> {
    let tokens = wire.tokens.iter().enumerate().map(|(index, token)| {
        let field = |name: &str| format!("overrides.tokens[{index}].{name}");
        let hash = sha256(&token.sha256).ok_or_else(|| {
            FieldError::new(
                field("sha256"),
                "is not 64 hex digits; `printf %s TOKEN | sha256sum` prints them",
            )
        })?;
        Ok((hash, arm_index(field("arm"), &token.arm)?))
    });
    Ok(Overrides {
        header: header_name("overrides.header", &wire.header)?,
        tokens: tokens.collect::<Result<_, FieldError>>()?,
    })
}

fn sha256(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
        let digits = core::str::from_utf8(digits).ok()?;
        // `from_str_radix` would take a sign.
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(bytes)
}

fn pattern(field: &str, text: &str) -> Result<Pattern, FieldError> {
    Pattern::new(text).map_err(|problem| FieldError::new(field, problem))
}

/// Header names are looked up in lower case, as Envoy keeps them.
fn header_name(field: &str, name: &str) -> Result<String, FieldError> {
    let plain = name.strip_prefix(':').unwrap_or(name);
    if plain.is_empty() || plain.len() > 256 || !plain.bytes().all(is_token) {
        return Err(FieldError::new(
            field,
            format!("`{name}` is no header name"),
        ));
    }
    Ok(name.to_ascii_lowercase())
}

/// What a request's path can have in it: no space, no control character, no query.
fn in_path(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"#?".contains(&byte)
}

/// A name, or an IPv6 address in brackets.
fn is_host(host: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    !host.is_empty() && host.bytes().all(fits)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
