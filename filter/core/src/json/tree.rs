//! A JSON document as it was sent: nothing dropped.

use core::fmt;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

#[derive(Debug, Clone, PartialEq)]
pub enum Tree {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Tree>),
    /// In the order of the document; of a name that stands there twice, both.
    Object(Vec<(String, Tree)>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    Whole(u64),
    Negative(i64),
    Fraction(f64),
}

impl Tree {
    /// Reads a whole document. Nesting deeper than 128 is refused, so that nothing
    /// that walks a tree runs out of stack.
    ///
    /// # Errors
    /// What is wrong with it, and in which line and column.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// A field of an object.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Self> {
        let Self::Object(fields) = self else {
            return None;
        };
        let mut fields = fields.iter();
        fields
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
    }

    /// What stands at a JSON pointer (RFC 6901).
    #[must_use]
    pub fn at(&self, pointer: &str) -> Option<&Self> {
        if pointer.is_empty() {
            return Some(self);
        }
        let steps = pointer.strip_prefix('/')?.split('/');
        steps.into_iter().try_fold(self, |tree, step| match tree {
            Self::Object(_) => tree.field(&step.replace("~1", "/").replace("~0", "~")),
            Self::List(list) => {
                // Digits without a sign, and no zero before them.
                let digits = step.bytes().all(|digit| digit.is_ascii_digit());
                let canonical = digits && (step == "0" || !step.starts_with('0'));
                list.get(step.parse::<usize>().ok().filter(|_| canonical)?)
            }
            _ => None,
        })
    }

    /// A text as it is, numbers and truth values as JSON writes them; lists, objects
    /// and null are no value.
    #[must_use]
    pub fn scalar(&self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.as_bytes().to_vec()),
            Self::Number(number) => Some(number.to_string().into_bytes()),
            Self::Bool(truth) => Some(if *truth { "true" } else { "false" }.into()),
            Self::Null | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// What it is, in a sentence.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a truth value",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Whole(number) => write!(f, "{number}"),
            Self::Negative(number) => write!(f, "{number}"),
            Self::Fraction(number) => f.write_str(&written(number)),
        }
    }
}

/// A number as JSON has it, by serde_json: the formatting of the standard library is
/// ten times the code, in a module where that counts.
#[must_use]
pub fn written(number: f64) -> String {
    let text = serde_json::to_string(&number).unwrap_or_default();
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}

/// A number that stands for itself, as JSON has it; there is no infinity.
#[must_use]
pub fn number(text: &[u8]) -> Option<f64> {
    match Tree::parse(text).ok()? {
        Tree::Number(Number::Whole(number)) => Some(number as f64),
        Tree::Number(Number::Negative(number)) => Some(number as f64),
        Tree::Number(Number::Fraction(number)) => Some(number),
        _ => None,
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Build;

        impl<'de> Visitor<'de> for Build {
            type Value = Tree;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E>(self) -> Result<Tree, E> {
                Ok(Tree::Null)
            }

            fn visit_bool<E>(self, truth: bool) -> Result<Tree, E> {
                Ok(Tree::Bool(truth))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Tree, E> {
                Ok(Tree::Number(Number::Whole(number)))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Tree, E> {
                Ok(Tree::Number(Number::Negative(number)))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Tree, E> {
                Ok(Tree::Number(Number::Fraction(number)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
                Ok(Tree::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = list.next_element()? {
                    elements.push(element);
                }
                Ok(Tree::List(elements))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
                let mut fields: Vec<(String, Tree)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Tree>()? {
                    fields.push((name, value));
                }
                Ok(Tree::Object(fields))
            }
        }

        deserializer.deserialize_any(Build)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Tree, serde_json::Error> {
        Tree::parse(text.as_bytes())
    }

    #[test]
    fn pointers() {
        let tree = parse(r#"{"a": {"b": [1, {"": "x"}]}, "c/d~": 2.5, "e": true}"#).unwrap();
        let at = |pointer: &str| {
            let scalar = tree.at(pointer)?.scalar()?;
            Some(String::from_utf8(scalar).unwrap())
        };
        for (pointer, value) in [
            ("/a/b/0", Some("1")),
            ("/a/b/1/", Some("x")),
            ("/c~1d~0", Some("2.5")),
            ("/e", Some("true")),
            ("/a/b/00", None),
            ("/a/b/-", None),
            ("/a/b/2", None),
            ("/a", None),
            ("a", None),
            ("", None),
        ] {
            assert_eq!(at(pointer).as_deref(), value, "{pointer}");
        }
        assert_eq!(tree.at(""), Some(&tree));
    }

    #[test]
    fn what_is_no_document_is_refused() {
        let deep = "[".repeat(100_000);
        for text in ["", "{", "[1] 2", "nul", &deep] {
            assert!(parse(text).is_err(), "{text:.20}");
        }
    }

    #[test]
    fn numbers_keep_all_their_digits() {
        for text in [
            "18446744073709551615",
            "-9223372036854775808",
            "0.1",
            "1e300",
        ] {
            let written = parse(text).unwrap().scalar().unwrap();
            let written = String::from_utf8(written).unwrap();
            assert_eq!(parse(&written).unwrap(), parse(text).unwrap(), "{text}");
        }
    }

    /// Whole numbers of 64 bits and fractions of 15 digits are exact; beyond that
    /// serde_json reads to within a unit in the last place, or exactly where somebody
    /// asks for `float_roundtrip`, as the judge does for its evidence.
    #[test]
    fn numbers_of_fifteen_digits_are_exact() {
        for text in ["0.3", "1.23456789012345e27", "0.000123456789012345", "-7.5"] {
            let standard: f64 = text.parse().unwrap();
            assert_eq!(number(text.as_bytes()), Some(standard), "{text}");
            let found = String::from_utf8(parse(text).unwrap().scalar().unwrap()).unwrap();
            assert_eq!(found.parse(), Ok(standard), "{text}");
        }
    }
}
