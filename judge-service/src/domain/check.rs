//! Whether a spec makes sense, with errors that name the field.

mod answers;
mod arms;
mod gates;
mod guardrails;
mod requests;
mod timing;
mod unsound;
mod urls;
mod weights;

pub(crate) use gates::minutes;
pub use unsound::{Problems, Unsound};
pub use weights::{holdback_buckets, weights};

use super::spec::RolloutSpec;
use serinus_core::json::{FieldError, written};
use serinus_core::plan::compiled::{MAX_ARMS, MAX_NAME, MAX_SEGMENTS, check_name};
use weights::{check_segment, check_step, is_in_hundredths};

const MAX_SALT: usize = 256;
const MAX_STEPS: usize = 100;
/// A worker keeps a mebibyte of samples.
const MAX_SAMPLED_BYTES: u32 = 1024 * 1024;
/// In seconds.
const YEAR: f64 = 31_536_000.0;

/// # Errors
/// All fields that do not make sense, as far as each can be told from the others.
pub fn check(spec: &RolloutSpec) -> Result<(), Unsound> {
    let mut problems = Problems::default();
    check_names(spec, &mut problems);
    // Shares and the parts that arms have are of no use without them.
    if arms::check(spec, &mut problems) {
        let before = problems.len();
        check_roles(spec, &mut problems);
        if problems.len() == before {
            check_shares(spec, &mut problems);
        }
    }
    check_sampling(spec, &mut problems);
    problems.look(check_layer(spec));
    let (field, percent) = ("holdback_percent", spec.holdback_percent);
    let holdback = within(field, percent, 0.0, 50.0);
    problems.look(holdback.and_then(|()| is_in_hundredths(field, percent)));
    check_expected(spec, &mut problems);
    timing::check(spec, &mut problems);
    problems.look(within("alpha.rollback", spec.alpha.rollback, 1e-9, 0.5));
    problems.look(within("alpha.promotion", spec.alpha.promotion, 1e-9, 0.5));
    requests::check(spec, &mut problems);
    gates::check(spec, &mut problems);
    guardrails::check(spec, &mut problems);
    answers::check(spec, &mut problems);
    problems.into_result()
}

fn check_names(spec: &RolloutSpec, problems: &mut Problems) {
    problems.look(check_name("id", &spec.id));
    // Clients take these out of a URL's path.
    if matches!(spec.id.as_str(), "." | "..") {
        problems.add(FieldError::new(
            "id",
            "is no name but a path; letters are right",
        ));
    }
    if spec.salt.as_ref().is_some_and(|salt| salt.len() > MAX_SALT) {
        let problem = format!("is longer than {MAX_SALT} bytes");
        problems.add(FieldError::new("salt", problem));
    }
    if let Some(point) = &spec.enforced_at {
        problems.look(check_name("enforced_at", point));
    }
}

/// Whether there is a version on trial and one to compare it with.
fn check_roles(spec: &RolloutSpec, problems: &mut Problems) {
    let mut roles = vec![("baseline", spec.baseline())];
    roles.extend(spec.compare_to.as_deref().map(|arm| ("compare_to", arm)));
    for (field, arm) in roles {
        if spec.arm_index(arm).is_none() {
            problems.add(unknown_arm(field, arm, spec));
        }
    }
    if spec.treatments().next().is_none() {
        problems.add(FieldError::new(
            "arms",
            "are the baseline and the copy that it is compared with; a new version is missing",
        ));
    }
}

fn check_shares(spec: &RolloutSpec, problems: &mut Problems) {
    match spec.steps.len() {
        0 => problems.add(FieldError::new(
            "steps",
            "are missing; with more than two arms none are assumed",
        )),
        1..=MAX_STEPS => {
            for (index, step) in spec.steps.iter().enumerate() {
                let step = check_step(spec, step, index + 1 == spec.steps.len());
                problems.look(step.map_err(|error| error.below(format_args!("steps[{index}]"))));
            }
        }
        many => problems.add(FieldError::new(
            "steps",
            format!("are {many}; at most {MAX_STEPS} are right"),
        )),
    }
    // More than fit are said to be too many where the rest of them is looked at.
    for (index, segment) in spec.segments.iter().take(MAX_SEGMENTS).enumerate() {
        let segment = check_segment(spec, segment);
        problems.look(segment.map_err(|error| error.below(format_args!("segments[{index}]"))));
    }
}

fn check_sampling(spec: &RolloutSpec, problems: &mut Problems) {
    let Some(sampling) = &spec.sampling else {
        return;
    };
    problems.look(within("sampling.share", sampling.share, 0.0, 1.0));
    let rate = sampling.per_second;
    problems.look(within("sampling.per_second", rate, 1, 10_000));
    let (field, bytes) = ("sampling.max_body_bytes", sampling.max_body_bytes);
    problems.look(within(field, bytes, 1, MAX_SAMPLED_BYTES));
}

fn check_layer(spec: &RolloutSpec) -> Result<(), FieldError> {
    let Some(layer) = &spec.layer else {
        return Ok(());
    };
    check_name("layer.name", &layer.name)?;
    within("layer.percent", layer.percent, 0.01, 100.0)?;
    if spec.each_request() {
        return Err(FieldError::new(
            "layer",
            "shares out users, and with unit = [\"each_request\"] there are none",
        ));
    }
    Ok(())
}

fn check_expected(spec: &RolloutSpec, problems: &mut Problems) {
    let Some(expected) = &spec.expected else {
        return;
    };
    let (field, rate) = ("expected.requests_per_minute", expected.requests_per_minute);
    problems.look(within(field, rate, 1e-3, 1e9));
    let rate = expected.error_rate;
    problems.look(within("expected.error_rate", rate, 1e-6, 0.5));
    let Some(users) = expected.users_per_day else {
        return;
    };
    problems.look(within("expected.users_per_day", users, 1.0, 1e12));
    if spec.each_request() {
        problems.add(FieldError::new(
            "expected.users_per_day",
            "counts users, and with unit = [\"each_request\"] each request is one; leave it out",
        ));
    }
}

fn unknown_arm(field: &str, name: &str, spec: &RolloutSpec) -> FieldError {
    // Names that are none may be of any length, and so may lists of them.
    let short = |name: &str| name.chars().take(MAX_NAME).collect::<String>();
    let arms = spec.arms.iter().take(MAX_ARMS);
    let arms: Vec<String> = arms.map(|arm| short(&arm.name)).collect();
    let (name, arms) = (short(name), arms.join(", "));
    FieldError::new(field, format!("unknown arm `{name}`; the arms are {arms}"))
}

/// A number as it is shown to people: nobody reads three hundred zeros.
trait Shown: PartialOrd {
    fn shown(&self) -> String;
}

impl Shown for f64 {
    fn shown(&self) -> String {
        written(*self)
    }
}

macro_rules! shown_whole {
    ($($whole:ty)*) => {$(
        impl Shown for $whole {
            fn shown(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

shown_whole!(u32 u64);

fn within<T: Shown>(field: &str, value: T, least: T, most: T) -> Result<(), FieldError> {
    if (&least..=&most).contains(&&value) {
        return Ok(());
    }
    let [value, least, most] = [value, least, most].map(|number| number.shown());
    let problem = format!("is {value}; {least} to {most} is right");
    Err(FieldError::new(field, problem))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::{Value, json};
    use serinus_core::json::read_strict;

    pub(crate) fn spec_json() -> Value {
        json!({
            "id": "digits",
            "match": {"path_prefix": "/v2/models/digits/"},
            "unit": [{"header": "x-user-id"}],
            "arms": [{"name": "control"}, {"name": "canary"}]
        })
    }

    pub(crate) fn spec(document: &Value) -> Result<RolloutSpec, FieldError> {
        let spec: RolloutSpec = read_strict(&serde_json::to_vec(document).unwrap())?;
        let spec = spec.completed();
        check(&spec).map_err(|wrong| wrong.first().clone())?;
        Ok(spec)
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let mut document = spec_json();
        document["steps"] = json!([{"weights": {"canary": 10}}, {"weights": {"canry": 100}}]);
        document["minimum"] = json!({"seconds": -1});
        document["alpha"] = json!({"rollback": 2});
        let spec: RolloutSpec = read_strict(document.to_string().as_bytes()).unwrap();
        let wrong = check(&spec.completed()).unwrap_err();
        let fields: Vec<&str> = wrong.all().map(|one| one.field.as_str()).collect();
        let all = [
            "steps[1].weights.canry",
            "minimum.seconds",
            "alpha.rollback",
        ];
        assert_eq!(fields, all, "{wrong}");
        // Without arms nothing is said of their shares.
        document["arms"] = json!([{"name": "control"}]);
        let spec: RolloutSpec = read_strict(document.to_string().as_bytes()).unwrap();
        let wrong = check(&spec.completed()).unwrap_err();
        let fields: Vec<&str> = wrong.all().map(|one| one.field.as_str()).collect();
        assert_eq!(fields, ["arms", "minimum.seconds", "alpha.rollback"]);
    }

    #[test]
    fn two_arms_are_enough() {
        let spec = spec(&spec_json()).unwrap();
        assert_eq!(spec.baseline(), "control");
        let weights: Vec<_> = spec
            .steps
            .iter()
            .map(|step| weights(&spec, step, 0.0).unwrap())
            .collect();
        assert_eq!(
            weights,
            [[9000, 1000], [7500, 2500], [2500, 7500], [0, 10000]]
        );
    }

    #[test]
    fn a_holdback_comes_out_of_the_last_step() {
        let mut document = spec_json();
        document["holdback_percent"] = json!(5);
        let spec = spec(&document).unwrap();
        assert_eq!(
            weights(&spec, &spec.steps[3], spec.holdback_percent).unwrap(),
            [500, 9500]
        );
        assert_eq!(
            weights(&spec, &spec.steps[0], spec.holdback_percent).unwrap(),
            [9000, 1000]
        );
    }

    #[test]
    fn every_error_names_its_field() {
        let cases: &[(&str, Value, &str)] = &[
            ("/id", json!("a/b"), "id"),
            ("/id", json!(".."), "id"),
            ("/salt", json!("x".repeat(257)), "salt"),
            ("/sampling", json!({"share": 2}), "sampling.share"),
            (
                "/sampling",
                json!({"max_body_bytes": 2_000_000}),
                "sampling.max_body_bytes",
            ),
            ("/sampling", json!({"per_second": 0}), "sampling.per_second"),
            ("/minimum", json!({"exposures": 0}), "minimum.exposures"),
            ("/colour", json!(1), "colour"),
            ("/arms", json!([{"name": "a"}]), "arms"),
            ("/arms/1/name", json!("control"), "arms[1].name"),
            ("/arms/1/modl", json!("x"), "arms[1].modl"),
            ("/arms/1/sha256", json!("abc"), "arms[1].sha256"),
            (
                "/arms/1/registry_uri",
                json!("fraud/8"),
                "arms[1].registry_uri",
            ),
            (
                "/arms/1/registry_uri",
                json!("models:/fraud 8"),
                "arms[1].registry_uri",
            ),
            (
                "/arms/1/registry_uri",
                json!(format!("models:/{}", "x".repeat(2_048))),
                "arms[1].registry_uri",
            ),
            ("/baseline", json!("old"), "baseline"),
            (
                "/steps",
                json!([{"weights": {"canary": 101}}]),
                "steps[0].weights.canary",
            ),
            (
                "/steps",
                json!([{"weights": {"canry": 1}}]),
                "steps[0].weights.canry",
            ),
            (
                "/steps",
                json!([{"weights": {"control": 1}}]),
                "steps[0].weights.control",
            ),
            (
                "/steps",
                json!([{"weights": {"canary": 0}}]),
                "steps[0].weights",
            ),
            (
                "/steps",
                json!([{"weights": {"canary": 0.001}}]),
                "steps[0].weights.canary",
            ),
            (
                "/steps",
                json!([{"weights": {"canary": 1e-300}}]),
                "steps[0].weights.canary",
            ),
            ("/holdback_percent", json!(1e-9), "holdback_percent"),
            ("/alpha", json!({"rollback": 0}), "alpha.rollback"),
            (
                "/guardrails",
                json!({"errors": {"margin_ratio": 1}}),
                "guardrails.errors.margin_ratio",
            ),
            ("/layer", json!({"name": "a b"}), "layer.name"),
            ("/enforced_at", json!("a b"), "enforced_at"),
            (
                "/layer",
                json!({"name": "a", "percent": 0}),
                "layer.percent",
            ),
            (
                "/on_stale",
                json!({"after_seconds": 1}),
                "on_stale.after_seconds",
            ),
            ("/on_stale", json!({"then": "panic"}), "on_stale.then"),
            ("/unit", json!(["each_reqest"]), "unit[0]"),
            ("/shadow", json!({"share": 1}), "shadow.cluster"),
            ("/errors", json!({"status": []}), "errors.status"),
            ("/deadline", json!({"seconds": 10}), "deadline.seconds"),
            ("/minimum", json!({"seconds": 300_000}), "deadline.seconds"),
            ("/deadline", json!({"then": "explode"}), "deadline.then"),
            (
                "/segments",
                json!([{"name": "gold", "when": [], "arm": "nobody"}]),
                "segments[0].arm",
            ),
            (
                "/segments",
                json!([{"name": "gold", "when": [], "arm": "canary", "weights": {"canary": 1}}]),
                "segments[0].weights",
            ),
            (
                "/segments",
                json!([{"name": "gold", "when": [], "weights": {"canry": 1}}]),
                "segments[0].weights.canry",
            ),
            (
                "/segments",
                json!([{"name": "gold", "when": [{"header": "x", "is": 1}]}]),
                "segments[0].when[0].is",
            ),
        ];
        for (pointer, value, field) in cases {
            let mut document = spec_json();
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            let target = document.pointer_mut(parent).unwrap();
            match target {
                Value::Array(list) => list[key.parse::<usize>().unwrap()] = value.clone(),
                target => target[key] = value.clone(),
            }
            let error = spec(&document).unwrap_err();
            assert_eq!(&error.field, field, "{error}");
        }
        let mut drawn = spec_json();
        drawn["unit"] = json!(["each_request"]);
        spec(&drawn).unwrap();
        drawn["expected"] = json!({"requests_per_minute": 60, "users_per_day": 9});
        assert_eq!(spec(&drawn).unwrap_err().field, "expected.users_per_day");
        drawn["layer"] = json!({"name": "a"});
        assert_eq!(spec(&drawn).unwrap_err().field, "layer");
        let mut three = spec_json();
        three["arms"] = json!([{"name": "a"}, {"name": "b"}, {"name": "c"}]);
        assert_eq!(spec(&three).unwrap_err().field, "steps");
        three["steps"] = json!([{"weights": {"b": 60, "c": 50}}]);
        let error = spec(&three).unwrap_err();
        assert_eq!(
            error.to_string(),
            "steps[0].weights: the weights add up to 110%, which is over 100%"
        );
    }
}
