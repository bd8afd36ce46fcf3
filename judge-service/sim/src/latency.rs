//! Durations: five thresholds, each with its own label process, against changes of a
//! distribution.

use crate::draw::Draw;
use crate::worlds::LOOK;
use serinus_stats::ratio::most_evidence;
use serinus_stats::ratio::{self, LabelCounts, RatioGrid};
use serinus_stats::restart::{process_weight, threshold};

/// Control's durations are lognormal: ln of a duration has this deviation, so that p99
/// is 3.2 times the median.
const SPREAD: f64 = 0.5;

/// Control's quantiles that are the thresholds.
const ABOVE: [f64; 5] = [0.5, 0.1, 0.05, 0.01, 0.001];

/// How canary's durations differ from control's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    None,
    /// All so many times as long.
    All(f64),
    /// This share of them so many times as long.
    Some {
        share: f64,
        times: f64,
    },
    /// The same median, and so many times the spread.
    Spread(f64),
}

/// Requests of new users, at a split of 10%.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    pub name: &'static str,
    pub words: &'static str,
    pub change: Change,
    pub requests: u64,
    /// Canary's thresholds stand this much above control's: 0 is none.
    pub tolerated_slowdown: f64,
}

const SHARE: f64 = 0.1;

fn above_normal(z: f64) -> f64 {
    0.5 * libm::erfc(z / std::f64::consts::SQRT_2)
}

/// The z that is exceeded with probability `p`.
fn normal_quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-10.0, 10.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if above_normal(middle) > p {
            low = middle
        } else {
            high = middle
        }
    }
    high
}

impl Change {
    /// The chance of a duration `ln_edge` above control's median, on a log scale.
    fn above(self, ln_edge: f64) -> f64 {
        let plain = |ln_edge: f64| above_normal(ln_edge / SPREAD);
        match self {
            Self::None => plain(ln_edge),
            Self::All(times) => plain(ln_edge - libm::log(times)),
            Self::Some { share, times } => {
                share * plain(ln_edge - libm::log(times)) + (1.0 - share) * plain(ln_edge)
            }
            Self::Spread(times) => above_normal(ln_edge / (SPREAD * times)),
        }
    }
}

/// The worlds that are run; the first is the one without a change.
#[must_use]
pub fn all() -> [Latency; 4] {
    let latency = |name, words, change| Latency {
        name,
        words,
        change,
        requests: 250_000,
        tolerated_slowdown: 0.0,
    };
    [
        latency("latency", "durations alike", Change::None),
        latency(
            "latency_tail",
            "2% of requests 5 times slower",
            Change::Some {
                share: 0.02,
                times: 5.0,
            },
        ),
        latency("latency_all", "all 10% slower", Change::All(1.1)),
        latency(
            "latency_spread",
            "the same median, half as much spread again",
            Change::Spread(1.5),
        ),
    ]
}

/// New users above one threshold, in one process.
#[derive(Clone, Copy, Default)]
struct Count {
    with_event: u64,
    in_arm: u64,
}

impl Latency {
    /// For each alpha: the request at which the canary is taken back.
    #[must_use]
    pub fn run(&self, alphas: &[f64], seed: u64, run: u64) -> Vec<Option<u64>> {
        let mut draw = Draw::new(seed, self.name, run);
        let grid = RatioGrid::rollback(1.0);
        let edges = ABOVE.map(|above| SPREAD * normal_quantile(above));
        let slower = libm::log1p(self.tolerated_slowdown);
        let canary = edges.map(|edge| self.change.above(edge + slower));
        // Alpha is shared by the thresholds.
        let enough: Vec<f64> = alphas
            .iter()
            .map(|alpha| threshold(alpha / ABOVE.len() as f64))
            .collect();
        let least = enough.iter().copied().fold(f64::INFINITY, f64::min);
        let mut fired: Vec<Option<u64>> = vec![None; alphas.len()];
        let mut processes: Vec<(f64, [Count; 5])> = Vec::new();
        let mut next_restart = 0;
        for look in 1..=self.requests / LOOK {
            let at = look * LOOK;
            if at > next_restart {
                let number = u32::try_from(processes.len()).unwrap_or(u32::MAX);
                processes.push((libm::log(process_weight(1, number)), [Count::default(); 5]));
                next_restart = if next_restart == 0 {
                    1_000
                } else {
                    2 * next_restart
                };
            }
            let in_canary = draw.binomial(LOOK, SHARE);
            let slow = [
                over(in_canary, &canary, &mut draw),
                over(LOOK - in_canary, &ABOVE, &mut draw),
            ];
            let mut strongest = f64::NEG_INFINITY;
            for (log_weight, counts) in &mut processes {
                for (count, (arm, control)) in counts.iter_mut().zip(slow[0].iter().zip(slow[1])) {
                    count.with_event += arm + control;
                    count.in_arm += arm;
                    let labels = LabelCounts {
                        share: SHARE,
                        with_event: count.with_event,
                        in_arm: count.in_arm,
                    };
                    if *arm > 0 && *log_weight + most_evidence(&labels, 1.0) >= least {
                        strongest = strongest
                            .max(*log_weight + ratio::log_e(&grid, std::iter::once(labels)));
                    }
                }
            }
            for (fired, enough) in fired.iter_mut().zip(&enough) {
                if fired.is_none() && strongest >= *enough {
                    *fired = Some(at);
                }
            }
            if fired.iter().all(Option::is_some) {
                break;
            }
        }
        fired
    }
}

/// Of `n` requests, those above each threshold: each is among those above the one
/// before it.
fn over(n: u64, above: &[f64; 5], draw: &mut Draw) -> [u64; 5] {
    let (mut left, mut before) = (n, 1.0);
    above.map(|above| {
        left = draw.binomial(left, if before > 0.0 { above / before } else { 0.0 });
        before = above;
        left
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unchanged_canary_is_above_as_often_as_control() {
        for above in ABOVE {
            let edge = SPREAD * normal_quantile(above);
            assert!((Change::None.above(edge) - above).abs() < 1e-9);
            assert!(Change::All(1.1).above(edge) > above);
            assert!(
                Change::Some {
                    share: 0.02,
                    times: 5.0
                }
                .above(edge)
                    > above
            );
        }
        assert!((Change::Spread(1.5).above(0.0) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_slow_tail_is_caught_about_when_the_table_says() {
        let [_, tail, ..] = all();
        let mut found: Vec<u64> = (0..40)
            .map(|run| tail.run(&[0.05], 1, run)[0].unwrap())
            .collect();
        found.sort_unstable();
        // STATISTICS: about 5,300 requests, with another distribution of durations.
        assert!((2_000..10_000).contains(&found[20]), "{}", found[20]);
    }
}
