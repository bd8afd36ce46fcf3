//! From runs to rates, bounds and quantiles.

use libm::{exp, lgamma, log, log1p};

/// The one-sided 95% upper bound of Clopper and Pearson (1934) for the rate behind
/// `hits` in `runs`: the rate at which so few hits have probability 5%.
#[must_use]
pub fn upper95(hits: u64, runs: u64) -> f64 {
    if hits >= runs {
        return 1.0;
    }
    let (mut low, mut high) = (0.0, 1.0);
    // 50 halvings: far below what is printed.
    for _ in 0..50 {
        let middle = f64::midpoint(low, high);
        if at_most(hits, runs, middle) > 0.05 {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// The chance of at most `hits` in `runs`.
fn at_most(hits: u64, runs: u64, rate: f64) -> f64 {
    let n = runs as f64;
    let log_choose = |k: f64| lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0);
    (0..=hits)
        .map(|hits| hits as f64)
        .map(|k| exp(log_choose(k) + k * log(rate) + (n - k) * log1p(-rate)))
        .sum()
}

/// When something happened, over runs; `None` where it did not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Times {
    /// Ascending.
    happened: Vec<f64>,
    runs: u64,
}

impl Times {
    pub fn of(times: impl IntoIterator<Item = Option<f64>>) -> Self {
        let mut runs = 0;
        let mut happened: Vec<f64> = times.into_iter().inspect(|_| runs += 1).flatten().collect();
        happened.sort_by(f64::total_cmp);
        Self { happened, runs }
    }

    #[must_use]
    pub fn runs(&self) -> u64 {
        self.runs
    }

    /// In how many runs it happened.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.happened.len() as u64
    }

    #[must_use]
    pub fn rate(&self) -> f64 {
        self.hits() as f64 / self.runs.max(1) as f64
    }

    #[must_use]
    pub fn upper95(&self) -> f64 {
        upper95(self.hits(), self.runs)
    }

    /// The share of runs in which it had happened by `time`.
    #[must_use]
    pub fn by(&self, time: f64) -> f64 {
        let hits = self.happened.partition_point(|&hit| hit <= time);
        hits as f64 / self.runs.max(1) as f64
    }

    /// By when it had happened in this share of *all* runs; `None` if it had not.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let wanted = (share * self.runs as f64).ceil().max(1.0) as usize;
        self.happened.get(wanted - 1).copied()
    }

    /// By when it had happened in this share of those runs in which it did.
    #[must_use]
    pub fn quantile_of_hits(&self, share: f64) -> Option<f64> {
        let wanted = (share * self.happened.len() as f64).ceil().max(1.0) as usize;
        self.happened.get(wanted - 1).copied()
    }

    /// The mean, where a run in which it did not happen counts as `end`.
    #[must_use]
    pub fn mean(&self, end: f64) -> f64 {
        let missed = self.runs.saturating_sub(self.hits()) as f64;
        (self.happened.iter().sum::<f64>() + missed * end) / self.runs.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upper_bound_is_clopper_and_pearsons() {
        // Closed form for no hits: 1 - 0.05^(1/n). The others solve the binomial
        // tail for 0.05 by hand.
        assert!((upper95(0, 4_000) - (1.0 - 0.05_f64.powf(1.0 / 4_000.0))).abs() < 1e-9);
        assert!((upper95(1, 2) - 0.95_f64.sqrt()).abs() < 1e-9);
        assert_eq!(upper95(7, 7), 1.0);
        assert!((0.055..0.058).contains(&upper95(200, 4_000)));
    }

    #[test]
    fn quantiles_count_the_runs_that_never_ended() {
        let times = Times::of([Some(3.0), None, Some(1.0), Some(2.0)]);
        assert_eq!((times.hits(), times.runs()), (3, 4));
        assert_eq!(times.quantile(0.5), Some(2.0));
        assert_eq!(times.quantile(0.75), Some(3.0));
        assert_eq!(times.quantile(0.9), None);
        assert_eq!(times.quantile_of_hits(0.9), Some(3.0));
        assert_eq!(times.mean(6.0), 3.0);
        assert_eq!(times.by(2.0), 0.5);
        assert_eq!(Times::of([]).quantile(0.5), None);
    }
}
