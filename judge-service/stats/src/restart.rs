//! Several processes, one decision.
//!
//! One process over a whole rollout is in debt from its good times: evidence for
//! "no worse" piles up, and a regression must first pay it back. So a new process
//! starts with each step and again at doubling times within a step, each with its
//! own set of users, and they share alpha by weights.
//!
//! # Guaranteed
//!
//! If each `E_j` is an e-process for the same null and the weights sum to at most
//! 1, then `max_j w_j E_j >= 1/alpha` ever happens with probability at most alpha
//! (a union bound: process j fires at level `w_j alpha`), also where the processes have
//! different filtrations. Five latency thresholds are the same case with weights 1/5.

use crate::math::{exp, ln};

/// The first restart of the processes within a step, in seconds after its latency
/// thresholds are known; each next one comes when the step is twice as old.
pub const FIRST_RESTART_SECONDS: u64 = 60;

/// The weight of the process that starts with a step. The rest is for its restarts.
const FIRST: f64 = 0.75;

/// The weight of restart `k` within one of `steps` steps; `k = 0` starts with the
/// step.
///
/// A step has 1/steps. Three quarters of that go to `k = 0`, which costs it
/// ln(4/3) = 0.29 of evidence; restart k >= 1 has a quarter of `1/(k (k+1))`, and
/// sum_k 1/(k (k+1)) = 1. So a step's processes never use up more than the step has,
/// however long it lasts. Restart 10, after 1024 times the first interval, pays
/// ln 440 = 6.1. No steps, no weight.
pub fn process_weight(steps: u32, k: u32) -> f64 {
    if steps == 0 {
        return 0.0;
    }
    let within_step = if k == 0 {
        FIRST
    } else {
        let k = f64::from(k);
        (1.0 - FIRST) / (k * (k + 1.0))
    };
    within_step / f64::from(steps)
}

/// `ln w_j + ln E_j` of one process: the largest of all is their evidence together. `weight`
/// is its share of alpha, chosen before its data were seen; the weights of all processes
/// that may ever run must sum to at most 1. Minus infinity for a weight that is not positive
/// and for an `E` that is NaN: it never wins.
pub fn weighted(weight: f64, log_e: f64) -> f64 {
    if weight > 0.0 && !log_e.is_nan() {
        ln(weight) + log_e
    } else {
        f64::NEG_INFINITY
    }
}

/// `-ln alpha`: evidence at or above it rejects. Infinite (never rejects) for an
/// alpha that is not above 0.
pub fn threshold(alpha: f64) -> f64 {
    if alpha > 0.0 {
        -ln(alpha)
    } else {
        f64::INFINITY
    }
}

/// The anytime-valid p-value `min(1, 1/E)` of the largest `ln E` reached so far.
pub fn p_value(largest_log_e: f64) -> f64 {
    exp(-largest_log_e.max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_the_weights_of_all_steps_sum_to_at_most_one() {
        for steps in [1, 4, 17] {
            let total: f64 = (0..100_000).map(|k| process_weight(steps, k)).sum();
            let all = total * f64::from(steps);
            assert!(all <= 1.0 && all > 0.9999, "{all}");
        }
        assert_eq!(process_weight(0, 0), 0.0);
    }

    #[test]
    fn the_strongest_process_decides() {
        let processes = [
            (0.5, ln(39.0)),
            (0.25, ln(80.0)),
            (0.0, 1e9),
            (-0.5, 1e9),
            (f64::NAN, 1e9),
            (0.1, f64::NAN),
        ];
        let weighted = processes.map(|(weight, log_e)| weighted(weight, log_e));
        let strongest = weighted.into_iter().fold(f64::NEG_INFINITY, f64::max);
        assert!((strongest - ln(20.0)).abs() < 1e-12);
        assert!(strongest >= threshold(0.0500001));
        assert!(strongest < threshold(0.0499999));
        assert_eq!(threshold(0.0), f64::INFINITY);
        assert_eq!(threshold(f64::NAN), f64::INFINITY);
        assert!(weighted[2] < threshold(1.0));
    }

    #[test]
    fn p_is_one_over_e_and_at_most_one() {
        assert!((p_value(ln(20.0)) - 0.05).abs() < 1e-15);
        assert_eq!(p_value(-3.0), 1.0);
    }
}
