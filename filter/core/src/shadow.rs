//! Copies of requests to a version that answers nobody.

use crate::identity::Share;

#[derive(Debug, Clone, PartialEq)]
pub struct Shadow {
    /// Envoy's cluster that gets the copies.
    pub cluster: String,
    /// Of the units that are placed, and of the requests that have none.
    pub share: Share,
    /// Indices; none is all.
    pub arms: Vec<usize>,
    /// Indices; none is all, and the rest.
    pub segments: Vec<usize>,
}

impl Shadow {
    #[must_use]
    pub fn is_for(&self, segment: Option<usize>, arm: usize) -> bool {
        (self.arms.is_empty() || self.arms.contains(&arm))
            && (self.segments.is_empty()
                || segment.is_some_and(|segment| self.segments.contains(&segment)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_and_segments_narrow_it() {
        let shadow = |arms: &[usize], segments: &[usize]| Shadow {
            cluster: "v3".to_owned(),
            share: Share::ALL,
            arms: arms.to_vec(),
            segments: segments.to_vec(),
        };
        assert!(shadow(&[], &[]).is_for(None, 1));
        assert!(shadow(&[1], &[]).is_for(Some(0), 1));
        assert!(!shadow(&[1], &[]).is_for(Some(0), 0));
        assert!(shadow(&[], &[2]).is_for(Some(2), 0));
        assert!(!shadow(&[], &[2]).is_for(Some(1), 0));
        assert!(!shadow(&[], &[2]).is_for(None, 0));
    }
}
