//! The API's description, OpenAPI 3.1: made of the same table that the router is made of,
//! and of the types that are read and written.

mod closing;
mod operation;

pub use operation::{Operation, delete, get, post};

use super::routes::{self, Route};
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// Where schemas stand in the document.
const SCHEMAS: &str = "/components/schemas";

/// What is asked and what is answered differ: what has a default need not be asked for,
/// and is always answered.
pub struct Schemas {
    asked: SchemaGenerator,
    answered: SchemaGenerator,
    /// Of bodies in which there is nothing that is not known.
    strict: Vec<Value>,
}

impl Schemas {
    fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = SCHEMAS.into();
                settings.meta_schema = None;
            })
        };
        Self {
            asked: settings().for_deserialize().into_generator(),
            answered: settings().for_serialize().into_generator(),
            strict: Vec::new(),
        }
    }

    /// All that operations refer to. Of two with one name, the one that is asked for gets
    /// another.
    fn into_components(mut self, paths: &mut Value) -> Map<String, Value> {
        let mut all = self.answered.take_definitions(true);
        let mut asked = self.asked.take_definitions(true);
        for name in closing::reached(&self.strict, &asked) {
            if let Some(schema) = asked.get_mut(&name) {
                closing::close(schema);
            }
        }
        for schema in asked.values_mut() {
            refer_to_asked(schema);
        }
        for (name, schema) in asked {
            all.insert(asked_name(&name), schema);
        }
        refer_to_asked_bodies(paths);
        all
    }
}

fn asked_name(name: &str) -> String {
    format!("{name}Request")
}

fn refer_to_asked(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get_mut("$ref") {
                reference.push_str("Request");
            }
            fields.values_mut().for_each(refer_to_asked);
        }
        Value::Array(items) => items.iter_mut().for_each(refer_to_asked),
        _ => {}
    }
}

fn refer_to_asked_bodies(paths: &mut Value) {
    let operations = paths.as_object_mut().into_iter().flat_map(Map::values_mut);
    let operations = operations.filter_map(Value::as_object_mut);
    for operation in operations.flat_map(Map::values_mut) {
        if let Some(body) = operation.get_mut("requestBody") {
            refer_to_asked(body);
        }
    }
}

/// The description as text, made once.
pub fn document() -> &'static str {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
        let mut text = serde_json::to_string_pretty(&describe()).unwrap_or_default();
        text.push('\n');
        text
    });
    &DOCUMENT
}

/// The description of this judge: one that asks for no token says so.
pub fn served(is_guarded: bool) -> &'static str {
    static OPEN: LazyLock<String> = LazyLock::new(|| {
        let mut open = describe();
        let paths = open.get_mut("paths").and_then(Value::as_object_mut);
        let operations = paths.into_iter().flat_map(Map::values_mut);
        let operations = operations.filter_map(Value::as_object_mut);
        for operation in operations.flat_map(Map::values_mut) {
            if let Some(security) = operation.get_mut("security") {
                *security = json!([]);
            }
        }
        open.to_string()
    });
    if is_guarded { document() } else { &OPEN }
}

fn describe() -> Value {
    let mut schemas = Schemas::new();
    let mut paths = Map::new();
    for Route {
        path, operations, ..
    } in routes::all()
    {
        let operations = operations.into_iter();
        let described: Map<String, Value> = operations
            .map(|operation| {
                let method = operation.method().to_owned();
                (method, operation.describe(path, &mut schemas))
            })
            .collect();
        paths.insert(path.to_owned(), described.into());
    }
    let mut paths = Value::Object(paths);
    let components = schemas.into_components(&mut paths);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Serinus judge",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Canary releases for machine-learning models, decided by evidence.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            // A judge that was given no file of tokens asks for none of them.
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "As `serinus token new` makes them."},
                "cookie": {"type": "apiKey", "in": "cookie", "name": super::session::COOKIE, "description": "The same token, for the page: `POST /v1/session` sets it."},
                "certificate": {"type": "mutualTLS", "description": "A certificate of the judge's `--client-ca`: a proxy's."},
            },
        },
    })
}

/// A schema that stands in the document where it is used.
fn inline(schema: Schema) -> Value {
    schema.to_value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// Written anew with `SERINUS_WRITE=1`.
    fn is_committed(path: &str, text: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        if std::env::var_os("SERINUS_WRITE").is_some() {
            std::fs::write(&path, text).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == text,
            "{} is not what the code says: run `make contracts`, and look at what changed",
            path.display()
        );
    }

    #[test]
    fn the_committed_description_is_the_codes() {
        is_committed("openapi.json", document());
    }

    #[test]
    fn the_committed_schema_of_the_plan_is_the_codes() {
        let settings = SchemaSettings::draft2020_12().for_deserialize();
        let schema = settings
            .into_generator()
            .into_root_schema_for::<serinus_core::plan::Plan>();
        let mut text = serde_json::to_string_pretty(&schema).unwrap();
        text.push('\n');
        is_committed("../filter/core/plan.schema.json", &text);
    }

    #[test]
    fn a_judge_without_tokens_asks_for_none_and_is_the_same_else() {
        let mut guarded: Value = serde_json::from_str(served(true)).unwrap();
        let open: Value = serde_json::from_str(served(false)).unwrap();
        let paths = guarded["paths"].as_object_mut().unwrap();
        for operations in paths.values_mut() {
            for operation in operations.as_object_mut().unwrap().values_mut() {
                operation["security"] = json!([]);
            }
        }
        assert_eq!(guarded, open);
    }

    #[test]
    fn every_operation_says_who_may_do_it() {
        let document: Value = serde_json::from_str(document()).unwrap();
        let paths = document["paths"].as_object().unwrap();
        for (path, operations) in paths {
            for (method, operation) in operations.as_object().unwrap() {
                let ways = operation["security"].as_array().unwrap();
                let open = ways.is_empty();
                let refuses = !operation["responses"]["401"].is_null();
                assert_ne!(open, refuses, "{method} {path}");
                for way in ways {
                    let (name, _) = way.as_object().unwrap().iter().next().unwrap();
                    let scheme = format!("/components/securitySchemes/{name}");
                    assert!(document.pointer(&scheme).is_some(), "{scheme}");
                }
            }
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(fields) => {
                    if let Some(Value::String(reference)) = fields.get("$ref") {
                        found.push(reference.clone());
                    }
                    fields.values().for_each(|field| references(field, found));
                }
                Value::Array(items) => items.iter().for_each(|item| references(item, found)),
                _ => {}
            }
        }
        let document: Value = serde_json::from_str(document()).unwrap();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 50);
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}
