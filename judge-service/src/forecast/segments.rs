//! Whether harm in a segment alone could be seen: alpha is shared by arms and segments,
//! and a segment has a part of the traffic.

use super::about_count;
use crate::domain::spec::{Expected, RolloutSpec, Segment, Step};
use crate::policy::alpha;
use serinus_stats::restart;

/// Worse by so much is what is asked for.
const TIMES: f64 = 2.0;
/// What it costs not to know the ratio: a grid of 12 (`serinus_stats::ratio`).
const GRID: f64 = 12.0;

/// What is known of a segment's traffic.
pub struct Seen<'a> {
    pub name: &'a str,
    pub requests_per_minute: f64,
}

/// Before anything is known: as many requests in each segment as in the rest.
#[must_use]
pub fn in_equal_parts<'a>(spec: &'a RolloutSpec, expected: &Expected) -> Vec<Seen<'a>> {
    let parts = (spec.segments.len() + 1) as f64;
    let segments = spec.segments.iter();
    segments
        .map(|segment| Seen {
            name: &segment.name,
            requests_per_minute: expected.requests_per_minute / parts,
        })
        .collect()
}

/// Segments of a step in which twice the errors could not be seen before its deadline,
/// in words: the first of them, and how many there are.
#[must_use]
pub fn blind(
    spec: &RolloutSpec,
    step: &Step,
    segments: &[Seen<'_>],
    error_rate: f64,
) -> Option<String> {
    let blind: Vec<(&Seen<'_>, f64, f64)> = segments
        .iter()
        .filter_map(|seen| {
            let segment = spec.segments.iter().find(|own| own.name == seen.name)?;
            let [arm, control] = smallest(spec, step, segment)?;
            let both = arm + control;
            let has = seen.requests_per_minute * both * spec.deadline.seconds / 60.0;
            let needs = requests_needed(spec, arm / both, error_rate);
            (has < needs).then_some((seen, has, needs))
        })
        .collect();
    let (first, has, needs) = blind.first()?;
    let others = match blind.len() - 1 {
        0 => String::new(),
        1 => ", and another segment is like it".to_owned(),
        others => format!(", and {others} other segments are like it"),
    };
    Some(format!(
        "segment {} has about {} requests to compare before the step's deadline, and twice its errors show in about {} (alpha is shared by {} segments and {} arms): only worse harm would be seen there{others}",
        first.name,
        about_count(*has),
        about_count(*needs),
        alpha::split_segments(spec),
        spec.treatments().count(),
    ))
}

/// The shares of the arm with the fewest users and of control; `None` where a segment
/// is not split, or while the step only looks: no segment has users on the new version then.
fn smallest(spec: &RolloutSpec, step: &Step, segment: &Segment) -> Option<[f64; 2]> {
    if segment.arm.is_some() || spec.is_look_step(step) {
        return None;
    }
    let own = segment.weights.as_ref().map(|weights| Step {
        weights: weights.clone(),
        ..Step::default()
    });
    super::smallest(spec, own.as_ref().unwrap_or(step))
}

/// Requests of both arms until twice the errors are expected to show. A first error is
/// worth the divergence of the labels' two odds: the growth of the rate-ratio process.
fn requests_needed(spec: &RolloutSpec, share: f64, error_rate: f64) -> f64 {
    let most = spec
        .treatments()
        .map(|arm| alpha::guardrails(spec, &arm.name))
        .max();
    let guardrails = f64::from(most.unwrap_or(1));
    let alpha = spec.alpha.rollback * alpha::of_segment(spec) / guardrails;
    let steps = u32::try_from(spec.steps.len()).unwrap_or(u32::MAX);
    let wanted =
        restart::threshold(alpha) - libm::log(restart::process_weight(steps, 0)) + libm::log(GRID);
    let in_arm = |ratio: f64| share * ratio / (1.0 - share + share * ratio);
    let (worse, null) = (
        in_arm(TIMES),
        in_arm(spec.guardrails.errors.tolerated_ratio),
    );
    let growth =
        worse * libm::log(worse / null) + (1.0 - worse) * libm::log((1.0 - worse) / (1.0 - null));
    // A tolerated ratio of 2 lets nothing show.
    if TIMES <= spec.guardrails.errors.tolerated_ratio {
        return f64::INFINITY;
    }
    wanted / growth / (error_rate * (1.0 - share + share * TIMES))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::tests::{spec, spec_json};
    use serde_json::json;

    fn with_segments(number: usize) -> RolloutSpec {
        let mut document = spec_json();
        let when = json!([{"header": "x"}]);
        let segments = (0..number).map(|name| json!({"name": format!("s{name}"), "when": when}));
        document["segments"] = segments.collect();
        spec(&document).unwrap()
    }

    fn said(spec: &RolloutSpec, requests_per_minute: f64) -> Option<String> {
        let expected = Expected {
            requests_per_minute: requests_per_minute * (spec.segments.len() + 1) as f64,
            error_rate: 0.01,
            users_per_day: None,
        };
        let seen = in_equal_parts(spec, &expected);
        blind(spec, &spec.steps[0], &seen, expected.error_rate)
    }

    #[test]
    fn a_segment_with_little_traffic_is_named_with_its_numbers() {
        let spec = with_segments(20);
        // 2 a minute are 8,640 in three days.
        let words = said(&spec, 2.0).unwrap();
        assert!(
            words.contains("segment s0 has about 8,600 requests") && words.contains("19 other"),
            "{words}"
        );
        assert_eq!(said(&spec, 6_000.0), None);
    }

    /// The whole with all of alpha takes 21,700 (STATISTICS); a segment's part is less.
    #[test]
    fn what_is_needed_is_of_the_order_of_the_simulations() {
        let needed = requests_needed(&with_segments(1), 0.1, 0.01);
        assert!((20_000.0..90_000.0).contains(&needed), "{needed}");
        assert!(requests_needed(&with_segments(32), 0.1, 0.01) > needed);
    }

    #[test]
    fn a_segment_of_one_arm_is_no_test() {
        let mut document = spec_json();
        document["segments"] = json!([{"name": "s0", "when": [{"header": "x"}], "arm": "canary"}]);
        assert_eq!(said(&spec(&document).unwrap(), 1.0), None);
    }

    #[test]
    fn alpha_is_shared_by_the_segments_that_are_split() {
        let mut document = spec_json();
        let segment = |name, arm: Option<&str>| {
            let mut segment = json!({"name": name, "when": [{"header": "x"}]});
            if let Some(arm) = arm {
                segment["arm"] = json!(arm);
            }
            segment
        };
        document["segments"] = json!([
            segment("split", None),
            segment("pinned", Some("canary")),
            segment("own", None),
        ]);
        let words = said(&spec(&document).unwrap(), 1.0).unwrap();
        assert!(words.contains("shared by 2 segments"), "{words}");
        assert!(
            words.ends_with(", and another segment is like it"),
            "{words}"
        );
    }

    #[test]
    fn nobody_is_hurt_unseen_while_a_step_only_looks() {
        let mut document = spec_json();
        document["shadow"] = json!({"cluster": "shadow"});
        document["steps"] = json!([{}, {"weights": {"canary": 10}}]);
        let when = json!([{"header": "x"}]);
        document["segments"] = json!([{"name": "s0", "when": when, "weights": {"canary": 50}}]);
        let spec = spec(&document).unwrap();
        assert_eq!(said(&spec, 1.0), None);
        let expected = Expected {
            requests_per_minute: 1.0,
            error_rate: 0.01,
            users_per_day: None,
        };
        let seen = in_equal_parts(&spec, &expected);
        let words = blind(&spec, &spec.steps[1], &seen, 0.01);
        assert!(words.is_some_and(|words| words.contains("segment s0")));
    }
}
