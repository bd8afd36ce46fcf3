//! From a unit and a salt to a bucket and a slot.
//!
//! NOTE: frozen. Anybody may reproduce an assignment offline, and a change here
//! would move users between arms in the middle of a rollout. The golden vectors
//! below run natively and, in `tests/wasm`, against the artefact.

use std::io::Read;

/// Buckets of a salt: weights are exact to a hundredth of a percent.
pub const BUCKETS: u16 = 10_000;

/// Slots for variance by user: the low 8 bits of the hash.
pub const SLOTS: usize = 256;

/// The seed that Optimizely publishes its vectors for.
const SEED: u32 = 1;

/// Where a unit stands: `bucket` in `0..10_000` decides the arm, `slot` in
/// `0..256` groups users for the variance. The bucket comes from the high bits
/// of the hash and the slot from the low ones, so they are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub bucket: u16,
    pub slot: u8,
}

/// `bucket = h * 10000 >> 32` with `h = murmur3_x86_32(unit + salt, seed 1)`.
#[must_use]
pub fn place(unit: &[u8], salt: &str) -> Place {
    let hash = murmur3_x86_32(unit, salt.as_bytes());
    let [slot, ..] = hash.to_le_bytes();
    // At most 9_999, since h < 2^32.
    let bucket = ((u64::from(hash) * u64::from(BUCKETS)) >> 32) as u16;
    Place { bucket, slot }
}

/// Units and salts are mostly shorter together than this many bytes.
const SHORT: usize = 96;

/// Of `start` and `end` as one text. The crate reads through `io::Read`, and a chain of
/// two costs a request several times what plain bytes do.
fn murmur3_x86_32(start: &[u8], end: &[u8]) -> u32 {
    let length = start.len() + end.len();
    let mut bytes = [0; SHORT];
    // Reading from memory cannot fail, so the fallback value is never used.
    let hash = match bytes.get_mut(..length) {
        Some(bytes) => {
            let (front, back) = bytes.split_at_mut(start.len());
            front.copy_from_slice(start);
            back.copy_from_slice(end);
            murmur3::murmur3_32(&mut &*bytes, SEED)
        }
        None => murmur3::murmur3_32(&mut start.chain(end), SEED),
    };
    hash.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Of any length: those that fit the short way and those that do not.
        #[test]
        fn both_ways_give_the_same(
            start in prop::collection::vec(any::<u8>(), 0..SHORT),
            end in prop::collection::vec(any::<u8>(), 0..SHORT),
        ) {
            let reference = murmur3::murmur3_32(&mut start.chain(end.as_slice()), SEED).unwrap();
            prop_assert_eq!(murmur3_x86_32(&start, &end), reference);
        }
    }

    /// Optimizely's published vectors, and empty input.
    #[test]
    fn golden_vectors() {
        for (unit, salt, bucket) in [
            ("ppid1", "1886780721", 5254),
            ("ppid2", "1886780721", 4299),
            ("ppid2", "1886780722", 2434),
            ("ppid3", "1886780721", 5439),
        ] {
            assert_eq!(place(unit.as_bytes(), salt).bucket, bucket, "{unit}{salt}");
        }
    }

    /// Unit and salt are hashed as one string, wherever the cut between them is.
    #[test]
    fn hashes_the_concatenation() {
        let whole = place(b"abcdefg", "");
        for cut in 0..=7 {
            assert_eq!(place(&b"abcdefg"[..cut], &"abcdefg"[cut..]), whole);
        }
    }

    #[test]
    fn slots_and_buckets_are_spread_and_independent() {
        let mut in_first_half_by_slot = [0u32; SLOTS];
        let mut by_slot = [0u32; SLOTS];
        for i in 0..256_000 {
            let place = place(format!("user-{i}").as_bytes(), "salt");
            by_slot[usize::from(place.slot)] += 1;
            if place.bucket < BUCKETS / 2 {
                in_first_half_by_slot[usize::from(place.slot)] += 1;
            }
        }
        for slot in 0..SLOTS {
            // 1,000 expected, sd 31.6: six sd is a chance of 1e-9 a slot. The
            // input is fixed, so this either always holds or never does.
            assert!((810..1190).contains(&by_slot[slot]), "slot {slot}");
            // Half of those: 500, sd 15.8 (plus the spread of the slot itself).
            assert!((360..640).contains(&in_first_half_by_slot[slot]));
        }
    }
}
