//! Whether what a spec says of sampled bodies makes sense.

use super::urls::is_origin;
use super::{Problems, YEAR, within};
use crate::domain::spec::{Pairing, Privacy, RolloutSpec, Serves};
use serinus_core::json::FieldError;

/// Names of headers that a sample carries at most.
const MAX_HEADERS: usize = 32;
const MAX_POINTERS: usize = 256;

pub fn check(spec: &RolloutSpec, problems: &mut Problems) {
    if let Some(sampling) = &spec.sampling {
        problems.look(headers("sampling.headers", &sampling.headers));
    }
    for (index, arm) in spec.arms.iter().enumerate() {
        if arm.model.is_none() && arm.serves != Serves::default() {
            problems.add(FieldError::new(
                format!("arms[{index}].serves"),
                "says how the names of a model's description are served, and the arm names no `model`",
            ));
        }
    }
    check_privacy(&spec.privacy, problems);
    let remember = &spec.remember;
    problems.look(within("remember.seconds", remember.seconds, 0.0, YEAR));
    let name = &remember.request_header;
    problems.look(header("remember.request_header", name));
    if let Some(pairing) = &spec.pairing {
        check_pairing(spec, pairing, problems);
    }
}

fn check_privacy(privacy: &Privacy, problems: &mut Problems) {
    let field = "privacy.keep_seconds";
    problems.look(within(field, privacy.keep_seconds, 0.0, YEAR));
    let field = "privacy.keep_bytes";
    problems.look(within(field, privacy.keep_bytes, 0, 64 * 1024 * 1024));
    let (field, count) = ("privacy.redact", privacy.redact.len());
    if count > MAX_POINTERS {
        let problem = format!("has {count} pointers; at most {MAX_POINTERS} are right");
        return problems.add(FieldError::new(field, problem));
    }
    for (index, pointer) in privacy.redact.iter().enumerate() {
        if !pointer.starts_with('/') {
            problems.add(FieldError::new(
                format!("privacy.redact[{index}]"),
                format!("is `{pointer}`; a JSON pointer such as `/customer/name` is right"),
            ));
        }
    }
}

fn check_pairing(spec: &RolloutSpec, pairing: &Pairing, problems: &mut Problems) {
    if spec.sampling.is_none() {
        problems.add(FieldError::new(
            "pairing",
            "sends sampled requests again, and `sampling` is off",
        ));
    }
    for (arm, url) in &pairing.endpoints {
        let field = format!("pairing.endpoints.{arm}");
        if spec.arm_index(arm).is_none() {
            problems.add(super::unknown_arm(&field, arm, spec));
        }
        if !is_origin(url) {
            problems.add(FieldError::new(
                field,
                format!(
                    "is `{url}`; scheme, host and port such as `http://fraud-v2:8080` are right, the request's own path is appended"
                ),
            ));
        }
    }
    let asked = spec.arms.iter().filter(|arm| arm.model.is_some());
    for arm in asked {
        if !pairing.endpoints.contains_key(&arm.name) {
            problems.add(FieldError::new(
                "pairing.endpoints",
                format!("does not say where arm `{}` is asked", arm.name),
            ));
        }
    }
    let rate = pairing.per_second;
    problems.look(within("pairing.per_second", rate, 1e-3, 1_000.0));
    let timeout = pairing.timeout_ms;
    problems.look(within("pairing.timeout_ms", timeout, 10, 60_000));
    problems.look(headers("pairing.headers", &pairing.headers));
    for (index, method) in pairing.methods.iter().enumerate() {
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
            problems.add(FieldError::new(
                format!("pairing.methods[{index}]"),
                format!("is `{method}`; a method in capitals such as `POST` is right"),
            ));
        }
    }
}

fn headers(field: &str, names: &[String]) -> Result<(), FieldError> {
    if names.len() > MAX_HEADERS {
        return Err(FieldError::new(
            field,
            format!("has {} names; at most {MAX_HEADERS} are right", names.len()),
        ));
    }
    let mut names = names.iter().enumerate();
    names.try_for_each(|(index, name)| header(&format!("{field}[{index}]"), name))
}

fn header(field: &str, name: &str) -> Result<(), FieldError> {
    let is_plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.:".contains(&byte);
    if name.is_empty() || name.len() > 256 || !name.bytes().all(is_plain) {
        return Err(FieldError::new(
            field,
            format!("is `{name}`; a header's name in lower case, of 256 bytes at most, is right"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{spec, spec_json};
    use serde_json::{Value, json};

    fn refused(changes: &[(&str, Value)]) -> String {
        let mut document = spec_json();
        for (field, value) in changes {
            document[*field] = value.clone();
        }
        spec(&document).unwrap_err().field
    }

    fn with_models() -> (&'static str, Value) {
        let arms = json!([{"name": "control", "model": "a"}, {"name": "canary", "model": "b"}]);
        ("arms", arms)
    }

    #[test]
    fn every_error_names_its_field() {
        let endpoints = json!({"control": "http://a:1", "canary": "http://b:2"});
        let cases: &[(&str, Value, &str)] = &[
            ("privacy", json!({"redact": ["card"]}), "privacy.redact[0]"),
            (
                "privacy",
                json!({"keep_seconds": -1}),
                "privacy.keep_seconds",
            ),
            (
                "privacy",
                json!({"keep_bytes": 1e9 as u64}),
                "privacy.keep_bytes",
            ),
            (
                "sampling",
                json!({"headers": ["X-Id"]}),
                "sampling.headers[0]",
            ),
            ("protocol", json!("grpc"), "protocol"),
            (
                "protocol",
                json!({"json": {"label": "/a"}}),
                "protocol.json.inputs",
            ),
            ("pairing", json!({"endpoints": {}}), "pairing.endpoints"),
            (
                "pairing",
                json!({"endpoints": {"cnary": "http://b"}}),
                "pairing.endpoints.cnary",
            ),
            (
                "pairing",
                json!({"endpoints": {"canary": "ftp://b"}}),
                "pairing.endpoints.canary",
            ),
            (
                "pairing",
                json!({"endpoints": {"canary": "http://b/v2"}}),
                "pairing.endpoints.canary",
            ),
            (
                "pairing",
                json!({"endpoints": endpoints, "methods": ["post"]}),
                "pairing.methods[0]",
            ),
            (
                "pairing",
                json!({"endpoints": endpoints, "per_second": 0}),
                "pairing.per_second",
            ),
            (
                "pairing",
                json!({"endpoints": endpoints, "headers": [""]}),
                "pairing.headers[0]",
            ),
            (
                "guardrails",
                json!({"difference": {}}),
                "guardrails.difference.margin",
            ),
            (
                "guardrails",
                json!({"difference": {"margin": 0}}),
                "guardrails.difference.margin",
            ),
            (
                "guardrails",
                json!({"drift": {"tolerated": 2}}),
                "guardrails.drift.tolerated",
            ),
            ("guardrails", json!({"pairs": {}}), "guardrails.pairs"),
            (
                "guardrails",
                json!({"outcomes": {"floor": 1}}),
                "guardrails.outcomes.floor",
            ),
            (
                "guardrails",
                json!({"agreement": {"tolerance": {"cosine": 3}}}),
                "guardrails.agreement.tolerance.cosine",
            ),
        ];
        for (field, value, wanted) in cases {
            assert_eq!(
                refused(&[with_models(), (field, value.clone())]),
                *wanted,
                "{value}"
            );
        }
    }

    #[test]
    fn models_without_samples_could_never_agree() {
        let off = ("sampling", Value::Null);
        assert_eq!(refused(&[with_models(), off.clone()]), "sampling");
        let none = ("sampling", json!({"share": 0}));
        assert_eq!(refused(&[with_models(), none.clone()]), "sampling.share");
        // Where an arm has no model, none are compared.
        let one = json!([{"name": "control", "model": "a"}, {"name": "canary"}]);
        for sampling in [off, none] {
            let mut document = spec_json();
            document["arms"] = one.clone();
            document[sampling.0] = sampling.1;
            spec(&document).unwrap();
        }
    }

    #[test]
    fn what_needs_models_says_so() {
        for guardrail in [json!({"difference": {"margin": 0.1}}), json!({"drift": {}})] {
            let field = refused(&[("guardrails", guardrail.clone())]);
            assert!(
                guardrail
                    .get(field.trim_start_matches("guardrails."))
                    .is_some(),
                "{field}"
            );
            let off = ("sampling", Value::Null);
            assert_eq!(
                refused(&[with_models(), off, ("guardrails", guardrail)]),
                field
            );
        }
        let serves = json!([{"name": "control", "serves": {"label": "l"}}, {"name": "canary"}]);
        assert_eq!(refused(&[("arms", serves)]), "arms[0].serves");
        let pairing = json!({"endpoints": {}});
        assert_eq!(
            refused(&[("sampling", Value::Null), ("pairing", pairing)]),
            "pairing"
        );
        let users = json!({"outcomes": {}});
        let drawn = ("unit", json!(["each_request"]));
        assert_eq!(
            refused(&[drawn, ("guardrails", users)]),
            "guardrails.outcomes"
        );
    }

    #[test]
    fn a_rollout_may_begin_by_looking_at_its_models() {
        let mut document = spec_json();
        document["steps"] = json!([{"look_first": true}, {"weights": {"canary": 100}}]);
        assert!(spec(&document).is_err());
        let (field, arms) = with_models();
        document[field] = arms;
        let spec = spec(&document).unwrap();
        assert!(spec.is_look_step(&spec.steps[0]));
    }
}
