//! The least that a step takes, without chance: what the gate asks for if every count is
//! as expected. A judge can say it when a rollout is created.

use super::{Problem, Question, Step, check};
use serinus_stats::sequence::{Difference, slots_hit_by};
use serinus_stats::{absolute, restart};

/// What a step takes at least.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Least {
    /// Of the arms that are compared. `None` if no number of them is enough: a few users
    /// can be too few for ever.
    pub requests: Option<f64>,
    pub seconds: Option<f64>,
    /// What takes so long.
    pub way: Way,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    /// The spec's minimum of time or requests.
    Minimum,
    /// Errors enough to compare: 50 of the canary.
    Ratio,
    /// Users of the canary whose first request did not fail.
    Absolute,
    /// So many users of the canary whose answers are their model's.
    Agreement(f64),
    /// The spec's minimum of users of each arm of whom something was told.
    Told(f64),
}

/// For one step; `None` where nothing is compared.
///
/// # Errors
/// A question that makes no sense.
pub fn least(question: &Question, index: usize) -> Result<Option<Least>, Problem> {
    check::check(question)?;
    let step = question.steps.get(index).filter(|step| step.is_tested());
    Ok(step.map(|step| of(question, step)))
}

fn of(question: &Question, step: &Step) -> Least {
    let rate = question.requests_per_second * step.both();
    let smaller = step.share().min(1.0 - step.share());
    let minimum = (question.minimum_exposures / smaller).max(question.minimum_seconds * rate);
    let needs = [
        Some((Way::Minimum, Some(minimum))),
        Some(errors(question, step)),
        agreement(question, step),
        told(question, step),
    ];
    // The first that is never met, or the one that takes longest.
    let requests = |need: Option<f64>| need.unwrap_or(f64::INFINITY);
    let slowest = needs.into_iter().flatten().reduce(|slowest, need| {
        if requests(need.1) > requests(slowest.1) {
            need
        } else {
            slowest
        }
    });
    let (way, requests) = slowest.unwrap_or((Way::Minimum, Some(minimum)));
    Least {
        requests,
        seconds: requests.map(|requests| requests / rate),
        way,
    }
}

fn errors(question: &Question, step: &Step) -> (Way, Option<f64>) {
    let by_ratio = first(|requests| is_within(question, step, requests));
    let by_bound = clean_users(question).and_then(|users| {
        requests_for(question, step.canary, users).map(|requests| requests * step.both())
    });
    match (by_ratio, by_bound) {
        (Some(ratio), Some(bound)) if bound < ratio => (Way::Absolute, Some(bound)),
        (None, Some(bound)) => (Way::Absolute, Some(bound)),
        (by_ratio, _) => (Way::Ratio, by_ratio),
    }
}

fn agreement(question: &Question, step: &Step) -> Option<(Way, Option<f64>)> {
    let agreement = question.agreement?;
    let enough = restart::threshold(question.promotion_alpha);
    let users =
        first(|users| absolute::log_e(agreement.margin_absolute, users as u64, 0) >= enough)?;
    let sampled = step.canary * agreement.sampled;
    let admitted = agreement.admitted(question.requests_per_second);
    let requests = requests_for(question, sampled, users);
    let requests = requests.map(|requests| requests / admitted * step.both());
    Some((Way::Agreement(users), requests))
}

fn told(question: &Question, step: &Step) -> Option<(Way, Option<f64>)> {
    let users = question.minimum_users;
    let smaller = step.canary.min(step.control);
    let requests = requests_for(question, smaller, users);
    (users > 0.0).then(|| {
        (
            Way::Told(users),
            requests.map(|requests| requests * step.both()),
        )
    })
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
fn is_within(question: &Question, step: &Step, requests: f64) -> bool {
    let (rate, share) = (question.base_error_rate, step.share());
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
        canary_event_slots: event_slots(question, step.canary, canary * rate),
        control_event_slots: event_slots(question, step.control, control * rate),
        n: requests as u64,
        share,
    };
    found.promotes(question.promotion_alpha / 2.0)
}

/// In how many slots the users of an arm fall who have so many errors: the same few again
/// and again, where there are few.
fn event_slots(question: &Question, share: f64, errors: f64) -> u32 {
    let erred = match question.users.a_day() {
        None => errors,
        Some(all) => {
            let own = all * share;
            -own * libm::expm1(-errors / own)
        }
    };
    // Rounded, as events are.
    (slots_hit_by(erred) + 1e-6) as u32
}

/// Users of the canary with which the absolute bound is shown, if no more of them fail
/// than are expected: of 445 at 0.1% none.
fn clean_users(question: &Question) -> Option<f64> {
    let rate = question.base_error_rate;
    if rate >= question.margin_absolute {
        return None;
    }
    let enough = restart::threshold(question.promotion_alpha / 2.0);
    let with = |failed: f64| {
        first(|users| {
            let log_e = absolute::log_e(question.margin_absolute, users as u64, failed as u64);
            users > failed && log_e >= enough
        })
    };
    // More of them may fail, and more of them are needed then.
    let is_usual = |failed: f64| with(failed).is_some_and(|users| users * rate < failed + 1.0);
    // Counted from one, as `first` does.
    let failed = |number: f64| number.ceil() - 1.0;
    first(|number| is_usual(failed(number))).and_then(|number| with(failed(number)))
}

/// Requests of all arms until so many users have come of those who are this share of all.
fn requests_for(question: &Question, share: f64, users: f64) -> Option<f64> {
    match question.users.a_day() {
        None => Some(users / share),
        Some(all) => {
            let missing = 1.0 - users / (all * share);
            (missing > 0.0).then(|| -libm::log(missing) * all)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Agreement, Users};
    use super::*;

    fn first_step(question: &Question) -> Least {
        least(question, 0).unwrap().unwrap()
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
        clean.minimum_exposures = 0.0;
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
        let first = first_step(&fast);
        assert_eq!((first.seconds, first.way), (Some(60.0), Way::Minimum));
        assert_eq!(least(&fast, 3).unwrap(), None);
        assert_eq!(least(&fast, 4).unwrap(), None);
    }

    #[test]
    fn twenty_tenants_are_two_units_however_many_requests_they_send() {
        let few = Question {
            users: Users::Alike(20.0),
            base_error_rate: 0.05,
            ..Question::default()
        };
        assert_eq!(first_step(&few).requests, None);
        let many = Question {
            users: Users::Alike(20_000.0),
            ..few
        };
        assert!(first_step(&many).requests.is_some());
    }

    #[test]
    fn few_users_are_too_few_for_the_bound() {
        let few = Question {
            users: Users::Alike(100.0),
            base_error_rate: 1e-6,
            ..Question::default()
        };
        assert_ne!(first_step(&few).way, Way::Absolute);
    }

    /// A reviewer's case: at 0.1% half a failure is to be expected of the canary's 500 users,
    /// and a run without one needs 445 of them.
    #[test]
    fn a_failure_that_is_less_than_one_is_none() {
        let rare = Question {
            requests_per_second: 40.0 / 60.0,
            users: Users::Alike(5_000.0),
            base_error_rate: 0.001,
            ..Question::default()
        };
        let least = first_step(&rare);
        assert_eq!(least.way, Way::Absolute);
        let hours = least.seconds.unwrap() / 3_600.0;
        assert!((4.0..5.0).contains(&hours), "{hours}");
        let users = |base_error_rate| {
            clean_users(&Question {
                base_error_rate,
                ..Question::default()
            })
        };
        assert_eq!(users(0.0022), Some(445.0));
        // With one failure of 445 it takes more.
        assert!((500.0..900.0).contains(&users(0.0023).unwrap()));
        assert!(users(0.004).unwrap() > 900.0);
        assert_eq!(users(0.01), None);
    }

    #[test]
    fn answers_and_what_is_told_of_users_are_waited_for() {
        let checked = |users, sampled| {
            first_step(&Question {
                requests_per_second: 10.0,
                users,
                base_error_rate: 0.02,
                agreement: Some(Agreement {
                    sampled,
                    per_second: 50.0,
                    margin_absolute: 0.01,
                }),
                ..Question::default()
            })
        };
        let few = checked(Users::Alike(3_000.0), 1.0);
        assert_eq!((few.way, few.requests), (Way::Agreement(367.0), None));
        assert_eq!(checked(Users::Alike(30_000.0), 1.0).way, Way::Ratio);
        let rare = checked(Users::EveryRequest, 0.01);
        assert_eq!(rare.way, Way::Agreement(367.0));
        assert!((rare.requests.unwrap() - 367_000.0).abs() < 1.0);
        let told = |minimum_users, users| {
            first_step(&Question {
                minimum_users,
                users,
                ..Question::default()
            })
        };
        let never = told(1e12, Users::Alike(5_000.0));
        assert_eq!((never.way, never.requests), (Way::Told(1e12), None));
        let all = told(1e12, Users::EveryRequest);
        assert_eq!((all.way, all.requests), (Way::Told(1e12), Some(1e13)));
    }
}
