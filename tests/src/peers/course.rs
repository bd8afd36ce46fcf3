//! How a release went under one rule, and whom it hurt.

/// Weights over time, and how it ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    /// (second, canary's share in percent), ascending in time.
    pub weights: Vec<(u64, f64)>,
    pub end: End,
    /// Checks that failed.
    pub failed_checks: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    RolledBack { second: u64 },
    Promoted { second: u64 },
}

/// Who uses the service.
#[derive(Debug, Clone, Copy)]
pub struct Users {
    pub count: u32,
    pub requests_per_second: f64,
}

impl Course {
    /// How many users the canary would have hurt until it was taken back, or for
    /// one that was promoted, until `horizon`: each of a user's requests to it
    /// hurts with the chance `bad`.
    ///
    /// Users are taken to stay with their version, which hurts fewer than a new
    /// draw at each request, the default of both systems.
    #[must_use]
    pub fn users_hurt(&self, users: Users, bad: f64, horizon: u64) -> f64 {
        let end = match self.end {
            End::RolledBack { second } => second,
            End::Promoted { .. } => horizon,
        };
        let rate = users.requests_per_second / f64::from(users.count.max(1));
        let mut before = 0.0;
        let mut hurt = 0.0;
        for &(second, weight) in &self.weights {
            let joined = f64::from(users.count) * (weight - before) / 100.0;
            let exposed = end.saturating_sub(second) as f64;
            // Requests of one user are a Poisson process thinned by `bad`.
            hurt += joined * (1.0 - (-rate * bad * exposed).exp());
            before = weight;
        }
        hurt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: Users = Users {
        count: 30_000,
        requests_per_second: 1_000.0,
    };

    #[test]
    fn users_hurt_follow_the_weights() {
        let course = Course {
            weights: vec![(0, 10.0), (10, 25.0)],
            end: End::RolledBack { second: 40 },
            failed_checks: 0,
        };
        // One request in 30 s each: 3000 users for 40 s, and 4500 for 30 s.
        let expected =
            3_000.0 * (1.0 - (-40.0_f64 / 30.0).exp()) + 4_500.0 * (1.0 - (-1.0_f64).exp());
        assert!((course.users_hurt(USERS, 1.0, 0) - expected).abs() < 1e-6);
        assert_eq!(course.users_hurt(USERS, 0.0, 0), 0.0);
    }

    #[test]
    fn a_promoted_canary_goes_on_hurting() {
        let course = Course {
            weights: vec![(0, 100.0)],
            end: End::Promoted { second: 40 },
            failed_checks: 0,
        };
        assert!(course.users_hurt(USERS, 0.5, 600) > 29_990.0);
    }
}
