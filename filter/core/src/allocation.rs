//! Which bucket belongs to which arm, and the planner that changes it.
//!
//! An allocation is data: disjoint ranges of buckets. Buckets in no range are
//! outside the rollout: they get the baseline and are never counted.

use crate::bucket::BUCKETS;
use crate::json;

/// Buckets `from..to` belong to the arm with this index in the plan's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub from: u16,
    pub to: u16,
    pub arm: usize,
}

/// Disjoint ranges, ascending, none empty, neighbours of one arm joined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allocation(Vec<Range>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllocationError {
    /// The range at this index is empty, reversed, or ends past 10,000.
    Bounds(usize),
    /// The ranges at these indices share buckets.
    Overlap(usize, usize),
    /// The weights add up to this many buckets, which is over 10,000.
    TooMuch(u32),
}

impl core::fmt::Display for AllocationError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Bounds(_) => write!(f, "a range needs from < to <= {BUCKETS}"),
            Self::Overlap(first, _) => write!(f, "overlaps allocation[{first}]"),
            Self::TooMuch(sum) => write!(
                f,
                "the weights add up to {}%, which is over 100%",
                json::written(f64::from(*sum) / 100.0)
            ),
        }
    }
}

impl Allocation {
    /// # Errors
    /// A range out of bounds, or two that overlap; indices are those of `ranges`.
    pub fn new(ranges: &[Range]) -> Result<Self, AllocationError> {
        if let Some(bad) = ranges.iter().position(|r| r.from >= r.to || r.to > BUCKETS) {
            return Err(AllocationError::Bounds(bad));
        }
        let mut sorted: Vec<(usize, Range)> = ranges.iter().copied().enumerate().collect();
        sorted.sort_unstable_by_key(|(_, range)| range.from);
        let overlap = sorted
            .iter()
            .zip(sorted.iter().skip(1))
            .find(|((_, left), (_, right))| right.from < left.to);
        if let Some(((first, _), (second, _))) = overlap {
            return Err(AllocationError::Overlap(
                *first.min(second),
                *first.max(second),
            ));
        }
        Ok(Self::joined(sorted.into_iter().map(|(_, range)| range)))
    }

    /// All buckets to one arm.
    #[must_use]
    pub fn whole(arm: usize) -> Self {
        Self(vec![Range {
            from: 0,
            to: BUCKETS,
            arm,
        }])
    }

    #[must_use]
    pub fn ranges(&self) -> &[Range] {
        &self.0
    }

    /// The arm of a bucket, or `None` for one outside the rollout.
    #[must_use]
    pub fn arm(&self, bucket: u16) -> Option<usize> {
        self.0
            .iter()
            .find(|range| bucket < range.to)
            .filter(|range| bucket >= range.from)
            .map(|range| range.arm)
    }

    /// How many buckets an arm has.
    #[must_use]
    pub fn buckets_of(&self, arm: usize) -> u16 {
        self.0
            .iter()
            .filter(|range| range.arm == arm)
            .map(|range| range.to - range.from)
            .sum()
    }

    /// The allocation with `weights[arm]` buckets for each arm that moves the
    /// fewest buckets: an arm that shrinks gives up its highest buckets, an arm
    /// that grows keeps all it has. So a ramp moves only units that enter the
    /// growing arm, and a rollback only units of the arm that is taken back.
    ///
    /// # Errors
    /// Weights of more than 10,000 buckets in all.
    pub fn rebalanced(&self, weights: &[u16]) -> Result<Self, AllocationError> {
        let sum: u32 = weights.iter().map(|&weight| u32::from(weight)).sum();
        if sum > u32::from(BUCKETS) {
            return Err(AllocationError::TooMuch(sum));
        }
        let mut kept = Vec::with_capacity(self.0.len());
        let mut left: Vec<u16> = weights.to_vec();
        for &range in &self.0 {
            let budget = left.get_mut(range.arm);
            let take = budget
                .as_deref()
                .map_or(0, |&b| b.min(range.to - range.from));
            if let Some(budget) = budget {
                *budget -= take;
            }
            if take > 0 {
                kept.push(Range {
                    to: range.from + take,
                    ..range
                });
            }
        }
        // What an arm gave up lies above what it keeps, so growing arms are
        // filled from the top: the ranges stay few, and next to each other.
        let mut free = gaps(&kept);
        for (arm, &wanted) in left.iter().enumerate() {
            let mut wanted = wanted;
            while wanted > 0 {
                let Some((from, to)) = free.pop() else { break };
                let take = wanted.min(to - from);
                kept.push(Range {
                    from: to - take,
                    to,
                    arm,
                });
                wanted -= take;
                if take < to - from {
                    free.push((from, to - take));
                }
            }
        }
        kept.sort_unstable_by_key(|range| range.from);
        Ok(Self::joined(kept.into_iter()))
    }

    fn joined(sorted: impl Iterator<Item = Range>) -> Self {
        let mut ranges: Vec<Range> = Vec::new();
        for range in sorted {
            match ranges.last_mut() {
                Some(last) if last.arm == range.arm && last.to == range.from => last.to = range.to,
                _ => ranges.push(range),
            }
        }
        Self(ranges)
    }
}

/// The bucket ranges that ascending `ranges` leave free, ascending.
fn gaps(ranges: &[Range]) -> Vec<(u16, u16)> {
    let mut gaps = Vec::new();
    let mut at = 0;
    for range in ranges {
        if range.from > at {
            gaps.push((at, range.from));
        }
        at = range.to;
    }
    if at < BUCKETS {
        gaps.push((at, BUCKETS));
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn moved(old: &Allocation, new: &Allocation) -> Vec<(Option<usize>, Option<usize>)> {
        (0..BUCKETS)
            .map(|bucket| (old.arm(bucket), new.arm(bucket)))
            .filter(|(before, after)| before != after)
            .collect()
    }

    #[test]
    fn refuses_bad_ranges() {
        let range = |from, to| Range { from, to, arm: 0 };
        assert_eq!(
            Allocation::new(&[range(0, 10), range(20, 20)]),
            Err(AllocationError::Bounds(1))
        );
        assert_eq!(
            Allocation::new(&[range(0, 10_001)]),
            Err(AllocationError::Bounds(0))
        );
        assert_eq!(
            Allocation::new(&[range(10, 20), range(30, 40), range(0, 11)]),
            Err(AllocationError::Overlap(0, 2))
        );
        assert_eq!(
            Allocation::whole(0).rebalanced(&[9_000, 1_001]),
            Err(AllocationError::TooMuch(10_001))
        );
    }

    #[test]
    fn a_canary_ramp_and_a_rollback() {
        let mut allocation = Allocation::whole(0);
        for canary in [1_000, 2_500, 7_500, 10_000] {
            let next = allocation.rebalanced(&[BUCKETS - canary, canary]).unwrap();
            assert!(
                moved(&allocation, &next)
                    .iter()
                    .all(|&change| change == (Some(0), Some(1)))
            );
            assert_eq!(next.buckets_of(1), canary);
            allocation = next;
        }
        let canary = Allocation::whole(0).rebalanced(&[9_000, 1_000]).unwrap();
        let back = canary.rebalanced(&[BUCKETS, 0]).unwrap();
        assert!(
            moved(&canary, &back)
                .iter()
                .all(|&change| change == (Some(1), Some(0)))
        );
        assert_eq!(back, Allocation::whole(0));
    }

    /// Any weights of up to six arms that fit into 10,000 buckets.
    fn weights() -> impl Strategy<Value = Vec<u16>> {
        prop::collection::vec(0u32..=10_000, 1..6).prop_map(|raw| {
            let sum: u32 = raw.iter().sum::<u32>().max(10_000);
            raw.iter().map(|&w| (w * 10_000 / sum) as u16).collect()
        })
    }

    proptest! {
        #[test]
        fn any_sequence_is_exact_disjoint_and_moves_the_minimum(
            sequence in prop::collection::vec(weights(), 1..8)
        ) {
            let mut allocation = Allocation::whole(0);
            for weights in sequence {
                let next = allocation.rebalanced(&weights).unwrap();
                prop_assert_eq!(Allocation::new(next.ranges()), Ok(next.clone()));
                for (arm, &weight) in weights.iter().enumerate() {
                    prop_assert_eq!(next.buckets_of(arm), weight);
                }
                // Buckets that enter an arm, summed, are just what it grew by.
                for arm in 0..6 {
                    let before = allocation.buckets_of(arm);
                    let after = next.buckets_of(arm);
                    let entered = moved(&allocation, &next).iter().filter(|c| c.1 == Some(arm)).count();
                    let left = moved(&allocation, &next).iter().filter(|c| c.0 == Some(arm)).count();
                    prop_assert_eq!(entered, usize::from(after.saturating_sub(before)));
                    prop_assert_eq!(left, usize::from(before.saturating_sub(after)));
                }
                allocation = next;
            }
        }

        #[test]
        fn arms_that_only_grow_trade_no_units(
            a in 0u16..3_000, b in 0u16..3_000, c in 0u16..2_000, d in 0u16..2_000
        ) {
            let first = Allocation::whole(0).rebalanced(&[BUCKETS - a - b, a, b]).unwrap();
            let second = first.rebalanced(&[BUCKETS - a - b - c - d, a + c, b + d]).unwrap();
            for change in moved(&first, &second) {
                prop_assert_eq!(change.0, Some(0));
            }
        }
    }
}
