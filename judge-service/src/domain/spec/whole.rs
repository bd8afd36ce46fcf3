//! A spec as it is shown: with what is assumed where it says nothing.
//!
//! What is stored, and what the evidence of a decision has in it, leaves parts out that
//! are as they are without a word: they came later than the first decisions, whose hashes
//! would be others with them.

use super::{BodyProtocol, Gates, Privacy, Remember, RolloutSpec, is_default};
use serde::{Serialize, Serializer};

#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    spec: &'a RolloutSpec,
    #[serde(skip_serializing_if = "Option::is_none")]
    gates: Option<&'a Gates>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'a BodyProtocol>,
    #[serde(skip_serializing_if = "Option::is_none")]
    privacy: Option<&'a Privacy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remember: Option<&'a Remember>,
}

/// # Errors
/// What the serializer cannot write.
pub fn whole<S: Serializer>(spec: &RolloutSpec, serializer: S) -> Result<S::Ok, S::Error> {
    fn left_out<T: Default + PartialEq>(part: &T) -> Option<&T> {
        Some(part).filter(|part| is_default(*part))
    }
    Whole {
        spec,
        gates: left_out(&spec.gates),
        protocol: left_out(&spec.protocol),
        privacy: left_out(&spec.privacy),
        remember: left_out(&spec.remember),
    }
    .serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::tests::{spec, spec_json};
    use schemars::schema_for;
    use serde_json::{Value, json};

    #[test]
    fn every_default_is_shown() {
        let spec = spec(&spec_json()).unwrap();
        let shown = whole(&spec, serde_json::value::Serializer).unwrap();
        let schema = schema_for!(RolloutSpec).to_value();
        for (name, field) in schema["properties"].as_object().unwrap() {
            let default = field.get("default");
            if default.is_some_and(|default| !default.is_null() && *default != json!([])) {
                assert!(shown.get(name).is_some(), "{name} = {default:?}");
            }
        }
        assert_eq!(shown["remember"]["request_header"], "x-request-id");
        let read: RolloutSpec = serde_json::from_value(shown).unwrap();
        assert_eq!(read, spec);
    }

    #[test]
    fn what_is_said_stands_there_once() {
        let mut document = spec_json();
        document["privacy"] = json!({"keep_seconds": 5});
        let spec = spec(&document).unwrap();
        let mut text = Vec::new();
        whole(&spec, &mut serde_json::Serializer::new(&mut text)).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text.matches("\"privacy\"").count(), 1, "{text}");
        let shown: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(shown["privacy"]["keep_seconds"], 5.0);
    }
}
