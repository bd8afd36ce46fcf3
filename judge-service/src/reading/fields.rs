//! The fields of a rollout, as the schema of what the judge reads has them.

use super::schema::{Object, objects, reference};
use crate::domain::RolloutSpec;
use schemars::schema_for;
use serde::Serialize;
use serde_json::Value;

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
    for Object {
        fields,
        description: about,
    } in objects(whole, place)
    {
        // An alternative of one field is described as a whole.
        let only = about.filter(|_| fields.len() == 1);
        for (name, field) in fields {
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
