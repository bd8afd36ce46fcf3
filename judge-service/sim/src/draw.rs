//! Random numbers. Each run of each world has a stream of its own, so that neither
//! threads nor the order of runs can change a result.

use rand::{Rng as _, SeedableRng as _};
use rand_distr::{Binomial, Distribution as _, Poisson, StandardNormal};
use rand_pcg::Pcg64Mcg;

/// One stream.
pub struct Draw(Pcg64Mcg);

/// SplitMix64's output function (Steele, Lea and Flood, 2014), as a mixer.
fn mix(word: u64) -> u64 {
    let z = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Draw {
    /// The stream of one run of what is called `name`.
    #[must_use]
    pub fn new(seed: u64, name: &str, run: u64) -> Self {
        let named = name
            .bytes()
            .fold(mix(seed), |state, byte| mix(state ^ u64::from(byte)));
        Self(Pcg64Mcg::seed_from_u64(mix(named ^ mix(run))))
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        self.0.random()
    }

    /// 0 to `end` - 1; 0 for an `end` of 0.
    pub fn below(&mut self, end: u32) -> u32 {
        let wide = u64::from(self.0.random::<u32>()) * u64::from(end);
        (wide >> 32) as u32
    }

    /// What [`Draw::below`] and [`Draw::chance`] give, in one: a number below `end`, and a
    /// number that is below `p * 2^32` with probability `p`.
    pub fn below_and_point(&mut self, end: u32) -> (u32, u32) {
        let word: u64 = self.0.random();
        let wide = (word >> 32) * u64::from(end);
        ((wide >> 32) as u32, word as u32)
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }

    /// Misses before the next hit, when `ln_miss` is ln(1 - the chance of a hit).
    pub fn gap(&mut self, ln_miss: f64) -> u64 {
        // 1 - u is in (0, 1], so the logarithm is finite; `as` saturates.
        (libm::log(1.0 - self.uniform()) / ln_miss) as u64
    }

    /// Exponential with this mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -libm::log(1.0 - self.uniform()) * mean
    }

    pub fn normal(&mut self) -> f64 {
        StandardNormal.sample(&mut self.0)
    }

    /// Hits among `n`.
    pub fn binomial(&mut self, n: u64, probability: f64) -> u64 {
        match Binomial::new(n, probability.clamp(0.0, 1.0)) {
            Ok(hits) if n > 0 => hits.sample(&mut self.0),
            _ => 0,
        }
    }

    /// Arrivals where `mean` are expected; 0 unless the mean is positive.
    pub fn poisson(&mut self, mean: f64) -> u64 {
        Poisson::new(mean).map_or(0, |arrivals| arrivals.sample(&mut self.0) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five standard errors around the mean of `n` draws: a seed fails always or never.
    #[track_caller]
    fn has_mean(mean: f64, deviation: f64, mut draw: impl FnMut() -> f64) {
        let n = 20_000;
        let found = (0..n).map(|_| draw()).sum::<f64>() / f64::from(n);
        let error = deviation / f64::from(n).sqrt();
        assert!((found - mean).abs() < 5.0 * error, "{found}, not {mean}");
    }

    #[test]
    fn distributions_have_their_means() {
        let mut draw = Draw::new(1, "means", 0);
        has_mean(99.0, 99.5, || draw.gap(libm::log1p(-0.01)) as f64);
        has_mean(2.5, 1.5, || draw.binomial(25, 0.1) as f64);
        has_mean(300.0, 14.5, || draw.binomial(1_000, 0.3) as f64);
        has_mean(0.5, 0.71, || draw.poisson(0.5) as f64);
        has_mean(7.0, 7.0, || draw.exponential(7.0));
        has_mean(4.5, 2.9, || f64::from(draw.below(10)));
    }

    #[test]
    fn streams_repeat_and_differ() {
        let first = |seed, name, run| Draw::new(seed, name, run).uniform();
        assert_eq!(first(1, "iid", 7), first(1, "iid", 7));
        let others = [first(2, "iid", 7), first(1, "iie", 7), first(1, "iid", 8)];
        assert!(others.iter().all(|&other| other != first(1, "iid", 7)));
    }

    #[test]
    fn what_makes_no_sense_is_zero() {
        let mut draw = Draw::new(1, "zero", 0);
        assert_eq!(draw.below(0), 0);
        assert_eq!(draw.binomial(0, 0.5), 0);
        assert_eq!(draw.poisson(0.0), 0);
        assert_eq!(draw.poisson(f64::NAN), 0);
    }
}
