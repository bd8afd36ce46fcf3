//! Which site a request comes from, and by which name it called this judge: a page that
//! somebody visits must not act here with that person's browser, or read what it says.

use super::problem::Problem;
use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderValue, StatusCode, header};
use std::net::IpAddr;

/// Whether a page of another site asks. A browser says so by one header or the other.
pub fn is_foreign(request: &Request) -> bool {
    let headers = request.headers();
    if let Some(site) = headers.get("sec-fetch-site") {
        return !matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    headers.get(header::ORIGIN).is_some_and(|origin| {
        let origin = origin.to_str().unwrap_or_default();
        let origin = origin.split_once("://").map(|(_, authority)| authority);
        origin.is_none() || origin != host_of(request).as_deref()
    })
}

/// A name that leads here by somebody's DNS is not enough: a page of that name would be of
/// the same site as this judge, and could read all that it says (DNS rebinding). An address
/// is nobody's name, and a name without a dot is of no site on the internet.
///
/// # Errors
/// A name that is none of `names`.
pub fn check_host(request: &Request, names: Option<&[String]>) -> Result<(), Problem> {
    let (Some(names), Some(host)) = (names, host_of(request)) else {
        return Ok(());
    };
    let authority = host.parse::<Authority>();
    let name = authority.as_ref().map_or("", Authority::host);
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let is_known = |known: &String| known.eq_ignore_ascii_case(bare);
    let local = !bare.is_empty() && !bare.contains('.') || bare.ends_with(".localhost");
    if bare.parse::<IpAddr>().is_ok() || local || names.iter().any(is_known) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::MISDIRECTED_REQUEST,
        format!("`{host}` is no name of this judge's: `serinus serve --host NAME` gives it one"),
    ))
}

/// HTTP/2 has it in the URI.
fn host_of(request: &Request) -> Option<String> {
    let host = request.headers().get(header::HOST);
    let host = host.map(HeaderValue::to_str);
    match (request.uri().authority(), host) {
        (Some(authority), _) => Some(authority.to_string()),
        (None, Some(Ok(host))) => Some(host.to_owned()),
        // No name of anybody's.
        (None, Some(Err(_))) => Some("?.".to_owned()),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn asked(headers: &[(&str, &str)]) -> Request {
        let mut request = Request::builder().uri("/v1/rollouts");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::empty()).unwrap()
    }

    #[test]
    fn a_page_of_another_site_is_foreign() {
        let host = ("host", "127.0.0.1:8090");
        for (header, foreign) in [
            (("sec-fetch-site", "same-origin"), false),
            (("sec-fetch-site", "none"), false),
            (("sec-fetch-site", "same-site"), true),
            (("sec-fetch-site", "cross-site"), true),
            (("origin", "http://127.0.0.1:8090"), false),
            (("origin", "https://127.0.0.1:8090"), false),
            (("origin", "http://127.0.0.1:9000"), true),
            (("origin", "http://evil.example"), true),
            (("origin", "null"), true),
            (("accept", "*/*"), false),
        ] {
            assert_eq!(is_foreign(&asked(&[host, header])), foreign, "{header:?}");
        }
        let both = [
            host,
            ("origin", "http://evil"),
            ("sec-fetch-site", "same-origin"),
        ];
        assert!(!is_foreign(&asked(&both)), "a page cannot set this header");
    }

    #[test]
    fn a_name_that_anybody_may_own_is_not_answered() {
        let names = ["judge.example".to_owned()];
        for (host, answered) in [
            ("127.0.0.1:8090", true),
            ("[::1]:8090", true),
            ("10.0.0.1", true),
            ("localhost:8090", true),
            ("serinus-judge", true),
            ("a.localhost", true),
            ("judge.example:8090", true),
            ("JUDGE.example", true),
            ("evil.example:8090", false),
            ("127.0.0.1.evil.example", false),
            ("evil.localhost.example", false),
            ("", false),
            (".", false),
            ("a b", false),
        ] {
            let checked = check_host(&asked(&[("host", host)]), Some(&names));
            assert_eq!(checked.is_ok(), answered, "{host}");
            check_host(&asked(&[("host", host)]), None).unwrap();
        }
        check_host(&asked(&[]), Some(&names)).unwrap();
    }
}
