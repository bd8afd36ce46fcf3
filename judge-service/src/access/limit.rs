//! How often somebody may do something: a bucket for each, which fills again steadily.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Callers that are remembered. When there are more, those are forgotten who have waited
/// long enough to be as new.
const REMEMBERED: usize = 10_000;

#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// So many at once.
    pub burst: u32,
    /// After which one more is allowed each time.
    pub every: Duration,
}

#[derive(Debug)]
pub struct Limit {
    rate: Rate,
    /// For each who did something: when all that was done is as if it had not been.
    until: Mutex<HashMap<String, Instant>>,
}

impl Limit {
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            until: Mutex::default(),
        }
    }

    /// Counts one deed of `who`.
    ///
    /// # Errors
    /// It is one too many: the time to wait. It is not counted then.
    pub fn take(&self, who: &str, now: Instant) -> Result<(), Duration> {
        let Rate { burst, every } = self.rate;
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.len() >= REMEMBERED && !until.contains_key(who) {
            until.retain(|_, until| *until > now);
            // As many as there may be, all of whom were busy lately.
            if until.len() >= REMEMBERED {
                return Err(every);
            }
        }
        let since = until.get(who).copied().unwrap_or(now).max(now);
        let full = now + every * burst;
        if since + every > full {
            return Err(since + every - full);
        }
        until.insert(who.to_owned(), since + every);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_is_allowed_and_then_a_steady_rate() {
        let limit = Limit::new(Rate {
            burst: 3,
            every: SECOND,
        });
        let start = Instant::now();
        for _ in 0..3 {
            limit.take("a", start).unwrap();
        }
        assert_eq!(limit.take("a", start), Err(SECOND));
        assert_eq!(
            limit.take("a", start),
            Err(SECOND),
            "a refusal costs nothing"
        );
        limit.take("b", start).unwrap();
        let later = start + SECOND;
        limit.take("a", later).unwrap();
        assert_eq!(limit.take("a", later), Err(SECOND));
        let rested = start + 10 * SECOND;
        for _ in 0..3 {
            limit.take("a", rested).unwrap();
        }
        limit.take("a", rested).unwrap_err();
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let limit = Limit::new(Rate {
            burst: 2,
            every: SECOND,
        });
        let start = Instant::now();
        for number in 0..REMEMBERED {
            limit.take(&number.to_string(), start).unwrap();
        }
        limit.take("one more", start).unwrap_err();
        limit.take("7", start).unwrap();
        limit.take("one more", start + 3 * SECOND).unwrap();
        assert_eq!(limit.until.lock().unwrap().len(), 1);
    }
}
