//! Taking out of a body what may not be kept.

use serde_json::Value;

/// An excerpt of a body that cannot be read is no longer than this.
const EXCERPT_BYTES: usize = 512;

/// JSON pointers (RFC 6901) to what is taken out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redaction {
    pointers: Vec<String>,
}

impl Redaction {
    #[must_use]
    pub fn new(pointers: &[String]) -> Self {
        Self {
            pointers: pointers.to_vec(),
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pointers.is_empty()
    }

    /// The body without what the pointers lead to, which becomes `null`: there is nothing
    /// to be learned from what is left out, not even its length. `None` for a body that is
    /// no JSON, of which nothing may be kept.
    #[must_use]
    pub fn of(&self, body: &[u8]) -> Option<Value> {
        let mut value: Value = serde_json::from_slice(body).ok()?;
        for pointer in &self.pointers {
            if let Some(found) = value.pointer_mut(pointer) {
                *found = Value::Null;
            }
        }
        Some(value)
    }

    /// The beginning of a body, as an example of what cannot be read.
    #[must_use]
    pub fn excerpt(&self, body: &[u8]) -> Option<String> {
        let text = if self.is_empty() {
            let start = body.get(..EXCERPT_BYTES).unwrap_or(body);
            String::from_utf8_lossy(start).into_owned()
        } else {
            self.of(body)?.to_string()
        };
        Some(text.chars().take(EXCERPT_BYTES).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redaction(pointers: &[&str]) -> Redaction {
        let pointers: Vec<String> = pointers.iter().map(|&pointer| pointer.to_owned()).collect();
        Redaction::new(&pointers)
    }

    #[test]
    fn what_pointers_lead_to_is_gone() {
        let redaction = redaction(&["/card", "/people/0/name", "/not/there"]);
        let body = br#"{"card": "4111", "people": [{"name": "Ada", "age": 36}], "amount": 7}"#;
        let left = redaction.of(body).unwrap().to_string();
        assert!(!left.contains("4111") && !left.contains("Ada"), "{left}");
        assert!(left.contains("36") && left.contains("\"amount\":7"));
    }

    #[test]
    fn nothing_is_kept_of_what_cannot_be_redacted() {
        let broken = br#"{"card": "4111", "#;
        assert_eq!(redaction(&["/card"]).excerpt(broken), None);
        let whole = redaction(&[]).excerpt(broken).unwrap();
        assert!(whole.contains("4111"));
    }

    #[test]
    fn excerpts_are_short() {
        let long = "é".repeat(10_000);
        assert!(
            redaction(&[])
                .excerpt(long.as_bytes())
                .unwrap()
                .chars()
                .count()
                <= EXCERPT_BYTES
        );
        let json = serde_json::to_vec(&long).unwrap();
        assert_eq!(
            redaction(&["/x"]).excerpt(&json).unwrap().chars().count(),
            EXCERPT_BYTES
        );
    }
}
