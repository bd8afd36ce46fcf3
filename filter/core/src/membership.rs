//! Which units may enter a rollout at all: mutual exclusion, and the holdout.
//!
//! Both hash a unit with a salt of their own, so that who is in is independent of
//! which arm a rollout's salt then gives.

use crate::bucket;

/// A rollout's part of a layer: units whose bucket under the layer's salt is in
/// `from..to`. Rollouts of one layer have disjoint parts, so no unit is in two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    pub salt: String,
    pub from: u16,
    pub to: u16,
}

/// Units that stay out of every rollout: the first buckets under this salt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holdout {
    pub salt: String,
    pub buckets: u16,
}

impl Layer {
    #[must_use]
    pub fn has(&self, unit: &[u8]) -> bool {
        (self.from..self.to).contains(&bucket::place(unit, &self.salt).bucket)
    }
}

impl Holdout {
    #[must_use]
    pub fn has(&self, unit: &[u8]) -> bool {
        bucket::place(unit, &self.salt).bucket < self.buckets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_in_one_part_of_a_layer() {
        let part = |from, to| Layer {
            salt: "ranking".to_owned(),
            from,
            to,
        };
        let (left, right) = (part(0, 4_000), part(4_000, 10_000));
        for i in 0..1_000 {
            let unit = format!("user-{i}");
            assert_ne!(left.has(unit.as_bytes()), right.has(unit.as_bytes()));
        }
    }

    #[test]
    fn a_holdout_has_its_share() {
        let holdout = Holdout {
            salt: "holdout".to_owned(),
            buckets: 500,
        };
        let held = (0..20_000)
            .filter(|i| holdout.has(format!("user-{i}").as_bytes()))
            .count();
        // 1,000 +- 6 sd (31).
        assert!((814..1_186).contains(&held), "{held}");
    }
}
