//! Counts of requests that were not randomised, by cause.

use crate::decision::Fallback;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Causes([u64; Fallback::ALL.len()]);

impl Causes {
    pub fn count(&mut self, cause: Fallback) {
        // The places of an enumeration without values are 0, 1, 2 ...
        if let Some(count) = self.0.get_mut(cause as usize) {
            *count += 1;
        }
    }

    /// Those that are not zero.
    pub fn counted(&self) -> impl Iterator<Item = (Fallback, u64)> {
        let all = Fallback::ALL.into_iter().zip(self.0);
        all.filter(|(_, count)| *count > 0)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counted().next().is_none()
    }

    pub fn take(&mut self) -> BTreeMap<Fallback, u64> {
        let mut map = BTreeMap::new();
        for (cause, count) in core::mem::take(self).counted() {
            map.insert(cause, count);
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_a_count_of_its_own() {
        let mut causes = Causes::default();
        for (times, cause) in Fallback::ALL.into_iter().enumerate() {
            for _ in 0..times {
                causes.count(cause);
            }
        }
        let counted: Vec<_> = causes.counted().collect();
        let expected: Vec<_> = Fallback::ALL.into_iter().zip(0..).skip(1).collect();
        assert_eq!(counted, expected);
        assert_eq!(causes.take(), expected.into_iter().collect());
        assert!(causes.is_empty());
    }
}
