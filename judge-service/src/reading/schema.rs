//! What a JSON Schema says a document may have where.

use super::nearest;
use schemars::{JsonSchema, schema_for};
use serde_json::Value;
use serinus_core::json::{FieldError, UNKNOWN};

/// An object that a schema allows.
pub struct Object<'a> {
    pub fields: &'a serde_json::Map<String, Value>,
    pub description: Option<&'a str>,
}

/// The objects that a schema allows at a place, through references, lists and
/// alternatives. No type of ours is part of itself.
pub fn objects<'a>(whole: &'a Value, place: &'a Value) -> Vec<Object<'a>> {
    let mut found = Vec::new();
    if let Some(fields) = place.get("properties").and_then(Value::as_object) {
        found.push(Object {
            fields,
            description: place.get("description").and_then(Value::as_str),
        });
    }
    let lists = ["anyOf", "oneOf", "allOf"];
    let alternatives = lists.iter().filter_map(|list| place.get(list)?.as_array());
    let further = reference(whole, place)
        .into_iter()
        .chain(place.get("items"))
        .chain(alternatives.flatten());
    found.extend(further.flat_map(|place| objects(whole, place)));
    found
}

pub fn reference<'a>(whole: &'a Value, place: &Value) -> Option<&'a Value> {
    let name = place.get("$ref").and_then(Value::as_str)?;
    whole.pointer(name.strip_prefix('#')?)
}

/// What a type's documents look like.
pub struct Shape(Value);

impl Shape {
    #[must_use]
    pub fn of<T: JsonSchema>() -> Self {
        Self(schema_for!(T).to_value())
    }

    /// An error of a field that is not known, with the one that was meant.
    #[must_use]
    pub fn with_meant(&self, error: FieldError) -> FieldError {
        if error.problem != UNKNOWN {
            return error;
        }
        match self.meant(&error.field) {
            None => error,
            Some(meant) => {
                let problem = format!("{UNKNOWN}; did you mean `{meant}`?");
                FieldError::new(error.field, problem)
            }
        }
    }

    /// The field that a path which there is not means, if it is plain which.
    #[must_use]
    pub fn meant(&self, path: &str) -> Option<String> {
        let (parent, wrong) = path.rsplit_once('.').unwrap_or(("", path));
        let mut places = objects(&self.0, &self.0);
        for part in parent.split('.').filter(|part| !part.is_empty()) {
            // `arms[1]`: the fields of all arms are the same.
            let name = part.split('[').next().unwrap_or(part);
            let within = places.iter().filter_map(|place| place.fields.get(name));
            places = within.flat_map(|field| objects(&self.0, field)).collect();
        }
        let names = places.iter().flat_map(|place| place.fields.keys());
        nearest(wrong, names.map(String::as_str)).map(str::to_owned)
    }

    /// The fields that a document cannot be without.
    pub fn required(&self) -> impl Iterator<Item = &str> {
        let names = self.0.get("required").and_then(Value::as_array);
        names.into_iter().flatten().filter_map(Value::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::RolloutSpec;

    #[test]
    fn the_field_that_was_meant() {
        let shape = Shape::of::<RolloutSpec>();
        for (path, right) in [
            ("steeps", Some("steps")),
            ("arms[1].nam", Some("name")),
            ("arms[1].registry", Some("registry_uri")),
            ("arms[1].registry_url", Some("registry_uri")),
            ("arms[0].serves.imputs", Some("inputs")),
            ("match.path_prefx", Some("path_prefix")),
            ("segments[0].when[2].heder", Some("header")),
            ("guardrails.outcome", Some("outcomes")),
            ("guardrails.value.higest", Some("highest")),
            ("guardrails.errors.margin", None),
            ("gates.queries[0].chekcs", Some("checks")),
            ("pairing.endpoint", Some("endpoints")),
            ("protocol.json.labl", Some("label")),
            ("nonsense", None),
        ] {
            assert_eq!(shape.meant(path).as_deref(), right, "{path}");
        }
    }

    #[test]
    fn what_a_rollout_cannot_be_without() {
        let shape = Shape::of::<RolloutSpec>();
        let required: Vec<&str> = shape.required().collect();
        assert_eq!(required, ["id", "match", "unit", "arms"]);
    }
}
