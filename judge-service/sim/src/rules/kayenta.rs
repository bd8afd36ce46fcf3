//! Kayenta's judge (Netflix's) on one metric: the errors of each minute, canary
//! against control, by a Mann-Whitney test on all minutes so far. Every judgement
//! looks at a longer window, and nothing pays for the looks.
//!
//! Written from its known behaviour and checked against 31 of its cases
//! (testdata/README.md).

pub mod classifier;
pub mod mann_whitney;
pub mod score;

use super::{Rule, minutes};
use crate::worlds::{Look, Run, World};
use classifier::{Classification, Classifier, Direction, EffectSize};
use mann_whitney::Window;
use score::{Outcome, Result, outcome, weighted_sum};

pub struct Kayenta {
    /// Minutes between judgements.
    pub every: u64,
}

/// Kayenta's own settings: confidence 0.98, and a quarter of the estimated shift.
const USUAL: Classifier = Classifier {
    tolerance: 0.25,
    confidence: 0.98,
    direction: Direction::Increase,
    effect_size: EffectSize::MeanRatio,
    effect_size_thresholds: (1.0, 1.0),
    critical_thresholds: (1.0, 1.0),
    is_critical: false,
};

/// Its default thresholds of a score.
const PASS: f64 = 95.0;
const MARGINAL: f64 = 75.0;

impl Rule for Kayenta {
    fn names(&self) -> Vec<String> {
        vec![match self.every {
            1 => "Kayenta every minute".to_owned(),
            every => format!("Kayenta every {every} minutes"),
        }]
    }

    fn counts_requests(&self) -> bool {
        true
    }

    fn run(&self, _: &World, _: &Run, looks: &[Look]) -> Vec<Option<u64>> {
        let quantile = mann_whitney::quantile(USUAL.confidence);
        let mut window = Window::default();
        let found = (1..).zip(minutes(looks)).find(|(number, minute)| {
            window.push(minute.canary.rate(), minute.control.rate());
            // Where not even a shift of zero is excluded the metric cannot be high; the
            // second screen is the classifier's own condition without its intervals.
            if number % self.every != 0
                || window.statistic() <= quantile
                || !is_beyond(&window, quantile)
            {
                return false;
            }
            let classification = USUAL.classify(window.control(), window.canary());
            let result = Result {
                classification,
                critical: false,
                groups: vec!["errors"],
            };
            outcome(weighted_sum(&[result], &[]), PASS, MARGINAL) == Outcome::Fail
        });
        vec![found.map(|(_, minute)| minute.end)]
    }
}

/// Whether the interval leaves out the tolerated part of the estimated shift.
fn is_beyond(window: &Window, quantile: f64) -> bool {
    let (canary, control) = (window.canary(), window.control());
    mann_whitney::estimate(canary, control).is_some_and(|estimate| {
        mann_whitney::statistic(canary, control, USUAL.tolerance * estimate.abs()) > quantile
    })
}

impl Classifier {
    /// Whether a classification passes.
    #[must_use]
    pub fn passes(classification: Classification) -> bool {
        classification == Classification::Pass
    }
}
