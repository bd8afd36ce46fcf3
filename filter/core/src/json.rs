//! Reading JSON with errors that name the field.

mod fields;
mod read;
mod tree;
mod wrong;

pub use fields::{Fields, fill};
pub use tree::{Tree, number, written};

use core::fmt;
use serde::de::DeserializeOwned;

/// What is wrong with a field that nobody knows.
pub const UNKNOWN: &str = "unknown field";

/// What was wrong with a document, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Path of the field, such as `rollouts[0].arms[1].name`; `.` for the whole.
    pub field: String,
    /// What was wrong and what would be right.
    pub problem: String,
}

impl FieldError {
    #[must_use]
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            problem: problem.into(),
        }
    }

    /// The same of a field below another one, such as `arms[1]`.
    #[must_use]
    pub fn below(self, parent: impl fmt::Display) -> Self {
        Self::new(format!("{parent}.{}", self.field), self.problem)
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)
    }
}

impl std::error::Error for FieldError {}

/// Reads what another version of Serinus wrote: fields that this one does not
/// know are passed over, and their paths returned.
///
/// # Errors
/// The first field that does not fit.
pub fn read_tolerant<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, Vec<String>), FieldError> {
    let mut unknown = Vec::new();
    let value = read_tree(&tree(bytes)?, &mut unknown)?;
    Ok((value, unknown))
}

/// # Errors
/// What is no JSON document.
pub fn tree(bytes: &[u8]) -> Result<Tree, FieldError> {
    Tree::parse(bytes)
        .map_err(|error| FieldError::new(".", format!("is no JSON document: {error}")))
}

/// Reads what a document says; fields that the type does not have, as far as it was read,
/// are added to `unknown` by their paths.
///
/// # Errors
/// The first field that does not fit.
pub fn read_tree<T: DeserializeOwned>(
    tree: &Tree,
    unknown: &mut Vec<String>,
) -> Result<T, FieldError> {
    read::read(tree, unknown)
}

/// Reads what mostly fits, as [`read_tolerant`] does. The quick reader has no words for
/// what is wrong, so what it does not read is read again by the one that has.
///
/// # Errors
/// The first field that does not fit.
pub fn read_quickly<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FieldError> {
    match serde_json::from_slice(bytes) {
        Ok(read) => Ok(read),
        Err(_) => Ok(read_tolerant(bytes)?.0),
    }
}

/// Reads what a person wrote: an unknown field is an error, since it is most
/// often a known one misspelt.
///
/// # Errors
/// The first field that does not fit or is not known.
pub fn read_strict<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FieldError> {
    let (value, ignored) = read_tolerant(bytes)?;
    match ignored.into_iter().next() {
        None => Ok(value),
        Some(field) => Err(FieldError::new(field, UNKNOWN)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Outer {
        list: Vec<Inner>,
        #[serde(default)]
        pair: Option<(u16, bool)>,
        #[serde(default)]
        by_number: BTreeMap<u64, String>,
    }
    #[derive(Debug)]
    #[allow(dead_code)]
    struct Inner {
        size: u8,
        share: f64,
        choice: Option<Choice>,
    }
    crate::read_fields!(Inner {
        size,
        share = 0.0,
        choice = None,
    });
    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    #[allow(dead_code)]
    enum Choice {
        Left,
        Right(u32),
    }

    #[test]
    fn what_fits_is_read() {
        let outer: Outer = read_strict(
            br#"{"list": [{"size": 255, "share": 1, "choice": "left"},
                          {"size": 0, "share": -0.5, "choice": {"right": 7}}, {"size": 1, "choice": null}],
                 "pair": [1.0e1, true], "by_number": {"18446744073709551615": "x"}}"#,
        )
        .unwrap();
        assert_eq!((outer.list[0].share, outer.list[1].share), (1.0, -0.5));
        assert!(matches!(outer.list[1].choice, Some(Choice::Right(7))));
        assert_eq!(outer.pair, Some((10, true)));
        assert_eq!(outer.by_number[&u64::MAX], "x");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (document, error) in [
            ("[]", ".: is a list; an object is right"),
            ("{}", "list: is missing"),
            (r#"{"list": 1}"#, "list: is 1; a list is right"),
            (
                r#"{"list": [[1, 2]]}"#,
                "list[0]: is a list; an object is right",
            ),
            (r#"{"list": [{"size": 1}, {}]}"#, "list[1].size: is missing"),
            (
                r#"{"list": [{"size": 1}, {"size": "x"}]}"#,
                "list[1].size: is a text; a whole number from 0 to 255 is right",
            ),
            (
                r#"{"list": [{"size": 256}]}"#,
                "list[0].size: is 256; a whole number from 0 to 255 is right",
            ),
            (
                r#"{"list": [{"size": 1.5}]}"#,
                "list[0].size: is 1.5; a whole number from 0 to 255 is right",
            ),
            (
                r#"{"list": [{"size": -1.0}]}"#,
                "list[0].size: is -1; a whole number from 0 to 255 is right",
            ),
            (
                r#"{"list": [{"size": 1e300}]}"#,
                "list[0].size: is 1e+300; a whole number from 0 to 255 is right",
            ),
            (
                r#"{"list": [{"size": 1, "choice": "up"}]}"#,
                "list[0].choice: is `up`; one of left, right is right",
            ),
            (
                r#"{"list": [{"size": 1, "choice": {"right": []}}]}"#,
                "list[0].choice.right: is a list; a whole number from 0 to 4294967295 is right",
            ),
            (
                r#"{"list": [{"size": 1, "choice": "right"}]}"#,
                "list[0].choice: is a text; an object is right",
            ),
            (
                r#"{"list": [], "pair": [1, 2]}"#,
                "pair[1]: is 2; true or false is right",
            ),
            (
                r#"{"list": [], "pair": [1, true, 2]}"#,
                "pair: has 3 elements; 2 are right",
            ),
            (
                r#"{"list": [], "by_number": {"x": ""}}"#,
                "by_number.x: is no number",
            ),
            (
                r#"{"list": [{"size": 1, "sizes": 2}]}"#,
                "list[0].sizes: unknown field",
            ),
        ] {
            let found = read_strict::<Outer>(document.as_bytes()).unwrap_err();
            assert_eq!(found.to_string(), error, "{document}");
        }
        for (document, error) in [
            (r#"{"list": [], "list": []}"#, "list: stands there twice"),
            (
                r#"{"list": [{"share": 1, "share": "x", "size": 1}]}"#,
                "list[0].share: stands there twice",
            ),
        ] {
            let twice = read_strict::<Outer>(document.as_bytes()).unwrap_err();
            assert_eq!(twice.to_string(), error);
        }
        for document in ["", "{", "{\"list\": []} trailing"] {
            let error = read_strict::<Outer>(document.as_bytes()).unwrap_err();
            assert_eq!(error.field, ".");
            assert!(
                error.problem.starts_with("is no JSON document: "),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_not_known_is_passed_over_and_named() {
        let document = br#"{"list": [{"size": 1, "x": 2}], "y": {"z": [1]}}"#;
        let (_, ignored) = read_tolerant::<Outer>(document).unwrap();
        assert_eq!(ignored, ["list[0].x", "y"]);
    }
}
