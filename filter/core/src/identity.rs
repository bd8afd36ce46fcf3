//! The pseudonym of a unit in reports, and what is chosen by it.
//!
//! A report never carries a key itself, only SipHash-2-4 of it under a secret of
//! the rollout, which is deleted with the rollout. SipHash is a keyed
//! pseudorandom function, so its bits are independent of bucket and slot (which
//! come from murmur3), and a client cannot aim keys at one place of a hash table.

use core::hash::Hasher;
use siphasher::sip::SipHasher24;

/// A unit's pseudonym.
pub type UnitHash = u64;

/// The secret of one rollout's pseudonyms: 16 bytes, as 32 hex digits on the wire.
#[derive(Clone, PartialEq, Eq)]
pub struct IdentityKey([u8; 16]);

impl IdentityKey {
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Reads 32 hex digits; `None` for anything else.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        u128::from_str_radix(text, 16)
            .ok()
            .map(|value| Self(value.to_be_bytes()))
    }

    #[must_use]
    pub fn hash(&self, unit: &[u8]) -> UnitHash {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(unit);
        hasher.finish()
    }
}

impl core::fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("IdentityKey(..)")
    }
}

/// A unit as it is remembered in a segment, by the segment's index: what is its first there
/// is its first there, whatever it met elsewhere. Only the lowest bits are others, so lists
/// are thinned alike.
#[must_use]
pub fn unit_in_segment(unit: UnitHash, segment: Option<usize>) -> UnitHash {
    unit ^ segment.map_or(0, |index| index as u64 + 1)
}

/// A share of all units, as a threshold on their pseudonyms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(u64);

impl Share {
    pub const ALL: Self = Self(u64::MAX);

    /// From a fraction; what lies outside `0..=1` is clamped, NaN is none.
    #[must_use]
    pub fn from_fraction(fraction: f64) -> Self {
        // The cast saturates: 1.0 * 2^64 becomes u64::MAX, and NaN becomes 0.
        Self((fraction * 18_446_744_073_709_551_616.0) as u64)
    }

    #[must_use]
    pub fn fraction(self) -> f64 {
        self.0 as f64 / 18_446_744_073_709_551_616.0
    }

    /// Half of this share: the units kept are a subset of those before.
    #[must_use]
    pub fn halved(self) -> Self {
        Self(self.0 / 2)
    }

    /// Whether a unit's events are listed.
    #[must_use]
    pub fn lists(self, unit: UnitHash) -> bool {
        self.0 != 0 && unit <= self.0
    }

    /// Whether a unit's bodies are sampled: by other bits than [`Share::lists`],
    /// so that thinning one does not thin the other.
    #[must_use]
    pub fn samples(self, unit: UnitHash) -> bool {
        self.lists(unit.rotate_left(32))
    }

    /// Whether a unit's requests are copied to a shadow: by other bits again.
    #[must_use]
    pub fn shadows(self, unit: UnitHash) -> bool {
        self.lists(unit.rotate_left(16))
    }

    #[must_use]
    pub fn is_all(self) -> bool {
        self == Self::ALL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_32_hex_digits() {
        assert!(IdentityKey::from_hex(&"0f".repeat(16)).is_some());
        for bad in [
            "",
            "0f",
            &"0g".repeat(16),
            &"+f".repeat(16),
            &"é".repeat(16),
        ] {
            assert!(IdentityKey::from_hex(bad).is_none(), "{bad}");
        }
    }

    /// The SipHash-2-4 reference vector (Aumasson and Bernstein, appendix A):
    /// key 00..0f, message 00..0e.
    #[test]
    fn siphash_reference_vector() {
        let key = IdentityKey::from_hex("000102030405060708090a0b0c0d0e0f").unwrap();
        let message: Vec<u8> = (0..15).collect();
        assert_eq!(key.hash(&message), 0xa129_ca61_49be_45e5);
    }

    #[test]
    fn shares() {
        assert!(Share::from_fraction(1.0).lists(u64::MAX));
        assert!(!Share::from_fraction(0.0).lists(0));
        assert!(!Share::from_fraction(f64::NAN).lists(1));
        assert!(Share::from_fraction(7.0).lists(u64::MAX));
        assert!((Share::from_fraction(0.25).fraction() - 0.25).abs() < 1e-12);
        let key = IdentityKey::new([7; 16]);
        let share = Share::from_fraction(0.1);
        let units: Vec<u64> = (0..100_000u32)
            .map(|i| key.hash(&i.to_le_bytes()))
            .collect();
        let listed = units.iter().filter(|&&unit| share.lists(unit)).count();
        let both = units
            .iter()
            .filter(|&&unit| share.lists(unit) && share.samples(unit))
            .count();
        // 10,000 +- 6 sd (95); 1,000 +- 6 sd (31.5).
        assert!((9_430..10_570).contains(&listed), "{listed}");
        assert!((810..1_190).contains(&both), "{both}");
    }
}
