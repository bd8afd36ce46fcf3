//! Whether what a spec says of requests can be asked of one, by the filter's own reading.

use super::{Problems, unknown_arm};
use crate::domain::spec::RolloutSpec;
use serinus_core::plan::compiled::{check_segment, check_segment_count};
use serinus_core::plan::{parts, routing};

pub fn check(spec: &RolloutSpec, problems: &mut Problems) {
    let matches = &spec.matches;
    problems.look(routing::check_prefix(matches));
    problems.look(routing::check_host(matches));
    problems.look(routing::path_regex(matches).map(drop));
    problems.look(routing::check_methods(matches));
    problems.look(routing::check_asks_no_body(matches));
    for (index, when) in matches.when.iter().enumerate() {
        let field = format!("match.when[{index}]");
        problems.look(routing::condition(&field, when).map(drop));
    }
    problems.look(routing::unit(&spec.unit).map(drop));
    check_segments(spec, problems);
    let arm_index = |field: String, name: &str| {
        let unknown = || unknown_arm(&field, name, spec);
        spec.arm_index(name).ok_or_else(unknown)
    };
    if let Some(overrides) = &spec.overrides {
        problems.look(routing::overrides(overrides, &arm_index).map(drop));
    }
    if let Some(shadow) = &spec.shadow {
        let segment_index = |name: &str| spec.segments.iter().position(|known| known.name == name);
        problems.look(parts::shadow(shadow, &segment_index, &arm_index).map(drop));
    }
    if let Some(breaker) = &spec.breaker {
        problems.look(parts::breaker(breaker).map(drop));
    }
    problems.look(parts::errors(&spec.errors).map(drop));
    problems.look(parts::held_body(spec.max_held_body_bytes).map(drop));
}

fn check_segments(spec: &RolloutSpec, problems: &mut Problems) {
    let segments = &spec.segments;
    if let Err(too_many) = check_segment_count(segments.len()) {
        // Each of so many by itself would be read by nobody.
        return problems.add(too_many);
    }
    for (index, segment) in segments.iter().enumerate() {
        let mut before = segments.iter().take(index);
        let is_taken = before.any(|other| other.name == segment.name);
        let (name, when) = (&segment.name, &segment.when);
        problems.look(check_segment(index, name, when, is_taken));
        for (at, condition) in when.iter().enumerate() {
            let field = format!("segments[{index}].when[{at}]");
            problems.look(routing::condition(&field, condition).map(drop));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::check::check;
    use crate::domain::check::tests::spec_json;
    use crate::domain::plan::routable;
    use crate::domain::{Rollout, RolloutSpec};
    use serde_json::json;
    use serinus_core::json::read_strict;
    use std::collections::BTreeMap;

    #[test]
    fn what_a_filter_would_refuse_is_said_with_all_the_rest() {
        let mut document = spec_json();
        document["match"] = json!({
            "path_prefix": "v2", "path_regex": "(", "host": "a b", "methods": ["post"],
            "when": [{"body": "/a"}, {"header": "x", "in": []}],
        });
        document["unit"] = json!([{"header": "x user"}]);
        document["segments"] = json!([
            {"name": "gold", "when": [{"header": "x", "regex": "["}, {"query": ""}]},
            {"name": "gold", "when": [{"header": "x"}]},
            {"name": "none", "when": []},
        ]);
        document["overrides"] =
            json!({"header": "x", "tokens": [{"sha256": "ab", "arm": "canary"}]});
        document["shadow"] = json!({"cluster": "shadow", "segments": ["golden"]});
        document["breaker"] = json!({"window_ms": 0});
        document["errors"] = json!({"statuses": ["6xx"]});
        document["max_held_body_bytes"] = json!(10_000_000);
        let spec: RolloutSpec = read_strict(document.to_string().as_bytes()).unwrap();
        let wrong = check(&spec.completed()).unwrap_err();
        let fields: Vec<&str> = wrong.all().map(|one| one.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "match.path_prefix",
                "match.host",
                "match.path_regex",
                "match.methods[0]",
                "match.when[0].body",
                "match.when[1].in",
                "unit[0].header",
                "segments[0].when[0].regex",
                "segments[0].when[1].query",
                "segments[1].name",
                "segments[2].when",
                "overrides.tokens[0].sha256",
                "shadow.segments[0]",
                "breaker.window_ms",
                "errors.statuses[0]",
                "max_held_body_bytes",
            ],
            "{wrong}"
        );
    }

    /// What is asked part by part here is what the whole plan would be refused for.
    #[test]
    fn the_parts_are_those_of_the_plan() {
        let (when, cookie) = (json!([{"header": "x"}]), json!({"name": "a b"}));
        for (field, value) in [
            ("match", json!({"path_prefix": "v2"})),
            ("match", json!({"host": "a:1"})),
            ("match", json!({"path_regex": "("})),
            ("match", json!({"methods": ["post"]})),
            ("match", json!({"when": [{"body": "/a"}]})),
            ("match", json!({"when": [{}]})),
            ("unit", json!([])),
            ("unit", json!([{"cookie": "a;b"}])),
            ("unit", json!([{"issue_cookie": cookie}])),
            ("unit", json!(["each_request", {"query": "a"}])),
            ("segments", json!([{"name": "a b", "when": when}])),
            ("segments", json!([{"name": "a", "when": []}])),
            (
                "segments",
                json!([{"name": "a", "when": [{"header": "x", "at_least": 2, "at_most": 1}]}]),
            ),
            (
                "segments",
                json!(vec![json!({"name": "a", "when": when}); 33]),
            ),
            ("overrides", json!({"header": "a b", "tokens": []})),
            (
                "overrides",
                json!({"header": "x", "tokens": [{"sha256": "0", "arm": "canary"}]}),
            ),
            ("shadow", json!({"cluster": "a b"})),
            ("shadow", json!({"cluster": "a", "share": 2})),
            ("shadow", json!({"cluster": "a", "arms": ["nobody"]})),
            ("breaker", json!({"minimum_requests": 0})),
            ("breaker", json!({"error_share": 0})),
            ("errors", json!({"statuses": ["x"]})),
            ("max_held_body_bytes", json!(524_289)),
        ] {
            let mut document = spec_json();
            document[field] = value.clone();
            let spec: RolloutSpec = read_strict(document.to_string().as_bytes()).unwrap();
            let spec = spec.completed();
            let wrong = check(&spec).unwrap_err();
            let rollout = Rollout::start(spec, BTreeMap::new(), 1, 0).unwrap();
            let plan = routable(&rollout, &"0".repeat(32)).unwrap_err();
            assert_eq!(wrong.first(), &plan, "{field}: {value}");
            assert!(!wrong.is_several(), "{wrong}");
        }
    }
}
