//! The fields of a rollout, as the schema of what the judge reads has them.

use crate::suggest::nearest;
use schemars::schema_for;
use serde::Serialize;
use serde_json::Value;
use serinus_judge::domain::RolloutSpec;

/// A field, at whatever depth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Field {
    /// `arms.serves.label`: the same for each of a list.
    pub path: String,
    /// What it may be: `text`, `list of number`, `hold | roll_back`.
    pub kind: String,
    /// As JSON; of a field with fields of its own, those say it.
    pub default: Option<String>,
    pub meaning: String,
}

/// All of them, each before those within it.
pub fn all() -> Vec<Field> {
    let schema = schema_for!(RolloutSpec).to_value();
    let mut found = Vec::new();
    walk(&schema, &schema, "", &mut found);
    found
}

fn walk(whole: &Value, place: &Value, parent: &str, found: &mut Vec<Field>) {
    for object in objects(whole, place) {
        // An alternative of one field is described as a whole.
        let only = object.description.filter(|_| object.fields.len() == 1);
        for (name, field) in object.fields {
            let path = match parent {
                "" => name.clone(),
                parent => format!("{parent}.{name}"),
            };
            let has_fields = !objects(whole, field).is_empty();
            let default = field.get("default").filter(|default| match default {
                Value::Object(_) => !has_fields,
                default => !default.is_null(),
            });
            found.push(Field {
                kind: kind(whole, field),
                default: default.map(Value::to_string),
                meaning: description(whole, field)
                    .or(only)
                    .unwrap_or_default()
                    .replace('\n', " "),
                path: path.clone(),
            });
            walk(whole, field, &path, found);
        }
    }
}

/// A field's own description, or else that of its type.
fn description<'a>(whole: &'a Value, place: &'a Value) -> Option<&'a str> {
    let own = place.get("description").and_then(Value::as_str);
    own.or_else(|| description(whole, reference(whole, place)?))
}

/// What a place may hold, in words.
fn kind(whole: &Value, place: &Value) -> String {
    let list = |key: &str| place.get(key).and_then(Value::as_array);
    if let Some(named) = reference(whole, place) {
        return kind(whole, named);
    }
    if let Some(allowed) = list("enum") {
        return words(allowed.iter().map(plain));
    }
    if let Some(only) = place.get("const") {
        return plain(only);
    }
    if let Some(alternatives) = list("anyOf").or_else(|| list("oneOf")) {
        return words(alternatives.iter().map(|one| kind(whole, one)));
    }
    let kinds: Vec<&str> = match place.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    words(kinds.into_iter().map(|kind_name| match kind_name {
        "array" => match place.get("items") {
            Some(items) => format!("list of {}", kind(whole, items)),
            None => "list".to_owned(),
        },
        "object" => match place.get("additionalProperties") {
            Some(each @ Value::Object(_)) => format!("by name: {}", kind(whole, each)),
            _ => "fields".to_owned(),
        },
        "string" => "text".to_owned(),
        "boolean" => "true | false".to_owned(),
        "null" => String::new(),
        other => other.to_owned(),
    }))
}

/// Each once, and what says nothing not at all.
fn words(kinds: impl Iterator<Item = String>) -> String {
    let mut once: Vec<String> = Vec::new();
    for kind in kinds.filter(|kind| !kind.is_empty()) {
        if !once.contains(&kind) {
            once.push(kind);
        }
    }
    once.join(" | ")
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn reference<'a>(whole: &'a Value, place: &Value) -> Option<&'a Value> {
    let name = place.get("$ref").and_then(Value::as_str)?;
    whole.pointer(name.strip_prefix('#')?)
}

/// The field that an error of the form `path.of.it: unknown field` means, if it is
/// plain which.
pub fn meant(problem: &str) -> Option<String> {
    let path = problem.strip_suffix(": unknown field")?;
    let (parent, wrong) = path.rsplit_once('.').unwrap_or(("", path));
    let schema = schema_for!(RolloutSpec).to_value();
    let mut places = objects(&schema, &schema);
    for part in parent.split('.').filter(|part| !part.is_empty()) {
        // `arms[1]`: the fields of all arms are the same.
        let name = part.split('[').next().unwrap_or(part);
        let within = places.iter().filter_map(|place| place.fields.get(name));
        places = within.flat_map(|field| objects(&schema, field)).collect();
    }
    let names = places.iter().flat_map(|place| place.fields.keys());
    nearest(wrong, names.map(String::as_str)).map(str::to_owned)
}

/// An object that a schema allows.
struct Object<'a> {
    fields: &'a serde_json::Map<String, Value>,
    description: Option<&'a str>,
}

/// The objects that a schema allows at a place, through references, lists and
/// alternatives. No type of a rollout is part of itself.
fn objects<'a>(whole: &'a Value, place: &'a Value) -> Vec<Object<'a>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_that_was_meant() {
        for (problem, right) in [
            ("steeps: unknown field", Some("steps")),
            ("arms[1].nam: unknown field", Some("name")),
            ("arms[1].registry: unknown field", Some("registry_uri")),
            ("arms[1].registry_url: unknown field", Some("registry_uri")),
            ("arms[0].serves.imputs: unknown field", Some("inputs")),
            ("match.path_prefx: unknown field", Some("path_prefix")),
            ("segments[0].when[2].heder: unknown field", Some("header")),
            ("guardrails.outcome: unknown field", Some("outcomes")),
            ("guardrails.value.higest: unknown field", Some("highest")),
            ("guardrails.errors.margin: unknown field", None),
            ("gates.queries[0].chekcs: unknown field", Some("checks")),
            ("pairing.endpoint: unknown field", Some("endpoints")),
            ("protocol.json.labl: unknown field", Some("label")),
            ("nonsense: unknown field", None),
            ("arms: are missing", None),
        ] {
            assert_eq!(meant(problem).as_deref(), right, "{problem}");
        }
    }
}
