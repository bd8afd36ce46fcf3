//! A question about one attribute of a request.

use crate::attribute::Attribute;
use crate::json;
use crate::request::Reader;
use regex_lite::Regex;

/// A longer value matches no pattern: the time that a pattern takes grows with
/// the value, and a client chooses its length.
const LONGEST_MATCHED: usize = 4 * 1024;

#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    pub of: Attribute,
    pub is: Check,
}

/// An attribute that is absent satisfies none of them.
#[derive(Debug, Clone, PartialEq)]
pub enum Check {
    Present,
    In(Vec<String>),
    Prefix(String),
    Pattern(Pattern),
    /// A number, with both bounds inclusive.
    Range {
        at_least: f64,
        at_most: f64,
    },
}

/// A regular expression that must match the whole value, as in Envoy.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl Condition {
    #[must_use]
    pub fn holds<'r>(&'r self, request: &Reader<'r>) -> bool {
        let Some(value) = self.of.read(request) else {
            return false;
        };
        match &self.is {
            Check::Present => true,
            Check::In(values) => values.iter().any(|wanted| *wanted.as_bytes() == *value),
            Check::Prefix(prefix) => value.starts_with(prefix.as_bytes()),
            Check::Pattern(pattern) => pattern.matches(&value),
            Check::Range { at_least, at_most } => {
                json::number(&value).is_some_and(|number| (*at_least..=*at_most).contains(&number))
            }
        }
    }
}

impl Pattern {
    /// # Errors
    /// What is wrong with the expression.
    pub fn new(text: &str) -> Result<Self, String> {
        const LONGEST: usize = 512;
        if text.len() > LONGEST {
            return Err(format!("is longer than {LONGEST} bytes"));
        }
        // The size limit bounds what `(a{100}){100}` would make of it.
        regex_lite::RegexBuilder::new(&format!("^(?:{text})$"))
            .size_limit(64 * 1024)
            .build()
            .map(Self)
            .map_err(|error| format!("is no regular expression: {error}"))
    }

    #[must_use]
    pub fn matches(&self, value: &[u8]) -> bool {
        value.len() <= LONGEST_MATCHED
            && core::str::from_utf8(value).is_ok_and(|text| self.0.is_match(text))
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Fake;

    fn holds(is: Check, value: Option<&[u8]>) -> bool {
        let request = Fake::new(value.map(|value| ("x", value)));
        let of = Attribute::Header("x".to_owned());
        Condition { of, is }.holds(&Reader::new(&request))
    }

    #[test]
    fn checks() {
        let list = || Check::In(vec!["gold".to_owned(), "platinum".to_owned()]);
        let range = || Check::Range {
            at_least: -1.5,
            at_most: 10.0,
        };
        let pattern = || Check::Pattern(Pattern::new("4[0-9]{3}|gold").unwrap());
        let cases: &[(Check, &[u8], bool)] = &[
            (Check::Present, b"x", true),
            (list(), b"gold", true),
            (list(), b"golden", false),
            (list(), b"\xff", false),
            (Check::Prefix("go".to_owned()), b"gold", true),
            (Check::Prefix("go".to_owned()), b"g", false),
            (pattern(), b"4123", true),
            (pattern(), b"gold", true),
            (pattern(), b"41234", false),
            (pattern(), b"gold\n", false),
            (pattern(), b"\xff\xfe", false),
            (range(), b"10", true),
            (range(), b"-1.5", true),
            (range(), b"10.01", false),
            (range(), b"NaN", false),
            (range(), b"inf", false),
            (range(), b"ten", false),
        ];
        for (check, value, expected) in cases {
            assert_eq!(
                holds(check.clone(), Some(value)),
                *expected,
                "{check:?} {value:?}"
            );
            assert!(!holds(check.clone(), None), "absent: {check:?}");
            assert!(!holds(check.clone(), Some(b"")), "empty: {check:?}");
        }
    }

    #[test]
    fn patterns_are_bounded() {
        assert!(Pattern::new("(").is_err());
        assert!(Pattern::new(&"a".repeat(513)).is_err());
        assert!(Pattern::new("((a{100}){100}){100}").is_err());
        let any = Pattern::new(".*").unwrap();
        assert!(any.matches(&[b'a'; LONGEST_MATCHED]));
        assert!(!any.matches(&[b'a'; LONGEST_MATCHED + 1]));
    }
}
