//! Schemas of bodies in which a field that is not known is an error.

use super::SCHEMAS;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The names of all schemas that these lead to.
pub fn reached(from: &[Value], definitions: &Map<String, Value>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left: Vec<&Value> = from.iter().collect();
    while let Some(schema) = left.pop() {
        let mut names = Vec::new();
        references(schema, &mut names);
        for name in names {
            if let Some(schema) = definitions.get(name)
                && found.insert(name.to_owned())
            {
                left.push(schema);
            }
        }
    }
    found
}

fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            let reference = fields.get("$ref").and_then(Value::as_str);
            let name = reference.and_then(|path| path.strip_prefix('#')?.strip_prefix(SCHEMAS));
            found.extend(name.and_then(|name| name.strip_prefix('/')));
            fields.values().for_each(|field| references(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// No object in it has other fields than it names.
pub fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.contains_key("properties") {
                let closed = || Value::Bool(false);
                let further = "additionalProperties".to_owned();
                fields.entry(further).or_insert_with(closed);
            }
            fields.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_body_leads_to_is_closed_and_nothing_else() {
        let mut definitions = json!({
            "Spec": {"properties": {"arms": {"items": {"$ref": "#/components/schemas/Arm"}}}},
            "Arm": {"properties": {
                "of": {"anyOf": [{"$ref": "#/components/schemas/Arm"}, {"type": "null"}]},
                "weights": {"additionalProperties": {"type": "number"}},
            }},
            "Report": {"properties": {"version": {}}},
        });
        let from = [json!({"$ref": "#/components/schemas/Spec"})];
        let found = reached(&from, definitions.as_object().unwrap());
        assert_eq!(found, BTreeSet::from(["Arm".to_owned(), "Spec".to_owned()]));
        close(&mut definitions["Arm"]);
        assert_eq!(definitions["Arm"]["additionalProperties"], false);
        let weights = &definitions["Arm"]["properties"]["weights"];
        assert_eq!(weights["additionalProperties"]["type"], "number");
    }
}
