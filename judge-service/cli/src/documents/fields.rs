//! The names of a rollout's fields, to suggest the one that was meant.

use crate::suggest::nearest;
use serde_json::Value;

/// A rollout that says everything, though it makes no sense: a test compares it with
/// the type.
const EVERY_FIELD: &str = include_str!("every_field.json");

/// The field that an error of the form `path.of.it: unknown field` means, if it is
/// plain which.
pub fn meant(problem: &str) -> Option<String> {
    let path = problem.strip_suffix(": unknown field")?;
    let (parent, wrong) = path.rsplit_once('.').unwrap_or(("", path));
    let every: Value = serde_json::from_str(EVERY_FIELD).ok()?;
    let mut place = &every;
    for part in parent.split('.').filter(|part| !part.is_empty()) {
        // `arms[1]`: the fields of all arms are those of the first.
        let name = part.split('[').next().unwrap_or(part);
        place = place.get(name)?;
        while let Value::Array(list) = place {
            place = list.first()?;
        }
    }
    let names = place.as_object()?.keys().map(String::as_str);
    nearest(wrong, names).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serinus_core::json::read_strict;
    use serinus_judge::domain::RolloutSpec;

    #[test]
    fn the_field_that_was_meant() {
        for (problem, right) in [
            ("steeps: unknown field", Some("steps")),
            ("arms[1].nam: unknown field", Some("name")),
            ("match.path_prefx: unknown field", Some("path_prefix")),
            ("segments[0].when[2].heder: unknown field", Some("header")),
            ("guardrails.errors.margin: unknown field", None),
            ("nonsense: unknown field", None),
            ("arms: are missing", None),
        ] {
            assert_eq!(meant(problem).as_deref(), right, "{problem}");
        }
    }

    /// Names of all objects, by their paths.
    fn names(value: &Value, path: &str, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let path = format!("{path}.{name}");
                    names(value, &path, found);
                    found.push(path);
                }
            }
            Value::Array(list) => list.iter().for_each(|value| names(value, path, found)),
            _ => {}
        }
    }

    #[test]
    fn every_field_is_there() {
        let mut every: Value = serde_json::from_str(EVERY_FIELD).unwrap();
        let mut listed = Vec::new();
        names(&every, "", &mut listed);
        // One source has one name.
        let sources = every["unit"][0].as_object().unwrap().clone();
        every["unit"] = sources
            .into_iter()
            .map(|(name, value)| serde_json::json!({name: value}))
            .collect();
        let spec: RolloutSpec = read_strict(every.to_string().as_bytes()).unwrap();
        let mut written = Vec::new();
        names(&serde_json::to_value(spec).unwrap(), "", &mut written);
        listed.sort();
        written.sort();
        assert_eq!(listed, written);
    }
}
