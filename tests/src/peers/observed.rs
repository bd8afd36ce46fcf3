//! What the canary did, second by second, as a metrics server would have it.

/// The canary's answers in one second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Second {
    pub requests: u64,
    /// Answers with a 5xx.
    pub errors: u64,
    /// Answers that took more than [`SLOW_MS`].
    pub slow: u64,
}

/// The limit for the 99th percentile in Flagger's documentation. Only whether the
/// percentile is above it matters: it is, when more than 1% of the answers are.
pub const SLOW_MS: u32 = 500;

/// A canary's life, from its first second on.
#[derive(Debug, Clone, Default)]
pub struct Observed(Vec<Second>);

/// Shares of all answers in a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    pub success: f64,
    pub slow: f64,
}

impl Observed {
    #[must_use]
    pub fn new(seconds: Vec<Second>) -> Self {
        Self(seconds)
    }

    /// The seconds `from..to`. Where the canary had no traffic (Serinus had taken
    /// it back already, or moved on), it is taken to have gone on as in its whole
    /// life. `None` for a canary that never had any.
    #[must_use]
    pub fn window(&self, from: u64, to: u64) -> Option<Window> {
        let index = |second: u64| usize::try_from(second).unwrap_or(usize::MAX);
        let end = index(to).min(self.0.len());
        let part = self.0.get(index(from)..end).unwrap_or_default();
        shares(part).or_else(|| shares(&self.0))
    }
}

fn shares(seconds: &[Second]) -> Option<Window> {
    let sum = |count: fn(&Second) -> u64| seconds.iter().map(count).sum::<u64>() as f64;
    let requests = sum(|second| second.requests);
    (requests > 0.0).then(|| Window {
        success: 1.0 - sum(|second| second.errors) / requests,
        slow: sum(|second| second.slow) / requests,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_what_was_seen_in_it_or_else_the_whole() {
        let second = |requests, errors| Second {
            requests,
            errors,
            slow: 0,
        };
        let observed = Observed::new(vec![second(10, 1), second(30, 0), second(0, 0)]);
        let success = |from, to| observed.window(from, to).unwrap().success;
        assert_eq!(success(0, 1), 0.9);
        assert_eq!(success(0, 2), 1.0 - 1.0 / 40.0);
        assert_eq!(success(2, 3), 1.0 - 1.0 / 40.0, "no traffic");
        assert_eq!(success(7, 9), 1.0 - 1.0 / 40.0, "past the end");
        assert_eq!(Observed::default().window(0, 1), None);
    }
}
