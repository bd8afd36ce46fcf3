//! Where a unit belongs, by the code that routes it.

use crate::failure::Failure;
use crate::suggest::nearest;
use serinus_core::allocation::{Allocation, Range};
use serinus_core::bucket;
use serinus_core::decision::{Around, Breakers, Fallback, Outcome, Placement, decide};
use serinus_core::plan::compiled::SegmentTo;
use serinus_core::plan::wire::{Match, UnitSource};
use serinus_core::plan::{CompiledPlan, CompiledRollout, Plan, compile};
use serinus_core::request::{Body, Request};
use std::fmt::Write;
use std::rc::Rc;

/// The header from which the unit is read here. It stands for whichever source the
/// rollout has: of all of them the bytes of the value decide.
const UNIT: &str = "x-serinus-assigned-unit";

/// Headers with their names in lower case, and what has no header: `:path`, `:authority`.
pub type Headers = Vec<(String, Vec<u8>)>;

pub struct Assigner {
    plan: CompiledPlan,
    rollout: Rc<CompiledRollout>,
    /// The source that the rollout reads first, which conditions may look at too.
    source: Option<UnitSource>,
    pub revision: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assignment<'a> {
    pub arm: &'a str,
    pub segment: Option<&'a str>,
    /// `None` where weights decided.
    pub fallback: Option<Fallback>,
    pub bucket: u16,
    pub slot: u8,
    /// The range that the bucket lies in.
    pub range: Option<Range>,
}

struct Asked<'a> {
    unit: &'a [u8],
    headers: &'a [(String, Vec<u8>)],
    source: Option<&'a UnitSource>,
}

/// Whatever a worker's breaker did is not known here.
struct AllClosed;

// === impl Assigner ===

impl Assigner {
    /// # Errors
    /// A plan that a filter would not take, or without the rollout; a rollout without
    /// units.
    pub fn new(mut plan: Plan, id: &str) -> Result<Self, Failure> {
        let Some(at) = plan.rollouts.iter().position(|rollout| rollout.id == id) else {
            return Err(missing(&plan, id));
        };
        let mut own = plan.rollouts.swap_remove(at);
        if own.unit == [UnitSource::EachRequest] {
            return Err(Failure::Conflict(format!(
                "rollout `{id}` has no units: it draws an arm for each request"
            )));
        }
        let source = own.unit.first().cloned();
        own.unit = vec![UnitSource::Header(UNIT.to_owned())];
        own.matches = Match::default();
        own.enforced_at = None;
        own.shadow = None;
        plan.rollouts = vec![own];
        let compiled = compile(&plan).map_err(|error| format!("the plan: {error}"))?;
        let rollout = compiled.rollouts.first().map(Rc::clone);
        let rollout = rollout.ok_or_else(|| missing(&plan, id))?;
        Ok(Self {
            plan: compiled,
            rollout,
            source,
            revision: plan.revision.to_string(),
        })
    }

    pub fn salt(&self) -> &str {
        &self.rollout.salt
    }

    pub fn epoch(&self) -> u64 {
        self.rollout.epoch
    }

    pub fn arms(&self) -> &[String] {
        &self.rollout.arms
    }

    /// A request of this unit with these headers.
    pub fn assign(&self, unit: &[u8], headers: &[(String, Vec<u8>)]) -> Assignment<'_> {
        let asked = Asked {
            unit,
            headers,
            source: self.source.as_ref(),
        };
        let around = Around {
            point: None,
            breakers: &AllClosed,
            silent_us: 0,
            random: &|| None,
        };
        let (arm, segment, fallback) = match decide(&self.plan, &asked, &around) {
            Outcome::Decided(decision) => {
                let fallback = match decision.placement {
                    Placement::Randomised { .. } => None,
                    Placement::Fallback(cause) => Some(cause),
                };
                (decision.arm, decision.segment, fallback)
            }
            // Every request matches, and no body is there to wait for.
            Outcome::Untouched | Outcome::Elsewhere | Outcome::NeedsBody { .. } => {
                (self.rollout.baseline, None, Some(Fallback::Body))
            }
        };
        let place = bucket::place(unit, &self.rollout.salt);
        let ranges = self.allocation(segment).ranges().iter();
        Assignment {
            arm: self.rollout.arm_name(arm),
            segment: self.rollout.segment_name(segment),
            fallback,
            bucket: place.bucket,
            slot: place.slot,
            range: ranges
                .copied()
                .find(|range| (range.from..range.to).contains(&place.bucket)),
        }
    }

    fn allocation(&self, segment: Option<usize>) -> &Allocation {
        let segment = segment.and_then(|index| self.rollout.segments.get(index));
        match segment.map(|segment| &segment.to) {
            Some(SegmentTo::Split(own)) => own,
            _ => &self.rollout.allocation,
        }
    }
}

fn missing(plan: &Plan, id: &str) -> Failure {
    let mut text = format!("there is no rollout `{id}` in plan {}", plan.revision);
    let known: Vec<&str> = plan.rollouts.iter().map(|own| own.id.as_str()).collect();
    let _ = match nearest(id, known.iter().copied()) {
        Some(meant) => write!(text, "; did you mean `{meant}`?"),
        None if known.is_empty() => write!(text, ", and no other"),
        None => write!(text, "; there are {}", known.join(", ")),
    };
    Failure::NotFound(text)
}

impl Breakers for AllClosed {
    fn tripped(&self, _: &CompiledRollout) -> Option<usize> {
        None
    }
}

impl Request for Asked<'_> {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        if name == UNIT {
            return Some(self.unit.to_vec());
        }
        let mut given = self.headers.iter().filter(|(known, _)| known == name);
        let given = given.next().map(|(_, value)| value.clone());
        match self.source {
            Some(UnitSource::Header(own)) if own.eq_ignore_ascii_case(name) => {
                Some(self.unit.to_vec())
            }
            Some(UnitSource::Cookie(own)) if name == "cookie" => {
                let mut cookies = [own.as_bytes(), b"=", self.unit].concat();
                if let Some(others) = given {
                    cookies.extend_from_slice(b"; ");
                    cookies.extend_from_slice(&others);
                }
                Some(cookies)
            }
            _ => given,
        }
    }

    fn body(&self) -> Body<'_> {
        Body::Unreadable
    }
}

// === impl Assignment ===

impl Assignment<'_> {
    /// As reports and metrics name it.
    pub fn why(&self) -> &'static str {
        self.fallback.map_or("weights", Fallback::name)
    }

    /// For people.
    pub fn because(&self) -> String {
        let segment = self.segment.unwrap_or_default();
        match self.fallback {
            None => {
                let range = self.range.map(|range| (range.from, range.to - 1));
                let (from, last) = range.unwrap_or_default();
                format!("by weights: buckets {from} to {last} are {}'s", self.arm)
            }
            Some(Fallback::Rule) => format!("all of segment {segment} goes there"),
            Some(Fallback::Outside) => "its bucket is in no arm's range: the baseline".to_owned(),
            Some(Fallback::NoUnit) => "an empty key is no unit: the baseline".to_owned(),
            Some(Fallback::Holdout) => "is held out of every rollout: the baseline".to_owned(),
            Some(Fallback::Layer) => "is for other rollouts of this layer".to_owned(),
            Some(Fallback::Override) => "a tester's token picked the arm".to_owned(),
            Some(other) => other.name().replace('_', " "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
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
                let assigner = Assigner::new(plan(&rollout(salt, allocation)), "r").unwrap();
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
            let assigner = Assigner::new(plan(&whole["plan"]), id).unwrap();
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
        let error = Assigner::new(plan(&whole), "s").err().unwrap();
        let text = "there is no rollout `s` in plan 1.1; did you mean `r`?";
        assert_eq!(error, Failure::NotFound(text.to_owned()));
        let mut drawn = whole.clone();
        drawn["rollouts"][0]["unit"] = json!(["each_request"]);
        let error = Assigner::new(plan(&drawn), "r").err().unwrap();
        assert!(error.to_string().contains("draws an arm for each request"));
    }

    #[test]
    fn a_reason_for_people() {
        let allocation =
            json!({"arms": ["a", "b"], "ranges": [[0, 5_000, "a"], [5_000, 9_000, "b"]]});
        let mut whole = rollout("1886780721", &allocation);
        whole["rollouts"][0]["segments"] =
            json!([{"name": "gold", "when": [{"header": "x-card", "in": ["gold"]}], "arm": "b"}]);
        let assigner = Assigner::new(plan(&whole), "r").unwrap();
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
