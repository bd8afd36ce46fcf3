//! Randomness for tests only: the crate itself has none.

/// SplitMix64 (Steele, Lea and Flood, 2014): small, seedable, the same everywhere.
pub struct Rng(u64);

impl Rng {
    /// Prints its seed, so that a failure can be repeated.
    pub fn seeded(seed: u64) -> Rng {
        println!("seed {seed}");
        Rng(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        Rng::mix(self.0)
    }

    /// Bits that depend on `key` alone, as a unit's hash does.
    pub fn hash(key: u64) -> u64 {
        Rng::mix(key.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn mix(mut z: u64) -> u64 {
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// True with the given probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        ((self.next() >> 11) as f64) < probability * (1_u64 << 53) as f64
    }

    /// Uniform below `bound`, which is far below 2^64.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
