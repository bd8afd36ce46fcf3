//! When a worker calls its judge again. Time and chance come in as parameters.

/// After failures in a row: 0.1, 0.2, 0.4 ... 5 seconds.
const BACKOFF_FIRST_US: u64 = 100_000;
const BACKOFF_LAST_US: u64 = 5_000_000;

/// One kind of call: at most one under way, and when the next is due, in microseconds of
/// the worker's clock.
#[derive(Debug, Default)]
pub struct Call {
    /// Of the one under way.
    pub token: Option<u32>,
    pub due_us: u64,
    failures: u32,
}

impl Call {
    #[must_use]
    pub fn is_due(&self, now_us: u64) -> bool {
        self.token.is_none() && now_us >= self.due_us
    }

    /// The judge asks to wait so long, which no other call's success ends; up to a quarter
    /// comes on top, so that not all workers are back at once.
    pub fn postponed(&mut self, now_us: u64, wait_us: u64, jitter: u64) {
        self.succeeded(now_us + wait_us + within(jitter, wait_us / 4));
    }

    pub fn succeeded(&mut self, due_us: u64) {
        self.failures = 0;
        self.due_us = due_us;
    }

    /// Ends the pause after failures.
    pub fn retry_now(&mut self, now_us: u64) {
        if self.failures > 0 && self.token.is_none() {
            self.due_us = now_us;
        }
    }

    /// Doubles the pause with each failure; `jitter` spreads workers apart.
    pub fn failed(&mut self, now_us: u64, jitter: u64) {
        let pause = BACKOFF_FIRST_US
            .checked_shl(self.failures.min(10))
            .unwrap_or(BACKOFF_LAST_US)
            .min(BACKOFF_LAST_US);
        self.failures = self.failures.saturating_add(1);
        self.due_us = now_us + pause / 2 + within(jitter, pause / 2);
    }
}

/// A number below `most`, or 0.
fn within(jitter: u64, most: u64) -> u64 {
    jitter.checked_rem(most).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_to_five_seconds_and_is_half_chance() {
        let mut call = Call::default();
        let mut pauses = Vec::new();
        for _ in 0..40 {
            call.failed(1_000, 0);
            let least = call.due_us - 1_000;
            let mut again = Call {
                failures: call.failures - 1,
                ..Call::default()
            };
            again.failed(1_000, u64::MAX);
            let most = again.due_us - 1_000;
            assert!(least <= most && most < 2 * least, "{least} {most}");
            pauses.push(least);
        }
        assert_eq!(pauses[..3], [50_000, 100_000, 200_000]);
        assert_eq!(pauses.last(), Some(&(BACKOFF_LAST_US / 2)));
    }

    #[test]
    fn one_under_way_is_waited_for() {
        let mut call = Call::default();
        assert!(call.is_due(0));
        call.token = Some(7);
        assert!(!call.is_due(u64::MAX));
        call.failed(0, 3);
        call.retry_now(5);
        assert!(call.due_us > 5, "it is still under way");
        call.token = None;
        call.retry_now(5);
        assert!(call.is_due(5));
        assert!(!call.is_due(4));
    }

    #[test]
    fn a_judge_that_asks_to_wait_is_not_asked_sooner() {
        let mut call = Call::default();
        for wait_us in [0, 3, 4, 1_000_000] {
            for jitter in [0, 1, 999_999, u64::MAX] {
                call.failed(0, jitter);
                call.postponed(10, wait_us, jitter);
                let due_us = call.due_us;
                assert!((10 + wait_us..=10 + wait_us + wait_us / 4).contains(&due_us));
                // Another call's success ends the pause after failures only.
                call.retry_now(11);
                assert_eq!(call.due_us, due_us);
            }
        }
    }
}
