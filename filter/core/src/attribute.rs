//! What can be read of a request: a header, a cookie, a query parameter, a claim
//! of a bearer token, a value in a JSON body.
//!
//! Everything here is what a client sent: any bytes, of any length. What is
//! malformed is absent; nothing fails.

use crate::json::Tree;
use crate::request::Reader;
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use std::borrow::Cow;

/// A longer token is not decoded: real ones have a few hundred bytes, and each
/// request pays for it.
const LONGEST_TOKEN: usize = 16 * 1024;

/// Header names are in lower case here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    Header(String),
    Cookie(String),
    Query(String),
    /// A top-level claim of the bearer token's payload, by its name. Nothing is
    /// verified: that is the work of Envoy's `jwt_authn`, before this filter.
    Claim(String),
    /// What a JSON pointer finds in the body. The request is held for it.
    Body(String),
}

impl Attribute {
    /// Its value; `None` when it is absent, and an empty one counts as absent.
    #[must_use]
    pub fn read<'a, 'r>(&'r self, request: &'a Reader<'r>) -> Option<Cow<'a, [u8]>> {
        let value = match self {
            Self::Header(name) => request.header(name)?.into(),
            Self::Cookie(name) => cookie(request.header("cookie")?, name.as_bytes())?.into(),
            Self::Query(name) => query(request.header(":path")?, name.as_bytes())?,
            Self::Claim(name) => claim(request.header("authorization")?, name)?.into(),
            Self::Body(pointer) => request.body(pointer)?.scalar()?.into(),
        };
        (!value.is_empty()).then_some(value)
    }
}

/// The first cookie of that name (RFC 6265, section 4.2.1): `a=1; b="2"`. Quotes
/// around a value are not part of it.
fn cookie<'value>(header: &'value [u8], name: &[u8]) -> Option<&'value [u8]> {
    header.split(|&byte| byte == b';').find_map(|pair| {
        let (found, value) = split_once(pair.trim_ascii(), b'=')?;
        (found.trim_ascii_end() == name).then(|| unquoted(value.trim_ascii_start()))
    })
}

fn unquoted(value: &[u8]) -> &[u8] {
    value
        .strip_prefix(b"\"")
        .and_then(|value| value.strip_suffix(b"\""))
        .unwrap_or(value)
}

/// The first parameter of that name, with `%41` and `+` decoded; what is no valid
/// escape stands for itself.
fn query<'path>(path: &'path [u8], name: &[u8]) -> Option<Cow<'path, [u8]>> {
    let path = path.split(|&byte| byte == b'#').next()?;
    let (_, query) = split_once(path, b'?')?;
    query.split(|&byte| byte == b'&').find_map(|pair| {
        let (found, value) = split_once(pair, b'=').unwrap_or((pair, b""));
        (*decoded(found) == *name).then(|| decoded(value))
    })
}

fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| b"%+".contains(byte)) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        let escaped = match (first, after) {
            (b'%', [high, low, after @ ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| {
                rest = after;
                high << 4 | low
            }),
            (b'+', _) => Some(b' '),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(first));
    }
    Cow::Owned(bytes)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// A claim of the token in `Bearer header.payload.signature`: a string, or a
/// number or truth value as JSON writes it.
fn claim(authorization: &[u8], name: &str) -> Option<Vec<u8>> {
    let (scheme, token) = split_once(authorization, b' ')?;
    if !scheme.eq_ignore_ascii_case(b"bearer") || token.len() > LONGEST_TOKEN {
        return None;
    }
    let payload = token.trim_ascii().split(|&byte| byte == b'.').nth(1)?;
    let payload = BASE64URL.decode(payload).ok()?;
    Tree::parse(&payload).ok()?.field(name)?.scalar()
}

/// Tokens carry no padding (RFC 7515, section 2), and some carry it all the same.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn split_once(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&byte| byte == separator)?;
    let (before, after) = bytes.split_at(at);
    Some((before, after.get(1..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Fake;
    use proptest::prelude::*;

    fn read(attribute: &Attribute, name: &'static str, value: &[u8]) -> Option<String> {
        let request = Fake::new([(name, value)]).with_body(value);
        let reader = Reader::new(&request);
        let read = attribute.read(&reader);
        read.map(|value| String::from_utf8(value.into_owned()).unwrap())
    }

    #[test]
    fn cookies() {
        let of = |header: &str| {
            read(
                &Attribute::Cookie("uid".to_owned()),
                "cookie",
                header.as_bytes(),
            )
        };
        for (header, value) in [
            ("uid=1", Some("1")),
            ("a=b; uid=x=y; uid=2", Some("x=y")),
            ("a=b;uid=\"q\"", Some("q")),
            (" uid = 7 ", Some("7")),
            ("uid=", None),
            ("uid", None),
            ("xuid=1; uidx=2; UID=3", None),
            (";;=;", None),
            ("", None),
        ] {
            assert_eq!(of(header).as_deref(), value, "{header}");
        }
    }

    #[test]
    fn query_parameters() {
        let of = |path: &str| {
            read(
                &Attribute::Query("user id".to_owned()),
                ":path",
                path.as_bytes(),
            )
        };
        for (path, value) in [
            ("/x?user%20id=7", Some("7")),
            ("/x?a=1&user+id=a%2Bb&user+id=2", Some("a+b")),
            ("/x?user+id=%zz%4", Some("%zz%4")),
            ("/x?user+id=1#user+id=2", Some("1")),
            ("/x?user+id", None),
            ("/x?user+id=", None),
            ("/x#?user+id=1", None),
            ("/user+id=1", None),
        ] {
            assert_eq!(of(path).as_deref(), value, "{path}");
        }
    }

    #[test]
    fn claims() {
        let claim = |payload: &[u8], scheme: &str, padding: &str| {
            let payload = BASE64URL.encode(payload);
            let payload = payload.trim_end_matches('=');
            let header = format!("{scheme} e30.{payload}{padding}.sig");
            read(
                &Attribute::Claim("sub".to_owned()),
                "authorization",
                header.as_bytes(),
            )
        };
        for (payload, value) in [
            (r#"{"sub":"ada"}"#, Some("ada")),
            (
                r#"{"sub":12345678901234567890}"#,
                Some("12345678901234567890"),
            ),
            (r#"{"sub":true}"#, Some("true")),
            (r#"{"sub":""}"#, None),
            (r#"{"sub":null}"#, None),
            (r#"{"sub":{"a":1}}"#, None),
            (r#"{"iss":"x"}"#, None),
            ("[1]", None),
            ("{", None),
        ] {
            assert_eq!(
                claim(payload.as_bytes(), "Bearer", "").as_deref(),
                value,
                "{payload}"
            );
        }
        assert_eq!(
            claim(br#"{"sub":"abc"}"#, "bearer", "==").as_deref(),
            Some("abc")
        );
        assert_eq!(claim(br#"{"sub":"abc"}"#, "Basic", ""), None);
        let deep = [b"{\"sub\":".to_vec(), vec![b'['; 10_000]].concat();
        assert_eq!(claim(&deep, "Bearer", ""), None, "deeply nested");
        let long = [b"{\"sub\":\"".to_vec(), vec![b'x'; 20_000], b"\"}".to_vec()].concat();
        assert_eq!(claim(&long, "Bearer", ""), None, "too long");
    }

    #[test]
    fn values_in_bodies() {
        let of = |body: &str| {
            let pointer = Attribute::Body("/user/id".to_owned());
            read(&pointer, "x", body.as_bytes())
        };
        for (body, value) in [
            (r#"{"user":{"id":"ada"}}"#, Some("ada")),
            (r#"{"user":{"id":7}}"#, Some("7")),
            (r#"{"user":{"id":[7]}}"#, None),
            (r#"{"user":{"id":""}}"#, None),
            (r#"{"user":7}"#, None),
            ("id=7", None),
        ] {
            assert_eq!(of(body).as_deref(), value, "{body}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_a_client_sends_panics(value in prop::collection::vec(any::<u8>(), 0..200)) {
            for (attribute, header) in [
                (Attribute::Header("x".to_owned()), "x"),
                (Attribute::Cookie("a".to_owned()), "cookie"),
                (Attribute::Query("a".to_owned()), ":path"),
                (Attribute::Claim("a".to_owned()), "authorization"),
                (Attribute::Body("/a".to_owned()), "x"),
            ] {
                let request = Fake::new([(header, value.as_slice())]).with_body(&value);
                let _ = attribute.read(&Reader::new(&request));
            }
        }

        #[test]
        fn what_is_encoded_is_read_back(value in "[^\0]{1,40}") {
            let encoded: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let path = format!("/?q={encoded}");
            prop_assert_eq!(read(&Attribute::Query("q".to_owned()), ":path", path.as_bytes()), Some(value));
        }
    }
}
