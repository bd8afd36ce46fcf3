//! Fields by their path: an object's fields are each somebody's, a list is one field.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

pub type Fields = BTreeMap<String, Value>;

pub fn leaves(value: &Value) -> Fields {
    let mut found = Fields::new();
    collect(String::new(), value, &mut found);
    found
}

fn collect(path: String, value: &Value, found: &mut Fields) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                collect(format!("{path}/{name}"), value, found);
            }
        }
        _ => {
            found.insert(path, value.clone());
        }
    }
}

pub fn put(whole: &mut Value, path: &str, value: &Value) {
    let mut place = whole;
    for name in path.split('/').skip(1) {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = place
            .as_object_mut()
            .unwrap()
            .entry(name)
            .or_insert(Value::Null);
    }
    *place = value.clone();
}

/// And what is left empty by it.
pub fn remove(whole: &mut Value, path: &str) {
    let Some((parent, name)) = path.rsplit_once('/') else {
        return;
    };
    let fields = whole.pointer_mut(parent).and_then(Value::as_object_mut);
    let Some(fields) = fields else { return };
    fields.remove(name);
    if fields.is_empty() && !parent.is_empty() {
        remove(whole, parent);
    }
}
