//! The least that a step takes, without chance: what the gate asks for if every count is
//! as expected. A judge can say it when a rollout is created.

use super::{Problem, Question, Step, Users, check};
use serinus_stats::sequence::{Difference, SLOTS};
use serinus_stats::{absolute, restart};

/// What a step takes at least.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Least {
    pub share: f64,
    /// Of both arms. `None` if no number of them is enough: at 100% nothing is tested,
    /// and a few users can be too few for ever.
    pub requests: Option<f64>,
    pub seconds: Option<f64>,
    /// What takes so long.
    pub way: Way,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The spec's minimum of time or requests.
    Minimum,
    /// Errors enough to compare: 50 of the canary.
    Ratio,
    /// Users of the canary whose first request did not fail.
    Absolute,
    /// Nothing is compared at 100%.
    Untested,
}

/// For each step.
///
/// # Errors
/// A question that makes no sense.
pub fn least(question: &Question) -> Result<Vec<Least>, Problem> {
    check::check(question)?;
    Ok(question
        .steps
        .iter()
        .map(|step| of(question, step))
        .collect())
}

fn of(question: &Question, step: &Step) -> Least {
    let share = step.share;
    if share >= 1.0 {
        return Least {
            share,
            requests: Some(0.0),
            seconds: Some(0.0),
            way: Way::Untested,
        };
    }
    let rate = question.requests_per_second;
    let minimum =
        (step.minimum_exposures / share.min(1.0 - share)).max(step.minimum_seconds * rate);
    let by_ratio = first(|requests| is_within(question, share, requests));
    let by_bound = users_needed(question).and_then(|users| requests_for(question, share, users));
    let evidence = match (by_ratio, by_bound) {
        (Some(ratio), Some(bound)) if bound < ratio => Some((bound, Way::Absolute)),
        (Some(ratio), _) => Some((ratio, Way::Ratio)),
        (None, Some(bound)) => Some((bound, Way::Absolute)),
        (None, None) => None,
    };
    let (requests, way) = match evidence {
        Some((requests, _)) if requests <= minimum => (Some(minimum), Way::Minimum),
        Some((requests, way)) => (Some(requests), way),
        None => (None, Way::Ratio),
    };
    Least {
        share,
        requests,
        seconds: requests.map(|requests| requests / rate),
        way,
    }
}

/// The first number for which something holds from then on, to a thousandth.
fn first(holds: impl Fn(f64) -> bool) -> Option<f64> {
    let mut high = 1.0;
    while !holds(high) {
        high *= 2.0;
        if high > 1e15 {
            return None;
        }
    }
    let mut low = high / 2.0;
    while high > low * 1.001 {
        let middle = f64::midpoint(low, high);
        if holds(middle) {
            high = middle
        } else {
            low = middle
        }
    }
    Some(high.ceil())
}

/// Whether the sequence promotes when every count is as expected.
fn is_within(question: &Question, share: f64, requests: f64) -> bool {
    let rate = question.base_error_rate;
    let variance = |requests: f64| rate * (1.0 - rate) / requests;
    let (canary, control) = (requests * share, requests * (1.0 - share));
    let margin = question.margin_ratio;
    let spread = variance(canary) + margin * margin * variance(control);
    let found = Difference {
        estimate: rate - margin * rate,
        standard_error: spread.sqrt(),
        canary_error: variance(canary).sqrt(),
        control_error: variance(control).sqrt(),
        canary_rate: rate,
        control_rate: rate,
        // Rounded, since 50 expected events are not 49.9999.
        canary_events: (canary * rate + 1e-6) as u64,
        control_events: (control * rate + 1e-6) as u64,
        canary_event_slots: event_slots(question, share, canary * rate),
        control_event_slots: event_slots(question, 1.0 - share, control * rate),
        n: requests as u64,
        share,
    };
    found.promotes(question.promotion_alpha / 2.0)
}

/// In how many slots the users of an arm fall who have so many errors: the same few again
/// and again, where there are few.
fn event_slots(question: &Question, share: f64, errors: f64) -> u32 {
    let erred = match question.users {
        Users::EveryRequest => errors,
        Users::ADay(all) => {
            let own = all * share;
            -own * libm::expm1(-errors / own)
        }
    };
    // Rounded, as events are.
    let slots = SLOTS as f64;
    let hit = -slots * libm::expm1(erred * libm::log1p(-1.0 / slots));
    (hit + 1e-6) as u32
}

/// Users of the canary with which the absolute bound is shown, if as many of them fail
/// as expected.
fn users_needed(question: &Question) -> Option<f64> {
    if question.base_error_rate >= question.margin_absolute {
        return None;
    }
    let enough = restart::threshold(question.promotion_alpha / 2.0);
    first(|users| {
        let bad = (users * question.base_error_rate).round() as u64;
        absolute::log_e(question.margin_absolute, users as u64, bad) >= enough
    })
}

/// Requests of both arms until so many users of the canary have come.
fn requests_for(question: &Question, share: f64, users: f64) -> Option<f64> {
    match question.users {
        Users::EveryRequest => Some(users / share),
        Users::ADay(all) => {
            let missing = 1.0 - users / (all * share);
            (missing > 0.0).then(|| -libm::log(missing) * all)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_step(question: &Question) -> Least {
        least(question).unwrap()[0]
    }

    #[test]
    fn fifty_events_take_fifty_thousand_requests() {
        let least = first_step(&Question::default());
        let requests = least.requests.unwrap();
        assert!((49_000.0..=62_000.0).contains(&requests), "{requests}");
        assert_eq!(least.way, Way::Ratio);
        assert_eq!(least.seconds, Some(requests / 10.0));
    }

    #[test]
    fn a_slow_service_needs_a_day_and_not_an_hour() {
        let slow = Question {
            requests_per_second: 40.0 / 60.0,
            ..Question::default()
        };
        let hours = first_step(&slow).seconds.unwrap() / 3_600.0;
        assert!((20.0..26.0).contains(&hours), "{hours}");
    }

    #[test]
    fn a_clean_service_needs_clean_users() {
        let mut clean = Question {
            base_error_rate: 1e-6,
            ..Question::default()
        };
        assert_eq!(
            first_step(&clean).way,
            Way::Minimum,
            "500 requests of the arm"
        );
        clean.steps[0].minimum_exposures = 0.0;
        let least = first_step(&clean);
        assert_eq!(least.way, Way::Absolute);
        // 445 clean users at alpha 0.025, a tenth of all.
        let requests = least.requests.unwrap();
        assert!((4_440.0..4_470.0).contains(&requests), "{requests}");
    }

    #[test]
    fn a_fast_service_waits_for_its_minimum() {
        let fast = Question {
            requests_per_second: 1e6,
            ..Question::default()
        };
        let least = least(&fast).unwrap();
        assert_eq!((least[0].seconds, least[0].way), (Some(60.0), Way::Minimum));
        assert_eq!(least[3].way, Way::Untested);
    }

    #[test]
    fn twenty_tenants_are_two_units_however_many_requests_they_send() {
        let few = Question {
            users: Users::ADay(20.0),
            base_error_rate: 0.05,
            ..Question::default()
        };
        assert_eq!(first_step(&few).requests, None);
        let many = Question {
            users: Users::ADay(20_000.0),
            ..few
        };
        assert!(first_step(&many).requests.is_some());
    }

    #[test]
    fn few_users_are_too_few_for_the_bound() {
        let few = Question {
            users: Users::ADay(100.0),
            base_error_rate: 1e-6,
            ..Question::default()
        };
        assert_ne!(first_step(&few).way, Way::Absolute);
    }
}
