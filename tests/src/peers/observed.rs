//! What the canary did, second by second, as a metrics server would have it.

/// The canary's answers in one second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Second {
    pub requests: f64,
    /// Answers with a 5xx.
    pub errors: f64,
    /// Answers that took more than [`SLOW_MS`].
    pub slow: f64,
}

/// The limit for the 99th percentile in Flagger's documentation. Only whether the
/// percentile is above it matters: it is, when more than 1% of the answers are.
pub const SLOW_MS: u32 = 500;

/// A canary's life, from its first second on.
#[derive(Debug, Clone)]
pub struct Observed {
    seconds: Vec<Second>,
    /// A second without traffic (Serinus had taken the canary back already, or
    /// had moved on) is taken to have gone on like this: as the canary's server
    /// is set, at the first step's traffic.
    then: Second,
}

/// Shares of all answers in a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    pub success: f64,
    pub slow: f64,
}

impl Observed {
    #[must_use]
    pub fn new(seconds: Vec<Second>, then: Second) -> Self {
        Self { seconds, then }
    }

    /// The seconds `from..to`; `None` when there was no traffic at all.
    #[must_use]
    pub fn window(&self, from: u64, to: u64) -> Option<Window> {
        let sum =
            (from..to)
                .map(|second| self.second(second))
                .fold(Second::default(), |sum, second| Second {
                    requests: sum.requests + second.requests,
                    errors: sum.errors + second.errors,
                    slow: sum.slow + second.slow,
                });
        (sum.requests > 0.0).then(|| Window {
            success: 1.0 - sum.errors / sum.requests,
            slow: sum.slow / sum.requests,
        })
    }

    fn second(&self, second: u64) -> Second {
        let index = usize::try_from(second).unwrap_or(usize::MAX);
        let seen = self.seconds.get(index).copied();
        seen.filter(|second| second.requests > 0.0)
            .unwrap_or(self.then)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_seen_goes_on_as_it_is_set() {
        let second = |requests, errors| Second {
            requests,
            errors,
            slow: 0.0,
        };
        let seen = vec![second(10.0, 1.0), second(30.0, 0.0), second(0.0, 0.0)];
        let observed = Observed::new(seen, second(100.0, 20.0));
        let success = |from, to| observed.window(from, to).unwrap().success;
        assert_eq!(success(0, 1), 0.9);
        assert_eq!(success(0, 2), 1.0 - 1.0 / 40.0);
        assert_eq!(success(1, 3), 1.0 - 20.0 / 130.0, "partly seen");
        assert_eq!(success(7, 9), 0.8, "past the end");
        let nothing = Observed::new(vec![], Second::default());
        assert_eq!(nothing.window(0, 10), None);
    }
}
