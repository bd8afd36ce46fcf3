//! Reading JSON with errors that name the field.

use core::fmt;
use serde::de::DeserializeOwned;

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
    // serde would read a list as a struct's fields in their order, which nobody means.
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if first.is_some_and(|&byte| byte != b'{') {
        return Err(FieldError::new(
            ".",
            "is no JSON object, such as {\"name\": 1}",
        ));
    }
    let mut ignored = Vec::new();
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let mut note = |path: serde_ignored::Path<'_>| ignored.push(readable(&path));
    let value =
        serde_path_to_error::deserialize(serde_ignored::Deserializer::new(&mut json, &mut note))
            .map_err(|error| {
                let field = error.path().to_string();
                FieldError::new(field, error.into_inner().to_string())
            })?;
    json.end()
        .map_err(|error| FieldError::new(".", error.to_string()))?;
    Ok((value, ignored))
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
        Some(field) => Err(FieldError::new(field, "unknown field")),
    }
}

/// `rollouts.0.arms.1` as `rollouts[0].arms[1]`, the form of all other paths.
fn readable(path: &serde_ignored::Path<'_>) -> String {
    let mut text = String::new();
    for part in path.to_string().split('.') {
        if part == "?" {
            continue;
        }
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            text.push('[');
            text.push_str(part);
            text.push(']');
        } else {
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(part);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    struct Outer {
        #[allow(dead_code)]
        list: Vec<Inner>,
    }
    #[derive(Debug, Deserialize)]
    struct Inner {
        #[allow(dead_code)]
        size: u8,
    }

    #[test]
    fn names_the_field() {
        let error = read_strict::<Outer>(br#"{"list":[{"size":1},{"size":"x"}]}"#).unwrap_err();
        assert_eq!(error.field, "list[1].size");
        let error = read_strict::<Outer>(br#"{"list":[{"size":1,"sizes":2}]}"#).unwrap_err();
        assert_eq!(error.to_string(), "list[0].sizes: unknown field");
        let (_, ignored) =
            read_tolerant::<Outer>(br#"{"list":[{"size":1,"x":2}],"y":{}}"#).unwrap();
        assert_eq!(ignored, ["list[0].x", "y"]);
        assert!(read_tolerant::<Outer>(br#"{"list":[]} trailing"#).is_err());
    }
}
