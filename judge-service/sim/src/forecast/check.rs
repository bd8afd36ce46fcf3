//! Questions that make no sense.

use super::{Agreement, Question};
use std::fmt;

/// Which field, what is wrong with it, and what would be right.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    pub field: String,
    pub wrong: String,
    pub right: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "`{}` {}: give {}", self.field, self.wrong, self.right)
    }
}

impl std::error::Error for Problem {}

fn check_number(field: &str, value: f64, is_right: bool, right: &str) -> Result<(), Problem> {
    if is_right {
        return Ok(());
    }
    Err(Problem {
        field: field.to_owned(),
        wrong: format!("is {value}"),
        right: right.to_owned(),
    })
}

pub(super) fn check(question: &Question) -> Result<(), Problem> {
    let q = question;
    let positive = |field, value: f64| {
        let is_right = value > 0.0 && value.is_finite();
        check_number(field, value, is_right, "a number above 0")
    };
    let share = |field: &str, value: f64| {
        check_number(
            field,
            value,
            value > 0.0 && value < 1.0,
            "a share above 0 and below 1",
        )
    };
    positive("requests_per_second", q.requests_per_second)?;
    if let Some(users) = q.users.a_day() {
        check_number(
            "users",
            users,
            (1.0..=1e12).contains(&users),
            "how many different users come in a day, or that every request is its own",
        )?;
    }
    share("base_error_rate", q.base_error_rate)?;
    let above_one = q.margin_ratio > 1.0 && q.margin_ratio.is_finite();
    check_number(
        "margin_ratio",
        q.margin_ratio,
        above_one,
        "a ratio above 1, such as 1.5",
    )?;
    share("margin_absolute", q.margin_absolute)?;
    let tolerated = (1.0..=100.0).contains(&q.tolerated_ratio);
    check_number(
        "tolerated_ratio",
        q.tolerated_ratio,
        tolerated,
        "a ratio from 1 to 100, such as 1.1",
    )?;
    check_number(
        "floor",
        q.floor,
        (0.0..1.0).contains(&q.floor),
        "a difference of shares from 0 on, such as 0.001",
    )?;
    share("rollback_alpha", q.rollback_alpha)?;
    share("promotion_alpha", q.promotion_alpha)?;
    check_number(
        "guardrails",
        f64::from(q.guardrails),
        (1..=10).contains(&q.guardrails),
        "how many guardrails can roll back, such as 2",
    )?;
    for (field, value, right) in [
        ("warm_up_seconds", q.warm_up_seconds, "seconds from 0 on"),
        (
            "warm_up_requests",
            q.warm_up_requests,
            "answers of control from 0 on",
        ),
        (
            "minimum_exposures",
            q.minimum_exposures,
            "requests from 0 on",
        ),
        ("minimum_users", q.minimum_users, "users from 0 on"),
    ] {
        check_number(field, value, value >= 0.0 && value.is_finite(), right)?;
    }
    let worse = q.ratio > 1.0 && q.ratio * q.base_error_rate <= 1.0;
    check_number(
        "ratio",
        q.ratio,
        worse,
        "a ratio above 1 with which not more than all requests fail, such as 2",
    )?;
    positive("longest_seconds", q.longest_seconds)?;
    check_number(
        "minimum_seconds",
        q.minimum_seconds,
        (0.0..=q.longest_seconds).contains(&q.minimum_seconds),
        "seconds from 0 to a step's deadline",
    )?;
    if let Some(agreement) = &q.agreement {
        check_agreement(agreement)?;
    }
    check_number(
        "runs",
        f64::from(q.runs),
        (1..=100_000).contains(&q.runs),
        "from 1 to 100,000 runs, such as 300",
    )?;
    check_steps(question)
}

fn check_agreement(agreement: &Agreement) -> Result<(), Problem> {
    let (sampled, rate) = (agreement.sampled, agreement.per_second);
    check_number(
        "agreement.sampled",
        sampled,
        sampled > 0.0 && sampled <= 1.0,
        "a share of users above 0 and up to 1",
    )?;
    check_number(
        "agreement.per_second",
        rate,
        rate > 0.0 && rate.is_finite(),
        "a number above 0",
    )?;
    let margin = agreement.margin_absolute;
    check_number(
        "agreement.margin_absolute",
        margin,
        margin > 0.0 && margin < 1.0,
        "a share above 0 and below 1",
    )
}

fn check_steps(question: &Question) -> Result<(), Problem> {
    check_number(
        "steps",
        question.steps.len() as f64,
        (1..=100).contains(&question.steps.len()),
        "from 1 to 100 steps",
    )?;
    for (index, step) in question.steps.iter().enumerate() {
        for (field, share) in [("canary", step.canary), ("control", step.control)] {
            check_number(
                &format!("steps[{index}].{field}"),
                share,
                (0.0..=1.0).contains(&share),
                "a share of users from 0 to 1",
            )?;
        }
        // Shares are sums of hundredths of a percent.
        check_number(
            &format!("steps[{index}]"),
            step.both(),
            step.both() <= 1.0 + 1e-9,
            "shares that are 1 together at most",
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Users;
    use super::*;

    #[test]
    fn every_problem_names_its_field() {
        fn with(change: impl Fn(&mut Question)) -> String {
            let mut question = Question::default();
            change(&mut question);
            check(&question).unwrap_err().field
        }
        assert!(check(&Question::default()).is_ok());
        assert_eq!(with(|q| q.requests_per_second = 0.0), "requests_per_second");
        assert_eq!(with(|q| q.users = Users::Alike(0.0)), "users");
        assert_eq!(with(|q| q.base_error_rate = f64::NAN), "base_error_rate");
        assert_eq!(with(|q| q.margin_ratio = 1.0), "margin_ratio");
        assert_eq!(with(|q| q.margin_absolute = 1.0), "margin_absolute");
        assert_eq!(with(|q| q.tolerated_ratio = 0.5), "tolerated_ratio");
        assert_eq!(with(|q| q.floor = -1.0), "floor");
        assert_eq!(with(|q| q.rollback_alpha = 0.0), "rollback_alpha");
        assert_eq!(with(|q| q.promotion_alpha = 1.0), "promotion_alpha");
        assert_eq!(with(|q| q.guardrails = 0), "guardrails");
        assert_eq!(with(|q| q.warm_up_seconds = -1.0), "warm_up_seconds");
        assert_eq!(with(|q| q.warm_up_requests = f64::NAN), "warm_up_requests");
        assert_eq!(with(|q| q.ratio = 200.0), "ratio");
        assert_eq!(with(|q| q.longest_seconds = -1.0), "longest_seconds");
        assert_eq!(with(|q| q.runs = 0), "runs");
        assert_eq!(with(|q| q.steps.clear()), "steps");
        assert_eq!(with(|q| q.steps[1].canary = 1.5), "steps[1].canary");
        assert_eq!(with(|q| q.steps[1].control = -0.1), "steps[1].control");
        assert_eq!(with(|q| q.steps[1].canary = 0.5), "steps[1]");
        assert_eq!(with(|q| q.minimum_seconds = 1e9), "minimum_seconds");
        assert_eq!(with(|q| q.minimum_exposures = -1.0), "minimum_exposures");
        assert_eq!(with(|q| q.minimum_users = -1.0), "minimum_users");
        let checked = |change: fn(&mut Agreement)| {
            with(|q| {
                let mut agreement = Agreement {
                    sampled: 1.0,
                    per_second: 50.0,
                    margin_absolute: 0.01,
                };
                change(&mut agreement);
                q.agreement = Some(agreement);
            })
        };
        assert_eq!(checked(|a| a.sampled = 0.0), "agreement.sampled");
        assert_eq!(checked(|a| a.per_second = 0.0), "agreement.per_second");
        assert_eq!(
            checked(|a| a.margin_absolute = 1.0),
            "agreement.margin_absolute"
        );
    }

    #[test]
    fn a_problem_is_a_sentence() {
        let question = Question {
            ratio: 0.5,
            ..Question::default()
        };
        let problem = check(&question).unwrap_err().to_string();
        assert_eq!(
            problem,
            "`ratio` is 0.5: give a ratio above 1 with which not more than all requests fail, such as 2"
        );
    }
}
