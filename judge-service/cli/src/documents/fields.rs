//! The names of a rollout's fields, to suggest the one that was meant.

use crate::suggest::nearest;
use schemars::schema_for;
use serde_json::Value;
use serinus_judge::domain::RolloutSpec;

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
        let within = places.iter().filter_map(|place| place.get(name));
        places = within.flat_map(|field| objects(&schema, field)).collect();
    }
    let names = places.iter().flat_map(|place| place.keys());
    nearest(wrong, names.map(String::as_str)).map(str::to_owned)
}

type Fields = serde_json::Map<String, Value>;

/// The fields of the objects that a schema allows at a place, through references, lists and
/// alternatives. No type of a rollout is part of itself.
fn objects<'a>(whole: &'a Value, place: &'a Value) -> Vec<&'a Fields> {
    let mut found = Vec::new();
    if let Some(fields) = place.get("properties").and_then(Value::as_object) {
        found.push(fields);
    }
    let named = place.get("$ref").and_then(Value::as_str);
    let named = named.and_then(|name| whole.pointer(name.strip_prefix('#')?));
    let lists = ["anyOf", "oneOf", "allOf"];
    let alternatives = lists.iter().filter_map(|list| place.get(list)?.as_array());
    let further = named
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
