//! Where a unit belongs: [`serinus_judge::assignment`], with words for who asks wrongly.

use crate::failure::Failure;
use serinus_core::plan::Plan;
use serinus_judge::assignment::AssignError;
pub use serinus_judge::assignment::{Assigner, Assignment, Headers};
use serinus_judge::reading::which_there_are;

/// # Errors
/// A plan that a filter would not take, or without the rollout; a rollout without units.
pub fn assigner(plan: Plan, id: &str) -> Result<Assigner, Failure> {
    let revision = plan.revision;
    let known: Vec<String> = plan.rollouts.iter().map(|own| own.id.clone()).collect();
    Assigner::new(plan, id).map_err(|error| match error {
        AssignError::Missing => {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let others = which_there_are(id, &known);
            Failure::NotFound(format!(
                "there is no rollout `{id}` in plan {revision}; {others}"
            ))
        }
        AssignError::NoUnits => Failure::Conflict(format!(
            "rollout `{id}` has no units: it draws an arm for each request"
        )),
        AssignError::Plan(_) => Failure::from(error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use serinus_core::decision::Fallback;
    use serinus_core::json::read_strict;

    fn vectors(file: &str) -> Value {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/");
        serde_json::from_slice(&std::fs::read(format!("{folder}{file}")).unwrap()).unwrap()
    }

    /// As the vectors write bytes.
    fn bytes(value: &Value) -> Vec<u8> {
        if let Some(text) = value.as_str() {
            return text.as_bytes().to_vec();
        }
        if let Some(hex) = value["hex"].as_str() {
            let digits = hex.as_bytes().chunks(2);
            let digits = digits.map(|pair| std::str::from_utf8(pair).unwrap());
            return digits
                .map(|pair| u8::from_str_radix(pair, 16).unwrap())
                .collect();
        }
        let times = usize::try_from(value["times"].as_u64().unwrap()).unwrap();
        value["repeat"].as_str().unwrap().repeat(times).into_bytes()
    }

    fn plan(value: &Value) -> Plan {
        read_strict(value.to_string().as_bytes()).unwrap()
    }

    fn rollout(salt: &str, allocation: &Value) -> Value {
        let ranges = allocation["ranges"].as_array().unwrap().iter();
        let ranges: Vec<Value> = ranges
            .map(|range| json!({"from": range[0], "to": range[1], "arm": range[2]}))
            .collect();
        json!({
            "version": 1, "revision": {"generation": 1, "counter": 1}, "report_interval_ms": 100,
            "rollouts": [{
                "id": "r", "epoch": 1, "match": {}, "unit": [{"header": "x-user-id"}],
                "salt": salt, "identity_key": "0".repeat(32), "arms": allocation["arms"],
                "baseline": allocation["arms"][0], "allocation": ranges
            }]
        })
    }

    #[test]
    fn agrees_with_the_golden_assignments() {
        let vectors = vectors("assignment.json");
        let mut compared = 0;
        for unit in vectors["units"].as_array().unwrap() {
            let bytes = bytes(&unit["unit"]);
            for allocation in vectors["allocations"].as_array().unwrap() {
                let name = allocation["name"].as_str().unwrap();
                let salt = unit["salt"].as_str().unwrap();
                let assigner = assigner(plan(&rollout(salt, allocation)), "r").unwrap();
                let found = assigner.assign(&bytes, &[]);
                assert_eq!(json!(found.bucket), unit["bucket"], "{name}: {unit}");
                assert_eq!(json!(found.slot), unit["slot"], "{name}: {unit}");
                let right = match &unit["arms"][name] {
                    Value::Null => (&allocation["arms"][0], Some(Fallback::Outside)),
                    arm => (arm, None),
                };
                if !bytes.is_empty() {
                    assert_eq!((&json!(found.arm), found.fallback), right, "{name}: {unit}");
                    compared += 1;
                }
            }
        }
        assert!(compared > 300, "{compared}");
    }

    /// Of the golden decisions those of a unit in a header, with nothing around.
    #[test]
    fn agrees_with_the_golden_decisions() {
        let vectors = vectors("decisions.json");
        let mut compared = 0;
        for case in vectors["decisions"].as_array().unwrap() {
            let mut plans = vectors["plans"].as_array().unwrap().iter();
            let whole = plans.find(|plan| plan["name"] == case["plan"]).unwrap();
            let (expect, request) = (&case["expect"], &case["request"]);
            let Some(id) = expect["rollout"].as_str() else {
                continue;
            };
            let rollouts = whole["plan"]["rollouts"].as_array().unwrap();
            let own = rollouts.iter().find(|own| own["id"] == id).unwrap();
            let text = request["headers"].as_array().cloned().unwrap_or_default();
            let text = text.iter().map(|header| {
                let name = header[0].as_str().unwrap().to_lowercase();
                (name, bytes(&header[1]))
            });
            let pseudo = [("method", "GET"), ("path", "/"), ("host", "")];
            let pseudo = pseudo.map(|(name, usual)| {
                let value = request[name].as_str().unwrap_or(usual);
                let name = name.replace("host", "authority");
                (format!(":{name}"), value.as_bytes().to_vec())
            });
            let headers: Headers = pseudo.into_iter().chain(text).collect();
            let name = own["unit"][0]["header"].as_str().unwrap_or("none");
            let unit = headers.iter().find(|(known, _)| known == name);
            let (Some((_, unit)), None) = (unit, case.get("around")) else {
                continue;
            };
            if request.get("body").is_some() || unit.is_empty() {
                continue;
            }
            let assigner = assigner(plan(&whole["plan"]), id).unwrap();
            let found = assigner.assign(unit, &headers);
            assert_eq!(json!(found.arm), expect["arm"], "{case}");
            assert_eq!(json!(found.why()), expect["why"], "{case}");
            assert_eq!(json!(found.segment), expect["segment"], "{case}");
            if found.fallback.is_none() {
                assert_eq!(json!(found.slot), expect["slot"], "{case}");
            }
            compared += 1;
        }
        assert!(compared > 30, "{compared}");
    }

    #[test]
    fn what_is_not_in_the_plan_is_said() {
        let allocation = json!({"arms": ["a", "b"], "ranges": [[0, 10_000, "a"]]});
        let whole = rollout("s", &allocation);
        let error = assigner(plan(&whole), "s").err().unwrap();
        let text = "there is no rollout `s` in plan 1.1; did you mean `r`?";
        assert_eq!(error, Failure::NotFound(text.to_owned()));
        let mut drawn = whole.clone();
        drawn["rollouts"][0]["unit"] = json!(["each_request"]);
        let error = assigner(plan(&drawn), "r").err().unwrap();
        assert!(error.to_string().contains("draws an arm for each request"));
    }

    #[test]
    fn a_reason_for_people() {
        let allocation =
            json!({"arms": ["a", "b"], "ranges": [[0, 5_000, "a"], [5_000, 9_000, "b"]]});
        let mut whole = rollout("1886780721", &allocation);
        whole["rollouts"][0]["segments"] =
            json!([{"name": "gold", "when": [{"header": "x-card", "in": ["gold"]}], "arm": "b"}]);
        let assigner = assigner(plan(&whole), "r").unwrap();
        let found = assigner.assign(b"ppid1", &[]);
        assert_eq!((found.arm, found.bucket), ("b", 5_254));
        assert_eq!(found.because(), "by weights: buckets 5000 to 8999 are b's");
        let gold = [("x-card".to_owned(), b"gold".to_vec())];
        let found = assigner.assign(b"ppid2", &gold);
        assert_eq!((found.arm, found.segment), ("b", Some("gold")));
        assert_eq!(found.because(), "all of segment gold goes there");
        assert_eq!(assigner.assign(b"", &[]).why(), "no_unit");
    }
}
