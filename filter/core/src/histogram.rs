//! A log-bucketed histogram of durations in microseconds.
//!
//! Eight buckets to a doubling: an edge is within 12.5% of the next. Edges are
//! whole microseconds, so a threshold learned from a histogram is one of its
//! edges and counts above it are exact.

/// Buckets to a doubling, as a power of two.
const SUB_BITS: u32 = 3;

/// Durations from 2^32 us (71 minutes) on share the last bucket.
const MAX_BITS: u32 = 32;

/// `8 + (32 - 3) * 8`: values below 8 have a bucket each, then 8 to a doubling.
pub const BUCKETS: usize = (1 << SUB_BITS) + ((MAX_BITS - SUB_BITS) << SUB_BITS) as usize;

/// The bucket of a duration.
#[must_use]
pub fn bucket_of(micros: u64) -> usize {
    if micros < 1 << SUB_BITS {
        return micros as usize;
    }
    let bits = 63 - micros.leading_zeros();
    if bits >= MAX_BITS {
        return BUCKETS - 1;
    }
    let sub = (micros >> (bits - SUB_BITS)) as usize & ((1 << SUB_BITS) - 1);
    (1 << SUB_BITS) + (((bits - SUB_BITS) << SUB_BITS) as usize) + sub
}

/// The largest duration of a bucket, in microseconds: `bucket_of(d) <= b` exactly
/// when `d <= upper_edge(b)` (but for the last bucket, which has no end).
#[must_use]
pub fn upper_edge(bucket: usize) -> u64 {
    if bucket < 1 << SUB_BITS {
        return bucket as u64;
    }
    let above = bucket.min(BUCKETS - 1) - (1 << SUB_BITS);
    let bits = (above >> SUB_BITS) as u32;
    let sub = (above & ((1 << SUB_BITS) - 1)) as u64;
    (((1 << SUB_BITS) + sub + 1) << bits) - 1
}

/// The smallest edge that at least the share `quantile` of all counted durations
/// does not exceed; `None` when nothing was counted.
#[must_use]
pub fn quantile(counts: &[u64], quantile: f64) -> Option<u64> {
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return None;
    }
    let wanted = (quantile.clamp(0.0, 1.0) * total as f64).max(1.0);
    let mut seen = 0u64;
    counts
        .iter()
        .position(|&count| {
            seen = seen.saturating_add(count);
            seen as f64 >= wanted
        })
        .map(upper_edge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn edges_are_tight() {
        for bucket in 0..BUCKETS - 1 {
            let edge = upper_edge(bucket);
            assert_eq!(bucket_of(edge), bucket);
            assert_eq!(bucket_of(edge + 1), bucket + 1);
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles() {
        let mut counts = [0u64; BUCKETS];
        assert_eq!(quantile(&counts, 0.5), None);
        for micros in 1..=1000 {
            counts[bucket_of(micros)] += 1;
        }
        let median = quantile(&counts, 0.5).unwrap();
        assert!((500..=563).contains(&median), "{median}");
        assert!(quantile(&counts, 1.0).unwrap() >= 1000);
    }

    proptest! {
        #[test]
        fn a_bucket_holds_its_value(micros in any::<u64>()) {
            let bucket = bucket_of(micros);
            prop_assert!(bucket < BUCKETS);
            if micros < 1 << MAX_BITS {
                prop_assert!(upper_edge(bucket) >= micros);
                prop_assert!(upper_edge(bucket) <= micros + micros / 8);
            }
        }
    }
}
