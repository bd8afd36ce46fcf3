//! Which rollout a request belongs to.

use crate::condition::{Condition, Pattern};
use crate::request::Reader;

/// All that is named must hold; an empty one matches every request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matcher {
    /// In lower case, without a port.
    pub host: Option<String>,
    pub path_prefix: Option<String>,
    /// Matches the whole path, without its query.
    pub path_regex: Option<Pattern>,
    /// In upper case; none is any.
    pub methods: Vec<String>,
    pub when: Vec<Condition>,
}

impl Matcher {
    /// Asks the cheapest first: most requests that do not match end at the path.
    #[must_use]
    pub fn matches<'r>(&'r self, request: &Reader<'r>) -> bool {
        let header = |name: &'static str| request.header(name).unwrap_or_default();
        self.path_prefix
            .as_ref()
            .is_none_or(|prefix| header(":path").starts_with(prefix.as_bytes()))
            && self.host.as_ref().is_none_or(|wanted| {
                without_port(header(":authority")).eq_ignore_ascii_case(wanted.as_bytes())
            })
            && (self.methods.is_empty() || {
                let method = header(":method");
                self.methods
                    .iter()
                    .any(|wanted| wanted.as_bytes() == method)
            })
            && self
                .path_regex
                .as_ref()
                .is_none_or(|pattern| pattern.matches(without_query(header(":path"))))
            && self.when.iter().all(|condition| condition.holds(request))
    }
}

fn without_query(path: &[u8]) -> &[u8] {
    path.split(|byte| b"?#".contains(byte))
        .next()
        .unwrap_or_default()
}

/// `example.com:8080` and `[::1]:8080` without the port.
pub(crate) fn without_port(host: &[u8]) -> &[u8] {
    match host.iter().rposition(|&byte| byte == b':') {
        Some(colon) => {
            let (name, port) = host.split_at(colon);
            let digits = port.iter().skip(1).all(u8::is_ascii_digit);
            // A colon inside brackets belongs to the address.
            if digits && !port.contains(&b']') {
                name
            } else {
                host
            }
        }
        None => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::Attribute;
    use crate::condition::Check;
    use crate::request::Fake;

    fn request() -> Fake {
        Fake::new([
            (":path", b"/v2/models/digits/infer?x=/v3".as_slice()),
            (":authority", b"Models.example:8080"),
            (":method", b"POST"),
            ("x-tier", b"gold"),
        ])
    }

    fn matches(matcher: &Matcher) -> bool {
        matcher.matches(&Reader::new(&request()))
    }

    #[test]
    fn all_that_is_named_must_hold() {
        let whole = Matcher {
            host: Some("models.example".to_owned()),
            path_prefix: Some("/v2/".to_owned()),
            path_regex: Some(Pattern::new("/v2/models/[^/]+/infer").unwrap()),
            methods: vec!["GET".to_owned(), "POST".to_owned()],
            when: vec![Condition {
                of: Attribute::Header("x-tier".to_owned()),
                is: Check::In(vec!["gold".to_owned()]),
            }],
        };
        assert!(matches(&Matcher::default()));
        assert!(matches(&whole));
        for (what, one_off) in [
            (
                "host",
                Matcher {
                    host: Some("other".to_owned()),
                    ..whole.clone()
                },
            ),
            (
                "prefix",
                Matcher {
                    path_prefix: Some("/v3".to_owned()),
                    ..whole.clone()
                },
            ),
            (
                "pattern",
                Matcher {
                    path_regex: Some(Pattern::new("/v2").unwrap()),
                    ..whole.clone()
                },
            ),
            (
                "method",
                Matcher {
                    methods: vec!["GET".to_owned()],
                    ..whole.clone()
                },
            ),
            (
                "condition",
                Matcher {
                    when: vec![Condition {
                        of: Attribute::Header("x-none".to_owned()),
                        is: Check::Present,
                    }],
                    ..whole.clone()
                },
            ),
        ] {
            assert!(!matches(&one_off), "{what}");
        }
    }

    #[test]
    fn one_that_does_not_match_costs_one_read() {
        let request = request();
        let matchers = ["/a", "/b", "/c"].map(|prefix| Matcher {
            path_prefix: Some(prefix.to_owned()),
            host: Some("models.example".to_owned()),
            ..Matcher::default()
        });
        let reader = Reader::new(&request);
        for matcher in &matchers {
            assert!(!matcher.matches(&reader));
        }
        assert_eq!(request.reads.get(), 1);
    }

    #[test]
    fn hosts_match_in_any_case_and_with_any_port() {
        for (host, name) in [
            ("models.example", "models.example"),
            ("models.example:8080", "models.example"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(without_port(host.as_bytes()), name.as_bytes(), "{host}");
        }
    }
}
