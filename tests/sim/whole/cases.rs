//! What is released, and what the judge should make of it.

use super::traffic::{FAST, FEW_USERS, SLOW, Traffic, USUAL};
use super::version::Version;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// To go through all steps, and never to be taken back.
    Promote,
    TakeBack,
    /// To be taken back before the second step.
    TakeBackAtOnce,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    pub name: &'static str,
    pub words: &'static str,
    pub right: Right,
    pub control: Version,
    pub canary: Version,
    /// Until this step, and so many seconds into it, the new version is as good as the old
    /// one.
    pub from_step: usize,
    pub after_seconds: u64,
    /// The least that the spec asks of a step, where it does.
    pub minimum_seconds: Option<u64>,
    /// In this step both versions have trouble.
    pub outage_in: Option<usize>,
    /// At which traffic it is tried, and how often in a complete run.
    pub runs: Vec<(Traffic, u64)>,
}

/// Of all requests, while there is trouble.
pub const OUTAGE_SHARE: f64 = 0.2;
pub const OUTAGE_SECONDS: u64 = 60;

// === impl Right ===

impl Right {
    pub fn is_good(self) -> bool {
        self == Self::Promote
    }

    pub fn words(self) -> &'static str {
        match self {
            Self::Promote => "promoted",
            Self::TakeBack => "taken back",
            Self::TakeBackAtOnce => "taken back in the first step",
        }
    }
}

pub fn all() -> Vec<Case> {
    let good = |name, words| Case {
        name,
        words,
        right: Right::Promote,
        control: Version::GOOD,
        canary: Version::GOOD,
        from_step: 0,
        after_seconds: 0,
        minimum_seconds: None,
        outage_in: None,
        runs: Vec::new(),
    };
    let bad = |name, words, canary| Case {
        right: Right::TakeBack,
        canary,
        ..good(name, words)
    };
    let of_a_second = Version {
        median_us: 1_000_000.0,
        ..Version::GOOD
    };
    let of_ten_seconds = Version {
        median_us: 10_000_000.0,
        ..Version::GOOD
    };
    vec![
        Case {
            runs: vec![(SLOW, 20), (FEW_USERS, 8), (USUAL, 80), (FAST, 12)],
            ..good("good", "the new version is as the old one")
        },
        Case {
            control: Version::with_errors(0.1),
            canary: Version::with_errors(0.1),
            runs: vec![(SLOW, 30), (USUAL, 60)],
            ..good("good_rare", "as good, and of both 0.1% of requests fail")
        },
        Case {
            control: of_a_second.failing_after(10.0),
            canary: of_a_second.failing_after(10.0),
            runs: vec![(USUAL, 30)],
            ..good(
                "errors_take_long",
                "as good; answers take 1 s and errors 10 s, of both",
            )
        },
        Case {
            control: of_a_second.failing_after(15.0),
            canary: of_a_second.failing_after(0.001),
            runs: vec![(SLOW, 8), (USUAL, 60)],
            ..good(
                "control_fails_late",
                "as good; answers take 1 s, control's errors 15 s, the new version fails at once",
            )
        },
        Case {
            control: of_ten_seconds.failing_after(15.0),
            canary: of_ten_seconds.failing_after(0.001),
            runs: vec![(USUAL, 40)],
            ..good(
                "answers_take_long",
                "as good; answers take 10 s, control's errors 15 s, the new version fails at once",
            )
        },
        Case {
            outage_in: Some(1),
            runs: vec![(USUAL, 60)],
            ..good(
                "outage",
                "as good; in the second step 20% of all requests fail for a minute",
            )
        },
        Case {
            runs: vec![(SLOW, 20), (USUAL, 40)],
            ..bad("errors_x2", "twice the errors", Version::with_errors(2.0))
        },
        Case {
            runs: vec![(SLOW, 40), (FEW_USERS, 40), (USUAL, 40), (FAST, 12)],
            ..bad(
                "errors_x5",
                "five times the errors",
                Version::with_errors(5.0),
            )
        },
        Case {
            runs: vec![(SLOW, 40), (USUAL, 40), (FAST, 12)],
            ..bad(
                "all_fail",
                "every answer fails",
                Version::with_errors(f64::INFINITY),
            )
        },
        Case {
            runs: vec![(SLOW, 20), (USUAL, 40)],
            ..bad(
                "slow_tail",
                "2% of answers take five times as long",
                Version {
                    slow_share: 0.02,
                    slowness: 5.0,
                    ..Version::GOOD
                },
            )
        },
        Case {
            runs: vec![(SLOW, 20), (USUAL, 40)],
            ..bad(
                "slow",
                "all answers take 1.5 times as long",
                Version {
                    median_us: 1.5 * Version::GOOD.median_us,
                    ..Version::GOOD
                },
            )
        },
        Case {
            right: Right::TakeBackAtOnce,
            runs: vec![(SLOW, 20), (USUAL, 40)],
            ..bad(
                "hangs",
                "5% of requests fail, each after 120 s",
                Version::with_errors(5.0).failing_after(120.0),
            )
        },
        Case {
            from_step: 2,
            runs: vec![(USUAL, 40)],
            ..bad(
                "third_step",
                "five times the errors from the third step on",
                Version::with_errors(5.0),
            )
        },
        Case {
            after_seconds: 45 * 60,
            minimum_seconds: Some(3_600),
            runs: vec![(USUAL, 40)],
            ..bad(
                "late_in_step",
                "twice the errors after 45 minutes of a step of an hour",
                Version::with_errors(2.0),
            )
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_and_all_is_tried() {
        let all = all();
        let mut names: Vec<_> = all.iter().map(|case| case.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all.len());
        assert!(all.iter().all(|case| !case.runs.is_empty()));
    }
}
