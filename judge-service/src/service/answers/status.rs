//! What is told of a rollout's answers.

use super::shown::Shown;
use crate::books::Entry;
use crate::domain::scores;
use crate::domain::sums::{self, EpochSums, OTHER, Outcomes, Pairs, Values, Worth};
use crate::service::deeds::known;
use crate::service::{Service, ServiceError};
use schemars::JsonSchema;
use serde::Serialize;
use serinus_stats::{psi, quantile};
use std::collections::BTreeMap;
use std::ops::Add;

/// Nobody looks at a quantile of fewer answers.
const FIRST_LOOK: u64 = 50;

const QUANTILES: [f64; 3] = [0.1, 0.5, 0.9];

#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct AnswersStatus {
    /// Whether requests and answers are copied to the judge.
    pub sampling: bool,
    /// At the current step, of the whole and then of each segment.
    pub served: Vec<Served>,
    /// Since this judge began to judge.
    #[serde(flatten)]
    pub seen: Shown,
}

/// What users of one arm were answered: each user's first sample of the step.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct Served {
    pub arm: String,
    /// `null` for the whole.
    pub segment: Option<String>,
    /// Users by label, the most frequent first.
    pub labels: Vec<LabelCount>,
    pub scores: Option<Scores>,
    /// The population stability index against control: of labels, or else of scores. A
    /// familiar number (over 0.25 is a shift), and no test.
    pub psi: Option<f64>,
    /// Sampled users of all arms, and those whose input this arm's model answers otherwise
    /// than control's.
    pub differences: Share,
    pub pairs: Pairs,
    /// Users with an outcome, and of those, wrongly answered.
    pub outcomes: Share,
    pub values: ValueStatus,
    pub worth: Worth,
}

#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct LabelCount {
    /// `null` for all labels beyond the 64 that are counted apart.
    pub label: Option<i64>,
    pub users: u64,
}

#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct Scores {
    pub users: u64,
    pub quantiles: Vec<ScoreQuantile>,
    /// Lower bound and users of each bin.
    pub bins: Vec<(f64, u64)>,
}

/// Known to within a bin; the band holds the true quantile at every look with 95%.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct ScoreQuantile {
    pub quantile: f64,
    pub score: f64,
    pub lower: Option<f64>,
    pub upper: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Share {
    pub users: u64,
    pub bad: u64,
}

#[derive(Debug, Clone, Copy, JsonSchema, Serialize)]
pub struct ValueStatus {
    pub users: u64,
    pub mean: Option<f64>,
    /// Of one user's value.
    pub deviation: Option<f64>,
}

impl Service {
    /// # Errors
    /// No such rollout, or a store that fails.
    pub async fn answers(&self, id: &str) -> Result<AnswersStatus, ServiceError> {
        let books = self.books().await?;
        let entry = known(&books, id)?;
        let spec = &entry.rollout.spec;
        let segments = spec
            .segments
            .iter()
            .map(|segment| Some(segment.name.as_str()));
        let served = core::iter::once(None).chain(segments);
        Ok(AnswersStatus {
            sampling: spec.sampling.is_some() && !entry.rollout.sampling_off,
            served: served
                .flat_map(|segment| of_segment(entry, segment))
                .collect(),
            seen: self.live().answers(id).clone(),
        })
    }
}

fn of_segment(entry: &Entry, segment: Option<&str>) -> Vec<Served> {
    let rollout = &entry.rollout;
    let in_step = |sums: &&EpochSums| {
        let mut epochs = rollout.step_epochs();
        epochs.any(|epoch| epoch.epoch == sums.epoch)
            && (segment.is_none() || sums.segment.as_deref() == segment)
    };
    let of_arm = |arm: usize| {
        let sums = entry.sums().iter().filter(in_step);
        let arms = sums.filter_map(move |sums| sums.arms.get(arm));
        arms.fold(sums::Answers::default(), |whole, next| {
            plus(whole, &next.answers)
        })
    };
    let control = of_arm(rollout.control_index());
    let arms = rollout.spec.arms.iter().enumerate();
    arms.map(|(index, arm)| {
        let own = of_arm(index);
        let outcomes = own
            .told
            .values()
            .copied()
            .fold(Outcomes::default(), Add::add);
        let share = |outcomes: Outcomes| Share {
            users: outcomes.users,
            bad: outcomes.bad,
        };
        Served {
            arm: arm.name.clone(),
            segment: segment.map(str::to_owned),
            labels: labels(&own.labels),
            scores: scores_of(&own.scores),
            psi: (index != rollout.control_index())
                .then(|| stability(&control, &own))
                .flatten(),
            differences: share(own.differences),
            pairs: own.pairs,
            outcomes: share(outcomes),
            values: values(own.values),
            worth: own.worth,
        }
    })
    .collect()
}

fn plus(mut whole: sums::Answers, more: &sums::Answers) -> sums::Answers {
    for (&label, &users) in &more.labels {
        *whole.labels.entry(label).or_default() += users;
    }
    for (&bin, &users) in &more.scores {
        *whole.scores.entry(bin).or_default() += users;
    }
    whole.differences = whole.differences + more.differences;
    whole.pairs = whole.pairs + more.pairs;
    for (&before, &told) in &more.told {
        let sum = whole.told.entry(before).or_default();
        *sum = *sum + told;
    }
    whole.values = whole.values + more.values;
    whole.worth = whole.worth + more.worth;
    whole
}

fn labels(counts: &BTreeMap<i64, u64>) -> Vec<LabelCount> {
    let mut labels: Vec<LabelCount> = counts
        .iter()
        .map(|(&label, &users)| LabelCount {
            label: (label != OTHER).then_some(label),
            users,
        })
        .collect();
    labels.sort_by_key(|count| core::cmp::Reverse(count.users));
    labels
}

fn scores_of(bins: &BTreeMap<i64, u64>) -> Option<Scores> {
    let users: u64 = bins.values().sum();
    if users == 0 {
        return None;
    }
    let at = |level: f64| {
        // A rank from 1 to all.
        let rank = ((level * users as f64).ceil() as u64).clamp(1, users);
        let mut below = 0;
        bins.iter().find_map(|(&bin, &count)| {
            below += count;
            (below >= rank).then(|| scores::bounds(bin))
        })
    };
    let band = quantile::band(users, FIRST_LOOK, quantile::C_05);
    let quantiles = QUANTILES.into_iter().filter_map(|level| {
        let (least, next) = at(level)?;
        let (lower, upper) = quantile::levels(level, band);
        Some(ScoreQuantile {
            quantile: level,
            score: (least + next) / 2.0,
            lower: (lower > 0.0).then(|| at(lower)).flatten().map(|bin| bin.0),
            upper: (upper < 1.0).then(|| at(upper)).flatten().map(|bin| bin.1),
        })
    });
    Some(Scores {
        users,
        quantiles: quantiles.collect(),
        bins: bins
            .iter()
            .map(|(&bin, &count)| (scores::bounds(bin).0, count))
            .collect(),
    })
}

fn stability(control: &sums::Answers, arm: &sums::Answers) -> Option<f64> {
    let (before, after) = if arm.labels.is_empty() {
        (&control.scores, &arm.scores)
    } else {
        (&control.labels, &arm.labels)
    };
    let mut classes: BTreeMap<i64, [u64; 2]> = BTreeMap::new();
    for (&class, &users) in before {
        classes.entry(class).or_default()[0] += users;
    }
    for (&class, &users) in after {
        classes.entry(class).or_default()[1] += users;
    }
    let (before, after): (Vec<u64>, Vec<u64>) = classes
        .into_values()
        .map(|[before, after]| (before, after))
        .unzip();
    psi::psi(&before, &after)
}

fn values(values: Values) -> ValueStatus {
    let mean = values.mean();
    ValueStatus {
        users: values.users,
        mean,
        deviation: mean.filter(|_| values.users > 1).map(|mean| {
            let users = values.users as f64;
            let variance = (values.sum_of_squares - users * mean * mean) / (users - 1.0);
            variance.max(0.0).sqrt()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_in_their_bands() {
        let bins = BTreeMap::from([(10, 500), (50, 400), (90, 100)]);
        let scores = scores_of(&bins).unwrap();
        assert_eq!(scores.users, 1_000);
        let found: Vec<f64> = scores.quantiles.iter().map(|own| own.score).collect();
        let wanted = [0.105, 0.105, 0.505];
        for (found, wanted) in found.iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-12, "{found}");
        }
        let median = &scores.quantiles[1];
        assert!(
            median.lower.unwrap() <= 0.1 && median.upper.unwrap() >= 0.5,
            "{median:?}"
        );
        assert!(scores_of(&BTreeMap::new()).is_none());
        let few = scores_of(&BTreeMap::from([(10, 3)])).unwrap();
        assert_eq!(few.quantiles[1].lower, None, "three say nothing");
    }

    #[test]
    fn values_have_a_mean_and_a_deviation() {
        let mut counted = Values::default();
        assert_eq!(values(counted).mean, None);
        for value in [1.0, 3.0] {
            counted.count(value);
        }
        let found = values(counted);
        assert_eq!(found.mean, Some(2.0));
        assert!((found.deviation.unwrap() - 2f64.sqrt()).abs() < 1e-12);
    }
}
